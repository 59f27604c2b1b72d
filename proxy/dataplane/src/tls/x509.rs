//! Reads the few fields of an X.509 certificate (RFC 5280) that rustls does not hand out: names, validity,
//! subject. A bounded walk over DER; decides nothing about trust. Certificates of peers come here only after
//! rustls has verified them.

use std::net::IpAddr;

/// Alternative names of a certificate, and parts of its subject; one with more is refused.
pub(super) const NAMES_MAX: usize = 256;

/// The certificate is not the DER that RFC 5280 describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate that cannot be read (at its {0})")]
pub struct X509Error(&'static str);

/// A subject alternative name (RFC 5280 section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectAltName {
    /// A host name, maybe with a first label `*`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI, such as a SPIFFE id.
    Uri(String),
    /// A mail address.
    Email(String),
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// The subject, most specific part first as RFC 4514 writes it (`CN=edge,O=Example`).
    pub(super) subject: String,
    /// The subject alternative names.
    pub(super) sans: Vec<SubjectAltName>,
    /// First second of validity, Unix time.
    pub(super) not_before_unix_s: i64,
    /// Last second of validity, Unix time.
    pub(super) not_after_unix_s: i64,
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads the fields of a DER certificate. Allocates what it returns; for handshakes and loading, not requests.
///
/// # Errors
/// When the structure is broken.
pub(super) fn fields(der: &[u8]) -> Result<Fields, X509Error> {
    let mut outer = Der(der);
    let mut certificate = Der(outer.expect(SEQUENCE, "start")?);
    let mut tbs = Der(certificate.expect(SEQUENCE, "body")?);
    if tbs.peek() == Some(VERSION) {
        tbs.any("version")?;
    }
    tbs.expect(INTEGER, "serial number")?;
    tbs.expect(SEQUENCE, "signature algorithm")?;
    tbs.expect(SEQUENCE, "issuer")?;
    let mut validity = Der(tbs.expect(SEQUENCE, "validity")?);
    let not_before_unix_s = time(validity.any("validity")?)?;
    let not_after_unix_s = time(validity.any("validity")?)?;
    let subject = name(tbs.expect(SEQUENCE, "subject")?)?;
    tbs.expect(SEQUENCE, "public key")?;
    let mut sans = Vec::new();
    while let Some(tag) = tbs.peek() {
        let (_, content) = tbs.any("extensions")?;
        if tag == EXTENSIONS {
            sans = alt_names(content)?;
        }
    }
    Ok(Fields { subject, sans, not_before_unix_s, not_after_unix_s })
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element: its tag (single byte) and content (definite length of at most 3 bytes).
    fn any(&mut self, at: &'static str) -> Result<(u8, &'a [u8]), X509Error> {
        let (&[tag, first], rest) = self.0.split_first_chunk().ok_or(X509Error(at))?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 3)).ok_or(X509Error(at))?;
                (bytes.iter().fold(0, |len, &b| len << 8 | usize::from(b)), rest)
            }
            _ => return Err(X509Error(at)),
        };
        let (content, rest) = rest.split_at_checked(len).ok_or(X509Error(at))?;
        self.0 = rest;
        Ok((tag, content))
    }

    fn expect(&mut self, tag: u8, at: &'static str) -> Result<&'a [u8], X509Error> {
        match self.any(at)? {
            (found, content) if found == tag => Ok(content),
            _ => Err(X509Error(at)),
        }
    }
}

