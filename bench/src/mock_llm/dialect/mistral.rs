//! Mistral's chat completions (<https://docs.mistral.ai/api>): OpenAI's, but thinking stands in a list of content parts,
//! ids of calls have nine letters and digits, calls are streamed whole, and usage comes with the last chunk unasked.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, push_words};
use super::openai_chat::finish_reason;
use crate::llm::{Quoted, Usage};

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    put!(out, r#"{{"id":"{}","created":{},"model":{}"#, reply.id(), reply.created_s, Quoted(reply.model));
    if let Some(usage) = &reply.usage {
        push_usage(out, usage);
    }
    out.push(r#","object":"chat.completion","choices":[{"index":0,"finish_reason":"#);
    put!(out, r#""{}","message":{{"role":"assistant","tool_calls":"#, finish_reason(reply.stop));
    if reply.calls > 0 {
        push_calls(reply, out);
    } else {
        out.push("null");
    }
    out.push(r#","content":"#);
    if reply.thinking > 0 {
        put!(out, "[{},", thinking(&reply.thoughts()));
        out.push(r#"{"type":"text","text":"#);
    }
    out.push("\"");
    push_words(&mut out.content, (0, reply.text));
    out.push(if reply.thinking > 0 { "\"}]" } else { "\"" });
    out.push("}}]}");
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft) {
    let begin = format!(
        r#"data: {{"id":"{}","object":"chat.completion.chunk","created":{},"model":{},"choices":[{{"index":0,"delta":{{"#,
        reply.id(),
        reply.created_s,
        Quoted(reply.model)
    );
    const END: &str = "},\"finish_reason\":null}]}\n\n";
    put!(out, r#"{begin}"role":"assistant","content":""{END}"#);
    out.end_piece(0);
    for range in reply.thinking_chunks() {
        let mut text = Vec::new();
        push_words(&mut text, range);
        put!(out, r#"{begin}"content":[{}]{END}"#, thinking(&String::from_utf8_lossy(&text)));
        out.end_piece(range.1 - range.0);
    }
    for range in reply.text_chunks() {
        put!(out, r#"{begin}"content":""#);
        push_words(&mut out.content, range);
        out.push("\"");
        out.push(END);
        out.end_piece(range.1 - range.0);
    }
    out.push(&begin);
    if reply.calls > 0 {
        out.push(r#""content":"","tool_calls":"#);
        push_calls(reply, out);
    } else {
        out.push(r#""content":"""#);
    }
    put!(out, r#"}},"finish_reason":"{}"}}]"#, finish_reason(reply.stop));
    if let Some(usage) = &reply.usage {
        push_usage(out, usage);
    }
    out.push("}\n\n");
    out.end_piece(reply.tokens() - reply.thinking - reply.text);
    if reply.usage.is_some() {
        out.told_usage();
    }
    out.begin_terminal();
    out.push("data: [DONE]\n\n");
    out.end_piece(0);
}

fn thinking(thoughts: &str) -> String {
    format!(r#"{{"type":"thinking","thinking":[{{"type":"text","text":"{thoughts}"}}]}}"#)
}

fn push_calls(reply: &Reply<'_>, out: &mut Draft) {
    for call in 0..reply.calls {
        out.push(if call == 0 { "[" } else { "," });
        put!(
            out,
            r#"{{"id":"{}","function":{{"name":{},"arguments":{}}},"index":{call}}}"#,
            reply.call_id(call),
            Quoted(reply.tool),
            Quoted(&reply.arguments(call).concat())
        );
    }
    out.push("]");
}

fn push_usage(out: &mut Draft, usage: &Usage) {
    let (prompt, completion) = (usage.prompt(), usage.completion());
    put!(
        out,
        r#","usage":{{"prompt_tokens":{prompt},"total_tokens":{},"completion_tokens":{completion},"num_cached_tokens":{}}}"#,
        prompt + completion,
        usage.cached_read
    );
}
