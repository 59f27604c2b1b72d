//! The warm path allocates nothing: a counting allocator says so.
#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // a global allocator cannot be written without; it only counts and passes on

use penstock_http::{
    BodyFraming, BodyReader, Code, FieldId, FieldName, FieldSet, FieldValue, HeadLimits, HttpDate, Method,
    Parsed, PathPolicy, Problem, RequestHead, ResponseHead, Then, Version, path, problem::Delivery, write,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const REQUEST: &[u8] = b"\r\nPOST /v1/./orders/%7e1?x=y HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\n\
    Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
const BODY: &[u8] = b"5;ext\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n";

#[test]
fn a_warm_exchange_allocates_nothing() {
    let mut request = RequestHead::new();
    let mut response = ResponseHead::new();
    let mut reader = BodyReader::new();
    let mut out = Vec::new();
    let mut scratch = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let before = ALLOCATIONS.with(Cell::get);
        exchange(&mut request, &mut response, &mut reader, &mut out, &mut scratch);
        counts.push(ALLOCATIONS.with(Cell::get) - before);
        out.clear();
    }
    assert!(counts[0] > 0, "the counter counts: buffers grow in the first round");
    assert_eq!(counts[1..], [0, 0, 0]);
}

fn exchange(
    request: &mut RequestHead,
    response: &mut ResponseHead,
    reader: &mut BodyReader,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) {
    let limits = HeadLimits::default();
    assert_eq!(request.parse(&REQUEST[..40], &limits), Ok(Parsed::Partial));
    assert_eq!(request.parse(REQUEST, &limits), Ok(Parsed::Complete));
    let path = path::normalise(request.path.of(REQUEST), &PathPolicy::default(), scratch).unwrap();
    write::request_line(out, b"POST", path, request.query.map(|query| query.of(REQUEST))).unwrap();
    write::copy_fields(out, REQUEST, &request.fields, FieldSet::EMPTY);
    write::field(out, FieldName::known(FieldId::Via), FieldValue::new(b"1.1 penstock").unwrap());
    write::request_framing(out, request.framing);
    write::end(out);
    assert_eq!(response.parse(RESPONSE, &limits, Method::Post), Ok(Parsed::Complete));
    write::status_line(out, response.status);
    write::copy_fields(out, RESPONSE, &response.fields, FieldSet::EMPTY);
    write::response_framing(out, response.framing, response.content_length);
    write::end(out);
    reader.begin_response(BodyFraming::Chunked);
    let mut at = 0;
    loop {
        let relay = reader.relay(&BODY[at..]).unwrap();
        at += relay.forward + relay.skip;
        match relay.then {
            Then::Trailers => reader.trailers().unwrap().write(out),
            Then::End => break,
            Then::Again | Then::NeedMore => {}
        }
    }
    let date = HttpDate::from_unix_seconds(1);
    let delivery =
        Delivery { keep_alive: true, client: Version::Http11, head_only: false, date: Some(&date) };
    Problem { request_id: b"r", ..Problem::new(Code::NoRoute) }.write(&delivery, out);
}
