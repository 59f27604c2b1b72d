//! One file of a journal: a header, lines one behind the other, zeros after the last.
//!
//! A segment is filled with zeros before it gets its name, so that every byte has its place on disk and the first empty head
//! says where the lines end. Knows files. Must not know what a line means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::error::{LedgerError, io_error};
use crate::map::{Map, reserve};

/// Bytes of a segment's header: magic, version, journal, sequence, size, when it was made, checksum.
pub const SEGMENT_HEAD_BYTES: u32 = 64;

const MAGIC: u64 = u64::from_le_bytes(*b"PNSLEDGR");
const VERSION: u64 = 1;
const HEAD_WORDS: usize = SEGMENT_HEAD_BYTES as usize / 8;
const PAGE_BYTES: usize = 4096;
const FILE_MODE: u32 = 0o600;
/// Ending of a file that is being made.
pub(crate) const DRAFT_ENDING: &str = "new";

/// Names a segment for good: no two files that ever were have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The journal's number.
    pub journal: u32,
    /// Its place in the journal; one more than that of the segment before.
    pub sequence: u64,
    /// When it was made, in ns since 1970.
    pub created_ns: u64,
}

/// Where a line of a journal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Sequence of its segment.
    pub sequence: u64,
    /// First byte of its head in the segment's file.
    pub offset: u32,
}

/// Why a file is no segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Shorter than a header, or a header whose checksum is wrong.
    #[error("not a segment of a journal: its header is damaged")]
    Header,
    /// Another version of the format.
    #[error("format version {0}, this program reads version {VERSION}")]
    Version(u64),
}

/// A mapped segment.
#[derive(Debug)]
pub struct Segment {
    id: SegmentId,
    /// Bytes that it was made with; a file that was cut has fewer.
    bytes: u32,
    seed: u32,
    map: Map,
    /// End of the last line, as its writer in this process knows it.
    written: AtomicU32,
    /// Up to where it was written to disk.
    synced: AtomicU32,
    /// Nobody will write another line.
    ended: AtomicBool,
}

impl Segment {
    /// Makes the file at `path`: room on disk for every block, every page touched, its name last.
    pub(crate) fn create(path: &Path, id: SegmentId, bytes: u32) -> Result<Segment, LedgerError> {
        let draft = path.with_extension(DRAFT_ENDING);
        let made = Segment::fill(&draft, id, bytes)
            .and_then(|segment| fs::rename(&draft, path).map(|()| segment))
            .and_then(|segment| {
                let folder = path.parent().map_or_else(|| File::open("."), File::open)?;
                folder.sync_all().map(|()| segment)
            });
        made.map_err(|source| {
            // The first error is the one to tell; a draft that stays is removed when the journal is opened.
            let _ = fs::remove_file(&draft);
            match source.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT) => {
                    LedgerError::NoSpace { path: path.to_owned(), bytes: bytes.into() }
                }
                _ => LedgerError::Io { path: path.to_owned(), source },
            }
        })
    }

    fn fill(draft: &Path, id: SegmentId, bytes: u32) -> io::Result<Segment> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(draft)?;
        reserve(&file, bytes.into())?;
        let mut head = [0u64; HEAD_WORDS];
        head[..6].copy_from_slice(&[
            MAGIC,
            VERSION,
            id.journal.into(),
            id.sequence,
            bytes.into(),
            id.created_ns,
        ]);
        let seed = seed(&head);
        head[HEAD_WORDS - 1] = seed.into();
        let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        let zeros = vec![0; 1 << 20];
        file.write_all(&head)?;
        let mut left = bytes as usize - head.len();
        while left > 0 {
            let now = left.min(zeros.len());
            file.write_all(&zeros[..now])?;
            left -= now;
        }
        file.sync_all()?;
        let map = Map::writable(&file)?;
        for page in map.words().chunks(PAGE_BYTES / 8) {
            // A store of what is there: the page is at hand when a worker wants it.
            page[0].store(page[0].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(Segment::of(id, bytes, seed, map))
    }

    fn of(id: SegmentId, bytes: u32, seed: u32, map: Map) -> Segment {
        let start = AtomicU32::new(SEGMENT_HEAD_BYTES);
        let synced = AtomicU32::new(SEGMENT_HEAD_BYTES);
        Segment { id, bytes, seed, map, written: start, synced, ended: AtomicBool::new(false) }
    }

    /// Maps the file at `path` for reading.
    ///
    /// # Errors
    /// When it cannot be read or is no segment.
    pub fn open(path: &Path) -> Result<Segment, LedgerError> {
        let file = File::open(path).map_err(io_error(path))?;
        let wrong = |source| LedgerError::Segment { path: path.to_owned(), source };
        let length = file.metadata().map_err(io_error(path))?.len();
        if length < SEGMENT_HEAD_BYTES.into() {
            return Err(wrong(SegmentError::Header));
        }
        let map = Map::readable(&file).map_err(io_error(path))?;
        let mut head = [0u64; HEAD_WORDS];
        for (to, from) in head.iter_mut().zip(map.words()) {
            *to = from.load(Ordering::Relaxed);
        }
        let told = std::mem::take(&mut head[HEAD_WORDS - 1]);
        let seed = seed(&head);
        let [magic, version, journal, sequence, bytes, created_ns, ..] = head;
        let sized = (u32::try_from(journal), u32::try_from(bytes));
        match (magic == MAGIC && told == u64::from(seed), version, sized) {
            (true, VERSION, (Ok(journal), Ok(bytes))) => {
                Ok(Segment::of(SegmentId { journal, sequence, created_ns }, bytes, seed, map))
            }
            (true, version, _) if version != VERSION => Err(wrong(SegmentError::Version(version))),
            _ => Err(wrong(SegmentError::Header)),
        }
    }

    /// Its name.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Bytes that it was made with.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether nobody will write another line.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Nobody will write another line: for the last segment of a journal whose writer has gone.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Every line's checksum begins with this, so that a line counts in its own segment only.
    pub(crate) fn seed(&self) -> u32 {
        self.seed
    }

    /// The words of the file; fewer than [`Segment::bytes`] where it was cut.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.map.words()
    }

    /// Whether it has a line: every segment before it is ended then.
    pub fn is_begun(&self) -> bool {
        let first = self.words().get(SEGMENT_HEAD_BYTES as usize / 8);
        first.is_some_and(|head| head.load(Ordering::Acquire) != 0)
    }

    /// Where the lines end, as its writer in this process knows it.
    pub fn written(&self) -> u32 {
        self.written.load(Ordering::Acquire)
    }

    /// Says that lines end at `offset`. For the one writer.
    #[inline]
    pub(crate) fn set_written(&self, offset: u32) {
        self.written.store(offset, Ordering::Release);
    }

    /// Writes what was written since the last time to disk and waits for it. Several threads that do so at once write some of
    /// it twice.
    ///
    /// # Errors
    /// What the disk says; the same bytes are written again the next time.
    pub fn sync(&self) -> io::Result<()> {
        let (from, to) = (self.synced.load(Ordering::Relaxed), self.written.load(Ordering::Acquire));
        if from < to {
            self.sync_range(from, to)?;
            self.synced.store(to, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn sync_range(&self, from: u32, to: u32) -> io::Result<()> {
        self.map.sync(from as usize, to as usize)
    }
}

/// The checksum of a header, without its own place.
fn seed(head: &[u64; HEAD_WORDS]) -> u32 {
    head[..HEAD_WORDS - 1].iter().fold(0, |sum, word| crc32c::crc32c_append(sum, &word.to_le_bytes()))
}
