//! Writes the interval log of HdrHistogram (format 1.3): one compressed histogram a second, in microseconds, over
//! all threads of the generator. Each round's seconds follow those of the round before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder};

use super::tally::histogram;

/// Seconds that are held back for threads that report late; what comes later still gets a line of its own.
const SECONDS_HELD: u64 = 3;
/// The log's values are microseconds, its maximum column is in milliseconds.
const MICROS_PER_MILLI: f64 = 1000.0;

/// The file of a log, for as long as the log is written.
pub(crate) struct HdrFile {
    path: PathBuf,
    file: BufWriter<File>,
    serializer: V2DeflateSerializer,
}

/// A log that is being written.
pub(crate) struct HdrLog<'a> {
    writer: IntervalLogWriter<'a, 'a, BufWriter<File>, V2DeflateSerializer>,
    /// Seconds of this round that are not written yet.
    pending: BTreeMap<u64, Histogram<u64>>,
    /// Seconds of the rounds before.
    offset_s: u64,
    /// Seconds of this round so far.
    length_s: u64,
}

impl HdrFile {
    /// Creates the file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let file =
            File::create(path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), serializer: V2DeflateSerializer::new() })
    }

    /// Writes the log's head.
    ///
    /// # Errors
    /// A sentence that says what the system said.
    pub(crate) fn begin(&mut self) -> Result<HdrLog<'_>, String> {
        let now = SystemTime::now();
        let writer = IntervalLogWriterBuilder::new()
            .add_comment("[Logged with penstock-bench; values are microseconds]")
            .with_start_time(now)
            .with_base_time(now)
            .with_max_value_divisor(MICROS_PER_MILLI)
            .begin_log_with(&mut self.file, &mut self.serializer)
            .map_err(|error| format!("cannot write the histogram log: {error}"))?;
        Ok(HdrLog { writer, pending: BTreeMap::new(), offset_s: 0, length_s: 0 })
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        self.file.flush().map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

impl HdrLog<'_> {
    /// Adds one thread's second.
    ///
    /// # Errors
    /// A sentence that says what the system said.
    pub(crate) fn add(&mut self, second: u64, latencies: &Histogram<u64>) -> Result<(), String> {
        let sum = self.pending.entry(second).or_insert_with(histogram);
        sum.add(latencies).map_err(|error| error.to_string())?;
        self.length_s = self.length_s.max(second + 1);
        let held = self.pending.split_off(&(self.length_s - 1).saturating_sub(SECONDS_HELD));
        let due = std::mem::replace(&mut self.pending, held);
        self.write(due)
    }

    /// Writes what is held back and lets the next round begin behind it.
    ///
    /// # Errors
    /// A sentence that says what the system said.
    pub(crate) fn end_round(&mut self) -> Result<(), String> {
        let held = std::mem::take(&mut self.pending);
        self.write(held)?;
        self.offset_s += std::mem::take(&mut self.length_s);
        Ok(())
    }

    fn write(&mut self, seconds: BTreeMap<u64, Histogram<u64>>) -> Result<(), String> {
        for (second, latencies) in seconds {
            self.writer
                .write_histogram(
                    &latencies,
                    Duration::from_secs(self.offset_s + second),
                    Duration::from_secs(1),
                    None,
                )
                .map_err(|error| format!("cannot write the histogram log: {error}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn seconds_of_threads_are_joined_and_rounds_follow_each_other() {
        let path = std::env::temp_dir().join(format!("penstock-bench-{}.hlog", std::process::id()));
        let mut file = HdrFile::create(&path).unwrap();
        let mut log = file.begin().unwrap();
        let mut one = histogram();
        one.record(1500).unwrap();
        for second in [0, 0, 1, 5] {
            log.add(second, &one).unwrap();
        }
        log.end_round().unwrap();
        log.add(0, &one).unwrap();
        log.end_round().unwrap();
        drop(log);
        file.finish().unwrap();
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let starts: Vec<_> = IntervalLogIterator::new(&text)
            .map(|entry| entry.unwrap())
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some((interval.start_timestamp().as_secs(), interval.max())),
                _ => None,
            })
            .collect();
        assert_eq!(starts.iter().map(|(start, _)| *start).collect::<Vec<_>>(), [0, 1, 5, 6]);
        assert!(starts.iter().all(|(_, max)| (max - 1.5).abs() < 0.01), "{starts:?}");
    }
}
