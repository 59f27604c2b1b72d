//! The stages a call passes and what each one said.
//!
//! Knows the order of the chain and the names that users see. Must not know what a stage decides
//! on. Codes are part of the ring format (`docs/ring-format.md`): never renumber, only append.

/// How many stages a record has room for; [`Stage::ALL`] may grow up to it without a new format.
pub const STAGES: usize = 16;

/// How many `(stage, rule)` pairs a record names; further ones are not kept and
/// [`crate::flag::RULES_CUT`] says so.
pub const RULES: usize = 6;

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)* }

        impl $name {
            /// All values in the order of their codes.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The code that stands in a record.
            #[inline]
            pub const fn code(self) -> u8 { self as u8 }

            /// The value behind a code of a record, `None` if a newer writer set it.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }

            /// The name shown to users and used in filters.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}
pub(crate) use coded;

coded! {
    /// One stage of the chain, in the order in which a request meets them.
    Stage {
        /// The strict reading of the head.
        Parse = 0 "parse",
        /// The TLS handshake (first call of a connection).
        Tls = 1 "tls",
        /// Choice of the route.
        Route = 2 "route",
        /// Choice of the API version and release.
        Version = 3 "version",
        /// Address lists of tenant, service and app.
        Ip = 4 "ip",
        /// Cross-origin rules and preflight.
        Cors = 5 "cors",
        /// Who calls.
        Identify = 6 "identify",
        /// Whether the caller may: subscription, scope, step-up.
        Authorise = 7 "authorise",
        /// Rates, quotas, concurrency, tokens, budgets.
        Limit = 8 "limit",
        /// Rewrites, validation, prompts, translation.
        Shape = 9 "shape",
        /// Guards on input and output.
        Guard = 10 "guard",
        /// The response cache.
        Cache = 11 "cache",
        /// Choice of upstream and target, waiting for a connection included.
        Choose = 12 "choose",
        /// Connecting to the target.
        Connect = 13 "connect",
        /// Bytes both ways.
        Stream = 14 "stream",
        /// Settling limits, cost and breaker.
        Settle = 15 "settle",
    }
}

coded! {
    /// What a stage said about a call.
    Verdict {
        /// The stage did not run.
        NotRun = 0 "not_run",
        /// It let the call pass.
        Allowed = 1 "allowed",
        /// It ended the call.
        Refused = 2 "refused",
        /// It let the call pass and changed it.
        Changed = 3 "changed",
        /// It was configured, and a rule excused this call.
        Skipped = 4 "skipped",
        /// It could not do its work (upstream down, peer gone, time over).
        Failed = 5 "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_fit_the_record() {
        assert!(Stage::ALL.len() <= STAGES);
        for (index, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(stage.code() as usize, index);
            assert_eq!(Stage::from_code(stage.code()), Some(*stage));
        }
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_code(verdict.code()), Some(*verdict));
        }
        assert_eq!(Verdict::from_code(250), None);
    }
}
