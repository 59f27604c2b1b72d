//! The mock of language-model providers and the load on it, as a user runs them: child processes, plain sockets, curl.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by a panic, and waits by the clock"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_penstock-bench");
const DIALECTS: [&str; 7] =
    ["openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "cohere", "mistral"];
/// No answer of a mock that is not told to wait takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

struct Mock {
    child: Child,
    address: String,
}

/// An answer, its head apart.
struct Answer {
    head: String,
    body: String,
    end: Option<ErrorKind>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Mock {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["mock-llm", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(2).unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, address }
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.send(method, path, headers, body);
        let (mut bytes, mut end) = (Vec::new(), None);
        if let Err(error) = stream.read_to_end(&mut bytes) {
            end = Some(error.kind());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Answer { head: head.to_owned(), body: body.to_owned(), end }
    }

    /// A chat with these orders.
    fn chat(&self, key: &str, orders: &str, stream: bool) -> Answer {
        let headers =
            format!("authorization: Bearer {key}\r\nx-mock: {orders}\r\nx-request-id: id-{key}\r\n");
        self.ask("POST", "/v1/chat/completions", &headers, &chat_body(stream))
    }

    fn totals(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/__totals", "", "").body).unwrap()
    }

    /// Waits until nobody is in flight, then returns the lines of the bill.
    fn bill(&self) -> Vec<Value> {
        let begun = Instant::now();
        while self.totals()["in_flight"] != 0 {
            assert!(begun.elapsed() < PATIENCE, "a request stays in flight");
        }
        let bill = self.ask("GET", "/__bill", "", "").body;
        let mut lines: Vec<Value> = bill.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.pop().unwrap()["totals"].is_object());
        lines
    }

    /// Loads and returns the first round of the result.
    fn load(&self, options: &[&str]) -> Value {
        let file = temporary("json");
        let output = Command::new(PROGRAM)
            .args([
                "load-llm",
                &format!("http://{}", self.address),
                "--quiet",
                "--json",
                file.to_str().unwrap(),
            ])
            .args(options)
            .output()
            .unwrap();
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

fn temporary(extension: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("penstock-llm-test-{}-{number}.{extension}", std::process::id()))
}

fn chat_body(stream: bool) -> String {
    json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
        "stream_options": {"include_usage": true},
    })
    .to_string()
}

fn errors(round: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(round["errors"].clone()).unwrap()
}

#[test]
fn what_a_load_was_told_is_what_the_mock_billed() {
    let figures =
        "answer=20,thinking=5,input=1000,cached=200,cache-write=30,cache-write-1h=4,output=77,reasoning=9";
    for dialect in DIALECTS {
        let mock = Mock::start(&["--orders", figures]);
        let round =
            mock.load(&["--dialect", dialect, "--streams", "0.5", "-n", "60", "-c", "3", "--prompt", "50"]);
        let (llm, totals) = (&round["llm"], mock.totals());
        assert!(errors(&round).is_empty(), "{dialect}: {round}");
        assert_eq!(round["answers"], 60, "{dialect}: {round}");
        assert_eq!(llm["streams"].as_u64().unwrap() + llm["whole"].as_u64().unwrap(), 60, "{dialect}");
        assert!(llm["streams"].as_u64().unwrap() > 10 && llm["whole"].as_u64().unwrap() > 10, "{dialect}");
        assert_eq!(llm["usage"], totals["usage"], "{dialect}");
        assert_eq!(llm["without_usage"], 0, "{dialect}");
        let of_key = &totals["keys"]["mock-key"];
        assert_eq!(
            (&of_key["calls"], &of_key["models"]["mock"]["complete"]),
            (&json!(60), &json!(60)),
            "{dialect}"
        );
        let prompt: u64 = ["input", "cached_read", "cache_write", "cache_write_1h"]
            .iter()
            .map(|count| llm["usage"][count].as_u64().unwrap())
            .sum();
        assert_eq!(prompt, 60 * 1234, "{dialect}");
    }
}

#[test]
fn sizes_that_vary_are_asked_and_answered() {
    let mock = Mock::start(&["--orders", "answer=max"]);
    let (prompt, answer) = ("lognormal:400/1.5", "uniform:10..90");
    let round =
        mock.load(&["--prompt", prompt, "--answer", answer, "-n", "400", "-c", "4", "--streams", "0.9"]);
    let usage = &round["llm"]["usage"];
    assert!(errors(&round).is_empty(), "{round}");
    let mean = usage["output"].as_f64().unwrap() / 400.0;
    assert!((35.0..65.0).contains(&mean), "{round}");
    let large = mock.load(&["--prompt", "100000", "-n", "3", "-c", "1"]);
    assert!(large["bytes_out"].as_u64().unwrap() > 3 * 500_000, "{large}");
    assert!(errors(&large).is_empty(), "{large}");
}

