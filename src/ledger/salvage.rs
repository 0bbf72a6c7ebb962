//! Saving what can be saved of a damaged file: every page is searched for values whose checksum holds, whatever redb
//! would think of the page.
//!
//! Nothing here runs redb on the damaged file, so nothing here panics on it. Pages that redb has given up are found
//! too: an old copy of a committed event is as good; of cursors the furthest counts, of facts and conversations the last change
//! (so a conversation that was forgotten may come back). A power cut in
//! mid-commit leaves events in the file that never were, and their places are given again: of two at one place the later counts.
//! The layout of a leaf is redb's file format 3 (its `docs/design.md`).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use redb::StorageBackend;

use super::codec::decode;
use super::disk::{FileDisk, open_locked};
use super::read::{FactPiece, destination_of, fact_part_key, fact_piece};
use super::record::{PART_BITS, SEQ_END, Tag, number_of, part_key, unseal};
use super::store::{Ledger, Limits, OpenError, SIZE_MIN_BYTES, floor_of, ledger_id_of};
use super::talk_codec::{self, decode_message, decode_record};
use super::talks::{Name, name_of, part_key as talk_part_key, piece_of};
use crate::agent::brain::speech::{CallState, SessionRecord};
use crate::agent::event::Event;
use crate::agent::ids::{DedupeKey, Seq};
use crate::agent::memory::{FactKey, Write};

const PAGE_BYTES: usize = 4_096;
/// Bytes looked at from the start of a page: our values keep a leaf within two pages.
const WINDOW_BYTES: usize = 2 * PAGE_BYTES;
const LEAF: u8 = 1;
/// Most entries that a leaf of two pages can have.
const ENTRIES_MAX: usize = WINDOW_BYTES / 16;
/// How far above the highest place seen a salvaged ledger goes on, so that no id is given twice.
const SEQ_GAP: u64 = 1_000_000;
/// Missing places in a longer row than this are such a gap, and no losses.
const LOST_ROW_MAX: u64 = SEQ_GAP / 10;
/// Writes of one commit of the salvage.
const BATCH_WRITES: usize = 512;
const BATCH_BYTES: usize = 256 * 1024;

/// What a salvage carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SalvageReport {
    /// Events carried over.
    pub events_salvaged: u64,
    /// Events that are missing between those, and values of other kinds known to be lost.
    pub records_lost: u64,
}

impl SalvageReport {
    /// The line that `chainbot ledger salvage` prints for its parent.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!("events_salvaged={} records_lost={}", self.events_salvaged, self.records_lost)
    }

    /// Reads `to_line`; what is missing counts as 0.
    #[must_use]
    pub fn parse_line(text: &str) -> Self {
        let number = |name: &str| {
            let value = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        Self { events_salvaged: number("events_salvaged"), records_lost: number("records_lost") }
    }
}

/// Makes a new ledger `to` from all of the file `from` whose checksum holds. `from` is only read. The new ledger keeps the
/// id if that is readable, else takes `fresh_id`, and goes on 1,000,000 places above the highest seen.
///
/// # Errors
/// If another process has one of the files, or the system refuses.
pub fn salvage_file(from: &Path, to: &Path, fresh_id: u32) -> Result<SalvageReport, OpenError> {
    let named = |error| OpenError::Io(from.to_owned(), error);
    let file = open_locked(from, false).map_err(named)?.ok_or_else(|| OpenError::InUse(from.to_owned()))?;
    let source = Source { disk: FileDisk(file) };
    let index = source.index().map_err(named)?;
    let size_max_bytes = source.disk.len().map_err(named)?.max(SIZE_MIN_BYTES);
    let limits = Limits { size_max_bytes, events_max: u64::MAX };
    let (ledger, _) = Ledger::open_file(to, limits, index.id.unwrap_or(fresh_id))?;
    let mut sink = Sink { ledger, to, batch: Vec::new(), bytes: 0 };
    let mut report = SalvageReport::default();
    index.write_small(&mut sink, &mut report)?;
    index.write_talks(&source, &mut sink, &mut report)?;
    index.write_events(&source, &mut sink, &mut report)?;
    sink.flush()?;
    let highest = index.events.last_key_value().map_or(0, |(seq, _)| *seq).max(index.floor);
    // Whatever has the old name goes on above all that it may have given, also if no event is left to say how far that was.
    if highest > 0 || index.id.is_some() {
        sink.ledger.raise_floor(Seq((highest + SEQ_GAP).min(SEQ_END - 1)))?;
    }
    Ok(report)
}

