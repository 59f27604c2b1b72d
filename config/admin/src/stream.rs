//! `/live/stream`: the live windows as server-sent events, one each second.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::Event;
use futures_core::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::status::Source;

/// Streams at once; a further one gets 503.
pub const STREAMS_MAX: usize = 32;
/// How often an event is sent.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// Windows, as long as somebody listens.
pub(crate) struct LiveStream {
    source: Arc<dyn Source>,
    ticks: Interval,
    _place: OwnedSemaphorePermit,
}

impl LiveStream {
    pub(crate) fn new(source: Arc<dyn Source>, place: OwnedSemaphorePermit) -> Self {
        let mut ticks = interval(EVERY);
        // A reader that was slow gets what is now, not what it missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { source, ticks, _place: place }
    }
}

impl Stream for LiveStream {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ticks.poll_tick(cx).is_pending() {
            return Poll::Pending;
        }
        let event = match self.source.live().map(|live| serde_json::to_string(&live)) {
            Some(Ok(json)) => Event::default().event("live").data(json),
            Some(Err(_)) | None => Event::default().comment("no calls are recorded"),
        };
        Poll::Ready(Some(Ok(event)))
    }
}
