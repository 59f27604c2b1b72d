//! Where configuration files, certificates and key sets are read from. May know paths and bytes only.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A source of files. The disk in the program; a map in tests.
pub trait Files {
    /// The bytes of a file, at most `bytes_max` of them; a longer file is an error of kind `FileTooLarge`.
    ///
    /// # Errors
    /// What the system says, as for [`std::fs::File::open`].
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// The entries of a folder, sorted; `None` if the path is no folder.
    ///
    /// # Errors
    /// What the system says, as for [`std::fs::read_dir`].
    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = std::fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        if !path.is_dir() {
            return Ok(None);
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            entries.push(entry?.path());
        }
        entries.sort();
        Ok(Some(entries))
    }
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Memory {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), bytes.into());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if bytes.len() > bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes.clone())
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        let inside: Vec<PathBuf> =
            self.files.keys().filter(|file| file.parent() == Some(path)).cloned().collect();
        Ok((!inside.is_empty() && !self.files.contains_key(path)).then_some(inside))
    }
}

/// What went wrong with a file, in words that are the same on every system.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        io::ErrorKind::FileTooLarge => "it is too large".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_at_the_bound() {
        let files = Memory::default().with("d/a.yaml", "12345");
        assert!(files.read(Path::new("d/a.yaml"), 5).is_ok());
        let over = files.read(Path::new("d/a.yaml"), 4).expect_err("over");
        assert_eq!(reason(&over), "it is too large");
        assert_eq!(reason(&files.read(Path::new("x"), 4).expect_err("absent")), "no such file");
        assert_eq!(files.list(Path::new("d")).expect("list"), Some(vec![PathBuf::from("d/a.yaml")]));
        assert_eq!(files.list(Path::new("d/a.yaml")).expect("list"), None);
    }
}
