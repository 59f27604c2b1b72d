//! The chain as a whole: requests in, verdicts and texts out.

use crate::callers::{CallerEntries, Change, Delta};
use crate::identity::{ReplayTable, api_key};
use crate::limits::KeySecret;
use crate::snapshot::tests::*;
use crate::spec::*;
use crate::*;
use penstock_http::{Code, HeadLimits, Parsed, RequestHead};
use penstock_limits::{NodeConfig, NodePool, Now, Region, Shard};
use std::sync::Arc;

pub(crate) const NOW_S: u64 = 1_790_000_000;

/// A gate with a snapshot, as a worker has them.
pub(crate) struct Bench {
    pub(crate) gate: Gate,
    pub(crate) snapshot: Snapshot,
    pub(crate) plan: CallPlan,
    pub(crate) now: Now,
    pub(crate) peer: &'static str,
    pub(crate) certificate: Option<ClientCertificate>,
}

impl Bench {
    pub(crate) fn new(spec: Spec) -> Self {
        let now = Now { mono_ns: 5_000_000_000, wall_ns: NOW_S * 1_000_000_000 };
        let config = NodeConfig {
            limits_max: 64,
            keys_max: 1000,
            rolling_keys_max: 16,
            workers_max: 2,
            ..NodeConfig::new(1, 7)
        };
        let region = Region::memory(config.region_words());
        let pool = Arc::new(NodePool::open(region, &config, now, &[]).expect("opens"));
        let mut register =
            |spec: &penstock_limits::LimitSpec| pool.register(spec).map_err(|error| error.to_string());
        let callers = CallerEntries::new(spec.callers.clone(), NOW_S as i64, &mut register).expect("bound");
        let mut snapshot = compile(spec).expect("compiles");
        snapshot.bind_limits(NOW_S as i64, &mut register).expect("bound");
        let shard = Shard::new(Arc::clone(&pool)).expect("a seat");
        let replays = Arc::new(ReplayTable::new(16));
        let mut gate = Gate::new(shard, replays, KeySecret::new([5; 16]), IdSource::new([1; 4]));
        gate.callers.replace(&callers).expect("holds together");
        Self { gate, snapshot, plan: CallPlan::new(), now, peer: "192.0.2.9", certificate: None }
    }

    /// Sends a head (request line and fields, without the empty line).
    pub(crate) fn send(&mut self, head_text: &str) -> Verdict {
        let text = format!("{}\r\n\r\n", head_text.trim().replace('\n', "\r\n"));
        let mut head = RequestHead::new();
        let parsed = head.parse(text.as_bytes(), &HeadLimits::default());
        assert!(matches!(parsed, Ok(Parsed::Complete)), "{parsed:?} {text}");
        let request = Request {
            head: &head,
            buf: text.as_bytes(),
            peer: Some(self.peer.parse().expect("address")),
            listener: 0,
            tls: self.certificate.as_ref().map(|client| Tls { client: Some(client) }),
            now: self.now,
        };
        self.plan.permits = penstock_limits::Permits::new();
        self.gate.decide(&self.snapshot, &request, &mut self.plan)
    }

