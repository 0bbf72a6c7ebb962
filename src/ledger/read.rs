//! Reading. No function here waits for a commit; each works on what was durable when it began.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageError,
};

use super::codec::{decode, decode_head};
use super::record::{
    CURSORS, EVENTS, FACTS, INBOX, PARTS, SEQ_END, Tag, number_bytes, number_of, part_key, unseal,
};
use super::store::Ledger;
use super::talks::{self, TalkCount};
use crate::agent::event::{Event, EventFilter};
use crate::agent::ids::{DedupeKey, Destination, Seq};
use crate::agent::memory::FactKey;
use crate::agent::time::Wall;

/// Records that one `page` looks at.
const PAGE_SCAN_MAX: usize = 4_096;
/// How far above the newest good event a record with a bad checksum is still believed to have been one.
const GAP: u64 = 1_000_000;

type Bytes = &'static [u8];

/// Why the ledger could not be read. Ask again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// It is closed after an error and a commit is about to open it.
    Busy,
    /// The disk failed.
    Io,
    /// redb cannot make sense of the file.
    Damaged,
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "ledger is being opened again",
            Self::Io => "ledger cannot be read",
            Self::Damaged => "ledger is damaged",
        })
    }
}

/// What `Ledger::fetch` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The first event that passes.
    pub event: Option<Event>,
    /// Everything up to here was looked at.
    pub upto: Seq,
    /// Nothing before this place was kept when it was read; 0 if nothing was missing behind `after`.
    pub oldest: Seq,
}

/// What `Ledger::page` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Events that pass, oldest first.
    pub events: Vec<Event>,
    /// Everything up to here was looked at: where the next page begins.
    pub next: Seq,
    /// Nothing was behind `next` when the page was read.
    pub end: bool,
}

/// Figures about the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Events kept.
    pub events: u64,
    /// Place of the oldest event; 0 if there is none.
    pub oldest: Seq,
    /// Place of the newest event; 0 if there is none.
    pub last: Seq,
    /// Callers' ids kept.
    pub inbox: u64,
    /// Conversations kept.
    pub sessions: u64,
    /// Messages of conversations kept.
    pub messages: u64,
    /// How often a record was met whose checksum does not hold, since the ledger was opened.
    pub corrupt_records: u64,
    /// Bytes written to the disk since the ledger was opened.
    pub bytes_written: u64,
    /// Flushes of the disk since the ledger was opened.
    pub syncs: u64,
}

/// The ends of the events table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) oldest: Option<u64>,
    pub(super) last: u64,
    pub(super) newest_at: Option<Wall>,
}

