//! (see Cargo.toml: description)
fn main() {}
