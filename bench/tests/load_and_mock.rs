//! The program as a user runs it: a mock as a child process, loaded by the generator or asked over a plain socket.
#![allow(clippy::unwrap_used)] // a test may fail by a panic

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_penstock-bench");
/// No answer of a mock that is not told to wait takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Mock {
    child: Child,
    address: String,
}

impl Mock {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["mock", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(2).unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes, ends our direction, returns what came and how it ended.
    fn talk(&self, bytes: &[u8]) -> (String, Option<ErrorKind>) {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        // A mock that resets at once may have ended the connection before we do.
        let _ = stream.shutdown(Shutdown::Write);
        read_all(&mut stream)
    }

    fn get(&self, headers: &str) -> (String, Option<ErrorKind>) {
        self.talk(format!("GET /x HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes())
    }

    fn counts(&self) -> Value {
        let (text, _) = self.talk(b"GET /__count HTTP/1.1\r\nhost: a\r\n\r\n");
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn load(&self, path: &str, options: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(["load", &format!("http://{}{path}", self.address)])
            .args(options)
            .output()
            .unwrap()
    }

    /// Loads and returns the first round of the result.
    fn load_json(&self, path: &str, options: &[&str]) -> Value {
        let file = temporary("json");
        let output = self.load(path, &[options, &["--quiet", "--json", file.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        std::fs::remove_file(file).unwrap();
        result["rounds"][0].clone()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn read_all(stream: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 65536]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (String::from_utf8_lossy(&bytes).into_owned(), None),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) => return (String::from_utf8_lossy(&bytes).into_owned(), Some(error.kind())),
        }
    }
}

fn temporary(extension: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("penstock-bench-test-{}-{number}.{extension}", std::process::id()))
}

fn errors(round: &Value) -> HashMap<String, u64> {
    serde_json::from_value(round["errors"].clone()).unwrap()
}

#[test]
fn a_counted_load_reaches_the_mock_request_for_request() {
    for options in [
        &["--requests", "1000", "-c", "7"][..],
        &["--requests", "1000", "-c", "7", "--driver", "epoll"],
        &["--requests", "1001", "-c", "7", "-t", "2", "--rate", "5000"],
        &["--requests", "1000", "-c", "8", "--per-connection", "3"],
        &["--requests", "500", "-c", "4", "-X", "POST", "--body-size", "200KiB"],
        &["--requests", "500", "-c", "4", "-X", "PUT", "--body-size", "200KiB", "--chunked", "4KiB"],
        &["--requests", "500", "-c", "4", "-X", "HEAD"],
    ] {
        let mock = Mock::start(&[]);
        let round = mock.load_json("/", options);
        assert_eq!(round["answers"], mock.counts()["requests"], "{options:?}");
        assert_eq!(round["status"]["200"], options[1].parse::<u64>().unwrap(), "{options:?}");
        assert!(errors(&round).is_empty(), "{options:?}: {round}");
    }
}

#[test]
fn churn_opens_a_connection_for_each_request() {
    let mock = Mock::start(&[]);
    let round = mock.load_json("/", &["--requests", "200", "-c", "4", "--per-connection", "1"]);
    assert_eq!(round["connects"], 200);
    // The probe before the run and the question itself are connections too.
    assert_eq!(mock.counts()["connections"], 202);
}

#[test]
fn every_way_of_framing_is_read() {
    for options in [
        &["--body", "100000"][..],
        &["--body", "100000", "--chunked", "7000", "--trailer", "x-sum: 1"],
        &["--body", "100000", "--interim", "103", "--interim", "100"],
    ] {
        let mock = Mock::start(options);
        let round = mock.load_json("/", &["--requests", "50", "-c", "2"]);
        assert_eq!((round["answers"].as_u64(), round["body_bytes_in"].as_u64()), (Some(50), Some(5_000_000)));
        assert_eq!(round["interim"].as_u64(), Some(if options.contains(&"103") { 100 } else { 0 }));
    }
}

#[test]
fn failures_are_told_apart() {
    for (fault, failure) in [
        ("reset-before-head", "reset"),
        ("reset-within-body", "reset"),
        ("close-before-head", "closed"),
        ("close-within-head", "truncated"),
        ("close-within-body", "truncated"),
        ("length-too-long", "truncated"),
        ("garbage", "malformed"),
        ("length-and-chunked", "malformed"),
        ("lengths-differ", "malformed"),
        ("bad-chunk-size", "malformed"),
        ("huge-head", "malformed"),
        ("stall-before-head", "timeout"),
        ("stall-within-body", "timeout"),
    ] {
        let mock = Mock::start(&["--fault", fault]);
        let round = mock.load_json("/", &["--requests", "4", "-c", "2", "--timeout", "300ms"]);
        assert_eq!(errors(&round), HashMap::from([(failure.to_owned(), 4)]), "{fault}");
        assert_eq!(mock.counts()["faults"], 4, "{fault}");
    }
}

#[test]
fn nobody_listening_is_an_error_in_words() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = Command::new(PROGRAM).args(["load", &format!("http://{free}/")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect to"), "{output:?}");
}

#[test]
fn check_fails_on_errors_of_the_server_and_passes_without() {
    let (good, bad) = (Mock::start(&[]), Mock::start(&["--status", "503"]));
    let options = ["--requests", "10", "-c", "1", "--check"];
    assert_eq!(good.load("/", &options).status.code(), Some(0));
    assert_eq!(bad.load("/", &options).status.code(), Some(3));
}

#[test]
fn an_open_loop_charges_a_stalled_server_for_what_it_kept_waiting() {
    // One connection, 100 ms an answer, 50 requests a second: the queue grows by four a tenth of a second.
    let mock = Mock::start(&["--delay", "100ms"]);
    let round = mock.load_json("/", &["-c", "1", "--rate", "50", "-d", "1s", "--drain", "100ms"]);
    let (service, latency) = (&round["service"], &round["latency"]);
    assert!(service["p50_us"].as_u64().unwrap() >= 99_000, "{round}");
    assert!(latency["p50_us"].as_u64() > service["p50_us"].as_u64(), "{round}");
    assert!(latency["max_us"].as_u64().unwrap() > 700_000, "{round}");
    assert!(round["unstarted"].as_u64().unwrap() > 20, "{round}");
}

#[test]
fn mixes_and_keys_reach_the_mock() {
    let (mix, keys, record) = (temporary("jsonl"), temporary("txt"), temporary("jsonl"));
    std::fs::write(&mix, "{\"path\":\"/a\"}\n{\"path\":\"/b\",\"method\":\"POST\",\"body\":\"hi\",\"headers\":{\"X-M\":\"1\"}}\n")
        .unwrap();
    std::fs::write(&keys, "k1\nk2\n").unwrap();
    let mock = Mock::start(&["--record", record.to_str().unwrap()]);
    let mix_options = ["--mix", mix.to_str().unwrap(), "--keys", keys.to_str().unwrap(), "--requests", "200"];
    mock.load_json("/", &mix_options);
    let lines: Vec<Value> = std::fs::read_to_string(&record)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 200);
    for needle in ["x-api-key: k1\r\n", "x-api-key: k2\r\n", "GET /a HTTP/1.1\r\n", "POST /b HTTP/1.1\r\n"] {
        let count = lines.iter().filter(|line| line["head"].as_str().unwrap().contains(needle)).count();
        assert!((60..=140).contains(&count), "{needle}: {count}");
    }
    let post = lines.iter().find(|line| line["method"] == "POST").unwrap();
    // printf hi | sha256sum
    assert_eq!(post["body_sha256"], "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4");
    for file in [mix, keys, record] {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn what_is_no_request_is_recorded_too() {
    let record = temporary("jsonl");
    let mock = Mock::start(&["--record", record.to_str().unwrap()]);
    mock.talk(b"GET /half HTTP/1.1\r\nho");
    mock.talk(b"\x01\x02\r\n\r\n");
    mock.talk(b"");
    let lines = std::fs::read_to_string(&record).unwrap();
    std::fs::remove_file(record).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains(r#""incomplete":"GET /half HTTP/1.1\r\nho""#), "{lines}");
    assert_eq!(
        (mock.counts()["incomplete"].as_u64(), mock.counts()["requests"].as_u64()),
        (Some(2), Some(0))
    );
}

#[test]
fn faults_look_on_the_wire_as_they_are_named() {
    let mock = Mock::start(&["--drip", "1ms"]);
    let get = |fault: &str| mock.get(&format!("x-mock-fault: {fault}\r\n"));
    let reset = Some(ErrorKind::ConnectionReset);
    assert_eq!(get("reset-before-head"), (String::new(), reset));
    let (text, end) = get("reset-after-head");
    assert!(text.ends_with("\r\n\r\n") && end == reset, "{text} {end:?}");
    let (text, end) = get("close-within-body");
    assert!(
        text.contains("content-length: 128") && text.ends_with(&"x".repeat(64)) && end.is_none(),
        "{text}"
    );
    let (text, _) = get("length-too-short");
    assert!(text.contains("content-length: 128") && text.ends_with("xxx0123456789"), "{text}");
    let (text, _) = get("two-answers");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2);
    let (text, _) = get("bare-lf");
    assert!(text.starts_with("HTTP/1.1 200 OK\ncontent-length: 128\n\n"), "{text}");
    let (text, end) = get("drip");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.len() > 128 && end.is_none());
    let (text, _) = get("explode");
    assert!(text.starts_with("HTTP/1.1 400") && text.contains("unknown fault `explode`"), "{text}");
}

#[test]
fn early_answers_come_before_the_body() {
    let mock = Mock::start(&[]);
    for (fault, keeps) in [("early-answer", true), ("early-close", false)] {
        let mut stream = mock.connect();
        let head =
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nx-mock-fault: {fault}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        if keeps {
            stream.write_all(b"helloGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
            let (text, _) = read_all(&mut stream);
            assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 1, "{text}");
        } else {
            let (text, _) = read_all(&mut stream);
            assert!(text.ends_with('x'), "{text}");
        }
    }
}

#[test]
fn echo_tells_what_came_in_order_and_case() {
    let mock = Mock::start(&["--echo"]);
    let (text, _) = mock.talk(
        b"POST /p?q=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    let echo: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((echo["method"].as_str(), echo["target"].as_str()), (Some("POST"), Some("/p?q=1")));
    assert_eq!(
        echo["headers"],
        serde_json::json!([["Host", "a"], ["X-Two", "1"], ["x-two", "2"], ["Transfer-Encoding", "chunked"]])
    );
    assert_eq!(echo["body_sha256"], "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4");
}

#[test]
fn results_can_be_compared_and_listed() {
    let (mock, file, log) = (Mock::start(&[]), temporary("json"), temporary("hlog"));
    let path = file.to_str().unwrap();
    let options =
        ["--requests", "300", "--rounds", "3", "-c", "2", "--label", "here", "--json", path, "--hdr"];
    assert!(mock.load("/", &[&options[..], &[log.to_str().unwrap()]].concat()).status.success());
    let text = |words: &[&str]| {
        String::from_utf8(Command::new(PROGRAM).args(words).output().unwrap().stdout).unwrap()
    };
    let compared = text(&["compare", path, path]);
    assert!(compared.contains("answers/s") && compared.contains("+0.0 %"), "{compared}");
    assert!(text(&["history", path]).contains("here"));
    assert_eq!(
        std::fs::read_to_string(&log).unwrap().lines().filter(|line| !line.starts_with('#')).count(),
        3
    );
    let refused = Command::new(PROGRAM).args(["compare", path, "/dev/null"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a result"), "{refused:?}");
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(log).unwrap();
}
