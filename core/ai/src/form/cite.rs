//! Where text is from, in the words of OpenAI: `url_citation`, which Chat and Responses have in two writings, and what
//! others say that means the same.

use crate::dialect::Dialect;
use crate::json::{Object, Str, Value};

/// A page that text is from.
struct Page<'v, 'a> {
    url: &'v Value<'a>,
    title: Option<&'v Value<'a>>,
    /// The characters of the text that are from there; none: all of them.
    range: Option<(u64, u64)>,
}

/// The citations of a text that begins at character `start` of what is written and has `len` characters, as `to` (Chat or
/// Responses) writes them; and whether there were some that have no words there.
pub(crate) fn annotations<'r>(
    citations: &Value<'r>,
    from: Dialect,
    to: Dialect,
    start: u64,
    len: u64,
) -> (Vec<Value<'r>>, bool) {
    let all = citations.as_array().unwrap_or_default();
    if from == to {
        return (all.to_vec(), false);
    }
    let mut written = Vec::with_capacity(all.len());
    let mut is_lost = false;
    for citation in all {
        let pages = pages(citation, from);
        is_lost |= pages.is_empty();
        written.extend(pages.into_iter().map(|page| write(page, to, start, len)));
    }
    (written, is_lost)
}

fn pages<'v, 'a>(citation: &'v Value<'a>, from: Dialect) -> Vec<Page<'v, 'a>> {
    let kind = |name: &str| citation.get("type").is_some_and(|kind| kind.is(name));
    let range = |of: &Value<'_>, first: &str, last: &str| {
        let index = |name: &str| of.get(name).and_then(Value::as_u64);
        index(first).zip(index(last))
    };
    let page = |of: &'v Value<'a>, range| Some(Page { url: of.get("url")?, title: of.get("title"), range });
    let one = match from {
        Dialect::OpenAiChat => citation
            .get("url_citation")
            .and_then(|inner| page(inner, range(inner, "start_index", "end_index"))),
        Dialect::OpenAiResponses if kind("url_citation") => {
            page(citation, range(citation, "start_index", "end_index"))
        }
        Dialect::Anthropic if kind("web_search_result_location") => page(citation, None),
        Dialect::Cohere => {
            let sources = citation.get("sources").and_then(Value::as_array).unwrap_or_default();
            let documents = sources.iter().filter_map(|source| source.get("document"));
            return documents
                .filter_map(|document| page(document, range(citation, "start", "end")))
                .collect();
        }
        _ => None,
    };
    one.into_iter().collect()
}

fn write<'r>(page: Page<'_, 'r>, to: Dialect, start: u64, len: u64) -> Value<'r> {
    let (first, last) = page.range.unwrap_or((0, len));
    let title = page.title.cloned().filter(|title| !title.is_null());
    let mut inner = Object::default();
    inner.push("start_index", start.saturating_add(first));
    inner.push("end_index", start.saturating_add(last));
    inner.push("title", title.unwrap_or_else(|| Str::default().into()));
    inner.push("url", page.url.clone());
    let mut written = Object::default();
    written.push("type", "url_citation");
    match to {
        Dialect::OpenAiChat => written.push("url_citation", inner),
        _ => inner.into_iter().for_each(|(name, value)| written.push(name, value)),
    }
    written.into()
}
