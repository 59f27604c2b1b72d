//! The dictionary `dict.log`: which name stands behind an id of a record.
//!
//! A text file that only grows: one line an entry, `id kind uid name crc`, tab-separated. Ids count
//! up within a kind and are never used again; a rename is a further line with the same id and uid.
//! Lines are on disk before an id is handed out. Control side only: takes the file's lock and
//! syncs it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::stage::coded;

/// Name of the dictionary inside the rings' folder.
pub const DICTIONARY_FILE: &str = "dict.log";
/// Longest uid or name, in bytes; a longer name is cut, a longer uid refused.
pub const NAME_BYTES_MAX: usize = 256;
/// Most entries of all kinds; beyond, ids are refused.
pub const ENTRIES_MAX: usize = 4_000_000;

coded! {
    /// What an id stands for.
    EntryKind {
        /// A tenant.
        Tenant = 1 "tenant",
        /// A team.
        Team = 2 "team",
        /// An app.
        App = 3 "app",
        /// A credential.
        Credential = 4 "credential",
        /// A service.
        Service = 5 "service",
        /// An API version.
        Version = 6 "version",
        /// A route.
        Route = 7 "route",
        /// An upstream.
        Upstream = 8 "upstream",
        /// A target.
        Target = 9 "target",
        /// A listener.
        Listener = 10 "listener",
        /// A limit.
        Limit = 11 "limit",
        /// Why the gateway answered by itself; its ids are given by the program, not counted.
        Code = 12 "code",
        /// A rule of a stage.
        Rule = 13 "rule",
        /// An operation of an OpenAPI document.
        Operation = 14 "operation",
        /// An LLM provider.
        Provider = 15 "provider",
        /// A provider's key.
        Key = 16 "key",
        /// A model.
        Model = 17 "model",
        /// A price.
        Price = 18 "price",
        /// A dialect of an AI API; its ids are given by the program, not counted.
        Dialect = 19 "dialect",
    }
}

impl EntryKind {
    /// The kind behind a name of a line or a filter.
    pub fn from_name(name: &str) -> Option<EntryKind> {
        EntryKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// Why the dictionary could not be read or grown.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The dictionary's file.
        path: std::path::PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A uid is empty or over [`NAME_BYTES_MAX`].
    #[error("uid of {0} bytes is out of bounds (1 to {NAME_BYTES_MAX})")]
    Uid(usize),
    /// A program-given id was given to something else before.
    #[error("{kind} {id} already stands for {held:?}")]
    Taken {
        /// The kind.
        kind: &'static str,
        /// The id.
        id: u32,
        /// Its uid.
        held: String,
    },
    /// The bound on entries is reached.
    #[error("the dictionary is full ({ENTRIES_MAX} entries)")]
    Full,
}

/// What stands behind an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The resource's uid, which never changes.
    pub uid: String,
    /// Its name as of the last line.
    pub name: String,
}

/// The dictionary as read.
#[derive(Debug, Default, Clone)]
pub struct Dictionary {
    entries: HashMap<(EntryKind, u32), Entry>,
    ids: HashMap<(EntryKind, String), u32>,
    last: HashMap<EntryKind, u32>,
    /// Bytes of the file that hold whole lines.
    whole_bytes: u64,
    damaged_lines: u64,
}

impl Dictionary {
    /// Reads a dictionary; a file that is not there is an empty one. A line torn at the end or
    /// damaged inside is passed over, and the latter counted.
    pub fn read(folder: &Path) -> Result<Dictionary, DictionaryError> {
        let mut dictionary = Dictionary::default();
        dictionary.refresh(folder)?;
        Ok(dictionary)
    }

    /// Reads what was added since. Costs one `open` and one read of the new lines.
    pub fn refresh(&mut self, folder: &Path) -> Result<(), DictionaryError> {
        let path = folder.join(DICTIONARY_FILE);
        let read = File::open(&path).and_then(|mut file| self.read_from(&mut file));
        match read {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(DictionaryError::Io { path, source })
            }
            _ => Ok(()),
        }
    }

    fn read_from(&mut self, file: &mut File) -> io::Result<()> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.whole_bytes))?;
        file.read_to_end(&mut bytes)?;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let Some(content) = line.strip_suffix(b"\n") else {
                break;
            };
            self.whole_bytes += line.len() as u64;
            match parse_line(content) {
                Some((kind, id, entry)) => self.hold(kind, id, entry),
                None => self.damaged_lines += 1,
            }
        }
        Ok(())
    }

    fn hold(&mut self, kind: EntryKind, id: u32, entry: Entry) {
        self.ids.insert((kind, entry.uid.clone()), id);
        self.entries.insert((kind, id), entry);
        let last = self.last.entry(kind).or_insert(0);
        *last = (*last).max(id);
    }

    /// What stands behind an id.
    pub fn entry(&self, kind: EntryKind, id: u32) -> Option<&Entry> {
        self.entries.get(&(kind, id))
    }

    /// The name behind an id.
    pub fn name(&self, kind: EntryKind, id: u32) -> Option<&str> {
        self.entry(kind, id).map(|entry| entry.name.as_str())
    }

    /// The id of a uid.
    pub fn id(&self, kind: EntryKind, uid: &str) -> Option<u32> {
        self.ids.get(&(kind, uid.to_owned())).copied()
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryKind, u32, &Entry)> {
        self.entries.iter().map(|(&(kind, id), entry)| (kind, id, entry))
    }

    /// Lines inside the file that could not be read.
    pub fn damaged_lines(&self) -> u64 {
        self.damaged_lines
    }
}

