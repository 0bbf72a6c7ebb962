//! The open port's requests, carried to `api/` and, where it says so, to the agent or the ledger.

use std::borrow::Cow;
use std::cell::Ref;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tungstenite::handshake::derive_accept_key;

use super::event_stream::FollowStream;
use super::http::{Answer, AnswerBody, Chunk, ChunkSource, Handling, Incoming, Service, Upgrade, Upgraded};
use super::sense;
use super::world::World;
use super::ws::attend::attend;
use super::ws::hub::Counts;
use crate::agent::effect::IntakeAnswer;
use crate::agent::event::EventDraft;
use crate::agent::ids::{DedupeKey, EventId, LedgerId, Seq};
use crate::api::{self, Decision, EventsQuery, Follow, ProcessFacts, Request, Response, View};
use crate::ledger::Ledger;

/// Events of a stream that are in memory at once, and about how many bytes of them.
const PAGE_EVENTS: usize = 32;
const PAGE_BYTES: usize = 8 * 1024;

/// Answers requests out of the world.
pub struct Answers {
    world: Rc<World>,
}

impl Answers {
    /// Answers out of this world.
    #[must_use]
    pub fn new(world: Rc<World>) -> Self {
        Self { world }
    }
}

impl Service for Answers {
    fn upgrade(&self, request: &Incoming) -> Option<Upgrade> {
        let Decision::Socket(plan) = decide(&self.world, request) else { return None };
        let world = Rc::clone(&self.world);
        let peer = request.peer;
        let place = world.hub().places().try_seat(peer.ip())?;
        let mut headers = vec![("sec-websocket-accept", derive_accept_key(plan.key.as_bytes()))];
        headers.extend(plan.subprotocol.map(|name| ("sec-websocket-protocol", name.to_owned())));
        world.http.borrow_mut().count(101);
        let run =
            move |stream, ahead| -> Upgraded { Box::pin(attend(world, plan, place, peer, stream, ahead)) };
        Some(Upgrade { headers, run: Box::new(run) })
    }

    fn handle(&self, request: Incoming) -> Handling {
        let world = Rc::clone(&self.world);
        Box::pin(async move {
            let answer = match decide(&world, &request) {
                Decision::Answer(response) => answer_of(response),
                Decision::Events(query) => events(&world, query),
                Decision::Follow(follow) => event_stream(&world, follow),
                Decision::Socket(_) => answer_of(api::sockets::no_place(world.port().is_stopping())),
                Decision::Broadcast { window, text } => {
                    let count = world.hub().tell(window, &text);
                    answer_of(api::sockets::broadcast_answer(window, count))
                }
                Decision::Intake { draft, dedupe, message } => {
                    drop(request);
                    let answer = take_in(&world, draft, dedupe).await;
                    answer_of(api::intake_answer(&answer, &message))
                }
            };
            world.http.borrow_mut().count(answer.status);
            answer
        })
    }
}

fn event_stream(world: &Rc<World>, follow: Follow) -> Answer {
    Answer {
        status: 200,
        headers: vec![("cache-control", "no-store".to_owned()), ("x-accel-buffering", "no".to_owned())],
        content_type: "text/event-stream",
        body: AnswerBody::Stream(Box::new(FollowStream::new(Rc::clone(world), follow))),
        close: false,
    }
}

fn decide(world: &World, request: &Incoming) -> Decision {
    let now = world.clock.now();
    let agent = world.agent.borrow();
    let status = agent.status(now);
    let http = world.http.borrow();
    let config_json = || {
        let settings = status.aiwm.as_ref().map(|aiwm| aiwm.settings.as_slice()).unwrap_or_default();
        crate::config::show_json(&world.config.borrow().with_controller(settings))
    };
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let view = View {
        status: &status,
        setup: agent.setup(),
        security: &world.security.borrow(),
        config_json: &config_json,
        version: world.version,
        ledger_file: &world.ledger_file,
        process: facts(world, request, &http),
    };
    api::respond(
        &view,
        &Request {
            method: request.method.as_str(),
            path: &request.path,
            query: request.query.as_deref().unwrap_or(""),
            header: &header,
            header_count: &|name| request.headers.get_all(name).iter().count(),
            body: &request.body,
            peer_is_loopback: request.peer.ip().is_loopback(),
        },
    )
}

