//! Reads the table of providers. Nothing in it is passed over: a member, a name or a placeholder without a meaning is a
//! fault, told with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::failure::{Errors, Shape, Sign};
use super::rate_limit::{LimitScope, RateLimit, ResetForm, WindowNames};
use super::url::Template;
use super::{
    Api, Ask, Auth, ErrorClass, IncludeUsage, Media, Operation, Provider, Providers, Quirk, Source, Stream,
};
use crate::dialect::Dialect;

/// A place of the table that has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{line}:{column}: {path}: {why}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The member, as `provider.deepseek.stream.done`.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

/// All such places of a table, in the order in which they were met.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

type Node<'i> = Spanned<DeValue<'i>>;

/// Placeholders that a call fills, not a configuration.
const OF_THE_CALL: [&str; 2] = ["model", "deployment"];

pub(super) fn read(text: &str) -> Result<Providers, Faults> {
    let mut reader = Reader { text, faults: Vec::new() };
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            reader.fault(error.span().map_or(0, |span| span.start), "the table", error.message());
            return Err(Faults(reader.faults));
        }
    };
    let root = Members { path: String::new(), at: 0, members: root.get_ref(), known: &[] };
    let root = root.only(&mut reader, &["quirks", "sign", "provider"]);
    let quirks = quirks(&mut reader, &root);
    let signs = shared_signs(&mut reader, &root);
    let mut kinds = BTreeMap::new();
    for (kind, provider) in root.tables(&mut reader, "provider") {
        let name =
            kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !name {
            reader.fault(provider.at, &provider.path, "a kind is written in lower case, digits and `_`");
        }
        if let Some(provider) = read_provider(&mut reader, &kind, &provider, &signs) {
            kinds.insert(kind, provider);
        }
    }
    if reader.faults.is_empty() { Ok(Providers { kinds, quirks }) } else { Err(Faults(reader.faults)) }
}

/// The text, and what is wrong with it.
struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, path: &str, why: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.faults.push(Fault { line, column, path: path.to_owned(), why: why.into() });
    }
}

/// A table of the text.
#[derive(Clone)]
struct Members<'a, 'i> {
    path: String,
    at: usize,
    members: &'a DeTable<'i>,
    known: &'static [&'static str],
}

impl<'a, 'i> Members<'a, 'i> {
    fn of(reader: &mut Reader<'_>, path: String, node: &'a Node<'i>) -> Option<Self> {
        let at = node.span().start;
        let Some(members) = node.get_ref().as_table() else {
            reader.fault(at, &path, format!("is {}, not a table", node.get_ref().type_str()));
            return None;
        };
        Some(Self { path, at, members, known: &[] })
    }

