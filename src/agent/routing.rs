//! Where the parts meet: inputs go to the part that asked, its small answer goes to those it concerns, and then every
//! part that is due may act.

use super::deliveries::Delivery;
use super::effect::{Call, Effect, EventsPath, IntakeAnswer};
use super::event::EventDraft;
use super::event::{AUDIT, Field, JsonText, Severity};
use super::ids::{CallId, CorrelationId, DedupeKey, Destination, RequestId, Seq, Ticket};
use super::input::{CommitFault, Input};
use super::lanes::{Kind, Lane};
use super::session::Session;
use super::setup::{AlexosSetup, Setup};
use super::{Agent, SAMPLE_INTERVAL_MS};

impl Agent {
    pub(super) fn route(&mut self, input: Input) {
        log::trace!("input {input:?}");
        match input {
            Input::Tick => {}
            Input::Committed { ticket, oldest } => self.on_committed(ticket, oldest),
            Input::CommitFailed { ticket, fault } => self.on_commit_failed(ticket, fault),
            Input::Fetched { destination, event, upto, oldest, failed } => {
                self.count_dropped(&destination, oldest);
                self.on_fetched(&destination, event, upto, failed);
            }
            Input::CallDone { id, outcome, date } => {
                if let Some(date) = date {
                    self.calendar.hint(self.now, date);
                }
                let is_doubted = self.calendar.is_doubted(self.now);
                self.on_call_done(id, if is_doubted { outcome.doubted() } else { outcome });
            }
            Input::Webhook { request, draft, dedupe, known } => {
                self.on_webhook(request, draft, dedupe, known)
            }
            Input::BusOpened { link } => self.on_bus_opened(link),
            Input::BusRefused { link, status } => self.on_bus_refused(link, status),
            Input::BusMessage { link, message, known } => self.on_bus_message(link, message, known),
            Input::BusClosed { link, end } => self.on_bus_closed(link, end),
            Input::Ask { request, question } => self.on_ask(request, question),
            Input::Say { request, saying } => self.on_say(request, *saying),
            Input::CallerLeft { request } => self.on_caller_left(request),
            Input::Thought { thought, news } => self.on_thought(thought, news),
            Input::ToolDone { run, result } => self.on_tool_done(run, result),
            Input::Decide { request, approval, is_yes, by } => self.on_decide(request, approval, is_yes, &by),
            Input::Forget { request, session } => self.on_forget(request, session),
            Input::StopTurn { session } => self.on_stop_turn(&session),
            Input::Sampled(sample) => self.on_sampled(*sample),
            Input::Reconfigured(setup) => self.on_reconfigured(*setup),
            Input::StopAsked(reason) => self.on_stop_asked(reason),
        }
    }

    fn on_committed(&mut self, ticket: Ticket, oldest: Seq) {
        let before = self.journal.durable();
        let was_failing = self.journal.fault().is_some();
        let Some(answers) = self.journal.on_committed(ticket) else {
            self.counters.answers_dropped += 1;
            return;
        };
        for (request, answer) in answers {
            self.count_stored(&answer);
            self.effects.push_back(Effect::Respond { request, answer });
        }
        if was_failing {
            for delivery in &mut self.deliveries {
                delivery.on_ledger_well();
            }
        }
        self.oldest = self.oldest.max(oldest);
        if self.journal.durable() > before {
            self.effects.push_back(Effect::Published { last: self.journal.durable() });
        }
        warn_of_lost(self.skip_dropped());
    }

    /// A reader came to a place whose next events were dropped: while it was busy, or by a commit that has not come back.
    fn count_dropped(&mut self, destination: &Destination, oldest: Seq) {
        self.oldest = self.oldest.max(oldest);
        if *destination == Destination::Bus {
            if let Some(alexos) = &mut self.alexos {
                self.counters.bus_lost += alexos.bus.on_oldest(oldest);
            }
            return;
        }
        let now = self.now.mono;
        let reader = self.deliveries.iter_mut().find(|delivery| delivery.destination == *destination);
        let lost =
            reader.filter(|reader| reader.is_fetching()).map_or(0, |reader| reader.skip_to(now, oldest));
        self.counters.deliveries_lost += lost;
        warn_of_lost(lost);
    }

    /// Moves readers past what the ledger dropped; how many events they lost together.
    pub(super) fn skip_dropped(&mut self) -> u64 {
        let (now, oldest) = (self.now.mono, self.oldest);
        let lost = self.deliveries.iter_mut().map(|delivery| delivery.on_oldest(now, oldest)).sum();
        self.counters.deliveries_lost += lost;
        if let Some(alexos) = &mut self.alexos {
            self.counters.bus_lost += alexos.bus.on_oldest(oldest);
        }
        lost
    }

