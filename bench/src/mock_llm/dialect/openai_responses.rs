//! OpenAI's Responses (<https://platform.openai.com/docs/api-reference/responses>). A stream has no `[DONE]`.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, SIGNATURE, Stop, push_words};
use crate::llm::Quoted;

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    let items = items(reply);
    push_response(reply, out, status(reply), &items, true);
}

/// The output items of a whole answer.
fn items(reply: &Reply<'_>) -> Vec<String> {
    let id = reply.id();
    let mut items = Vec::new();
    if reply.thinking > 0 {
        items.push(reasoning(&id, &reply.thoughts()));
    }
    if reply.text > 0 || reply.calls == 0 {
        items.push(message(&id, "completed", &part(&reply.words())));
    }
    for call in 0..reply.calls {
        items.push(call_item(reply, call, &reply.arguments(call).concat(), "completed"));
    }
    items
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft) {
    let id = reply.id();
    let mut sequence = 0;
    for name in ["response.created", "response.in_progress"] {
        begin(out, name, &mut sequence);
        out.push(r#","response":"#);
        push_response(reply, out, "in_progress", &[], false);
        end(out, 0);
    }
    let mut item = 0;
    if reply.thinking > 0 {
        item_event(out, "response.output_item.added", &mut sequence, item, &reasoning_head(&id));
        let at = format!(r#","item_id":"rs_{id}","output_index":{item},"summary_index":0"#);
        let summary = |text: &str| format!(r#"{{"type":"summary_text","text":"{text}"}}"#);
        event(
            out,
            "response.reasoning_summary_part.added",
            &mut sequence,
            &format!(r#"{at},"part":{}"#, summary("")),
        );
        deltas(out, "response.reasoning_summary_text.delta", &mut sequence, &at, reply.thinking_chunks());
        let thoughts = reply.thoughts();
        event(
            out,
            "response.reasoning_summary_text.done",
            &mut sequence,
            &format!(r#"{at},"text":"{thoughts}""#),
        );
        event(
            out,
            "response.reasoning_summary_part.done",
            &mut sequence,
            &format!(r#"{at},"part":{}"#, summary(&thoughts)),
        );
        item_event(out, "response.output_item.done", &mut sequence, item, &reasoning(&id, &thoughts));
        item += 1;
    }
    if reply.text > 0 || reply.calls == 0 {
        item_event(out, "response.output_item.added", &mut sequence, item, &message(&id, "in_progress", ""));
        let at = format!(r#","item_id":"msg_{id}","output_index":{item},"content_index":0"#);
        event(out, "response.content_part.added", &mut sequence, &format!(r#"{at},"part":{}"#, part("")));
        deltas(out, "response.output_text.delta", &mut sequence, &at, reply.text_chunks());
        let words = reply.words();
        event(
            out,
            "response.output_text.done",
            &mut sequence,
            &format!(r#"{at},"text":"{words}","logprobs":[]"#),
        );
        event(out, "response.content_part.done", &mut sequence, &format!(r#"{at},"part":{}"#, part(&words)));
        let whole = message(&id, "completed", &part(&words));
        item_event(out, "response.output_item.done", &mut sequence, item, &whole);
        item += 1;
    }
    for call in 0..reply.calls {
        let begun = call_item(reply, call, "", "in_progress");
        item_event(out, "response.output_item.added", &mut sequence, item, &begun);
        let at = format!(r#","item_id":"fc_{id}{call:02}","output_index":{item}"#);
        for piece in reply.arguments(call) {
            begin(out, "response.function_call_arguments.delta", &mut sequence);
            put!(out, r#"{at},"delta":{}"#, Quoted(&piece));
            end(out, 1);
        }
        let arguments = reply.arguments(call).concat();
        let done = format!(r#"{at},"name":{},"arguments":{}"#, Quoted(reply.tool), Quoted(&arguments));
        event(out, "response.function_call_arguments.done", &mut sequence, &done);
        let whole = call_item(reply, call, &arguments, "completed");
        item_event(out, "response.output_item.done", &mut sequence, item, &whole);
        item += 1;
    }
    out.begin_terminal();
    let name = if reply.stop == Stop::Length { "response.incomplete" } else { "response.completed" };
    begin(out, name, &mut sequence);
    out.push(r#","response":"#);
    push_response(reply, out, status(reply), &items(reply), true);
    end(out, 0);
    if reply.usage.is_some() {
        out.told_usage();
    }
}

fn status(reply: &Reply<'_>) -> &'static str {
    if reply.stop == Stop::Length { "incomplete" } else { "completed" }
}

fn push_response(reply: &Reply<'_>, out: &mut Draft, status: &str, items: &[String], ended: bool) {
    put!(
        out,
        r#"{{"id":"resp_{}","object":"response","created_at":{},"status":"{status}","background":false,"error":null,"incomplete_details":"#,
        reply.id(),
        reply.created_s
    );
    out.push(if status == "incomplete" { r#"{"reason":"max_output_tokens"}"# } else { "null" });
    put!(
        out,
        r#","instructions":null,"max_output_tokens":null,"model":{},"output":[{}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"service_tier":"default","store":true,"temperature":1.0,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":"#,
        Quoted(reply.model),
        items.join(",")
    );
    match &reply.usage {
        Some(usage) if ended => put!(
            out,
            r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
            usage.prompt(),
            usage.cached_read,
            usage.completion(),
            usage.reasoning,
            usage.prompt() + usage.completion()
        ),
        _ => out.push("null"),
    }
    out.push(r#","user":null,"metadata":{}}"#);
}

fn reasoning_head(id: &str) -> String {
    format!(r#"{{"id":"rs_{id}","type":"reasoning","encrypted_content":"{SIGNATURE}","summary":[]}}"#)
}

fn reasoning(id: &str, thoughts: &str) -> String {
    format!(
        r#"{{"id":"rs_{id}","type":"reasoning","encrypted_content":"{SIGNATURE}","summary":[{{"type":"summary_text","text":"{thoughts}"}}]}}"#
    )
}

fn part(words: &str) -> String {
    format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{words}"}}"#)
}

fn message(id: &str, status: &str, content: &str) -> String {
    format!(
        r#"{{"id":"msg_{id}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#
    )
}

fn call_item(reply: &Reply<'_>, call: u32, arguments: &str, status: &str) -> String {
    format!(
        r#"{{"id":"fc_{}{call:02}","type":"function_call","status":"{status}","arguments":{},"call_id":"call_{}","name":{}}}"#,
        reply.id(),
        Quoted(arguments),
        reply.call_id(call),
        Quoted(reply.tool)
    )
}

fn begin(out: &mut Draft, name: &str, sequence: &mut u32) {
    put!(out, "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{sequence}");
    *sequence += 1;
}

fn end(out: &mut Draft, new_tokens: u32) {
    out.push("}\n\n");
    out.end_piece(new_tokens);
}

fn event(out: &mut Draft, name: &str, sequence: &mut u32, members: &str) {
    begin(out, name, sequence);
    out.push(members);
    end(out, 0);
}

fn item_event(out: &mut Draft, name: &str, sequence: &mut u32, index: u32, item: &str) {
    event(out, name, sequence, &format!(r#","output_index":{index},"item":{item}"#));
}

fn deltas(
    out: &mut Draft,
    name: &str,
    sequence: &mut u32,
    at: &str,
    chunks: impl Iterator<Item = (u32, u32)>,
) {
    for range in chunks {
        begin(out, name, sequence);
        put!(out, r#"{at},"delta":""#);
        push_words(&mut out.content, range);
        out.push("\"");
        if name == "response.output_text.delta" {
            out.push(r#","logprobs":[]"#);
        }
        end(out, range.1 - range.0);
    }
}
