//! Nanoseconds per operation of the codec on typical messages: `cargo bench -p penstock-http`.
//!
//! Each figure is the best of several rounds, which on a shared machine tells most about the code itself.
//!
//! With `exchange small N` or `exchange browser N` behind `--` it only serves N exchanges, for counts of instructions:
//! `valgrind --tool=callgrind --toggle-collect='codec::exchange*' TARGET/dist/deps/codec-HASH exchange small 10000`.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used)]

use penstock_http::{
    BodyFraming, BodyReader, Code, FieldId, FieldName, FieldSet, FieldValue, HeadLimits, HttpDate, Method,
    Parsed, PathPolicy, Problem, RequestHead, ResponseHead, Then, Version, path, problem::Delivery, write,
};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 7;

const REQUEST: &[u8] = b"GET /v1/orders/8412?expand=lines HTTP/1.1\r\nHost: api.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: application/json\r\n\
    Accept-Encoding: gzip, br\r\nX-Api-Key: pk_live_0123456789abcdefghijklmn\r\nConnection: keep-alive\r\n\
    Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: upstream/1.0\r\nDate: Tue, 24 Nov 2026 08:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 128\r\nCache-Control: private, max-age=0\r\n\
    ETag: \"5f3c1a2b\"\r\nVary: Accept-Encoding\r\nX-Request-Id: 01J9ZK3V7N8Q2R4T6W8Y0A1B2C\r\n\r\n";

/// What an exchange costs a gateway that adds little: the heads of `exchange small`.
const API_REQUEST: &[u8] =
    b"GET /v1/orders/8412 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: wrk/4.2\r\n\
    Accept: */*\r\nX-Trace: a1b2c3d4\r\nx-api-key: pk_live_0123456789abcdefghijklmnopqrstuv\r\n\r\n";

/// The heads of `exchange browser`: 14 fields, about 800 bytes.
const BROWSER_REQUEST: &[u8] = b"GET /v1/orders/8412?expand=lines HTTP/1.1\r\nHost: api.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\nAccept: application/json, text/plain, */*\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
    Origin: https://shop.example.com\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n\
    Referer: https://shop.example.com/account/orders\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCookie: session=8c1f0e5b7a9d42c6b3f1; theme=dark; consent=all; \
    cart=01J9ZK3V7N8Q2R4T6W8Y0A1B2C; _ga=GA1.1.1234567890.1760000000\r\n\r\n";

const API_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\nContent-Type: application/json\r\n\r\n\
    ................................................................\
    ................................................................";

const SMALL_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn measure(name: &str, times: u32, mut operation: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..times {
            operation();
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(times));
    }
    println!("{name:<52} {best:>9.1} ns");
    best
}

fn write_request(head: &RequestHead, buf: &[u8], path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    write::request_line(out, head.method_text.of(buf), path, head.query.map(|query| query.of(buf))).unwrap();
    write::copy_fields(out, buf, &head.fields, FieldSet::FORWARDING);
    write::field(out, FieldName::known(FieldId::XForwardedFor), FieldValue::new(b"192.0.2.17").unwrap());
    write::field(out, FieldName::known(FieldId::XForwardedProto), FieldValue::new(b"https").unwrap());
    write::request_framing(out, head.framing);
    write::end(out);
}

fn write_response(head: &ResponseHead, buf: &[u8], out: &mut Vec<u8>) {
    out.clear();
    write::status_line(out, head.status);
    write::copy_fields(out, buf, &head.fields, FieldSet::of(&[FieldId::XRequestId]));
    write::field(
        out,
        FieldName::known(FieldId::XRequestId),
        FieldValue::new(b"01J9ZK3V7N8Q2R4T6W8Y0A1B2C").unwrap(),
    );
    write::response_framing(out, head.framing, head.content_length);
    write::connection(out, head.keep_alive, Version::Http11);
    write::end(out);
}

/// What is reused from one exchange to the next.
#[derive(Default)]
struct Scratch {
    request: RequestHead,
    response: ResponseHead,
    request_body: BodyReader,
    response_body: BodyReader,
    path: Vec<u8>,
    out: Vec<u8>,
}

