//! Tokens and money of calls: collected by the chain, reserved when the model is known, told to the caller.

use crate::chain_tests::{Bench, NOW_S};
use crate::identity::api_key;
use crate::limits::{BoundLimits, bind};
use crate::snapshot::tests::*;
use crate::spec::*;
use crate::*;
use penstock_http::Code;
use penstock_limits::{BytesMoved, NodePool, Spend};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "psk_ab12_0123456789abcdef";
const FOREIGN: &str = "a-key-from-elsewhere";
const USD: u64 = 1_000_000_000;
const FAST: Uid = Uid(0xfa57);
const CAREFUL: Uid = Uid(0xca2e);

fn money(id: u32, usd_nano: u64, by: Vec<KeyPart>) -> Limit {
    Limit {
        measure: Measure::UsdNano(usd_nano),
        per: Some(Period::Calendar(CalendarWindow::Month, "UTC".into())),
        algorithm: Algorithm::Calendar,
        ..per_minute(id, &format!("usd{id}"), 1, by)
    }
}

fn tokens(id: u32, amount: u64, kind: TokenKind, by: Vec<KeyPart>) -> Limit {
    Limit {
        measure: Measure::Tokens(amount, kind),
        algorithm: Algorithm::Rolling,
        ..per_minute(id, &format!("tokens{id}"), 1, by)
    }
}

/// Routes `/a`, to models, and `/plain`, to an upstream, for API keys of two apps, with these limits on the service.
fn spending(limits: Vec<Limit>) -> Spec {
    let service = AiService {
        prefix: String::new(),
        models: Allowed::everything(),
        on_loss: OnLoss::Tell,
        on_unknown_price: OnUnknownPrice::Deny,
    };
    let to_models = To::Ai(AiRoute { endpoint: Endpoint::ALL[0], service: Arc::new(service) });
    let keyed =
        |route| Route { auth: Auth::Any(vec![AuthMethod::ApiKey { places: KeyPlace::defaults() }]), ..route };
    let mut spec =
        spec(vec![keyed(Route { to: to_models, ..open_route(50, "/a") }), keyed(open_route(51, "/plain"))]);
    let hash_key = HashKey { id: "k1".to_owned(), key: [9; 32] };
    let key =
        |id, app, text| credential(id, app, CredentialKind::ApiKey(api_key::hash_api_key(&hash_key, text)));
    spec.callers.credentials = vec![key(70, APP, KEY), key(71, OTHER_APP, FOREIGN)];
    spec.services[0].limits = limits;
    spec
}

fn attempt<'t>(model: Uid, none: &'t BoundLimits, usd_nano: u64) -> Attempt<'t> {
    Attempt {
        number: 0,
        route: 0,
        model,
        target: [none, none],
        estimate: Spend { input_tokens: 100, output_tokens: 50, usd_nano },
        bound: None,
    }
}

impl Bench {
    /// Sends a call with a key; what it holds of limits is given up first.
    fn call(&mut self, key: &str) {
        assert_eq!(self.code(&format!("GET /a HTTP/1.1\nHost: x\nx-api-key: {key}\nx-user: u1")), Ok(0));
    }

    fn reserve(&mut self, attempt: &Attempt<'_>) -> Result<u32, Code> {
        let reserved = self.gate.reserve(self.now, &self.snapshot, attempt, &mut self.plan);
        reserved.map(|admitted| admitted.soft_exceeded).map_err(|answer| answer.code)
    }

    fn settle(&mut self, number: u8, usd_nano: u64) -> bool {
        let spend = Spend { usd_nano, ..Spend::default() };
        self.gate.shard.settle_attempt(self.now, number, &mut self.plan.permits, spend).over_reservation
    }

    /// Name, used, reserved and left of each limit that the caller has.
    fn spent(&self, model: Option<Uid>) -> Vec<(u32, u64, u64, u64)> {
        let spent = self.gate.spent(self.now, model, &self.plan);
        spent.map(|(limit, usage)| (limit.id.0, usage.used, usage.reserved, usage.remaining)).collect()
    }
}

