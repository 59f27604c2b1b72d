//! Prints docs/providers.md from the table of providers:
//! `cargo run -p penstock-ai --example providers_page > docs/providers.md`.
#![allow(missing_docs, unreachable_pub)] // also a part of tests/providers_page.rs

use std::fmt::Write;

use penstock_ai::provider::{Api, Auth, Operation, Provider, Providers, Quirk, Shape};

const HEAD: &str = "\
# Kinds of providers

Generated from `core/ai/data/providers.toml`; a test keeps it current. Only what is documented stands in that table: what is
missing here is not known, it is not \"no\". A `base_url` in the configuration takes the place of any below.
";

const ABOUT_KINDS: &str = "
## Kinds

`also` are further dialects that a kind is spoken to in. `needs` are the placeholders that the configuration must give. Limits
are those that an answer's headers tell, with the form of their resets. The last columns say what an entry rests on (the
provider's `docs` or `sdk`, or `secondary` sources) and when that was looked at.

| kind | provider | dialect | also | base URL | needs | key | limits | rests on | checked |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

const ABOUT_OPERATIONS: &str = "
## Paths

Behind the base URL; one that begins with `/` stands behind the host.

| kind | operations |
| --- | --- |
";

const ABOUT_QUIRKS: &str = "
## Where kinds differ from their dialect

| quirk | meaning | kinds |
| --- | --- | --- |
";

const ABOUT_ERRORS: &str = "
## Forms of errors

| form | kinds |
| --- | --- |
";

/// The page; none if the table has faults, which another test tells.
pub fn page() -> Option<String> {
    let providers = Providers::bundled().ok()?;
    let mut page = String::from(HEAD);
    let rows = [
        (ABOUT_KINDS, kinds(&providers)),
        (ABOUT_OPERATIONS, operations(&providers)),
        (ABOUT_QUIRKS, quirks(&providers)),
        (ABOUT_ERRORS, errors(&providers)),
    ];
    for (about, rows) in rows {
        page.push_str(about);
        for row in rows {
            writeln!(page, "| {} |", row.join(" | ")).ok()?;
        }
    }
    Some(page)
}

fn kinds(providers: &Providers) -> Vec<Vec<String>> {
    let rows = providers.iter().map(|provider| {
        let also = provider.apis[1..].iter().map(|api| api.dialect.to_string());
        let own =
            provider.base_url().map_or("given by the configuration".to_owned(), |base| format!("`{base}`"));
        let bases = provider.bases().map(|(region, base)| format!("{region}: `{base}`"));
        let bases: Vec<_> = if provider.needs.is_empty() && provider.bases().len() > 0 {
            bases.collect()
        } else {
            std::iter::once(own).chain(bases).collect()
        };
        vec![
            format!("`{}`", provider.kind),
            format!("[{}]({})", provider.title, provider.docs),
            provider.dialect().to_string(),
            also.collect::<Vec<_>>().join(", "),
            bases.join("<br>"),
            provider.needs.join(", "),
            keys(&provider.apis[0]),
            limits(provider),
            provider.source.to_string(),
            provider.checked.clone(),
        ]
    });
    rows.collect()
}

fn keys(api: &Api) -> String {
    let ways = api.auth.iter().map(|auth| match auth {
        Auth::Header { name, prefix } => format!("`{name}: {prefix}KEY`"),
        Auth::Query { name } => format!("`?{name}=KEY`"),
        Auth::SigV4 { service } => format!("AWS SigV4 for `{service}`"),
        Auth::GoogleServiceAccount { .. } => "Google service account".to_owned(),
        Auth::AzureKey => "`api-key: KEY`".to_owned(),
        Auth::None => "none".to_owned(),
    });
    ways.collect::<Vec<_>>().join(" or ")
}

fn limits(provider: &Provider) -> String {
    if provider.rate_limit.headers().next().is_none() {
        return String::new();
    }
    let mut forms: Vec<_> = provider.rate_limit.forms().map(|form| form.to_string()).collect();
    forms.sort_unstable();
    forms.dedup();
    if forms.is_empty() { "without resets".to_owned() } else { forms.join(", ") }
}

fn operations(providers: &Providers) -> Vec<Vec<String>> {
    let rows = providers.iter().map(|provider| {
        let paths = provider.apis.iter().enumerate().flat_map(|(n, api)| {
            let of = if n == 0 { String::new() } else { format!("{} ", api.dialect) };
            let path = move |operation: Operation| {
                format!("{of}{operation} `{}`", api.path(operation).unwrap_or_default())
            };
            api.operations().map(path)
        });
        vec![format!("`{}`", provider.kind), paths.collect::<Vec<_>>().join(", ")]
    });
    rows.collect()
}

fn quirks(providers: &Providers) -> Vec<Vec<String>> {
    let rows = Quirk::ALL.iter().map(|quirk| {
        let kinds =
            providers.iter().filter(|provider| provider.has(*quirk)).map(|provider| provider.kind.as_str());
        vec![format!("`{quirk}`"), providers.explain(*quirk).to_owned(), kinds.collect::<Vec<_>>().join(", ")]
    });
    rows.collect()
}

fn errors(providers: &Providers) -> Vec<Vec<String>> {
    let rows = Shape::ALL.iter().map(|shape| {
        let kinds = providers.iter().filter(|provider| provider.errors.shape == *shape);
        vec![
            format!("`{shape}`"),
            kinds.map(|provider| provider.kind.as_str()).collect::<Vec<_>>().join(", "),
        ]
    });
    rows.collect()
}

#[allow(dead_code)] // the test takes the page only
fn main() {
    match page() {
        Some(page) => print!("{page}"),
        None => eprintln!("the bundled table has faults; the tests of penstock-ai tell them"),
    }
}