#[test]
fn a_load_tells_every_way_in_which_a_stream_is_none() {
    for (orders, failure) in [
        ("fault=cut@700", "truncated"),
        ("fault=cut@0", "truncated"),
        ("fault=reset@700", "reset"),
        ("fault=stall@700", "timeout"),
        ("fault=stall-before-token", "timeout"),
        ("fault=stall", "timeout"),
        ("fault=close", "closed"),
        ("fault=reset", "reset"),
        ("fault=half-character", "malformed_event"),
    ] {
        let mock = Mock::start(&["--orders", orders]);
        let round = mock.load(&["-n", "4", "-c", "2", "--timeout", "300ms"]);
        assert_eq!(errors(&round), BTreeMap::from([(failure.to_owned(), 4)]), "{orders}");
    }
    for dialect in DIALECTS {
        for (orders, failure, streams) in [
            ("fault=end@400", "malformed_event", "1"),
            ("fault=junk-json", "malformed_event", "1"),
            ("fault=error-in-200", "error_in_200", "1"),
            ("fault=no-terminal", "no_terminal_event", "1"),
            ("fault=end@100", "malformed_event", "0"),
            ("fault=junk-json", "malformed_event", "0"),
        ] {
            let mock = Mock::start(&["--orders", orders]);
            let round = mock.load(&["--dialect", dialect, "--streams", streams, "-n", "4", "-c", "2"]);
            assert_eq!(
                errors(&round),
                BTreeMap::from([(failure.to_owned(), 4)]),
                "{dialect} {orders} {streams}"
            );
        }
        // All of it comes, but not as it was cut.
        let mock = Mock::start(&["--orders", "fault=split-character"]);
        let round = mock.load(&["--dialect", dialect, "-n", "4", "-c", "2"]);
        assert_eq!((errors(&round), &round["answers"]), (BTreeMap::new(), &json!(4)), "{dialect}");
    }
}

