//! Certificates, settings and socket pairs for the tests.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use monoio::net::UnixStream;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use crate::buf::Buf;
use crate::deadline::Wheel;
use crate::driver::{self, Choice, Driver};
use crate::port::ReadResult;
use crate::stream::Stream;
use crate::tls::TlsBufs;
use crate::tls::certs::{CertResolver, CertSet, Certificate, UnknownName};
use crate::tls::client::{ClientSettings, ClientTls, Identity, Roots};
use crate::tls::server::{ServerSettings, ServerTls, TicketKeys};

/// A directory of PEM files that goes with the value.
pub(in crate::tls) struct Files {
    dir: PathBuf,
    ca: Issuer<'static, KeyPair>,
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

impl Files {
    /// A directory with a CA in `ca.pem`.
    pub(in crate::tls) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("penstock-tls-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        std::fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, ca: Issuer::new(params, key) }
    }

    pub(in crate::tls) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(in crate::tls) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Issues a certificate for `names` into `stem.pem` and `stem.key`. A name with `://` is a URI.
    pub(in crate::tls) fn issue(&self, stem: &str, names: &[&str]) -> Identity {
        self.issue_with(stem, names, &KeyPair::generate().unwrap())
    }

    pub(in crate::tls) fn issue_with(&self, stem: &str, names: &[&str], key: &KeyPair) -> Identity {
        let hosts = names.iter().filter(|n| !n.contains("://")).map(|n| n.to_string());
        let mut params = CertificateParams::new(hosts.collect::<Vec<_>>()).unwrap();
        for uri in names.iter().filter(|n| n.contains("://")) {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, stem);
        let issued = params.signed_by(key, &self.ca).unwrap();
        let (cert, private) = (self.path(&format!("{stem}.pem")), self.path(&format!("{stem}.key")));
        std::fs::write(&cert, issued.pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        Identity { cert, key: private }
    }

    pub(in crate::tls) fn certificate(&self, stem: &str, names: &[&str]) -> Certificate {
        let files = self.issue(stem, names);
        Certificate::load(&files.cert, &files.key).unwrap()
    }

    pub(in crate::tls) fn server(&self, settings: &ServerSettings, names: &[&str]) -> ServerTls {
        let set = CertSet::new(&[self.certificate("server", names)], 0, UnknownName::Default).unwrap();
        ServerTls::new(settings, CertResolver::new(set), &TicketKeys::new().unwrap()).unwrap()
    }

    pub(in crate::tls) fn client(&self, change: impl FnOnce(&mut ClientSettings)) -> ClientTls {
        let mut settings = ClientSettings { roots: Roots::File(self.ca()), ..ClientSettings::default() };
        change(&mut settings);
        ClientTls::new(&settings).unwrap().for_worker()
    }

    /// A client of TLS 1.2 only.
    pub(in crate::tls) fn client12(&self, change: impl FnOnce(&mut ClientSettings)) -> ClientTls {
        let mut settings = ClientSettings { roots: Roots::File(self.ca()), ..ClientSettings::default() };
        change(&mut settings);
        ClientTls::with_versions(&settings, &[&rustls::version::TLS12]).unwrap().for_worker()
    }
}

/// Runs `test` on epoll and on the driver that the probe finds.
pub(in crate::tls) fn on_drivers<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for driver in [Driver::Epoll, driver::choose(Choice::Auto).unwrap()] {
        driver::run(driver, |_| test()).unwrap();
    }
}

/// Two ends of a socket, and a worker's buffers.
pub(in crate::tls) fn pair() -> (Stream, Stream, Rc<TlsBufs>) {
    let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
    let wheel = Wheel::new(0);
    let stream = |s: std::os::unix::net::UnixStream| {
        s.set_nonblocking(true).unwrap();
        Stream::unix(UnixStream::from_std(s).unwrap(), &wheel)
    };
    (stream(a), stream(b), TlsBufs::new(Rc::default()))
}

pub(in crate::tls) async fn read(stream: &mut Stream, capacity: usize) -> ReadResult {
    stream.reader.read(|| Buf::with_capacity(capacity)).await
}

pub(in crate::tls) async fn send(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    let mut buf = Buf::with_capacity(bytes.len());
    buf.push(bytes);
    stream.writer.write_all(buf).await.0
}

/// Reads until `n` bytes are there.
pub(in crate::tls) async fn read_exact(stream: &mut Stream, n: usize, capacity: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < n {
        let (result, buf) = read(stream, capacity).await;
        let got = result.unwrap();
        assert!(got > 0, "ended after {} of {n} bytes", all.len());
        all.extend_from_slice(buf.bytes());
    }
    all
}

pub(in crate::tls) fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

pub(in crate::tls) fn swap(server: &ServerTls, certificate: Certificate) {
    server.certs().swap(CertSet::new(&[certificate], 0, UnknownName::Default).unwrap());
}

pub(in crate::tls) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
