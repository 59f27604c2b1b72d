//! The rings' folder: runs, their locks, their files.
//!
//! A run is one process. Its number comes from a locked counter and its lock is held until the
//! process ends, so an old and a new process never write to one ring, and whoever takes the lock of
//! an ended run may drain it. Control side only: files, locks and disk writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::header::{HEADER_BYTES, HeaderError, Identity, Ring, check_capacity};
use crate::map::{Map, reserve};
use crate::memory::Memory;

/// Name of the rings' folder inside the data directory.
pub const RINGS_FOLDER: &str = "rings";
const COUNTER: &str = "run.counter";
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const PAGE_BYTES: usize = 4096;

/// Why a run or one of its rings could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The disk has no room for a ring; the worker serves on without one.
    #[error("{path}: no room on disk for a ring of {bytes} bytes; the worker serves on without a ring")]
    NoSpace {
        /// The ring's file.
        path: PathBuf,
        /// Bytes it would take.
        bytes: u64,
    },
    /// A file is no ring that this version reads, or the capacity is out of bounds.
    #[error("{path}: {source}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RunError + '_ {
    move |source| RunError::Io { path: path.to_owned(), source }
}

/// A run whose lock this process holds. Dropping it, or the process's end, frees the lock.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    number: u64,
    _lock: File,
}

/// One ring file of the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingFile {
    /// The run that wrote it.
    pub run: u64,
    /// The worker that wrote it.
    pub worker: u32,
    /// Where it is.
    pub path: PathBuf,
}

impl Run {
    /// Begins a new run in `folder`, which is made if it is not there.
    pub fn begin(folder: &Path) -> Result<Run, RunError> {
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(io_error(folder))?;
        let path = folder.join(COUNTER);
        let mut counter = open_lockable(&path).map_err(io_error(&path))?;
        counter.lock().map_err(io_error(&path))?;
        let mut text = String::new();
        counter.read_to_string(&mut text).map_err(io_error(&path))?;
        // A damaged counter must not bring an old number back: the files have a say too.
        let last = runs(folder)?.last().copied().unwrap_or(0);
        let number = text.trim().parse::<u64>().unwrap_or(0).max(last) + 1;
        let lock = lock_of(folder, number)?;
        lock.try_lock()
            .map_err(|error| RunError::Io { path: lock_path(folder, number), source: error.into() })?;
        counter
            .seek(SeekFrom::Start(0))
            .and_then(|_| counter.write_all(format!("{number:020}\n").as_bytes()))
            .and_then(|()| counter.sync_data())
            .map_err(io_error(&path))?;
        Ok(Run { folder: folder.to_owned(), number, _lock: lock })
    }

