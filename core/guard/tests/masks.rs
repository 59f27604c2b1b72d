//! Placeholders: stable, not to be guessed, restored wherever they are cut.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{KEY, all_pii, cut};
use penstock_guard::{
    Action, Check, Compiled, Detector, Direction, Finds, MaskKey, Masks, PLACEHOLDER_BYTES_MAX, Place,
    Restore, Restorer, Rule, Texts, Then, Verdict,
};
use proptest::prelude::*;

fn mask(compiled: &Compiled, key: &MaskKey, texts: &[&str]) -> (Vec<String>, Masks) {
    let mut check = Check::new(compiled, Direction::Input, key);
    let masked = texts
        .iter()
        .map(|text| check.text(text, Place::ORDINARY).unwrap_or_else(|| (*text).to_owned()))
        .collect();
    let (_, masks) = check.finish();
    (masked, masks)
}

#[test]
fn a_value_has_one_placeholder_in_a_conversation() {
    let compiled = all_pii(Action::Mask);
    let (first, masks) =
        mask(&compiled, &KEY, &["Write to ada@example.org.", "To ada@example.org or bob@example.org?"]);
    assert_eq!(masks.len(), 2);
    let (later, _) = mask(
        &compiled,
        &KEY,
        &["Write to ada@example.org.", "Now ask eve@example.org about ada@example.org."],
    );
    assert_eq!(first[0], later[0]);
    let placeholder = first[0].strip_prefix("Write to ").unwrap().strip_suffix('.').unwrap();
    assert!(first[1].contains(placeholder) && later[1].ends_with(&format!("about {placeholder}.")));
    assert!(placeholder.starts_with("[EMAIL_") && placeholder.len() == "[EMAIL_3f9a]".len());
    assert_eq!(masks.value(placeholder), Some("ada@example.org"));
    // Another key, another placeholder.
    for key in [MaskKey::new([8; 32]), KEY.of_scope(b"app"), KEY.of_scope(b"app2")] {
        assert_ne!(mask(&compiled, &key, &["Write to ada@example.org."]).0[0], first[0]);
    }
    assert_eq!(format!("{KEY:?} {masks:?}"), "MaskKey Masks(2)");
}

