//! Every name is of its own among its kind; teams belong to tenants that are there.

use std::collections::HashMap;

use super::Check;
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::text::Name;

impl Check<'_> {
    pub(super) fn names(&mut self) {
        let file = self.file;
        self.distinct("issuer", file.issuers.value.iter().map(|item| &item.value.name));
        self.distinct("tenant", file.tenants.value.iter().map(|item| &item.value.name));
        self.distinct("team", file.teams.value.iter().map(|item| &item.value.name));
        self.distinct("plan", file.plans.value.iter().map(|item| &item.value.name));
        self.distinct("app", file.apps.value.iter().map(|item| &item.value.name));
        self.distinct("upstream", file.upstreams.value.iter().map(|item| &item.value.name));
        self.distinct("service", file.services.value.iter().map(|item| &item.value.name));
        for service in &file.services.value {
            self.distinct("version", service.versions.value.iter().map(|item| &item.value.version));
            self.distinct("route", service.routes.value.iter().map(|item| &item.value.name));
            for version in &service.versions.value {
                self.distinct("route", version.routes.value.iter().map(|item| &item.value.name));
            }
        }
        let declared = self.declared;
        for team in &file.teams.value {
            self.refers("tenant", &team.tenant, &declared.tenants);
        }
    }

    pub(super) fn distinct<'n>(&mut self, kind: &str, names: impl Iterator<Item = &'n At<Name>>) {
        let mut seen: HashMap<&str, Pos> = HashMap::new();
        for name in names {
            match seen.get(name.value.0.as_str()) {
                Some(first) => {
                    let hint = format!("the other is at {}", self.sources.show(*first));
                    self.add(name.pos, format!("{kind} {} stands twice", quote(&name.value.0)), hint);
                }
                None => {
                    seen.insert(&name.value.0, name.pos);
                }
            }
        }
    }
}
