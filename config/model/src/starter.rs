//! The file that `penstock init` writes and the defaults that run without any file. Both are read by the same
//! code as what users write.

/// A commented file to begin with.
pub fn init() -> &'static str {
    include_str!("starter/penstock.yaml")
}

/// Stands for the address of the demo upstream in [`defaults`].
pub const DEMO_UPSTREAM: &str = "PENSTOCK_DEMO_UPSTREAM";
/// Stands for the demo app's key in [`defaults`].
pub const DEMO_KEY: &str = "PENSTOCK_DEMO_KEY";

/// The name that messages about the embedded defaults show.
pub const DEFAULTS_NAME: &str = "(embedded defaults)";

/// What runs when there is no file: gateway on 127.0.0.1:8080, admin on 127.0.0.1:9080, a demo service, upstream
/// and app. The lookup given to [`crate::check_text`] must answer [`DEMO_UPSTREAM`] (as `127.0.0.1:40001`) and
/// [`DEMO_KEY`] (16 to 128 characters).
pub fn defaults() -> &'static str {
    include_str!("starter/defaults.yaml")
}

/// The three calls that answer 2xx as pasted: open, with a key, with a key and a body. `gateway` is as
/// `127.0.0.1:8080`.
pub fn demo_calls(gateway: &str, key: &str) -> [String; 3] {
    [
        format!("curl -i http://{gateway}/demo/hello"),
        format!("curl -i -H 'x-api-key: {key}' http://{gateway}/demo/orders/42"),
        format!("curl -i -H 'x-api-key: {key}' -d '{{\"item\":\"book\"}}' http://{gateway}/demo/orders"),
    ]
}
