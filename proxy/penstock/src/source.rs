//! Where the configuration comes from: files that the user named, or the embedded defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use penstock_model::{
    Configuration, CountedIds, DEFAULTS_NAME, DEMO_KEY, DEMO_UPSTREAM, Disk, HashKeys, Problem, Process,
};

/// The file that is served when none is named.
pub(crate) const DEFAULT_FILE: &str = "penstock.yaml";

/// Stands in for the demo's values while only the shape of the defaults matters.
const ANY_UPSTREAM: &str = "127.0.0.1:1";
const ANY_KEY: &str = "psk_demo_0123456789abcdef";

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Files and folders.
    Files(Vec<PathBuf>),
    /// The embedded defaults, with the demo's values once they are known.
    Defaults(Option<Demo>),
}

/// What the embedded defaults need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demo {
    /// The upstream inside this process.
    pub upstream: SocketAddr,
    /// The key of the demo app.
    pub key: String,
}

impl Source {
    /// The named files; without any, `penstock.yaml` of this folder if it is there, else the defaults.
    pub(crate) fn of(named: &[PathBuf]) -> Source {
        if !named.is_empty() {
            Source::Files(named.to_vec())
        } else if Path::new(DEFAULT_FILE).exists() {
            Source::Files(vec![DEFAULT_FILE.into()])
        } else {
            Source::Defaults(None)
        }
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// Every problem at once.
    pub(crate) fn check(&self) -> Result<Configuration, Vec<Problem>> {
        match self {
            Source::Files(paths) => penstock_model::check(paths, &Disk, &environment),
            Source::Defaults(demo) => {
                let lookup = |name: &str| match (name, demo) {
                    (DEMO_UPSTREAM, Some(demo)) => Some(demo.upstream.to_string()),
                    (DEMO_UPSTREAM, None) => Some(ANY_UPSTREAM.to_owned()),
                    (DEMO_KEY, Some(demo)) => Some(demo.key.clone()),
                    (DEMO_KEY, None) => Some(ANY_KEY.to_owned()),
                    _ => None,
                };
                penstock_model::check_text(DEFAULTS_NAME, penstock_model::defaults(), &Disk, &lookup)
            }
        }
    }

    /// What the process needs beside what the gate serves.
    ///
    /// # Errors
    /// As [`Source::check`].
    pub(crate) fn process(&self) -> Result<Process, Vec<Problem>> {
        process_of(&self.check()?)
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Source::Files(paths) => {
                let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                names.join(" ")
            }
            Source::Defaults(_) => {
                "embedded defaults (no penstock.yaml here; `penstock init` writes one)".into()
            }
        }
    }
}

/// What the process needs of a configuration.
///
/// # Errors
/// As [`Configuration::compile`].
pub(crate) fn process_of(configuration: &Configuration) -> Result<Process, Vec<Problem>> {
    Ok(configuration.compile(0, &mut CountedIds::default(), &HashKeys::CheckOnly)?.process)
}

/// A variable of the environment; one that is not UTF-8 counts as unset.
#[allow(clippy::disallowed_methods, reason = "this is the one place where the binary reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good_with_and_without_the_demo() {
        let demo = Demo { upstream: ([127, 0, 0, 1], 40_001).into(), key: ANY_KEY.into() };
        for source in [Source::Defaults(None), Source::Defaults(Some(demo))] {
            let process = source.process().unwrap();
            assert_eq!(process.data_dir, Path::new("./penstock-data"));
        }
    }
}
