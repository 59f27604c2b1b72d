//! What a well-behaved answer looks like on the wire. Options in, bytes out.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// An answer before it is encoded.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Fields beside those of framing.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Bytes a chunk; `None` sends a length.
    pub(crate) chunk_bytes: Option<usize>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Status codes of interim answers before it.
    pub(crate) interim: Vec<u16>,
}

/// An encoded answer in the parts at which faults cut.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// Interim answers.
    pub(crate) interim: Bytes,
    /// Status line and fields with the empty line.
    pub(crate) head: Bytes,
    /// Body with its framing; empty for HEAD.
    pub(crate) body: Bytes,
}

impl Encoded {
    /// All of it in one piece.
    pub(crate) fn whole(&self) -> Bytes {
        [&self.interim[..], &self.head, &self.body].concat().into()
    }
}

impl Answer {
    /// Encodes the answer, to HEAD without its body; statuses that have no body send none.
    pub(crate) fn encode(&self, to_head: bool, close: bool) -> Encoded {
        let bodyless = self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED;
        let mut head = self.start_head();
        match self.chunk_bytes {
            _ if bodyless => {}
            Some(_) => push_field(&mut head, "transfer-encoding", "chunked"),
            None => push_field(&mut head, "content-length", &self.body.len().to_string()),
        }
        if close {
            push_field(&mut head, "connection", "close");
        }
        head.extend_from_slice(b"\r\n");
        let body = match self.chunk_bytes {
            _ if to_head || bodyless => Bytes::new(),
            None => self.body.clone(),
            Some(chunk_bytes) => chunked(&self.body, chunk_bytes, &self.trailers).into(),
        };
        let mut interim = Vec::new();
        for code in &self.interim {
            interim.extend_from_slice(&status_line(*code));
            if *code == 103 {
                push_field(&mut interim, "link", "</style.css>; rel=preload; as=style");
            }
            interim.extend_from_slice(b"\r\n");
        }
        Encoded { interim: interim.into(), head: head.into(), body }
    }

    /// Status line and the answer's own fields; framing and the empty line are the caller's.
    pub(crate) fn start_head(&self) -> Vec<u8> {
        let mut head = status_line(self.status.as_u16());
        for (name, value) in &self.fields {
            push_field(&mut head, name, value);
        }
        head
    }
}

/// Appends one field line.
pub(crate) fn push_field(head: &mut Vec<u8>, name: &str, value: &str) {
    head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

fn status_line(code: u16) -> Vec<u8> {
    let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    format!("HTTP/1.1 {code} {reason}\r\n").into_bytes()
}

fn chunked(body: &[u8], chunk_bytes: usize, trailers: &[(String, String)]) -> Vec<u8> {
    let mut coded = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(chunk_bytes.max(1)) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        push_field(&mut coded, name, value);
    }
    coded.extend_from_slice(b"\r\n");
    coded
}

/// Splits "name: value" and checks both.
///
/// # Errors
/// A sentence if it is not a field.
pub(crate) fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| format!("field `{text}` must be written as `name: value`"))?;
    let (name, value) = (name.trim(), value.trim());
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a field name"))?;
    HeaderValue::from_str(value).map_err(|_| format!("the value of `{name}` is not allowed"))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn answer() -> Answer {
        Answer {
            status: StatusCode::OK,
            fields: vec![("server".into(), "mock".into())],
            body: Bytes::from_static(b"0123456789"),
            chunk_bytes: None,
            trailers: Vec::new(),
            interim: Vec::new(),
        }
    }

    #[test]
    fn encodings() {
        let base = "HTTP/1.1 200 OK\r\nserver: mock\r\n";
        let trailers = vec![("x-sum".to_owned(), "1".to_owned())];
        for (answer, to_head, close, expected) in [
            (answer(), false, false, format!("{base}content-length: 10\r\n\r\n0123456789")),
            (answer(), true, false, format!("{base}content-length: 10\r\n\r\n")),
            (
                answer(),
                false,
                true,
                format!("{base}content-length: 10\r\nconnection: close\r\n\r\n0123456789"),
            ),
            (
                Answer { chunk_bytes: Some(6), trailers, ..answer() },
                false,
                false,
                format!(
                    "{base}transfer-encoding: chunked\r\n\r\n6\r\n012345\r\n4\r\n6789\r\n0\r\nx-sum: 1\r\n\r\n"
                ),
            ),
            (
                Answer { interim: vec![100], ..answer() },
                false,
                false,
                format!("HTTP/1.1 100 Continue\r\n\r\n{base}content-length: 10\r\n\r\n0123456789"),
            ),
            (
                Answer { status: StatusCode::NO_CONTENT, ..answer() },
                false,
                false,
                "HTTP/1.1 204 No Content\r\nserver: mock\r\n\r\n".into(),
            ),
        ] {
            assert_eq!(answer.encode(to_head, close).whole(), expected);
        }
    }

    #[test]
    fn fields() {
        assert_eq!(field("A:  b c ").unwrap(), ("A".into(), "b c".into()));
        for text in ["A", "a b: c", "a: b\r\nc: d", ": x"] {
            assert!(field(text).is_err(), "{text}");
        }
    }
}
