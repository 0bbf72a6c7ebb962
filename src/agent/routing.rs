//! Where the parts meet: inputs go to the part that asked, its small answer goes to those it concerns, and then every
//! part that is due may act.

use super::attention::Cause;
use super::deliveries::{self, Delivery};
use super::effect::{BeatMetrics, Call, Effect, EventsPath, IntakeAnswer};
use super::event::{EventDraft, JsonText, Severity};
use super::health::Circumstances;
use super::ids::{CallId, CorrelationId, DedupeKey, Destination, RequestId, Seq, Ticket};
use super::input::{AiwmReply, CommitFault, Fault, Input, Outcome, Verdict};
use super::lanes::{Kind, Lane};
use super::memory::{FactKey, Write};
use super::registration::{Change as RegistrationChange, Wish};
use super::session::{Change as SessionChange, Session};
use super::setup::{AlexosSetup, Setup};
use super::time::Mono;
use super::timers::Timer;
use super::{Agent, SAMPLE_INTERVAL_MS};

impl Agent {
    pub(super) fn route(&mut self, input: Input) {
        log::trace!("input {input:?}");
        match input {
            Input::Tick => {}
            Input::Committed { ticket, oldest } => self.on_committed(ticket, oldest),
            Input::CommitFailed { ticket, fault } => self.on_commit_failed(ticket, fault),
            Input::Fetched { destination, event, upto, failed } => {
                self.on_fetched(&destination, event, upto, failed);
            }
            Input::CallDone { id, outcome, date } => {
                if let Some(date) = date {
                    self.calendar.hint(self.now, date);
                }
                self.on_call_done(id, outcome);
            }
            Input::Webhook { request, draft, dedupe, known } => {
                self.on_webhook(request, draft, dedupe, known)
            }
            Input::BusOpened { link } => self.on_bus_opened(link),
            Input::BusRefused { link, status } => self.on_bus_refused(link, status),
            Input::BusMessage { link, message, known } => self.on_bus_message(link, message, known),
            Input::BusClosed { link, end } => self.on_bus_closed(link, end),
            Input::Sampled(sample) => self.on_sampled(*sample),
            Input::Reconfigured(setup) => self.on_reconfigured(*setup),
            Input::StopAsked(reason) => self.on_stop_asked(reason),
        }
    }

    fn on_committed(&mut self, ticket: Ticket, oldest: Seq) {
        let before = self.journal.durable();
        let Some(answers) = self.journal.on_committed(ticket) else {
            self.counters.answers_dropped += 1;
            return;
        };
        for (request, answer) in answers {
            self.count_stored(&answer);
            self.effects.push_back(Effect::Respond { request, answer });
        }
        self.oldest = self.oldest.max(oldest);
        if self.journal.durable() > before {
            self.effects.push_back(Effect::Published { last: self.journal.durable() });
        }
        let lost = self.skip_dropped();
        if lost > 0 {
            log::warn!("deliveries_lost events={lost} why=\"the ledger is full and dropped its oldest\"");
        }
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
    }

