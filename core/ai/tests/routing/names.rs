//! What names mean, and to whom.

use penstock_ai::routing::*;

use crate::world::*;

fn names() -> Plan {
    let only = |tenants: &[u32], model: ModelSpec| ModelSpec {
        tenants: Tenants::Only(tenants.iter().copied().map(TenantId).collect()),
        ..model
    };
    let mut spec = Spec {
        providers: providers(),
        models: vec![
            model(1, "fast", &[("openai/mini", 1)]),
            only(&[1], model(2, "house", &[("groq/llama", 1)])),
            only(&[2], model(3, "house", &[("openrouter/meta-llama/llama", 1)])),
            model(4, "sonnet", &[("openai/big", 1)]),
            model(5, "team/special", &[("openai/big", 1)]),
        ],
    };
    spec.providers.push(provider(6, "second", "openai", &[1]));
    compile(&spec, &Registry::default())
}

fn found(
    plan: &Plan,
    tenant: u32,
    service: &[&str],
    app: Option<&[&str]>,
    name: &str,
) -> Result<String, Unresolved> {
    let service = Allowed::new(service).unwrap();
    let app = app.map(|app| Allowed::new(app).unwrap());
    let caller = Caller { tenant: TenantId(tenant), service: &service, app: app.as_ref() };
    let resolved = plan.resolve(&caller, name)?;
    let mut random = Random::new(1);
    let mut call = plan.begin(resolved, Need::default(), START);
    let Step::Attempt(attempt) = call.next(START, &mut random) else { panic!("{name} leads nowhere") };
    let found = format!("{}/{}", attempt.provider, attempt.model);
    let _ = call.ended(START, attempt, &Report::new(End::Answered));
    Ok(found)
}

#[test]
fn names_are_looked_for_in_their_order() {
    let plan = names();
    for (tenant, name, expected) in [
        (1, "fast", "openai/mini"),
        (1, "house", "groq/llama"),
        (2, "house", "openrouter/meta-llama/llama"),
        (1, "sonnet", "openai/big"), // a model of the configuration comes before one of the catalogue
        (1, "team/special", "openai/big"),
        (1, "openai/big", "openai/big"),
        (1, "second/mini", "second/mini"),
        (1, "openai/not-in-the-catalogue", "openai/not-in-the-catalogue"),
        (1, "openrouter/openai/big", "openrouter/openai/big"),
        (1, "openrouter/a/b/c", "openrouter/a/b/c"),
    ] {
        assert_eq!(found(&plan, tenant, &["*"], None, name).as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn a_bare_name_goes_to_the_makers_own_provider_if_there_is_one() {
    let plan = plan_of(vec![]);
    for (name, expected) in [
        ("mini", "openai/mini"), // not the dated one, which has the same canonical name
        ("mini-2025-04-14", "openai/mini-2025-04-14"),
        ("old", "openai/old-c"), // not the deprecated one
        ("sonnet", "anthropic/sonnet"),
    ] {
        assert_eq!(found(&plan, 1, &["*"], None, name).as_deref(), Ok(expected), "{name}");
    }
    let ambiguous = |name: &str, candidates: &[&str]| {
        let candidates = candidates.iter().map(|name| (*name).to_owned()).collect();
        Err(Unresolved::Ambiguous { name: name.to_owned(), candidates })
    };
    // Its maker's own provider is not configured; others have it.
    let expected = ambiguous("llama", &["fireworks/llama", "groq/llama", "openrouter/meta-llama/llama"]);
    assert_eq!(found(&plan, 1, &["*"], None, "llama"), expected);
    // The own provider is configured twice.
    let expected = ambiguous("big", &["openai/big", "second/big", "openrouter/openai/big"]);
    assert_eq!(found(&names(), 1, &["*"], None, "big"), expected);
    let told = found(&plan, 1, &["*"], None, "llama").unwrap_err().to_string();
    assert!(told.starts_with("model `llama` needs its provider; did you mean `fireworks/llama`, "), "{told}");
}

#[test]
fn what_may_not_be_used_is_as_if_it_were_not_there() {
    let plan = names();
    for (tenant, service, app, name, may) in [
        (1, &["fast"][..], None, "fast", true),
        (1, &["fast"], None, "openai/mini", false),
        (1, &["openai/*"], None, "openai/mini", true),
        (1, &["openai/*"], None, "fast", false),
        (1, &["*"], Some(&["fast"][..]), "fast", true),
        (1, &["*"], Some(&["fast"]), "house", false),
        (1, &["fast"], Some(&["*"]), "house", false),
        (1, &[], None, "fast", false),
        (3, &["*"], None, "house", false),
        (1, &["*"], None, "openai/", false),
        (1, &["*"], None, "", false),
        (1, &["*"], None, "unknown", false),
    ] {
        let found = found(&plan, tenant, service, app, name);
        assert_eq!(found.is_ok(), may, "{name} for {tenant} by {service:?} and {app:?}: {found:?}");
    }
    // A bare name of the catalogue may be allowed as such or as what it leads to.
    let plan = plan_of(vec![]);
    assert!(found(&plan, 1, &["mini"], None, "mini").is_ok());
    assert!(found(&plan, 1, &["openai/mini"], None, "mini").is_ok());
    assert!(found(&plan, 1, &["openai/big"], None, "mini").is_err());
}

#[test]
fn an_error_lists_what_may_be_meant_the_nearest_first_and_nothing_that_is_hidden() {
    let plan = names();
    let candidates = |tenant, service: &[&str], name: &str| match found(&plan, tenant, service, None, name) {
        Err(Unresolved::Unknown { candidates, .. }) => candidates,
        other => panic!("{other:?}"),
    };
    assert_eq!(candidates(1, &["*"], "fsat")[0], "fast");
    assert_eq!(candidates(1, &["*"], "hause")[0], "house");
    assert!(!candidates(3, &["*"], "hause").contains(&"house".to_owned()), "of another tenant");
    assert!(candidates(1, &["openai/*"], "minni").iter().all(|name| name.starts_with("openai/")));
    assert_eq!(candidates(1, &["*"], "openai/"), Vec::<String>::new());
    assert_eq!(candidates(1, &["*"], "mimi")[..2], ["openai/mini", "second/mini"]);
    assert!(candidates(1, &["*"], "zzzzzzzz").is_empty());
    assert!(candidates(1, &["*"], &"x".repeat(10_000)).is_empty());
    assert!(candidates(1, &[], "fsat").is_empty());
    let many = (0..50).map(|n| model(100 + n, &format!("name-{n:02}"), &[("openai/big", 1)])).collect();
    let plan = plan_of(many);
    let Err(Unresolved::Unknown { candidates, name }) = found(&plan, 1, &["*"], None, "name-xx") else {
        panic!()
    };
    assert_eq!((candidates.len(), name.as_str()), (CANDIDATES_MAX, "name-xx"));
}

#[test]
fn names_that_somebody_makes_up_get_no_state_of_their_own() {
    let registry = Registry::default();
    let plan = compile(&Spec { providers: providers(), models: vec![] }, &registry);
    let before = registry.counts();
    for n in 0..1_000 {
        let name = format!("openai/made-up-{n}");
        assert_eq!(found(&plan, 1, &["*"], None, &name), Ok(name));
    }
    assert_eq!(registry.counts(), before);
    let _ = found(&plan, 1, &["*"], None, "openai/big");
    assert_eq!(registry.counts()[0], before[0] + 1);
}
