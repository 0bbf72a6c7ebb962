//! The core: it decides everything and knows no clock, socket, thread or file.
//!
//! # Contract
//!
//! `Agent` is driven by one caller, in one thread:
//!
//! 1. After every [`Agent::handle`], drain [`Agent::poll_effect`] to `None` before the next `handle` (asserted), and
//!    carry the effects out in that order.
//! 2. Commits have tickets and complete in the order asked; `Committed { ticket }` covers all earlier ones.
//! 3. A tick that comes early or twice is harmless. [`Agent::poll_timeout`] is strictly later than the last `now` (asserted).
//! 4. Same setup, memory, seed and inputs: same effects, to the byte.
//! 5. Nothing is acknowledged, to a caller or to a peer, that a power cut could take back: the answer goes out on
//!    `Committed`, never on `Commit`. After a failed commit the outcome is unknown, and the same writes are tried again.
//! 6. Answers with an unknown or outdated id are counted and dropped.
//! 7. A panic is a bug of ours. Nothing that came from network, disk or config may reach an assertion.
//! 8. State is a small enum per part, changed only in its `enter_*` functions, which log old, new and why.
//!
//! Parts never call each other: each returns a small value, and `Agent` routes it (`routing.rs`).
//!
//! # Calls
//!
//! Each peer has a lane: one call to ALEX OS at a time (two break each other there), one to AIWM, at most
//! `limits::HOOK_CALLS_MAX` to webhooks. So the shell never needs more than `limits::CALLS_MAX` helper threads.

mod acting;
pub mod attention;
pub mod backoff;
pub mod brain;
mod brain_routing;
pub mod bus;
mod bus_routing;
pub mod calendar;
pub mod counters;
pub mod deliveries;
pub mod effect;
pub mod event;
pub mod events_path;
pub mod health;
pub mod ids;
pub mod input;
pub mod journal;
pub mod lanes;
pub mod limits;
pub mod memory;
mod outcomes;
pub mod registration;
pub mod rng;
mod routing;
pub mod session;
pub mod setup;
pub mod status;
mod stopping;
#[cfg(test)]
mod tests;
pub mod time;
pub mod timers;
mod turn_routing;
mod view;

use std::collections::VecDeque;

use attention::Attention;
use bus::Bus;
use calendar::Calendar;
use deliveries::Delivery;
use event::{EventDraft, JsonText, Severity, Source};
use events_path::EventsPathFinder;
use health::HealthKeeper;
use ids::{Destination, Seq};
use input::ControllerAnswer;
use journal::Journal;
use lanes::Lanes;
use memory::FactKey;
use registration::Registration;
use rng::Rng;
use session::Session;
use setup::{AiwmSetup, AlexosSetup};
use stopping::Stopping;
use time::Wall;

pub use counters::Counters;
pub use effect::{Call, Deadline, Effect};
pub use input::Input;
pub use memory::Memory;
pub use setup::Setup;
pub use status::Status;
pub use time::Now;

/// What there is of ALEX OS, when one is configured.
#[derive(Debug)]
struct Alexos {
    registration: Registration,
    path: EventsPathFinder,
    /// Calls in a row that did not reach it.
    failures: u32,
    /// A health report waits for the lane.
    report_due: bool,
    /// A health report for `webhook_url` waits for the lane.
    webhook_url_due: bool,
    last_report: Option<Wall>,
    /// The documented path was not there although a registration was taken, and that was asked about once.
    has_doubted: bool,
    bus: Bus,
}

/// The agent. See the module's contract.
#[derive(Debug)]
pub struct Agent {
    setup: Setup,
    now: Now,
    started: Now,
    rng: Rng,
    calendar: Calendar,
    journal: Journal,
    oldest: Seq,
    counters: Counters,
    effects: VecDeque<Effect>,
    lanes: Lanes,
    alexos: Option<Alexos>,
    session: Option<Session>,
    deliveries: Vec<Delivery>,
    /// Destinations that were taken out of the config while the log was read for them: at most one entry for each fetch under way.
    orphan_fetches: Vec<Destination>,
    next_hook: usize,
    health: HealthKeeper,
    attention: Attention,
    brain: brain::Brain,
    stopping: Option<Stopping>,
}

