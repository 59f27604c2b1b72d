//! Answers made by the gateway itself, as problem documents (RFC 9457).
//!
//! Writes a whole response, or its body alone for HTTP/2, into a buffer of the caller; allocates nothing beyond that
//! buffer. Whatever came from outside is escaped. The `type` member is left out (`about:blank`), so `title` is the
//! phrase of the status; what tells one answer from another is `code`.

use crate::code::Code;
use crate::date::HttpDate;
use crate::head::Version;
use crate::write::{self, FieldName, FieldValue};

/// The media type of the body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The value of an extension member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// A JSON string; escaped when it is written.
    Text(&'a str),
    /// A JSON number.
    Number(u64),
    /// `true` or `false`.
    Flag(bool),
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Why.
    pub code: Code,
    /// The id of the request; empty when there is none yet. Also sent as X-Request-Id if it fits into a field.
    pub request_id: &'a [u8],
    /// A sentence for this occurrence; the title of the code when there is none.
    pub detail: Option<&'a str>,
    /// More members, their names being ours.
    pub members: &'a [(&'static str, Member<'a>)],
    /// More fields, such as Retry-After, WWW-Authenticate, Allow or RateLimit.
    pub fields: &'a [(FieldName<'a>, FieldValue<'a>)],
    /// More fields as whole lines (`name: value CRLF`), checked by whoever made them. If X-Request-Id is among them
    /// it is not written a second time.
    pub lines: &'a [u8],
}

/// How an answer is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Whether the connection lives on.
    pub keep_alive: bool,
    /// The version of the request.
    pub client: Version,
    /// The request was a HEAD: the fields tell the body's length, the body is left out.
    pub head_only: bool,
    /// The date, if it is known.
    pub date: Option<&'a HttpDate>,
}

impl<'a> Problem<'a> {
    /// An answer with this code and nothing more.
    pub const fn new(code: Code) -> Problem<'a> {
        Problem { code, request_id: b"", detail: None, members: &[], fields: &[], lines: &[] }
    }

    /// Writes the whole response in HTTP/1.1 at the end of `out`. About half a microsecond.
    pub fn write(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>) {
        write::status_line(out, self.code.status());
        if let Some(date) = delivery.date {
            write::date(out, date);
        }
        out.extend_from_slice(b"Content-Type: application/problem+json\r\nCache-Control: no-store\r\n");
        out.extend_from_slice(self.lines);
        if !self.request_id.is_empty()
            && !has_request_id(self.lines)
            && let Ok(value) = FieldValue::new(self.request_id)
        {
            write::field(out, FieldName::known(crate::field::FieldId::XRequestId), value);
        }
        for &(name, value) in self.fields {
            write::field(out, name, value);
        }
        write::connection(out, delivery.keep_alive, delivery.client);
        write::content_length(out, self.body_len() as u64);
        write::end(out);
        if !delivery.head_only {
            self.write_body(out);
        }
    }

    /// Writes the JSON document at the end of `out`.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        self.body(&mut |bytes| out.extend_from_slice(bytes));
    }

    /// The length of the JSON document.
    pub fn body_len(&self) -> usize {
        let mut len = 0;
        self.body(&mut |bytes| len += bytes.len());
        len
    }

    fn body(&self, sink: &mut impl FnMut(&[u8])) {
        sink(b"{\"title\":");
        string(write::reason_phrase(self.code.status()).as_bytes(), sink);
        sink(b",\"status\":");
        number(u64::from(self.code.status()), sink);
        sink(b",\"code\":");
        string(self.code.as_str().as_bytes(), sink);
        sink(b",\"detail\":");
        string(self.detail.unwrap_or(self.code.title()).as_bytes(), sink);
        if !self.request_id.is_empty() {
            sink(b",\"request_id\":");
            ascii_string(self.request_id, sink);
        }
        for (name, member) in self.members {
            sink(b",");
            string(name.as_bytes(), sink);
            sink(b":");
            match *member {
                Member::Text(text) => string(text.as_bytes(), sink),
                Member::Number(value) => number(value, sink),
                Member::Flag(true) => sink(b"true"),
                Member::Flag(false) => sink(b"false"),
            }
        }
        sink(b"}\n");
    }
}

fn has_request_id(lines: &[u8]) -> bool {
    const NAME: &[u8] = b"x-request-id:";
    lines
        .split(|&b| b == b'\n')
        .any(|line| line.get(..NAME.len()).is_some_and(|n| n.eq_ignore_ascii_case(NAME)))
}

