//! Calls of language models through the gateway: what providers are sent, what callers get, what is recorded, and what
//! becomes of everything that can go wrong between them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may wait and may panic")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use penstock_ai::catalogue::PriceSpec;
use penstock_ai::routing::{Cause, Causes, ModelUid, Retries, Strategy, TargetSpec, Timeouts};
use penstock_dataplane::driver::Choice;
use penstock_gate::spec::{self, Endpoint, Id, Uid};
use support::{Answer, Conn, DRIVERS, Gateway, Setup, Upstream, eventually, nowhere, upstream_spec};

const KEY: &str = "sk-of-the-provider";

/// An AI service over these providers (name, kind, address), each with one key; a model `m` goes to all of them in turn.
fn gateway_with(
    driver: Choice,
    providers: &[(&str, &str, SocketAddr)],
    change: impl FnOnce(&mut Setup),
) -> Gateway {
    let mut setup = Setup::new(driver, upstream_spec(nowhere()));
    setup.rings = true;
    let service = Arc::new(spec::AiService {
        prefix: String::new(),
        models: spec::Allowed::everything(),
        on_loss: spec::OnLoss::Tell,
        on_unknown_price: spec::OnUnknownPrice::Deny,
    });
    let route = setup.spec.routes.remove(0);
    for (n, endpoint) in Endpoint::ALL.into_iter().enumerate() {
        setup.spec.routes.push(spec::Route {
            id: Id(100 + n as u32),
            uid: Uid(100 + n as u64),
            name: endpoint.name().into(),
            matches: spec::Match {
                path: endpoint.path().into(),
                methods: vec![endpoint.method().into()],
                ..spec::Match::default()
            },
            to: spec::To::Ai(spec::AiRoute { endpoint, service: service.clone() }),
            ..route.clone()
        });
    }
    let mut ai = spec::Ai::default();
    let mut targets = Vec::new();
    for (n, (name, kind, addr)) in providers.iter().enumerate() {
        let n = n as u32;
        let mut upstream = upstream_spec(*addr);
        (upstream.id, upstream.uid, upstream.host_header) =
            (Id(200 + n), Uid(200 + u64::from(n)), spec::HostHeader::Target);
        upstream.targets[0].id = Id(300 + n);
        upstream.targets[0].uid = Uid(300 + u64::from(n));
        ai.providers.push(spec::Provider {
            id: Id(400 + n),
            uid: Uid(400 + u64::from(n)),
            name: (*name).into(),
            kind: (*kind).into(),
            upstream: upstream.id,
            base_url: Some(format!("http://{addr}/v1")),
            values: Vec::new(),
            deployments: Vec::new(),
            keys: vec![spec::ProviderKey {
                id: Id(500 + n),
                uid: Uid(500 + u64::from(n)),
                name: "1".into(),
                weight: 1,
                secret: spec::ProviderSecret::Key(KEY.into()),
            }],
        });
        setup.spec.upstreams.push(upstream);
        targets.push(TargetSpec::new(name, &format!("{name}-model"), 1));
    }
    let mut price = PriceSpec::default();
    for (name, rate) in [("input", "2"), ("output", "10"), ("cached_read", "0.5")] {
        price.set(0, name, rate).unwrap();
    }
    ai.models.push(spec::Model {
        id: Id(600),
        uid: Uid(600),
        spec: spec::ModelSpec {
            targets,
            strategy: Strategy::Primary,
            timeouts: Timeouts {
                first_token_ns: 1_500_000_000,
                idle_ns: 1_500_000_000,
                total_ns: 15_000_000_000,
            },
            retries: Retries { on: Causes::of(&Cause::ALL), ..Retries::default() },
            price: Some(price.build().unwrap()),
            ..spec::ModelSpec::new(ModelUid(600), "m")
        },
    });
    setup.spec.ai = Arc::new(ai);
    change(&mut setup);
    setup.start()
}

