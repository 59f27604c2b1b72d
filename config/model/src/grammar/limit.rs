//! Limits: what is counted, over what time, for whom.

use std::time::Duration;

use crate::document::{Node, NodeKind};
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::object::{choice, object};
use crate::read::text::{HeaderName, LimitName, Timezone};
use crate::read::units::{Int, Percent, Usd, parse_ms, show_duration};
use crate::read::{Cx, Effective, Fault, Read, Shape, Word};
use crate::suggest;

/// Most that a limit may count.
pub const COUNT_MAX: u64 = 1_000_000_000_000_000;

object! {
    /// One limit: exactly one of `requests`, `tokens`, `input_tokens`, `output_tokens`, `usd`, `bytes`,
    /// `concurrent`, with `per` for all but the last. Tokens and dollars are used by calls of models only, so they are
    /// refused on services, versions and routes that have an upstream. They are reserved before each attempt at a model
    /// and settled after it.
    Limit {
        /// Name, of its own within the owner; told to callers that are refused.
        optional name: LimitName = "kind/by/per, as requests/app/1s",
        /// Requests.
        optional requests: Int<1, COUNT_MAX> = "not counted",
        /// LLM tokens, input and output.
        optional tokens: Int<1, COUNT_MAX> = "not counted",
        /// LLM tokens that callers send.
        optional input_tokens: Int<1, COUNT_MAX> = "not counted",
        /// LLM tokens that models write.
        optional output_tokens: Int<1, COUNT_MAX> = "not counted",
        /// US dollars, exact to the nano-dollar, at most 10,000,000.
        optional usd: Usd = "not counted",
        /// Bytes of bodies.
        optional bytes: Int<1, COUNT_MAX> = "not counted",
        /// Requests under way at the same time.
        optional concurrent: Int<1, COUNT_MAX> = "not counted",
        /// Over what time: a duration, or `hour`, `day`, `month` of the calendar.
        optional per: Per = "needed for all but concurrent",
        /// Which way bytes are counted; goes with `bytes`.
        optional direction: Direction = "both",
        /// Time zone of the calendar's windows.
        optional timezone: Timezone = "UTC",
        /// How it is counted.
        optional algorithm: Algorithm = "gcra for requests and bytes, rolling for tokens and usd, calendar for hour, day and month",
        /// Depth of the bucket; goes with `gcra`.
        optional burst: Int<1, COUNT_MAX> = "the number counted",
        /// Whether it refuses or only tells.
        default mode: Mode = "hard",
        /// Shares of use at which an alert is raised. Of tokens and dollars what is reserved counts as used; at a refusal
        /// all shares that the call would have reached are told.
        default alert_at: Vec<At<Percent>> = "[]",
        /// How tokens and money are reserved before a call.
        optional reserve: Reserve = "estimate",
        /// Bound of the key map: beyond it one shared bucket, with an alert.
        default keys_max: Int<1, 100_000_000> = "1000000",
        /// The key: one, or a list whose product it is.
        optional by: By = "one counter for the owner",
    }
    later {
        "redis_lost": "limits are counted on each node; cluster-wide limits come later",
        "scope": "limits are counted on each node; cluster-wide limits come later",
    }
}

choice! {
    /// Which way bytes travel that are counted.
    Direction {
        /// from the caller
        Up = "up",
        /// to the caller
        Down = "down",
        /// both ways
        Both = "both",
    }
}

choice! {
    /// How a limit counts.
    Algorithm {
        /// a bucket that refills evenly
        Gcra = "gcra",
        /// windows of the period's length
        Fixed = "fixed",
        /// a window that slides in sixty steps
        Rolling = "rolling",
        /// windows of the calendar
        Calendar = "calendar",
    }
}

choice! {
    /// What happens when the amount is used up.
    Mode {
        /// refuse
        Hard = "hard",
        /// flag and alert only
        Soft = "soft",
    }
}

choice! {
    /// How much is reserved before a call whose use is known only afterwards.
    Reserve {
        /// what it will probably use; what it uses more counts against the next calls
        Estimate = "estimate",
        /// a proven upper bound; what has none is refused
        Bound = "bound",
    }
}

/// The time a limit's amount is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Any interval of this length.
    Span(Duration),
    /// From minute 0 to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
}

/// Shortest and longest duration of a limit, in milliseconds.
const PER_MS: std::ops::RangeInclusive<u64> = 10..=31 * 24 * 3_600_000;

impl Word for Per {
    const WHAT: &'static str = "a duration or a calendar window";
    const FORM: &'static str = "a duration as in 1s, 5m or 1h, or hour, day, month for the calendar";
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h)|hour|day|month|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "hour" => Ok(Per::Hour),
            "day" => Ok(Per::Day),
            "month" => Ok(Per::Month),
            "second" => Err(Fault::plain().hint("write 1s")),
            "minute" => Err(Fault::plain().hint("write 1m")),
            "week" => Err(Fault::plain().hint("write 168h")),
            _ if text.ends_with('d') && text.len() > 1 && text[..text.len() - 1].parse::<u32>().is_ok() => {
                Err(Fault::plain().hint("write hours as in 24h, or day for the calendar's"))
            }
            _ => {
                let ms =
                    parse_ms(text).map_err(|fault| Fault { hint: Some(Self::FORM.to_owned()), ..fault })?;
                if PER_MS.contains(&ms) {
                    Ok(Per::Span(Duration::from_millis(ms)))
                } else {
                    Err(Fault::message(format!("{} is out of range", quote(text))).hint("10ms to 744h"))
                }
            }
        }
    }

    fn show(&self) -> String {
        match self {
            Per::Span(span) => show_duration(*span),
            Per::Hour => "hour".to_owned(),
            Per::Day => "day".to_owned(),
            Per::Month => "month".to_owned(),
        }
    }
}

