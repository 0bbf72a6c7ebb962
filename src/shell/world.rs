//! The one place where the agent meets the world: an input goes in, its effects are carried out in order.
//!
//! Everything here runs on one thread and never waits; what takes time was handed to a helper thread and comes back as
//! an input.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Receiver, Sender};

use super::asking::Asking;
use super::bell::Bell;
use super::bus::Links;
use super::calls::Calls;
use super::clock::Clock;
use super::committer::{Commits, Committer};
use super::credentials::Watch;
use super::http::Port;
use super::oneshot::{Giver, oneshot};
use super::reactor::Timer;
use super::sense::Sense;
use super::think::{Around, Thinker};
use super::tools::Hands;
use super::ws::hub::Hub;
use crate::agent::brain::setup::BrainSetup;
use crate::agent::brain::speech::Message;
use crate::agent::effect::{Call, Effect, IntakeAnswer};
use crate::agent::event::{EventDraft, EventFilter};
use crate::agent::ids::{CallId, CorrelationId, DedupeKey, EventId, RequestId, Seq, Ticket};
use crate::agent::input::{CommitFault, Input};
use crate::agent::limits::FETCH_SCAN_MAX;
use crate::agent::memory::Write;
use crate::agent::time::Wall;
use crate::agent::{Agent, Now};
use crate::api::audit;
use crate::api::{Hold, HttpCounters, Place, Rate, Scene, Security, Shown, Throttle, Who};
use crate::config::Config;
use crate::ledger::{Fetched, Ledger, Page, ReadFault};
use crate::wire::{self, CallResult};

/// The agent and everything it can reach.
pub struct World {
    pub(super) clock: Clock,
    pub(super) agent: RefCell<Agent>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ledger_file: String,
    pub(super) config: RefCell<Config>,
    pub(super) security: RefCell<Security>,
    pub(super) throttle: RefCell<Throttle>,
    watch: Watch,
    pub(super) version: &'static str,
    pub(super) http: RefCell<HttpCounters>,
    pub(super) links: Links,
    pub(super) thinker: Rc<Thinker>,
    pub(super) hands: Hands,
    committer: Committer,
    calls: Calls,
    in_flight: RefCell<BTreeMap<CallId, (CorrelationId, Call)>>,
    sense: RefCell<Sense>,
    port: Rc<Port>,
    pub(super) asking: Asking,
    waiting: RefCell<BTreeMap<RequestId, Giver<IntakeAnswer>>>,
    last_request: Cell<u64>,
    hub: Rc<Hub>,
    pub(super) bell: Bell,
    /// The newest durable event, as `Effect::Published` told.
    durable: Cell<Seq>,
    samples: Cell<u64>,
    rung: (Sender<()>, Receiver<()>),
    ended: (Sender<()>, Receiver<()>),
}

/// What a world is made of.
pub struct Parts {
    /// Read for every input.
    pub clock: Clock,
    /// Who decides.
    pub agent: Agent,
    /// Shared with the committer.
    pub ledger: Arc<Ledger>,
    /// Its file, for people.
    pub ledger_file: String,
    /// For `/config`.
    pub config: Config,
    /// Who may what.
    pub security: Security,
    /// The files of that.
    pub watch: Watch,
    /// Of the program.
    pub version: &'static str,
    /// The thread that waits for the disk.
    pub committer: Committer,
    /// The threads that wait for peers.
    pub calls: Calls,
    /// The link to the event bus.
    pub links: Links,
    /// Questions to models.
    pub thinker: Rc<Thinker>,
    /// Runs tools.
    pub hands: Hands,
    /// Reads the machine.
    pub sense: Sense,
    /// The open port.
    pub port: Rc<Port>,
    /// Its sockets.
    pub hub: Rc<Hub>,
}

/// The ledger as the committer's thread uses it.
pub struct Durable(pub Arc<Ledger>);

impl Commits for Durable {
    fn commit(&self, batches: &[Arc<[Write]>]) -> Result<Seq, CommitFault> {
        self.0.commit(batches).map(|report| report.oldest)
    }
}

