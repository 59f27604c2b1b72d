//! Requests in the form in which they go to the wire: encoded once before the run, shared by all connections of a
//! thread, joined at most with a key. A send costs no formatting.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::llm::Expects;
use crate::rng::Rng;

/// Bodies up to this size travel in one write with their head.
const JOINED_BODY_BYTES_MAX: usize = 64 * 1024;

/// One request, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Head up to where the key goes, without its empty line.
    head: Bytes,
    /// The empty line and, if it is small, the body.
    tail: Bytes,
    /// A body that is sent by itself; empty if it is in the tail.
    pub(crate) large_body: Bytes,
    /// Head and tail in one piece, for requests without a key.
    whole: Bytes,
    /// The same with `connection: close`.
    whole_close: Bytes,
    /// Answers to HEAD have no body.
    pub(crate) is_head: bool,
    /// The answer is one of a language model, of this form.
    pub(crate) expects: Option<Expects>,
    /// Which of the plan's styles of keys it carries.
    pub(crate) key_style: usize,
    weight: u32,
}

/// Parts of a request before they are encoded.
#[derive(Debug)]
pub(crate) struct RequestParts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Option<&'a [u8]>,
    /// Bytes a chunk; `None` sends a length.
    pub(crate) chunked: Option<usize>,
    pub(crate) weight: u32,
}

impl Request {
    /// Encodes a request.
    ///
    /// # Errors
    /// A sentence if a part would not make a well-formed request.
    pub(crate) fn encode(parts: &RequestParts<'_>) -> Result<Self, String> {
        let method = Method::from_bytes(parts.method.as_bytes())
            .map_err(|_| format!("`{}` is not a method", parts.method))?;
        if !(parts.path.starts_with('/') || parts.path == "*")
            || !parts.path.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(format!(
                "path `{}` must begin with / and hold no blanks or control characters",
                parts.path
            ));
        }
        if parts.weight == 0 {
            return Err("weight must be at least 1".into());
        }
        if parts.chunked == Some(0) {
            return Err("a chunk must have at least 1 byte".into());
        }
        let mut head = format!("{method} {} HTTP/1.1\r\n", parts.path).into_bytes();
        let names_host = parts.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !names_host {
            push_field(&mut head, "host", parts.host.as_bytes());
        }
        for (name, value) in parts.headers {
            let checked = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is not a header name"))?;
            HeaderValue::from_str(value)
                .map_err(|_| format!("the value of header `{name}` is not allowed"))?;
            if checked == http::header::CONTENT_LENGTH || checked == http::header::TRANSFER_ENCODING {
                return Err(format!("`{name}` is set by the generator; use the options for bodies"));
            }
            push_field(&mut head, name, value.as_bytes());
        }
        let body = match (parts.body, parts.chunked) {
            (None, _) => Vec::new(),
            (Some(body), None) => {
                push_field(&mut head, "content-length", body.len().to_string().as_bytes());
                body.to_vec()
            }
            (Some(body), Some(chunk)) => {
                push_field(&mut head, "transfer-encoding", b"chunked");
                chunked(body, chunk)
            }
        };
        let mut tail = b"\r\n".to_vec();
        let mut large_body = Bytes::new();
        if body.len() <= JOINED_BODY_BYTES_MAX {
            tail.extend_from_slice(&body);
        } else {
            large_body = body.into();
        }
        Ok(Self {
            whole: [&head[..], &tail].concat().into(),
            whole_close: [&head[..], CLOSE_FIELD, &tail].concat().into(),
            head: head.into(),
            tail: tail.into(),
            large_body,
            is_head: method == Method::HEAD,
            expects: None,
            key_style: 0,
            weight: parts.weight,
        })
    }

    /// The same request, whose answer is one of a language model.
    pub(crate) fn of_model(self, expects: Expects, key_style: usize) -> Self {
        Self { expects: Some(expects), key_style, ..self }
    }

    /// The first write of the request: head and small body. Without a key nothing is copied.
    pub(crate) fn first_write(&self, key_field: Option<&[u8]>, close: bool) -> Bytes {
        match (key_field, close) {
            (None, false) => self.whole.clone(),
            (None, true) => self.whole_close.clone(),
            (Some(field), close) => {
                let close_field = if close { CLOSE_FIELD } else { b"" };
                [&self.head[..], field, close_field, &self.tail].concat().into()
            }
        }
    }
}

const CLOSE_FIELD: &[u8] = b"connection: close\r\n";

/// Encodes the header line of a key.
///
/// # Errors
/// A sentence if name or value are not allowed in a header.
pub(crate) fn key_field(name: &str, value: &str) -> Result<Bytes, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
    HeaderValue::from_str(value).map_err(|_| format!("key `{value}` is not allowed in a header"))?;
    let mut field = Vec::new();
    push_field(&mut field, name, value.as_bytes());
    Ok(field.into())
}