    fn count_stored(&mut self, answer: &IntakeAnswer) {
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

    fn events_path(&self) -> Option<EventsPath> {
        self.alexos.as_ref().and_then(|alexos| alexos.path.path(self.now.mono))
    }

    fn start(&mut self, kind: Kind, call: Call) -> CallId {
        let id = self.lanes.start(kind);
        let correlation = CorrelationId(self.rng.next_u128());
        self.effects.push_back(Effect::Call { id, correlation, call });
        id
    }

    fn on_call_done(&mut self, id: CallId, outcome: Outcome) {
        match (self.lanes.finish(id), outcome) {
            (None, _) => self.counters.answers_dropped += 1,
            (Some(None), _) => {}
            (Some(Some(Kind::Register)), Outcome::Registered(verdict, agent_id)) => {
                self.on_registered(verdict, agent_id);
            }
            (Some(Some(Kind::Canon)), Outcome::Canon(verdict, entries)) => {
                if let Some(alexos) = &mut self.alexos {
                    alexos.registration.on_canon(self.now.mono, &verdict, entries, &mut self.rng);
                }
            }
            (Some(Some(Kind::Report(path))), Outcome::Delivered(verdict)) => self.on_reported(path, verdict),
            (Some(Some(Kind::WebhookUrlReport)), Outcome::Delivered(_)) => {}
            (Some(Some(Kind::AlexosEvent(path))), Outcome::Delivered(verdict)) => {
                self.note_alexos(path, &verdict);
                self.on_delivered(id, verdict);
            }
            (Some(Some(Kind::Hook)), Outcome::Delivered(verdict)) => self.on_delivered(id, verdict),
            (Some(Some(Kind::Connect)), Outcome::Aiwm(reply)) => self.on_connected(reply),
            (Some(Some(Kind::Beat)), Outcome::Aiwm(reply)) => self.on_beaten(reply),
            (Some(Some(Kind::Disconnect)), _) => {}
            (Some(Some(kind)), outcome) => self.on_mismatched(id, kind, &outcome),
        }
    }

    /// An answer of another kind than the call: counted, and the part told that nothing came back.
    fn on_mismatched(&mut self, id: CallId, kind: Kind, outcome: &Outcome) {
        log::error!("answer_mismatched kind={kind:?} outcome={outcome:?}");
        self.counters.answers_dropped += 1;
        let lost = || Verdict::Retry { fault: Fault::Transport, after_ms: None };
        let none = || AiwmReply::Failed { fault: Fault::Transport, after_ms: None };
        match kind {
            Kind::Register => self.on_registered(lost(), None),
            Kind::Canon => {
                if let Some(alexos) = &mut self.alexos {
                    alexos.registration.on_canon(self.now.mono, &lost(), Vec::new(), &mut self.rng);
                }
            }
            Kind::Report(path) => self.on_reported(path, lost()),
            Kind::AlexosEvent(_) | Kind::Hook => self.on_delivered(id, lost()),
            Kind::Connect => self.on_connected(none()),
            Kind::Beat => self.on_beaten(none()),
            Kind::WebhookUrlReport | Kind::Disconnect => {}
        }
    }

    fn on_registered(&mut self, verdict: Verdict, agent_id: Option<String>) {
        self.note_link(&verdict);
        let at = self.calendar.read(self.now).0;
        let Some(alexos) = &mut self.alexos else { return };
        let known = alexos.registration.facts().3.map(str::to_owned);
        let change =
            alexos.registration.on_registered(self.now.mono, at, &verdict, agent_id.clone(), &mut self.rng);
        alexos.bus.allow();
        if change == RegistrationChange::None {
            self.counters.alexos_registration_failure += 1;
            return;
        }
        self.counters.alexos_registration_success += 1;
        alexos.bus.ask_anew(self.now.mono);
        if alexos.path.known() != Some(EventsPath::Documented) {
            alexos.path.reset();
        }
        if let Some(id) = agent_id
            && known.as_deref() != Some(id.as_str())
        {
            self.journal.push(self.now.mono, Write::Fact(FactKey::AlexosAgentId, id));
        }
        let metadata = JsonText::of_strings(&[
            ("agent_name", &self.setup.identity.name),
            ("agent_version", &self.setup.identity.version),
        ]);
        self.record("registration_success", Severity::Info, "registered with ALEX OS".to_owned(), metadata);
    }

    fn on_reported(&mut self, path: EventsPath, verdict: Verdict) {
        self.note_alexos(path, &verdict);
        let at = self.calendar.read(self.now).0;
        let Some(alexos) = &mut self.alexos else { return };
        match verdict {
            Verdict::Accepted => {
                self.counters.alexos_report_success += 1;
                alexos.last_report = Some(at);
            }
            Verdict::NotOffered { .. } => {
                self.counters.alexos_report_failure += 1;
                alexos.report_due = alexos.path.path(self.now.mono) == Some(EventsPath::Public);
            }
            _ => self.counters.alexos_report_failure += 1,
        }
    }

    /// What an answer to an event or report says about ALEX OS itself.
    fn note_alexos(&mut self, path: EventsPath, verdict: &Verdict) {
        self.note_link(verdict);
        let Some(alexos) = &mut self.alexos else { return };
        match verdict {
            Verdict::Accepted => alexos.path.on_accepted(path),
            Verdict::NotOffered { .. } => {
                if alexos.path.on_not_offered(self.now.mono, path, &mut self.rng) {
                    alexos.registration.forget("the path for events vanished");
                }
            }
            Verdict::Denied { .. } => alexos.registration.forget("it does not let us in"),
            Verdict::Retry { .. } | Verdict::Refused { .. } | Verdict::Gone => {}
        }
    }

    /// Counts calls that did not reach ALEX OS. Once one does again, nothing waits any longer, and after an outage we
    /// register again: it may have lost its memory.
    fn note_link(&mut self, verdict: &Verdict) {
        let Some(alexos) = &mut self.alexos else { return };
        let is_lost = matches!(verdict, Verdict::Retry { fault, .. } if !matches!(fault, Fault::Status(_)));
        if is_lost {
            alexos.failures = alexos.failures.saturating_add(1);
            return;
        }
        let failures = std::mem::take(&mut alexos.failures);
        if failures == 0 || matches!(verdict, Verdict::Retry { .. }) {
            return;
        }
        log::info!("alexos_reachable_again failures={failures}");
        if failures >= OUTAGE_CALLS {
            alexos.registration.forget("it came back from an outage");
        }
        let alexos =
            self.deliveries.iter_mut().filter(|delivery| delivery.destination == Destination::Alexos);
        alexos.for_each(Delivery::wake);
    }

    fn on_delivered(&mut self, id: CallId, verdict: Verdict) {
        let Some(place) = self.deliveries.iter().position(|delivery| delivery.is_sending(id)) else {
            self.counters.answers_dropped += 1;
            return;
        };
        let confirmations = self.alexos.as_ref().map_or(0, |alexos| alexos.path.confirmations());
        let delivery = &mut self.deliveries[place];
        let change = delivery.on_answer(self.now.mono, verdict, confirmations, &mut self.rng);
        let key = delivery.destination.key();
        match change {
            deliveries::Change::None | deliveries::Change::NotOffered => {}
            deliveries::Change::Taken => self.counters.deliveries_success += 1,
            deliveries::Change::Retried => self.counters.deliveries_retried += 1,
            deliveries::Change::Parked { seq, why, is_news } => self.on_parked(&key, seq, &why, is_news),
            deliveries::Change::Disabled => self.on_disabled(&key),
        }
    }

    /// A dead letter.
    fn on_parked(&mut self, key: &str, seq: Seq, why: &str, is_news: bool) {
        self.counters.deliveries_parked += 1;
        if is_news {
            return;
        }
        let id = self.journal.event_id(seq).to_string();
        let metadata = JsonText::of_strings(&[("destination", key), ("event_id", &id), ("reason", why)]);
        let message = format!("event {id} was refused by {key} and is not tried again: {why}");
        self.record(PARKED_EVENT, Severity::Warning, message, metadata);
    }

    fn on_disabled(&mut self, key: &str) {
        let metadata = JsonText::of_strings(&[("destination", key), ("reason", "status 410")]);
        let message = format!("{key} said 410 and gets no more events");
        self.record("webhook_disabled", Severity::Warning, message, metadata);
        self.write_disabled();
        let gone = self.deliveries.iter().filter(|delivery| delivery.is_disabled());
        for destination in gone.map(|delivery| delivery.destination.clone()).collect::<Vec<_>>() {
            self.journal.push(self.now.mono, Write::CursorGone(destination));
        }
    }

    fn write_disabled(&mut self) {
        let keys: Vec<&str> = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.is_disabled())
            .filter_map(|delivery| match &delivery.destination {
                Destination::Hook(key) => Some(key.as_str()),
                Destination::Alexos | Destination::Bus => None,
            })
            .collect();
        let text = keys.join(",");
        self.journal.push(self.now.mono, Write::Fact(FactKey::HooksDisabled, text));
    }

