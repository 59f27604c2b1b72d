//! The upstream of the embedded defaults: tells the caller what arrived, so that a newcomer sees what a gateway
//! does to a request. Listens on loopback, on a port of its own.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// Longest answer delay that a caller may ask for with `?delay_ms=`.
pub(crate) const DELAY_MS_MAX: u64 = 5_000;

#[derive(Deserialize, Default)]
struct Wishes {
    delay_ms: Option<u64>,
    status: Option<u16>,
}

/// Serves it for as long as the process lives.
pub(crate) async fn serve(listener: TcpListener) {
    let app = Router::new().fallback(echo);
    axum::serve(listener, app).await.ok();
}

async fn echo(
    method: Method,
    uri: Uri,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(delay_ms) = wishes.delay_ms {
        tokio::time::sleep(Duration::from_millis(delay_ms.min(DELAY_MS_MAX))).await;
    }
    let status = wishes.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let said = json!({
        "message": "hello from the demo upstream",
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": headers,
        "body_bytes": body.len(),
    });
    (status, Json(said)).into_response()
}
