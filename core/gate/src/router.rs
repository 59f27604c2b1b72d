//! From host, path, method, fields and query to one route.
//!
//! Order of rank, never of text: host (exact, then wildcards, longest suffix first, then any); path from left
//! to right (literal, parameter, `*`; the path that ends goes before `*`); a listed method before any method;
//! more conditions on fields; more conditions on the query. Two routes of equal rank that one request can
//! match are refused when the table is built, so at most one route is the best.

mod build;
mod bytes_table;
mod host;
mod method;
mod template;
mod trie;
mod values;
mod version;

#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod version_tests;

pub use host::{HOST_BYTES_MAX, HostError};
pub use method::METHODS_MAX;
pub use template::{CAPTURES_MAX, PathTemplate, SEGMENTS_MAX, Segment, TEMPLATE_BYTES_MAX, TemplateError};
pub use values::{FieldName, FieldSource, Once};

pub(crate) use build::{ROUTES_MAX, SERVICES_MAX};
pub(crate) use method::{MethodSet, Methods};
pub(crate) use values::{decoded, decoded_equals, query_once};

use crate::spec::UnknownVersion;
use host::HostTable;
use trie::{Captures, Run, Trie, Walk};
use version::{Resolved, Selector, Source};

/// No selector: the version is no condition of the candidate.
const NO_SELECTOR: u16 = u16::MAX;

/// What must hold of a field or a query key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Condition {
    name: FieldName,
    /// `None`: it is there.
    equals: Option<Box<str>>,
}

/// One way into a route.
#[derive(Clone, Debug)]
struct Candidate {
    route: u32,
    methods: MethodSet,
    /// Conditions on fields, in the router's list.
    fields: Run,
    /// Conditions on the query, in the router's list.
    query: Run,
    selector: u16,
    version: u16,
    /// Serves the default version of a service whose versions stand in the path, without the segment.
    alias: bool,
    /// As [`Self::alias`], and a version could stand where its first segment is a capture.
    guarded: bool,
    /// Length of the version segment with its slash.
    strip: u16,
}

/// The routing table. A look-up allocates nothing.
#[derive(Debug)]
pub(crate) struct Router {
    hosts: HostTable,
    trie: Trie,
    candidates: Vec<Candidate>,
    conditions: Vec<Condition>,
    selectors: Vec<Selector>,
    /// Selectors whose version stands in the host, with the host of the default version.
    host_selectors: Vec<(u16, Box<str>)>,
    has_aliases: bool,
    methods: Methods,
    /// The candidate of a table that leads every path of every host to it, and asks for nothing but a method.
    only: Option<u32>,
}

/// What a look-up is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'q, F> {
    /// Lower case, without port; empty if there is none.
    pub(crate) host: &'q [u8],
    /// Normalised; begins with a slash.
    pub(crate) path: &'q [u8],
    /// Without `?`.
    pub(crate) query: &'q [u8],
    pub(crate) method: &'q [u8],
    pub(crate) fields: &'q F,
    /// Conditions on fields count as held: a CORS preflight does not carry what the request will carry.
    pub(crate) preflight: bool,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The route.
    Route(Matched),
    /// Host and path are served, but not with this method.
    MethodNotAllowed(MethodSet),
    /// The service is there, the version that is asked for is not.
    UnknownVersion,
    /// Nothing.
    Nothing,
}

/// The route and how the path fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    /// Index of the route.
    pub(crate) route: u32,
    /// Ranges of the path.
    pub(crate) captures: Captures,
    /// Length of the version segment at the path's beginning, with its slash; 0: there is none.
    pub(crate) strip: u16,
}

struct Seen {
    allowed: MethodSet,
    unknown_version: bool,
    selector: u16,
    resolved: Resolved,
}

