//! Counts and distributions of one generator thread during one round. Belongs to its thread; only two counters are
//! shared, for the progress line.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::llm::{self, Fault};
use super::run::Event;
use crate::sys;
use crate::wire::WireError;

/// Longest latency that is told from longer ones: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Digits that a recorded latency keeps.
const DIGITS: u8 = 3;

/// Why a request got no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The connect was refused or failed.
    Connect,
    /// The connect took longer than the deadline.
    ConnectTimeout,
    /// The connection was reset (or the pipe was broken) during the exchange.
    Reset,
    /// The server closed before the first byte of the answer.
    Closed,
    /// The server closed within the answer.
    Truncated,
    /// No complete answer within the deadline.
    Timeout,
    /// The answer is not HTTP/1.
    Malformed,
    /// The answer was complete for HTTP and is not one of the language model.
    Answer(Fault),
    /// Any other failure of the socket.
    Other,
}

impl Failure {
    /// Name in the result file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Answer(fault) => fault.name(),
            Self::Other => "other",
        }
    }

    /// Classifies a failure of reading or writing.
    pub(crate) fn of(error: &WireError) -> Self {
        match error {
            WireError::Closed => Self::Closed,
            WireError::Truncated => Self::Truncated,
            WireError::Malformed(_) => Self::Malformed,
            WireError::Io(error) => Self::of_io(error),
        }
    }

    /// Classifies a failure of a socket.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::Reset
            }
            _ => Self::Other,
        }
    }
}

/// Counters that the progress line reads while a thread runs.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Complete answers, warm-up included.
    pub(crate) answers: AtomicU64,
    /// Requests without one.
    pub(crate) failures: AtomicU64,
}

/// An answer that was read to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// Time for which its request was planned; the send in a closed loop.
    pub(crate) planned: Instant,
    /// When its request was sent.
    pub(crate) sent: Instant,
    /// When its last byte was read.
    pub(crate) done: Instant,
    /// Status code.
    pub(crate) status: u16,
    /// Interim answers before it.
    pub(crate) interim: u64,
    /// Bytes of content.
    pub(crate) body_bytes: u64,
    /// Bytes of the request.
    pub(crate) sent_bytes: u64,
}

/// What one thread has counted.
pub(crate) struct Tally {
    /// Whether starts are planned (then the planned start decides whether a request is in the measured part).
    open: bool,
    measure_from: Instant,
    measure_to: Option<Instant>,
    pub(crate) latency: Histogram<u64>,
    pub(crate) service: Histogram<u64>,
    pub(crate) status: BTreeMap<u16, u64>,
    pub(crate) failures: BTreeMap<Failure, u64>,
    pub(crate) answers: u64,
    pub(crate) interim: u64,
    pub(crate) body_bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) connects: u64,
    pub(crate) unstarted: u64,
    pub(crate) last_done: Option<Instant>,
    /// Figures of language models' answers, where those are asked for.
    pub(crate) llm: Option<llm::Tally>,
    cpu_at_first: Option<Duration>,
    /// The status that came last and its count, so that a steady status costs no map look-up.
    run_of_status: (u16, u64),
    progress: Arc<Progress>,
    intervals: Option<Intervals>,
}

/// Histograms of single seconds on their way to the log.
struct Intervals {
    second: u64,
    histogram: Histogram<u64>,
    sender: mpsc::Sender<Event>,
}

/// An empty histogram of the bounds that all parts of a run share.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS)
        .unwrap_or_else(|_| unreachable!("the bounds are constants"))
}

impl Tally {
    /// An empty tally; with `log`, each second's histogram is sent on.
    pub(crate) fn new(
        open: bool,
        measure_from: Instant,
        measure_to: Option<Instant>,
        progress: Arc<Progress>,
        log: Option<mpsc::Sender<Event>>,
    ) -> Self {
        Self {
            open,
            measure_from,
            measure_to,
            latency: histogram(),
            service: histogram(),
            status: BTreeMap::new(),
            failures: BTreeMap::new(),
            answers: 0,
            interim: 0,
            body_bytes_in: 0,
            bytes_out: 0,
            connects: 0,
            unstarted: 0,
            last_done: None,
            llm: None,
            cpu_at_first: None,
            run_of_status: (0, 0),
            progress,
            intervals: log.map(|sender| Intervals { second: 0, histogram: histogram(), sender }),
        }
    }

    /// Counts an answer, and says whether it is in the measured part. Costs two histogram updates and no allocation once
    /// its status has been seen.
    pub(crate) fn answer(&mut self, answered: &Answered) -> bool {
        bump(&self.progress.answers);
        if !self.is_measured(answered.planned, answered.done) {
            return false;
        }
        if self.cpu_at_first.is_none() {
            self.cpu_at_first = Some(sys::thread_cpu_time());
        }
        self.answers += 1;
        self.interim += answered.interim;
        self.body_bytes_in += answered.body_bytes;
        self.bytes_out += answered.sent_bytes;
        self.last_done = Some(answered.done);
        if self.run_of_status.0 != answered.status {
            self.end_run_of_status();
            self.run_of_status = (answered.status, 0);
        }
        self.run_of_status.1 += 1;
        let latency_us = micros(answered.done - answered.planned);
        self.latency.saturating_record(latency_us);
        if self.open {
            self.service.saturating_record(micros(answered.done - answered.sent));
        }
        if let Some(intervals) = &mut self.intervals {
            intervals
                .record(answered.done.saturating_duration_since(self.measure_from).as_secs(), latency_us);
        }
        true
    }

