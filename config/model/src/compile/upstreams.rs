//! Upstreams as the gate takes them.

use penstock_gate::spec;

use super::{Compiler, Kind, small};
use crate::grammar::upstream::{Balance, HashBy, Health, HostHeader, RetryOn, Target, Upstream, UpstreamTls};
use crate::place::At;

impl Compiler<'_> {
    pub(super) fn upstream(&mut self, upstream: &At<Upstream>) -> spec::Upstream {
        let name = upstream.name.value.0.as_str();
        let (id, uid) = self.name(Kind::Upstream, &[name], name, upstream.name.pos);
        spec::Upstream {
            id,
            uid,
            name: name.to_owned(),
            targets: upstream.targets.value.iter().map(|target| self.target(name, target)).collect(),
            balance: match upstream.balance.value {
                Balance::RoundRobin => spec::Balance::RoundRobin,
                Balance::LeastRequest => spec::Balance::LeastRequest,
                Balance::Ewma => spec::Balance::Ewma,
                Balance::Hash => spec::Balance::Hash(match &upstream.hash_by.value {
                    HashBy::Caller => spec::HashBy::Caller,
                    HashBy::Client => spec::HashBy::Client,
                    HashBy::Header(name) => spec::HashBy::Header(name.clone()),
                    HashBy::Cookie(name) => spec::HashBy::Cookie(name.clone()),
                }),
            },
            health: upstream.health.as_ref().map(|health| active(health)),
            passive_health: upstream.passive_health.as_ref().map(|passive| spec::PassiveHealth {
                failures: small(passive.failures.value.0),
                ejection: passive.ejection.value.0,
                ejected_percent_max: passive.max_ejected.value.0,
            }),
            timeouts: spec::Timeouts {
                connect: upstream.timeouts.connect.value.0,
                first_byte: upstream.timeouts.first_byte.value.0,
                idle: upstream.timeouts.idle.value.0,
                total: upstream.timeouts.total.as_ref().map(|total| total.value.0),
            },
            pool: spec::Pool {
                idle: upstream.pool.idle.value.0,
                per_target_max: small(upstream.pool.max_per_target.value.0),
                wait: upstream.pool.wait.value.0,
            },
            retries: spec::Retries {
                max: u8::try_from(upstream.retries.max.value.0).unwrap_or(u8::MAX),
                retry_on: upstream
                    .retries
                    .retry_on
                    .value
                    .iter()
                    .map(|reason| match reason.value {
                        RetryOn::ConnectFailure => spec::RetryOn::ConnectFailure,
                        RetryOn::Reset => spec::RetryOn::Reset,
                        RetryOn::Status(status) => spec::RetryOn::Status(status),
                    })
                    .collect(),
                budget_percent: upstream.retries.budget.value.0,
            },
            breaker: upstream.breaker.as_ref().map(|breaker| spec::Breaker {
                errors_percent: breaker.errors.value.0,
                window: breaker.window.value.0,
                open: breaker.open.value.0,
                requests_min: small(breaker.min_requests.value.0),
            }),
            tls: self.upstream_tls(&upstream.tls.value),
            host_header: match &upstream.host_header.value {
                HostHeader::Keep => spec::HostHeader::Keep,
                HostHeader::Target => spec::HostHeader::Target,
                HostHeader::Fixed(name) => spec::HostHeader::Fixed(name.clone()),
            },
        }
    }

    fn target(&mut self, upstream: &str, target: &At<Target>) -> spec::Target {
        let url = &target.url.value;
        let (id, uid) = self.name(Kind::Target, &[upstream, &url.text], &url.text, target.url.pos);
        spec::Target {
            id,
            uid,
            name: url.text.clone(),
            scheme: url.scheme,
            address: url.address.clone(),
            weight: small(target.weight.value.0),
            backup: target.backup.value,
        }
    }

    pub(super) fn upstream_tls(&self, tls: &UpstreamTls) -> spec::UpstreamTls {
        spec::UpstreamTls {
            sni: tls.sni.as_ref().map(|sni| sni.value.0.clone()),
            ca: tls.ca.as_ref().map(|ca| self.pem(ca)),
            client_certificate: match (&tls.cert, &tls.key) {
                (Some(cert), Some(key)) => Some((self.pem(cert), self.pem(key))),
                _ => None,
            },
            verify: if tls.verify.value { spec::Verify::Full } else { spec::Verify::Off },
        }
    }
}

/// A check's default patience never outlasts the time between two checks.
fn active(health: &Health) -> spec::ActiveHealth {
    spec::ActiveHealth {
        path: health.path.value.0.clone(),
        interval: health.interval.value.0,
        timeout: health.timeout.value.0.min(health.interval.value.0),
        unhealthy_after: small(health.unhealthy_after.value.0),
        healthy_after: small(health.healthy_after.value.0),
    }
}
