//! A request head in one piece, in two, and byte by byte; what passes is written on and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_http::{FieldSet, HeadLimits, Parsed, Refusal, RequestHead, TargetForm, Version, write};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let limits = HeadLimits { head_bytes_max: 2048, fields_max: 20, target_bytes_max: 256 };
    let (whole, head) = parse(bytes, &limits, [bytes.len()].into_iter());
    let cut = usize::from(cut) % (bytes.len() + 1);
    let (in_two, head_in_two) = parse(bytes, &limits, [cut, bytes.len()].into_iter());
    assert_eq!(whole, in_two);
    let (single, _) = parse(bytes, &limits, 0..=bytes.len());
    assert_eq!(whole, single);
    if whole != Ok(Parsed::Complete) {
        return;
    }
    assert_eq!(format!("{head:?}"), format!("{head_in_two:?}"));
    assert!(head.head_len <= bytes.len());
    assert!(head.version == Version::Http10 || !head.host.is_empty());

    let mut out = Vec::new();
    let query = head.query.map(|query| query.of(bytes));
    write::request_line(&mut out, head.method_text.of(bytes), head.path.of(bytes), query)
        .expect("a parsed line");
    write::copy_fields(&mut out, bytes, &head.fields, FieldSet::EMPTY);
    write::request_framing(&mut out, head.framing);
    if head.version == Version::Http10 && head.host.is_empty() {
        out.extend_from_slice(b"Host: a\r\n");
    }
    write::end(&mut out);
    // an HTTP/1.0 head in absolute-form may have no Host, which the data plane adds
    if head.version == Version::Http10 && head.form == TargetForm::Absolute {
        return;
    }
    let wide = HeadLimits::default();
    let mut again = RequestHead::new();
    match again.parse(&out, &wide) {
        Ok(Parsed::Complete) => {
            assert_eq!(again.framing, head.framing);
            assert_eq!(again.head_len, out.len(), "one head is written as one head");
            assert_eq!(again.method_text.of(&out), head.method_text.of(bytes));
        }
        // HTTP/1.0 lets an Expect pass that HTTP/1.1 does not
        Err(refusal) => {
            assert!(head.version == Version::Http10, "{refusal} in {:?}", out.escape_ascii().to_string())
        }
        Ok(Parsed::Partial) => panic!("what was written is incomplete"),
    }
});

fn parse(
    bytes: &[u8],
    limits: &HeadLimits,
    ends: impl Iterator<Item = usize>,
) -> (Result<Parsed, Refusal>, RequestHead) {
    let mut head = RequestHead::new();
    let mut result = Ok(Parsed::Partial);
    for end in ends {
        result = head.parse(&bytes[..end], limits);
        if result != Ok(Parsed::Partial) {
            break;
        }
    }
    (result, head)
}
