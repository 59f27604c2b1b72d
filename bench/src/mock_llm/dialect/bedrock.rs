//! Amazon Bedrock's Converse and ConverseStream
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>). A stream is made of frames
//! with a padding member `p`; text has no start of its block; usage comes after the stop.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, SIGNATURE, Stop, push_words};
use crate::llm::{Quoted, Usage, frames};

/// What the padding is cut from.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    out.push(r#"{"metrics":{"latencyMs":1},"output":{"message":{"content":["#);
    let mut comma = "";
    if reply.thinking > 0 {
        put!(
            out,
            r#"{{"reasoningContent":{{"reasoningText":{{"signature":"{SIGNATURE}","text":"{}"}}}}}}"#,
            reply.thoughts()
        );
        comma = ",";
    }
    if reply.text > 0 || reply.calls == 0 {
        put!(out, r#"{comma}{{"text":""#);
        push_words(&mut out.content, (0, reply.text));
        out.push("\"}");
        comma = ",";
    }
    for call in 0..reply.calls {
        put!(
            out,
            r#"{comma}{{"toolUse":{{"input":{},"name":{},"toolUseId":"tooluse_{}"}}}}"#,
            reply.arguments(call).concat(),
            Quoted(reply.tool),
            reply.call_id(call)
        );
        comma = ",";
    }
    put!(out, r#"],"role":"assistant"}}}},"stopReason":"{}""#, stop_reason(reply.stop));
    if let Some(usage) = &reply.usage {
        put!(out, r#","usage":{}"#, usage_of(usage));
    }
    out.push("}");
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft) {
    frame(out, "messageStart", "", r#""role":"assistant""#, 0);
    let mut index = 0;
    if reply.thinking > 0 {
        for range in reply.thinking_chunks() {
            let text = words(range);
            let delta =
                format!(r#""contentBlockIndex":{index},"delta":{{"reasoningContent":{{"text":"{text}"}}}}"#);
            frame(out, "contentBlockDelta", &delta, "", range.1 - range.0);
        }
        let signature = format!(
            r#""contentBlockIndex":{index},"delta":{{"reasoningContent":{{"signature":"{SIGNATURE}"}}}}"#
        );
        frame(out, "contentBlockDelta", &signature, "", 0);
        frame(out, "contentBlockStop", &format!(r#""contentBlockIndex":{index}"#), "", 0);
        index += 1;
    }
    if reply.text > 0 {
        for range in reply.text_chunks() {
            let delta = format!(r#""contentBlockIndex":{index},"delta":{{"text":"{}"}}"#, words(range));
            frame(out, "contentBlockDelta", &delta, "", range.1 - range.0);
        }
        frame(out, "contentBlockStop", &format!(r#""contentBlockIndex":{index}"#), "", 0);
        index += 1;
    }
    for call in 0..reply.calls {
        let start = format!(
            r#""contentBlockIndex":{index},"start":{{"toolUse":{{"name":{},"toolUseId":"tooluse_{}"}}}}"#,
            Quoted(reply.tool),
            reply.call_id(call)
        );
        frame(out, "contentBlockStart", "", &start, 0);
        for piece in reply.arguments(call) {
            let delta = format!(
                r#""contentBlockIndex":{index},"delta":{{"toolUse":{{"input":{}}}}}"#,
                Quoted(&piece)
            );
            frame(out, "contentBlockDelta", &delta, "", 1);
        }
        frame(out, "contentBlockStop", &format!(r#""contentBlockIndex":{index}"#), "", 0);
        index += 1;
    }
    out.begin_terminal();
    frame(out, "messageStop", "", &format!(r#""stopReason":"{}""#, stop_reason(reply.stop)), 0);
    // The service sends its metadata in any case.
    let usage =
        reply.usage.as_ref().map(|usage| format!(r#""usage":{}"#, usage_of(usage))).unwrap_or_default();
    frame(out, "metadata", r#""metrics":{"latencyMs":1}"#, &usage, 0);
    if reply.usage.is_some() {
        out.told_usage();
    }
}

/// A frame; the padding stands between the members that come before it in the alphabet and those after.
fn frame(out: &mut Draft, event: &str, before: &str, after: &str, new_tokens: u32) {
    // Any number that is not always the same does.
    let padding = &PADDING[..1 + out.content.len() * 7 % PADDING.len()];
    let comma = |members: &str| if members.is_empty() { "" } else { "," };
    let payload = format!(r#"{{{before}{}"p":"{padding}"{}{after}}}"#, comma(before), comma(after));
    frames::push_event(&mut out.content, event, payload.as_bytes());
    out.end_piece(new_tokens);
}

fn words(range: (u32, u32)) -> String {
    let mut bytes = Vec::new();
    push_words(&mut bytes, range);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Tools => "tool_use",
    }
}

fn usage_of(usage: &Usage) -> String {
    let cache = if usage.cached_read + usage.cache_write > 0 {
        format!(
            r#""cacheReadInputTokens":{},"cacheWriteInputTokens":{},"#,
            usage.cached_read, usage.cache_write
        )
    } else {
        String::new()
    };
    format!(
        r#"{{{cache}"inputTokens":{},"outputTokens":{},"serverToolUsage":{{}},"totalTokens":{}}}"#,
        usage.input,
        usage.output,
        usage.prompt() + usage.output
    )
}