    /// Takes over a run whose process has ended; `None` while the process lives.
    pub fn adopt(folder: &Path, number: u64) -> Result<Option<Run>, RunError> {
        let lock = lock_of(folder, number)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Run { folder: folder.to_owned(), number, _lock: lock })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(RunError::Io { path: folder.to_owned(), source }),
        }
    }

    /// The run's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Makes the ring of one worker: room on disk for every block, every page touched, header last.
    /// Takes some ten milliseconds for 64 MiB. A failure leaves no file behind.
    pub fn create_ring(&self, worker: u32, capacity: u64, now_ns: u64) -> Result<Ring, RunError> {
        let path = self.folder.join(format!("{}-w{worker}.ring", self.number));
        check_capacity(capacity).map_err(|source| RunError::Header { path: path.clone(), source })?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(io_error(&path))?;
        let identity = Identity {
            capacity,
            run: self.number,
            worker,
            created_ns: now_ns,
            boot_id: boot_id().unwrap_or_default(),
        };
        let made = allocate(&file, HEADER_BYTES + capacity)
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT) => {
                    RunError::NoSpace { path: path.clone(), bytes: HEADER_BYTES + capacity }
                }
                _ => RunError::Io { path: path.clone(), source },
            })
            .and_then(|()| Map::writable(&file).map_err(io_error(&path)))
            .and_then(|map| {
                let memory = Memory::mapped(map);
                for page in memory.words().chunks(PAGE_BYTES / 8) {
                    page[0].store(0, Ordering::Relaxed);
                }
                Ring::format(memory, identity)
                    .map_err(|source| RunError::Header { path: path.clone(), source })
            });
        if made.is_err() {
            // The first error is the one to tell; a file left behind has no magic and is no ring.
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// The ring files of this run.
    pub fn ring_files(&self) -> Result<Vec<RingFile>, RunError> {
        Ok(ring_files(&self.folder)?.into_iter().filter(|file| file.run == self.number).collect())
    }

    /// Opens one of this run's rings for draining.
    pub fn open_ring(&self, file: &RingFile) -> Result<Ring, RunError> {
        let opened =
            OpenOptions::new().read(true).write(true).open(&file.path).map_err(io_error(&file.path))?;
        open_map(Map::writable(&opened), &file.path, Ring::open)
    }

    /// Removes this run's files. For a run that is drained and no longer worth keeping.
    pub fn remove(self) -> Result<(), RunError> {
        for file in self.ring_files()? {
            fs::remove_file(&file.path).map_err(io_error(&file.path))?;
        }
        let lock = lock_path(&self.folder, self.number);
        fs::remove_file(&lock).map_err(io_error(&lock))
    }
}

/// Opens a ring file for reading only. What is left of a cut file can be read, too.
pub fn open_readable(path: &Path) -> Result<Ring, RunError> {
    let file = File::open(path).map_err(io_error(path))?;
    open_map(Map::readable(&file), path, Ring::open_damaged)
}

fn open_map(
    map: io::Result<Map>,
    path: &Path,
    open: impl FnOnce(Memory) -> Result<Ring, HeaderError>,
) -> Result<Ring, RunError> {
    let map = map.map_err(io_error(path))?;
    open(Memory::mapped(map)).map_err(|source| RunError::Header { path: path.to_owned(), source })
}

/// All ring files of a folder, by run and worker; other files are passed over.
pub fn ring_files(folder: &Path) -> Result<Vec<RingFile>, RunError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        if let Some((run, worker)) = path.file_name().and_then(|name| parse_name(name.to_str()?)) {
            found.push(RingFile { run, worker, path });
        }
    }
    found.sort();
    Ok(found)
}

/// The runs that have left a file in the folder, lock or ring, in order.
pub fn runs(folder: &Path) -> Result<Vec<u64>, RunError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let name = entry.map_err(io_error(folder))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let of_lock = name.strip_suffix(".lock").and_then(|run| run.parse().ok());
        found.extend(of_lock.or(parse_name(name).map(|(run, _)| run)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Whether the process of a run still lives (its lock is held). Takes a shared lock for a moment
/// and writes nothing; a run without a lock file is an ended one.
pub fn is_live(folder: &Path, run: u64) -> bool {
    let Ok(lock) = File::open(lock_path(folder, run)) else {
        return false;
    };
    matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (run, worker) = name.strip_suffix(".ring")?.split_once("-w")?;
    Some((run.parse().ok()?, worker.parse().ok()?))
}

fn lock_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.lock"))
}

fn lock_of(folder: &Path, number: u64) -> Result<File, RunError> {
    let path = lock_path(folder, number);
    open_lockable(&path).map_err(io_error(&path))
}

fn open_lockable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

/// Gives the file its blocks, then writes zeros through the file: what cannot be had is an error
/// here, and not a SIGBUS in a worker later.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    reserve(file, bytes)?;
    let zeros = vec![0u8; 1 << 20];
    let mut file = file;
    let mut left = bytes;
    while left > 0 {
        let now = left.min(zeros.len() as u64) as usize;
        file.write_all(&zeros[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// The kernel's boot id in binary.
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    parse_boot_id(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "boot id is not a UUID"))
}

fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&character| character != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}