fn gateway(driver: Choice, providers: &[(&str, &str, SocketAddr)]) -> Gateway {
    gateway_with(driver, providers, |_| {})
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn json(body: &str) -> Vec<u8> {
    with_status("200 OK", body)
}

fn with_status(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

const CHAT: &str =
    r#"{"model":"m", "messages":[{"role":"user","content":"hi"}], "x_unknown": 1.50, "seed":7}"#;
const CHAT_ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":5,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":400}}}"#;
const MESSAGES: &str = r#"{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}"#;
const MESSAGES_ANSWER: &str = r#"{"id":"m1","type":"message","role":"assistant","model":"served","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":600,"cache_read_input_tokens":400,"output_tokens":100}}"#;

const CHAT_STREAM: &str = concat!(
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"served\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"served\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\u{e9}llo\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"served\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"served\",\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100,\"total_tokens\":1100}}\n\n",
    "data: [DONE]\n\n",
);

fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
}

fn chunked(text: &str) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", text.len()).into_bytes();
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

/// A provider that answers each call by this stream, an event a write.
fn streaming(stream: &'static str) -> Upstream {
    Upstream::start(move |conn| {
        while conn.request().is_some() {
            conn.write(&stream_head());
            for event in stream.split_inclusive("\n\n") {
                conn.write(&chunked(event));
            }
            conn.write(b"0\r\n\r\n");
        }
    })
}

fn answering(answer: Vec<u8>) -> Upstream {
    Upstream::start(move |conn| while conn.request().is_some() && conn.write(&answer) {})
}

#[test]
fn within_a_dialect_only_the_model_is_changed() {
    for driver in DRIVERS {
        let upstream = answering(json(CHAT_ANSWER));
        let gateway = gateway(driver, &[("openai", "openai", upstream.addr)]);
        let answer = gateway
            .client()
            .send(post("/v1/chat/completions", CHAT).replace(
                "Host: h",
                "Host: h\r\nAuthorization: Bearer sk-of-the-caller\r\nCookie: a=b\r\nUser-Agent: sdk/1",
            ))
            .answer()
            .unwrap();
        assert_eq!((answer.status(), &*text(&answer)), (200, CHAT_ANSWER));
        assert!(answer.head.contains("x-penstock-cost-usd: 0.002400000\r\n"), "{}", answer.head);
        let sent = upstream.text();
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, CHAT.replace("\"m\"", "\"openai-model\""));
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains(&format!("authorization: Bearer {KEY}\r\n"))
                && head.contains("user-agent: sdk/1\r\n"),
            "{head}"
        );
        assert!(
            !head.contains("caller")
                && !head.contains("a=b")
                && !head.to_ascii_lowercase().contains("forwarded"),
            "{head}"
        );
        let record = gateway.recorded(1).remove(0);
        let (ai, asked, served) = record.ai.unwrap();
        assert_eq!((asked.as_str(), served.as_str()), ("m", "served"));
        assert_eq!((ai.head.dialect_in, ai.head.dialect_out, ai.head.finish), (1, 1, 1));
        let attempt = ai.attempts()[0];
        assert_eq!((attempt.provider, attempt.key, attempt.model, attempt.settled), (400, 500, 600, 1));
        // 600 at 2, 400 at 0.5, 100 at 10 USD a million.
        assert_eq!((attempt.cost_nanodollars, attempt.status, attempt.outcome), (2_400_000, 200, 0));
        let tokens = attempt.tokens;
        assert_eq!((tokens.input, tokens.cached_read, tokens.output), (600, 400, 100));
    }
}

