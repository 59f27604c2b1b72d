//! Keys of well-known providers by their prefixes, private keys (RFC 7468), and signed or sealed tokens (RFC 7519).

use super::text::{Border, Found, Text};

/// What a key is made of behind its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Alnum,
    /// Also `-` and `_`.
    Url,
    /// Also `+`, `/` and `=`.
    Base64,
    /// Also `.`, `-` and `_`.
    Dotted,
    /// Also `/`.
    Path,
    Hex,
    /// Capitals and digits.
    Upper,
}

impl Charset {
    pub(crate) fn has(self, byte: u8) -> bool {
        match self {
            Charset::Alnum => byte.is_ascii_alphanumeric(),
            Charset::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Charset::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Charset::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'),
            Charset::Path => byte.is_ascii_alphanumeric() || byte == b'/',
            Charset::Hex => byte.is_ascii_hexdigit(),
            Charset::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        }
    }
}

/// How a key is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secret {
    pub(crate) prefix: &'static str,
    charset: Charset,
    /// Characters behind the prefix, at least.
    least: usize,
    /// And at most; a longer run is something else. None: as long as it likes.
    most: Option<usize>,
    /// A run without any digit is a name in code rather than a key.
    has_digit: bool,
    /// The prefix is the name of a setting: the key stands behind a sign of assignment, and the name is kept.
    is_setting: bool,
}

const fn exact(prefix: &'static str, charset: Charset, len: usize) -> Secret {
    Secret { prefix, charset, least: len, most: Some(len), has_digit: false, is_setting: false }
}

const fn open(prefix: &'static str, charset: Charset, least: usize) -> Secret {
    Secret { prefix, charset, least, most: None, has_digit: true, is_setting: false }
}

const fn setting(prefix: &'static str, charset: Charset, len: usize) -> Secret {
    Secret { prefix, charset, least: len, most: Some(len), has_digit: false, is_setting: true }
}

use Charset::{Alnum, Base64, Dotted, Hex, Path, Upper, Url};

/// From the providers' documents of their keys and of their scanners' partners. Of two prefixes that begin alike the longer
/// stands first.
pub(crate) const SECRETS: [Secret; 76] = [
    // Amazon Web Services
    exact("AKIA", Upper, 16),
    exact("ASIA", Upper, 16),
    exact("ABIA", Upper, 16),
    exact("ACCA", Upper, 16),
    setting("aws_secret_access_key", Base64, 40),
    setting("AWS_SECRET_ACCESS_KEY", Base64, 40),
    setting("SecretAccessKey", Base64, 40),
    Secret { most: Some(200), ..open("ABSK", Base64, 100) },
    // Microsoft Azure
    setting("AccountKey", Base64, 88),
    setting("SharedAccessKey", Base64, 44),
    // Google
    exact("AIza", Url, 35),
    open("GOCSPX-", Url, 28),
    open("ya29.", Dotted, 30),
    // GitHub, GitLab
    open("ghp_", Alnum, 36),
    open("gho_", Alnum, 36),
    open("ghu_", Alnum, 36),
    open("ghs_", Alnum, 36),
    open("ghr_", Alnum, 36),
    open("github_pat_", Url, 40),
    open("glpat-", Dotted, 20),
    open("gldt-", Url, 20),
    open("glrt-", Url, 20),
    open("glptt-", Url, 40),
    // Slack, Telegram has no prefix
    open("xoxb-", Url, 20),
    open("xoxp-", Url, 20),
    open("xoxa-", Url, 20),
    open("xoxr-", Url, 20),
    open("xoxs-", Url, 20),
    open("xoxe-", Url, 20),
    open("xoxe.", Dotted, 20),
    open("xapp-", Url, 20),
    open("hooks.slack.com/services/", Path, 30),
    // Stripe, Square, Shopify
    open("sk_live_", Alnum, 16),
    open("sk_test_", Alnum, 16),
    open("rk_live_", Alnum, 16),
    open("rk_test_", Alnum, 16),
    open("whsec_", Base64, 24),
    open("sq0atp-", Url, 22),
    open("sq0csp-", Url, 40),
    open("shpat_", Hex, 32),
    open("shpss_", Hex, 32),
    open("shppa_", Hex, 32),
    // Providers of models
    open("sk-ant-", Url, 32),
    open("sk-proj-", Url, 32),
    open("sk-svcacct-", Url, 32),
    open("sk-admin-", Url, 32),
    open("sk-or-v1-", Hex, 32),
    open("sk-", Url, 32),
    open("hf_", Alnum, 30),
    open("gsk_", Alnum, 40),
    open("xai-", Alnum, 60),
    open("pplx-", Alnum, 40),
    open("nvapi-", Url, 50),
    open("csk-", Alnum, 40),
    open("r8_", Alnum, 36),
    open("fw_", Alnum, 22),
    open("tgp_v1_", Url, 32),
    // Packages and images
    open("npm_", Alnum, 36),
    open("pypi-", Url, 60),
    open("dckr_pat_", Url, 24),
    open("rubygems_", Hex, 40),
    // Services
    open("SG.", Dotted, 60),
    open("key-", Hex, 32),
    open("dop_v1_", Hex, 60),
    open("doo_v1_", Hex, 60),
    open("dapi", Hex, 32),
    open("hvs.", Url, 24),
    open("lin_api_", Alnum, 32),
    open("ntn_", Alnum, 40),
    open("figd_", Url, 36),
    open("PMAK-", Url, 50),
    open("NRAK-", Upper, 27),
    open("glsa_", Url, 32),
    open("dp.pt.", Alnum, 40),
    exact("AGE-SECRET-KEY-1", Upper, 58),
    // Penstock
    open("psk_", Url, 16),
];

