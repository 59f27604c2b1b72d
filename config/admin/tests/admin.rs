//! The router without a socket: what each path answers, to whom, and how often at once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use penstock_admin::{
    AllowedHosts, ListenerStatus, Readiness, STREAMS_MAX, Source, Status, WorkerStatus, router,
};
use penstock_analytics::{Collector, Live};
use tower::ServiceExt as _;

struct Told {
    ready: bool,
    recorded: bool,
}

impl Source for Told {
    fn readiness(&self) -> Readiness {
        if self.ready { Readiness::Ready } else { Readiness::NotReady("draining".into()) }
    }
    fn status(&self) -> Status {
        Status {
            state: "ready".into(),
            version: "0".into(),
            pid: 1,
            started_ns: 5_000_000_000,
            revision: 7,
            refused_changes: 2,
            driver: "epoll".into(),
            listeners: vec![ListenerStatus { name: "main".into(), address: "127.0.0.1:8080".into() }],
            workers: vec![WorkerStatus {
                worker: 0,
                cpu: Some(1),
                connections: 3,
                requests: 2,
                accepted: 9,
                accept_failures: 4,
                panics: 0,
                heartbeat_age_ms: 4,
            }],
            rings: "on".into(),
            records_dropped: 0,
            events_suppressed: 0,
        }
    }
    fn live(&self) -> Option<Live> {
        let drain = Collector::default().metrics().drain;
        self.recorded.then(|| Live { windows: Vec::new(), rings: Vec::new(), drain, other_calls: [0; 3] })
    }
    fn call_metrics(&self) -> String {
        "penstock_records_total 0\n".into()
    }
}

fn app(ready: bool, recorded: bool) -> Router {
    let hosts = AllowedHosts::new(Some([127, 0, 0, 1].into()), Vec::new());
    router(Arc::new(Told { ready, recorded }), hosts)
}

async fn ask(app: &Router, method: &str, path: &str, host: &str) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("host", host).body(Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn paths_methods_and_hosts() {
    for (ready, recorded, method, path, host, status) in [
        (true, true, "GET", "/", "localhost", 200),
        (true, true, "GET", "/healthz", "localhost:9080", 200),
        (false, true, "GET", "/healthz", "localhost:9080", 200),
        (true, true, "HEAD", "/healthz", "127.0.0.1", 200),
        (true, true, "GET", "/readyz", "localhost", 200),
        (false, true, "GET", "/readyz", "localhost", 503),
        (true, true, "GET", "/status", "localhost", 200),
        (true, true, "GET", "/live", "localhost", 200),
        (true, false, "GET", "/live", "localhost", 503),
        (true, true, "GET", "/metrics", "localhost", 200),
        (true, true, "GET", "/nothing", "localhost", 404),
        (true, true, "POST", "/status", "localhost", 405),
        (true, true, "DELETE", "/nothing", "localhost", 405),
        (true, true, "GET", "/status", "evil.example.com", 421),
        (true, true, "GET", "/nothing", "evil.example.com", 421),
    ] {
        let answer = ask(&app(ready, recorded), method, path, host).await;
        assert_eq!(answer.status(), status, "{method} {path} {host}");
        let problem = status >= 400;
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind == "application/problem+json", problem, "{method} {path}: {kind}");
    }
}

#[tokio::test]
async fn two_hosts_or_none_are_refused() {
    for hosts in [&[][..], &["localhost", "localhost"]] {
        let mut request = Request::builder().uri("/healthz");
        for host in hosts {
            request = request.header("host", *host);
        }
        let answer = app(true, true).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 421);
    }
}

#[tokio::test]
async fn metrics_hold_the_process_and_the_calls() {
    let answer = ask(&app(true, true), "GET", "/metrics", "localhost").await;
    let text = text(answer).await;
    for line in [
        "penstock_ready 1",
        "penstock_start_time_seconds 5",
        "penstock_config_revision 7",
        "penstock_config_refused_total 2",
        "penstock_worker_connections{worker=\"0\"} 3",
        "penstock_records_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn streams_are_bounded_and_free_their_place() {
    let app = app(true, true);
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        let answer = ask(&app, "GET", "/live/stream", "localhost").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        open.push(answer);
    }
    assert_eq!(ask(&app, "GET", "/live/stream", "localhost").await.status(), 503);
    open.pop();
    assert_eq!(ask(&app, "GET", "/live/stream", "localhost").await.status(), 200);
}
