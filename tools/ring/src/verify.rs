//! `verify`: every readable frame of every ring, its checksum, position and sequence.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::output::{Format, rows};
use crate::source::{Event, open_all};

/// Checks the rings; `false` if damage was found.
pub(crate) fn verify(data_dir: &Path, format: Format) -> Result<bool> {
    let mut whole = true;
    let mut listed = Vec::new();
    for opened in open_all(data_dir)? {
        let (mut calls, mut gaps, mut last, mut wrong) = (0u64, 0u64, 0u64, Vec::new());
        opened.walk(|event| {
            match event {
                Event::Call(view) => {
                    let sequence = view.record.sequence;
                    if last != 0 && sequence <= last {
                        wrong.push(format!("sequence {sequence} follows {last}"));
                    } else if last != 0 {
                        gaps += sequence - last - 1;
                    }
                    (calls, last) = (calls + 1, sequence);
                }
                Event::Damage { at, to, why } => wrong.push(format!("bytes {at} to {to}: {why}")),
                // Overwritten by a living writer while we read: no damage, and no gap of its own.
                Event::Lapped => last = 0,
            }
            Ok(())
        })?;
        if wrong.is_empty() && gaps > opened.ring.dropped() {
            wrong.push(format!("{gaps} sequences missing, {} dropped", opened.ring.dropped()));
        }
        whole &= wrong.is_empty();
        let state = if wrong.is_empty() { "whole" } else { "damaged" };
        listed.push(vec![
            opened.file.run.into(),
            opened.file.worker.into(),
            state.into(),
            calls.into(),
            gaps.into(),
            Value::from(wrong.join("; ")),
        ]);
    }
    rows(
        &mut std::io::stdout().lock(),
        format,
        &["run", "worker", "state", "calls", "missing", "damage"],
        &listed,
    )?;
    Ok(whole)
}
