//! What calls cost by the bundled catalogue, for comparing with what others compute.
//!
//! `cost` reads usages as JSON lines from standard input and answers each with a line: the cost in 10^-9 USD, or what has
//! no price. A usage has `provider`, `model`, `at` (seconds since 1970), perhaps `service`, and counts by the names of the
//! price dimensions; `second` may have decimals. `time` measures how long the bundled catalogue takes to read.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use penstock_ai::catalogue::{BUNDLED, Billed, Catalogue, Service};
use penstock_ai::usage::Usage;
use serde_json::Value;

const READS: u32 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("cost") => cost(),
        Some("time") => time(),
        _ => Err("one of: cost, time".into()),
    }
}

fn cost() -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::bundled()?;
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let text = |name: &str| asked[name].as_str().unwrap_or_default();
        let at = asked["at"].as_u64().ok_or("`at` is missing")?;
        match catalogue.price(text("provider"), text("model"), at) {
            None => writeln!(out, "no price")?,
            Some(price) => match price.cost(&billed(&asked)?) {
                Ok(cost) => writeln!(out, "{}", cost.0)?,
                Err(unpriced) => writeln!(out, "{unpriced}")?,
            },
        }
    }
    Ok(())
}

fn billed(asked: &Value) -> Result<Billed, Box<dyn Error>> {
    let count = |name: &str| asked[name].as_u64().unwrap_or(0);
    let service = asked["service"].as_str().unwrap_or_default();
    Ok(Billed {
        usage: Usage {
            input: count("input"),
            output: count("output"),
            cached_read: count("cached_read"),
            cache_write: count("cache_write"),
            cache_write_1h: count("cache_write_1h"),
            reasoning: count("reasoning"),
            audio_input: count("audio_input"),
            audio_output: count("audio_output"),
            searches: count("query"),
        },
        audio_cached_read: count("audio_cached_read"),
        image_input: count("image_input"),
        image_cached_read: count("image_cached_read"),
        image_output: count("image_output"),
        video_input: count("video_input"),
        video_output: count("video_output"),
        characters: count("character"),
        images: count("image"),
        duration_ms: (asked["second"].as_f64().unwrap_or(0.0) * 1_000.0).round() as u64,
        pages: count("page"),
        service: Service::ALL
            .into_iter()
            .find(|known| known.prefix().trim_end_matches('_') == service)
            .ok_or("unknown service")?,
    })
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn time() -> Result<(), Box<dyn Error>> {
    let mut took = Vec::new();
    for _ in 0..READS {
        let start = std::time::Instant::now();
        let rows = Catalogue::read(BUNDLED)?.rows().len();
        took.push(start.elapsed());
        assert!(rows > 0);
    }
    took.sort_unstable();
    let (least, median) = (took[0], took[took.len() / 2]);
    writeln!(
        stdout(),
        "{} bytes: {least:.2?} at least, {median:.2?} in the middle of {READS} reads",
        BUNDLED.len()
    )?;
    Ok(())
}
