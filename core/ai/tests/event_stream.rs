//! Frames of `application/vnd.amazon.eventstream`: every type of header, every fault, bounds, and the writer.
#![allow(clippy::unwrap_used)]

mod frames;

use frames::{read, read_however_cut};
use penstock_ai::event_stream::{
    FRAME_BYTES_MAX, FrameError, FrameLimits, FrameReader, HEADER_VALUE_BYTES_MAX, HEADERS_BYTES_MAX,
    HEADERS_MAX, Header, HeaderFault, HeaderValue, PAYLOAD_BYTES_MAX, write_frame,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn written(headers: &[Header<'_>], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, headers, payload).unwrap();
    out
}

/// A frame of any header bytes, its checksums right.
fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    with_lengths(headers.len() + payload.len() + 16, headers.len(), &[headers, payload].concat())
}

/// A frame that says any lengths, its checksums right.
fn with_lengths(frame: usize, headers: usize, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&u32::try_from(frame).unwrap().to_be_bytes());
    out.extend_from_slice(&u32::try_from(headers).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(content);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

#[test]
fn known_frames_are_read_and_written() {
    let empty = hex("00000010 00000000 05c248eb 7d98c8ff");
    assert_eq!(written(&[], b""), empty);
    let json = hex(
        "0000003d 00000020 07fd8396 0c 636f6e74656e742d74797065 07 0010 6170706c69636174696f6e2f6a736f6e \
         7b27666f6f273a27626172277d 8d9c08b1",
    );
    assert_eq!(written(&[("content-type", HeaderValue::Text("application/json"))], b"{'foo':'bar'}"), json);
    let stream = [empty.as_slice(), &json, &empty].concat();
    let read = read_however_cut(&stream, FrameLimits::default());
    assert_eq!(read.error, None);
    assert_eq!(read.frames, [empty.clone(), json, empty]);
    assert_eq!(
        read.shown[1],
        r#"Frame { headers: [("content-type", Text("application/json"))], payload: "{\\'foo\\':\\'bar\\'}" }"#
    );
}

#[test]
fn every_type_of_header_is_read_and_written() {
    let uuid = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
    let rows: &[(HeaderValue<'_>, &str)] = &[
        (HeaderValue::Bool(true), "00"),
        (HeaderValue::Bool(false), "01"),
        (HeaderValue::Byte(-2), "02 fe"),
        (HeaderValue::Short(-2), "03 fffe"),
        (HeaderValue::Int(0x0102_0304), "04 01020304"),
        (HeaderValue::Long(i64::MIN), "05 8000000000000000"),
        (HeaderValue::Bytes(&[0, 255]), "06 0002 00ff"),
        (HeaderValue::Text("\u{e4}b"), "07 0003 c3a462"),
        (HeaderValue::Timestamp(1_795_000_000_123), "08 000001a1ee565e7b"),
        (HeaderValue::Uuid(uuid), "09 000102030405060708090a0b0c0d0eff"),
    ];
    let (mut headers, mut bytes) = (Vec::new(), Vec::new());
    for (index, (value, encoded)) in rows.iter().enumerate() {
        let name = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][index];
        headers.push((name, *value));
        bytes.push(1);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&hex(encoded));
    }
    let frame = framed(&bytes, b"payload");
    assert_eq!(written(&headers, b"payload"), frame);
    read_however_cut(&frame, FrameLimits::default());
    let mut reader = FrameReader::default();
    let seen = reader.step(&frame).unwrap().frame.unwrap();
    assert_eq!(seen.headers().collect::<Vec<_>>(), headers);
    assert_eq!((seen.payload(), seen.raw()), (&b"payload"[..], &frame[..]));
    assert_eq!(seen.header("c"), Some(HeaderValue::Byte(-2)));
    assert_eq!((seen.text("h"), seen.text("c"), seen.header("C")), (Some("\u{e4}b"), None, None));
}

#[test]
fn the_headers_of_aws_have_accessors() {
    let frame = written(
        &[
            (":message-type", HeaderValue::Text("error")),
            (":error-code", HeaderValue::Text("InternalError")),
            (":error-message", HeaderValue::Text("it broke")),
            (":event-type", HeaderValue::Text("chunk")),
            (":exception-type", HeaderValue::Text("throttlingException")),
            (":content-type", HeaderValue::Text("application/json")),
        ],
        b"",
    );
    let mut reader = FrameReader::default();
    let seen = reader.step(&frame).unwrap().frame.unwrap();
    assert_eq!(seen.message_type(), Some("error"));
    assert_eq!(seen.error_code(), Some("InternalError"));
    assert_eq!(seen.error_message(), Some("it broke"));
    assert_eq!(seen.event_type(), Some("chunk"));
    assert_eq!(seen.exception_type(), Some("throttlingException"));
    assert_eq!(seen.content_type(), Some("application/json"));
    let plain = written(&[], b"");
    assert_eq!(FrameReader::default().step(&plain).unwrap().frame.unwrap().message_type(), None);
}

#[test]
fn every_fault_is_told_however_the_stream_is_cut() {
    let header = |fault| Some(FrameError::Header(fault));
    let huge = u32::MAX as usize;
    let rows: &[(&str, Vec<u8>, Option<FrameError>)] = &[
        ("no frame at all", b"{\"message\":\"denied\"}".to_vec(), Some(FrameError::PreludeChecksum)),
        ("shorter than any", with_lengths(15, 0, b""), Some(FrameError::TooShort { frame: 15, headers: 0 })),
        ("no length", with_lengths(0, 0, b""), Some(FrameError::TooShort { frame: 0, headers: 0 })),
        (
            "headers behind the end",
            with_lengths(20, 5, b"abcd"),
            Some(FrameError::TooShort { frame: 20, headers: 5 }),
        ),
        (
            "lengths that add up to more than 32 bits",
            with_lengths(16, huge, b""),
            Some(FrameError::TooShort { frame: 16, headers: huge }),
        ),
        ("too long", with_lengths(huge, 0, b""), Some(FrameError::TooLong { frame: huge })),
        ("no name", framed(&hex("00 00"), b""), header(HeaderFault::NameEmpty)),
        ("a name that is not UTF-8", framed(&hex("01 ff 00"), b""), header(HeaderFault::NameNotUtf8)),
        ("a name behind the end", framed(&hex("03 6162"), b"c"), header(HeaderFault::Truncated)),
        ("no type", framed(&hex("02 6162"), b"\0"), header(HeaderFault::Truncated)),
        ("an unknown type", framed(&hex("01 61 0a"), b""), header(HeaderFault::UnknownType(10))),
        ("a byte behind the end", framed(&hex("01 61 02"), b"a"), header(HeaderFault::Truncated)),
        ("a short behind the end", framed(&hex("01 61 03 00"), b"a"), header(HeaderFault::Truncated)),
        ("an integer behind the end", framed(&hex("01 61 04 000000"), b"a"), header(HeaderFault::Truncated)),
        (
            "a long behind the end",
            framed(&hex("01 61 05 00000000000000"), b"a"),
            header(HeaderFault::Truncated),
        ),
        ("half a length", framed(&hex("01 61 06 00"), b"a"), header(HeaderFault::Truncated)),
        ("bytes behind the end", framed(&hex("01 61 06 0002 00"), b"a"), header(HeaderFault::Truncated)),
        ("a text behind the end", framed(&hex("01 61 07 0002 62"), b"c"), header(HeaderFault::Truncated)),
        (
            "a text that is not UTF-8",
            framed(&hex("01 61 07 0001 c3"), b""),
            header(HeaderFault::ValueNotUtf8),
        ),
        (
            "a time behind the end",
            framed(&hex("01 61 08 00000000000000"), b"a"),
            header(HeaderFault::Truncated),
        ),
        ("half a UUID", framed(&hex("01 61 09 0000000000000000"), b"a"), header(HeaderFault::Truncated)),
        ("a length over 2^15 - 1", framed(&hex("01 61 06 8000"), b""), header(HeaderFault::ValueTooLong)),
        ("a name twice", framed(&hex("01 61 00 01 62 00 01 61 01"), b""), header(HeaderFault::Repeated)),
        ("an empty text is taken", framed(&hex("01 61 07 0000"), b""), None),
    ];
    for (fault, bytes, error) in rows {
        // what comes before a fault is read
        let stream = [written(&[], b"before"), bytes.clone()].concat();
        let read = read_however_cut(&stream, FrameLimits::default());
        assert_eq!(read.error, *error, "{fault}");
        assert_eq!(read.frames.len(), if error.is_some() { 1 } else { 2 }, "{fault}");
    }
}

#[test]
fn no_bit_can_change_unseen() {
    let frame =
        written(&[(":event-type", HeaderValue::Text("chunk")), ("b", HeaderValue::Bool(true))], b"payload");
    for bit in 0..frame.len() * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit / 8 < 12 { FrameError::PreludeChecksum } else { FrameError::FrameChecksum };
        assert_eq!(read(&changed, [frame.len()], FrameLimits::default()).error, Some(expected), "bit {bit}");
    }
}

