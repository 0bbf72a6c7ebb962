//! One socket of the open port, from its 101 to its last byte.
//!
//! ```text
//!   talking --peer closed, broke a rule, left--> over
//!      |-- we close (stop, lag, no credential, dead) --> closing --answered, or too late--> over
//! ```
//!
//! A socket is sent, in this order: the answers to its own messages, its outbox, and the events behind its cursor, as
//! fast as it takes them. It is not read while an answer waits, so that a client can fill nobody's memory.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::cursor;
use super::driver::{End, Next, Role, Socket};
use super::hub::{Mail, Membership};
use crate::agent::effect::IntakeAnswer;
use crate::agent::event::Event;
use crate::api::{Conversation, Follow, Place, Plan, Reaction, Scene, Shown, commands};
use crate::shell::http::{Alarm, Seat, Share, Stream, now};
use crate::shell::reactor;
use crate::shell::world::World;

/// Between two protocol pings, and as long again until a client that shows no sign of life is dead.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Time for the credential of a client that showed none at the handshake.
const ADMISSION_TIME_MAX: Duration = Duration::from_secs(10);
/// Time for the peer's half of the close handshake.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// A socket whose page is too large for the memory that is left tries again after this.
const SHARE_PAUSE: Duration = Duration::from_millis(250);
/// Events read for one socket at once, and about how many bytes of them.
const PAGE_EVENTS: usize = 16;
const PAGE_BYTES: usize = 4 * 1024;
/// Bytes of texts that any socket may hold; more is counted against all together.
const FREE_BYTES: usize = 4 * 1024;
/// Between two looks at whether a client's credential still holds.
const HOLDS_INTERVAL: Duration = Duration::from_secs(1);
/// Messages of one client before others have their turn.
const TURN_MESSAGES: u32 = 16;

/// What a socket waits for.
enum Step {
    Came(Next),
    MaySend,
    Due,
    Stop,
}

/// What a socket is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Talking,
    /// A close frame of ours is on its way.
    Closing,
}

struct Attendance {
    world: Rc<World>,
    socket: Socket<Stream>,
    seat: Seat,
    member: Membership,
    talk: Conversation,
    follow: Option<Follow>,
    answers: VecDeque<String>,
    alarm: Alarm,
    state: State,
    ping_due: Instant,
    /// A ping went out and nothing has come since.
    is_silent: bool,
    was_text_quiet: bool,
    unblocked_seen: u32,
    /// Until then the client must have shown a credential, or closed.
    last_due: Option<Instant>,
    pause_due: Option<Instant>,
    samples_seen: u64,
    peer: SocketAddr,
    from: Option<Place>,
    held_at: Instant,
    incoming: Option<Share>,
    incoming_bytes: usize,
    outgoing: Option<Share>,
}

/// Attends a socket; gives its stream back to be closed in peace, unless it is broken or dead.
pub(in crate::shell) async fn attend(
    world: Rc<World>,
    plan: Plan,
    seat: Seat,
    (peer, from): (SocketAddr, Option<Place>),
    stream: Stream,
    ahead: Vec<u8>,
) -> Option<Stream> {
    let kind = plan.kind.as_str();
    log::debug!("socket_opened kind={kind} peer={peer}");
    let mut attendance = Attendance::new(world, plan, seat, peer, stream, &ahead);
    attendance.from = from;
    drop(ahead);
    let end = attendance.run().await;
    match &end {
        Some(End::Closed { code, .. }) => log::debug!("socket_closed kind={kind} peer={peer} code={code:?}"),
        Some(End::Fault(code)) => log::info!("socket_fault kind={kind} peer={peer} code={code}"),
        Some(End::Lost(why)) => log::debug!("socket_lost kind={kind} peer={peer} why={why:?}"),
        None => log::info!("socket_dropped kind={kind} peer={peer} why=\"no sign of life\""),
    }
    match end {
        Some(End::Closed { .. } | End::Fault(_)) => attendance.socket.into_stream(),
        _ => None,
    }
}

