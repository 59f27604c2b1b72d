//! Records of a peer: any bytes under a fixed key, and a peer with good keys that sends what it likes.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use penstock_dataplane::tls::fuzz;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (which, suite, bytes) = input;
    if which & 3 != 0 {
        return fuzz::records(suite, bytes);
    }
    static CONFIGS: OnceLock<[(Arc<ServerConfig>, Arc<ClientConfig>); 2]> = OnceLock::new();
    let configs = CONFIGS.get_or_init(configs);
    let (server, client) = &configs[usize::from(suite & 1)];
    fuzz::session(server, client, which & 4 != 0, bytes);
});

/// Settings of TLS 1.3 and of 1.2, with the cheapest key exchange.
fn configs() -> [(Arc<ServerConfig>, Arc<ClientConfig>); 2] {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".into()]).expect("a certificate");
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let provider = Arc::new(provider);
    [&TLS13, &TLS12].map(|version| {
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(
                vec![made.cert.der().clone()],
                made.signing_key.serialize_der().try_into().expect("a key"),
            )
            .expect("a certificate that fits its key");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every input begins alike.
        client.resumption = rustls::client::Resumption::disabled();
        server.enable_secret_extraction = true;
        client.enable_secret_extraction = true;
        (server.into(), client.into())
    })
}
