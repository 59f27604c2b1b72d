//! What arrived at the mock: counters over all threads, and a file with every head as it came, so that a test can
//! say that nothing of a refused request got through.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of a mock, over all its threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) faults: AtomicU64,
    /// Connections whose bytes ended in something that is no request.
    pub(crate) incomplete: AtomicU64,
}

/// Adds one and returns the number before.
pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

impl Counters {
    /// As JSON.
    pub(crate) fn json(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{{\"requests\":{},\"connections\":{},\"faults\":{},\"incomplete\":{}}}\n",
            read(&self.requests),
            read(&self.connections),
            read(&self.faults),
            read(&self.incomplete)
        )
    }

    /// Sets all to zero.
    pub(crate) fn reset(&self) {
        for counter in [&self.requests, &self.connections, &self.faults, &self.incomplete] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// One line of the record, and the echo.
#[derive(Debug, Serialize)]
pub(crate) struct Received {
    /// Number of the connection, from 0.
    pub(crate) connection: u64,
    /// Number of the request over all connections, from 0.
    pub(crate) request: u64,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    /// Fields in the order and case in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body_bytes: u64,
    pub(crate) body_sha256: String,
    /// The head as it came; each byte is one character (U+0000 to U+00FF).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) head: Option<String>,
}

/// Bytes that never became a request.
#[derive(Debug, Serialize)]
struct Incomplete {
    connection: u64,
    incomplete: String,
}

/// A record file, shared by all threads. Lines are written at once, whole.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<File>);

impl Recorder {
    /// Opens the file to append to it.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(|file| Self(Mutex::new(file)))
            .map_err(|error| format!("cannot open {}: {error}", path.display()))
    }

    /// Records a request.
    pub(crate) fn request(&self, received: &Received) {
        self.line(received);
    }

    /// Records bytes that never became a request.
    pub(crate) fn incomplete(&self, connection: u64, bytes: &[u8]) {
        self.line(&Incomplete { connection, incomplete: latin1(bytes) });
    }

    /// Appends one line of JSON.
    pub(crate) fn line(&self, value: &impl Serialize) {
        let Ok(mut line) = serde_json::to_string(value) else { return };
        line.push('\n');
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            // A record with holes would let a test pass that must fail.
            eprintln!("penstock-bench: cannot write the record: {error}");
            std::process::exit(1);
        }
    }
}

/// Each byte as the character of its number, so that nothing is lost.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Fields of a raw head in order, names in their case.
pub(crate) fn raw_fields(head: &[u8]) -> Vec<(String, String)> {
    latin1(head)
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_heads_keep_order_case_and_bytes() {
        let fields = raw_fields(b"GET / HTTP/1.1\r\nHost: a\r\nX-B: \xff\r\nx-b: 2\r\n\r\n");
        let expected = [("Host", "a"), ("X-B", "\u{ff}"), ("x-b", "2")];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn lines_are_appended() {
        let path = std::env::temp_dir().join(format!("penstock-mock-{}.jsonl", std::process::id()));
        for connection in 0..2 {
            Recorder::open(&path).unwrap().incomplete(connection, b"GET \x80");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            text,
            "{\"connection\":0,\"incomplete\":\"GET \u{80}\"}\n{\"connection\":1,\"incomplete\":\"GET \u{80}\"}\n"
        );
    }

    #[test]
    fn counters_reset() {
        let counters = Counters::default();
        count(&counters.requests);
        assert!(counters.json().contains("\"requests\":1"));
        counters.reset();
        assert!(counters.json().contains("\"requests\":0"));
    }
}
