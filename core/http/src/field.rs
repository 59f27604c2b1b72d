//! The field names that anybody in a gateway looks at, as one-byte ids, and sets of them.
//!
//! Knows names only: no values, no messages, no version of HTTP.

use crate::word;

macro_rules! fields {
    ($($variant:ident = $name:literal;)+) => {
        /// A field name the gateway knows by id; every other name is [`FieldId::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum FieldId {
            /// A name that is not in the list.
            Other,
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        const NAMES: &[&str] = &["", $($name),+];
        const IDS: &[FieldId] = &[FieldId::Other, $(FieldId::$variant),+];
    };
}

fields! {
    // framing and connection
    Host = "Host";
    ContentLength = "Content-Length";
    TransferEncoding = "Transfer-Encoding";
    Connection = "Connection";
    KeepAlive = "Keep-Alive";
    ProxyConnection = "Proxy-Connection";
    Te = "TE";
    Trailer = "Trailer";
    Upgrade = "Upgrade";
    Http2Settings = "HTTP2-Settings";
    Expect = "Expect";
    MaxForwards = "Max-Forwards";
    // who calls
    Authorization = "Authorization";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthorization = "Proxy-Authorization";
    ProxyAuthenticate = "Proxy-Authenticate";
    Cookie = "Cookie";
    SetCookie = "Set-Cookie";
    XApiKey = "X-Api-Key";
    ApiKey = "Api-Key";
    XGoogApiKey = "X-Goog-Api-Key";
    Dpop = "DPoP";
    Signature = "Signature";
    SignatureInput = "Signature-Input";
    IdempotencyKey = "Idempotency-Key";
    // browsers
    Origin = "Origin";
    Referer = "Referer";
    AccessControlRequestMethod = "Access-Control-Request-Method";
    AccessControlRequestHeaders = "Access-Control-Request-Headers";
    AccessControlAllowOrigin = "Access-Control-Allow-Origin";
    AccessControlAllowMethods = "Access-Control-Allow-Methods";
    AccessControlAllowHeaders = "Access-Control-Allow-Headers";
    AccessControlAllowCredentials = "Access-Control-Allow-Credentials";
    AccessControlExposeHeaders = "Access-Control-Expose-Headers";
    AccessControlMaxAge = "Access-Control-Max-Age";
    StrictTransportSecurity = "Strict-Transport-Security";
    // content
    ContentType = "Content-Type";
    ContentEncoding = "Content-Encoding";
    ContentRange = "Content-Range";
    ContentLanguage = "Content-Language";
    ContentLocation = "Content-Location";
    ContentDisposition = "Content-Disposition";
    ContentDigest = "Content-Digest";
    ReprDigest = "Repr-Digest";
    Digest = "Digest";
    Accept = "Accept";
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    Range = "Range";
    IfMatch = "If-Match";
    IfNoneMatch = "If-None-Match";
    IfModifiedSince = "If-Modified-Since";
    IfUnmodifiedSince = "If-Unmodified-Since";
    IfRange = "If-Range";
    Etag = "ETag";
    LastModified = "Last-Modified";
    CacheControl = "Cache-Control";
    Expires = "Expires";
    Age = "Age";
    Vary = "Vary";
    Pragma = "Pragma";
    Warning = "Warning";
    UserAgent = "User-Agent";
    Server = "Server";
    Date = "Date";
    Location = "Location";
    Allow = "Allow";
    Link = "Link";
    RetryAfter = "Retry-After";
    RateLimit = "RateLimit";
    RateLimitPolicy = "RateLimit-Policy";
    Deprecation = "Deprecation";
    Sunset = "Sunset";
    ServerTiming = "Server-Timing";
    AltSvc = "Alt-Svc";
    Priority = "Priority";
    // the way of the call
    Via = "Via";
    Forwarded = "Forwarded";
    XForwardedFor = "X-Forwarded-For";
    XForwardedProto = "X-Forwarded-Proto";
    XForwardedHost = "X-Forwarded-Host";
    XForwardedPort = "X-Forwarded-Port";
    XForwardedPrefix = "X-Forwarded-Prefix";
    XRealIp = "X-Real-IP";
    XRequestId = "X-Request-Id";
    XCorrelationId = "X-Correlation-Id";
    Traceparent = "Traceparent";
    Tracestate = "Tracestate";
    Baggage = "Baggage";
    XHttpMethodOverride = "X-HTTP-Method-Override";
    // WebSocket
    SecWebsocketKey = "Sec-WebSocket-Key";
    SecWebsocketVersion = "Sec-WebSocket-Version";
    SecWebsocketProtocol = "Sec-WebSocket-Protocol";
    SecWebsocketExtensions = "Sec-WebSocket-Extensions";
    SecWebsocketAccept = "Sec-WebSocket-Accept";
    // gRPC
    GrpcTimeout = "Grpc-Timeout";
    GrpcStatus = "Grpc-Status";
    GrpcMessage = "Grpc-Message";
    // LLM providers
    AnthropicVersion = "Anthropic-Version";
    AnthropicBeta = "Anthropic-Beta";
    OpenaiOrganization = "OpenAI-Organization";
    OpenaiProject = "OpenAI-Project";
    // ours
    XPenstockApp = "X-Penstock-App";
    XPenstockTenant = "X-Penstock-Tenant";
    XPenstockUser = "X-Penstock-User";
    XPenstockRoute = "X-Penstock-Route";
    XPenstockVersion = "X-Penstock-Version";
    XPenstockTags = "X-Penstock-Tags";
    XPenstockOverhead = "X-Penstock-Overhead";
}

