//! The AI half: providers that can be reached as written, models that go somewhere, services that let somebody in.

use penstock_ai::catalogue::PriceSpec;
use penstock_ai::provider::{Auth, Operation, Provider as Kind, Providers, Values};

use super::Check;
use penstock_ai::routing::{self, KEYS_MAX, KeySpec, KeyUid, ProviderSpec, ProviderUid};

use crate::compile::{model_spec, provider_values};
use crate::grammar::ai::{Model, Provider};
use crate::inherit::{AiStanding, ai_services};
use crate::place::At;
use crate::problem::quote;

impl Check<'_> {
    pub(super) fn ai(&mut self) {
        let file = self.file;
        self.distinct("provider", file.providers.value.iter().map(|item| &item.value.name));
        for provider in &file.providers.value {
            if self.is_whole(provider.place) {
                self.provider(provider);
            }
        }
        for model in &file.models.value {
            self.model(model);
        }
        if self.problems.is_empty() {
            self.routing();
        }
        for standing in ai_services(file) {
            self.ai_service(&standing);
        }
    }

    /// How models and providers fit together: fallbacks, names, targets. Asked once each of them is good by itself.
    fn routing(&mut self) {
        let file = self.file;
        let mut spec = routing::Spec::default();
        for (n, provider) in file.providers.value.iter().enumerate() {
            let mut one =
                ProviderSpec::new(ProviderUid(n as u64), &provider.name.value.0, &provider.kind.value.0);
            one.keys.push(KeySpec::new(KeyUid(n as u64), "", 1)); // keys are checked one by one
            spec.providers.push(one);
        }
        spec.models = file.models.value.iter().map(|model| model_spec(model)).collect();
        for problem in routing::problems(&spec, Providers::shared()) {
            let model = problem
                .model()
                .and_then(|name| file.models.value.iter().find(|model| model.name.value.0 == name));
            self.add(model.map_or(file.models.pos, |model| model.name.pos), problem.to_string(), "");
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
        if keys.value.len() > KEYS_MAX {
            self.add(keys.pos, format!("{} keys", keys.value.len()), format!("at most {KEYS_MAX}"));
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
        let declared = self.declared;
        for target in &targets.value {
            self.refers("provider", &target.provider, &declared.providers);
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