/// What is read from `/proc` and the ledger is read only for those who show it.
fn facts<'a>(world: &World, request: &Incoming, http: &'a Ref<'_, api::HttpCounters>) -> ProcessFacts<'a> {
    let connections = u32::try_from(world.connections()).unwrap_or(u32::MAX);
    let Counts { sockets, windows, users, sessions } = world.hub().counts();
    let mut facts = ProcessFacts {
        rss_kib: 0,
        threads: 0,
        fds: 0,
        connections,
        sockets,
        windows,
        users,
        sessions,
        ledger_bytes: 0,
        http,
    };
    if request.path.ends_with("/status") || request.path.ends_with("/metrics") {
        let small = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        facts.rss_kib = sense::rss_kib().unwrap_or(0);
        facts.threads = small(sense::threads());
        facts.fds = small(sense::descriptors());
        facts.ledger_bytes = world.ledger.stats().map_or(0, |stats| stats.file_bytes);
    }
    facts
}

async fn take_in(world: &Rc<World>, draft: EventDraft, dedupe: Option<DedupeKey>) -> IntakeAnswer {
    let known = match dedupe.map(|key| world.ledger.inbox(key)) {
        None => None,
        Some(Ok(known)) => known,
        Some(Err(fault)) => {
            log::warn!("inbox_unreadable why=\"{fault}\"");
            return IntakeAnswer::Faulty { retry_after_s: 5 };
        }
    };
    world.intake(draft, dedupe, known).await
}

fn answer_of(response: Response) -> Answer {
    let body = match response.body {
        Cow::Borrowed(bytes) => AnswerBody::Static(bytes),
        Cow::Owned(bytes) => AnswerBody::Bytes(bytes),
    };
    Answer {
        status: response.status,
        headers: response.headers,
        content_type: response.content_type,
        body,
        close: response.close,
    }
}

fn events(world: &World, query: EventsQuery) -> Answer {
    let durable = world.agent.borrow().durable();
    let stream = EventStream {
        ledger: Arc::clone(&world.ledger),
        ledger_id: durable.ledger,
        after: query.after,
        upto: durable.seq,
        left: query.limit,
        query,
        is_first: true,
        last: None,
        step: Step::Head,
    };
    Answer {
        status: 200,
        headers: vec![("cache-control", "no-store".to_owned())],
        content_type: "application/json",
        body: AnswerBody::Stream(Box::new(stream)),
        close: false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Head,
    Pages,
    Ended,
}

/// The answer to `GET /api/events`, a page of the ledger at a time.
struct EventStream {
    ledger: Arc<Ledger>,
    ledger_id: LedgerId,
    query: EventsQuery,
    after: Seq,
    /// What was durable when it began: so the answer has an end.
    upto: Seq,
    left: usize,
    is_first: bool,
    last: Option<EventId>,
    step: Step,
}

impl EventStream {
    fn next_page(&mut self) -> Chunk {
        let limit = self.left.min(PAGE_EVENTS);
        let Ok(page) = self.ledger.page(self.after, &self.query.filter, limit, PAGE_BYTES) else {
            return Chunk::Cut;
        };
        let mut text = String::new();
        for event in page.events.iter().take_while(|event| event.seq <= self.upto) {
            api::events::push(&mut text, event, self.ledger_id, self.is_first);
            self.is_first = false;
            self.last = Some(EventId { seq: event.seq, ledger: self.ledger_id });
            self.left -= 1;
        }
        self.after = page.next;
        if page.end || page.next >= self.upto {
            // Everything was looked at: whoever goes on from here need not look again.
            let seen = EventId { seq: self.upto, ledger: self.ledger_id };
            self.last = self.last.max((self.upto > self.query.after).then_some(seen));
        }
        if page.end || self.left == 0 || page.next >= self.upto {
            text.push_str(&api::events::tail(&self.query, self.last));
            self.step = Step::Ended;
        }
        Chunk::Bytes(text.into_bytes())
    }
}

impl ChunkSource for EventStream {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Chunk> {
        Poll::Ready(match self.step {
            Step::Head => {
                self.step = Step::Pages;
                Chunk::Bytes(api::events::HEAD.as_bytes().to_vec())
            }
            Step::Pages => self.next_page(),
            Step::Ended => Chunk::End,
        })
    }
}
