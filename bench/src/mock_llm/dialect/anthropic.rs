//! Anthropic's Messages (<https://docs.claude.com/en/api/messages>, streams:
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>). Data lines are padded with spaces before their last
//! brace, and a ping comes after the first block's start, as in the provider's own streams.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, SIGNATURE, Stop, push_words};
use crate::llm::{Quoted, Usage};

/// Most spaces of padding.
const PADDING: &str = "               ";

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    put!(
        out,
        r#"{{"model":{},"id":"msg_{}","type":"message","role":"assistant","content":["#,
        Quoted(reply.model),
        reply.id()
    );
    let mut comma = "";
    if reply.thinking > 0 {
        put!(out, r#"{{"type":"thinking","thinking":"{}","signature":"{SIGNATURE}"}}"#, reply.thoughts());
        comma = ",";
    }
    if reply.text > 0 {
        put!(out, r#"{comma}{{"type":"text","text":""#);
        push_words(&mut out.content, (0, reply.text));
        out.push("\"}");
        comma = ",";
    }
    for call in 0..reply.calls {
        put!(
            out,
            r#"{comma}{{"type":"tool_use","id":"toolu_{}","name":{},"input":{}}}"#,
            reply.call_id(call),
            Quoted(reply.tool),
            reply.arguments(call).concat()
        );
        comma = ",";
    }
    put!(out, r#"],"stop_reason":"{}","stop_sequence":null"#, stop_reason(reply.stop));
    if let Some(usage) = &reply.usage {
        out.push(&whole_usage(usage, usage.output));
    }
    out.push("}");
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft) {
    // The first event counts the token that is under way.
    let begun = reply.usage.as_ref().map(|usage| whole_usage(usage, usage.output.min(1))).unwrap_or_default();
    event(
        out,
        "message_start",
        &format!(
            r#","message":{{"model":{},"id":"msg_{}","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null{begun}}}"#,
            Quoted(reply.model),
            reply.id()
        ),
    );
    let mut index = 0;
    if reply.thinking > 0 {
        start(out, index, r#"{"type":"thinking","thinking":"","signature":""}"#);
        deltas(out, index, r#""type":"thinking_delta","thinking":""#, reply.thinking_chunks());
        delta(out, index, &format!(r#""type":"signature_delta","signature":"{SIGNATURE}""#), 0);
        event(out, "content_block_stop", &format!(r#","index":{index}"#));
        index += 1;
    }
    if reply.text > 0 {
        start(out, index, r#"{"type":"text","text":""}"#);
        deltas(out, index, r#""type":"text_delta","text":""#, reply.text_chunks());
        event(out, "content_block_stop", &format!(r#","index":{index}"#));
        index += 1;
    }
    for call in 0..reply.calls {
        let id = reply.call_id(call);
        let block =
            format!(r#"{{"type":"tool_use","id":"toolu_{id}","name":{},"input":{{}}}}"#, Quoted(reply.tool));
        start(out, index, &block);
        delta(out, index, r#""type":"input_json_delta","partial_json":"""#, 0);
        for piece in reply.arguments(call) {
            delta(out, index, &format!(r#""type":"input_json_delta","partial_json":{}"#, Quoted(&piece)), 1);
        }
        event(out, "content_block_stop", &format!(r#","index":{index}"#));
        index += 1;
    }
    let ended = reply.usage.as_ref().map(cumulative_usage).unwrap_or_default();
    let delta =
        format!(r#","delta":{{"stop_reason":"{}","stop_sequence":null}}{ended}"#, stop_reason(reply.stop));
    event(out, "message_delta", &delta);
    if reply.usage.is_some() {
        out.told_usage();
    }
    out.begin_terminal();
    event(out, "message_stop", "");
}

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Tools => "tool_use",
    }
}

fn whole_usage(usage: &Usage, output: u64) -> String {
    format!(
        r#","usage":{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}},"output_tokens":{output},"service_tier":"standard","inference_geo":"not_available"}}"#,
        usage.input,
        usage.cache_write + usage.cache_write_1h,
        usage.cached_read,
        usage.cache_write,
        usage.cache_write_1h
    )
}

fn cumulative_usage(usage: &Usage) -> String {
    format!(
        r#","usage":{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"output_tokens":{}}}"#,
        usage.input,
        usage.cache_write + usage.cache_write_1h,
        usage.cached_read,
        usage.output
    )
}

fn event(out: &mut Draft, name: &str, members: &str) {
    put!(out, "event: {name}\ndata: {{\"type\":\"{name}\"{members}");
    end(out, 0);
}

fn start(out: &mut Draft, index: u32, block: &str) {
    event(out, "content_block_start", &format!(r#","index":{index},"content_block":{block}"#));
    if index == 0 {
        out.push("event: ping\ndata: {\"type\": \"ping\"}\n\n");
        out.end_piece(0);
    }
}

fn delta(out: &mut Draft, index: u32, members: &str, new_tokens: u32) {
    put!(
        out,
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{{members}}}"
    );
    end(out, new_tokens);
}

fn deltas(out: &mut Draft, index: u32, member: &str, chunks: impl Iterator<Item = (u32, u32)>) {
    let begin = format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{{member}"
    );
    for range in chunks {
        out.push(&begin);
        push_words(&mut out.content, range);
        out.push("\"}");
        end(out, range.1 - range.0);
    }
}

fn end(out: &mut Draft, new_tokens: u32) {
    // Any number that is not always the same does.
    let padding = out.content.len() * 7 % (PADDING.len() + 1);
    out.push(&PADDING[..padding]);
    out.push("}\n\n");
    out.end_piece(new_tokens);
}
