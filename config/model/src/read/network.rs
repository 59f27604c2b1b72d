//! Addresses, networks and URLs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use penstock_gate::cidr::{Cidr, CidrError};
use penstock_gate::spec::{Address, Scheme, TargetAddress};

use super::{Fault, Word};
use crate::problem::quote;

/// Longest path of a Unix socket that the kernel takes (108 bytes with its end).
const UNIX_PATH_BYTES_MAX: usize = 107;

impl Word for Cidr {
    const WHAT: &'static str = "a network";
    const FORM: &'static str = "an address and a prefix length, as in 10.0.0.0/8 or 2001:db8::/32";
    const PATTERN: &'static str = r"^([0-9A-Fa-f:.]+(/[0-9]{1,3})?|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse::<Cidr>().map_err(|error| match &error {
            CidrError::HostBits { network, .. } => {
                Fault::message(error.to_string()).hint(format!("write {network}"))
            }
            CidrError::Prefix(prefix) => Fault::message(error.to_string())
                .part(format!("/{prefix}"))
                .hint("0 to 32 for IPv4, 0 to 128 for IPv6"),
            CidrError::Address(_) => Fault::message(error.to_string()),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Where a listener listens: `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/x.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress(pub Address);

impl Word for ListenAddress {
    const WHAT: &'static str = "an address to listen on";
    const FORM: &'static str =
        "an IP address and a port, as in 127.0.0.1:8080 or [::1]:8080, or unix:/run/x.sock";
    const PATTERN: &'static str = r"^(unix:/.+|.+:[0-9]{1,5}|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(|path| ListenAddress(Address::Unix(path)));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(ListenAddress(Address::Tcp(address)));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(match text.parse::<u16>() {
                Ok(port) => Fault::message(format!("{} is a port without an address", quote(text)))
                    .hint(format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} for everybody")),
                Err(_) => Fault::plain(),
            });
        };
        if check_port(port, 0).is_err() {
            return Err(port_fault(port, 0));
        }
        Err(match host {
            "" | "*" => Fault::message(format!("{} names no address", quote(text)))
                .hint(format!("write 0.0.0.0:{port} for everybody, 127.0.0.1:{port} for this machine only")),
            "localhost" => Fault::message("`localhost` is a name, not an address")
                .part("localhost")
                .hint(format!("write 127.0.0.1:{port} or [::1]:{port}")),
            _ => Fault::plain(),
        })
    }

    fn show(&self) -> String {
        match &self.0 {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

fn unix_path(path: &str) -> Result<PathBuf, Fault> {
    if !path.starts_with('/') {
        return Err(Fault::message(format!("{} is not an absolute path", quote(path)))
            .part(path)
            .hint("as in unix:/run/penstock.sock"));
    }
    if path.len() > UNIX_PATH_BYTES_MAX || path.contains('\0') {
        return Err(Fault::message("the socket's path is too long")
            .part(path)
            .hint(format!("at most {UNIX_PATH_BYTES_MAX} bytes")));
    }
    Ok(PathBuf::from(path))
}

fn check_port(port: &str, min: u16) -> Result<u16, ()> {
    match port.parse::<u16>() {
        Ok(number) if number >= min && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(()),
    }
}

fn port_fault(port: &str, min: u16) -> Fault {
    Fault::message(format!("{} is not a port", quote(port))).part(port).hint(format!("{min} to 65535"))
}

/// Where requests are sent: scheme and place, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    /// As written.
    pub text: String,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Where it is.
    pub address: TargetAddress,
}

impl Word for TargetUrl {
    const WHAT: &'static str = "the URL of a target";
    const FORM: &'static str = "as in http://127.0.0.1:9000, https://api.example.com or unix:/run/x.sock";
    const PATTERN: &'static str = r"^(https?://[^/?#]+/?|unix:/.+|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        let url = |scheme, address| TargetUrl { text: text.to_owned(), scheme, address };
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(|path| url(Scheme::Http, TargetAddress::Unix(path)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Fault::message(format!("{} has no scheme", quote(text)))
                .hint(format!("write http://{text} or https://{text}")));
        };
        let (kind, default_port) = match scheme {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            "h2c" | "h2" | "grpc" | "grpcs" => {
                return Err(Fault::message(format!(
                    "{} is not in this build",
                    quote(&format!("{scheme}://"))
                ))
                .part(scheme)
                .hint("HTTP/2 to upstreams comes later: write http:// or https://"));
            }
            _ => {
                return Err(Fault::message(format!("{} is not a scheme of targets", quote(scheme)))
                    .part(scheme)
                    .hint("http://, https:// or unix:"));
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(at) = authority.find(['/', '?', '#']) {
            let tail = &authority[at..];
            return Err(Fault::message(format!("{} has a path", quote(text)))
                .part(tail)
                .hint("a target is scheme, host and port; paths are changed by a route's `rewrite`"));
        }
        if let Some((user, _)) = authority.split_once('@') {
            return Err(Fault::message("a target's URL holds no user or password")
                .part(format!("{user}@"))
                .hint("send credentials by `headers: { request: { set: ... } }`"));
        }
        let address = authority_address(authority, default_port)?;
        Ok(url(kind, address))
    }

    fn show(&self) -> String {
        self.text.clone()
    }
}

fn authority_address(authority: &str, default_port: u16) -> Result<TargetAddress, Fault> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, tail)) = rest.split_once(']') else {
            return Err(Fault::message("`[` of an IPv6 address is not closed").part(authority));
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Fault::message(format!("{} is not an IPv6 address", quote(host))).part(host));
        }
        (host, tail.strip_prefix(':').or_else(|| tail.is_empty().then_some("")))
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(Fault::message(format!("{} is not a host", quote(authority)))
                    .part(authority)
                    .hint("IPv6 addresses stand in brackets, as in http://[::1]:9000"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        }
    };
    let port = match port {
        None => return Err(Fault::plain()),
        Some("") if authority.ends_with(':') => return Err(Fault::message("the port is missing")),
        Some("") => default_port,
        Some(port) => check_port(port, 1).map_err(|()| port_fault(port, 1))?,
    };
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(TargetAddress::Ip(SocketAddr::new(ip, port))),
        Err(_) if is_dns_name(host) => Ok(TargetAddress::Dns(host.to_ascii_lowercase(), port)),
        Err(_) => Err(Fault::message(format!("{} is not a host", quote(host))).part(host)),
    }
}

/// A host name (RFC 1123 section 2.1), underscores allowed as container networks use them. A last label of
/// digits only would be read as an address by some, so it is refused.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        for (text, good) in [
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("0.0.0.0:0", true),
            ("unix:/run/x.sock", true),
            ("unix:x.sock", false),
            ("localhost:80", false),
            (":80", false),
            ("8080", false),
            ("127.0.0.1", false),
            ("127.0.0.1:65536", false),
            ("127.0.0.1:+80", false),
        ] {
            assert_eq!(ListenAddress::parse(text).is_ok(), good, "{text}");
        }
        let path = |n: usize| format!("unix:/{}", "x".repeat(n - 1));
        assert!(ListenAddress::parse(&path(UNIX_PATH_BYTES_MAX)).is_ok());
        assert!(ListenAddress::parse(&path(UNIX_PATH_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn targets() {
        let address = |text: &str| TargetUrl::parse(text).map(|url| url.address).ok();
        assert_eq!(address("http://a.example:9000"), Some(TargetAddress::Dns("a.example".into(), 9000)));
        assert_eq!(address("https://A.example/"), Some(TargetAddress::Dns("a.example".into(), 443)));
        assert_eq!(address("http://[::1]:9000"), "[::1]:9000".parse().ok().map(TargetAddress::Ip));
        assert_eq!(address("unix:/run/x"), Some(TargetAddress::Unix("/run/x".into())));
        for bad in [
            "127.0.0.1:9000",
            "ftp://x",
            "http://",
            "http://x:0",
            "http://x:70000",
            "http://x:",
            "http://[::1",
            "http://[zz]:1",
            "http://::1:80",
            "http://u:p@x",
            "http://x/path",
            "http://a..b",
            "http://1.2.3.256",
            "h2c://x",
            "http://x y",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