/// By the first byte of a prefix: a bit for each key that has it.
static BY_FIRST: [u128; 256] = {
    let mut by_first = [0; 256];
    let mut n = 0;
    while n < SECRETS.len() {
        by_first[SECRETS[n].prefix.as_bytes()[0] as usize] |= 1 << n;
        n += 1;
    }
    by_first
};

/// Where the beginning of a token of JSON stands for `{"`.
pub(crate) const JWT: &str = "eyJ";
/// Before the name of what a PEM block holds.
pub(crate) const PEM: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";
const PEM_RULE: &str = "-----";
/// Characters of the name of what a PEM block holds.
const PEM_NAME_MAX: usize = 48;
/// Characters of a line of base64 in a PEM block that is not the last one, at least.
const PEM_LINE_MIN: usize = 32;
/// Different characters of a key, at least: fewer are an example.
const VARIETY_MIN: u32 = 8;

/// What a key goes on with that was hidden before its end had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// With characters of a set.
    Run(Charset),
    /// With lines of a PEM block.
    Pem,
}

/// Looks for a key that begins at `at`; if it goes on beyond what has come, with what.
pub(crate) fn find(text: &Text<'_>, at: usize) -> (Found, Option<Rest>) {
    let rest = &text.bytes[at..];
    let Some(first) = rest.first() else { return (Found::No, None) };
    if *first == b'-' {
        return (find_pem(text, at), Some(Rest::Pem));
    }
    // No key begins within what another may be made of: so each run of characters is looked at once.
    if text.before(at).is_some_and(|byte| Dotted.has(byte)) {
        return (Found::No, None);
    }
    if *first == b'e' {
        return (find_jwt(text, at), Some(Rest::Run(Dotted)));
    }
    let mut found = Found::No;
    let mut candidates = BY_FIRST[usize::from(*first)];
    while candidates != 0 {
        let secret = &SECRETS[candidates.trailing_zeros() as usize];
        candidates &= candidates - 1;
        let prefix = secret.prefix.as_bytes();
        if rest.len() < prefix.len() {
            if !text.is_end && prefix.starts_with(rest) {
                found = Found::Wait { sure: None };
            }
        } else if rest.starts_with(prefix) {
            match secret.find(text, at) {
                Found::No => {}
                other => return (other, Some(Rest::Run(secret.charset))),
            }
        }
    }
    (found, None)
}