    fn on_commit_failed(&mut self, ticket: Ticket, fault: CommitFault) {
        let Some(answers) = self.journal.on_failed(self.now.mono, ticket, fault, &mut self.rng) else {
            self.counters.answers_dropped += 1;
            return;
        };
        self.counters.commits_failed += 1;
        self.counters.webhooks_turned_away += answers.len() as u64;
        for (request, answer) in answers {
            self.effects.push_back(Effect::Respond { request, answer });
        }
        self.on_brain_commit_failed(fault);
    }

    pub(super) fn count_stored(&mut self, answer: &IntakeAnswer) {
        match answer {
            IntakeAnswer::Stored { duplicate: true, .. } => self.counters.webhooks_duplicate += 1,
            IntakeAnswer::Stored { duplicate: false, .. } => self.counters.webhooks_stored += 1,
            IntakeAnswer::Busy { .. }
            | IntakeAnswer::Full { .. }
            | IntakeAnswer::Faulty { .. }
            | IntakeAnswer::Stopping => self.counters.webhooks_turned_away += 1,
        }
    }

    fn on_webhook(
        &mut self,
        request: RequestId,
        draft: EventDraft,
        dedupe: Option<DedupeKey>,
        known: Option<Seq>,
    ) {
        let answer = if let Some(seq) = known {
            Some(IntakeAnswer::Stored { id: self.journal.event_id(seq), duplicate: true })
        } else if self.stopping.is_some() {
            Some(IntakeAnswer::Stopping)
        } else {
            let at = self.calendar.read(self.now).0;
            self.journal.intake(self.now.mono, at, request, draft, dedupe)
        };
        if let Some(answer) = answer {
            self.count_stored(&answer);
            self.effects.push_back(Effect::Respond { request, answer });
        }
    }

    fn on_sampled(&mut self, sample: super::input::Sample) {
        let is_report_due = self.health.on_sample(sample) && self.stopping.is_none();
        if let Some(alexos) = &mut self.alexos
            && is_report_due
        {
            alexos.report_due = true;
            alexos.bus.on_report_due();
            let setup = self.setup.alexos.as_ref();
            alexos.webhook_url_due = setup.is_some_and(|setup| setup.report_to_webhook_url);
        }
    }

    fn on_fetched(
        &mut self,
        destination: &Destination,
        event: Option<Box<super::event::Event>>,
        upto: Seq,
        failed: bool,
    ) {
        let now = self.now;
        if *destination == Destination::Bus {
            return self.on_bus_fetched(event, upto, failed);
        }
        if let Some(place) = self.orphan_fetches.iter().position(|orphan| orphan == destination) {
            self.orphan_fetches.swap_remove(place);
            self.counters.answers_dropped += 1;
            return;
        }
        let Some(place) = self
            .deliveries
            .iter()
            .position(|delivery| delivery.destination == *destination && delivery.is_fetching())
        else {
            self.counters.answers_dropped += 1;
            return;
        };
        let is_stopping = self.stopping.is_some();
        let delivery = &mut self.deliveries[place];
        match event {
            _ if failed => delivery.on_unreadable(now.mono, &mut self.rng),
            // Nothing at all behind it: the places up to the end were never given to an event, after a commit was lost.
            None if upto <= delivery.cursor() => delivery.on_nothing(now.mono, self.journal.durable()),
            None => delivery.on_nothing(now.mono, upto),
            Some(_) if is_stopping => delivery.release(),
            Some(event) => self.send(place, event),
        }
    }

    fn send(&mut self, place: usize, event: Box<super::event::Event>) {
        let (seq, at) = (event.seq, self.calendar.read(self.now).0);
        let is_news = event.kind == PARKED_EVENT;
        let id = self.journal.event_id(seq);
        let (kind, call) = match &self.deliveries[place].destination {
            Destination::Hook(key) => (Kind::Hook, Call::Hook { key: key.clone(), event, id, at }),
            Destination::Alexos | Destination::Bus => {
                let path = self.events_path().unwrap_or(EventsPath::Documented);
                (Kind::AlexosEvent(path), Call::AlexosEvent { event, id, path })
            }
        };
        let call_id = self.start(kind, call);
        self.deliveries[place].on_sending(call_id, seq, is_news);
    }

    pub(super) fn events_path(&self) -> Option<EventsPath> {
        self.alexos.as_ref().and_then(|alexos| alexos.path.path(self.now.mono))
    }

