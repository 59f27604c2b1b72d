//! Configurations that must pass, and what they compile to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use penstock_gate::spec::{
    Algorithm, ApiKeyLookup, Auth, AuthMethod, CredentialKind, HashBy, HashKey, KeyPlace, Measure, PemSource,
    Period, Reserve, Route, TargetAddress, TokenKind, ValueTest, VersionIn,
};
use penstock_model::{
    Configuration, CountedIds, DEMO_KEY, DEMO_UPSTREAM, Disk, HashKeys, Memory, check, check_text, defaults,
    demo_calls, hash_secret, init, reference, schema, show_hash,
};

/// The EC key of RFC 7517 appendix A.1.
const KEY_SET: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig",
"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
const MOBILE_KEY: &str = "psk_abc123_0123456789abcdef";

fn lookup(name: &str) -> Option<String> {
    (name == "MOBILE_KEY").then(|| MOBILE_KEY.to_owned())
}

fn side_files() -> Memory {
    Memory::default()
        .with("conf/certs/api.pem", CERTIFICATE)
        .with("conf/certs/clients.pem", CERTIFICATE)
        .with("conf/certs/api.key", PRIVATE_KEY)
        .with("conf/keys/jwks.json", KEY_SET)
}

fn must(result: Result<Configuration, Vec<penstock_model::Problem>>) -> Configuration {
    result.unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(|p| format!("{p}\n{}", p.excerpt())).collect();
        panic!("{}", lines.join("\n"));
    })
}

fn whole_text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good/whole.yaml");
    std::fs::read_to_string(path).expect("whole.yaml")
}

/// `conf/whole.yaml:line:column` of a piece of the text that stands there once.
fn place(needle: &str) -> String {
    let text = whole_text();
    assert_eq!(text.matches(needle).count(), 1, "{needle}");
    let before = &text[..text.find(needle).expect("counted")];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("conf/whole.yaml:{line}:{column}")
}

fn node_keys() -> Vec<HashKey> {
    vec![HashKey { id: "node".into(), key: [7; 32] }, HashKey { id: "n1".into(), key: [8; 32] }]
}

fn whole() -> Configuration {
    let files = side_files().with("conf/whole.yaml", whole_text());
    must(check(&[PathBuf::from("conf/whole.yaml")], &files, &lookup))
}

fn find<'r>(routes: &'r [Route], name: &str) -> &'r Route {
    routes.iter().find(|route| route.name == name).expect(name)
}

