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

    /// The additional data of TLS 1.2 (RFC 5246 section 6.2.3.3).
    fn aad12(&self, kind: u8, len: usize) -> Aad<[u8; 13]> {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.seq.to_be_bytes());
        aad[8..11].copy_from_slice(&[kind, 3, 3]);
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
        let header = [outer, 3, 3, len_hi, len_lo];
        out[..HEADER].copy_from_slice(&header);
        let (start, aad13, aad12);
        let (aad, extra): (&[u8], &[u8]) = match self.shape {
            Shape::Tls13 => {
                (start, aad13) = (HEADER, header);
                (&aad13, &[kind])
            }
            Shape::Tls12Gcm => {
                out[HEADER..HEADER + EXPLICIT_NONCE].copy_from_slice(&nonce[4..]);
                (start, aad12) = (HEADER + EXPLICIT_NONCE, self.aad12(kind, n));
                (aad12.as_ref(), &[])
            }
            Shape::Tls12Chacha => {
                (start, aad12) = (HEADER, self.aad12(kind, n));
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
                Ok(Parts {
                    kind: header[0],
                    start,
                    nonce,
                    aad: AadBytes::Tls12(self.aad12(header[0], plain)),
                })
            }
            Shape::Tls12Chacha => {
                let nonce = Nonce::assume_unique_for_key(self.nonce());
                let aad = AadBytes::Tls12(self.aad12(header[0], plain));
                Ok(Parts { kind: header[0], start: HEADER, nonce, aad })
            }
        }
    }

    /// The type and length of an opened content: TLS 1.3 hides the type behind zero padding (section 5.4).
    fn content(&self, outer: u8, plain: &[u8]) -> Result<(u8, usize), RecordError> {
        let (kind, len) = if self.shape == Shape::Tls13 {
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
            for at in if name.starts_with("1.3") { 0 } else { HEADER }..n {
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

    #[test]
    fn padding_without_a_type_is_refused() {
        let (_, mut tx, mut rx) = ciphers().remove(0);
        let mut out = vec![0; 100];
        let n = tx.seal(0, &[0; 20], &mut out).unwrap();
        assert_eq!(rx.open(&mut out[..n]), Err(RecordError::Unexpected));
    }
}
