//! Prints docs/errors.md from the list of codes: `cargo run -p penstock --example errors_page > docs/errors.md`.

use std::fmt::Write as _;

use penstock_http::Code;

/// Headings, by the first number of their part.
const PARTS: [(u16, &str); 8] = [
    (1, "The message itself"),
    (100, "Routing"),
    (200, "Who calls, and what they may"),
    (300, "Limits"),
    (400, "Upstreams"),
    (500, "TLS and the connection"),
    (600, "AI routes"),
    (900, "The gateway"),
];

/// The page.
pub(crate) fn page() -> String {
    let mut text = String::from(
        "# Answers that the gateway makes itself\n\n\
         Generated from the list in the code; a test keeps it current. Every such answer is a problem document\n\
         (RFC 9457, `application/problem+json`) with `title`, `status`, `detail`, the stable `code` below and\n\
         the `request_id`, which is also the `x-request-id` field. The call's record has the same code: `penstock-ring\n\
         tail 'code=no_route'` finds it. Codes never change their meaning. Status 499 stands in records only: the\n\
         caller had gone.\n",
    );
    let mut parts = PARTS.iter().peekable();
    for code in Code::ALL {
        if let Some((_, heading)) = parts.next_if(|(first, _)| *first <= code.id()) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\n## {heading}\n\n| status | code | number | what it means |\n| --- | --- | --- | --- |"
            );
        }
        let (status, name, id) = (code.status(), code.as_str(), code.id());
        let _ = writeln!(text, "| {status} | `{name}` | {id} | {} |", code.doc().replace('|', "\\|"));
    }
    text
}

#[allow(dead_code, reason = "the test includes this file and calls `page` only")]
fn main() {
    print!("{}", page());
}
