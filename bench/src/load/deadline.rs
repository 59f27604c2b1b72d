//! A deadline that costs a timer once per timeout and not once per request: the timer is set for a time at which
//! no request can be late yet, and looks again when it fires.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::time::{Sleep, sleep};

/// The deadline came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

/// One connection's deadline.
pub(crate) struct Deadline {
    timeout: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Deadline {
    /// A deadline of `timeout` for each guarded future. Must be made on a runtime's thread.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, alarm: Box::pin(sleep(timeout)) }
    }

    /// Waits for the future until its time, counted from `since`, is up. A future that is late has been dropped;
    /// what it held (a connection with an unknown number of bytes on the wire) must not be used again.
    ///
    /// # Errors
    /// [`Late`] if the time was up first.
    pub(crate) async fn guard<F: Future>(&mut self, since: Instant, future: F) -> Result<F::Output, Late> {
        let due = since + self.timeout;
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            while self.alarm.as_mut().poll(context).is_ready() {
                if Instant::now() >= due {
                    return Poll::Ready(Err(Late));
                }
                self.alarm.as_mut().reset(due.into());
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{DriverChoice, block_on, pick};

    #[test]
    fn late_futures_are_given_up_and_others_are_not() {
        let outcomes = block_on(pick(DriverChoice::Auto).unwrap(), async {
            let mut deadline = Deadline::new(Duration::from_millis(40));
            let mut outcomes = Vec::new();
            for wait_ms in [1, 30, 30, 10_000, 1, 10_000] {
                let since = Instant::now();
                let outcome = deadline.guard(since, sleep(Duration::from_millis(wait_ms))).await;
                outcomes.push(outcome.is_ok());
                assert!(outcome.is_ok() || since.elapsed() >= Duration::from_millis(40));
            }
            outcomes
        });
        assert_eq!(outcomes.unwrap(), [true, true, true, false, true, false]);
    }
}
