//! Who gets which handshake: versions, names, client certificates, tickets, swapped certificates, and peers
//! that do not speak TLS.

use super::ends::*;
use crate::sys::Side;
use crate::tls::certs::{CertResolver, CertSet, Certificate, ConfigError, UnknownName};
use crate::tls::client::{ClientSettings, ClientTls, Identity, Roots, connect};
use crate::tls::hello::HelloError;
use crate::tls::server::{
    ClientAuth, MinVersion, PLAIN_HTTP_ANSWER, ServerSettings, ServerTls, TicketKeys, TlsFacts, Version,
    accept,
};
use crate::tls::{SubjectAltName, TlsError};

/// One handshake, one byte each way, and what both ends say of it.
async fn meet(
    server: &ServerTls,
    client: &ClientTls,
    name: &str,
) -> (Result<TlsFacts, TlsError>, Result<(), String>) {
    let (a, b, bufs) = pair();
    let serve = async {
        let (mut stream, facts) = accept(a, server, &bufs).await?;
        let (result, buf) = read(&mut stream, 100).await;
        result?;
        stream.writer.write_all(buf).await.0?;
        stream.writer.finish().await?;
        Ok(facts)
    };
    let call = async {
        let mut stream = connect(b, client, name, &bufs).await.map_err(|e| e.to_string())?;
        send(&mut stream, b"x").await.map_err(|e| e.to_string())?;
        for want in [1, 0] {
            let (result, _) = read(&mut stream, 100).await;
            assert_eq!(result.map_err(|e| e.to_string())?, want);
        }
        Ok(())
    };
    monoio::join!(serve, call)
}

async fn met(server: &ServerTls, client: &ClientTls, name: &str) -> TlsFacts {
    let (served, called) = meet(server, client, name).await;
    called.unwrap();
    served.unwrap()
}

#[test]
fn versions_and_resumption() {
    let files = Files::new();
    let server = files.server(&ServerSettings::default(), &["a.example"]);
    on_drivers(|| async {
        let new = files.client(|_| {});
        let old = files.client12(|_| {});
        for (client, version) in [(&new, Version::Tls13), (&old, Version::Tls12)] {
            for resumed in [false, true, true] {
                let facts = met(&server, client, "a.example").await;
                assert_eq!((facts.version, facts.resumed), (version, resumed));
                assert_eq!(facts.sni.as_deref(), Some("a.example"));
                assert_eq!(facts.alpn.as_deref(), Some("http/1.1"));
                assert!(facts.cipher.starts_with("TLS"), "{}", facts.cipher);
                assert_eq!(facts.client_cert, None);
            }
        }
    });
}

#[test]
fn an_old_client_is_refused_where_only_tls13_is_allowed() {
    let files = Files::new();
    let settings = ServerSettings { min_version: MinVersion::Tls13, ..ServerSettings::default() };
    let server = files.server(&settings, &["a.example"]);
    on_drivers(|| async {
        let (served, called) = meet(&server, &files.client12(|_| {}), "a.example").await;
        assert!(matches!(served, Err(TlsError::Protocol(rustls::Error::PeerIncompatible(_)))));
        assert!(called.unwrap_err().contains("ProtocolVersion"));
    });
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let files = Files::new();
    let one = files.certificate("one", &["a.example"]);
    let two = files.certificate("two", &["*.b.example", "B.example"]);
    let build = |unknown| {
        let set = CertSet::new(&[one.clone(), two.clone()], 0, unknown).unwrap();
        ServerTls::new(&ServerSettings::default(), CertResolver::new(set), &TicketKeys::new().unwrap())
            .unwrap()
    };
    let (lenient, strict) = (build(UnknownName::Default), build(UnknownName::Refuse));
    on_drivers(|| async {
        let client = files.client(|_| {});
        for name in ["a.example", "x.b.example", "X.B.Example", "b.example"] {
            met(&strict, &client, name).await;
        }
        for name in ["y.x.b.example", "c.example"] {
            let (served, called) = meet(&strict, &client, name).await;
            assert!(matches!(served, Err(TlsError::UnknownName)), "{name}");
            assert!(called.unwrap_err().contains("UnrecognisedName"), "{name}");
            let (served, called) = meet(&lenient, &client, name).await;
            assert!(served.is_err() && called.unwrap_err().contains("not valid for name"), "{name}");
        }
        // Without a name the default certificate is shown; it is not for this address.
        let (_, called) = meet(&strict, &client, "127.0.0.1").await;
        assert!(called.unwrap_err().contains("not valid for name"));
        let unverified = files.client(|c| c.verify = false);
        assert_eq!(met(&strict, &unverified, "127.0.0.1").await.sni, None);
        let renamed = files.client(|c| c.sni = Some("x.b.example".into()));
        assert_eq!(met(&strict, &renamed, "c.example").await.sni.as_deref(), Some("x.b.example"));
    });
}

