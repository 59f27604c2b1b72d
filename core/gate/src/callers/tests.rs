//! Deltas in order, out of order, and against each other.

use super::*;
use crate::spec::{ApiKeyHash, ApiKeyLookup, Uid};

fn app(id: u32, tenant: u32) -> Arc<AppEntry> {
    let app = App { id: Id(id), uid: Uid(id.into()), tenant: Id(tenant), ..App::default() };
    Arc::new(AppEntry { app, limits: BoundLimits::default() })
}

fn key(id: u32, app: u32, text: &str) -> Arc<CredentialEntry> {
    let hash = ApiKeyHash { key_id: "k".into(), hash: [7; 32], lookup: ApiKeyLookup::ById(text.into()) };
    let credential = Credential {
        id: Id(id),
        uid: Uid(id.into()),
        app: Id(app),
        name: text.into(),
        kind: CredentialKind::ApiKey(hash),
        status: Status::Active,
        expires_unix_s: None,
        scopes: None,
        limits: vec![],
    };
    Arc::new(CredentialEntry { credential, limits: BoundLimits::default() })
}

fn table() -> Callers {
    let mut callers = Callers::new();
    let set = CallerEntries {
        sequence: 10,
        hash_keys: vec![HashKey { id: "k".into(), key: [1; 32] }],
        apps: vec![app(1, 100), app(2, 200)],
        credentials: vec![key(11, 1, "one"), key(12, 2, "one")],
        subscriptions: vec![],
    };
    callers.replace(&set).expect("holds together");
    callers
}

fn found(callers: &Callers, tenant: u32, text: &str) -> Option<u32> {
    callers.find(Space::api_key_id(Id(tenant)), text.as_bytes()).map(|entry| entry.credential.id.0)
}

#[test]
fn deltas_come_in_order_once() {
    let mut callers = table();
    let delta = |sequence, change| Delta { sequence, change };
    let cases = [
        (delta(10, Change::RemoveApp(Id(1))), Ok(Applied::Before)),
        (delta(12, Change::RemoveApp(Id(1))), Err(DeltaError::Gap { wanted: 11, given: 12 })),
        (delta(11, Change::PutCredential(key(13, 1, "two"))), Ok(Applied::Now)),
        (delta(11, Change::RemoveCredential(Id(13))), Ok(Applied::Before)),
        (delta(12, Change::PutCredential(key(14, 9, "three"))), Err(DeltaError::UnknownApp(Id(9)))),
        (delta(13, Change::PutCredential(key(15, 1, "two"))), Err(DeltaError::Taken(Id(15)))),
        (delta(14, Change::Nothing), Ok(Applied::Now)),
        (
            delta(15, Change::HashKeys(vec![HashKey { id: "k".into(), key: [0; 32] }; HASH_KEYS_MAX + 1])),
            Err(DeltaError::TooManyHashKeys),
        ),
        (
            delta(16, Change::HashKeys(vec![HashKey { id: "l".into(), key: [0; 32] }; HASH_KEYS_MAX])),
            Ok(Applied::Now),
        ),
        (delta(17, Change::PutCredential(key(16, 1, "four"))), Err(DeltaError::UnknownHashKey("k".into()))),
    ];
    for (delta, expected) in cases {
        assert_eq!(callers.apply(&delta), expected, "{delta:?}");
    }
    assert_eq!(callers.sequence(), 17);
    assert_eq!((found(&callers, 100, "one"), found(&callers, 100, "two")), (Some(11), Some(13)));
    assert_eq!(found(&callers, 200, "two"), None, "tenants share nothing");
}

#[test]
fn what_is_gone_or_renamed_is_found_no_more() {
    let mut callers = table();
    let mut sequence = 10;
    let mut apply = |callers: &mut Callers, change| {
        sequence += 1;
        callers.apply(&Delta { sequence, change }).expect("fits");
    };
    apply(&mut callers, Change::PutCredential(key(11, 1, "renamed")));
    assert_eq!((found(&callers, 100, "one"), found(&callers, 100, "renamed")), (None, Some(11)));
    apply(&mut callers, Change::PutApp(app(1, 300)));
    assert_eq!((found(&callers, 100, "renamed"), found(&callers, 300, "renamed")), (None, Some(11)));
    let subscription = Subscription {
        id: Id(50),
        app: Id(1),
        service: Id(7),
        expires_unix_s: Some(100),
        ..Default::default()
    };
    apply(&mut callers, Change::PutSubscription(subscription.clone()));
    assert!(callers.subscription(Id(1), Id(7), 99).is_some());
    assert!(callers.subscription(Id(1), Id(7), 100).is_none(), "ended");
    assert!(callers.subscription(Id(1), Id(8), 99).is_none());
    apply(
        &mut callers,
        Change::PutSubscription(Subscription { status: Status::Suspended, ..subscription.clone() }),
    );
    assert!(callers.subscription(Id(1), Id(7), 99).is_none(), "suspended");
    apply(&mut callers, Change::PutSubscription(Subscription { expires_unix_s: None, ..subscription }));
    assert!(callers.subscription(Id(1), Id(7), u64::MAX).is_some());
    apply(&mut callers, Change::RemoveSubscription(Id(50)));
    assert!(callers.subscription(Id(1), Id(7), 0).is_none());
    apply(&mut callers, Change::RemoveApp(Id(1)));
    assert_eq!((found(&callers, 300, "renamed"), callers.credential_count()), (None, 1));
}

#[test]
fn an_app_moves_to_another_tenant_as_a_whole_or_not_at_all() {
    let mut callers = table();
    let mut sequence = 10;
    let mut apply = |callers: &mut Callers, change| {
        sequence += 1;
        callers.apply(&Delta { sequence, change })
    };
    for change in [
        Change::PutApp(app(8, 900)),
        Change::PutCredential(key(80, 8, "clash")),
        Change::PutApp(app(9, 901)),
        Change::PutCredential(key(90, 9, "clash")),
        Change::PutCredential(key(91, 9, "stays")),
    ] {
        apply(&mut callers, change).expect("fits");
    }
    assert_eq!(apply(&mut callers, Change::PutApp(app(9, 900))), Err(DeltaError::Taken(Id(90))));
    assert_eq!((found(&callers, 901, "clash"), found(&callers, 901, "stays")), (Some(90), Some(91)));
    assert_eq!((found(&callers, 900, "clash"), found(&callers, 900, "stays")), (Some(80), None));
    apply(&mut callers, Change::RemoveCredential(Id(80))).expect("fits");
    apply(&mut callers, Change::PutApp(app(9, 900))).expect("fits now");
    assert_eq!((found(&callers, 901, "clash"), found(&callers, 901, "stays")), (None, None));
    assert_eq!((found(&callers, 900, "clash"), found(&callers, 900, "stays")), (Some(90), Some(91)));
}

#[test]
fn revocations_are_bounded_and_end() {
    let mut callers = table();
    let token = |number: usize| Revocation::token(Id(3), &number.to_string());
    for number in 0..=REVOCATIONS_MAX {
        callers.revoke(&Revocation { token: token(number), until_unix_s: 1000 + number as u64 });
    }
    assert_eq!(callers.revoked.len(), REVOCATIONS_MAX);
    assert!(!callers.is_revoked(&token(0)) && callers.is_revoked(&token(REVOCATIONS_MAX)));
    callers.forget_ended(1000 + REVOCATIONS_MAX as u64);
    assert!(callers.revoked.is_empty());
}
