//! Models that callers name at a provider, `provider/model`: one route for each that the catalogue has there, made when it
//! is first asked for, and one for all others together.
//!
//! Knows: names. Must not: grow with the names that callers make up.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::plan::{Plan, Resolved, Route};
use crate::catalogue::Catalogue;

/// The routes of a provider that no configuration names.
#[derive(Debug)]
pub(super) struct Direct {
    listed: HashMap<Box<str>, OnceLock<Box<Route>>>,
    /// For models that the catalogue does not have there. They share their state: a name that somebody makes up gets none.
    unlisted: OnceLock<Box<Route>>,
}

impl Direct {
    /// For what the catalogue has under a kind, in a region and in none.
    pub(super) fn new(catalogue: &Catalogue, kind: &str, region: &str) -> Self {
        let from = catalogue.rows().partition_point(|row| row.provider() < kind);
        let rows = catalogue.rows()[from..].iter().take_while(|row| row.provider() == kind);
        let here = rows.filter(|row| row.region().is_empty() || row.region() == region);
        let listed = here.map(|row| (row.model().into(), OnceLock::new())).collect();
        Self { listed, unlisted: OnceLock::new() }
    }

    /// The names that the catalogue has.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.listed.keys().map(AsRef::as_ref)
    }
}

impl Plan {
    /// Makes the routes that are shared by all unlisted names.
    pub(super) fn open_unlisted(&mut self) {
        for provider in 0..self.providers.len() as u16 {
            self.unlisted(provider);
        }
    }

    fn unlisted(&self, provider: u16) -> &Route {
        let direct = &self.providers[usize::from(provider)].direct;
        direct.unlisted.get_or_init(|| Box::new(self.direct_route(provider, "")))
    }

    /// The route to a model at a provider.
    pub(super) fn direct<'a>(&'a self, provider: u16, model: &'a str) -> Resolved<'a> {
        let direct = &self.providers[usize::from(provider)].direct;
        match direct.listed.get(model) {
            Some(place) => {
                let route = place.get_or_init(|| Box::new(self.direct_route(provider, model)));
                Resolved { route, unlisted: None }
            }
            None => Resolved { route: self.unlisted(provider), unlisted: Some(model) },
        }
    }
}