#[test]
fn a_request_that_comes_in_chunks_goes_on_with_its_length() {
    for driver in DRIVERS {
        let upstream = answering(json(CHAT_ANSWER));
        let gateway = gateway(driver, &[("openai", "openai", upstream.addr)]);
        let mut client = gateway.client();
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in CHAT.as_bytes().chunks(7) {
            client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
        }
        assert_eq!(client.send("0\r\n\r\n").answer().unwrap().status(), 200);
        let sent = upstream.text();
        assert!(sent.ends_with(&CHAT.replace("\"m\"", "\"openai-model\"")), "{sent}");
        assert!(!sent.to_ascii_lowercase().contains("transfer-encoding"), "{sent}");
        // The connection lives on.
        assert_eq!(client.send(post("/v1/chat/completions", CHAT)).answer().unwrap().status(), 200);
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn what_a_caller_did_not_ask_for_it_does_not_get() {
    for driver in DRIVERS {
        let upstream = streaming(CHAT_STREAM);
        let gateway = gateway(driver, &[("openai", "openai", upstream.addr)]);
        let asked = CHAT.replace("\"seed\":7", "\"stream\":true");
        let answer = gateway.client().send(post("/v1/chat/completions", &asked)).answer().unwrap();
        assert!(answer.head.contains("Content-Type: text/event-stream"), "{}", answer.head);
        let expected: String = CHAT_STREAM
            .split_inclusive("\n\n")
            .filter(|event| !event.contains("\"choices\":[]"))
            .map(|event| event.replace(",\"usage\":null", ""))
            .collect();
        assert_eq!(text(&answer), expected);
        assert!(
            upstream.text().contains("\"stream_options\":{\"include_usage\":true}"),
            "{}",
            upstream.text()
        );
        let asked = asked.replace("\"x_unknown\": 1.50", "\"stream_options\":{\"include_usage\":true}");
        let answer = gateway.client().send(post("/v1/chat/completions", &asked)).answer().unwrap();
        assert_eq!(text(&answer), CHAT_STREAM);
        for record in gateway.recorded(2) {
            let (ai, ..) = record.ai.unwrap();
            let attempt = ai.attempts()[0];
            assert_eq!((attempt.cost_nanodollars, attempt.settled, attempt.outcome), (3_000_000, 1, 0));
            assert!(attempt.first_token_us > 0 && ai.head.flags == penstock_ring::ai_flag::STREAM);
        }
    }
}

#[test]
fn between_dialects_answers_and_streams_come_in_the_callers_words() {
    for driver in DRIVERS {
        let chat = answering(json(CHAT_ANSWER));
        let messages = answering(json(MESSAGES_ANSWER));
        let stream = streaming(CHAT_STREAM);
        let over_chat = gateway(driver, &[("openai", "openai", chat.addr)]);
        let answer = over_chat.client().send(post("/v1/messages", MESSAGES)).answer().unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(text(&answer).contains("\"usage\":{\"input_tokens\":600,"), "{}", text(&answer));
        assert!(chat.text().contains("\"max_completion_tokens\":50"), "{}", chat.text());
        let over_messages = gateway(driver, &[("anthropic", "anthropic", messages.addr)]);
        let answer = over_messages.client().send(post("/v1/chat/completions", CHAT)).answer().unwrap();
        assert!(text(&answer).contains("\"prompt_tokens\":1000"), "{}", text(&answer));
        assert!(answer.head.contains("x-penstock-degraded: seed,unknown\r\n"), "{}", answer.head);
        assert!(messages.text().contains(&format!("x-api-key: {KEY}\r\n")), "{}", messages.text());
        let over_stream = gateway(driver, &[("openai", "openai", stream.addr)]);
        let asked = MESSAGES.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
        let answer = over_stream.client().send(post("/v1/messages", &asked)).answer().unwrap();
        let text = text(&answer);
        assert!(text.starts_with("event: message_start\n") && text.contains("h\u{e9}llo"), "{text}");
        assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{text}");
    }
}

#[test]
fn a_loss_is_refused_where_the_service_says_so() {
    let upstream = answering(json(MESSAGES_ANSWER));
    let gateway = gateway_with(Choice::Auto, &[("anthropic", "anthropic", upstream.addr)], |setup| {
        for route in &mut setup.spec.routes {
            if let spec::To::Ai(ai) = &mut route.to {
                Arc::make_mut(&mut ai.service).on_loss = spec::OnLoss::Refuse;
            }
        }
    });
    let answer = gateway.client().send(post("/v1/chat/completions", CHAT)).answer().unwrap();
    assert_eq!((answer.status(), &*answer.code()), (400, "unsupported_feature"));
    assert!(text(&answer).contains("Anthropic has no seed,unknown"), "{}", text(&answer));
    assert_eq!(upstream.connections(), 0);
}

/// An answer of the provider, and what the caller gets: status, code, a part of the message.
#[test]
fn failures_of_providers_are_told_in_the_callers_dialect_and_never_show_a_key() {
    let shown = format!("Incorrect API key provided: {KEY}");
    let cases: &[(Vec<u8>, u16, &str, &str)] = &[
        (
            with_status(
                "400 Bad Request",
                r#"{"error":{"message":"bad schema","type":"invalid_request_error","code":"bad_thing"}}"#,
            ),
            400,
            "bad_thing",
            "bad schema",
        ),
        (
            with_status(
                "401 Unauthorized",
                &format!(
                    r#"{{"error":{{"message":"{shown}","type":"invalid_request_error","code":"invalid_api_key"}}}}"#
                ),
            ),
            502,
            "provider_error",
            "refuses",
        ),
        (
            with_status("403 Forbidden", &format!(r#"{{"error":{{"message":"{shown}"}}}}"#)),
            502,
            "provider_error",
            "refuses",
        ),
        (
            with_status("404 Not Found", r#"{"error":{"message":"no such model","code":"model_not_found"}}"#),
            404,
            "model_not_found",
            "no such model",
        ),
        (
            with_status(
                "429 Too Many Requests",
                r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#,
            ),
            429,
            "rate_limit_exceeded",
            "slow down",
        ),
        (
            with_status("500 Internal Server Error", "<html>oops</html>"),
            502,
            "provider_error",
            "Provider failed",
        ),
        (
            with_status("503 Service Unavailable", r#"{"error":{"message":"busy"}}"#),
            503,
            "provider_error",
            "busy",
        ),
        (json("{\"choices\":[{"), 502, "upstream_bad_response", "not what was asked for"),
        (json(r#"{"error":{"message":"inside","type":"server_error"}}"#), 502, "server_error", "inside"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx".to_vec(),
            502,
            "upstream_bad_response",
            "",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec(), 502, "upstream_closed_early", ""),
        (b"".to_vec(), 502, "upstream_closed_early", ""),
        (b"NONSENSE\r\n\r\n".to_vec(), 502, "upstream_bad_response", ""),
    ];
    for driver in DRIVERS {
        for (answer, status, code, message) in cases {
            let answer = answer.clone();
            let upstream = Upstream::start(move |conn| {
                conn.request();
                conn.write(&answer); // and closes
            });
            let again = || gateway(driver, &[("openai", "openai", upstream.addr)]);
            let gateway = again();
            let got = gateway.client().send(post("/v1/chat/completions", CHAT)).answer().unwrap();
            let told = text(&got);
            assert_eq!((got.status(), &*got.code()), (*status, *code), "{told}");
            assert!(told.starts_with("{\"error\":{\"message\":") && told.contains(message), "{told}");
            assert!(!told.contains(KEY) && !got.head.contains(KEY), "{told}");
            assert_ne!(gateway.recorded(1).remove(0).ai.unwrap().0.attempts()[0].outcome, 0);
            // The same in another dialect, at a gateway that has not learned that the provider fails.
            let gateway = again();
            let got = gateway.client().send(post("/v1/messages", MESSAGES)).answer().unwrap();
            assert_eq!(got.status(), *status, "{}", text(&got));
            assert!(text(&got).starts_with("{\"type\":\"error\",\"error\":{\"type\":"), "{}", text(&got));
            assert_ne!(gateway.recorded(1).remove(0).ai.unwrap().0.attempts()[0].outcome, 0);
        }
    }
}

#[test]
fn retry_after_and_the_providers_id_reach_the_caller() {
    let body = r#"{"error":{"message":"slow"}}"#;
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 7\r\nx-request-id: req_9\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let upstream = answering(answer.into_bytes());
    let gateway = gateway(Choice::Auto, &[("openai", "openai", upstream.addr)]);
    let got = gateway.client().send(post("/v1/chat/completions", CHAT)).answer().unwrap();
    assert!(got.head.contains("retry-after: 7\r\n"), "{}", got.head);
    assert!(got.head.contains("x-penstock-provider-request-id: req_9\r\n"), "{}", got.head);
}

#[test]
fn another_target_answers_where_one_fails() {
    for driver in DRIVERS {
        let good = answering(json(CHAT_ANSWER));
        let busy = answering(with_status("429 Too Many Requests", r#"{"error":{"message":"slow"}}"#));
        let broken = answering(json("{}x"));
        let closed = Upstream::start(|conn| drop(conn.request()));
        for bad in [nowhere(), busy.addr, broken.addr, closed.addr] {
            let gateway = gateway(driver, &[("bad", "openai", bad), ("good", "openai", good.addr)]);
            let got = gateway.client().send(post("/v1/chat/completions", CHAT)).answer().unwrap();
            assert_eq!((got.status(), &*text(&got)), (200, CHAT_ANSWER));
            let record = gateway.recorded(1).remove(0);
            let (ai, ..) = record.ai.unwrap();
            assert_eq!(ai.attempts().len(), 2);
            assert!(ai.attempts()[0].outcome != 0 && ai.attempts()[1].outcome == 0);
        }
        let wrong = answering(with_status("400 Bad Request", r#"{"error":{"message":"no"}}"#));
        let gateway = gateway(driver, &[("bad", "openai", wrong.addr), ("good", "openai", good.addr)]);
        let got = gateway.client().send(post("/v1/chat/completions", CHAT)).answer().unwrap();
        assert_eq!(got.status(), 400, "what is wrong here is wrong elsewhere");
    }
}

#[test]
fn a_first_token_that_does_not_come_is_waited_for_elsewhere() {
    for driver in DRIVERS {
        let silent = Upstream::start(|conn| {
            conn.request();
            conn.write(&stream_head());
            conn.sees_end();
        });
        let good = streaming(CHAT_STREAM);
        let gateway = gateway(driver, &[("bad", "openai", silent.addr), ("good", "openai", good.addr)]);
        let asked = CHAT.replace("\"seed\":7", "\"stream\":true");
        let got = gateway.client().send(post("/v1/chat/completions", &asked)).answer().unwrap();
        assert!(text(&got).ends_with("data: [DONE]\n\n"), "{}", text(&got));
        let (ai, ..) = gateway.recorded(1).remove(0).ai.unwrap();
        assert_eq!((ai.attempts()[0].outcome, ai.attempts()[1].outcome), (4, 0));
    }
}

/// Wherever a stream is cut, the caller has a whole HTTP message that says so, in the words of its dialect.
#[test]
fn a_stream_that_is_cut_says_so_wherever_it_is_cut() {
    for driver in DRIVERS {
        for cut in (1..CHAT_STREAM.len() - 30).step_by(37) {
            let upstream = Upstream::start(move |conn| {
                conn.request();
                conn.write(&stream_head());
                let bytes = &CHAT_STREAM.as_bytes()[..cut];
                conn.write(format!("{:x}\r\n", bytes.len()).as_bytes());
                conn.write(bytes); // without the end of the chunk
            });
            let gateway = gateway(driver, &[("openai", "openai", upstream.addr)]);
            let asked = CHAT.replace("\"seed\":7", "\"stream\":true");
            let got = gateway
                .client()
                .send(post("/v1/chat/completions", &asked))
                .answer()
                .expect("a whole message");
            let told = text(&got);
            let ended = told.contains("\"finish_reason\":\"stop\"");
            assert!(ended || told.contains("\"error\":{\"message\":"), "{cut}: {told}");
            assert!(!told.contains("[DONE]"), "{cut}: {told}");
            let asked = MESSAGES.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
            let got = gateway.client().send(post("/v1/messages", &asked)).answer().expect("a whole message");
            let told = text(&got);
            let ended = told.contains("\"stop_reason\":\"end_turn\"");
            assert!(ended || told.contains("\"type\":\"error\",\"error\":{"), "{cut}: {told}");
            for record in gateway.recorded(2) {
                let (ai, ..) = record.ai.unwrap();
                let attempt = ai.attempts()[0];
                assert!(attempt.outcome != 0 || attempt.settled == 0, "{cut}: {attempt:?}");
            }
        }
    }
}

#[test]
fn a_client_that_leaves_cancels_the_provider_at_once_and_what_came_is_booked() {
    for driver in DRIVERS {
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = cancelled.clone();
        let upstream = Upstream::start(move |conn: &mut Conn| {
            conn.request();
            conn.write(&stream_head());
            for event in CHAT_STREAM.split_inclusive("\n\n").take(2) {
                conn.write(&chunked(event));
            }
            seen.store(conn.sees_end(), Ordering::SeqCst);
        });
        let gateway = gateway(driver, &[("openai", "openai", upstream.addr)]);
        let asked = CHAT.replace("\"seed\":7", "\"stream\":true");
        let mut client = gateway.client();
        client.send(post("/v1/chat/completions", &asked)).wait_for("llo");
        drop(client);
        eventually("the provider is told", || cancelled.load(Ordering::SeqCst));
        let record = gateway.recorded(1).remove(0);
        assert_eq!(record.code(), "client_gone");
        let (ai, ..) = record.ai.unwrap();
        let attempt = ai.attempts()[0];
        assert_eq!((attempt.outcome, attempt.settled), (6, 0));
        assert!(attempt.tokens.output > 0 && attempt.cost_nanodollars > 0, "{attempt:?}");
    }
}

#[test]
fn requests_that_are_none_are_refused_in_the_callers_dialect() {
    let upstream = answering(json(CHAT_ANSWER));
    let gateway = gateway_with(Choice::Auto, &[("openai", "openai", upstream.addr)], |setup| {
        for route in &mut setup.spec.routes {
            route.body.max = Some(2000);
        }
    });
    let big = CHAT.replace("hi", &"x".repeat(3000));
    let cases = [
        ("/v1/chat/completions", "{", 400, "body_invalid"),
        ("/v1/chat/completions", "[]", 400, "body_invalid"),
        ("/v1/chat/completions", "{\"messages\":[]}", 400, "body_invalid"),
        ("/v1/chat/completions", "{\"model\":\"m\",\"model\":\"n\"}", 400, "body_invalid"),
        ("/v1/chat/completions", "{\"model\":\"nope\"}", 404, "unknown_model"),
        ("/v1/chat/completions", "{\"model\":\"openai/unpriced\"}", 400, "unbounded_cost"),
        ("/v1/chat/completions", &big, 413, "body_too_large"),
        ("/v1/messages", "{\"model\":\"m\",\"messages\":5}", 400, ""),
        ("/v1beta/models/m:frobnicate", "{}", 404, ""),
    ];
    for (path, body, status, code) in cases {
        let got = gateway.client().send(post(path, body)).answer().unwrap();
        assert_eq!((got.status(), &*got.code()), (status, code), "{body}: {}", text(&got));
        assert!(text(&got).contains("\"error\":{"), "{}", text(&got));
        assert!(got.head.contains("Content-Type: application/json\r\n"), "{}", got.head);
    }
    let zipped = post("/v1/chat/completions", CHAT).replace("Host: h", "Host: h\r\nContent-Encoding: gzip");
    assert_eq!(gateway.client().send(zipped).answer().unwrap().status(), 415);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_body_that_is_waited_for_is_asked_for() {
    for driver in DRIVERS {
        let upstream = answering(json(CHAT_ANSWER));
        let gateway = gateway(driver, &[("openai", "openai", upstream.addr)]);
        let mut client = gateway.client();
        let asked = post("/v1/chat/completions", CHAT).replace("Host: h", "Host: h\r\nExpect: 100-continue");
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let interim = client.send(format!("{head}\r\n\r\n")).answer().unwrap();
        assert_eq!(interim.status(), 100);
        assert_eq!(client.send(body).answer().unwrap().status(), 200);
    }
}

#[test]
fn models_are_listed() {
    let upstream = answering(json(CHAT_ANSWER));
    let gateway = gateway(Choice::Auto, &[("openai", "openai", upstream.addr)]);
    let mut client = gateway.client();
    let mut get =
        |path: &str| client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).answer().unwrap();
    let list = get("/v1/models");
    assert!(
        text(&list).starts_with(r#"{"object":"list","data":[{"id":"m","object":"model""#),
        "{}",
        text(&list)
    );
    assert!(text(&get("/v1/models/m")).contains("\"id\":\"m\""));
    assert_eq!(get("/v1/models/nope").status(), 404);
    assert!(text(&get("/v1beta/models")).contains("\"name\":\"models/m\""));
}
