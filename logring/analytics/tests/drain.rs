//! The drain over real ring files: exactly once across a restart, adoption, a writer never blocked.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and the environment")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use penstock_analytics::{Call, DrainOptions, DrainThread, Drainage, FIELDS, Field};
use penstock_ring::{
    Amend, CallRecord, CallStrings, Cursor, Dictionary, DictionaryWriter, EntryKind, Item, Method,
    RingWriter, Run, Stage, Verdict, Wanted, ring_files,
};

const CAPACITY: u64 = 256 * 1024;
const NOW_NS: u64 = 1_800_000_000_000_000_000;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("penstock-drain-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn append(writer: &mut RingWriter, calls: u64) -> u64 {
    let mut published = 0;
    for _ in 0..calls {
        let mut record =
            CallRecord { time_ns: NOW_NS, status: 200, route: 1, duration_us: 10, ..CallRecord::EMPTY };
        let strings = CallStrings { path: b"/orders", ..CallStrings::default() };
        published += u64::from(writer.append(&mut record, &strings).is_ok());
    }
    published
}

fn drain_all(drainage: &mut Drainage, now_ns: u64) -> usize {
    let mut read = 0;
    loop {
        match drainage.pass(now_ns) {
            0 => return read,
            more => read += more,
        }
    }
}

