//! The head of a request: the strict HTTP/1.1 parser and the structure that HTTP/2 fills too.
//!
//! Follows RFC 9112 sections 2, 3 and 6 and refuses whatever two readers could understand in two ways. Knows bytes
//! and limits; no sockets, no clock, no routes.

use crate::code::Code;
use crate::connection;
use crate::field::FieldId;
use crate::head::{FieldTable, HeadLimits, Parsed, Span, Upgrade, Version};
use crate::host::Authority;
use crate::method::Method;
use crate::scan::{LineScan, Refusal, fill, is_token_byte, needs_more, parse_fields, parse_length, refuse};
use crate::word;
use core::ops::ControlFlow::{self, Break, Continue};

/// Empty lines that may stand before a request line (RFC 9112 section 2.2).
pub const EMPTY_LINES_MAX: usize = 2;
/// The longest method.
pub const METHOD_BYTES_MAX: usize = 32;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes follow; may be 0.
    Length(u64),
    /// Chunks follow (in HTTP/2: DATA frames of unknown number).
    Chunked,
}

impl Framing {
    /// Whether at least one byte of body framing follows the head.
    pub const fn has_body(self) -> bool {
        !matches!(self, Framing::None | Framing::Length(0))
    }
}

/// The form of a request target (RFC 9112 section 3.2). Authority-form is CONNECT's and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// The head of a request. About 1.6 KiB, made once per connection and reused; parsing allocates nothing.
///
/// All spans are into the buffer that was given to [`RequestHead::parse`].
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The bytes of the method.
    pub method_text: Span,
    /// The whole request target.
    pub target: Span,
    /// Which form the target has.
    pub form: TargetForm,
    /// The path of the target as it came, not normalised. Empty for `http://host` (means `/`), `*` for asterisk-form.
    pub path: Span,
    /// The query without its question mark, if there is a question mark.
    pub query: Option<Span>,
    /// The authority that counts, checked: from the target if that names one, else from Host. Empty only for an
    /// HTTP/1.0 request without Host.
    pub host: Span,
    /// The version the request came in.
    pub version: Version,
    /// The field lines.
    pub fields: FieldTable,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client lets the connection live on after this exchange.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// What the client offers to upgrade to, if `Connection` lists `upgrade`.
    pub upgrade: Option<Upgrade>,
    /// Bytes of the head with the empty lines before it; the body begins here.
    pub head_len: usize,
    scan: Scan,
}

/// How far a head was read that was not taken whole. However it is cut, no byte is looked at twice for where the head
/// ends; its field lines are read once more when they are all there.
#[derive(Clone, Copy, Debug, Default)]
enum Scan {
    #[default]
    Fresh,
    EmptyLines {
        pos: usize,
        seen: usize,
    },
    Method {
        start: usize,
        pos: usize,
    },
    Target {
        start: usize,
        pos: usize,
    },
    Version {
        start: usize,
    },
    Fields {
        from: usize,
        lines: LineScan,
    },
}

/// The next part of the head to read, or where the scan stands until more bytes come.
type Step = ControlFlow<Scan, Scan>;

impl RequestHead {
    /// A head with nothing in it.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Forgets everything, a half-read head too. Needed only when a head is given up before it is complete;
    /// [`RequestHead::parse`] begins anew by itself after a complete head or a refusal.
    pub fn reset(&mut self) {
        self.scan = Scan::Fresh;
        self.clear();
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.method = Method::Get;
        self.method_text = Span::default();
        self.target = Span::default();
        self.form = TargetForm::Origin;
        self.path = Span::default();
        self.query = None;
        self.host = Span::default();
        self.version = Version::Http11;
        self.framing = Framing::None;
        self.keep_alive = false;
        self.expect_continue = false;
        self.upgrade = None;
        self.head_len = 0;
    }

    /// Parses a head at the start of `buf`.
    ///
    /// After [`Parsed::Partial`] call again with the same bytes and more behind them: only the new ones are read until
    /// the head is there. A head of 350 bytes costs about 0.12 us. The verdict does not depend on how the head
    /// was cut.
    ///
    /// # Errors
    /// A [`Refusal`] as soon as the prefix cannot become a head that is served. Answer it and close the connection.
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, Refusal> {
        let limits = limits.clamped();
        if let Scan::Fresh = self.scan {
            self.clear();
            if let Some(end) = self.take_whole(&buf[..buf.len().min(limits.head_bytes_max)], &limits) {
                return self.finish(buf, end).map(|()| Parsed::Complete);
            }
        }
        let result = self.advance(buf, &limits);
        if !matches!(result, Ok(Parsed::Partial)) {
            self.scan = Scan::Fresh;
        }
        result
    }