impl Secret {
    fn find(&self, text: &Text<'_>, at: usize) -> Found {
        let mut start = at + self.prefix.len();
        if self.is_setting {
            // A quote behind the name, the sign, spaces, a quote before the value.
            let glue = text.bytes[start..]
                .iter()
                .take(6)
                .take_while(|byte| matches!(byte, b'"' | b'\'' | b' ' | b'=' | b':' | b'>'))
                .count();
            start += glue;
            if text.is_open(start) && glue < 6 {
                return Found::Wait { sure: None };
            }
            if glue == 0 {
                return Found::No;
            }
        }
        let most = self.most.map_or(usize::MAX, |most| most + 1);
        let len = text.bytes[start..].iter().take(most).take_while(|byte| self.charset.has(**byte)).count();
        let hidden = if self.is_setting { start } else { at };
        let is_key = || {
            let value = &text.bytes[start..start + len];
            (!self.has_digit || value.iter().any(u8::is_ascii_digit)) && variety(value) >= VARIETY_MIN
        };
        if self.most.is_some_and(|most| len > most) {
            return Found::No;
        }
        if text.is_open(start + len) {
            let is_sure = self.most.is_none() && len >= self.least && is_key();
            return Found::Wait { sure: is_sure.then_some(hidden) };
        }
        if len < self.least || !is_key() {
            return Found::No;
        }
        Found::Yes(hidden..start + len)
    }
}

fn variety(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u128, |seen, byte| seen | 1 << (byte & 127)).count_ones()
}

/// A header and claims in base64url of JSON, and a signature; or a header and what is sealed.
fn find_jwt(text: &Text<'_>, at: usize) -> Found {
    const PART_MIN: usize = 10;
    let rest = &text.bytes[at..];
    let begun = rest.len().min(JWT.len());
    if rest[..begun] != JWT.as_bytes()[..begun] {
        return Found::No;
    }
    let run = |from: usize, charset: Charset| {
        from + text.bytes[from..].iter().take_while(|byte| charset.has(**byte)).count()
    };
    let header_end = run(at, Url);
    if text.is_open(header_end) {
        return Found::Wait { sure: None };
    }
    if header_end - at < PART_MIN || text.get(header_end) != Some(b'.') {
        return Found::No;
    }
    let claims = header_end + 1;
    let end = run(claims, Dotted);
    let is_signed = text.bytes[claims..].starts_with(JWT.as_bytes());
    let body = &text.bytes[claims..end];
    // Signed: two more parts. Sealed (RFC 7516): four, of which the first may be empty.
    let is_token = |body: &[u8]| {
        let mut parts = body.split(|byte| *byte == b'.').map(<[u8]>::len);
        let first = parts.next().unwrap_or_default();
        if is_signed { first >= PART_MIN && parts.next().is_some() } else { parts.count() >= 3 }
    };
    if text.is_open(end) {
        // Claims show what it is before its end.
        let is_sure = is_token(body) || (is_signed && body.len() >= PART_MIN);
        return Found::Wait { sure: is_sure.then_some(at) };
    }
    // The full stop of a sentence is none of it.
    let trimmed = body.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    let body = if is_signed && body[..trimmed].iter().filter(|byte| **byte == b'.').count() == 0 {
        body // an unsigned token ends in a full stop
    } else {
        &body[..trimmed]
    };
    if is_token(body) { Found::Yes(at..claims + body.len()) } else { Found::No }
}

/// A private key: its first line, what follows of it, its last line if that follows.
fn find_pem(text: &Text<'_>, at: usize) -> Found {
    let rest = &text.bytes[at..];
    let begun = rest.len().min(PEM.len());
    if text.before(at) == Some(b'-') || rest[..begun] != PEM.as_bytes()[..begun] {
        return Found::No;
    }
    let name = at + begun;
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let name_len = text.bytes[name..].iter().take(PEM_NAME_MAX).take_while(|byte| is_name(byte)).count();
    let rule = name + name_len;
    let behind = &text.bytes[rule..];
    let rule_begun = behind.len().min(PEM_RULE.len());
    if name_len == PEM_NAME_MAX || behind[..rule_begun] != PEM_RULE.as_bytes()[..rule_begun] {
        return Found::No;
    }
    if rule_begun < PEM_RULE.len() {
        return if text.is_end { Found::No } else { Found::Wait { sure: None } };
    }
    let is_private = text.text[name..rule].contains("PRIVATE KEY");
    if !is_private {
        return Found::No;
    }
    match go_on(Rest::Pem, text, rule + PEM_RULE.len()) {
        (_, false) => Found::Wait { sure: Some(at) },
        (end, true) => Found::Yes(at..end),
    }
}