impl World {
    /// A world at rest: nothing has happened in it.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let durable = Cell::new(parts.agent.durable().seq);
        Self {
            clock: parts.clock,
            agent: RefCell::new(parts.agent),
            ledger: parts.ledger,
            ledger_file: parts.ledger_file,
            throttle: RefCell::new(Throttle::new(rate_of(&parts.config))),
            config: RefCell::new(parts.config),
            security: RefCell::new(parts.security),
            watch: parts.watch,
            version: parts.version,
            http: RefCell::default(),
            links: parts.links,
            thinker: parts.thinker,
            hands: parts.hands,
            committer: parts.committer,
            calls: parts.calls,
            in_flight: RefCell::default(),
            sense: RefCell::new(parts.sense),
            port: parts.port,
            asking: Asking::default(),
            waiting: RefCell::default(),
            last_request: Cell::new(0),
            hub: parts.hub,
            bell: Bell::default(),
            durable,
            samples: Cell::new(0),
            rung: async_channel::bounded(1),
            ended: async_channel::bounded(1),
        }
    }

    /// Tells the agent what happened and does what it says, until it says no more.
    pub fn feed(&self, input: Input) {
        let mut next = Some(input);
        let mut more = VecDeque::new();
        while let Some(input) = next {
            let now = self.clock.now();
            self.agent.borrow_mut().handle(now, input);
            while let Some(effect) = self.next_effect() {
                more.extend(self.carry_out(now, effect));
            }
            next = more.pop_front();
        }
        // A full channel means that the timer will look anyway.
        let _ = self.rung.0.try_send(());
    }

    fn next_effect(&self) -> Option<Effect> {
        self.agent.borrow_mut().poll_effect()
    }

    /// Does it; what it leads to at once is the next input.
    fn carry_out(&self, now: Now, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Commit { ticket, writes } => self.commit(ticket, writes),
            Effect::Fetch { destination, after, filter } => {
                let found = self.ledger.fetch(after, &filter, FETCH_SCAN_MAX);
                let failed = found.is_err();
                let Fetched { event, upto, oldest } =
                    found.unwrap_or(Fetched { event: None, upto: after, oldest: Seq(0) });
                Some(Input::Fetched { destination, event: event.map(Box::new), upto, oldest, failed })
            }
            Effect::Call { id, correlation, call } => self.call(id, correlation, call),
            Effect::Respond { request, answer } => {
                self.respond(request, answer);
                None
            }
            Effect::BusOpen { link, url, host_header } => self.links.open(link, url, host_header),
            Effect::BusSend { link, message } => {
                let frame = wire::bus::encode(&message, self.agent.borrow().setup());
                self.links.send(link, frame)
            }
            Effect::BusClose { link } => {
                self.links.close(link);
                None
            }
            Effect::Think { thought, prompt, provider, model } => {
                self.thinker.think(thought, prompt, provider, model)
            }
            Effect::ThinkStop { thought } => self.thinker.stop(thought),
            Effect::AskDone { request, answer } => {
                // Who brought a question waits there, who said something here.
                if let Some(answer) = self.thinker.ask_done(request, answer) {
                    self.asking.on_done(request, answer);
                }
                None
            }
            Effect::RunTool { run, session: _, call } => {
                let agent = self.agent.borrow();
                self.hands.start(run, *call, &agent.setup().brain.tools, agent.durable());
                None
            }
            Effect::StopTool { run } => {
                self.hands.stop(run);
                None
            }
            Effect::Decided { request, answer } => {
                self.asking.on_decided(request, answer);
                None
            }
            Effect::Sample => {
                let mut sample = self.sense.borrow_mut().sample(now.mono);
                sample.connections = u32::try_from(self.connections()).unwrap_or(u32::MAX);
                sample.sockets = self.hub.counts().sockets;
                self.samples.set(self.samples.get() + 1);
                self.hub.places().wake_seated();
                Some(Input::Sampled(Box::new(sample)))
            }
            Effect::Published { last } => {
                self.durable.set(last);
                self.bell.ring();
                self.hub.places().wake_seated();
                None
            }
            Effect::Exit => {
                let _ = self.ended.0.try_send(());
                None
            }
        }
    }

    fn commit(&self, ticket: Ticket, writes: Arc<[Write]>) -> Option<Input> {
        let fault = self.committer.submit(ticket, writes).err()?;
        Some(Input::CommitFailed { ticket, fault })
    }

    fn call(&self, id: CallId, correlation: CorrelationId, call: Call) -> Option<Input> {
        let request = {
            let agent = self.agent.borrow();
            wire::encode(&call, correlation, agent.durable().ledger, agent.setup())
        };
        log::debug!("call id={} to={:?} correlation={correlation}", id.0, name_of(&call));
        let Some(request) = request else {
            let (outcome, date) = wire::decode(&call, Err(crate::agent::input::Fault::Transport));
            return Some(Input::CallDone { id, outcome, date });
        };
        self.in_flight.borrow_mut().insert(id, (correlation, call));
        self.calls.start(id, request);
        None
    }

    fn respond(&self, request: RequestId, answer: IntakeAnswer) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&request) {
            waiting.give(answer);
        }
    }

    /// The commits that come back, for ever.
    pub async fn listen_to_commits(&self) {
        loop {
            let (ticket, result) = self.committer.next().await;
            self.feed(match result {
                Ok(oldest) => Input::Committed { ticket, oldest },
                Err(fault) => Input::CommitFailed { ticket, fault },
            });
        }
    }

    /// The calls that come back, for ever.
    pub async fn listen_to_calls(&self) {
        loop {
            let (id, result) = self.calls.next().await;
            self.on_call_done(id, result);
        }
    }

    fn on_call_done(&self, id: CallId, mut result: CallResult) {
        let Some((correlation, call)) = self.in_flight.borrow_mut().remove(&id) else { return };
        if let Ok(reply) = &mut result
            && reply.status >= 400
            && let Some(aiwm) = &self.agent.borrow().setup().aiwm
        {
            wire::words::mask(&mut reply.body, &aiwm.agent_secret.0);
        }
        tell_call(correlation, &call, &result);
        let (outcome, date) = wire::decode(&call, result);
        let is_connect = matches!(call, Call::AiwmConnect);
        self.feed(Input::CallDone { id, outcome, date });
        if is_connect {
            self.tell_servers();
        }
    }

    /// Tells the hands which servers of tools there are: the controller may have named others, or given a new token.
    pub(super) fn tell_servers(&self) {
        let servers = self.agent.borrow().tool_servers();
        self.hands.set_servers(&servers);
    }

    /// The tools that are done, for ever.
    pub async fn listen_to_tools(&self) {
        loop {
            let (run, result) = self.hands.next().await;
            self.feed(Input::ToolDone { run, result });
        }
    }

    /// Ticks when the agent wants to be called, for ever.
    pub async fn keep_time(&self) {
        loop {
            let deadline = self.agent.borrow().poll_timeout();
            let rung = async {
                let _ = self.rung.1.recv().await;
                false
            };
            let due = async {
                match deadline.and_then(|deadline| self.clock.instant_of(deadline.at)) {
                    Some(at) => Timer::at(at).await,
                    None => futures_lite::future::pending().await,
                };
                true
            };
            if futures_lite::future::or(due, rung).await {
                self.feed(Input::Tick);
            }
        }
    }

    /// A name for a request that waits for its answer.
    pub(super) fn next_request(&self) -> RequestId {
        self.last_request.set(self.last_request.get() + 1);
        RequestId(self.last_request.get())
    }

    /// Gives a webhook to the agent and waits for its answer.
    pub async fn intake(
        &self,
        draft: EventDraft,
        dedupe: Option<DedupeKey>,
        known: Option<Seq>,
    ) -> IntakeAnswer {
        let request = self.next_request();
        let (giver, taker) = oneshot();
        self.waiting.borrow_mut().insert(request, giver);
        let _guard = Forget { world: self, request };
        self.feed(Input::Webhook { request, draft, dedupe, known });
        taker.await.unwrap_or(IntakeAnswer::Stopping)
    }

    /// The sockets of the open port.
    #[must_use]
    pub fn hub(&self) -> Rc<Hub> {
        Rc::clone(&self.hub)
    }

    /// The newest durable event.
    pub(super) fn durable(&self) -> Seq {
        self.durable.get()
    }

    /// The newest durable event, and the oldest that is kept.
    pub(super) fn ends(&self) -> (EventId, Seq) {
        let agent = self.agent.borrow();
        (agent.durable(), agent.oldest())
    }

    /// How many samples of the machine were taken.
    pub(super) fn samples(&self) -> u64 {
        self.samples.get()
    }

    /// As `Ledger::page`.
    pub(super) fn page(
        &self,
        after: Seq,
        filter: &EventFilter,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadFault> {
        self.ledger.page(after, filter, limit, bytes_max)
    }

    /// Reads tokens and keys again that somebody has changed, at most once a second.
    pub(super) fn refresh_credentials(&self) {
        if self.watch.is_due(self.clock.mono()) {
            self.reread_credentials();
        }
    }

    /// Reads tokens and keys again that somebody has changed, and tells who changes what.
    pub(super) fn reread_credentials(&self) {
        let deeds = self.watch.refresh(&self.config.borrow(), &self.security);
        for deed in deeds {
            // Nobody waits for an answer: it is done already.
            let (request, draft) = (self.next_request(), audit::local_draft(&deed));
            self.feed(Input::Webhook { request, draft, dedupe: None, known: None });
        }
    }

    /// Whether what somebody's right rests on is still there.
    pub(super) fn still_holds(&self, who: &Who) -> bool {
        if who.root.is_none() && who.expires_s.is_none() {
            return true;
        }
        self.refresh_credentials();
        self.with_scene(|scene| who.still_holds(scene.security, scene.status))
    }

    /// What holds a credential from there.
    pub(super) fn look(&self, place: Option<Place>) -> Hold {
        let look = |place| self.throttle.borrow().look(self.clock.now().mono, place);
        place.map(look).unwrap_or_default()
    }

    /// Counts a request from there; what holds it.
    pub(super) fn admit(&self, place: Option<Place>) -> Hold {
        let admit = |place| self.throttle.borrow_mut().admit(self.clock.now().mono, place);
        place.map(admit).unwrap_or_default()
    }

    /// Counts what came of a request from there.
    pub(super) fn note(&self, place: Option<Place>, shown: Shown) {
        if let Some(place) = place {
            self.throttle.borrow_mut().note(self.clock.now().mono, place, shown);
        }
    }

    /// Shows what a socket's talk may look at.
    pub(super) fn with_scene<T>(&self, f: impl FnOnce(Scene<'_>) -> T) -> T {
        let agent = self.agent.borrow();
        let status = agent.status(self.clock.now());
        f(Scene { status: &status, setup: agent.setup(), security: &self.security.borrow() })
    }

    /// The open port.
    #[must_use]
    pub fn port(&self) -> Rc<Port> {
        Rc::clone(&self.port)
    }

    /// Connections to the open port.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.port.open()
    }

    /// Goes once around through the loop and the ledger's thread; whether that still lives.
    pub async fn pulse(&self) -> bool {
        self.committer.pulse().await
    }

    /// Returns when the agent has said `Exit`.
    pub async fn ended(&self) {
        let _ = self.ended.1.recv().await;
    }

    /// Lets the committer do what it was asked, and ends its thread.
    pub fn close(self) {
        self.committer.finish();
    }
}

