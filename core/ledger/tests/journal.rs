//! Journals in real files: what is written comes back, bounds hold, tears are found, and settling never fails.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{Folder, intent, read_all, settlement};
use penstock_ai::catalogue::{Billed, NanoUsd, PriceId, Service};
use penstock_ai::usage::Usage;
use penstock_ledger::*;
use proptest::prelude::*;

fn small(segments_max: usize) -> Options {
    Options { segment_bytes: SEGMENT_BYTES_MIN, segments_max, ..Options::default() }
}

fn segment_files(folder: &Folder) -> Vec<PathBuf> {
    readable_segments(folder.path(), 0).unwrap().into_iter().map(|file| file.path).collect()
}

#[test]
fn an_attempt_comes_back_as_it_was() {
    let folder = Folder::new("back");
    let (mut journal, keeper) = Journal::open(folder.path(), 3, Options::default(), 7).unwrap();
    let entry = journal.intent(&intent(1)).unwrap();
    assert_eq!((entry.request_id(), entry.attempt(), entry.reservation()), (1, 1, NanoUsd(1_000_001)));
    let (books, booked) = read_all(keeper.segments());
    assert_eq!((books.open_attempts(), booked.len()), (1, 0));
    journal.settle(entry, &settlement(1));
    let (books, booked) = read_all(keeper.segments());
    assert_eq!((books.open_attempts(), journal.open_attempts(), booked.len()), (0, 0, 1));
    assert_eq!(booked[0], "1/1 acme/team/app settled none 500001 model-1 response-1 flags 0");
    assert_eq!(keeper.segments()[0].id(), SegmentId { journal: 3, sequence: 1, created_ns: 7 });
}

#[test]
fn an_attempt_that_is_left_open_is_booked_at_its_reservation() {
    let folder = Folder::new("open");
    let (mut journal, keeper) = Journal::open(folder.path(), 0, Options::default(), 7).unwrap();
    drop(journal.intent(&intent(9)).unwrap());
    let (books, booked) = read_all(keeper.segments());
    assert!(booked.is_empty());
    let crashed: Vec<_> = books.crashed().collect();
    assert_eq!(crashed.len(), 1);
    assert_eq!(crashed[0].settlement.cost, NanoUsd(1_000_009));
    assert_eq!(crashed[0].settlement.outcome, Outcome::Estimated(Rule::CRASH));
    assert_eq!((crashed[0].intent.tenant, crashed[0].intent.request_id), ("acme", 9));
}

#[test]
fn bounds_of_texts_and_amounts_are_kept_and_flagged() {
    let folder = Folder::new("bounds");
    let (mut journal, keeper) = Journal::open(folder.path(), 0, Options::default(), 7).unwrap();
    let long = "\u{e4}".repeat(200);
    let told = Intent { tenant: &long, tags: &long, reservation: NanoUsd(u64::MAX), ..intent(1) };
    let entry = journal.intent(&told).unwrap();
    assert_eq!(entry.reservation(), AMOUNT_MAX);
    journal.settle(entry, &Settlement { model: &long, cost: NanoUsd(u64::MAX), ..settlement(1) });
    let entry = journal.intent(&intent(2)).unwrap();
    let estimate = Settlement::estimated(5, Rule::COUNTED, NanoUsd(u64::MAX));
    journal.settle(entry, &Settlement { flags: 0xff, ..estimate });
    let entry = journal.intent(&intent(3)).unwrap();
    journal.settle(entry, &Settlement { cost: NanoUsd(1_000_004), ..settlement(3) });

    let mut seen = Vec::new();
    common::read(keeper.segments(), &mut Books::default(), |booked| {
        let texts = (booked.intent.tenant.len(), booked.intent.tags.len(), booked.settlement.model.len());
        seen.push((texts, booked.settlement.cost, booked.flags));
    });
    use flag::{AMOUNT_CAPPED, MODEL_DIFFERS, OVER_RESERVATION, PRICE_UNKNOWN, TEXT_CUT};
    assert_eq!(seen[0], ((NAME_BYTES_MAX, 254, 254), AMOUNT_MAX, TEXT_CUT | AMOUNT_CAPPED));
    // An estimate is never more than the reservation; only two flags are the caller's.
    assert_eq!((seen[1].1, seen[1].2), (NanoUsd(1_000_002), AMOUNT_CAPPED | MODEL_DIFFERS | PRICE_UNKNOWN));
    assert_eq!((seen[2].1, seen[2].2), (NanoUsd(1_000_004), OVER_RESERVATION));
}

