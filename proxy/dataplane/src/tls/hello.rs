//! A bounded reader of the first bytes of a connection to a TLS port: the ClientHello (RFC 8446 section 4.1.2),
//! a plain HTTP request, or garbage. Sans-IO; it decides nothing about keys and changes no byte: rustls gets
//! the same bytes and reads them again.

use std::borrow::Cow;

use rustls_pki_types::ServerName;

/// Bytes of the largest ClientHello, with its record headers. Browsers send about 2 KiB, with tickets up to 4.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;
/// Extensions of a ClientHello that are read; more are refused.
pub const EXTENSIONS_MAX: usize = 128;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// Why the bytes are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The first record is not a handshake record.
    #[error("the first record is not a handshake")]
    NotHandshake,
    /// The first message is not a ClientHello.
    #[error("the first message is not a ClientHello")]
    NotHello,
    /// It is larger than [`HELLO_BYTES_MAX`].
    #[error("larger than {HELLO_BYTES_MAX} bytes")]
    TooLarge,
    /// A length or a field inside is broken.
    #[error("a broken {0}")]
    Broken(&'static str),
}

impl HelloError {
    /// The alert that answers (RFC 8446 section 6.2).
    pub fn alert(self) -> u8 {
        match self {
            HelloError::NotHandshake | HelloError::NotHello => 10, // unexpected_message
            HelloError::TooLarge => 47,                            // illegal_parameter
            HelloError::Broken(_) => 50,                           // decode_error
        }
    }
}

/// What the beginning of a connection is.
#[derive(Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// More bytes are needed to tell.
    Incomplete,
    /// A plain HTTP request.
    PlainHttp,
    /// A whole ClientHello.
    Hello(Hello<'a>),
}

/// What a ClientHello offers.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    message: Cow<'a, [u8]>,
    suites: (usize, usize),
    extensions: (usize, usize),
}

/// Looks at the first bytes of a connection. Copies only a hello that comes in several records.
///
/// # Errors
/// When the bytes cannot become a ClientHello of an allowed size.
pub fn read_first(bytes: &[u8]) -> Result<First<'_>, HelloError> {
    if is_plain_http(bytes) {
        return Ok(First::PlainHttp);
    }
    match bytes {
        [] => return Ok(First::Incomplete),
        [HANDSHAKE] | [HANDSHAKE, 3, ..] => {}
        _ if could_be_plain_http(bytes) => return Ok(First::Incomplete),
        _ => return Err(HelloError::NotHandshake),
    }
    match message(bytes)? {
        None if bytes.len() >= HELLO_BYTES_MAX => Err(HelloError::TooLarge),
        None => Ok(First::Incomplete),
        Some(message) => Hello::parse(message).map(First::Hello),
    }
}

const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"DELETE ", b"PATCH ", b"CONNECT ", b"PRI "];

/// Whether the bytes begin as an HTTP request in the clear does.
pub fn is_plain_http(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| bytes.starts_with(method))
}

fn could_be_plain_http(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| method.starts_with(bytes))
}

/// The first handshake message, when it is there whole; it may span records.
fn message(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, HelloError> {
    let mut joined: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    loop {
        let Some((&[kind, major, _, hi, lo], body)) = rest.split_first_chunk::<RECORD_HEADER>() else {
            return Ok(None);
        };
        if kind != HANDSHAKE || major != 3 {
            return Err(HelloError::NotHandshake);
        }
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        if len == 0 || len > HELLO_BYTES_MAX {
            return Err(HelloError::Broken("record length"));
        }
        let Some((body, after)) = body.split_at_checked(len) else {
            // Type and length are known before the record is whole: what cannot be read is refused early.
            if joined.is_empty() && body.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
                return Err(HelloError::NotHello);
            }
            if joined.is_empty() && whole_len(body).is_some_and(|whole| whole > HELLO_BYTES_MAX) {
                return Err(HelloError::TooLarge);
            }
            return Ok(None);
        };
        if joined.is_empty() {
            joined = Cow::Borrowed(body);
        } else {
            joined.to_mut().extend_from_slice(body);
        }
        if joined[0] != CLIENT_HELLO {
            return Err(HelloError::NotHello);
        }
        if let Some(whole) = whole_len(&joined) {
            if whole > HELLO_BYTES_MAX {
                return Err(HelloError::TooLarge);
            }
            if joined.len() >= whole {
                return Ok(Some(match joined {
                    Cow::Borrowed(all) => Cow::Borrowed(&all[..whole]),
                    Cow::Owned(mut all) => {
                        all.truncate(whole);
                        Cow::Owned(all)
                    }
                }));
            }
        }
        rest = after;
    }
}