    /// Says which members there may be; others are faults.
    fn only(mut self, reader: &mut Reader<'_>, known: &'static [&'static str]) -> Self {
        for name in self.members.keys() {
            if !known.contains(&name.get_ref().as_ref()) {
                let path = self.path_of(name.get_ref());
                reader.fault(
                    name.span().start,
                    &path,
                    format!("no such member; there are {}", known.join(", ")),
                );
            }
        }
        self.known = known;
        self
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn get(&self, name: &str) -> Option<&'a Node<'i>> {
        debug_assert!(
            self.known.is_empty() || self.known.contains(&name),
            "{name} is not said to be a member"
        );
        self.members.get(name)
    }

    fn missing(&self, reader: &mut Reader<'_>, name: &str) {
        reader.fault(self.at, &self.path_of(name), "is missing");
    }

    /// A member that is a text with something in it.
    fn text(&self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        let node = self.get(name)?;
        text(reader, &self.path_of(name), node)
    }

    /// The same; it must be there.
    fn text_needed(&self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        if self.get(name).is_none() {
            self.missing(reader, name);
        }
        self.text(reader, name)
    }

    fn flag(&self, reader: &mut Reader<'_>, name: &str) -> Option<bool> {
        let node = self.get(name)?;
        let flag = node.get_ref().as_bool();
        if flag.is_none() {
            reader.fault(node.span().start, &self.path_of(name), "must be true or false");
        }
        flag
    }

    /// A member that is one of an enum's names.
    fn name<T>(&self, reader: &mut Reader<'_>, member: &str, from: fn(&str) -> Option<T>) -> Option<T> {
        let node = self.get(member)?;
        let text = text(reader, &self.path_of(member), node)?;
        let found = from(&text);
        if found.is_none() {
            reader.fault(node.span().start, &self.path_of(member), format!("`{text}` is no known name"));
        }
        found
    }

    /// A member that is a list of texts.
    fn texts(&self, reader: &mut Reader<'_>, name: &str) -> Vec<(usize, String)> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let path = self.path_of(name);
        let Some(list) = node.get_ref().as_array() else {
            reader.fault(node.span().start, &path, "must be a list");
            return Vec::new();
        };
        let mut texts: Vec<(usize, String)> = Vec::new();
        for node in list.iter() {
            let at = node.span().start;
            if let Some(text) = text(reader, &path, node) {
                if texts.iter().any(|(_, before)| *before == text) {
                    reader.fault(at, &path, format!("`{text}` stands twice"));
                }
                texts.push((at, text));
            }
        }
        texts
    }

    /// A member that is a table of texts.
    fn pairs(&self, reader: &mut Reader<'_>, name: &str) -> Vec<(usize, String, String)> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let Some(table) = Members::of(reader, self.path_of(name), node) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, node) in table.members.iter() {
            if let Some(value) = text(reader, &table.path_of(name.get_ref()), node) {
                pairs.push((name.span().start, name.get_ref().to_string(), value));
            }
        }
        pairs
    }

    /// A member that is a table.
    fn table(&self, reader: &mut Reader<'_>, name: &str) -> Option<Members<'a, 'i>> {
        let node = self.get(name)?;
        Members::of(reader, self.path_of(name), node)
    }

    /// A member that is a table of tables.
    fn tables(&self, reader: &mut Reader<'_>, name: &str) -> Vec<(String, Members<'a, 'i>)> {
        let Some(table) = self.table(reader, name) else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, node) in table.members.iter() {
            let path = table.path_of(name.get_ref());
            if let Some(mut inner) = Members::of(reader, path, node) {
                inner.at = name.span().start;
                tables.push((name.get_ref().to_string(), inner));
            }
        }
        tables
    }

    /// A member that is a table or a list of tables.
    fn one_or_more(&self, reader: &mut Reader<'_>, name: &str) -> Vec<Members<'a, 'i>> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let path = self.path_of(name);
        match node.get_ref().as_array() {
            Some(list) => list.iter().filter_map(|node| Members::of(reader, path.clone(), node)).collect(),
            None => Members::of(reader, path, node).into_iter().collect(),
        }
    }
}

fn text(reader: &mut Reader<'_>, path: &str, node: &Node<'_>) -> Option<String> {
    let found = node
        .get_ref()
        .as_str()
        .filter(|text| !text.trim().is_empty() && text.trim_start().len() == text.len());
    if found.is_none() {
        reader.fault(node.span().start, path, "must be a text with something in it");
    }
    found.map(str::to_owned)
}

/// A header's name, as it is compared: a token in lower case (RFC 9110 section 5.6.2).
fn is_header(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
}

fn dialect(name: &str) -> Option<Dialect> {
    Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
}

/// The explanations at the head: of each quirk, and of no other.
fn quirks(reader: &mut Reader<'_>, root: &Members<'_, '_>) -> BTreeMap<Quirk, String> {
    let mut quirks = BTreeMap::new();
    for (at, name, about) in root.pairs(reader, "quirks") {
        match Quirk::from_name(&name) {
            Some(quirk) => drop(quirks.insert(quirk, about)),
            None => reader.fault(at, &format!("quirks.{name}"), "is no known quirk"),
        }
    }
    for quirk in Quirk::ALL {
        if !quirks.contains_key(quirk) {
            reader.fault(0, &format!("quirks.{quirk}"), "is not explained");
        }
    }
    quirks
}