impl Ledger {
    /// The first event behind `after` that passes, among the next `scan_max` events.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn fetch(&self, after: Seq, filter: &EventFilter, scan_max: usize) -> Result<Fetched, ReadFault> {
        let mut found = None;
        let scan = self.scan(after, filter, scan_max, |event, _| {
            found = Some(event);
            false
        })?;
        Ok(Fetched { event: found, upto: scan.upto, oldest: scan.oldest })
    }

    /// At most `limit` events behind `after` that pass, with at most about `bytes_max` bytes of text beyond the first.
    /// A page may be short and yet not the last: `Page::end` says so.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn page(
        &self,
        after: Seq,
        filter: &EventFilter,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadFault> {
        let mut events = Vec::new();
        let mut bytes_left = bytes_max;
        if limit == 0 {
            return Ok(Page { events, next: after, end: false });
        }
        let scan = self.scan(after, filter, PAGE_SCAN_MAX, |event, bytes| {
            events.push(event);
            bytes_left = bytes_left.saturating_sub(bytes);
            events.len() < limit && bytes_left > 0
        })?;
        Ok(Page { events, next: scan.upto, end: scan.end })
    }

    /// The event that this id was answered with.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn inbox(&self, key: DedupeKey) -> Result<Option<Seq>, ReadFault> {
        if self.current().is_some() && self.lock_ids().places(&key.0).next().is_none() {
            return Ok(None);
        }
        self.reading(|reading| {
            let table = reading.open_table(INBOX)?;
            let places: Vec<u64> = self.lock_ids().places(&key.0).collect();
            for seq in places {
                let Some(value) = table.get(seq)? else { continue };
                let id = unseal(Tag::Inbox, &number_bytes(seq), value.value());
                if self.counted(id).is_some_and(|id| id == key.0) {
                    return Ok(Some(Seq(seq)));
                }
            }
            Ok(None)
        })
    }

    /// The last event that each destination has behind it.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn cursors(&self) -> Result<Vec<(Destination, Seq)>, ReadFault> {
        self.reading(|reading| {
            let mut cursors = Vec::new();
            for row in reading.open_table(CURSORS)?.iter()? {
                let (key, value) = row?;
                let seq = unseal(Tag::Cursor, key.value().as_bytes(), value.value()).and_then(number_of);
                if let (Some(seq), Some(destination)) = (self.counted(seq), destination_of(key.value())) {
                    cursors.push((destination, Seq(seq)));
                }
            }
            Ok(cursors)
        })
    }

    /// The named values that are set.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn facts(&self) -> Result<Vec<(FactKey, String)>, ReadFault> {
        self.reading(|reading| {
            let table = reading.open_table(FACTS)?;
            let mut facts = Vec::new();
            for key in FactKey::ALL {
                match fact_text(&table, key)? {
                    Read::Absent => {}
                    Read::Corrupt => self.count_corrupt(),
                    Read::Good(text) => facts.push((key, text)),
                }
            }
            Ok(facts)
        })
    }

    /// Figures about the ledger.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn stats(&self) -> Result<Stats, ReadFault> {
        let ends = self.ends()?;
        let (events, inbox, talks) = self.reading(|reading| {
            let events = reading.open_table(EVENTS)?.len()?;
            Ok((events, reading.open_table(INBOX)?.len()?, talks::count(reading, false)?))
        })?;
        let TalkCount { sessions, messages, .. } = talks;
        Ok(Stats {
            file_bytes: self.disk.len().map_err(|_| ReadFault::Io)?,
            events,
            oldest: Seq(ends.oldest.unwrap_or(0)),
            last: Seq(if ends.oldest.is_some() { ends.last } else { 0 }),
            inbox,
            sessions,
            messages,
            corrupt_records: self.corrupt.load(Ordering::Relaxed),
            bytes_written: self.disk.bytes_written.load(Ordering::Relaxed),
            syncs: self.disk.syncs.load(Ordering::Relaxed),
        })
    }

    /// Where the events begin and end.
    pub(super) fn ends(&self) -> Result<Ends, ReadFault> {
        self.reading(|reading| {
            let table = reading.open_table(EVENTS)?;
            let mut ends = Ends { oldest: table.first()?.map(|(key, _)| key.value()), ..Ends::default() };
            let mut topmost = 0;
            for row in table.iter()?.rev() {
                let (key, value) = row?;
                topmost = topmost.max(key.value());
                let first = unseal(Tag::Event, &number_bytes(key.value()), value.value());
                if let Some(head) = first.and_then(|first| decode_head(first.get(2..)?).ok()) {
                    ends.last = key.value();
                    ends.newest_at = Some(head.at);
                    break;
                }
                self.count_corrupt();
            }
            // A record that cannot be read may have been an event that others know: its place is not given again.
            ends.last = topmost.min(ends.last.saturating_add(GAP)).min(SEQ_END - 1);
            Ok(ends)
        })
    }

    fn scan(
        &self,
        after: Seq,
        filter: &EventFilter,
        scan_max: usize,
        mut take: impl FnMut(Event, usize) -> bool,
    ) -> Result<Scan, ReadFault> {
        self.reading(|reading| {
            let mut scan = Scan { upto: after, oldest: Seq(0), end: false };
            let table = reading.open_table(EVENTS)?;
            let parts = reading.open_table(PARTS)?;
            let mut looked = 0;
            for row in table.range(after.0.saturating_add(1)..)? {
                if looked >= scan_max {
                    return Ok(scan);
                }
                let (key, value) = row?;
                if looked == 0 && key.value() > after.0.saturating_add(1) {
                    scan.oldest = table.first()?.map_or(Seq(0), |(first, _)| Seq(first.value()));
                }
                // An unreadable record moves nothing: its key is no more certain than its value.
                let Some(wanted) = event_at(key.value(), value.value(), &parts, filter)?.or_corrupt(self)
                else {
                    continue;
                };
                looked += 1;
                scan.upto = Seq(key.value());
                if let Some((event, bytes)) = wanted
                    && !take(event, bytes)
                {
                    return Ok(scan);
                }
            }
            scan.end = true;
            Ok(scan)
        })
    }

    /// Runs `body` on a snapshot, and closes the database if the disk failed meanwhile.
    pub(super) fn reading<T>(
        &self,
        body: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, ReadFault> {
        let db = self.for_reading()?;
        let result = db.begin_read().map_err(redb::Error::from).and_then(|reading| body(&reading));
        result.map_err(|error| self.read_fault(&db, &error))
    }

    fn for_reading(&self) -> Result<Arc<Database>, ReadFault> {
        if let Some(db) = self.current() {
            return Ok(db);
        }
        let mut writer = self.try_lock_writer().ok_or(ReadFault::Busy)?;
        self.current_or_reopened(&mut writer).map_err(|error| {
            log::debug!("ledger reopen_failed={error}");
            ReadFault::Io
        })
    }

    fn read_fault(&self, db: &Arc<Database>, error: &redb::Error) -> ReadFault {
        match error {
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                self.retire(db);
                ReadFault::Io
            }
            _ => ReadFault::Damaged,
        }
    }

    fn count_corrupt(&self) {
        self.corrupt.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted<T>(&self, read: Option<T>) -> Option<T> {
        if read.is_none() {
            self.count_corrupt();
        }
        read
    }
}

