//! A warm stream allocates nothing: a counting allocator says so.
#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // a global allocator cannot be written without; it only counts and passes on

use penstock_ai::catalogue::Catalogue;
use penstock_ai::event_stream::{FrameReader, HeaderValue, write_frame};
use penstock_ai::provider::Providers;
use penstock_ai::routing::*;
use penstock_ai::sse::{EventType, Item, SseReader, write_event};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn counted(operation: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    operation();
    ALLOCATIONS.with(Cell::get) - before
}

const STREAM: &[u8] =
    b"\xef\xbb\xbf: c\n\nevent: x\ndata: {\"a\":1}\n\ndata: a\r\ndata: b\r\n\r\nretry: 5\n\ndata: [DONE]";

/// Reads a stream in pieces of a length, and how many items it has.
fn read_sse(reader: &mut SseReader, piece: usize) -> usize {
    reader.reset();
    let mut items = 0;
    for piece in STREAM.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = reader.step(&piece[at..]).unwrap();
            at += step.len;
            items += usize::from(step.item.is_some());
        }
    }
    assert!(matches!(reader.finish(), Some(Item::Incomplete(event)) if event.data == b"[DONE]"));
    items
}

fn read_frames(reader: &mut FrameReader, stream: &[u8], piece: usize) -> usize {
    reader.reset();
    let mut payloads = 0;
    for piece in stream.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = reader.step(&piece[at..]).unwrap();
            at += step.len;
            if let Some(frame) = step.frame {
                assert_eq!(frame.event_type(), Some("messageStop"));
                payloads += frame.payload().len();
            }
        }
    }
    payloads
}

#[test]
fn a_warm_event_stream_allocates_nothing() {
    let mut reader = SseReader::default();
    let first = counted(|| assert_eq!(read_sse(&mut reader, 7), 6));
    assert!(first > 0, "the counter counts: buffers grow in the first stream");
    for piece in [1, 2, 7, 30, STREAM.len()] {
        let again = counted(|| assert!(read_sse(&mut reader, piece) >= 5));
        assert_eq!(again, 0, "pieces of {piece} bytes");
    }
}

#[test]
fn events_whole_in_their_piece_allocate_nothing_ever() {
    let stream = b"event: x\ndata: {\"a\":1}\n\n: c\n\ndata: {\"b\":2}\n\n";
    let count = counted(|| {
        let mut reader = SseReader::default();
        let mut at = 0;
        while at < stream.len() {
            at += reader.step(&stream[at..]).unwrap().len;
        }
        assert_eq!(reader.finish(), None);
    });
    assert_eq!(count, 0);
}

#[test]
fn warm_frames_allocate_nothing() {
    let headers = [
        (":event-type", HeaderValue::Text("messageStop")),
        (":content-type", HeaderValue::Text("application/json")),
        (":message-type", HeaderValue::Text("event")),
    ];
    let mut stream = Vec::new();
    for _ in 0..3 {
        write_frame(&mut stream, &headers, br#"{"stopReason":"end_turn"}"#).unwrap();
    }
    let mut cold = FrameReader::default();
    let whole = counted(|| assert_eq!(read_frames(&mut cold, &stream, stream.len()), 75));
    assert_eq!(whole, 0, "frames whole in their piece");
    let mut reader = FrameReader::default();
    let first = counted(|| assert_eq!(read_frames(&mut reader, &stream, 7), 75));
    assert!(first > 0, "the counter counts: the buffer grows in the first stream");
    for piece in [1, 7, 100] {
        assert_eq!(
            counted(|| assert_eq!(read_frames(&mut reader, &stream, piece), 75)),
            0,
            "pieces of {piece}"
        );
    }
}

#[test]
fn warm_writers_allocate_nothing() {
    let headers = [(":event-type", HeaderValue::Text("messageStop"))];
    let mut out = Vec::new();
    let mut counts = [0; 3];
    for count in &mut counts {
        *count = counted(|| {
            out.clear();
            write_event(&mut out, EventType::new("message_stop"), b"a\nb");
            write_frame(&mut out, &headers, b"{}").unwrap();
        });
    }
    assert!(counts[0] > 0);
    assert_eq!(counts[1..], [0, 0]);
}

#[test]
fn a_warm_routing_decision_allocates_nothing() {
    let names = ["gpt-4.1-mini", "gpt-4.1", "gpt-4o"];
    let providers = (0..3u64).map(|n| ProviderSpec {
        keys: (0..3).map(|key| KeySpec::new(KeyUid(n * 10 + key), "k", 1)).collect(),
        ..ProviderSpec::new(ProviderUid(n), &format!("p{n}"), "openai")
    });
    let models = Strategy::ALL.into_iter().enumerate().map(|(n, strategy)| ModelSpec {
        targets: (0..3).map(|n| TargetSpec::new(&format!("p{n}"), names[n], 1)).collect(),
        strategy,
        cooldown: Cooldown { after: 2, for_ns: 1_000_000 },
        fallbacks: vec![FallbackSpec { on: Causes::of(&Cause::ALL), to: "p1/gpt-4o".to_owned() }],
        ..ModelSpec::new(ModelUid(n as u64), strategy.name())
    });
    let spec = Spec { providers: providers.collect(), models: models.collect() };
    let catalogue = Arc::new(Catalogue::bundled().unwrap());
    let plan = Plan::compile(&spec, &catalogue, Providers::shared(), &Registry::default()).unwrap();
    let everything = Allowed::everything();
    let caller = Caller { tenant: TenantId(1), service: &everything, app: None };
    let (mut random, mut now_ns) = (Random::new(1), 1_000_000_000);
    let mut run = |name: &str, rounds: u64| {
        let mut attempts = 0;
        for n in 0..rounds {
            now_ns += 1_000_000_000;
            let need =
                Need { input_tokens: n, output_tokens: 10, unix_s: n, prefix: Some(n), affinity: None };
            let mut call = plan.begin(plan.resolve(&caller, name).unwrap(), need, now_ns);
            loop {
                match call.next(now_ns, &mut random) {
                    Step::GiveUp(_) => break,
                    Step::WaitUntil(at_ns) => now_ns = at_ns,
                    Step::Attempt(attempt) => {
                        attempts += 1;
                        let ends = [End::Answered, End::ServerError, End::RateLimit, End::FirstTokenTimeout];
                        let end = ends[random.below(4) as usize];
                        call.ended(now_ns, attempt, &Report { retry_after_ms: Some(1), ..Report::new(end) });
                    }
                }
            }
        }
        attempts
    };
    let direct = ["p0/gpt-4.1", "p0/made-up"];
    assert!(
        counted(|| assert!(run(direct[0], 1) > 0)) > 0,
        "the counter counts: the first call makes the route"
    );
    for name in Strategy::ALL.map(Strategy::name).into_iter().chain(direct) {
        let mut attempts = 0;
        assert_eq!(counted(|| attempts = run(name, 2_000)), 0, "{name}");
        assert!(attempts > 300, "{name}: {attempts}");
    }
}