#[test]
fn the_whole_grammar_writes_every_key() {
    let text = whole_text();
    let schema: serde_json::Value = serde_json::from_str(&schema()).expect("JSON");
    let tables = schema["$defs"].as_object().expect("definitions");
    let missing: Vec<String> = tables
        .iter()
        .flat_map(|(table, shape)| {
            shape["properties"].as_object().expect("properties").keys().map(move |key| (table, key))
        })
        .filter(|(_, key)| !text.contains(&format!("{key}:")))
        .map(|(table, key)| format!("{table}.{key}"))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn routes_have_in_force_what_they_inherit() {
    let compiled =
        whole().compile(3, &mut CountedIds::default(), &HashKeys::Node(node_keys())).expect("compiles");
    let spec = &compiled.spec;
    assert_eq!(spec.revision, 3);
    let get = find(&spec.routes, "get-order");
    let any = find(&spec.routes, "any-order");
    let all = find(&spec.routes, "all");
    // Nearest wins as a whole key.
    assert_eq!((get.body.max, get.body.rate_min), (None, Some(1024)));
    assert_eq!((all.body.max, all.body.rate_min), (Some(1 << 20), None));
    assert_eq!(all.auth, Auth::None);
    assert_eq!(any.authorize.scopes, ["base"]);
    assert!(all.authorize.scopes.is_empty());
    let Auth::Any(methods) = &any.auth else { panic!("{:?}", any.auth) };
    assert_eq!(methods[0], AuthMethod::ApiKey { places: KeyPlace::defaults() });
    let Auth::All(methods) = &get.auth else { panic!("{:?}", get.auth) };
    let AuthMethod::ApiKey { places } = &methods[0] else { panic!("{methods:?}") };
    assert_eq!(
        places,
        &[KeyPlace::Header("x-key".into()), KeyPlace::Query("key".into()), KeyPlace::Cookie("key".into())]
    );
    // Denied networks add up, allowed ones do not.
    assert_eq!((get.ip.allow.len(), get.ip.deny.len()), (1, 2));
    assert_eq!((any.ip.allow.len(), any.ip.deny.len()), (1, 1));
    assert_eq!(get.timeouts.first_byte, Some(Duration::from_secs(20)));
    assert_eq!(get.rewrite.as_deref(), Some("/internal/orders/{id}"));
    assert_eq!(get.matches.headers[0].test, ValueTest::Equals("book".into()));
    assert_eq!(get.matches.headers[1].test, ValueTest::Present);
    assert_eq!(get.headers.request.set, [("x-app".to_owned(), "{app.name}".to_owned())]);
    assert!(get.path_policy.double_slash && !get.path_policy.backslash);
    assert_eq!(get.cors.as_ref().map(|cors| cors.age_max), Some(Duration::from_secs(3600)));
}

#[test]
fn limits_have_their_names_algorithms_and_counters() {
    let compiled =
        whole().compile(1, &mut CountedIds::default(), &HashKeys::Node(node_keys())).expect("compiles");
    let spec = &compiled.spec;
    let plan = &spec.plans[0].limits;
    assert_eq!((plan[0].name.as_str(), plan[1].name.as_str()), ("rate", "requests/app,client/1m"));
    assert_eq!((plan[0].algorithm, plan[1].algorithm), (Algorithm::Gcra, Algorithm::Fixed));
    let usd = &plan[2];
    assert_eq!((usd.name.as_str(), usd.measure), ("usd/app/month", Measure::UsdNano(20_000_000_000)));
    assert!(matches!(&usd.per, Some(Period::Calendar(_, zone)) if zone == "UTC"));
    assert_eq!((usd.algorithm, plan[3].algorithm), (Algorithm::Calendar, Algorithm::Rolling));
    let told: Vec<_> =
        plan[3..].iter().map(|limit| (limit.measure, limit.algorithm, limit.reserve)).collect();
    let tokens = Measure::Tokens;
    let expected = [
        (tokens(10, TokenKind::Both), Algorithm::Rolling, Reserve::Bound),
        (tokens(5, TokenKind::Input), Algorithm::Fixed, Reserve::Estimate),
        (tokens(5, TokenKind::Output), Algorithm::Calendar, Reserve::Estimate),
        (Measure::UsdNano(250_000_000), Algorithm::Rolling, Reserve::Estimate),
    ];
    assert_eq!(told, expected);
    let Some(Period::Calendar(_, zone)) = &spec.tenants[0].limits[0].per else { panic!("no calendar") };
    assert_eq!(zone, "Europe/Zurich");
    assert_eq!(spec.tenants[0].limits[0].alert_at_percent, [80, 100]);
    let concurrent = &spec.callers.apps[0].limits[0];
    assert_eq!((concurrent.per.is_none(), concurrent.algorithm), (true, Algorithm::Concurrency));
}

#[test]
fn secrets_become_keyed_hashes() {
    let keys = node_keys();
    let compiled =
        whole().compile(1, &mut CountedIds::default(), &HashKeys::Node(keys.clone())).expect("compiles");
    let credentials = &compiled.spec.callers.credentials;
    assert_eq!(credentials.len(), 10);
    let CredentialKind::ApiKey(first) = &credentials[0].kind else { panic!("{:?}", credentials[0].kind) };
    assert_eq!(first.lookup, ApiKeyLookup::ById("abc123".into()));
    assert_eq!((first.key_id.as_str(), first.hash), ("node", hash_secret(&keys[0], MOBILE_KEY)));
    assert_eq!(credentials[0].expires_unix_s, Some(1_896_048_000));
    let CredentialKind::ApiKey(second) = &credentials[1].kind else { panic!("{:?}", credentials[1].kind) };
    assert_eq!(
        (&second.lookup, second.key_id.as_str(), second.hash),
        (&ApiKeyLookup::ByHash, "n1", [15; 32])
    );
    let CredentialKind::Basic { user, hash } = &credentials[3].kind else { panic!("no basic") };
    assert_eq!((user.as_str(), hash.hash), ("mobile", hash_secret(&keys[0], "mobile:0123456789abcdef")));
    assert!(!format!("{compiled:?} {:?}", whole()).contains("0123456789abcdef"));
    assert!(show_hash(&keys[0], MOBILE_KEY).starts_with("b3k:node:"));
    assert_eq!(compiled.spec.callers.subscriptions.len(), 2);
}

#[test]
fn a_hash_of_a_foreign_key_is_refused_on_a_node() {
    let keys = vec![HashKey { id: "other".into(), key: [1; 32] }];
    let problems =
        whole().compile(1, &mut CountedIds::default(), &HashKeys::Node(keys)).expect_err("n1 is not known");
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        format!(
            "{}: hash key `n1` is not on this node (known: other; hash again by `penstock credential hash`)",
            place("n1:0f0f")
        )
    );
    let none = whole().compile(1, &mut CountedIds::default(), &HashKeys::Node(Vec::new()));
    assert!(none.is_err());
}

