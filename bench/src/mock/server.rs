//! Starts a mock: every thread has the same answer, counters and record.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::answer::{Answer, field};
use super::args::MockArgs;
use super::connection::{Mock, serve};
use super::listener;
use super::record::{Counters, Recorder};
use crate::rng::Rng;

/// Serves until the process is ended from outside.
///
/// # Errors
/// A sentence for the user if the mock could not be started.
pub(crate) fn run(args: &MockArgs) -> Result<u8, String> {
    let answer = answer(args)?;
    let counters = Arc::new(Counters::default());
    let recorder = args.record.as_deref().map(Recorder::open).transpose()?.map(Arc::new);
    let make = |index: usize| {
        let (answer, counters, recorder) = (answer.clone(), counters.clone(), recorder.clone());
        let (delay, faults, drip, echo) = (args.delay, args.faults.clone(), args.drip, args.echo);
        let (takes_orders, seed) = (!args.no_control, args.seed.wrapping_add(index as u64));
        move || Mock {
            plain: answer.encode(false, false).whole(),
            answer,
            delay,
            faults,
            drip,
            echo,
            takes_orders,
            counters,
            recorder,
            rng: RefCell::new(Rng::new(seed)),
        }
    };
    listener::run(&args.at, make, serve)
}

fn answer(args: &MockArgs) -> Result<Answer, String> {
    if args.interim.contains(&101) {
        return Err("101 is final for HTTP and cannot be an interim answer".into());
    }
    if args.chunked == Some(0) {
        return Err("a chunk must have at least 1 byte".into());
    }
    let fields = |texts: &[String]| texts.iter().map(|text| field(text)).collect::<Result<Vec<_>, _>>();
    let body = match (&args.body_text, &args.body_file) {
        (Some(text), _) => Bytes::from(text.clone().into_bytes()),
        (None, Some(file)) => {
            std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?.into()
        }
        (None, None) => Bytes::from(vec![b'x'; args.body]),
    };
    Ok(Answer {
        status: StatusCode::from_u16(args.status).map_err(|error| error.to_string())?,
        fields: fields(&args.headers)?,
        body,
        chunk_bytes: args.chunked,
        trailers: fields(&args.trailers)?,
        interim: args.interim.clone(),
    })
}
