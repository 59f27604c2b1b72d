//! What a relay does with the codec, message by message: read a head, write it on, forward a body.
#![allow(clippy::unwrap_used)]

use penstock_http::{
    BodyFraming, BodyReader, ChunkWriter, FieldId, FieldName, FieldSet, FieldValue, Framing, HeadLimits,
    Method, Parsed, RequestHead, ResponseHead, TargetForm, Then, Upgrade, Version, write,
};

fn request(text: &str) -> RequestHead {
    let mut head = RequestHead::new();
    assert_eq!(head.parse(text.as_bytes(), &HeadLimits::default()), Ok(Parsed::Complete), "{text}");
    head
}

fn copied(text: &str, drop: FieldSet) -> String {
    let head = request(text);
    let mut out = Vec::new();
    write::copy_fields(&mut out, text.as_bytes(), &head.fields, drop);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_head_tells_its_parts() {
    let text =
        "\r\nPOST /a/b?c=d HTTP/1.1\r\nhOST: Example.com:81\r\nContent-Length: 3\r\nX-One:  1 \r\n\r\nabc";
    let buf = text.as_bytes();
    let head = request(text);
    assert_eq!(head.method, Method::Post);
    assert_eq!(head.method_text.of(buf), b"POST");
    assert_eq!(head.target.of(buf), b"/a/b?c=d");
    assert_eq!((head.form, head.path.of(buf)), (TargetForm::Origin, &b"/a/b"[..]));
    assert_eq!(head.query.unwrap().of(buf), b"c=d");
    assert_eq!(head.host.of(buf), b"Example.com:81");
    assert_eq!((head.version, head.framing), (Version::Http11, Framing::Length(3)));
    assert_eq!(&buf[head.head_len..], b"abc");
    assert_eq!(head.fields.find_name(buf, b"x-one").unwrap().value.of(buf), b"1");
    assert_eq!(head.fields.as_slice()[0].name.of(buf), b"hOST");
}

#[test]
fn targets_and_hosts() {
    let cases = [
        ("GET http://A.b/c?d HTTP/1.1\r\nHost: a.B\r\n\r\n", "A.b", "/c", Some("d")),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "a", "", None),
        ("GET HTTP://a?q HTTP/1.1\r\nHost: a\r\n\r\n", "a", "", Some("q")),
        ("GET http://a:80/ HTTP/1.0\r\n\r\n", "a:80", "/", None),
        ("GET / HTTP/1.0\r\n\r\n", "", "/", None),
        ("GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "a", "/", Some("")),
        ("GET /a?b?c HTTP/1.1\r\nHost: a\r\n\r\n", "a", "/a", Some("b?c")),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "a", "*", None),
    ];
    for (text, host, path, query) in cases {
        let head = request(text);
        let buf = text.as_bytes();
        assert_eq!(head.host.of(buf), host.as_bytes(), "{text}");
        assert_eq!(head.path.of(buf), path.as_bytes(), "{text}");
        assert_eq!(head.query.map(|query| query.of(buf)), query.map(str::as_bytes), "{text}");
    }
}

#[test]
fn keep_alive_follows_version_and_connection() {
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ];
    for (version, fields, keep_alive) in cases {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(request(&text).keep_alive, keep_alive, "{text}");
    }
}

#[test]
fn upgrades_are_told_apart() {
    let cases = [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Some(Upgrade::WebSocket)),
        ("Connection: keep-alive, upgrade\r\nUpgrade: h2c, WebSocket\r\n", Some(Upgrade::WebSocket)),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", Some(Upgrade::H2c)),
        ("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", Some(Upgrade::Other)),
        ("Connection: Upgrade\r\n", None),
        ("Upgrade: websocket\r\n", None),
    ];
    for (fields, upgrade) in cases {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(request(&text).upgrade, upgrade, "{text}");
    }
    assert_eq!(request("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade, None);
}

#[test]
fn expectation_counts_only_with_a_body() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n");
    assert!(request(&with("Content-Length: 1\r\n")).expect_continue);
    assert!(request(&with("Transfer-Encoding: chunked\r\n")).expect_continue);
    assert!(!request(&with("Content-Length: 0\r\n")).expect_continue);
    assert!(!request(&with("")).expect_continue);
}

#[test]
fn hop_by_hop_fields_and_those_named_in_connection_stay_behind() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nAccept:  */* \r\nConnection: close, x-hop, X-HOP-2\r\nX-Hop: 1\r\n\
        x-hop: 2\r\nX-Stay: 3\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\nX-Hop-2: 4\r\nProxy-Authorization: x\r\n\
        Content-Length: 0\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Last: 5\r\n\r\n";
    assert_eq!(copied(text, FieldSet::EMPTY), "Host: a\r\nAccept:  */* \r\nX-Stay: 3\r\nX-Last: 5\r\n");
    let drop = FieldSet::of(&[FieldId::Host]);
    assert_eq!(copied(text, drop), "Accept:  */* \r\nX-Stay: 3\r\nX-Last: 5\r\n");
}

