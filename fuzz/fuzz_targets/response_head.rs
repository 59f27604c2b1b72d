//! A response head in one piece, in two, and byte by byte; what passes is written on and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_http::{
    Asked, BodyFraming, FieldSet, HeadLimits, Method, Parsed, ResponseFault, ResponseHead, Upgrade, write,
};

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (cut, kind, bytes) = input;
    let limits = HeadLimits { head_bytes_max: 2048, fields_max: 20, target_bytes_max: 256 };
    let asked = match kind % 3 {
        0 => Asked::from(Method::Get),
        1 => Asked::from(Method::Head),
        _ => Asked { method: Method::Get, upgrade: Some(Upgrade::WebSocket) },
    };
    let (whole, head) = parse(bytes, &limits, asked, [bytes.len()].into_iter());
    let cut = usize::from(cut) % (bytes.len() + 1);
    assert_eq!(whole, parse(bytes, &limits, asked, [cut, bytes.len()].into_iter()).0);
    assert_eq!(whole, parse(bytes, &limits, asked, 0..=bytes.len()).0);
    if whole != Ok(Parsed::Complete) {
        return;
    }
    assert!((100..600).contains(&head.status) && head.head_len <= bytes.len());
    assert!(!(head.keep_alive && head.framing == BodyFraming::UntilClose));
    if head.status == 101 {
        return;
    }
    let mut out = Vec::new();
    write::status_line(&mut out, head.status);
    write::copy_fields(&mut out, bytes, &head.fields, FieldSet::EMPTY);
    write::response_framing(&mut out, head.framing, head.content_length);
    write::end(&mut out);
    let mut again = ResponseHead::new();
    assert_eq!(again.parse(&out, &HeadLimits::default(), asked), Ok(Parsed::Complete));
    assert_eq!(again.head_len, out.len(), "one head is written as one head");
    assert_eq!((again.status, again.framing), (head.status, head.framing));
});

fn parse(
    bytes: &[u8],
    limits: &HeadLimits,
    asked: Asked,
    ends: impl Iterator<Item = usize>,
) -> (Result<Parsed, ResponseFault>, ResponseHead) {
    let mut head = ResponseHead::new();
    let mut result = Ok(Parsed::Partial);
    for end in ends {
        result = head.parse(&bytes[..end], limits, asked);
        if result != Ok(Parsed::Partial) {
            break;
        }
    }
    (result, head)
}
