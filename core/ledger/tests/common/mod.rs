//! Attempts whose content follows from a number, so that a reader can tell a wrong one; and a folder that goes away.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use penstock_ai::catalogue::{Billed, NanoUsd, PriceId};
use penstock_ai::usage::Usage;
use penstock_ledger::{Booked, Books, Cursor, Intent, Item, Outcome, Segment, Settlement};

static MADE: AtomicU32 = AtomicU32::new(0);

/// In memory where there is such a folder: syncing a small segment is not what these tests are about.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("penstock-ledger-{}-{name}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn reservation(call: u64) -> NanoUsd {
    NanoUsd(1_000_000 + call % 1000)
}

pub(crate) fn cost(call: u64) -> NanoUsd {
    NanoUsd(500_000 + call % 1000)
}

pub(crate) fn intent(call: u64) -> Intent<'static> {
    Intent {
        request_id: call.into(),
        attempt: 1,
        time_ns: 1_795_000_000_000_000_000 + call,
        reservation: reservation(call),
        price: Some(PriceId(77)),
        tenant: "acme",
        team: "team",
        app: "app",
        model: "model",
        provider: "provider",
        ..Intent::default()
    }
}

pub(crate) fn settlement(call: u64) -> Settlement<'static> {
    const MODELS: [&str; 3] = ["", "model-1", "model-two"];
    const RESPONSES: [&str; 2] = ["", "response-1"];
    Settlement {
        time_ns: 1_795_000_001_000_000_000 + call,
        outcome: Outcome::Settled,
        billed: Billed::from(Usage { input: call, output: call * 3, ..Usage::default() }),
        cost: cost(call),
        price: Some(PriceId(77)),
        model: MODELS[call as usize % 3],
        response_id: RESPONSES[call as usize % 2],
        flags: 0,
    }
}

/// Reads segments from their beginnings; tears are passed over.
pub(crate) fn read(segments: &[Arc<Segment>], books: &mut Books, mut take: impl FnMut(&Booked<'_>)) {
    for segment in segments {
        let mut cursor = Cursor::at(segment.clone(), 0);
        loop {
            match cursor.read_next() {
                Item::Line(line) => assert!(books.take(&line, &mut take), "a line that means nothing"),
                Item::Tear { .. } => {}
                Item::End => break,
            }
        }
    }
}

/// Reads segments, and tells what ended in a line each.
pub(crate) fn read_all(segments: &[Arc<Segment>]) -> (Books, Vec<String>) {
    let (mut books, mut told) = (Books::default(), Vec::new());
    read(segments, &mut books, |booked| {
        let (intent, settlement) = (&booked.intent, &booked.settlement);
        told.push(format!(
            "{}/{} {}/{}/{} {} {} {} {} {} flags {}{}",
            intent.request_id,
            intent.attempt,
            intent.tenant,
            intent.team,
            intent.app,
            settlement.outcome.state().name(),
            settlement.outcome.rule(),
            settlement.cost.0,
            settlement.model,
            settlement.response_id,
            booked.flags,
            if booked.is_orphan { " orphan" } else { "" },
        ));
    });
    (books, told)
}
