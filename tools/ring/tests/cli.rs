//! The program itself, on the rings of an ended run: answers, exit codes, errors.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use penstock_ring::{
    Amend, CallRecord, CallStrings, DictionaryWriter, EntryKind, Method, RingWriter, Run, Stage, Verdict,
    Wanted,
};

fn data_dir(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("penstock-cli-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    folder
}

fn tool(data_dir: &PathBuf, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_penstock-ring"))
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments)
        .output()
        .expect("run");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    (output, text)
}

/// One hundred calls; every tenth failed slowly; the last one was amended.
fn filled(name: &str) -> PathBuf {
    let data_dir = data_dir(name);
    let rings = data_dir.join("rings");
    let run = Run::begin(&rings).expect("run");
    let ring = run.create_ring(0, 256 * 1024, 0).expect("ring");
    let mut names = DictionaryWriter::open(&rings).expect("dictionary");
    names.assign(&[Wanted { kind: EntryKind::Route, uid: "r", name: "orders", id: None }]).expect("assigned");
    let mut writer = RingWriter::new(ring);
    for call in 1..=100u64 {
        let failed = call % 10 == 0;
        let mut record = CallRecord {
            time_ns: 1_800_000_000_000_000_000 + call,
            status: if failed { 502 } else { 200 },
            route: 1,
            method: Method::Get.code(),
            duration_us: if failed { 200_000 } else { 150 },
            ..CallRecord::EMPTY
        };
        record.stage(Stage::Connect, if failed { Verdict::Failed } else { Verdict::Allowed }, 0, 1500);
        let id = format!("call-{call}");
        let strings = CallStrings { request_id: id.as_bytes(), path: b"/orders/7", ..CallStrings::default() };
        writer.append(&mut record, &strings).expect("room");
    }
    writer
        .amend(&Amend { sequence: 100, bytes_out: 77, duration_us: 300_000, ..Amend::default() })
        .expect("room");
    data_dir
}

#[test]
fn every_command_answers() {
    let data_dir = filled("answers");
    let hdr = data_dir.join("calls.hlog");
    let hdr = hdr.to_str().expect("UTF-8");
    let cases: [(&[&str], usize, &str); 12] = [
        (&["ls", "--format", "csv"], 2, "1,0,ended,262144,"),
        (&["dump", "--format", "json"], 100, "\"route\":\"orders\""),
        (
            &["dump", "--format", "json", "status>=500", "latency_ms>100", "path~/orders"],
            10,
            "\"bytes_out\":77",
        ),
        (&["dump", "--format", "csv", "request_id=call-7"], 2, "call-7"),
        (&["tail", "-n", "3"], 3, "GET"),
        (&["tail", "status=404"], 0, ""),
        (&["stats", "--format", "csv"], 3, "route,orders,100,10.0,0,10,"),
        (&["hist", "--hdr-log", hdr, "--format", "csv"], 4, "256,90,0.9"),
        (&["explain", "call-20", "--format", "json"], 1, "\"verdict\":\"failed\""),
        (&["explain", "1-w0:7", "--format", "json"], 1, "call-7"),
        (&["verify", "--format", "json"], 1, "\"state\":\"whole\""),
        (&["dict"], 2, "orders"),
    ];
    for (arguments, lines, held) in cases {
        let (output, text) = tool(&data_dir, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text.lines().count(), lines, "{arguments:?}\n{text}");
        assert!(text.contains(held), "{arguments:?}\n{text}");
    }
    assert!(std::fs::read_to_string(hdr).expect("log").contains("HIST"));
    std::fs::remove_dir_all(&data_dir).expect("removed");
}

#[test]
fn mistakes_and_damage_end_with_one_and_say_why() {
    let data_dir = filled("mistakes");
    let nowhere = data_dir.join("nowhere");
    for (folder, arguments, told) in [
        (&nowhere, &["ls"][..], "no such data directory"),
        (&data_dir, &["explain", "call-999"], "no call"),
        (&data_dir, &["hist", "--of", "nonsense"], "no duration"),
        (&data_dir, &["dict", "--kind", "nonsense"], "no kind"),
    ] {
        let (output, _) = tool(folder, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{arguments:?}");
    }
    let ring = data_dir.join("rings/1-w0.ring");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&ring).expect("opened");
    file.write_all_at(&[0xFF], 4096 + 300).expect("damaged");
    let (output, text) = tool(&data_dir, &["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("checksum differs"), "{text}");
    file.write_all_at(&9u32.to_le_bytes(), 8).expect("another version");
    let (output, _) = tool(&data_dir, &["ls"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("format version 9"));
    std::fs::remove_dir_all(&data_dir).expect("removed");
}
