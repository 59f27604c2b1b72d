//! Lists of the models that a caller may name.

use penstock_ai::dialect::Dialect;
use penstock_ai::endpoint::Endpoint;
use penstock_ai::json::{Object, Value};
use penstock_http::Code;

use super::Serving;
use crate::answer;
use crate::client::Client;
use crate::exchange::{After, Scratch};

/// Answers the list, or one entry of it.
pub(super) async fn serve(serving: &Serving<'_>, client: &mut Client, scratch: &mut Scratch) -> After {
    let (plan, caller) = (&serving.directory.plan, serving.caller());
    let mut names: Vec<&str> = plan.names(&caller).collect();
    names.sort_unstable();
    let document = match serving.ai.endpoint {
        Endpoint::Model => {
            let path = scratch.plan.target.split(|&byte| byte == b'?').next().unwrap_or_default();
            let start = serving.ai.service.prefix.len() + "/v1/models/".len();
            let name = String::from_utf8_lossy(&path[start.min(path.len())..])
                .replace("%2F", "/")
                .replace("%3A", ":");
            if plan.resolve(&caller, &name).is_err() {
                let why = format!("no model `{name}`");
                let read = !scratch.head.framing.has_body();
                return answer::problem(
                    serving.worker,
                    client,
                    scratch,
                    serving.request,
                    Code::UnknownModel,
                    Some(&why),
                    read,
                )
                .await;
            }
            openai(&name).to_json()
        }
        Endpoint::GeminiModels => {
            let models: Vec<Value<'_>> = names.iter().map(|name| gemini(name).into()).collect();
            Value::from([("models", Value::from(models))].into_iter().collect::<Object<'_>>()).to_json()
        }
        _ => {
            let models: Vec<Value<'_>> = names.iter().map(|name| openai(name).into_owned()).collect();
            let mut list = Object::default();
            list.push("object", "list");
            list.push("data", models);
            // What Anthropic's SDK looks for beside that.
            list.push("has_more", false);
            list.push("first_id", names.first().map_or(Value::Null, |name| Value::from(*name)));
            list.push("last_id", names.last().map_or(Value::Null, |name| Value::from(*name)));
            Value::from(list).to_json()
        }
    };
    debug_assert!(matches!(serving.ai.endpoint.dialect(), Dialect::OpenAiChat | Dialect::Gemini));
    answer::document(serving.worker, client, scratch, serving.request, 200, b"", document.as_bytes()).await
}

/// An entry that both OpenAI's and Anthropic's SDK can read.
fn openai(name: &str) -> Value<'_> {
    let mut model = Object::default();
    model.push("id", name);
    model.push("object", "model");
    model.push("type", "model");
    model.push("display_name", name);
    model.push("created", 0u64);
    model.push("created_at", "1970-01-01T00:00:00Z");
    model.push("owned_by", "penstock");
    model.into()
}

fn gemini(name: &str) -> Object<'static> {
    let mut model = Object::default();
    model.push("name", Value::from(format!("models/{name}")));
    model.push("displayName", Value::from(name.to_owned()));
    let methods = ["generateContent", "countTokens"].map(Value::from);
    model.push("supportedGenerationMethods", methods.to_vec());
    model
}