/// The length of the message that `bytes` begins with, header included.
fn whole_len(bytes: &[u8]) -> Option<usize> {
    let &[_, a, b, c] = bytes.first_chunk::<MESSAGE_HEADER>()?;
    Some(MESSAGE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize)
}

/// A reader of length-prefixed fields.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(HelloError::Broken(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, HelloError> {
        self.take(2, what).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn vec8(&mut self, what: &'static str) -> Result<&'a [u8], HelloError> {
        let n = self.take(1, what)?[0];
        self.take(usize::from(n), what)
    }

    fn vec16(&mut self, what: &'static str) -> Result<&'a [u8], HelloError> {
        let n = self.u16(what)?;
        self.take(usize::from(n), what)
    }
}

impl<'a> Hello<'a> {
    fn parse(message: Cow<'a, [u8]>) -> Result<Self, HelloError> {
        let all = message.as_ref();
        let mut fields = Fields(&all[MESSAGE_HEADER..]);
        fields.take(2 + 32, "version or random")?;
        if fields.vec8("session id")?.len() > 32 {
            return Err(HelloError::Broken("session id"));
        }
        let suites = fields.vec16("cipher suites")?;
        if suites.is_empty() || suites.len() % 2 != 0 {
            return Err(HelloError::Broken("cipher suites"));
        }
        let suites = range_of(all, suites);
        fields.vec8("compression methods")?;
        let extensions = if fields.0.is_empty() { &[][..] } else { fields.vec16("extensions")? };
        if !fields.0.is_empty() {
            return Err(HelloError::Broken("end"));
        }
        let extensions = range_of(all, extensions);
        let hello = Self { message, suites, extensions };
        let mut walk = Fields(hello.extension_bytes());
        let mut count = 0;
        while !walk.0.is_empty() {
            walk.u16("extension")?;
            walk.vec16("extension")?;
            count += 1;
        }
        if count > EXTENSIONS_MAX {
            return Err(HelloError::Broken("number of extensions"));
        }
        Ok(hello)
    }

    /// The whole message, with its header: what a fingerprint is made of.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The cipher suites offered, in the client's order.
    pub fn cipher_suites(&self) -> impl Iterator<Item = u16> + '_ {
        let (start, len) = self.suites;
        self.message[start..start + len].chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn extension_bytes(&self) -> &[u8] {
        let (start, len) = self.extensions;
        &self.message[start..start + len]
    }

    /// The extensions (type, content) in the client's order.
    pub fn extensions(&self) -> impl Iterator<Item = (u16, &[u8])> + '_ {
        let mut fields = Fields(self.extension_bytes());
        std::iter::from_fn(move || {
            let kind = fields.u16("extension").ok()?;
            fields.vec16("extension").ok().map(|content| (kind, content))
        })
    }

    fn extension(&self, kind: u16) -> Option<&[u8]> {
        self.extensions().find(|e| e.0 == kind).map(|e| e.1)
    }

    /// The host name asked for (RFC 6066 section 3), if it is one: no address, and of the form that rustls takes for
    /// a name, so that what is recorded and routed by is what the certificate was chosen by.
    pub fn server_name(&self) -> Option<&str> {
        let mut list = Fields(Fields(self.extension(SERVER_NAME)?).vec16("server name").ok()?);
        if list.take(1, "server name").ok()? != [0] {
            return None;
        }
        let name = std::str::from_utf8(list.vec16("server name").ok()?).ok()?;
        let named = matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_)));
        // The standard allows no dot at the end; who sends one means the name without it, to rustls too.
        named.then(|| name.strip_suffix('.').unwrap_or(name))
    }

    /// The application protocols offered (RFC 7301), in the client's order.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let list = self.extension(ALPN).and_then(|content| Fields(content).vec16("protocols").ok());
        let mut fields = Fields(list.unwrap_or(&[]));
        std::iter::from_fn(move || fields.vec8("protocol").ok())
    }

    /// The versions of supported_versions (0x0304 is TLS 1.3); a client of TLS 1.2 sends none.
    pub fn supported_versions(&self) -> impl Iterator<Item = u16> + '_ {
        let list = self.extension(SUPPORTED_VERSIONS).and_then(|c| Fields(c).vec8("versions").ok());
        list.unwrap_or(&[]).chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_of(whole: &[u8], part: &[u8]) -> (usize, usize) {
    if part.is_empty() {
        return (0, 0);
    }
    (part.as_ptr() as usize - whole.as_ptr() as usize, part.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello_bytes() -> Vec<u8> {
        let config = rustls::ClientConfig::builder_with_provider(super::super::provider::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let mut config = config;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = "api.example.com".try_into().unwrap();
        let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn in_records(bytes: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes[RECORD_HEADER..].chunks(size) {
            out.extend_from_slice(&[HANDSHAKE, 3, 1, (piece.len() >> 8) as u8, piece.len() as u8]);
            out.extend_from_slice(piece);
        }
        out
    }

    fn check(bytes: &[u8]) {
        let Ok(First::Hello(hello)) = read_first(bytes) else {
            panic!("not a hello: {:?}", read_first(bytes))
        };
        assert_eq!(hello.server_name(), Some("api.example.com"));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert_eq!(hello.supported_versions().collect::<Vec<_>>(), [0x304, 0x303]);
        assert!(hello.cipher_suites().any(|s| s == 0x1301));
        assert_eq!(hello.message().len(), hello_bytes().len() - RECORD_HEADER);
    }

    #[test]
    fn reads_a_hello_whole_split_and_in_several_records() {
        let bytes = hello_bytes();
        check(&bytes);
        for size in [1, 7, 300] {
            check(&in_records(&bytes, size));
        }
        for len in 0..bytes.len() {
            assert_eq!(read_first(&bytes[..len]), Ok(First::Incomplete), "{len}");
        }
        let mut more = bytes.clone();
        more.extend_from_slice(b"next record");
        check(&more);
    }

    #[test]
    fn only_host_names_are_names() {
        let bytes = hello_bytes();
        let at = bytes.windows(15).position(|w| w == b"api.example.com").unwrap();
        for (name, want) in [
            (&b"API.example.com"[..], Some("API.example.com")),
            (b"api.example.co.", Some("api.example.co")),
            (b"127.000.000.001", None),
            (b"100.100.100.100", None),
            (b"2001:db8::1:2:3", None),
            (b"api.example..om", None),
            (b"api.exam\0le.com", None),
            (b"api.exam le.com", None),
            (b"api.ex\xc3\xa4mpl.com", None),
        ] {
            let mut bytes = bytes.clone();
            bytes[at..at + 15].copy_from_slice(name);
            let Ok(First::Hello(hello)) = read_first(&bytes) else { panic!("not a hello") };
            assert_eq!(hello.server_name(), want, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn tells_plain_http_and_garbage_apart() {
        for (bytes, want) in [
            (&b"GET / HTTP/1.1\r\n"[..], Ok(First::PlainHttp)),
            (b"PRI * HTTP/2.0\r\n", Ok(First::PlainHttp)),
            (b"DELE", Ok(First::Incomplete)),
            (b"SSH-2.0", Err(HelloError::NotHandshake)),
            (b"\x00\x01\x02", Err(HelloError::NotHandshake)),
            (b"\x80\x2e\x01\x00\x02", Err(HelloError::NotHandshake)),
            (b"\x16\x03\x01\x00\x00", Err(HelloError::Broken("record length"))),
            (b"\x16\x03\x01\xff\xff", Err(HelloError::Broken("record length"))),
            (b"\x16\x03\x01\x00\x10\x02", Err(HelloError::NotHello)),
            (b"\x16\x03\x01\x00\x04\x01\x00\xff\xff", Err(HelloError::TooLarge)),
            (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", Err(HelloError::Broken("version or random"))),
        ] {
            assert_eq!(read_first(bytes), want, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_hello_at_the_bound_is_read_and_one_byte_more_is_not() {
        for (body, too_large) in [(HELLO_BYTES_MAX - MESSAGE_HEADER, false), (HELLO_BYTES_MAX - 3, true)] {
            let mut bytes = vec![HANDSHAKE, 3, 1, 0x20, 0, CLIENT_HELLO, 0, (body >> 8) as u8, body as u8];
            bytes.resize(RECORD_HEADER + 0x2000, 0);
            let want = if too_large { Err(HelloError::TooLarge) } else { Ok(First::Incomplete) };
            assert_eq!(read_first(&bytes), want, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_first(&bytes);
        }

        #[test]
        fn no_changed_hello_panics(at in 0usize..1500, to in any::<u8>()) {
            let mut bytes = hello_bytes();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(First::Hello(hello)) = read_first(&bytes) {
                let _ = (hello.server_name(), hello.alpn().count(), hello.supported_versions().count());
                prop_assert!(hello.extensions().count() <= EXTENSIONS_MAX);
            }
        }
    }
}