    fn on_connected(&mut self, reply: AiwmReply) {
        let at = self.calendar.read(self.now).0;
        let Some(session) = &mut self.session else { return };
        match session.on_connect(self.now.mono, at, reply, &mut self.rng) {
            SessionChange::Connected { is_refresh, new_fact } => {
                self.counters.aiwm_connection_success += 1;
                self.counters.aiwm_token_refresh += u64::from(is_refresh);
                if let Some(fact) = new_fact {
                    self.counters.aiwm_config_update += 1;
                    self.journal.push(self.now.mono, Write::Fact(FactKey::Controller, fact));
                    let message = "AIWM gave new instruction, tools or settings".to_owned();
                    self.record("controller_updated", Severity::Info, message, JsonText::empty_object());
                }
            }
            _ => self.counters.aiwm_connection_failure += 1,
        }
    }

    fn on_beaten(&mut self, reply: AiwmReply) {
        let Some(session) = &mut self.session else { return };
        match session.on_beat(self.now.mono, reply, &mut self.rng) {
            SessionChange::Beaten => self.counters.aiwm_heartbeat_success += 1,
            _ => self.counters.aiwm_heartbeat_failure += 1,
        }
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
        log::info!("config_reloaded");
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
        if had_disabled {
            self.write_disabled();
        }
    }

