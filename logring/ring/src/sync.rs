//! The thread that writes rings back to disk every `rings.sync`.
//!
//! What it promises: a power cut loses at most the records of one period. Process death loses
//! nothing with or without it. Knows threads; must not be called from a worker.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::header::Ring;

/// How often rings are synced where nothing is configured.
pub const SYNC_EVERY_DEFAULT: Duration = Duration::from_secs(1);

/// A running sync thread; dropping it syncs once more and ends it.
#[derive(Debug)]
pub struct SyncThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SyncThread {
    /// Starts syncing `rings` every `every`. `told` hears each failure and is called on the thread.
    pub fn start(
        rings: Vec<Ring>,
        every: Duration,
        mut told: impl FnMut(&Ring, io::Error) + Send + 'static,
    ) -> io::Result<SyncThread> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("penstock-sync".into()).spawn(move || {
            loop {
                let last = !matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout));
                for ring in &rings {
                    if let Err(error) = ring.sync() {
                        told(ring, error);
                    }
                }
                if last {
                    return;
                }
            }
        })?;
        Ok(SyncThread { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by its own hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}
