//! Healing, and the demand that everything comes right within a bound.

use chainbot::agent::ids::Destination;
use chainbot::agent::limits;
use chainbot::agent::status::Status;

use crate::network::Weather;
use crate::peers::alexos::Kind;
use crate::peers::{alexos, hooks};
use crate::trace::note;
use crate::world::{Happening, World};

const MINUTE_MS: u64 = 60_000;
/// ALEX OS, AIWM and the ledger are tried again at least every 15 minutes, twice if a first answer was unlucky.
const PEERS_BOUND_MS: u64 = 32 * MINUTE_MS;
/// A webhook that failed for two hours is tried again within five, and again if the process was too busy.
const HOOKS_BOUND_MS: u64 = 7 * 60 * MINUTE_MS;
/// Whoever was not believed under a wrong calendar is tried again so soon after it was set.
const CLOCK_BOUND_MS: u64 = MINUTE_MS;
/// How long good things must stay good.
const STAYS_MS: u64 = 12 * MINUTE_MS;
/// A webhook's schedule waits for a day at most: by then every reader has the whole log behind it.
const CAUGHT_UP_BOUND_MS: u64 = 30 * 60 * MINUTE_MS;
/// Then nothing may be written for as long.
const IDLE_MS: u64 = 6 * MINUTE_MS;

impl World {
    /// Everything works from here on, and everything must come right.
    pub fn heal_and_demand(&mut self) {
        let (setup, boots) = (self.setup.clone(), self.boots);
        let unbelieved = std::mem::take(&mut self.unbelieved);
        self.heal();
        let healed_at = self.now;
        if self.setup == setup && self.boots == boots {
            self.unbelieved = unbelieved;
            self.run_for(CLOCK_BOUND_MS);
            assert!(
                self.unbelieved.is_empty(),
                "a minute after the clock was set: {:?} not tried",
                self.unbelieved
            );
        }
        while let Some(wrong) = self.wrong_with_peers() {
            assert!(self.now < healed_at + PEERS_BOUND_MS, "half an hour after healing: {wrong}");
            self.run_for(5_000);
        }
        while let Some(wrong) = self.wrong_with_hooks().or_else(|| self.wrong_with_brain()) {
            assert!(self.now < healed_at + HOOKS_BOUND_MS, "long after healing: {wrong}");
            self.run_for(MINUTE_MS);
        }
        let reports = self.reports();
        self.run_for(STAYS_MS);
        if self.alexos.is_some() && self.reports() == reports {
            // Both paths had said shortly before that they are not there: then they are left alone for a while.
            self.run_for(limits::NOT_OFFERED_RECHECK_MS);
            assert!(self.reports() > reports, "no health report long after healing");
        }
        while self.is_someone_behind() {
            assert!(self.now < healed_at + CAUGHT_UP_BOUND_MS, "a day after healing a reader is behind");
            self.run_for(MINUTE_MS);
        }
        self.run_for(MINUTE_MS);
        let commits = self.commits;
        self.run_for(IDLE_MS);
        assert_eq!(self.commits, commits, "an idle agent writes to the disk");
        if let Some(wrong) = self.wrong_with_peers().or_else(|| self.wrong_with_hooks()) {
            panic!("what was right did not stay so: {wrong}");
        }
        note!("== all is right");
    }

    /// Whether a reader still has something to send: that agent is not idle.
    fn is_someone_behind(&self) -> bool {
        self.status().is_some_and(|status| {
            status.destinations.iter().any(|reader| reader.behind > 0 && reader.state != "disabled")
        })
    }

    fn run_for(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.step(until) {}
    }

