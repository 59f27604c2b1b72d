//! The configuration of tools: it must be there wherever calls stand in the conversation.

use super::{Writer, is_blank, wrapped};
use crate::dialect::Dialect;
use crate::form::write::{has_function, no_parameters, write_rest};
use crate::form::{Feature, Function, Part, Request, Tool, ToolChoice};
use crate::json::{Object, Str, Value};

impl Writer<'_> {
    /// The configuration of tools, which must be there wherever calls or results stand in the conversation.
    pub(super) fn tools<'r>(&mut self, request: &'r Request<'_>) -> Option<Object<'r>> {
        let mut tools: Vec<Value<'r>> = Vec::new();
        let parts = || request.turns.iter().flat_map(|turn| &turn.parts);
        let calls = || {
            parts().filter_map(|part| match part {
                Part::ToolCall(call) => Some(call),
                _ => None,
            })
        };
        let forbids = request.tool_choice == Some(ToolChoice::None) && !self.is_own;
        // None is what it calls where there are none.
        if !forbids || calls().next().is_some() {
            self.losses.tell_if(forbids, Feature::ToolChoice);
            for tool in &request.tools {
                self.tool(tool, &mut tools);
            }
        }
        if !self.is_own && tools.is_empty() {
            let mut names: Vec<&Str<'_>> = Vec::new();
            for call in calls() {
                if !names.contains(&&call.name) {
                    names.push(&call.name);
                }
            }
            tools.extend(names.into_iter().map(|name| {
                let name = if name.is_empty() { "unnamed".into() } else { name.clone() };
                spec(name, Some("Not available any more.".into()), no_parameters())
            }));
        }
        if tools.is_empty() {
            return None;
        }
        let mut config: Object<'_> = [("tools", tools)].into_iter().collect();
        if let Some(choice) = self.tool_choice(request) {
            config.push("toolChoice", choice);
        }
        Some(config)
    }

    fn tool<'r>(&mut self, tool: &'r Tool<'_>, tools: &mut Vec<Value<'r>>) {
        let function = match tool {
            Tool::Function(function) => function,
            Tool::Foreign(value) if self.is_own => return tools.push(value.clone()),
            Tool::Foreign(_) => return self.losses.tell(Feature::ServerTools),
        };
        if function.name.is_empty() && !self.is_own {
            return self.losses.tell(Feature::Tools); // it could not be called
        }
        tools.push(self.function(function));
        if self.is_own || self.family.caches_tools() {
            self.mark(function.cache, tools);
        } else {
            self.losses.tell_if(function.cache.is_some(), Feature::CacheMark);
        }
    }

    fn function<'r>(&mut self, function: &'r Function<'_>) -> Value<'r> {
        let description = function.description.clone().filter(|text| self.is_own || !is_blank(text));
        let schema = match &function.parameters {
            Some(schema) if self.is_own => schema.clone(),
            Some(Value::Object(schema)) => {
                let mut schema = schema.clone();
                if schema.get("type").is_none() {
                    schema.push("type", "object");
                }
                schema.into()
            }
            _ => no_parameters(),
        };
        let mut written = spec(function.name.clone(), description, schema);
        if let Value::Object(tool) = &mut written
            && let Some(Value::Object(spec)) = tool.get_mut("toolSpec")
        {
            if let Some(strict) = function.strict {
                spec.push("strict", strict);
            }
            write_rest(spec, &function.rest, self.from, Dialect::Bedrock, self.losses);
        }
        written
    }

    fn tool_choice<'r>(&mut self, request: &'r Request<'_>) -> Option<Object<'r>> {
        let parallel = request.parallel_tool_calls == Some(false);
        self.losses.tell_if(parallel, Feature::ParallelToolCalls);
        let empty = Object::default;
        let is_there = |name: &Str<'_>| has_function(&request.tools, name);
        match request.tool_choice.as_ref()? {
            ToolChoice::Auto => Some([("auto", empty())].into_iter().collect()),
            ToolChoice::None => None,
            _ if request.tools.is_empty() => None,
            ToolChoice::Required => Some([("any", empty())].into_iter().collect()),
            ToolChoice::Function(name) if self.is_own || is_there(name) => {
                let tool: Object<'_> = [("name", name.clone())].into_iter().collect();
                Some([("tool", tool)].into_iter().collect())
            }
            ToolChoice::Function(_) => {
                self.losses.tell(Feature::ToolChoice);
                None
            }
            ToolChoice::Foreign(Value::Object(choice)) if self.is_own => Some(choice.clone()),
            ToolChoice::Foreign(_) => {
                self.losses.tell(Feature::AllowedTools);
                None
            }
        }
    }
}

fn spec<'r>(name: Str<'r>, description: Option<Str<'r>>, schema: Value<'r>) -> Value<'r> {
    let mut inner: Object<'_> = [("name", name)].into_iter().collect();
    if let Some(description) = description {
        inner.push("description", description);
    }
    inner.push("inputSchema", [("json", schema)].into_iter().collect::<Object<'_>>());
    wrapped("toolSpec", inner)
}
