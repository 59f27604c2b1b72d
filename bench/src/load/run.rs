//! A whole load run: rounds one after another, threads of a round side by side, their tallies added up.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, OnceLock, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use super::args::{LoadArgs, RunArgs};
use super::hdr_log::{HdrFile, HdrLog};
use super::llm;
use super::plan::Plan;
use super::report;
use super::schedule;
use super::tally::{Progress, histogram};
use super::worker::{self, Round, WorkerReport};
use crate::driver::{self, Driver};
use crate::result::{FORMAT, Percentiles, RoundResult, RunResult, rfc3339};
use crate::rng::Rng;
use crate::sys;

/// Time between the opening of the gate and the first request, so that all threads have left it.
const START_AFTER: Duration = Duration::from_millis(10);
/// Time between two updates of the progress line.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// Time to wait for the first connect that shows whether anybody listens.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Descriptors that a process needs besides its connections.
const DESCRIPTORS_SPARE: u64 = 64;

/// What threads tell the main thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// A thread has opened its connections.
    Ready,
    /// One second's latencies of a thread.
    Interval {
        /// Seconds since the measured part began.
        second: u64,
        /// Latencies in microseconds.
        histogram: Histogram<u64>,
    },
}

/// One thread's part of a round.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) index: usize,
    pub(crate) connections: usize,
    pub(crate) budget: Option<u64>,
    pub(crate) core: Option<usize>,
    pub(crate) seed: u64,
}

/// Runs the load and writes what was asked for; returns the process's exit code.
///
/// # Errors
/// A sentence for the user if the run could not be done.
pub(crate) fn run(args: &LoadArgs) -> Result<u8, String> {
    run_plan(Plan::new(args)?, &args.run)
}

/// Runs a plan and writes what was asked for; returns the process's exit code.
///
/// # Errors
/// A sentence for the user if the run could not be done.
pub(super) fn run_plan(plan: Plan, args: &RunArgs) -> Result<u8, String> {
    let plan = Arc::new(plan);
    let driver = driver::pick(args.driver).map_err(|error| error.to_string())?;
    let descriptors = sys::raise_descriptor_limit();
    let needed = plan.connections as u64 + DESCRIPTORS_SPARE;
    if descriptors < needed {
        return Err(format!("{needed} descriptors are needed and {descriptors} are allowed (ulimit -n)"));
    }
    std::net::TcpStream::connect_timeout(&plan.address, PROBE_TIMEOUT)
        .map_err(|error| format!("cannot connect to {}: {error}", plan.address))?;
    let mut hdr_file = args.hdr.as_deref().map(HdrFile::create).transpose()?;
    let mut log = hdr_file.as_mut().map(HdrFile::begin).transpose()?;
    let date = rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        rounds.push(run_round(&plan, driver, number, log.as_mut())?);
    }
    let result = RunResult {
        format: FORMAT,
        date,
        label: args.label.clone(),
        url: plan.url.clone(),
        mode: if plan.open.is_some() { "open" } else { "closed" }.into(),
        connections: plan.connections,
        threads: plan.threads,
        driver: driver.to_string(),
        rounds,
    };
    drop(log);
    if let Some(file) = hdr_file {
        file.finish()?;
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&result).map_err(|error| error.to_string())?;
        std::fs::write(file, text + "\n")
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    if !args.quiet {
        print!("{}", report::text(&result));
    }
    Ok(if args.check && !report::all_good(&result) { 3 } else { 0 })
}