/// The control side's end of the dictionary: hands out ids.
#[derive(Debug)]
pub struct DictionaryWriter {
    path: std::path::PathBuf,
    file: File,
    held: Dictionary,
}

/// One thing to have an id for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What it is.
    pub kind: EntryKind,
    /// Its uid.
    pub uid: &'a str,
    /// Its name now.
    pub name: &'a str,
    /// `Some` where the program gives the id (codes, dialects); `None` to count on.
    pub id: Option<u32>,
}

impl DictionaryWriter {
    /// Opens or makes the dictionary in the rings' folder, which must be there.
    pub fn open(folder: &Path) -> Result<DictionaryWriter, DictionaryError> {
        let path = folder.join(DICTIONARY_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| DictionaryError::Io { path: path.clone(), source })?;
        let mut writer = DictionaryWriter { path, file, held: Dictionary::default() };
        writer.assign(&[])?;
        Ok(writer)
    }

    /// The ids of `wanted`, in its order. New ones and new names are on disk when this returns; with
    /// nothing new it costs a lock and a short read. Another process may add lines between calls.
    pub fn assign(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<u32>, DictionaryError> {
        self.file.lock().map_err(io_error(&self.path))?;
        let assigned = self.assign_locked(wanted);
        self.file.unlock().map_err(io_error(&self.path))?;
        assigned
    }

    fn assign_locked(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<u32>, DictionaryError> {
        self.held.read_from(&mut self.file).map_err(io_error(&self.path))?;
        let start = self.held.whole_bytes;
        // What is new is kept aside until it is on disk.
        let mut new = Dictionary::default();
        let mut ids = Vec::with_capacity(wanted.len());
        let mut lines = Vec::new();
        for one in wanted {
            ids.push(self.held.place(&mut new, one, &mut lines)?);
        }
        // A line torn by a crash is cut off, so that the next one starts at its own line.
        let length = self.file.metadata().map_err(io_error(&self.path))?.len();
        if length > start {
            self.file.set_len(start).map_err(io_error(&self.path))?;
        }
        if !lines.is_empty() {
            self.file
                .seek(SeekFrom::Start(start))
                .and_then(|_| self.file.write_all(&lines))
                .and_then(|()| self.file.sync_data())
                .map_err(io_error(&self.path))?;
            self.held.whole_bytes = start + lines.len() as u64;
            for ((kind, id), entry) in new.entries {
                self.held.hold(kind, id, entry);
            }
        }
        Ok(ids)
    }

    /// What it holds now.
    pub fn dictionary(&self) -> &Dictionary {
        &self.held
    }
}

impl Dictionary {
    /// The id of one wanted thing; adds a line to `lines` and an entry to `new` if it or its name
    /// is new.
    fn place(
        &self,
        new: &mut Dictionary,
        wanted: &Wanted<'_>,
        lines: &mut Vec<u8>,
    ) -> Result<u32, DictionaryError> {
        if wanted.uid.is_empty() || wanted.uid.len() > NAME_BYTES_MAX {
            return Err(DictionaryError::Uid(wanted.uid.len()));
        }
        let kind = wanted.kind;
        let name = cut(wanted.name);
        let known = new.id(kind, wanted.uid).or_else(|| self.id(kind, wanted.uid));
        let id = match (wanted.id, known) {
            (None, Some(known)) => known,
            (None, None) => new.last_of(kind).max(self.last_of(kind)) + 1,
            (Some(given), Some(known)) if known != given => {
                return Err(taken(kind, known, wanted.uid));
            }
            (Some(given), _) => given,
        };
        let held = new.entry(kind, id).or_else(|| self.entry(kind, id));
        match held {
            Some(held) if held.uid != wanted.uid => return Err(taken(kind, id, &held.uid)),
            Some(held) if held.name == name => return Ok(id),
            _ => {}
        }
        if self.entries.len() + new.entries.len() >= ENTRIES_MAX {
            return Err(DictionaryError::Full);
        }
        let entry = Entry { uid: wanted.uid.to_owned(), name: name.to_owned() };
        write_line(lines, kind, id, &entry);
        new.hold(kind, id, entry);
        Ok(id)
    }

    fn last_of(&self, kind: EntryKind) -> u32 {
        self.last.get(&kind).copied().unwrap_or(0)
    }
}

fn taken(kind: EntryKind, id: u32, held: &str) -> DictionaryError {
    DictionaryError::Taken { kind: kind.name(), id, held: held.to_owned() }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DictionaryError + '_ {
    move |source| DictionaryError::Io { path: path.to_owned(), source }
}

/// Cuts a name at its bound, at a character.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

fn write_line(lines: &mut Vec<u8>, kind: EntryKind, id: u32, entry: &Entry) {
    let body = format!("{id}\t{}\t{}\t{}", kind.name(), escape(&entry.uid), escape(&entry.name));
    let checksum = crc32c::crc32c(body.as_bytes());
    lines.extend_from_slice(format!("{body}\t{checksum:08x}\n").as_bytes());
}

fn parse_line(line: &[u8]) -> Option<(EntryKind, u32, Entry)> {
    let (body, checksum) = std::str::from_utf8(line).ok()?.rsplit_once('\t')?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    let mut fields = body.split('\t');
    let id = fields.next()?.parse().ok()?;
    let kind = EntryKind::from_name(fields.next()?)?;
    let entry = Entry { uid: unescape(fields.next()?), name: unescape(fields.next()?) };
    fields.next().is_none().then_some((kind, id, entry))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            }),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("penstock-dict-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    }

    fn wanted<'a>(kind: EntryKind, uid: &'a str, name: &'a str) -> Wanted<'a> {
        Wanted { kind, uid, name, id: None }
    }

    #[test]
    fn ids_last_count_by_kind_and_a_rename_keeps_them() {
        let folder = folder("ids");
        let mut writer = DictionaryWriter::open(&folder).expect("opened");
        let route = wanted(EntryKind::Route, "r-1", "orders");
        let ids = writer.assign(&[route, wanted(EntryKind::App, "a-1", "tab\tnew\nback\\slash"), route]);
        assert_eq!(ids.expect("assigned"), [1, 1, 1]);
        assert_eq!(writer.assign(&[wanted(EntryKind::Route, "r-2", "cart")]).expect("assigned"), [2]);
        assert_eq!(writer.assign(&[wanted(EntryKind::Route, "r-1", "orders v2")]).expect("renamed"), [1]);
        // A second process sees the same and goes on counting.
        let mut other = DictionaryWriter::open(&folder).expect("opened");
        assert_eq!(other.assign(&[wanted(EntryKind::Route, "r-3", "x")]).expect("assigned"), [3]);
        assert_eq!(writer.assign(&[wanted(EntryKind::Route, "r-4", "y")]).expect("assigned"), [4]);
        let read = Dictionary::read(&folder).expect("read");
        assert_eq!(read.name(EntryKind::Route, 1), Some("orders v2"));
        assert_eq!(read.name(EntryKind::App, 1), Some("tab\tnew\nback\\slash"));
        assert_eq!(read.entries().count(), 5);
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_torn_tail_is_passed_over_then_cut_and_a_damaged_line_is_counted() {
        let folder = folder("torn");
        let mut writer = DictionaryWriter::open(&folder).expect("opened");
        for uid in ["a", "b", "c"] {
            writer.assign(&[wanted(EntryKind::App, uid, uid)]).expect("assigned");
        }
        drop(writer);
        let path = folder.join(DICTIONARY_FILE);
        let whole = std::fs::read(&path).expect("read");
        for torn in 0..whole.len() {
            std::fs::write(&path, &whole[..torn]).expect("written");
            let lines = whole[..torn].iter().filter(|&&byte| byte == b'\n').count();
            let read = Dictionary::read(&folder).expect("read");
            assert_eq!((read.entries().count(), read.damaged_lines()), (lines, 0), "torn at {torn}");
            let mut writer = DictionaryWriter::open(&folder).expect("opened");
            let next = writer.assign(&[wanted(EntryKind::App, "new", "new")]).expect("assigned");
            assert_eq!(next, [lines as u32 + 1]);
            assert_eq!(Dictionary::read(&folder).expect("read").entries().count(), lines + 1);
        }
        let mut damaged = whole.clone();
        damaged[2] ^= 1;
        std::fs::write(&path, &damaged).expect("written");
        let read = Dictionary::read(&folder).expect("read");
        assert_eq!((read.entries().count(), read.damaged_lines()), (2, 1));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn program_given_ids_stay_what_they_are() {
        let folder = folder("given");
        let mut writer = DictionaryWriter::open(&folder).expect("opened");
        let code = |id, uid| Wanted { kind: EntryKind::Code, uid, name: uid, id: Some(id) };
        assert_eq!(writer.assign(&[code(17, "rate_limited")]).expect("assigned"), [17]);
        for refused in [code(17, "other"), code(18, "rate_limited"), code(19, ""), code(19, &"x".repeat(257))]
        {
            assert!(writer.assign(&[refused]).is_err(), "{refused:?}");
        }
        let long = "\u{20ac}".repeat(100);
        writer.assign(&[wanted(EntryKind::App, "long", &long)]).expect("assigned");
        assert_eq!(writer.dictionary().name(EntryKind::App, 1).map(str::len), Some(255));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
