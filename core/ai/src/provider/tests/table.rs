//! Tables that are wrong, and where.

use crate::provider::*;

/// A table with the explanations that each needs, and the rest as given.
fn table(rest: &str) -> String {
    let quirks: String = Quirk::ALL.iter().map(|quirk| format!("{quirk} = \"x\"\n")).collect();
    format!("[quirks]\n{quirks}{rest}")
}

/// An entry with a member of it taken out or others put in its place.
fn entry(without: &str, with: &str) -> String {
    let members = [
        ("title", "title = \"T\""),
        ("dialect", "dialect = \"openai_chat\""),
        ("base_url", "base_url = \"https://t.example/v1\""),
        ("auth", "auth = \"bearer\""),
        ("endpoints", "endpoints = { chat = \"chat/completions\" }"),
        ("errors", "errors = { shape = \"openai\" }"),
        ("docs", "docs = \"https://t.example\""),
        ("source", "source = \"docs\""),
        ("checked", "checked = 2026-01-01"),
    ];
    let kept = members.iter().filter(|(name, _)| *name != without).map(|(_, text)| format!("{text}\n"));
    table(&format!("[provider.t]\n{}{with}\n", kept.collect::<String>()))
}

#[test]
fn a_whole_entry_is_read() {
    let providers = Providers::read(&entry("", "quirks = [\"no_n\", \"no_seed\"]")).unwrap();
    let provider = providers.get("t").unwrap();
    assert_eq!((provider.title.as_str(), provider.dialect()), ("T", Dialect::OpenAiChat));
    assert!(provider.has(Quirk::NoN) && provider.has(Quirk::NoSeed) && !provider.has(Quirk::NoTools));
    assert_eq!(provider.checked, "2026-01-01");
    assert_eq!(provider.apis[0].stream, Stream::of(Dialect::OpenAiChat));
}