impl Router {
    /// The one route for a request, or why there is none.
    #[inline]
    pub(crate) fn find<F: FieldSource>(&self, probe: &Probe<'_, F>) -> Found {
        let method = self.methods.bit(probe.method);
        if let Some(at) = self.only {
            let candidate = &self.candidates[at as usize];
            if candidate.methods.common(method).is_empty() {
                return Found::MethodNotAllowed(candidate.methods);
            }
            let captures = Captures::tail(1, probe.path.len());
            return Found::Route(Matched { route: candidate.route, captures, strip: 0 });
        }
        let mut seen = Seen {
            allowed: MethodSet::NONE,
            unknown_version: false,
            selector: NO_SELECTOR,
            resolved: Resolved::Unknown,
        };
        if let Some(matched) = self.walk(probe, probe.host, method, 1, false, &mut seen) {
            return Found::Route(matched);
        }
        self.find_unknown_version(probe, method, &mut seen)
    }

    /// The candidate for [`Router::only`], if the table is such a one.
    fn find_only(&self) -> Option<u32> {
        let root = self.hosts.any().filter(|_| !self.looks_at_hosts())?;
        let tail = self.trie.only_tail(root)?;
        let candidate = &self.candidates[tail.start as usize];
        let plain = candidate.fields.is_empty() && candidate.query.is_empty();
        let single = tail.end - tail.start == 1 && plain && candidate.selector == NO_SELECTOR;
        single.then_some(tail.start)
    }

    /// Whether a look-up reads [`Probe::host`]; if not, it may be empty.
    #[inline]
    pub(crate) fn looks_at_hosts(&self) -> bool {
        self.hosts.tells_hosts_apart() || !self.host_selectors.is_empty()
    }

    /// The names in a set of methods, in a fixed order.
    pub(crate) fn method_names(&self, set: MethodSet) -> impl Iterator<Item = &str> {
        self.methods.names(set)
    }

    #[inline]
    fn walk<F: FieldSource>(
        &self,
        probe: &Probe<'_, F>,
        host: &[u8],
        method: MethodSet,
        from: usize,
        aliases_only: bool,
        seen: &mut Seen,
    ) -> Option<Matched> {
        if !self.hosts.tells_hosts_apart() {
            return self.walk_from(self.hosts.any()?, probe, method, from, aliases_only, seen);
        }
        let mut roots = self.hosts.roots(host);
        roots.find_map(|root| self.walk_from(root, probe, method, from, aliases_only, seen))
    }

    #[inline]
    fn walk_from<F: FieldSource>(
        &self,
        root: u32,
        probe: &Probe<'_, F>,
        method: MethodSet,
        from: usize,
        aliases_only: bool,
        seen: &mut Seen,
    ) -> Option<Matched> {
        let mut walk = Walk {
            trie: &self.trie,
            path: probe.path,
            captures: Captures::NONE,
            accept: |run: Run| self.accept(run, probe, method, from, aliases_only, seen),
        };
        let candidate = &self.candidates[walk.run(root, from)? as usize];
        let strip = if aliases_only && !self.keeps_version(candidate.selector) {
            (from - 1) as u16
        } else {
            candidate.strip
        };
        Some(Matched { route: candidate.route, captures: walk.captures, strip })
    }

    fn keeps_version(&self, selector: u16) -> bool {
        matches!(self.selectors[usize::from(selector)].from, Source::Path { keep: true, .. })
    }

    /// The first candidate of a leaf that holds; they stand in order of rank.
    #[inline]
    fn accept<F: FieldSource>(
        &self,
        run: Run,
        probe: &Probe<'_, F>,
        method: MethodSet,
        from: usize,
        aliases_only: bool,
        seen: &mut Seen,
    ) -> Option<u32> {
        for at in run.start..run.end {
            let candidate = &self.candidates[at as usize];
            if aliases_only && !self.is_alias_of(candidate, &probe.path[1..from - 1], seen) {
                continue;
            }
            if candidate.guarded && !aliases_only && self.states_version(candidate, probe.path, seen) {
                continue;
            }
            if !self.conditions_hold(candidate, probe) || !self.version_holds(candidate, probe, seen) {
                continue;
            }
            if candidate.methods.common(method).is_empty() {
                seen.allowed = seen.allowed.join(candidate.methods);
                continue;
            }
            return Some(at);
        }
        None
    }