    pub(super) fn start(&mut self, kind: Kind, call: Call) -> CallId {
        let id = self.lanes.start(kind);
        let correlation = CorrelationId(self.rng.next_u128());
        self.effects.push_back(Effect::Call { id, correlation, call });
        id
    }

    fn on_reconfigured(&mut self, setup: Setup) {
        let old = std::mem::replace(&mut self.setup, setup);
        if old.alexos != self.setup.alexos || old.identity != self.setup.identity {
            self.renew_alexos(old.alexos.as_ref());
        }
        if old.aiwm != self.setup.aiwm {
            let (answer, fact) = self.session.take().map(Session::into_memory).unwrap_or_default();
            self.session = self.setup.aiwm.as_ref().map(|setup| self.new_session(setup, answer, fact));
            self.lanes.orphan(|kind| kind.lane() == Lane::Aiwm);
        }
        let interval =
            self.setup.alexos.as_ref().map_or(SAMPLE_INTERVAL_MS, |alexos| alexos.health_interval_ms);
        self.health.set_interval(interval);
        self.refurnish_deliveries();
        if old.brain != self.setup.brain {
            self.reconfigure_brain();
        }
        self.wake_turns();
        self.record_reload(&old);
    }

    /// Who reads the config again is at this machine, and was not asked who he is.
    fn record_reload(&mut self, old: &Setup) {
        let now = &self.setup;
        let changed: Vec<String> = [
            ("chainbot", old.identity != now.identity),
            ("alex_os", old.alexos != now.alexos),
            ("aiwm", old.aiwm != now.aiwm),
            ("webhooks", old.hooks != now.hooks),
            ("brain", old.brain != now.brain),
        ]
        .into_iter()
        .filter(|(_, has_changed)| *has_changed)
        .map(|(section, _)| section.to_owned())
        .collect();
        log::info!("config_reloaded changed={}", changed.join(","));
        let metadata = JsonText::of_fields(&[
            ("who", Field::Text("signal")),
            ("what", Field::Text("config.reload")),
            ("from", Field::Text("local")),
            ("changed", Field::Texts(&changed)),
        ]);
        self.record(AUDIT, Severity::Info, "the config was read again".to_owned(), metadata);
    }

    /// Begins anew with ALEX OS. An event underway counts if it is the same ALEX OS, else it is sent again.
    fn renew_alexos(&mut self, old: Option<&AlexosSetup>) {
        let agent_id =
            self.alexos.as_ref().and_then(|alexos| alexos.registration.facts().3.map(str::to_owned));
        let setup = self.setup.alexos.as_ref();
        let is_same = old.map(|old| &old.registry_url) == setup.map(|setup| &setup.registry_url);
        let bus = self.alexos.take().map(|alexos| alexos.bus);
        self.refurnish_alexos(agent_id, bus);
        let is_event = |kind| matches!(kind, Kind::AlexosEvent(_));
        self.lanes.orphan(|kind| kind.lane() == Lane::Alexos && !(is_same && is_event(kind)));
        let reader = self.deliveries.iter_mut().find(|delivery| delivery.destination == Destination::Alexos);
        if let Some(reader) = reader.filter(|reader| !is_same && reader.is_busy() && !reader.is_fetching()) {
            reader.release();
        }
    }

    /// Readers that stay configured go on where they are, with what they have underway; those that said 410 get
    /// another chance, from the end of the log.
    fn refurnish_deliveries(&mut self) {
        let mut old = std::mem::take(&mut self.deliveries);
        let had_disabled = old.iter().any(Delivery::is_disabled);
        old.retain(|delivery| !delivery.is_disabled());
        let cursors: Vec<(Destination, Seq)> =
            old.iter().map(|delivery| (delivery.destination.clone(), delivery.cursor())).collect();
        self.furnish_deliveries(&cursors, "");
        for delivery in &mut self.deliveries {
            if let Some(place) = old.iter().position(|kept| kept.destination == delivery.destination) {
                let fresh = std::mem::replace(delivery, old.swap_remove(place));
                delivery.on_reconfigured(fresh);
            }
        }
        // One that is configured again before its old fetch came back waits for it.
        let orphans = old.into_iter().filter(Delivery::is_fetching).map(|reader| reader.destination);
        self.orphan_fetches.extend(orphans);
        if had_disabled {
            self.write_disabled();
        }
    }
}

/// The type of the event that tells of a dead letter.
pub(super) const PARKED_EVENT: &str = "delivery_parked";

fn warn_of_lost(lost: u64) {
    if lost > 0 {
        log::warn!("deliveries_lost events={lost} why=\"the ledger is full and dropped its oldest\"");
    }
}