fn push_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

fn chunked(body: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let mut coded = Vec::with_capacity(body.len() + body.len() / chunk_bytes * 8 + 16);
    for chunk in body.chunks(chunk_bytes) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

/// All requests of a run and the odds of each.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    requests: Vec<Request>,
    /// Running sums of the weights.
    bounds: Vec<u64>,
}

impl Mix {
    /// Joins requests; there must be at least one.
    pub(crate) fn new(requests: Vec<Request>) -> Option<Self> {
        if requests.is_empty() {
            return None;
        }
        let mut sum = 0;
        let bounds = requests
            .iter()
            .map(|request| {
                sum += u64::from(request.weight);
                sum
            })
            .collect();
        Some(Self { requests, bounds })
    }

    /// Draws one request by weight; costs a comparison if there is only one, else a binary search.
    pub(crate) fn draw(&self, rng: &mut Rng) -> &Request {
        if let [only] = &self.requests[..] {
            return only;
        }
        let total = self.bounds.last().copied().unwrap_or(1);
        let ticket = rng.below(usize::try_from(total).unwrap_or(usize::MAX)) as u64;
        &self.requests[self.bounds.partition_point(|bound| *bound <= ticket)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>() -> RequestParts<'a> {
        RequestParts {
            method: "GET",
            path: "/a",
            host: "h:1",
            headers: &[],
            body: None,
            chunked: None,
            weight: 1,
        }
    }

    #[test]
    fn encodings() {
        let headers = [("X-A".to_owned(), "1".to_owned())];
        for (parts, expected) in [
            (parts(), "GET /a HTTP/1.1\r\nhost: h:1\r\n\r\n"),
            (RequestParts { headers: &headers, ..parts() }, "GET /a HTTP/1.1\r\nhost: h:1\r\nX-A: 1\r\n\r\n"),
            (
                RequestParts { method: "POST", body: Some(b"hello"), ..parts() },
                "POST /a HTTP/1.1\r\nhost: h:1\r\ncontent-length: 5\r\n\r\nhello",
            ),
            (
                RequestParts { method: "POST", body: Some(b"hello"), chunked: Some(3), ..parts() },
                "POST /a HTTP/1.1\r\nhost: h:1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            ),
        ] {
            let request = Request::encode(&parts).unwrap();
            assert_eq!(request.first_write(None, false), expected);
        }
    }

    #[test]
    fn keys_and_close_go_before_the_empty_line() {
        let request = Request::encode(&RequestParts { body: Some(b"b"), ..parts() }).unwrap();
        let key = key_field("x-api-key", "k1").unwrap();
        assert_eq!(
            request.first_write(Some(&key), true),
            "GET /a HTTP/1.1\r\nhost: h:1\r\ncontent-length: 1\r\nx-api-key: k1\r\nconnection: close\r\n\r\nb"
        );
        assert!(key_field("x-api-key", "a\r\nb: c").is_err());
    }

    #[test]
    fn bodies_over_the_bound_travel_alone() {
        for (length, alone) in [(JOINED_BODY_BYTES_MAX, false), (JOINED_BODY_BYTES_MAX + 1, true)] {
            let body = vec![b'x'; length];
            let request = Request::encode(&RequestParts { body: Some(&body), ..parts() }).unwrap();
            assert_eq!(!request.large_body.is_empty(), alone, "{length}");
            assert_eq!(request.first_write(None, false).ends_with(b"x"), !alone);
        }
    }

    #[test]
    fn parts_that_make_no_request() {
        let injected = [("a".to_owned(), "b\r\nc: d".to_owned())];
        let length = [("Content-Length".to_owned(), "7".to_owned())];
        for parts in [
            RequestParts { method: "G T", ..parts() },
            RequestParts { path: "a", ..parts() },
            RequestParts { path: "/a b", ..parts() },
            RequestParts { headers: &injected, ..parts() },
            RequestParts { headers: &length, ..parts() },
            RequestParts { weight: 0, ..parts() },
            RequestParts { chunked: Some(0), ..parts() },
        ] {
            assert!(Request::encode(&parts).is_err(), "{parts:?}");
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let request = |method, weight| Request::encode(&RequestParts { method, weight, ..parts() }).unwrap();
        let mix = Mix::new(vec![request("GET", 1), request("HEAD", 3)]).unwrap();
        let mut rng = Rng::new(9);
        let heads = (0..40_000).filter(|_| mix.draw(&mut rng).is_head).count();
        assert!((29_500..30_500).contains(&heads), "{heads}");
        assert!(Mix::new(Vec::new()).is_none());
    }
}