/// The signs that go with a shape, whoever the provider is.
fn shared_signs(reader: &mut Reader<'_>, root: &Members<'_, '_>) -> Arc<[(Shape, Sign, ErrorClass)]> {
    let mut signs = Vec::new();
    for sign in root.one_or_more(reader, "sign") {
        let sign = sign.only(reader, &["shape", "class", "status", "type", "code", "message"]);
        let shape = sign.name(reader, "shape", Shape::from_name);
        if sign.get("shape").is_none() {
            sign.missing(reader, "shape");
        }
        if let (Some(shape), Some((sign, class))) = (shape, read_sign(reader, &sign)) {
            signs.push((shape, sign, class));
        }
    }
    signs.into()
}

fn read_sign(reader: &mut Reader<'_>, sign: &Members<'_, '_>) -> Option<(Sign, ErrorClass)> {
    let class = sign.name(reader, "class", ErrorClass::from_name);
    if sign.get("class").is_none() {
        sign.missing(reader, "class");
    }
    let mut status = None;
    if let Some(node) = sign.get("status") {
        let integer = node.get_ref().as_integer();
        status = integer
            .and_then(|integer| integer.as_str().parse().ok())
            .filter(|status| (100..600).contains(status));
        if status.is_none() {
            reader.fault(node.span().start, &sign.path_of("status"), "must be a status of HTTP");
        }
    }
    let read = Sign {
        status,
        kind: sign.text(reader, "type"),
        code: sign.text(reader, "code"),
        message: sign.text(reader, "message"),
    };
    if read == Sign::default() {
        reader.fault(sign.at, &sign.path, "says nothing that an error could have");
    }
    Some((read, class?))
}

const PROVIDER: &[&str] = &[
    "title",
    "catalogue",
    "dialect",
    "also",
    "base_url",
    "bases",
    "needs",
    "auth",
    "headers",
    "body",
    "endpoints",
    "stream",
    "rate_limit",
    "errors",
    "quirks",
    "docs",
    "source",
    "checked",
];

fn read_provider(
    reader: &mut Reader<'_>,
    kind: &str,
    provider: &Members<'_, '_>,
    shared: &Arc<[(Shape, Sign, ErrorClass)]>,
) -> Option<Provider> {
    let provider = provider.clone().only(reader, PROVIDER);
    let title = provider.text_needed(reader, "title");
    let catalogue = provider.text(reader, "catalogue");
    if provider.get("dialect").is_none() {
        provider.missing(reader, "dialect");
    }
    let main = provider.name(reader, "dialect", dialect);
    let needs: Vec<_> = provider.texts(reader, "needs");
    let base_url = base(reader, &provider);
    let bases = bases(reader, &provider);
    let auth = auth(reader, &provider);
    if auth.is_none() {
        provider.missing(reader, "auth");
    }
    let auth = auth.unwrap_or_default();
    let headers = headers(reader, &provider);
    let mut apis = Vec::new();
    if let Some(dialect) = main {
        let paths = paths(reader, &provider, "endpoints");
        let api = Api {
            dialect,
            auth: auth.clone(),
            headers: headers.clone(),
            body: body(reader, &provider),
            stream: stream(reader, &provider, dialect),
            paths,
        };
        apis.push(api);
    }
    also(reader, &provider, &auth, &headers, &mut apis);
    for api in &apis {
        check_conversation(reader, &provider, api);
    }
    check_holes(reader, &provider, &needs, base_url.as_ref(), &bases, &apis);
    let rate_limit = rate_limit(reader, &provider);
    let errors = errors(reader, &provider, shared);
    let mut quirks = Vec::new();
    for (at, name) in provider.texts(reader, "quirks") {
        match Quirk::from_name(&name) {
            Some(quirk) => quirks.push(quirk),
            None => reader.fault(at, &provider.path_of("quirks"), format!("`{name}` is no known quirk")),
        }
    }
    for (one, other) in [(Quirk::MaxTokens, Quirk::MaxCompletionTokens), (Quirk::NoSeed, Quirk::RandomSeed)] {
        if quirks.contains(&one) && quirks.contains(&other) {
            reader.fault(
                provider.at,
                &provider.path_of("quirks"),
                format!("`{one}` and `{other}` exclude each other"),
            );
        }
    }
    let docs = provider.text_needed(reader, "docs");
    if docs.as_deref().is_some_and(|docs| !docs.starts_with("https://")) {
        reader.fault(provider.at, &provider.path_of("docs"), "must be an https:// URL");
    }
    if provider.get("source").is_none() {
        provider.missing(reader, "source");
    }
    let source = provider.name(reader, "source", Source::from_name);
    let checked = checked(reader, &provider);
    if apis.is_empty() {
        return None;
    }
    Some(Provider {
        kind: kind.to_owned(),
        title: title?,
        catalogue: catalogue.unwrap_or_else(|| kind.to_owned()),
        apis,
        needs: needs.into_iter().map(|(_, need)| need).collect(),
        rate_limit,
        errors: errors?,
        quirks,
        docs: docs?,
        source: source?,
        checked: checked?,
        base_url,
        bases,
    })
}

