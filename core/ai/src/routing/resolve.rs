//! What a name means that a caller writes, and whether the caller may use it.
//!
//! In this order: `provider/model`, where a provider of that name is configured; a model of the tenant's; a name of the
//! catalogue, if its maker's own provider is configured, once. Otherwise it is an error that lists what may be meant.
//!
//! Knows: names and who may use them. Must not: know states; what rests is found all the same.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use super::near::nearest;
use super::plan::{Plan, Provider, Resolved};
use super::spec::TenantId;
use crate::catalogue::Catalogue;

/// Bytes of a name of a model at most.
pub const NAME_BYTES_MAX: usize = 256;
/// Names that an error lists at most.
pub const CANDIDATES_MAX: usize = 8;
/// Patterns of one list at most.
pub const PATTERNS_MAX: usize = 1024;

/// Which names may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    /// In order.
    whole: Vec<Box<str>>,
    /// What a name must begin with.
    beginnings: Vec<Box<str>>,
}

/// Why a list of patterns cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A pattern that has no meaning.
    #[error("`{0}` is no pattern of models: a whole name, one with `*` at its end, or `*`")]
    Pattern(String),
    /// Too many.
    #[error("{0} patterns; there may be {PATTERNS_MAX}")]
    Many(usize),
}

impl Allowed {
    /// Names that fit any of these: a whole name, or how it begins and `*`. No pattern: no name.
    ///
    /// # Errors
    /// A pattern has a `*` elsewhere, is empty or too long, or there are too many.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        if patterns.len() > PATTERNS_MAX {
            return Err(PatternError::Many(patterns.len()));
        }
        let mut allowed = Self::default();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let (plain, list) = match pattern.strip_suffix('*') {
                Some(plain) => (plain, &mut allowed.beginnings),
                None => (pattern, &mut allowed.whole),
            };
            if pattern.is_empty() || pattern.len() > NAME_BYTES_MAX || plain.contains('*') {
                return Err(PatternError::Pattern(pattern.to_owned()));
            }
            list.push(plain.into());
        }
        allowed.whole.sort_unstable();
        Ok(allowed)
    }

    /// All names.
    pub fn everything() -> Self {
        Self { whole: Vec::new(), beginnings: vec!["".into()] }
    }

    /// Whether a name is among them.
    pub fn permits(&self, name: &str) -> bool {
        self.beginnings.iter().any(|begin| name.starts_with(&**begin))
            || self.whole.binary_search_by(|whole| (**whole).cmp(name)).is_ok()
    }
}

/// Who asks, and what may be asked there.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'c> {
    /// The tenant.
    pub tenant: TenantId,
    /// What the service allows.
    pub service: &'c Allowed,
    /// What the app may, within that; none: all of it.
    pub app: Option<&'c Allowed>,
}

impl Caller<'_> {
    fn may(&self, name: &str) -> bool {
        self.service.permits(name) && self.app.is_none_or(|app| app.permits(name))
    }
}

/// A name of the catalogue at its maker's own provider.
#[derive(Debug)]
pub(super) struct Bare {
    /// Providers that are configured of that kind, and the model there.
    at: Vec<(u16, Box<str>)>,
}

impl Bare {
    /// All such names of the providers that are configured.
    pub(super) fn all(providers: &[Provider], catalogue: &Catalogue) -> HashMap<Box<str>, Bare> {
        let mut all: HashMap<Box<str>, Bare> = HashMap::new();
        for (number, provider) in (0u16..).zip(providers) {
            // Of several models of one canonical name the one that is called so counts, then one that is not deprecated,
            // then the first.
            let mut here: HashMap<&str, (bool, bool, &str)> = HashMap::new();
            let own =
                catalogue.rows().iter().filter(|row| row.is_own() && row.provider() == &*provider.catalogue);
            for row in own {
                for name in [row.name(), row.model()] {
                    let rank = (row.model() != name, row.is_deprecated(), row.model());
                    let best = here.entry(name).or_insert(rank);
                    *best = rank.min(*best);
                }
            }
            for (name, (.., model)) in here {
                let at = &mut all.entry(name.into()).or_insert_with(|| Bare { at: Vec::new() }).at;
                at.push((number, model.into()));
            }
        }
        all
    }
}

/// Why a name means nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// There is no such model, or the caller may not use it, which is not told apart.
    #[error("no model `{name}`{}", Listed(.candidates))]
    Unknown {
        /// The name, cut to [`NAME_BYTES_MAX`].
        name: String,
        /// Names that the caller may use and may have meant, the nearest first, at most [`CANDIDATES_MAX`].
        candidates: Vec<String>,
    },
    /// It is a model of providers, but no choice is made for the caller.
    #[error("model `{name}` needs its provider{}", Listed(.candidates))]
    Ambiguous {
        /// The name.
        name: String,
        /// Where it is, as `provider/model`, the maker's own first, at most [`CANDIDATES_MAX`].
        candidates: Vec<String>,
    },
}

struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if number == 0 { "; did you mean " } else { ", " })?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("?") }
    }
}