/// How far what began before `at` goes, and whether that is its end.
pub(crate) fn go_on(rest: Rest, text: &Text<'_>, at: usize) -> (usize, bool) {
    match rest {
        Rest::Run(charset) => run_of(charset, text, at),
        Rest::Pem => match run_of(Charset::Base64, text, at) {
            // What was hidden may have ended within a line.
            (end, true) => lines(text, end),
            open => open,
        },
    }
}

/// How far characters of a set go, and whether that is known.
fn run_of(charset: Charset, text: &Text<'_>, at: usize) -> (usize, bool) {
    let end = at + text.bytes[at..].iter().take_while(|byte| charset.has(**byte)).count();
    (end, !text.is_open(end))
}

/// Lines of a PEM block up to its end: of base64, and RFC 1421's header fields of sealed keys. Line ends may be written
/// as `\n`, as in settings and JSON. Lines are passed one by one, so that a block of any length is.
fn lines(text: &Text<'_>, at: usize) -> (usize, bool) {
    let mut passed = at;
    loop {
        let mut at = passed;
        while let Some(byte) = text.get(at) {
            let is_escape = byte == b'\\' && matches!(text.get(at + 1), Some(b'n' | b'r'));
            match byte {
                b'\n' | b'\r' | b' ' | b'\t' => at += 1,
                b'\\' if is_escape => at += 2,
                b'\\' if text.is_open(at + 1) => return (passed, false),
                _ => break,
            }
        }
        let rest = &text.bytes[at..];
        if text.is_open(at) {
            return (passed, false);
        }
        let ends = rest.len().min(PEM_END.len());
        if ends > 0 && rest[..ends] == PEM_END.as_bytes()[..ends] {
            // Behind it a name and a rule.
            let name = rest[ends..].iter().take(PEM_NAME_MAX).take_while(|byte| **byte != b'-').count();
            let rule =
                rest[ends + name..].iter().take(PEM_RULE.len()).take_while(|byte| **byte == b'-').count();
            let end = at + ends + name + rule;
            let is_whole = rule == PEM_RULE.len() || name == PEM_NAME_MAX;
            return if text.is_open(end) && !is_whole { (passed, false) } else { (end, true) };
        }
        let fields = [&b"Proc-Type:"[..], b"DEK-Info:"];
        if !text.is_end && fields.iter().any(|field| field.len() > rest.len() && field.starts_with(rest)) {
            return (passed, false);
        }
        let is_field = fields.iter().any(|field| rest.starts_with(field));
        let len = if is_field {
            rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r' | b'\\')).count()
        } else {
            rest.iter().take_while(|byte| Charset::Base64.has(**byte)).count()
        };
        if text.is_open(at + len) {
            return (passed, false);
        }
        // The last line may be short, and then the end follows.
        let is_line = match (is_field || len >= PEM_LINE_MIN, len) {
            (true, _) => Border::Yes,
            (false, 0) => Border::No,
            (false, _) => ends_behind(text, at + len),
        };
        match is_line {
            Border::Yes => passed = at + len,
            Border::No => return (passed, true),
            Border::Unknown => return (passed, false),
        }
    }
}

/// Whether only white space stands before the last line of a PEM block.
fn ends_behind(text: &Text<'_>, at: usize) -> Border {
    let mut rest = &text.bytes[at..];
    loop {
        rest = match rest {
            [b'\\', b'n' | b'r', behind @ ..] | [b'\n' | b'\r' | b' ' | b'\t', behind @ ..] => behind,
            _ => break,
        };
    }
    let begun = rest.len().min(PEM_END.len());
    if rest[..begun] == PEM_END.as_bytes()[..begun] {
        return if begun == PEM_END.len() { Border::Yes } else { open_or_no(text) };
    }
    if rest == b"\\" { open_or_no(text) } else { Border::No }
}

fn open_or_no(text: &Text<'_>) -> Border {
    if text.is_end { Border::No } else { Border::Unknown }
}
