//! `ls` and `dict`: the rings and the names of a data directory.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use penstock_ring::EntryKind;
use serde_json::Value;

use crate::output::{Format, bytes, rows};
use crate::source::{dictionary as read_dictionary, open_all};

/// Lists the rings.
pub(crate) fn list(data_dir: &Path, format: Format) -> Result<bool> {
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let size = |count: u64| if format == Format::Human { Value::from(bytes(count)) } else { count.into() };
    let listed: Vec<Vec<Value>> = open_all(data_dir)?
        .iter()
        .map(|opened| {
            let (ring, extent) = (&opened.ring, &opened.extent);
            let beat_ns = ring.heartbeat_ns();
            let age =
                if beat_ns == 0 { Value::Null } else { (now_ns.saturating_sub(beat_ns) / 1_000_000).into() };
            vec![
                opened.file.run.into(),
                opened.file.worker.into(),
                if opened.live { "live" } else { "ended" }.into(),
                size(ring.identity().capacity),
                size(extent.end - extent.oldest),
                size(extent.end.saturating_sub(extent.read)),
                ring.dropped().into(),
                age,
            ]
        })
        .collect();
    let names = [
        "run",
        "worker",
        "state",
        "capacity_bytes",
        "readable_bytes",
        "lag_bytes",
        "dropped",
        "heartbeat_age_ms",
    ];
    rows(&mut std::io::stdout().lock(), format, &names, &listed)?;
    Ok(true)
}

/// Prints the dictionary.
pub(crate) fn dictionary(data_dir: &Path, format: Format, kind: Option<&str>) -> Result<bool> {
    let wanted = match kind {
        None => None,
        Some(name) => match EntryKind::from_name(name) {
            Some(kind) => Some(kind),
            None => {
                let all: Vec<&str> = EntryKind::ALL.iter().map(|kind| kind.name()).collect();
                bail!("no kind {name:?}; there are {}", all.join(" "));
            }
        },
    };
    let dictionary = read_dictionary(data_dir)?;
    let mut entries: Vec<_> =
        dictionary.entries().filter(|(kind, _, _)| wanted.is_none_or(|wanted| wanted == *kind)).collect();
    entries.sort_by_key(|(kind, id, _)| (kind.code(), *id));
    let listed: Vec<Vec<Value>> = entries
        .into_iter()
        .map(|(kind, id, entry)| {
            vec![kind.name().into(), id.into(), entry.uid.as_str().into(), entry.name.as_str().into()]
        })
        .collect();
    rows(&mut std::io::stdout().lock(), format, &["kind", "id", "uid", "name"], &listed)?;
    Ok(true)
}