#[test]
fn whatever_has_no_meaning_is_a_fault_with_its_place() {
    for (without, with, path, why) in [
        ("title", "", "provider.t.title", "is missing"),
        ("title", "title = 7", "provider.t.title", "must be a text"),
        ("title", "title = \" \"", "provider.t.title", "must be a text"),
        ("dialect", "", "provider.t.dialect", "is missing"),
        ("dialect", "dialect = \"klingon\"", "provider.t.dialect", "no known name"),
        ("", "colour = \"red\"", "provider.t.colour", "no such member"),
        ("base_url", "base_url = \"http://t.example\"", "provider.t.base_url", "must be https://"),
        ("base_url", "base_url = \"https://t.example/\"", "provider.t.base_url", "slash at its end"),
        ("base_url", "base_url = \"https://t.example/?a\"", "provider.t.base_url", "must be https://"),
        (
            "base_url",
            "base_url = \"https://{region}.t.example\"",
            "provider.t.base_url",
            "{region} is not in `needs`",
        ),
        ("base_url", "base_url = \"https://{Region}.example\"", "provider.t.base_url", "name in lower case"),
        ("", "needs = [\"region\"]", "provider.t.needs", "no URL has {region}"),
        ("", "needs = [\"model\"]", "provider.t.needs", "comes with the call"),
        ("", "needs = [\"a\", \"a\"]", "provider.t.needs", "stands twice"),
        ("", "bases = { cn = \"t.example\" }", "provider.t.bases.cn", "must be https://"),
        ("auth", "", "provider.t.auth", "is missing"),
        ("auth", "auth = []", "provider.t.auth", "at least one"),
        ("auth", "auth = \"cookie\"", "provider.t.auth", "no known way"),
        ("auth", "auth = { header = \"X-Key\" }", "provider.t.auth.header", "lower case"),
        ("auth", "auth = { header = \"x-key\", query = \"key\" }", "provider.t.auth", "must have one of"),
        ("auth", "auth = { prefix = \"Key\" }", "provider.t.auth", "must have one of"),
        ("auth", "auth = { query = \"key\", prefix = \"Key\" }", "provider.t.auth.prefix", "header only"),
        ("", "headers = { \"X-A\" = \"b\" }", "provider.t.headers", "no header"),
        ("", "headers = { \"x-a\" = \"b\\nc\" }", "provider.t.headers", "no header"),
        ("endpoints", "", "provider.t.endpoints", "has no path"),
        ("endpoints", "endpoints = { sing = \"x\" }", "provider.t.endpoints.sing", "no known operation"),
        ("endpoints", "endpoints = { chat = \"a//b\" }", "provider.t.endpoints.chat", "empty parts"),
        ("endpoints", "endpoints = { chat = \"a b\" }", "provider.t.endpoints.chat", "do not belong"),
        ("endpoints", "endpoints = { chat = \"a/{x}\" }", "provider.t.endpoints", "{x} is not in `needs`"),
        ("endpoints", "endpoints = { messages = \"a\" }", "provider.t.endpoints", "it goes to `also`"),
        ("", "stream = { ask = \"path\" }", "provider.t.endpoints", "does not fit its paths"),
        ("", "stream = { ask = \"nicely\" }", "provider.t.stream.ask", "no known name"),
        ("", "stream = { done = \"yes\" }", "provider.t.stream.done", "true or false"),
        ("", "stream = { usage = true }", "provider.t.stream.usage", "no such member"),
        ("", "also = { klingon = \"x\" }", "provider.t.also.klingon", "no known dialect"),
        ("", "also = { openai_chat = \"x\" }", "provider.t.also.openai_chat", "dialect already"),
        ("", "also = { anthropic = { endpoints = {} } }", "provider.t.endpoints", "`anthropic` has no path"),
        (
            "",
            "also.anthropic = { endpoints = { messages = \"x\" }, stream = { include_usage = \"known\" } }",
            "provider.t.also.anthropic.stream.include_usage",
            "Chat Completions only",
        ),
        (
            "",
            "rate_limit = { requests = { left = \"x\" } }",
            "provider.t.rate_limit.requests.left",
            "no such member",
        ),
        ("", "rate_limit = { requests = {} }", "provider.t.rate_limit.requests", "names no header"),
        (
            "",
            "rate_limit = { requests = { reset = \"x-r\" } }",
            "provider.t.rate_limit.reset",
            "goes with one",
        ),
        (
            "",
            "rate_limit = { reset = \"seconds\", requests = { limit = \"x-l\" } }",
            "provider.t.rate_limit.reset",
            "goes with one",
        ),
        (
            "",
            "rate_limit = { requests = { limit = \"x-l\", form = \"seconds\" } }",
            "provider.t.rate_limit.requests.form",
            "goes with a `reset`",
        ),
        (
            "",
            "rate_limit = { reset = \"moons\", requests = { reset = \"x-r\" } }",
            "provider.t.rate_limit.reset",
            "no known name",
        ),
        ("", "rate_limit = { per = \"planet\" }", "provider.t.rate_limit.per", "no known name"),
        ("errors", "", "provider.t.errors", "is missing"),
        ("errors", "errors = {}", "provider.t.errors.shape", "is missing"),
        ("errors", "errors = { shape = \"round\" }", "provider.t.errors.shape", "no known name"),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ class = \"timeout\" }] }",
            "provider.t.errors.signs",
            "says nothing",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ code = \"x\" }] }",
            "provider.t.errors.signs.class",
            "is missing",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ code = \"x\", class = \"bad\" }] }",
            "provider.t.errors.signs.class",
            "no known name",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ status = 99, class = \"timeout\" }] }",
            "provider.t.errors.signs.status",
            "status of HTTP",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", request_id = \"X\" }",
            "provider.t.errors.request_id",
            "lower case",
        ),
        ("", "quirks = [\"odd\"]", "provider.t.quirks", "no known quirk"),
        ("", "quirks = \"no_n\"", "provider.t.quirks", "must be a list"),
        (
            "",
            "quirks = [\"max_tokens\", \"max_completion_tokens\"]",
            "provider.t.quirks",
            "exclude each other",
        ),
        ("docs", "docs = \"t.example\"", "provider.t.docs", "must be an https:// URL"),
        ("source", "", "provider.t.source", "is missing"),
        ("source", "source = \"hearsay\"", "provider.t.source", "no known name"),
        ("checked", "", "provider.t.checked", "is missing"),
        ("checked", "checked = \"2026-01-01\"", "provider.t.checked", "must be a date"),
        ("checked", "checked = 2026-01-01T00:00:00Z", "provider.t.checked", "must be a date"),
        ("", "[provider.U]", "provider.U", "lower case"),
        ("", "[provider]\nv = 1", "provider.v", "not a table"),
        ("", "title = \"again\"", "the table", "duplicate key"),
        ("", "[[sign]]\ncode = \"x\"\nclass = \"timeout\"", "sign.shape", "is missing"),
        ("", "[quirks.odd]", "quirks.odd", "must be a text"),
        ("", "[planet]", "planet", "no such member"),
    ] {
        let faults =
            Providers::read(&entry(without, with)).err().unwrap_or_else(|| panic!("{with} is taken")).0;
        let found = faults.iter().any(|fault| fault.path == path && fault.why.contains(why));
        assert!(found, "{with}: {faults:?}");
    }
}

#[test]
fn quirks_are_explained_each_and_no_other() {
    let told = Providers::read(&table("odd = \"x\"\n")).unwrap_err().0;
    assert_eq!((told[0].path.as_str(), told[0].why.as_str()), ("quirks.odd", "is no known quirk"));
    let told = Providers::read("[quirks]\n").unwrap_err().0;
    assert_eq!(told.len(), Quirk::ALL.len());
}

#[test]
fn a_fault_says_where_it_is() {
    let text = entry("", "stream = { done = \"ä\", ask = 7 }");
    let line = text.lines().position(|line| line.starts_with("stream")).unwrap() + 1;
    let told = Providers::read(&text).unwrap_err();
    let places: Vec<_> = told.0.iter().map(|fault| (fault.line, fault.column)).collect();
    assert!(places.contains(&(line, 19)) && places.contains(&(line, 30)), "{told}");
    assert!(
        told.to_string().contains(&format!("{line}:19: provider.t.stream.done: must be true or false")),
        "{told}"
    );
    let told = Providers::read("[quirks\n").unwrap_err();
    assert_eq!((told.0.len(), told.0[0].path.as_str()), (1, "the table"));
}
