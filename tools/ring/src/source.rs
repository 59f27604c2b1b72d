//! Finds and opens the rings of a data directory, for reading only, and walks what is readable.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use penstock_ring::{
    Amend, CallView, Cursor, Damage, Dictionary, Extent, Item, RINGS_FOLDER, Ring, RingFile, boot_id, extent,
    is_live, open_readable, ring_files,
};

/// One ring, opened for reading.
pub(crate) struct Opened {
    pub(crate) ring: Ring,
    pub(crate) file: RingFile,
    /// Whether its process lives.
    pub(crate) live: bool,
    /// What was readable when it was opened.
    pub(crate) extent: Extent,
}

/// What a walk meets.
#[expect(
    clippy::large_enum_variant,
    reason = "an event lives on the stack for one turn; a box would allocate"
)]
pub(crate) enum Event<'a> {
    /// A call, its amendment applied.
    Call(CallView<'a>),
    /// Bytes that were stepped over.
    Damage { at: u64, to: u64, why: Damage },
    /// The writer overwrote this part while we read.
    Lapped,
}

/// The rings' folder of a data directory (or that folder itself), or an error that says what is missing.
pub(crate) fn folder(data_dir: &Path) -> Result<PathBuf> {
    if !data_dir.is_dir() {
        bail!("{}: no such data directory (--data-dir names the gateway's data_dir)", data_dir.display());
    }
    let folder = data_dir.join(RINGS_FOLDER);
    if !folder.is_dir() && ring_files(data_dir).is_ok_and(|files| !files.is_empty()) {
        return Ok(data_dir.to_owned()); // a folder of its own, as `rings.dir` makes it
    }
    if !folder.is_dir() {
        bail!("{}: no rings: no gateway has run with this data directory", folder.display());
    }
    Ok(folder)
}

/// Opens every ring of the data directory. One that cannot be read is told on stderr; an error if
/// there is none that can.
pub(crate) fn open_all(data_dir: &Path) -> Result<Vec<Opened>> {
    let folder = folder(data_dir)?;
    let mut opened = Vec::new();
    let mut refused = Vec::new();
    for file in ring_files(&folder)? {
        match open(&folder, file) {
            Ok(ring) => opened.push(ring),
            Err(error) => refused.push(error),
        }
    }
    if opened.is_empty() {
        match refused.into_iter().next() {
            Some(first) => return Err(first.context("no ring can be read")),
            None => bail!("{}: no rings: no gateway has run with this data directory", folder.display()),
        }
    }
    for error in refused {
        eprintln!("penstock-ring: left out: {error:#}");
    }
    Ok(opened)
}

/// Opens one ring.
pub(crate) fn open(folder: &Path, file: RingFile) -> Result<Opened> {
    let ring = open_readable(&file.path)?;
    let boot_id = boot_id().context("the kernel's boot id")?;
    Ok(Opened { extent: extent(&ring, boot_id), live: is_live(folder, file.run), ring, file })
}

/// The names.
pub(crate) fn dictionary(data_dir: &Path) -> Result<Dictionary> {
    let dictionary = Dictionary::read(&folder(data_dir)?)?;
    if dictionary.damaged_lines() > 0 {
        eprintln!("penstock-ring: {} damaged lines of the dictionary left out", dictionary.damaged_lines());
    }
    Ok(dictionary)
}

impl Opened {
    /// All amendments that are readable, by sequence.
    pub(crate) fn amendments(&self) -> HashMap<u64, Amend> {
        let mut amendments = HashMap::new();
        let mut cursor = self.cursor();
        loop {
            match cursor.next_before(self.extent.end) {
                Item::Amend(amend) => {
                    amendments.insert(amend.sequence, amend);
                }
                Item::End => return amendments,
                _ => {}
            }
        }
    }

    /// A cursor at the oldest readable frame.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::at(self.ring.clone(), self.extent.oldest)
    }

    /// Shows everything readable to `each`, oldest first.
    pub(crate) fn walk(&self, mut each: impl FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let amendments = self.amendments();
        let mut cursor = self.cursor();
        loop {
            match cursor.next_before(self.extent.end) {
                Item::Call(view) => each(Event::Call(amended(view, &amendments)))?,
                Item::Amend(_) => {}
                Item::Damage { at, to, why } => each(Event::Damage { at, to, why })?,
                Item::Lapped { .. } => each(Event::Lapped)?,
                Item::End => return Ok(()),
            }
        }
    }
}

/// A call with its amendment applied.
pub(crate) fn amended<'a>(mut view: CallView<'a>, amendments: &HashMap<u64, Amend>) -> CallView<'a> {
    if let Some(amend) = amendments.get(&view.record.sequence) {
        amend.apply(&mut view.record);
    }
    view
}