    /// Lets every part act that is due.
    pub(super) fn run(&mut self) {
        for (request, answer) in self.journal.poll_overdue(self.now.mono) {
            self.count_stored(&answer);
            self.effects.push_back(Effect::Respond { request, answer });
        }
        if self.stopping.is_some() {
            self.run_stopping();
        } else {
            self.run_session();
            self.run_alexos();
            self.run_bus();
            self.run_hooks();
            if self.health.poll_sample(self.now.mono, &mut self.rng) {
                self.effects.push_back(Effect::Sample);
            }
        }
        self.judge();
        self.run_journal();
    }

    fn run_session(&mut self) {
        if !self.lanes.is_free(Lane::Aiwm, 0) {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let Some(mut call) = session.wish(self.now.mono) else { return };
        session.on_started();
        let kind = match &mut call {
            Call::AiwmHeartbeat { metrics, .. } => {
                *metrics = self.health.sample().map(|sample| BeatMetrics {
                    cpu_percent: sample.cpu_percent,
                    memory_percent: sample.memory_percent,
                    uptime_s: self.now.mono.since(self.started.mono) / 1_000,
                    connections: sample.connections,
                });
                Kind::Beat
            }
            _ => Kind::Connect,
        };
        self.start(kind, call);
    }

    fn is_alexos_free(&self) -> bool {
        let is_reading =
            |delivery: &Delivery| delivery.destination == Destination::Alexos && delivery.is_fetching();
        self.lanes
            .is_free(Lane::Alexos, self.deliveries.iter().filter(|delivery| is_reading(delivery)).count())
    }

    /// One thing at a time: registration, canon, reports, then events.
    fn run_alexos(&mut self) {
        if !self.is_alexos_free() {
            return;
        }
        let now = self.now.mono;
        let at = self.calendar.read(self.now).0;
        let path = self.events_path();
        let Some(alexos) = &mut self.alexos else { return };
        if let Some(wish) = alexos.registration.wish(now) {
            alexos.registration.on_started(wish);
            match wish {
                Wish::Register => self.start(Kind::Register, Call::AlexosRegister { at }),
                Wish::Canon => self.start(Kind::Canon, Call::AlexosCanon),
            };
        } else if alexos.report_due
            && let Some(path) = path
        {
            alexos.report_due = false;
            let report = Box::new(self.health_report(at));
            self.start(Kind::Report(path), Call::AlexosReport { report, path });
        } else if alexos.webhook_url_due {
            alexos.webhook_url_due = false;
            let report = Box::new(self.health_report(at));
            self.start(Kind::WebhookUrlReport, Call::WebhookUrlReport { report });
        } else if path.is_some() {
            self.fetch_for(|delivery| delivery.destination == Destination::Alexos, 0);
        }
    }

    /// Reads the next event for the first due reader that `wanted` names, looking from `first` on. Which one it was.
    fn fetch_for(&mut self, wanted: impl Fn(&Delivery) -> bool, first: usize) -> Option<usize> {
        let (now, durable) = (self.now.mono, self.journal.durable());
        let count = self.deliveries.len();
        let place = (0..count).map(|n| (first + n) % count).find(|place| {
            let delivery = &self.deliveries[*place];
            wanted(delivery) && delivery.is_due(now, durable)
        })?;
        let delivery = &mut self.deliveries[place];
        delivery.on_fetch_started();
        self.effects.push_back(Effect::Fetch {
            destination: delivery.destination.clone(),
            after: delivery.cursor(),
            filter: delivery.filter.clone(),
        });
        Some(place)
    }

    fn are_hooks_free(&self) -> bool {
        let is_reading =
            |delivery: &Delivery| delivery.destination != Destination::Alexos && delivery.is_fetching();
        self.lanes
            .is_free(Lane::Hooks, self.deliveries.iter().filter(|delivery| is_reading(delivery)).count())
    }

    /// In turn, so that one busy webhook does not starve the others.
    fn run_hooks(&mut self) {
        while self.are_hooks_free() {
            let is_hook = |delivery: &Delivery| delivery.destination != Destination::Alexos;
            let Some(place) = self.fetch_for(is_hook, self.next_hook) else { return };
            self.next_hook = place + 1;
        }
    }

    fn judge(&mut self) {
        let mut causes = Vec::new();
        if let Some(fault) = self.journal.fault() {
            let why = match fault {
                CommitFault::Full => "the ledger's disk is full",
                CommitFault::Io => "the ledger cannot be written",
            };
            causes.push((Cause::Ledger, why.to_owned()));
        }
        if let Some(why) = self.session.as_ref().and_then(Session::attention) {
            causes.push((Cause::Aiwm, why));
        }
        if let Some(why) = self.alexos.as_ref().and_then(|alexos| alexos.registration.attention()) {
            causes.push((Cause::Registration, why));
        }
        if let Some(delivery) = self.deliveries.iter().find(|delivery| delivery.is_disabled()) {
            causes.push((Cause::Webhook, format!("{} said 410 and is disabled", delivery.destination.key())));
        }
        let circumstances = Circumstances {
            ledger_failing: self.journal.fault().is_some(),
            peer_missing: self.is_peer_missing(),
            needs_attention: !causes.is_empty(),
        };
        self.health.judge(self.now.mono, circumstances);
        for (_, why) in self.attention.update(self.now.mono, causes) {
            let metadata = JsonText::of_strings(&[("reason", &why)]);
            self.record("requires_attention", Severity::Warning, why, metadata);
        }
    }

    fn is_peer_missing(&self) -> bool {
        let alexos = self
            .alexos
            .as_ref()
            .is_some_and(|alexos| !alexos.registration.is_settled() || alexos.failures >= OUTAGE_CALLS);
        let aiwm = self.session.as_ref().is_some_and(|session| !session.is_connected());
        alexos || aiwm || self.deliveries.iter().any(Delivery::is_failing)
    }

    fn run_journal(&mut self) {
        let now = self.now.mono;
        let is_cursor_due = self.deliveries.iter().filter_map(Delivery::write_deadline).any(|due| due <= now);
        if is_cursor_due && self.journal.is_idle() {
            self.journal.hurry(now);
        }
        let deliveries = &mut self.deliveries;
        let moved = || deliveries.iter_mut().filter_map(Delivery::take_write).collect();
        if let Some((ticket, writes)) = self.journal.poll(now, moved) {
            self.counters.commits += 1;
            self.effects.push_back(Effect::Commit { ticket, writes });
        }
    }

    /// The earliest thing that will be due and that nothing in flight already brings about.
    pub(super) fn next_deadline(&self) -> Option<(Mono, Timer)> {
        let mut earliest = self.journal.deadline();
        let mut consider = |at: Option<Mono>, timer: Timer| {
            if let Some(at) = at
                && earliest.is_none_or(|(other, _)| at < other)
            {
                earliest = Some((at, timer));
            }
        };
        if self.journal.is_idle() {
            consider(self.deliveries.iter().filter_map(Delivery::write_deadline).min(), Timer::WriteCursors);
        }
        if let Some(stopping) = &self.stopping {
            consider((!stopping.has_exited).then_some(stopping.deadline), Timer::Stop);
            return earliest;
        }
        consider(self.health.deadline(), Timer::Report);
        if self.lanes.is_free(Lane::Aiwm, 0)
            && let Some((at, timer)) = self.session.as_ref().and_then(Session::deadline)
        {
            consider(Some(at), timer);
        }
        let durable = self.journal.durable();
        let waiting = |wanted: fn(&Delivery) -> bool| {
            self.deliveries
                .iter()
                .filter(|delivery| wanted(delivery) && delivery.cursor() < durable)
                .filter_map(Delivery::deadline)
                .min()
        };
        if let Some(alexos) = &self.alexos
            && self.is_alexos_free()
        {
            consider(alexos.registration.deadline(), Timer::Register);
            let pause = alexos.path.deadline().filter(|until| *until > self.now.mono);
            match pause {
                Some(until) => consider(Some(until), Timer::Deliver),
                None => {
                    consider(waiting(|delivery| delivery.destination == Destination::Alexos), Timer::Deliver)
                }
            }
        }
        if let Some(alexos) = &self.alexos {
            consider(alexos.bus.deadline(durable), Timer::Bus);
        }
        if self.are_hooks_free() {
            consider(waiting(|delivery| delivery.destination != Destination::Alexos), Timer::Deliver);
        }
        earliest
    }

    fn on_stop_asked(&mut self, reason: super::input::StopReason) {
        if self.stopping.is_some() {
            return;
        }
        log::info!("stopping why={}", reason.as_str());
        let metadata = JsonText::of_strings(&[("reason", reason.as_str())]);
        let message = format!("{} stopped", self.setup.identity.name);
        self.record("chainbot_stopped", Severity::Info, message, metadata);
        self.journal.hurry(self.now.mono);
        self.stop_bus();
        self.stopping = Some(super::stopping::Stopping::new(self.now.mono));
        if self.lanes.is_free(Lane::Aiwm, 0)
            && let Some(call) = self.session.as_ref().and_then(|session| session.farewell("agent stops"))
        {
            self.start(Kind::Disconnect, call);
        }
        let known = self.alexos.as_ref().and_then(|alexos| alexos.path.known());
        if self.is_alexos_free()
            && let Some(path) = known
        {
            let report = Box::new(self.health_report(self.calendar.read(self.now).0));
            self.start(Kind::Report(path), Call::AlexosReport { report, path });
        }
    }

    /// Ends once the calls are back and everything is written, or when the time is up.
    fn run_stopping(&mut self) {
        let is_written = self.journal.is_idle() && self.journal.pending() == 0;
        let is_clean = self.deliveries.iter().all(|delivery| delivery.write_deadline().is_none());
        if self.lanes.is_empty() && self.journal.is_idle() && !is_clean {
            self.journal.hurry(self.now.mono);
        }
        let is_done = self.lanes.is_empty() && is_written && is_clean;
        let now = self.now.mono;
        if let Some(stopping) = &mut self.stopping
            && !stopping.has_exited
            && (is_done || now >= stopping.deadline)
        {
            stopping.has_exited = true;
            self.effects.push_back(Effect::Exit);
        }
    }
}

/// The type of the event that tells of a dead letter.
const PARKED_EVENT: &str = "delivery_parked";
/// Calls in a row that must fail before we speak of an outage.
const OUTAGE_CALLS: u32 = 2;