impl FieldId {
    /// How many ids there are, [`FieldId::Other`] among them.
    pub const COUNT: usize = IDS.len();

    /// The id of a name, in any case. One hash, one table load, one comparison; no allocation.
    #[inline]
    pub fn lookup(name: &[u8]) -> FieldId {
        let (Some(&first), Some(&last)) = (name.first(), name.last()) else { return FieldId::Other };
        let inner = name[name.len() * 3 / 4];
        let id = SLOTS[slot(name.len(), first, inner, last, SEED)];
        if id != FieldId::Other && eq_folded(NAMES[id as usize].as_bytes(), name) {
            id
        } else {
            FieldId::Other
        }
    }

    /// The length and the id of the name that stands before the first colon of a text, or of the whole text if it has
    /// no colon.
    ///
    /// As [`FieldId::lookup`], but the comparison may read beyond the name, and so takes words without a loop.
    #[inline(never)]
    pub(crate) fn lookup_line(text: &[u8]) -> (usize, FieldId) {
        let Some(start) = text.first_chunk::<SPELLING_BLOCK>() else { return lookup_any_line(text) };
        let start = u128::from_le_bytes(*start);
        let (low, high) = (word::colon(start as u64), word::colon((start >> 64) as u64));
        let len = if low != 0 {
            word::lane(low)
        } else if high != 0 {
            8 | word::lane(high)
        } else {
            return lookup_any_line(text);
        };
        // of an empty name any byte will do, as no name has its length
        let last = text[(len + SPELLING_BLOCK - 1) % SPELLING_BLOCK];
        let id = SLOTS[slot(len, text[0], text[len * 3 / 4], last, SEED)];
        let spelling = &SPELLINGS[id as usize];
        let same = usize::from(spelling.len) == len && (start ^ spelling.start) & spelling.start_mask == 0;
        (len, if same { id } else { FieldId::Other })
    }

    /// Whether a name is one that only the gateway or its framing may set, spelled with `_` for `-`.
    ///
    /// CGI-like upstreams see no difference between `X_Forwarded_For` and `X-Forwarded-For`, so such a field would
    /// slip past whoever set, dropped or judged the real one. Costs a scan of the name when there is no `_` in it.
    #[inline]
    pub fn is_imitated(name: &[u8]) -> bool {
        memchr::memchr(b'_', name).is_some() && imitates(name)
    }

    /// The name in its usual case; empty for [`FieldId::Other`].
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Every id, [`FieldId::Other`] first.
    pub const fn all() -> &'static [FieldId] {
        IDS
    }
}

/// [`FieldId::lookup_line`] for names of more than [`SPELLING_BLOCK`] bytes and for texts that are short.
#[inline(never)]
fn lookup_any_line(text: &[u8]) -> (usize, FieldId) {
    let len = word::find(text, word::colon);
    (len, FieldId::lookup(&text[..len]))
}

fn imitates(name: &[u8]) -> bool {
    const NAME_BYTES_MAX: usize = 32;
    const GUARDED: FieldSet =
        FieldSet::FRAMING.union(FieldSet::FORWARDING).union(FieldSet::ASSERTED).with(FieldId::Host);
    const OURS: &[u8] = b"x-penstock-";
    let mut spelled = [0; NAME_BYTES_MAX];
    let len = name.len().min(NAME_BYTES_MAX);
    for (to, &from) in spelled.iter_mut().zip(name) {
        *to = if from == b'_' { b'-' } else { from.to_ascii_lowercase() };
    }
    let spelled = &spelled[..len];
    spelled.starts_with(OURS) || (name.len() == len && GUARDED.contains(FieldId::lookup(spelled)))
}

