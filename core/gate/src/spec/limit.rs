//! Limits as data: what is counted, over what time, for whom.

use super::{Id, Uid};
use std::time::Duration;

/// Bound of a limit's key map unless written otherwise.
pub const KEYS_MAX_DEFAULT: u32 = 1_000_000;

/// One limit of one owner (tenant, team, app, credential, plan, service, version or route). Its counter is
/// (owner, name, key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Dictionary id of the limit, for call records.
    pub id: Id,
    /// Stable identity: a hash of the owner's uid and the limit's name, so that reordering moves no counter.
    pub uid: Uid,
    /// Name, unique within the owner; told to the caller when the limit refuses.
    pub name: String,
    /// What is counted and how much of it is allowed.
    pub measure: Measure,
    /// Over what time. `None` only for [`Measure::Concurrent`].
    pub per: Option<Period>,
    /// How it is counted.
    pub algorithm: Algorithm,
    /// Depth of the bucket, for [`Algorithm::Gcra`]; `None`: the number of the measure.
    pub burst: Option<u64>,
    /// Whether it refuses or only tells.
    pub mode: Mode,
    /// Percentages of use (1 to 100) at which an alert is raised.
    pub alert_at_percent: Vec<u8>,
    /// How tokens and money are reserved before a call.
    pub reserve: Reserve,
    /// Bound of the key map.
    pub keys_max: u32,
    /// The product that makes the key; empty: one counter for the owner.
    pub by: Vec<KeyPart>,
}

/// What a limit counts, with the amount allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Requests.
    Requests(u64),
    /// LLM tokens of a kind.
    Tokens(u64, TokenKind),
    /// Money, in nano-dollars (10^-9 USD).
    UsdNano(u64),
    /// Bytes of bodies.
    Bytes(u64, Direction),
    /// Requests under way at the same time.
    Concurrent(u64),
}

/// Which LLM tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Input and output.
    Both,
    /// What the caller sends.
    Input,
    /// What the model writes.
    Output,
}

/// Which way bytes travel that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the caller.
    Up,
    /// To the caller.
    Down,
    /// Both.
    Both,
}

/// The time a limit's amount is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// Any interval of this length.
    Span(Duration),
    /// A calendar window in a time zone (IANA name).
    Calendar(CalendarWindow, String),
}

/// Windows of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarWindow {
    /// From minute 0 to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
}

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Generic cell rate: a bucket that refills evenly. Default for requests.
    Gcra,
    /// Windows of the period's length that begin at multiples of it.
    Fixed,
    /// A window that slides in sixty steps. Default for tokens and money over a span.
    Rolling,
    /// Windows of the calendar; goes with [`Period::Calendar`].
    Calendar,
    /// A count of those under way; goes with [`Measure::Concurrent`].
    Concurrency,
}

/// What happens when the amount is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Refuse.
    #[default]
    Hard,
    /// Flag and alert only.
    Soft,
}

/// How much is reserved before a call whose use is known only afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// What the call will probably use.
    #[default]
    Estimate,
    /// A proven upper bound.
    Bound,
}

/// One factor of a limit's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The caller's app.
    App,
    /// The credential that was shown.
    Credential,
    /// The subject (`sub` of a token, user of basic authentication, subject of a certificate).
    Subject,
    /// The tenant of the route.
    Tenant,
    /// The client's address.
    Client,
    /// The client's network of so many leading bits (IPv4, IPv6).
    ClientNetwork {
        /// Prefix for IPv4, 0 to 32.
        v4: u8,
        /// Prefix for IPv6, 0 to 128.
        v6: u8,
    },
    /// The value of a request field (lower-case name); absent counts as one value.
    Header(String),
    /// The route.
    Route,
    /// The service.
    Service,
    /// The model asked for. It is known only after the body is read: outside AI routes one value.
    Model,
}