#[test]
fn the_key_type_that_the_client_knows_is_chosen() {
    let files = Files::new();
    let load = |stem, algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let id = files.issue_with(stem, &["a.example"], &key);
        Certificate::load(&id.cert, &id.key).unwrap()
    };
    let all = [
        load("ed25519", &rcgen::PKCS_ED25519),
        load("rsa", &rcgen::PKCS_RSA_SHA256),
        load("ecdsa", &rcgen::PKCS_ECDSA_P256_SHA256),
    ];
    let set = CertSet::new(&all, 0, UnknownName::Default).unwrap();
    use rustls::SignatureScheme as S;
    for (scheme, want) in [(S::RSA_PSS_SHA256, 1), (S::ECDSA_NISTP256_SHA256, 2), (S::ED25519, 0)] {
        for name in [Some("a.example"), None] {
            let got = set.choose(name, &[scheme]).unwrap();
            assert!(std::sync::Arc::ptr_eq(&got, &all[want].key()), "{scheme:?} {name:?}");
        }
    }
    let server =
        ServerTls::new(&ServerSettings::default(), CertResolver::new(set), &TicketKeys::new().unwrap());
    let server = server.unwrap();
    on_drivers(|| async {
        met(&server, &files.client(|_| {}), "a.example").await;
        met(&server, &files.client12(|_| {}), "a.example").await;
    });
}

#[test]
fn client_certificates() {
    let files = Files::new();
    let id = files.issue("caller", &["caller.example", "spiffe://example/ns/caller"]);
    let others = Files::new();
    let stranger = others.issue("stranger", &["caller.example"]);
    let build = |client_auth| {
        files.server(&ServerSettings { client_auth, ..ServerSettings::default() }, &["a.example"])
    };
    let optional = build(ClientAuth::Optional { ca: files.ca() });
    let required = build(ClientAuth::Required { ca: files.ca() });
    on_drivers(|| async {
        for tls12 in [false, true] {
            let client = |identity: Option<&Identity>| match tls12 {
                false => files.client(|c| c.identity = identity.cloned()),
                true => files.client12(|c| c.identity = identity.cloned()),
            };
            let (with, without, wrong) = (&client(Some(&id)), &client(None), &client(Some(&stranger)));
            for server in [&optional, &required] {
                for resumed in [false, true] {
                    let facts = met(server, with, "a.example").await;
                    assert_eq!(facts.resumed, resumed);
                    let cert = facts.client_cert.unwrap();
                    assert_eq!(cert.subject, "CN=caller");
                    assert_eq!(cert.spiffe.as_deref(), Some("spiffe://example/ns/caller"));
                    assert!(cert.sans.contains(&SubjectAltName::Dns("caller.example".into())));
                    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &cert.der);
                    assert_eq!(cert.fingerprint, digest.as_ref());
                }
                let (served, called) = meet(server, wrong, "a.example").await;
                assert!(matches!(served, Err(TlsError::Protocol(rustls::Error::InvalidCertificate(_)))));
                assert!(called.is_err());
            }
            assert_eq!(met(&optional, without, "a.example").await.client_cert, None);
            let (served, called) = meet(&required, without, "a.example").await;
            assert!(matches!(served, Err(TlsError::Protocol(rustls::Error::NoCertificatesPresented))));
            assert!(called.is_err());
        }
    });
}

#[test]
fn certificates_are_swapped_while_handshakes_run() {
    let files = Files::new();
    let server = files.server(&ServerSettings::default(), &["a.example"]);
    let next: Vec<_> = (0..20).map(|i| files.certificate(&format!("next{i}"), &["a.example"])).collect();
    on_drivers(|| async {
        let client = files.client(|_| {});
        for certificate in &next {
            let (first, second, ()) = monoio::join!(
                meet(&server, &client, "a.example"),
                meet(&server, &client, "a.example"),
                async { swap(&server, certificate.clone()) }
            );
            for (served, called) in [first, second] {
                served.unwrap();
                called.unwrap();
            }
            let current = server.certs().current();
            let shown = current.choose(Some("a.example"), &[rustls::SignatureScheme::ECDSA_NISTP256_SHA256]);
            assert!(std::sync::Arc::ptr_eq(&shown.unwrap(), &certificate.key()));
        }
    });
}

