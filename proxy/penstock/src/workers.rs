//! How many workers there are, and where.

use penstock_model::Workers;

/// Most workers of a process: each takes a seat at the node's counters, which has places for the workers of two
/// processes (while one is replaced by the next).
pub(crate) const WORKERS_MAX: usize = 60;

/// The CPU of each worker. `allowed` are the CPUs that this process may run on, `parallel` how many of them its
/// quota is worth.
///
/// # Errors
/// When there are more workers than [`WORKERS_MAX`], or a core is named that this process may not run on.
pub(crate) fn cpus(
    workers: &Workers,
    allowed: &[usize],
    parallel: usize,
) -> Result<Vec<Option<usize>>, String> {
    let cpus: Vec<Option<usize>> = match workers {
        Workers::Auto => allowed.iter().take(parallel.clamp(1, WORKERS_MAX)).copied().map(Some).collect(),
        Workers::Count(count) => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            if count > WORKERS_MAX {
                return Err(too_many(count));
            }
            // More workers than CPUs: they share, and the kernel places them.
            (0..count).map(|at| if count <= allowed.len() { Some(allowed[at]) } else { None }).collect()
        }
        Workers::Cores(cores) => {
            let cores: Vec<usize> =
                cores.iter().map(|core| usize::try_from(*core).unwrap_or(usize::MAX)).collect();
            if let Some(core) = cores.iter().find(|core| !allowed.contains(core)) {
                return Err(format!(
                    "workers: this process may not run on core {core}; it may run on {allowed:?}"
                ));
            }
            cores.into_iter().map(Some).collect()
        }
    };
    if cpus.len() > WORKERS_MAX { Err(too_many(cpus.len())) } else { Ok(cpus) }
}

fn too_many(count: usize) -> String {
    format!("workers: {count} are too many, {WORKERS_MAX} are the most of one process")
}

/// For people: `cpus 0-3`, `not pinned`.
pub(crate) fn shown(cpus: &[Option<usize>]) -> String {
    let pinned: Vec<String> = cpus.iter().flatten().map(ToString::to_string).collect();
    match (cpus.len(), pinned.len()) {
        (1, 1) => format!("1 worker on cpu {}", pinned[0]),
        (count, 0) => format!("{count} workers, not pinned"),
        (count, _) => format!("{count} workers on cpus {}", pinned.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let allowed = [2, 3, 5];
        let some = |list: &[usize]| Ok(list.iter().copied().map(Some).collect::<Vec<_>>());
        assert_eq!(cpus(&Workers::Auto, &allowed, 2), some(&[2, 3]));
        assert_eq!(cpus(&Workers::Auto, &allowed, 0), some(&[2]));
        assert_eq!(cpus(&Workers::Count(3), &allowed, 1), some(&[2, 3, 5]));
        assert_eq!(cpus(&Workers::Count(4), &allowed, 1), Ok(vec![None; 4]));
        assert_eq!(cpus(&Workers::Cores(vec![5, 2]), &allowed, 1), some(&[5, 2]));
        assert!(cpus(&Workers::Cores(vec![4]), &allowed, 3).is_err());
        assert!(cpus(&Workers::Count(WORKERS_MAX as u64), &allowed, 3).is_ok());
        assert!(cpus(&Workers::Count(WORKERS_MAX as u64 + 1), &allowed, 3).is_err());
        assert_eq!(shown(&[Some(1)]), "1 worker on cpu 1");
        assert_eq!(shown(&[Some(0), Some(1)]), "2 workers on cpus 0 1");
        assert_eq!(shown(&[None, None]), "2 workers, not pinned");
    }
}