/// The date, which TOML has a form for.
fn checked(reader: &mut Reader<'_>, provider: &Members<'_, '_>) -> Option<String> {
    let Some(node) = provider.get("checked") else {
        provider.missing(reader, "checked");
        return None;
    };
    let date = node.get_ref().as_datetime().filter(|date| date.time.is_none() && date.offset.is_none());
    if date.is_none() {
        reader.fault(node.span().start, &provider.path_of("checked"), "must be a date");
    }
    date.map(ToString::to_string)
}

fn template(reader: &mut Reader<'_>, at: usize, path: &str, text: &str) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(why) => {
            reader.fault(at, path, why);
            None
        }
    }
}

/// A base URL: what a path can be put behind.
fn base_template(reader: &mut Reader<'_>, at: usize, path: &str, text: &str) -> Option<Template> {
    // Without TLS only on the machine itself.
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://127.0.0.1"));
    let fits = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if !fits || text.ends_with('/') || text.contains('?') {
        reader.fault(
            at,
            path,
            "must be https://, or http://127.0.0.1, with a host and without a slash at its end",
        );
        return None;
    }
    template(reader, at, path, text)
}

fn base(reader: &mut Reader<'_>, provider: &Members<'_, '_>) -> Option<Template> {
    let at = provider.get("base_url")?.span().start;
    let text = provider.text(reader, "base_url")?;
    base_template(reader, at, &provider.path_of("base_url"), &text)
}

fn bases(reader: &mut Reader<'_>, provider: &Members<'_, '_>) -> BTreeMap<String, Template> {
    let mut bases = BTreeMap::new();
    for (at, region, text) in provider.pairs(reader, "bases") {
        let path = format!("{}.{region}", provider.path_of("bases"));
        if let Some(base) = base_template(reader, at, &path, &text) {
            bases.insert(region, base);
        }
    }
    bases
}

fn headers(reader: &mut Reader<'_>, members: &Members<'_, '_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (at, name, value) in members.pairs(reader, "headers") {
        // Visible ASCII and spaces (RFC 9110 section 5.5).
        if !is_header(&name) || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            reader.fault(
                at,
                &members.path_of("headers"),
                format!("`{name}` is no header in lower case with its value"),
            );
        }
        headers.push((name, value));
    }
    headers
}

fn body(reader: &mut Reader<'_>, members: &Members<'_, '_>) -> Vec<(String, String)> {
    members.pairs(reader, "body").into_iter().map(|(_, name, value)| (name, value)).collect()
}

