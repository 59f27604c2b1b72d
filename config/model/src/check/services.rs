//! Services, versions and routes: versions that can be told apart, somebody who may call, templates that name
//! what is there.

use std::collections::HashMap;

use super::Check;
use super::listeners::asks_for_certificates;
use crate::grammar::policy::{Auth, Cors, Edits, SubscriptionRule, Way};
use crate::grammar::service::{Service, UnknownVersion, VersionIn, Versioning};
use crate::inherit::{InForce, Standing, routes};
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::text::{HeaderName, Template, braces};
use crate::read::{Pairs, Word};
use crate::suggest;

/// What header templates may name beside captures of the path.
const TEMPLATE_WORDS: &[&str] = &[
    "app.name",
    "app.id",
    "credential.id",
    "team.name",
    "tenant.name",
    "service.name",
    "version",
    "route.name",
    "subject",
    "scopes",
    "client.ip",
    "request.id",
];

/// Headers that the HTTP layer writes by itself; an edit of them would break framing or hop-by-hop rules.
const FRAMING_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Two routes with the same key match the same requests. Names of parameters do not count.
fn match_key(standing: &Standing<'_>) -> String {
    let rule = &standing.route.r#match.value;
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list.dedup();
        list
    };
    let shape: Vec<&str> = rule
        .path
        .value
        .split('/')
        .map(|segment| if segment.starts_with('{') { "{}" } else { segment })
        .collect();
    // Without versioning all services share one space of paths; with it each version has its own.
    let space = standing
        .version
        .map(|version| (standing.service.name.value.0.as_str(), version.version.value.0.as_str()));
    format!(
        "{:?}",
        (
            space,
            sorted(rule.hosts.value.iter().map(|host| host.value.0.clone()).collect()),
            shape,
            sorted(rule.methods.value.iter().map(|method| method.value.0.clone()).collect()),
            sorted(rule.headers.0.iter().map(|(n, v)| format!("{}={}", n.value.0, v.value.0)).collect()),
            sorted(rule.query.0.iter().map(|(n, v)| format!("{}={}", n.value.0, v.value.0)).collect()),
        )
    )
}

