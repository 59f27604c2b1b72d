//! Limits as the chain applies them: a handle of the node pool and the rule that makes the key.
//!
//! What a limit counts, and when it refuses, is the business of `penstock-limits`. This module knows who is
//! counted. Limits of LLM tokens and money stand apart from the others: the chain only collects them, and they are
//! reserved when the body has been read and the model is known (see `spend`).

use crate::router::{FieldName, FieldSource, Once};
use crate::spec::{
    Algorithm, CalendarWindow, Direction, Id, KeyPart, Limit, Measure, Mode, Period, Reserve, TokenKind, Uid,
};
use penstock_limits as pool;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

/// Parts that the key of one limit may have.
pub const KEY_PARTS_MAX: usize = 8;

/// The secret under which keys are hashed: one for all workers of a data directory, known to nobody outside.
#[derive(Clone)]
pub struct KeySecret([u8; 16]);

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("KeySecret(..)")
    }
}

impl KeySecret {
    /// From 16 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A secret for another purpose, from which this one cannot be told (BLAKE3 in its mode of key derivation).
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 16] {
        let derived = blake3::derive_key(purpose, &self.0);
        std::array::from_fn(|at| derived[at])
    }
}

/// Registers a limit at the node pool. `Err` tells why it cannot be.
pub type Register<'r> = &'r mut dyn FnMut(&pool::LimitSpec) -> Result<Arc<pool::Limit>, String>;

/// Why a limit could not be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit `{name}`: {reason}")]
pub struct BindError {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The limits of one owner, bound.
#[derive(Clone, Debug, Default)]
pub struct BoundLimits {
    /// Those that the chain decides about.
    pub(crate) admit: Vec<BoundLimit>,
    /// Those of tokens and money.
    pub(crate) spend: Vec<BoundLimit>,
}

impl BoundLimits {
    /// Those of several owners as one.
    pub(crate) fn join<'l>(owners: impl Iterator<Item = &'l Self> + Clone) -> Self {
        Self {
            admit: owners.clone().flat_map(|limits| &limits.admit).cloned().collect(),
            spend: owners.flat_map(|limits| &limits.spend).cloned().collect(),
        }
    }
}

/// A limit with its handle.
#[derive(Clone, Debug)]
pub struct BoundLimit {
    /// Dictionary id, for records.
    pub id: Id,
    /// The handle.
    pub handle: Arc<pool::Limit>,
    /// How tokens and money are reserved.
    pub(crate) reserve: Reserve,
    rule: KeyRule,
    /// The model is a part of the key.
    by_model: bool,
    counts: Counts,
}

/// What a call takes of a limit at admission.
#[derive(Clone, Copy, Debug)]
enum Counts {
    One,
    /// The bytes of its body, as far as they are known beforehand.
    Body,
    /// Nothing yet: what it moves is booked as it moves.
    Nothing,
}

/// How the key of a limit is made: by the resource that is counted alone, or by a hash of all parts.
#[derive(Clone, Debug)]
enum KeyRule {
    App,
    Credential,
    Tenant,
    Route,
    Service,
    Parts(Box<[Part]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    App,
    Credential,
    Subject,
    Tenant,
    Client,
    ClientNetwork { v4: u8, v6: u8 },
    Header(FieldName),
    Route,
    Service,
    Model,
}

/// Who is counted: what keys are made of.
pub(crate) struct Counted<'c, F> {
    pub(crate) app: Option<Uid>,
    pub(crate) credential: Option<Uid>,
    pub(crate) subject: &'c str,
    pub(crate) tenant: Uid,
    pub(crate) service: Uid,
    pub(crate) route: Uid,
    pub(crate) client: &'c IpAddr,
    pub(crate) fields: &'c F,
}

