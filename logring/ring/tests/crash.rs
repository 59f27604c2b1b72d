//! `kill -9` at any moment: every call whose append returned is readable exactly once afterwards,
//! and a drain that keeps its position with its results counts each call once across its own death.
//!
//! The test runs itself as the child. `PENSTOCK_KILLS` sets how many children are killed.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and the environment")]

mod common;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{CAPACITY, append, check};
use penstock_ring::{Cursor, Drain, Item, RingWriter, Run, boot_id, extent};

const CHILD_FOLDER: &str = "PENSTOCK_RING_CRASH_CHILD";
const KILLS: &str = "PENSTOCK_KILLS";
const KILLS_DEFAULT: u64 = 30;

/// What a drain keeps of one batch, in one write: where it stands, how many calls, their sequences.
fn save_batch(out: &mut impl Write, position: u64, sequences: &[u64]) {
    let words = [position, sequences.len() as u64];
    let bytes: Vec<u8> = words.iter().chain(sequences).flat_map(|word| word.to_le_bytes()).collect();
    out.write_all(&bytes).expect("batch saved");
}

/// Whole batches of the file: the last position, and all sequences.
fn load_batches(path: &Path) -> (u64, Vec<u64>) {
    let bytes = std::fs::read(path).unwrap_or_default();
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect();
    let (mut position, mut sequences, mut rest) = (0, Vec::new(), &words[..]);
    while let [at, count, tail @ ..] = rest {
        let Some(batch) = tail.get(..*count as usize) else { break };
        sequences.extend_from_slice(batch);
        position = *at;
        rest = &tail[*count as usize..];
    }
    (position, sequences)
}

/// Reads all that is published, saves it, then makes room: the order that loses nothing.
fn drain_once(drain: &mut Drain, out: &mut impl Write) -> usize {
    let mut sequences = Vec::new();
    let end = drain.ring().written();
    loop {
        match drain.next_before(end) {
            Item::Call(call) => {
                check(&call);
                sequences.push(call.record.sequence);
            }
            Item::End => break,
            other => panic!("{other:?}"),
        }
    }
    if !sequences.is_empty() {
        save_batch(out, drain.position(), &sequences);
    }
    drain.commit();
    sequences.len()
}

fn batches_path(folder: &Path, run: u64) -> PathBuf {
    folder.join(format!("{run}.batches"))
}

/// The child: one thread publishes and then acknowledges on stdout, one drains; until it is killed.
fn publish_until_killed(folder: &Path) -> ! {
    let run = Run::begin(folder).expect("a run");
    let ring = run.create_ring(0, CAPACITY, 1).expect("a ring");
    let drained = ring.clone();
    let path = batches_path(folder, run.number());
    std::thread::spawn(move || {
        let mut out = OpenOptions::new().create(true).append(true).open(path).expect("batches");
        let mut drain = Drain::new(drained);
        loop {
            drain_once(&mut drain, &mut out);
            std::thread::yield_now();
        }
    });
    let mut writer = RingWriter::new(ring);
    let mut told = std::io::stdout().lock();
    loop {
        if let Ok(sequence) = append(&mut writer)
            && told.write_all(&sequence.to_le_bytes()).is_err()
        {
            std::process::exit(0);
        }
    }
}

/// Starts a child, lets it acknowledge `count` calls, kills it, returns all it acknowledged.
fn kill_after(folder: &Path, count: u64) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "calls_survive_kill_exactly_once", "--nocapture", "--quiet"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("child");
    let mut pipe = child.stdout.take().expect("pipe");
    // The test harness prints its own lines first; acknowledgements follow, and start with 1.
    let mut bytes = Vec::new();
    let mut chunk = [0; 64];
    while (bytes.len() as u64) < count * 8 + 64 {
        let read = pipe.read(&mut chunk).expect("acknowledgements");
        assert!(read > 0, "the child ended by itself: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
    child.kill().expect("killed");
    child.wait().expect("reaped");
    pipe.read_to_end(&mut bytes).expect("the rest");
    let first = bytes.windows(8).position(|word| word == 1u64.to_le_bytes()).expect("a first call");
    bytes[first..]
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
        .collect()
}

#[test]
fn calls_survive_kill_exactly_once() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        publish_until_killed(Path::new(&folder));
    }
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS_DEFAULT);
    let folder = std::env::temp_dir().join(format!("penstock-crash-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let (mut acknowledged_sum, mut drained_late) = (0, 0);
    for kill in 0..kills {
        // A spread of moments: within the first block, within the first lap, after many laps.
        let acknowledged = kill_after(&folder, 1 + kill.wrapping_mul(2_654_435_761) % 6000);
        acknowledged_sum += acknowledged.len();
        let run = Run::adopt(&folder, kill + 1).expect("lock").expect("the lock of a killed process is free");
        let file = &run.ring_files().expect("listed")[0];
        let ring = run.open_ring(file).expect("opened");
        assert!(!extent(&ring, boot_id().expect("boot id")).scanned);

        // The new drain goes on where the saved results end.
        let path = batches_path(&folder, run.number());
        let (position, before) = load_batches(&path);
        let mut late = Vec::new();
        let mut drain = Drain::resume(ring.clone(), position);
        drained_late += drain_once(&mut drain, &mut late);
        std::fs::write(&path, &late).expect("rewritten");
        let (_, after) = load_batches(&path);
        let all: Vec<u64> = before.iter().chain(&after).copied().collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "kill {kill}: a call was read twice");
        let read: std::collections::HashSet<u64> = all.iter().copied().collect();
        for sequence in &acknowledged {
            assert!(read.contains(sequence), "kill {kill}: call {sequence} was published and is lost");
        }
        let missing = all.last().copied().unwrap_or(0) - all.len() as u64;
        assert!(missing <= ring.dropped(), "kill {kill}: {missing} missing, {} dropped", ring.dropped());

        // What is drained is still readable from the oldest on, without a fault.
        let mut cursor = Cursor::oldest(ring);
        loop {
            match cursor.read_next() {
                Item::Call(call) => check(&call),
                Item::End => break,
                other => panic!("kill {kill}: {other:?}"),
            }
        }
        run.remove().expect("removed");
        std::fs::remove_file(path).expect("removed");
    }
    println!("{kills} kills, {acknowledged_sum} calls acknowledged, {drained_late} read after the death");
    std::fs::remove_dir_all(&folder).expect("removed");
}
