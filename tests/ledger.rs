//! The ledger on a disk that loses power, fails, fills up and rots, and on real files.

#[path = "ledger/damage.rs"]
mod damage;
#[path = "sim/disk.rs"]
mod disk;
#[path = "ledger/faults.rs"]
mod faults;
#[path = "ledger/files.rs"]
mod files;
#[path = "ledger/support.rs"]
mod support;
#[path = "ledger/talks.rs"]
mod talks;

use chainbot::agent::event::{EventFilter, Severity};
use chainbot::agent::ids::{Destination, Seq};
use chainbot::agent::limits::INBOX_IDS_MAX;
use chainbot::agent::memory::{FactKey, Write};
use chainbot::ledger::Limits;
use disk::SimDisk;
use support::{LIMITS, Random, all_events, dedupe_key, event, events, inbox, open};

fn cursor(destination: &Destination, seq: u64) -> Write {
    Write::Cursor { destination: destination.clone(), seq: Seq(seq) }
}

#[test]
fn a_new_ledger_is_empty_and_keeps_its_name() {
    let disk = SimDisk::new();
    let (ledger, memory) = open(&disk, LIMITS);
    assert_eq!((memory.ledger.0, memory.oldest, memory.last), (support::LEDGER_ID, Seq(1), Seq(0)));
    assert_eq!((memory.newest_at, memory.cursors.len(), memory.facts.len()), (None, 0, 0));
    drop(ledger);
    let again = chainbot::ledger::Ledger::open_on(std::sync::Arc::new(disk), LIMITS, 99).expect("opens").1;
    assert_eq!(again.ledger.0, support::LEDGER_ID, "the name was made with the file");
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, LIMITS);
    let hook = Destination::Hook("k1".to_owned());
    let controller = "ü".repeat(20_000);
    ledger
        .commit(&[
            vec![Write::Event(event(1, 10)), Write::Event(event(2, 70_000)), Write::Event(event(3, 1_800))],
            vec![inbox(2), cursor(&Destination::Alexos, 1), cursor(&hook, 3)],
            vec![Write::Fact(FactKey::Controller, controller.clone())],
            vec![Write::Fact(FactKey::AlexosAgentId, "a-1".to_owned())],
            vec![Write::Fact(FactKey::HooksDisabled, "[]".to_owned())],
        ])
        .expect("commits");
    ledger
        .commit(&[vec![Write::Fact(FactKey::HooksDisabled, String::new()), Write::CursorGone(hook)]])
        .expect("commits");
    drop(ledger);
    let (ledger, memory) = open(&disk, LIMITS);
    assert_eq!((memory.oldest, memory.last, memory.newest_at), (Seq(1), Seq(3), Some(event(3, 0).at)));
    assert_eq!(memory.cursors, [(Destination::Alexos, Seq(1))]);
    let facts = [(FactKey::AlexosAgentId, "a-1".to_owned()), (FactKey::Controller, controller)];
    assert_eq!(memory.facts, facts);
    assert_eq!(all_events(&ledger), [event(1, 10), event(2, 70_000), event(3, 1_800)]);
    assert_eq!(ledger.inbox(dedupe_key(2)), Ok(Some(Seq(2))));
    assert_eq!(ledger.inbox(dedupe_key(3)), Ok(None));
}

#[test]
fn a_fact_that_shrinks_leaves_nothing_behind() {
    let (ledger, _) = open(&SimDisk::new(), LIMITS);
    for text in ["x".repeat(9_000), "short".to_owned(), "y".repeat(4_000)] {
        ledger.commit(&[vec![Write::Fact(FactKey::Controller, text.clone())]]).expect("commits");
        assert_eq!(ledger.facts(), Ok(vec![(FactKey::Controller, text)]));
    }
}

#[test]
fn writing_the_same_twice_is_harmless() {
    let (ledger, _) = open(&SimDisk::new(), LIMITS);
    let mut batch = events(1..=20, 2_500);
    batch.extend((1..=20).map(inbox));
    batch.push(cursor(&Destination::Alexos, 7));
    let first = ledger.commit(&[batch.clone()]).expect("commits");
    let before = (all_events(&ledger), ledger.stats().expect("stats").inbox);
    assert_eq!(ledger.commit(&[batch]), Ok(first));
    assert_eq!((all_events(&ledger), ledger.stats().expect("stats").inbox), before);
}

