//! Which Host fields the admin address answers to. It asks for no sign-in, so a web page that has its own name
//! resolved to this machine (DNS rebinding) must not be able to read it through somebody's browser.

use std::net::IpAddr;

/// The names that are answered to.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    /// The address that is listened on; `None` for a Unix socket.
    bound: Option<IpAddr>,
    names: Vec<String>,
}

impl AllowedHosts {
    /// Loopback names, the bound address, and `names` beside them.
    #[must_use]
    pub fn new(bound: Option<IpAddr>, names: Vec<String>) -> Self {
        Self { bound, names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request with this Host field is answered. The port does not matter.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else { return false };
        let name = name.to_ascii_lowercase();
        if name == "localhost" || self.names.contains(&name) {
            return true;
        }
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
        let Ok(address) = literal.parse::<IpAddr>() else { return false };
        match self.bound {
            // An address that was typed as a number cannot have been rebound; all local ones are bound.
            Some(bound) if bound.is_unspecified() => true,
            Some(bound) => address == bound || address.is_loopback(),
            None => address.is_loopback(),
        }
    }
}

/// The host without its port; `None` if it has no such form.
fn name_of(host: &str) -> Option<&str> {
    if host.starts_with('[') {
        let end = host.find(']')? + 1;
        let rest = &host[end..];
        return (rest.is_empty() || is_port(rest)).then_some(&host[..end]);
    }
    match host.split_once(':') {
        None => Some(host),
        Some((name, _)) => is_port(&host[name.len()..]).then_some(name),
    }
    .filter(|name| !name.is_empty())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound() {
        let bound = AllowedHosts::new(Some([10, 0, 0, 7].into()), vec!["Ops.Example.com".into()]);
        for (host, allowed) in [
            ("localhost", true),
            ("LocalHost:9080", true),
            ("127.0.0.1:9080", true),
            ("[::1]:9080", true),
            ("10.0.0.7:9080", true),
            ("ops.example.com:9080", true),
            ("10.0.0.8:9080", false),
            ("evil.example.com", false),
            ("localhost.evil.example.com", false),
            ("127.0.0.1.evil.example.com", false),
            ("localhost:9080:1", false),
            ("localhost:x", false),
            ("[::1", false),
            ("[::1]x", false),
            (":9080", false),
            ("", false),
        ] {
            assert_eq!(bound.allows(host), allowed, "{host}");
        }
        let any = AllowedHosts::new(Some([0, 0, 0, 0].into()), Vec::new());
        assert!(any.allows("192.0.2.1:9080") && !any.allows("evil.example.com"));
        let unix = AllowedHosts::new(None, Vec::new());
        assert!(unix.allows("localhost") && !unix.allows("10.0.0.7"));
    }
}
