//! What the control side tells a worker: a bounded channel beside a socket pair whose one byte wakes the worker
//! (its tasks can only be woken on their own thread).

use std::io::{self, Write};
use std::os::unix::net::UnixStream as StdUnixStream;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use monoio::io::AsyncReadRent;
use monoio::net::UnixStream;

use crate::driver::Driver;

/// Commands that may wait for one worker; the control side waits beyond that.
pub const COMMANDS_MAX: usize = 1024;

/// The worker is gone.
#[derive(Debug, thiserror::Error)]
#[error("the worker has ended")]
pub struct Gone;

/// The control side's end.
#[derive(Debug)]
pub struct Outbox<T> {
    commands: Sender<T>,
    bell: StdUnixStream,
}

impl<T> Outbox<T> {
    /// Hands over a command. Waits while [`COMMANDS_MAX`] are pending.
    ///
    /// # Errors
    /// [`Gone`] when the worker has ended.
    pub fn send(&self, command: T) -> Result<(), Gone> {
        match self.commands.try_send(command) {
            Ok(()) => self.ring(),
            Err(TrySendError::Full(command)) => {
                self.ring();
                self.commands.send(command).map_err(|_| Gone)?;
                self.ring();
            }
            Err(TrySendError::Disconnected(_)) => return Err(Gone),
        }
        Ok(())
    }

    fn ring(&self) {
        // A full socket buffer means that the worker has a ring before it already.
        (&self.bell).write_all(&[1]).ok();
    }
}

/// The worker's end, before it runs.
#[derive(Debug)]
pub struct Inbox<T> {
    commands: Receiver<T>,
    bell: StdUnixStream,
}

/// A mailbox.
///
/// # Errors
/// What socketpair(2) says.
pub fn mailbox<T>() -> io::Result<(Outbox<T>, Inbox<T>)> {
    let (commands, receiver) = bounded(COMMANDS_MAX);
    let (near, far) = StdUnixStream::pair()?;
    near.set_nonblocking(true)?;
    Ok((Outbox { commands, bell: near }, Inbox { commands: receiver, bell: far }))
}

impl<T> Inbox<T> {
    /// Takes commands for as long as the control side lives and `take` says to go on.
    pub async fn run(self, driver: Driver, mut take: impl FnMut(T) -> bool) {
        self.bell.set_nonblocking(driver.wants_nonblocking()).ok();
        let Ok(mut bell) = UnixStream::from_std(self.bell) else { return };
        let mut rings = vec![0u8; 64];
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(command) => {
                        if !take(command) {
                            return;
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let (result, back) = bell.read(rings).await;
            rings = back;
            match result {
                Ok(1..) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Choice, choose, run};

    #[test]
    fn every_command_arrives_in_order_from_another_thread() {
        for choice in [Choice::Auto, Choice::Epoll] {
            let (outbox, inbox) = mailbox().unwrap();
            let sender = std::thread::spawn(move || (0..5000).for_each(|n| outbox.send(n).unwrap()));
            let mut seen = Vec::new();
            let take = |n| {
                seen.push(n);
                n < 4999
            };
            run(choose(choice).unwrap(), |driver| inbox.run(driver, take)).unwrap();
            sender.join().unwrap();
            assert_eq!(seen, (0..5000).collect::<Vec<i32>>());
        }
    }
}
