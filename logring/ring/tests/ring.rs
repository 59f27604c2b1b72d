//! The ring over plain memory: round trips, wraps, full rings, laps, amendments, damage, other boots.

mod common;

use common::{BOOT, CAPACITY, append, check, ring_of};
use penstock_ring::{
    AI_ATTEMPTS, AiAttempt, AiCall, Amend, AmendReason, BLOCK_BYTES, CallRecord, CallStrings, Cursor, Damage,
    Drain, FRAME_BYTES_MAX, FrameError, Full, HeaderError, Item, Memory, Ring, RingWriter, SLOT_BYTES_MAX,
    SLOTS, Slot, Tokens, extent, recover,
};
use proptest::prelude::*;
use std::sync::atomic::Ordering;

/// Reads everything up to the end: sequences of calls, and the damage stepped over.
fn read_all(cursor: &mut Cursor, end: u64) -> (Vec<u64>, Vec<(u64, u64, Damage)>) {
    let (mut sequences, mut damage) = (Vec::new(), Vec::new());
    loop {
        match cursor.next_before(end) {
            Item::Call(call) => {
                check(&call);
                sequences.push(call.record.sequence);
            }
            Item::Damage { at, to, why } => damage.push((at, to, why)),
            Item::End => return (sequences, damage),
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn commit_all(ring: &Ring) {
    let mut drain = Drain::new(ring.clone());
    while !matches!(drain.read_next(), Item::End) {}
    drain.commit();
}

fn byte_flip(ring_memory: &Memory, at: u64, capacity: u64) {
    let offset = 4096 + at % capacity;
    let word = &ring_memory.words()[offset as usize / 8];
    word.fetch_xor(1 << (offset % 8 * 8), Ordering::Relaxed);
}

fn filled(capacity: u64) -> (Memory, Ring, RingWriter) {
    let memory = Memory::plain(capacity as usize + 4096);
    let identity = penstock_ring::Identity { capacity, run: 1, worker: 0, created_ns: 1, boot_id: BOOT };
    let ring = Ring::format(memory.clone(), identity).expect("formatted");
    let mut writer = RingWriter::new(ring.clone());
    while append(&mut writer).is_ok() {}
    (memory, ring, writer)
}

#[test]
fn a_full_ring_drops_and_counts_and_goes_on_once_there_is_room() {
    let ring = ring_of(CAPACITY);
    let mut writer = RingWriter::new(ring.clone());
    let mut record = CallRecord::default();
    let mut append = || writer.append(&mut record, &CallStrings::default());
    let mut published = 0;
    while append().is_ok() {
        published += 1;
    }
    assert_eq!(ring.dropped(), 1);
    let written = ring.written();
    for _ in 0..10 {
        assert_eq!(append(), Err(Full));
    }
    assert_eq!((ring.dropped(), ring.written()), (11, written));
    commit_all(&ring);
    assert_eq!(append(), Ok(published + 12), "dropped calls leave a gap in the sequence");
    assert_eq!((writer.sequence(), writer.dropped()), (published + 12, 11));
}

#[test]
fn drained_calls_stay_readable_until_they_are_overwritten() {
    let (_, ring, mut writer) = filled(CAPACITY);
    commit_all(&ring);
    let (sequences, damage) = read_all(&mut Cursor::oldest(ring.clone()), ring.written());
    assert_eq!((sequences[0], damage.len()), (1, 0));
    // Half a lap more: the older half is gone, from `oldest` on everything is whole.
    let until = ring.written() + CAPACITY / 2;
    while ring.written() < until {
        append(&mut writer).expect("room");
    }
    assert!(ring.oldest() > 0 && ring.oldest() % BLOCK_BYTES == 0);
    let (sequences, damage) = read_all(&mut Cursor::oldest(ring.clone()), ring.written());
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(sequences.last(), Some(&writer.sequence()));
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_slow_cursor_is_told_that_it_was_lapped() {
    let ring = ring_of(CAPACITY);
    let mut writer = RingWriter::new(ring.clone());
    append(&mut writer).expect("room");
    let mut cursor = Cursor::oldest(ring.clone());
    for _ in 0..1000 {
        commit_all(&ring);
        append(&mut writer).expect("room");
    }
    let Item::Lapped { from: 0, to } = cursor.read_next() else {
        panic!("the first frame is long overwritten");
    };
    assert!(to >= ring.oldest());
    let (sequences, damage) = read_all(&mut cursor, ring.written());
    assert!(damage.is_empty() && sequences.last() == Some(&writer.sequence()));
}

#[test]
fn an_amendment_follows_its_call() {
    let ring = ring_of(CAPACITY);
    let mut writer = RingWriter::new(ring.clone());
    let sequence = append(&mut writer).expect("room");
    let amend = Amend {
        sequence,
        bytes_out: 17,
        duration_us: 9,
        reason: AmendReason::SendShort.code(),
        ..Amend::default()
    };
    writer.amend(&amend).expect("room");
    let mut cursor = Cursor::oldest(ring);
    let Item::Call(call) = cursor.read_next() else { panic!("a call first") };
    let mut record = call.record;
    let Item::Amend(read) = cursor.read_next() else { panic!("then its amendment") };
    assert_eq!(read, amend);
    read.apply(&mut record);
    assert_eq!((record.bytes_out, record.duration_us, record.status), (17, 9, 200));
}

#[test]
fn the_longest_call_fits_its_bound_and_comes_back_whole() {
    let text = vec![b'x'; 5000];
    let strings = CallStrings {
        request_id: &text,
        host: &text,
        path: &text,
        target: &text,
        subject: &text,
        method: &text,
        tags: &text,
        model_asked: &text,
        model_served: &text,
        degraded: &text,
        end_user: &text,
    };
    let mut ai = AiCall::default();
    for index in 0..12 {
        ai.attempt(AiAttempt {
            model: index,
            tokens: Tokens { output: 2, ..Tokens::default() },
            ..AiAttempt::default()
        });
    }
    let ring = ring_of(CAPACITY);
    let mut writer = RingWriter::new(ring.clone());
    let mut record = CallRecord::default();
    writer.append_ai(&mut record, &strings, &ai).expect("room");
    assert_eq!(ring.written(), FRAME_BYTES_MAX as u64);
    let mut cursor = Cursor::oldest(ring);
    let Item::Call(call) = cursor.read_next() else { panic!("a call") };
    assert_eq!(call.record, record);
    for (slot, text) in [(Slot::Path, call.string(Slot::Path)), (Slot::EndUser, call.string(Slot::EndUser))] {
        assert_eq!(text.len(), SLOT_BYTES_MAX[slot as usize]);
        assert!(call.truncated(slot));
    }
    assert_eq!(call.truncated_bits().count_ones() as usize, SLOTS);
    let read = call.ai().expect("an AI block");
    assert_eq!(read, ai);
    assert_eq!(
        (read.attempts().len(), read.head.rest_attempts, read.head.rest_tokens.output),
        (AI_ATTEMPTS, 4, 8)
    );
}

#[test]
fn damage_is_named_and_stepped_over_and_costs_at_most_a_block() {
    type Harm = fn(&Memory, u64);
    type Told = fn(&Damage) -> bool;
    let cases: [(&str, Harm, Told); 4] = [
        (
            "flipped bit",
            |memory, at| byte_flip(memory, at + 100, CAPACITY),
            |why| matches!(why, Damage::Frame(FrameError::Checksum)),
        ),
        (
            "zeroed page",
            |memory, at| {
                for word in &memory.words()[(4096 + at as usize) / 8..][..512] {
                    word.store(0, Ordering::Relaxed);
                }
            },
            |why| matches!(why, Damage::Frame(FrameError::Magic)),
        ),
        (
            "stale lap",
            |memory, at| {
                memory.words()[(4096 + at as usize) / 8 + 1].store(at + CAPACITY * 9, Ordering::Relaxed)
            },
            |why| matches!(why, Damage::Frame(FrameError::Position(_))),
        ),
        (
            "length",
            |memory, at| {
                memory.words()[(4096 + at as usize) / 8 + 2].fetch_or(0xFFFF_FFFF, Ordering::Relaxed);
            },
            |why| matches!(why, Damage::Frame(FrameError::Length(_))),
        ),
    ];
    for (name, harm, expected) in cases {
        let (memory, ring, writer) = filled(CAPACITY);
        let all: Vec<u64> = (1..writer.sequence()).collect();
        // The start of the second block is the start of a frame.
        harm(&memory, BLOCK_BYTES);
        let (sequences, damage) = read_all(&mut Cursor::oldest(ring.clone()), ring.written());
        assert_eq!(damage.len(), 1, "{name}: {damage:?}");
        let (at, to, why) = damage[0];
        assert_eq!((at, to), (BLOCK_BYTES, 2 * BLOCK_BYTES), "{name}");
        assert!(expected(&why), "{name}: {why:?}");
        assert!(
            sequences.len() < all.len() && sequences.iter().all(|sequence| all.contains(sequence)),
            "{name}"
        );
        assert_eq!(sequences.last(), all.last(), "{name}: what follows the block is read");
    }
}

#[test]
fn a_file_cut_short_is_read_as_far_as_it_goes() {
    let (memory, ring, _) = filled(CAPACITY);
    let kept = 4096 + BLOCK_BYTES as usize + 1000;
    let cut = Memory::plain(kept);
    for (to, from) in cut.words().iter().zip(memory.words()) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    assert!(matches!(Ring::open(cut.clone()), Err(HeaderError::Cut { .. })));
    let cut = Ring::open_damaged(cut).expect("readable");
    let (sequences, damage) = read_all(&mut Cursor::oldest(cut), ring.written());
    assert!(!sequences.is_empty());
    assert!(!damage.is_empty() && damage.iter().all(|(_, _, why)| matches!(why, Damage::Cut)), "{damage:?}");
}

#[test]
fn a_foreign_header_is_a_clear_error() {
    let memory = Memory::plain(CAPACITY as usize + 4096);
    assert!(matches!(Ring::open(memory), Err(HeaderError::Magic)));
    let (memory, _, _) = filled(CAPACITY);
    memory.words()[1].store(2, Ordering::Relaxed);
    assert!(matches!(Ring::open(memory), Err(HeaderError::Version(2))));
    let (memory, _, _) = filled(CAPACITY);
    memory.words()[2].store(12345, Ordering::Relaxed);
    assert!(matches!(Ring::open(memory), Err(HeaderError::Capacity(12345))));
    assert!(matches!(Ring::open(Memory::plain(100)), Err(HeaderError::Cut { .. })));
}

#[test]
fn after_another_boot_the_end_is_found_by_position_and_checksum() {
    // `laps` of writing, then the header of an earlier moment comes back, as after a power cut.
    for calls in [0u64, 1, 50, 300, 2000] {
        let memory = Memory::plain(CAPACITY as usize + 4096);
        let identity =
            penstock_ring::Identity { capacity: CAPACITY, run: 1, worker: 0, created_ns: 1, boot_id: BOOT };
        let ring = Ring::format(memory.clone(), identity).expect("formatted");
        let mut writer = RingWriter::new(ring.clone());
        let old: Vec<u64> = memory.words()[..512].iter().map(|word| word.load(Ordering::Relaxed)).collect();
        for _ in 0..calls {
            if append(&mut writer).is_err() {
                commit_all(&ring);
            }
        }
        let (written, oldest) = (ring.written(), ring.oldest());
        assert!(!extent(&ring, BOOT).scanned);
        for (word, old) in memory.words().iter().zip(old) {
            word.store(old, Ordering::Relaxed);
        }
        let found = extent(&ring, [9; 16]);
        assert_eq!((found.end, found.oldest, found.scanned), (written, oldest, true), "{calls} calls");
        // A page in the newest block did not reach the disk: the end is before it, the rest is there.
        let newest = written.saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES;
        if written - newest > 8192 {
            for word in &memory.words()[(4096 + newest % CAPACITY + 4096) as usize / 8..][..512] {
                word.store(0, Ordering::Relaxed);
            }
            let torn = extent(&ring, [9; 16]);
            assert!(torn.end >= newest && torn.end < written, "{calls} calls");
        }
        let found = recover(&ring, [9; 16]);
        let ring = Ring::open(memory).expect("reopened");
        assert!(!extent(&ring, [9; 16]).scanned, "recovery notes the boot");
        let (_, damage) = read_all(&mut Cursor::oldest(ring.clone()), found.end);
        assert!(damage.is_empty(), "{calls} calls: {damage:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_call_comes_back_as_it_was(
        status in any::<u16>(), ids in any::<[u32; 4]>(), bytes in any::<u64>(), remaining in any::<i64>(),
        path in proptest::collection::vec(any::<u8>(), 0..2048), tags in "[a-z=,]{0,64}", attempts in 0usize..10,
    ) {
        let ring = ring_of(CAPACITY);
        let mut writer = RingWriter::new(ring.clone());
        let mut record = CallRecord {
            status, tenant: ids[0], app: ids[1], route: ids[2], target: ids[3], bytes_in: bytes,
            limit_remaining: remaining, ..CallRecord::EMPTY
        };
        let strings = CallStrings { path: &path, tags: tags.as_bytes(), ..CallStrings::default() };
        let mut ai = AiCall::default();
        for index in 0..attempts {
            ai.attempt(AiAttempt { key: index as u32, cost_nanodollars: remaining, ..AiAttempt::default() });
        }
        let appended = if attempts == 0 {
            writer.append(&mut record, &strings)
        } else {
            writer.append_ai(&mut record, &strings, &ai)
        };
        prop_assert_eq!(appended, Ok(1));
        let mut cursor = Cursor::oldest(ring);
        let Item::Call(call) = cursor.read_next() else { panic!("a call") };
        prop_assert_eq!(&call.record, &record);
        prop_assert_eq!(call.string(Slot::Path), &path[..]);
        prop_assert_eq!(call.string(Slot::Tags), tags.as_bytes());
        prop_assert_eq!(call.string(Slot::Host), b"");
        prop_assert_eq!(call.truncated_bits(), 0);
        prop_assert_eq!(call.ai(), (attempts > 0).then_some(ai));
    }

    #[test]
    fn every_wrap_keeps_every_call_and_a_frame_starts_every_block(
        lengths in proptest::collection::vec(0usize..2600, 400..1200), drain_every in 1usize..90,
    ) {
        let ring = ring_of(CAPACITY);
        let mut writer = RingWriter::new(ring.clone());
        let mut drain = Drain::new(ring.clone());
        let text = vec![b'p'; 2600];
        let mut next = 1;
        for (index, &length) in lengths.iter().enumerate() {
            let mut record = CallRecord::default();
            let strings = CallStrings { path: &text[..length], ..CallStrings::default() };
            prop_assert_eq!(writer.append(&mut record, &strings), Ok(index as u64 + 1));
            if index % drain_every == 0 || index + 1 == lengths.len() {
                loop {
                    match drain.read_next() {
                        Item::Call(call) => {
                            prop_assert_eq!(call.record.sequence, next);
                            let kept = lengths[next as usize - 1].min(2048);
                            prop_assert_eq!(call.string(Slot::Path).len(), kept);
                            next += 1;
                        }
                        Item::End => break,
                        other => panic!("{other:?}"),
                    }
                }
                drain.commit();
            }
        }
        prop_assert_eq!(next as usize, lengths.len() + 1);
        let mut block = ring.oldest();
        while block < ring.written() {
            let found = matches!(Cursor::at(ring.clone(), block).read_next(), Item::Call(_));
            prop_assert!(found, "no frame at block {}", block);
            block += BLOCK_BYTES;
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_stand_still(
        noise in proptest::collection::vec((0u64..CAPACITY / 8, any::<u64>()), 1..200),
    ) {
        let (memory, ring, _) = filled(CAPACITY);
        for (word, value) in noise {
            memory.words()[512 + word as usize].store(value, Ordering::Relaxed);
        }
        let mut cursor = Cursor::oldest(ring.clone());
        let mut last = cursor.position();
        loop {
            if matches!(cursor.read_next(), Item::End) {
                break;
            }
            prop_assert!(cursor.position() > last);
            last = cursor.position();
        }
        let _ = extent(&ring, [1; 16]);
    }
}
