//! The write half of a split socket, without what the runtime's own does when it is dropped: that one shuts the write
//! side down, a system call for each connection, and one that sends the end of a message before a reset that is to
//! say that it has none.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ptr;

use monoio::io::{AsyncWriteRent, OwnedWriteHalf};

use crate::buf::Buf;

/// A write half. Dropping it lets go of the socket, which is closed once its read half is gone too.
#[derive(Debug)]
pub struct WriteHalf<T: AsyncWriteRent>(ManuallyDrop<OwnedWriteHalf<T>>);

impl<T: AsyncWriteRent> WriteHalf<T> {
    /// Takes the runtime's.
    pub fn new(half: OwnedWriteHalf<T>) -> Self {
        Self(ManuallyDrop::new(half))
    }

    /// Sends what is readable in `buf`, or a part of it.
    pub fn write(&mut self, buf: Buf) -> impl Future<Output = (std::io::Result<usize>, Buf)> {
        self.0.write(buf)
    }
}

impl<T: AsyncWriteRent> Drop for WriteHalf<T> {
    fn drop(&mut self) {
        // SAFETY: the counted reference is moved out of the half once, here; the half itself is never dropped or used
        // again, as its `ManuallyDrop` ends with `self`.
        drop(unsafe { ptr::read(&self.0.0) });
    }
}
