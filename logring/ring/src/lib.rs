//! The call record and the memory-mapped ring of one worker.
//!
//! A worker fills in one [`CallRecord`] a request and publishes it with [`RingWriter::append`]; a
//! drain or a tool reads it from the same file, live or after a crash. The bytes are described in
//! `docs/ring-format.md`, well enough to write a reader in another language.
//!
//! May know files, mappings and the kernel's boot id. Must not know sockets, clocks or any other
//! crate of the project. `unsafe` stands in `map` and `checksum` only.
#![deny(unsafe_code)]

mod ai;
mod checksum;
mod dictionary;
mod frame;
mod header;
mod map;
mod memory;
mod payload;
mod reader;
mod record;
mod recover;
mod run;
mod stage;
mod strings;
mod sync;
mod vocabulary;
mod writer;

pub use ai::{AI_ATTEMPT_BYTES, AI_ATTEMPTS, AI_HEAD_BYTES, AiAttempt, AiCall, AiHead, Tokens, ai_flag};
pub use dictionary::{
    DICTIONARY_FILE, Dictionary, DictionaryError, DictionaryWriter, ENTRIES_MAX, Entry, EntryKind,
    NAME_BYTES_MAX, Wanted,
};
pub use frame::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FRAME_MAGIC, FrameError, Kind};
pub use header::{
    CAPACITY_BYTES_DEFAULT, CAPACITY_BYTES_MAX, CAPACITY_BYTES_MIN, FORMAT_VERSION, HEADER_BYTES,
    HeaderError, Identity, RING_MAGIC, Ring, check_capacity,
};
pub use memory::Memory;
pub use payload::{CallView, PAYLOAD_BYTES_MAX, PayloadError};
pub use reader::{Cursor, Damage, Drain, Item};
pub use record::{AMEND_BYTES, Amend, CallRecord, RECORD_BYTES, flag};
pub use recover::{Extent, extent, recover};
pub use run::{RINGS_FOLDER, RingFile, Run, RunError, boot_id, is_live, open_readable, ring_files, runs};
pub use stage::{RULES, STAGES, Stage, Verdict};
pub use strings::{CallStrings, SLOT_BYTES_MAX, SLOT_NAMES, SLOTS, Slot, TAIL_BYTES_MAX};
pub use sync::{SYNC_EVERY_DEFAULT, SyncThread};
pub use vocabulary::{AmendReason, Cache, Method, Protocol, Tls};
pub use writer::{Full, RingWriter};