    #[inline]
    fn conditions_hold<F: FieldSource>(&self, candidate: &Candidate, probe: &Probe<'_, F>) -> bool {
        if candidate.fields.is_empty() && candidate.query.is_empty() {
            return true;
        }
        let held = |found: Once<'_>, condition: &Condition, same: fn(&[u8], &[u8]) -> bool| match found {
            Once::Absent => false,
            Once::Repeated => condition.equals.is_none(),
            Once::One(value) => condition.equals.as_ref().is_none_or(|text| same(value, text.as_bytes())),
        };
        let list = |run: Run| &self.conditions[run.start as usize..run.end as usize];
        (probe.preflight
            || list(candidate.fields)
                .iter()
                .all(|condition| held(probe.fields.once(&condition.name), condition, |a, b| a == b)))
            && list(candidate.query).iter().all(|condition| {
                let found = query_once(probe.query, condition.name.as_str().as_bytes());
                held(found, condition, decoded_equals)
            })
    }

    fn version_holds<F: FieldSource>(
        &self,
        candidate: &Candidate,
        probe: &Probe<'_, F>,
        seen: &mut Seen,
    ) -> bool {
        if candidate.selector == NO_SELECTOR {
            return true;
        }
        let selector = &self.selectors[usize::from(candidate.selector)];
        if !selector.from.is_condition() || (probe.preflight && selector.from.is_field()) {
            return true;
        }
        if seen.selector != candidate.selector {
            seen.selector = candidate.selector;
            seen.resolved = selector.resolve(probe.fields, probe.query);
        }
        match seen.resolved {
            Resolved::Version(version) => version == candidate.version,
            Resolved::Unknown => {
                seen.unknown_version = true;
                false
            }
        }
    }

    /// Whether the first segment, which the candidate would capture, states a version of its service.
    fn states_version(&self, candidate: &Candidate, path: &[u8], seen: &mut Seen) -> bool {
        let first = path[1..].split(|&byte| byte == b'/').next().unwrap_or(b"");
        let stated = self.selectors[usize::from(candidate.selector)].path_version(first);
        seen.unknown_version |= stated == Some(false);
        stated.is_some()
    }

    /// Whether a path whose first segment states a version that does not exist is the candidate's.
    fn is_alias_of(&self, candidate: &Candidate, segment: &[u8], seen: &mut Seen) -> bool {
        if !candidate.alias {
            return false;
        }
        let selector = &self.selectors[usize::from(candidate.selector)];
        let unknown = selector.path_version(segment) == Some(false);
        seen.unknown_version |= unknown;
        unknown && selector.unknown == UnknownVersion::Default
    }

    /// Nothing was found: perhaps the version is to blame. Off the warm path.
    #[cold]
    fn find_unknown_version<F: FieldSource>(
        &self,
        probe: &Probe<'_, F>,
        method: MethodSet,
        seen: &mut Seen,
    ) -> Found {
        if seen.allowed.is_empty() && self.has_aliases {
            let length = probe.path[1..].iter().position(|&byte| byte == b'/');
            let from = length.map_or(probe.path.len() + 1, |length| length + 2);
            let matched = self.walk(probe, probe.host, method, from, true, seen);
            if let Some(matched) = matched {
                return Found::Route(matched);
            }
        }
        for (selector, default_host) in &self.host_selectors {
            let selector = &self.selectors[usize::from(*selector)];
            if !selector.is_unknown_host(probe.host) {
                continue;
            }
            if selector.unknown == UnknownVersion::Reject {
                seen.unknown_version = true;
            } else if let Some(matched) = self.walk(probe, default_host.as_bytes(), method, 1, false, seen) {
                return Found::Route(matched);
            }
        }
        if !seen.allowed.is_empty() {
            Found::MethodNotAllowed(seen.allowed)
        } else if seen.unknown_version {
            Found::UnknownVersion
        } else {
            Found::Nothing
        }
    }
}
