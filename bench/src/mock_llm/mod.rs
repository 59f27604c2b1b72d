//! A mock of language-model providers. A request's path is a `route`; its body is an `ask`; `orders` say how it is to
//! be answered; a `reply` is what the answer says, which a `dialect` writes down as a `draft`; the `script` makes the
//! writes and the misbehaviour of it; a `connection` carries them out and the `ledger` keeps the bill.

pub(crate) mod args;
mod ask;
mod connection;
mod control;
mod dialect;
mod draft;
mod extras;
mod ledger;
mod limits;
mod orders;
mod refusal;
mod reply;
mod route;
mod script;
pub(crate) mod server;
