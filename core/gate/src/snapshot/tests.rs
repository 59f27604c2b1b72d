//! A small configuration that other tests begin from, and what compiling tells about wrong ones.

use super::*;
use crate::error::{Place, Problem, SpecError};
use crate::spec::*;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) const TENANT: Id = Id(1);
pub(crate) const OTHER_TENANT: Id = Id(2);
pub(crate) const SERVICE: Id = Id(5);
pub(crate) const PLAN: Id = Id(7);
pub(crate) const APP: Id = Id(20);
pub(crate) const OTHER_APP: Id = Id(21);

/// A route that anybody may call.
pub(crate) fn open_route(id: u32, path: &str) -> Route {
    Route {
        id: Id(id),
        uid: Uid(u64::from(id)),
        name: format!("r{id}"),
        service: SERVICE,
        version: Id(6),
        matches: Match { path: path.to_owned(), ..Match::default() },
        path_policy: PathPolicy::default(),
        to: To::Upstream(Id(4)),
        rewrite: None,
        headers: RouteHeaders::default(),
        body: Body::default(),
        auth: Auth::None,
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

/// So many requests a minute.
pub(crate) fn per_minute(id: u32, name: &str, requests: u64, by: Vec<KeyPart>) -> Limit {
    Limit {
        id: Id(id),
        uid: Uid(u64::from(id)),
        name: name.to_owned(),
        measure: Measure::Requests(requests),
        per: Some(Period::Span(Duration::from_secs(60))),
        algorithm: Algorithm::Gcra,
        burst: None,
        mode: Mode::Hard,
        alert_at_percent: vec![],
        reserve: Reserve::Estimate,
        keys_max: 1000,
        by,
    }
}

pub(crate) fn app(id: Id, tenant: Id, name: &str) -> App {
    App { id, uid: Uid(u64::from(id.0)), name: name.to_owned(), tenant, ..App::default() }
}

pub(crate) fn credential(id: u32, app: Id, kind: CredentialKind) -> Credential {
    Credential {
        id: Id(id),
        uid: Uid(u64::from(id)),
        app,
        name: format!("c{id}"),
        kind,
        status: Status::Active,
        expires_unix_s: None,
        scopes: None,
        limits: vec![],
    }
}

/// Two tenants, one service of the first with an unnamed version, one upstream, two apps of the first tenant.
pub(crate) fn spec(routes: Vec<Route>) -> Spec {
    let target = Target {
        id: Id(41),
        uid: Uid(41),
        name: "http://127.0.0.1:9000".to_owned(),
        scheme: Scheme::Http,
        address: TargetAddress::Ip(SocketAddr::from(([127, 0, 0, 1], 9000))),
        weight: 1,
        backup: false,
    };
    let upstream = Upstream {
        id: Id(4),
        uid: Uid(4),
        name: "up".to_owned(),
        targets: vec![target],
        balance: Balance::default(),
        health: None,
        passive_health: None,
        timeouts: Timeouts::default(),
        pool: Pool::default(),
        retries: Retries::default(),
        breaker: None,
        tls: UpstreamTls::default(),
        host_header: HostHeader::Keep,
    };
    let tenant =
        |id: Id, name: &str| Tenant { id, uid: Uid(u64::from(id.0)), name: name.to_owned(), limits: vec![] };
    Spec {
        revision: 77,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("network")],
        tenants: vec![tenant(TENANT, "acme"), tenant(OTHER_TENANT, "other")],
        teams: vec![Team { id: Id(3), uid: Uid(3), tenant: TENANT, name: "shop".to_owned(), limits: vec![] }],
        plans: vec![Plan { id: PLAN, uid: Uid(7), name: "free".to_owned(), limits: vec![] }],
        upstreams: vec![upstream],
        services: vec![Service {
            id: SERVICE,
            uid: Uid(5),
            name: "orders".to_owned(),
            tenant: TENANT,
            team: Id(3),
            versioning: None,
            versions: vec![Version { id: Id(6), uid: Uid(6), ..Version::default() }],
            limits: vec![],
        }],
        routes,
        callers: CallerSet {
            sequence: 1,
            hash_keys: vec![HashKey { id: "k1".to_owned(), key: [9; 32] }],
            apps: vec![app(APP, TENANT, "mobile"), app(OTHER_APP, TENANT, "web")],
            ..CallerSet::default()
        },
        ..Spec::default()
    }
}

fn told(spec: Spec) -> Vec<(Place, String)> {
    compile(spec).expect_err("wrong").into_iter().map(|error| (error.place, error.field)).collect()
}

#[test]
fn a_good_spec_compiles() {
    let snapshot = compile(spec(vec![open_route(50, "/a"), open_route(51, "/b/{x}")])).expect("good");
    assert_eq!((snapshot.revision, snapshot.routes().len()), (77, 2));
    assert_eq!(snapshot.route(1).map(|route| route.id), Some(Id(51)));
    assert!(snapshot.route(2).is_none());
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let at = Place::Route(Id(50));
    type Change = fn(&mut Route);
    let cases: &[(&str, Change)] = &[
        ("match.path", |route| route.matches.path = "a".into()),
        ("match.path", |route| route.matches.path = "/a//b".into()),
        ("match.path", |route| route.matches.path = "/%61".into()),
        ("match.path", |route| route.matches.path = "/a%2Fb".into()),
        ("match.hosts[0]", |route| route.matches.hosts = vec!["a b".into()]),
        ("match.methods[0]", |route| route.matches.methods = vec!["get".into()]),
        ("upstream", |route| route.to = To::Upstream(Id(99))),
        ("service", |route| route.service = Id(99)),
        ("version", |route| route.version = Id(99)),
        ("rewrite.path", |route| route.rewrite = Some("/a/{nothing}".into())),
        ("rewrite.path", |route| route.rewrite = Some("a".into())),
        ("auth.any", |route| route.auth = Auth::Any(vec![])),
        ("auth.all[0].jwt.issuers[0]", |route| {
            let issuers = vec![Id(99)];
            route.auth = Auth::All(vec![AuthMethod::Jwt { issuers, app: AppRule::Required }]);
        }),
        ("auth.any[0].api_key", |route| route.auth = Auth::Any(vec![AuthMethod::ApiKey { places: vec![] }])),
        ("authorize", |route| route.authorize.scopes = vec!["x".into()]),
        ("headers.request.set.x-a", |route| {
            route.headers.request.set = vec![("x-a".into(), "{unknown}".into())];
        }),
        ("headers.request.set.content-length", |route| {
            route.headers.request.set = vec![("content-length".into(), "0".into())];
        }),
        ("headers.response.remove[0]", |route| route.headers.response.remove = vec!["a b".into()]),
        ("identity_headers[0]", |route| {
            route.identity_headers = vec![IdentityHeader { name: "host".into(), value: "x".into() }];
        }),
        ("cors.origins", |route| {
            let age_max = Cors::AGE_MAX;
            let none = vec![];
            route.cors = Some(Cors {
                origins: none.clone(),
                methods: none.clone(),
                headers: none.clone(),
                expose: none,
                credentials: false,
                age_max,
            });
        }),
        ("limits[0]", |route| route.limits = vec![per_minute(60, "l", 0, vec![])]),
        ("limits[1]", |route| {
            route.limits = vec![per_minute(60, "l", 1, vec![]), per_minute(61, "l", 1, vec![])];
        }),
        ("limits[0].by", |route| {
            route.limits = vec![per_minute(60, "l", 1, vec![KeyPart::ClientNetwork { v4: 33, v6: 64 }])];
        }),
        ("limits", |route| {
            route.limits = (0..25).map(|at| per_minute(60 + at, &format!("l{at}"), 1, vec![])).collect();
        }),
    ];
    for (field, change) in cases {
        let mut wrong = open_route(50, "/a");
        change(&mut wrong);
        assert_eq!(told(spec(vec![wrong])), [(at, (*field).to_owned())]);
    }
    // Several at once, in the order of places.
    let mut one = open_route(50, "a");
    one.to = To::Upstream(Id(99));
    let other = Route { rewrite: Some("x".into()), ..open_route(51, "/b") };
    let expected = [(at, "match.path"), (at, "upstream"), (Place::Route(Id(51)), "rewrite.path")];
    assert_eq!(told(spec(vec![one, other])), expected.map(|(place, field)| (place, field.to_owned())));
}

#[test]
fn conflicts_name_both_routes() {
    let errors =
        compile(spec(vec![open_route(51, "/a/{x}"), open_route(50, "/a/{y}")])).expect_err("conflict");
    let expected = SpecError {
        place: Place::Route(Id(51)),
        field: "match".to_owned(),
        problem: Problem::Conflict {
            with: Id(50),
            name: "r50".to_owned(),
            host: "*".to_owned(),
            path: "/a/{}".to_owned(),
        },
    };
    assert_eq!(errors, [expected]);
}

#[test]
fn what_is_not_a_route_is_checked_too() {
    type Change = fn(&mut Spec);
    let issuer = || Issuer {
        id: Id(30),
        uid: Uid(30),
        name: "corp".into(),
        issuer: "https://id.t".into(),
        jwks: "{\"keys\":[]}".into(),
        audiences: vec![],
        algorithms: vec!["RS256".into()],
        skew: SKEW_DEFAULT,
        typ: None,
    };
    type Case = (Place, &'static str, Box<dyn Fn(&mut Spec)>);
    let cases: Vec<Case> = vec![
        (Place::Issuer(Id(30)), "jwks", Box::new(move |spec| spec.issuers.push(issuer()))),
        (
            Place::Issuer(Id(30)),
            "algorithms",
            Box::new(move |spec| spec.issuers.push(Issuer { algorithms: vec!["HS256".into()], ..issuer() })),
        ),
        (
            Place::Issuer(Id(30)),
            "algorithms",
            Box::new(move |spec| spec.issuers.push(Issuer { algorithms: vec!["none".into()], ..issuer() })),
        ),
        (
            Place::Issuer(Id(30)),
            "skew",
            Box::new(move |spec| {
                spec.issuers.push(Issuer { skew: SKEW_MAX + Duration::from_secs(1), ..issuer() });
            }),
        ),
        (Place::Upstream(Id(4)), "targets", Box::new(|spec| spec.upstreams[0].targets[0].backup = true)),
        (
            Place::Upstream(Id(4)),
            "targets[0].weight",
            Box::new(|spec| spec.upstreams[0].targets[0].weight = 0),
        ),
        (Place::Plan(PLAN), "limits[0]", {
            let change: Change = |spec| spec.plans[0].limits = vec![per_minute(60, "", 1, vec![])];
            Box::new(change)
        }),
        (Place::Route(Id(50)), "id", Box::new(|spec| spec.routes.push(open_route(50, "/b")))),
        (Place::App(Id(22)), "tenant", Box::new(|spec| spec.callers.apps.push(app(Id(22), Id(99), "x")))),
        (Place::Credential(Id(70)), "app", {
            let key = CredentialKind::Hmac { key_id: "k".into(), secret: vec![1; 16] };
            Box::new(move |spec| spec.callers.credentials.push(credential(70, Id(99), key.clone())))
        }),
        (Place::Credential(Id(71)), "credentials", {
            let key = CredentialKind::Hmac { key_id: "k".into(), secret: vec![1; 16] };
            Box::new(move |spec| {
                spec.callers.credentials.push(credential(70, APP, key.clone()));
                spec.callers.credentials.push(credential(71, OTHER_APP, key.clone()));
            })
        }),
        (Place::Credential(Id(70)), "hmac.secret", {
            let key = CredentialKind::Hmac { key_id: "k".into(), secret: vec![1; 15] };
            Box::new(move |spec| spec.callers.credentials.push(credential(70, APP, key.clone())))
        }),
        (
            Place::Subscription(Id(80)),
            "service",
            Box::new(|spec| {
                spec.callers.apps.push(app(Id(22), OTHER_TENANT, "foreign"));
                let one =
                    Subscription { id: Id(80), app: Id(22), service: SERVICE, ..Subscription::default() };
                spec.callers.subscriptions.push(one);
            }),
        ),
        (
            Place::Subscription(Id(80)),
            "plan",
            Box::new(|spec| {
                let plan = Some(Id(99));
                let one =
                    Subscription { id: Id(80), app: APP, service: SERVICE, plan, ..Subscription::default() };
                spec.callers.subscriptions.push(one);
            }),
        ),
    ];
    for (place, field, change) in cases {
        let mut wrong = spec(vec![open_route(50, "/a")]);
        change(&mut wrong);
        assert_eq!(told(wrong), [(place, field.to_owned())]);
    }
}

#[test]
fn every_limit_is_bound_and_told_and_a_failure_names_it() {
    let mut with_money = spec(vec![open_route(50, "/a")]);
    let usd = Limit {
        measure: Measure::UsdNano(20_000_000_000),
        per: Some(Period::Calendar(CalendarWindow::Month, "UTC".into())),
        algorithm: Algorithm::Calendar,
        ..per_minute(60, "usd", 1, vec![])
    };
    with_money.routes[0].limits = vec![usd, per_minute(61, "rate", 5, vec![])];
    with_money.plans[0].limits = vec![per_minute(62, "plan", 5, vec![])];
    let mut snapshot = compile(with_money).expect("good");
    let mut asked = Vec::new();
    let failed = snapshot.bind_limits(0, &mut |spec| {
        asked.push((spec.name.clone(), spec.kind, spec.amount));
        if spec.name == "usd" { Err("full".to_owned()) } else { Ok(pool_limit(spec)) }
    });
    assert_eq!(failed.map_err(|error| error.to_string()), Err("limit `usd`: full".to_owned()));
    assert!(asked.contains(&("usd".to_owned(), penstock_limits::Kind::Usd, 20_000_000_000)));
    snapshot.bind_limits(0, &mut |spec| Ok(pool_limit(spec))).expect("bound");
    let mut names: Vec<_> = snapshot.limits().map(|limit| limit.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["plan", "rate", "usd"]);
}

fn pool_limit(spec: &penstock_limits::LimitSpec) -> std::sync::Arc<penstock_limits::Limit> {
    let config =
        penstock_limits::NodeConfig { keys_max: 8, workers_max: 1, ..penstock_limits::NodeConfig::new(1, 1) };
    let region = penstock_limits::Region::memory(config.region_words());
    let now = penstock_limits::Now::default();
    let pool = penstock_limits::NodePool::open(region, &config, now, &[]).expect("opens");
    pool.register(spec).expect("registers")
}