#[test]
fn limits_of_tokens_and_money_of_every_owner_wait_for_the_model() {
    let mut spec = spending(vec![money(60, 10 * USD, vec![KeyPart::App])]);
    spec.tenants[0].limits = vec![tokens(61, 1000, TokenKind::Both, vec![])];
    spec.teams[0].limits = vec![money(62, 10 * USD, vec![])];
    spec.services[0].versions[0].limits = vec![money(63, 10 * USD, vec![])];
    spec.routes[0].limits = vec![money(64, 10 * USD, vec![]), per_minute(68, "rate", 2, vec![])];
    spec.callers.apps[0].limits = vec![tokens(65, 1000, TokenKind::Input, vec![])];
    spec.callers.credentials[0].limits = vec![tokens(66, 1000, TokenKind::Output, vec![])];
    spec.plans[0].limits = vec![money(67, 10 * USD, vec![])];
    spec.callers.subscriptions = vec![Subscription {
        id: Id(80),
        uid: Uid(80),
        app: APP,
        service: SERVICE,
        plan: Some(PLAN),
        ..Default::default()
    }];
    let mut bench = Bench::new(spec);
    bench.call(KEY);
    assert!(bench.plan.permits.is_empty(), "nothing is taken of them before the model is known");
    let none = BoundLimits::default();
    assert_eq!(bench.reserve(&attempt(FAST, &none, 2 * USD)), Ok(0));
    assert_eq!(bench.plan.permits.reservations(), 8);
    let mut spent = bench.spent(None);
    spent.sort_unstable();
    let usd = |id| (id, 0, 2 * USD, 8 * USD);
    let expected =
        [usd(60), (61, 0, 150, 850), usd(62), usd(63), usd(64), (65, 0, 100, 900), (66, 0, 50, 950), usd(67)];
    assert_eq!(spent, expected);
    assert!(!bench.settle(0, USD / 2));
    assert!(bench.spent(None).contains(&(67, USD / 2, 0, 10 * USD - USD / 2)));
    // The chain decides about the others as ever.
    bench.call(KEY);
    assert_eq!(bench.code(&format!("GET /a HTTP/1.1\nHost: x\nx-api-key: {KEY}")), Err(Code::RateLimited));
}

#[test]
fn calls_without_such_limits_hold_none() {
    let mut spec = spending(vec![]);
    spec.callers.apps[0].limits = vec![money(60, USD, vec![])];
    let mut bench = Bench::new(spec);
    bench.call(KEY);
    assert_eq!(bench.spent(None).len(), 1);
    bench.call(FOREIGN);
    assert!(bench.spent(None).is_empty(), "the call before is forgotten");
    bench.call(KEY);
    assert_eq!(bench.code(&format!("GET /plain HTTP/1.1\nHost: x\nx-api-key: {KEY}")), Ok(1));
    assert!(bench.spent(None).is_empty(), "nothing is spent where no model is asked");
    let none = BoundLimits::default();
    assert_eq!(bench.reserve(&attempt(FAST, &none, u64::MAX)), Ok(0));
    assert!(bench.plan.permits.is_empty());
}

#[test]
fn keys_are_of_the_caller_and_the_model_that_was_asked_for() {
    let by = |parts: &[KeyPart]| parts.to_vec();
    let header = KeyPart::Header("x-user".into());
    let cases = [
        // Which of (same app, other model), (other app, same model) share the counter.
        (by(&[]), true, true),
        (by(&[KeyPart::App]), true, false),
        (by(&[KeyPart::Model]), false, true),
        (by(&[KeyPart::App, KeyPart::Model]), false, false),
        (by(&[KeyPart::Model, KeyPart::App]), false, false),
        (by(&[KeyPart::Route, KeyPart::Client]), true, true),
        (vec![header.clone()], true, true),
        (by(&[header, KeyPart::Model, KeyPart::Credential]), false, false),
    ];
    let none = BoundLimits::default();
    for (by, other_model, other_app) in cases {
        for (key, model, shared) in
            [(KEY, CAREFUL, other_model), (FOREIGN, FAST, other_app), (KEY, FAST, true)]
        {
            let mut bench = Bench::new(spending(vec![money(60, 10 * USD, by.clone())]));
            bench.call(KEY);
            assert_eq!(bench.reserve(&attempt(FAST, &none, 6 * USD)), Ok(0));
            bench.call(key);
            let expected = if shared { Err(Code::BudgetExhausted) } else { Ok(0) };
            assert_eq!(bench.reserve(&attempt(model, &none, 6 * USD)), expected, "{by:?} {key} {model:?}");
        }
    }
}