/// A JSON string of bytes that are UTF-8. Escapes also what would begin markup, should somebody show it as such.
fn string(text: &[u8], sink: &mut impl FnMut(&[u8])) {
    sink(b"\"");
    let mut from = 0;
    for (at, &b) in text.iter().enumerate() {
        if b >= b' ' && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0x7f) {
            continue;
        }
        sink(&text[from..at]);
        escape(b, sink);
        from = at + 1;
    }
    sink(&text[from..]);
    sink(b"\"");
}

/// A JSON string of bytes of unknown encoding: those outside ASCII become question marks.
fn ascii_string(text: &[u8], sink: &mut impl FnMut(&[u8])) {
    sink(b"\"");
    for &b in text {
        match b {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f | 0x7f => escape(b, sink),
            0x80.. => sink(b"?"),
            _ => sink(&[b]),
        }
    }
    sink(b"\"");
}

fn escape(b: u8, sink: &mut impl FnMut(&[u8])) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    sink(&[b'\\', b'u', b'0', b'0', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
}

fn number(value: u64, sink: &mut impl FnMut(&[u8])) {
    let mut room = [0; write::DIGITS_MAX];
    let start = write::digits(value, &mut room);
    sink(&room[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldId;

    fn delivery() -> Delivery<'static> {
        Delivery { keep_alive: false, client: Version::Http11, head_only: false, date: None }
    }

    #[test]
    fn writes_a_whole_answer() {
        let date = HttpDate::from_unix_seconds(784_111_777);
        let retry = [(FieldName::known(FieldId::RetryAfter), FieldValue::new(b"3").unwrap())];
        let problem = Problem {
            request_id: b"r-1",
            detail: Some("limit `per-app` is used up"),
            members: &[("limit", Member::Text("per-app")), ("retry_after", Member::Number(3))],
            fields: &retry,
            ..Problem::new(Code::RateLimited)
        };
        let mut out = Vec::new();
        problem.write(&Delivery { date: Some(&date), ..delivery() }, &mut out);
        let body = "{\"title\":\"Too Many Requests\",\"status\":429,\"code\":\"rate_limited\",\
            \"detail\":\"limit `per-app` is used up\",\"request_id\":\"r-1\",\"limit\":\"per-app\",\"retry_after\":3}\n";
        let expected = format!(
            "HTTP/1.1 429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
            Content-Type: application/problem+json\r\nCache-Control: no-store\r\nX-Request-Id: r-1\r\n\
            Retry-After: 3\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn lines_are_written_as_they_are_and_the_id_once() {
        let lines: &[u8] = b"x-request-id: r-1\r\nAllow: GET\r\n";
        let problem = Problem { request_id: b"r-1", lines, ..Problem::new(Code::MethodNotAllowed) };
        let mut out = Vec::new();
        problem.write(&delivery(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\nAllow: GET\r\n"), "{text}");
        assert_eq!(text.to_ascii_lowercase().matches("x-request-id").count(), 1, "{text}");
    }

    #[test]
    fn every_code_is_an_answer_that_parses() {
        for &code in Code::ALL {
            let mut out = Vec::new();
            Problem::new(code).write(&Delivery { keep_alive: true, ..delivery() }, &mut out);
            let mut head = crate::ResponseHead::new();
            let parsed = head.parse(&out, &crate::HeadLimits::default(), crate::Method::Get).unwrap();
            assert_eq!(parsed, crate::Parsed::Complete);
            assert_eq!(head.status, code.status());
            assert!(head.keep_alive);
            assert_eq!(head.framing, crate::BodyFraming::Length((out.len() - head.head_len) as u64));
        }
    }

    #[test]
    fn a_head_request_gets_no_body_but_its_length() {
        let mut out = Vec::new();
        let problem = Problem::new(Code::NoRoute);
        problem.write(&Delivery { head_only: true, ..delivery() }, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert!(text.contains(&format!("Content-Length: {}\r\n", problem.body_len())), "{text}");
    }

    #[test]
    fn bytes_of_the_caller_never_come_back_raw() {
        let problem = Problem {
            request_id: b"\"\r\nX: y\xff<",
            detail: Some("a\"b\\c\n<script>&\u{e9}"),
            ..Problem::new(Code::BadHeader)
        };
        let mut out = Vec::new();
        problem.write(&delivery(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("\r\nX: y") && !text.contains("X-Request-Id"), "{text}");
        assert!(text.contains(r#""detail":"a\u0022b\u005cc\u000a\u003cscript\u003e\u0026é""#), "{text}");
        assert!(text.contains(r#""request_id":"\u0022\u000d\u000aX: y?\u003c""#), "{text}");
    }
}