/// Between samples when no ALEX OS asks for reports, in milliseconds.
const SAMPLE_INTERVAL_MS: u64 = 60_000;

impl Agent {
    /// An agent with what the ledger held. `seed` feeds jitter and correlation ids.
    #[must_use]
    pub fn new(setup: Setup, mut memory: Memory, seed: u64, now: Now) -> Self {
        let floor = setup.built_at.max(memory.newest_at.unwrap_or_default());
        let interval = setup.alexos.as_ref().map_or(SAMPLE_INTERVAL_MS, |alexos| alexos.health_interval_ms);
        let mut agent = Self {
            now,
            started: now,
            rng: Rng::new(seed),
            calendar: Calendar::new(floor, now),
            journal: Journal::new(memory.ledger, memory.last),
            oldest: memory.oldest,
            counters: Counters::default(),
            effects: VecDeque::new(),
            lanes: Lanes::default(),
            alexos: None,
            session: None,
            deliveries: Vec::new(),
            orphan_fetches: Vec::new(),
            next_hook: 0,
            health: HealthKeeper::new(interval, now.mono),
            attention: Attention::default(),
            brain: brain::Brain::default(),
            stopping: None,
            setup,
        };
        agent.furnish(&memory);
        agent.furnish_brain(&mut memory);
        agent.record_start(&memory);
        agent
    }

    /// Makes the parts from setup and memory.
    fn furnish(&mut self, memory: &Memory) {
        let fact = |key| memory.facts.iter().find(|(other, _)| *other == key).map(|(_, value)| value.clone());
        self.alexos = self.setup.alexos.as_ref().map(|setup| {
            let bus = Bus::new(&setup.event_bus_url, &setup.registry_url);
            new_alexos(setup, fact(FactKey::AlexosAgentId), bus)
        });
        self.session = self
            .setup
            .aiwm
            .as_ref()
            .map(|setup| self.new_session(setup, memory.controller.clone(), fact(FactKey::Controller)));
        let disabled = fact(FactKey::HooksDisabled).unwrap_or_default();
        self.furnish_deliveries(&memory.cursors, &disabled);
    }

    fn new_session(
        &self,
        setup: &AiwmSetup,
        answer: Option<ControllerAnswer>,
        fact: Option<String>,
    ) -> Session {
        Session::new(setup, answer, fact, self.now.mono)
    }

    /// A reader for ALEX OS and each webhook; cursors of readers that are no longer configured are forgotten.
    fn furnish_deliveries(&mut self, cursors: &[(Destination, Seq)], disabled: &str) {
        let known =
            |wanted: &Destination| cursors.iter().find(|(kept, _)| kept == wanted).map(|(_, seq)| *seq);
        let mut deliveries = Vec::new();
        if let Some(alexos) = &self.setup.alexos {
            deliveries.push(Delivery::new(
                Destination::Alexos,
                Bus::filter(),
                alexos.registry_url.clone(),
                known(&Destination::Alexos).unwrap_or_default(),
            ));
        }
        for hook in &self.setup.hooks {
            let destination = Destination::Hook(hook.key.clone());
            let written = known(&destination);
            let cursor = written.unwrap_or(self.journal.durable());
            let mut delivery =
                Delivery::new(destination, hook.filter.clone(), hook.shown_url.clone(), cursor);
            if disabled.split(',').any(|key| key == hook.key) {
                delivery.stay_disabled();
            } else if written.is_none() {
                delivery.mark_moved(self.now.mono);
            }
            deliveries.push(delivery);
        }
        for (destination, _) in cursors {
            if !deliveries.iter().any(|delivery| delivery.destination == *destination) {
                self.journal.push(self.now.mono, memory::Write::CursorGone(destination.clone()));
            }
        }
        self.deliveries = deliveries;
        let _lost = self.skip_dropped();
    }

