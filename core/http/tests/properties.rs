//! Properties that hold for any bytes: cuts change nothing, what is written reads back, paths have one spelling.
#![allow(clippy::unwrap_used)]

use penstock_http::{
    Asked, BodyFraming, BodyReader, ChunkScanner, Code, FieldSet, HeadLimits, Kind, Method, Parsed,
    PathPolicy, Refusal, RequestHead, ResponseHead, Version, path, write,
};
use proptest::prelude::*;

/// Limits low enough for generated heads to pass them.
const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 200, fields_max: 6, target_bytes_max: 40 };

/// Text made of pieces that a head is made of, whole or broken.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"GET",
        b"OPTIONS",
        b"CONNECT",
        b" ",
        b" ",
        b"/",
        b"/a?b",
        b"*",
        b"http://a/",
        b"#",
        b" HTTP/1.1\r\n",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b" HTTP/2.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 \r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\t",
        b"\0",
        b"Host: a\r\n",
        b"Host: a\r\n",
        b"Host: b\r\n",
        b"X: y\r\n",
        b"X",
        b":",
        b": ",
        b"Content-Length: 5\r\n",
        b"Content-Length: ",
        b"5",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, x\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\n",
        b"\xe9",
        b"aaaaaaaaaaaaaaa",
    ];
    prop_oneof![
        prop::collection::vec(prop::sample::select(pieces.clone()), 0..16).prop_map(|parts| parts.concat()),
        (prop::collection::vec(prop::sample::select(pieces), 0..8)).prop_map(|parts| {
            [&b"POST /a HTTP/1.1\r\nHost: a\r\n"[..], &parts.concat(), b"\r\n\r\n"].concat()
        }),
    ]
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

/// The ends of the parts of a message of `len` bytes.
fn ends(cuts: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    ends.push(len);
    ends.sort_unstable();
    ends
}

