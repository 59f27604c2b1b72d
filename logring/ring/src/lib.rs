//! (see Cargo.toml: description)