/// One factor of a limit's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// The caller's app.
    App,
    /// The credential shown.
    Credential,
    /// The subject.
    Subject,
    /// The tenant of the route.
    Tenant,
    /// The client's address.
    Client,
    /// The client's network of so many leading bits; for IPv6 see [`KeyPart::v6_bits`].
    Network(u8),
    /// A header's value.
    Header(String),
    /// The route.
    Route,
    /// The service.
    Service,
    /// The model asked for.
    Model,
}

impl KeyPart {
    /// Prefix for IPv6 beside `client/<bits>`: twice the bits, as `/24` and `/48` are sites of like size.
    pub fn v6_bits(v4: u8) -> u8 {
        v4.saturating_mul(2)
    }
}

const KEY_PARTS: &[&str] = &[
    "app",
    "credential",
    "subject",
    "tenant",
    "client",
    "client/24",
    "header.x-user",
    "route",
    "service",
    "model",
];

impl Word for KeyPart {
    const WHAT: &'static str = "a key of a limit";
    const FORM: &'static str =
        "app, credential, subject, tenant, client, client/24, header.<name>, route, service or model";
    const PATTERN: &'static str =
        r"^(app|credential|subject|tenant|client(/[0-9]{1,2})?|header\..+|route|service|model)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        Ok(match text {
            "app" => KeyPart::App,
            "credential" => KeyPart::Credential,
            "subject" => KeyPart::Subject,
            "tenant" => KeyPart::Tenant,
            "client" => KeyPart::Client,
            "route" => KeyPart::Route,
            "service" => KeyPart::Service,
            "model" => KeyPart::Model,
            _ => {
                if let Some(bits) = text.strip_prefix("client/") {
                    return match bits.parse::<u8>() {
                        Ok(bits @ 1..=32) => Ok(KeyPart::Network(bits)),
                        _ => Err(Fault::message(format!("{} is not a prefix length", quote(bits)))
                            .part(format!("/{bits}"))
                            .hint("1 to 32, as in client/24; IPv6 takes twice as many bits")),
                    };
                }
                if let Some(name) = text.strip_prefix("header.") {
                    return HeaderName::parse(name).map(|name| KeyPart::Header(name.0));
                }
                let near = suggest::nearest(text, KEY_PARTS.iter().copied());
                let hint = near.map_or_else(|| Self::FORM.to_owned(), |n| format!("did you mean `{n}`?"));
                return Err(Fault::plain().hint(hint));
            }
        })
    }

    fn show(&self) -> String {
        match self {
            KeyPart::App => "app".to_owned(),
            KeyPart::Credential => "credential".to_owned(),
            KeyPart::Subject => "subject".to_owned(),
            KeyPart::Tenant => "tenant".to_owned(),
            KeyPart::Client => "client".to_owned(),
            KeyPart::Network(bits) => format!("client/{bits}"),
            KeyPart::Header(name) => format!("header.{name}"),
            KeyPart::Route => "route".to_owned(),
            KeyPart::Service => "service".to_owned(),
            KeyPart::Model => "model".to_owned(),
        }
    }
}

/// Most factors of a key.
pub const KEY_PARTS_MAX: usize = 4;

/// The key of a limit: the product of its parts.
#[derive(Debug, Clone)]
pub struct By(pub Vec<At<KeyPart>>);

impl Read for By {
    fn shape() -> Shape {
        Shape::Either(vec![KeyPart::shape(), Shape::List(Box::new(KeyPart::shape()))])
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        if !matches!(node.kind, NodeKind::List(_)) {
            return At::<KeyPart>::read(node, cx).map(|part| By(vec![part]));
        }
        let parts = Vec::<At<KeyPart>>::read(node, cx)?;
        if parts.len() > KEY_PARTS_MAX {
            cx.problems.add(
                node.pos,
                format!("a key of {} parts", parts.len()),
                format!("at most {KEY_PARTS_MAX}"),
            );
            return None;
        }
        for (index, part) in parts.iter().enumerate() {
            if parts[..index].iter().any(|before| before.value == part.value) {
                cx.problems.add(
                    part.pos,
                    format!("{} stands twice in the key", quote(&part.value.show())),
                    "leave one out",
                );
                return None;
            }
        }
        Some(By(parts))
    }

    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>) {
        out.push(Effective { path: path.to_owned(), value: self.words(), pos });
    }
}

impl By {
    /// The parts as a name holds them.
    pub(crate) fn words(&self) -> String {
        self.0.iter().map(|part| part.value.show()).collect::<Vec<_>>().join(",")
    }
}
