//! The paths of the admin address.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::host::AllowedHosts;
use crate::problem::problem;
use crate::status::{Readiness, Source, process_metrics};
use crate::stream::{LiveStream, STREAMS_MAX};

/// What the paths are, for whoever asks for `/`.
const INDEX: &str = "Penstock, admin address (read-only)\n\n\
    /healthz      200 while the process lives\n\
    /readyz       200 while traffic is taken, else 503\n\
    /status       revision, workers, connections, what was dropped (JSON)\n\
    /live         windows of 1, 10 and 60 s by route, service and app (JSON)\n\
    /live/stream  the same each second (server-sent events)\n\
    /metrics      Prometheus\n";

#[derive(Clone)]
struct Admin {
    source: Arc<dyn Source>,
    hosts: Arc<AllowedHosts>,
    streams: Arc<Semaphore>,
}

/// The router: GET and HEAD only, Host checked before anything else.
pub fn router(source: Arc<dyn Source>, hosts: AllowedHosts) -> Router {
    let admin = Admin { source, hosts: Arc::new(hosts), streams: Arc::new(Semaphore::new(STREAMS_MAX)) };
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/live", get(live))
        .route("/live/stream", get(stream))
        .route("/metrics", get(metrics))
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, "not_found", "there is no such path; / lists those there are")
        })
        .layer(middleware::from_fn_with_state(admin.clone(), guard))
        .with_state(admin)
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or(""),
        _ => "",
    };
    if !admin.hosts.allows(host) {
        let detail = "the admin address answers to localhost and to the address that it listens on";
        return problem(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", detail);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer =
            problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "nothing is changed here");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.source.readiness() {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::NotReady(why) => problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", &why),
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    Json(admin.source.status()).into_response()
}

async fn live(State(admin): State<Admin>) -> Response {
    match admin.source.live() {
        Some(live) => Json(live).into_response(),
        None => not_recorded(),
    }
}

async fn stream(State(admin): State<Admin>) -> Response {
    let Ok(place) = admin.streams.clone().try_acquire_owned() else {
        let detail = "there are as many streams as there may be";
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail);
    };
    Sse::new(LiveStream::new(admin.source.clone(), place)).keep_alive(KeepAlive::default()).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let ready = admin.source.readiness() == Readiness::Ready;
    let mut text = process_metrics(&admin.source.status(), ready);
    text.push_str(&admin.source.call_metrics());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn not_recorded() -> Response {
    let detail = "no calls are recorded, so there is nothing to show; the events say why";
    problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", detail)
}
