//! Flipped bits: nothing wrong is ever shown, whether redb reads the file or the salvage does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chainbot::agent::ids::{Destination, Seq};
use chainbot::agent::memory::{FactKey, Write};
use chainbot::ledger::{Found, Ledger, decode, scan_page};

use crate::disk::SimDisk;
use crate::support::{LEDGER_ID, LIMITS, Random, all_events, dedupe_key, events, inbox, open, wrong_event};
use crate::talks::{message as talk_message, say};

const EVENTS: u64 = 60;
const FLIPS: u64 = 200;

/// A small ledger as it lies on the disk after a clean stop.
fn small_ledger() -> Vec<u8> {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, LIMITS);
    let mut batch = events(1..=EVENTS - 1, 300);
    batch.extend(events(EVENTS..=EVENTS, 9_000));
    batch.extend((1..=EVENTS).map(inbox));
    batch.push(Write::Cursor { destination: Destination::Alexos, seq: Seq(30) });
    batch.extend((1..=4).map(|number| say("talk", number, 2_500)));
    batch.push(Write::Fact(FactKey::AlexosAgentId, "agent".to_owned()));
    ledger.commit(&[batch]).expect("commits");
    drop(ledger);
    disk.bytes()
}

/// A random bit in a part of the file that holds something.
fn used_bit(bytes: &[u8], random: &mut Random) -> u64 {
    loop {
        let byte = random.next() as usize % bytes.len();
        if bytes[byte] != 0 || bytes[byte / 64 * 64..].iter().take(64).any(|near| *near != 0) {
            return byte as u64 * 8 + random.next() % 8;
        }
    }
}

/// Everything that can be read is what was written.
fn assert_nothing_wrong(ledger: &Ledger, flipped: u64) {
    let filter = chainbot::agent::event::EventFilter::default();
    let mut after = Seq(0);
    // A damaged tree may be reported, or end too early; it must not lie.
    while let Ok(page) = ledger.page(after, &filter, 100, usize::MAX) {
        assert_eq!(wrong_event(&page.events), None, "bit {flipped}");
        assert!(page.events.iter().all(|event| event.seq.0 <= EVENTS), "bit {flipped}");
        assert!(page.next.0 <= EVENTS, "bit {flipped}: a reader was sent beyond the last event");
        if page.end || page.next == after {
            break;
        }
        after = page.next;
    }
    for seq in 1..=EVENTS {
        assert!(matches!(ledger.inbox(dedupe_key(seq)), Ok(None | Some(_)) | Err(_)));
        if let Ok(Some(known)) = ledger.inbox(dedupe_key(seq)) {
            assert_eq!(known, Seq(seq), "bit {flipped}");
        }
    }
    for (number, message) in ledger.messages("talk", 0, 9, usize::MAX).unwrap_or_default() {
        assert_eq!(message, talk_message(number, 2_500), "bit {flipped}");
    }
    for (_, seq) in ledger.cursors().unwrap_or_default() {
        assert_eq!(seq, Seq(30), "bit {flipped}");
    }
    for (_, text) in ledger.facts().unwrap_or_default() {
        assert_eq!(text, "agent", "bit {flipped}");
    }
}

#[test]
fn a_flipped_bit_never_shows_a_wrong_record() {
    let bytes = small_ledger();
    let mut random = Random(11);
    let (mut opened, mut noticed) = (0, 0);
    for _ in 0..FLIPS {
        let bit = used_bit(&bytes, &mut random);
        let disk = SimDisk::with_bytes(bytes.clone());
        disk.flip_bit(bit);
        let ledger =
            catch_unwind(AssertUnwindSafe(|| Ledger::open_on(Arc::new(disk.clone()), LIMITS, LEDGER_ID)));
        let Ok(Ok((ledger, memory))) = ledger else {
            noticed += 1;
            continue;
        };
        opened += 1;
        assert!(memory.last.0 <= EVENTS + 1_000_000, "bit {bit}");
        let caught = catch_unwind(AssertUnwindSafe(move || {
            assert_nothing_wrong(&ledger, bit);
            let stats = ledger.stats();
            // Closing may panic too.
            drop(ledger);
            stats.map(|stats| stats.corrupt_records)
        }));
        match caught {
            Ok(Ok(0)) => {}
            Ok(_) => noticed += 1,
            // redb's panics are the reason for the check in a child; our own assertions are not to be swallowed.
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                assert!(!text.contains("bit "), "{text}");
                noticed += 1;
            }
        }
    }
    assert!(
        opened > FLIPS / 4 && noticed > FLIPS / 4,
        "{opened} opened, {noticed} noticed: the test tests nothing"
    );
}

