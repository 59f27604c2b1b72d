//! Ids of resources in call records: given by the rings' dictionary, all new ones of a configuration in one write.
//!
//! Where there is no dictionary (its folder cannot be used) ids are counted: records then have no names.

use std::collections::{HashMap, HashSet};

use penstock_ai::dialect::Dialect;
use penstock_gate::spec::HashKey;
use penstock_http::Code;
use penstock_model::{Configuration, CountedIds, HashKeys, Ids, Kind, Problem, Ready};
use penstock_ring::{DictionaryError, DictionaryWriter, EntryKind, Wanted};

/// Why a configuration got no ids, or could not be compiled with them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// It is wrong.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
    /// The dictionary could not be written.
    #[error("the names of the call records cannot be written: {0}")]
    Dictionary(#[from] DictionaryError),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Gives ids for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Names {
    dictionary: Option<DictionaryWriter>,
    /// For kinds that no record names, and for everything when there is no dictionary.
    counted: CountedIds,
}

impl Names {
    /// Ids of `dictionary`; the gateway's own codes and the dialects are entered with their own ids.
    ///
    /// # Errors
    /// When the dictionary cannot be written.
    pub(crate) fn new(dictionary: Option<DictionaryWriter>) -> Result<Self, DictionaryError> {
        let mut names = Self { dictionary, counted: CountedIds::default() };
        if let Some(dictionary) = &mut names.dictionary {
            let dialects = Dialect::ALL.iter().map(wanted_dialect);
            let given: Vec<Wanted<'_>> = Code::ALL.iter().map(wanted_code).chain(dialects).collect();
            dictionary.assign(&given)?;
        }
        Ok(names)
    }

    /// Compiles a configuration with its ids.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub(crate) fn compile(
        &mut self,
        configuration: &Configuration,
        revision: u64,
        keys: &[HashKey],
    ) -> Result<Ready, CompileError> {
        let keys = HashKeys::Node(keys.to_vec());
        let Some(dictionary) = &mut self.dictionary else {
            return configuration
                .snapshot(revision, &mut self.counted, &keys)
                .map_err(CompileError::Problems);
        };
        // A first pass asks which ids there must be; one write gives them; a second pass takes them.
        let mut wishes = Wishes::default();
        configuration.snapshot(revision, &mut wishes, &keys).map_err(CompileError::Problems)?;
        let wanted: Vec<Wanted<'_>> = wishes
            .list
            .iter()
            .map(|wish| Wanted { kind: wish.entry, uid: &wish.uid, name: &wish.name, id: None })
            .collect();
        let ids = dictionary.assign(&wanted)?;
        let known = wishes.list.iter().zip(ids).map(|(wish, id)| (wish.key, id)).collect();
        let mut given = Given { known, counted: &mut self.counted };
        configuration.snapshot(revision, &mut given, &keys).map_err(CompileError::Problems)
    }
}

fn wanted_code(code: &Code) -> Wanted<'static> {
    Wanted { kind: EntryKind::Code, uid: code.as_str(), name: code.as_str(), id: Some(u32::from(code.id())) }
}

fn wanted_dialect(dialect: &Dialect) -> Wanted<'static> {
    let id = Some(u32::from(dialect.id()));
    Wanted { kind: EntryKind::Dialect, uid: dialect.name(), name: dialect.name(), id }
}

/// The kind of entry that a kind of resource has; none if no record names it.
fn entry_of(kind: Kind) -> Option<EntryKind> {
    Some(match kind {
        Kind::Listener => EntryKind::Listener,
        Kind::Tenant => EntryKind::Tenant,
        Kind::Team => EntryKind::Team,
        Kind::App => EntryKind::App,
        Kind::Credential => EntryKind::Credential,
        Kind::Upstream => EntryKind::Upstream,
        Kind::Target => EntryKind::Target,
        Kind::Service => EntryKind::Service,
        Kind::Version => EntryKind::Version,
        Kind::Route => EntryKind::Route,
        Kind::Limit => EntryKind::Limit,
        Kind::Provider => EntryKind::Provider,
        Kind::ProviderKey => EntryKind::Key,
        Kind::Model => EntryKind::Model,
        Kind::Issuer | Kind::Plan | Kind::Subscription => return None,
    })
}

struct Wish {
    key: (Kind, u64),
    entry: EntryKind,
    uid: String,
    name: String,
}

#[derive(Default)]
struct Wishes {
    list: Vec<Wish>,
    counted: CountedIds,
    seen: HashSet<(Kind, u64)>,
}

impl Ids for Wishes {
    fn id(&mut self, kind: Kind, uid: u64, name: &str) -> u32 {
        if let Some(entry) = entry_of(kind)
            && self.seen.insert((kind, uid))
        {
            let (uid_shown, name) = (format!("{uid:016x}"), name.to_owned());
            self.list.push(Wish { key: (kind, uid), entry, uid: uid_shown, name });
        }
        self.counted.id(kind, uid, name)
    }
}

struct Given<'a> {
    known: HashMap<(Kind, u64), u32>,
    counted: &'a mut CountedIds,
}

impl Ids for Given<'_> {
    fn id(&mut self, kind: Kind, uid: u64, name: &str) -> u32 {
        match self.known.get(&(kind, uid)) {
            Some(id) => *id,
            None => self.counted.id(kind, uid, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn ids_outlive_the_process_and_codes_keep_their_own() {
        let folder = std::env::temp_dir().join(format!("penstock-names-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let configuration = Source::Defaults(None).check().unwrap();
        let keys = [HashKey { id: "k".into(), key: [7; 32] }];
        let mut routes = Vec::new();
        for _ in 0..2 {
            let mut names = Names::new(Some(DictionaryWriter::open(&folder).unwrap())).unwrap();
            let ready = names.compile(&configuration, 1, &keys).unwrap();
            routes.push(ready.snapshot.routes().iter().map(|route| route.id).collect::<Vec<_>>());
            let dictionary = names.dictionary.as_ref().unwrap().dictionary();
            let code = Code::NoRoute;
            assert_eq!(dictionary.name(EntryKind::Code, code.id().into()), Some(code.as_str()));
            for route in ready.snapshot.routes() {
                let name = dictionary.name(EntryKind::Route, route.id.0).unwrap();
                assert!(name.ends_with(&*route.name), "{name}");
            }
        }
        assert_eq!(routes[0], routes[1]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
