//! rustls's own record layer as an independent judge of ours: a connection of rustls at one end, our session at the
//! other, no socket between. Every suite and version, both roles, random sizes, cuts, key updates, corruptions.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::CryptoProvider;
use rustls::server::UnbufferedServerConnection;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::buf::{Buf, LARGE, SMALL};
use crate::tls::handshake::{Side, Step};
use crate::tls::provider::provider;
use crate::tls::record::{HEADER, RecordError};
use crate::tls::session::{Content, Fault, Session, record_len};

/// Both ends' settings for one suite.
#[derive(Clone)]
pub(in crate::tls) struct Configs {
    suite: CipherSuite,
    pub(in crate::tls) server: Arc<ServerConfig>,
    pub(in crate::tls) client: Arc<ClientConfig>,
}

/// One a suite that the provider offers.
fn configs() -> Vec<Configs> {
    let algorithms = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256];
    let made = algorithms.map(|algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
        (params.self_signed(&key).unwrap().der().clone(), key.serialize_der())
    });
    let whole = provider();
    let build = |suite: &rustls::SupportedCipherSuite| {
        let provider: Arc<_> = CryptoProvider { cipher_suites: vec![*suite], ..(*whole).clone() }.into();
        let version = if suite.version().version == ProtocolVersion::TLSv1_3 { &TLS13 } else { &TLS12 };
        let is_rsa = format!("{:?}", suite.suite()).contains("RSA_")
            && !format!("{:?}", suite.suite()).contains("ECDSA");
        let (cert, key): &(CertificateDer<'static>, Vec<u8>) = &made[usize::from(is_rsa)];
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], PrivateKeyDer::try_from(key.clone()).unwrap())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        server.enable_secret_extraction = true;
        client.enable_secret_extraction = true;
        Configs { suite: suite.suite(), server: server.into(), client: client.into() }
    };
    whole.cipher_suites.iter().map(build).collect()
}

/// rustls's bytes on their way to us.
fn written(peer: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn give(peer: &mut Connection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        peer.read_tls(&mut bytes).unwrap();
        let state = peer.process_new_packets()?;
        let at = plain.len();
        plain.resize(at + state.plaintext_bytes_to_read(), 0);
        peer.reader().read_exact(&mut plain[at..]).unwrap();
    }
    Ok(plain)
}

/// Our end's handshake against a buffered connection of rustls, and the session that follows.
fn handshake<S: Side>(mut side: S, mut peer: Connection) -> (Session, Connection) {
    let (mut incoming, mut out) = (Vec::new(), Buf::with_capacity(LARGE));
    let mut offered = 0;
    loop {
        let (discard, step) = side.process(&mut incoming[..offered], &mut out);
        incoming.drain(..discard);
        offered -= discard;
        match step.unwrap() {
            Step::More => {}
            Step::Ended => panic!("ended within the handshake"),
            Step::Ready if !side.is_handshaking() => break,
            Step::Ready | Step::Blocked => {
                assert_eq!(give(&mut peer, out.bytes()).unwrap(), b"");
                out.clear();
                incoming.extend(written(&mut peer));
                let header = &incoming[offered..offered + HEADER];
                offered += HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
            }
        }
    }
    assert_eq!(offered, 0);
    let (secrets, keys) = side.into_keys().unwrap();
    let mut session = Session::new(secrets, keys, out.bytes()).unwrap();
    // The end of our handshake goes with the first bytes; what rustls sent behind its own comes now.
    let first = seal(&mut session, b"first", SMALL);
    assert_eq!(give(&mut peer, &first).unwrap(), b"first");
    incoming.extend(written(&mut peer));
    assert_eq!(open(&mut session, &mut incoming, SMALL), Ok(Vec::new()));
    (session, peer)
}

fn connected(configs: &Configs, we_serve: bool) -> (Session, Connection) {
    let name = || "a.example".try_into().unwrap();
    if we_serve {
        let peer = ClientConnection::new(configs.client.clone(), name()).unwrap();
        handshake(UnbufferedServerConnection::new(configs.server.clone()).unwrap(), peer.into())
    } else {
        let peer = ServerConnection::new(configs.server.clone()).unwrap();
        handshake(UnbufferedClientConnection::new(configs.client.clone(), name()).unwrap(), peer.into())
    }
}