fn run_round(
    plan: &Arc<Plan>,
    driver: Driver,
    number: u16,
    log: Option<&mut HdrLog<'_>>,
) -> Result<RoundResult, String> {
    let round = Arc::new(Round {
        plan: plan.clone(),
        driver,
        gate: Barrier::new(plan.threads + 1),
        start: OnceLock::new(),
        log: log.is_some(),
    });
    let (sender, events) = mpsc::channel();
    let progress: Vec<Arc<Progress>> = (0..plan.threads).map(|_| Arc::default()).collect();
    let threads = shares(plan, number)
        .into_iter()
        .zip(&progress)
        .map(|(share, progress)| {
            let (round, progress, sender) = (round.clone(), progress.clone(), sender.clone());
            std::thread::Builder::new()
                .name(format!("load-{}", share.index))
                .spawn(move || worker::run(&round, &share, progress, &sender))
                .map_err(|error| format!("cannot start a thread: {error}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    drop(sender);

    let mut ready = 0;
    while ready < plan.threads {
        match events.recv_timeout(PROGRESS_EVERY) {
            Ok(Event::Ready) => ready += 1,
            Ok(Event::Interval { .. }) => {}
            // A thread that ended before it was ready has failed; the others would wait at the gate for ever.
            Err(_) => {
                if let Some(ended) = threads.iter().position(std::thread::JoinHandle::is_finished) {
                    let failed = threads.into_iter().nth(ended).map(join);
                    return Err(failed
                        .and_then(Result::err)
                        .unwrap_or_else(|| "a thread ended early".into()));
                }
            }
        }
    }
    let start = Instant::now() + START_AFTER;
    round.start.set(start).map_err(|_| "the round was started twice")?;
    round.gate.wait();
    let measure_from = start + plan.warmup;
    follow(&events, &progress, plan, (number, measure_from), log)?;
    let reports = threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
    Ok(summarise(plan, &reports, measure_from))
}

fn join(thread: std::thread::JoinHandle<Result<WorkerReport, String>>) -> Result<WorkerReport, String> {
    thread.join().unwrap_or_else(|_| Err("a generator thread panicked".into()))
}

/// Connections and requests by thread, the remainders to the first ones.
fn shares(plan: &Plan, round: u16) -> Vec<Share> {
    let mut seeds = Rng::new(plan.seed ^ (u64::from(round) << 32));
    let threads = plan.threads;
    (0..threads)
        .map(|index| Share {
            index,
            connections: plan.connections / threads + usize::from(index < plan.connections % threads),
            budget: plan
                .requests
                .map(|all| all / threads as u64 + u64::from((index as u64) < all % threads as u64)),
            core: plan.cores.as_ref().map(|cores| cores[index % cores.len()]),
            seed: seeds.next_u64(),
        })
        .collect()
}

/// Shows progress and writes the log until the threads have let go of their senders.
fn follow(
    events: &mpsc::Receiver<Event>,
    progress: &[Arc<Progress>],
    plan: &Plan,
    (number, measure_from): (u16, Instant),
    mut log: Option<&mut HdrLog<'_>>,
) -> Result<(), String> {
    let shown = std::io::stderr().is_terminal();
    let started = Instant::now();
    let (mut last_shown, mut last_answers) = (started, 0);
    loop {
        match events.recv_timeout(PROGRESS_EVERY) {
            Ok(Event::Interval { second, histogram }) => {
                if let Some(log) = &mut log {
                    log.add(second, &histogram)?;
                }
            }
            Ok(Event::Ready) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if shown && last_shown.elapsed() >= PROGRESS_EVERY {
            let sum = |counter: fn(&Progress) -> u64| progress.iter().map(|of| counter(of)).sum::<u64>();
            let answers = sum(|of| of.answers.load(Ordering::Relaxed));
            let failures = sum(|of| of.failures.load(Ordering::Relaxed));
            let per_second = (answers - last_answers) as f64 / last_shown.elapsed().as_secs_f64();
            let phase = if Instant::now() < measure_from { "warm-up" } else { "measuring" };
            eprint!(
                "\r\x1b[Kround {}/{}  {phase}  {:.0} s  {answers} answers  {per_second:.0}/s  {failures} failed",
                number + 1,
                plan.rounds,
                started.elapsed().as_secs_f64(),
            );
            let _ = std::io::stderr().flush();
            (last_shown, last_answers) = (Instant::now(), answers);
        }
    }
    if shown {
        eprint!("\r\x1b[K");
    }
    log.map_or(Ok(()), HdrLog::end_round)
}

fn summarise(plan: &Plan, reports: &[WorkerReport], measure_from: Instant) -> RoundResult {
    let (mut latency, mut service) = (histogram(), histogram());
    let mut result = RoundResult { status: BTreeMap::new(), ..RoundResult::default() };
    let mut of_models = plan.llm.then(llm::Tally::new);
    let mut cpu = Duration::ZERO;
    let mut last_done = plan.duration.map(|duration| measure_from + duration);
    for WorkerReport { tally, cpu: thread_cpu } in reports {
        // Equal bounds: adding cannot fail.
        let _ = latency.add(&tally.latency);
        let _ = service.add(&tally.service);
        for (status, count) in &tally.status {
            *result.status.entry(*status).or_default() += count;
        }
        for (failure, count) in &tally.failures {
            *result.errors.entry(failure.name().into()).or_default() += count;
        }
        result.answers += tally.answers;
        result.interim += tally.interim;
        result.body_bytes_in += tally.body_bytes_in;
        result.bytes_out += tally.bytes_out;
        result.connects += tally.connects;
        result.unstarted += tally.unstarted;
        if let (Some(sum), Some(part)) = (&mut of_models, &tally.llm) {
            sum.add(part);
        }
        last_done = last_done.max(tally.last_done);
        cpu += *thread_cpu;
    }
    let duration = last_done.map_or(Duration::ZERO, |last| last.saturating_duration_since(measure_from));
    result.duration_s = duration.as_secs_f64();
    if duration > Duration::ZERO {
        result.answers_per_s = result.answers as f64 / result.duration_s;
    }
    if result.answers > 0 {
        result.generator_cpu_us_per_answer = cpu.as_secs_f64() * 1e6 / result.answers as f64;
    }
    result.latency = percentiles(&latency);
    result.llm = of_models.map(|tally| tally.result(duration));
    if let Some(open) = plan.open {
        result.service = Some(percentiles(&service));
        result.planned_per_s = Some(schedule::rate_at(open.rate, open.ramp, plan.warmup + duration));
    }
    result
}

/// A distribution in the form of the result.
pub(super) fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    if histogram.is_empty() {
        return Percentiles::default();
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    Percentiles {
        min_us: histogram.min(),
        mean_us: histogram.mean(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: histogram.max(),
    }
}
