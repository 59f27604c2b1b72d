//! A call as the payload of a frame: a small head, the fixed record, the AI block, the strings.
//!
//! Knows the byte layout inside a frame. Must not know positions, checksums or the ring.

use rkyv::rancor::Error;
use rkyv::ser::writer::Buffer;

use crate::ai::{
    AI_ATTEMPT_BYTES, AI_ATTEMPTS, AI_HEAD_BYTES, AiAttempt, AiCall, AiHead, ArchivedAiAttempt,
    ArchivedAiHead,
};
use crate::record::{AMEND_BYTES, Amend, ArchivedAmend, ArchivedCallRecord, CallRecord, RECORD_BYTES};
use crate::strings::{CallStrings, SLOT_BYTES_MAX, Slot, TAIL_BYTES_MAX, bounded};

/// Bytes of the payload's own head.
pub(crate) const PAYLOAD_HEAD_BYTES: usize = 8;

/// The longest payload: an AI call with eight attempts and every string at its bound.
pub const PAYLOAD_BYTES_MAX: usize =
    PAYLOAD_HEAD_BYTES + RECORD_BYTES + AI_HEAD_BYTES + AI_ATTEMPTS * AI_ATTEMPT_BYTES + TAIL_BYTES_MAX;

/// Why a payload whose checksum is right cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It ends before its own lengths say so.
    #[error("payload of {0} bytes is shorter than its lengths")]
    Short(usize),
    /// Its fixed part has a size that this version does not know.
    #[error("fixed part of {0} bytes is unknown to this version")]
    Layout(usize),
}

#[inline]
fn put<T>(out: &mut [u8], value: &T)
where
    T: for<'a> rkyv::Serialize<rkyv::rancor::Strategy<Buffer<'a>, Error>>,
{
    let mut buffer = Buffer::from(out);
    let wrote = rkyv::api::serialize_using::<_, Error>(value, &mut buffer);
    debug_assert!(wrote.is_ok(), "the slice has the size of the archived type");
}

/// Writes a call into `out`, which must hold [`PAYLOAD_BYTES_MAX`], and returns its length.
#[inline]
pub(crate) fn encode_call(
    out: &mut [u8],
    record: &CallRecord,
    strings: &CallStrings<'_>,
    ai: Option<&AiCall>,
) -> usize {
    let count = strings.count();
    let mut at = PAYLOAD_HEAD_BYTES;
    put(&mut out[at..at + RECORD_BYTES], record);
    at += RECORD_BYTES;
    let mut ai_bytes = 0;
    if let Some(ai) = ai {
        put(&mut out[at..at + AI_HEAD_BYTES], &ai.head);
        at += AI_HEAD_BYTES;
        for attempt in ai.attempts() {
            put(&mut out[at..at + AI_ATTEMPT_BYTES], attempt);
            at += AI_ATTEMPT_BYTES;
        }
        ai_bytes = AI_HEAD_BYTES + ai.attempts().len() * AI_ATTEMPT_BYTES;
    }
    let tail = at;
    at += count * 4;
    let mut truncated = 0u16;
    for (slot, &max) in SLOT_BYTES_MAX[..count].iter().enumerate() {
        let (text, cut) = bounded(strings.get(slot), max);
        truncated |= u16::from(cut) << slot;
        let entry = (at - tail) as u32 | (text.len() as u32) << 16;
        out[tail + slot * 4..][..4].copy_from_slice(&entry.to_le_bytes());
        if !text.is_empty() {
            out[at..at + text.len()].copy_from_slice(text);
            at += text.len();
        }
    }
    let [bytes_low, bytes_high] = (RECORD_BYTES as u16).to_le_bytes();
    let [ai_low, ai_high] = (ai_bytes as u16).to_le_bytes();
    let [truncated_low, truncated_high] = truncated.to_le_bytes();
    out[..PAYLOAD_HEAD_BYTES].copy_from_slice(&[
        bytes_low,
        bytes_high,
        ai_low,
        ai_high,
        truncated_low,
        truncated_high,
        count as u8,
        0,
    ]);
    at
}

/// Writes an amendment and returns its length.
#[inline]
pub(crate) fn encode_amend(out: &mut [u8], amend: &Amend) -> usize {
    put(&mut out[..AMEND_BYTES], amend);
    AMEND_BYTES
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// A call read from the ring: the fixed part by value, the strings borrowed from the copy.
#[derive(Clone, Debug)]
pub struct CallView<'a> {
    /// The fixed part.
    pub record: CallRecord,
    /// The strings' table and bytes.
    tail: &'a [u8],
    slots: usize,
    truncated: u16,
    ai: &'a [u8],
}

