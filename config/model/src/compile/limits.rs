//! Limits as the gate takes them: algorithm, name and identity filled in.

use penstock_gate::spec::{self, Measure, Period, TokenKind, Uid};

use super::{Compiler, Kind, small};
use crate::check::limit_name;
use crate::grammar::limit::{Algorithm, Direction, KeyPart, Limit, Mode, Per, Reserve};
use crate::place::At;

impl Compiler<'_> {
    pub(super) fn limits(&mut self, owner: Uid, limits: &At<Vec<At<Limit>>>) -> Vec<spec::Limit> {
        limits.value.iter().filter_map(|limit| self.limit(owner, limit)).collect()
    }

    /// `None` only for a limit that counts nothing, which checking has refused.
    fn limit(&mut self, owner: Uid, limit: &At<Limit>) -> Option<spec::Limit> {
        let measure = measure(limit)?;
        let name = limit_name(limit);
        let owner = format!("{:016x}", owner.0);
        let (id, uid) = self.name(Kind::Limit, &[&owner, &name], &name, limit.pos);
        let zone = || limit.timezone.as_ref().map_or_else(|| "UTC".to_owned(), |zone| zone.value.0.clone());
        let per = limit.per.as_ref().map(|per| match per.value {
            Per::Span(span) => Period::Span(span),
            Per::Hour => Period::Calendar(spec::CalendarWindow::Hour, zone()),
            Per::Day => Period::Calendar(spec::CalendarWindow::Day, zone()),
            Per::Month => Period::Calendar(spec::CalendarWindow::Month, zone()),
        });
        let algorithm = match limit.algorithm.as_ref().map(|algorithm| algorithm.value) {
            Some(Algorithm::Gcra) => spec::Algorithm::Gcra,
            Some(Algorithm::Fixed) => spec::Algorithm::Fixed,
            Some(Algorithm::Rolling) => spec::Algorithm::Rolling,
            Some(Algorithm::Calendar) => spec::Algorithm::Calendar,
            None => match (&measure, &per) {
                (Measure::Concurrent(_), _) => spec::Algorithm::Concurrency,
                (_, Some(Period::Calendar(..))) => spec::Algorithm::Calendar,
                (Measure::Requests(_) | Measure::Bytes(..), _) => spec::Algorithm::Gcra,
                (Measure::Tokens(..) | Measure::UsdNano(_), _) => spec::Algorithm::Rolling,
            },
        };
        Some(spec::Limit {
            id,
            uid,
            name,
            measure,
            per,
            algorithm,
            burst: limit.burst.as_ref().map(|burst| burst.value.0),
            mode: match limit.mode.value {
                Mode::Hard => spec::Mode::Hard,
                Mode::Soft => spec::Mode::Soft,
            },
            alert_at_percent: limit.alert_at.value.iter().map(|percent| percent.value.0).collect(),
            reserve: match limit.reserve.as_ref().map(|reserve| reserve.value) {
                Some(Reserve::Bound) => spec::Reserve::Bound,
                Some(Reserve::Estimate) | None => spec::Reserve::Estimate,
            },
            keys_max: small(limit.keys_max.value.0),
            by: limit.by.iter().flat_map(|by| &by.value.0).map(|part| key_part(&part.value)).collect(),
        })
    }
}

fn measure(limit: &Limit) -> Option<Measure> {
    let direction = match limit.direction.as_ref().map(|direction| direction.value) {
        Some(Direction::Up) => spec::Direction::Up,
        Some(Direction::Down) => spec::Direction::Down,
        Some(Direction::Both) | None => spec::Direction::Both,
    };
    [
        limit.requests.as_ref().map(|n| Measure::Requests(n.value.0)),
        limit.tokens.as_ref().map(|n| Measure::Tokens(n.value.0, TokenKind::Both)),
        limit.input_tokens.as_ref().map(|n| Measure::Tokens(n.value.0, TokenKind::Input)),
        limit.output_tokens.as_ref().map(|n| Measure::Tokens(n.value.0, TokenKind::Output)),
        limit.usd.as_ref().map(|n| Measure::UsdNano(n.value.0)),
        limit.bytes.as_ref().map(|n| Measure::Bytes(n.value.0, direction)),
        limit.concurrent.as_ref().map(|n| Measure::Concurrent(n.value.0)),
    ]
    .into_iter()
    .flatten()
    .next()
}

fn key_part(part: &KeyPart) -> spec::KeyPart {
    match part {
        KeyPart::App => spec::KeyPart::App,
        KeyPart::Credential => spec::KeyPart::Credential,
        KeyPart::Subject => spec::KeyPart::Subject,
        KeyPart::Tenant => spec::KeyPart::Tenant,
        KeyPart::Client => spec::KeyPart::Client,
        KeyPart::Network(bits) => spec::KeyPart::ClientNetwork { v4: *bits, v6: KeyPart::v6_bits(*bits) },
        KeyPart::Header(name) => spec::KeyPart::Header(name.clone()),
        KeyPart::Route => spec::KeyPart::Route,
        KeyPart::Service => spec::KeyPart::Service,
        KeyPart::Model => spec::KeyPart::Model,
    }
}