/// UTCTime or GeneralizedTime in the only forms that RFC 5280 allows (section 4.1.2.5), as Unix seconds.
fn time((tag, text): (u8, &[u8])) -> Result<i64, X509Error> {
    const AT: X509Error = X509Error("validity");
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2).ok_or(AT)?;
            let year = digits(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4).ok_or(AT)?;
            (digits(year)?, rest)
        }
        _ => return Err(AT),
    };
    let &[m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = rest else {
        return Err(AT);
    };
    let (month, day) = (digits(&[m1, m2])?, digits(&[d1, d2])?);
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[n1, n2])?, digits(&[s1, s2])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return Err(AT);
    }
    // Days since the epoch in the proleptic Gregorian calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468;
    Ok(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn digits(text: &[u8]) -> Result<i64, X509Error> {
    text.iter().try_fold(0, |n, b| match b {
        b'0'..=b'9' => Ok(n * 10 + i64::from(b - b'0')),
        _ => Err(X509Error("validity")),
    })
}

/// A distinguished name in full, its parts in reverse order (RFC 4514 section 2.1). Nothing is left out, so that two
/// subjects that differ never read alike.
fn name(content: &[u8]) -> Result<String, X509Error> {
    let mut parts = Vec::new();
    let mut rdns = Der(content);
    while rdns.peek().is_some() {
        let mut rdn = Der(rdns.expect(SET, SUBJECT)?);
        let mut pairs = Vec::new();
        while rdn.peek().is_some() {
            pairs.push(attribute(rdn.expect(SEQUENCE, SUBJECT)?)?);
        }
        parts.push(pairs.join("+"));
        if parts.len() > NAMES_MAX || pairs.is_empty() {
            return Err(X509Error(SUBJECT));
        }
    }
    parts.reverse();
    Ok(parts.join(","))
}

const SUBJECT: &str = "subject";

/// One `type=value` of a name. What has no short name or is no text is written in digits (RFC 4514 section 2.4).
fn attribute(content: &[u8]) -> Result<String, X509Error> {
    let mut pair = Der(content);
    let oid = pair.expect(OID, SUBJECT)?;
    let encoded = pair.0;
    let (tag, value) = pair.any(SUBJECT)?;
    if !pair.0.is_empty() {
        return Err(X509Error(SUBJECT));
    }
    let label = match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "STREET",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        _ => return Ok(format!("{}=#{}", dotted(oid)?, hex(encoded))),
    };
    let text = match tag {
        UTF8_STRING | NUMERIC_STRING | PRINTABLE_STRING | IA5_STRING => std::str::from_utf8(value).ok(),
        _ => None,
    };
    Ok(match text {
        Some(text) => format!("{label}={}", escaped(text)),
        None => format!("{label}=#{}", hex(encoded)),
    })
}

