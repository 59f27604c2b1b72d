//! The router against a matcher that tries every route in turn and ranks by the rules as they are written.

use super::*;
use crate::error::Problem;
use crate::spec::{
    AppRule, Auth, AuthMethod, Authorize, Body, Id, IpRules, Match, PathPolicy, Route, RouteHeaders, Service,
    TimeoutsOverride, To, Uid, ValueMatch, ValueTest, Version,
};
use proptest::prelude::*;
use std::cmp::Ordering;

/// Fields as a list, for tests.
pub(crate) struct List(pub(crate) Vec<(String, String)>);

impl FieldSource for List {
    fn once(&self, name: &FieldName) -> Once<'_> {
        let mut all = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_str()));
        match (all.next(), all.next()) {
            (None, _) => Once::Absent,
            (Some((_, value)), None) => Once::One(value.as_bytes()),
            _ => Once::Repeated,
        }
    }
}

pub(crate) fn route(id: u32, matches: Match) -> Route {
    Route {
        id: Id(id),
        uid: Uid(u64::from(id)),
        name: format!("r{id}"),
        service: Id(1),
        version: Id(2),
        matches,
        path_policy: PathPolicy::default(),
        to: To::Upstream(Id(3)),
        rewrite: None,
        headers: RouteHeaders::default(),
        body: Body::default(),
        auth: Auth::Any(vec![AuthMethod::Jwt { issuers: vec![], app: AppRule::Required }]),
        authorize: Authorize::default(),
        ip: IpRules::default(),
        cors: None,
        limits: vec![],
        timeouts: TimeoutsOverride::default(),
        identity_headers: vec![],
        ratelimit_headers: false,
        expose_revision: false,
    }
}

pub(crate) fn build(services: &[Service], routes: &[Route]) -> (Router, Vec<crate::error::SpecError>) {
    let templates: Vec<_> =
        routes.iter().map(|route| PathTemplate::parse(&route.matches.path).ok()).collect();
    let mut errors = Vec::new();
    let router = Router::build(services, routes, &templates, &mut errors);
    (router, errors)
}

fn service() -> Service {
    Service { id: Id(1), versions: vec![Version { id: Id(2), ..Version::default() }], ..Service::default() }
}

#[derive(Clone, Debug)]
struct Call {
    host: String,
    path: String,
    method: String,
    query: String,
    fields: Vec<(String, String)>,
}

fn look_up(router: &Router, call: &Call) -> Found {
    router.find(&Probe {
        host: call.host.as_bytes(),
        path: call.path.as_bytes(),
        query: call.query.as_bytes(),
        method: call.method.as_bytes(),
        fields: &List(call.fields.clone()),
        preflight: false,
    })
}

// === the reference ===

/// Rank of the best host of a route for a call; a greater one is better.
fn host_rank(route: &Route, host: &str) -> Option<(u8, usize)> {
    let any = vec!["*".to_owned()];
    let hosts = if route.matches.hosts.is_empty() { &any } else { &route.matches.hosts };
    hosts
        .iter()
        .filter_map(|pattern| {
            if pattern == "*" {
                Some((0, 0))
            } else if let Some(suffix) = pattern.strip_prefix('*') {
                (host.len() > suffix.len() && host.ends_with(suffix)).then_some((1, suffix.len()))
            } else {
                (pattern == host).then_some((2, 0))
            }
        })
        .max()
}

/// Rank of each segment from left to right (3 literal, 2 parameter, 1 the rest); `None`: no match.
fn path_rank(template: &str, path: &str) -> Option<Vec<u8>> {
    let wanted: Vec<&str> = template[1..].split('/').collect();
    let given: Vec<&str> = path[1..].split('/').collect();
    let mut rank = Vec::new();
    for (index, part) in wanted.iter().enumerate() {
        if *part == "*" {
            // `/a/*` matches `/a`, which has one segment less.
            rank.push(1);
            return (given.len() >= index && (index > 0 || !given.is_empty())).then_some(rank);
        }
        let segment = given.get(index)?;
        if part.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            rank.push(2);
        } else {
            if part != segment {
                return None;
            }
            rank.push(3);
        }
    }
    if wanted.len() == given.len() {
        // The path that ends goes before the one that takes the rest.
        rank.push(2);
        Some(rank)
    } else {
        None
    }
}