#[test]
fn two_values_never_share_a_placeholder() {
    let compiled = all_pii(Action::Mask);
    let texts: Vec<String> = (0..3000).map(|n| format!("u{n}@example.org")).collect();
    let (masked, masks) = mask(&compiled, &KEY, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let different: std::collections::HashSet<_> = masked.iter().collect();
    assert_eq!((different.len(), masks.len()), (3000, 3000));
    assert!(
        masked.iter().any(|placeholder| placeholder.len() > "[EMAIL_3f9a]".len()),
        "some would have been equal"
    );
    assert!(masked.iter().all(|placeholder| placeholder.len() <= PLACEHOLDER_BYTES_MAX));
    for (text, masked) in texts.iter().zip(&masked) {
        assert_eq!(masks.restore(masked).as_ref(), Some(text));
    }
}

#[test]
fn only_what_was_masked_is_restored() {
    let compiled = all_pii(Action::Mask);
    let (masked, masks) = mask(&compiled, &KEY, &["ada@example.org"]);
    let own = &masked[0];
    for (text, restored) in [
        (
            format!("Hello {own}, [EMAIL_0000] and [x]"),
            Some("Hello ada@example.org, [EMAIL_0000] and [x]".to_owned()),
        ),
        (format!("[[{own}]]({own})"), Some("[[ada@example.org]](ada@example.org)".to_owned())),
        ("[EMAIL_0000]".to_owned(), None),
        (own.to_lowercase(), None),
        ("nothing".to_owned(), None),
        (own[..own.len() - 1].to_owned(), None),
    ] {
        assert_eq!(masks.restore(&text), restored, "{text}");
    }
    assert_eq!(Masks::default().restore(own), None);
}

#[test]
fn what_a_rule_does_not_restore_stays_masked() {
    let rule = |detector, restore| Rule { restore, ..common::rule(Finds::Pii(vec![detector]), Action::Mask) };
    let compiled = common::compiled(vec![rule(Detector::Email, true), rule(Detector::Iban, false)]);
    let iban = common::iban("DE", "370400440532013000");
    let (masked, masks) = mask(&compiled, &KEY, &[&format!("ada@example.org {iban}")]);
    let restored = masks.restore(&masked[0]).unwrap();
    assert!(restored.starts_with("ada@example.org [IBAN_"), "{restored}");
    assert!(compiled.restores());
}

#[test]
fn an_answer_is_checked_and_restored_in_one_walk() {
    let compiled = all_pii(Action::Mask);
    let (masked, masks) = mask(&compiled, &KEY, &["ada@example.org"]);
    let mut check = Check::new(&compiled, Direction::Output, &KEY);
    let mut restore = Restore(&masks);
    let mut both = Then(&mut check, &mut restore);
    let text = format!("{} and eve@example.org", masked[0]);
    let out = both.text(&text, Place::ORDINARY).unwrap();
    assert!(out.starts_with("ada@example.org and [EMAIL_"), "{out}");
    assert_eq!(both.text("nothing", Place::ORDINARY), None);
    let sealed = Place { is_editable: false, ..Place::ORDINARY };
    assert_eq!(both.text("eve@example.org", sealed), None);
}

#[test]
fn a_placeholder_is_restored_wherever_it_is_cut() {
    let compiled = all_pii(Action::Mask);
    let (masked, masks) =
        mask(&compiled, &KEY, &["-----BEGIN PRIVATE KEY-----\nabc==\n-----END PRIVATE KEY-----"]);
    let text = format!("a [link] {}{} [EMAIL_ [KEY_00] [", masked[0], masked[0]);
    let value = "-----BEGIN PRIVATE KEY-----\nabc==\n-----END PRIVATE KEY-----";
    let plain = text.replace(&masked[0], value);
    let escaped = text.replace(&masked[0], &value.replace('\n', "\\n"));
    for first in 0..=text.len() {
        for second in first..=text.len() {
            for (mut restorer, expected) in [(Restorer::default(), &plain), (Restorer::in_json(), &escaped)] {
                let mut out = String::new();
                for piece in cut(&text, &[first, second]) {
                    restorer.push(&masks, piece, &mut out);
                    assert!(expected.starts_with(&out) && expected.len() - out.len() <= expected.len());
                }
                restorer.finish(&mut out);
                assert_eq!(&out, expected, "{first}, {second}");
            }
        }
    }
}

#[test]
fn verdicts_have_their_codes() {
    assert_eq!(Verdict::byte(Verdict::Masked, Verdict::Blocked), 0x23);
    assert_eq!(Verdict::byte(Verdict::NotRun, Verdict::NotRun), 0);
    let all = [
        Verdict::NotRun,
        Verdict::Passed,
        Verdict::Flagged,
        Verdict::Masked,
        Verdict::Unmasked,
        Verdict::FailedOpen,
        Verdict::FailedClosed,
        Verdict::Blocked,
    ];
    let mut codes: Vec<u8> = all.iter().map(|verdict| verdict.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() == all.len() && codes.iter().all(|code| *code < 16));
    for (n, weaker) in all.iter().enumerate() {
        for stronger in &all[n..] {
            assert_eq!((weaker.and(*stronger), stronger.and(*weaker)), (*stronger, *stronger));
        }
    }
}

proptest! {
    #[test]
    fn what_is_masked_and_restored_is_as_it_was(text in "[a-z@. \\[\\]_0-9A-F+()-]{0,80}", mail in "[a-z]{1,9}@[a-z]{1,9}\\.org") {
        let compiled = all_pii(Action::Mask);
        let text = format!("{text} {mail} {text}");
        let (masked, masks) = mask(&compiled, &KEY, &[&text]);
        prop_assert!(!masked[0].contains(&mail));
        let restored = masks.restore(&masked[0]);
        prop_assert_eq!(restored.as_deref(), Some(text.as_str()));
    }
}