#[test]
fn a_journal_has_one_owner() {
    let folder = Folder::new("owner");
    let (journal, keeper) = Journal::open(folder.path(), 0, Options::default(), 7).unwrap();
    assert!(matches!(Journal::open(folder.path(), 0, Options::default(), 8), Err(LedgerError::Held { .. })));
    assert!(lock(folder.path(), 0).unwrap().is_none());
    assert!(lock(folder.path(), 1).unwrap().is_some());
    let keeper = *keeper.into_held().unwrap_err();
    drop(journal);
    let held = keeper.into_held().unwrap();
    assert!(lock(folder.path(), 0).unwrap().is_none(), "still held");
    // What follows stands behind what is there.
    let before = held.segments().unwrap().last().unwrap().sequence;
    let (_journal, keeper) = held.begin(Options::default(), 9).unwrap();
    assert_eq!(keeper.segments()[0].id().sequence, before + 1);
}

#[test]
fn options_out_of_bounds_are_refused() {
    let folder = Folder::new("options");
    for options in [
        Options { segment_bytes: SEGMENT_BYTES_MIN - 4096, ..Options::default() },
        Options { segment_bytes: SEGMENT_BYTES_MIN + 8, ..Options::default() },
        Options { segment_bytes: SEGMENT_BYTES_MAX + 4096, ..Options::default() },
        Options { segments_max: SPARES, ..Options::default() },
        Options { segments_max: SEGMENTS_MAX + 1, ..Options::default() },
    ] {
        let opened = Journal::open(folder.path(), 0, options, 7);
        assert!(matches!(opened, Err(LedgerError::Options(_))), "{options:?}");
    }
}

/// Everything was used, and as much as can be counted.
fn all_max() -> Billed {
    let max = u64::MAX;
    let usage = Usage {
        input: max,
        cached_read: max,
        cache_write: max,
        cache_write_1h: max,
        audio_input: max,
        output: max,
        reasoning: max,
        audio_output: max,
        searches: max,
    };
    Billed {
        usage,
        audio_cached_read: max,
        image_input: max,
        image_cached_read: max,
        image_output: max,
        video_input: max,
        video_output: max,
        characters: max,
        images: max,
        duration_ms: max,
        pages: max,
        service: Service::Fast,
    }
}

