//! Orders that a request gives through its x-mock-* headers. Headers in, a changed answer out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::answer::Answer;
use super::delay::Delay;
use super::fault::Fault;
use crate::units;

/// Prefix of all order headers.
const PREFIX: &str = "x-mock-";
/// Longest body that a header may order, so that no request can exhaust the memory.
const BODY_BYTES_MAX: usize = 256 << 20;

/// What a request ordered.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    status: Option<StatusCode>,
    body: Option<usize>,
    chunk_bytes: Option<usize>,
    interim: Option<u16>,
    /// Wait before the answer.
    pub(crate) delay: Option<Delay>,
    /// Misbehave so.
    pub(crate) fault: Option<Fault>,
    /// Answer with what was received.
    pub(crate) echo: bool,
}

impl Orders {
    /// Reads the orders; `None` if there are none.
    ///
    /// # Errors
    /// A sentence about the header that makes no sense.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut orders = None;
        for (name, value) in headers {
            let Some(order) = name.as_str().strip_prefix(PREFIX) else { continue };
            let orders = orders.get_or_insert_with(Self::default);
            let text = value.to_str().map_err(|_| format!("{name} is not text"))?;
            let at = |error: String| format!("{name}: {error}");
            match order {
                "status" => {
                    let code = text.parse().ok().filter(|code| (200..=599).contains(code));
                    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
                    orders.status =
                        Some(status.ok_or_else(|| at(format!("`{text}` is not a final status")))?);
                }
                "body" => {
                    let bytes = units::size(text).map_err(at)?;
                    if bytes > BODY_BYTES_MAX {
                        return Err(format!("{name}: `{text}` is more than 256 MiB"));
                    }
                    orders.body = Some(bytes);
                }
                "chunked" => orders.chunk_bytes = Some(units::size(text).map_err(at)?.max(1)),
                "interim" => {
                    let code = text.parse().ok().filter(|code| (100..=199).contains(code) && *code != 101);
                    orders.interim =
                        Some(code.ok_or_else(|| at(format!("`{text}` is not an interim status")))?);
                }
                "delay" => orders.delay = Some(text.parse().map_err(at)?),
                "fault" => orders.fault = Some(text.parse().map_err(at)?),
                "echo" => orders.echo = true,
                _ => return Err(format!("unknown order {name}")),
            }
        }
        Ok(orders)
    }

    /// Changes an answer as ordered.
    pub(crate) fn apply(&self, answer: &mut Answer) {
        answer.status = self.status.unwrap_or(answer.status);
        answer.chunk_bytes = self.chunk_bytes.or(answer.chunk_bytes);
        answer.interim.extend(self.interim);
        if let Some(bytes) = self.body {
            answer.body = Bytes::from(vec![b'x'; bytes]);
        }
    }

    /// Whether the plain answer will do.
    pub(crate) fn only_waits(&self) -> bool {
        self.status.is_none()
            && self.body.is_none()
            && self.chunk_bytes.is_none()
            && self.interim.is_none()
            && !self.echo
    }
}

/// Rounds to what the runtime's timers can do.
pub(crate) fn whole_milliseconds(delay: Duration) -> Duration {
    Duration::from_millis(u64::try_from(delay.as_micros().div_ceil(1000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::answer;
    use super::*;

    fn read(name: &'static str, value: &str) -> Result<Option<Orders>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Orders::read(&headers)
    }

    #[test]
    fn orders_change_the_answer() {
        let apply = |name, value| {
            let mut answer = answer();
            read(name, value).unwrap().unwrap().apply(&mut answer);
            String::from_utf8(answer.encode(false, false).whole().to_vec()).unwrap()
        };
        assert!(apply("x-mock-status", "503").starts_with("HTTP/1.1 503 "));
        assert!(apply("x-mock-body", "3").ends_with("content-length: 3\r\n\r\nxxx"));
        assert!(apply("x-mock-chunked", "100").contains("transfer-encoding: chunked"));
        assert!(apply("x-mock-interim", "103").starts_with("HTTP/1.1 103 Early Hints\r\n"));
        assert!(read("accept", "x").unwrap().is_none());
        assert_eq!(read("x-mock-fault", "garbage").unwrap().unwrap().fault, Some(Fault::Garbage));
    }

    #[test]
    fn orders_that_make_no_sense() {
        for (name, value) in [
            ("x-mock-status", "100"),
            ("x-mock-status", "abc"),
            ("x-mock-body", "257MiB"),
            ("x-mock-interim", "101"),
            ("x-mock-delay", "5"),
            ("x-mock-fault", "explode"),
            ("x-mock-wish", "1"),
        ] {
            assert!(read(name, value).is_err(), "{name}: {value}");
        }
        assert!(read("x-mock-body", "256MiB").is_ok());
    }

    #[test]
    fn delays_round_up() {
        for (us, ms) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_milliseconds(Duration::from_micros(us)), Duration::from_millis(ms));
        }
    }
}