/// An object identifier with dots (X.690 section 8.19).
fn dotted(oid: &[u8]) -> Result<String, X509Error> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0u64;
    for &b in oid {
        if arc >> 57 != 0 {
            return Err(X509Error(SUBJECT));
        }
        arc = arc << 7 | u64::from(b & 0x7f);
        if b & 0x80 != 0 {
            continue;
        }
        if arcs.is_empty() {
            let first = (arc / 40).min(2);
            arcs.push(first);
            arc -= first * 40;
        }
        arcs.push(std::mem::take(&mut arc));
    }
    if oid.last().is_none_or(|b| b & 0x80 != 0) {
        return Err(X509Error(SUBJECT));
    }
    Ok(arcs.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A value with the characters escaped that would end it (RFC 4514 section 2.4); control bytes as hex.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            '#' if i == 0 => out.push_str("\\#"),
            ' ' if i == 0 || i == last => out.push_str("\\ "),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

fn alt_names(explicit: &[u8]) -> Result<Vec<SubjectAltName>, X509Error> {
    const AT: &str = "extensions";
    let mut extensions = Der(Der(explicit).expect(SEQUENCE, AT)?);
    while extensions.peek().is_some() {
        let mut extension = Der(extensions.expect(SEQUENCE, AT)?);
        let oid = extension.expect(OID, AT)?;
        if oid != OID_SUBJECT_ALT_NAME {
            continue;
        }
        let mut value = extension.any(AT)?;
        if value.0 != OCTET_STRING {
            value = extension.any(AT)?; // the BOOLEAN `critical` came first
        }
        let mut names = Der(Der(value.1).expect(SEQUENCE, "alternative names")?);
        let mut sans = Vec::new();
        let mut count = 0;
        while names.peek().is_some() {
            count += 1;
            if count > NAMES_MAX {
                return Err(X509Error("number of alternative names"));
            }
            let (tag, content) = names.any("alternative names")?;
            let text = || match content {
                _ if !content.is_ascii() || content.iter().any(u8::is_ascii_control) => {
                    Err(X509Error("alternative names"))
                }
                _ => Ok(String::from_utf8_lossy(content).into_owned()),
            };
            match tag {
                0x81 => sans.push(SubjectAltName::Email(text()?)),
                0x82 => sans.push(SubjectAltName::Dns(text()?)),
                0x86 => sans.push(SubjectAltName::Uri(text()?)),
                0x87 => sans.extend(address(content).map(SubjectAltName::Ip)),
                _ => {}
            }
        }
        return Ok(sans);
    }
    Ok(Vec::new())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    fn sample() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".into(), "*.b.example".into()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/ns/x".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example, Ltd");
        params.distinguished_name.push(DnType::CommonName, "edge");
        params.not_before = date_time_ymd(1999, 12, 31);
        params.not_after = date_time_ymd(2052, 2, 29);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn reads_names_subject_and_validity() {
        let fields = fields(&sample()).unwrap();
        assert_eq!(fields.subject, "CN=edge,O=Example\\, Ltd");
        assert_eq!(fields.not_before_unix_s, 946_598_400);
        assert_eq!(fields.not_after_unix_s, 2_592_777_600);
        assert_eq!(
            fields.sans,
            [
                SubjectAltName::Dns("a.example".into()),
                SubjectAltName::Dns("*.b.example".into()),
                SubjectAltName::Ip([10, 0, 0, 1].into()),
                SubjectAltName::Uri("spiffe://example/ns/x".into()),
            ]
        );
    }

    #[test]
    fn subjects_that_differ_read_differently() {
        let element = |tag: u8, content: &[u8]| [&[tag, content.len() as u8][..], content].concat();
        let pair = |oid: &[u8], tag, value: &[u8]| {
            element(SEQUENCE, &[element(OID, oid), element(tag, value)].concat())
        };
        let rdn = |pairs: &[Vec<u8>]| element(SET, &pairs.concat());
        let (cn, serial): (&[u8], &[u8]) = (&[0x55, 4, 3], &[0x55, 4, 5]);
        let mail: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
        for (rdns, want) in [
            (rdn(&[pair(cn, UTF8_STRING, b"a")]), "CN=a"),
            (
                rdn(&[pair(cn, UTF8_STRING, b"a"), pair(serial, PRINTABLE_STRING, b"7")]),
                "CN=a+2.5.4.5=#130137",
            ),
            (
                [rdn(&[pair(cn, IA5_STRING, b"a")]), rdn(&[pair(mail, IA5_STRING, b"b")])].concat(),
                "1.2.840.113549.1.9.1=#160162,CN=a",
            ),
            (rdn(&[pair(cn, 0x1e, b"\0a")]), "CN=#1e020061"),
            (rdn(&[pair(cn, UTF8_STRING, b"\xff")]), "CN=#0c01ff"),
            (rdn(&[pair(cn, UTF8_STRING, b"a,CN=b+#\0")]), "CN=a\\,CN=b\\+#\\00"),
            (rdn(&[pair(cn, UTF8_STRING, b"#1e00")]), "CN=\\#1e00"),
            (Vec::new(), ""),
        ] {
            assert_eq!(name(&rdns).as_deref(), Ok(want));
        }
        for bad in [
            rdn(&[]),
            rdn(&[element(SEQUENCE, &element(OID, cn))]),
            rdn(&[element(SEQUENCE, &[element(OID, cn), element(12, b"a"), element(12, b"b")].concat())]),
            rdn(&[pair(&[0x80], UTF8_STRING, b"a")]),
            rdn(&[pair(&[0xff; 12], UTF8_STRING, b"a")]),
            rdn(&[pair(b"", UTF8_STRING, b"a")]),
        ] {
            assert!(name(&bad).is_err(), "{}", hex(&bad));
        }
        for (count, accepted) in [(NAMES_MAX, true), (NAMES_MAX + 1, false)] {
            assert_eq!(name(&rdn(&[pair(cn, UTF8_STRING, b"a")]).repeat(count)).is_ok(), accepted);
        }
    }

    #[test]
    fn more_names_than_the_bound_are_refused() {
        for (count, accepted) in [(NAMES_MAX, true), (NAMES_MAX + 1, false)] {
            let names: Vec<_> = (0..count).map(|i| format!("n{i}.example")).collect();
            let params = CertificateParams::new(names).unwrap();
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(fields(made.der()).is_ok(), accepted);
        }
    }

    #[test]
    fn no_cut_or_changed_certificate_panics() {
        let der = sample();
        for len in 0..der.len() {
            assert!(fields(&der[..len]).is_err(), "cut at {len}");
        }
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut bad = der.clone();
                bad[at] ^= 1 << bit;
                let _ = fields(&bad);
            }
        }
    }

    #[test]
    fn times_out_of_form_are_refused() {
        for (tag, text) in [
            (UTC_TIME, &b"9912312359Z"[..]),
            (UTC_TIME, b"991301000000Z"),
            (UTC_TIME, b"99123100000aZ"),
            (GENERALIZED_TIME, b"20500101000000+0100"),
            (OCTET_STRING, b"991231000000Z"),
        ] {
            assert!(time((tag, text)).is_err(), "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(time((UTC_TIME, b"700101000000Z")), Ok(0));
    }
}
