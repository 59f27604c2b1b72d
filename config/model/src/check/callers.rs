//! Issuers with their key sets; apps with credentials and subscriptions.

use std::collections::HashMap;

use serde_json::Value;

use super::Check;
use crate::grammar::people::{
    ApiKey, App, BasicCredential, Credential, Issuer, JwtAlgorithm, MtlsCredential,
};
use crate::inherit::tenant_of;
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::Word;

impl<'a> Check<'a> {
    pub(super) fn issuers(&mut self) {
        let file = self.file;
        let mut seen: HashMap<&str, Pos> = HashMap::new();
        for issuer in &file.issuers.value {
            if let Some(first) = seen.insert(&issuer.issuer.value.0, issuer.issuer.pos) {
                let hint = format!("the other is at {}", self.sources.show(first));
                self.add(issuer.issuer.pos, "two issuers have one `iss`", hint);
            }
            if self.is_empty_list(&issuer.algorithms) && self.is_whole(issuer.place) {
                self.add(issuer.algorithms.pos, "no algorithm is accepted", "as in [RS256, ES256]");
            }
            self.key_set(issuer);
        }
    }

    fn key_set(&mut self, issuer: &Issuer) {
        let path = &issuer.jwks.file;
        let Some(text) = self.side_file(path) else { return };
        let shown = quote(&path.value.show());
        let form = "as in {\"keys\": [ ... ]} (RFC 7517)";
        let set: Value = match serde_json::from_str(&text) {
            Ok(set) => set,
            Err(error) => {
                self.add(path.pos, format!("{shown} is not JSON: {error}"), form);
                return;
            }
        };
        let Some(keys) = set.get("keys").and_then(Value::as_array) else {
            self.add(path.pos, format!("{shown} is no key set"), form);
            return;
        };
        let mut kinds: Vec<&str> = issuer.algorithms.value.iter().map(|at| kind_of(at.value)).collect();
        kinds.dedup();
        let usable = keys.iter().filter_map(|key| key.get("kty")?.as_str()).any(|kind| kinds.contains(&kind));
        if !usable && !kinds.is_empty() {
            let algorithms: Vec<String> = issuer.algorithms.value.iter().map(|at| at.value.show()).collect();
            self.add(
                path.pos,
                format!("{shown} holds no key for {}", algorithms.join(", ")),
                format!("a public key with kty {}", kinds.join(" or ")),
            );
            return;
        }
        let full = super::resolve(self.sources, path);
        self.texts.insert(full, text);
    }

    pub(super) fn callers(&mut self) {
        let file = self.file;
        let declared = self.declared;
        let mut keys: HashMap<String, Pos> = HashMap::new();
        let mut subjects: HashMap<(&str, &str), Pos> = HashMap::new();
        for app in &file.apps.value {
            self.refers("team", &app.team, &declared.teams);
            let names = app.credentials.value.iter().filter_map(|item| item.value.name.as_ref());
            self.distinct("credential", names);
            for credential in &app.credentials.value {
                self.credential(credential, &mut keys);
                let Some(jwt) = &credential.jwt else { continue };
                self.refers("issuer", &jwt.issuer, &declared.issuers);
                let subject = (jwt.issuer.value.0.as_str(), jwt.subject.value.0.as_str());
                if let Some(first) = subjects.insert(subject, jwt.subject.pos) {
                    let hint = format!("the other is at {}", self.sources.show(first));
                    let message = format!("two credentials have subject {}", quote(subject.1));
                    self.add(jwt.subject.pos, message, hint);
                }
            }
            self.subscriptions(app);
        }
    }

