//! The mock's own paths. A request in, what is answered out.

use http::{Method, StatusCode};

use super::connection::Mock;

/// An answer of the mock about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) media_type: &'static str,
    pub(super) body: String,
}

/// Whether a path is the mock's own.
pub(super) fn is_own(target: &str) -> bool {
    target.starts_with("/__")
}

/// Does what is asked.
pub(super) fn answer(mock: &Mock, method: &Method, target: &str, body: &[u8]) -> Told {
    let told = |status, media_type, body| Told { status, media_type, body };
    let json = |body: String| told(StatusCode::OK, "application/json", body + "\n");
    match (method, target) {
        (&Method::GET, "/__bill") => told(StatusCode::OK, "application/jsonl", mock.ledger.bill()),
        (&Method::GET, "/__totals") => json(mock.ledger.totals()),
        (&Method::POST, "/__mark") => json(format!("{{\"unix_us\":{}}}", mock.ledger.mark())),
        (&Method::POST, "/__reset") => {
            mock.ledger.reset();
            mock.settings.set_over("");
            json(mock.ledger.totals())
        }
        (&Method::POST, "/__orders") => match mock.settings.try_set_over(body) {
            Ok(()) => json("{}".into()),
            Err(error) => told(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
        },
        _ => told(StatusCode::NOT_FOUND, "text/plain", "the mock has no such path of its own\n".into()),
    }
}