    fn heal(&mut self) {
        note!("== everything heals");
        self.is_healed = true;
        self.links.values_mut().for_each(|link| link.weather = Weather::Good);
        if let Some(alexos) = self.alexos.as_mut() {
            alexos.mood = alexos::Mood::Fine;
        }
        if let Some(aiwm) = self.aiwm.as_mut() {
            aiwm.heal();
        }
        for receiver in &mut self.receivers {
            receiver.mood = if receiver.said_gone { hooks::Mood::Gone } else { hooks::Mood::Fine };
        }
        self.clock.sync();
        self.store.heal();
        self.heal_brain();
        if self.node.is_none() {
            self.start();
        }
        if self.setup != self.plan.setup() {
            self.reconfigure(false);
        }
        for index in self.clients.unacknowledged() {
            self.after(1_000, Happening::Post(Some(index)));
        }
        let probe = self.clients.compose(1_000);
        self.after(2_000, Happening::Post(Some(probe)));
    }

    fn reports(&self) -> u64 {
        self.alexos.as_ref().map_or(0, |alexos| alexos.reports)
    }

    fn status(&self) -> Option<Status<'_>> {
        self.node.as_ref().map(|node| node.agent.status(self.clock.read(self.now)))
    }

    fn wrong_with_peers(&self) -> Option<String> {
        let Some(status) = self.status() else { return Some("the process is not there".to_owned()) };
        self.checks.on_status(&status);
        self.wrong_with_ledger(&status)
            .or_else(|| self.wrong_with_alexos(&status))
            .or_else(|| self.wrong_with_aiwm(&status))
            .or_else(|| self.wrong_with_readers())
    }

    fn wrong_with_ledger(&self, status: &Status) -> Option<String> {
        let open = self.clients.unacknowledged();
        if !open.is_empty() || !self.clients.is_quiet() {
            return Some(format!("{} posts are not acknowledged", open.len().max(1)));
        }
        let lost = self.checks.lost();
        if !lost.is_empty() {
            return Some(format!("acknowledged posts are lost: {lost:?}"));
        }
        if status.ledger.pending > 0 || status.ledger.fault.is_some() {
            return Some(format!(
                "the journal: {} writes wait, {:?}",
                status.ledger.pending, status.ledger.fault
            ));
        }
        if self.checks.published() != self.checks.last() {
            return Some(format!("{} announced, {} durable", self.checks.published(), self.checks.last()));
        }
        (status.ledger.durable.0 != self.checks.last())
            .then(|| format!("status shows {} durable, {} are", status.ledger.durable.0, self.checks.last()))
    }

    fn wrong_with_alexos(&self, status: &Status) -> Option<String> {
        let (Some(alexos), Some(shown)) = (self.alexos.as_ref(), status.alexos.as_ref()) else { return None };
        let wanted = if alexos.kind == Kind::Documented { "registered" } else { "not_offered" };
        if shown.registration != wanted {
            return Some(format!(
                "registration is {}, not {wanted}: {:?}",
                shown.registration, shown.last_fault
            ));
        }
        self.wrong_with_bus(&shown.bus).or_else(|| self.owed(&Destination::Alexos))
    }

    fn wrong_with_aiwm(&self, status: &Status) -> Option<String> {
        let (Some(_), Some(shown)) = (self.aiwm.as_ref(), status.aiwm.as_ref()) else { return None };
        if self.plan.is_password_wrong {
            return (shown.state == "connected").then(|| "connected with a wrong password".to_owned());
        }
        if shown.state != "connected" {
            return Some(format!("AIWM is {}: {:?}", shown.state, shown.last_fault));
        }
        let interval = self.setup.aiwm.as_ref().map_or(0, |setup| setup.heartbeat_interval_ms);
        shown
            .last_beat_age_ms
            .is_none_or(|age| age > interval + 15_000)
            .then(|| format!("no heartbeat: {:?}", shown.last_beat_age_ms))
    }

    fn wrong_with_hooks(&self) -> Option<String> {
        self.setup.hooks.iter().find_map(|hook| self.owed(&Destination::Hook(hook.key.clone())))
    }

    fn owed(&self, destination: &Destination) -> Option<String> {
        let owed = self.checks.owed(destination, |id| self.has(destination, id));
        (!owed.is_empty())
            .then(|| format!("{} is owed {} events, first {:?}", destination.key(), owed.len(), owed.first()))
    }
}
