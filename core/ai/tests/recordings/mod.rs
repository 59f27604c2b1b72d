//! Recorded traffic of providers, which is kept outside of this repository. Where it is not at hand, the tests that read it
//! say that they tested nothing; with `PENSTOCK_RECORDINGS=required` they fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use penstock_ai::json::Value;

/// A file and what stands in it.
type File = (PathBuf, Vec<u8>);

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cassettes");
    #[allow(clippy::disallowed_methods, reason = "a test has no program that reads the environment for it")]
    let required = std::env::var("PENSTOCK_RECORDINGS").is_ok_and(|value| value == "required");
    let Ok(names) = fs::read_dir(&folder) else {
        assert!(!required, "there is no recorded traffic at {}", folder.display());
        println!("nothing was tested: the recorded traffic is not beside this repository");
        return Vec::new();
    };
    let files = names.flatten().filter_map(|name| fs::read_dir(name.path()).ok()).flatten().flatten();
    let mut files: Vec<File> =
        files.map(|file| (file.path(), fs::read(file.path()).expect("a file"))).collect();
    files.sort();
    files
});

/// Whether there are none here.
pub(crate) fn are_absent() -> bool {
    FILES.is_empty()
}

/// The files whose name ends like this.
pub(crate) fn files(end: &str) -> impl Iterator<Item = (&'static Path, &'static [u8])> {
    let files = FILES.iter().filter(move |(path, _)| path.to_string_lossy().ends_with(end));
    files.map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
}

/// The requests, as documents with `method`, `uri` and `body`.
#[allow(dead_code, reason = "not every test reads them")]
pub(crate) fn requests() -> impl Iterator<Item = (&'static Path, Value<'static>)> {
    files(".request.json").map(|(path, bytes)| (path, Value::parse(bytes).expect("JSON")))
}