impl Around for World {
    fn brain(&self) -> BrainSetup {
        self.agent.borrow().setup().brain.clone()
    }

    fn messages(&self, session: &str, from: u32, upto: u32, bytes_max: usize) -> Option<Vec<(u32, Message)>> {
        self.ledger.messages(session, from, upto, bytes_max).ok()
    }

    fn tools(&self, names: &[String]) -> String {
        self.hands.schemas(names)
    }

    fn wall(&self) -> Wall {
        super::clock::system_now()
    }

    fn feed(&self, input: Input) {
        World::feed(self, input);
    }
}

/// `security.rate_limit_requests` in `security.rate_limit_window`.
pub(super) fn rate_of(config: &Config) -> Rate {
    Rate { requests: config.security.rate_limit_requests, window_s: config.security.rate_limit_window_s }
}

/// The caller went away before its answer came.
struct Forget<'a> {
    world: &'a World,
    request: RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.world.waiting.borrow_mut().remove(&self.request);
    }
}

/// What came of a call, under the name that the peer logged it by.
fn tell_call(correlation: CorrelationId, call: &Call, result: &CallResult) {
    let to = name_of(call);
    match result {
        Ok(reply) if reply.status < 400 => {
            log::debug!("call_done to={to:?} status={} correlation={correlation}", reply.status);
        }
        Ok(reply) => log::info!("call_refused to={to:?} status={} correlation={correlation}", reply.status),
        Err(fault) => log::info!("call_failed to={to:?} why=\"{fault}\" correlation={correlation}"),
    }
}

fn name_of(call: &Call) -> &'static str {
    match call {
        Call::AlexosRegister { .. } => "alex_os register",
        Call::AlexosCanon => "alex_os canon",
        Call::AlexosEvent { .. } => "alex_os event",
        Call::AlexosReport { .. } => "alex_os health_report",
        Call::WebhookUrlReport { .. } => "webhook_url health",
        Call::AiwmConnect => "aiwm connect",
        Call::AiwmHeartbeat { .. } => "aiwm heartbeat",
        Call::AiwmDisconnect { .. } => "aiwm disconnect",
        Call::Hook { .. } => "webhook",
    }
}