#[test]
fn listeners_upstreams_and_process() {
    let compiled = whole().compile(1, &mut CountedIds::default(), &HashKeys::CheckOnly).expect("compiles");
    let spec = &compiled.spec;
    let tls = spec.listeners[1].tls.as_ref().expect("TLS");
    assert_eq!(tls.certificates[0].chain, PemSource::File("conf/certs/api.pem".into()));
    assert_eq!(spec.listeners[1].name, "[::1]:8443");
    let upstream = &spec.upstreams[0];
    assert_eq!(upstream.balance, penstock_gate::spec::Balance::Hash(HashBy::Header("x-user".into())));
    assert_eq!(upstream.targets[2].address, TargetAddress::Unix("/run/orders.sock".into()));
    assert_eq!(upstream.retries.max, 2);
    let by_header = spec.services.iter().find(|service| service.name == "by-header").expect("service");
    let from = &by_header.versioning.as_ref().expect("versioning").from;
    assert!(matches!(from, VersionIn::Header { name } if name == "x-api-version"));
    assert_eq!(compiled.process.ring_bytes, 16 << 20);
    assert_eq!(compiled.process.data_dir, PathBuf::from("/var/lib/penstock"));
}

/// The tenant and the team `default` are there when something belongs to them, and only then.
#[test]
fn default_owners_are_there_when_needed() {
    let owners = |text: &str| {
        let configuration = must(check_text("t", text, &Memory::default(), &lookup));
        let compiled = configuration
            .compile(1, &mut CountedIds::default(), &HashKeys::CheckOnly)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let tenants: Vec<String> = compiled.spec.tenants.into_iter().map(|tenant| tenant.name).collect();
        let teams: Vec<String> = compiled.spec.teams.into_iter().map(|team| team.name).collect();
        format!("{} / {}", tenants.join(" "), teams.join(" "))
    };
    for (text, want) in [
        ("", "default / "),
        ("apps: [ { name: a } ]", "default / default"),
        ("tenants: [ { name: t } ]", "t / "),
        ("tenants: [ { name: t } ]\napps: [ { name: a } ]", "t default / default"),
        (
            "tenants: [ { name: t } ]\nteams: [ { name: default, tenant: t } ]\napps: [ { name: a } ]",
            "t / default",
        ),
        ("tenants: [ { name: t } ]\nteams: [ { name: x } ]", "t default / x"),
    ] {
        assert_eq!(owners(text), want, "{text}");
    }
}

/// Whatever moves in the file, ids and counters stay: both go by names, never by order.
#[test]
fn reordering_moves_no_id() {
    let text = |limits: &str, apps: &str| {
        format!("plans: [ {{ name: p, limits: [ {limits} ] }} ]\napps: [ {apps} ]\n")
    };
    let one = text(
        "{ requests: 1, per: 1s }, { requests: 9, per: day }",
        "{ name: a, credentials: [ { api_key: { value: 0123456789abcdef } }, { api_key: { value: fedcba9876543210 } } ] }, { name: b }",
    );
    let two = text(
        "{ requests: 9, per: day }, { requests: 2, per: 1s }",
        "{ name: b }, { name: a, credentials: [ { api_key: { value: fedcba9876543210 } }, { api_key: { value: 0123456789abcdef } } ] }",
    );
    let mut ids = CountedIds::default();
    let keys = HashKeys::Node(node_keys());
    let files = Memory::default();
    let one = must(check_text("one", &one, &files, &lookup)).compile(1, &mut ids, &keys).expect("one");
    let two = must(check_text("two", &two, &files, &lookup)).compile(2, &mut ids, &keys).expect("two");
    let limit = |spec: &penstock_gate::spec::Spec, name: &str| {
        let limits = &spec.plans[0].limits;
        limits.iter().find(|limit| limit.name == name).map(|limit| (limit.id, limit.uid)).expect("limit")
    };
    for name in ["requests/1s", "requests/day"] {
        assert_eq!(limit(&one.spec, name), limit(&two.spec, name), "{name}");
    }
    let credentials = |spec: &penstock_gate::spec::Spec| {
        let mut list: Vec<_> = spec.callers.credentials.iter().map(|c| (c.id, c.uid)).collect();
        list.sort();
        list
    };
    assert_eq!(credentials(&one.spec), credentials(&two.spec));
}