/// The limit as the node pool wants it. `owner` is the resource it stands on.
///
/// # Errors
/// What the pool says about it.
pub(crate) fn pool_spec(owner: Uid, limit: &Limit, now_unix_s: i64) -> Result<pool::LimitSpec, String> {
    let (kind, amount) = match limit.measure {
        Measure::Requests(amount) => (pool::Kind::Requests, amount),
        Measure::Bytes(amount, direction) => {
            let direction = match direction {
                Direction::Up => pool::Direction::Up,
                Direction::Down => pool::Direction::Down,
                Direction::Both => pool::Direction::Both,
            };
            (pool::Kind::Bytes(direction), amount)
        }
        Measure::Concurrent(amount) => (pool::Kind::Concurrent, amount),
        Measure::Tokens(amount, tokens) => {
            let tokens = match tokens {
                TokenKind::Input => pool::TokenKind::Input,
                TokenKind::Output => pool::TokenKind::Output,
                TokenKind::Both => pool::TokenKind::Both,
            };
            (pool::Kind::Tokens(tokens), amount)
        }
        Measure::UsdNano(amount) => (pool::Kind::Usd, amount),
    };
    let window = match &limit.per {
        None => pool::Window::None,
        Some(Period::Span(span)) => pool::Window::Duration(*span),
        Some(Period::Calendar(window, zone)) => {
            let unit = match window {
                CalendarWindow::Hour => pool::CalendarUnit::Hour,
                CalendarWindow::Day => pool::CalendarUnit::Day,
                CalendarWindow::Month => pool::CalendarUnit::Month,
            };
            let found = pool::time_zone(zone).map_err(|error| error.to_string())?;
            let windows = pool::CalendarWindows::compute(unit, &found, zone, now_unix_s);
            pool::Window::Calendar(windows.map_err(|error| error.to_string())?)
        }
    };
    let spec = pool::LimitSpec {
        algorithm: match (limit.algorithm, &window) {
            (_, pool::Window::None | pool::Window::Calendar(_)) => None,
            (Algorithm::Gcra, _) => Some(pool::Algorithm::Gcra),
            (Algorithm::Fixed, _) => Some(pool::Algorithm::Fixed),
            (Algorithm::Rolling, _) => Some(pool::Algorithm::Rolling),
            (Algorithm::Calendar | Algorithm::Concurrency, _) => None,
        },
        burst: limit.burst,
        mode: match limit.mode {
            Mode::Hard => pool::Mode::Hard,
            Mode::Soft => pool::Mode::Soft,
        },
        alert_at: limit.alert_at_percent.iter().map(|&percent| u16::from(percent)).collect(),
        keys_max: limit.keys_max,
        ..pool::LimitSpec::new(u128::from(owner.0), &limit.name, kind, amount, window)
    };
    spec.validate().map_err(|error| error.to_string())?;
    Ok(spec)
}

/// Binds the limits of one owner. For a model and a provider key too, whose `spend` then goes with each
/// [`crate::Attempt`]: such owners are known only when the body has been read, so they can be counted by no field of the
/// head, and limits other than tokens and money on them are the caller's to refuse.
pub(crate) fn bind(
    owner: Uid,
    limits: &[Limit],
    now_unix_s: i64,
    register: Register<'_>,
) -> Result<BoundLimits, BindError> {
    let (mut admit, mut spend) = (Vec::new(), Vec::new());
    for limit in limits {
        let fail = |reason| BindError { name: limit.name.clone(), reason };
        let spec = pool_spec(owner, limit, now_unix_s).map_err(fail)?;
        let handle = register(&spec).map_err(fail)?;
        let list = if spec.kind.reserves() { &mut spend } else { &mut admit };
        list.push(BoundLimit::new(limit, handle));
    }
    Ok(BoundLimits { admit, spend })
}

impl BoundLimit {
    fn new(limit: &Limit, handle: Arc<pool::Limit>) -> Self {
        let by: Box<[Part]> = limit
            .by
            .iter()
            .take(KEY_PARTS_MAX)
            .map(|part| match part {
                KeyPart::App => Part::App,
                KeyPart::Credential => Part::Credential,
                KeyPart::Subject => Part::Subject,
                KeyPart::Tenant => Part::Tenant,
                KeyPart::Client => Part::Client,
                KeyPart::ClientNetwork { v4, v6 } => Part::ClientNetwork { v4: *v4, v6: *v6 },
                KeyPart::Header(name) => Part::Header(FieldName::new(name)),
                KeyPart::Route => Part::Route,
                KeyPart::Service => Part::Service,
                KeyPart::Model => Part::Model,
            })
            .collect();
        let counts = match limit.measure {
            Measure::Bytes(_, Direction::Up | Direction::Both) => Counts::Body,
            Measure::Bytes(_, Direction::Down) => Counts::Nothing,
            Measure::Requests(_) | Measure::Concurrent(_) | Measure::Tokens(..) | Measure::UsdNano(_) => {
                Counts::One
            }
        };
        let by_model = by.contains(&Part::Model);
        Self { id: limit.id, handle, reserve: limit.reserve, rule: KeyRule::new(by), by_model, counts }
    }

    /// How much one call takes at admission: one, or the bytes of its body that are known beforehand.
    #[inline]
    pub(crate) fn amount(&self, body_bytes: u64) -> u64 {
        match self.counts {
            Counts::One => 1,
            Counts::Body => body_bytes,
            Counts::Nothing => 0,
        }
    }

