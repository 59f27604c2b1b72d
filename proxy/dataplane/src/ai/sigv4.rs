//! AWS Signature Version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>),
//! as Bedrock wants it: over host, time, session token and the whole body.

use aws_lc_rs::{digest, hmac};

/// The keys of an AWS account.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// Names the secret key.
    pub access_key_id: String,
    /// Never leaves this process.
    pub secret_access_key: String,
    /// Of keys that are lent for a while.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AwsKeys(..)")
    }
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The name of the service: `bedrock`.
    pub service: &'a str,
    /// The region.
    pub region: &'a str,
    /// The method.
    pub method: &'a str,
    /// `Host`, as it is sent.
    pub host: &'a str,
    /// Path and query, as they are sent.
    pub target: &'a str,
    /// When, in seconds since 1970.
    pub unix_s: u64,
}

impl Signed<'_> {
    /// Appends the field lines that sign a request with this body, which is given in pieces.
    pub fn write<'b>(&self, keys: &AwsKeys, body: impl Iterator<Item = &'b [u8]>, out: &mut Vec<u8>) {
        let time = amz_date(self.unix_s);
        let day = &time[..8];
        let mut digest = digest::Context::new(&digest::SHA256);
        body.for_each(|piece| digest.update(piece));
        let payload = hex(digest.finish().as_ref());
        let token = keys.session_token.as_deref();
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let names = if token.is_some() { "host;x-amz-date;x-amz-security-token" } else { "host;x-amz-date" };
        let mut canonical = format!("{}\n{}\n{}\n", self.method, encoded_again(path), sorted(query));
        canonical.push_str(&format!("host:{}\nx-amz-date:{time}\n", self.host));
        if let Some(token) = token {
            canonical.push_str(&format!("x-amz-security-token:{token}\n"));
        }
        canonical.push_str(&format!("\n{names}\n{payload}"));
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let mut key = mac(format!("AWS4{}", keys.secret_access_key).as_bytes(), day);
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = hex(mac(key.as_ref(), &to_sign).as_ref());
        let mut line = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        };
        line("x-amz-date", &time);
        if let Some(token) = token {
            line("x-amz-security-token", token);
        }
        let id = &keys.access_key_id;
        line(
            "authorization",
            &format!(
                "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
            ),
        );
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Paths are signed with every segment escaped once more than it is sent (all services but S3).
fn encoded_again(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn sorted(query: &str) -> String {
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort_unstable();
    pairs.join("&")
}

/// `YYYYMMDD'T'HHMMSS'Z'`.
fn amz_date(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    // Days since 1970 to the civil calendar: http://howardhinnant.github.io/date_algorithms.html, civil_from_days.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2015-08-30T12:36:00Z and the keys of AWS's own test suite for this signature.
    const TIME: u64 = 1_440_938_160;

    fn keys() -> AwsKeys {
        AwsKeys {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        }
    }

    fn signature(method: &str, target: &str) -> String {
        let signed = Signed {
            service: "service",
            region: "us-east-1",
            method,
            host: "example.amazonaws.com",
            target,
            unix_s: TIME,
        };
        let mut out = Vec::new();
        signed.write(&keys(), std::iter::empty(), &mut out);
        let lines = String::from_utf8(out).unwrap();
        assert!(lines.starts_with("x-amz-date: 20150830T123600Z\r\n"), "{lines}");
        lines.trim_end().rsplit("Signature=").next().unwrap().to_owned()
    }

    #[test]
    fn the_published_vectors_come_out() {
        assert_eq!(signature("GET", "/"), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        assert_eq!(
            signature("POST", "/"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        let sorted = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        assert_eq!(signature("GET", "/?Param2=value2&Param1=value1"), sorted);
    }

    #[test]
    fn the_calendar_is_right_at_its_edges() {
        let cases = [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ];
        for (unix_s, expected) in cases {
            assert_eq!(amz_date(unix_s), expected);
        }
    }

    #[test]
    fn what_is_signed_is_the_path_escaped_once_more() {
        assert_eq!(encoded_again("/model/a.b%3A0/converse"), "/model/a.b%253A0/converse");
        let mut lent = keys();
        lent.session_token = Some("tok".into());
        let signed =
            Signed { service: "bedrock", region: "r", method: "POST", host: "h", target: "/", unix_s: 0 };
        let mut out = Vec::new();
        signed.write(&lent, [&b"ab"[..], b"c"].into_iter(), &mut out);
        let mut other = Vec::new();
        signed.write(&lent, [&b"abc"[..]].into_iter(), &mut other);
        assert_eq!(out, other);
        assert!(
            String::from_utf8(out).unwrap().contains("SignedHeaders=host;x-amz-date;x-amz-security-token")
        );
    }
}
