//! A borrowed view of one request: what the data plane knows when a head is complete.

use crate::router::{FieldName, FieldSource, Once};
use penstock_http::{FieldId, RequestHead};
use penstock_limits::Now;
use std::net::IpAddr;

/// Subject alternative names of one kind that are looked at.
pub const SAN_MAX: usize = 64;

/// One request, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The parsed head.
    pub head: &'a RequestHead,
    /// The bytes its spans are of.
    pub buf: &'a [u8],
    /// Address of the peer: of the socket, or from a trusted PROXY header. `None` on Unix sockets.
    pub peer: Option<IpAddr>,
    /// Index of the listener in the snapshot.
    pub listener: u32,
    /// What is known of TLS, if it is spoken.
    pub tls: Option<Tls<'a>>,
    /// Both clocks.
    pub now: Now,
}

/// What is known of a TLS connection.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// The client's certificate, if it showed one and it chained to the listener's authorities.
    pub client: Option<&'a ClientCertificate>,
}

/// What of a verified client certificate counts. Made once a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Distinguished name of the subject in the form of RFC 4514.
    pub subject: String,
    /// DNS names among the subject alternative names, lower case.
    pub san_dns: Vec<String>,
    /// URIs among them.
    pub san_uri: Vec<String>,
    /// Mail addresses among them.
    pub san_email: Vec<String>,
    /// SHA-256 of the DER form.
    pub fingerprint_sha256: [u8; 32],
    /// First second (Unix time) at which it is no longer valid: a connection can outlive its certificate.
    pub expires_unix_s: u64,
}

impl<'a> Request<'a> {
    /// Seconds since 1970.
    #[must_use]
    pub fn now_unix_s(&self) -> u64 {
        self.now.wall_ns / 1_000_000_000
    }

    /// What stands under a known field name.
    #[must_use]
    pub fn known(&self, id: FieldId) -> Once<'a> {
        match self.head.fields.value(self.buf, id) {
            None => Once::Absent,
            Some(_) if self.head.fields.is_repeated(id) => Once::Repeated,
            Some(value) => Once::One(value),
        }
    }

    /// What stands under a field name.
    #[must_use]
    pub fn field(&self, name: &FieldName) -> Once<'a> {
        if name.id() != FieldId::Other {
            return self.known(name.id());
        }
        let mut found = Once::Absent;
        for field in self.head.fields.all(FieldId::Other) {
            if field.name.of(self.buf).eq_ignore_ascii_case(name.as_str().as_bytes()) {
                found = match found {
                    Once::Absent => Once::One(field.value.of(self.buf)),
                    _ => return Once::Repeated,
                };
            }
        }
        found
    }

    /// The value of a cookie (RFC 6265 section 4.2), over all lines of the field.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Once<'a> {
        let mut found = Once::Absent;
        for field in self.head.fields.all(FieldId::Cookie) {
            for pair in field.value.of(self.buf).split(|&byte| byte == b';') {
                let pair = pair.trim_ascii();
                let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
                if let Some(value) = value {
                    found = match found {
                        Once::Absent => Once::One(value),
                        _ => return Once::Repeated,
                    };
                }
            }
        }
        found
    }

    /// The method's bytes.
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.head.method_text.of(self.buf)
    }

    /// The query without `?`; empty if there is none.
    #[must_use]
    pub fn query(&self) -> &'a [u8] {
        self.head.query.map_or(b"", |query| query.of(self.buf))
    }
}

impl FieldSource for Request<'_> {
    fn once(&self, name: &FieldName) -> Once<'_> {
        self.field(name)
    }
}