impl<'a> CallView<'a> {
    /// A string of the call, empty if absent.
    pub fn string(&self, slot: Slot) -> &'a [u8] {
        let index = slot as usize;
        if index >= self.slots {
            return b"";
        }
        let (Some(offset), Some(length)) = (u16_at(self.tail, index * 4), u16_at(self.tail, index * 4 + 2))
        else {
            return b"";
        };
        self.tail.get(offset..offset + length).unwrap_or(b"")
    }

    /// Whether a string was cut at its bound.
    pub fn truncated(&self, slot: Slot) -> bool {
        self.truncated & (1 << slot as u8) != 0
    }

    /// Bits of the strings that were cut, by slot.
    pub fn truncated_bits(&self) -> u16 {
        self.truncated
    }

    /// All strings, borrowed.
    pub fn strings(&self) -> CallStrings<'a> {
        CallStrings {
            request_id: self.string(Slot::RequestId),
            host: self.string(Slot::Host),
            path: self.string(Slot::Path),
            target: self.string(Slot::Target),
            subject: self.string(Slot::Subject),
            method: self.string(Slot::Method),
            tags: self.string(Slot::Tags),
            model_asked: self.string(Slot::ModelAsked),
            model_served: self.string(Slot::ModelServed),
            degraded: self.string(Slot::Degraded),
            end_user: self.string(Slot::EndUser),
        }
    }

    /// The AI block, `None` if the call had none.
    pub fn ai(&self) -> Option<AiCall> {
        let mut call = AiCall { head: read_ai_head(self.ai.get(..AI_HEAD_BYTES)?)?, ..AiCall::default() };
        let mut read = 0;
        for (held, bytes) in
            call.attempts.iter_mut().zip(self.ai[AI_HEAD_BYTES..].chunks_exact(AI_ATTEMPT_BYTES))
        {
            *held = read_ai_attempt(bytes)?;
            read += 1;
        }
        call.head.attempts = call.head.attempts.min(read);
        Some(call)
    }
}

fn read_ai_head(bytes: &[u8]) -> Option<AiHead> {
    let archived = rkyv::access::<ArchivedAiHead, Error>(bytes).ok()?;
    rkyv::deserialize::<AiHead, Error>(archived).ok()
}

fn read_ai_attempt(bytes: &[u8]) -> Option<AiAttempt> {
    let archived = rkyv::access::<ArchivedAiAttempt, Error>(bytes).ok()?;
    rkyv::deserialize::<AiAttempt, Error>(archived).ok()
}

/// Reads a call's payload. `payload` must start at a multiple of eight in memory.
pub(crate) fn decode_call(payload: &[u8]) -> Result<CallView<'_>, PayloadError> {
    let short = PayloadError::Short(payload.len());
    let record_bytes = u16_at(payload, 0).ok_or(short)?;
    let ai_bytes = u16_at(payload, 2).ok_or(short)?;
    let truncated = u16_at(payload, 4).ok_or(short)? as u16;
    let slots = usize::from(*payload.get(6).ok_or(short)?);
    if record_bytes != RECORD_BYTES {
        return Err(PayloadError::Layout(record_bytes));
    }
    let record_end = PAYLOAD_HEAD_BYTES + RECORD_BYTES;
    let record_part = payload.get(PAYLOAD_HEAD_BYTES..record_end).ok_or(short)?;
    let ai = payload.get(record_end..record_end + ai_bytes).ok_or(short)?;
    let tail = &payload[record_end + ai_bytes..];
    if tail.len() < slots * 4 {
        return Err(short);
    }
    let archived = rkyv::access::<ArchivedCallRecord, Error>(record_part)
        .map_err(|_| PayloadError::Layout(record_bytes))?;
    let record =
        rkyv::deserialize::<CallRecord, Error>(archived).map_err(|_| PayloadError::Layout(record_bytes))?;
    Ok(CallView { record, tail, slots, truncated, ai })
}

/// Reads an amendment's payload. `payload` must start at a multiple of eight in memory.
pub(crate) fn decode_amend(payload: &[u8]) -> Result<Amend, PayloadError> {
    let part = payload.get(..AMEND_BYTES).ok_or(PayloadError::Short(payload.len()))?;
    let archived =
        rkyv::access::<ArchivedAmend, Error>(part).map_err(|_| PayloadError::Layout(payload.len()))?;
    rkyv::deserialize::<Amend, Error>(archived).map_err(|_| PayloadError::Layout(payload.len()))
}
