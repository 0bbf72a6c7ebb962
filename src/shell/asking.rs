//! Callers who wait for the brain: what they ask goes to the agent, what it answers comes back to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::oneshot::{Giver, Taker, oneshot};
use super::world::World;
use crate::agent::brain::speech::{AskAnswer, Message, Refusal, Saying};
use crate::agent::effect::DecisionAnswer;
use crate::agent::event::{Event, EventFilter};
use crate::agent::ids::{EventId, RequestId, Seq};
use crate::agent::input::Input;
use crate::agent::limits::ASKERS_MAX;
use crate::ledger::ReadFault;

/// Most bytes of a conversation that are shown at once.
const TALK_BYTES_MAX: usize = 64 * 1024;
/// The newest events that are looked through for a text, and how many at once.
const FIND_SCAN_MAX: u64 = 1_000;
const FIND_PAGE: usize = 16;

/// Who waits.
#[derive(Default)]
pub struct Asking {
    asks: RefCell<BTreeMap<RequestId, Giver<AskAnswer>>>,
    decisions: RefCell<BTreeMap<RequestId, Giver<DecisionAnswer>>>,
    /// A token for each caller that waits.
    places: Rc<()>,
}

/// A caller's place among those who wait for a model; given back when dropped.
pub(super) struct Place(#[expect(dead_code, reason = "it counts by being held")] Rc<()>);

impl Asking {
    /// A place, unless there are as many as there may be.
    pub(super) fn place(&self) -> Result<Place, Refusal> {
        if Rc::strong_count(&self.places) > ASKERS_MAX {
            return Err(Refusal::Busy { what: "as many wait for a model as may", retry_after_s: 5 });
        }
        Ok(Place(Rc::clone(&self.places)))
    }

    /// The agent's answer to a question or saying.
    pub(super) fn on_done(&self, request: RequestId, answer: AskAnswer) {
        if let Some(waiting) = self.asks.borrow_mut().remove(&request) {
            waiting.give(answer);
        }
    }

    /// The agent's answer to a decision.
    pub(super) fn on_decided(&self, request: RequestId, answer: DecisionAnswer) {
        if let Some(waiting) = self.decisions.borrow_mut().remove(&request) {
            waiting.give(answer);
        }
    }
}

/// Someone who waits for `Effect::AskDone`. Dropped before it came, the agent is told that nobody waits any more.
pub(super) struct Asker {
    world: Rc<World>,
    request: RequestId,
    answer: Taker<AskAnswer>,
    _place: Place,
}

impl Asker {
    /// Takes a place; `Err`: there are as many as there may be.
    pub(super) fn new(world: &Rc<World>) -> Result<Self, Refusal> {
        let place = world.asking.place()?;
        let request = world.next_request();
        let (giver, answer) = oneshot();
        world.asking.asks.borrow_mut().insert(request, giver);
        Ok(Self { world: Rc::clone(world), request, answer, _place: place })
    }

    /// Under which the agent knows it.
    pub(super) fn request(&self) -> RequestId {
        self.request
    }

    /// The answer, once it is there.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<AskAnswer> {
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| answer.unwrap_or(AskAnswer::Refused(Refusal::Stopping)))
    }

    /// Waits for the answer.
    pub(super) async fn answer(&mut self) -> AskAnswer {
        std::future::poll_fn(|cx| self.poll_answer(cx)).await
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if self.world.asking.asks.borrow_mut().remove(&self.request).is_some() {
            self.world.feed(Input::CallerLeft { request: self.request });
        }
    }
}

impl World {
    /// Says something to a conversation; the answer comes as an event. What speaks against it at once is the answer here.
    pub(super) fn converse(self: &Rc<Self>, saying: Box<Saying>) -> Option<Refusal> {
        let request = self.next_request();
        let (giver, taker) = oneshot();
        self.asking.asks.borrow_mut().insert(request, giver);
        self.feed(Input::Say { request, saying });
        // Whoever says it may go: the turn stays.
        self.asking.asks.borrow_mut().remove(&request);
        match taker.take() {
            Some(AskAnswer::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// Tells the agent what a person decided about a call of a tool.
    pub(super) async fn decide(&self, approval: EventId, is_yes: bool, by: String) -> DecisionAnswer {
        self.ask_decision(|request| Input::Decide { request, approval, is_yes, by }).await
    }

    /// Has a conversation forgotten.
    pub(super) async fn forget(&self, session: String) -> DecisionAnswer {
        self.ask_decision(|request| Input::Forget { request, session }).await
    }

    /// What was said in a conversation, the newest that fit into `TALK_BYTES_MAX`.
    pub(super) fn messages(&self, session: &str) -> Result<Vec<(u32, Message)>, ReadFault> {
        self.ledger.messages(session, 0, u32::MAX, TALK_BYTES_MAX)
    }

    /// The newest events whose message or metadata hold this text, among `FIND_SCAN_MAX` of them; the oldest first.
    pub(super) fn find_events(&self, text: &str, count_max: usize) -> Vec<Event> {
        let durable = self.durable();
        let mut after = Seq(durable.0.saturating_sub(FIND_SCAN_MAX));
        let mut found = Vec::new();
        while let Ok(page) = self.page(after, &EventFilter::default(), FIND_PAGE, TALK_BYTES_MAX) {
            let holds = |event: &Event| event.message.contains(text) || event.metadata.0.contains(text);
            after = page.next;
            found.extend(page.events.into_iter().filter(holds));
            if found.len() > count_max {
                found.drain(..found.len() - count_max);
            }
            if page.end || after >= durable {
                break;
            }
        }
        found
    }

    async fn ask_decision(&self, input: impl FnOnce(RequestId) -> Input) -> DecisionAnswer {
        let request = self.next_request();
        let (giver, taker) = oneshot();
        self.asking.decisions.borrow_mut().insert(request, giver);
        let _guard = Undecided { world: self, request };
        self.feed(input(request));
        taker.await.unwrap_or(DecisionAnswer::Unwritable { retry_after_s: 5 })
    }
}

/// Whoever decided went away before the answer came.
struct Undecided<'a> {
    world: &'a World,
    request: RequestId,
}

impl Drop for Undecided<'_> {
    fn drop(&mut self) {
        self.world.asking.decisions.borrow_mut().remove(&self.request);
    }
}
