//! Calls whose content follows from their sequence, so that a reader can tell a wrong one.
#![allow(dead_code)]

use penstock_ring::{CallRecord, CallStrings, CallView, Full, Identity, Memory, Ring, RingWriter, Slot};

/// The smallest ring there is: it wraps after some hundred calls.
pub(crate) const CAPACITY: u64 = 256 * 1024;

pub(crate) const BOOT: [u8; 16] = [7; 16];

pub(crate) fn ring_of(capacity: u64) -> Ring {
    let identity = Identity { capacity, run: 1, worker: 0, created_ns: 1, boot_id: BOOT };
    Ring::format(Memory::plain(capacity as usize + 4096), identity).expect("a ring in plain memory")
}

/// Text of 0 to 2,047 bytes that follows from the sequence.
pub(crate) fn path_of(sequence: u64) -> Vec<u8> {
    let length = (sequence.wrapping_mul(2_654_435_761) % 2048) as usize;
    (0..length).map(|index| b'a' + ((sequence as usize + index) % 26) as u8).collect()
}

pub(crate) fn append(writer: &mut RingWriter) -> Result<u64, Full> {
    let sequence = writer.sequence() + 1;
    let path = path_of(sequence);
    let mut record = CallRecord { time_ns: sequence * 3, status: 200, ..CallRecord::EMPTY };
    writer.append(&mut record, &CallStrings { path: &path, request_id: b"id", ..CallStrings::default() })
}

pub(crate) fn check(call: &CallView<'_>) {
    let sequence = call.record.sequence;
    assert_eq!(call.record.time_ns, sequence * 3, "record {sequence}");
    assert_eq!(call.string(Slot::Path), path_of(sequence), "path of {sequence}");
    assert_eq!(call.string(Slot::RequestId), b"id", "request id of {sequence}");
}
