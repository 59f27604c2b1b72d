//! Upstreams: targets that can be reached as written, options that go together.

use std::collections::HashMap;

use penstock_gate::spec::{Scheme, TargetAddress};

use super::Check;
use super::listeners::Pem;
use crate::grammar::upstream::{Balance, Upstream};
use crate::place::{At, Pos};
use crate::problem::quote;

impl Check<'_> {
    pub(super) fn upstreams(&mut self) {
        let file = self.file;
        for upstream in &file.upstreams.value {
            self.targets(upstream);
            self.upstream_tls(upstream);
            if upstream.hash_by.pos.is_written() && upstream.balance.value != Balance::Hash {
                self.add(upstream.hash_by.pos, "`hash_by` goes with balance: hash", "write balance: hash");
            }
            if let Some(health) = &upstream.health
                && health.timeout.pos.is_written()
                && health.timeout.value.0 > health.interval.value.0
            {
                self.add(
                    health.timeout.pos,
                    "a check may not take longer than the time between two",
                    "write a timeout of at most `interval`",
                );
            }
            let mut reasons = Vec::new();
            for reason in &upstream.retries.retry_on.value {
                if reasons.contains(&reason.value) {
                    self.add(reason.pos, "a reason stands twice", "leave one out");
                }
                reasons.push(reason.value);
            }
        }
    }

    fn targets(&mut self, upstream: &At<Upstream>) {
        let targets = &upstream.targets;
        let Some(first) = targets.value.first() else {
            if self.is_empty_list(targets) && self.is_whole(upstream.place) {
                self.add(targets.pos, "an upstream without targets", "[ { url: http://127.0.0.1:9000 } ]");
            }
            return;
        };
        if targets.value.iter().all(|target| target.backup.value) {
            self.add(first.backup.pos, "every target is a backup", "at least one target is an ordinary one");
        }
        let mut seen: HashMap<(&TargetAddress, Scheme), Pos> = HashMap::new();
        for target in &targets.value {
            let url = &target.url;
            if let Some(first) = seen.insert((&url.value.address, url.value.scheme), url.pos) {
                let hint = format!("the other is at {}; use `weight`", self.sources.show(first));
                self.add(url.pos, format!("target {} stands twice", quote(&url.value.text)), hint);
            }
        }
    }

    fn upstream_tls(&mut self, upstream: &At<Upstream>) {
        let tls = &upstream.tls;
        let https = upstream.targets.value.iter().any(|target| target.url.value.scheme == Scheme::Https);
        if tls.pos.is_written() && !https && self.is_whole(upstream.place) {
            self.add(tls.pos, "`tls` on an upstream without https targets", "write https:// in the targets");
        }
        if let Some(ca) = &tls.ca {
            self.pem(ca, Pem::Certificate);
        }
        match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => {
                self.pem(cert, Pem::Certificate);
                self.pem(key, Pem::PrivateKey);
            }
            (Some(cert), None) if self.is_whole(tls.place) => {
                self.add(cert.pos, "a certificate without its key", "add `key`");
            }
            (None, Some(key)) if self.is_whole(tls.place) => {
                self.add(key.pos, "a key without its certificate", "add `cert`");
            }
            _ => {}
        }
        if let (Some(ca), false) = (&tls.ca, tls.verify.value) {
            self.add(ca.pos, "`ca` means nothing with verify: false", "leave one of them out");
        }
    }
}
