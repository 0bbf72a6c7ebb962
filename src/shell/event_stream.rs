//! `GET /api/events/stream`: the ledger as server-sent events, from a cursor on and without an end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::http::{Chunk, ChunkSource};
use super::world::World;
use crate::agent::ids::EventId;
use crate::api::{Follow, Who};
use crate::shell::reactor::Timer;
use crate::wire::event_json::push_ledger_event;

/// Events of a chunk, and about how many bytes of them.
const PAGE_EVENTS: usize = 32;
const PAGE_BYTES: usize = 8 * 1024;
/// A comment is sent after so much silence, so that proxies and clients know that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a stream begins with: how long a client should wait before it comes back, in milliseconds.
const HEAD: &str = "retry: 2000\n\n";

/// One client's stream.
pub(super) struct FollowStream {
    world: Rc<World>,
    follow: Follow,
    who: Who,
    timer: Timer,
    is_begun: bool,
}

impl FollowStream {
    pub(super) fn new(world: Rc<World>, follow: Follow, who: Who) -> Self {
        Self { world, follow, who, timer: Timer::after(KEEP_ALIVE), is_begun: false }
    }

    /// The next page behind the cursor, if the ledger has something new; empty if nothing in it passes the filter.
    fn next_page(&mut self) -> Option<Chunk> {
        let durable = self.world.agent.borrow().durable();
        let Follow { after, filter } = &self.follow;
        if *after >= durable.seq {
            return None;
        }
        if !self.world.still_holds(&self.who) {
            return Some(Chunk::End);
        }
        let page = self.world.ledger.page(*after, filter, PAGE_EVENTS, PAGE_BYTES);
        let Ok(page) = page else { return Some(Chunk::End) };
        let mut text = String::new();
        for event in page.events.iter().take_while(|event| event.seq <= durable.seq) {
            text.push_str("id: ");
            text.push_str(&EventId { seq: event.seq, ledger: durable.ledger }.to_string());
            text.push_str("\ndata: ");
            push_ledger_event(&mut text, event, durable.ledger);
            text.push_str("\n\n");
        }
        self.follow.after = if page.end { durable.seq } else { page.next.min(durable.seq) };
        Some(Chunk::Bytes(text.into_bytes()))
    }
}

impl ChunkSource for FollowStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        if !self.is_begun {
            self.is_begun = true;
            return Poll::Ready(Chunk::Bytes(HEAD.as_bytes().to_vec()));
        }
        match self.next_page() {
            // Others have their turn before the next page is looked through.
            Some(Chunk::Bytes(bytes)) if bytes.is_empty() => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(chunk) => {
                self.timer.set_after(KEEP_ALIVE);
                return Poll::Ready(chunk);
            }
            None => {}
        }
        self.world.bell.listen(cx);
        if Pin::new(&mut self.timer).poll(cx).is_ready() {
            self.timer.set_after(KEEP_ALIVE);
            return Poll::Ready(Chunk::Bytes(b": keep-alive\n\n".to_vec()));
        }
        Poll::Pending
    }

    fn is_endless(&self) -> bool {
        true
    }
}
