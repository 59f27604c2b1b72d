//! What the program tells people while it runs: to stderr, as text on a terminal and as one JSON object a line
//! otherwise, at a bounded rate. Standard error belongs to the whole process, so this does too.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use penstock_analytics::time::rfc3339;
use penstock_dataplane::sys;
use serde_json::json;

/// Notices at once.
pub(crate) const BURST: u64 = 100;
/// Notices a second in the long run.
pub(crate) const PER_SECOND: u64 = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Good to know.
    Info,
    /// Something does not work as it should; traffic goes on.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

static RATE: Mutex<Rate> = Mutex::new(Rate { tokens: BURST, refilled_ns: 0, suppressed: 0 });
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// Tells something. Beyond [`BURST`] and [`PER_SECOND`] notices are counted and the count is told later.
pub(crate) fn tell(level: Level, message: &str) {
    let passed = RATE.lock().unwrap_or_else(PoisonError::into_inner).pass(sys::monotonic_ns());
    match passed {
        None => {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        }
        Some(suppressed) => {
            if suppressed > 0 {
                print(Level::Warn, &format!("{suppressed} notices were not printed because of their rate"));
            }
            print(level, message);
        }
    }
}

/// Good to know.
pub(crate) fn info(message: impl AsRef<str>) {
    tell(Level::Info, message.as_ref());
}

/// Something does not work as it should.
pub(crate) fn warn(message: impl AsRef<str>) {
    tell(Level::Warn, message.as_ref());
}

/// Something failed.
pub(crate) fn error(message: impl AsRef<str>) {
    tell(Level::Error, message.as_ref());
}

/// Notices that were not printed, since the start.
pub(crate) fn suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

fn print(level: Level, message: &str) {
    let time = rfc3339(sys::wall_ns());
    let mut stderr = std::io::stderr().lock();
    // Nobody can be told that stderr does not work.
    let _ = if stderr.is_terminal() {
        writeln!(stderr, "{} {:5} {message}", &time[11..19], level.word())
    } else {
        writeln!(stderr, r#"{{"time":"{time}","level":"{}","message":{}}}"#, level.word(), json!(message))
    };
}

/// A bucket of tokens.
struct Rate {
    tokens: u64,
    refilled_ns: u64,
    suppressed: u64,
}

impl Rate {
    /// `Some(n)`: may be told, after `n` that were not.
    fn pass(&mut self, now_ns: u64) -> Option<u64> {
        let gained = now_ns.saturating_sub(self.refilled_ns) * PER_SECOND / SECOND_NS;
        if gained > 0 {
            self.tokens = (self.tokens + gained).min(BURST);
            self.refilled_ns = now_ns;
        }
        if self.tokens == 0 {
            self.suppressed += 1;
            return None;
        }
        self.tokens -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_counted_and_told_once() {
        let mut rate = Rate { tokens: BURST, refilled_ns: 1, suppressed: 0 };
        let passed = (0..BURST + 50).filter(|_| rate.pass(1).is_some()).count() as u64;
        assert_eq!(passed, BURST);
        assert_eq!(rate.pass(1 + SECOND_NS), Some(50));
        assert_eq!(rate.pass(1 + SECOND_NS), Some(0));
        let later = (0..BURST).filter(|_| rate.pass(1 + SECOND_NS).is_some()).count() as u64;
        assert_eq!(later, PER_SECOND - 2);
    }
}
