//! What came of a call: told to the part that made it, and what it changed to those it concerns.

use super::Agent;
use super::acting::OUTAGE_CALLS;
use super::deliveries::{self, Delivery};
use super::effect::EventsPath;
use super::event::{JsonText, Severity};
use super::ids::{CallId, Destination, Seq};
use super::input::{AiwmReply, Fault, Outcome, Verdict};
use super::lanes::Kind;
use super::memory::{FactKey, Write};
use super::registration::Change as RegistrationChange;
use super::routing::PARKED_EVENT;
use super::session::Change as SessionChange;

impl Agent {
    pub(super) fn on_call_done(&mut self, id: CallId, outcome: Outcome) {
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
                self.on_delivered(id, Some(path), verdict);
            }
            (Some(Some(Kind::Hook)), Outcome::Delivered(verdict)) => self.on_delivered(id, None, verdict),
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
            Kind::AlexosEvent(path) => self.on_delivered(id, Some(path), lost()),
            Kind::Hook => self.on_delivered(id, None, lost()),
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
    pub(super) fn note_alexos(&mut self, path: EventsPath, verdict: &Verdict) {
        self.note_link(verdict);
        let Some(alexos) = &mut self.alexos else { return };
        match verdict {
            Verdict::Accepted => {
                alexos.has_doubted &= path != EventsPath::Documented;
                alexos.path.on_accepted(path);
            }
            Verdict::NotOffered { .. } => {
                let was_known = alexos.path.on_not_offered(self.now.mono, path, &mut self.rng);
                // It may have become another since it took us. Asked once: one that takes registrations and has no such
                // path would be asked without end.
                let is_doubtful = path == EventsPath::Documented && !alexos.has_doubted;
                if was_known || is_doubtful {
                    alexos.has_doubted = true;
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

    fn on_delivered(&mut self, id: CallId, path: Option<EventsPath>, verdict: Verdict) {
        let Some(place) = self.deliveries.iter().position(|delivery| delivery.is_sending(id)) else {
            self.counters.answers_dropped += 1;
            return;
        };
        // The documented path names the event's type.
        let alexos = self.alexos.as_ref().filter(|_| path != Some(EventsPath::Public));
        let confirmations = alexos.map(|alexos| alexos.path.confirmations());
        let delivery = &mut self.deliveries[place];
        let change = delivery.on_answer(self.now.mono, verdict, confirmations, &mut self.rng);
        let destination = delivery.destination.clone();
        match change {
            deliveries::Change::None | deliveries::Change::NotOffered => {}
            deliveries::Change::Taken => self.counters.deliveries_success += 1,
            deliveries::Change::Retried => self.counters.deliveries_retried += 1,
            deliveries::Change::Parked { seq, why, is_news } => {
                self.on_parked(&destination, seq, &why, is_news)
            }
            deliveries::Change::Disabled => self.on_disabled(&destination),
        }
    }

    /// As people know a destination.
    pub(super) fn name_of(&self, destination: &Destination) -> &str {
        match destination {
            Destination::Alexos | Destination::Bus => "ALEX OS",
            Destination::Hook(key) => {
                let hook = self.setup.hooks.iter().find(|hook| hook.key == *key);
                hook.map_or("a webhook", |hook| hook.shown_url.as_str())
            }
        }
    }

    /// A dead letter.
    fn on_parked(&mut self, destination: &Destination, seq: Seq, why: &str, is_news: bool) {
        self.counters.deliveries_parked += 1;
        if is_news {
            return;
        }
        let id = self.journal.event_id(seq).to_string();
        let metadata =
            JsonText::of_strings(&[("destination", &destination.key()), ("event_id", &id), ("reason", why)]);
        let name = self.name_of(destination);
        let message = format!("event {id} was refused by {name} and is not tried again: {why}");
        self.record(PARKED_EVENT, Severity::Warning, message, metadata);
    }

    fn on_disabled(&mut self, destination: &Destination) {
        let metadata = JsonText::of_strings(&[("destination", &destination.key()), ("reason", "status 410")]);
        let message = format!("{} said 410 and gets no more events", self.name_of(destination));
        self.record("webhook_disabled", Severity::Warning, message, metadata);
        self.write_disabled();
        let gone = self.deliveries.iter().filter(|delivery| delivery.is_disabled());
        for destination in gone.map(|delivery| delivery.destination.clone()).collect::<Vec<_>>() {
            self.journal.push(self.now.mono, Write::CursorGone(destination));
        }
    }

    pub(super) fn write_disabled(&mut self) {
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
}
