//! Whether an address is free. Workers share their port on purpose, so the kernel would also let a second gateway
//! of the same user share it, and half of the calls would go astray without a word.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use penstock_gate::spec::Address;

/// Whether nobody listens on `address`.
///
/// # Errors
/// A sentence for the user that names the address and says what to do.
pub(crate) fn free(address: &Address, key: &str) -> Result<(), String> {
    match address {
        Address::Tcp(addr) => match TcpListener::bind(addr) {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(address, key, &error)),
        },
        Address::Unix(path) => match UnixStream::connect(path) {
            Ok(_) => Err(refused(address, key, &ErrorKind::AddrInUse.into())),
            Err(_) => Ok(()),
        },
    }
}

/// Why an address cannot be listened on, and what to do.
pub(crate) fn refused(address: &Address, key: &str, error: &io::Error) -> String {
    let at = shown(address);
    match (error.kind(), address) {
        (ErrorKind::AddrInUse, Address::Tcp(addr)) => format!(
            "port {port} is taken: another program listens on {at} (`ss -ltnp 'sport = :{port}'` shows which). \
             End it, or set another `{key}` in the configuration (`penstock init` writes one to begin with)",
            port = addr.port()
        ),
        (ErrorKind::AddrInUse, Address::Unix(_)) => {
            format!("{at} is taken by another program. End it, or set another `{key}` in the configuration")
        }
        (ErrorKind::PermissionDenied, Address::Tcp(addr)) if addr.port() < 1024 => format!(
            "{at} needs a right that this process does not have: ports below 1024 take CAP_NET_BIND_SERVICE \
             (`setcap cap_net_bind_service=+ep $(command -v penstock)`)"
        ),
        (ErrorKind::AddrNotAvailable, _) => {
            format!("{at} is no address of this machine; set another `{key}` in the configuration")
        }
        _ => format!("cannot listen on {at}: {error}"),
    }
}

/// The address for people.
pub(crate) fn shown(address: &Address) -> String {
    match address {
        Address::Tcp(addr) => addr.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let said = free(&Address::Tcp(addr), "listeners[].address").unwrap_err();
        assert!(said.contains(&format!("port {} is taken", addr.port())), "{said}");
        assert!(said.contains("listeners[].address"), "{said}");
        drop(listener);
        free(&Address::Tcp(addr), "listeners[].address").unwrap();
        let elsewhere = Address::Tcp("192.0.2.1:80".parse().unwrap());
        assert!(free(&elsewhere, "admin.address").unwrap_err().contains("no address of this machine"));
    }
}