#[test]
fn fetch_says_what_was_dropped_in_between() {
    let (ledger, _) = open(&SimDisk::new(), Limits { events_max: 64, ..LIMITS });
    for seq in 1..=80 {
        ledger.commit(&[events(seq..=seq, 10)]).expect("commits");
    }
    let oldest = ledger.stats().expect("reads").oldest;
    assert!(oldest > Seq(2), "some were dropped");
    let all = EventFilter::default();
    let of = |after: Seq| ledger.fetch(after, &all, 10).expect("fetches").oldest;
    assert_eq!((of(Seq(1)), of(Seq(oldest.0 - 1)), of(oldest)), (oldest, Seq(0), Seq(0)));
}

#[test]
fn fetch_gives_the_next_event_that_passes_and_says_how_far_it_looked() {
    let (ledger, _) = open(&SimDisk::new(), LIMITS);
    ledger.commit(&[events(1..=50, 10)]).expect("commits");
    let all = EventFilter::default();
    let fetched = ledger.fetch(Seq(0), &all, 10).expect("fetches");
    assert_eq!((fetched.event, fetched.upto), (Some(event(1, 10)), Seq(1)));
    let none = EventFilter { severities: vec![Severity::Critical], ..all.clone() };
    let fetched = ledger.fetch(Seq(5), &none, 10).expect("fetches");
    assert_eq!((fetched.event, fetched.upto), (None, Seq(15)));
    let fetched = ledger.fetch(Seq(50), &all, 10).expect("fetches");
    assert_eq!((fetched.event, fetched.upto), (None, Seq(50)), "nothing is behind the last");
    let fetched = ledger.fetch(Seq(u64::MAX), &all, 10).expect("fetches");
    assert_eq!((fetched.event, fetched.upto), (None, Seq(u64::MAX)));
}

#[test]
fn pages_end_at_their_limits_and_follow_each_other() {
    let (ledger, _) = open(&SimDisk::new(), LIMITS);
    ledger.commit(&[events(1..=50, 1_000)]).expect("commits");
    let all = EventFilter::default();
    let page = ledger.page(Seq(0), &all, 7, usize::MAX).expect("reads");
    assert_eq!((page.events.len(), page.next, page.end), (7, Seq(7), false));
    let page = ledger.page(page.next, &all, 100, 3_000).expect("reads");
    assert_eq!((page.events[0].seq, page.events.len(), page.end), (Seq(8), 3, false));
    let page = ledger.page(Seq(0), &all, 1, 0).expect("reads");
    assert_eq!(page.events.len(), 1, "a page has room for one event whatever its size");
    let page = ledger.page(Seq(45), &all, 100, usize::MAX).expect("reads");
    assert_eq!((page.events.len(), page.next, page.end), (5, Seq(50), true));
}

#[test]
fn more_events_than_the_limit_are_never_kept() {
    let (ledger, _) = open(&SimDisk::new(), Limits { events_max: 100, ..LIMITS });
    let mut undelivered = 0;
    for first in (1..1_000).step_by(7) {
        let mut batch = events(first..=first + 6, 50);
        if first < 500 {
            batch.push(cursor(&Destination::Alexos, first + 6));
        }
        let report = ledger.commit(&[batch]).expect("commits");
        let stats = ledger.stats().expect("stats");
        assert!(stats.events <= 100, "{stats:?}");
        assert_eq!((stats.oldest, stats.last), (report.oldest, Seq(first + 6)));
        assert!(first >= 500 || report.dropped_undelivered == 0, "all of it was delivered");
        undelivered += report.dropped_undelivered;
    }
    let oldest = ledger.stats().expect("stats").oldest.0;
    assert_eq!(undelivered, oldest - 1 - 504, "what the cursor at 504 had before it and is gone");
}

#[test]
fn the_newest_event_stays_so_that_no_place_is_given_twice() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, Limits { events_max: 0, ..LIMITS });
    ledger.commit(&[events(1..=9, 10)]).expect("commits");
    drop(ledger);
    assert_eq!(open(&disk, LIMITS).1.last, Seq(9));
}