fn seal(session: &mut Session, plain: &[u8], capacity: usize) -> Vec<u8> {
    let mut buf = Buf::with_capacity(plain.len());
    buf.push(plain);
    let mut sealed = Vec::new();
    while !buf.is_empty() {
        let mut out = Buf::with_capacity(capacity);
        session.seal(&mut buf, &mut out).unwrap();
        sealed.extend_from_slice(out.bytes());
    }
    sealed
}

/// Opens the whole records of `bytes`, in place or into another buffer by turns, and leaves the rest.
fn open(session: &mut Session, bytes: &mut Vec<u8>, in_place_every: usize) -> Result<Vec<u8>, Fault> {
    let (mut plain, mut count) = (Vec::new(), 0);
    while let Some(len) = record_len(bytes)? {
        if bytes.len() < len {
            break;
        }
        let mut record: Vec<u8> = bytes.drain(..len).collect();
        count += 1;
        let (content, from) = if count % in_place_every == 0 {
            (session.open(&mut record)?, record)
        } else {
            let mut out = vec![0; session.room_needed(len)];
            (session.open_to(&record, &mut out)?, out)
        };
        if let Content::Data { start, len } = content {
            plain.extend_from_slice(&from[start..start + len]);
        }
    }
    Ok(plain)
}

#[derive(Debug, Clone)]
enum Act {
    /// We send; rustls gets it in pieces of this size.
    Send { len: usize, capacity: usize, piece: usize },
    /// rustls sends; we get it in pieces of this size.
    Receive { len: usize, piece: usize, in_place_every: usize },
    /// rustls asks for new keys (TLS 1.3).
    Update,
    /// Our key is spent after so many records (TLS 1.3).
    Spend(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let len = prop_oneof![0usize..40, 0usize..3000, 16_000usize..17_000, 0usize..70_000];
    let piece = prop_oneof![1usize..50, 50usize..5000, Just(100_000usize)];
    prop_oneof![
        4 => (len.clone(), 64usize..70_000, piece.clone())
            .prop_map(|(len, capacity, piece)| Act::Send { len, capacity, piece }),
        4 => (len, piece, 1usize..4).prop_map(|(len, piece, in_place_every)| Act::Receive { len, piece, in_place_every }),
        1 => Just(Act::Update),
        1 => (0u64..4).prop_map(Act::Spend),
    ]
}

fn run(session: &mut Session, peer: &mut Connection, acts: &[Act]) {
    let tls13 = peer.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    for act in acts {
        match *act {
            Act::Send { len, capacity, piece } => {
                let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
                let sealed = seal(session, &plain, capacity);
                let mut got = Vec::new();
                for part in sealed.chunks(piece) {
                    got.extend(give(peer, part).unwrap());
                }
                assert!(got == plain, "{act:?}: what rustls opened differs");
            }
            Act::Receive { len, piece, in_place_every } => {
                let plain: Vec<u8> = (0..len).map(|i| (i * 11) as u8).collect();
                let (mut got, mut bytes) = (Vec::new(), Vec::new());
                for part in plain.chunks(16_000) {
                    peer.writer().write_all(part).unwrap();
                    for part in written(peer).chunks(piece) {
                        bytes.extend_from_slice(part);
                        got.extend(open(session, &mut bytes, in_place_every).unwrap());
                    }
                }
                assert!(got == plain && bytes.is_empty(), "{act:?}: what we opened differs");
            }
            Act::Update if tls13 => {
                peer.refresh_traffic_keys().unwrap();
                assert_eq!(open(session, &mut written(peer), 1), Ok(Vec::new()));
            }
            Act::Spend(records) if tls13 => session.set_tx_limit(records.max(1)),
            Act::Update | Act::Spend(_) => {}
        }
    }
}

/// Both sides close, ours first.
fn close(mut session: Session, mut peer: Connection) {
    let mut out = Buf::with_capacity(SMALL);
    session.seal_end(&mut out).unwrap();
    assert_eq!(give(&mut peer, out.bytes()).unwrap(), b"");
    assert_eq!(peer.reader().read(&mut [0]).unwrap(), 0, "a clean end");
    peer.send_close_notify();
    assert_eq!(open(&mut session, &mut written(&mut peer), 1), Ok(Vec::new()));
    assert!(session.has_ended() && session.fault().is_none());
}

#[test]
fn every_suite_in_both_roles() {
    let all = configs();
    assert_eq!(all.len(), 9);
    for configs in &all {
        for we_serve in [true, false] {
            let (mut session, mut peer) = connected(configs, we_serve);
            assert_eq!(peer.negotiated_cipher_suite().unwrap().suite(), configs.suite);
            let acts = [
                Act::Send { len: 1, capacity: SMALL, piece: 1 },
                Act::Receive { len: 1, piece: 1, in_place_every: 1 },
                Act::Update,
                Act::Send { len: 100_000, capacity: LARGE, piece: 1000 },
                Act::Receive { len: 100_000, piece: 1000, in_place_every: 2 },
                Act::Spend(2),
                Act::Send { len: 100_000, capacity: SMALL, piece: 5000 },
                Act::Update,
                Act::Update,
                Act::Receive { len: 20_000, piece: 100, in_place_every: 1 },
                Act::Send { len: 100, capacity: SMALL, piece: 50 },
            ];
            run(&mut session, &mut peer, &acts);
            close(session, peer);
        }
    }
}

/// A key that seals one direction opens nothing in the other.
#[test]
fn what_we_send_does_not_open_at_our_own_end() {
    for configs in &configs() {
        for we_serve in [true, false] {
            let (mut session, _) = connected(configs, we_serve);
            let mut own = seal(&mut session, b"hello", SMALL);
            assert_eq!(open(&mut session, &mut own, 1), Err(Fault::Record(RecordError::BadMac)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rustls_and_we_understand_each_other(
        which in any::<prop::sample::Index>(),
        we_serve in any::<bool>(),
        acts in prop::collection::vec(act(), 1..12),
    ) {
        let all = configs_once();
        let (mut session, mut peer) = connected(&all[which.index(all.len())], we_serve);
        run(&mut session, &mut peer, &acts);
        close(session, peer);
    }

    #[test]
    fn a_changed_record_is_refused_and_rustls_is_told(
        which in any::<prop::sample::Index>(),
        we_serve in any::<bool>(),
        acts in prop::collection::vec(act(), 0..4),
        len in 1usize..3000,
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let all = configs_once();
        let (mut session, mut peer) = connected(&all[which.index(all.len())], we_serve);
        run(&mut session, &mut peer, &acts);
        peer.writer().write_all(&vec![7; len]).unwrap();
        let mut bytes = written(&mut peer);
        peer.writer().write_all(b"later").unwrap();
        let later = written(&mut peer);
        // The header's length is for the framing; any other bit is authenticated.
        let at = HEADER + at.index(bytes.len() - HEADER);
        bytes[at] ^= 1 << bit;
        let fault = Fault::Record(RecordError::BadMac);
        prop_assert_eq!(open(&mut session, &mut bytes, 1), Err(fault));
        prop_assert_eq!(open(&mut session, &mut later.clone(), 1), Err(fault), "broken for good");
        let mut out = Buf::with_capacity(SMALL);
        session.seal_end(&mut out).unwrap();
        let told = give(&mut peer, out.bytes());
        prop_assert_eq!(told, Err(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)));
    }

    #[test]
    fn what_we_send_is_refused_by_rustls_when_changed(
        which in any::<prop::sample::Index>(),
        we_serve in any::<bool>(),
        len in 1usize..3000,
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let all = configs_once();
        let (mut session, mut peer) = connected(&all[which.index(all.len())], we_serve);
        let mut bytes = seal(&mut session, &vec![7; len], LARGE);
        let at = HEADER + at.index(bytes.len() - HEADER);
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(give(&mut peer, &bytes), Err(rustls::Error::DecryptError));
        // rustls answers with its alert, which ends our side too.
        let told = open(&mut session, &mut written(&mut peer), 1);
        prop_assert_eq!(told, Err(Fault::Alert(20)));
        let mut out = Buf::with_capacity(SMALL);
        session.seal_end(&mut out).unwrap();
        prop_assert!(out.is_empty(), "an alert is not answered");
    }
}

pub(in crate::tls) fn configs_once() -> &'static [Configs] {
    static ALL: std::sync::OnceLock<Vec<Configs>> = std::sync::OnceLock::new();
    ALL.get_or_init(configs)
}