#[test]
fn plans_are_counted_for_each_subscription() {
    let mut spec = spending(vec![]);
    spec.plans[0].limits = vec![money(60, 10 * USD, vec![]), money(61, 10 * USD, vec![KeyPart::Model])];
    spec.callers.subscriptions = [(80, APP), (81, OTHER_APP)]
        .map(|(id, app)| Subscription {
            id: Id(id),
            uid: Uid(u64::from(id)),
            app,
            service: SERVICE,
            plan: Some(PLAN),
            ..Default::default()
        })
        .to_vec();
    let mut bench = Bench::new(spec);
    let none = BoundLimits::default();
    for key in [KEY, FOREIGN] {
        bench.call(key);
        assert_eq!((bench.spent(None).len(), bench.spent(Some(FAST)).len()), (1, 2));
        assert_eq!(bench.reserve(&attempt(FAST, &none, 6 * USD)), Ok(0), "{key}");
        assert_eq!(bench.reserve(&attempt(FAST, &none, 6 * USD)), Err(Code::BudgetExhausted), "{key}");
    }
}

#[test]
fn a_refusal_says_what_is_short_and_for_how_long() {
    let mut spec = spending(vec![money(60, 10 * USD, vec![]), tokens(61, 400, TokenKind::Both, vec![])]);
    spec.routes[0].ratelimit_headers = true;
    let mut bench = Bench::new(spec);
    let none = BoundLimits::default();
    bench.call(KEY);
    let dollars = |usd| attempt(FAST, &none, usd);
    assert_eq!(bench.reserve(&dollars(4 * USD)), Ok(0));
    let told = bench.response();
    assert!(told.contains("ratelimit: \"usd60\";r=6000000;t="), "the tightest, in micro-dollars: {told}");
    assert!(told.contains("ratelimit-policy: \"usd60\";q=10000000;qu=\"micro-usd\";w="), "{told}");
    assert!(told.contains("\"tokens61\";q=400;qu=\"tokens\";w=60\r\n"), "{told}");
    assert_eq!(bench.plan.stages.get(Stage::Limit), (Outcome::Allowed, Id(60)));
    assert_eq!(bench.reserve(&Attempt { number: 1, ..dollars(USD) }), Ok(0));
    assert_eq!(bench.response(), told, "told once a call");

    bench.call(KEY);
    let answer = bench.gate.reserve(bench.now, &bench.snapshot, &dollars(6 * USD), &mut bench.plan);
    let answer = answer.expect_err("over the budget");
    let limit = answer.limit.expect("by a limit");
    assert_eq!((answer.code, answer.code.status(), answer.route), (Code::BudgetExhausted, 429, Some(0)));
    assert_eq!((limit.id, limit.kind), (Id(60), penstock_limits::Kind::Usd));
    assert_eq!((limit.refusal.used, limit.refusal.remaining), (5 * USD, 5 * USD));
    let told = bench.response();
    assert!(told.contains("retry-after: ") && told.contains("ratelimit: \"usd60\";r=5000000;t="), "{told}");
    assert_eq!(bench.plan.stages.get(Stage::Limit), (Outcome::Refused, Id(60)));

    bench.call(KEY);
    assert_eq!(bench.reserve(&dollars(10 * USD + 1)), Err(Code::ExceedsLimit));
    assert_eq!((Code::ExceedsLimit.status(), bench.response().contains("retry-after")), (400, false));
    // Tokens of two attempts are held; a third does not fit, and then the money of it is not held either.
    bench.call(KEY);
    assert_eq!(bench.reserve(&dollars(USD)), Err(Code::RateLimited));
    assert_eq!(bench.spent(None)[0], (60, 0, 5 * USD, 5 * USD));
    let monthly = Limit {
        per: Some(Period::Calendar(CalendarWindow::Day, "UTC".into())),
        algorithm: Algorithm::Calendar,
        ..tokens(61, 140, TokenKind::Both, vec![])
    };
    let mut bench = Bench::new(spending(vec![monthly]));
    bench.call(KEY);
    assert_eq!(bench.reserve(&dollars(USD)), Err(Code::ExceedsLimit));
    let few = Attempt { estimate: Spend { input_tokens: 100, ..Spend::default() }, ..dollars(0) };
    assert_eq!((bench.reserve(&few), bench.reserve(&few)), (Ok(0), Err(Code::QuotaExhausted)));
}