/// The codec's part of one proxied request, in the order and with the calls of the data plane.
#[inline(never)]
fn exchange(scratch: &mut Scratch, limits: &HeadLimits, request: &[u8], response: &[u8]) {
    let Scratch { request: head, response: answer, request_body, response_body, path, out } = scratch;
    assert!(head.parse(request, limits) == Ok(Parsed::Complete));
    request_body.begin_request(head.framing);
    assert!(request_body.relay(&[]).unwrap().then == Then::End);
    let path = path::normalise(head.path.of(request), &PathPolicy::default(), path).unwrap();
    out.clear();
    out.extend_from_slice(head.method_text.of(request));
    out.push(b' ');
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write::copy_fields(out, request, &head.fields, FieldSet::FORWARDING.with(FieldId::XApiKey));
    out.extend_from_slice(black_box(b"X-Forwarded-For: 192.0.2.17\r\nX-Forwarded-Proto: https\r\n"));
    write::request_framing(out, head.framing);
    write::end(out);
    black_box(&out);
    assert!(answer.parse(response, limits, head.method) == Ok(Parsed::Complete));
    out.clear();
    write::status_line(out, answer.status);
    write::copy_fields(out, response, &answer.fields, FieldSet::of(&[FieldId::XRequestId]));
    write::response_framing(out, answer.framing, answer.content_length);
    out.extend_from_slice(black_box(b"X-Request-Id: 01J9ZK3V7N8Q2R4T6W8Y0A1B2C\r\n"));
    write::connection(out, head.keep_alive, head.version);
    write::end(out);
    black_box(&out);
    response_body.begin_response(answer.framing);
    let relay = response_body.relay(&response[answer.head_len..]).unwrap();
    assert!(relay.then == Then::End && relay.content == 128);
}

/// Serves exchanges and nothing else.
fn serve(kind: &str, times: u32) {
    let request = match kind {
        "small" => API_REQUEST,
        "browser" => BROWSER_REQUEST,
        _ => panic!("`exchange small N` or `exchange browser N`"),
    };
    let mut scratch = Scratch { out: Vec::with_capacity(4096), ..Scratch::default() };
    for _ in 0..times {
        exchange(&mut scratch, &HeadLimits::default(), black_box(request), black_box(API_RESPONSE));
    }
    println!("{times} exchanges, heads of {} and {} bytes", request.len(), API_RESPONSE.len() - 128);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [_, kind, times] = words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && words[0] == "exchange"
    {
        return serve(kind, times.parse().unwrap());
    }
    let limits = HeadLimits::default();
    let policy = PathPolicy::default();
    let mut request = RequestHead::new();
    let mut response = ResponseHead::new();
    let mut out = Vec::with_capacity(4096);
    let mut scratch = Vec::with_capacity(4096);

    println!("request head {} bytes, response head {} bytes", REQUEST.len(), RESPONSE.len());
    measure("parse a request head of 26 bytes", 200_000, || {
        assert!(request.parse(black_box(SMALL_REQUEST), &limits) == Ok(Parsed::Complete));
    });
    let parse_request = measure("parse the request head", 200_000, || {
        assert!(request.parse(black_box(REQUEST), &limits) == Ok(Parsed::Complete));
    });
    measure("  httparse alone on the request head", 200_000, || {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; 16];
        let mut parser = httparse::Request::new(&mut []);
        black_box(parser.parse_with_uninit_headers(black_box(REQUEST), &mut headers).unwrap());
    });
    measure("  normalise its path", 200_000, || {
        black_box(path::normalise(black_box(request.path.of(REQUEST)), &policy, &mut scratch).unwrap());
    });
    let serialise_request = measure("serialise it for the upstream", 200_000, || {
        let path = path::normalise(request.path.of(REQUEST), &policy, &mut scratch).unwrap();
        write_request(black_box(&request), REQUEST, path, &mut out);
        black_box(&out);
    });
    let parse_response = measure("parse the response head", 200_000, || {
        assert!(response.parse(black_box(RESPONSE), &limits, Method::Get) == Ok(Parsed::Complete));
    });
    let serialise_response = measure("serialise it for the client", 200_000, || {
        write_response(black_box(&response), RESPONSE, &mut out);
        black_box(&out);
    });
    println!(
        "{:<52} {:>9.1} ns",
        "all four together",
        parse_request + serialise_request + parse_response + serialise_response
    );

    measure("normalise a path with dot segments and escapes", 100_000, || {
        black_box(
            path::normalise(black_box(b"/v1/./a/../orders/%7e8412/%41"), &policy, &mut scratch).unwrap(),
        );
    });
    let body = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat().repeat(16);
    let mut reader = BodyReader::new();
    measure("relay 64 KiB in chunks of 4 KiB", 50_000, || {
        reader.begin_response(BodyFraming::Chunked);
        let relay = reader.relay(black_box(&body)).unwrap();
        assert!(relay.then == Then::NeedMore && relay.forward == body.len());
    });
    let date = HttpDate::from_unix_seconds(1_795_000_000);
    let problem = Problem { request_id: b"01J9ZK3V7N8Q2R4T6W8Y0A1B2C", ..Problem::new(Code::RateLimited) };
    let delivery =
        Delivery { keep_alive: true, client: Version::Http11, head_only: false, date: Some(&date) };
    measure("write a problem answer", 100_000, || {
        out.clear();
        black_box(&problem).write(&delivery, &mut out);
    });
    measure("look up a field name", 500_000, || {
        black_box(FieldId::lookup(black_box(b"access-control-allow-origin")));
    });
}
