//! Gigabytes a second of reading JSON: `cargo bench -p penstock-ai --bench json`. Best of several rounds.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use penstock_ai::json::{Members, Value};

const ROUNDS: usize = 7;

fn measure(name: &str, text: &[u8], mut operation: impl FnMut(&[u8])) {
    let times = (50_000_000 / text.len()).max(1);
    let mut best_ns = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..times {
            operation(black_box(text));
        }
        best_ns = best_ns.min(begun.elapsed().as_nanos() as f64 / times as f64);
    }
    println!("{name:<44} {best_ns:>10.0} ns {:>7.2} GB/s", text.len() as f64 / best_ns);
}

fn walk(text: &[u8]) {
    let mut members = Members::new(text).unwrap();
    while let Some(member) = members.next().unwrap() {
        black_box(member);
    }
}

fn main() {
    let prose = "The quick brown fox said \\\"yes\\\" to the lazy dog and went on.\\n";
    let chat = |content: &str, turns: usize| {
        let turn = format!(r#"{{"role":"user","content":"{content}"}}"#);
        let turns = vec![turn; turns].join(",");
        format!(r#"{{"model":"fast","messages":[{turns}],"temperature":0.2,"stream":true}}"#)
    };
    let small = chat(&prose.repeat(15), 1);
    let long = chat(&prose.repeat(320), 5);
    let image = chat(&"iVBORw0KGgo".repeat(9000), 1);
    let tools = format!(
        r#"{{"model":"fast","tools":[{}]}}"#,
        vec![r#"{"type":"function","function":{"name":"a","parameters":{"type":"object","properties":{"x":{"type":"number"},"y":{"enum":[1,2,3]}}}}}"#; 300].join(",")
    );
    for (name, text) in [
        ("prompt of 1 kB", small),
        ("prompt of 100 kB", long),
        ("image of 100 kB", image),
        ("300 tools", tools),
    ] {
        measure(&format!("{name}, members"), text.as_bytes(), walk);
        measure(&format!("{name}, document"), text.as_bytes(), |text| {
            black_box(Value::parse(text).unwrap());
        });
        measure(&format!("{name}, serde_json's document"), text.as_bytes(), |text| {
            black_box(serde_json::from_slice::<serde_json::Value>(text).unwrap());
        });
    }
}