fn conditions_hold(route: &Route, call: &Call) -> bool {
    let check = |all: &[(String, String)], condition: &ValueMatch| {
        let values: Vec<_> = all.iter().filter(|(name, _)| *name == condition.name).collect();
        match &condition.test {
            ValueTest::Present => !values.is_empty(),
            ValueTest::Equals(text) => values.len() == 1 && values[0].1 == *text,
        }
    };
    let query: Vec<(String, String)> = call
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    route.matches.headers.iter().all(|condition| check(&call.fields, condition))
        && route.matches.query.iter().all(|condition| check(&query, condition))
}

type Rank = ((u8, usize), Vec<u8>, bool, usize, usize);

fn rank(route: &Route, call: &Call) -> Option<Rank> {
    let distinct = |conditions: &[ValueMatch]| {
        let mut all: Vec<String> = conditions.iter().map(|one| format!("{one:?}")).collect();
        all.sort();
        all.dedup();
        all.len()
    };
    Some((
        host_rank(route, &call.host)?,
        path_rank(&route.matches.path, &call.path)?,
        !route.matches.methods.is_empty(),
        distinct(&route.matches.headers),
        distinct(&route.matches.query),
    ))
}

#[derive(Debug, PartialEq)]
enum Answer {
    Route(u32),
    Tie(u32, u32),
    Allow(Vec<String>),
    Nothing,
}

fn reference(routes: &[Route], call: &Call) -> Answer {
    let mut best: Option<(Rank, usize)> = None;
    let mut tie = None;
    let mut allowed = Vec::new();
    for (at, route) in routes.iter().enumerate() {
        let Some(rank) = rank(route, call).filter(|_| conditions_hold(route, call)) else { continue };
        let methods = &route.matches.methods;
        if !methods.is_empty() && !methods.contains(&call.method) {
            allowed.extend(methods.iter().cloned());
            continue;
        }
        match best.as_ref().map(|(known, _)| rank.cmp(known)) {
            None | Some(Ordering::Greater) => {
                best = Some((rank, at));
                tie = None;
            }
            Some(Ordering::Equal) => tie = Some(at as u32),
            Some(Ordering::Less) => {}
        }
    }
    allowed.sort();
    allowed.dedup();
    match (best, tie) {
        (Some((_, at)), Some(other)) => Answer::Tie(at as u32, other),
        (Some((_, at)), None) => Answer::Route(at as u32),
        (None, _) if !allowed.is_empty() => Answer::Allow(allowed),
        _ => Answer::Nothing,
    }
}

// === random tables ===

fn pick(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn condition(names: &'static [&'static str]) -> impl Strategy<Value = ValueMatch> {
    (pick(names), proptest::option::of(pick(&["1", "2"]))).prop_map(|(name, value)| ValueMatch {
        name,
        test: value.map_or(ValueTest::Present, ValueTest::Equals),
    })
}

fn template() -> impl Strategy<Value = String> {
    let segment = pick(&["a", "b", "c", "", "{x}", "{x}"]);
    (proptest::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(parts, tail)| {
        let mut text = String::new();
        for (index, part) in parts.iter().enumerate() {
            text.push('/');
            text.push_str(&part.replace('x', &format!("x{index}")));
        }
        if tail || text.is_empty() {
            text.push_str(if tail { "/*" } else { "/" });
        }
        text
    })
}

fn matches() -> impl Strategy<Value = Match> {
    (
        proptest::collection::vec(pick(&["a.t", "b.t", "*.t", "*.a.t", "*.b.a.t", "*"]), 0..3),
        template(),
        proptest::collection::vec(pick(&["GET", "POST", "PURGE"]), 0..3),
        proptest::collection::vec(condition(&["x-a", "x-b"]), 0..2),
        proptest::collection::vec(condition(&["p", "q"]), 0..2),
    )
        .prop_map(|(hosts, path, methods, headers, query)| Match {
            hosts,
            path,
            methods,
            headers,
            query,
        })
}

