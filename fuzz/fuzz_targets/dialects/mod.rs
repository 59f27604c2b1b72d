//! What the targets of dialects share: what is read of one is written in all of them, and what is written reads back. The
//! data of a stream's events stand on a line each.
#![allow(dead_code, reason = "each target reads one dialect")]

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Collected, Event, Losses, Malformed, Request};
use penstock_ai::json::Object;
use penstock_ai::{anthropic, cohere, mistral, openai_chat, openai_responses};

/// How a dialect is read.
pub(crate) struct Reader {
    dialect: Dialect,
    request: fn(&[u8]) -> Result<Request<'_>, Malformed>,
    answer: fn(&[u8]) -> Result<Answer<'_>, Malformed>,
    stream: for<'a> fn(&[&'a [u8]], &mut Vec<Event<'a>>) -> Result<(), Malformed>,
}

macro_rules! reader {
    ($name:ident, $dialect:ident, $module:ident) => {
        pub(crate) static $name: Reader = Reader {
            dialect: Dialect::$dialect,
            request: $module::read_request,
            answer: $module::read_answer,
            stream: |lines, events| {
                let mut reader = $module::StreamReader::default();
                lines.iter().try_for_each(|line| reader.read(line, events))
            },
        };
    };
}

reader!(OPENAI_CHAT, OpenAiChat, openai_chat);
reader!(RESPONSES, OpenAiResponses, openai_responses);
reader!(ANTHROPIC, Anthropic, anthropic);
reader!(COHERE, Cohere, cohere);
reader!(MISTRAL, Mistral, mistral);

fn text(object: &Object<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    object.write(&mut out);
    out
}

/// What is written may nest deeper than what was read, and then goes beyond the bound of a document.
fn reads_back<T>(read: Result<T, Malformed>, written: &[u8]) {
    if let Err(error) = read {
        let is_bound = matches!(error, Malformed::Json(_));
        assert!(is_bound, "{error}: {}", String::from_utf8_lossy(written));
    }
}

pub(crate) fn check(reader: &Reader, bytes: &[u8]) {
    if let Ok(mut request) = (reader.request)(bytes) {
        assert_eq!(request.from, reader.dialect);
        request_in_all(&request);
        request.unbind(&mut Losses::default());
        assert!(!request.is_bound());
        request_in_all(&request);
    }
    if let Ok(answer) = (reader.answer)(bytes) {
        answer_in_all(&answer);
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut events = Vec::new();
    // What came before a fault has been passed on by then.
    let _ = (reader.stream)(&lines, &mut events);
    in_order(&events);
    stream_in_all(reader.dialect, &events);
    let mut collected = Collected::new(reader.dialect);
    events.iter().for_each(|event| collected.take(event));
    answer_in_all(&collected.finish());
}

fn request_in_all(request: &Request<'_>) {
    let mut losses = Losses::default();
    let written = text(&openai_chat::write_request(request, "m", &mut losses));
    reads_back(openai_chat::read_request(&written), &written);
    let written = text(&openai_responses::write_request(request, "m", &mut losses));
    reads_back(openai_responses::read_request(&written), &written);
    let written = text(&anthropic::write_request(request, "m", 4096, &mut losses));
    reads_back(anthropic::read_request(&written), &written);
    let written = text(&cohere::write_request(request, "m", &mut losses));
    reads_back(cohere::read_request(&written), &written);
    let written = text(&mistral::write_request(request, "m", &mut losses));
    reads_back(mistral::read_request(&written), &written);
}

fn answer_in_all(answer: &Answer<'_>) {
    let mut losses = Losses::default();
    let written = text(&openai_chat::write_answer(answer, "m", &mut losses));
    reads_back(openai_chat::read_answer(&written), &written);
    let written = text(&openai_responses::write_answer(answer, "m", &mut losses));
    reads_back(openai_responses::read_answer(&written), &written);
    let written = text(&anthropic::write_answer(answer, "m", &mut losses));
    reads_back(anthropic::read_answer(&written), &written);
    let written = text(&mistral::write_answer(answer, "m", &mut losses));
    reads_back(mistral::read_answer(&written), &written);
    // A stream may have no choice at all, and then there is no message.
    let written = text(&cohere::write_answer(answer, &mut losses));
    if !answer.choices.is_empty() {
        reads_back(cohere::read_answer(&written), &written);
    }
}

/// Parts open in order, get pieces while they are open and close once.
fn in_order(events: &[Event<'_>]) {
    let mut open: Vec<Vec<bool>> = Vec::new();
    for event in events {
        match event {
            Event::Open { choice, part, .. } => {
                open.resize(open.len().max(*choice as usize + 1), Vec::new());
                assert_eq!(open[*choice as usize].len(), *part as usize);
                open[*choice as usize].push(true);
            }
            Event::Piece { choice, part, .. }
            | Event::Signature { choice, part, .. }
            | Event::Note { choice, part, .. } => assert!(open[*choice as usize][*part as usize]),
            Event::Close { choice, part } => {
                assert!(std::mem::replace(&mut open[*choice as usize][*part as usize], false));
            }
            Event::Start { .. }
            | Event::Stop { .. }
            | Event::Usage(_)
            | Event::ServiceTier(_)
            | Event::Failed { .. }
            | Event::End => {}
        }
    }
}

fn stream_in_all(from: Dialect, events: &[Event<'_>]) {
    let mut written: Vec<Vec<u8>> = Vec::new();
    let again = |reader: &Reader, written: &mut Vec<Vec<u8>>| {
        let lines: Vec<&[u8]> = written.iter().map(Vec::as_slice).collect();
        let mut events = Vec::new();
        reads_back((reader.stream)(&lines, &mut events), &written.concat());
        in_order(&events);
        written.clear();
    };
    let mut writer = openai_chat::StreamWriter::new("m", true).reading(from);
    events.iter().for_each(|event| writer.write(event, |data| written.push(data.to_vec())));
    again(&OPENAI_CHAT, &mut written);
    let mut writer = openai_responses::StreamWriter::new("m", from);
    events.iter().for_each(|event| writer.write(event, |_, data| written.push(data.to_vec())));
    again(&RESPONSES, &mut written);
    let mut writer = anthropic::StreamWriter::new("m", from, 1);
    events.iter().for_each(|event| writer.write(event, |_, data| written.push(data.to_vec())));
    again(&ANTHROPIC, &mut written);
    let mut writer = cohere::StreamWriter::new(from);
    events.iter().for_each(|event| writer.write(event, |_, data| written.push(data.to_vec())));
    again(&COHERE, &mut written);
    let mut writer = mistral::StreamWriter::new("m").reading(from);
    events.iter().for_each(|event| writer.write(event, |data| written.push(data.to_vec())));
    again(&MISTRAL, &mut written);
}
