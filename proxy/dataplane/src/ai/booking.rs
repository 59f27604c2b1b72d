//! An attempt in the journal of money: opened before its first byte goes upstream, settled exactly once, whatever becomes of
//! the task.

use std::rc::Rc;

use penstock_ai::catalogue::NanoUsd;
use penstock_ledger::{Entry, Intent, LedgerError, Rule, Settlement};

use crate::sys;
use crate::worker::Worker;

/// An open attempt. Dropped unsettled, it is booked at its whole reservation, as nobody knows what it cost.
pub struct Booking {
    worker: Rc<Worker>,
    entry: Option<Entry>,
}

impl std::fmt::Debug for Booking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Booking").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl Booking {
    /// Writes what an attempt is about to do.
    ///
    /// # Errors
    /// It cannot be written, so that the attempt must not be made.
    pub fn open(worker: &Rc<Worker>, intent: &Intent<'_>) -> Result<Self, LedgerError> {
        let entry = match worker.journal.borrow_mut().as_mut() {
            Some(journal) => Some(journal.intent(intent)?),
            None if worker.books() => return Err(LedgerError::Full), // it is opened again by and by
            None => None,
        };
        Ok(Self { worker: worker.clone(), entry })
    }

    /// Writes what became of it.
    pub fn settle(&mut self, settlement: &Settlement<'_>) {
        if let Some(entry) = self.entry.take()
            && let Some(journal) = self.worker.journal.borrow_mut().as_mut()
        {
            journal.settle(entry, settlement);
        }
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            let time_ns = self.worker.wall_ns(sys::monotonic_ns());
            let whole = NanoUsd(entry.reservation().0);
            self.settle(&Settlement::estimated(time_ns, Rule::RESERVATION, whole));
        }
    }
}