fn auth(reader: &mut Reader<'_>, members: &Members<'_, '_>) -> Option<Vec<Auth>> {
    let node = members.get("auth")?;
    let path = members.path_of("auth");
    let all = match node.get_ref().as_array() {
        Some(list) if list.is_empty() => {
            reader.fault(node.span().start, &path, "must have at least one way");
            Vec::new()
        }
        Some(list) => list.iter().filter_map(|node| one_auth(reader, &path, node)).collect(),
        None => one_auth(reader, &path, node).into_iter().collect(),
    };
    Some(all)
}

fn one_auth(reader: &mut Reader<'_>, path: &str, node: &Node<'_>) -> Option<Auth> {
    let at = node.span().start;
    if let Some(name) = node.get_ref().as_str() {
        return match name {
            // RFC 6750 section 2.1.
            "bearer" => Some(Auth::Header { name: "authorization".into(), prefix: "Bearer ".into() }),
            "azure_key" => Some(Auth::AzureKey),
            "none" => Some(Auth::None),
            _ => {
                reader.fault(at, path, format!("`{name}` is no known way"));
                None
            }
        };
    }
    let members = Members::of(reader, path.to_owned(), node)?;
    let members = members.only(reader, &["header", "prefix", "query", "sigv4", "google_service_account"]);
    let ways = ["header", "query", "sigv4", "google_service_account"];
    let mut given = ways.into_iter().filter(|way| members.get(way).is_some());
    let (Some(way), None) = (given.next(), given.next()) else {
        reader.fault(at, path, format!("must have one of {}", ways.join(", ")));
        return None;
    };
    if way != "header" && members.get("prefix").is_some() {
        reader.fault(at, &members.path_of("prefix"), "goes with a header only");
    }
    let value = members.text(reader, way)?;
    Some(match way {
        "header" => {
            if !is_header(&value) {
                reader.fault(at, &members.path_of("header"), "must be a header in lower case");
            }
            Auth::Header { name: value, prefix: members.text(reader, "prefix").unwrap_or_default() }
        }
        "query" => Auth::Query { name: value },
        "sigv4" => Auth::SigV4 { service: value },
        _ => Auth::GoogleServiceAccount { scope: value },
    })
}

/// The paths in a table of them.
fn paths(reader: &mut Reader<'_>, members: &Members<'_, '_>, name: &str) -> BTreeMap<Operation, Template> {
    let mut paths = BTreeMap::new();
    for (at, name, text) in members.pairs(reader, name) {
        let path = format!("{}.endpoints.{name}", members.path);
        insert_path(reader, &mut paths, at, &path, &name, &text);
    }
    paths
}

fn insert_path(
    reader: &mut Reader<'_>,
    paths: &mut BTreeMap<Operation, Template>,
    at: usize,
    path: &str,
    name: &str,
    text: &str,
) {
    let Some(operation) = Operation::from_name(name) else {
        reader.fault(at, path, "is no known operation");
        return;
    };
    if text.contains("//") || text.ends_with('/') || text.contains("://") {
        reader.fault(at, path, "must be a path without empty parts");
    }
    if let Some(template) = template(reader, at, path, text) {
        paths.insert(operation, template);
    }
}

fn stream(reader: &mut Reader<'_>, members: &Members<'_, '_>, dialect: Dialect) -> Stream {
    let mut stream = Stream::of(dialect);
    let Some(told) = members.table(reader, "stream") else { return stream };
    let told = told.only(reader, &["ask", "media", "done", "include_usage"]);
    stream.ask = told.name(reader, "ask", Ask::from_name).unwrap_or(stream.ask);
    stream.media = told.name(reader, "media", Media::from_name).unwrap_or(stream.media);
    stream.done = told.flag(reader, "done").unwrap_or(stream.done);
    stream.include_usage = told.name(reader, "include_usage", IncludeUsage::from_name);
    let chat = matches!(dialect, Dialect::OpenAiChat | Dialect::Mistral);
    if stream.include_usage.is_some() && !chat {
        reader.fault(told.at, &told.path_of("include_usage"), "is of Chat Completions only");
    }
    stream
}