#[test]
fn the_end_of_a_stream_within_a_frame_is_told() {
    let frame = written(&[], b"payload");
    for len in 1..frame.len() {
        let read = read_however_cut(&[&frame, &frame[..len]].concat(), FrameLimits::default());
        assert_eq!((read.error, read.frames.len(), read.rest.as_slice()), (None, 1, &frame[..len]));
    }
}

#[test]
fn a_fault_of_the_lengths_is_told_with_the_prelude() {
    let mut reader = FrameReader::default();
    let bytes = with_lengths(FRAME_BYTES_MAX + 1, 0, b"");
    assert_eq!(reader.step(&bytes[..11]).unwrap().frame, None);
    assert_eq!(reader.step(&bytes[11..12]), Err(FrameError::TooLong { frame: FRAME_BYTES_MAX + 1 }));
}

#[test]
fn bounds_are_kept_to_the_byte() {
    let limits = FrameLimits { frame_bytes_max: 40, headers_bytes_max: 9, headers_max: 3 };
    let headers = hex("01 61 00 01 62 00 01 63 00");
    let rows = [
        (framed(&headers, &[b'p'; 15]), None),
        (framed(&headers, &[b'p'; 16]), Some(FrameError::TooLong { frame: 41 })),
        (framed(&hex("01 61 07 0005 3132333435"), b""), Some(FrameError::HeadersTooLong { headers: 10 })),
        (framed(&hex("01 61 07 0004 31323334"), b""), None),
    ];
    for (bytes, error) in rows {
        assert_eq!(read_however_cut(&bytes, limits).error, error, "{bytes:?}");
    }
    let four = framed(&[headers.clone(), hex("01 64 00")].concat(), b"");
    let wider = FrameLimits { headers_bytes_max: 12, ..limits };
    assert_eq!(read_however_cut(&four, wider).error, Some(HeaderFault::TooMany.into()));
    assert_eq!(read_however_cut(&four, FrameLimits { headers_max: 4, ..wider }).error, None);
}

