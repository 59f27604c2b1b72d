//! Megabytes a second over whole texts and nanoseconds a token in streams: `cargo bench -p penstock-guard --bench guard`.
//! Best of several rounds.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use penstock_ai::dialect::Dialect;
use penstock_ai::json::Edits;
use penstock_guard::walk::{Body, edit_body};
use penstock_guard::{
    Action, Check, Compiled, Detector, Direction, Finds, Flow, Injection, MaskKey, Rule, Rules, Score,
    StreamGuard, check,
};

const ROUNDS: usize = 9;
const KEY: MaskKey = MaskKey::new([7; 32]);

/// Ordinary prose of our own words, with the numbers that stand in prose.
const PROSE: &str = "The harbour opens at six, and by half past the first boats are out. In 2024 the council counted \
1,250 visitors a day; most of them came for the market, which has stood on the same square for as long as anyone can \
remember. \"It is the bread,\" says the baker, \"and the smell of it.\" A new timetable lists forty-one stops, of which \
three are served only in summer. Children ride free, and so do dogs that fit under a seat. Whoever wants to see the old \
lighthouse takes the path along the shore, which is dry at low tide and best walked with company. The keeper, a woman \
of few words, unlocks the door when she is asked politely and lets everyone climb the stairs at their own risk. From \
the top one sees the islands, the railway bridge and, on clear days, the hills beyond the border.\n";

/// The same without a digit.
const CLEAN: &str = "The harbour opens at six, and by half past the first boats are out. The council counted the visitors \
a day long; most of them came for the market, which has stood on the same square for as long as anyone can remember. \
Whoever wants to see the old lighthouse takes the path along the shore, which is dry at low tide and best walked with \
company. The keeper, a woman of few words, unlocks the door when she is asked politely and lets everyone climb.\n";

/// Rows of numbers, the worst that is ordinary.
const ROWS: &str =
    "2024-11-24,10:30:15,17,4512,0.256,10.0.0.12\n2024-11-24,10:30:16,18,9981,1.125,10.0.0.13\n";

fn best(times: usize, mut operation: impl FnMut()) -> f64 {
    let mut best_ns = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..times {
            operation();
        }
        best_ns = best_ns.min(begun.elapsed().as_nanos() as f64 / times as f64);
    }
    best_ns
}

fn compiled(finds: Finds) -> Arc<Compiled> {
    let on_output = !matches!(finds, Finds::Injection { .. } | Finds::Size { .. });
    let rule = Rule { finds, on_input: true, on_output, action: Action::Mask, restore: false };
    Arc::new(Compiled::new(&Rules { rules: vec![rule], ..Rules::default() }).unwrap())
}

fn main() {
    let all = || Finds::Pii(Detector::ALL.to_vec());
    let words = || {
        let list = (0..200).map(|n| format!("codename {}", n * 7919)).chain(["projekt falke".to_owned()]);
        Finds::Words { words: list.collect(), whole: true }
    };
    let regex =
        || Finds::Regex(vec![r"\bORD-[0-9]{4,8}\b".to_owned(), r"(?i)confidential\s+draft".to_owned()]);
    let texts = [
        ("clean prose", CLEAN.repeat(250)),
        ("prose", PROSE.repeat(100)),
        ("rows of numbers", ROWS.repeat(1000)),
    ];
    for (name, text) in &texts {
        for (what, finds) in [
            ("all detectors", all()),
            (
                "mail, phone, card, IBAN",
                Finds::Pii(vec![Detector::Email, Detector::Phone, Detector::Card, Detector::Iban]),
            ),
            ("201 words", words()),
            ("2 expressions", regex()),
        ] {
            let guard = compiled(finds);
            let ns = best(20, || {
                black_box(check(&guard, Direction::Input, black_box(text)));
            });
            println!("{:<52} {:>8.0} MB/s", format!("{name}, {what}"), text.len() as f64 * 1000.0 / ns);
        }
        let injection = Injection::default();
        let ns = best(5, || {
            let mut score = Score::default();
            injection.read(black_box(text), &mut score);
            black_box(score);
        });
        println!("{:<52} {:>8.0} MB/s", format!("{name}, injections"), text.len() as f64 * 1000.0 / ns);
    }

    let guard = compiled(all());
    for (name, bytes) in [("1 kB", 1), ("100 kB", 100)] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#,
            PROSE.replace('"', "'").replace('\n', " ").repeat(bytes)
        );
        let ns = best(200 / bytes + 5, || {
            let mut edits = Edits::default();
            let mut check = Check::new(&guard, Direction::Input, &KEY);
            edit_body(Dialect::OpenAiChat, Body::Request, black_box(body.as_bytes()), &mut check, &mut edits)
                .unwrap();
            black_box(check.finish());
        });
        println!(
            "{:<52} {:>8.0} ns {:>6.0} MB/s",
            format!("body of about {name}, all detectors"),
            ns,
            body.len() as f64 * 1000.0 / ns
        );
    }

    // Tokens as models make them: a word with the space before it, long words in two.
    let tokens: Vec<&str> = PROSE
        .split_inclusive(' ')
        .flat_map(|word| {
            let half = if word.len() > 8 { word.floor_char_boundary(word.len() / 2) } else { 0 };
            let (first, second) = word.split_at(half);
            [first, second]
        })
        .filter(|token| !token.is_empty())
        .collect();
    for (what, finds) in [("all detectors", all()), ("201 words", words()), ("2 expressions", regex())] {
        let guard = compiled(finds);
        let mut out = String::new();
        let mut stream = StreamGuard::new(Arc::clone(&guard), Direction::Output, KEY, true);
        let ns = best(50, || {
            out.clear();
            for token in &tokens {
                assert_eq!(stream.push(black_box(token), &mut out), Flow::Goes);
            }
            assert_eq!(stream.finish(&mut out), Flow::Goes);
            black_box(&out);
        });
        let (mut held, mut most, mut waiting) = (0, 0, 0);
        for token in &tokens {
            assert_eq!(stream.push(token, &mut out), Flow::Goes);
            held += stream.held_bytes();
            most = most.max(stream.held_bytes());
            waiting += usize::from(stream.held_bytes() > 0);
        }
        println!(
            "{:<52} {:>8.0} ns a token; held {:.1} bytes at the mean, {most} at most, something behind {:.0} % of tokens",
            format!("stream, {what}"),
            ns / tokens.len() as f64,
            held as f64 / tokens.len() as f64,
            waiting as f64 * 100.0 / tokens.len() as f64,
        );
    }
}