impl Check<'_> {
    pub(super) fn services(&mut self) {
        let file = self.file;
        let declared = self.declared;
        for service in &file.services.value {
            self.refers("team", &service.team, &declared.teams);
            self.versions(service);
        }
        for standing in routes(file) {
            self.refers("upstream", &standing.route.upstream, &declared.upstreams);
            let in_force = standing.in_force();
            self.authentication(&standing, &in_force);
            self.templates(&standing, &in_force);
        }
        self.same_matches();
        // Once per place where they are written, however many routes inherit them.
        for tenant in &file.tenants.value {
            self.written(tenant.auth.as_ref(), tenant.cors.as_ref());
        }
        for service in &file.services.value {
            self.written(service.auth.as_ref(), service.cors.as_ref());
            for version in &service.versions.value {
                self.written(version.auth.as_ref(), version.cors.as_ref());
            }
        }
        for standing in routes(file) {
            self.written(standing.route.auth.as_ref(), standing.route.cors.as_ref());
        }
    }

    /// Routes that match the very same requests. Other conflicts need the routing table, which tells them when
    /// the configuration is compiled.
    fn same_matches(&mut self) {
        let mut seen: HashMap<String, Standing<'_>> = HashMap::new();
        for standing in routes(self.file) {
            let Some(first) = seen.get(&match_key(&standing)) else {
                seen.insert(match_key(&standing), standing);
                continue;
            };
            let (other, pos) = (quote(&first.full_name()), first.route.r#match.path.pos);
            let hint = format!(
                "the other is at {}; tell them apart by host, path, method, headers or query",
                self.sources.show(pos)
            );
            let message = format!("route {} matches what {other} matches", quote(&standing.full_name()));
            self.add(standing.route.r#match.path.pos, message, hint);
        }
    }

    fn versions(&mut self, service: &At<Service>) {
        let lists = [service.versions.pos, service.routes.pos];
        if !self.is_whole(service.place) || lists.iter().any(|list| !self.is_whole(*list)) {
            return;
        }
        match (service.versions.value.is_empty(), service.routes.value.is_empty()) {
            (true, true) if service.ai.is_some() => {}
            (true, true) => {
                let message = format!("service {} has no routes", quote(&service.name.value.0));
                self.add(service.name.pos, message, "add routes:, versions: with routes:, or ai:");
            }
            (false, false) => self.add(
                service.routes.pos,
                "`routes` and `versions` exclude each other",
                "move the routes into a version",
            ),
            _ => {}
        }
        match (&service.versioning, service.versions.value.is_empty()) {
            (Some(versioning), true) => {
                self.add(versioning.pos, "`versioning` without `versions`", "add versions:, or leave it out");
            }
            (None, false) => self.add(
                service.versions.pos,
                "`versions` without `versioning`",
                "say where the version is read from, as in versioning: { in: path }",
            ),
            (Some(versioning), false) => self.versioning(service, versioning),
            (None, true) => {}
        }
    }

    fn versioning(&mut self, service: &At<Service>, versioning: &At<Versioning>) {
        let names: Vec<&str> =
            service.versions.value.iter().map(|version| version.version.value.0.as_str()).collect();
        if let Some(default) = &versioning.default
            && !names.contains(&default.value.0.as_str())
        {
            let hint = suggest::hint(&default.value.0, names.iter().copied(), "no version is there");
            self.add(default.pos, format!("unknown version {}", quote(&default.value.0)), hint);
        }
        if !self.is_whole(versioning.place) {
            return;
        }
        if versioning.unknown.value == UnknownVersion::Default && versioning.default.is_none() {
            self.add(versioning.unknown.pos, "`unknown: default` without a default", "add default:");
        }
        if versioning.keep.value && versioning.r#in.value != VersionIn::Path {
            self.add(versioning.keep.pos, "`keep` goes with `in: path`", "leave it out");
        }
        self.version_place(versioning);
    }

    fn version_place(&mut self, versioning: &Versioning) {
        let place = &versioning.r#in;
        let word = format!("`in: {}`", place.value.show());
        let (name, pattern) = (versioning.name.as_ref(), versioning.pattern.as_ref());
        match (place.value, name, pattern) {
            (VersionIn::Header | VersionIn::Query, None, _) => {
                self.add(place.pos, format!("{word} needs a name"), "add name:");
            }
            (VersionIn::Header | VersionIn::Query, _, Some(pattern)) => {
                self.add(pattern.pos, format!("`pattern` does not go with {word}"), "leave it out");
            }
            (VersionIn::MediaType, None, None) => self.add(
                place.pos,
                format!("{word} needs a pattern or a name"),
                "as in pattern: application/vnd.acme.{version}+json",
            ),
            (VersionIn::Host, _, None) => self.add(
                place.pos,
                format!("{word} needs a pattern"),
                "as in pattern: \"{version}.api.example.com\"",
            ),
            (VersionIn::Path | VersionIn::Host, Some(name), _) => {
                self.add(name.pos, format!("`name` does not go with {word}"), "see `pattern`");
            }
            (VersionIn::Path, None, Some(pattern)) if pattern.value.contains('/') => {
                self.add(pattern.pos, "the version is one path segment", "leave the `/` out");
            }
            _ => {}
        }
    }

    fn authentication(&mut self, standing: &Standing<'_>, in_force: &InForce<'_>) {
        let route = standing.route;
        let name = quote(&standing.full_name());
        let Some(auth) = &in_force.auth else {
            if in_force.places.iter().all(|place| self.is_whole(*place)) {
                self.add(
                    route.name.pos,
                    format!("route {name} does not say who may call"),
                    "write auth: on the route, version, service or tenant; auth: none lets anybody in",
                );
            }
            return;
        };
        let (Auth::None, Some(authorize)) = (&auth.at.value, &in_force.authorize) else { return };
        let rule = &authorize.at.value;
        if rule.scopes.value.is_empty() && rule.subscription.value == SubscriptionRule::None {
            return;
        }
        // The nearer of the two is the one to mend.
        let pos = if auth.level == "route" { auth.at.pos } else { authorize.at.pos };
        let (auth, authorize) = (self.sources.show(auth.at.pos), self.sources.show(authorize.at.pos));
        self.add(
            pos,
            format!("route {name} lets anybody in and asks for scopes or a subscription"),
            format!("auth is at {auth}, authorize at {authorize}"),
        );
    }

    pub(super) fn written(&mut self, auth: Option<&At<Auth>>, cors: Option<&At<Cors>>) {
        if let Some(At { value: Auth::Any(ways) | Auth::All(ways), .. }) = auth {
            for way in ways {
                self.way(way);
            }
        }
        if let Some(cors) = cors
            && cors.credentials.value
            && let Some(any) = cors.origins.value.iter().find(|origin| origin.value.0 == "*")
        {
            self.add(any.pos, "origin `*` does not go with `credentials: true`", "name the origins");
        }
    }

    fn way(&mut self, way: &At<Way>) {
        let declared = self.declared;
        match &way.value {
            Way::Jwt { issuers, .. } => {
                for issuer in issuers {
                    self.refers("issuer", issuer, &declared.issuers);
                }
                if issuers.is_empty() && declared.issuers.is_empty() {
                    self.add(way.pos, "no issuer of tokens is configured", "add one under issuers:");
                }
            }
            Way::Mtls if !asks_for_certificates(self.file) => self.add(
                way.pos,
                "no listener asks for client certificates",
                "add tls: { client: { ca: ... } } to a listener",
            ),
            Way::ApiKey(_) | Way::Basic | Way::Hmac | Way::Mtls => {}
        }
    }

    fn templates(&mut self, standing: &Standing<'_>, in_force: &InForce<'_>) {
        let path = standing.route.r#match.path.value.0.as_str();
        let mut captures: Vec<&str> = braces(path).unwrap_or_default();
        if path.ends_with("/*") {
            captures.push("*");
        }
        if let Some(rewrite) = &standing.route.rewrite {
            let template = &rewrite.path;
            for word in braces(&template.value).unwrap_or_default() {
                self.capture(word, &captures, &[], template.pos);
            }
        }
        if let Some(headers) = &in_force.headers {
            self.edits(&headers.at.request.value, &captures);
            self.edits(&headers.at.response.value, &captures);
        }
        self.header_values(&standing.route.identity_headers.value, &captures);
    }

    fn edits(&mut self, edits: &Edits, captures: &[&str]) {
        self.header_values(&edits.set.value, captures);
        self.header_values(&edits.add.value, captures);
        for name in &edits.remove.value {
            self.framing(name);
        }
    }

    fn header_values(&mut self, pairs: &Pairs<HeaderName, Template>, captures: &[&str]) {
        for (name, value) in &pairs.0 {
            self.framing(name);
            for word in braces(&value.value).unwrap_or_default() {
                self.capture(word, captures, TEMPLATE_WORDS, value.pos);
            }
        }
    }

    fn framing(&mut self, name: &At<HeaderName>) {
        if !FRAMING_HEADERS.contains(&name.value.0.as_str()) {
            return;
        }
        let hint = match name.value.0.as_str() {
            "host" => "write host_header on the upstream",
            _ => "the gateway frames messages by itself",
        };
        self.add(name.pos, format!("header {} cannot be edited", quote(&name.value.0)), hint);
    }

    fn capture(&mut self, word: &str, captures: &[&str], words: &[&str], pos: Pos) {
        if captures.contains(&word) || words.contains(&word) {
            return;
        }
        let known = captures.iter().chain(words).copied();
        let hint = suggest::hint(word, known, "the path has no parameters");
        let shown = format!("{{{word}}}");
        let pos = self.sources.within(pos, &shown);
        self.add(pos, format!("nothing is known by {}", quote(&shown)), hint);
    }
}