#[test]
fn a_limit_that_wants_a_bound_reserves_it_or_refuses() {
    let bound = Limit { reserve: Reserve::Bound, ..money(60, 10 * USD, vec![]) };
    let mut bench = Bench::new(spending(vec![money(61, 10 * USD, vec![]), bound]));
    let none = BoundLimits::default();
    bench.call(KEY);
    let unbounded = attempt(FAST, &none, USD);
    assert_eq!(bench.reserve(&unbounded), Err(Code::UnboundedCost));
    assert_eq!(bench.plan.stages.get(Stage::Limit), (Outcome::Refused, Id(60)));
    assert!(bench.plan.permits.is_empty());
    let bound = Some(Spend { usd_nano: 7 * USD, ..Spend::default() });
    assert_eq!(bench.reserve(&Attempt { bound, ..unbounded }), Ok(0));
    assert_eq!(bench.spent(None), [(61, 0, USD, 9 * USD), (60, 0, 7 * USD, 3 * USD)]);
}

#[test]
fn soft_limits_flag_and_attempts_are_settled_by_their_number() {
    let soft = Limit { mode: Mode::Soft, ..money(60, 10 * USD, vec![]) };
    let mut bench = Bench::new(spending(vec![soft, money(61, 100 * USD, vec![])]));
    let none = BoundLimits::default();
    bench.call(KEY);
    for (number, flags) in [(0, 0), (1, 1), (2, 1)] {
        assert_eq!(bench.reserve(&Attempt { number, ..attempt(FAST, &none, 8 * USD) }), Ok(flags));
    }
    assert!(!bench.settle(1, 0));
    assert!(bench.settle(2, 9 * USD));
    assert_eq!(bench.spent(None)[1], (61, 9 * USD, 8 * USD, 83 * USD));
    // The call ends without having heard of attempt 0: it stays spent.
    bench.gate.shard.release(bench.now, &mut bench.plan.permits, BytesMoved::default());
    assert_eq!(bench.spent(None)[1], (61, 17 * USD, 0, 83 * USD));
}

#[test]
fn limits_of_the_model_and_of_the_provider_key_join() {
    let mut bench = Bench::new(spending(vec![money(60, 100 * USD, vec![])]));
    let config = penstock_limits::NodeConfig {
        keys_max: 100,
        workers_max: 2,
        ..penstock_limits::NodeConfig::new(1, 7)
    };
    let region = penstock_limits::Region::memory(config.region_words());
    let pool = Arc::new(NodePool::open(region, &config, bench.now, &[]).expect("opens"));
    let mut register =
        |spec: &penstock_limits::LimitSpec| pool.register(spec).map_err(|error| error.to_string());
    bench.snapshot.bind_limits(NOW_S as i64, &mut register).expect("bound");
    let of_model = [money(61, 10 * USD, vec![KeyPart::App])];
    let of_key = [Limit {
        per: Some(Period::Span(Duration::from_secs(60))),
        ..tokens(62, 1000, TokenKind::Both, vec![])
    }];
    let model = bind(FAST, &of_model, NOW_S as i64, &mut register).expect("bound");
    let provider_key = bind(Uid(99), &of_key, NOW_S as i64, &mut register).expect("bound");
    bench.gate.shard = penstock_limits::Shard::new(Arc::clone(&pool)).expect("a seat");
    let none = BoundLimits::default();
    let to = |usd| Attempt { target: [&model, &provider_key], ..attempt(FAST, &none, usd) };
    bench.call(KEY);
    assert_eq!(bench.reserve(&to(6 * USD)), Ok(0));
    assert_eq!(bench.plan.permits.reservations(), 3);
    let refused = bench.gate.reserve(bench.now, &bench.snapshot, &to(6 * USD), &mut bench.plan);
    let refused = refused.expect_err("the model's budget").limit.expect("by a limit");
    assert_eq!((refused.id, refused.refusal.index), (Id(61), 1));
    bench.call(FOREIGN);
    assert_eq!(bench.reserve(&to(6 * USD)), Ok(0), "each app has the model's budget for itself");
    assert_eq!(bench.reserve(&to(USD)), Ok(0));
    // 150 tokens each: six fit, whoever sends them.
    for _ in 0..3 {
        assert_eq!(bench.reserve(&to(0)), Ok(0));
    }
    assert_eq!(bench.reserve(&to(0)), Err(Code::RateLimited));
    let many = BoundLimits { admit: vec![], spend: vec![model.spend[0].clone(); 32] };
    let too_many = Attempt { target: [&many, &none], ..to(0) };
    assert_eq!(bench.reserve(&too_many), Err(Code::LimitsUnavailable));
}
