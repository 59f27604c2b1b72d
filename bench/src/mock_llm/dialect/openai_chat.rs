//! OpenAI's Chat Completions (<https://platform.openai.com/docs/api-reference/chat>). Thinking is told as DeepSeek does,
//! as `reasoning_content`.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, Stop, push_words};
use crate::llm::{Quoted, Usage};

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    put!(
        out,
        r#"{{"id":"chatcmpl-{}","object":"chat.completion","created":{},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","content":"#,
        reply.id(),
        reply.created_s,
        Quoted(reply.model)
    );
    if reply.text == 0 && reply.calls > 0 {
        out.push("null");
    } else {
        out.push("\"");
        push_words(&mut out.content, (0, reply.text));
        out.push("\"");
    }
    if reply.thinking > 0 {
        put!(out, r#","reasoning_content":"{}""#, reply.thoughts());
    }
    for call in 0..reply.calls {
        out.push(if call == 0 { r#","tool_calls":["# } else { "," });
        put!(
            out,
            r#"{{"id":"call_{}","type":"function","function":{{"name":{},"arguments":{}}}}}"#,
            reply.call_id(call),
            Quoted(reply.tool),
            Quoted(&reply.arguments(call).concat())
        );
    }
    out.push(if reply.calls > 0 { "]" } else { "" });
    put!(
        out,
        r#","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"{}"}}]"#,
        finish_reason(reply.stop)
    );
    if let Some(usage) = &reply.usage {
        push_usage(out, usage);
    }
    out.push(r#","service_tier":"default","system_fingerprint":"fp_mock"}"#);
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft) {
    let head = format!(
        r#"data: {{"id":"chatcmpl-{}","object":"chat.completion.chunk","created":{},"model":{},"service_tier":"default","system_fingerprint":"fp_mock","choices":["#,
        reply.id(),
        reply.created_s,
        Quoted(reply.model)
    );
    let begin = format!(r#"{head}{{"index":0,"delta":{{"#);
    let null_usage = if reply.include_usage { r#","usage":null"# } else { "" };
    let end = format!("}},\"logprobs\":null,\"finish_reason\":null}}]{null_usage}}}\n\n");
    put!(out, r#"{begin}"role":"assistant","content":"","refusal":null{end}"#);
    out.end_piece(0);
    for (member, chunks) in [
        ("\"reasoning_content\":\"", reply.thinking_chunks().collect::<Vec<_>>()),
        ("\"content\":\"", reply.text_chunks().collect()),
    ] {
        for range in chunks {
            out.push(&begin);
            out.push(member);
            push_words(&mut out.content, range);
            out.push("\"");
            out.push(&end);
            out.end_piece(range.1 - range.0);
        }
    }
    for call in 0..reply.calls {
        put!(
            out,
            r#"{begin}"tool_calls":[{{"index":{call},"id":"call_{}","type":"function","function":{{"name":{},"arguments":""}}}}]{end}"#,
            reply.call_id(call),
            Quoted(reply.tool)
        );
        out.end_piece(0);
        for piece in reply.arguments(call) {
            put!(
                out,
                r#"{begin}"tool_calls":[{{"index":{call},"function":{{"arguments":{}}}}}]{end}"#,
                Quoted(&piece)
            );
            out.end_piece(1);
        }
    }
    put!(
        out,
        "{begin}}},\"logprobs\":null,\"finish_reason\":\"{}\"}}]{null_usage}}}\n\n",
        finish_reason(reply.stop)
    );
    out.end_piece(0);
    if reply.include_usage
        && let Some(usage) = &reply.usage
    {
        put!(out, "{head}]");
        push_usage(out, usage);
        out.push("}\n\n");
        out.end_piece(0);
        out.told_usage();
    }
    out.begin_terminal();
    out.push("data: [DONE]\n\n");
    out.end_piece(0);
}

pub(super) fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "stop",
        Stop::Length => "length",
        Stop::Tools => "tool_calls",
    }
}

fn push_usage(out: &mut Draft, usage: &Usage) {
    let (prompt, completion) = (usage.prompt(), usage.completion());
    put!(
        out,
        r#","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
        prompt + completion,
        usage.cached_read,
        usage.reasoning
    );
}
