//! Every rule of response framing as a row of `data/responses.txt`, read whole, in two parts and byte by byte.
#![allow(clippy::unwrap_used)]

mod table;

use penstock_http::{Asked, BodyFraming, Code, HeadLimits, Method, Parsed, ResponseHead, Upgrade};

fn verdict(bytes: &[u8], asked: Asked, ends: impl Iterator<Item = usize>) -> String {
    let mut head = ResponseHead::new();
    for end in ends {
        match head.parse(&bytes[..end], &HeadLimits::default(), asked) {
            Err(fault) if fault.code == Code::UpstreamTooLarge => return "too_large".to_string(),
            Err(fault) => {
                assert_eq!(fault.code, Code::UpstreamBadResponse);
                return "fault".to_string();
            }
            Ok(Parsed::Partial) => {}
            Ok(Parsed::Complete) => {
                assert_eq!(head.head_len, bytes.len());
                return describe(&head);
            }
        }
    }
    "incomplete".to_string()
}

fn describe(head: &ResponseHead) -> String {
    let mut text = match head.framing {
        BodyFraming::None => "none".to_string(),
        BodyFraming::Length(length) => format!("length={length}"),
        BodyFraming::Chunked => "chunked".to_string(),
        BodyFraming::UntilClose => "close".to_string(),
    };
    if head.keep_alive {
        text.push_str(" keep");
    }
    if let (BodyFraming::None, Some(length)) = (head.framing, head.content_length) {
        text.push_str(&format!(" told={length}"));
    }
    if head.interim {
        text.push_str(" interim");
    }
    text
}

#[test]
fn every_row_is_framed_as_told_however_it_is_cut() {
    let rows = table::rows(include_str!("data/responses.txt"), 4);
    assert!(rows.len() > 60, "the table is there");
    let mut wrong = Vec::new();
    for row in &rows {
        let [name, method, expected] = row.columns.as_slice() else {
            panic!("three columns before the bytes")
        };
        let asked = match method.as_str() {
            "WEBSOCKET" => Asked { method: Method::Get, upgrade: Some(Upgrade::WebSocket) },
            method => Asked::from(Method::lookup(method.as_bytes())),
        };
        let bytes = &row.bytes;
        let mut check = |got: String, how: &str| {
            if &got != expected {
                wrong.push(format!("{name}, {how}: {got} instead of {expected}"));
            }
        };
        check(verdict(bytes, asked, std::iter::once(bytes.len())), "whole");
        check(verdict(bytes, asked, 1..=bytes.len()), "byte by byte");
        for cut in (1..bytes.len()).step_by(1 + bytes.len() / 200) {
            check(verdict(bytes, asked, [cut, bytes.len()].into_iter()), "in two parts");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