#[test]
fn a_full_journal_refuses_intents_and_takes_every_settlement() {
    let folder = Folder::new("full");
    let (mut journal, mut keeper) = Journal::open(folder.path(), 0, small(4), 7).unwrap();
    let mut entries = Vec::new();
    loop {
        match journal.intent(&intent(entries.len() as u64)) {
            Ok(entry) => entries.push(entry),
            Err(LedgerError::Full) => {
                // With all segments made ready it stays full.
                keeper.prepare(8).unwrap();
                match journal.intent(&intent(entries.len() as u64)) {
                    Ok(entry) => entries.push(entry),
                    Err(error) => {
                        assert!(matches!(error, LedgerError::Full));
                        break;
                    }
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(keeper.segments().len(), 4);
    assert!(keeper.refused() >= 2);
    let count = entries.len();
    for (call, entry) in entries.into_iter().enumerate() {
        let text = "x".repeat(TEXT_BYTES_MAX);
        // The largest settlement there is: it fills the place that was kept for it.
        let largest =
            Settlement { billed: all_max(), model: &text, response_id: &text, ..settlement(call as u64) };
        journal.settle(entry, &largest);
    }
    assert_eq!(read_all(keeper.segments()).1.len(), count);
    // A segment that is freed makes room again.
    assert!(keeper.segments()[0].is_ended());
    keeper.free(keeper.segments()[0].id().sequence).unwrap();
    keeper.prepare(9).unwrap();
    let entry = journal.intent(&intent(1)).unwrap();
    journal.settle(entry, &settlement(1));
}

#[test]
fn an_entry_is_settled_in_its_own_journal_only() {
    let folder = Folder::new("own");
    let (mut one, _) = Journal::open(folder.path(), 0, Options::default(), 7).unwrap();
    let (mut other, _) = Journal::open(folder.path(), 1, Options::default(), 7).unwrap();
    let entry = one.intent(&intent(1)).unwrap();
    let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        other.settle(entry, &settlement(1));
    }));
    assert!(settled.is_err());
}

#[test]
fn both_ways_of_syncing_write_to_disk() {
    let folder = Folder::new("sync");
    for (number, sync) in [Sync::Always, Sync::Interval(Duration::from_millis(1))].into_iter().enumerate() {
        let options = Options { sync, ..Options::default() };
        let (mut journal, keeper) = Journal::open(folder.path(), number as u32, options, 7).unwrap();
        let entry = journal.intent(&intent(1)).unwrap();
        journal.settle(entry, &settlement(1));
        for segment in keeper.segments() {
            segment.sync().unwrap();
        }
        assert_eq!(keeper.sync_failures(), 0);
        assert_eq!(read_all(keeper.segments()).1.len(), 1);
    }
}

/// A journal of some attempts, the last of them open, as a killed process leaves it; its bytes and where its lines end.
fn left_behind(folder: &Folder) -> (Vec<u8>, Vec<usize>) {
    let (mut journal, keeper) = Journal::open(folder.path(), 0, small(8), 7).unwrap();
    let mut ends = vec![SEGMENT_HEAD_BYTES as usize];
    for call in 0..6 {
        let entry = journal.intent(&intent(call)).unwrap();
        ends.push(keeper.segments()[0].written() as usize);
        if call < 5 {
            journal.settle(entry, &settlement(call));
            ends.push(keeper.segments()[0].written() as usize);
        }
    }
    (fs::read(&segment_files(folder)[0]).unwrap(), ends)
}

/// Lines by kind, and tears.
type Read = (Vec<Kind>, Vec<(u32, u32)>);

/// Reads what nobody writes any more; `None` where there is no header.
fn read_file(path: &Path) -> Option<Read> {
    let segment = match Segment::open(path) {
        Ok(segment) => Arc::new(segment),
        Err(LedgerError::Segment { source: SegmentError::Header, .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    segment.end();
    let (mut lines, mut tears) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::at(segment, 0);
    loop {
        match cursor.read_next() {
            Item::Line(line) => lines.push(line.kind),
            Item::Tear { from, to } => tears.push((from, to)),
            Item::End => return Some((lines, tears)),
        }
    }
}

#[test]
fn a_file_that_is_cut_at_any_byte_gives_every_whole_line_before() {
    let folder = Folder::new("cut");
    let (bytes, ends) = left_behind(&folder);
    let path = folder.path().join("cut.segment");
    let last = *ends.last().unwrap();
    for length in 0..=last + 16 {
        fs::write(&path, &bytes[..length]).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();
        match read_file(&path) {
            None => assert!(length < SEGMENT_HEAD_BYTES as usize, "{length}"),
            Some((lines, tears)) => {
                assert_eq!(lines.len(), whole - 1, "{length}");
                assert_eq!(
                    tears,
                    [(ends[whole - 1] as u32, SEGMENT_BYTES_MIN)],
                    "{length}: the rest is told"
                );
            }
        }
    }
}

#[test]
fn zeros_from_any_byte_on_and_one_wrong_byte_anywhere_are_passed_over_and_told() {
    let folder = Folder::new("torn");
    let (bytes, ends) = left_behind(&folder);
    let path = folder.path().join("torn.segment");
    let (all, last) = (ends.len() - 1, *ends.last().unwrap());
    for at in SEGMENT_HEAD_BYTES as usize..last {
        let of = ends.iter().filter(|end| **end <= at).count() - 1;
        // A process that was killed while it wrote; the head comes last, so it is zero.
        let mut torn = bytes.clone();
        torn[at..].fill(0);
        torn[ends[of]..ends[of] + 8].fill(0);
        fs::write(&path, &torn).unwrap();
        let (lines, tears) = read_file(&path).unwrap();
        assert_eq!(lines.len(), of, "zeros from {at}");
        let begun = torn[ends[of]..].iter().any(|byte| *byte != 0);
        assert_eq!(tears.len(), usize::from(begun), "zeros from {at}: a line that was begun is told");
        // Damage of one byte: all other lines count.
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        fs::write(&path, &damaged).unwrap();
        let (lines, tears) = read_file(&path).unwrap();
        assert_eq!(lines.len(), all - 1, "byte {at}");
        let behind = ends.get(of + 1).filter(|end| **end < last).map_or(SEGMENT_BYTES_MIN, |end| *end as u32);
        assert_eq!(tears, [(ends[of] as u32, behind)], "byte {at}");
    }
}

#[test]
fn a_page_that_did_not_reach_the_disk_costs_its_lines_only() {
    let folder = Folder::new("page");
    let (mut journal, keeper) = Journal::open(folder.path(), 0, small(8), 7).unwrap();
    for call in 0..60 {
        let entry = journal.intent(&intent(call)).unwrap();
        journal.settle(entry, &settlement(call));
    }
    assert!(!keeper.segments()[0].is_ended());
    let mut bytes = fs::read(&segment_files(&folder)[0]).unwrap();
    bytes[4096..8192].fill(0);
    let path = folder.path().join("page.segment");
    fs::write(&path, bytes).unwrap();
    let segment = Arc::new(Segment::open(&path).unwrap());
    segment.end();
    let (books, booked) = read_all(&[segment]);
    // Whoever has lost an intent is booked without its caller; whoever has lost a settlement is open.
    let orphans = booked.iter().filter(|text| text.contains("orphan")).count();
    let settled = booked.len() - orphans;
    assert!(settled > 20 && settled < 50, "{settled}");
    assert!(orphans <= 1 && books.open_attempts() <= 1);
}

#[test]
fn headers_of_others_are_told_apart() {
    let folder = Folder::new("headers");
    let (bytes, _) = left_behind(&folder);
    let path = folder.path().join("x.segment");
    let opened = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match Segment::open(&path) {
            Err(LedgerError::Segment { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    let mut other = bytes.clone();
    other[0] = b'X';
    assert_eq!(opened(&other), SegmentError::Header);
    let mut other = bytes.clone();
    other[24] ^= 1;
    assert_eq!(opened(&other), SegmentError::Header);
    // A later version, sealed as it should be.
    let mut head: Vec<u64> =
        bytes[..64].as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    head[1] = 2;
    head[7] = head[..7].iter().fold(0, |sum, word| crc32c::crc32c_append(sum, &word.to_le_bytes())).into();
    let mut other = bytes;
    for (to, word) in other[..64].as_chunks_mut::<8>().0.iter_mut().zip(head) {
        *to = word.to_le_bytes();
    }
    assert_eq!(opened(&other), SegmentError::Version(2));
}

#[test]
fn drafts_of_a_killed_process_are_removed() {
    let folder = Folder::new("drafts");
    let held = lock(folder.path(), 0).unwrap().unwrap();
    let draft = folder.path().join("w0.journal/0000000001.new");
    fs::write(&draft, b"x").unwrap();
    assert_eq!(held.segments().unwrap(), []);
    assert!(!draft.exists());
}

fn any_billed() -> impl Strategy<Value = Billed> {
    (any::<[u64; 19]>(), any::<u32>(), 0usize..5).prop_map(|(counts, there, service)| {
        let count = |at: usize| if there >> at & 1 == 1 { counts[at] } else { 0 };
        Billed {
            usage: Usage {
                input: count(0),
                cached_read: count(1),
                cache_write: count(2),
                cache_write_1h: count(3),
                audio_input: count(4),
                output: count(5),
                reasoning: count(6),
                audio_output: count(7),
                searches: count(8),
            },
            audio_cached_read: count(9),
            image_input: count(10),
            image_cached_read: count(11),
            image_output: count(12),
            video_input: count(13),
            video_output: count(14),
            characters: count(15),
            images: count(16),
            duration_ms: count(17),
            pages: count(18),
            service: Service::ALL[service],
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_line_comes_back_whatever_stands_in_it(
        ids in any::<(u128, u16, u64, u64)>(), names in proptest::collection::vec(".{0,40}", 14),
        billed in any_billed(), amounts in (0..=AMOUNT_MAX.0, 0..=AMOUNT_MAX.0), rule in 0u8..=255,
    ) {
        let folder = Folder::new("any");
        let (mut journal, keeper) = Journal::open(folder.path(), 0, small(4), 7).unwrap();
        let told = Intent {
            request_id: ids.0, attempt: ids.1, time_ns: ids.2, reservation: NanoUsd(amounts.0),
            price: Some(PriceId(ids.3)).filter(|price| price.0 != 0),
            tenant: &names[0], team: &names[1], app: &names[2], credential: &names[3], end_user: &names[4],
            tags: &names[5], service: &names[6], prompt: &names[7], model: &names[8], provider: &names[9],
            provider_kind: &names[10], region: &names[11], provider_key: &names[12], dialect: &names[13],
        };
        let outcome = if rule == 0 { Outcome::Settled } else { Outcome::Estimated(Rule(rule)) };
        let settled = Settlement {
            time_ns: ids.3, outcome, billed, cost: NanoUsd(amounts.1), price: told.price,
            model: &names[13], response_id: &names[12], flags: 0,
        };
        let entry = journal.intent(&told).unwrap();
        journal.settle(entry, &settled);
        let mut count = 0;
        common::read(keeper.segments(), &mut Books::default(), |booked| {
            count += 1;
            let names_fit = names.iter().all(|name| name.len() <= NAME_BYTES_MAX);
            if names_fit {
                assert_eq!(booked.intent, told);
            }
            let cost = if rule == 0 { amounts.1 } else { amounts.1.min(amounts.0) };
            assert_eq!(booked.settlement.cost, NanoUsd(cost));
            assert_eq!(booked.settlement.billed, settled.billed);
            assert_eq!(booked.settlement.outcome, outcome);
            let mut kept = Vec::new();
            booked.line().append_to(&mut kept);
            assert_eq!(SettlementLine::decode(&kept), Some(booked.line()));
        });
        prop_assert_eq!(count, 1);
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_stand_still(
        noise in proptest::collection::vec((64usize..SEGMENT_BYTES_MIN as usize, any::<u8>()), 1..400),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let folder = Folder::new("noise");
        let (mut bytes, _) = left_behind(&folder);
        for (at, byte) in noise {
            bytes[at] = byte;
        }
        let path = folder.path().join("noise.segment");
        fs::write(&path, bytes).unwrap();
        prop_assert!(read_file(&path).is_some());
        let _ = IntentLine::decode(&payload);
        let _ = SettlementLine::decode(&payload);
    }

    #[test]
    fn settling_never_fails_and_nothing_is_lost(
        steps in proptest::collection::vec((0u8..10, any::<u16>()), 1..600), segments_max in 3usize..8,
    ) {
        let folder = Folder::new("steps");
        let (mut journal, mut keeper) = Journal::open(folder.path(), 0, small(segments_max), 7).unwrap();
        let (mut open, mut model) = (Vec::new(), HashMap::new());
        let (mut books, mut booked, mut freed) = (Books::default(), HashMap::new(), 0);
        for (call, (step, choice)) in (0u64..).zip(steps) {
            match step {
                0..=4 => match journal.intent(&intent(call)) {
                    Ok(entry) => open.push((call, entry)),
                    Err(error) => prop_assert!(matches!(error, LedgerError::Full)),
                },
                5..=8 if !open.is_empty() => {
                    let (call, entry) = open.swap_remove(usize::from(choice) % open.len());
                    journal.settle(entry, &settlement(call));
                    model.insert(u128::from(call), settlement(call).cost);
                }
                9 => {
                    // Folds what is ended, frees it, makes spares ready.
                    let ended: Vec<_> =
                        keeper.segments().iter().filter(|segment| segment.is_ended()).cloned().collect();
                    common::read(&ended, &mut books, |found| {
                        booked.insert(found.intent.request_id, found.settlement.cost);
                    });
                    for segment in ended {
                        freed += 1;
                        keeper.free(segment.id().sequence).unwrap();
                    }
                    keeper.prepare(8).unwrap();
                    prop_assert!(keeper.segments().len() <= segments_max);
                }
                _ => {}
            }
            prop_assert_eq!(journal.open_attempts(), open.len());
        }
        common::read(keeper.segments(), &mut books, |found| {
            booked.insert(found.intent.request_id, found.settlement.cost);
        });
        prop_assert_eq!(booked, model);
        prop_assert_eq!(books.open_attempts(), open.len());
        let mut still: Vec<u128> = books.crashed().map(|found| found.intent.request_id).collect();
        let mut expected: Vec<u128> = open.iter().map(|(call, _)| u128::from(*call)).collect();
        still.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(still, expected, "after {} freed segments", freed);
    }
}
