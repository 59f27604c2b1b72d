//! Optional watching of the configuration's files: a change is taken once the files have been quiet for a while,
//! so that half-written ones are not read. Looks at names, sizes and times; works on every file system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use penstock_gate::Snapshot;
use penstock_gate::spec::PemSource;

use crate::source::Source;

/// How often it is looked.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// How long files must be quiet.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// What is seen of files.
type Seen = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

/// What has been seen and when it last changed.
#[derive(Debug)]
pub(crate) struct Watch {
    taken: Seen,
    latest: Seen,
    quiet_looks: u32,
}

impl Watch {
    /// Begins with what is there now.
    pub(crate) fn new(source: &Source, snapshot: &Snapshot) -> Self {
        let seen = look(source, snapshot);
        Self { taken: seen.clone(), latest: seen, quiet_looks: 0 }
    }

    /// To be called every [`LOOK`]; true when there is a change that has been quiet for [`QUIET`].
    pub(crate) fn changed(&mut self, source: &Source, snapshot: &Snapshot) -> bool {
        self.learn(look(source, snapshot))
    }

    fn learn(&mut self, seen: Seen) -> bool {
        if seen != self.latest {
            self.latest = seen;
            self.quiet_looks = 0;
            return false;
        }
        self.quiet_looks = self.quiet_looks.saturating_add(1);
        let quiet = LOOK * self.quiet_looks >= QUIET;
        if !quiet || self.latest == self.taken {
            return false;
        }
        self.taken = self.latest.clone();
        true
    }
}

fn look(source: &Source, snapshot: &Snapshot) -> Seen {
    let mut seen = Seen::new();
    if let Source::Files(paths) = source {
        for path in paths {
            note(&mut seen, path);
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                note(&mut seen, &entry.path());
            }
        }
    }
    for tls in snapshot.listeners().filter_map(|listener| listener.tls.as_ref()) {
        let certificates = tls.certificates.iter().flat_map(|one| [&one.chain, &one.key]);
        for pem in certificates.chain(tls.client.iter().map(|client| &client.ca)) {
            if let PemSource::File(path) = pem {
                note(&mut seen, path);
            }
        }
    }
    seen
}

fn note(seen: &mut Seen, path: &Path) {
    let found = std::fs::metadata(path).ok();
    let found = found.and_then(|about| Some((about.modified().ok()?, about.len())));
    seen.insert(path.to_owned(), found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_once_and_only_when_it_is_quiet() {
        let seen = |len| Seen::from([(PathBuf::from("a"), Some((SystemTime::UNIX_EPOCH, len)))]);
        let mut watch = Watch { taken: seen(1), latest: seen(1), quiet_looks: 0 };
        let mut told = Vec::new();
        for len in [1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 1, 3, 3, 3, 3, 3, 3] {
            told.push(u8::from(watch.learn(seen(len))));
        }
        // 500 ms are five looks without a change; going back to what is served is no change.
        assert_eq!(told, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
