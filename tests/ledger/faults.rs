//! Power cuts, failing operations, full disks, and reading while all that happens.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};

use chainbot::agent::event::EventFilter;
use chainbot::agent::ids::{Destination, Seq};
use chainbot::agent::input::CommitFault;
use chainbot::agent::memory::{FactKey, Write};
use chainbot::ledger::Ledger;
use redb::StorageBackend;

use crate::disk::{Op, SimDisk};
use crate::support::{
    LEDGER_ID, LIMITS, Random, all_events, dedupe_key, event, events, inbox, open, wrong_event,
};

/// What was acknowledged, and what was asked and never answered.
#[derive(Default)]
struct Model {
    sizes: BTreeMap<u64, usize>,
    unanswered: Vec<u64>,
    cursor: u64,
    fact: Option<u64>,
}

impl Model {
    /// What is wrong with this ledger, if anything is.
    fn fault_of(&self, ledger: &Ledger) -> Option<String> {
        let found = all_events(ledger);
        if let Some(event) = wrong_event(&found) {
            return Some(format!("event {} is not what was written", event.seq.0));
        }
        let places: BTreeMap<u64, usize> =
            found.iter().map(|event| (event.seq.0, event.metadata.0.len())).collect();
        if let Some(lost) = self.sizes.iter().find(|(seq, size)| places.get(seq) != Some(size)) {
            return Some(format!("event {} was acknowledged and is lost", lost.0));
        }
        if let Some(seq) =
            self.sizes.keys().find(|seq| ledger.inbox(dedupe_key(**seq)) != Ok(Some(Seq(**seq))))
        {
            return Some(format!("the id of event {seq} is forgotten"));
        }
        let there = self.unanswered.iter().filter(|seq| places.contains_key(seq)).count();
        if there != 0 && there != self.unanswered.len() {
            return Some(format!("{there} of {} events of one commit are there", self.unanswered.len()));
        }
        let cursor = ledger.cursors().expect("reads").first().map_or(0, |(_, seq)| seq.0);
        if cursor < self.cursor {
            return Some(format!("the cursor fell back from {} to {cursor}", self.cursor));
        }
        let fact = ledger.facts().expect("reads").first().and_then(|(_, text)| text.parse().ok());
        (fact < self.fact).then(|| format!("the fact fell back from {:?} to {fact:?}", self.fact))
    }

    /// A commit of some events; whether it was acknowledged.
    fn commit(&mut self, ledger: &Ledger, random: &mut Random) -> bool {
        let next = self.sizes.last_key_value().map_or(1, |(seq, _)| seq + 1);
        let size = [10, 200, 3_000, 20_000][(random.next() % 4) as usize];
        let places = next..next + 1 + random.next() % 12;
        let mut batch = events(places.clone(), size);
        batch.extend(places.clone().map(inbox));
        batch.push(Write::Cursor { destination: Destination::Alexos, seq: Seq(next) });
        batch.push(Write::Fact(FactKey::AlexosAgentId, next.to_string()));
        if ledger.commit(&[batch]).is_err() {
            self.unanswered = places.collect();
            return false;
        }
        self.sizes.extend(places.map(|seq| (seq, size)));
        (self.cursor, self.fact) = (next, Some(next));
        self.unanswered.clear();
        true
    }
}

/// Some lives of a board that always loses its power; what went wrong, if anything did.
fn unplugged_board(seed: u64, sync_lies: bool) -> Option<String> {
    let (disk, mut random, mut model) = (SimDisk::new(), Random(seed), Model::default());
    for _ in 0..6 {
        disk.power_on();
        disk.set_sync_lies(sync_lies);
        disk.kill_after(random.next() % 200);
        if let Ok((ledger, _)) = Ledger::open_on(Arc::new(disk.clone()), LIMITS, LEDGER_ID) {
            while model.commit(&ledger, &mut random) {}
        }
        disk.power_cut(&mut || random.next());
        disk.power_on();
        let (ledger, memory) = match Ledger::open_on(Arc::new(disk.clone()), LIMITS, LEDGER_ID) {
            Ok(opened) => opened,
            Err(error) => return Some(error.to_string()),
        };
        let fault = model.fault_of(&ledger);
        if fault.is_some() {
            return fault;
        }
        // What was not answered and is there all the same counts from here on.
        for event in all_events(&ledger) {
            model.sizes.insert(event.seq.0, event.metadata.0.len());
        }
        let last = model.sizes.last_key_value().map_or(0, |(seq, _)| *seq);
        assert!(memory.last.0 >= last, "{memory:?}");
        model.unanswered.clear();
        // The check's own end is no clean stop either.
        disk.kill();
    }
    None
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    for seed in 0..200 {
        assert_eq!(unplugged_board(seed, false), None, "seed {seed}");
    }
}

#[test]
fn a_disk_that_lies_about_flushes_is_found_out() {
    let found = (0..40).filter(|seed| {
        // Even redb's own assertions may be the first to notice.
        !matches!(catch_unwind(AssertUnwindSafe(|| unplugged_board(*seed, true))), Ok(None))
    });
    assert!(found.count() > 10, "the checks above must be able to fail");
}

