//! What the tests of the ledger share.

use std::sync::Arc;

use chainbot::agent::Memory;
use chainbot::agent::event::{Event, EventFilter, JsonText, Severity, Source};
use chainbot::agent::ids::{DedupeKey, Seq};
use chainbot::agent::memory::Write;
use chainbot::agent::time::Wall;
use chainbot::ledger::{Ledger, Limits};

use crate::disk::SimDisk;

pub const LEDGER_ID: u32 = 0xCAFE_F00D;
pub const LIMITS: Limits = Limits { size_max_bytes: 16 << 20, events_max: 100_000 };

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

pub fn open(disk: &SimDisk, limits: Limits) -> (Ledger, Memory) {
    Ledger::open_on(Arc::new(disk.clone()), limits, LEDGER_ID).expect("the ledger opens")
}

/// An event that follows from its place and size alone, so that any change of it shows.
pub fn event(seq: u64, metadata_bytes: usize) -> Event {
    let mut random = Random(seq);
    let metadata: String = (0..metadata_bytes).map(|_| (b'a' + (random.next() % 26) as u8) as char).collect();
    Event {
        seq: Seq(seq),
        at: Wall(1_700_000_000_000 + seq as i64),
        kind: format!("test.kind_{}", seq % 5),
        source: Source::ALL[(seq % 3) as usize],
        severity: [Severity::Info, Severity::Warning, Severity::Error][(seq % 3) as usize],
        message: format!("event number {seq}"),
        metadata: JsonText(metadata),
    }
}

pub fn events(places: impl IntoIterator<Item = u64>, metadata_bytes: usize) -> Vec<Write> {
    places.into_iter().map(|seq| Write::Event(event(seq, metadata_bytes))).collect()
}

pub fn dedupe_key(seq: u64) -> DedupeKey {
    let mut random = Random(seq);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random.next().to_le_bytes());
    key[8..].copy_from_slice(&random.next().to_le_bytes());
    DedupeKey(key)
}

pub fn inbox(seq: u64) -> Write {
    Write::Inbox { key: dedupe_key(seq), seq: Seq(seq) }
}

pub fn all_events(ledger: &Ledger) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = ledger.page(after, &EventFilter::default(), 1_000, usize::MAX).expect("reads");
        events.extend(page.events);
        after = page.next;
        if page.end {
            return events;
        }
    }
}

/// An event that is not what `event` made, if there is one.
pub fn wrong_event(events: &[Event]) -> Option<&Event> {
    events.iter().find(|found| **found != event(found.seq.0, found.metadata.0.len()))
}
