//! The call record: one fixed structure a call, and the amendment that may follow it.
//!
//! This is both what a worker fills in and what stands in the ring (through rkyv, little-endian,
//! fields in the order written here, no padding, no out-of-line data). Must not know who the ids
//! belong to; the dictionary does. A change of a field is a new [`crate::FORMAT_VERSION`].

use rkyv::{Archive, Deserialize, Serialize};

use crate::stage::{RULES, STAGES, Stage, Verdict};

/// Bytes of the fixed part of a record in the ring.
pub const RECORD_BYTES: usize = 320;

/// Bits of [`CallRecord::flags`].
pub mod flag {
    /// Every stage's nanoseconds were measured (1 in 64 calls), not only those that may wait.
    pub const STAGES_TIMED: u8 = 1;
    /// More rules spoke than the record has room for.
    pub const RULES_CUT: u8 = 2;
    /// The client went away before it had the answer.
    pub const CLIENT_GONE: u8 = 4;
    /// The call used the first request of its connection.
    pub const CONNECTION_NEW: u8 = 8;
    /// The upstream connection came from the pool.
    pub const UPSTREAM_REUSED: u8 = 16;
}

/// One call, as a worker keeps it while the call runs and as it stands in the ring.
///
/// Zero means "none" in every id, code, status and duration. The worker keeps one value a request
/// and calls [`CallRecord::reset`] before the next. Durations saturate, they never wrap.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(C)]
pub struct CallRecord {
    /// Number of the call within its ring, from 1, without a gap except for dropped calls.
    /// Set by [`crate::RingWriter::append`].
    pub sequence: u64,
    /// Wall clock at the request's first byte, ns since 1970.
    pub time_ns: u64,
    /// Configuration revision that served it.
    pub revision: u64,
    /// Bytes read from the client (head and body, before TLS).
    pub bytes_in: u64,
    /// Bytes sent to the client (head and body, before TLS).
    pub bytes_out: u64,
    /// Bytes read from upstream.
    pub upstream_bytes_in: u64,
    /// Bytes sent to upstream.
    pub upstream_bytes_out: u64,
    /// First byte in to last byte handed to the send, us.
    pub duration_us: u64,
    /// From the request to upstream until its last byte, us.
    pub upstream_us: u64,
    /// Waiting for the client to take bytes, us.
    pub write_us: u64,
    /// What the limit in `limit` had left after this call.
    pub limit_remaining: i64,
    /// The client's address; IPv4 as an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
    pub client_ip: [u8; 16],
    /// W3C trace id in binary, zero if none.
    pub trace_id: [u8; 16],
    /// Release number of the API version.
    pub release: u32,
    /// Dictionary id of the tenant.
    pub tenant: u32,
    /// Dictionary id of the team that owns the app.
    pub team: u32,
    /// Dictionary id of the app.
    pub app: u32,
    /// Dictionary id of the credential.
    pub credential: u32,
    /// Dictionary id of the listener.
    pub listener: u32,
    /// Dictionary id of the service.
    pub service: u32,
    /// Dictionary id of the API version.
    pub version: u32,
    /// Dictionary id of the route.
    pub route: u32,
    /// Dictionary id of the operation (its OpenAPI `operationId`).
    pub operation: u32,
    /// Dictionary id of the upstream of the last attempt.
    pub upstream: u32,
    /// Dictionary id of the target of the last attempt.
    pub target: u32,
    /// Dictionary id of the limit that refused, or came closest to it.
    pub limit: u32,
    /// From the first byte to the complete head, us.
    pub head_us: u32,
    /// Sum of the stages that only compute, ns.
    pub policy_ns: u32,
    /// Waiting for a permit or a pooled connection, us.
    pub queue_us: u32,
    /// Connecting and TLS to the target, us.
    pub connect_us: u32,
    /// From the request's start to the first byte of the answer from upstream, us.
    pub first_byte_us: u32,
    /// Nanoseconds by [`Stage`] code; zero where not measured.
    pub stage_ns: [u32; STAGES],
    /// Dictionary ids of the rules that spoke, with their stages in `rule_stages`.
    pub rules: [u32; RULES],
    /// Status sent to the client.
    pub status: u16,
    /// Status that upstream sent last.
    pub upstream_status: u16,
    /// Why the gateway answered by itself (dictionary kind `code`); zero if upstream answered.
    pub code: u16,
    /// The client's port.
    pub client_port: u16,
    /// [`Verdict`] codes by [`Stage`] code.
    pub verdicts: [u8; STAGES],
    /// Stage codes of `rules`.
    pub rule_stages: [u8; RULES],
    /// A [`crate::Protocol`] code.
    pub protocol: u8,
    /// A [`crate::Method`] code.
    pub method: u8,
    /// A [`crate::Tls`] code.
    pub tls: u8,
    /// A [`crate::Cache`] code.
    pub cache: u8,
    /// Attempts after the first one.
    pub retries: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Zero; kept for later fields.
    pub spare: [u8; 4],
}

const _: () = assert!(size_of::<ArchivedCallRecord>() == RECORD_BYTES);
const _: () = assert!(size_of::<CallRecord>() == RECORD_BYTES);