#[test]
fn a_power_cut_in_the_middle_of_creation_leaves_a_ledger_that_opens() {
    for ops in 0..60 {
        for seed in 0..4 {
            let (disk, mut random) = (SimDisk::new(), Random(seed * 1_000 + ops));
            disk.kill_after(ops);
            let made = Ledger::open_on(Arc::new(disk.clone()), LIMITS, 1).is_ok();
            disk.power_cut(&mut || random.next());
            disk.power_on();
            let (ledger, memory) = open(&disk, LIMITS);
            assert!(!made || memory.ledger.0 == 1, "a ledger that was there keeps its name");
            ledger.commit(&[events(1..=3, 100)]).expect("commits");
            assert_eq!(all_events(&ledger).len(), 3);
        }
    }
}

#[test]
fn any_operation_may_fail_once_and_the_next_try_succeeds() {
    for op in [None, Some(Op::Read), Some(Op::Write), Some(Op::Sync), Some(Op::SetLen)] {
        for after in 0..40 {
            let (disk, mut random, mut model) = (SimDisk::new(), Random(after), Model::default());
            disk.set_failed_sync_forgets(true);
            let (ledger, _) = open(&disk, LIMITS);
            assert!(model.commit(&ledger, &mut random));
            disk.fail_once_after(after, op);
            for _ in 0..12 {
                let mut again = Random(random.0);
                while !model.commit(&ledger, &mut again) {
                    again = Random(random.0);
                }
                random = again;
            }
            disk.heal();
            assert_eq!(model.fault_of(&ledger), None, "{op:?} after {after}");
            disk.kill();
            drop(ledger);
            disk.power_cut(&mut || random.next());
            disk.power_on();
            let (ledger, _) = open(&disk, LIMITS);
            assert_eq!(model.fault_of(&ledger), None, "{op:?} after {after}, and a power cut");
        }
    }
}

/// A ledger's life: made, filled beyond its limit so that it drops its oldest, read in every way, closed, opened, written, killed,
/// opened. Whatever fails is tried once more, and must succeed then.
fn live(disk: &SimDisk) {
    let limits = chainbot::ledger::Limits { events_max: 40, ..LIMITS };
    let again = |what: &str, run: &mut dyn FnMut() -> bool| assert!(run() || run(), "{what} fails twice");
    let mut ledger = None;
    let reopen = |slot: &mut Option<Ledger>, what: &str| {
        again(what, &mut || {
            *slot = None;
            *slot = Ledger::open_on(Arc::new(disk.clone()), limits, LEDGER_ID).ok().map(|(ledger, _)| ledger);
            slot.is_some()
        });
    };
    reopen(&mut ledger, "making it");
    let commit = |ledger: &Option<Ledger>, first: u64| {
        let ledger = ledger.as_ref().expect("it is open");
        let batch = || {
            let mut batch = events(first..=first + 4, 2_500);
            batch.extend((first..=first + 4).map(inbox));
            batch.push(Write::Cursor { destination: Destination::Alexos, seq: Seq(first) });
            batch
        };
        again("a commit", &mut || ledger.commit(&[batch()]).is_ok());
    };
    (1..60).step_by(5).for_each(|first| commit(&ledger, first));
    let all = EventFilter::default();
    let reader = ledger.as_ref().expect("it is open");
    again("a page", &mut || {
        reader.page(Seq(30), &all, 10, usize::MAX).is_ok_and(|page| page.events.len() == 10)
    });
    again("a fetch", &mut || reader.fetch(Seq(30), &all, 10).is_ok_and(|found| found.event.is_some()));
    again("an id", &mut || reader.inbox(dedupe_key(58)) == Ok(Some(Seq(58))));
    again("the size", &mut || reader.stats().is_ok());
    reopen(&mut ledger, "opening it after its end");
    commit(&ledger, 61);
    disk.kill();
    ledger = None;
    disk.power_on();
    reopen(&mut ledger, "opening it after a kill");
    commit(&ledger, 66);
    let mut found = Vec::new();
    again("reading it all", &mut || {
        let ledger = ledger.as_ref().expect("it is open");
        found = ledger.page(Seq(0), &all, 1_000, usize::MAX).map(|page| page.events).unwrap_or_default();
        !found.is_empty()
    });
    assert!(wrong_event(&found).is_none(), "something else than what was written");
    let places: Vec<u64> = found.iter().map(|event| event.seq.0).collect();
    let oldest = places[0];
    assert_eq!(places, (oldest..=70).collect::<Vec<_>>(), "something is missing");
    assert!((20..=31).contains(&oldest), "{oldest} is the oldest");
}