#[test]
fn the_largest_frame_passes_by_default() {
    let text = "x".repeat(HEADER_VALUE_BYTES_MAX);
    let names = ["a", "b", "c", "d"];
    let mut headers: Vec<Header<'_>> = names.iter().map(|name| (*name, HeaderValue::Text(&text))).collect();
    // five bytes before each text; the last one is cut to fit
    let last = HEADERS_BYTES_MAX - 3 * (5 + HEADER_VALUE_BYTES_MAX) - 5;
    headers[3].1 = HeaderValue::Text(&text[..last]);
    let mut payload = vec![b'p'; PAYLOAD_BYTES_MAX];
    let frame = written(&headers, &payload);
    assert_eq!(frame.len(), FRAME_BYTES_MAX);
    let ends: Vec<usize> = (1..frame.len()).step_by(1 << 20).chain([frame.len()]).collect();
    let mut reader = FrameReader::default();
    let mut at = 0;
    for &end in &ends {
        let step = reader.step(&frame[at..end]).unwrap();
        at += step.len;
        assert_eq!(
            step.frame.map(|frame| frame.payload().len()),
            (end == frame.len()).then_some(payload.len())
        );
    }
    payload.push(b'p');
    let mut out = Vec::new();
    assert_eq!(
        write_frame(&mut out, &headers, &payload),
        Err(FrameError::TooLong { frame: FRAME_BYTES_MAX + 1 })
    );
    headers[3].1 = HeaderValue::Text(&text[..last + 1]);
    assert_eq!(
        write_frame(&mut out, &headers, b""),
        Err(FrameError::HeadersTooLong { headers: HEADERS_BYTES_MAX + 1 })
    );
}

#[test]
fn nothing_is_written_that_must_not_be() {
    let long = "x".repeat(HEADER_VALUE_BYTES_MAX + 1);
    let names: Vec<String> = (0..=HEADERS_MAX).map(|number| number.to_string()).collect();
    let many: Vec<Header<'_>> = names.iter().map(|name| (name.as_str(), HeaderValue::Bool(true))).collect();
    let rows: &[(&[Header<'_>], Option<HeaderFault>)] = &[
        (&[("", HeaderValue::Bool(true))], Some(HeaderFault::NameEmpty)),
        (&[(&long[..256], HeaderValue::Bool(true))], Some(HeaderFault::NameTooLong)),
        (&[(&long[..255], HeaderValue::Bool(true))], None),
        (&[("a", HeaderValue::Text(""))], Some(HeaderFault::ValueEmpty)),
        (&[("a", HeaderValue::Bytes(b""))], Some(HeaderFault::ValueEmpty)),
        (&[("a", HeaderValue::Text(&long))], Some(HeaderFault::ValueTooLong)),
        (&[("a", HeaderValue::Bytes(long.as_bytes()))], Some(HeaderFault::ValueTooLong)),
        (&[("a", HeaderValue::Text(&long[1..]))], None),
        (&[("a", HeaderValue::Byte(1)), ("a", HeaderValue::Byte(1))], Some(HeaderFault::Repeated)),
        (&many, Some(HeaderFault::TooMany)),
        (&many[1..], None),
    ];
    for (headers, fault) in rows {
        let mut out = b"before".to_vec();
        let result = write_frame(&mut out, headers, b"payload");
        assert_eq!(result.err(), fault.map(FrameError::Header));
        let rest = out.strip_prefix(b"before".as_slice()).unwrap();
        match fault {
            Some(_) => assert_eq!(rest, b"", "nothing is left of what was begun"),
            None => assert_eq!(read(rest, [rest.len()], FrameLimits::default()).frames.len(), 1),
        }
    }
}

#[test]
fn a_reset_begins_a_new_stream() {
    let frame = written(&[], b"payload");
    for before in [&frame[..5], &frame[..15], b"no frame at all"] {
        let mut reader = FrameReader::default();
        assert_eq!(reader.step(before).map(|step| step.frame).unwrap_or_default(), None);
        reader.reset();
        assert_eq!(reader.step(&frame).unwrap().frame.unwrap().payload(), b"payload");
    }
}
