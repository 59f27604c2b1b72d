//! Protection of records after the handshake: AEAD with the keys that rustls hands out (RFC 8446 section 5.2;
//! RFC 5246 section 6.2.3.3 with RFC 5288 and RFC 7905 for TLS 1.2). Sans-IO: bytes in, bytes out, no
//! allocation. Knows the shape of a record and nothing of what handshake messages or alerts mean.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

/// Bytes of a record's header.
pub(super) const HEADER: usize = 5;
/// Most plaintext bytes of a record (RFC 8446 section 5.1).
pub(super) const PLAIN_MAX: usize = 16 * 1024;
/// Most bytes of a record on the wire: TLS 1.2 allows 2,048 of expansion, TLS 1.3 256.
pub(super) const RECORD_MAX: usize = HEADER + PLAIN_MAX + 2048;
/// Most bytes of expansion in TLS 1.3 (RFC 8446 section 5.2).
const TLS13_EXPANSION_MAX: usize = 256;

/// Most bytes of a TLSInnerPlaintext: content, type and padding (RFC 8446 section 5.2).
const TLS13_INNER_MAX: usize = PLAIN_MAX + 1;
/// The version of every record that follows a handshake; TLS 1.3 keeps that of 1.2.
const VERSION: [u8; 2] = [3, 3];

const TAG: usize = 16;
const EXPLICIT_NONCE: usize = 8;

/// Content types of records (RFC 8446 section 5.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Why a record cannot be opened or sealed. Each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// The length field is out of range.
    #[error("a record is longer than allowed")]
    Overflow,
    /// The type or version of the record is not possible here.
    #[error("a record of an unexpected type")]
    Unexpected,
    /// Authentication failed.
    #[error("a record failed authentication")]
    BadMac,
    /// The key has protected as many records as it may.
    #[error("the key's use limit is reached")]
    Exhausted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Tls13,
    Tls12Gcm,
    Tls12Chacha,
}

/// Where the content of an opened record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// Content type.
    pub(super) kind: u8,
    /// First byte of the content, counted from the start of what it was written to.
    pub(super) start: usize,
    /// Bytes of content.
    pub(super) len: usize,
}

/// One direction's key, nonce base and sequence number.
#[derive(Debug)]
pub(super) struct Cipher {
    key: LessSafeKey,
    iv: [u8; 12],
    seq: u64,
    /// Records that the key may seal (RFC 8446 section 5.5).
    limit: u64,
    shape: Shape,
}

/// The whole length of the record that `bytes` begins with, when its header is there.
///
/// # Errors
/// A type that cannot come after a handshake, or a length beyond [`RECORD_MAX`].
pub(super) fn record_len(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    if header[0] < ALERT || header[0] > APPLICATION_DATA || header[1] != 3 {
        return Err(RecordError::Unexpected);
    }
    let len = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
    if len > RECORD_MAX { Err(RecordError::Overflow) } else { Ok(Some(len)) }
}

