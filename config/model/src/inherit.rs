//! What a route has in force: the nearest of route, version, service and tenant wins, key by key and each key
//! as a whole; denied networks of all levels add up. May know the grammar; must not know the gate.

use penstock_gate::cidr::Cidr;

use crate::grammar::File;
use crate::grammar::ai::AiService;
use crate::grammar::people::{Team, Tenant};
use crate::grammar::policy::{Auth, Authorize, Body, Cors, HeaderEdits, Ip, TimeoutsOverride};
use crate::grammar::service::{Route, Service, Version};
use crate::place::{At, Pos};

/// Name of the tenant and of the team that are there when none is written.
pub const DEFAULT_OWNER: &str = "default";

/// The policies that one level writes.
#[derive(Clone, Copy)]
pub(crate) struct Own<'a> {
    pub(crate) level: &'static str,
    pub(crate) place: Pos,
    auth: Option<&'a At<Auth>>,
    authorize: Option<&'a At<Authorize>>,
    ip: Option<&'a At<Ip>>,
    cors: Option<&'a At<Cors>>,
    timeouts: Option<&'a At<TimeoutsOverride>>,
    body: Option<&'a At<Body>>,
    headers: Option<&'a At<HeaderEdits>>,
}

macro_rules! own {
    ($($name:ident $level:literal),*) => { $(
        impl $name {
            pub(crate) fn own(&self) -> Own<'_> {
                Own {
                    level: $level,
                    place: self.place,
                    auth: self.auth.as_ref(),
                    authorize: self.authorize.as_ref(),
                    ip: self.ip.as_ref(),
                    cors: self.cors.as_ref(),
                    timeouts: self.timeouts.as_ref(),
                    body: self.body.as_ref(),
                    headers: self.headers.as_ref(),
                }
            }
        }
    )* };
}
own!(Tenant "tenant", Service "service", Version "version", Route "route");

impl AiService {
    fn own(&self) -> Own<'_> {
        Own {
            level: "ai",
            place: self.place,
            auth: self.auth.as_ref(),
            authorize: self.authorize.as_ref(),
            ip: self.ip.as_ref(),
            cors: self.cors.as_ref(),
            timeouts: None,
            body: Some(&self.body),
            headers: None,
        }
    }
}

/// A value in force and the level that wrote it.
#[derive(Clone, Copy)]
pub(crate) struct Inherited<'a, T> {
    pub(crate) at: &'a At<T>,
    pub(crate) level: &'static str,
}

/// The policies in force for one route.
pub(crate) struct InForce<'a> {
    pub(crate) auth: Option<Inherited<'a, Auth>>,
    pub(crate) authorize: Option<Inherited<'a, Authorize>>,
    pub(crate) ip_allow: &'a [At<Cidr>],
    pub(crate) ip_deny: Vec<&'a At<Cidr>>,
    pub(crate) cors: Option<Inherited<'a, Cors>>,
    pub(crate) timeouts: Option<Inherited<'a, TimeoutsOverride>>,
    pub(crate) body: Option<Inherited<'a, Body>>,
    pub(crate) headers: Option<Inherited<'a, HeaderEdits>>,
    /// Where each level stands, nearest first.
    pub(crate) places: Vec<Pos>,
}

/// `levels`: nearest first.
fn in_force<'a>(levels: &[Own<'a>]) -> InForce<'a> {
    fn nearest<'a, T>(
        levels: &[Own<'a>],
        pick: impl Fn(&Own<'a>) -> Option<&'a At<T>>,
    ) -> Option<Inherited<'a, T>> {
        levels.iter().find_map(|own| pick(own).map(|at| Inherited { at, level: own.level }))
    }
    InForce {
        auth: nearest(levels, |own| own.auth),
        authorize: nearest(levels, |own| own.authorize),
        ip_allow: levels
            .iter()
            .filter_map(|own| own.ip)
            .map(|ip| ip.allow.value.as_slice())
            .find(|allow| !allow.is_empty())
            .unwrap_or(&[]),
        ip_deny: levels.iter().filter_map(|own| own.ip).flat_map(|ip| &ip.deny.value).collect(),
        cors: nearest(levels, |own| own.cors),
        timeouts: nearest(levels, |own| own.timeouts),
        body: nearest(levels, |own| own.body),
        headers: nearest(levels, |own| own.headers),
        places: levels.iter().map(|own| own.place).collect(),
    }
}

