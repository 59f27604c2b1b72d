//! Request methods (RFC 9110 section 9, PATCH from RFC 5789).
//!
//! Knows the methods that the gateway treats in a way of their own; any other token is [`Method::Other`].

/// A request method. Methods are case-sensitive: `get` is [`Method::Other`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`: answers carry no body.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `PATCH`
    Patch,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `CONNECT`, always refused in HTTP/1; carries WebSocket in HTTP/2 (RFC 8441).
    Connect,
    /// Any other token; its bytes are `method_text` of the head.
    Other,
}

impl Method {
    /// The method of these bytes.
    #[inline]
    pub fn lookup(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"PATCH" => Method::Patch,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// The method as it is written; empty for [`Method::Other`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Connect => "CONNECT",
            Method::Other => "",
        }
    }

    /// Whether a second try does no more than the first (RFC 9110 section 9.2.2).
    pub const fn is_idempotent(self) -> bool {
        matches!(
            self,
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace
        )
    }

    /// Whether the method only reads (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_case_counts() {
        use Method::*;
        for method in [Get, Head, Post, Put, Delete, Patch, Options, Trace, Connect] {
            assert_eq!(Method::lookup(method.as_str().as_bytes()), method);
            assert_eq!(Method::lookup(method.as_str().to_lowercase().as_bytes()), Other);
            assert!(!method.is_safe() || method.is_idempotent());
        }
    }
}
