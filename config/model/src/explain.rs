//! The effective configuration: every value in force and where it comes from. May know the tree and
//! inheritance; prints, decides nothing.

use std::collections::HashMap;

use crate::configuration::Configuration;
use crate::inherit::{Inherited, Standing, routes};
use crate::place::{At, Pos};
use crate::read::{Effective, Read};

impl Configuration {
    /// Every value in force, defaults included, in the order of the grammar; after them what each route
    /// inherits.
    pub fn effective(&self) -> Vec<Effective> {
        let mut lines = Vec::new();
        self.file.explain("", Pos::DEFAULT, &mut lines);
        call_by_name(&mut lines);
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

/// Items of lists are called by their names where they have one: `upstreams.orders` for `upstreams[0]`.
fn call_by_name(lines: &mut [Effective]) {
    let names: HashMap<String, String> = lines
        .iter()
        .filter(|line| line.pos.is_written())
        .filter_map(|line| {
            let item = line.path.strip_suffix(".name").or_else(|| line.path.strip_suffix(".version"))?;
            item.ends_with(']').then(|| (item.to_owned(), line.value.clone()))
        })
        .collect();
    for line in lines {
        let mut path = String::with_capacity(line.path.len());
        let mut done = 0;
        for (at, _) in line.path.match_indices(']') {
            let item = &line.path[..=at];
            let open = line.path[..at].rfind('[').unwrap_or(at);
            match names.get(item) {
                Some(name) => {
                    path.push_str(&line.path[done..open]);
                    path.push('.');
                    path.push_str(name);
                }
                None => path.push_str(&line.path[done..=at]),
            }
            done = at + 1;
        }
        path.push_str(&line.path[done..]);
        line.path = path;
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
fn nested<T: Read>(from: &Inherited<'_, T>, path: &str, lines: &mut Vec<Effective>) {
    let start = lines.len();
    from.at.value.explain(path, from.at.pos, lines);
    for line in &mut lines[start..] {
        line.value.push_str(&format!(" [{}]", from.level));
    }
}