    /// The key of a call. `within` is the subscription for limits of a plan, which each subscription has for
    /// itself. A few instructions where one resource is counted, else about 15 ns (SipHash-1-3, 128 bits);
    /// allocates nothing.
    #[inline]
    pub(crate) fn key<F: FieldSource>(
        &self,
        secret: &KeySecret,
        within: Option<Uid>,
        counted: &Counted<'_, F>,
    ) -> pool::Key {
        match (within, &self.rule) {
            (None, KeyRule::App) => uid_key(counted.app),
            (None, KeyRule::Credential) => uid_key(counted.credential),
            (None, KeyRule::Tenant) => uid_key(Some(counted.tenant)),
            (None, KeyRule::Route) => uid_key(Some(counted.route)),
            (None, KeyRule::Service) => uid_key(Some(counted.service)),
            (None, KeyRule::Parts(parts)) if parts.is_empty() => pool::Key::OWNER,
            _ => self.hashed_key(secret, within, counted),
        }
    }

    fn hashed_key<F: FieldSource>(
        &self,
        secret: &KeySecret,
        within: Option<Uid>,
        counted: &Counted<'_, F>,
    ) -> pool::Key {
        let parts: &[Part] = match &self.rule {
            KeyRule::App => &[Part::App],
            KeyRule::Credential => &[Part::Credential],
            KeyRule::Tenant => &[Part::Tenant],
            KeyRule::Route => &[Part::Route],
            KeyRule::Service => &[Part::Service],
            KeyRule::Parts(parts) => parts,
        };
        let mut hasher = SipHasher13::new_with_key(&secret.0);
        let mut take = |tag: u8, bytes: &[u8]| {
            hasher.write_u8(tag);
            hasher.write_u32(bytes.len() as u32);
            hasher.write(bytes);
        };
        let number = |uid: Option<Uid>| uid.map_or([0; 8], |uid| uid.0.to_le_bytes());
        if within.is_some() {
            take(0, &number(within));
        }
        for part in parts {
            match part {
                Part::App => take(1, &number(counted.app)),
                Part::Credential => take(2, &number(counted.credential)),
                Part::Subject => take(3, counted.subject.as_bytes()),
                Part::Tenant => take(4, &counted.tenant.0.to_le_bytes()),
                Part::Client => take_address(&mut take, 5, *counted.client, 32, 128),
                Part::ClientNetwork { v4, v6 } => take_address(&mut take, 6, *counted.client, *v4, *v6),
                Part::Header(name) => match counted.fields.once(name) {
                    Once::Absent => take(7, b""),
                    Once::One(value) => take(8, value),
                    Once::Repeated => take(9, b""),
                },
                Part::Route => take(10, &counted.route.0.to_le_bytes()),
                Part::Service => take(11, &counted.service.0.to_le_bytes()),
                Part::Model => take(12, b""),
            }
        }
        pool::Key(hasher.finish128().as_u128())
    }

    /// Whether the model is a part of the key, which [`key_of_model`] then adds.
    pub(crate) fn is_by_model(&self) -> bool {
        self.by_model
    }
}

/// The key of a call with the model that was asked for, which is known later than the rest of it.
pub(crate) fn key_of_model(secret: &KeySecret, key: pool::Key, model: Uid) -> pool::Key {
    let mut hasher = SipHasher13::new_with_key(&secret.0);
    hasher.write_u128(key.0);
    hasher.write_u64(model.0);
    pool::Key(hasher.finish128().as_u128())
}

impl KeyRule {
    fn new(parts: Box<[Part]>) -> Self {
        match &*parts {
            [Part::App] => Self::App,
            [Part::Credential] => Self::Credential,
            [Part::Tenant] => Self::Tenant,
            [Part::Route] => Self::Route,
            [Part::Service] => Self::Service,
            _ => Self::Parts(parts),
        }
    }
}

/// The key of a limit that is counted by one resource: its uid as it is, for uids are hashes already, and no
/// caller chooses them.
#[inline]
fn uid_key(uid: Option<Uid>) -> pool::Key {
    const IS_UID: u128 = 1 << 64;
    pool::Key(IS_UID | u128::from(uid.map_or(0, |uid| uid.0)))
}

fn take_address(take: &mut impl FnMut(u8, &[u8]), tag: u8, address: IpAddr, v4: u8, v6: u8) {
    let prefix = if address.is_ipv4() { v4 } else { v6 };
    match crate::cidr::Cidr::new(address, prefix).address() {
        IpAddr::V4(network) => take(tag, &network.octets()),
        IpAddr::V6(network) => take(tag, &network.octets()),
    }
}