    #[inline(never)]
    fn advance(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, Refusal> {
        let window = &buf[..buf.len().min(limits.head_bytes_max)];
        let mut scan = self.scan;
        loop {
            let step = match scan {
                Scan::Fresh => Continue(Scan::EmptyLines { pos: 0, seen: 0 }),
                Scan::EmptyLines { pos, seen } => skip_empty_lines(window, pos, seen)?,
                Scan::Method { start, pos } => self.scan_method(window, start, pos)?,
                Scan::Target { start, pos } => self.scan_target(window, start, pos, limits)?,
                Scan::Version { start } => match check_version_line(window, start)? {
                    None => Break(scan),
                    Some(version) => {
                        self.version = version;
                        let from = start + VERSION_LINE.len();
                        Continue(Scan::Fields { from, lines: LineScan::from(from) })
                    }
                },
                Scan::Fields { from, mut lines } => {
                    let Some(end) = lines.advance(buf, limits)? else {
                        self.scan = Scan::Fields { from, lines };
                        return Ok(Parsed::Partial);
                    };
                    parse_fields(buf, from, end, &mut self.fields)?;
                    self.finish(buf, end)?;
                    return Ok(Parsed::Complete);
                }
            };
            match step {
                Continue(next) => scan = next,
                Break(stands) => {
                    self.scan = stands;
                    return needs_more(buf, limits);
                }
            }
        }
    }

    /// Reads a head that is there as a whole and clean, with a known method, a target in origin-form, in HTTP/1.1 and
    /// with no empty line before it, as nearly all are, without keeping account of where it stands; tells where the
    /// head ends. Any other is left to the states, which give the verdicts.
    #[inline]
    fn take_whole(&mut self, buf: &[u8], limits: &HeadLimits) -> Option<usize> {
        let (method, method_len) = match buf {
            [b'G', b'E', b'T', b' ', ..] => (Method::Get, 3),
            _ => {
                let len = buf.iter().take(METHOD_BYTES_MAX).position(|&b| b == b' ')?;
                (Method::lookup(&buf[..len]), len)
            }
        };
        let start = method_len + 1;
        let behind_method = &buf[start..];
        let path_len = word::find(behind_method, word::path_end);
        let (mut target_len, mut query) = (path_len, None);
        if let Some([b'?', behind_mark @ ..]) = behind_method.get(path_len..) {
            let len = word::find(behind_mark, word::not_target);
            target_len += 1 + len;
            query = Span::between(start + path_len + 1, start + target_len);
        }
        if method == Method::Other
            || behind_method.first() != Some(&b'/')
            || target_len > limits.target_bytes_max
        {
            return None;
        }
        let lines = behind_method.get(target_len..)?.strip_prefix(b" HTTP/1.1\r\n")?;
        let end = fill(buf, buf.len() - lines.len(), limits.fields_max, &mut self.fields)?;
        self.method = method;
        self.method_text = Span::within(0, method_len);
        self.target = Span::within(start, target_len);
        self.path = Span::within(start, path_len);
        self.query = query;
        Some(end)
    }

    #[inline]
    fn scan_method(&mut self, buf: &[u8], start: usize, pos: usize) -> Result<Step, Refusal> {
        let reach = buf.len().min(start + METHOD_BYTES_MAX + 1);
        let Some(found) = buf[pos..reach].iter().position(|&b| !is_token_byte(b)) else {
            if reach > start + METHOD_BYTES_MAX {
                return refuse(Code::BadMethod, "the method is too long", start);
            }
            return Ok(Break(Scan::Method { start, pos: reach }));
        };
        let end = pos + found;
        match buf[end] {
            b' ' if end > start => {}
            b' ' => return refuse(Code::BadRequestLine, "the request line begins with a space", end),
            b'\r' | b'\n' => return refuse(Code::BadRequestLine, "the request line has no target", end),
            _ => return refuse(Code::BadMethod, "the method is not a token", end),
        }
        self.method_text = narrow(start, end)?;
        self.method = Method::lookup(&buf[start..end]);
        Ok(Continue(Scan::Target { start: end + 1, pos: end + 1 }))
    }

    #[inline]
    fn scan_target(
        &mut self,
        buf: &[u8],
        start: usize,
        pos: usize,
        limits: &HeadLimits,
    ) -> Result<Step, Refusal> {
        let reach = buf.len().min(start + limits.target_bytes_max + 1);
        let end = pos + word::find(&buf[pos..reach], word::not_target);
        if end == reach {
            if reach > start + limits.target_bytes_max {
                return refuse(Code::TargetTooLong, "the request target is longer than the limit", start);
            }
            return Ok(Break(Scan::Target { start, pos: reach }));
        }
        match buf[end] {
            b' ' if end > start => {}
            b' ' => return refuse(Code::BadRequestLine, "the request line has two spaces in a row", end),
            b'\r' | b'\n' => return refuse(Code::BadRequestLine, "the request line has no version", end),
            b'#' => return refuse(Code::BadTarget, "the request target has a fragment", end),
            _ => return refuse(Code::BadTarget, "the request target holds a byte that no URI holds", end),
        }
        self.target = narrow(start, end)?;
        Ok(Continue(Scan::Version { start: end + 1 }))
    }

    /// Judges the head as a whole; its field lines stand in the table.
    fn finish(&mut self, buf: &[u8], end: usize) -> Result<(), Refusal> {
        self.head_len = end;
        if self.method == Method::Connect {
            return refuse(
                Code::ConnectNotSupported,
                "CONNECT is not served",
                usize::from(self.method_text.start),
            );
        }
        let options = connection::resolve(buf, &mut self.fields)?;
        self.keep_alive = match self.version {
            Version::Http10 => options.keep_alive && !options.close,
            _ => !options.close,
        };
        self.framing = self.request_framing(buf)?;
        if self.path.is_empty() {
            self.split_target(buf)?; // unless it was read so
        }
        self.check_host(buf)?;
        self.check_expect(buf)?;
        if options.upgrade && self.version == Version::Http11 {
            self.upgrade = connection::upgrade_offer(buf, &self.fields);
        }
        Ok(())
    }

    pub(crate) fn request_framing(&self, buf: &[u8]) -> Result<Framing, Refusal> {
        let coding = self.fields.get(FieldId::TransferEncoding);
        let length = self.fields.get(FieldId::ContentLength);
        match (coding, length) {
            (None, None) => Ok(Framing::None),
            (Some(coding), Some(_)) => refuse(
                Code::TransferEncodingWithContentLength,
                "Transfer-Encoding beside Content-Length",
                usize::from(coding.name.start),
            ),
            (Some(coding), None) => {
                let at = usize::from(coding.name.start);
                if self.version == Version::Http10 {
                    return refuse(Code::BadTransferEncoding, "Transfer-Encoding in HTTP/1.0", at);
                }
                if self.fields.is_repeated(FieldId::TransferEncoding) {
                    return refuse(Code::BadTransferEncoding, "Transfer-Encoding is repeated", at);
                }
                if !coding.value.of(buf).eq_ignore_ascii_case(b"chunked") {
                    return refuse(Code::BadTransferEncoding, "Transfer-Encoding is not `chunked`", at);
                }
                Ok(Framing::Chunked)
            }
            (None, Some(length)) => {
                let at = usize::from(length.value.start);
                if self.fields.is_repeated(FieldId::ContentLength) {
                    return refuse(Code::ContentLengthConflict, "Content-Length is repeated", at);
                }
                match parse_length(length.value.of(buf)) {
                    Some(bytes) => Ok(Framing::Length(bytes)),
                    None => refuse(Code::BadContentLength, "Content-Length is not a plain number", at),
                }
            }
        }
    }

    /// Splits the target; for absolute-form `self.host` becomes its authority, still unchecked.
    pub(crate) fn split_target(&mut self, buf: &[u8]) -> Result<(), Refusal> {
        let start = usize::from(self.target.start);
        let end = self.target.end();
        let target = &buf[start..end];
        let path_start = match target {
            [b'/', ..] => {
                self.form = TargetForm::Origin;
                start
            }
            b"*" if self.method == Method::Options => {
                self.form = TargetForm::Asterisk;
                start
            }
            b"*" => return refuse(Code::BadTarget, "`*` is a target for OPTIONS only", start),
            _ => {
                let Some(scheme_len) = http_scheme_len(target) else {
                    return refuse(Code::BadTarget, "the target is no path and no http URI", start);
                };
                self.form = TargetForm::Absolute;
                let authority = start + scheme_len;
                let len = buf[authority..end].iter().position(|&b| b == b'/' || b == b'?');
                let authority_end = len.map_or(end, |len| authority + len);
                self.host = narrow(authority, authority_end)?;
                authority_end
            }
        };
        let path_end = path_start + word::find(&buf[path_start..end], word::path_end);
        self.path = narrow(path_start, path_end)?;
        self.query = if path_end < end { Some(narrow(path_end + 1, end)?) } else { None };
        Ok(())
    }

    fn check_host(&mut self, buf: &[u8]) -> Result<(), Refusal> {
        let field = self.fields.get(FieldId::Host).copied();
        let Some(field) = field else {
            if self.version != Version::Http10 {
                return refuse(Code::MissingHost, "an HTTP/1.1 request has no Host", self.head_len);
            }
            if self.form == TargetForm::Absolute {
                self.authority(buf, self.host)?;
            }
            return Ok(());
        };
        if self.fields.is_repeated(FieldId::Host) {
            return refuse(Code::BadHost, "Host is repeated", usize::from(field.name.start));
        }
        let named = self.authority(buf, field.value)?;
        if self.form != TargetForm::Absolute {
            self.host = field.value;
            return Ok(());
        }
        let port_default = if buf[usize::from(self.target.start) + 4] == b':' { 80 } else { 443 };
        if !self.authority(buf, self.host)?.same_place(&named, port_default) {
            return refuse(Code::BadHost, "Host differs from the target", usize::from(field.value.start));
        }
        Ok(())
    }

    fn authority<'b>(&self, buf: &'b [u8], span: Span) -> Result<Authority<'b>, Refusal> {
        Authority::parse(span.of(buf))
            .map_err(|fault| Refusal::new(Code::BadHost, fault.detail(), usize::from(span.start)))
    }

    pub(crate) fn check_expect(&mut self, buf: &[u8]) -> Result<(), Refusal> {
        if !self.fields.has(FieldId::Expect) || self.version == Version::Http10 {
            return Ok(());
        }
        for field in self.fields.all(FieldId::Expect) {
            if !field.value.of(buf).eq_ignore_ascii_case(b"100-continue") {
                return refuse(
                    Code::ExpectationFailed,
                    "unknown expectation",
                    usize::from(field.value.start),
                );
            }
        }
        self.expect_continue = self.framing.has_body();
        Ok(())
    }
}