/// The further dialects.
fn also(
    reader: &mut Reader<'_>,
    provider: &Members<'_, '_>,
    auth_of_all: &[Auth],
    headers_of_all: &[(String, String)],
    apis: &mut Vec<Api>,
) {
    let Some(table) = provider.table(reader, "also") else { return };
    for (name, node) in table.members.iter() {
        let (at, path) = (name.span().start, table.path_of(name.get_ref()));
        let Some(dialect) = dialect(name.get_ref()) else {
            reader.fault(at, &path, "is no known dialect");
            continue;
        };
        if apis.iter().any(|api| api.dialect == dialect) {
            reader.fault(at, &path, "is the provider's dialect already");
            continue;
        }
        let mut api = Api {
            dialect,
            auth: auth_of_all.to_vec(),
            headers: headers_of_all.to_vec(),
            body: Vec::new(),
            stream: Stream::of(dialect),
            paths: BTreeMap::new(),
        };
        if let Some(text) = node.get_ref().as_str() {
            let operation = Operation::conversation(dialect, false).name();
            insert_path(reader, &mut api.paths, at, &path, operation, text);
        } else if let Some(members) = Members::of(reader, path, node) {
            let members = members.only(reader, &["endpoints", "auth", "headers", "body", "stream"]);
            api.paths = paths(reader, &members, "endpoints");
            api.auth = auth(reader, &members).unwrap_or(api.auth);
            if members.get("headers").is_some() {
                api.headers = headers(reader, &members);
            }
            api.body = body(reader, &members);
            api.stream = stream(reader, &members, dialect);
        }
        apis.push(api);
    }
}

/// A stream that is asked for by a path has one, and one that is not has none. A conversation has a path, but for those
/// who only make vectors or voices.
fn check_conversation(reader: &mut Reader<'_>, provider: &Members<'_, '_>, api: &Api) {
    let answer = Operation::conversation(api.dialect, false);
    let stream = Operation::conversation(api.dialect, true);
    let path = provider.path_of("endpoints");
    if api.paths.is_empty() {
        reader.fault(provider.at, &path, format!("`{}` has no path", api.dialect));
        return;
    }
    let converses = api.paths.contains_key(&answer);
    let own_path = stream != answer && api.paths.contains_key(&stream);
    if converses && own_path != (api.stream.ask == Ask::Path) {
        let why =
            format!("`{}` asks for streams by {}, which does not fit its paths", api.dialect, api.stream.ask);
        reader.fault(provider.at, &path, why);
    }
    let foreign = [
        Operation::Chat,
        Operation::Responses,
        Operation::Messages,
        Operation::Generate,
        Operation::Converse,
    ];
    for operation in foreign.into_iter().filter(|operation| *operation != answer) {
        if api.paths.contains_key(&operation) {
            reader.fault(
                provider.at,
                &path,
                format!("`{operation}` is not of `{}`; it goes to `also`", api.dialect),
            );
        }
    }
}

/// Every placeholder is filled by somebody, and everything that is asked for is used.
fn check_holes(
    reader: &mut Reader<'_>,
    provider: &Members<'_, '_>,
    needs: &[(usize, String)],
    base_url: Option<&Template>,
    bases: &BTreeMap<String, Template>,
    apis: &[Api],
) {
    let bases_and_paths = base_url.into_iter().chain(bases.values());
    let of_bases: Vec<_> = bases_and_paths.flat_map(Template::holes).collect();
    let of_paths: Vec<_> = apis.iter().flat_map(|api| api.paths.values()).flat_map(Template::holes).collect();
    let needed = |hole: &str| needs.iter().any(|(_, need)| need == hole);
    for hole in &of_bases {
        if !needed(hole) {
            reader.fault(provider.at, &provider.path_of("base_url"), format!("{{{hole}}} is not in `needs`"));
        }
    }
    for hole in &of_paths {
        if !needed(hole) && !OF_THE_CALL.contains(hole) {
            reader.fault(
                provider.at,
                &provider.path_of("endpoints"),
                format!("{{{hole}}} is not in `needs`"),
            );
        }
    }
    for (at, need) in needs {
        if OF_THE_CALL.contains(&need.as_str()) {
            reader.fault(*at, &provider.path_of("needs"), format!("`{need}` comes with the call"));
        } else if !of_bases.contains(&need.as_str()) && !of_paths.contains(&need.as_str()) {
            reader.fault(*at, &provider.path_of("needs"), format!("no URL has {{{need}}}"));
        }
    }
}