impl Cipher {
    /// The cipher of one direction; `limit` is the suite's confidentiality limit.
    ///
    /// # Errors
    /// [`RecordError::Unexpected`] for an algorithm that is not one of ours.
    pub(super) fn new(
        version: ProtocolVersion,
        (seq, secrets): (u64, ConnectionTrafficSecrets),
        limit: u64,
    ) -> Result<Self, RecordError> {
        let tls13 = version == ProtocolVersion::TLSv1_3;
        let (algorithm, shape, key, iv): (&'static Algorithm, _, _, _) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, Shape::Tls12Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, Shape::Tls12Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, Shape::Tls12Chacha, key, iv)
            }
            _ => return Err(RecordError::Unexpected),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| RecordError::Unexpected)?;
        let iv = iv.as_ref().try_into().map_err(|_| RecordError::Unexpected)?;
        let shape = if tls13 { Shape::Tls13 } else { shape };
        Ok(Self { key: LessSafeKey::new(key), iv, seq, limit, shape })
    }

    /// Whether the key has sealed so many records that it must be changed before the next.
    pub(super) fn is_spent(&self) -> bool {
        self.seq >= self.limit
    }

    /// Sets the number of records that the key may seal.
    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Bytes that sealing adds to a content.
    pub(super) fn overhead(&self) -> usize {
        match self.shape {
            Shape::Tls13 => HEADER + 1 + TAG,
            Shape::Tls12Gcm => HEADER + EXPLICIT_NONCE + TAG,
            Shape::Tls12Chacha => HEADER + TAG,
        }
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (n, s) in nonce[4..].iter_mut().zip(self.seq.to_be_bytes()) {
            *n ^= s;
        }
        nonce
    }

    /// The additional data of TLS 1.2 (RFC 5246 section 6.2.3.3), with the type and version of `header`, so that
    /// neither can be changed on the way.
    fn aad12(&self, header: &[u8; HEADER], len: usize) -> Aad<[u8; 13]> {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.seq.to_be_bytes());
        aad[8..11].copy_from_slice(&header[..3]);
        aad[11..].copy_from_slice(&(len as u16).to_be_bytes());
        Aad::from(aad)
    }

    /// Seals `plain` as one record of type `kind` into the front of `out` and returns the record's length.
    /// One pass over the bytes.
    ///
    /// # Errors
    /// [`RecordError::Exhausted`] when the sequence number is used up, [`RecordError::Overflow`] when the content
    /// is too long or `out` too short.
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8], out: &mut [u8]) -> Result<usize, RecordError> {
        let n = plain.len();
        let total = n + self.overhead();
        if n > PLAIN_MAX || out.len() < total {
            return Err(RecordError::Overflow);
        }
        if self.seq == u64::MAX {
            return Err(RecordError::Exhausted);
        }
        let nonce = self.nonce();
        let [len_hi, len_lo] = ((total - HEADER) as u16).to_be_bytes();
        let outer = if self.shape == Shape::Tls13 { APPLICATION_DATA } else { kind };
        let header = [outer, VERSION[0], VERSION[1], len_hi, len_lo];
        out[..HEADER].copy_from_slice(&header);
        let (start, aad13, aad12);
        let (aad, extra): (&[u8], &[u8]) = match self.shape {
            Shape::Tls13 => {
                (start, aad13) = (HEADER, header);
                (&aad13, &[kind])
            }
            Shape::Tls12Gcm => {
                out[HEADER..HEADER + EXPLICIT_NONCE].copy_from_slice(&nonce[4..]);
                (start, aad12) = (HEADER + EXPLICIT_NONCE, self.aad12(&header, n));
                (aad12.as_ref(), &[])
            }
            Shape::Tls12Chacha => {
                (start, aad12) = (HEADER, self.aad12(&header, n));
                (aad12.as_ref(), &[])
            }
        };
        let (body, tail) = out[start..total].split_at_mut(n);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plain, body, extra, tail)
            .map_err(|_| RecordError::Overflow)?;
        self.seq += 1;
        Ok(total)
    }

    /// Opens a whole record in place; the content lies in `record` where the result says.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        let parts = self.parts(record)?;
        let (front, tag) = record.split_at_mut(record.len() - TAG);
        let body = &mut front[parts.start..];
        self.key
            .open_in_place_separate_tag(parts.nonce, parts.aad.as_aad(), tag, body)
            .map_err(|_| RecordError::BadMac)?;
        self.seq += 1;
        let (kind, len) = self.content(parts.kind, body)?;
        Ok(Opened { kind, start: parts.start, len })
    }

    /// Opens a whole record into the front of `out`, which must hold [`Cipher::room_needed`] bytes.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(super) fn open_to(&mut self, record: &[u8], out: &mut [u8]) -> Result<Opened, RecordError> {
        let parts = self.parts(record)?;
        let (front, tag) = record.split_at(record.len() - TAG);
        let sealed = &front[parts.start..];
        let out = out.get_mut(..sealed.len()).ok_or(RecordError::Overflow)?;
        self.key
            .open_separate_gather(parts.nonce, parts.aad.as_aad(), sealed, tag, out)
            .map_err(|_| RecordError::BadMac)?;
        self.seq += 1;
        let (kind, len) = self.content(parts.kind, out)?;
        Ok(Opened { kind, start: 0, len })
    }

    /// Bytes that [`Cipher::open_to`] needs to open a record of `total` bytes.
    pub(super) fn room_needed(&self, total: usize) -> usize {
        match self.shape {
            Shape::Tls12Gcm => total.saturating_sub(HEADER + EXPLICIT_NONCE + TAG),
            Shape::Tls13 | Shape::Tls12Chacha => total.saturating_sub(HEADER + TAG),
        }
    }

    fn parts(&self, record: &[u8]) -> Result<Parts, RecordError> {
        let header = record.first_chunk::<HEADER>().ok_or(RecordError::Unexpected)?;
        if self.seq == u64::MAX {
            return Err(RecordError::Exhausted);
        }
        let body = &record[HEADER..];
        let least = if self.shape == Shape::Tls12Gcm { EXPLICIT_NONCE + TAG } else { TAG };
        if body.len() < least {
            return Err(RecordError::BadMac);
        }
        let plain = body.len() - least;
        match self.shape {
            Shape::Tls13 => {
                if header[0] != APPLICATION_DATA {
                    return Err(RecordError::Unexpected);
                }
                if body.len() > PLAIN_MAX + TLS13_EXPANSION_MAX {
                    return Err(RecordError::Overflow);
                }
                let nonce = Nonce::assume_unique_for_key(self.nonce());
                Ok(Parts { kind: header[0], start: HEADER, nonce, aad: AadBytes::Tls13(*header) })
            }
            Shape::Tls12Gcm => {
                let mut nonce = self.iv;
                nonce[4..].copy_from_slice(&body[..EXPLICIT_NONCE]);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let start = HEADER + EXPLICIT_NONCE;
                Ok(Parts { kind: header[0], start, nonce, aad: AadBytes::Tls12(self.aad12(header, plain)) })
            }
            Shape::Tls12Chacha => {
                let nonce = Nonce::assume_unique_for_key(self.nonce());
                let aad = AadBytes::Tls12(self.aad12(header, plain));
                Ok(Parts { kind: header[0], start: HEADER, nonce, aad })
            }
        }
    }

    /// The type and length of an opened content: TLS 1.3 hides the type behind zero padding (section 5.4).
    fn content(&self, outer: u8, plain: &[u8]) -> Result<(u8, usize), RecordError> {
        let (kind, len) = if self.shape == Shape::Tls13 {
            // Padding does not widen the bound of a record.
            if plain.len() > TLS13_INNER_MAX {
                return Err(RecordError::Overflow);
            }
            let last = plain.iter().rposition(|&b| b != 0).ok_or(RecordError::Unexpected)?;
            (plain[last], last)
        } else {
            (outer, plain.len())
        };
        if len > PLAIN_MAX { Err(RecordError::Overflow) } else { Ok((kind, len)) }
    }
}

