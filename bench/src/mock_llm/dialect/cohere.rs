//! Cohere's Chat, version 2 (<https://docs.cohere.com/reference/chat>, streams:
//! <https://docs.cohere.com/docs/streaming>). What is billed is less than what was read, as Cohere adds instructions of
//! its own.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, Stop, push_words};
use crate::llm::{Quoted, Usage};

/// Tokens of the instructions that Cohere adds and does not charge.
const OWN_INSTRUCTIONS: u64 = 495;

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    put!(out, r#"{{"id":"{}","message":{{"role":"assistant""#, reply.id());
    let mut opening = r#","content":["#;
    if reply.thinking > 0 {
        put!(out, r#"{opening}{{"type":"thinking","thinking":"{}"}}"#, reply.thoughts());
        opening = ",";
    }
    if reply.text > 0 || reply.calls == 0 {
        put!(out, r#"{opening}{{"type":"text","text":""#);
        push_words(&mut out.content, (0, reply.text));
        out.push("\"}");
        opening = ",";
    }
    out.push(if opening == "," { "]" } else { "" });
    for call in 0..reply.calls {
        out.push(if call == 0 { r#","tool_plan":"I will look it up.","tool_calls":["# } else { "," });
        put!(
            out,
            r#"{{"id":"{}","type":"function","function":{{"name":{},"arguments":{}}}}}"#,
            call_id(reply, call),
            Quoted(reply.tool),
            Quoted(&reply.arguments(call).concat())
        );
    }
    out.push(if reply.calls > 0 { "]" } else { "" });
    put!(out, r#"}},"finish_reason":"{}""#, finish_reason(reply.stop));
    if let Some(usage) = &reply.usage {
        put!(out, r#","usage":{}"#, usage_of(usage));
    }
    out.push("}");
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft) {
    put!(
        out,
        "event: message-start\ndata: {{\"id\":\"{}\",\"type\":\"message-start\",\"delta\":{{\"message\":{{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}}}}\n\n",
        reply.id()
    );
    out.end_piece(0);
    let mut index = 0;
    for (kind, chunks) in
        [("thinking", reply.thinking_chunks().collect::<Vec<_>>()), ("text", reply.text_chunks().collect())]
    {
        if chunks.is_empty() {
            continue;
        }
        let start = format!(r#""content":{{"type":"{kind}","{kind}":""}}"#);
        event(out, "content-start", index, &start, 0);
        for range in chunks {
            begin(out, "content-delta", index);
            put!(out, r#","delta":{{"message":{{"content":{{"{kind}":""#);
            push_words(&mut out.content, range);
            out.push("\"}}}}\n\n");
            out.end_piece(range.1 - range.0);
        }
        event(out, "content-end", index, "", 0);
        index += 1;
    }
    for call in 0..reply.calls {
        let start = format!(
            r#""tool_calls":{{"id":"{}","type":"function","function":{{"name":{},"arguments":""}}}}"#,
            call_id(reply, call),
            Quoted(reply.tool)
        );
        event(out, "tool-call-start", call, &start, 0);
        for piece in reply.arguments(call) {
            let delta = format!(r#""tool_calls":{{"function":{{"arguments":{}}}}}"#, Quoted(&piece));
            event(out, "tool-call-delta", call, &delta, 1);
        }
        event(out, "tool-call-end", call, "", 0);
    }
    out.begin_terminal();
    put!(
        out,
        "event: message-end\ndata: {{\"type\":\"message-end\",\"delta\":{{\"finish_reason\":\"{}\"",
        finish_reason(reply.stop)
    );
    if let Some(usage) = &reply.usage {
        put!(out, r#","usage":{}"#, usage_of(usage));
    }
    out.push("}}\n\n");
    out.end_piece(0);
    if reply.usage.is_some() {
        out.told_usage();
    }
    out.push("data: [DONE]\n\n");
    out.end_piece(0);
}

fn call_id(reply: &Reply<'_>, call: u32) -> String {
    format!("{}_{}", reply.tool, reply.call_id(call))
}

fn begin(out: &mut Draft, name: &str, index: u32) {
    put!(out, "event: {name}\ndata: {{\"type\":\"{name}\",\"index\":{index}");
}

/// An event; its message, if it has one, is that of the delta.
fn event(out: &mut Draft, name: &str, index: u32, message: &str, new_tokens: u32) {
    begin(out, name, index);
    if message.is_empty() {
        out.push("}\n\n");
    } else {
        put!(out, ",\"delta\":{{\"message\":{{{message}}}}}}}\n\n");
    }
    out.end_piece(new_tokens);
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "COMPLETE",
        Stop::Length => "MAX_TOKENS",
        Stop::Tools => "TOOL_CALL",
    }
}

fn usage_of(usage: &Usage) -> String {
    format!(
        r#"{{"billed_units":{{"input_tokens":{},"output_tokens":{}}},"tokens":{{"input_tokens":{},"output_tokens":{}}}}}"#,
        usage.input,
        usage.output,
        usage.input + OWN_INSTRUCTIONS,
        usage.output + 2 // the ends of turn and message
    )
}