impl Attendance {
    fn new(world: Rc<World>, plan: Plan, seat: Seat, peer: SocketAddr, stream: Stream, ahead: &[u8]) -> Self {
        let hub = world.hub();
        let talk = Conversation::new(hub.next_id(), &plan);
        let begun = now();
        let mut follow = plan.follow;
        if let Some(follow) = &mut follow {
            cursor::begin(follow, world.ends().1);
        }
        Self {
            socket: Socket::new(stream, ahead, Role::Server),
            seat,
            member: hub.join(plan.seat),
            last_due: (!talk.is_admitted()).then_some(begun + ADMISSION_TIME_MAX),
            talk,
            follow,
            answers: VecDeque::new(),
            alarm: Alarm::new(),
            state: State::Talking,
            ping_due: begun + PING_INTERVAL,
            is_silent: false,
            was_text_quiet: false,
            unblocked_seen: 0,
            pause_due: None,
            samples_seen: world.samples(),
            peer,
            from: None,
            held_at: begun,
            incoming: None,
            incoming_bytes: 0,
            outgoing: None,
            world,
        }
    }

    /// How it ended; `None`: the client was given up.
    async fn run(&mut self) -> Option<End> {
        let reactions = self.world.with_scene(|scene| self.talk.greeting(scene));
        self.react(reactions).await;
        let mut turn = 0;
        loop {
            let step = poll_fn(|cx| self.poll_step(cx)).await;
            match step {
                Step::Came(Next::Ended(end)) => return Some(end),
                Step::Came(next) => self.on_came(next).await,
                Step::MaySend if self.state == State::Talking && !self.is_let_in() => {}
                Step::MaySend => self.send(),
                Step::Stop => self.close(1012, "restarting"),
                Step::Due => self.on_due()?,
            }
            turn += 1;
            if turn % TURN_MESSAGES == 0 {
                reactor::rest().await;
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.seat.watch_stop(cx);
        if self.state == State::Talking && self.seat.port.is_stopping() {
            return Poll::Ready(Step::Stop);
        }
        let is_flushed = self.socket.poll_flush(cx).is_ready();
        if is_flushed {
            self.outgoing = None;
        }
        let may_read = self.answers.is_empty() || self.state == State::Closing;
        if may_read && let Poll::Ready(next) = self.socket.poll_next(cx) {
            return Poll::Ready(Step::Came(next));
        }
        let is_alive = self.socket.unblocked_count() != self.unblocked_seen;
        if is_alive {
            self.unblocked_seen = self.socket.unblocked_count();
            self.is_silent = false;
        }
        if let Some(step) = self.incoming_step() {
            return Poll::Ready(step);
        }
        if is_flushed && self.state == State::Talking && self.has_something() {
            return Poll::Ready(Step::MaySend);
        }
        self.alarm.poll_due(cx, Some(self.due())).map(|()| Step::Due)
    }

    /// Counts what is held of a message under way; all sockets together may hold only so much.
    fn incoming_step(&mut self) -> Option<Step> {
        let held = self.socket.held_bytes();
        if held <= FREE_BYTES {
            self.incoming = None;
            self.incoming_bytes = 0;
            return None;
        }
        let address = self.peer.ip();
        let share = self.incoming.get_or_insert_with(|| Share::new(&self.seat.port, address));
        let more = held.saturating_sub(self.incoming_bytes);
        if share.try_grow(more) {
            self.incoming_bytes += more;
            return None;
        }
        (self.state == State::Talking).then(|| {
            self.socket.close(1013, "too many large messages at once");
            self.enter_closing();
            Step::MaySend
        })
    }

    fn has_something(&self) -> bool {
        if self.pause_due.is_some() {
            return false;
        }
        !self.answers.is_empty()
            || self.member.has_mail()
            || (self.talk.is_admitted()
                && (self.samples_seen != self.world.samples()
                    || self.follow.as_ref().is_some_and(|follow| follow.after < self.world.durable())))
    }

    fn due(&self) -> Instant {
        let first = |one: Instant, other: Option<Instant>| other.map_or(one, |other| one.min(other));
        first(first(self.ping_due, self.last_due), self.pause_due)
    }

    async fn on_came(&mut self, next: Next) {
        self.is_silent = false;
        if self.state == State::Closing || !self.is_let_in() {
            return;
        }
        let was_admitted = self.talk.is_admitted();
        let reactions = match next {
            Next::Text(text) => {
                self.was_text_quiet = false;
                self.world.with_scene(|scene| self.talk.on_text(scene, text.as_str()))
            }
            Next::Binary(_) => self.world.with_scene(|scene| self.talk.on_binary(scene)),
            Next::Ping | Next::Pong | Next::StrayPong | Next::Ended(_) => return,
        };
        if !was_admitted {
            let shown = if self.talk.is_admitted() { Shown::Right } else { Shown::Wrong };
            self.world.note(self.from, shown);
        }
        if self.talk.is_admitted() && self.state == State::Talking {
            self.last_due = None;
        }
        self.react(reactions).await;
    }

    /// Before a message or an event: whether the client may still be here. A credential that was taken back or is over closes the
    /// socket within a second of the next that would go over it.
    fn is_let_in(&mut self) -> bool {
        if !self.talk.is_admitted() {
            self.world.refresh_credentials();
            let is_held = self.world.look(self.from).guesses.is_some();
            if is_held {
                self.world.note(self.from, Shown::Held);
                self.close(1013, "too many wrong credentials, come back later");
            }
            return !is_held;
        }
        let now = now();
        if now.duration_since(self.held_at) < HOLDS_INTERVAL {
            return true;
        }
        self.held_at = now;
        let holds = self.world.still_holds(self.talk.who());
        if !holds {
            self.close(1008, "credential is not valid any more");
        }
        holds
    }

    async fn react(&mut self, reactions: Vec<Reaction>) {
        for reaction in reactions {
            if let Some(draft) = self.talk.deed(&reaction) {
                let kind = draft.kind.clone();
                let answer = self.world.intake(draft, None, None).await;
                if !matches!(answer, IntakeAnswer::Stored { .. }) {
                    let reactions = self.world.with_scene(|scene| self.talk.on_taken(scene, &kind, &answer));
                    self.say_all(reactions);
                    continue;
                }
            }
            match reaction {
                Reaction::Say(text) => self.answers.push_back(text),
                Reaction::Tell(window, text) => drop(self.world.hub().tell(window, &text)),
                Reaction::Close(code, reason) => self.close(code, reason),
                Reaction::Take(draft) => {
                    let kind = draft.kind.clone();
                    let answer = self.world.intake(draft, None, None).await;
                    let reactions = self.world.with_scene(|scene| self.talk.on_taken(scene, &kind, &answer));
                    self.say_all(reactions);
                }
                Reaction::Converse(saying) => {
                    if let Some(refusal) = self.world.converse(saying) {
                        let reactions = self.world.with_scene(|scene| self.talk.on_refused(scene, &refusal));
                        self.say_all(reactions);
                    }
                }
                Reaction::Decide { approval, is_yes, by } => {
                    let answer = self.world.decide(approval, is_yes, by).await;
                    self.say_all(self.talk.on_decided(approval, is_yes, answer));
                }
                Reaction::Forget(session) => drop(self.world.forget(session).await),
                Reaction::History(session) => {
                    let messages = self.world.messages(&session).unwrap_or_default();
                    let text = self.world.with_scene(|scene| commands::history(scene, &messages));
                    self.answers.push_back(text);
                }
                Reaction::Export { command, session } => {
                    let messages = self.world.messages(&session).unwrap_or_default();
                    let (window, at) = (self.talk.window(), self.world.clock.wall());
                    self.answers.push_back(commands::exported(window, at, &command, &messages));
                }
                Reaction::Search { command, text } => {
                    let events = self.world.find_events(&text, commands::FOUND_MAX);
                    let (window, at) = (self.talk.window(), self.world.clock.wall());
                    self.answers.push_back(commands::found(window, at, &command, &events));
                }
            }
        }
    }

    /// What can only be said.
    fn say_all(&mut self, reactions: Vec<Reaction>) {
        self.answers.extend(reactions.into_iter().filter_map(|reaction| match reaction {
            Reaction::Say(text) => Some(text),
            _ => None,
        }));
    }

    /// Gives the socket what goes next.
    fn send(&mut self) {
        if self.state == State::Closing {
            return;
        }
        if let Some(text) = self.answers.pop_front() {
            if self.answers.is_empty() {
                self.answers = VecDeque::new();
            }
            return self.socket.send_text(text);
        }
        match self.member.take_mail() {
            Mail::Text(text) => return self.socket.send_text(&*text),
            Mail::Overrun => return self.close(1013, "too slow for what was sent"),
            Mail::Nothing => {}
        }
        if !self.talk.is_admitted() {
            return;
        }
        if self.samples_seen != self.world.samples() {
            self.samples_seen = self.world.samples();
            if let Some(text) = self.world.with_scene(|scene| sample_text(&self.talk, scene)) {
                return self.socket.send_text(text);
            }
        }
        self.send_events();
    }

    /// A page of the events behind the cursor.
    fn send_events(&mut self) {
        let Some(follow) = &mut self.follow else { return };
        let (durable, oldest) = self.world.ends();
        if cursor::is_lost(follow, oldest) {
            return self.close(1013, "too far behind: events are gone");
        }
        let page = self.world.page(follow.after, &follow.filter, PAGE_EVENTS, PAGE_BYTES);
        let is_given = page.is_ok_and(|page| {
            let (port, address, outgoing) = (&self.seat.port, self.peer.ip(), &mut self.outgoing);
            let may_hold = |bytes| {
                if bytes <= 2 * FREE_BYTES {
                    return true;
                }
                let share = outgoing.insert(Share::new(port, address));
                share.try_grow(bytes)
            };
            let show = |event: &Event| self.talk.on_event(event, durable.ledger);
            cursor::give(&mut self.socket, follow, &page, durable, show, may_hold)
        });
        if !is_given {
            self.pause_due = Some(now() + SHARE_PAUSE);
        }
    }

    /// A deadline has come; `None`: the client is given up.
    fn on_due(&mut self) -> Option<()> {
        let now = now();
        if self.pause_due.is_some_and(|due| due <= now) {
            self.pause_due = None;
        }
        if self.last_due.is_some_and(|due| due <= now) {
            if self.state == State::Closing {
                return None;
            }
            self.close(1008, "credential needed");
            return Some(());
        }
        if self.ping_due <= now {
            if self.is_silent {
                return None;
            }
            self.ping_due = now + PING_INTERVAL;
            if self.state == State::Talking {
                self.is_silent = true;
                self.socket.ping();
                if std::mem::replace(&mut self.was_text_quiet, true)
                    && let Some(text) = self.talk.ping()
                    && self.answers.is_empty()
                {
                    self.answers.push_back(text.to_owned());
                }
            }
        }
        Some(())
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.state == State::Talking {
            self.socket.close(code, reason);
            self.enter_closing();
        }
    }

    fn enter_closing(&mut self) {
        self.state = State::Closing;
        self.answers = VecDeque::new();
        self.pause_due = None;
        self.last_due = Some(now() + CLOSE_TIME_MAX);
    }
}

fn sample_text(talk: &Conversation, scene: Scene<'_>) -> Option<String> {
    talk.on_sample(scene, scene.status.sample.as_ref()?)
}