struct Parts {
    kind: u8,
    start: usize,
    nonce: Nonce,
    aad: AadBytes,
}

enum AadBytes {
    Tls13([u8; HEADER]),
    Tls12(Aad<[u8; 13]>),
}

impl AadBytes {
    fn as_aad(&self) -> Aad<&[u8]> {
        match self {
            AadBytes::Tls13(header) => Aad::from(header),
            AadBytes::Tls12(aad) => Aad::from(aad.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::cipher::{AeadKey, Iv};

    const OVERHEAD_MAX: usize = HEADER + EXPLICIT_NONCE + TAG;

    fn ciphers() -> Vec<(&'static str, Cipher, Cipher)> {
        let make = |version, which: u8| {
            let key = AeadKey::from([7; 32]);
            let iv = Iv::new([9; 12]);
            let secrets = match which {
                0 => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
                _ => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
            };
            Cipher::new(version, (3, secrets), 1 << 24).unwrap()
        };
        let mut all = Vec::new();
        for (name, version, which) in [
            ("1.3 aes", ProtocolVersion::TLSv1_3, 0),
            ("1.3 chacha", ProtocolVersion::TLSv1_3, 1),
            ("1.2 aes", ProtocolVersion::TLSv1_2, 0),
            ("1.2 chacha", ProtocolVersion::TLSv1_2, 1),
        ] {
            all.push((name, make(version, which), make(version, which)));
        }
        all
    }

    #[test]
    fn what_is_sealed_opens_both_ways() {
        for (name, mut tx, mut rx) in ciphers() {
            for len in [0, 1, 100, PLAIN_MAX] {
                let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let mut out = vec![0; PLAIN_MAX + OVERHEAD_MAX];
                let n = tx.seal(APPLICATION_DATA, &plain, &mut out).unwrap();
                assert_eq!(n, len + tx.overhead(), "{name}");
                assert_eq!(record_len(&out).unwrap(), Some(n), "{name}");
                let mut to = vec![0; rx.room_needed(n)];
                let got = rx.open_to(&out[..n], &mut to).unwrap();
                assert_eq!((got.kind, &to[..got.len]), (APPLICATION_DATA, &plain[..]), "{name} {len}");
                let n = tx.seal(HANDSHAKE, &plain, &mut out).unwrap();
                let got = rx.open(&mut out[..n]).unwrap();
                assert_eq!(got.kind, HANDSHAKE, "{name}");
                assert_eq!(&out[got.start..got.start + got.len], &plain[..], "{name} {len}");
            }
        }
    }

    #[test]
    fn changed_replayed_or_short_records_are_refused() {
        for (name, mut tx, mut rx) in ciphers() {
            let mut out = vec![0; 200];
            let n = tx.seal(APPLICATION_DATA, b"hello", &mut out).unwrap();
            // TLS 1.2 authenticates the length of the content, not the header's own.
            for at in (0..n).filter(|at| name.starts_with("1.3") || !(3..HEADER).contains(at)) {
                let mut bad = out[..n].to_vec();
                bad[at] ^= 1;
                assert!(rx.open(&mut bad).is_err(), "{name} byte {at}");
            }
            for len in HEADER..n {
                assert!(rx.open(&mut out[..len].to_vec()).is_err(), "{name} length {len}");
            }
            rx.open(&mut out[..n].to_vec()).unwrap();
            assert_eq!(rx.open(&mut out[..n].to_vec()), Err(RecordError::BadMac), "{name} replay");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let header = |kind: u8, len: usize| [kind, 3, 3, (len >> 8) as u8, len as u8];
        assert_eq!(record_len(&[23, 3, 3, 0]), Ok(None));
        assert_eq!(record_len(&header(23, RECORD_MAX - HEADER)), Ok(Some(RECORD_MAX)));
        assert_eq!(record_len(&header(23, RECORD_MAX - HEADER + 1)), Err(RecordError::Overflow));
        assert_eq!(record_len(&header(20, 1)), Err(RecordError::Unexpected));
        assert_eq!(record_len(b"HTTP/1.1"), Err(RecordError::Unexpected));
        for (name, mut tx, _) in ciphers() {
            let mut out = vec![0; RECORD_MAX];
            assert_eq!(tx.seal(23, &vec![0; PLAIN_MAX + 1], &mut out), Err(RecordError::Overflow), "{name}");
            assert_eq!(tx.seal(23, b"x", &mut out[..tx.overhead()]), Err(RecordError::Overflow), "{name}");
        }
    }

    /// Seals `inner`, a content with its type and padding, as TLS 1.3 does, with no regard to any bound.
    fn seal_inner(tx: &mut Cipher, inner: &[u8]) -> Vec<u8> {
        let len = inner.len() + TAG;
        let mut out = vec![APPLICATION_DATA, 3, 3, (len >> 8) as u8, len as u8];
        let aad = Aad::from(<[u8; HEADER]>::try_from(&out[..]).unwrap());
        out.extend_from_slice(inner);
        let nonce = Nonce::assume_unique_for_key(tx.nonce());
        let tag = tx.key.seal_in_place_separate_tag(nonce, aad, &mut out[HEADER..]).unwrap();
        out.extend_from_slice(tag.as_ref());
        tx.seq += 1;
        out
    }

    #[test]
    fn padding_is_removed_and_bounded() {
        for (name, mut tx, mut rx) in ciphers().drain(..2) {
            for (content, padding, want) in [
                (&b""[..], 0, Ok(0)),
                (b"", 700, Ok(0)),
                (b"a\0", 3, Ok(2)),
                (&[7; PLAIN_MAX], 0, Ok(PLAIN_MAX)),
                (&[7; PLAIN_MAX - 9], 9, Ok(PLAIN_MAX - 9)),
                (&[7; PLAIN_MAX - 9], 10, Err(RecordError::Overflow)),
                (&[7; PLAIN_MAX + 1], 0, Err(RecordError::Overflow)),
                (b"a", PLAIN_MAX + TLS13_EXPANSION_MAX - TAG - 2, Err(RecordError::Overflow)),
                (b"a", PLAIN_MAX + TLS13_EXPANSION_MAX - TAG - 1, Err(RecordError::Overflow)),
            ] {
                let mut inner = [content, &[APPLICATION_DATA]].concat();
                inner.resize(inner.len() + padding, 0);
                let sealed = seal_inner(&mut tx, &inner);
                let (seq, mut to) = (rx.seq, vec![0; rx.room_needed(sealed.len())]);
                let opened = rx.open_to(&sealed, &mut to);
                assert_eq!(opened.map(|o| o.len), want, "{name} {} {padding}", content.len());
                rx.seq = seq;
                let opened = rx.open(&mut sealed.clone());
                assert_eq!(opened.map(|o| o.len), want, "{name} {} {padding}", content.len());
                rx.seq = tx.seq;
            }
            let sealed = seal_inner(&mut tx, &[0; 20]);
            assert_eq!(rx.open(&mut sealed.clone()), Err(RecordError::Unexpected), "{name}: no type");
        }
    }

    #[test]
    fn a_sequence_number_is_never_used_twice() {
        for (name, mut tx, mut rx) in ciphers() {
            (tx.seq, rx.seq) = (u64::MAX - 1, u64::MAX - 1);
            let mut out = vec![0; 200];
            let n = tx.seal(APPLICATION_DATA, b"last", &mut out).unwrap();
            rx.open(&mut out[..n].to_vec()).unwrap();
            assert_eq!(tx.seal(APPLICATION_DATA, b"x", &mut out), Err(RecordError::Exhausted), "{name}");
            assert_eq!(rx.open(&mut out[..n].to_vec()), Err(RecordError::Exhausted), "{name}");
        }
    }

    #[test]
    fn nonces_are_those_of_the_rfcs() {
        for (name, mut tx, mut rx) in ciphers() {
            (tx.seq, rx.seq) = (0x0102_0304_0506_0708, 0x0102_0304_0506_0708);
            let nonce = [9, 9, 9, 9, 8, 11, 10, 13, 12, 15, 14, 1];
            assert_eq!(tx.nonce(), nonce, "{name}");
            let mut out = vec![0; 100];
            let n = tx.seal(APPLICATION_DATA, b"hello", &mut out).unwrap();
            if name == "1.2 aes" {
                assert_eq!(out[HEADER..HEADER + EXPLICIT_NONCE], nonce[4..], "sent in the record");
                // The receiver takes the peer's word for it, however it was made (RFC 5288 section 3).
                let mut other = tx.nonce();
                other[4..].copy_from_slice(b"anything");
                let mut record = vec![APPLICATION_DATA, 3, 3, 0, 29];
                record.extend_from_slice(b"anythinghello");
                tx.seq = rx.seq;
                let aad = tx.aad12(record.first_chunk().unwrap(), 5);
                let (nonce, body) =
                    (Nonce::assume_unique_for_key(other), &mut record[HEADER + EXPLICIT_NONCE..]);
                let tag = tx.key.seal_in_place_separate_tag(nonce, aad, body).unwrap();
                record.extend_from_slice(tag.as_ref());
                assert_eq!(rx.open(&mut record).map(|o| o.len), Ok(5));
            } else {
                assert_eq!(rx.open(&mut out[..n]).map(|o| o.len), Ok(5), "{name}");
            }
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    /// The protected records of RFC 8448 section 3 after its handshake, in both directions.
    #[test]
    fn the_trace_of_rfc_8448() {
        let cipher = |key: &str, iv: &str| {
            let mut padded = [0; 32];
            padded[..16].copy_from_slice(&hex(key));
            let iv: [u8; 12] = hex(iv).try_into().unwrap();
            let key = UnboundKey::new(&AES_128_GCM, &padded[..16]).unwrap();
            Cipher { key: LessSafeKey::new(key), iv, seq: 0, limit: 1 << 24, shape: Shape::Tls13 }
        };
        let client = || cipher("17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9");
        let server = || cipher("9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984");
        let body: Vec<u8> = (0..50).collect();
        let from_client = [
            (
                APPLICATION_DATA,
                &body[..],
                "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
            ),
            (ALERT, &[1, 0], "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"),
        ];
        let from_server = [
            (
                APPLICATION_DATA,
                &body[..],
                "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
            ),
            (ALERT, &[1, 0], "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"),
        ];
        // The server's first record is its ticket.
        for (make, first, records) in
            [(&client as &dyn Fn() -> Cipher, 0, from_client), (&server, 1, from_server)]
        {
            let (mut tx, mut rx) = (make(), make());
            (tx.seq, rx.seq) = (first, first);
            for (kind, content, record) in records {
                let record = hex(record);
                let mut out = vec![0; record.len()];
                assert_eq!(tx.seal(kind, content, &mut out), Ok(record.len()));
                assert_eq!(out, record);
                let opened = rx.open(&mut out).unwrap();
                assert_eq!((opened.kind, &out[opened.start..opened.start + opened.len]), (kind, content));
            }
        }
    }
}