fn rate_limit(reader: &mut Reader<'_>, provider: &Members<'_, '_>) -> RateLimit {
    let Some(table) = provider.table(reader, "rate_limit") else { return RateLimit::default() };
    let table = table.only(
        reader,
        &["reset", "requests", "tokens", "input_tokens", "output_tokens", "retry_after_ms", "per"],
    );
    let mut windows = |name| -> Vec<WindowNames> {
        let windows = table.one_or_more(reader, name);
        windows.into_iter().map(|window| window_names(reader, window)).collect()
    };
    let (requests, tokens) = (windows("requests"), windows("tokens"));
    let (input_tokens, output_tokens) = (windows("input_tokens"), windows("output_tokens"));
    let reset = table.name(reader, "reset", ResetForm::from_name);
    let retry_after_ms = table.flag(reader, "retry_after_ms").unwrap_or(false);
    let per = table.name(reader, "per", LimitScope::from_name);
    let read = RateLimit { requests, tokens, input_tokens, output_tokens, reset, retry_after_ms, per };
    let without_form =
        read.windows().filter(|window| window.reset.is_some() && window.form.is_none()).count();
    if (without_form > 0) != reset.is_some() {
        reader.fault(
            table.at,
            &table.path_of("reset"),
            "is the form of the windows' `reset`, and goes with one",
        );
    }
    read
}

fn window_names(reader: &mut Reader<'_>, window: Members<'_, '_>) -> WindowNames {
    let window = window.only(reader, &["limit", "remaining", "reset", "form"]);
    let mut header = |name| {
        let header = window.text(reader, name)?;
        if !is_header(&header) {
            reader.fault(window.at, &window.path_of(name), "must be a header in lower case");
        }
        Some(header)
    };
    let (limit, remaining, reset) = (header("limit"), header("remaining"), header("reset"));
    let form = window.name(reader, "form", ResetForm::from_name);
    if window.get("form").is_some() && reset.is_none() {
        reader.fault(window.at, &window.path_of("form"), "goes with a `reset`");
    }
    let names = WindowNames { limit, remaining, reset, form };
    if names == WindowNames::default() {
        reader.fault(window.at, &window.path, "names no header");
    }
    names
}

fn errors(
    reader: &mut Reader<'_>,
    provider: &Members<'_, '_>,
    shared: &Arc<[(Shape, Sign, ErrorClass)]>,
) -> Option<Errors> {
    let Some(table) = provider.table(reader, "errors") else {
        provider.missing(reader, "errors");
        return None;
    };
    let table = table.only(reader, &["shape", "request_id", "signs"]);
    if table.get("shape").is_none() {
        table.missing(reader, "shape");
    }
    let shape = table.name(reader, "shape", Shape::from_name);
    let request_id = table.text(reader, "request_id");
    if request_id.as_deref().is_some_and(|name| !is_header(name)) {
        reader.fault(table.at, &table.path_of("request_id"), "must be a header in lower case");
    }
    let mut signs = Vec::new();
    for sign in table.one_or_more(reader, "signs") {
        let sign = sign.only(reader, &["class", "status", "type", "code", "message"]);
        signs.extend(read_sign(reader, &sign));
    }
    Some(Errors { shape: shape?, request_id, signs, shared: Arc::clone(shared) })
}