impl CallRecord {
    /// A record of nothing.
    pub const EMPTY: CallRecord = CallRecord {
        sequence: 0,
        time_ns: 0,
        revision: 0,
        bytes_in: 0,
        bytes_out: 0,
        upstream_bytes_in: 0,
        upstream_bytes_out: 0,
        duration_us: 0,
        upstream_us: 0,
        write_us: 0,
        limit_remaining: 0,
        client_ip: [0; 16],
        trace_id: [0; 16],
        release: 0,
        tenant: 0,
        team: 0,
        app: 0,
        credential: 0,
        listener: 0,
        service: 0,
        version: 0,
        route: 0,
        operation: 0,
        upstream: 0,
        target: 0,
        limit: 0,
        head_us: 0,
        policy_ns: 0,
        queue_us: 0,
        connect_us: 0,
        first_byte_us: 0,
        stage_ns: [0; STAGES],
        rules: [0; RULES],
        status: 0,
        upstream_status: 0,
        code: 0,
        client_port: 0,
        verdicts: [0; STAGES],
        rule_stages: [0; RULES],
        protocol: 0,
        method: 0,
        tls: 0,
        cache: 0,
        retries: 0,
        flags: 0,
        spare: [0; 4],
    };

    /// Makes the record ready for the next request. Costs one copy of 320 bytes.
    #[inline]
    pub fn reset(&mut self) {
        *self = CallRecord::EMPTY;
    }

    /// Notes what a stage said. `rule` is the dictionary id of the rule that made it say so, or
    /// zero; `ns` is the time it took, or zero if it was not measured. A stage that speaks twice
    /// keeps its last verdict and the sum of its times. Costs a few stores.
    #[inline]
    pub fn stage(&mut self, stage: Stage, verdict: Verdict, rule: u32, ns: u32) {
        let index = stage.code() as usize;
        self.verdicts[index] = verdict.code();
        self.stage_ns[index] = self.stage_ns[index].saturating_add(ns);
        if rule != 0 {
            match self.rules.iter().position(|&held| held == 0) {
                Some(free) => {
                    self.rules[free] = rule;
                    self.rule_stages[free] = stage.code();
                }
                None => self.flags |= flag::RULES_CUT,
            }
        }
    }

    /// What a stage said, `None` if the record's writer knew a verdict that this reader does not.
    pub fn verdict(&self, stage: Stage) -> Option<Verdict> {
        Verdict::from_code(self.verdicts[stage.code() as usize])
    }

    /// Dictionary ids of the rules that spoke in a stage.
    pub fn rules_of(&self, stage: Stage) -> impl Iterator<Item = u32> + '_ {
        self.rules
            .iter()
            .zip(self.rule_stages)
            .filter(move |&(&rule, held)| rule != 0 && held == stage.code())
            .map(|(&rule, _)| rule)
    }

    /// The client's address, `None` if none was noted.
    pub fn client_address(&self) -> Option<std::net::IpAddr> {
        let address = std::net::Ipv6Addr::from(self.client_ip);
        match address.to_ipv4_mapped() {
            Some(address) => Some(address.into()),
            None if address.is_unspecified() => None,
            None => Some(address.into()),
        }
    }

    /// Notes the client's address and port.
    #[inline]
    pub fn set_client(&mut self, address: std::net::SocketAddr) {
        self.client_ip = match address.ip() {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(address) => address.octets(),
        };
        self.client_port = address.port();
    }
}

impl Default for CallRecord {
    fn default() -> Self {
        CallRecord::EMPTY
    }
}

/// Bytes of an amendment in the ring.
pub const AMEND_BYTES: usize = 48;

/// What became of a call after its record was published: the last send failed, was short or slow.
///
/// A reader replaces the record's own values with these.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(C)]
pub struct Amend {
    /// Sequence of the record that it amends.
    pub sequence: u64,
    /// Wall clock of the amendment, ns since 1970.
    pub time_ns: u64,
    /// The final `bytes_out`.
    pub bytes_out: u64,
    /// The final `duration_us`.
    pub duration_us: u64,
    /// The final `write_us`.
    pub write_us: u64,
    /// The final `code`.
    pub code: u16,
    /// A [`crate::AmendReason`] code.
    pub reason: u8,
    /// Bits to add to the record's `flags`.
    pub flags: u8,
    /// Zero; kept for later fields.
    pub spare: [u8; 4],
}

const _: () = assert!(size_of::<ArchivedAmend>() == AMEND_BYTES);

impl Amend {
    /// Applies the amendment to its record.
    pub fn apply(&self, record: &mut CallRecord) {
        record.bytes_out = self.bytes_out;
        record.duration_us = self.duration_us;
        record.write_us = self.write_us;
        record.code = self.code;
        record.flags |= self.flags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_keep_the_last_verdict_the_sum_of_times_and_a_bounded_number_of_rules() {
        let mut record = CallRecord::default();
        record.stage(Stage::Limit, Verdict::Allowed, 7, 100);
        record.stage(Stage::Limit, Verdict::Refused, 8, 50);
        assert_eq!(record.verdict(Stage::Limit), Some(Verdict::Refused));
        assert_eq!(record.stage_ns[Stage::Limit.code() as usize], 150);
        assert_eq!(record.rules_of(Stage::Limit).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(record.verdict(Stage::Route), Some(Verdict::NotRun));
        for rule in 0..RULES as u32 {
            record.stage(Stage::Shape, Verdict::Changed, 100 + rule, u32::MAX);
        }
        assert_eq!(record.rules_of(Stage::Shape).count(), RULES - 2);
        assert_eq!(record.flags & flag::RULES_CUT, flag::RULES_CUT);
        assert_eq!(record.stage_ns[Stage::Shape.code() as usize], u32::MAX);
        record.reset();
        assert_eq!(record, CallRecord::EMPTY);
    }

    #[test]
    fn addresses_of_both_families_come_back() {
        let mut record = CallRecord::default();
        assert_eq!(record.client_address(), None);
        for text in ["192.0.2.7:443", "[2001:db8::9]:8080"] {
            let address: std::net::SocketAddr = text.parse().expect("a socket address");
            record.set_client(address);
            assert_eq!(record.client_address(), Some(address.ip()));
            assert_eq!(record.client_port, address.port());
        }
    }
}
