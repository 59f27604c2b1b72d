//! The AI half: providers that can be reached as written, models that go somewhere, services that let somebody in.

use std::collections::HashMap;

use penstock_ai::catalogue::PriceSpec;
use penstock_ai::provider::{Auth, Operation, Provider as Kind, Providers, Values};

use super::Check;
use crate::compile::provider_values;
use crate::grammar::ai::{Model, Provider};
use crate::inherit::{AiStanding, ai_services};
use crate::place::{At, Pos};
use crate::problem::quote;

/// Keys of one provider at most.
pub const PROVIDER_KEYS_MAX: usize = 256;
/// Targets of one model at most.
pub const MODEL_TARGETS_MAX: usize = 64;

impl Check<'_> {
    pub(super) fn ai(&mut self) {
        let file = self.file;
        self.distinct("provider", file.providers.value.iter().map(|item| &item.value.name));
        for provider in &file.providers.value {
            if self.is_whole(provider.place) {
                self.provider(provider);
            }
        }
        let mut seen: HashMap<&str, Pos> = HashMap::new();
        for model in &file.models.value {
            let name = &model.name;
            if let Some(first) = seen.insert(&name.value.0, name.pos) {
                let hint = format!("the other is at {}", self.sources.show(first));
                self.add(name.pos, format!("model {} stands twice", quote(&name.value.0)), hint);
            }
            self.model(model);
        }
        for standing in ai_services(file) {
            self.ai_service(&standing);
        }
    }

    fn provider(&mut self, provider: &At<Provider>) {
        let Some(kind) = Providers::shared().get(&provider.kind.value.0) else { return };
        let given = provider_values(provider);
        let needs = kind.needs.iter().filter(|_| provider.base_url.is_none());
        let missing: Vec<&str> =
            needs.map(String::as_str).filter(|need| !given.iter().any(|(name, _)| name == need)).collect();
        if let [first, ..] = missing[..] {
            let message = format!("kind {} needs {}", quote(&kind.kind), quote(first));
            self.add(provider.name.pos, message, format!("add {first}:, or a base_url:"));
        } else if let Err(why) = usual_url(kind, provider, &given) {
            let pos = provider.base_url.as_ref().map_or(provider.name.pos, |url| url.pos);
            self.add(pos, format!("no URL for provider {}: {why}", quote(&provider.name.value.0)), "");
        }
        let keys = &provider.keys;
        let auth = || kind.apis.iter().flat_map(|api| &api.auth);
        let signs = auth().any(|auth| matches!(auth, Auth::SigV4 { .. }));
        if keys.value.len() > PROVIDER_KEYS_MAX {
            self.add(keys.pos, format!("{} keys", keys.value.len()), format!("at most {PROVIDER_KEYS_MAX}"));
        }
        let asks = !auth().any(|auth| *auth == Auth::None);
        if self.is_empty_list(keys) && asks {
            let message = format!("provider {} has no key", quote(&provider.name.value.0));
            self.add(provider.name.pos, message, "add keys: [ { value: \"${ENV}\" } ], or value: none");
        }
        for key in &keys.value {
            if !self.is_whole(key.place) {
                continue;
            }
            let aws = [&key.access_key_id, &key.secret_access_key, &key.session_token];
            let pos = key.place;
            match (&key.value.value, &key.access_key_id, &key.secret_access_key) {
                (Some(_), None, None) if key.session_token.is_none() => {}
                (None, Some(_), Some(_)) if signs => {}
                (None, Some(_), Some(_)) => {
                    let message = format!("kind {} signs no requests", quote(&kind.kind));
                    self.add(pos, message, "write value:");
                }
                (None, ..) if aws.iter().all(|part| part.is_none()) => {
                    self.add(pos, "a key without a value", "add value:");
                }
                (Some(_), ..) => self.add(pos, "a key with two values", "leave one out"),
                _ => self.add(pos, "half a key", "access_key_id: and secret_access_key: go together"),
            }
        }
        self.distinct("key", keys.value.iter().filter_map(|key| key.name.as_ref()));
    }

    fn model(&mut self, model: &At<Model>) {
        let targets = &model.targets;
        if self.is_empty_list(targets) && self.is_whole(model.place) {
            self.add(targets.pos, "a model without targets", "[ { provider: openai, model: gpt-4.1-mini } ]");
        }
        if targets.value.len() > MODEL_TARGETS_MAX {
            self.add(
                targets.pos,
                format!("{} targets", targets.value.len()),
                format!("at most {MODEL_TARGETS_MAX}"),
            );
        }
        let declared = self.declared;
        let mut seen: HashMap<(&str, &str), Pos> = HashMap::new();
        for target in &targets.value {
            self.refers("provider", &target.provider, &declared.providers);
            let key = (target.provider.value.0.as_str(), target.model.value.0.as_str());
            if let Some(first) = seen.insert(key, target.model.pos) {
                let hint = format!("the other is at {}; use `weight`", self.sources.show(first));
                self.add(target.model.pos, format!("target {} stands twice", quote(key.1)), hint);
            }
        }
        let Some(prices) = &model.prices else { return };
        let mut spec = PriceSpec::default();
        for (above, name, rate) in prices.rates() {
            if let Err(why) = spec.set(above, name, &rate.value.0) {
                self.add(rate.pos, format!("price {}: {why}", quote(name)), "");
                return;
            }
        }
        if let Err(why) = spec.build() {
            self.add(prices.pos, format!("these prices do not go together: {why}"), "");
        }
    }

    fn ai_service(&mut self, standing: &AiStanding<'_>) {
        let service = standing.service;
        let name = quote(&service.name.value.0);
        for (list, word) in
            [(!service.routes.value.is_empty(), "routes"), (!service.versions.value.is_empty(), "versions")]
        {
            if list {
                let message = format!("service {name} has `ai` and `{word}`");
                self.add(standing.ai.place, message, "make two services of it");
            }
        }
        let in_force = standing.in_force();
        match &in_force.auth {
            None if in_force.places.iter().all(|place| self.is_whole(*place)) => self.add(
                service.name.pos,
                format!("AI service {name} does not say who may call"),
                "write auth: in ai:, on the service or the tenant; auth: none lets anybody in",
            ),
            _ => {}
        }
        self.written(standing.ai.auth.as_ref(), standing.ai.cors.as_ref());
    }
}

/// The URL of a conversation: it must be possible to make one.
fn usual_url(kind: &Kind, provider: &Provider, given: &[(&str, &str)]) -> Result<String, String> {
    let mut values = given.to_vec();
    values.extend([("model", "model"), ("deployment", "model")]);
    let values =
        Values { base_url: provider.base_url.as_ref().map(|url| url.value.0.as_str()), given: &values };
    kind.conversation_url(kind.dialect(), false, &values)
        .or_else(|why| kind.url(Operation::Embeddings, &values).map_err(|_| why))
        .map_err(|why| why.to_string())
}
