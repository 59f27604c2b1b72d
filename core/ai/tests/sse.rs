//! The rules of `text/event-stream`, one row each, however the stream is cut; bounds, timing and the writer.
#![allow(clippy::unwrap_used)]

mod streams;

use penstock_ai::sse::{EventType, Item, SseError, SseLimits, SseReader, write_event};
use streams::{Read, Seen, read_however_cut};

/// A block in one line: what it is, its type, its data, and what else it has.
fn show(block: &Seen) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut shown = block.kind.to_string();
    if let Some(event_type) = &block.event_type {
        shown.push_str(&format!(" type={}", text(event_type)));
    }
    shown.push_str(&format!(" '{}'", text(&block.data)));
    if let Some(id) = &block.id {
        shown.push_str(&format!(" id={}", text(id)));
    }
    if let Some(retry) = block.retry {
        shown.push_str(&format!(" retry={retry}"));
    }
    if !block.stray.is_empty() {
        shown.push_str(&format!(" stray={}", text(&block.stray)));
    }
    shown
}

/// Rule, stream, its blocks.
type Row = (&'static str, &'static str, &'static [&'static str]);

const RULES: &[Row] = &[
    // line ends
    ("LF", "data: a\n\ndata: b\n\n", &["event 'a'", "event 'b'"]),
    ("CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", &["event 'a'", "event 'b'"]),
    ("CR", "data: a\r\rdata: b\r\r", &["event 'a'", "event 'b'"]),
    ("LF, then CRLF", "data: a\n\r\ndata: b\r\n\n", &["event 'a'", "event 'b'"]),
    ("LF, then CR", "data: a\n\rdata: b\n\r", &["event 'a'", "event 'b'"]),
    ("CR, then CRLF", "data: a\r\r\ndata: b\n\n", &["event 'a'", "event 'b'"]),
    ("CR, then LF is one line end", "data: a\r\ndata: b\r\n\r\n", &[r"event 'a\nb'"]),
    ("LF, then CR is two line ends", "data: a\n\rdata: b\n\n", &["event 'a'", "event 'b'"]),
    ("CRLF, then CR", "data: a\r\n\rdata: b\r\n\r", &["event 'a'", "event 'b'"]),
    (
        "no other control ends a line",
        "data: a\u{b}\u{c}\u{85}\u{2028}\0b\n\n",
        &[r"event 'a\x0b\x0c\xc2\x85\xe2\x80\xa8\x00b'"],
    ),
    // the byte order mark
    ("BOM", "\u{feff}data: a\n\n", &["event 'a'"]),
    ("BOM before a comment", "\u{feff}: c\ndata: a\n\n", &["event 'a'"]),
    ("one BOM only", "\u{feff}\u{feff}data: a\n\n", &[r"dataless '' stray=\xef\xbb\xbfdata: a\n\n"]),
    (
        "BOM at the beginning only",
        "data: a\n\n\u{feff}data: b\n\n",
        &["event 'a'", r"dataless '' stray=\xef\xbb\xbfdata: b\n\n"],
    ),
    ("nothing but a BOM", "\u{feff}", &[]),
    ("what begins like a BOM", "\u{feba}data: a\n\n", &[r"dataless '' stray=\xef\xba\xbadata: a\n\n"]),
    // fields
    ("no space", "data:a\n\n", &["event 'a'"]),
    ("one space goes", "data:  a\n\n", &["event ' a'"]),
    ("a tab stays", "data:\ta\n\n", &[r"event '\ta'"]),
    ("spaces at the end stay", "data: {}  \n\n", &["event '{}  '"]),
    ("colons in the value", "data: a: b:c\n\n", &["event 'a: b:c'"]),
    ("no colon", "data\n\n", &["event ''"]),
    ("no value", "data:\n\n", &["event ''"]),
    ("only the space", "data: \n\n", &["event ''"]),
    ("lines are joined", "data: a\ndata: b\ndata: c\n\n", &[r"event 'a\nb\nc'"]),
    ("lines of any end are joined", "data: a\r\ndata: b\rdata: c\n\n", &[r"event 'a\nb\nc'"]),
    ("empty lines are joined", "data\ndata\n\n", &[r"event '\n'"]),
    ("an empty line at the end counts", "data: a\ndata:\n\n", &[r"event 'a\n'"]),
    (
        "lines are joined over others",
        "data: a\nid: 1\n: c\ndatas: x\ndata: b\n\n",
        &[r"event 'a\nb' id=1 stray=datas: x\ndata: b\n\n"],
    ),
    ("the type", "event: add\ndata: a\n\n", &["event type=add 'a'"]),
    ("the type behind the data", "data: a\nevent: add\n\n", &["event type=add 'a'"]),
    ("the last type", "event: add\nevent: remove\ndata: a\n\n", &["event type=remove 'a'"]),
    ("an empty type", "event: add\nevent:\ndata: a\n\n", &["event 'a'"]),
    ("a type is for one event", "event: add\ndata: a\n\ndata: b\n\n", &["event type=add 'a'", "event 'b'"]),
    ("an id", "id: 1\ndata: a\n\n", &["event 'a' id=1"]),
    ("an empty id", "id\ndata: a\n\n", &["event 'a' id="]),
    ("an id with a NUL", "id: 1\nid: 2\0\ndata: a\n\n", &["event 'a' id=1"]),
    ("a reconnection time", "retry: 0150\ndata: a\n\n", &["event 'a' retry=150"]),
    ("no sign", "retry: 150\nretry: -1\nretry: +1\ndata: a\n\n", &["event 'a' retry=150"]),
    ("no space at its end", "retry: 150 \ndata: a\n\n", &["event 'a'"]),
    ("no empty time", "retry:\ndata: a\n\n", &["event 'a'"]),
    (
        "a time beyond 64 bits",
        "retry: 99999999999999999999999\ndata: a\n\n",
        &["event 'a' retry=18446744073709551615"],
    ),
    ("names are as they are written", "Data: a\n\n", &[r"dataless '' stray=Data: a\n\n"]),
    ("no space before a name", " data: a\n\n", &[r"dataless '' stray= data: a\n\n"]),
    ("no space behind a name", "data : a\n\n", &[r"dataless '' stray=data : a\n\n"]),
    ("names are whole", "dat: a\ndatab: c\nevents\n\n", &[r"dataless '' stray=dat: a\ndatab: c\nevents\n\n"]),
    ("an unknown field", "foo: b\ndata: a\n\n", &[r"event 'a' stray=foo: b\ndata: a\n\n"]),
    // blocks
    ("blank lines", "\n\n\r\n\rdata: a\n\n\n\n", &["event 'a'"]),
    ("a comment before", ": c\ndata: a\n\n", &["event 'a'"]),
    ("a comment between", "data: a\n:data: b\n\n", &["event 'a'"]),
    ("a keep-alive", ": c\n\n:\n\n:\r\n\r\ndata: a\n\n", &["event 'a'"]),
    ("no data", "event: ping\n\ndata: a\n\n", &["dataless type=ping ''", "event 'a'"]),
    ("only a time", "retry: 5\n\n", &["dataless '' retry=5"]),
    ("only an id", "id: 5\r\n\r\n", &["dataless '' id=5"]),
    // ends
    ("no byte", "", &[]),
    ("no blank line", "data: a\n\ndata: b\n", &["event 'a'", "incomplete 'b'"]),
    ("no line end", "data: [DONE]", &["incomplete '[DONE]'"]),
    ("several lines", "event: x\ndata: a\ndata: b", &[r"incomplete type=x 'a\nb'"]),
    ("a CR may be the blank line", "data: a\r\n\r", &["event 'a'"]),
    ("a CR may be a line end", "data: a\r", &["incomplete 'a'"]),
    ("a CR may be a blank line of none", "data: a\n\n\r", &["event 'a'"]),
    ("half a comment", "data: a\n\n: keep", &["event 'a'"]),
    ("a comment in a block", "id: 1\n: c", &["incomplete '' id=1"]),
    ("half a BOM", "\u{feff}data: a\n\n\u{feff}", &["event 'a'", r"incomplete '' stray=\xef\xbb\xbf"]),
    (
        "an error as bare JSON",
        "data: {}\n\n{\n  \"error\": {\"code\": 503}\n}\n",
        &["event '{}'", r#"incomplete '' stray={\n  \"error\": {\"code\": 503}\n}\n"#],
    ),
    (
        "an error as bare JSON behind half an event",
        "data: {}\n{\"error\": 1}",
        &[r#"incomplete '{}' stray={\"error\": 1}"#],
    ),
    (
        "an error as bare JSON with blank lines",
        "data: {}\r\n\r\n{\"error\":\r\n\r\n1}\r\n",
        &["event '{}'", r#"dataless '' stray={\"error\":\r\n\r\n"#, r"incomplete '' stray=1}\r\n"],
    ),
    ("nothing but bare JSON", "{\"error\": 1}", &[r#"incomplete '' stray={\"error\": 1}"#]),
    // bytes
    ("UTF-8", "data: \u{e4}\u{20ac}\u{1f600}\n\n", &[r"event '\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80'"]),
];

#[test]
fn every_rule_holds_however_the_stream_is_cut() {
    for (rule, stream, blocks) in RULES {
        let read = read_however_cut(stream.as_bytes(), SseLimits::default());
        assert_eq!(read.blocks.iter().map(show).collect::<Vec<_>>(), *blocks, "{rule}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_passed() {
    let read = read_however_cut(b"\xef\xbbdata: a\n\ndata: \xff\xfe\n\n\xef\xbb", SseLimits::default());
    let blocks: Vec<String> = read.blocks.iter().map(show).collect();
    assert_eq!(
        blocks,
        [r"dataless '' stray=\xef\xbbdata: a\n\n", r"event '\xff\xfe'", r"incomplete '' stray=\xef\xbb"]
    );
}

#[test]
fn an_event_has_the_bytes_that_came() {
    let rows: &[(&str, &[&str])] = &[
        ("data: a\n\ndata:b\n\n", &["data: a\n\n", "data:b\n\n"]),
        ("\u{feff}data: a\r\n\r\nid\r\n\r\n", &["data: a\r\n\r\n", "id\r\n\r\n"]),
        (": c\n\nid: 1\n: c\ndata: a\n\n\n: c\n\ndata: b\n", &["id: 1\n: c\ndata: a\n\n", "data: b\n"]),
        ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
        ("data: a\n\r\ndata: b\n\rdata: c\n\r\n", &["data: a\n\r\n", "data: b\n\r", "data: c\n\r\n"]),
        // lines that end in CR: the LF behind the blank one is no part of the event
        ("data: a\r\r\ndata: b\r\r\n", &["data: a\r\r", "data: b\r\r"]),
    ];
    for (stream, raws) in rows {
        let read = read_however_cut(stream.as_bytes(), SseLimits::default());
        let seen: Vec<_> = read.blocks.iter().map(|block| std::str::from_utf8(&block.raw).unwrap()).collect();
        assert_eq!(&seen, raws, "{stream:?}");
    }
}

#[test]
fn an_item_is_given_out_with_its_last_byte() {
    // the byte behind which each item comes, the stream given byte by byte
    let rows: &[(&str, &[usize])] = &[
        ("data: a\n\ndata: b\n\n", &[9, 18]),
        ("data: a\r\n\r\n", &[11]),
        ("data: a\r\rdata: b\r\r", &[9, 18]),
        (": a\n\n:b\n", &[4, 5, 8]),
        (": a\r\r", &[5, 5]),
        // whether an LF follows is not known
        ("data: a\n\rdata: b\n\n", &[10, 18]),
        ("data: a\r\n\rd", &[11]),
    ];
    for (stream, expected) in rows {
        let mut reader = SseReader::default();
        let mut places = Vec::new();
        for (at, byte) in stream.as_bytes().iter().enumerate() {
            let mut taken = 0;
            while taken < 1 {
                let step = reader.step(std::slice::from_ref(byte)).unwrap();
                taken += step.len;
                places.extend(step.item.map(|_| at + 1));
            }
        }
        assert_eq!(&places, expected, "{stream:?}");
    }
}

#[test]
fn comments_of_one_piece_are_one_item() {
    let mut reader = SseReader::default();
    let stream = b": a\n\n\r\n:b\n: half";
    let step = reader.step(stream).unwrap();
    assert_eq!((step.len, step.item), (10, Some(Item::Filler(&stream[..10]))));
    assert_eq!(reader.step(&stream[10..]).unwrap().item, None);
    let step = reader.step(b"\ndata: a\n\n").unwrap();
    assert_eq!((step.len, step.item), (1, Some(Item::Filler(b": half\n"))));
}

#[test]
fn a_whole_event_is_borrowed_from_its_piece() {
    let stream = b"event: x\ndata: {}\nid: 1\n\n".as_slice();
    let mut reader = SseReader::default();
    let Some(Item::Event(event)) = reader.step(stream).unwrap().item else { panic!("an event") };
    for (part, at) in
        [(event.raw, 0), (event.event_type.unwrap(), 7), (event.data, 15), (event.id.unwrap(), 22)]
    {
        assert!(std::ptr::eq(part.as_ptr(), &raw const stream[at]), "{part:?}");
    }
}

#[test]
fn bounds_are_kept_to_the_byte() {
    const LINE: SseError = SseError::LineTooLong { line_bytes_max: 8 };
    const EVENT: SseError = SseError::EventTooLong { event_bytes_max: 20 };
    let limits = SseLimits { line_bytes_max: 8, event_bytes_max: 20 };
    // stream, the bytes that come out before the error
    let rows: &[(&str, Option<SseError>, usize)] = &[
        ("data: ab\n\n", None, 10),
        ("data: abc\n\n", Some(LINE), 0),
        ("data: ab\r\n\r\n", None, 12),
        ("data: abc", Some(LINE), 0),
        ("data: ab\r", None, 9),
        (": 345678\n", None, 9),
        (": 3456789\n", Some(LINE), 0),
        ("id: 5678\nid: 5678\n\n", None, 19),
        ("id: 5678\nid: 5678\n:\n", None, 20),
        ("id: 5678\nid: 5678\n:\n\n", Some(EVENT), 0),
        ("id: 5678\nid: 5678\n\r\n", None, 20),
        ("id: 5678\nid: 5678\r\n\r\n", Some(EVENT), 0),
        ("id: 5678\r\nid: 5678\r\n", None, 20),
        ("id: 5678\r\nid: 5678\r\n\n", Some(EVENT), 0),
        // the earlier byte decides
        ("id: 5678\nid: 5678\nid: 567890", Some(EVENT), 0),
        ("id: 5678\nid: 567\nid: 567890", Some(EVENT), 0),
        ("id: 5678\nid:\nid: 567890", Some(EVENT), 0),
        ("id: 567\nid:\nid: 567890", Some(LINE), 0),
        // what came before comes out
        (": a\n\ndata: a\n\n:\n: 3456789\n", Some(LINE), 16),
        (": 3456\n: 3456\n: 3456\n: 3456\n: 3456\n", None, 35),
        ("\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", None, 24),
    ];
    for (stream, error, out) in rows {
        let read = read_however_cut(stream.as_bytes(), limits);
        assert_eq!((read.error, read.raw.len()), (*error, *out), "{stream:?}");
    }
    let tight = SseLimits { line_bytes_max: 20, event_bytes_max: 8 };
    let read = read_however_cut(b": 34567\n: 345678\n", tight);
    assert_eq!((read.error, read.raw.len()), (Some(SseError::EventTooLong { event_bytes_max: 8 }), 8));
    let none = SseLimits { line_bytes_max: usize::MAX, event_bytes_max: usize::MAX };
    assert_eq!(read_however_cut(b"data: a\n: b\n\n", none).blocks.len(), 1);
}

#[test]
fn an_event_of_eight_mebibytes_passes_by_default() {
    let mut stream = b"data: ".to_vec();
    stream.resize(8 * 1024 * 1024 - 2, b'A');
    stream.extend_from_slice(b"\n\n");
    let cut = |bytes: &[u8]| {
        (1..).map(|piece| piece * 16_384).take_while(|&end| end < bytes.len()).collect::<Vec<_>>()
    };
    let ends = |bytes: &[u8]| [cut(bytes), vec![bytes.len()]].concat();
    let read = streams::read(&stream, ends(&stream), SseLimits::default());
    assert_eq!((read.error, read.blocks[0].data.len()), (None, 8 * 1024 * 1024 - 8));
    stream.insert(6, b'A');
    let error = Some(SseError::EventTooLong { event_bytes_max: 8 * 1024 * 1024 });
    for ends in [ends(&stream), vec![stream.len()]] {
        assert_eq!(streams::read(&stream, ends, SseLimits::default()), Read { error, ..Read::default() });
    }
}

#[test]
fn a_reset_begins_a_new_stream() {
    let limits = SseLimits { line_bytes_max: 8, event_bytes_max: 20 };
    for before in ["\u{feff}data: a\rdata", "data: a\ndata", "id: 1\r", "data: too long", "data: a\r\r"] {
        let mut reader = SseReader::new(limits);
        let mut at = 0;
        while let Ok(step) = reader.step(&before.as_bytes()[at..]) {
            at += step.len;
            if at == before.len() {
                break;
            }
        }
        reader.reset();
        let stream = "\u{feff}data: b\n\n".as_bytes();
        let step = reader.step(stream).unwrap();
        assert_eq!((step.len, step.item), (3, Some(Item::Filler(&stream[..3]))), "{before:?}");
        let Some(Item::Event(event)) = reader.step(&stream[3..]).unwrap().item else { panic!("{before:?}") };
        assert_eq!((event.data, event.id, event.raw), (&b"b"[..], None, &stream[3..]), "{before:?}");
    }
}

#[test]
fn an_empty_piece_changes_nothing() {
    let mut reader = SseReader::default();
    for piece in [&b""[..], b"data: a\r", b"", b"\n\r"] {
        assert_eq!(reader.step(piece).unwrap().item, None);
    }
    assert_eq!(reader.step(b"").unwrap().len, 0);
    assert_eq!(reader.step(b"\n").unwrap().item.unwrap().raw(), b"data: a\r\n\r\n");
}

#[test]
fn data_is_written_line_by_line() {
    let rows: &[(Option<&str>, &str, &str)] = &[
        (None, "{}", "data: {}\n\n"),
        (Some("message_stop"), "{}", "event: message_stop\ndata: {}\n\n"),
        (None, "", "data: \n\n"),
        (None, " a", "data:  a\n\n"),
        (None, "a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (None, "\n", "data: \ndata: \n\n"),
        (None, "a\r\n\r\nevent: x", "data: a\ndata: \ndata: event: x\n\n"),
        (None, "\n\r", "data: \ndata: \ndata: \n\n"),
    ];
    for (event_type, data, expected) in rows {
        let mut out = b"before".to_vec();
        write_event(&mut out, event_type.map(|text| EventType::new(text).unwrap()), data.as_bytes());
        assert_eq!(out.strip_prefix(b"before".as_slice()), Some(expected.as_bytes()), "{data:?}");
        let read = read_however_cut(expected.as_bytes(), SseLimits::default());
        let normal = data.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(read.blocks[0].data, normal.as_bytes());
        assert_eq!(read.blocks[0].event_type.as_deref(), event_type.map(str::as_bytes));
    }
}

#[test]
fn no_type_leaves_its_line() {
    for text in ["", "a\nb", "a\rdata: x", "\n"] {
        assert_eq!(EventType::new(text), None, "{text:?}");
    }
}
