//! Builds the routing table and refuses what is ambiguous or can never match.
//!
//! *Can meet*, precisely: two candidates of one host pattern and one path shape (the same literals at the
//! same places, parameters and `*` at the same places) can match the same request unless their method sets
//! are disjoint, or a field or query key must equal two different values, or they are different versions of
//! one service whose version is read from field, query or media type. Candidates of different host patterns
//! or path shapes are never of equal rank where they meet: one of two overlapping host patterns, or of two
//! overlapping path shapes, is the more specific one. Equal rank within host and shape is: both list methods
//! or both don't, and as many conditions on fields, and as many on the query.

use super::host::{HostPattern, HostTable};
use super::template::{PathTemplate, Segment};
use super::trie::{Run, TrieBuilder};
use super::values::FieldName;
use super::version::{Selector, Source};
use super::{Candidate, Condition, METHODS_MAX, MethodSet, Methods, NO_SELECTOR, Router};
use crate::error::{Place, Problem, SpecError};
use crate::spec::{Id, Route, Service, ValueMatch, ValueTest};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Routes one snapshot may hold.
pub(crate) const ROUTES_MAX: usize = 1_000_000;

/// Services one snapshot may hold, and versions one service may have.
pub(crate) const SERVICES_MAX: usize = 60_000;

/// Ways into routes (hosts x routes x version forms) one snapshot may hold.
pub(crate) const ENTRIES_MAX: usize = 16_000_000;

struct Builder<'s> {
    routes: &'s [Route],
    methods: Methods,
    conditions: Vec<Condition>,
    candidates: Vec<Candidate>,
    /// Of each candidate: where in the path it stands.
    paths: Vec<Vec<Segment>>,
    hosts: BTreeMap<HostPattern, Vec<u32>>,
    entries: usize,
}

struct Versioned {
    selector: u16,
    version: u16,
    is_default: bool,
}

impl Router {
    /// The table of these routes. `templates` are theirs, in the same order (`None`: did not read).
    pub(crate) fn build(
        services: &[Service],
        routes: &[Route],
        templates: &[Option<PathTemplate>],
        errors: &mut Vec<SpecError>,
    ) -> Self {
        let mut selectors = Vec::new();
        let by_service = selectors_of(services, &mut selectors, errors);
        let mut builder = Builder {
            routes,
            methods: Methods::new(),
            conditions: Vec::new(),
            candidates: Vec::new(),
            paths: Vec::new(),
            hosts: BTreeMap::new(),
            entries: 0,
        };
        let services_by_id: HashMap<Id, &Service> =
            services.iter().map(|service| (service.id, service)).collect();
        for (at, (route, template)) in routes.iter().zip(templates).enumerate() {
            let (Some(template), Some(service)) = (template, services_by_id.get(&route.service)) else {
                continue;
            };
            let versioned = by_service.get(&route.service).and_then(|&selector| {
                let of: &Selector = &selectors[usize::from(selector)];
                let version = service.versions.iter().position(|version| version.id == route.version)?;
                let is_default = of.default == Some(version as u16);
                Some((of, Versioned { selector, version: version as u16, is_default }))
            });
            builder.add(at as u32, template, versioned, errors);
        }
        if builder.entries > ENTRIES_MAX {
            let problem =
                Problem::TooMany { what: "ways into routes", given: builder.entries, max: ENTRIES_MAX };
            errors.push(SpecError::new(Place::Whole, "routes", problem));
        }
        builder.find_conflicts(&selectors, errors);
        builder.finish(selectors)
    }
}

