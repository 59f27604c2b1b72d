//! Address ranges in CIDR notation: strict reading and containment.
//!
//! Knows addresses only. An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) is the
//! IPv4 address everywhere in the gate, so that no list can be passed by writing an address another way.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The one form of an address that lists are compared with: mapped IPv6 becomes IPv4.
#[inline]
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// A network: an address and the number of its leading bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The part before the slash is no IPv4 or IPv6 address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// The part after the slash is no plain number, or longer than the address.
    #[error("`{0}` is not a prefix length")]
    Prefix(String),
    /// Bits beyond the prefix are set: most likely a slip of the pen, so it is refused.
    #[error("`{given}` has bits set beyond its prefix; the network is `{network}`")]
    HostBits {
        /// The text as written.
        given: String,
        /// The network that was probably meant.
        network: String,
    },
}

impl Cidr {
    /// The network of `prefix` leading bits of `address`; bits beyond it are cleared and a prefix longer
    /// than the address is cut to the address's length. A mapped address counts as IPv4 (its prefix then
    /// less 96).
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let (address, prefix) = match (canonical(address), address) {
            (v4 @ IpAddr::V4(_), IpAddr::V6(_)) if prefix >= 96 => (v4, prefix - 96),
            (IpAddr::V4(_), IpAddr::V6(_)) => (address, prefix),
            (plain, _) => (plain, prefix),
        };
        match address {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                Self { address: IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask_v4(prefix))), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                Self { address: IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask_v6(prefix))), prefix }
            }
        }
    }

    /// Whether `address` lies in this network. A few instructions; allocates nothing.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, canonical(address)) {
            (IpAddr::V4(network), IpAddr::V4(one)) => {
                u32::from(one) & mask_v4(self.prefix) == u32::from(network)
            }
            (IpAddr::V6(network), IpAddr::V6(one)) => {
                u128::from(one) & mask_v6(self.prefix) == u128::from(network)
            }
            _ => false,
        }
    }

    /// The network's first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits count.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let parsed: IpAddr = address.parse().map_err(|_| CidrError::Address(address.to_owned()))?;
        let longest = if parsed.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) => {
                let plain = !digits.is_empty()
                    && digits.bytes().all(|byte| byte.is_ascii_digit())
                    && (digits == "0" || !digits.starts_with('0'));
                let bits = digits.parse::<u8>().ok().filter(|bits| plain && *bits <= longest);
                bits.ok_or_else(|| CidrError::Prefix(digits.to_owned()))?
            }
        };
        let network = Self::new(parsed, prefix);
        let whole = if parsed.is_ipv4() { network.address == parsed } else { keeps_all_bits(parsed, prefix) };
        if whole {
            Ok(network)
        } else {
            Err(CidrError::HostBits { given: text.to_owned(), network: network.to_string() })
        }
    }
}

fn keeps_all_bits(address: IpAddr, prefix: u8) -> bool {
    match address {
        IpAddr::V4(v4) => u32::from(v4) & !mask_v4(prefix) == 0,
        IpAddr::V6(v6) => u128::from(v6) & !mask_v6(prefix) == 0,
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_networks_strictly() {
        let cases = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::/0", Some("::/0")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("::ffff:192.0.2.0/120", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.7", Some("192.0.2.7/32")),
            ("10.0.0.1/8", None),
            ("2001:db8::1/64", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/08", None),
            ("10.0.0.0/", None),
            ("10.0.0/8", None),
            ("010.0.0.0/8", None),
            ("", None),
            ("2001:db8::/129", None),
        ];
        for (text, expected) in cases {
            let got = text.parse::<Cidr>().ok().map(|network| network.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn holds_addresses_of_both_families_and_mapped_ones() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "::ffff:10.1.2.3", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
        ];
        for (network, address, expected) in cases {
            let network: Cidr = network.parse().expect(network);
            let address: IpAddr = address.parse().expect(address);
            assert_eq!(network.contains(address), expected, "{network} {address}");
        }
    }
}