/// A route with everything above it.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) service: &'a Service,
    pub(crate) version: Option<&'a Version>,
    pub(crate) route: &'a Route,
    pub(crate) tenant: Option<&'a Tenant>,
}

impl<'a> Standing<'a> {
    pub(crate) fn in_force(&self) -> InForce<'a> {
        let levels: Vec<Own<'a>> = [
            Some(self.route.own()),
            self.version.map(Version::own),
            Some(self.service.own()),
            self.tenant.map(Tenant::own),
        ]
        .into_iter()
        .flatten()
        .collect();
        in_force(&levels)
    }

    /// `service/version/route`, as people name it.
    pub(crate) fn full_name(&self) -> String {
        match self.version {
            Some(version) => {
                format!("{}/{}/{}", &*self.service.name.0, &*version.version.0, &*self.route.name.0)
            }
            None => format!("{}/{}", &*self.service.name.0, &*self.route.name.0),
        }
    }
}

/// An AI service with everything above it.
#[derive(Clone, Copy)]
pub(crate) struct AiStanding<'a> {
    pub(crate) service: &'a Service,
    pub(crate) ai: &'a AiService,
    tenant: Option<&'a Tenant>,
}

impl<'a> AiStanding<'a> {
    pub(crate) fn in_force(&self) -> InForce<'a> {
        let tenant = self.tenant.map(Tenant::own);
        // Bodies and edits of other services mean other bodies: those of an AI service stand at it.
        let levels: Vec<Own<'a>> =
            [Some(self.ai.own()), Some(self.service.own()), tenant].into_iter().flatten().collect();
        in_force(&levels)
    }
}

/// Every AI service.
pub(crate) fn ai_services(file: &File) -> impl Iterator<Item = AiStanding<'_>> {
    file.services.value.iter().filter_map(|service| {
        let service = &service.value;
        let ai = &service.ai.as_ref()?.value;
        Some(AiStanding { service, ai, tenant: tenant_over(file, service) })
    })
}

/// The tenant that a service belongs to, where it is written.
fn tenant_over<'a>(file: &'a File, service: &Service) -> Option<&'a Tenant> {
    let owner = tenant_of(file, &service.team);
    file.tenants.value.iter().map(|tenant| &tenant.value).find(|tenant| &*tenant.name.0 == owner)
}

/// The name of the tenant that a team belongs to. The team `default` belongs to the tenant `default` unless a
/// file says otherwise.
pub(crate) fn tenant_of<'a>(file: &'a File, team: &str) -> &'a str {
    find_team(file, team).map_or(DEFAULT_OWNER, |team| &team.tenant.value.0)
}

fn find_team<'a>(file: &'a File, name: &str) -> Option<&'a Team> {
    file.teams.value.iter().map(|team| &team.value).find(|team| &*team.name.0 == name)
}

/// Every route of every service.
pub(crate) fn routes(file: &File) -> Vec<Standing<'_>> {
    let mut all = Vec::new();
    for service in file.services.value.iter().map(|service| &service.value) {
        let tenant = tenant_over(file, service);
        let direct = service.routes.value.iter().map(|route| (None, &route.value));
        let versioned = service.versions.value.iter().flat_map(|version| {
            version.routes.value.iter().map(move |route| (Some(&version.value), &route.value))
        });
        all.extend(direct.chain(versioned).map(|(version, route)| Standing {
            service,
            version,
            route,
            tenant,
        }));
    }
    all
}