    fn credential(&mut self, credential: &At<Credential>, keys: &mut HashMap<String, Pos>) {
        let kinds: Vec<(&str, Pos)> = [
            credential.api_key.as_ref().map(|at| ("api_key", at.pos)),
            credential.jwt.as_ref().map(|at| ("jwt", at.pos)),
            credential.basic.as_ref().map(|at| ("basic", at.pos)),
            credential.hmac.as_ref().map(|at| ("hmac", at.pos)),
            credential.mtls.as_ref().map(|at| ("mtls", at.pos)),
        ]
        .into_iter()
        .flatten()
        .collect();
        match kinds.as_slice() {
            [] if self.is_whole(credential.place) => {
                self.add(
                    credential.place,
                    "a credential of no kind",
                    "add api_key, jwt, basic, hmac or mtls",
                );
            }
            [_, (second, pos), ..] => {
                let message = format!("a credential has one kind; `{second}` is its second");
                self.add(*pos, message, "write one item each");
            }
            _ => {}
        }
        if let Some(key) = &credential.api_key {
            self.api_key(key, keys);
        }
        if let Some(basic) = &credential.basic {
            self.basic(basic);
        }
        if let Some(mtls) = &credential.mtls {
            self.mtls(mtls);
        }
    }

    fn basic(&mut self, basic: &BasicCredential) {
        match (&basic.password, &basic.hash) {
            (None, None) if self.is_whole(basic.place) => {
                self.add(basic.place, "neither `password` nor `hash`", "write one of them");
            }
            (Some(_), Some(hash)) => {
                self.add(hash.pos, "`password` and `hash` exclude each other", "write one of them");
            }
            _ => {}
        }
        if basic.user.value.contains(':') {
            self.add(basic.user.pos, "a user name holds no `:`", "RFC 7617 section 2");
        }
    }

    fn mtls(&mut self, mtls: &MtlsCredential) {
        let written = [
            mtls.subject.is_some(),
            mtls.san_dns.is_some(),
            mtls.san_uri.is_some(),
            mtls.san_email.is_some(),
            mtls.fingerprint.is_some(),
        ];
        if written.iter().filter(|is| **is).count() != 1 && self.is_whole(mtls.place) {
            self.add(
                mtls.place,
                "a certificate is known by exactly one of its parts",
                "subject, san_dns, san_uri, san_email or fingerprint",
            );
        }
    }

    fn api_key(&mut self, key: &At<ApiKey>, keys: &mut HashMap<String, Pos>) {
        let (text, pos) = match (&key.value.value, &key.value.hash) {
            (None, None) => {
                if self.is_whole(key.place) {
                    self.add(key.place, "neither `value` nor `hash`", "write one of them");
                }
                return;
            }
            (Some(_), Some(hash)) => {
                self.add(hash.pos, "`value` and `hash` exclude each other", "write one of them");
                return;
            }
            (Some(value), None) => (value.value.0.clone(), value.pos),
            (None, Some(hash)) => (format!("{:?}", hash.value), hash.pos),
        };
        if let Some(first) = keys.insert(text, pos) {
            let hint = format!("the other is at {}", self.sources.show(first));
            self.add(pos, "the same key stands twice", hint);
        }
    }

    fn subscriptions(&mut self, app: &'a App) {
        let file = self.file;
        let declared = self.declared;
        let mut seen: HashMap<&str, Pos> = HashMap::new();
        for subscription in &app.subscriptions.value {
            let service = &subscription.service;
            let shown = quote(&service.value.0);
            if let Some(plan) = &subscription.plan {
                self.refers("plan", plan, &declared.plans);
            }
            if let Some(first) = seen.insert(&service.value.0, service.pos) {
                let hint = format!("the other is at {}", self.sources.show(first));
                self.add(service.pos, format!("two subscriptions to {shown}"), hint);
            }
            if !self.refers("service", service, &declared.services) {
                continue;
            }
            let found = file.services.value.iter().find(|item| item.value.name.value == service.value);
            let Some(found) = found else { continue };
            let (owner, home) = (tenant_of(file, &found.team), tenant_of(file, &app.team));
            if owner != home {
                self.add(
                    service.pos,
                    format!("{shown} belongs to another tenant, {}", quote(owner)),
                    format!("the app belongs to {}", quote(home)),
                );
            }
        }
    }
}

fn kind_of(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::Rs256
        | JwtAlgorithm::Rs384
        | JwtAlgorithm::Rs512
        | JwtAlgorithm::Ps256
        | JwtAlgorithm::Ps384
        | JwtAlgorithm::Ps512 => "RSA",
        JwtAlgorithm::Es256 | JwtAlgorithm::Es384 => "EC",
        JwtAlgorithm::EdDsa => "OKP",
    }
}