    /// The status of the gateway's own answer, 200 for what goes upstream.
    pub(crate) fn code(&mut self, head: &str) -> Result<u32, Code> {
        match self.send(head) {
            Verdict::Forward(forward) => Ok(forward.route),
            Verdict::Answer(answer) => Err(answer.code),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn response(&self) -> String {
        String::from_utf8(self.plan.response_fields.clone()).expect("text")
    }

    fn request(&self) -> String {
        String::from_utf8(self.plan.request_fields.clone()).expect("text")
    }

    fn target(&self) -> String {
        String::from_utf8(self.plan.target.clone()).expect("text")
    }
}

const KEY: &str = "psk_ab12_0123456789abcdef";
const FOREIGN: &str = "a-key-from-elsewhere";

fn hash_key() -> HashKey {
    HashKey { id: "k1".to_owned(), key: [9; 32] }
}

fn api_key(id: u32, app: Id, text: &str) -> Credential {
    credential(id, app, CredentialKind::ApiKey(api_key::hash_api_key(&hash_key(), text)))
}

fn keyed(route: Route) -> Route {
    Route { auth: Auth::Any(vec![AuthMethod::ApiKey { places: KeyPlace::defaults() }]), ..route }
}

fn with_keys(routes: Vec<Route>) -> Spec {
    let mut spec = spec(routes);
    spec.callers.credentials = vec![api_key(70, APP, KEY), api_key(71, OTHER_APP, FOREIGN)];
    spec
}

#[test]
fn what_is_not_served_is_told_apart() {
    let get = Match { path: "/a".into(), methods: vec!["GET".into(), "PUT".into()], ..Match::default() };
    let mut bench = Bench::new(spec(vec![Route { matches: get, ..open_route(50, "/a") }]));
    assert_eq!(bench.code("GET /a HTTP/1.1\nHost: x"), Ok(0));
    assert_eq!(bench.code("GET /b HTTP/1.1\nHost: x"), Err(Code::NoRoute));
    assert_eq!(bench.code("GET /a//b HTTP/1.1\nHost: x"), Err(Code::BadPath));
    assert_eq!(bench.code("OPTIONS * HTTP/1.1\nHost: x"), Err(Code::NoRoute));
    assert_eq!(bench.code("DELETE /a HTTP/1.1\nHost: x"), Err(Code::MethodNotAllowed));
    assert_eq!(bench.response(), "allow: GET, PUT\r\n");
}

#[test]
fn only_the_route_that_allows_them_gets_odd_paths() {
    let lax = PathPolicy { encoded_slash: true, ..PathPolicy::default() };
    let mut bench = Bench::new(spec(vec![
        Route { path_policy: lax, ..open_route(50, "/lax/*") },
        open_route(51, "/strict/*"),
    ]));
    assert_eq!(bench.code("GET /lax/a%2fb HTTP/1.1\nHost: x"), Ok(0));
    assert_eq!(bench.target(), "/lax/a%2Fb");
    assert_eq!(bench.code("GET /strict/a%2fb HTTP/1.1\nHost: x"), Err(Code::BadPath));
    assert_eq!(bench.code("GET /strict/../lax/a%2fb HTTP/1.1\nHost: x"), Ok(0));
    assert_eq!(bench.code("GET /lax/../strict/a HTTP/1.1\nHost: x"), Ok(1));
}

#[test]
fn paths_go_upstream_as_they_should() {
    let rewritten = |id, path: &str, to: &str| Route { rewrite: Some(to.to_owned()), ..open_route(id, path) };
    let mut bench = Bench::new(spec(vec![
        rewritten(50, "/orders/{id}", "/internal/orders/{id}"),
        rewritten(51, "/files/*", "/static/{*}"),
        open_route(52, "/plain/*"),
    ]));
    let cases = [
        ("/orders/a%20b?x=1&y=%2F", "/internal/orders/a%20b?x=1&y=%2F"),
        ("/orders/42", "/internal/orders/42"),
        ("/orders/42?", "/internal/orders/42?"),
        ("/files/a/b/", "/static/a/b/"),
        ("/files", "/static/"),
        ("/plain/./a/%7Eb?q", "/plain/a/~b?q"),
    ];
    for (given, expected) in cases {
        assert!(bench.code(&format!("GET {given} HTTP/1.1\nHost: x")).is_ok(), "{given}");
        assert_eq!(bench.target(), expected, "{given}");
    }
}

#[test]
fn the_version_segment_is_taken_away() {
    let mut versioned = spec(vec![open_route(50, "/orders/{id}"), open_route(51, "/")]);
    versioned.services[0].versions[0].name = "v1".into();
    versioned.services[0].versioning = Some(Versioning {
        from: VersionIn::Path { pattern: "{version}".into(), keep: false },
        default: Some("v1".into()),
        unknown: UnknownVersion::Reject,
    });
    let mut bench = Bench::new(versioned);
    for (given, expected) in
        [("/v1/orders/42", "/orders/42"), ("/orders/42", "/orders/42"), ("/v1", "/"), ("/v1/", "/")]
    {
        assert!(bench.code(&format!("GET {given} HTTP/1.1\nHost: x")).is_ok(), "{given}");
        assert_eq!(bench.target(), expected, "{given}");
    }
    assert_eq!(bench.code("GET /v2/orders/42 HTTP/1.1\nHost: x"), Err(Code::UnknownVersion));
}

#[test]
fn keys_are_found_in_their_places_and_nowhere_else() {
    let everywhere = Route {
        auth: Auth::Any(vec![AuthMethod::ApiKey {
            places: vec![
                KeyPlace::Header("x-api-key".into()),
                KeyPlace::Header("x-other".into()),
                KeyPlace::BearerAnyForm,
                KeyPlace::Query("key".into()),
                KeyPlace::Cookie("k".into()),
            ],
        }]),
        ..open_route(51, "/all")
    };
    let mut bench = Bench::new(with_keys(vec![keyed(open_route(50, "/a")), everywhere]));
    let cases = [
        ("/a", "", Err(Code::Unauthenticated)),
        ("/a", "x-api-key: psk_ab12_0123456789abcdef", Ok(APP)),
        ("/a", "x-api-key: a-key-from-elsewhere", Ok(OTHER_APP)),
        ("/a", "x-api-key: psk_ab12_0123456789abcdeX", Err(Code::InvalidCredential)),
        ("/a", "x-api-key: psk_zz99_0123456789abcdef", Err(Code::InvalidCredential)),
        ("/a", "x-api-key: a-key-from-nowhere", Err(Code::InvalidCredential)),
        ("/a", "x-api-key: short", Err(Code::InvalidCredential)),
        ("/a", "x-api-key:", Err(Code::InvalidCredential)),
        (
            "/a",
            "x-api-key: a-key-from-elsewhere\nx-api-key: a-key-from-elsewhere",
            Err(Code::AmbiguousCredential),
        ),
        ("/a", "Authorization: Bearer psk_ab12_0123456789abcdef", Ok(APP)),
        ("/a", "Authorization: bearer  psk_ab12_0123456789abcdef", Ok(APP)),
        ("/a", "Authorization: Bearer a-key-from-elsewhere", Err(Code::Unauthenticated)),
        ("/a", "Authorization: Basic psk_ab12_0123456789abcdef", Err(Code::Unauthenticated)),
        (
            "/a",
            "Authorization: Bearer psk_ab12_0123456789abcdef\nAuthorization: Bearer x",
            Err(Code::AmbiguousCredential),
        ),
        (
            "/a",
            "x-api-key: a-key-from-elsewhere\nAuthorization: Bearer psk_ab12_0123456789abcdef",
            Err(Code::AmbiguousCredential),
        ),
        ("/a?key=a-key-from-elsewhere", "", Err(Code::Unauthenticated)),
        ("/all?key=a-key-from-elsewhere", "", Ok(OTHER_APP)),
        ("/all?k%65y=a%2dkey%2Dfrom-elsewhere", "", Ok(OTHER_APP)),
        ("/all?key=a-key-from-elsewhere&key=a-key-from-elsewhere", "", Err(Code::AmbiguousCredential)),
        ("/all", "x-other: a-key-from-elsewhere", Ok(OTHER_APP)),
        ("/all", "Authorization: Bearer a-key-from-elsewhere", Ok(OTHER_APP)),
        ("/all", "Cookie: a=b; k=a-key-from-elsewhere", Ok(OTHER_APP)),
        ("/all", "Cookie: kk=a-key-from-elsewhere", Err(Code::Unauthenticated)),
        (
            "/all",
            "Cookie: k=a-key-from-elsewhere\nCookie: k=a-key-from-elsewhere",
            Err(Code::AmbiguousCredential),
        ),
        ("/all", "x-other: a-key-from-elsewhere\nx-api-key: a-key-from-elsewhere", Ok(OTHER_APP)),
    ];
    for (target, fields, expected) in cases {
        let got = bench.code(&format!("GET {target} HTTP/1.1\nHost: x\n{fields}"));
        let got = got.map(|_| bench.plan.caller.app.unwrap_or_default());
        assert_eq!(got, expected, "{target} {fields}");
    }
    let long = "x".repeat(api_key::KEY_BYTES_MAX + 1);
    assert_eq!(bench.code(&format!("GET /all?key={long} HTTP/1.1\nHost: x")), Err(Code::InvalidCredential));
}

#[test]
fn keys_do_not_go_upstream() {
    let in_query = Route {
        auth: Auth::Any(vec![AuthMethod::ApiKey { places: vec![KeyPlace::Query("key".into())] }]),
        ..open_route(50, "/q")
    };
    let mut bench = Bench::new(with_keys(vec![in_query, keyed(open_route(51, "/a"))]));
    assert!(bench.code(&format!("GET /q?a=1&k%65y={FOREIGN}&b=2 HTTP/1.1\nHost: x")).is_ok());
    assert_eq!(bench.target(), "/q?a=1&b=2");
    assert!(bench.code(&format!("GET /q?key={FOREIGN} HTTP/1.1\nHost: x")).is_ok());
    assert_eq!(bench.target(), "/q");
    assert!(bench.code(&format!("GET /a HTTP/1.1\nHost: x\nAuthorization: Bearer {KEY}")).is_ok());
    assert!(bench.plan.spent_fields.contains(penstock_http::FieldId::Authorization));
    assert!(bench.snapshot.routes()[1].request_drops.known.contains(penstock_http::FieldId::XApiKey));
}

#[test]
fn a_refusal_says_what_is_wanted() {
    let mut both = keyed(open_route(50, "/a"));
    both.auth = Auth::Any(vec![AuthMethod::ApiKey { places: KeyPlace::defaults() }, AuthMethod::Basic]);
    let mut bench = Bench::new(with_keys(vec![both]));
    assert_eq!(bench.code("GET /a HTTP/1.1\nHost: x"), Err(Code::Unauthenticated));
    let challenge = "www-authenticate: ApiKey realm=\"orders\"\r\nwww-authenticate: Basic realm=\"orders\", charset=\"UTF-8\"\r\n";
    assert_eq!(bench.response(), challenge);
}

#[test]
fn credentials_end_are_revoked_and_belong_to_one_tenant() {
    let mut changed = with_keys(vec![keyed(open_route(50, "/a"))]);
    changed.callers.credentials[0].expires_unix_s = Some(NOW_S + 10);
    let mut foreign = changed.callers.credentials[1].clone();
    foreign.app = Id(22);
    changed.callers.apps.push(app(Id(22), OTHER_TENANT, "foreign"));
    changed.callers.credentials[1] = foreign;
    let mut bench = Bench::new(changed);
    let ask = format!("GET /a HTTP/1.1\nHost: x\nx-api-key: {KEY}");
    assert_eq!(bench.code(&ask), Ok(0));
    let stranger = format!("GET /a HTTP/1.1\nHost: x\nx-api-key: {FOREIGN}");
    assert_eq!(bench.code(&stranger), Err(Code::InvalidCredential), "of another tenant");
    bench.now.wall_ns += 10_000_000_000;
    assert_eq!(bench.code(&ask), Err(Code::ExpiredCredential));
    bench.now.wall_ns -= 10_000_000_000;
    let mut sequence = 1;
    let mut apply = |bench: &mut Bench, change| {
        sequence += 1;
        bench.gate.callers.apply(&Delta { sequence, change }).expect("fits");
    };
    let none = &mut |_: &penstock_limits::LimitSpec| Err("none".to_owned());
    let mut put_app = |status| {
        let changed = App { status, ..app(APP, TENANT, "mobile") };
        Change::PutApp(Arc::new(callers::AppEntry::new(changed, 0, none).expect("no limits")))
    };
    apply(&mut bench, put_app(Status::Suspended));
    assert_eq!(bench.code(&ask), Err(Code::AppSuspended));
    apply(&mut bench, put_app(Status::Active));
    assert_eq!(bench.code(&ask), Ok(0));
    let revoked = Credential { status: Status::Suspended, ..api_key(70, APP, KEY) };
    let none = &mut |_: &penstock_limits::LimitSpec| Err("none".to_owned());
    let entry = callers::CredentialEntry::new(revoked, 0, none).expect("no limits");
    apply(&mut bench, Change::PutCredential(Arc::new(entry)));
    assert_eq!(bench.code(&ask), Err(Code::RevokedCredential));
    apply(&mut bench, Change::RemoveCredential(Id(70)));
    assert_eq!(bench.code(&ask), Err(Code::InvalidCredential));
}

#[test]
fn a_key_that_was_good_is_good_no_longer_than_what_it_was_found_by() {
    let mut bench = Bench::new(with_keys(vec![keyed(open_route(50, "/a"))]));
    let ask = |key: &str| format!("GET /a HTTP/1.1\nHost: x\nx-api-key: {key}");
    for key in [KEY, FOREIGN, KEY, FOREIGN] {
        assert_eq!(bench.code(&ask(key)), Ok(0), "{key}, found and then remembered");
    }
    assert_eq!((bench.plan.caller.app, bench.plan.caller.credential), (Some(OTHER_APP), Some(Id(71))));
    for other in [KEY.replace("cdef", "cdee"), KEY[..KEY.len() - 1].to_owned(), format!("{FOREIGN}.")] {
        assert_eq!(bench.code(&ask(&other)), Err(Code::InvalidCredential), "{other}");
    }
    let keys = |key| Change::HashKeys(vec![HashKey { id: "k1".to_owned(), key }]);
    for (sequence, key, known) in [(2, [8; 32], false), (3, [9; 32], true)] {
        bench.gate.callers.apply(&Delta { sequence, change: keys(key) }).expect("fits");
        for text in [KEY, FOREIGN] {
            let expected = if known { Ok(0) } else { Err(Code::InvalidCredential) };
            assert_eq!(bench.code(&ask(text)), expected, "{text} under another hash key");
        }
    }
    bench.gate.callers.replace(&CallerEntries::default()).expect("holds together");
    assert_eq!(bench.code(&ask(KEY)), Err(Code::InvalidCredential), "after another set");
}

#[test]
fn basic_authentication() {
    let route = Route { auth: Auth::Any(vec![AuthMethod::Basic]), ..open_route(50, "/a") };
    let mut with_user = spec(vec![route]);
    let hash = api_key::hash_basic(&hash_key(), "ann", "s3cret:with-colon");
    let kind = CredentialKind::Basic { user: "ann".into(), hash };
    with_user.callers.credentials = vec![credential(70, APP, kind)];
    let mut bench = Bench::new(with_user);
    let cases = [
        ("Basic YW5uOnMzY3JldDp3aXRoLWNvbG9u", Ok(0)),
        ("basic YW5uOnMzY3JldDp3aXRoLWNvbG9u", Ok(0)),
        ("Basic YW5uOndyb25n", Err(Code::InvalidCredential)),
        ("Basic Ym9iOnMzY3JldDp3aXRoLWNvbG9u", Err(Code::InvalidCredential)),
        ("Basic YW5u", Err(Code::InvalidCredential)),
        ("Basic ???", Err(Code::InvalidCredential)),
        ("Basic", Err(Code::InvalidCredential)),
        ("Bearer YW5uOnMzY3JldDp3aXRoLWNvbG9u", Err(Code::Unauthenticated)),
    ];
    for (value, expected) in cases {
        assert_eq!(
            bench.code(&format!("GET /a HTTP/1.1\nHost: x\nAuthorization: {value}")),
            expected,
            "{value}"
        );
    }
    assert!(
        bench.code("GET /a HTTP/1.1\nHost: x\nAuthorization: Basic YW5uOnMzY3JldDp3aXRoLWNvbG9u").is_ok()
    );
    assert_eq!(bench.plan.caller.subject, "ann");
}

#[test]
fn certificates_and_all_of_several() {
    let mtls = Route { auth: Auth::Any(vec![AuthMethod::Mtls]), ..open_route(50, "/m") };
    let both = Route {
        auth: Auth::All(vec![AuthMethod::Mtls, AuthMethod::ApiKey { places: KeyPlace::defaults() }]),
        ..open_route(51, "/both")
    };
    let mut with_certificate = with_keys(vec![mtls, both]);
    let by = MtlsMatch::SanUri("spiffe://t/mobile".into());
    with_certificate.callers.credentials.push(credential(72, APP, CredentialKind::Mtls(by)));
    let mut bench = Bench::new(with_certificate);
    let key = |text: &str| format!("GET /both HTTP/1.1\nHost: x\nx-api-key: {text}");
    assert_eq!(bench.code("GET /m HTTP/1.1\nHost: x"), Err(Code::ClientCertificateRequired));
    assert_eq!(bench.code(&key(KEY)), Err(Code::Unauthenticated));
    let certificate = |uri: &str| ClientCertificate {
        subject: "CN=mobile".into(),
        san_uri: vec![uri.into()],
        expires_unix_s: NOW_S + 1,
        ..ClientCertificate::default()
    };
    bench.certificate = Some(certificate("spiffe://t/mobile"));
    assert_eq!(bench.code("GET /m HTTP/1.1\nHost: x"), Ok(0));
    assert_eq!((bench.plan.caller.app, bench.plan.caller.subject.as_str()), (Some(APP), "CN=mobile"));
    assert_eq!(bench.code(&key(KEY)), Ok(1));
    assert_eq!(bench.code(&key(FOREIGN)), Err(Code::AmbiguousCredential), "another app's key");
    assert_eq!(bench.code(&key("psk_ab12_0123456789abcdeX")), Err(Code::InvalidCredential));
    assert_eq!(bench.code("GET /both HTTP/1.1\nHost: x"), Err(Code::Unauthenticated));
    bench.now.wall_ns += 1_000_000_000;
    assert_eq!(bench.code("GET /m HTTP/1.1\nHost: x"), Err(Code::ExpiredCredential));
    bench.now.wall_ns -= 1_000_000_000;
    bench.certificate = Some(certificate("spiffe://t/other"));
    assert_eq!(bench.code("GET /m HTTP/1.1\nHost: x"), Err(Code::InvalidCredential));
}

#[test]
fn scopes_subscriptions_and_networks() {
    let mut scoped = keyed(open_route(50, "/scoped"));
    scoped.authorize.scopes = vec!["orders.read".into(), "orders.list".into()];
    let mut subscribed = keyed(open_route(51, "/subscribed"));
    subscribed.authorize.subscription = SubscriptionRule::Required;
    let mut near = open_route(52, "/near");
    near.ip.allow = vec!["192.0.2.0/24".parse().expect("network"), "2001:db8::/32".parse().expect("network")];
    near.ip.deny = vec!["192.0.2.66".parse().expect("network")];
    let mut all = with_keys(vec![scoped, subscribed, near]);
    all.callers.apps[0].scopes = vec!["orders.list".into(), "orders.read".into()];
    all.callers.apps[1].ip_allow = vec!["198.51.100.0/24".parse().expect("network")];
    all.callers.credentials.push(Credential {
        scopes: Some(vec!["orders.read".into()]),
        ..api_key(72, APP, "a-narrower-key-of-it")
    });
    let subscription =
        Subscription { id: Id(80), uid: Uid(80), app: APP, service: SERVICE, ..Default::default() };
    all.callers.subscriptions = vec![subscription];
    let mut bench = Bench::new(all);
    let ask = |path: &str, key: &str| format!("GET {path} HTTP/1.1\nHost: x\nx-api-key: {key}");
    let cases = [
        ("192.0.2.9", ask("/scoped", KEY), Ok(0)),
        ("192.0.2.9", ask("/scoped", "a-narrower-key-of-it"), Err(Code::ForbiddenScope)),
        ("192.0.2.9", ask("/subscribed", KEY), Ok(1)),
        ("192.0.2.9", ask("/subscribed", FOREIGN), Err(Code::IpDenied)),
        ("198.51.100.1", ask("/subscribed", FOREIGN), Err(Code::SubscriptionRequired)),
        ("198.51.100.1", ask("/scoped", FOREIGN), Err(Code::ForbiddenScope)),
        ("192.0.2.9", ask("/near", ""), Ok(2)),
        ("::ffff:192.0.2.9", ask("/near", ""), Ok(2)),
        ("192.0.2.66", ask("/near", ""), Err(Code::IpDenied)),
        ("::ffff:192.0.2.66", ask("/near", ""), Err(Code::IpDenied)),
        ("192.0.3.1", ask("/near", ""), Err(Code::IpDenied)),
        ("2001:db8::1", ask("/near", ""), Ok(2)),
        ("2001:db9::1", ask("/near", ""), Err(Code::IpDenied)),
    ];
    for (peer, head, expected) in cases {
        bench.peer = peer;
        assert_eq!(bench.code(&head), expected, "{peer} {head}");
    }
    bench.peer = "10.0.0.1";
    assert_eq!(bench.code("GET /near HTTP/1.1\nHost: x\nX-Forwarded-For: 192.0.2.66"), Err(Code::IpDenied));
}

#[test]
fn limits_of_all_levels_add_up_and_are_told() {
    let mut limited = keyed(open_route(50, "/a"));
    limited.limits = vec![per_minute(60, "by-app", 3, vec![KeyPart::App])];
    limited.ratelimit_headers = true;
    let mut all = with_keys(vec![limited, open_route(51, "/b")]);
    all.plans[0].limits = vec![per_minute(61, "plan", 2, vec![])];
    all.services[0].limits = vec![per_minute(62, "service", 100, vec![KeyPart::Client])];
    let subscription = |id: u32, app| Subscription {
        id: Id(id),
        uid: Uid(u64::from(id)),
        app,
        service: SERVICE,
        plan: Some(PLAN),
        ..Default::default()
    };
    all.callers.subscriptions = vec![subscription(80, APP), subscription(81, OTHER_APP)];
    let mut bench = Bench::new(all);
    let ask = |key: &str| format!("GET /a HTTP/1.1\nHost: x\nx-api-key: {key}");
    assert_eq!(bench.code(&ask(KEY)), Ok(0));
    assert!(bench.response().contains("ratelimit: \"plan\";r=1;t="), "{}", bench.response());
    assert_eq!(bench.code(&ask(KEY)), Ok(0));
    let Verdict::Answer(answer) = bench.send(&ask(KEY)) else { panic!("over the plan") };
    assert_eq!((answer.code, answer.limit.map(|limit| limit.id)), (Code::RateLimited, Some(Id(61))));
    let told = bench.response();
    assert!(told.contains("retry-after: 30\r\n") && told.contains("ratelimit: \"plan\";r=0"), "{told}");
    assert_eq!(bench.plan.stages.get(Stage::Limit), (Outcome::Refused, Id(61)));
    for expected in [Ok(0), Ok(0), Err(Code::RateLimited)] {
        assert_eq!(bench.code(&ask(FOREIGN)), expected, "each subscription has the plan for itself");
    }
    for _ in 0..96 {
        assert_eq!(bench.code("GET /b HTTP/1.1\nHost: x"), Ok(1));
    }
    assert_eq!(bench.code("GET /b HTTP/1.1\nHost: x"), Err(Code::RateLimited), "the service's own limit");
    bench.peer = "192.0.2.10";
    assert_eq!(bench.code("GET /b HTTP/1.1\nHost: x"), Ok(1), "by client");
}

#[test]
fn keys_of_limits_are_what_is_written() {
    let mut by_many = open_route(50, "/a");
    by_many.limits = vec![
        per_minute(60, "net", 4, vec![KeyPart::ClientNetwork { v4: 24, v6: 64 }]),
        per_minute(61, "user", 2, vec![KeyPart::Header("x-user".into())]),
    ];
    let mut bench = Bench::new(spec(vec![by_many]));
    let cases = [
        ("192.0.2.1", "a", Ok(0)),
        ("192.0.2.2", "a", Ok(0)),
        ("192.0.2.3", "a", Err(Code::RateLimited)),
        ("192.0.2.3", "b", Ok(0)),
        ("192.0.2.4", "b", Ok(0)),
        ("192.0.2.5", "c", Err(Code::RateLimited)),
        ("192.0.3.5", "c", Ok(0)),
        ("2001:db8::1", "c", Ok(0)),
    ];
    for (at, (peer, user, expected)) in cases.into_iter().enumerate() {
        bench.peer = peer;
        assert_eq!(bench.code(&format!("GET /a HTTP/1.1\nHost: x\nx-user: {user}")), expected, "{at}");
    }
}

#[test]
fn a_body_that_can_never_pass_costs_no_quota() {
    let mut small = open_route(50, "/a");
    small.body.max = Some(10);
    small.limits = vec![per_minute(60, "one", 1, vec![])];
    let mut bench = Bench::new(spec(vec![small]));
    assert_eq!(bench.code("POST /a HTTP/1.1\nHost: x\nContent-Length: 11"), Err(Code::BodyTooLarge));
    assert_eq!(bench.code("POST /a HTTP/1.1\nHost: x\nContent-Length: 10"), Ok(0));
    assert_eq!(bench.code("POST /a HTTP/1.1\nHost: x\nContent-Length: 10"), Err(Code::RateLimited));
}

#[test]
fn fields_are_edited_and_spoofed_ones_removed() {
    let mut edited = keyed(open_route(50, "/orders/{id}"));
    edited.identity_headers = vec![
        IdentityHeader { name: "x-penstock-app".into(), value: "{app.name}".into() },
        IdentityHeader { name: "x-subject".into(), value: "{subject}".into() },
    ];
    edited.headers.request.set =
        vec![("X-Trail".into(), "{tenant.name}/{team.name}/{service.name}/{id}".into())];
    edited.headers.request.remove = vec!["x-debug".into()];
    edited.headers.response.add = vec![("x-served-by".into(), "{route.name}".into())];
    edited.headers.response.remove = vec!["server".into()];
    edited.expose_revision = true;
    let mut bench = Bench::new(with_keys(vec![edited]));
    let head = format!(
        "GET /orders/42 HTTP/1.1\nHost: x\nx-api-key: {KEY}\nx-penstock-app: admin\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    );
    assert_eq!(bench.code(&head), Ok(0));
    let sent = bench.request();
    for line in ["x-penstock-app: mobile", "x-trail: acme/shop/orders/42", "x-forwarded-for: 192.0.2.9"] {
        assert!(sent.contains(&format!("{line}\r\n")), "{line} in {sent}");
    }
    assert!(!sent.contains("x-subject"), "an unknown part is not sent: {sent}");
    assert!(sent.contains("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{sent}");
    assert!(!sent.contains("00f067aa0ba902b7"), "the span is ours: {sent}");
    let back = bench.response();
    for line in ["x-served-by: r50", "x-penstock-revision: 77", "x-request-id: "] {
        assert!(back.contains(line), "{line} in {back}");
    }
    let drops = &bench.snapshot.routes()[0].request_drops;
    for name in ["X-Penstock-App", "Forwarded", "X-Forwarded-For", "X-Request-Id", "Traceparent"] {
        assert!(drops.known.contains(penstock_http::FieldId::lookup(name.as_bytes())), "{name}");
    }
    let names: Vec<&str> = drops.names.iter().map(FieldName::as_str).collect();
    assert_eq!(names, ["x-subject", "x-debug", "x-trail"]);
    assert!(bench.snapshot.routes()[0].response_drops.known.contains(penstock_http::FieldId::Server));
    let pairs: Vec<_> = lines(&bench.plan.request_fields).collect();
    assert!(pairs.contains(&(&b"x-penstock-app"[..], &b"mobile"[..])));
}

#[test]
fn request_ids_are_kept_only_from_whom_they_are_believed() {
    let mut bench = Bench::new(spec(vec![open_route(50, "/a")]));
    let head = "GET /a HTTP/1.1\nHost: x\nX-Request-Id: mine-1";
    assert!(bench.code(head).is_ok());
    assert_eq!(bench.plan.request_id.as_bytes().len(), 32);
    bench.peer = "10.0.0.1";
    assert!(bench.code(head).is_ok());
    assert_eq!(bench.plan.request_id.as_bytes(), b"mine-1");
}

#[test]
fn preflights_need_no_credential_and_others_carry_leave() {
    let mut shared = keyed(open_route(50, "/a"));
    shared.matches.methods = vec!["GET".into(), "PUT".into()];
    shared.cors = Some(Cors {
        origins: vec!["https://app.t".into()],
        methods: vec![],
        headers: vec![],
        expose: vec![],
        credentials: false,
        age_max: Cors::AGE_MAX,
    });
    let mut bench = Bench::new(with_keys(vec![shared]));
    let ask = |origin: &str, method: &str| {
        format!(
            "OPTIONS /a HTTP/1.1\nHost: x\nOrigin: {origin}\nAccess-Control-Request-Method: {method}\nAccess-Control-Request-Headers: x-api-key"
        )
    };
    assert_eq!(bench.send(&ask("https://app.t", "PUT")), Verdict::Preflight);
    let told = bench.response();
    for line in [
        "access-control-allow-origin: https://app.t\r\n",
        "access-control-allow-methods: GET, PUT\r\n",
        "access-control-allow-headers: x-api-key\r\n",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert_eq!(bench.code(&ask("https://evil.t", "PUT")), Err(Code::CorsDenied));
    assert_eq!(bench.code(&ask("https://app.t", "DELETE")), Err(Code::MethodNotAllowed));
    assert_eq!(bench.code("OPTIONS /a HTTP/1.1\nHost: x"), Err(Code::MethodNotAllowed));
    let actual = |origin: &str| format!("GET /a HTTP/1.1\nHost: x\nOrigin: {origin}\nx-api-key: {KEY}");
    assert_eq!(bench.code(&actual("https://app.t")), Ok(0));
    assert!(bench.response().contains("access-control-allow-origin: https://app.t\r\n"));
    assert_eq!(bench.code(&actual("https://evil.t")), Ok(0));
    assert!(!bench.response().contains("access-control-allow-origin"));
}

#[test]
fn plain_listeners_can_send_everybody_to_https() {
    let mut redirecting = spec(vec![open_route(50, "/a")]);
    redirecting.listeners = vec![Listener {
        id: Id(90),
        name: "plain".into(),
        address: Address::Tcp(([127, 0, 0, 1], 80).into()),
        tls: None,
        protocols: vec![Protocol::Http1],
        redirect_https: Some(8443),
        hsts: None,
        timeouts: ListenerTimeouts::default(),
        limits: ListenerLimits::default(),
        proxy_protocol: false,
    }];
    let mut bench = Bench::new(redirecting);
    assert_eq!(bench.send("GET /a/b?c=d HTTP/1.1\nHost: API.t:80"), Verdict::Redirect);
    assert!(bench.response().starts_with("location: https://API.t:8443/a/b?c=d\r\n"), "{}", bench.response());
}
