//! The small closed vocabularies of a record: protocol, method, TLS, cache, what an amend tells.
//!
//! Codes are part of the ring format: never renumber, only append.

use crate::stage::coded;

coded! {
    /// What the client spoke.
    Protocol {
        /// Not known (refused before it was clear).
        Unknown = 0 "unknown",
        /// HTTP/1.0.
        Http10 = 1 "http/1.0",
        /// HTTP/1.1.
        Http11 = 2 "http/1.1",
        /// HTTP/2.
        Http2 = 3 "h2",
        /// HTTP/3.
        Http3 = 4 "h3",
        /// gRPC over HTTP/2.
        Grpc = 5 "grpc",
        /// WebSocket.
        WebSocket = 6 "websocket",
    }
}

coded! {
    /// The request method; [`Method::Other`] puts its text into [`crate::CallStrings::method`].
    Method {
        /// No method was read.
        None = 0 "",
        /// GET.
        Get = 1 "GET",
        /// HEAD.
        Head = 2 "HEAD",
        /// POST.
        Post = 3 "POST",
        /// PUT.
        Put = 4 "PUT",
        /// DELETE.
        Delete = 5 "DELETE",
        /// PATCH.
        Patch = 6 "PATCH",
        /// OPTIONS.
        Options = 7 "OPTIONS",
        /// CONNECT.
        Connect = 8 "CONNECT",
        /// TRACE.
        Trace = 9 "TRACE",
        /// Any other; the text stands in the strings.
        Other = 255 "other",
    }
}

impl Method {
    /// The method of a request line's bytes (case counts, RFC 9110 section 9.1).
    pub fn from_bytes(method: &[u8]) -> Self {
        match method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"PATCH" => Method::Patch,
            b"OPTIONS" => Method::Options,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            b"" => Method::None,
            _ => Method::Other,
        }
    }
}

coded! {
    /// The TLS version of the client's connection.
    Tls {
        /// Plaintext.
        None = 0 "none",
        /// TLS 1.2.
        V12 = 1 "1.2",
        /// TLS 1.3.
        V13 = 2 "1.3",
    }
}

coded! {
    /// What the response cache did.
    Cache {
        /// No cache on this route.
        None = 0 "none",
        /// Looked up and not found.
        Miss = 1 "miss",
        /// Answered from the cache.
        Hit = 2 "hit",
        /// Answered from an entry past its age.
        Stale = 3 "stale",
        /// Not looked up for this call.
        Bypass = 4 "bypass",
        /// Answered from an entry equal in meaning.
        Semantic = 5 "semantic",
    }
}

coded! {
    /// Why a published record was amended.
    AmendReason {
        /// The last send failed.
        SendFailed = 1 "send_failed",
        /// The last send was short and the rest never left.
        SendShort = 2 "send_short",
        /// The last send took long.
        SendSlow = 3 "send_slow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_by_their_exact_bytes() {
        for (bytes, method) in [
            (&b"GET"[..], Method::Get),
            (b"get", Method::Other),
            (b"PURGE", Method::Other),
            (b"", Method::None),
            (b"TRACE", Method::Trace),
        ] {
            assert_eq!(Method::from_bytes(bytes), method);
        }
    }

    #[test]
    fn codes_round_trip() {
        for value in Protocol::ALL {
            assert_eq!(Protocol::from_code(value.code()), Some(*value));
        }
        for value in Cache::ALL {
            assert_eq!(Cache::from_code(value.code()), Some(*value));
        }
        assert_eq!(AmendReason::from_code(0), None);
    }
}