#[test]
fn peers_that_do_not_speak_tls() {
    let files = Files::new();
    let server = files.server(&ServerSettings::default(), &["a.example"]);
    let large = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x40, 0];
    on_drivers(|| async {
        for (sent, answer) in [
            (&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], PLAIN_HTTP_ANSWER),
            (b"SSH-2.0-x\r\n", &[21, 3, 3, 0, 2, 2, 10]),
            (&large, &[21, 3, 3, 0, 2, 2, 47]),
            (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff", &[21, 3, 3, 0, 2, 2, 50]),
        ] {
            let (a, mut b, bufs) = pair();
            send(&mut b, sent).await.unwrap();
            let error = accept(a, &server, &bufs).await.err().unwrap();
            match answer {
                PLAIN_HTTP_ANSWER => assert!(matches!(error, TlsError::PlainHttp), "{error}"),
                [.., 47] => assert!(matches!(error, TlsError::Hello(HelloError::TooLarge)), "{error}"),
                _ => assert!(matches!(error, TlsError::Hello(_)), "{error}"),
            }
            assert_eq!(read_exact(&mut b, answer.len(), 1000).await, answer);
            assert_eq!(read(&mut b, 10).await.0.unwrap(), 0);
        }
    });
}

#[test]
fn a_peer_that_ends_or_sends_without_end_is_given_up() {
    let files = Files::new();
    let server = files.server(&ServerSettings::default(), &["a.example"]);
    on_drivers(|| async {
        let (a, mut b, bufs) = pair();
        send(&mut b, &[0x16, 3, 1]).await.unwrap();
        b.shutdown(Side::Write);
        assert!(matches!(accept(a, &server, &bufs).await, Err(TlsError::Ended)));

        // A hello that rustls must answer with an alert: no suite in common.
        let (a, mut b, bufs) = pair();
        let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0, 1, 1, 0]);
        send(&mut b, &hello).await.unwrap();
        assert!(matches!(accept(a, &server, &bufs).await, Err(TlsError::Protocol(_))));
        let alert = read_exact(&mut b, 7, 100).await;
        assert_eq!((alert[0], alert[5]), (21, 2));
    });
}

#[test]
fn an_untrusted_server_is_refused_and_told() {
    let files = Files::new();
    let other = Files::new();
    let server = files.server(&ServerSettings::default(), &["a.example"]);
    on_drivers(|| async {
        let (served, called) = meet(&server, &other.client(|_| {}), "a.example").await;
        assert!(called.unwrap_err().contains("invalid peer certificate"));
        assert!(matches!(served, Err(TlsError::Protocol(rustls::Error::AlertReceived(_)))));
        let (a, _b, bufs) = pair();
        let error = connect(a, &other.client(|_| {}), "no name!", &bufs).await.err().unwrap();
        assert!(matches!(error, TlsError::Name(name) if name == "no name!"));
    });
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let files = Files::new();
    let (one, two) = (files.issue("one", &["a.example"]), files.issue("two", &["a.example"]));
    let load = |cert: &std::path::Path, key: &std::path::Path| Certificate::load(cert, key).unwrap_err();
    assert!(matches!(load(&one.cert, &two.key), ConfigError::KeyMismatch { .. }));
    assert!(matches!(load(&files.path("none"), &two.key), ConfigError::Read { .. }));
    assert!(matches!(load(&one.key, &one.key), ConfigError::Pem { .. }));
    assert!(matches!(load(&one.cert, &one.cert), ConfigError::Pem { .. }));
    write(&files.path("huge"), &"x".repeat(1024 * 1024 + 1));
    assert!(matches!(load(&files.path("huge"), &one.key), ConfigError::TooLarge { .. }));
    assert!(matches!(CertSet::new(&[], 0, UnknownName::Default), Err(ConfigError::NoCertificate)));
    let roots = Roots::File(one.key.clone());
    let settings = ClientSettings { roots, ..ClientSettings::default() };
    assert!(matches!(ClientTls::new(&settings), Err(ConfigError::Pem { .. })));
    let good = Certificate::load(&one.cert, &one.key).unwrap();
    assert_eq!(good.names(), ["a.example"]);
    assert!(good.not_before_unix_s < good.not_after_unix_s);
}
