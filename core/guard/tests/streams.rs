//! Texts that come in pieces: found the same however they are cut, and held back as little as can be.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{
    KEY, PROSE, arguments, compiled, cut, iban, key, masked, regex, rule, streamed, with_luhn, words,
};
use penstock_guard::{
    Action, Compiled, Detector, Direction, Finds, Flow, Overlong, Rules, StreamGuard, Verdict,
    WINDOW_BYTES_DEFAULT,
};
use proptest::prelude::*;

/// All detectors, words with and without borders, and expressions.
fn everything() -> Arc<Compiled> {
    compiled(vec![
        rule(Finds::Pii(Detector::ALL.to_vec()), Action::Mask),
        words(&["project x", "falke", "größe", "秘密"], true, Action::Mask),
        words(&["inner"], false, Action::Mask),
        regex(&[r"\bORD-[0-9]{4,8}\b", r"(?i)case\s+[a-z]{1,3}", r"[^\x00-\x7f]{3}!"], Action::Mask),
    ])
}

fn secrets() -> Vec<String> {
    vec![
        "ada.lovelace@mail.example.org".into(),
        "+49 30 1234567".into(),
        "(555) 234-5678".into(),
        "+(555) 234-5678".into(),
        with_luhn("411111111111111"),
        "4111 1111 1111 1111".into(),
        iban("DE", "370400440532013000"),
        "DE89 3704 0044 0532 0130 00".into(),
        "AB 12 34 56 C".into(),
        "RSSMRA85T10A562S".into(),
        "123-45-6789".into(),
        "86095742719".into(),
        key("sk-ant-api03-", 60),
        key("ghp_", 36),
        "AKIAIOSFODNN7EXAMPLE".into(),
        "aws_secret_access_key = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'".into(),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U".into(),
        "Project  X".into(),
        "FALKE".into(),
        "Größe".into(),
        "秘密".into(),
        "winners".into(),
        "ORD-12345".into(),
        "Case abc".into(),
        "äöü!".into(),
    ]
}

#[test]
fn a_secret_is_masked_wherever_it_is_cut() {
    let guard = everything();
    for secret in secrets() {
        for text in [format!("It is {secret}, he said."), secret.clone(), format!("({secret})\n{secret} ")] {
            let whole = masked(&guard, &text);
            assert!(whole != text, "{text}");
            for first in 0..=text.len() {
                assert_eq!(streamed(&guard, &cut(&text, &[first])), whole, "{text} at {first}");
                for second in first..=text.len() {
                    assert_eq!(
                        streamed(&guard, &cut(&text, &[first, second])),
                        whole,
                        "{text} at {first}, {second}"
                    );
                }
            }
            let single: Vec<usize> = (0..text.len()).collect();
            assert_eq!(streamed(&guard, &cut(&text, &single)), whole, "{text} byte by byte");
        }
    }
}

#[test]
fn a_private_key_of_any_length_is_hidden() {
    let guard = everything();
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\nabc=\n-----END PRIVATE KEY-----",
        vec![line; 40].join("\n")
    );
    let text = format!("Here it is:\n{key}\nKeep it.");
    for piece in [1, 3, 17, 64, 250, 1000, 5000] {
        let ends: Vec<usize> = (1..=text.len() / piece).map(|n| n * piece).collect();
        let out = streamed(&guard, &cut(&text, &ends));
        assert!(out.starts_with("Here it is:\n[KEY_") && out.ends_with("]\nKeep it."), "{out}");
        assert!(!out.contains("MII") && !out.contains("END"), "{out}");
    }
}

