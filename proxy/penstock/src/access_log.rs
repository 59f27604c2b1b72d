//! The access log, for those who want one: reads the rings as any tool does, on a thread of its own, so that no
//! worker writes or waits for it. Errors are logged always, other calls by the share that is configured.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use penstock_analytics::{Call, Field};
use penstock_dataplane::sys;
use penstock_model::Process;
use penstock_model::grammar::{AccessLog, LogFormat};
use penstock_ring::{Cursor, Dictionary, Item};

use crate::notices;
use crate::rings::Rings;

/// The log's file in the data directory.
pub(crate) const ACCESS_LOG_FILE: &str = "access.log";
/// How often the rings are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Status from which a call is logged whatever the share.
const ERROR_STATUS: u16 = 500;

/// A running access log; dropping it writes what is left and ends it.
pub(crate) struct AccessLogThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLogThread {
    /// Starts it, if the configuration asks for one.
    ///
    /// # Errors
    /// When the file cannot be opened or no thread be started.
    pub(crate) fn start(process: &Process, rings: Arc<Rings>, folder: &Path) -> io::Result<Option<Self>> {
        let out: Box<dyn Write + Send> = match process.access_log {
            AccessLog::None => return Ok(None),
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::File => Box::new(open(&process.data_dir.join(ACCESS_LOG_FILE))?),
        };
        let mut log = Log {
            out: BufWriter::with_capacity(1 << 16, out),
            line: Vec::new(),
            format: process.access_log_format,
            sample_percent: process.access_log_sample_percent,
            dictionary: Dictionary::default(),
            cursors: Vec::new(),
            failing: false,
            missed: false,
        };
        let folder = folder.to_owned();
        let (stop, stopped) = channel::<()>();
        let thread = thread::Builder::new().name("penstock-log".into()).spawn(move || {
            sys::lower_priority(5);
            loop {
                let last = !matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout));
                log.pass(&rings, &folder);
                if last {
                    return;
                }
            }
        })?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for AccessLogThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by its own hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

struct Log {
    out: BufWriter<Box<dyn Write + Send>>,
    /// The line at hand; it stays here until the whole of it was taken.
    line: Vec<u8>,
    format: LogFormat,
    sample_percent: u8,
    dictionary: Dictionary,
    cursors: Vec<Cursor>,
    failing: bool,
    missed: bool,
}

impl Log {
    fn pass(&mut self, rings: &Rings, folder: &Path) {
        for ring in rings.rings().into_iter().skip(self.cursors.len()) {
            self.cursors.push(Cursor::oldest(ring));
        }
        // Without the dictionary ids are shown for names, which is no reason not to log.
        let _ = self.dictionary.refresh(folder);
        let written = self.write();
        match written {
            Err(error) if !self.failing => {
                notices::warn(format!("the access log cannot be written, calls wait in the rings: {error}"));
                self.failing = true;
            }
            Err(_) => {}
            Ok(()) if self.failing => {
                notices::info("the access log is written again");
                self.failing = false;
            }
            Ok(()) => {}
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.out.write_all(&self.line)?;
        self.line.clear();
        for cursor in &mut self.cursors {
            let identity = *cursor.ring().identity();
            loop {
                match cursor.read_next() {
                    Item::Call(view) => {
                        let (sequence, status) = (view.record.sequence, view.record.status);
                        if !sampled(sequence, status, self.sample_percent) {
                            continue;
                        }
                        let (run, worker) = (identity.run, identity.worker);
                        let call = Call { view, run, worker, dictionary: &self.dictionary };
                        match self.format {
                            LogFormat::Json => serde_json::to_writer(&mut self.line, &call)?,
                            LogFormat::Text => write_text(&mut self.line, &call)?,
                        }
                        self.line.push(b'\n');
                        self.out.write_all(&self.line)?;
                        self.line.clear();
                    }
                    Item::Lapped { .. } if !self.missed => {
                        notices::warn("the access log is slower than the traffic: some calls are not in it");
                        self.missed = true;
                    }
                    Item::Amend(_) | Item::Lapped { .. } | Item::Damage { .. } => {}
                    Item::End => break,
                }
            }
        }
        self.out.flush()
    }
}

/// Whether a call is logged: a fixed share, spread evenly, and every error.
fn sampled(sequence: u64, status: u16, percent: u8) -> bool {
    // Steps of the golden ratio visit all hundredths evenly, whatever the pattern of the calls.
    let hundredth = ((sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) * 100) >> 32;
    status >= ERROR_STATUS || hundredth < u64::from(percent)
}

/// One line for people: time, client, app, method, host and path, status or code, bytes, duration, route, target.
fn write_text(out: &mut impl Write, call: &Call<'_>) -> io::Result<()> {
    for (at, name) in [
        "time",
        "client_ip",
        "app",
        "method",
        "host",
        "path",
        "status",
        "code",
        "bytes_out",
        "duration_us",
        "route",
        "target",
        "request_id",
    ]
    .into_iter()
    .enumerate()
    {
        if at > 0 {
            out.write_all(b" ")?;
        }
        match call.field(name) {
            Field::Absent => out.write_all(b"-")?,
            Field::Text(text) => write_plain(out, &text)?,
            Field::Number(number) => write!(out, "{number}")?,
            Field::Fraction(number) => write!(out, "{number}")?,
            Field::Nested(value) => write!(out, "{value}")?,
        }
    }
    Ok(())
}

/// What a caller sent must not forge a line or a field.
fn write_plain(out: &mut impl Write, text: &str) -> io::Result<()> {
    for c in text.chars() {
        match c {
            ' ' | '\\' | '"' => write!(out, "\\x{:02x}", u32::from(c))?,
            c if c.is_control() || (!c.is_ascii() && !c.is_alphanumeric()) => {
                write!(out, "\\u{{{:x}}}", u32::from(c))?
            }
            c => write!(out, "{c}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_errors_are_always_in() {
        for percent in [0, 1, 10, 50, 99, 100] {
            let count = (1..=100_000).filter(|&sequence| sampled(sequence, 200, percent)).count() as i64;
            assert!((count - i64::from(percent) * 1000).abs() <= 20, "{percent} %: {count}");
        }
        assert!((1..1000).all(|sequence| sampled(sequence, 502, 0)));
    }

    #[test]
    fn callers_cannot_forge_lines() {
        let mut out = Vec::new();
        write_plain(&mut out, "/a b\n\"c\\\u{2028}é").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "/a\\x20b\\u{a}\\x22c\\x5c\\u{2028}é");
    }
}