#[test]
fn an_error_is_said_in_the_words_of_the_dialect_and_costs_nothing() {
    let mock = Mock::start(&[]);
    let refused = mock.chat("a", "status=429,retry-after=1500ms", false);
    assert_eq!((refused.status(), refused.field("retry-after")), (429, Some("2")));
    assert!(refused.body.contains("rate_limit_exceeded"), "{}", refused.body);
    let body = json!({"model": "m", "max_tokens": 5, "messages": [{}], "stream": true}).to_string();
    let refused = mock.ask("POST", "/v1/messages", "x-api-key: b\r\nx-mock: status=529\r\n", &body);
    assert_eq!(refused.status(), 529);
    assert!(refused.body.contains("overloaded_error"), "{}", refused.body);
    let body = json!({"contents": [{}]}).to_string();
    let path = "/v1beta/models/mock-error=content-policy:streamGenerateContent?alt=sse&key=c";
    let blocked = mock.ask("POST", path, "", &body);
    assert_eq!((blocked.status(), blocked.field("content-type")), (200, Some("text/event-stream")));
    assert!(blocked.body.contains("blockReason"), "{}", blocked.body);
    let wrong = mock.chat("d", "explode=yes", false);
    assert!(wrong.status() == 400 && wrong.body.contains("unknown key"), "{}", wrong.body);
    let nothing = mock.ask("POST", "/v1/nothing", "", "{}");
    assert_eq!(nothing.status(), 404);
    let lines = mock.bill();
    assert_eq!(
        lines.iter().map(|line| line["key"].as_str().unwrap()).collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
    for line in &lines {
        assert_eq!((&line["state"], &line["usage"]["input"]), (&json!("refused"), &json!(0)), "{line}");
    }
    assert_eq!(lines[0]["id"], "id-a");
}

#[test]
fn a_stream_that_was_cut_is_billed_for_what_was_written() {
    let mock = Mock::start(&[]);
    let orders = "answer=100,chunk-tokens=1,input=50";
    let whole = mock.chat("whole", orders, true);
    assert!(whole.body.contains("data: [DONE]"), "{}", whole.body);
    for (key, fault, end) in [
        ("cut", "cut@5000", None),
        ("reset", "reset@5000", Some(ErrorKind::ConnectionReset)),
        ("error", "error-in-200", None),
        ("end", "end@5000", None),
        ("none", "close", None),
    ] {
        let answer = mock.chat(key, &format!("{orders},fault={fault}"), true);
        assert_eq!(answer.end, end, "{key}");
        assert!(!answer.body.contains("[DONE]"), "{key}: {}", answer.body);
    }
    let lines = mock.bill();
    for line in &lines {
        let (state, output) = (line["state"].as_str().unwrap(), line["usage"]["output"].as_u64().unwrap());
        let input = line["usage"]["input"].as_u64().unwrap();
        match line["key"].as_str().unwrap() {
            "whole" => assert_eq!((state, input, output, &line["told"]), ("complete", 50, 100, &json!(true))),
            "none" => assert_eq!((state, input, output), ("nothing", 0, 0)),
            "cut" | "reset" | "error" | "end" => {
                assert!(state == "partial" && input == 50 && (5..95).contains(&output), "{line}");
                assert_eq!(line["told"], false, "{line}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_client_that_leaves_ends_the_answer_at_once() {
    for driver in ["auto", "epoll"] {
        // 10,000 s of text; the client leaves in it, or waits for a first token.
        let mock = Mock::start(&["--driver", driver, "--orders", "answer=100000,tps=10,chunk-tokens=1"]);
        for (orders, pieces) in [("", 2), ("ttft=1h", 0), ("fault=stall", 0), ("fault=stall-before-token", 0)]
        {
            leave(&mock, orders, pieces);
        }
    }
}

/// Asks, reads so many pieces of content, leaves, and looks at the bill.
fn leave(mock: &Mock, orders: &str, pieces: usize) {
    assert_eq!(mock.ask("POST", "/__reset", "", "").status(), 200);
    let headers = format!("x-api-key: k\r\nx-mock: {orders}\r\n");
    let mut stream = mock.send("POST", "/v1/chat/completions", &headers, &chat_body(true));
    let (mut seen, mut piece) = (String::new(), [0; 4096]);
    while seen.matches("\"content\":").count() < pieces {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the stream ended by itself: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let begun = Instant::now();
    while mock.totals()["in_flight"] != 1 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let marked = mock.ask("POST", "/__mark", "", "");
    assert!(marked.body.contains("unix_us"), "{}", marked.body);
    drop(stream);
    let lines = mock.bill();
    let line = &lines[0];
    assert_eq!((lines.len(), &line["client_left"]), (1, &json!(true)), "{orders}: {line}");
    // The next token may have been due in between, and no more of them.
    assert!(line["after_mark"]["us"].as_u64().unwrap() < 5_000_000, "{orders}: {line}");
    assert!(line["after_mark"]["bytes"].as_u64().unwrap() < 20_000, "{orders}: {line}");
    assert!(line["usage"]["output"].as_u64().unwrap() < 100, "{orders}: {line}");
}

#[test]
fn answers_take_their_time() {
    let mock = Mock::start(&["--orders", "ttft=150ms,tps=100,answer=20,chunk-tokens=1"]);
    let round = mock.load(&["-n", "3", "-c", "1"]);
    // Nothing comes early; how late it comes is up to the machine.
    let (first, latency) = (&round["llm"]["first_token"], &round["latency"]);
    assert!(first["min_us"].as_u64().unwrap() >= 149_000, "{round}");
    assert!(latency["min_us"].as_u64().unwrap() >= 338_000, "{round}");
    assert!(first["p50_us"].as_u64() < latency["p50_us"].as_u64(), "{round}");
    let whole = mock.load(&["-n", "2", "-c", "1", "--streams", "0"]);
    assert!(whole["latency"]["min_us"].as_u64().unwrap() >= 348_000, "{whole}");
    let begun = Instant::now();
    mock.chat("k", "ttft=0ms,tps=0,head=120ms", false);
    assert!(begun.elapsed() >= Duration::from_millis(119));
}

#[test]
fn limits_are_told_and_kept() {
    let mock = Mock::start(&["--rpm", "3"]);
    let answers: Vec<Answer> = (0..8).map(|_| mock.chat("k", "", false)).collect();
    // Of eight, two windows have room for at most six.
    assert_eq!(answers[0].status(), 200);
    let refused = answers.iter().find(|answer| answer.status() == 429).unwrap();
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(answers[0].field("x-ratelimit-limit-requests"), Some("3"));
    assert_eq!(answers[0].field("x-ratelimit-remaining-requests"), Some("2"));
    assert_eq!(mock.chat("other", "", false).status(), 200);
}

#[test]
fn orders_come_from_every_side() {
    let mock = Mock::start(&["--for-key", "bad:status=401", "--chance", "1:answer=3", "--threads", "2"]);
    let output = |answer: &Answer| -> Value {
        serde_json::from_str::<Value>(&answer.body).unwrap()["usage"]["completion_tokens"].clone()
    };
    assert_eq!(output(&mock.chat("good", "", false)), 3);
    assert_eq!(mock.chat("bad", "", false).status(), 401);
    assert_eq!(output(&mock.chat("good", "answer=5", false)), 5);
    assert_eq!(mock.ask("POST", "/__orders", "", "status=503").status(), 200);
    assert_eq!(mock.chat("good", "", false).status(), 503);
    assert_eq!(mock.ask("POST", "/__orders", "", "status=9").status(), 400);
    assert_eq!(mock.ask("POST", "/__orders", "", "").status(), 200);
    assert_eq!(mock.chat("good", "", false).status(), 200);
    let strict = Mock::start(&["--no-control"]);
    assert_eq!(strict.chat("good", "status=500", false).status(), 200);
}

#[test]
fn a_model_may_be_served_by_another() {
    let mock = Mock::start(&["--orders", "model=other"]);
    let answer: Value = serde_json::from_str(&mock.chat("k", "", false).body).unwrap();
    assert_eq!(answer["model"], "other");
    let line = &mock.bill()[0];
    assert_eq!((&line["model"], &line["asked"]), (&json!("other"), &json!("m")));
}

#[test]
fn keys_and_models_are_drawn_and_counted() {
    let keys = temporary("txt");
    std::fs::write(&keys, "k1\nk2\n").unwrap();
    let mock = Mock::start(&[]);
    let options =
        ["--keys", keys.to_str().unwrap(), "--model", "a", "--model", "a", "--model", "b", "-n", "300"];
    let dialects =
        ["--dialect", "anthropic", "--dialect", "gemini=2", "--rate", "3000", "-c", "8", "--prompt", "9"];
    let round = mock.load(&[&options[..], &dialects].concat());
    std::fs::remove_file(keys).unwrap();
    assert!(errors(&round).is_empty(), "{round}");
    let totals = mock.totals();
    let calls = |key: &str, model: &str| totals["keys"][key]["models"][model]["complete"].as_u64().unwrap();
    assert_eq!(calls("k1", "a") + calls("k1", "b") + calls("k2", "a") + calls("k2", "b"), 300);
    assert!((110..190).contains(&(calls("k1", "a") + calls("k1", "b"))), "{totals}");
    assert!((150..250).contains(&(calls("k1", "a") + calls("k2", "a"))), "{totals}");
}

#[test]
fn every_request_is_recorded_with_its_body() {
    let record = temporary("jsonl");
    let mock = Mock::start(&["--record", record.to_str().unwrap()]);
    mock.chat("k", "", false);
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::remove_file(record).unwrap();
    let line: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&line["target"], &line["body"]), (&json!("/v1/chat/completions"), &json!(chat_body(false))));
    assert!(line["headers"].as_array().unwrap().contains(&json!(["authorization", "Bearer k"])), "{line}");
}

#[test]
fn a_body_over_the_bound_is_refused_and_one_at_it_is_read() {
    let mock = Mock::start(&[]);
    let bound = 64 << 20;
    let prompt = chat_body(false);
    for (length, status) in [(bound, 200), (bound + 1, 413)] {
        let body = format!("{prompt}{}", " ".repeat(length - prompt.len()));
        assert_eq!(mock.ask("POST", "/v1/chat/completions", "", &body).status(), status, "{length}");
    }
}

#[test]
fn events_come_in_writes_of_their_own_unless_they_are_joined() {
    let mock = Mock::start(&[]);
    // A chunk of the transfer coding is what one write has of the body.
    let chunks = |orders: &str| {
        let answer = mock.chat("k", orders, true);
        answer.body.split("\r\n").filter(|line| line.starts_with("data: ")).count()
    };
    assert_eq!(chunks("chunks=8"), 12);
    assert_eq!(chunks("chunks=8,coalesce=yes"), 1);
}

#[test]
fn curl_reads_the_stream_that_it_is_sent() {
    let mock = Mock::start(&[]);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--no-buffer", "--max-time", "20"])
        .args(["--header", "x-mock: answer=5", "--data", &chat_body(true)])
        .arg(format!("http://{}/v1/chat/completions", mock.address))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stream = String::from_utf8(output.stdout).unwrap();
    let text: String = stream
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "the answer größe of this");
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
}