fn call() -> impl Strategy<Value = Call> {
    (
        pick(&["a.t", "b.t", "c.t", "x.a.t", "x.b.a.t", "b.a.t", "t", "other", ""]),
        proptest::collection::vec(pick(&["a", "b", "c", "d", ""]), 1..5),
        pick(&["GET", "POST", "PURGE", "BREW"]),
        proptest::collection::vec((pick(&["p", "q"]), pick(&["1", "2"])), 0..3),
        proptest::collection::vec((pick(&["x-a", "x-b"]), pick(&["1", "2"])), 0..3),
    )
        .prop_map(|(host, path, method, query, fields)| Call {
            host,
            path: format!("/{}", path.join("/")),
            method,
            query: query.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&"),
            fields,
        })
}

/// Drops routes that are told to conflict, until none is.
fn without_conflicts(mut routes: Vec<Route>) -> (Router, Vec<Route>) {
    loop {
        let (router, errors) = build(&[service()], &routes);
        let bad: Vec<Id> = errors
            .iter()
            .map(|error| match error.place {
                crate::error::Place::Route(id) => id,
                other => panic!("{other:?}: {error}"),
            })
            .collect();
        if bad.is_empty() {
            return (router, routes);
        }
        routes.retain(|route| !bad.contains(&route.id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn agrees_with_the_reference(
        table in proptest::collection::vec(matches(), 1..14),
        calls in proptest::collection::vec(call(), 24),
    ) {
        let routes = table.into_iter().enumerate().map(|(at, one)| route(at as u32 + 10, one)).collect();
        let (router, routes) = without_conflicts(routes);
        for call in &calls {
            let expected = reference(&routes, call);
            let got = match look_up(&router, call) {
                Found::Route(matched) => Answer::Route(matched.route),
                Found::MethodNotAllowed(set) => {
                    let mut names: Vec<_> = router.method_names(set).map(str::to_owned).collect();
                    names.sort();
                    Answer::Allow(names)
                }
                Found::Nothing | Found::UnknownVersion => Answer::Nothing,
            };
            prop_assert_eq!(got, expected, "{:?} in {:#?}", call, routes);
        }
    }

    #[test]
    fn every_tie_is_told_as_a_conflict(
        one in matches(),
        other in matches(),
        calls in proptest::collection::vec(call(), 64),
    ) {
        let routes = [route(10, one), route(11, other)];
        let (_, errors) = build(&[service()], &routes);
        let conflict = errors.iter().any(|error| matches!(error.problem, Problem::Conflict { .. }));
        for call in &calls {
            if let Answer::Tie(..) = reference(&routes, call) {
                prop_assert!(conflict || !errors.is_empty(), "{:?} in {:#?}", call, routes);
            }
        }
    }
}

// === tables of cases ===

fn quick(hosts: &[&str], path: &str, methods: &[&str]) -> Match {
    let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Match { hosts: own(hosts), path: path.into(), methods: own(methods), ..Match::default() }
}

fn get(host: &str, path: &str) -> Call {
    Call { host: host.into(), path: path.into(), method: "GET".into(), query: String::new(), fields: vec![] }
}

#[test]
fn the_most_specific_route_wins_whatever_the_order_of_text() {
    let table = [
        ("literal", quick(&[], "/orders/open", &[])),
        ("parameter", quick(&[], "/orders/{id}", &[])),
        ("parameter-get", quick(&[], "/orders/{id}", &["GET"])),
        ("rest", quick(&[], "/orders/*", &[])),
        ("deep", quick(&[], "/{kind}/open/items", &[])),
        ("wild", quick(&["*.example.com"], "/orders/*", &[])),
        ("longer", quick(&["*.eu.example.com"], "/orders/*", &[])),
        ("exact", quick(&["api.example.com"], "/orders/{id}", &["POST"])),
        ("all", quick(&[], "/*", &[])),
    ];
    let cases = [
        ("x", "/orders/open", "GET", "literal"),
        ("x", "/orders/7", "GET", "parameter-get"),
        ("x", "/orders/7", "PUT", "parameter"),
        ("x", "/orders", "GET", "rest"),
        ("x", "/orders/", "GET", "rest"),
        ("x", "/orders/7/items", "GET", "rest"),
        ("x", "/orders/open/items", "GET", "rest"),
        ("x", "/carts/open/items", "GET", "deep"),
        ("a.example.com", "/orders/open", "GET", "wild"),
        ("a.eu.example.com", "/orders/open", "GET", "longer"),
        ("a.b.eu.example.com", "/orders/open", "GET", "longer"),
        ("eu.example.com", "/orders/open", "GET", "wild"),
        ("example.com", "/orders/open", "GET", "literal"),
        ("api.example.com", "/orders/7", "POST", "exact"),
        ("api.example.com", "/orders/7", "GET", "wild"),
        ("api.example.com", "/carts/open/items", "GET", "deep"),
        ("x", "/", "GET", "all"),
    ];
    for turn in 0..table.len() {
        let mut turned = table.to_vec();
        turned.rotate_left(turn);
        let routes: Vec<_> =
            turned.iter().enumerate().map(|(at, (_, one))| route(at as u32, one.clone())).collect();
        let (router, errors) = build(&[service()], &routes);
        assert_eq!(errors, []);
        for (host, path, method, expected) in cases {
            let call = Call { method: method.into(), ..get(host, path) };
            let Found::Route(matched) = look_up(&router, &call) else { panic!("{call:?}") };
            assert_eq!(turned[matched.route as usize].0, expected, "{call:?}");
        }
    }
}

#[test]
fn captures_are_ranges_of_the_path() {
    let routes = [
        route(1, quick(&[], "/a/{x}/b/{y}", &[])),
        route(2, quick(&[], "/a/{x}/*", &[])),
        route(3, quick(&[], "/f/*", &[])),
    ];
    let (router, errors) = build(&[service()], &routes);
    assert_eq!(errors, []);
    let cases: &[(&str, u32, &[&str])] = &[
        ("/a/1/b/2%20", 0, &["1", "2%20"]),
        ("/a/1/b/2/3", 1, &["1", "b/2/3"]),
        ("/a/1/b/", 1, &["1", "b/"]),
        ("/a/1", 1, &["1", ""]),
        ("/f", 2, &[""]),
        ("/f/", 2, &[""]),
        ("/f//x", 2, &["/x"]),
    ];
    for (path, expected, captures) in cases {
        let Found::Route(matched) = look_up(&router, &get("", path)) else { panic!("{path}") };
        let got: Vec<&str> = matched
            .captures
            .as_slice()
            .iter()
            .map(|range| &path[usize::from(range.start)..usize::from(range.end)])
            .collect();
        assert_eq!((matched.route, got.as_slice()), (*expected, *captures), "{path}");
    }
}

#[test]
fn a_table_with_one_way_gives_what_a_walk_would() {
    let only = |matches: Match| build(&[service()], &[route(1, matches)]).0;
    let router = only(quick(&[], "/*", &[]));
    assert!(router.only.is_some() && !router.looks_at_hosts());
    for path in ["/", "/a", "/a/b%20c", "/a/"] {
        let Found::Route(matched) = look_up(&router, &get("any.host", path)) else { panic!("{path}") };
        let captures: Vec<&str> = matched
            .captures
            .as_slice()
            .iter()
            .map(|range| &path[usize::from(range.start)..usize::from(range.end)])
            .collect();
        assert_eq!((matched.route, matched.strip, captures), (0, 0, vec![&path[1..]]), "{path}");
    }
    let router = only(quick(&[], "/*", &["POST", "PURGE"]));
    let Found::MethodNotAllowed(allowed) = look_up(&router, &get("", "/a")) else {
        panic!("GET is not listed")
    };
    assert_eq!(router.method_names(allowed).collect::<Vec<_>>(), ["POST", "PURGE"]);
    for matches in [
        quick(&["a.example"], "/*", &[]),
        quick(&["*.example"], "/*", &[]),
        quick(&[], "/a/*", &[]),
        quick(&[], "/{a}", &[]),
        Match {
            query: vec![ValueMatch { name: "a".into(), test: ValueTest::Present }],
            ..quick(&[], "/*", &[])
        },
    ] {
        assert!(only(matches.clone()).only.is_none(), "{matches:?}");
    }
    let two = [route(1, quick(&[], "/*", &[])), route(2, quick(&[], "/a", &[]))];
    assert!(build(&[service()], &two).0.only.is_none());
}

#[test]
fn equal_rank_is_a_conflict_only_where_both_can_match() {
    let header = |name: &str, value: Option<&str>| ValueMatch {
        name: name.into(),
        test: value.map_or(ValueTest::Present, |value| ValueTest::Equals(value.into())),
    };
    let with = |one: Match, headers: Vec<ValueMatch>| Match { headers, ..one };
    let asks = |one: Match, query: Vec<ValueMatch>| Match { query, ..one };
    let a = || quick(&[], "/a", &[]);
    let cases = [
        ("same", a(), a(), true),
        ("parameter names don't matter", quick(&[], "/{a}", &[]), quick(&[], "/{b}", &[]), true),
        ("tails", quick(&[], "/a/*", &[]), quick(&[], "/a/*", &[]), true),
        ("other literal", quick(&[], "/a/{x}", &[]), quick(&[], "/b/{x}", &[]), false),
        ("crossed", quick(&[], "/a/{x}", &[]), quick(&[], "/{x}/b", &[]), false),
        ("methods apart", quick(&[], "/a", &["GET"]), quick(&[], "/a", &["POST"]), false),
        ("methods meet", quick(&[], "/a", &["GET", "PUT"]), quick(&[], "/a", &["PUT"]), true),
        ("listed method goes first", quick(&[], "/a", &["GET"]), a(), false),
        ("hosts apart", quick(&["a.t"], "/a", &[]), quick(&["b.t"], "/a", &[]), false),
        ("hosts meet", quick(&["a.t", "b.t"], "/a", &[]), quick(&["c.t", "B.t"], "/a", &[]), true),
        ("wildcards nest", quick(&["*.t"], "/a", &[]), quick(&["*.a.t"], "/a", &[]), false),
        ("same wildcard", quick(&["*.t"], "/a", &[]), quick(&["*.t"], "/a", &[]), true),
        ("any by star", quick(&["*"], "/a", &[]), a(), true),
        ("more headers", with(a(), vec![header("x", None)]), a(), false),
        ("other headers", with(a(), vec![header("x", None)]), with(a(), vec![header("y", None)]), true),
        (
            "headers apart",
            with(a(), vec![header("x", Some("1"))]),
            with(a(), vec![header("X", Some("2"))]),
            false,
        ),
        (
            "presence meets a value",
            with(a(), vec![header("x", Some("1"))]),
            with(a(), vec![header("x", None)]),
            true,
        ),
        (
            "queries apart",
            asks(a(), vec![header("x", Some("1"))]),
            asks(a(), vec![header("x", Some("2"))]),
            false,
        ),
        (
            "query keys have case",
            asks(a(), vec![header("x", Some("1"))]),
            asks(a(), vec![header("X", Some("2"))]),
            true,
        ),
        (
            "a header is more than a query",
            with(a(), vec![header("x", None)]),
            asks(a(), vec![header("x", None)]),
            false,
        ),
    ];
    for (what, one, other, expected) in cases {
        let (_, errors) = build(&[service()], &[route(1, one), route(2, other)]);
        let conflicts: Vec<_> = errors
            .iter()
            .filter(|error| matches!(error.problem, Problem::Conflict { with: Id(1), .. }))
            .collect();
        assert_eq!(conflicts.len(), usize::from(expected), "{what}: {errors:?}");
        assert_eq!(errors.len(), conflicts.len(), "{what}: {errors:?}");
    }
}

#[test]
fn what_can_never_match_is_told() {
    let equals =
        |name: &str, value: &str| ValueMatch { name: name.into(), test: ValueTest::Equals(value.into()) };
    let cases = [
        (
            "match.headers",
            Match { headers: vec![equals("x", "1"), equals("X", "2")], ..quick(&[], "/", &[]) },
        ),
        ("match.query", Match { query: vec![equals("x", "1"), equals("x", "2")], ..quick(&[], "/", &[]) }),
        ("match.methods[0]", quick(&[], "/", &["CONNECT"])),
    ];
    for (field, one) in cases {
        let (_, errors) = build(&[service()], &[route(1, one)]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].field, field);
        assert!(matches!(errors[0].problem, Problem::Unreachable(_)), "{errors:?}");
    }
}
