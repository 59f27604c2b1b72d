//! How the answer is to be made: thinking, the choice of tokens, its form; and what has no word here.

use super::{THINKING_TOKENS_MIN, Writer, is_blank};
use crate::bedrock::model::{BETAS, Family};
use crate::dialect::Dialect;
use crate::form::write::{budget_of, lost};
use crate::form::{Feature, Output, Request, Thinking};
use crate::json::{Object, Str, Value};

impl Writer<'_> {
    /// Writes how much is to be thought; whether Claude does.
    pub(super) fn thinking<'r>(
        &mut self,
        thinking: &'r Thinking<'_>,
        max_output: Option<u64>,
        refuses: bool,
        additional: &mut Object<'r>,
        output: &mut Object<'r>,
    ) -> bool {
        let is_claude_s = self.from.reads_thoughts_of(Dialect::Bedrock);
        if is_claude_s
            && (self.is_own || self.family == Family::Claude)
            && let Some(effort) = &thinking.effort
        {
            output.push("effort", effort.clone());
        }
        if self.is_own {
            return own_thinking(thinking, additional);
        }
        let budget = match (thinking.budget, &thinking.effort) {
            (Some(budget), _) => Some(budget),
            (None, Some(effort)) if !is_claude_s => Some(budget_of(&effort.text())),
            (None, _) => None,
        };
        let effort = || match (&thinking.effort, thinking.budget) {
            (Some(effort), _) => Some(effort.clone()),
            (None, Some(budget)) => Some(effort_of(budget).into()),
            (None, None) => None,
        };
        match self.family {
            Family::Claude => return self.claude(thinking, budget, max_output, refuses, additional),
            Family::OpenAi => {
                if let Some(effort) = effort().filter(|effort| !effort.is("none")) {
                    additional.push("reasoning_effort", effort);
                }
            }
            Family::Nova2 => {
                let mut config = Object::default();
                match effort().as_ref().map(Str::text).as_deref() {
                    None | Some("none") => config.push("type", "disabled"),
                    Some(word) => {
                        config.push("type", "enabled");
                        config.push(
                            "maxReasoningEffort",
                            match word {
                                "minimal" | "low" => "low",
                                "medium" => "medium",
                                _ => "high",
                            },
                        );
                    }
                }
                additional.push("reasoningConfig", config);
            }
            Family::Nova | Family::Other | Family::Unknown => {
                self.losses
                    .tell_if(thinking.budget.is_some_and(|budget| budget > 0), Feature::ThinkingBudget);
                let is_asked = thinking.effort.as_ref().is_some_and(|effort| !effort.is("none"));
                self.losses.tell_if(is_asked, Feature::Effort);
            }
        }
        self.losses.tell_if(thinking.shown.is_some(), Feature::ThinkingShown);
        false
    }

    fn claude<'r>(
        &mut self,
        thinking: &'r Thinking<'_>,
        budget: Option<u64>,
        max_output: Option<u64>,
        refuses: bool,
        additional: &mut Object<'r>,
    ) -> bool {
        let mut written = Object::default();
        let most = max_output.map_or(u64::MAX, |most| most.saturating_sub(1));
        match budget {
            Some(0) => {
                written.push("type", "disabled");
                additional.push("thinking", written);
                return false;
            }
            // Its budget is a part of the answer's.
            Some(_) if most < THINKING_TOKENS_MIN || refuses => {
                self.losses.tell(Feature::ThinkingBudget);
                return false;
            }
            Some(budget) => {
                let is_cut = thinking.budget.is_some_and(|asked| asked > most);
                self.losses.tell_if(is_cut, Feature::ThinkingBudget);
                written.push("type", "enabled");
                written.push("budget_tokens", budget.clamp(THINKING_TOKENS_MIN, most));
            }
            None if thinking.effort.is_some() && thinking.shown.is_none() => return false,
            None => written.push("type", "adaptive"),
        }
        match &thinking.shown {
            Some(shown) if self.from == Dialect::Anthropic => written.push("display", shown.clone()),
            shown => self.losses.tell_if(shown.is_some(), Feature::ThinkingShown),
        }
        additional.push("thinking", written);
        true
    }

    pub(super) fn inference<'r>(
        &mut self,
        request: &'r Request<'_>,
        thinks: bool,
        additional: &mut Object<'r>,
    ) -> Object<'r> {
        let mut config = Object::default();
        if let Some(most) = request.max_output {
            config.push("maxTokens", most);
        }
        let sampling = &request.sampling;
        if let Some(temperature) = &sampling.temperature {
            // Others go up to 2; and whoever thinks does so at 1.
            let value = temperature.as_f64();
            let is_kept = self.is_own || (value <= 1.0 && (!thinks || value == 1.0));
            self.losses.tell_if(!is_kept, Feature::Temperature);
            match is_kept {
                true => config.push("temperature", Value::Number(temperature.clone())),
                false if thinks => {}
                false => config.push("temperature", 1),
            }
        }
        if let Some(top_p) = &sampling.top_p {
            config.push("topP", Value::Number(top_p.clone()));
        }
        if let Some(top_k) = &sampling.top_k {
            let top_k = Value::Number(top_k.clone());
            match self.family {
                _ if self.is_own => additional.push("top_k", top_k),
                Family::Claude if !thinks => additional.push("top_k", top_k),
                Family::Nova | Family::Nova2 => {
                    let inner: Object<'_> = [("topK", top_k)].into_iter().collect();
                    additional.push("inferenceConfig", inner);
                }
                _ => self.losses.tell(Feature::TopK),
            }
        }
        let stop = request.stop.iter().filter(|text| self.is_own || !is_blank(text));
        let stop: Vec<Value<'_>> = stop.map(|text| text.clone().into()).collect();
        self.losses.tell_if(stop.len() < request.stop.len(), Feature::Stop);
        if !stop.is_empty() {
            config.push("stopSequences", stop);
        }
        config
    }

    pub(super) fn betas<'r>(&mut self, request: &'r Request<'_>, additional: &mut Object<'r>) {
        if self.is_own {
            return;
        }
        let Some(Value::Array(betas)) = request.rest.get("anthropic_beta") else { return };
        let is_allowed = |beta: &&Value<'_>| BETAS.iter().any(|allowed| beta.is(allowed));
        let allowed: Vec<Value<'_>> = betas.iter().filter(is_allowed).cloned().collect();
        let is_claude = self.family == Family::Claude;
        self.losses.tell_if(allowed.len() < betas.len() || !is_claude, Feature::Unknown);
        if is_claude && !allowed.is_empty() {
            additional.push("anthropic_beta", allowed);
        }
    }

    pub(super) fn output<'r>(&mut self, request: &'r Request<'_>, config: &mut Object<'r>) {
        match &request.output {
            None | Some(Output::Text) => {}
            Some(Output::Json) => self.losses.tell(Feature::Json),
            Some(Output::Schema { name, description, schema, .. }) => {
                let mut definition: Object<'_> = [("schema", schema.to_json())].into_iter().collect();
                for (member, text) in [("name", name), ("description", description)] {
                    if let Some(text) = text {
                        definition.push(member, text.clone());
                    }
                }
                let structure: Object<'_> = [("jsonSchema", definition)].into_iter().collect();
                let mut format: Object<'_> = [("type", "json_schema")].into_iter().collect();
                format.push("structure", structure);
                config.push("textFormat", format);
            }
        }
    }

    /// What the caller notes, where it is what Converse takes: at most 16 short texts.
    pub(super) fn metadata<'r>(&mut self, request: &'r Request<'_>) -> Option<Value<'r>> {
        let metadata = request.metadata.as_ref()?;
        let is_valid = |text: &str, least: usize| {
            (least..=256).contains(&text.len())
                && text.chars().all(|letter| {
                    letter.is_ascii_alphanumeric() || letter.is_whitespace() || ":_@$#=/+,-.".contains(letter)
                })
        };
        let is_taken = self.is_own
            || metadata.as_object().is_some_and(|members| {
                (1..=16).contains(&members.len())
                    && members.iter().all(|(name, value)| {
                        is_valid(&name.text(), 1) && value.as_text().is_some_and(|text| is_valid(&text, 0))
                    })
            });
        self.losses.tell_if(!is_taken, Feature::Metadata);
        is_taken.then(|| metadata.clone())
    }

    pub(super) fn service_tier<'r>(&mut self, request: &'r Request<'_>) -> Option<Str<'r>> {
        let tier = request.service_tier.as_ref()?;
        match tier.text().as_ref() {
            _ if self.is_own => Some(tier.clone()),
            "default" | "flex" | "priority" | "reserved" => Some(tier.clone()),
            "standard" | "standard_only" => Some("default".into()),
            "auto" => None,
            _ => {
                self.losses.tell(Feature::ServiceTier);
                None
            }
        }
    }

    pub(super) fn lost(&mut self, request: &Request<'_>) {
        let sampling = &request.sampling;
        for (is_asked, feature) in [
            (sampling.seed.is_some(), Feature::Seed),
            (sampling.presence_penalty.is_some(), Feature::PresencePenalty),
            (sampling.frequency_penalty.is_some(), Feature::FrequencyPenalty),
            (sampling.logit_bias.is_some(), Feature::LogitBias),
            (request.answers.is_some_and(|answers| answers > 1), Feature::Answers),
            (request.logprobs.is_some(), Feature::Logprobs),
            (request.user.is_some(), Feature::User),
            (request.cache_key.is_some(), Feature::CacheKey),
            (request.verbosity.is_some(), Feature::Verbosity),
        ] {
            self.losses.tell_if(is_asked, feature);
        }
        if !self.is_own {
            for (name, value) in request.rest.iter() {
                let is_written = name.is("anthropic_beta") || name.is("cache_control");
                if let (false, Some(feature)) = (is_written, lost(&name.text(), value)) {
                    self.losses.tell(feature);
                }
            }
        }
    }
}

fn own_thinking<'r>(thinking: &'r Thinking<'_>, additional: &mut Object<'r>) -> bool {
    if thinking.budget.is_none() && thinking.shown.is_none() && thinking.effort.is_some() {
        return false;
    }
    let mut written = Object::default();
    match thinking.budget {
        Some(0) => written.push("type", "disabled"),
        Some(budget) => {
            written.push("type", "enabled");
            written.push("budget_tokens", budget);
        }
        None => written.push("type", "adaptive"),
    }
    if let Some(shown) = &thinking.shown {
        written.push("display", shown.clone());
    }
    additional.push("thinking", written);
    true
}

/// The word for so many tokens.
fn effort_of(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..=4096 => "low",
        4097..=16384 => "medium",
        _ => "high",
    }
}