#[test]
fn the_salvage_finds_everything_in_a_sound_file_and_nothing_wrong_in_a_damaged_one() {
    let bytes = small_ledger();
    let found = |bytes: &[u8]| {
        let mut places = std::collections::BTreeSet::new();
        for page in bytes.chunks(4_096) {
            scan_page(page, &mut |found| {
                if let Found::Event(seq, payload) = found {
                    assert!((1..=EVENTS).contains(&seq));
                    if seq < EVENTS {
                        let event = decode(Seq(seq), &payload[2..]).expect("decodes");
                        assert_eq!(wrong_event(&[event]), None);
                    }
                    places.insert(seq);
                }
            });
        }
        places.len() as u64
    };
    assert_eq!(found(&bytes), EVENTS);
    let mut random = Random(12);
    for _ in 0..FLIPS {
        let mut bad = bytes.clone();
        let bit = used_bit(&bytes, &mut random);
        bad[(bit / 8) as usize] ^= 1 << (bit % 8);
        // A bit in a leaf's own structure can cost all of that leaf.
        assert!(found(&bad) >= EVENTS - 24, "bit {bit}");
    }
}

#[test]
fn garbage_is_no_ledger_and_no_event() {
    let mut random = Random(13);
    for len in [1, 9, 4_096, 100_000] {
        let garbage: Vec<u8> = (0..len).map(|_| random.next() as u8 | 1).collect();
        let disk = SimDisk::with_bytes(garbage.clone());
        assert!(Ledger::open_on(Arc::new(disk.clone()), LIMITS, LEDGER_ID).is_err(), "{len} bytes");
        assert_eq!(disk.bytes(), garbage, "what is no ledger is left alone");
    }
    for _ in 0..50_000 {
        let garbage: Vec<u8> = (0..random.next() % 64).map(|_| random.next() as u8).collect();
        let _ = decode(Seq(1), &garbage);
    }
    assert_eq!(all_events(&open(&SimDisk::new(), LIMITS).0), []);
}

/// A commit that was flushed and whose pages the disk lost looks like one that the power cut short: it is taken back, the places of its
/// events are not given again, and somebody is told.
#[test]
fn a_lost_last_commit_is_told_and_its_places_are_not_given_again() {
    const PAGE: usize = 4_096;
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, LIMITS);
    for seq in 1..=5 {
        ledger.commit(&[events(seq..=seq, 100)]).expect("commits");
    }
    let before = disk.bytes();
    ledger.commit(&[events(6..=6, 100)]).expect("commits");
    let killed = disk.bytes();
    let memory = open(&SimDisk::with_bytes(killed.clone()), LIMITS).1;
    assert_eq!((memory.last, memory.is_rolled_back), (Seq(6), false), "nothing is wrong yet");
    let changed = (1..before.len() / PAGE).filter(|page| {
        let page = page * PAGE..(page + 1) * PAGE;
        killed[page.clone()] != before[page]
    });
    let mut count = 0;
    for page in changed {
        let mut bytes = killed.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        expect_rolled_back(bytes);
        count += 1;
    }
    assert!(count > 2, "the last commit wrote pages");
    // And the newer of the two headers of commits.
    let mut bytes = killed.clone();
    bytes[64 + 128 * usize::from(killed[9] & 1) + 10] ^= 1;
    expect_rolled_back(bytes);
}

fn expect_rolled_back(bytes: Vec<u8>) {
    let disk = SimDisk::with_bytes(bytes);
    let (ledger, memory) = open(&disk, LIMITS);
    assert_eq!(all_events(&ledger), events_only(1..=5));
    assert!(memory.is_rolled_back && memory.last > Seq(6), "{memory:?}");
    drop(ledger);
    let again = open(&disk, LIMITS).1;
    assert!(!again.is_rolled_back && again.last == memory.last, "{again:?}");
}

fn events_only(places: std::ops::RangeInclusive<u64>) -> Vec<chainbot::agent::event::Event> {
    places.map(|seq| crate::support::event(seq, 100)).collect()
}
