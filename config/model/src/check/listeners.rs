//! Listeners: addresses that do not collide, certificates that are there, keys that make sense together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use penstock_gate::spec::Address;

use super::Check;
use crate::grammar::listener::{Listener, ListenerTls};
use crate::place::At;
use crate::problem::quote;
use crate::read::Word;
use crate::read::network::ListenAddress;
use crate::read::text::FilePath;

/// What a PEM file (RFC 7468) must hold.
#[derive(Clone, Copy)]
pub(super) enum Pem {
    Certificate,
    PrivateKey,
}

impl Check<'_> {
    pub(super) fn listeners(&mut self) {
        let file = self.file;
        if self.is_empty_list(&file.listeners) && self.is_whole(file.place) {
            self.add(file.listeners.pos, "no listener", "leave `listeners` out for 127.0.0.1:8080");
        }
        let mut taken: Vec<(&At<ListenAddress>, &str)> = vec![(&file.admin.address, "the admin address")];
        for listener in &file.listeners.value {
            self.collision(&listener.address, &taken);
            taken.push((&listener.address, "a listener"));
            self.listener(listener);
        }
        let names = file.listeners.value.iter().filter_map(|item| item.value.name.as_ref());
        self.distinct("listener", names);
    }

    fn listener(&mut self, listener: &At<Listener>) {
        if let Some(tls) = &listener.tls {
            self.listener_tls(tls);
        }
        let plain = listener.tls.is_none() && self.is_whole(listener.place);
        if let (Some(redirect), Some(_)) = (&listener.redirect_https, &listener.tls) {
            self.add(
                redirect.pos,
                "a listener with TLS would redirect to itself",
                "put redirect_https on the plain listener",
            );
        }
        if let (Some(hsts), true) = (&listener.hsts, plain) {
            self.add(hsts.pos, "`hsts` means nothing without TLS", "put it on the listener with `tls`");
        }
        if self.is_empty_list(&listener.protocols) && self.is_whole(listener.place) {
            self.add(listener.protocols.pos, "no protocol", "write [http1], or leave the key out");
        }
    }

    fn collision(&mut self, address: &At<ListenAddress>, taken: &[(&At<ListenAddress>, &str)]) {
        let Some((other, what)) = taken.iter().find(|(other, _)| collide(&address.value.0, &other.value.0))
        else {
            return;
        };
        // A default is nobody's mistake: the one that was written is named.
        let pos = if address.pos.is_written() { address.pos } else { other.pos };
        let at = self.sources.show(other.pos);
        self.add(
            pos,
            format!("{} is taken", quote(&address.value.show())),
            format!("{what} has {} at {at}", other.value.show()),
        );
    }

    fn listener_tls(&mut self, tls: &At<ListenerTls>) {
        if self.is_empty_list(&tls.certificates) && self.is_whole(tls.place) {
            self.add(
                tls.certificates.pos,
                "TLS without a certificate",
                "[ { cert: api.pem, key: api.key } ]",
            );
        }
        for certificate in &tls.certificates.value {
            self.pem(&certificate.cert, Pem::Certificate);
            self.pem(&certificate.key, Pem::PrivateKey);
        }
        if let Some(client) = &tls.client {
            self.pem(&client.ca, Pem::Certificate);
        }
    }

    /// A light check of a PEM file: its blocks are closed, hold base64, and one is of the kind wanted.
    pub(super) fn pem(&mut self, path: &At<FilePath>, want: Pem) {
        let Some(text) = self.side_file(path) else { return };
        if let Err(message) = check_pem(&text, want) {
            let hint = match want {
                Pem::Certificate => "a PEM file with -----BEGIN CERTIFICATE-----",
                Pem::PrivateKey => "a PEM file with -----BEGIN PRIVATE KEY-----, not encrypted",
            };
            self.add(path.pos, format!("{} {message}", quote(&path.value.show())), hint);
        }
    }
}

fn check_pem(text: &str, want: Pem) -> Result<(), String> {
    let mut open: Option<&str> = None;
    let mut found: Vec<&str> = Vec::new();
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----")) {
            open = Some(label);
        } else if let Some(label) = line.strip_prefix("-----END ").and_then(|l| l.strip_suffix("-----")) {
            if open != Some(label) {
                return Err(format!("ends a block {label} that did not begin"));
            }
            found.push(label);
            open = None;
        } else if open.is_some() && !line.bytes().all(base64) && !line.contains(':') {
            return Err("has a block that is not base64".to_owned());
        }
    }
    if let Some(label) = open {
        return Err(format!("has a block {label} that is not closed"));
    }
    let good = |label: &&str| match want {
        Pem::Certificate => *label == "CERTIFICATE",
        Pem::PrivateKey => matches!(*label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY"),
    };
    match (found.iter().any(good), found.first()) {
        (true, _) => Ok(()),
        (false, Some(first)) => Err(format!("holds {first} only")),
        (false, None) => Err("is not PEM".to_owned()),
    }
}

/// Whether two addresses cannot both be listened on, or would split one port between them by accident.
fn collide(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Unix(a), Address::Unix(b)) => a == b,
        (Address::Tcp(a), Address::Tcp(b)) => {
            a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
        }
        _ => false,
    }
}

/// `0.0.0.0` covers every IPv4 address; `[::]` covers everything, as sockets are dual-stack by default.
fn covers(a: &SocketAddr, b: &SocketAddr) -> bool {
    match a.ip() {
        IpAddr::V4(ip) => ip == Ipv4Addr::UNSPECIFIED && b.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    }
}

/// Whether any listener asks for client certificates.
pub(super) fn asks_for_certificates(file: &crate::grammar::File) -> bool {
    file.listeners.value.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem() {
        let good = "-----BEGIN CERTIFICATE-----\nMIIB+/==\n-----END CERTIFICATE-----\n";
        assert_eq!(check_pem(good, Pem::Certificate), Ok(()));
        for (text, want, message) in [
            (good, Pem::PrivateKey, "holds CERTIFICATE only"),
            ("hello", Pem::Certificate, "is not PEM"),
            ("-----BEGIN X-----\nMII", Pem::Certificate, "has a block X that is not closed"),
            ("-----END X-----", Pem::Certificate, "ends a block X that did not begin"),
            ("-----BEGIN X-----\n???\n-----END X-----", Pem::Certificate, "has a block that is not base64"),
        ] {
            assert_eq!(check_pem(text, want), Err(message.to_owned()));
        }
    }

    #[test]
    fn collisions() {
        let tcp = |text: &str| Address::Tcp(text.parse().expect("address"));
        for (a, b, want) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "0.0.0.0:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(collide(&tcp(a), &tcp(b)), want, "{a} {b}");
            assert_eq!(collide(&tcp(b), &tcp(a)), want, "{b} {a}");
        }
    }
}