/// Equality without regard to the case of ASCII letters, eight bytes at a time.
#[inline]
fn eq_folded(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some((a_end, b_end)), true) = (a.last_chunk::<8>().zip(b.last_chunk::<8>()), a.len() >= 8) else {
        return a.eq_ignore_ascii_case(b);
    };
    // The last eight bytes overlap those before them where the length is no multiple of eight.
    let (heads_a, heads_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    heads_a.iter().zip(heads_b).all(|(a, b)| folded(*a) == folded(*b)) && folded(*a_end) == folded(*b_end)
}

/// Eight bytes with their ASCII capitals made small, as one number.
#[inline]
fn folded(bytes: [u8; 8]) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    let low = word & !HIGH;
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let past_z = low + EACH * (0x7f - b'Z' as u64);
    let capital = (from_a ^ past_z) & !word & HIGH;
    word | capital >> 2
}

/// Bytes of a name that are compared at once where a line is at hand.
const SPELLING_BLOCK: usize = 16;

/// The start of a name, made for comparison with bytes that may hold more than the name.
struct Spelling {
    len: u8,
    start: u128,
    /// The bits that count: none behind the name, and of letters all but the one that tells their case.
    start_mask: u128,
}

impl Spelling {
    const fn of(name: &[u8]) -> Spelling {
        assert!(name.len() <= u8::MAX as usize);
        let mut spelling = Spelling { len: name.len() as u8, start: 0, start_mask: 0 };
        let mut index = 0;
        while index < name.len() && index < SPELLING_BLOCK {
            let counts: u8 = if name[index].is_ascii_alphabetic() { !0x20 } else { !0 };
            spelling.start |= (name[index] as u128) << (index * 8);
            spelling.start_mask |= (counts as u128) << (index * 8);
            index += 1;
        }
        spelling
    }
}

static SPELLINGS: [Spelling; FieldId::COUNT] = {
    let mut table = [const { Spelling::of(b"") }; FieldId::COUNT];
    let mut index = 0;
    while index < NAMES.len() {
        table[index] = Spelling::of(NAMES[index].as_bytes());
        index += 1;
    }
    table
};

const SLOT_BITS: u32 = 10;
const SLOT_COUNT: usize = 1 << SLOT_BITS;

/// Chosen so that no two names share a slot; the table refuses to compile when two do, and then another
/// small number must be tried.
const SEED: u32 = 216;

static SLOTS: [FieldId; SLOT_COUNT] = slots();

/// Folds length and three letters into a slot. `0x20` makes the letters' case fall away.
const fn slot(len: usize, first: u8, inner: u8, last: u8, seed: u32) -> usize {
    let letters = 0x20_2020 | first as u32 | (inner as u32) << 8 | (last as u32) << 16;
    let mixed = (letters ^ ((len as u32) << 24)).wrapping_mul(seed.wrapping_mul(0x9e37_79b1) | 1);
    (mixed >> (32 - SLOT_BITS)) as usize
}

const fn slots() -> [FieldId; SLOT_COUNT] {
    let mut table = [FieldId::Other; SLOT_COUNT];
    let mut index = 1;
    while index < IDS.len() {
        let name = NAMES[index].as_bytes();
        let at = slot(name.len(), name[0], name[name.len() * 3 / 4], name[name.len() - 1], SEED);
        assert!(matches!(table[at], FieldId::Other), "two field names share a slot: choose another seed");
        table[at] = IDS[index];
        index += 1;
    }
    table
}

/// A set of [`FieldId`]s in 128 bits; every operation is a few instructions and const.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet([u64; 2]);

const _: () = assert!(FieldId::COUNT <= 128);

/// Index of the word that holds an id's bit.
const fn half(id: FieldId) -> usize {
    id as usize >> 6 & 1
}

const fn bit(id: FieldId) -> u64 {
    1 << (id as u32 & 63)
}

impl FieldSet {
    /// No field.
    pub const EMPTY: FieldSet = FieldSet([0; 2]);

    /// Fields that concern one connection only and are never relayed (RFC 9110 section 7.6.1), with
    /// the framing field `Transfer-Encoding`. What `Connection` lists comes on top, field by field.
    pub const HOP_BY_HOP: FieldSet = FieldSet::of(&[
        FieldId::Connection,
        FieldId::KeepAlive,
        FieldId::ProxyConnection,
        FieldId::ProxyAuthenticate,
        FieldId::ProxyAuthorization,
        FieldId::Te,
        FieldId::TransferEncoding,
        FieldId::Upgrade,
        FieldId::Http2Settings,
    ]);