#[test]
fn connection_cannot_strip_what_the_gateway_judges_by() {
    let kept = "Host: a\r\nAuthorization: b\r\nCookie: c\r\nX-Api-Key: d\r\nX-Forwarded-For: e\r\nContent-Type: f\r\n\
        Forwarded: g\r\nX-Penstock-User: h\r\nOrigin: i\r\nX-Real-IP: j\r\n";
    let text = format!(
        "GET / HTTP/1.1\r\n{kept}Connection: host, authorization, cookie, x-api-key, x-forwarded-for, content-type, \
        forwarded, x-penstock-user, origin, x-real-ip, content-length, transfer-encoding\r\n\r\n"
    );
    assert_eq!(copied(&text, FieldSet::EMPTY), kept);
}

#[test]
fn names_that_imitate_framing_or_forwarding_stay_behind() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nX_Forwarded_For: b\r\nx_penstock_user: c\r\n\
        api_key: d\r\n\r\n";
    assert_eq!(copied(text, FieldSet::EMPTY), "Host: a\r\napi_key: d\r\n");
}

#[test]
fn a_dropped_name_is_left_out() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nX-B: 2\r\nx-secret: 3\r\n\r\n";
    let mut head = request(text);
    head.fields.drop_name(text.as_bytes(), b"X-SECRET");
    let mut out = Vec::new();
    write::copy_fields(&mut out, text.as_bytes(), &head.fields, FieldSet::EMPTY);
    assert_eq!(out, b"Host: a\r\nX-B: 2\r\n");
}

#[test]
fn a_request_goes_on_as_a_whole() {
    let text = "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: y\r\n\r\n";
    let buf = text.as_bytes();
    let head = request(text);
    let mut out = Vec::new();
    write::request_line(&mut out, b"POST", head.path.of(buf), head.query.map(|query| query.of(buf))).unwrap();
    write::copy_fields(&mut out, buf, &head.fields, FieldSet::EMPTY);
    write::field(&mut out, FieldName::known(FieldId::XForwardedFor), FieldValue::new(b"192.0.2.1").unwrap());
    write::request_framing(&mut out, head.framing);
    write::end(&mut out);
    let expected =
        "POST /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_response_goes_on_as_a_whole() {
    let text =
        "HTTP/1.1 404 Nope\r\nServer: x\r\nContent-Length: 3\r\nConnection: keep-alive\r\nX: y\r\n\r\n";
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(text.as_bytes(), &HeadLimits::default(), Method::Get), Ok(Parsed::Complete));
    assert_eq!(head.reason.of(text.as_bytes()), b"Nope");
    let mut out = Vec::new();
    write::status_line(&mut out, head.status);
    write::copy_fields(&mut out, text.as_bytes(), &head.fields, FieldSet::of(&[FieldId::Server]));
    write::response_framing(&mut out, head.framing, head.content_length);
    write::connection(&mut out, true, Version::Http10);
    write::end(&mut out);
    let expected = "HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn nothing_that_splits_a_message_can_be_written() {
    for value in [&b"a\r\nb"[..], b"a\nb", b"a\rb", b"a\0b", b"\x7f", b"\x1b", b" a", b"a\t", b"\r\n"] {
        assert!(FieldValue::new(value).is_err(), "{value:?}");
    }
    for value in [&b""[..], b"a b", b"a\tb", b"caf\xe9"] {
        assert_eq!(FieldValue::new(value).unwrap().as_bytes(), value);
    }
    for name in [&b""[..], b"a b", b"a:", b"a\r\n", b"\xe9"] {
        assert!(FieldName::new(name).is_err(), "{name:?}");
    }
    let mut out = Vec::new();
    for (method, path, query) in [
        (&b"GET X"[..], &b"/"[..], None),
        (b"", b"/", None),
        (b"GET", b"/a b", None),
        (b"GET", b"/a\r\nX: y", None),
        (b"GET", b"/a#b", None),
        (b"GET", b"/a?b", None),
        (b"GET", b"/", Some(&b"a b"[..])),
        (b"GET", b"/", Some(b"\xe9")),
    ] {
        assert!(write::request_line(&mut out, method, path, query).is_err());
    }
    assert!(out.is_empty());
}