#[test]
fn a_full_ledger_makes_room_and_its_file_stays_below_the_cap() {
    let limits = Limits { size_max_bytes: 4 << 20, events_max: 1_000_000 };
    let (disk, mut random) = (SimDisk::new(), Random(3));
    let (ledger, _) = open(&disk, limits);
    let (mut next, mut undelivered, mut written) = (1, 0, 0);
    while written < 24 << 20 {
        let size = [20, 300, 1_900, 9_000, 64 * 1024][(random.next() % 5) as usize];
        let mut batch = events(next..=next + random.next() % 8, size);
        next += batch.len() as u64;
        batch.extend((next - batch.len() as u64..next).map(inbox));
        if written < 12 << 20 {
            batch.push(cursor(&Destination::Alexos, next - 1));
        }
        written += batch.iter().map(Write::bytes).sum::<usize>();
        let report = ledger.commit(&[batch]).expect("room is made");
        assert!(report.dropped_undelivered == 0 || written > 12 << 20, "delivered ones go first");
        undelivered += report.dropped_undelivered;
        let stats = ledger.stats().expect("stats");
        assert!(stats.file_bytes <= 4 << 20, "{stats:?}");
        assert_eq!(stats.last, Seq(next - 1));
    }
    assert!(undelivered > 0, "a cursor that stands still does not stop the ledger");
    let kept = all_events(&ledger);
    let bytes: usize = kept.iter().map(|event| event.metadata.0.len()).sum();
    assert!(bytes > 512 * 1024, "only {bytes} bytes of events are kept below a cap of 4 MiB");
    let places: Vec<u64> = kept.iter().map(|event| event.seq.0).collect();
    assert!(places.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the oldest go first");
    drop(ledger);
    let (ledger, _) = open(&disk, limits);
    assert_eq!(all_events(&ledger), kept);
}

#[test]
fn the_inbox_forgets_its_oldest_ids() {
    let (ledger, _) = open(&SimDisk::new(), LIMITS);
    for first in (1..=INBOX_IDS_MAX + 50).step_by(50) {
        ledger.commit(&[(first..first + 50).map(inbox).collect::<Vec<_>>()]).expect("commits");
    }
    assert_eq!(ledger.stats().expect("stats").inbox, INBOX_IDS_MAX);
    assert_eq!(ledger.inbox(dedupe_key(50)), Ok(None));
    assert_eq!(ledger.inbox(dedupe_key(51)), Ok(Some(Seq(51))));
    assert_eq!(ledger.inbox(dedupe_key(INBOX_IDS_MAX + 50)), Ok(Some(Seq(INBOX_IDS_MAX + 50))));
}

/// A ledger of the smallest size that has been at its cap for a while, and the place after its newest event.
fn at_the_cap(disk: &SimDisk, bytes: usize) -> (chainbot::ledger::Ledger, u64) {
    let (ledger, _) = open(disk, Limits { size_max_bytes: 4 << 20, events_max: 1_000_000 });
    ledger.commit(&[vec![cursor(&Destination::Alexos, 0)]]).expect("commits");
    let mut next = 1;
    while ledger.commit(&[events(next..next + 20, bytes)]).expect("room is made").oldest < Seq(500) {
        next += 20;
    }
    (ledger, next + 20)
}

#[test]
fn a_commit_at_the_cap_costs_hardly_more_than_any_other_and_the_history_stays_long() {
    let (disk, commits) = (SimDisk::new(), 2_000);
    let (ledger, mut next) = at_the_cap(&disk, 300);
    let (syncs, ops) = (disk.syncs(), disk.ops());
    let mut kept_min = u64::MAX;
    for _ in 0..commits {
        let report = ledger.commit(&[events(next..next + 5, 300)]).expect("room is made");
        next += 5;
        kept_min = kept_min.min(next - report.oldest.0);
    }
    let (syncs, ops) = (disk.syncs() - syncs, disk.ops() - ops);
    assert_eq!(syncs, commits, "nothing is dropped in a transaction of its own");
    assert!(ops <= 14 * commits, "{ops} operations: the pages are counted too often");
    let (kept, file) = (kept_min * 300, ledger.stats().expect("stats").file_bytes);
    assert!(kept * 100 > file * 57, "{kept_min} events of 300 bytes in a file of {file}");
}

#[test]
fn whatever_size_follows_another_room_is_made_and_each_that_goes_is_counted() {
    for (small, large) in [(30, 1_350), (30, 60_000), (300, 3_000), (1_350, 60_000)] {
        let disk = SimDisk::new();
        let (ledger, mut next) = at_the_cap(&disk, small);
        let mut dropped = None;
        for round in 0..240 {
            let bytes = if round / 40 % 2 == 0 { large } else { small };
            let count = if bytes > 3_000 { 4 } else { 40 };
            let report = ledger.commit(&[events(next..next + count, bytes)]).expect("room is made");
            next += count;
            let oldest = report.oldest.0;
            assert!(report.oldest < Seq(next), "the newest stays");
            let lost = oldest - dropped.replace(oldest).unwrap_or(oldest - report.dropped_undelivered);
            assert_eq!(report.dropped_undelivered, lost, "{small} and {large} bytes, round {round}");
            assert!(ledger.stats().expect("stats").file_bytes <= 4 << 20);
        }
        let kept = all_events(&ledger);
        assert_eq!(kept.len() as u64, next - dropped.unwrap_or(0));
        assert_eq!(support::wrong_event(&kept), None);
    }
}