impl Plan {
    /// Finds what a name means. Costs some look-ups; no allocation unless it fails or a catalogue's model is named at a
    /// provider for the first time.
    ///
    /// # Errors
    /// It means nothing, nothing that the caller may use, or more than one thing.
    pub fn resolve<'a>(&'a self, caller: &Caller<'_>, name: &'a str) -> Result<Resolved<'a>, Unresolved> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let shown = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
            return Err(Unresolved::Unknown { name: shown.to_owned(), candidates: Vec::new() });
        }
        let may = caller.may(name);
        if let Some((provider, model)) = name.split_once('/')
            && let Some(provider) = self.provider_names.get(provider)
        {
            if may && !model.is_empty() {
                return Ok(self.direct(*provider, model));
            }
            return Err(self.unknown(caller, name));
        }
        let own = self.names.get(name).into_iter().flatten().map(|number| &self.routes[*number as usize]);
        if let Some(route) = own.into_iter().find(|route| route.tenants.has(caller.tenant)) {
            return if may {
                Ok(Resolved { route, unlisted: None })
            } else {
                Err(self.unknown(caller, name))
            };
        }
        match self.bare.get(name).map(|bare| bare.at.as_slice()) {
            Some([(provider, model)]) => {
                let resolved = self.direct(*provider, model);
                if may || caller.may(resolved.name()) {
                    Ok(resolved)
                } else {
                    Err(self.unknown(caller, name))
                }
            }
            _ => Err(self.elsewhere(caller, name)),
        }
    }

    /// The names of models that a caller may use, those that the catalogue leads to left out.
    pub fn names<'a>(&'a self, caller: &Caller<'a>) -> impl Iterator<Item = &'a str> {
        let caller = *caller;
        let mine = move |numbers: &[u32]| {
            numbers.iter().any(|number| self.routes[*number as usize].tenants.has(caller.tenant))
        };
        let named = self.names.iter().map(|(name, numbers)| (&**name, numbers.as_slice()));
        named.filter(move |(name, numbers)| mine(numbers) && caller.may(name)).map(|(name, _)| name)
    }

    /// A name that is no model here, but perhaps one of the catalogue at providers that are configured.
    fn elsewhere(&self, caller: &Caller<'_>, name: &str) -> Unresolved {
        let rows = self.catalogue.candidates(name);
        let here = rows.iter().flat_map(|row| {
            let of_kind = self.providers.iter().filter(|provider| *provider.catalogue == *row.provider());
            of_kind.map(|provider| format!("{}/{}", provider.name, row.model()))
        });
        let mut candidates: Vec<String> = Vec::new();
        for shown in here.filter(|shown| caller.may(shown)) {
            if candidates.len() < CANDIDATES_MAX && !candidates.contains(&shown) {
                candidates.push(shown);
            }
        }
        if candidates.is_empty() {
            return self.unknown(caller, name);
        }
        Unresolved::Ambiguous { name: name.to_owned(), candidates }
    }

    fn unknown(&self, caller: &Caller<'_>, name: &str) -> Unresolved {
        let asked = name.split_once('/').and_then(|(at, model)| Some((*self.provider_names.get(at)?, model)));
        // Models of the configuration, and those of the catalogue at each provider, or at the one that was asked for.
        let own = self.names(caller).map(|own| (None, own));
        let listed =
            (0u16..).zip(&self.providers).filter(|(number, _)| asked.is_none_or(|(at, _)| at == *number));
        let listed = listed
            .flat_map(|(number, provider)| provider.direct.names().map(move |model| (Some(number), model)));
        let mut near =
            nearest(asked.map_or(name, |(_, model)| model), listed, CANDIDATES_MAX * CANDIDATES_MAX);
        near.extend(nearest(name, own, CANDIDATES_MAX));
        near.sort_by_cached_key(|(at, known)| (known.len().abs_diff(name.len()), *at, *known));
        let shown = near.into_iter().filter_map(|(at, known)| {
            let Some(number) = at else { return Some(known.to_owned()) };
            let shown = format!("{}/{known}", self.providers[usize::from(number)].name);
            caller.may(&shown).then_some(shown)
        });
        let candidates = shown.take(CANDIDATES_MAX).collect();
        Unresolved::Unknown { name: name.to_owned(), candidates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_whole_names_or_beginnings() {
        let allowed = Allowed::new(&["fast", "gpt-*", "openai/*"]).unwrap();
        for (name, permitted) in [
            ("fast", true),
            ("faster", false),
            ("gpt-4.1", true),
            ("gpt-", true),
            ("gpt", false),
            ("openai/gpt-4.1", true),
            ("openrouter/openai/gpt-4.1", false),
            ("", false),
        ] {
            assert_eq!(allowed.permits(name), permitted, "{name}");
            assert!(Allowed::everything().permits(name) && !Allowed::default().permits(name));
        }
        assert_eq!(Allowed::new(&["*"]), Ok(Allowed::everything()));
        for bad in ["", "a*b", "**", "*a"] {
            assert_eq!(Allowed::new(&[bad]), Err(PatternError::Pattern(bad.to_owned())));
        }
        assert_eq!(Allowed::new(&vec!["a"; PATTERNS_MAX + 1]), Err(PatternError::Many(PATTERNS_MAX + 1)));
        assert!(Allowed::new(&vec!["a"; PATTERNS_MAX]).is_ok());
    }
}