    /// Counts a request without an answer.
    pub(crate) fn failure(&mut self, planned: Instant, failure: Failure) {
        bump(&self.progress.failures);
        if self.is_measured(planned, Instant::now()) {
            *self.failures.entry(failure).or_default() += 1;
        }
    }

    /// Counts a connection that was opened.
    pub(crate) fn connected(&mut self) {
        self.connects += 1;
    }

    /// Counts a planned start that never was, with the time that it has waited by `now` as the least that its latency
    /// would have been: left out, it would make an overloaded server look better.
    pub(crate) fn unstarted(&mut self, planned: Instant, now: Instant) {
        if planned >= self.measure_from {
            self.unstarted += 1;
            self.latency.saturating_record(micros(now.saturating_duration_since(planned)));
        }
    }

    /// Ends the round; returns CPU time since the first measured answer.
    pub(crate) fn finish(&mut self) -> Duration {
        self.end_run_of_status();
        // Letting go of the sender tells the main thread that no second will follow.
        if let Some(mut intervals) = self.intervals.take() {
            intervals.send();
        }
        self.cpu_at_first.map_or(Duration::ZERO, |first| sys::thread_cpu_time().saturating_sub(first))
    }

    fn is_measured(&self, planned: Instant, done: Instant) -> bool {
        if self.open {
            planned >= self.measure_from
        } else {
            done >= self.measure_from && self.measure_to.is_none_or(|end| done <= end)
        }
    }

    fn end_run_of_status(&mut self) {
        let (status, count) = self.run_of_status;
        if count > 0 {
            *self.status.entry(status).or_default() += count;
            self.run_of_status.1 = 0;
        }
    }
}

impl Intervals {
    fn record(&mut self, second: u64, latency_us: u64) {
        if second != self.second {
            self.send();
            self.second = second;
        }
        self.histogram.saturating_record(latency_us);
    }

    fn send(&mut self) {
        if !self.histogram.is_empty() {
            let histogram = std::mem::replace(&mut self.histogram, histogram());
            // The receiver is gone only if the run has been given up.
            let _ = self.sender.send(Event::Interval { second: self.second, histogram });
        }
    }
}

/// Adds one without a locked instruction: only the owning thread writes.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Whole microseconds, at least one: histograms begin there.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(start: Instant, planned_ms: u64, sent_ms: u64, done_ms: u64) -> Answered {
        let at = |ms| start + Duration::from_millis(ms);
        Answered {
            planned: at(planned_ms),
            sent: at(sent_ms),
            done: at(done_ms),
            status: 200,
            interim: 0,
            body_bytes: 10,
            sent_bytes: 20,
        }
    }

    #[test]
    fn latency_counts_from_the_plan_and_service_from_the_send() {
        let start = Instant::now();
        let mut tally = Tally::new(true, start, None, Arc::default(), None);
        tally.answer(&answered(start, 0, 400, 500));
        tally.finish();
        assert!((499_000..=501_000).contains(&tally.latency.max()));
        assert!((99_000..=101_000).contains(&tally.service.max()));
        assert_eq!(tally.status, BTreeMap::from([(200, 1)]));
    }

    #[test]
    fn warm_up_and_late_answers_are_left_out() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut closed = Tally::new(false, at(100), Some(at(200)), Arc::default(), None);
        let mut open = Tally::new(true, at(100), Some(at(200)), Arc::default(), None);
        for (planned, done) in [(10, 90), (90, 110), (150, 190), (190, 210)] {
            closed.answer(&answered(start, planned, planned, done));
            open.answer(&answered(start, planned, planned, done));
        }
        assert_eq!((closed.answers, open.answers), (2, 2));
    }

    #[test]
    fn unstarted_requests_weigh_in_with_their_wait() {
        let start = Instant::now();
        let mut tally = Tally::new(true, start, None, Arc::default(), None);
        for planned in [start, start + Duration::from_secs(1)] {
            tally.unstarted(planned, start + Duration::from_secs(3));
        }
        assert_eq!((tally.unstarted, tally.latency.len()), (2, 2));
        assert!((2_990_000..=3_010_000).contains(&tally.latency.max()));
    }

    #[test]
    fn seconds_are_sent_apart() {
        let start = Instant::now();
        let (sender, receiver) = mpsc::channel();
        let mut tally = Tally::new(false, start, None, Arc::default(), Some(sender));
        for done in [100, 200, 1100, 3100] {
            tally.answer(&answered(start, done - 50, done - 50, done));
        }
        tally.finish();
        drop(tally);
        let seconds: Vec<_> = receiver
            .iter()
            .map(|event| match event {
                Event::Interval { second, histogram } => (second, histogram.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seconds, [(0, 2), (1, 1), (3, 1)]);
    }
}
