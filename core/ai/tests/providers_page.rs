//! The page of providers in the documentation is that of the table.

#[path = "../examples/providers_page.rs"]
mod providers_page;

#[test]
fn the_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/providers.md");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        Some(found) == providers_page::page(),
        "docs/providers.md is old: cargo run -p penstock-ai --example providers_page > docs/providers.md"
    );
}
