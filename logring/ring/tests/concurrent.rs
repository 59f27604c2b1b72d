//! A writer, its drain and a slow cursor at once, on real threads over one small ring.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{CAPACITY, append, check, ring_of};
use penstock_ring::{Cursor, Drain, Item, RingWriter};

const CALLS: u64 = 300_000;

#[test]
fn a_live_ring_is_read_once_by_its_drain_and_never_wrong_by_others() {
    let ring = ring_of(CAPACITY);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut writer = RingWriter::new(ring.clone());
            let mut published = 0u64;
            for _ in 0..CALLS {
                published += u64::from(append(&mut writer).is_ok());
            }
            done.store(true, Ordering::Release);
            (published, writer.dropped())
        });
        let drained = scope.spawn(|| {
            let mut drain = Drain::new(ring.clone());
            let (mut count, mut last) = (0u64, 0u64);
            loop {
                let ended = done.load(Ordering::Acquire);
                let end = ring.written();
                loop {
                    match drain.next_before(end) {
                        Item::Call(call) => {
                            check(&call);
                            assert!(call.record.sequence > last);
                            last = call.record.sequence;
                            count += 1;
                        }
                        Item::End => break,
                        other => panic!("the drain is never lapped and sees no damage: {other:?}"),
                    }
                }
                drain.commit();
                if ended {
                    return count;
                }
                std::thread::yield_now();
            }
        });
        let watched = scope.spawn(|| {
            let mut cursor = Cursor::oldest(ring.clone());
            let (mut seen, mut laps, mut last) = (0u64, 0u64, 0u64);
            while !done.load(Ordering::Acquire) {
                match cursor.read_next() {
                    Item::Call(call) => {
                        check(&call);
                        assert!(call.record.sequence > last);
                        last = call.record.sequence;
                        seen += 1;
                    }
                    Item::Lapped { .. } => laps += 1,
                    Item::End => std::thread::yield_now(),
                    other => panic!("no damage in a live ring: {other:?}"),
                }
            }
            (seen, laps)
        });
        let (published, dropped) = writer.join().expect("writer");
        let count = drained.join().expect("drain");
        let (seen, laps) = watched.join().expect("cursor");
        assert_eq!((count, published + dropped), (published, CALLS));
        assert_eq!(ring.dropped(), dropped);
        println!(
            "published {published}, dropped {dropped}; the cursor saw {seen} and was lapped {laps} times"
        );
    });
}
