//! `dump` and `tail`: calls of all rings, merged by time.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use penstock_analytics::Call;
use penstock_ring::{Amend, AmendReason, Cursor, Dictionary, Item, RingFile, ring_files};

use crate::filter::{Filter, all_hold};
use crate::output::{Format, call_head, call_line};
use crate::source::{Opened, amended, dictionary, folder, open, open_all};

/// How often `tail -f` looks; reading a mapping costs the gateway nothing.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// One ring being read, with its next matching call as a line.
struct Stream {
    cursor: Cursor,
    end: u64,
    run: u64,
    worker: u32,
    amendments: HashMap<u64, Amend>,
    next: Option<(u64, String)>,
}

impl Stream {
    fn new(opened: &Opened) -> Stream {
        let (run, worker) = (opened.file.run, opened.file.worker);
        let amendments = opened.amendments();
        Stream { cursor: opened.cursor(), end: opened.extent.end, run, worker, amendments, next: None }
    }

    fn pull(&mut self, format: Format, names: &Dictionary, filters: &[Filter]) -> Result<()> {
        self.next = None;
        loop {
            match self.cursor.next_before(self.end) {
                Item::Call(view) => {
                    let view = amended(view, &self.amendments);
                    let call = Call { view, run: self.run, worker: self.worker, dictionary: names };
                    if all_hold(filters, &call) {
                        self.next = Some((call.view.record.time_ns, call_line(format, &call)?));
                        return Ok(());
                    }
                }
                Item::End => return Ok(()),
                Item::Damage { at, to, why } => eprintln!(
                    "penstock-ring: run {} worker {}: {why}; bytes {at} to {to} left out",
                    self.run, self.worker
                ),
                Item::Amend(_) | Item::Lapped { .. } => {}
            }
        }
    }
}

/// Shows the lines of all matching calls to `each`, by the time at which the calls began.
fn merged(
    opened: &[Opened],
    format: Format,
    names: &Dictionary,
    filters: &[Filter],
    mut each: impl FnMut(String) -> Result<()>,
) -> Result<()> {
    let mut streams: Vec<Stream> = opened.iter().map(Stream::new).collect();
    for stream in &mut streams {
        stream.pull(format, names, filters)?;
    }
    loop {
        let first = streams
            .iter_mut()
            .filter(|stream| stream.next.is_some())
            .min_by_key(|stream| stream.next.as_ref().map(|(time_ns, _)| *time_ns));
        let Some(stream) = first else { return Ok(()) };
        if let Some((_, line)) = stream.next.take() {
            each(line)?;
        }
        stream.pull(format, names, filters)?;
    }
}

/// Prints everything that is still readable.
pub(crate) fn dump(data_dir: &Path, format: Format, filters: &[Filter]) -> Result<bool> {
    let (opened, names) = (open_all(data_dir)?, dictionary(data_dir)?);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if let Some(head) = call_head(format) {
        writeln!(out, "{head}")?;
    }
    merged(&opened, format, &names, filters, |line| Ok(writeln!(out, "{line}")?))?;
    out.flush()?;
    Ok(true)
}

/// Prints the newest calls and, if asked, goes on.
pub(crate) fn tail(
    data_dir: &Path,
    format: Format,
    lines: usize,
    follow: bool,
    filters: &[Filter],
) -> Result<bool> {
    let (opened, mut names) = (open_all(data_dir)?, dictionary(data_dir)?);
    let mut newest = VecDeque::new();
    merged(&opened, format, &names, filters, |line| {
        newest.push_back(line);
        if newest.len() > lines {
            newest.pop_front();
        }
        Ok(())
    })?;
    let mut out = std::io::stdout().lock();
    for line in call_head(format).into_iter().chain(newest) {
        writeln!(out, "{line}")?;
    }
    if !follow {
        return Ok(true);
    }
    let folder = folder(data_dir)?;
    let mut followed: Vec<(RingFile, Cursor)> =
        opened.into_iter().map(|ring| (ring.file, Cursor::at(ring.ring, ring.extent.end))).collect();
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        names.refresh(&folder)?;
        for file in ring_files(&folder)? {
            // A half-made ring has no header yet; it is there at the next look.
            if followed.iter().all(|(known, _)| *known != file)
                && let Ok(ring) = open(&folder, file)
            {
                followed.push((ring.file.clone(), ring.cursor()));
            }
        }
        for (file, cursor) in &mut followed {
            follow_once(&mut out, format, file, cursor, &names, filters)?;
        }
        out.flush()?;
    }
}

fn follow_once(
    out: &mut impl Write,
    format: Format,
    file: &RingFile,
    cursor: &mut Cursor,
    names: &Dictionary,
    filters: &[Filter],
) -> Result<()> {
    loop {
        match cursor.read_next() {
            Item::Call(view) => {
                let call = Call { view, run: file.run, worker: file.worker, dictionary: names };
                if all_hold(filters, &call) {
                    writeln!(out, "{}", call_line(format, &call)?)?;
                }
            }
            // On stderr, so that stdout keeps one shape.
            Item::Amend(amend) => eprintln!(
                "amended: {}-w{}:{} {}",
                file.run,
                file.worker,
                amend.sequence,
                AmendReason::from_code(amend.reason).map_or("unknown", AmendReason::name)
            ),
            Item::Lapped { from, to } => {
                eprintln!("penstock-ring: too slow: bytes {from} to {to} were overwritten")
            }
            Item::Damage { at, to, why } => eprintln!("penstock-ring: {why}; bytes {at} to {to} left out"),
            Item::End => return Ok(()),
        }
    }
}