    fn record_start(&mut self, memory: &Memory) {
        if let Some(recovery) = &memory.recovered {
            let metadata = JsonText::of_strings(&[
                ("reason", &recovery.reason),
                ("quarantined_as", &recovery.quarantined_as),
                ("events_salvaged", &recovery.events_salvaged.to_string()),
                ("records_lost", &recovery.records_lost.to_string()),
            ]);
            let message = format!("ledger was damaged and replaced: {}", recovery.reason);
            self.record("ledger_recovered", Severity::Error, message, metadata);
        }
        if memory.is_rolled_back {
            let message = "the last commit was taken back: cut short, or lost by the disk".to_owned();
            self.record("ledger_rolled_back", Severity::Warning, message, JsonText::of_strings(&[]));
        }
        let (_, trust) = self.calendar.read(self.now);
        let metadata = JsonText::of_strings(&[
            ("agent_name", &self.setup.identity.name),
            ("agent_version", &self.setup.identity.version),
            ("clock", trust.as_str()),
        ]);
        let message = format!("{} started", self.setup.identity.name);
        self.record("chainbot_started", Severity::Info, message, metadata);
    }

    /// Writes an event of our own. Dropped if the journal is full.
    fn record(&mut self, kind: &str, severity: Severity, mut message: String, metadata: JsonText) {
        cut(&mut message, limits::EVENT_MESSAGE_BYTES_MAX);
        let at = self.calendar.read(self.now).0;
        let draft =
            EventDraft { kind: kind.to_owned(), source: Source::Chainbot, severity, message, metadata };
        if self.journal.record(self.now.mono, at, draft).is_some() {
            self.counters.events_recorded += 1;
        } else {
            log::warn!("event_dropped type={kind} why=\"journal full\"");
        }
    }

    /// The only way in.
    ///
    /// # Panics
    ///
    /// If the effects of the call before were not drained: a bug of the caller.
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(self.effects.is_empty(), "effects must be drained before the next input");
        self.now = Now { mono: now.mono.max(self.now.mono), ..now };
        self.route(input);
        self.run();
    }

    /// The next thing the world should do, in order; `None` when all is said.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call `handle(now, Input::Tick)` at the latest, and why. Strictly later than the last `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let (at, timer) = self.next_deadline()?;
        debug_assert!(
            at > self.now.mono,
            "{timer:?} is due at {at:?} and was not served at {:?}",
            self.now.mono
        );
        Some(Deadline { at: at.max(self.now.mono.plus(1)), timer })
    }

    /// What the agent is told about itself and its peers.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The servers of further tools, the config's before the controller's; none if no model could be told of their tools. They
    /// may be others after each answer of the controller.
    #[must_use]
    pub fn tool_servers(&self) -> Vec<brain::setup::McpSetup> {
        if !self.may_tell_servers() {
            return Vec::new();
        }
        let theirs = self.session.as_ref().map_or(&[][..], Session::servers);
        self.setup.brain.mcp.iter().chain(theirs).cloned().collect()
    }

    /// The newest durable event.
    #[must_use]
    pub fn durable(&self) -> ids::EventId {
        self.journal.event_id(self.journal.durable())
    }

    /// The oldest event that the ledger keeps.
    #[must_use]
    pub fn oldest(&self) -> Seq {
        self.oldest
    }

    /// The public name of a place in the ledger.
    #[must_use]
    pub fn event_id(&self, seq: Seq) -> ids::EventId {
        self.journal.event_id(seq)
    }
}

fn new_alexos(setup: &AlexosSetup, agent_id: Option<String>, bus: Bus) -> Alexos {
    Alexos {
        registration: Registration::new(setup.retry_interval_ms, setup.attempts_max, agent_id),
        path: EventsPathFinder::default(),
        failures: 0,
        report_due: false,
        webhook_url_due: false,
        last_report: None,
        has_doubted: false,
        bus,
    }
}

/// Cuts `text` to `bytes_max` bytes at a character, and marks the cut.
pub fn cut(text: &mut String, bytes_max: usize) {
    if text.len() <= bytes_max {
        return;
    }
    let mut end = bytes_max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push('…');
}