/// Relays a body that comes in parts of `part` bytes to an HTTP/1.1 peer.
fn relayed(body: &[u8], framing: BodyFraming, part: usize) -> (Vec<u8>, usize, usize) {
    let mut reader = BodyReader::new();
    reader.begin_response(framing);
    let (mut out, mut content, mut at, mut runs) = (Vec::new(), 0, 0, 0);
    let mut end = 0;
    loop {
        let relay = reader.relay(&body[at..end]).unwrap();
        out.extend_from_slice(&body[at..at + relay.forward]);
        runs += usize::from(relay.forward > 0);
        content += relay.content;
        at += relay.forward + relay.skip;
        match relay.then {
            Then::Again => {}
            Then::Trailers => reader.trailers().unwrap().write(&mut out),
            Then::NeedMore if end == body.len() => break,
            Then::NeedMore => end = body.len().min(end + part),
            Then::End => break,
        }
    }
    assert!(reader.is_done_at_eof());
    out.extend_from_slice(&body[at..]);
    (out, content, runs)
}

#[test]
fn bodies_are_relayed_as_they_are() {
    let plain = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    assert_eq!(relayed(plain, BodyFraming::Chunked, 1000), (plain.to_vec(), 6, 1), "one run a read");
    for part in 1..plain.len() {
        let (out, content, _) = relayed(plain, BodyFraming::Chunked, part);
        assert_eq!((out.as_slice(), content), (&plain[..], 6), "parts of {part}");
    }
    assert_eq!(relayed(b"hello", BodyFraming::Length(5), 2).0, b"hello");
    assert_eq!(relayed(b"hello", BodyFraming::UntilClose, 2).0, b"hello");
    assert_eq!(relayed(b"", BodyFraming::None, 1).0, b"");
}

#[test]
fn extensions_and_forbidden_trailers_stay_behind() {
    let body = b"5;a=\"b\"\r\nhello\r\n0;last\r\nX-Sum: 1\r\nContent-Length: 9\r\nhost: b\r\nAuthorization: c\r\n\
        Content-Foo: d\r\nContent-Digest: e\r\nSet-Cookie: f\r\nX-Forwarded-Thing: g\r\nGrpc-Status: 0\r\n\r\n";
    let expected = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Digest: e\r\nGrpc-Status: 0\r\n\r\n";
    for part in [1, 2, 3, 7, body.len()] {
        let (out, content, _) = relayed(body, BodyFraming::Chunked, part);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            std::str::from_utf8(expected).unwrap(),
            "parts of {part}"
        );
        assert_eq!(content, 5);
    }
    let only_forbidden = b"0\r\nTransfer-Encoding: chunked\r\nX_Forwarded_For: a\r\n\r\n";
    assert_eq!(relayed(only_forbidden, BodyFraming::Chunked, 4).0, b"0\r\n\r\n");
}

#[test]
fn a_reader_begins_anew() {
    let mut reader = BodyReader::new();
    for _ in 0..2 {
        reader.begin_request(Framing::Chunked);
        let body = b"0\r\nA: b\r\n\r\n";
        let mut at = 0;
        loop {
            let relay = reader.relay(&body[at..]).unwrap();
            at += relay.forward + relay.skip;
            match relay.then {
                Then::Trailers => {
                    let fields: Vec<_> = reader.trailers().unwrap().iter().collect();
                    assert_eq!(fields, [(&b"A"[..], &b"b"[..])]);
                }
                Then::End => break,
                Then::Again | Then::NeedMore => assert!(at < body.len()),
            }
        }
        reader.begin_request(Framing::Length(3));
        assert!(!reader.is_done() && reader.trailers().is_none());
        assert_eq!(reader.announced(), Some(3));
        assert_eq!(reader.step(b"abcdef").unwrap().len, 3);
        assert!(reader.is_done());
    }
}

#[test]
fn what_the_chunk_writer_writes_is_read_back() {
    let mut writer = ChunkWriter::new();
    let mut out = Vec::new();
    for part in [&b"hello"[..], b"", &[b'x'; 300], b"!"] {
        if let Some(head) = writer.head(part.len()) {
            out.extend_from_slice(head.as_slice());
            out.extend_from_slice(part);
        }
    }
    writer.finish(None, &mut out);
    assert!(out.starts_with(b"5\r\nhello\r\n12c\r\nxxx") && out.ends_with(b"xx\r\n1\r\n!\r\n0\r\n\r\n"));
    assert_eq!(relayed(&out, BodyFraming::Chunked, 11), (out.clone(), 306, out.len().div_ceil(11)));
    let mut empty = Vec::new();
    ChunkWriter::new().finish(None, &mut empty);
    assert_eq!(empty, b"0\r\n\r\n");
}