    /// The fields that say where a body ends.
    pub const FRAMING: FieldSet = FieldSet::of(&[FieldId::ContentLength, FieldId::TransferEncoding]);

    /// Fields that say which way a call came; set by the gateway from the peer, trusted from nobody else.
    pub const FORWARDING: FieldSet = FieldSet::of(&[
        FieldId::Forwarded,
        FieldId::XForwardedFor,
        FieldId::XForwardedProto,
        FieldId::XForwardedHost,
        FieldId::XForwardedPort,
        FieldId::XForwardedPrefix,
        FieldId::XRealIp,
    ]);

    /// Fields by which the gateway tells an upstream who calls; to be dropped from what a caller sends.
    pub const ASSERTED: FieldSet = FieldSet::of(&[
        FieldId::XPenstockApp,
        FieldId::XPenstockTenant,
        FieldId::XPenstockUser,
        FieldId::XPenstockRoute,
    ]);

    /// The set of these ids.
    pub const fn of(ids: &[FieldId]) -> FieldSet {
        let mut set = FieldSet::EMPTY;
        let mut index = 0;
        while index < ids.len() {
            set = set.with(ids[index]);
            index += 1;
        }
        set
    }

    /// This set and one more id.
    #[must_use]
    pub const fn with(self, id: FieldId) -> FieldSet {
        let mut words = self.0;
        words[half(id)] |= bit(id);
        FieldSet(words)
    }

    /// This set without an id.
    #[must_use]
    pub const fn without(self, id: FieldId) -> FieldSet {
        let mut words = self.0;
        words[half(id)] &= !bit(id);
        FieldSet(words)
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: FieldSet) -> FieldSet {
        FieldSet([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: FieldSet) -> FieldSet {
        FieldSet([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// Whether the id is in the set.
    #[inline]
    pub const fn contains(self, id: FieldId) -> bool {
        // a choice and no index, so that the set stays in registers
        let word = if half(id) == 0 { self.0[0] } else { self.0[1] };
        word & bit(id) != 0
    }

    /// Puts an id into the set where it lies; false if it was there.
    #[inline]
    pub(crate) const fn insert(&mut self, id: FieldId) -> bool {
        let word = &mut self.0[half(id)];
        let is_new = *word & bit(id) == 0;
        *word |= bit(id);
        is_new
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_agrees_with_the_byte_by_byte_comparison() {
        let name = *b"X-Forwarded-For@[`{\xc1\xe1Zz09_-";
        for at in 0..name.len() {
            for byte in 0..=255u8 {
                let mut other = name;
                other[at] = byte;
                for len in 1..=name.len() {
                    let (a, b) = (&name[..len], &other[..len]);
                    assert_eq!(eq_folded(a, b), a.eq_ignore_ascii_case(b), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn every_name_is_found_in_any_case() {
        for &id in &FieldId::all()[1..] {
            let name = id.name();
            for spelling in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(FieldId::lookup(spelling.as_bytes()), id, "{spelling}");
            }
            let longer = format!("{name}x");
            assert_eq!(FieldId::lookup(longer.as_bytes()), FieldId::Other, "{longer}");
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in ["", "x", "Hos", "Hust", "Content\rLength", "X_Api_Key", "Content-Lengti"] {
            assert_eq!(FieldId::lookup(name.as_bytes()), FieldId::Other, "{name:?}");
        }
    }

    #[test]
    fn names_that_imitate_a_guarded_one() {
        for name in [
            "Transfer_Encoding",
            "content_length",
            "X_Forwarded-For",
            "X_REAL_IP",
            "x_penstock_anything_at_all_and_more",
        ] {
            assert!(FieldId::is_imitated(name.as_bytes()), "{name}");
        }
        for name in ["Transfer-Encoding", "api_key", "x_api_key", "user_agent", "X_Forwarded_Fox", "_", ""] {
            assert!(!FieldId::is_imitated(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn sets_hold_what_they_are_given() {
        let set = FieldSet::of(&[FieldId::Host, FieldId::XPenstockOverhead]);
        assert!(set.contains(FieldId::Host) && set.contains(FieldId::XPenstockOverhead));
        assert!(!set.contains(FieldId::Te) && !set.contains(FieldId::Other));
        assert!(set.without(FieldId::Host).without(FieldId::XPenstockOverhead).is_empty());
        assert_eq!(set.intersection(FieldSet::FRAMING), FieldSet::EMPTY);
    }
}