#[test]
fn a_long_token_is_hidden_beyond_the_window() {
    let guard = everything();
    for secret in
        [key("sk-ant-api03-", 3000), format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", key("", 2000), key("", 86))]
    {
        let text = format!("token {secret} end");
        for piece in [1, 7, 100, 4000] {
            let ends: Vec<usize> = (1..=text.len() / piece).map(|n| n * piece).collect();
            let out = streamed(&guard, &cut(&text, &ends));
            assert!(
                out.starts_with("token [KEY_") && out.ends_with("] end") && out.len() < 40,
                "{piece}: {out}"
            );
        }
    }
}

#[test]
fn what_does_not_end_within_the_window_is_masked_or_ends_the_answer() {
    let rules = |overlong| Rules {
        rules: vec![regex(&[r"BEGIN[a-z ]*END"], Action::Mask)],
        overlong,
        ..Rules::default()
    };
    let text = format!("x BEGIN{} later", " and so on".repeat(40));
    for (overlong, flow) in [(Overlong::Mask, Flow::Goes), (Overlong::Block, Flow::Blocked)] {
        let compiled = Arc::new(Compiled::new(&rules(overlong)).unwrap());
        let mut guard = StreamGuard::new(compiled, Direction::Output, KEY, true);
        let mut out = String::new();
        let mut last = Flow::Goes;
        for char in text.chars() {
            last = guard.push(char.encode_utf8(&mut [0; 4]), &mut out);
            assert!(guard.held_bytes() <= WINDOW_BYTES_DEFAULT + 1);
        }
        assert_eq!(last, flow);
        assert!(out.starts_with("x "));
        assert_eq!(out.contains("[TEXT_"), flow == Flow::Goes, "{out}");
        assert_eq!(out.ends_with("later"), flow == Flow::Goes);
    }
}

#[test]
fn a_word_ends_the_answer_before_it_is_out() {
    let guard = compiled(vec![words(&["project x"], true, Action::Block)]);
    let mut stream = StreamGuard::new(guard, Direction::Output, KEY, true);
    let mut out = String::new();
    for piece in ["This is pro", "ject ", "x"] {
        assert_eq!(stream.push(piece, &mut out), Flow::Goes);
    }
    assert_eq!(stream.push(".", &mut out), Flow::Blocked);
    assert_eq!(stream.push("more", &mut out), Flow::Blocked);
    assert_eq!(stream.finish(&mut out), Flow::Blocked);
    assert_eq!(out, "This is ");
    assert_eq!(stream.tally().verdict(), Verdict::Blocked);
}

#[test]
fn what_is_only_told_is_not_held_back() {
    let guard = compiled(vec![rule(Finds::Pii(vec![Detector::Email, Detector::Card]), Action::Flag)]);
    let mut stream = StreamGuard::new(guard, Direction::Output, KEY, true);
    let mut out = String::new();
    for char in "Write to ada@example.org or 4111 1111 1111 1111.".chars() {
        assert_eq!(stream.push(char.encode_utf8(&mut [0; 4]), &mut out), Flow::Goes);
        assert_eq!(stream.held_bytes(), 0);
    }
    assert_eq!(stream.finish(&mut out), Flow::Goes);
    assert_eq!(out, "Write to ada@example.org or 4111 1111 1111 1111.");
    let counts: Vec<_> = stream.tally().names().collect();
    assert_eq!(
        (counts.as_slice(), stream.tally().verdict()),
        (&[("email", 1), ("card", 1)][..], Verdict::Flagged)
    );
}

#[test]
fn what_is_signed_passes_and_is_told() {
    let guard = everything();
    let mut stream = StreamGuard::new(guard, Direction::Output, KEY, false);
    let mut out = String::new();
    let text = format!("I thought of ada@example.org and {} now.", key("sk-ant-", 700));
    for char in text.chars() {
        assert_eq!(stream.push(char.encode_utf8(&mut [0; 4]), &mut out), Flow::Goes);
    }
    assert_eq!(stream.finish(&mut out), Flow::Goes);
    assert_eq!(out, text);
    assert_eq!(stream.tally().verdict(), Verdict::Unmasked);
}

#[test]
fn what_can_be_nothing_is_let_go_at_once() {
    let card = compiled(vec![rule(Finds::Pii(vec![Detector::Card]), Action::Mask)]);
    let mut stream = StreamGuard::new(card, Direction::Output, KEY, true);
    let mut out = String::new();
    for (piece, held) in
        [("Every word of this ", 0), ("passes. In 20", 2), ("24 ", 5), ("it", 0), (" rained.", 0)]
    {
        assert_eq!(stream.push(piece, &mut out), Flow::Goes);
        assert_eq!(stream.held_bytes(), held, "{piece}");
    }
    let mail = compiled(vec![rule(Finds::Pii(vec![Detector::Email]), Action::Mask)]);
    let mut stream = StreamGuard::new(mail, Direction::Output, KEY, true);
    for (piece, held) in [("One wor", 3), ("d, ", 0), ("two", 3), ("\n", 0), (&"x".repeat(64), 64), ("x", 0)]
    {
        assert_eq!(stream.push(piece, &mut out), Flow::Goes);
        assert_eq!(stream.held_bytes(), held, "{piece}");
    }
}

#[test]
fn arguments_are_guarded_within_their_strings() {
    let guard = everything();
    let text = r#"{"ada@example.org": ["to ada@example.org", {"n": 4111111111111111, "a\u0064a": "x\"\u0061da@example.org\n"}]}"#;
    let expected = |mail: &str| {
        format!(
            r#"{{"ada@example.org": ["to {mail}", {{"n": 4111111111111111, "a\u0064a": "x\"{mail}\n"}}]}}"#
        )
    };
    let mail = masked(&guard, "ada@example.org");
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(arguments(&guard, &cut(text, &[first, second])), expected(&mail), "{first}, {second}");
        }
    }
    // Halves of a pair that come apart, halves alone, and what is no JSON.
    for (text, out) in [
        (r#"["\ud83d\ude00"]"#, "[\"\u{1f600}\"]"),
        (r#"["\ud83d!\ude00"]"#, "[\"\u{fffd}!\u{fffd}\"]"),
        (r#"{"a": tru"#, r#"{"a": tru"#),
        (r#"{"a": "cut of"#, r#"{"a": "cut of"#),
        ("", ""),
    ] {
        let single: Vec<usize> = (0..text.len()).collect();
        assert_eq!(arguments(&guard, &cut(text, &single)), out);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(secrets()),
        3 => prop::sample::select(vec![
            " ", "  ", "-", ".", ",", "@", "+", "(", ")", "0", "1", "12", "4111", "2024", "/", "é", "谢", "\n", "A", "sk-",
            "eyJ", "DE", "x", "_", "abc", "the quick brown fox", "example.org", "-----BEGIN ", "phone ", "00", "BSN",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cuts_change_nothing(text in any_text(), ends in prop::collection::vec(0usize..400, 0..12)) {
        let guard = everything();
        prop_assert_eq!(streamed(&guard, &cut(&text, &ends)), masked(&guard, &text));
    }

    #[test]
    fn each_detector_alone_finds_the_same_in_pieces(
        text in any_text(),
        which in prop::sample::select(Detector::ALL.to_vec()),
        piece in 1usize..9,
    ) {
        let guard = compiled(vec![rule(Finds::Pii(vec![which]), Action::Mask)]);
        let ends: Vec<usize> = (1..=text.len() / piece).map(|n| n * piece).collect();
        prop_assert_eq!(streamed(&guard, &cut(&text, &ends)), masked(&guard, &text));
    }
}

#[test]
fn prose_passes_as_it_came() {
    let guard = compiled(vec![rule(Finds::Pii(Detector::ALL.to_vec()), Action::Mask)]);
    for piece in 1..40 {
        let ends: Vec<usize> = (1..=PROSE.len() / piece).map(|n| n * piece).collect();
        assert_eq!(streamed(&guard, &cut(PROSE, &ends)), PROSE);
    }
}