#[test]
#[allow(clippy::print_stdout, reason = "facts for docs/reliability.md")]
fn whichever_operation_of_a_life_fails_the_next_try_succeeds() {
    let mut n = 0;
    loop {
        let disk = SimDisk::new();
        disk.set_failed_sync_forgets(true);
        disk.fail_once_after(n, None);
        live(&disk);
        if disk.is_to_fail() {
            break;
        }
        n += 1;
    }
    println!("FACT operations of a ledger's life that failed, one in each life: {n} (every one)");
    assert!(n > 200, "a short life");
}

#[test]
fn what_a_failed_flush_forgot_is_written_again() {
    // The first try drops the oldest events and the second has none to drop: the pages that the first changed
    // for that are not changed again.
    let limits = chainbot::ledger::Limits { events_max: 64, ..LIMITS };
    for size in [100, 700, 1_500] {
        let disk = SimDisk::new();
        disk.set_failed_sync_forgets(true);
        let (ledger, _) = open(&disk, limits);
        for seq in 1..=80 {
            ledger.commit(&[events(seq..=seq, size)]).expect("commits");
        }
        disk.fail_once_after(0, Some(Op::Sync));
        ledger.commit(&[events(81..=90, size)]).expect_err("the flush failed");
        ledger.commit(&[events(81..=90, size)]).expect("commits");
        let before = all_events(&ledger);
        disk.kill();
        drop(ledger);
        // Nothing that was not flushed survives.
        disk.power_cut(&mut || 0);
        disk.power_on();
        let (ledger, _) = open(&disk, limits);
        assert!(before.len() > 60 && all_events(&ledger) == before, "{size} bytes");
    }
}

#[test]
fn a_dead_disk_says_so_and_all_is_well_when_it_answers_again() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, LIMITS);
    ledger.commit(&[events(1..=5, 100)]).expect("commits");
    disk.set_failing(true);
    for _ in 0..3 {
        assert_eq!(ledger.commit(&[events(6..=9, 100)]), Err(CommitFault::Io));
        assert!(ledger.fetch(Seq(0), &EventFilter::default(), 10).is_err());
    }
    disk.heal();
    assert_eq!(all_events(&ledger).len(), 5, "reading opens the ledger again");
    ledger.commit(&[events(6..=9, 100)]).expect("commits");
    assert_eq!(all_events(&ledger).len(), 9);
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_heals() {
    for room in [0, 8, 40, 200] {
        let (disk, mut random, mut model) = (SimDisk::new(), Random(room), Model::default());
        let (ledger, _) = open(&disk, LIMITS);
        while model.sizes.len() < 20 {
            assert!(model.commit(&ledger, &mut random));
        }
        disk.set_space_max(Some(disk.space_used() + room * 4_096));
        while model.commit(&ledger, &mut random) {}
        assert_eq!(ledger.commit(&[events(9_000..9_100, 5_000)]), Err(CommitFault::Full), "{room} pages");
        assert_eq!(model.fault_of(&ledger), None, "a full disk can be read: {room} pages");
        disk.heal();
        model.unanswered.clear();
        assert!(model.commit(&ledger, &mut random), "{room} pages");
        assert_eq!(model.fault_of(&ledger), None, "{room} pages");
    }
}

/// A disk whose flushes wait until they are let through.
#[derive(Debug)]
struct SlowDisk {
    below: SimDisk,
    /// Whether flushes wait, and whether one does.
    state: Arc<(Mutex<(bool, bool)>, Condvar)>,
}

impl StorageBackend for SlowDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.below.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.below.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.below.set_len(len)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        let (state, changed) = &*self.state;
        let mut waiting = state.lock().expect("lock");
        if waiting.0 {
            waiting.1 = true;
            changed.notify_all();
            drop(changed.wait_while(waiting, |waiting| waiting.0).expect("lock"));
        }
        self.below.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.below.write(offset, data)
    }
}

#[test]
fn reading_does_not_wait_for_a_commit() {
    let state = Arc::new((Mutex::new((false, false)), Condvar::new()));
    let disk = SlowDisk { below: SimDisk::new(), state: Arc::clone(&state) };
    let (ledger, _) = Ledger::open_on(Arc::new(disk), LIMITS, 1).expect("opens");
    ledger.commit(&[events(1..=5, 100)]).expect("commits");
    let (waiting, changed) = &*state;
    waiting.lock().expect("lock").0 = true;
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| ledger.commit(&[events(6..=9, 100)]));
        drop(changed.wait_while(waiting.lock().expect("lock"), |waiting| !waiting.1).expect("lock"));
        let fetched = ledger.fetch(Seq(4), &EventFilter::default(), 10).expect("reads");
        assert_eq!(fetched.event, Some(event(5, 100)));
        let fetched = ledger.fetch(Seq(5), &EventFilter::default(), 10).expect("reads");
        assert_eq!(fetched.event, None, "what is not durable is not shown");
        assert_eq!(ledger.stats().expect("stats").events, 5);
        waiting.lock().expect("lock").0 = false;
        changed.notify_all();
        commit.join().expect("joins").expect("commits");
    });
    assert_eq!(all_events(&ledger).len(), 9);
}
