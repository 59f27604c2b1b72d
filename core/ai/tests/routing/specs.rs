//! Configurations that make no sense are refused, with all that is wrong with them in words.

use penstock_ai::provider::Providers;
use penstock_ai::routing::*;

use crate::world::*;

fn problems(spec: &Spec) -> Vec<String> {
    match Plan::compile(spec, &catalogue(), Providers::shared(), &Registry::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn of_models(models: Vec<ModelSpec>) -> Vec<String> {
    problems(&Spec { providers: providers(), models })
}

fn falls(uid: u64, name: &str, to: &[(&[Cause], &str)]) -> ModelSpec {
    let fallbacks = to.iter().map(|(on, to)| FallbackSpec { on: Causes::of(on), to: (*to).to_owned() });
    ModelSpec { fallbacks: fallbacks.collect(), ..model(uid, name, &[("openai/big", 1)]) }
}

const ANY: &[Cause] = &[Cause::RateLimit];

#[test]
fn what_is_wrong_with_a_model_is_told() {
    let good = || model(1, "m", &[("openai/big", 1)]);
    let only = |tenants: &[u32]| Tenants::Only(tenants.iter().copied().map(TenantId).collect());
    for (model, expected) in [
        (good(), ""),
        (model(1, "", &[("openai/big", 1)]), "a model's name is empty or too long: ``"),
        (
            model(1, "openai/x", &[("openai/big", 1)]),
            "model `openai/x`: the name means a model of provider `openai`",
        ),
        (model(1, "other/x", &[("openai/big", 1)]), ""),
        (model(1, "m", &[]), "model `m` has 0 targets; there must be 1 to 64"),
        (
            model(1, "m", &[("opnai/big", 1)]),
            "model `m`: there is no provider `opnai`; did you mean `openai`?",
        ),
        (model(1, "m", &[("zzz/big", 1)]), "model `m`: there is no provider `zzz`"),
        (model(1, "m", &[("openai/", 1)]), "model `m`: a target at `openai` names no model"),
        (
            model(1, "m", &[("openai/big", 0)]),
            "target `openai/big` of model `m`: a weight is at least 1; take it out to give it no calls",
        ),
        (
            model(1, "m", &[("openai/big", 1), ("openai/big", 2)]),
            "model `m`: target `openai/big` stands twice; give it more weight",
        ),
        (falls(1, "m", &[(ANY, "nobody")]), "model `m`: there is no model `nobody` to fall back to"),
        (falls(1, "mo", &[(ANY, "zz/mo")]), "model `mo`: there is no model `zz/mo` to fall back to"),
        (falls(1, "m", &[(ANY, "anthropic/sonnet")]), ""),
        (falls(1, "m", &[(ANY, "m")]), "fallbacks go round: m -> m"),
        (falls(1, "m", &[(&[], "openai/big")]), "model `m`: the fallback to `openai/big` names no cause"),
        (
            falls(1, "m", &[(ANY, "openai/big"), (&[Cause::Timeout, Cause::RateLimit], "anthropic/sonnet")]),
            "model `m` has two fallbacks on rate_limit; the second would never be taken",
        ),
        (
            ModelSpec { retries: Retries { attempts: 0, ..Retries::default() }, ..good() },
            "model `m`: attempts must be 1 to 10",
        ),
        (
            ModelSpec { retries: Retries { attempts: 11, ..Retries::default() }, ..good() },
            "model `m`: attempts must be 1 to 10",
        ),
        (ModelSpec { retries: Retries { attempts: 10, ..Retries::default() }, ..good() }, ""),
        (
            ModelSpec { timeouts: Timeouts { idle_ns: 0, ..Timeouts::default() }, ..good() },
            "model `m`: idle must be longer than nothing and at most a day",
        ),
        (
            ModelSpec {
                timeouts: Timeouts { total_ns: TIMEOUT_NS_MAX + 1, ..Timeouts::default() },
                ..good()
            },
            "model `m`: total must be longer than nothing and at most a day",
        ),
        (
            ModelSpec { cooldown: Cooldown { after: 0, for_ns: 1 }, ..good() },
            "model `m`: a cooldown comes after 1 failure or more and takes at most a day",
        ),
        (
            ModelSpec { budget: RetrySpec { percent: 101, min: 0 }, ..good() },
            "model `m`: the retry budget is at most 100 percent",
        ),
        (ModelSpec { tenants: only(&[]), ..good() }, ""),
    ] {
        let shown = format!("{model:?}");
        let told = of_models(vec![model]);
        assert_eq!(told, if expected.is_empty() { vec![] } else { vec![expected] }, "{shown}");
    }
    let most = |count: usize| {
        let providers = (0..count as u64).map(|n| provider(n, &format!("p{n}"), "openai", &[1]));
        let targets = (0..count).map(|n| TargetSpec::new(&format!("p{n}"), "big", 1)).collect();
        let model = ModelSpec { targets, ..good() };
        problems(&Spec { providers: providers.collect(), models: vec![model] })
    };
    assert!(most(TARGETS_MAX).is_empty());
    assert_eq!(most(TARGETS_MAX + 1), ["model `m` has 65 targets; there must be 1 to 64"]);
}

#[test]
fn what_is_wrong_with_a_provider_is_told() {
    let good = || provider(1, "p", "openai", &[1]);
    let twice = ProviderSpec {
        keys: [KeySpec::new(KeyUid(1), "a", 1), KeySpec::new(KeyUid(1), "b", 1)].into(),
        ..good()
    };
    for (providers, expected) in [
        (vec![good()], ""),
        (vec![provider(1, "a/b", "openai", &[1])], "provider `a/b`: a name is not empty and has no slash"),
        (vec![provider(1, "", "openai", &[1])], "provider ``: a name is not empty and has no slash"),
        (vec![good(), provider(2, "p", "openai", &[1])], "provider `p` stands twice"),
        (vec![provider(1, "p", "opnai", &[1])], "provider `p`: there is no kind `opnai`"),
        (vec![provider(1, "p", "openai", &[])], "provider `p` has 0 keys; there must be 1 to 64"),
        (vec![provider(1, "p", "openai", &[1; KEYS_MAX])], ""),
        (
            vec![provider(1, "p", "openai", &[1; KEYS_MAX + 1])],
            "provider `p` has 65 keys; there must be 1 to 64",
        ),
        (
            vec![provider(1, "p", "openai", &[1, 0])],
            "key `p-1` of provider `p`: a weight is at least 1; take it out to give it no calls",
        ),
        (vec![twice], "key `b` of provider `p` stands twice"),
    ] {
        let told = problems(&Spec { providers, models: vec![] });
        assert_eq!(told, if expected.is_empty() { vec![] } else { vec![expected] });
    }
}

#[test]
fn names_are_unique_for_each_tenant() {
    let of = |tenants: Tenants| ModelSpec { tenants, ..model(1, "m", &[("openai/big", 1)]) };
    let only = |tenants: &[u32]| Tenants::Only(tenants.iter().copied().map(TenantId).collect());
    for (one, other, twice) in [
        (only(&[1]), only(&[2]), false),
        (only(&[1, 2]), only(&[2, 3]), true),
        (Tenants::All, only(&[2]), true),
        (Tenants::All, Tenants::All, true),
    ] {
        let told = of_models(vec![of(one), of(other)]);
        let expected = if twice { vec!["model `m` stands twice for the same tenant"] } else { vec![] };
        assert_eq!(told, expected);
    }
}

#[test]
fn fallbacks_are_followed_by_those_who_may() {
    let only = |tenants: &[u32], model: ModelSpec| ModelSpec {
        tenants: Tenants::Only(tenants.iter().copied().map(TenantId).collect()),
        ..model
    };
    let to = |uid, name| model(uid, name, &[("anthropic/sonnet", 1)]);
    let a = |uid| falls(uid, "a", &[(ANY, "b")]);
    assert!(of_models(vec![only(&[1], a(1)), only(&[1, 2], to(2, "b"))]).is_empty());
    assert!(of_models(vec![only(&[1], a(1)), only(&[1], to(2, "b")), only(&[2], to(3, "b"))]).is_empty());
    assert_eq!(
        of_models(vec![only(&[1, 3], a(1)), only(&[1, 2], to(2, "b"))]),
        ["model `a` falls back to `b`, which tenant 3 may not use"]
    );
    assert_eq!(
        of_models(vec![a(1), only(&[1], to(2, "b"))]),
        ["model `a` falls back to `b`, which is not for all tenants"]
    );
}

#[test]
fn cycles_and_long_chains_are_named_in_full() {
    let link = |uid, name: &str, to: &str| falls(uid, name, &[(ANY, to)]);
    assert_eq!(of_models(vec![link(1, "a", "b"), link(2, "b", "a")]), ["fallbacks go round: a -> b -> a"]);
    let chain = |length: u64| -> Vec<ModelSpec> {
        let links = (0..length).map(|n| link(n, &format!("m{n}"), &format!("m{}", n + 1)));
        links.chain([model(99, &format!("m{length}"), &[("openai/big", 1)])]).collect()
    };
    assert!(of_models(chain(FALLBACK_DEPTH_MAX as u64)).is_empty());
    assert_eq!(
        of_models(chain(FALLBACK_DEPTH_MAX as u64 + 1)),
        ["more than 5 fallbacks after one another: m0 -> m1 -> m2 -> m3 -> m4 -> m5 -> m6"]
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told =
        of_models(vec![model(1, "m", &[("nobody/big", 0)]), falls(2, "n", &[(ANY, "nowhere"), (ANY, "n")])]);
    assert_eq!(told.len(), 5, "{told:?}");
}
