//! Google's generateContent and streamGenerateContent (<https://ai.google.dev/api/generate-content>). Events end their
//! lines with CRLF and there is no `[DONE]`; without `alt=sse` a stream is an array.

use super::super::draft::{Draft, put};
use super::super::reply::{Reply, SIGNATURE, Stop, push_words};
use crate::llm::{Quoted, Usage};

pub(super) fn json(reply: &Reply<'_>, out: &mut Draft) {
    out.push(r#"{"candidates": [{"content": {"parts": ["#);
    let mut comma = "";
    if reply.thinking > 0 {
        put!(out, r#"{{"text": "{}","thought": true}}"#, reply.thoughts());
        comma = ",";
    }
    if reply.text > 0 || reply.calls == 0 {
        put!(out, r#"{comma}{{"text": ""#);
        push_words(&mut out.content, (0, reply.text));
        out.push("\"}");
        comma = ",";
    }
    for call in 0..reply.calls {
        out.push(comma);
        push_call(reply, out, call);
        comma = ",";
    }
    put!(out, r#"],"role": "model"}},"finishReason": "{}","index": 0}}]"#, finish_reason(reply.stop));
    if let Some(usage) = &reply.usage {
        push_usage(out, usage);
    }
    push_end(reply, out);
}

pub(super) fn stream(reply: &Reply<'_>, out: &mut Draft, array: bool) {
    let mut writer = Writer { reply, out, array, chunks: 0 };
    for (range, thought) in reply
        .thinking_chunks()
        .map(|range| (range, true))
        .chain(reply.text_chunks().map(|range| (range, false)))
    {
        writer.begin();
        writer.out.push(r#"{"text": ""#);
        push_words(&mut writer.out.content, range);
        writer.out.push(if thought { r#"","thought": true}"# } else { "\"}" });
        writer.end(range.1 - range.0, false);
    }
    for call in 0..reply.calls {
        writer.begin();
        push_call(reply, writer.out, call);
        writer.end(reply.arguments(call).len() as u32, false);
    }
    writer.out.begin_terminal();
    writer.begin();
    writer.out.push(r#"{"text": ""}"#);
    writer.end(0, true);
    if reply.usage.is_some() {
        writer.out.told_usage();
    }
}

struct Writer<'a> {
    reply: &'a Reply<'a>,
    out: &'a mut Draft,
    array: bool,
    chunks: u32,
}

impl Writer<'_> {
    fn begin(&mut self) {
        self.out.push(match (self.array, self.chunks) {
            (false, _) => "data: ",
            (true, 0) => "[",
            (true, _) => ",\r\n",
        });
        self.out.push(r#"{"candidates": [{"content": {"parts": ["#);
        self.chunks += 1;
    }

    fn end(&mut self, new_tokens: u32, last: bool) {
        self.out.push(r#"],"role": "model"}"#);
        if last {
            put!(self.out, r#","finishReason": "{}""#, finish_reason(self.reply.stop));
        }
        self.out.push(r#","index": 0}]"#);
        if let Some(usage) = &self.reply.usage {
            let so_far = self.out.pieces.last().map_or(0, |piece| piece.tokens) + new_tokens;
            // Counts of the answer grow with it; the last are whole.
            let part = |of: u64| {
                let all = u64::from(self.reply.tokens().max(1));
                if last { of } else { of * u64::from(so_far) / all }
            };
            let told = Usage { output: part(usage.output), reasoning: part(usage.reasoning), ..*usage };
            push_usage(self.out, &told);
        }
        push_end(self.reply, self.out);
        self.out.push(match (self.array, last) {
            (false, _) => "\r\n\r\n",
            (true, true) => "]",
            (true, false) => "",
        });
        self.out.end_piece(new_tokens);
    }
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Tools => "STOP",
        Stop::Length => "MAX_TOKENS",
    }
}

fn push_call(reply: &Reply<'_>, out: &mut Draft, call: u32) {
    put!(
        out,
        r#"{{"functionCall": {{"name": {},"args": {}}}"#,
        Quoted(reply.tool),
        reply.arguments(call).concat()
    );
    // Only the first of parallel calls is signed.
    if reply.thinking > 0 && call == 0 {
        put!(out, r#","thoughtSignature": "{SIGNATURE}""#);
    }
    out.push("}");
}

fn push_usage(out: &mut Draft, usage: &Usage) {
    put!(
        out,
        r#","usageMetadata": {{"promptTokenCount": {},"candidatesTokenCount": {},"totalTokenCount": {}"#,
        usage.prompt(),
        usage.output,
        usage.prompt() + usage.completion()
    );
    if usage.cached_read > 0 {
        put!(out, r#","cachedContentTokenCount": {}"#, usage.cached_read);
    }
    put!(out, r#","promptTokensDetails": [{{"modality": "TEXT","tokenCount": {}}}]"#, usage.prompt());
    if usage.reasoning > 0 {
        put!(out, r#","thoughtsTokenCount": {}"#, usage.reasoning);
    }
    out.push("}");
}

fn push_end(reply: &Reply<'_>, out: &mut Draft) {
    put!(out, r#","modelVersion": {},"responseId": "{}"}}"#, Quoted(reply.model), reply.id());
}