#[inline]
fn skip_empty_lines(buf: &[u8], mut pos: usize, mut seen: usize) -> Result<Step, Refusal> {
    loop {
        match buf.get(pos..) {
            Some([b'\r', ..]) if seen == EMPTY_LINES_MAX => {
                return refuse(Code::BadRequestLine, "too many empty lines before the request", pos);
            }
            None | Some([] | [b'\r']) => return Ok(Break(Scan::EmptyLines { pos, seen })),
            Some([b'\r', b'\n', ..]) => {
                pos += 2;
                seen += 1;
            }
            Some([b'\r' | b'\n', ..]) => {
                return refuse(Code::BadLineEnd, "a bare CR or LF before the request", pos);
            }
            Some(_) => return Ok(Continue(Scan::Method { start: pos, pos })),
        }
    }
}

const VERSION_LINE: &[u8; 10] = b"HTTP/1.1\r\n";

/// Checks `HTTP/x.y CRLF` byte by byte as far as it has come; `None` when it has not come whole.
fn check_version_line(buf: &[u8], start: usize) -> Result<Option<Version>, Refusal> {
    let came = &buf[start..buf.len().min(start + VERSION_LINE.len())];
    if came == VERSION_LINE {
        return Ok(Some(Version::Http11));
    }
    for (index, (&b, &expected)) in came.iter().zip(VERSION_LINE).enumerate() {
        let fits = match index {
            5 | 7 => b.is_ascii_digit(),
            _ => b == expected,
        };
        if fits {
            continue;
        }
        let at = start + index;
        return match index {
            8 if b == b'\n' => refuse(Code::BadLineEnd, "the request line ends in LF without CR", at),
            9 => refuse(Code::BadLineEnd, "CR without LF after the request line", at),
            8 => refuse(Code::BadRequestLine, "bytes follow the version", at),
            _ => refuse(Code::BadRequestLine, "the version is not `HTTP/` digit `.` digit", at),
        };
    }
    if came.len() < VERSION_LINE.len() {
        return Ok(None);
    }
    match (came[5], came[7]) {
        (b'1', b'0') => Ok(Some(Version::Http10)),
        _ => refuse(Code::VersionNotSupported, "only HTTP/1.0 and HTTP/1.1 are served here", start + 5),
    }
}

/// Length of `http://` or `https://` at the start of a target.
fn http_scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

fn narrow(start: usize, end: usize) -> Result<Span, Refusal> {
    match Span::between(start, end) {
        Some(span) => Ok(span),
        None => refuse(Code::HeadTooLarge, "the head is larger than a span reaches", start),
    }
}

/// Whether a byte may stand in a request target.
///
/// RFC 3986's characters and the few that the URL standard lets browsers send as they are (`[ ] \ ^ { | }` and the
/// back-tick); never white space, controls, `"`, `<`, `>`, `#` or bytes outside ASCII. A backslash in the path is the
/// path policy's matter.
#[inline]
pub(crate) const fn is_target_byte(b: u8) -> bool {
    const TARGET: [bool; 256] = {
        let mut table = [false; 256];
        let mut b = 0x21;
        while b < 0x7f {
            table[b] = !matches!(b as u8, b'"' | b'<' | b'>' | b'#');
            b += 1;
        }
        table
    };
    TARGET[b as usize]
}
