//! The five ways a version is chosen.

use super::reference_tests::{List, build, route};
use super::*;
use crate::spec::{Id, Match, Route, Service, Version, VersionIn, Versioning};

fn service(from: VersionIn, default: Option<&str>, unknown: UnknownVersion) -> Service {
    let version = |id: u32, name: &str| Version { id: Id(id), name: name.into(), ..Version::default() };
    Service {
        id: Id(1),
        versioning: Some(Versioning { from, default: default.map(str::to_owned), unknown }),
        versions: vec![version(21, "v1"), version(22, "v2")],
        ..Service::default()
    }
}

fn routes(paths: &[(u32, &str)], hosts: &[&str]) -> Vec<Route> {
    paths
        .iter()
        .enumerate()
        .map(|(at, (version, path))| {
            let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
            let one = Match { hosts, path: (*path).into(), ..Match::default() };
            Route { version: Id(*version), ..route(at as u32 + 1, one) }
        })
        .collect()
}

/// What is found: `v1`, `v2` (with what is stripped), or why not.
fn ask(router: &Router, routes: &[Route], host: &str, target: &str, fields: &[(&str, &str)]) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let probe = Probe {
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: query.as_bytes(),
        method: b"GET",
        fields: &List(fields),
        preflight: false,
    };
    match router.find(&probe) {
        Found::Route(matched) => {
            let version = routes[matched.route as usize].version.0 - 20;
            match matched.strip {
                0 => format!("v{version}"),
                strip => format!("v{version} less {}", &path[..usize::from(strip)]),
            }
        }
        Found::UnknownVersion => "unknown version".to_owned(),
        Found::MethodNotAllowed(_) => "method".to_owned(),
        Found::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn in_the_path() {
    let path = |keep| VersionIn::Path { pattern: "{version}".into(), keep };
    let table = [(21, "/orders/{id}"), (22, "/orders/{id}"), (22, "/new"), (21, "/"), (21, "/{x}/b")];
    let cases: &[(&str, Option<&str>, UnknownVersion, bool, &str)] = &[
        ("/v1/orders/7", Some("v1"), UnknownVersion::Reject, false, "v1 less /v1"),
        ("/v2/orders/7", Some("v1"), UnknownVersion::Reject, false, "v2 less /v2"),
        ("/v2/orders/7", Some("v1"), UnknownVersion::Reject, true, "v2"),
        ("/v2/new", None, UnknownVersion::Reject, false, "v2 less /v2"),
        ("/v1/new", None, UnknownVersion::Reject, false, "nothing"),
        ("/orders/7", Some("v1"), UnknownVersion::Reject, false, "v1"),
        ("/orders/7", Some("v2"), UnknownVersion::Reject, false, "v2"),
        ("/orders/7", None, UnknownVersion::Reject, false, "nothing"),
        ("/v9/orders/7", Some("v1"), UnknownVersion::Reject, false, "unknown version"),
        ("/v9/orders/7", Some("v1"), UnknownVersion::Default, false, "v1 less /v9"),
        ("/v9/orders/7", Some("v1"), UnknownVersion::Default, true, "v1"),
        ("/x9/orders/7", Some("v1"), UnknownVersion::Default, false, "nothing"),
        ("/v1", Some("v1"), UnknownVersion::Reject, false, "v1 less /v1"),
        ("/v1/", Some("v1"), UnknownVersion::Reject, false, "v1 less /v1"),
        ("/v9", Some("v1"), UnknownVersion::Default, false, "v1 less /v9"),
        ("/v9", Some("v1"), UnknownVersion::Reject, false, "unknown version"),
        ("/", Some("v1"), UnknownVersion::Reject, false, "v1"),
        ("/w/b", Some("v1"), UnknownVersion::Reject, false, "v1"),
        // A version is never taken for a capture of the default version.
        ("/v9/b", Some("v1"), UnknownVersion::Reject, false, "unknown version"),
        ("/v2/b", Some("v1"), UnknownVersion::Reject, false, "nothing"),
        ("/v1/w/b", Some("v1"), UnknownVersion::Reject, false, "v1 less /v1"),
    ];
    for (target, default, unknown, keep, expected) in cases {
        let routes = routes(&table, &[]);
        let (router, errors) = build(&[service(path(*keep), *default, *unknown)], &routes);
        assert_eq!(errors, []);
        assert_eq!(ask(&router, &routes, "", target, &[]), *expected, "{target} {default:?} {unknown:?}");
    }
}

#[test]
fn in_a_path_segment_of_a_form() {
    let from = VersionIn::Path { pattern: "api-{version}".into(), keep: false };
    let routes = routes(&[(21, "/orders"), (22, "/orders")], &[]);
    let (router, errors) = build(&[service(from, Some("v1"), UnknownVersion::Reject)], &routes);
    assert_eq!(errors, []);
    for (target, expected) in [
        ("/api-v2/orders", "v2 less /api-v2"),
        ("/v2/orders", "nothing"),
        ("/api-v3/orders", "unknown version"),
        ("/orders", "v1"),
    ] {
        assert_eq!(ask(&router, &routes, "", target, &[]), expected, "{target}");
    }
}

#[test]
fn in_a_field_a_query_or_a_media_type() {
    let header = || VersionIn::Header { name: "x-version".into() };
    let query = || VersionIn::Query { name: "v".into() };
    let media = || VersionIn::MediaType {
        pattern: Some("application/vnd.acme.{version}+json".into()),
        name: Some("version".into()),
    };
    let field = |value: &'static str| vec![("X-Version", value)];
    let accept = |value: &'static str| vec![("accept", value)];
    type Case = (fn() -> VersionIn, &'static str, Vec<(&'static str, &'static str)>, [&'static str; 3]);
    // With default v1 and reject; without default; with default v2 instead of unknown ones.
    let cases: Vec<Case> = vec![
        (header, "/o", vec![], ["v1", "unknown version", "v2"]),
        (header, "/o", field("v2"), ["v2", "v2", "v2"]),
        (header, "/o", field("v1"), ["v1", "v1", "v1"]),
        (header, "/o", field("v9"), ["unknown version", "unknown version", "v2"]),
        (header, "/o", field("V2"), ["unknown version", "unknown version", "v2"]),
        (
            header,
            "/o",
            vec![("x-version", "v1"), ("x-version", "v1")],
            ["unknown version", "unknown version", "v2"],
        ),
        (query, "/o?a=1&v=v2", vec![], ["v2", "v2", "v2"]),
        (query, "/o?a=1&v=v%31", vec![], ["v1", "v1", "v1"]),
        (query, "/o?v=v1&v=v2", vec![], ["unknown version", "unknown version", "v2"]),
        (query, "/o?a=1", vec![], ["v1", "unknown version", "v2"]),
        (media, "/o", accept("application/vnd.acme.v2+json"), ["v2", "v2", "v2"]),
        (media, "/o", accept("text/html, application/json;version=v1"), ["v1", "v1", "v1"]),
        (media, "/o", accept("*/*"), ["v1", "unknown version", "v2"]),
        (media, "/o", accept("application/vnd.acme.v7+json"), ["unknown version", "unknown version", "v2"]),
        (media, "/x", accept("application/vnd.acme.v2+json"), ["nothing", "nothing", "nothing"]),
    ];
    for (from, target, fields, expected) in cases {
        let routes = routes(&[(21, "/o"), (22, "/o")], &[]);
        let settings = [
            (Some("v1"), UnknownVersion::Reject),
            (None, UnknownVersion::Reject),
            (Some("v2"), UnknownVersion::Default),
        ];
        for ((default, unknown), expected) in settings.into_iter().zip(expected) {
            let (router, errors) = build(&[service(from(), default, unknown)], &routes);
            assert_eq!(errors, []);
            assert_eq!(
                ask(&router, &routes, "", target, &fields),
                expected,
                "{target} {fields:?} {default:?} {unknown:?}"
            );
        }
    }
}

