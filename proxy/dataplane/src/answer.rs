//! Answers that the gateway gives by itself.

use penstock_http::problem::{Delivery, Problem};
use penstock_http::{Code, RequestHead};
use penstock_ring::CallStrings;

use crate::call::Call;
use crate::client::Client;
use crate::deadline::Action;
use crate::exchange::After;
use crate::sys::{self, Side};
use crate::worker::Worker;

/// An answer to give.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// What it says.
    pub problem: Problem<'a>,
    /// The connection may live on: the request was read whole and is understood.
    pub keep_alive: bool,
}

impl Answer<'_> {
    /// An answer after which the connection is closed.
    pub fn last(code: Code) -> Self {
        Self { problem: Problem::new(code), keep_alive: false }
    }
}

/// Gives an answer, publishes the record before it, and says what becomes of the connection.
pub async fn give(
    worker: &Worker,
    client: &mut Client,
    call: &mut Call,
    head: &RequestHead,
    strings: &CallStrings<'_>,
    answer: Answer<'_>,
    out: &mut Vec<u8>,
) -> After {
    let keep_alive = answer.keep_alive && !worker.draining.get();
    let delivery = Delivery {
        keep_alive,
        client: head.version,
        head_only: head.method == penstock_http::Method::Head,
        date: Some(&worker.date()),
    };
    out.clear();
    Problem { request_id: call.request_id.as_bytes(), ..answer.problem }.write(&delivery, out);
    call.record.status = answer.problem.code.status();
    call.record.code = answer.problem.code.id();
    call.publish(worker, strings, out.len() as u64);
    let buf = worker.bufs.filled(&[out]);
    let began_ns = sys::monotonic_ns();
    let until_ns = began_ns + client.peer.listener.timeouts.write.as_nanos() as u64;
    client.stream.write_timer.arm(until_ns, Action::Shutdown(Side::Both));
    let (result, buf) = client.stream.writer.write_all(buf).await;
    worker.bufs.put(buf);
    let gone = result.is_err().then_some(Code::ClientGone);
    call.sent_last(worker, began_ns, gone, if gone.is_some() { 0 } else { out.len() as u64 });
    match (result, keep_alive) {
        (Err(_), _) => After::Close,
        (Ok(()), true) => After::Next,
        (Ok(()), false) => After::Linger,
    }
}
