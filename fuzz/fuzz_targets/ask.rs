//! The body of a request to a model: what is changed in place is changed, all other members stay as they came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_ai::ask::Ask;
use penstock_ai::dialect::Dialect;
use penstock_ai::json::{Edits, Value};

fuzz_target!(|input: (u8, &[u8])| {
    let (number, body) = input;
    let dialect = Dialect::ALL[usize::from(number) % Dialect::ALL.len()];
    let Ok(ask) = Ask::read(dialect, body) else { return };
    let Ok(Value::Object(before)) = Value::parse(body) else { return };
    let mut edits = Edits::default();
    ask.set_model("a/b\"c", &mut edits);
    ask.ask_for_usage(&mut edits);
    let text = edits.pieces(body).collect::<Vec<_>>().concat();
    assert_eq!(text.len(), edits.len_after(body.len()));
    let Ok(Value::Object(after)) = Value::parse(&text) else { panic!("no object any more") };
    let again = Ask::read(dialect, &text).expect("still a request");
    assert!(!again.lacks_usage());
    assert_eq!(
        (again.stream(), again.max_output(), again.answers()),
        (ask.stream(), ask.max_output(), ask.answers())
    );
    match ask.model() {
        Some(_) => assert!(after.get("model").is_some_and(|model| model.is("a/b\"c"))),
        None => assert_eq!(again.model(), None),
    }
    let changed = |name: &str| name == "stream_options" || (name == "model" && ask.model().is_some());
    let kept = |(name, _): &(&_, &_)| !changed(&penstock_ai::json::Str::text(name));
    assert!(before.iter().filter(kept).eq(after.iter().filter(kept)));
});