#[test]
fn in_the_host() {
    let from = || VersionIn::Host { pattern: "{version}.api.t".into() };
    let table = [(21, "/o"), (22, "/o")];
    let cases: &[(&str, UnknownVersion, &str)] = &[
        ("v1.api.t", UnknownVersion::Reject, "v1"),
        ("v2.api.t", UnknownVersion::Reject, "v2"),
        ("api.t", UnknownVersion::Reject, "v1"),
        ("v9.api.t", UnknownVersion::Reject, "unknown version"),
        ("v9.api.t", UnknownVersion::Default, "v1"),
        ("www.api.t", UnknownVersion::Default, "nothing"),
        ("other.t", UnknownVersion::Default, "nothing"),
    ];
    for (host, unknown, expected) in cases {
        let routes = routes(&table, &["api.t"]);
        let (router, errors) = build(&[service(from(), Some("v1"), *unknown)], &routes);
        assert_eq!(errors, []);
        assert_eq!(ask(&router, &routes, host, "/o", &[]), *expected, "{host} {unknown:?}");
    }
}

#[test]
fn bad_settings_are_told() {
    let path = |pattern: &str| VersionIn::Path { pattern: pattern.into(), keep: false };
    let reject = UnknownVersion::Reject;
    let cases = [
        (service(path("v1"), None, reject), "versioning"),
        (service(path("{version}/x"), None, reject), "versioning"),
        (service(path("{version}"), Some("v7"), reject), "versioning.default"),
        (service(path("{version}"), None, UnknownVersion::Default), "versioning.unknown"),
        (service(VersionIn::MediaType { pattern: None, name: None }, None, reject), "versioning"),
    ];
    for (service, field) in cases {
        let (_, errors) = build(&[service], &[]);
        assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}