/// A value whose checksum holds, found in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found<'w> {
    /// The first piece of the event at this place.
    Event(u64, &'w [u8]),
    /// A further piece of an event, by its key.
    Part(u64, &'w [u8]),
    /// A destination's name and the last event behind it.
    Cursor(&'w str, u64),
    /// The place of an event and the hashed id that it came with.
    Inbox(u64, [u8; 16]),
    /// The key of a fact's piece and its whole stored value.
    Fact(&'w str, &'w [u8]),
    /// The key of a piece of a conversation and its whole stored value.
    Talk(&'w str, &'w [u8]),
    /// The id of the ledger.
    Id(u32),
    /// The place that the next event must be above.
    Floor(u64),
}

/// Looks for values in the bytes from the start of a page on. Takes any bytes.
pub fn scan_page(window: &[u8], found: &mut dyn FnMut(Found<'_>)) {
    for key_bytes in [Some(8), None] {
        for entry in 0..ENTRIES_MAX {
            let Some(entries) = entries_of(window) else { return };
            if entry >= entries {
                break;
            }
            if let Some((key, value)) = entry_of(window, entries, entry, key_bytes)
                && let Some(value) = identify(key, value, key_bytes)
            {
                found(value);
            }
        }
    }
}

fn entries_of(window: &[u8]) -> Option<usize> {
    let [LEAF, _, low, high] = *window.first_chunk::<4>()? else { return None };
    let entries = usize::from(u16::from_le_bytes([low, high]));
    (1..=ENTRIES_MAX).contains(&entries).then_some(entries)
}

/// Key and value of an entry of a leaf whose keys have this length, or each its own.
fn entry_of(window: &[u8], entries: usize, entry: usize, key_bytes: Option<usize>) -> Option<(&[u8], &[u8])> {
    let ends_of = |table: usize, entry: usize| -> Option<usize> {
        let at = 4 + 4 * (table * entries + entry);
        Some(u32::from_le_bytes(window.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    let tables = if key_bytes.is_some() { 1 } else { 2 };
    let keys_start = 4 + 4 * tables * entries;
    let key_end = |entry: usize| match key_bytes {
        Some(bytes) => Some(keys_start + bytes * (entry + 1)),
        None => ends_of(0, entry),
    };
    let key_start = if entry == 0 { keys_start } else { key_end(entry - 1)? };
    let value_start = if entry == 0 { key_end(entries - 1)? } else { ends_of(tables - 1, entry - 1)? };
    let value_end = ends_of(tables - 1, entry)?;
    Some((window.get(key_start..key_end(entry)?)?, window.get(value_start..value_end)?))
}

fn identify<'w>(key: &'w [u8], value: &'w [u8], key_bytes: Option<usize>) -> Option<Found<'w>> {
    match key_bytes {
        Some(8) => {
            let number = number_of(key)?;
            if let Some(payload) = unseal(Tag::Event, key, value) {
                return Some(Found::Event(number, payload));
            }
            if let Some(payload) = unseal(Tag::Part, key, value) {
                return Some(Found::Part(number, payload));
            }
            Some(Found::Inbox(number, unseal(Tag::Inbox, key, value)?.try_into().ok()?))
        }
        _ => {
            let name = std::str::from_utf8(key).ok()?;
            if let Some(payload) = unseal(Tag::Cursor, key, value) {
                return Some(Found::Cursor(name, number_of(payload)?));
            }
            if fact_piece(name, value).is_some() {
                return Some(Found::Fact(name, value));
            }
            if piece_of(name, value).is_some() {
                return Some(Found::Talk(name, value));
            }
            ledger_id_of(key, value).map(Found::Id).or_else(|| floor_of(key, value).map(Found::Floor))
        }
    }
}

/// The damaged file.
struct Source {
    disk: FileDisk,
}

impl Source {
    /// Reads every page once and remembers where what is. Unreadable pages are left out.
    fn index(&self) -> io::Result<Index> {
        let mut index = Index::default();
        for page in 0..self.disk.len()?.div_ceil(PAGE_BYTES as u64) {
            scan_page(&self.window(page), &mut |found| index.note(page, found));
        }
        Ok(index)
    }

    fn window(&self, page: u64) -> Vec<u8> {
        let start = page * PAGE_BYTES as u64;
        let len = self.disk.len().unwrap_or(0).saturating_sub(start).min(WINDOW_BYTES as u64) as usize;
        let mut window = vec![0; len];
        if self.disk.read(start, &mut window).is_err() {
            window.truncate(len.min(PAGE_BYTES));
            if self.disk.read(start, &mut window).is_err() {
                window.clear();
            }
        }
        window
    }

    /// The event that has its first piece in this page.
    fn event(&self, seq: u64, page: u64, index: &Index) -> Option<Event> {
        let mut bytes = None;
        scan_page(&self.window(page), &mut |found| {
            if let Found::Event(at, payload) = found
                && at == seq
            {
                bytes = Some(payload.to_vec());
            }
        });
        let bytes = bytes?;
        let (more, first) = bytes.split_first_chunk()?;
        let mut whole = first.to_vec();
        for part in 1..=u16::from_le_bytes(*more).min((1 << PART_BITS) - 1) {
            self.push_part(part_key(seq, part), index, &mut whole)?;
        }
        decode(Seq(seq), &whole).ok()
    }

    /// The whole text of the latest conversation record or message under a key.
    fn talk(&self, key: &str, index: &Index) -> Option<Vec<u8>> {
        let (_, _, stamp, page) = *index.talks.get(key)?;
        let (mut whole, more) = self.talk_piece(page, key, stamp)?;
        for part in 1..=more {
            let key = talk_part_key(key, part);
            let page = *index.talk_parts.get(&(key.clone(), stamp))?;
            whole.extend_from_slice(&self.talk_piece(page, &key, stamp)?.0);
        }
        (crc32fast::hash(&whole) == stamp).then_some(whole)
    }

    fn talk_piece(&self, page: u64, key: &str, stamp: u32) -> Option<(Vec<u8>, u16)> {
        let mut found = None;
        scan_page(&self.window(page), &mut |value| {
            if let Found::Talk(at, value) = value
                && at == key
                && let Some(piece) = piece_of(key, value).filter(|piece| piece.stamp == stamp)
            {
                found = Some((piece.bytes.to_vec(), piece.more));
            }
        });
        found
    }

    fn push_part(&self, key: u64, index: &Index, whole: &mut Vec<u8>) -> Option<()> {
        let len = whole.len();
        scan_page(&self.window(*index.parts.get(&key)?), &mut |found| {
            if let Found::Part(at, payload) = found
                && at == key
                && whole.len() == len
            {
                whole.extend_from_slice(payload);
            }
        });
        (whole.len() > len).then_some(())
    }
}

/// When an event happened, by its first piece, in milliseconds since 1970. The agent's clock never goes back behind the newest
/// event that was committed, so what took the place of an event that was not is later, unless the board has no clock: then it is a guess.
fn time_of(first_piece: &[u8]) -> i64 {
    first_piece.get(2..).and_then(|bytes| bytes.first_chunk()).map_or(i64::MIN, |at| i64::from_le_bytes(*at))
}

/// What is where in the damaged file.
#[derive(Default)]
struct Index {
    id: Option<u32>,
    floor: u64,
    /// Its time, and the page that its first piece is in.
    events: BTreeMap<u64, (i64, u64)>,
    parts: BTreeMap<u64, u64>,
    cursors: BTreeMap<String, u64>,
    /// `None` where two ids are told for one place: which of them was committed, nobody knows. That one comes again is better
    /// than that one is taken for done that never was.
    inbox: BTreeMap<u64, Option<[u8; 16]>>,
    facts: BTreeMap<String, Vec<u8>>,
    /// Of the latest text under a key: its time, its revision, the checksum of the whole, the page of the first piece.
    talks: BTreeMap<String, (i64, u32, u32, u64)>,
    /// Page of a further piece, by its key and the checksum of the whole.
    talk_parts: BTreeMap<(String, u32), u64>,
}

impl Index {
    fn note(&mut self, page: u64, found: Found<'_>) {
        match found {
            Found::Event(seq, payload) => {
                let this = (time_of(payload), page);
                let kept = self.events.entry(seq).or_insert(this);
                *kept = this.max(*kept);
            }
            Found::Part(key, _) => {
                self.parts.insert(key, page);
            }
            Found::Cursor(name, seq) => {
                let furthest = self.cursors.entry(name.to_owned()).or_default();
                *furthest = seq.max(*furthest);
            }
            Found::Inbox(seq, id) => {
                let kept = self.inbox.entry(seq).or_insert(Some(id));
                *kept = kept.filter(|kept| *kept == id);
            }
            Found::Fact(key, value) => self.note_fact(key, value),
            Found::Talk(key, value) => self.note_talk(page, key, value),
            Found::Id(id) => self.id = Some(id),
            Found::Floor(floor) => self.floor = self.floor.max(floor),
        }
    }

    fn note_fact(&mut self, key: &str, value: &[u8]) {
        let rev_of = |value: &[u8]| fact_piece(key, value).map(|piece| piece.rev);
        if self.facts.get(key).and_then(|old| rev_of(old)) < rev_of(value) {
            self.facts.insert(key.to_owned(), value.to_vec());
        }
    }

    fn note_talk(&mut self, page: u64, key: &str, value: &[u8]) {
        let Some(piece) = piece_of(key, value) else { return };
        if name_of(key) == Some(Name::Part) {
            self.talk_parts.insert((key.to_owned(), piece.stamp), page);
            return;
        }
        let this = (talk_codec::time_of(piece.bytes), piece.rev, piece.stamp, page);
        let kept = self.talks.entry(key.to_owned()).or_insert(this);
        *kept = this.max(*kept);
    }

    fn fact_text(&self, key: FactKey) -> Option<String> {
        let piece = |name: &str| -> Option<FactPiece<'_>> { fact_piece(name, self.facts.get(name)?) };
        let first = piece(key.as_str())?;
        if first.removed {
            return Some(String::new());
        }
        let mut text = first.text.to_vec();
        for part in 1..=first.more {
            let name = fact_part_key(key.as_str(), part);
            text.extend_from_slice(piece(&name).filter(|piece| piece.rev == first.rev)?.text);
        }
        String::from_utf8(text).ok()
    }

    fn write_small(&self, sink: &mut Sink<'_>, report: &mut SalvageReport) -> Result<(), OpenError> {
        for (name, seq) in &self.cursors {
            if let Some(destination) = destination_of(name) {
                sink.put(Write::Cursor { destination, seq: Seq(*seq) })?;
            }
        }
        for key in FactKey::ALL {
            match self.fact_text(key) {
                Some(text) if !text.is_empty() => sink.put(Write::Fact(key, text))?,
                Some(_) => {}
                None => report.records_lost += u64::from(self.facts.contains_key(key.as_str())),
            }
        }
        for (seq, id) in self.inbox.iter().filter_map(|(seq, id)| Some((seq, id.as_ref()?))) {
            sink.put(Write::Inbox { key: DedupeKey(*id), seq: Seq(*seq) })?;
        }
        Ok(())
    }

    /// Conversations of which something can be read. What was kept of one is made up for from its messages; messages that it
    /// does not name were forgotten before.
    fn write_talks(
        &self,
        source: &Source,
        sink: &mut Sink<'_>,
        report: &mut SalvageReport,
    ) -> Result<(), OpenError> {
        let mut records: BTreeMap<&str, SessionRecord> = BTreeMap::new();
        for key in self.talks.keys() {
            if let Some(Name::Session(name)) = name_of(key) {
                match source.talk(key, self).and_then(|bytes| decode_record(&bytes).ok()) {
                    Some(record) => drop(records.insert(name, record)),
                    None => report.records_lost += 1,
                }
            }
        }
        let mut made_up: BTreeMap<&str, SessionRecord> = BTreeMap::new();
        for key in self.talks.keys() {
            let Some(Name::Message(session, number)) = name_of(key) else { continue };
            let known = records.get(session);
            if known.is_some_and(|record| !(record.first..record.next).contains(&number)) {
                continue;
            }
            let Some(message) = source.talk(key, self).and_then(|bytes| decode_message(&bytes).ok()) else {
                report.records_lost += 1;
                continue;
            };
            if known.is_none() {
                let blank = || SessionRecord { first: number, ..SessionRecord::default() };
                let record = made_up.entry(session).or_insert_with(blank);
                record.next = number.saturating_add(1);
                record.at = record.at.max(message.at);
                record.bytes = record.bytes.saturating_add(message.bytes() as u32);
            }
            let message = Box::new(message);
            sink.put(Write::Message { session: session.to_owned(), number, message })?;
        }
        for (session, mut record) in records.into_iter().chain(made_up) {
            // A later record may be lost: nobody knows whether the call at hand was begun, so it is not begun again.
            if let Some(turn) = record.turn.as_mut().filter(|turn| turn.calling > 0) {
                turn.call = CallState::Started;
            }
            sink.put(Write::Session { session: session.to_owned(), record: Box::new(record) })?;
        }
        Ok(())
    }

    fn write_events(
        &self,
        source: &Source,
        sink: &mut Sink<'_>,
        report: &mut SalvageReport,
    ) -> Result<(), OpenError> {
        let mut expected = None;
        for (seq, (_, page)) in &self.events {
            let missing = expected.map_or(0, |expected: u64| seq.saturating_sub(expected));
            report.records_lost += if missing <= LOST_ROW_MAX { missing } else { 0 };
            expected = Some(seq + 1);
            match source.event(*seq, *page, self) {
                Some(event) => {
                    sink.put(Write::Event(event))?;
                    report.events_salvaged += 1;
                }
                None => report.records_lost += 1,
            }
        }
        Ok(())
    }
}

/// The new ledger, written in large commits.
struct Sink<'p> {
    ledger: Ledger,
    to: &'p Path,
    batch: Vec<Write>,
    bytes: usize,
}

impl Sink<'_> {
    fn put(&mut self, write: Write) -> Result<(), OpenError> {
        self.bytes += write.bytes();
        self.batch.push(write);
        if self.batch.len() >= BATCH_WRITES || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        self.bytes = 0;
        let batch = [std::mem::take(&mut self.batch)];
        self.ledger.commit(&batch).map_err(|fault| {
            let error = io::Error::other(format!("commit failed: {fault:?}"));
            OpenError::Io(self.to.to_owned(), error)
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_searched_without_panic() {
        let mut state = 7_u64;
        for round in 0..2_000 {
            let mut page: Vec<u8> = (0..round * 4 % WINDOW_BYTES)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            if let [kind, _, _, high, ..] = page.as_mut_slice() {
                (*kind, *high) = (LEAF, 0);
            }
            scan_page(&page, &mut |found| panic!("random bytes with a good checksum: {found:?}"));
        }
    }

    #[test]
    fn of_two_events_at_one_place_the_later_counts_wherever_it_stands() {
        let piece = |at: i64| [&[0, 0], at.to_le_bytes().as_slice(), b"more"].concat();
        for pages in [(3, 8), (8, 3)] {
            let mut index = Index::default();
            index.note(pages.0, Found::Event(11, &piece(5_000)));
            index.note(pages.1, Found::Event(11, &piece(6_000)));
            assert_eq!(index.events[&11], (6_000, pages.1));
        }
        assert_eq!(time_of(b"short"), i64::MIN);
    }

    #[test]
    fn an_id_counts_if_it_is_the_only_one_told_for_its_place() {
        let mut index = Index::default();
        for (seq, id) in [(1, 7), (1, 7), (2, 7), (2, 8), (2, 7)] {
            index.note(0, Found::Inbox(seq, [id; 16]));
        }
        assert_eq!((index.inbox[&1], index.inbox[&2]), (Some([7; 16]), None));
    }

    #[test]
    fn a_report_reads_back_from_its_line() {
        let report = SalvageReport { events_salvaged: 12, records_lost: 3 };
        assert_eq!(SalvageReport::parse_line(&report.to_line()), report);
        assert_eq!(SalvageReport::parse_line("nonsense events_salvaged=x"), SalvageReport::default());
    }
}