struct Scan {
    upto: Seq,
    oldest: Seq,
    end: bool,
}

/// A value as it was read.
pub(super) enum Read<T> {
    Absent,
    Corrupt,
    Good(T),
}

impl<T> Read<T> {
    /// `Some(None)` for what is absent, `None` for what is corrupt, which is counted.
    fn or_corrupt(self, ledger: &Ledger) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Good(value) => Some(Some(value)),
            Self::Corrupt => {
                ledger.count_corrupt();
                None
            }
        }
    }
}

/// The event in these bytes and its size, `Absent` if the filter does not want it.
pub(super) fn event_at(
    seq: u64,
    value: &[u8],
    parts: &ReadOnlyTable<u64, Bytes>,
    filter: &EventFilter,
) -> Result<Read<(Event, usize)>, StorageError> {
    let Some(payload) = unseal(Tag::Event, &number_bytes(seq), value) else { return Ok(Read::Corrupt) };
    let Some((more, first)) = payload.split_first_chunk() else { return Ok(Read::Corrupt) };
    let Ok(head) = decode_head(first) else { return Ok(Read::Corrupt) };
    if !filter.matches(head.kind, head.severity, head.source) || !filter.is_in_time(head.at) {
        return Ok(Read::Absent);
    }
    let more = u16::from_le_bytes(*more);
    if more == 0 {
        return Ok(event_of(seq, first));
    }
    let mut whole = first.to_vec();
    for part in 1..=more {
        let key = part_key(seq, part);
        let Some(value) = parts.get(key)? else { return Ok(Read::Corrupt) };
        let Some(piece) = unseal(Tag::Part, &number_bytes(key), value.value()) else {
            return Ok(Read::Corrupt);
        };
        whole.extend_from_slice(piece);
    }
    Ok(event_of(seq, &whole))
}

fn event_of(seq: u64, bytes: &[u8]) -> Read<(Event, usize)> {
    match decode(Seq(seq), bytes) {
        Ok(event) => Read::Good((event, bytes.len())),
        Err(_) => Read::Corrupt,
    }
}

/// A stored piece of a fact.
pub(super) struct FactPiece<'v> {
    /// Grows with every change of the fact.
    pub(super) rev: u32,
    /// Pieces that follow the first; `None` in a following piece.
    pub(super) more: u16,
    /// The fact was removed; its record stays, so that a salvage does not bring an old one back.
    pub(super) removed: bool,
    pub(super) text: &'v [u8],
}

/// Reads a stored piece of a fact.
pub(super) fn fact_piece<'v>(key: &str, value: &'v [u8]) -> Option<FactPiece<'v>> {
    let payload = unseal(Tag::Fact, key.as_bytes(), value)?;
    let (&[r0, r1, r2, r3, removed, m0, m1], text) = payload.split_first_chunk::<7>()?;
    Some(FactPiece {
        rev: u32::from_le_bytes([r0, r1, r2, r3]),
        more: u16::from_le_bytes([m0, m1]),
        removed: removed != 0,
        text,
    })
}

/// Key of a further piece of a fact; `part` counts from 1.
pub(super) fn fact_part_key(name: &str, part: u16) -> String {
    format!("{name}#{part:05}")
}

/// The text of a fact.
pub(super) fn fact_text(
    table: &impl ReadableTable<&'static str, Bytes>,
    key: FactKey,
) -> Result<Read<String>, StorageError> {
    let name = key.as_str();
    let Some(value) = table.get(name)? else { return Ok(Read::Absent) };
    let Some(first) = fact_piece(name, value.value()) else { return Ok(Read::Corrupt) };
    if first.removed {
        return Ok(Read::Absent);
    }
    let mut text = first.text.to_vec();
    for part in 1..=first.more {
        let key = fact_part_key(name, part);
        let Some(value) = table.get(key.as_str())? else { return Ok(Read::Corrupt) };
        match fact_piece(&key, value.value()) {
            Some(piece) if piece.rev == first.rev => text.extend_from_slice(piece.text),
            _ => return Ok(Read::Corrupt),
        }
    }
    Ok(String::from_utf8(text).map_or(Read::Corrupt, Read::Good))
}

/// Reads `Destination::key`.
pub(super) fn destination_of(key: &str) -> Option<Destination> {
    if key == Destination::Alexos.key() {
        return Some(Destination::Alexos);
    }
    key.strip_prefix("webhook:").map(|hook| Destination::Hook(hook.to_owned()))
}