#[test]
fn the_whole_can_be_served() {
    let configuration = whole();
    let ready = configuration
        .snapshot(1, &mut CountedIds::default(), &HashKeys::Node(node_keys()))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(ready.callers.apps.len(), 1);
    let explain = configuration.explain();
    for (line, needle) in [
        ("upstreams.orders.retries.max = 2", "2, retry_on"),
        (
            "routes.orders/v1/any-order.auth = any of api_key, jwt (corp) [tenant]",
            "{ any: [ api_key, { jwt: { issuers",
        ),
        ("routes.orders/v1/any-order.body.max = unlimited [version]", "unlimited }\n        routes"),
        ("listeners.plain.timeouts.head = 10s", "10s, keepalive"),
    ] {
        let line = format!("{line}  ({})", place(needle));
        assert!(explain.lines().any(|have| have == line), "{line}\n{explain}");
    }
    assert!(explain.contains("upstreams.orders.timeouts.total = 2m"));
    assert!(explain.contains("listeners[1].timeouts.head = 10s  (default)"));
    assert!(!explain.contains(MOBILE_KEY) && !explain.contains("0123456789abcdef"));
}

#[test]
fn starter_and_embedded_defaults_pass() {
    let starter = must(check_text("penstock.yaml", init(), &Memory::default(), &lookup));
    assert_eq!(starter.resources().services.value.len(), 1);
    let demo = |name: &str| match name {
        DEMO_UPSTREAM => Some("127.0.0.1:40001".to_owned()),
        DEMO_KEY => Some("psk_demo_0123456789abcdef".to_owned()),
        _ => None,
    };
    let embedded = must(check_text("(defaults)", defaults(), &Memory::default(), &demo));
    let ready = embedded
        .snapshot(1, &mut CountedIds::default(), &HashKeys::Node(node_keys()))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(ready.callers.credentials.len(), 1);
    let calls = demo_calls("127.0.0.1:8080", "psk_demo_0123456789abcdef");
    assert!(calls.iter().all(|call| call.starts_with("curl -i ") && call.contains("127.0.0.1:8080/demo/")));
}

#[test]
fn files_and_folders_are_one_configuration() {
    let files = Memory::default()
        .with("d/10-upstreams.yaml", "upstreams: [ { name: u, targets: [ { url: http://127.0.0.1:1 } ] } ]\n")
        .with("d/20-services.yml", "services: [ { name: s, auth: none, routes: [ { name: r, match: { path: / }, upstream: u } ] } ]\n")
        .with("d/.hidden.yaml", "not: [read")
        .with("d/readme.txt", "not read")
        .with("more.yaml", "upstreams: [ { name: v, targets: [ { url: http://127.0.0.1:2 } ] } ]\nworkers: 1\n");
    let configuration = must(check(&["d".into(), "more.yaml".into()], &files, &lookup));
    assert_eq!(configuration.resources().upstreams.value.len(), 2);
    let told = |paths: &[&str]| -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        check(&paths, &files, &lookup).expect_err("refused").iter().map(ToString::to_string).collect()
    };
    assert!(told(&["absent.yaml"])[0].starts_with("absent.yaml:1:1: cannot read the file: no such file"));
    assert!(told(&["more.yaml", "more.yaml"])[0].contains("named twice"));
    let files =
        Memory::default().with("d/a.txt", "").with("bin.yaml", [b"a: b\nc: ".as_slice(), &[0xff]].concat());
    let told = check(&["d".into(), "bin.yaml".into()], &files, &lookup).expect_err("refused");
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("d:1:1: the folder holds no *.yaml"), "{told:?}");
    assert!(told[1].contains("bin.yaml:2:4: the file is not UTF-8"), "{told:?}");
}

#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("docs/configuration.md");
    assert!(
        page == reference(),
        "stale: cargo run -p penstock-model --example reference > docs/configuration.md"
    );
}

/// The grammar's first document, where it is at hand beside the repository.
#[test]
fn the_example_of_the_design_passes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/design/penstock.example.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!(
            "nothing was tested: the design pages are not beside this repository; tests/good/whole.yaml stands in"
        );
        return;
    };
    let files = side_files().with("conf/penstock.yaml", text);
    let configuration = must(check(&["conf/penstock.yaml".into()], &files, &lookup));
    let ready = configuration
        .snapshot(1, &mut CountedIds::default(), &HashKeys::Node(node_keys()))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(ready.callers.subscriptions.len(), 1);
}

#[test]
fn the_disk_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    let problems = check(&[folder], &Disk, &lookup).expect_err("the certificates are not on the disk");
    assert!(problems.iter().all(|problem| problem.message.contains("no such file")), "{problems:?}");
    assert!(problems.len() >= 4);
}
