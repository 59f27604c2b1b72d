//! Starts the mock: every thread has the same settings and the same bill.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

use super::args::MockLlmArgs;
use super::connection::{Mock, serve};
use super::ledger::{Ledger, unix_us};
use super::limits::Allowance;
use super::orders::{self, Chance, Orders};
use crate::mock::{self, Recorder};
use crate::rng::Rng;

/// What decides how requests are answered.
#[derive(Debug)]
pub(super) struct Settings {
    base: Orders,
    chances: Vec<Chance>,
    by_key: HashMap<String, String>,
    takes_orders: bool,
    /// Orders that the control address gave, whole and checked.
    over: Mutex<Arc<str>>,
}

impl Settings {
    /// The orders for one request.
    ///
    /// # Errors
    /// A sentence about an order of the request that makes no sense.
    pub(super) fn orders(
        &self,
        key: &str,
        model: &str,
        headers: &HeaderMap,
        rng: &mut Rng,
    ) -> Result<Orders, String> {
        let mut orders = self.base.clone();
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        orders.apply(&over)?;
        if let Some(drawn) = self.draw(rng) {
            orders.apply(drawn)?;
        }
        if let Some(of_key) = self.by_key.get(key) {
            orders.apply(of_key)?;
        }
        if self.takes_orders {
            if let Some(of_model) = orders::of_model(model) {
                orders.apply(of_model)?;
            }
            for value in headers.get_all(orders::HEADER) {
                orders.apply(value.to_str().map_err(|_| "x-mock is not text")?)?;
            }
        }
        Ok(orders)
    }

    /// Draws at most one of the chances: their shares lie side by side.
    fn draw(&self, rng: &mut Rng) -> Option<&str> {
        if self.chances.is_empty() {
            return None;
        }
        let mut ticket = rng.unit();
        for chance in &self.chances {
            if ticket < chance.share {
                return Some(&chance.orders);
            }
            ticket -= chance.share;
        }
        None
    }

    /// Sets the orders that go before those of the command line.
    ///
    /// # Errors
    /// A sentence if they are none.
    pub(super) fn try_set_over(&self, body: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|_| "orders are text")?.trim();
        orders::parse(text)?;
        self.set_over(text);
        Ok(())
    }

    /// Sets orders that have been checked.
    pub(super) fn set_over(&self, text: &str) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }
}

/// Serves until the process is ended from outside.
///
/// # Errors
/// A sentence for the user if the mock could not be started.
pub(crate) fn run(args: &MockLlmArgs) -> Result<u8, String> {
    let settings = Arc::new(settings(args)?);
    let ledger = Arc::new(Ledger::new(args.bill_lines as usize));
    let recorder = args.record.as_deref().map(Recorder::open).transpose()?.map(Arc::new);
    let id_header = args.id_header.to_ascii_lowercase();
    let allowed = Allowance { requests: args.rpm, tokens: args.tpm };
    let epoch = unix_us();
    let make = |index: usize| {
        let (settings, ledger, recorder) = (settings.clone(), ledger.clone(), recorder.clone());
        let (id_header, seed) = (id_header.clone(), args.seed.wrapping_add(index as u64));
        move || Mock {
            settings,
            ledger,
            recorder,
            id_header,
            allowed,
            epoch,
            rng: RefCell::new(Rng::new(seed)),
        }
    };
    mock::listen(&args.at, make, serve)
}

fn settings(args: &MockLlmArgs) -> Result<Settings, String> {
    let mut base = Orders::default();
    for orders in &args.orders {
        base.apply(orders)?;
    }
    let shares: f64 = args.chances.iter().map(|chance| chance.share).sum();
    if shares > 1.0 {
        return Err(format!("the shares of --chance make {shares}, which is more than all requests"));
    }
    Ok(Settings {
        base,
        chances: args.chances.clone(),
        by_key: args.for_keys.iter().cloned().collect(),
        takes_orders: !args.no_control,
        over: Mutex::new("".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            base: orders::parse("answer=1,tools=1").unwrap(),
            chances: vec!["0.25:tps=7".parse().unwrap(), "0.25:tps=8".parse().unwrap()],
            by_key: HashMap::from([("k".into(), "answer=2".into())]),
            takes_orders: true,
            over: Mutex::new("".into()),
        }
    }

    #[test]
    fn the_nearer_order_counts() {
        use super::super::orders::Length::Tokens;
        let (mut settings, mut rng) = (settings(), Rng::new(1));
        let mut headers = HeaderMap::new();
        let mut answer = |settings: &Settings, key, model, headers: &HeaderMap| {
            settings.orders(key, model, headers, &mut rng).unwrap().answer
        };
        assert_eq!(answer(&settings, "x", "m", &headers), Some(Tokens(1)));
        assert_eq!(answer(&settings, "k", "m", &headers), Some(Tokens(2)));
        assert_eq!(answer(&settings, "k", "mock-answer=3", &headers), Some(Tokens(3)));
        headers.insert("x-mock", "answer=4".parse().unwrap());
        assert_eq!(answer(&settings, "k", "mock-answer=3", &headers), Some(Tokens(4)));
        settings.try_set_over(b"answer=9\n").unwrap();
        assert_eq!(answer(&settings, "x", "m", &HeaderMap::new()), Some(Tokens(9)));
        assert!(settings.try_set_over(b"answer=x").is_err());
        settings.takes_orders = false;
        assert_eq!(answer(&settings, "k", "mock-answer=3", &headers), Some(Tokens(2)));
    }

    #[test]
    fn shares_are_met() {
        let (settings, mut rng) = (settings(), Rng::new(5));
        let mut counts = [0i32; 3];
        for _ in 0..10_000 {
            let tps = settings.orders("x", "m", &HeaderMap::new(), &mut rng).unwrap().tps;
            counts[[7.0, 8.0].iter().position(|drawn| *drawn == tps).unwrap_or(2)] += 1;
        }
        for (count, expected) in counts.iter().zip([2500, 2500, 5000]) {
            assert!((count - expected).abs() < 250, "{counts:?}");
        }
    }
}