fn parse_request(bytes: &[u8], ends: &[usize]) -> (Result<Parsed, Refusal>, String) {
    let mut head = RequestHead::new();
    let mut result = Ok(Parsed::Partial);
    for &end in ends {
        result = head.parse(&bytes[..end], &LIMITS);
        if result != Ok(Parsed::Partial) {
            break;
        }
    }
    let shown = if result == Ok(Parsed::Complete) { format!("{head:?}") } else { String::new() };
    (result, shown)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_cut_changes_no_request(bytes in head_like(), cuts in cuts()) {
        let whole = parse_request(&bytes, &[bytes.len()]);
        prop_assert_eq!(&parse_request(&bytes, &ends(&cuts, bytes.len())), &whole);
        let single: Vec<usize> = (0..=bytes.len()).collect();
        prop_assert_eq!(&parse_request(&bytes, &single), &whole);
    }

    #[test]
    fn a_cut_changes_no_response(bytes in head_like(), cuts in cuts(), head_only: bool) {
        let bytes = [&b"HTTP/1.1 200 OK\r\n"[..], &bytes].concat();
        let asked = Asked::from(if head_only { Method::Head } else { Method::Get });
        let mut shown = Vec::new();
        for ends in [vec![bytes.len()], ends(&cuts, bytes.len()), (0..=bytes.len()).collect()] {
            let mut head = ResponseHead::new();
            let mut result = Ok(Parsed::Partial);
            for end in ends {
                result = head.parse(&bytes[..end], &LIMITS, asked);
                if result != Ok(Parsed::Partial) {
                    break;
                }
            }
            shown.push(format!("{result:?} {}", if result.is_ok() { format!("{:?}", head.fields) } else { String::new() }));
        }
        prop_assert_eq!(&shown[0], &shown[1]);
        prop_assert_eq!(&shown[0], &shown[2]);
    }

    #[test]
    fn a_request_that_is_written_reads_back(
        path in "/[a-z0-9._~/-]{0,20}",
        query in prop::option::of("[a-z0-9=&%?]{0,10}"),
        fields in prop::collection::vec(("[A-Za-z-]{1,12}", "([!-~]([ -~]{0,10}[!-~])?)?"), 0..10),
        length in prop::option::of(any::<u64>()),
    ) {
        let mut text = format!("PUT {path}{}{} HTTP/1.1\r\nHost: a.b:81\r\n", if query.is_some() { "?" } else { "" },
            query.clone().unwrap_or_default());
        for (name, value) in &fields {
            text.push_str(&format!("X-{name}:  {value}\t\r\n"));
        }
        if let Some(length) = length {
            text.push_str(&format!("content-length: {length}\r\n"));
        }
        text.push_str("\r\n");
        let mut first = RequestHead::new();
        prop_assert_eq!(first.parse(text.as_bytes(), &HeadLimits::default()), Ok(Parsed::Complete));
        let buf = text.as_bytes();
        let mut out = Vec::new();
        write::request_line(&mut out, b"PUT", first.path.of(buf), first.query.map(|query| query.of(buf))).unwrap();
        write::copy_fields(&mut out, buf, &first.fields, FieldSet::EMPTY);
        write::request_framing(&mut out, first.framing);
        write::end(&mut out);
        let mut second = RequestHead::new();
        prop_assert_eq!(second.parse(&out, &HeadLimits::default()), Ok(Parsed::Complete));
        prop_assert_eq!(first.method, second.method);
        prop_assert_eq!(first.target.of(buf), second.target.of(&out));
        prop_assert_eq!(first.host.of(buf), second.host.of(&out));
        prop_assert_eq!((first.framing, first.keep_alive), (second.framing, second.keep_alive));
        let list = |head: &RequestHead, buf: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
            let fields = head.fields.as_slice().iter();
            let mut list: Vec<_> = fields
                .map(|field| (field.name.of(buf).to_ascii_lowercase(), field.value.of(buf).to_vec()))
                .collect();
            list.sort_by_key(|(name, _)| name == b"content-length");
            list
        };
        prop_assert_eq!(list(&first, buf), list(&second, &out));
    }

    #[test]
    fn a_cut_changes_no_chunked_body(bytes in chunked_like(), cuts in cuts()) {
        let whole = read_chunks(&bytes, &[bytes.len()]);
        prop_assert_eq!(&read_chunks(&bytes, &ends(&cuts, bytes.len())), &whole);
        let single: Vec<usize> = (0..=bytes.len()).collect();
        prop_assert_eq!(&read_chunks(&bytes, &single), &whole);
    }

    #[test]
    fn relay_and_step_agree(bytes in chunked_like(), cuts in cuts()) {
        let ends = ends(&cuts, bytes.len());
        let stepped = read_chunks(&bytes, &ends);
        let mut reader = BodyReader::new();
        reader.begin_response(BodyFraming::Chunked);
        let (mut at, mut content, mut forwarded) = (0, 0, Vec::new());
        let mut code = None;
        'parts: for &end in &ends {
            loop {
                match reader.relay(&bytes[at..end]) {
                    Err(refusal) => {
                        code = Some(refusal.code);
                        break 'parts;
                    }
                    Ok(relay) => {
                        forwarded.extend_from_slice(&bytes[at..at + relay.forward]);
                        content += relay.content;
                        at += relay.forward + relay.skip;
                        match relay.then {
                            penstock_http::Then::Trailers => reader.trailers().unwrap().write(&mut forwarded),
                            penstock_http::Then::NeedMore | penstock_http::Then::End => break,
                            penstock_http::Then::Again => {}
                        }
                    }
                }
            }
        }
        prop_assert_eq!(code, stepped.code);
        if code.is_none() {
            prop_assert_eq!(content, stepped.data.len());
            prop_assert_eq!(reader.is_done(), stepped.done);
            prop_assert_eq!(&forwarded, &stepped.forwarded);
            // what is relayed is a chunked body of the same content, without extensions
            let again = read_chunks(&forwarded, &[forwarded.len()]);
            prop_assert_eq!((again.code, &again.data, again.done), (None, &stepped.data, stepped.done));
        }
    }

    #[test]
    fn path_normalisation_is_idempotent_and_as_the_reference(path in path_like(), policy in policies()) {
        let mut out = Vec::new();
        let got = path::normalise(path.as_bytes(), &policy, &mut out).map(<[u8]>::to_vec);
        if let Ok(normal) = &got {
            let mut again = Vec::new();
            let again = path::normalise(normal, &policy, &mut again).map(<[u8]>::to_vec);
            prop_assert_eq!(again.as_ref(), Ok(normal));
            prop_assert!(!normal.split(|&b| b == b'/').any(|segment| segment == b"." || segment == b".."));
        }
        if policy == PathPolicy::default() {
            prop_assert_eq!(got.ok().map(|path| String::from_utf8(path).unwrap()), reference(&path));
        }
    }

    #[test]
    fn no_bytes_make_anything_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let limits = HeadLimits::default();
        // the verdicts are the tables' matter; here only that there is one
        let mut request = RequestHead::new();
        if request.parse(&bytes, &limits) == Ok(Parsed::Complete) {
            prop_assert!(request.head_len <= bytes.len() && request.version != Version::Http2);
        }
        let mut response = ResponseHead::new();
        if response.parse(&bytes, &limits, Method::Get) == Ok(Parsed::Complete) {
            prop_assert!((100..600).contains(&response.status));
        }
        let read = read_chunks(&bytes, &[bytes.len()]);
        prop_assert!(read.data.len() <= bytes.len());
    }
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    data: Vec<u8>,
    forwarded: Vec<u8>,
    code: Option<Code>,
    done: bool,
    consumed: usize,
}

