//! The effective configuration: every value in force and where it comes from. May know the tree and
//! inheritance; prints, decides nothing.

use crate::configuration::Configuration;
use crate::inherit::{From, Standing, routes};
use crate::place::{At, Pos};
use crate::read::{Effective, Read};

impl Configuration {
    /// Every value in force, defaults included, in the order of the grammar; after them what each route
    /// inherits.
    pub fn effective(&self) -> Vec<Effective> {
        let mut lines = Vec::new();
        self.file.explain("", Pos::DEFAULT, &mut lines);
        for standing in routes(&self.file) {
            inherited(&standing, &mut lines);
        }
        lines
    }

    /// The listing as `penstock check --explain` prints it: `path = value  (place)`, one a line.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        for line in self.effective() {
            let from = if line.pos.is_written() { self.sources.show(line.pos) } else { "default".to_owned() };
            out.push_str(&format!("{} = {}  ({from})\n", line.path, line.value));
        }
        out
    }
}

/// What a route has from the levels above it.
fn inherited(standing: &Standing<'_>, lines: &mut Vec<Effective>) {
    let base = format!("routes.{}", standing.full_name());
    let in_force = standing.in_force();
    if let Some(auth) = &in_force.auth {
        lines.push(Effective {
            path: format!("{base}.auth"),
            value: format!("{} [{}]", auth.at.words(), auth.level),
            pos: auth.at.pos,
        });
    }
    match &in_force.body {
        Some(body) => nested(body, &format!("{base}.body"), lines),
        None => {
            let default = |key: &str, value: &str| Effective {
                path: format!("{base}.body.{key}"),
                value: value.to_owned(),
                pos: Pos::DEFAULT,
            };
            lines.extend([default("max", "10MiB"), default("min_rate", "1KiB/s")]);
        }
    }
    if let Some(authorize) = &in_force.authorize {
        nested(authorize, &format!("{base}.authorize"), lines);
    }
    if let Some(cors) = &in_force.cors {
        nested(cors, &format!("{base}.cors"), lines);
    }
    if let Some(timeouts) = &in_force.timeouts {
        nested(timeouts, &format!("{base}.timeouts"), lines);
    }
    if let Some(headers) = &in_force.headers {
        nested(headers, &format!("{base}.headers"), lines);
    }
    let networks = |key: &str, list: Vec<&At<penstock_gate::cidr::Cidr>>, lines: &mut Vec<Effective>| {
        for cidr in list {
            lines.push(Effective {
                path: format!("{base}.ip.{key}"),
                value: cidr.value.to_string(),
                pos: cidr.pos,
            });
        }
    };
    networks("allow", in_force.ip_allow.iter().collect(), lines);
    networks("deny", in_force.ip_deny.clone(), lines);
}

/// A key that has parts, each with the level that wrote the whole.
fn nested<T: Read>(from: &From<'_, T>, path: &str, lines: &mut Vec<Effective>) {
    let start = lines.len();
    from.at.value.explain(path, from.at.pos, lines);
    for line in &mut lines[start..] {
        line.value.push_str(&format!(" [{}]", from.level));
    }
}
