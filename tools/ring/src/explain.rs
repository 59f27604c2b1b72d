//! `explain ID`: one call's path stage by stage.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use penstock_analytics::{Call, FIELDS};

use crate::output::{Format, call_line, plain, printable};
use crate::source::{Event, dictionary, open_all};

/// Explains every call with this id; an error if there is none.
pub(crate) fn explain(data_dir: &Path, format: Format, id: &str) -> Result<bool> {
    let names = dictionary(data_dir)?;
    let mut out = std::io::stdout().lock();
    let mut found = false;
    for opened in open_all(data_dir)? {
        let (run, worker) = (opened.file.run, opened.file.worker);
        opened.walk(|event| {
            let Event::Call(view) = event else { return Ok(()) };
            let call = Call { view, run, worker, dictionary: &names };
            let own = format!("{run}-w{worker}:{}", call.view.record.sequence);
            let held = [own, plain(&call.field("request_id")), plain(&call.field("trace_id"))];
            if held.iter().any(|held| held == id) {
                found = true;
                match format {
                    Format::Human => tell(&mut out, &call)?,
                    other => writeln!(out, "{}", call_line(other, &call)?)?,
                }
            }
            Ok(())
        })?;
    }
    if !found {
        bail!("no call {id:?} in what is still readable");
    }
    Ok(true)
}

fn tell(out: &mut impl Write, call: &Call<'_>) -> Result<()> {
    writeln!(out, "{}", call_line(Format::Human, call)?)?;
    for (stage, verdict, rules, ns) in call.stage_list() {
        let time = if ns > 0 { format!("{:.3}us", f64::from(ns) / 1e3) } else { String::new() };
        let rules = printable(&rules.join(", "));
        writeln!(out, "{}", format!("  {:<10} {verdict:<8} {time:>14}  {rules}", stage.name()).trim_end())?;
    }
    for name in FIELDS.iter().filter(|name| **name != "stages") {
        let text = printable(&plain(&call.field(name)));
        if !text.is_empty() {
            writeln!(out, "  {name}: {text}")?;
        }
    }
    Ok(())
}
