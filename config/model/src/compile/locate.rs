//! The way back from what the gate refuses to the place in the files. The gate names fields as the grammar
//! does, so the listing of effective values leads to them.

use penstock_gate::spec::Id;
use penstock_gate::{Place, Problem, SpecError};

use super::{Kind, Places};
use crate::configuration::Configuration;
use crate::inherit::{Inherited, Standing, routes};
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::{Effective, Read};

/// Place, message and hint of something the gate refuses.
pub(super) fn locate(
    configuration: &Configuration,
    places: &Places,
    error: &SpecError,
) -> (Pos, String, String) {
    let file = &configuration.file;
    let (kind, id) = match error.place {
        Place::Whole => return (file.place, error.to_string(), String::new()),
        Place::Listener(id) => (Kind::Listener, id),
        Place::Issuer(id) => (Kind::Issuer, id),
        Place::Tenant(id) => (Kind::Tenant, id),
        Place::Team(id) => (Kind::Team, id),
        Place::Plan(id) => (Kind::Plan, id),
        Place::Upstream(id) => (Kind::Upstream, id),
        Place::Service(id) => (Kind::Service, id),
        Place::Version(id) => (Kind::Version, id),
        Place::Route(id) => (Kind::Route, id),
        Place::App(id) => (Kind::App, id),
        Place::Credential(id) => (Kind::Credential, id),
        Place::Subscription(id) => (Kind::Subscription, id),
    };
    let owner = places.get(&(kind, id)).copied().filter(|pos| pos.is_written()).unwrap_or(file.place);
    let lines = values(configuration, kind, owner);
    let pos = field_place(&lines, &error.field).unwrap_or(owner);
    match &error.problem {
        Problem::Conflict { with, host, path, .. } => {
            conflict(configuration, places, owner, pos, *with, host, path)
        }
        problem => (pos, problem.to_string(), format!("in {} {}", kind.word(), error.field)),
    }
}

fn conflict(
    configuration: &Configuration,
    places: &Places,
    owner: Pos,
    pos: Pos,
    with: Id,
    host: &str,
    path: &str,
) -> (Pos, String, String) {
    let named = |pos: Pos| {
        routes(&configuration.file)
            .iter()
            .find(|standing| standing.route.name.pos == pos)
            .map_or_else(|| "another".to_owned(), Standing::full_name)
    };
    let other = places.get(&(Kind::Route, with)).copied().unwrap_or(Pos::DEFAULT);
    let message = format!(
        "routes {} and {} meet on host {host} and path {path}, and neither is more specific",
        quote(&named(owner)),
        quote(&named(other))
    );
    let at = configuration.sources.show(other);
    (pos, message, format!("the other is at {at}; tell them apart by host, path, method, headers or query"))
}

/// The values of the resource that stands at `owner`.
fn values(configuration: &Configuration, kind: Kind, owner: Pos) -> Vec<Effective> {
    let file = &configuration.file;
    let mut lines = Vec::new();
    match kind {
        Kind::Route => {
            if let Some(standing) = routes(file).into_iter().find(|standing| standing.route.name.pos == owner)
            {
                route_values(&standing, &mut lines);
            }
        }
        Kind::Upstream => explain(&file.upstreams.value, |item| item.name.pos == owner, &mut lines),
        Kind::Service => explain(&file.services.value, |item| item.name.pos == owner, &mut lines),
        Kind::Issuer => explain(&file.issuers.value, |item| item.name.pos == owner, &mut lines),
        Kind::Tenant => explain(&file.tenants.value, |item| item.name.pos == owner, &mut lines),
        Kind::Team => explain(&file.teams.value, |item| item.name.pos == owner, &mut lines),
        Kind::Plan => explain(&file.plans.value, |item| item.name.pos == owner, &mut lines),
        Kind::App => explain(&file.apps.value, |item| item.name.pos == owner, &mut lines),
        Kind::Listener => explain(&file.listeners.value, |item| item.address.pos == owner, &mut lines),
        Kind::Credential => {
            let credentials = file.apps.value.iter().flat_map(|app| &app.credentials.value);
            for credential in credentials.filter(|credential| credential.place == owner) {
                credential.value.explain("", credential.pos, &mut lines);
            }
        }
        Kind::Version => {
            let versions = file.services.value.iter().flat_map(|service| &service.versions.value);
            for version in versions.filter(|version| version.version.pos == owner) {
                version.value.explain("", version.pos, &mut lines);
            }
        }
        Kind::Provider => explain(&file.providers.value, |item| item.name.pos == owner, &mut lines),
        Kind::Model => explain(&file.models.value, |item| item.name.pos == owner, &mut lines),
        Kind::Subscription | Kind::Target | Kind::Limit | Kind::ProviderKey => {}
    }
    lines
}

fn explain<T: Read>(items: &[At<T>], is: impl Fn(&T) -> bool, lines: &mut Vec<Effective>) {
    if let Some(item) = items.iter().find(|item| is(&item.value)) {
        item.value.explain("", item.pos, lines);
    }
}

/// A route's own values, and after them what it inherits, under the same keys.
fn route_values(standing: &Standing<'_>, lines: &mut Vec<Effective>) {
    fn inherit<T: Read>(from: Option<Inherited<'_, T>>, key: &str, lines: &mut Vec<Effective>) {
        if let Some(from) = from {
            lines.push(Effective { path: key.to_owned(), value: String::new(), pos: from.at.pos });
            from.at.value.explain(key, from.at.pos, lines);
        }
    }
    standing.route.explain("", standing.route.place, lines);
    let in_force = standing.in_force();
    inherit(in_force.auth, "auth", lines);
    inherit(in_force.authorize, "authorize", lines);
    inherit(in_force.cors, "cors", lines);
    inherit(in_force.timeouts, "timeouts", lines);
    inherit(in_force.body, "body", lines);
    inherit(in_force.headers, "headers", lines);
}

/// The place of a field, or of the nearest key above it that is written.
fn field_place(lines: &[Effective], field: &str) -> Option<Pos> {
    let mut field = field;
    loop {
        let below = |line: &&Effective| {
            line.path.strip_prefix(field).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let written = |line: &&Effective| line.pos.is_written();
        let exact = lines.iter().filter(written).find(|line| line.path == field);
        if let Some(line) = exact.or_else(|| lines.iter().filter(written).find(below)) {
            return Some(line.pos);
        }
        field = &field[..field.rfind(['.', '['])?];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Sources;

    #[test]
    fn the_nearest_written_key_is_found() {
        let mut sources = Sources::default();
        let file = sources.add("t", "");
        let at = |line| Pos { file, line, column: 1, length: 1 };
        let line = |path: &str, pos| Effective { path: path.to_owned(), value: String::new(), pos };
        let lines = [
            line("match.hosts[0]", at(1)),
            line("match.hosts[1]", at(2)),
            line("match.path", at(3)),
            line("auth", at(4)),
            line("cors.max_age", Pos::DEFAULT),
        ];
        for (field, want) in [
            ("match.hosts[1]", Some(2)),
            ("match.hosts[7]", Some(1)),
            ("match", Some(1)),
            ("auth.any[0].jwt", Some(4)),
            ("cors.max_age", None),
            ("elsewhere", None),
        ] {
            assert_eq!(field_place(&lines, field).map(|pos| pos.line), want, "{field}");
        }
    }
}
