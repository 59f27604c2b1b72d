//! The list of errors in the documentation is that of the code.

#[path = "../examples/errors_page.rs"]
mod errors_page;

#[test]
fn the_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == errors_page::page(),
        "docs/errors.md is old: cargo run -p penstock --example errors_page > docs/errors.md"
    );
}
