//! The disk and the ledger on it, as the shell would hold them.

use std::sync::Arc;

use chainbot::agent::Memory;
use chainbot::agent::event::{Event, EventFilter};
use chainbot::agent::ids::{DedupeKey, Seq};
use chainbot::agent::input::CommitFault;
use chainbot::agent::memory::{FactKey, Write};
use chainbot::ledger::{Fetched, Ledger, Limits, Page};
use chainbot::wire::aiwm::controller_from_fact;

use crate::disk::{Op, SimDisk};
use crate::plan::Plan;
use crate::rng::Rng;

/// How the disk is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Some milliseconds for a commit.
    Good,
    /// A worn SD card: up to three seconds.
    Slow,
    /// Nothing fits any more.
    Full,
    /// Every operation fails.
    Broken,
    /// Writes pass, syncs fail.
    Unsynced,
    /// Now and then some operation fails.
    Flaky,
}

/// See the file's header.
pub struct Store {
    disk: SimDisk,
    ledger: Option<Ledger>,
    limits: Limits,
    mood: Mood,
    sync_lies: bool,
}

impl Store {
    /// An empty disk.
    pub fn new(plan: &Plan) -> Self {
        let disk = SimDisk::new();
        disk.set_sync_lies(plan.sync_lies);
        disk.set_failed_sync_forgets(plan.failed_sync_forgets);
        Self {
            disk,
            ledger: None,
            limits: Limits { size_max_bytes: plan.size_max_bytes, events_max: plan.events_max },
            mood: Mood::Good,
            sync_lies: plan.sync_lies,
        }
    }

    /// Opens the ledger.
    pub fn open(&mut self, fresh_id: u32) -> Result<Memory, String> {
        let opened = Ledger::open_on(Arc::new(self.disk.clone()), self.limits, fresh_id);
        let (ledger, mut memory) = opened.map_err(|error| error.to_string())?;
        let fact = memory.facts.iter().find(|(key, _)| *key == FactKey::Controller);
        memory.controller = fact.and_then(|(_, text)| controller_from_fact(text));
        self.ledger = Some(ledger);
        Ok(memory)
    }

    /// All events, oldest first; `None` if the disk cannot be read at the moment.
    pub fn scan(&self) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let mut after = Seq(0);
        let all = EventFilter::default();
        loop {
            let page = self.ledger().page(after, &all, 1_000, usize::MAX).ok()?;
            events.extend(page.events);
            after = page.next;
            if page.end {
                return Some(events);
            }
        }
    }

    /// What a socket reads of the log; `None` if the disk cannot be read at the moment.
    pub fn page(&self, after: Seq, filter: &EventFilter, limit: usize, bytes_max: usize) -> Option<Page> {
        self.ledger().page(after, filter, limit, bytes_max).ok()
    }

    /// How long the next commit takes, in milliseconds.
    pub fn commit_ms(&self, rng: &mut Rng) -> u64 {
        match self.mood {
            Mood::Good => rng.within(1, 30),
            Mood::Slow => rng.within(50, 3_000),
            _ => rng.within(0, 300),
        }
    }

    /// Makes the writes durable, or does not.
    pub fn commit(&self, writes: &[Write], rng: &mut Rng) -> Result<Seq, CommitFault> {
        match self.mood {
            Mood::Unsynced => self.disk.fail_once_after(0, Some(Op::Sync)),
            Mood::Flaky if rng.chance(300) => self.disk.fail_once_after(rng.below(25), None),
            _ => {}
        }
        self.ledger().commit(&[writes.to_vec()]).map(|report| report.oldest)
    }

    /// The next event for a destination.
    pub fn fetch(&self, after: Seq, filter: &EventFilter, scan_max: usize) -> Result<Fetched, ()> {
        self.ledger().fetch(after, filter, scan_max).map_err(|_| ())
    }

    /// The event that an id was answered with; an error if the ledger cannot be read.
    pub fn inbox(&self, key: DedupeKey) -> Result<Option<Seq>, ()> {
        self.ledger().inbox(key).map_err(|_| ())
    }

    /// The process ends in good order.
    pub fn close(&mut self) {
        self.ledger = None;
    }

    /// The power goes while the ledger is opened.
    pub fn cut_recovery(&mut self, fresh_id: u32, rng: &mut Rng) {
        let ops = rng.pick(&[20, 200, 1_000]);
        self.disk.kill_after(rng.below(ops));
        let opened = Ledger::open_on(Arc::new(self.disk.clone()), self.limits, fresh_id);
        self.disk.power_cut(&mut || rng.draw());
        drop(opened);
        self.disk.power_on();
    }

    /// The process dies, perhaps in a commit: what was written stays, synced or not.
    pub fn kill(&mut self, commit: Option<&[Write]>, rng: &mut Rng) {
        self.die(commit, rng);
        self.disk.kill();
        self.ledger = None;
        self.disk.power_on();
    }

    /// The power goes, perhaps in a commit: what was not synced stays in parts or not at all.
    pub fn cut_power(&mut self, commit: Option<&[Write]>, rng: &mut Rng) {
        self.die(commit, rng);
        self.disk.power_cut(&mut || rng.draw());
        self.ledger = None;
        self.disk.power_on();
    }

    /// Begins the commit that was in flight and stops somewhere in it.
    fn die(&mut self, commit: Option<&[Write]>, rng: &mut Rng) {
        if let (Some(writes), Some(ledger)) = (commit, self.ledger.as_ref()) {
            self.disk.kill_after(rng.below(30));
            let _ = ledger.commit(&[writes.to_vec()]);
        }
        self.disk.heal();
        self.disk.set_sync_lies(self.sync_lies);
        self.apply();
    }

    /// Another mood, and how long it lasts in milliseconds.
    pub fn change(&mut self, rng: &mut Rng) -> u64 {
        const ALL: [Mood; 9] = [
            Mood::Good,
            Mood::Good,
            Mood::Slow,
            Mood::Slow,
            Mood::Full,
            Mood::Broken,
            Mood::Unsynced,
            Mood::Flaky,
            Mood::Flaky,
        ];
        self.set_mood(rng.pick(&ALL));
        match self.mood {
            Mood::Good | Mood::Slow | Mood::Flaky => rng.gap(300_000),
            _ => rng.gap(60_000),
        }
    }

    /// This mood from here on.
    pub fn set_mood(&mut self, mood: Mood) {
        self.mood = mood;
        self.apply();
    }

    /// Makes the disk behave as its mood says. A full disk has room for what is there and not for more.
    fn apply(&self) {
        self.disk.set_failing(self.mood == Mood::Broken);
        self.disk.set_space_max((self.mood == Mood::Full).then(|| self.disk.space_used()));
    }

    /// How the disk is.
    pub fn mood(&self) -> Mood {
        self.mood
    }

    /// A good disk from here on.
    pub fn heal(&mut self) {
        self.mood = Mood::Good;
        self.disk.heal();
        self.disk.set_sync_lies(self.sync_lies);
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("the process runs")
    }
}