#[test]
fn each_record_is_counted_once_across_restarts_of_the_drain() {
    let folder = folder("restart");
    let run = Run::begin(&folder).expect("run");
    let ring = run.create_ring(0, CAPACITY, 0).expect("ring");
    let mut writer = RingWriter::new(ring.clone());
    let (mut published, mut counted) = (0, 0);
    for round in 0..200 {
        published += append(&mut writer, round % 37);
        let mut drainage = Drainage::new(&folder, run.number(), vec![ring.clone()], 0);
        counted += drain_all(&mut drainage, NOW_NS);
        let drained = drainage.collector().metrics().drain;
        assert_eq!((drained.damages, drained.late), (0, 0));
    }
    assert_eq!((counted as u64, ring.dropped()), (published, 0));
    assert!(ring.written() > 3 * CAPACITY, "the ring wrapped meanwhile");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn a_stalled_drain_costs_records_and_never_the_writer() {
    let folder = folder("stalled");
    let run = Run::begin(&folder).expect("run");
    let ring = run.create_ring(0, CAPACITY, 0).expect("ring");
    let mut writer = RingWriter::new(ring.clone());
    let published = append(&mut writer, 5_000);
    assert_eq!(published + ring.dropped(), 5_000);
    let mut drainage = Drainage::new(&folder, run.number(), vec![ring], 0);
    assert_eq!(drain_all(&mut drainage, NOW_NS) as u64, published);
    assert_eq!(append(&mut writer, 100), 100);
    assert_eq!(drain_all(&mut drainage, NOW_NS), 100);
    let text = drainage.render_metrics(&Dictionary::default());
    assert!(text.contains(&format!(
        "penstock_records_dropped_total{{run=\"1\",worker=\"0\"}} {}",
        5_000 - published
    )));
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn ended_runs_are_adopted_drained_once_kept_and_then_removed() {
    let folder = folder("adopt");
    for _ in 0..4 {
        let run = Run::begin(&folder).expect("run");
        let ring = run.create_ring(0, CAPACITY, 0).expect("ring");
        append(&mut RingWriter::new(ring), 50);
    }
    let living = Run::begin(&folder).expect("run");
    let ring = living.create_ring(0, CAPACITY, 0).expect("ring");
    append(&mut RingWriter::new(ring), 7);
    let own = Run::begin(&folder).expect("run");
    let mut drainage = Drainage::new(&folder, own.number(), Vec::new(), 2);
    drainage.adopt().expect("adopted");
    assert_eq!(drainage.rings().len(), 4, "the living run is not touched");
    assert_eq!(drain_all(&mut drainage, NOW_NS), 200);
    drainage.adopt().expect("released");
    assert_eq!((drainage.rings().len(), drain_all(&mut drainage, NOW_NS)), (0, 0));
    let runs: Vec<u64> = ring_files(&folder).expect("listed").iter().map(|file| file.run).collect();
    assert_eq!(runs, [3, 4, 5], "the two newest ended runs stay readable");
    // A later process finds them drained.
    let mut later = Drainage::new(&folder, own.number(), Vec::new(), 2);
    later.adopt().expect("adopted");
    assert_eq!(drain_all(&mut later, NOW_NS), 0);
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn the_thread_counts_answers_and_drains_to_the_end_when_dropped() {
    let folder = folder("thread");
    let run = Run::begin(&folder).expect("run");
    let ring = run.create_ring(0, CAPACITY, 0).expect("ring");
    let mut names = DictionaryWriter::open(&folder).expect("dictionary");
    let wanted = Wanted { kind: EntryKind::Route, uid: "r-1", name: "orders", id: None };
    assert_eq!(names.assign(&[wanted]).expect("assigned"), [1]);
    let mut writer = RingWriter::new(ring.clone());
    let options = DrainOptions { tick: Duration::from_secs(3600), ..DrainOptions::default() };
    let thread = DrainThread::start(&folder, run.number(), vec![ring.clone()], options).expect("started");
    let published = append(&mut writer, 100);
    thread.wake();
    let deadline = Instant::now() + Duration::from_secs(30);
    while thread.live().drain.calls < published {
        assert!(Instant::now() < deadline, "woken, it drains");
        thread.wake();
        std::thread::yield_now();
    }
    let live = serde_json::to_value(thread.live()).expect("JSON");
    assert_eq!(live["windows"].as_array().map(Vec::len), Some(3));
    assert_eq!(live["rings"][0]["lag_bytes"], 0);
    assert!(thread.metrics().contains("penstock_records_total 100\n"));
    append(&mut writer, 3);
    drop(thread);
    assert_eq!(ring.read(), ring.written());
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn a_call_serializes_with_every_name_of_the_contract() {
    let folder = folder("json");
    let run = Run::begin(&folder).expect("run");
    let ring = run.create_ring(2, CAPACITY, 0).expect("ring");
    let mut names = DictionaryWriter::open(&folder).expect("dictionary");
    let wanted = |kind, uid| Wanted { kind, uid, name: uid, id: None };
    names
        .assign(&[
            wanted(EntryKind::Route, "orders"),
            wanted(EntryKind::Limit, "per-app"),
            wanted(EntryKind::Rule, "r9"),
        ])
        .expect("assigned");
    let mut record = CallRecord {
        time_ns: NOW_NS,
        status: 429,
        route: 1,
        app: 12,
        limit: 1,
        limit_remaining: -2,
        policy_ns: 1500,
        method: Method::Other.code(),
        trace_id: [0xAB; 16],
        ..CallRecord::EMPTY
    };
    record.set_client(([192, 0, 2, 7], 4711).into());
    record.stage(Stage::Route, Verdict::Allowed, 0, 0);
    record.stage(Stage::Limit, Verdict::Refused, 1, 300);
    let long = vec![b'p'; 3000];
    let strings = CallStrings { method: b"PURGE", path: &long, ..CallStrings::default() };
    let mut writer = RingWriter::new(ring.clone());
    writer.append(&mut record, &strings).expect("room");
    writer.amend(&Amend { sequence: 1, ..Amend::default() }).expect("room");
    let dictionary = Dictionary::read(&folder).expect("read");
    let mut cursor = Cursor::oldest(ring);
    let Item::Call(view) = cursor.read_next() else { panic!("a call") };
    let call = Call { view, run: 1, worker: 2, dictionary: &dictionary };
    let json = serde_json::to_value(&call).expect("JSON");
    let contract = "time sequence worker request_id trace_id revision release tenant team app credential subject \
        client_ip tls listener protocol method host path service version route operation_id status code upstream target \
        upstream_status retries bytes_in bytes_out upstream_bytes_in upstream_bytes_out stages duration_us head_us \
        policy_us queue_us connect_us first_byte_us upstream_us write_us limit cache tags ai";
    for name in contract.split_whitespace() {
        assert!(json.get(name).is_some() && FIELDS.contains(&name), "{name}");
    }
    for (name, value) in [
        ("time", serde_json::json!("2027-01-15T08:00:00.000000000Z")),
        ("worker", 2.into()),
        ("route", "orders".into()),
        ("app", "#12".into()),
        ("method", "PURGE".into()),
        ("client_ip", "192.0.2.7".into()),
        ("policy_us", 1.5.into()),
        ("limit", serde_json::json!({"name": "per-app", "remaining": -2})),
        ("trace_id", "ab".repeat(16).into()),
        ("truncated", serde_json::json!(["path"])),
        ("host", serde_json::Value::Null),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
    assert_eq!(
        json["stages"]["limit"],
        serde_json::json!({"verdict": "refused", "rules": ["per-app"], "ns": 300})
    );
    assert_eq!(call.field("nonsense"), Field::Absent);
    std::fs::remove_dir_all(&folder).expect("removed");
}
