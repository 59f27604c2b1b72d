//! A JSON text: walking it and building it are one verdict, serde_json reads nothing else in it, and what is printed reads
//! back as the same document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_ai::json::{Members, Reader, Value};

fuzz_target!(|bytes: &[u8]| {
    let walked = Reader::new(bytes).and_then(|mut reader| reader.skip().and_then(|_| reader.end()));
    let parsed = Value::parse(bytes);
    assert_eq!(parsed.is_ok(), walked.is_ok());
    let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
    let Ok(document) = parsed else {
        assert!(theirs.is_err());
        return;
    };
    let mut printed = Vec::new();
    document.write(&mut printed);
    assert_eq!(Value::parse(&printed).as_ref(), Ok(&document));
    if let Ok(theirs) = theirs {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&printed).expect("printed"), theirs);
    }
    if let Ok(mut members) = Members::new(bytes) {
        while let Some(member) = members.next().expect("an object") {
            assert!(Value::parse(&bytes[member.value]).is_ok());
        }
    }
});
