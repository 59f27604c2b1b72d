//! JSON documents: against another reader, and over recorded traffic.
#![allow(clippy::unwrap_used)]

mod recordings;

use penstock_ai::json::{Members, Reader, Value};
use proptest::prelude::*;

/// Whether the text passes by walking it.
fn walks(bytes: &[u8]) -> bool {
    let walk = || -> Result<(), penstock_ai::json::Error> {
        let mut reader = Reader::new(bytes)?;
        reader.skip()?;
        reader.end()
    };
    walk().is_ok()
}

/// What must hold of any bytes: both ways of reading agree with each other and with serde_json, and what is printed reads
/// back as the same document.
fn holds(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
    let ours = Value::parse(bytes);
    assert_eq!(ours.is_ok(), walks(bytes), "{:?}", bytes.escape_ascii().to_string());
    let Ok(document) = ours else {
        assert!(theirs.is_err(), "refused: {:?}", bytes.escape_ascii().to_string());
        return;
    };
    let mut printed = Vec::new();
    document.write(&mut printed);
    assert_eq!(Value::parse(&printed).as_ref(), Ok(&document));
    // It refuses numbers beyond a double, and halves of surrogate pairs, which are JSON all the same.
    if let Ok(theirs) = theirs {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&printed).unwrap(), theirs);
        assert_eq!(plain(&document), theirs);
    }
    if document.as_object().is_some() {
        let mut members = Members::new(bytes).unwrap();
        let mut walked = 0;
        while let Some(member) = members.next().unwrap() {
            assert!(Value::parse(&bytes[member.value]).is_ok());
            walked += 1;
        }
        assert_eq!(Some(walked), document.as_object().map(|object| object.len()));
    }
}

/// The document as serde_json has it, built from what our accessors say.
fn plain(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => serde_json::from_str(number.as_str()).unwrap(),
        Value::String(string) => string.text().into_owned().into(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().into(),
        Value::Object(object) => {
            let members = object.iter().map(|(name, value)| (name.text().into_owned(), plain(value)));
            members.collect::<serde_json::Map<_, _>>().into()
        }
    }
}

fn json() -> impl Strategy<Value = String> {
    let space = || prop_oneof![4 => Just(String::new()), 1 => "[ \n\r\t]{1,2}"];
    let string =
        prop_oneof!["\"[a-z]{0,3}\"", r#""([ -!#-\[\]-~é😀]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,6}""#,];
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?";
    let leaf = prop_oneof![string.clone(), number.prop_map(|n| n), Just("true".into()), Just("null".into())];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        let string = string.clone();
        let value = (space(), inner, space()).prop_map(|(a, value, b)| a + &value + &b);
        let member =
            (space(), string, space(), value.clone()).prop_map(|(a, n, b, v)| a + &n + &b + ":" + &v);
        prop_oneof![
            prop::collection::vec(value, 0..5).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn documents_read_as_another_reader_reads_them(text in json()) {
        prop_assert!(walks(text.as_bytes()), "{}", text);
        holds(text.as_bytes());
    }

    #[test]
    fn documents_with_a_fault_are_judged_alike(text in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        holds(&bytes);
        bytes.remove(at);
        holds(&bytes);
    }

    #[test]
    fn any_bytes_are_judged_alike(bytes in prop::collection::vec(prop::sample::select(br#"{}[]",:\u0123eE+-. tfn"#.to_vec()), 0..12)) {
        holds(&bytes);
    }
}

#[test]
fn recorded_documents_are_kept_as_they_came() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".json") {
        assert!(walks(bytes), "{}", path.display());
        holds(bytes);
        n += 1;
    }
    assert!(n >= 100 || recordings::are_absent(), "only {n} documents");
}
