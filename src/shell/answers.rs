//! The open port's requests, carried to `api/` and, where it says so, to the agent or the ledger.

use std::borrow::Cow;
use std::cell::Ref;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::header::HeaderValue;

use super::brain_answers;
use super::event_stream::FollowStream;
use super::http::{
    Answer, AnswerBody, Chunk, ChunkSource, Handling, Incoming, Pace, Service, Upgrade, Upgraded,
};
use super::sense;
use super::world::World;
use super::ws::attend::attend;
use super::ws::hub::Counts;
use super::ws::key::accept_of;
use crate::agent::effect::IntakeAnswer;
use crate::agent::event::EventDraft;
use crate::agent::ids::{DedupeKey, EventId, LedgerId, Seq};
use crate::api::brain::Asked;
use crate::api::{
    self, Decided, Decision, EventsQuery, Follow, Hold, Place, ProcessFacts, Request, Response, View, Who,
};
use crate::ledger::Ledger;

/// Events of a stream that are read at once, and about how many bytes of them: the last of them may be large.
const PAGE_EVENTS: usize = 32;
const PAGE_BYTES: usize = 4 * 1024;
/// Bytes of a stream that are in memory while its client does not read.
const PIECE_BYTES: usize = 8 * 1024;

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
        let from = place_of(&self.world, request);
        let decided = decide(&self.world, request, self.world.look(from));
        let Decision::Socket(plan) = decided.decision else { return None };
        let world = Rc::clone(&self.world);
        let peer = request.peer;
        let place = world.hub().places().try_seat(peer.ip())?;
        world.admit(from);
        world.note(from, decided.shown);
        let mut headers = vec![("sec-websocket-accept", accept_of(&plan.key))];
        headers.extend(plan.subprotocol.map(|name| ("sec-websocket-protocol", name.to_owned())));
        world.http.borrow_mut().count(101);
        let run = move |stream, ahead| -> Upgraded {
            Box::pin(attend(world, plan, place, (peer, from), stream, ahead))
        };
        Some(Upgrade { headers, run: Box::new(run) })
    }

    fn handle(&self, request: Incoming) -> Handling {
        let world = Rc::clone(&self.world);
        Box::pin(async move {
            let from = place_of(&world, &request);
            let Decided { decision, who, shown, deed } = decide(&world, &request, world.admit(from));
            world.note(from, shown);
            let decision = match told(&world, deed).await {
                Ok(()) => decision,
                Err(refusal) => Decision::Answer(refusal),
            };
            let answer = match decision {
                Decision::Answer(response) => answer_of(response),
                Decision::Events(query) => events(&world, query),
                Decision::Follow(follow) => event_stream(&world, follow, who),
                Decision::Socket(_) => answer_of(api::sockets::no_place(world.port().is_stopping())),
                Decision::Broadcast { window, text } => {
                    let count = world.hub().tell(window, &text);
                    answer_of(api::sockets::broadcast_answer(window, count))
                }
                Decision::Brain(asked) => {
                    // A model takes its time: others have their turn meanwhile, and who leaves ends it.
                    if matches!(*asked, Asked::Question { .. } | Asked::Say { .. }) {
                        request.pace.set(Pace::Lasting);
                    }
                    drop(request);
                    brain_answers::answer(&world, *asked).await
                }
                Decision::Intake { draft, dedupe, message } => {
                    request.pace.set(Pace::Committing);
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

fn event_stream(world: &Rc<World>, follow: Follow, who: Who) -> Answer {
    Answer {
        status: 200,
        headers: vec![("cache-control", "no-store".to_owned()), ("x-accel-buffering", "no".to_owned())],
        content_type: "text/event-stream",
        body: AnswerBody::Stream(Box::new(FollowStream::new(Rc::clone(world), follow, who))),
        close: false,
    }
}

/// Makes the event durable that tells who does something; it is not done before.
async fn told(world: &Rc<World>, deed: Option<EventDraft>) -> Result<(), Response> {
    let Some(draft) = deed else { return Ok(()) };
    api::audit::written(&world.intake(draft, None, None).await)
}

/// Where a request comes from, if it is counted: what a proxy of this machine passes on comes from where that says.
fn place_of(world: &World, request: &Incoming) -> Option<Place> {
    let peer = request.peer.ip();
    if !peer.is_loopback() {
        return Some(Place::of(peer));
    }
    let last = |name: &str| {
        let value = fields(request, name).last()?.to_str().ok()?;
        value.rsplit(',').next()?.trim().parse().ok()
    };
    if let Some(address) = last("x-forwarded-for").or_else(|| last("x-real-ip")) {
        return Some(Place::of(address));
    }
    let is_counted =
        world.config.borrow().security.rate_limit_loopback || fields(request, "forwarded").next().is_some();
    is_counted.then(|| Place::of(peer))
}

fn decide(world: &World, request: &Incoming, hold: Hold) -> Decided {
    let shows = ["authorization", "x-api-key", "sec-websocket-protocol"];
    if shows.iter().any(|name| fields(request, name).next().is_some())
        || request.path.ends_with("/auth/login")
    {
        world.refresh_credentials();
    }
    let now = world.clock.now();
    let agent = world.agent.borrow();
    let status = agent.status(now);
    let http = world.http.borrow();
    let config_json = || {
        let settings = status.aiwm.as_ref().map(|aiwm| aiwm.settings).unwrap_or_default();
        crate::config::show_json(&world.config.borrow().with_controller(settings))
    };
    let header = |name: &str| fields(request, name).next().and_then(|value| value.to_str().ok());
    let view = View {
        status: &status,
        setup: agent.setup(),
        security: &world.security.borrow(),
        config_json: &config_json,
        version: world.version,
        ledger_file: &world.ledger_file,
        process: facts(world, request, &http),
        hold,
    };
    api::respond(
        &view,
        &Request {
            method: request.method.as_str(),
            path: &request.path,
            query: request.query.as_deref().unwrap_or(""),
            header: &header,
            header_count: &|name| fields(request, name).count(),
            body: &request.body,
            peer_is_loopback: request.peer.ip().is_loopback(),
            peer: request.peer.ip(),
        },
    )
}

/// The values of a field. The few that a request has are looked through faster than a name is parsed and hashed, and it is asked
/// for a score of names.
fn fields<'a>(request: &'a Incoming, name: &str) -> impl Iterator<Item = &'a HeaderValue> {
    request.headers.iter().filter_map(move |(known, value)| (known.as_str() == name).then_some(value))
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
        throttled: world.throttle.borrow().refused(),
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

pub(super) fn answer_of(response: Response) -> Answer {
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
    let stream = EventStream::new(Arc::clone(&world.ledger), durable.ledger, query, durable.seq);
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
    /// Bytes of the page at hand that the client has already.
    given: usize,
    /// The first event of that page.
    given_of: Option<Seq>,
    step: Step,
}

/// A page as text, and where the stream stands once the client has it.
struct Rendered {
    text: String,
    first: Option<Seq>,
    is_first: bool,
    last: Option<EventId>,
    after: Seq,
    left: usize,
    is_end: bool,
}

impl EventStream {
    /// The events that are asked for, up to this one.
    fn new(ledger: Arc<Ledger>, ledger_id: LedgerId, query: EventsQuery, upto: Seq) -> Self {
        Self {
            ledger,
            ledger_id,
            after: query.after,
            upto,
            left: query.limit,
            query,
            is_first: true,
            last: None,
            given: 0,
            given_of: None,
            step: Step::Head,
        }
    }

    /// The next piece. A page with a large event is made anew for each of its pieces, so that no client holds more than
    /// one piece in memory.
    fn next_piece(&mut self) -> Chunk {
        let Some(page) = self.render() else { return Chunk::Cut };
        if self.given > 0 && page.first != self.given_of {
            // The ledger dropped the event meanwhile.
            return Chunk::Cut;
        }
        let bytes = page.text.into_bytes();
        let Some(rest) = bytes.get(self.given..) else { return Chunk::Cut };
        if rest.len() > PIECE_BYTES {
            let piece = rest[..PIECE_BYTES].to_vec();
            self.given += PIECE_BYTES;
            self.given_of = page.first;
            return Chunk::Bytes(piece);
        }
        let piece = rest.to_vec();
        (self.given, self.given_of) = (0, None);
        (self.is_first, self.last, self.after, self.left) = (page.is_first, page.last, page.after, page.left);
        if page.is_end {
            self.step = Step::Ended;
        }
        Chunk::Bytes(piece)
    }

    fn render(&self) -> Option<Rendered> {
        let limit = self.left.min(PAGE_EVENTS);
        let page = self.ledger.page(self.after, &self.query.filter, limit, PAGE_BYTES).ok()?;
        let events = page.events.iter().take_while(|event| event.seq <= self.upto);
        let mut rendered = Rendered {
            text: String::new(),
            first: page.events.first().map(|event| event.seq),
            is_first: self.is_first,
            last: self.last,
            after: page.next,
            left: self.left,
            is_end: false,
        };
        for event in events {
            api::events::push(&mut rendered.text, event, self.ledger_id, rendered.is_first);
            rendered.is_first = false;
            rendered.last = Some(EventId { seq: event.seq, ledger: self.ledger_id });
            rendered.left -= 1;
        }
        let is_seen = page.end || page.next >= self.upto;
        if is_seen {
            // Everything was looked at: whoever goes on from here need not look again.
            let seen = EventId { seq: self.upto, ledger: self.ledger_id };
            rendered.last = rendered.last.max((self.upto > self.query.after).then_some(seen));
        }
        rendered.is_end = is_seen || rendered.left == 0;
        if rendered.is_end {
            rendered.text.push_str(&api::events::tail(&self.query, rendered.last));
        }
        Some(rendered)
    }
}

impl ChunkSource for EventStream {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Chunk> {
        Poll::Ready(match self.step {
            Step::Head => {
                self.step = Step::Pages;
                Chunk::Bytes(api::events::HEAD.as_bytes().to_vec())
            }
            Step::Pages => self.next_piece(),
            Step::Ended => Chunk::End,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::event::{Event, EventFilter, JsonText, Severity, Source};
    use crate::agent::memory::Write;
    use crate::agent::time::Wall;
    use crate::ledger::{Limits, SIZE_MIN_BYTES};

    fn event(seq: u64, bytes: usize) -> Write {
        Write::Event(Event {
            seq: Seq(seq),
            at: Wall(0),
            kind: "test".to_owned(),
            source: Source::Chainbot,
            severity: Severity::Info,
            message: "m".to_owned(),
            metadata: JsonText(format!(r#"{{"filler":"{}"}}"#, "x".repeat(bytes))),
        })
    }

    fn stream(ledger: &Arc<Ledger>, upto: u64) -> EventStream {
        let query = EventsQuery {
            after: Seq(0),
            filter: EventFilter::default(),
            limit: 1_000,
            since: "0".to_owned(),
        };
        EventStream::new(Arc::clone(ledger), LedgerId(7), query, Seq(upto))
    }

    fn pieces(mut stream: EventStream) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            match stream.poll_next(&mut cx) {
                Poll::Ready(Chunk::Bytes(bytes)) => pieces.push(bytes),
                Poll::Ready(Chunk::End) => return pieces,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn large_and_small_events_are_streamed_in_small_pieces_and_nothing_is_lost() {
        let dir = std::env::temp_dir().join(format!("chainbot-stream-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder of our own");
        let limits = Limits { size_max_bytes: SIZE_MIN_BYTES, events_max: 1_000 };
        let (ledger, _) = Ledger::open_file(&dir.join("l.redb"), limits, 7).expect("a new one");
        let writes: Vec<Write> =
            (1..=200).map(|seq| event(seq, if seq % 50 == 3 { 50_000 } else { 300 })).collect();
        for batch in writes.chunks(20) {
            ledger.commit(&[batch.to_vec()]).expect("room");
        }
        let ledger = Arc::new(ledger);
        let pieces = pieces(stream(&ledger, 190));
        assert!(pieces.iter().all(|piece| piece.capacity() <= PIECE_BYTES), "one client's memory");
        let text = String::from_utf8(pieces.concat()).expect("pieces are cut at bytes, the whole is text");
        let ids: Vec<&str> =
            text.split("\"id\":\"").skip(1).filter_map(|rest| rest.split('-').next()).collect();
        let wanted: Vec<String> = (1..=190).map(|seq| format!("{seq:012x}")).collect();
        assert_eq!(ids, wanted);
        assert!(crate::wire::json::Json::parse(text.as_bytes()).is_ok());
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }
}