fn selectors_of(
    services: &[Service],
    selectors: &mut Vec<Selector>,
    errors: &mut Vec<SpecError>,
) -> HashMap<Id, u16> {
    let mut by_service = HashMap::new();
    for service in services {
        let Some(versioning) = &service.versioning else { continue };
        let place = Place::Service(service.id);
        let Some(from) = Source::new(&versioning.from) else {
            let text = "a pattern holds `{version}` exactly once (and no `/` in a path); a media type needs `pattern` or `name`";
            errors.push(SpecError::new(place, "versioning", text));
            continue;
        };
        let names: Vec<Box<str>> =
            service.versions.iter().map(|version| version.name.as_str().into()).collect();
        let default = match &versioning.default {
            None => None,
            Some(name) => {
                let found = names.iter().position(|known| **known == **name);
                if found.is_none() {
                    let text = format!("`{name}` is no version of the service");
                    errors.push(SpecError::new(place, "versioning.default", text));
                }
                found.map(|at| at as u16)
            }
        };
        if default.is_none() && versioning.unknown == crate::spec::UnknownVersion::Default {
            let text = "unknown versions can't get the default where there is none";
            errors.push(SpecError::new(place, "versioning.unknown", text));
        }
        by_service.insert(service.id, selectors.len() as u16);
        selectors.push(Selector { from, names, default, unknown: versioning.unknown });
    }
    by_service
}

