//! The trailer section of a chunked body: parsed as strictly as a head, and thinned to what may come so late.
//!
//! A trailer arrives after routing, identity and limits were decided, so no field that takes part in them, in framing
//! or in how content is understood is relayed (RFC 9110 section 6.5.1). Of the names the gateway knows only digests,
//! ETag, Server-Timing and gRPC's status pass; others pass unless their prefix says that they belong to a class above.

use crate::code::Code;
use crate::field::{FieldId, FieldSet};
use crate::head::{FIELDS_MAX, Field, FieldTable, HeadLimits};
use crate::scan::{LineScan, Refusal, parse_fields, refuse};
use crate::write::copy_fields;

/// Bytes of a trailer section, its empty line not counted.
pub const TRAILERS_BYTES_MAX: usize = 8 * 1024;

/// The known fields that may stand in a trailer.
const RELAYED: FieldSet = FieldSet::of(&[
    FieldId::Other,
    FieldId::ContentDigest,
    FieldId::ReprDigest,
    FieldId::Digest,
    FieldId::Etag,
    FieldId::ServerTiming,
    FieldId::GrpcStatus,
    FieldId::GrpcMessage,
]);

/// Families of fields that never may, whatever follows the prefix.
const REFUSED_PREFIXES: &[&[u8]] =
    &[b"content-", b"if-", b"proxy-", b"sec-", b"access-control-", b"x-forwarded-", b"x-penstock-"];

/// The trailer fields of one body, with their bytes. Allocates once, at most 8 KiB.
#[derive(Clone, Debug, Default)]
pub struct Trailers {
    raw: Vec<u8>,
    fields: FieldTable,
    relayed: bool,
}

impl Trailers {
    /// Forgets the fields and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.raw.clear();
        self.fields.clear();
        self.relayed = false;
    }

    /// Takes in bytes of the section, at most one line at a time.
    pub(crate) fn collect(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.raw.len() + bytes.len() > TRAILERS_BYTES_MAX {
            return refuse(Code::BadTrailer, "the trailer section is too long", 0);
        }
        self.raw.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") && !self.raw.ends_with(b"\r\n") {
            return refuse(Code::BadTrailer, "a trailer line ends in LF without CR", 0);
        }
        Ok(())
    }

    /// Parses the section; true if a field is left to relay.
    pub(crate) fn judge(&mut self) -> Result<bool, Refusal> {
        if self.raw.is_empty() {
            return Ok(false);
        }
        self.raw.extend_from_slice(b"\r\n");
        let limits = HeadLimits {
            head_bytes_max: TRAILERS_BYTES_MAX + 3,
            fields_max: FIELDS_MAX,
            ..HeadLimits::default()
        };
        let mut scan = LineScan::from(0);
        let end = scan.advance(&self.raw, &limits).map_err(as_trailer)?;
        if end != Some(self.raw.len()) {
            return refuse(Code::BadTrailer, "the trailer section is malformed", 0);
        }
        parse_fields(&self.raw, 0, self.raw.len(), &mut self.fields).map_err(as_trailer)?;
        self.relayed = false;
        for index in 0..self.fields.len() {
            let field = self.fields.as_slice()[index];
            if self.may_relay(&field) {
                self.relayed = true;
            } else {
                self.fields.drop_at(index);
            }
        }
        Ok(self.relayed)
    }

    fn may_relay(&self, field: &Field) -> bool {
        let name = field.name.of(&self.raw);
        !field.dropped
            && RELAYED.contains(field.id)
            && (field.id != FieldId::Other
                || !REFUSED_PREFIXES.iter().any(|prefix| {
                    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                }))
    }

    /// Whether a field is left to relay.
    pub fn has_relayed(&self) -> bool {
        self.relayed
    }

    /// The fields that may be relayed, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let relayed = self.fields.as_slice().iter().filter(|field| !field.dropped);
        relayed.map(|field| (field.name.of(&self.raw), field.value.of(&self.raw)))
    }

    /// Writes the lines of those fields.
    pub fn write(&self, out: &mut Vec<u8>) {
        copy_fields(out, &self.raw, &self.fields, FieldSet::EMPTY);
    }
}

fn as_trailer(refusal: Refusal) -> Refusal {
    Refusal { code: Code::BadTrailer, ..refusal }
}
