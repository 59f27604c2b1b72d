//! Texts of any kind, in pieces that are cut anywhere: what is masked in a stream is what is masked in the whole text,
//! what is masked is restored, and bodies stay JSON of the same shape.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use penstock_ai::dialect::Dialect;
use penstock_ai::json::{Edits, Value};
use penstock_guard::walk::{Body, edit_body};
use penstock_guard::{
    Action, ArgumentsGuard, Check, Compiled, Detector, Direction, Finds, Flow, MaskKey, Place, Rule, Rules,
    StreamGuard, Texts,
};

const KEY: MaskKey = MaskKey::new([7; 32]);

static GUARD: LazyLock<Arc<Compiled>> = LazyLock::new(|| {
    let words = ["project x", "größe", "秘密", "ab"].map(str::to_owned).to_vec();
    let patterns = vec![r"\bORD-[0-9]{4,8}\b".to_owned(), r"(?i)case\s+[a-z]{1,3}".to_owned()];
    let rules =
        [Finds::Pii(Detector::ALL.to_vec()), Finds::Words { words, whole: true }, Finds::Regex(patterns)];
    let rule = |finds| Rule { finds, on_input: true, on_output: true, action: Action::Mask, restore: true };
    let rules = Rules { rules: rules.map(rule).to_vec(), ..Rules::default() };
    Arc::new(Compiled::new(&rules).expect("the rules are right"))
});

fuzz_target!(|input: (u8, Vec<u8>, &str)| {
    let (number, cuts, text) = input;
    let mut check = Check::new(&GUARD, Direction::Output, &KEY);
    let masked = check.text(text, Place::ORDINARY);
    let (_, masks) = check.finish();
    // Longer matches than the window are decided apart.
    if text.len() <= 200 {
        let mut stream = StreamGuard::new(Arc::clone(&GUARD), Direction::Output, KEY, true);
        let mut out = String::new();
        let mut rest = text;
        for cut in cuts {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(usize::from(cut)));
            rest = behind;
            assert_eq!(stream.push(piece, &mut out), Flow::Goes);
            assert!(stream.held_bytes() <= 256);
        }
        assert_eq!(stream.push(rest, &mut out), Flow::Goes);
        assert_eq!(stream.finish(&mut out), Flow::Goes);
        assert_eq!(out, masked.as_deref().unwrap_or(text));
    }
    // A text that has no placeholder of its own comes back as it was.
    if let Some(masked) = &masked
        && !text.contains('[')
    {
        assert_eq!(masks.restore(masked).as_deref().unwrap_or(masked), text);
    }
    let mut arguments = ArgumentsGuard::new(Arc::clone(&GUARD), Direction::Output, KEY, true);
    let mut out = String::new();
    for char in text.chars() {
        assert_eq!(arguments.push(char.encode_utf8(&mut [0; 4]), &mut out), Flow::Goes);
    }
    assert_eq!(arguments.finish(&mut out), Flow::Goes);
    let Ok(before) = Value::parse(text.as_bytes()) else { return };
    let after = Value::parse(out.as_bytes()).expect("arguments stay JSON");
    assert!(is_alike(&before, &after));
    let dialect = Dialect::ALL[usize::from(number) % Dialect::ALL.len()];
    for body in [Body::Request, Body::Answer] {
        let mut edits = Edits::default();
        let mut check = Check::new(&GUARD, Direction::Output, &KEY);
        if edit_body(dialect, body, text.as_bytes(), &mut check, &mut edits).is_err() {
            continue;
        }
        let edited = edits.pieces(text.as_bytes()).collect::<Vec<_>>().concat();
        let after = Value::parse(&edited).expect("the body stays JSON");
        let (_, masks) = check.finish();
        assert!(is_alike(&before, &after));
        assert!(!masks.is_empty() || edited == text.as_bytes());
    }
});

/// The same kinds of values in the same places under the same names; what spells a text may have become `null`.
fn is_alike(before: &Value<'_>, after: &Value<'_>) -> bool {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| is_alike(before, after))
        }
        (Value::Object(before), Value::Object(after)) => {
            before.len() == after.len()
                && before.iter().zip(after.iter()).all(|((name, before), (after_name, after))| {
                    name == after_name && (after.is_null() || is_alike(before, after))
                })
        }
        (Value::String(_), Value::String(_)) => true,
        _ => before == after,
    }
}
