//! What is due: every part may act, in a fixed order, and says when it wants to again.

use super::Agent;
use super::attention::Cause;
use super::brain::setup::BudgetSetup;
use super::deliveries::Delivery;
use super::effect::{BeatMetrics, Call, Effect};
use super::event::{JsonText, Severity};
use super::health::Circumstances;
use super::ids::Destination;
use super::input::CommitFault;
use super::lanes::{Kind, Lane};
use super::memory::{FactKey, Write};
use super::registration::Wish;
use super::session::Session;
use super::time::Mono;
use super::timers::Timer;

impl Agent {
    /// Lets every part act that is due.
    pub(super) fn run(&mut self) {
        for (request, answer) in self.journal.poll_overdue(self.now.mono) {
            self.count_stored(&answer);
            self.effects.push_back(Effect::Respond { request, answer });
        }
        self.run_deciders();
        if self.stopping.is_some() {
            self.run_stopping();
        } else {
            self.run_session();
            self.run_alexos();
            self.run_bus();
            self.run_hooks();
            self.run_brain();
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
        let is_busy = self.is_brain_busy();
        let Some(session) = &mut self.session else { return };
        let Some(mut call) = session.wish(self.now.mono, is_busy) else { return };
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
            wanted(delivery)
                && delivery.is_due(now, durable)
                && !self.orphan_fetches.contains(&delivery.destination)
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
            let name = self.name_of(&delivery.destination);
            causes.push((Cause::Webhook, format!("{name} said 410 and is disabled")));
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
        let at = self.calendar.read(self.now).0;
        let is_limited = self.setup.brain.budget != BudgetSetup::default();
        let (deliveries, budgets) = (&mut self.deliveries, &mut self.brain.budgets);
        let moved = || {
            let usage = if is_limited { budgets.take_fact(now, at) } else { None };
            let usage = usage.map(|text| Write::Fact(FactKey::BrainUsage, text));
            deliveries.iter_mut().filter_map(Delivery::take_write).chain(usage).collect()
        };
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
        consider(self.brain_deadline(), Timer::Think);
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

    pub(super) fn on_stop_asked(&mut self, reason: super::input::StopReason) {
        if self.stopping.is_some() {
            return;
        }
        log::info!("stopping why={}", reason.as_str());
        let metadata = JsonText::of_strings(&[("reason", reason.as_str())]);
        let message = format!("{} stopped", self.setup.identity.name);
        self.record("chainbot_stopped", Severity::Info, message, metadata);
        self.journal.hurry(self.now.mono);
        self.stop_bus();
        self.stop_brain();
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

/// Calls in a row that must fail before we speak of an outage.
pub(super) const OUTAGE_CALLS: u32 = 2;