impl Builder<'_> {
    fn add(
        &mut self,
        at: u32,
        template: &PathTemplate,
        versioned: Option<(&Selector, Versioned)>,
        errors: &mut Vec<SpecError>,
    ) {
        let route = &self.routes[at as usize];
        let place = Place::Route(route.id);
        let Some(methods) = self.methods_of(route, errors) else { return };
        let mut hosts = BTreeSet::new();
        for (index, host) in route.matches.hosts.iter().enumerate() {
            match HostPattern::parse(host) {
                Ok(pattern) => {
                    hosts.insert(pattern);
                }
                Err(error) => {
                    errors.push(SpecError::new(place, format!("match.hosts[{index}]"), error));
                }
            }
        }
        if route.matches.hosts.is_empty() {
            hosts.insert(HostPattern::Any);
        }
        let fields = self.conditions_of(&route.matches.headers, place, "match.headers", errors);
        let query = self.conditions_of(&route.matches.query, place, "match.query", errors);
        let plain = Candidate {
            route: at,
            methods,
            fields,
            query,
            selector: NO_SELECTOR,
            version: 0,
            alias: false,
            guarded: false,
            strip: 0,
        };
        let segments = template.segments().to_vec();
        let Some((selector, versioned)) = versioned else {
            self.insert(plain, segments, &hosts);
            return;
        };
        let plain = Candidate { selector: versioned.selector, version: versioned.version, ..plain };
        let name = &selector.names[usize::from(versioned.version)];
        match &selector.from {
            Source::Path { pattern, keep } => {
                let first = pattern.fill(name);
                let strip = if *keep { 0 } else { first.len() as u16 + 1 };
                for path in template.behind(&first) {
                    self.insert(Candidate { strip, ..plain.clone() }, path.segments().to_vec(), &hosts);
                }
                if versioned.is_default {
                    let guarded = !matches!(segments.first(), Some(Segment::Literal(_)));
                    let alias = Candidate { alias: true, guarded, ..plain };
                    if segments == [Segment::Literal("".into())] {
                        // Nothing is left of `/v9` once the segment is taken away.
                        self.insert(alias.clone(), Vec::new(), &hosts);
                    }
                    self.insert(alias, segments, &hosts);
                }
            }
            Source::Host { pattern } => {
                let mut all = if versioned.is_default { hosts } else { BTreeSet::new() };
                match HostPattern::parse(&pattern.fill(name)) {
                    Ok(host) => {
                        all.insert(host);
                    }
                    Err(error) => errors.push(SpecError::new(place, "versioning.pattern", error)),
                }
                self.insert(plain, segments, &all);
            }
            _ => self.insert(plain, segments, &hosts),
        }
    }

    fn insert(&mut self, candidate: Candidate, path: Vec<Segment>, hosts: &BTreeSet<HostPattern>) {
        let at = self.candidates.len() as u32;
        self.candidates.push(candidate);
        self.paths.push(path);
        self.entries += hosts.len();
        if self.entries <= ENTRIES_MAX {
            for host in hosts {
                self.hosts.entry(host.clone()).or_default().push(at);
            }
        }
    }

    fn methods_of(&mut self, route: &Route, errors: &mut Vec<SpecError>) -> Option<MethodSet> {
        if route.matches.methods.is_empty() {
            return Some(MethodSet::ANY);
        }
        let mut set = MethodSet::NONE;
        for (index, name) in route.matches.methods.iter().enumerate() {
            let field = format!("match.methods[{index}]");
            let token =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            let problem: Problem = if name.is_empty() || name.len() > 32 || !name.bytes().all(token) {
                format!("`{name}` is no method; methods are written in capital letters").into()
            } else if name == "CONNECT" {
                Problem::Unreachable("CONNECT is refused before routing".into())
            } else if let Some(bit) = self.methods.add(name) {
                set = set.join(bit);
                continue;
            } else {
                Problem::TooMany { what: "distinct methods", given: METHODS_MAX + 1, max: METHODS_MAX }
            };
            errors.push(SpecError::new(Place::Route(route.id), field, problem));
        }
        (!set.is_empty()).then_some(set)
    }

    fn conditions_of(
        &mut self,
        matches: &[ValueMatch],
        place: Place,
        field: &str,
        errors: &mut Vec<SpecError>,
    ) -> Run {
        let mut conditions: Vec<Condition> = matches
            .iter()
            .map(|one| {
                // A query key keeps its case, a field name has none.
                let mut name = FieldName::new(&one.name);
                if field == "match.query" {
                    name.lower = one.name.as_str().into();
                }
                let equals = match &one.test {
                    ValueTest::Present => None,
                    ValueTest::Equals(text) => Some(text.as_str().into()),
                };
                Condition { name, equals }
            })
            .collect();
        conditions.sort();
        conditions.dedup();
        for pair in conditions.windows(2) {
            if pair[0].name == pair[1].name && pair[0].equals.is_some() {
                let reason = format!("`{}` can't equal two values at once", pair[0].name.as_str());
                errors.push(SpecError::new(place, field, Problem::Unreachable(reason)));
            }
        }
        for one in &conditions {
            if one.name.as_str().is_empty() {
                errors.push(SpecError::new(place, field, "a condition needs a name"));
            }
        }
        let start = self.conditions.len() as u32;
        self.conditions.extend(conditions);
        Run { start, end: self.conditions.len() as u32 }
    }

    fn list(&self, run: Run) -> &[Condition] {
        &self.conditions[run.start as usize..run.end as usize]
    }

    /// What is compared when host and path are equal: smaller goes first.
    fn rank(candidate: &Candidate) -> (bool, Reverse<u32>, Reverse<u32>) {
        let count = |run: Run| Reverse(run.end - run.start);
        (candidate.methods.is_any(), count(candidate.fields), count(candidate.query))
    }

    fn find_conflicts(&self, selectors: &[Selector], errors: &mut Vec<SpecError>) {
        // (host, shape) -> candidates. Hosts with equal lists give equal conflicts: each pair is told once.
        let mut told = BTreeSet::new();
        for (host, list) in &self.hosts {
            let mut shapes: BTreeMap<Vec<Segment>, Vec<u32>> = BTreeMap::new();
            for &at in list {
                shapes.entry(shape(&self.paths[at as usize])).or_default().push(at);
            }
            for (shape, mut group) in shapes.into_iter().filter(|(_, group)| group.len() > 1) {
                group.sort_by_key(|&at| Self::rank(&self.candidates[at as usize]));
                for (index, &one) in group.iter().enumerate() {
                    let rank = Self::rank(&self.candidates[one as usize]);
                    let equals = group[index + 1..]
                        .iter()
                        .take_while(|&&other| Self::rank(&self.candidates[other as usize]) == rank);
                    for &other in equals {
                        if self.can_meet(one, other, selectors) {
                            self.tell_conflict(one, other, host, &shape, &mut told, errors);
                        }
                    }
                }
            }
        }
    }

    fn can_meet(&self, one: u32, other: u32, selectors: &[Selector]) -> bool {
        let (one, other) = (&self.candidates[one as usize], &self.candidates[other as usize]);
        if one.route == other.route || one.methods.common(other.methods).is_empty() {
            return false;
        }
        let same_selector = one.selector == other.selector && one.selector != NO_SELECTOR;
        if same_selector
            && selectors[usize::from(one.selector)].from.is_condition()
            && one.version != other.version
        {
            return false;
        }
        let differ = |left: Run, right: Run| {
            self.list(left).iter().any(|a| {
                self.list(right)
                    .iter()
                    .any(|b| a.name == b.name && a.equals.is_some() && b.equals.is_some() && a != b)
            })
        };
        !differ(one.fields, other.fields) && !differ(one.query, other.query)
    }

    fn tell_conflict(
        &self,
        one: u32,
        other: u32,
        host: &HostPattern,
        shape: &[Segment],
        told: &mut BTreeSet<(Id, Id)>,
        errors: &mut Vec<SpecError>,
    ) {
        let route = |at: u32| &self.routes[self.candidates[at as usize].route as usize];
        let (mut first, mut second) = (route(one), route(other));
        if second.id < first.id {
            std::mem::swap(&mut first, &mut second);
        }
        if !told.insert((first.id, second.id)) {
            return;
        }
        let problem = Problem::Conflict {
            with: first.id,
            name: first.name.clone(),
            host: match host {
                HostPattern::Exact(name) => name.to_string(),
                HostPattern::Wildcard(suffix) => format!("*{suffix}"),
                HostPattern::Any => "*".to_owned(),
            },
            path: shape.iter().fold(String::new(), |text, segment| match segment {
                Segment::Literal(literal) => format!("{text}/{literal}"),
                Segment::Parameter(_) => format!("{text}/{{}}"),
                Segment::Tail => format!("{text}/*"),
            }),
        };
        errors.push(SpecError::new(Place::Route(second.id), "match", problem));
    }

    fn finish(self, selectors: Vec<Selector>) -> Router {
        let mut trie = TrieBuilder::default();
        let mut shared: HashMap<&[u32], u32> = HashMap::new();
        let mut roots = Vec::with_capacity(self.hosts.len());
        for (host, list) in &self.hosts {
            let root = *shared.entry(list).or_insert_with(|| {
                let root = trie.root();
                for &at in list {
                    trie.insert(root, &self.paths[at as usize], at);
                }
                root
            });
            roots.push((host.clone(), root));
        }
        let mut candidates = Vec::new();
        let trie = trie.build(|mut leaf| {
            leaf.sort_by_key(|&at| Self::rank(&self.candidates[at as usize]));
            let start = candidates.len() as u32;
            candidates.extend(leaf.iter().map(|&at| self.candidates[at as usize].clone()));
            Run { start, end: candidates.len() as u32 }
        });
        let host_selectors = selectors
            .iter()
            .enumerate()
            .filter_map(|(at, selector)| match &selector.from {
                Source::Host { pattern } => {
                    let default = selector.default.map(|version| &*selector.names[usize::from(version)]);
                    Some((at as u16, pattern.fill(default.unwrap_or_default()).to_ascii_lowercase().into()))
                }
                _ => None,
            })
            .collect();
        let mut router = Router {
            hosts: HostTable::new(&roots),
            has_aliases: candidates.iter().any(|candidate| candidate.alias),
            trie,
            candidates,
            conditions: self.conditions,
            selectors,
            host_selectors,
            methods: self.methods,
            only: None,
        };
        router.only = router.find_only();
        router
    }
}

/// The path without the names of its parameters.
fn shape(path: &[Segment]) -> Vec<Segment> {
    path.iter()
        .map(|segment| match segment {
            Segment::Parameter(_) => Segment::Parameter("".into()),
            other => other.clone(),
        })
        .collect()
}
