//! Every strictness rule as a row of `data/strictness.txt`, read whole, in two parts and byte by byte.
#![allow(clippy::unwrap_used)]

mod table;

use penstock_http::{BodyReader, Code, HeadLimits, Kind, Parsed, RequestHead};
use std::collections::HashSet;

/// What becomes of a message that comes in parts ending at the given indices: `ok` or the name of the code.
fn verdict(bytes: &[u8], ends: impl Iterator<Item = usize>) -> String {
    let mut head = RequestHead::new();
    let limits = HeadLimits::default();
    let mut body: Option<(BodyReader, usize)> = None;
    for end in ends {
        let came = &bytes[..end];
        if body.is_none() {
            match head.parse(came, &limits) {
                Err(refusal) => {
                    assert!(refusal.offset as usize <= came.len(), "offset of {refusal}");
                    return refusal.code.to_string();
                }
                Ok(Parsed::Partial) => continue,
                Ok(Parsed::Complete) => {
                    let mut reader = BodyReader::new();
                    reader.begin_request(head.framing);
                    body = Some((reader, head.head_len));
                }
            }
        }
        let (reader, at) = body.as_mut().unwrap();
        loop {
            match reader.step(&came[*at..]) {
                Err(refusal) => return refusal.code.to_string(),
                Ok(step) if matches!(step.kind, Kind::NeedMore | Kind::End) => break,
                Ok(step) => *at += step.len,
            }
        }
    }
    match body {
        None => "head incomplete".to_string(),
        Some((_, at)) if at < bytes.len() => "bytes left over".to_string(),
        Some((reader, _)) if !reader.is_done() && !head.expect_continue => "body incomplete".to_string(),
        Some(_) => "ok".to_string(),
    }
}

#[test]
fn every_row_gives_its_code_however_it_is_cut() {
    let rows = table::rows(include_str!("data/strictness.txt"), 3);
    assert!(rows.len() > 150, "the table is there");
    let mut names = HashSet::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let [name, expected] = row.columns.as_slice() else { panic!("two columns before the bytes") };
        assert!(names.insert(name.clone()), "{name} stands there twice");
        let bytes = &row.bytes;
        let mut check = |got: String, how: &str| {
            if &got != expected {
                wrong.push(format!("{name}, {how}: {got} instead of {expected}"));
            }
        };
        check(verdict(bytes, std::iter::once(bytes.len())), "whole");
        check(verdict(bytes, 1..=bytes.len()), "byte by byte");
        for cut in (1..bytes.len()).step_by(1 + bytes.len() / 200) {
            check(verdict(bytes, [cut, bytes.len()].into_iter()), "in two parts");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_code_of_the_message_has_a_row() {
    let rows = table::rows(include_str!("data/strictness.txt"), 3);
    let covered: HashSet<&str> = rows.iter().map(|row| row.columns[1].as_str()).collect();
    // these need a clock, a route or a configured limit: the data plane's tests have them
    let elsewhere = [
        Code::BodyTooLarge,
        Code::HeadTimeout,
        Code::BodyTimeout,
        Code::BodyTooSlow,
        Code::WebsocketNotSupported,
        Code::MethodNotSupported,
        Code::BadPath,
        Code::UnsupportedMediaType,
        Code::BodyInvalid,
        Code::ParameterInvalid,
        Code::Misdirected,
    ];
    for &code in Code::ALL.iter().filter(|code| code.id() < 100 && !elsewhere.contains(code)) {
        assert!(covered.contains(code.as_str()), "no row for {code}");
    }
}

#[test]
fn bytes_that_were_read_are_not_read_again() {
    // a bare LF put into the part that was scanned already would be refused by a scan from the start
    let limits = HeadLimits::default();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: aaaa".to_vec();
    let mut head = RequestHead::new();
    assert_eq!(head.parse(&bytes, &limits), Ok(Parsed::Partial));
    let scanned = bytes.len() - 2;
    bytes[scanned] = b'\n';
    bytes.push(b'a');
    assert_eq!(head.parse(&bytes, &limits), Ok(Parsed::Partial));
    head.reset();
    assert_eq!(head.parse(&bytes, &limits).map_err(|refusal| refusal.code), Err(Code::BadLineEnd));
}