/// Reads a chunked body that comes in parts; after a fault only its code is told.
fn read_chunks(bytes: &[u8], ends: &[usize]) -> Read {
    let mut scanner = ChunkScanner::new();
    let mut read = Read::default();
    let mut at = 0;
    for &end in ends {
        loop {
            let step = match scanner.step(&bytes[at..end]) {
                Ok(step) => step,
                Err(refusal) => return Read { code: Some(refusal.code), ..Read::default() },
            };
            let piece = &bytes[at..at + step.len];
            at += step.len;
            match step.kind {
                Kind::Data => {
                    read.data.extend_from_slice(piece);
                    read.forwarded.extend_from_slice(piece);
                }
                Kind::Framing => read.forwarded.extend_from_slice(piece),
                Kind::Dropped => {}
                Kind::Trailers => scanner.trailers().unwrap().write(&mut read.forwarded),
                Kind::NeedMore | Kind::End => break,
            }
        }
    }
    read.done = scanner.is_done();
    read.consumed = at;
    read
}

fn chunked_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n",
        b"1;a=b\r\nx\r\n",
        b"A\r\n0123456789\r\n",
        b"0\r\n",
        b"0;x\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b";",
        b"fffffffffffffffff",
        b"X-A: b\r\n",
        b"Host: c\r\n",
        b"Content-Md5: d\r\n",
        b" e\r\n",
        b"x",
        b"\0",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..10).prop_map(|parts| parts.concat())
}

fn path_like() -> impl Strategy<Value = String> {
    let pieces = vec![
        "/", "/", "/", "a", "b", ".", "..", "%2e", "%2E", "%2f", "%5C", "%41", "%7E", "%3a", "%25", "%",
        "%0", "%00", "%0a", "\\", ";", "~", "{", " ", "?",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..10)
        .prop_map(|parts| format!("/{}", parts.concat()))
}

fn policies() -> impl Strategy<Value = PathPolicy> {
    prop_oneof![
        Just(PathPolicy::default()),
        any::<[bool; 7]>().prop_map(|on| PathPolicy {
            double_slash: on[0],
            backslash: on[1],
            encoded_slash: on[2],
            encoded_backslash: on[3],
            encoded_controls: on[4],
            malformed_escapes: on[5],
            dot_parameters: on[6],
        }),
    ]
}

/// The strict policy once more, in the plainest way: decode, look, resolve.
fn reference(path: &str) -> Option<String> {
    if path.contains([' ', '?', '\\']) {
        return None;
    }
    let mut plain = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        let value = u8::from_str_radix(after.get(..2).filter(|hex| !hex.starts_with('+'))?, 16).ok()?;
        let c = char::from(value);
        plain.push_str(before);
        if c.is_ascii_control() || c == '/' || c == '\\' {
            return None;
        } else if c.is_ascii_alphanumeric() || "-._~".contains(c) {
            plain.push(c);
        } else {
            plain.push_str(&format!("%{value:02X}"));
        }
        rest = &after[2..];
    }
    plain.push_str(rest);
    let segments: Vec<&str> = plain[1..].split('/').collect();
    let mut kept: Vec<&str> = Vec::new();
    for (index, &segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match segment {
            "" if !is_last => return None,
            "." | ".." => {
                if segment == ".." {
                    kept.pop()?;
                }
                if is_last {
                    kept.push("");
                }
            }
            _ if segment.starts_with(".;") || segment.starts_with("..;") => return None,
            _ => kept.push(segment),
        }
    }
    Some(format!("/{}", kept.join("/")))
}
