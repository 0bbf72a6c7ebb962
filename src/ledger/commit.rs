//! Committing: one transaction for everything that is asked, and the room for it.

use std::sync::Arc;

use redb::{Database, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::codec::encode;
use super::disk::DiskFault;
use super::read::{fact_part_key, fact_piece};
use super::record::{
    CHUNK_BYTES_MAX, CURSORS, EVENTS, FACTS, INBOX, PART_BITS, PARTS, SEQ_END, Tag, number_bytes, number_of,
    part_key, parts_of, seal, unseal,
};
use super::store::{Ledger, Writer};
use super::talks::{apply_talks, drop_some_messages};
use crate::agent::event::Event;
use crate::agent::ids::{DedupeKey, Seq};
use crate::agent::input::CommitFault;
use crate::agent::limits::INBOX_IDS_MAX;
use crate::agent::memory::{FactKey, Write};

type Bytes = &'static [u8];

const PAGE_BYTES: u64 = 4_096;
/// Most events dropped in one transaction.
const DROPS_MAX: u64 = 4_096;
/// Rounds of dropping before a commit gives up.
const ROUNDS_MAX: usize = 64;
/// Pages that any commit may need: the paths to the leaves of eight tables and redb's own.
const PAGES_OF_A_COMMIT: u64 = 56;
/// Ids in a page of the inbox that is half empty.
const IDS_OF_A_PAGE: u64 = 40;

/// What a commit did beside what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitReport {
    /// The oldest event that is kept; the place after the last if there is none.
    pub oldest: Seq,
    /// Events dropped for want of room that some destination did not have behind it.
    pub dropped_undelivered: u64,
}

impl Ledger {
    /// Makes all of this durable in one transaction, and forgets what the limits leave no room for. Blocks for as long
    /// as the disk takes. Writing the same again is harmless.
    ///
    /// # Errors
    /// Whether anything became durable is unknown: write the same again later.
    pub fn commit(&self, batches: &[Vec<Write>]) -> Result<CommitReport, CommitFault> {
        let mut writer = self.lock_writer();
        self.disk.take_fault();
        match self.try_commit(&mut writer, batches, 1) {
            // The file could not grow although it was thought that it need not. Count again and drop more.
            Err(DiskFault::Capped) => self.try_commit(&mut writer, batches, 2),
            result => result,
        }
        .map_err(|fault| match fault {
            DiskFault::Io => CommitFault::Io,
            DiskFault::Full | DiskFault::Capped => CommitFault::Full,
        })
    }

    fn try_commit(
        &self,
        writer: &mut Writer,
        batches: &[Vec<Write>],
        spare: u64,
    ) -> Result<CommitReport, DiskFault> {
        let db = self.current_or_reopened(writer).map_err(|error| {
            log::warn!("ledger reopen_failed={error}");
            self.disk.take_fault().unwrap_or(DiskFault::Io)
        })?;
        let result = self.commit_on(&db, writer, batches, spare);
        result.map_err(|error| {
            let fault = self.disk.take_fault().unwrap_or(DiskFault::Io);
            log::debug!("ledger commit_failed={error} fault={fault:?}");
            self.retire(&db);
            fault
        })
    }

    fn commit_on(
        &self,
        db: &Arc<Database>,
        writer: &mut Writer,
        batches: &[Vec<Write>],
        spare: u64,
    ) -> Result<CommitReport, redb::Error> {
        let need = bytes_needed(batches) * spare;
        let undelivered = self.make_room(db, writer, need, spare > 1)?;
        let writing = db.begin_write()?;
        apply(&writing, batches)?;
        let mut report = self.retain(&writing)?;
        report.dropped_undelivered += undelivered;
        writing.commit()?;
        self.note_ids(batches);
        if let Some(used) = &mut writer.used {
            *used += bytes_added(batches);
        }
        Ok(report)
    }

    /// The ids that are durable now, so that `inbox` finds them; those that the table forgot go in heaps.
    fn note_ids(&self, batches: &[Vec<Write>]) {
        let count = {
            let mut ids = self.lock_ids();
            for write in batches.iter().flatten() {
                if let Write::Inbox { key: DedupeKey(id), seq } = write {
                    ids.insert(id, seq.0);
                }
            }
            ids.len() as u64
        };
        if count > INBOX_IDS_MAX + INBOX_IDS_MAX / 16 {
            let first =
                self.reading(|reading| Ok(reading.open_table(INBOX)?.first()?.map(|row| row.0.value())));
            self.lock_ids().forget_before(first.ok().flatten().unwrap_or(0));
        }
    }

    /// Drops what `events_max` leaves no room for. A bit more than needed, so that not every commit has to.
    fn retain(&self, writing: &WriteTransaction) -> Result<CommitReport, redb::Error> {
        let mut events = writing.open_table(EVENTS)?;
        let surplus = events.len()?.saturating_sub(self.events_max);
        let mut dropped_undelivered = 0;
        if surplus > 0 {
            let count = (surplus + self.events_max / 64).min(DROPS_MAX);
            dropped_undelivered = drop_oldest(writing, &mut events, count)?;
        }
        let oldest = events.first()?.map_or(Seq(1), |(key, _)| Seq(key.value()));
        Ok(CommitReport { oldest, dropped_undelivered })
    }

    /// Drops the oldest events until `need` bytes fit below the cap; answers how many were not delivered everywhere.
    /// A transaction of its own, because a page is free only once the transaction that freed it is durable.
    fn make_room(
        &self,
        db: &Database,
        writer: &mut Writer,
        need: u64,
        recount: bool,
    ) -> Result<u64, redb::Error> {
        let mut undelivered = 0;
        for round in 0..ROUNDS_MAX {
            let len = self.disk.len()?;
            let capacity = grown(len, self.disk.size_max());
            if !recount && round == 0 && writer.used.unwrap_or(len) + need <= capacity {
                return Ok(undelivered);
            }
            let used = used_bytes(db)?;
            writer.used = Some(used);
            // Beyond what this commit needs, so that the pages are not counted at each one.
            let goal = if round == 0 { need } else { need + capacity / 8 };
            if used + goal <= capacity {
                return Ok(undelivered);
            }
            let writing = db.begin_write()?;
            let progress = drop_some(&writing, &mut undelivered)?;
            writing.commit()?;
            if !progress {
                break;
            }
        }
        Ok(undelivered)
    }
}

/// An upper bound of the bytes of pages that these writes take until they are durable and what they replace is free.
fn bytes_needed(batches: &[Vec<Write>]) -> u64 {
    let inbox = batches.iter().flatten().filter(|write| matches!(write, Write::Inbox { .. })).count() as u64;
    // The ids come to one end of the inbox, and as many are forgotten at the other.
    let inbox_pages = 2 * inbox.div_ceil(IDS_OF_A_PAGE);
    bytes_added(batches) + (PAGES_OF_A_COMMIT + inbox_pages) * PAGE_BYTES
}

/// An upper bound of the bytes of pages that these writes take for good: leaves may be half empty.
fn bytes_added(batches: &[Vec<Write>]) -> u64 {
    let added = |write: &Write| match write {
        Write::Event(_) | Write::Fact(..) | Write::Message { .. } | Write::Session { .. } => {
            2 * (write.bytes() as u64 + 64)
        }
        Write::Inbox { .. } => 160,
        Write::Cursor { .. } | Write::CursorGone(_) | Write::MessagesGone { .. } | Write::SessionGone(_) => 0,
    };
    batches.iter().flatten().map(added).sum()
}

/// How long the file may become: redb doubles what lies behind the first page.
fn grown(len: u64, size_max: u64) -> u64 {
    let mut len = len.max(2 * PAGE_BYTES);
    while len * 2 - PAGE_BYTES <= size_max {
        len = len * 2 - PAGE_BYTES;
    }
    len
}

/// Bytes of all pages in use. Walks through all of them.
fn used_bytes(db: &Database) -> Result<u64, redb::Error> {
    let writing = db.begin_write()?;
    let pages = writing.stats()?.allocated_pages();
    writing.abort()?;
    Ok((pages + 1) * PAGE_BYTES)
}

/// Drops a sixteenth of the events, the oldest; if there is only one, a quarter of the inbox; if that is
/// empty, a quarter of the conversations' messages. `false` if nothing is left.
fn drop_some(writing: &WriteTransaction, undelivered: &mut u64) -> Result<bool, redb::Error> {
    let mut events = writing.open_table(EVENTS)?;
    let kept = events.len()?;
    if kept > 1 {
        *undelivered += drop_oldest(writing, &mut events, (kept / 16).clamp(1, DROPS_MAX))?;
        return Ok(true);
    }
    let mut inbox = writing.open_table(INBOX)?;
    let keep = inbox.len()? - inbox.len()?.div_ceil(4);
    if inbox.is_empty()? {
        return drop_some_messages(writing);
    }
    forget_beyond(&mut inbox, keep)?;
    Ok(true)
}

/// Drops the `count` oldest events but never the newest, whose place must not be given again. Answers how many of them
/// some destination did not have behind it.
fn drop_oldest(
    writing: &WriteTransaction,
    events: &mut Table<'_, u64, Bytes>,
    count: u64,
) -> Result<u64, redb::Error> {
    let floor = delivered_floor(writing)?;
    let mut undelivered = 0;
    for _ in 0..count.min(events.len()?.saturating_sub(1)) {
        if let Some((key, _)) = events.pop_first()?
            && key.value() > floor
        {
            undelivered += 1;
        }
    }
    let oldest = events.first()?.map_or(0, |(key, _)| key.value().min(SEQ_END));
    let mut parts = writing.open_table(PARTS)?;
    while parts.first()?.is_some_and(|(key, _)| key.value() >> PART_BITS < oldest) {
        parts.pop_first()?;
    }
    Ok(undelivered)
}

/// The last event that every destination has behind it.
fn delivered_floor(writing: &WriteTransaction) -> Result<u64, redb::Error> {
    let mut floor = u64::MAX;
    for row in writing.open_table(CURSORS)?.iter()? {
        let (key, value) = row?;
        if let Some(seq) = unseal(Tag::Cursor, key.value().as_bytes(), value.value()).and_then(number_of) {
            floor = floor.min(seq);
        }
    }
    Ok(floor)
}

/// Carries the writes out, table by table, so that only those are opened that change: each costs pages.
fn apply(writing: &WriteTransaction, batches: &[Vec<Write>]) -> Result<(), redb::Error> {
    let writes = || batches.iter().flatten();
    if writes().any(|write| matches!(write, Write::Event(_))) {
        let mut events = writing.open_table(EVENTS)?;
        for write in writes() {
            if let Write::Event(event) = write {
                put_event(writing, &mut events, event)?;
            }
        }
    }
    if writes().any(|write| matches!(write, Write::Inbox { .. })) {
        put_inbox(writing, writes())?;
    }
    if writes().any(|write| matches!(write, Write::Cursor { .. } | Write::CursorGone(_))) {
        put_cursors(writing, writes())?;
    }
    for write in writes() {
        if let Write::Fact(key, text) = write {
            put_fact(&mut writing.open_table(FACTS)?, *key, text)?;
        }
    }
    apply_talks(writing, writes())
}

fn put_event(
    writing: &WriteTransaction,
    events: &mut Table<'_, u64, Bytes>,
    event: &Event,
) -> Result<(), redb::Error> {
    let bytes = encode(event);
    let more = parts_of(bytes.len());
    let seq = event.seq.0;
    if seq == 0 || seq >= SEQ_END || more >= 1 << PART_BITS {
        log::error!("ledger event_refused seq={seq} bytes={}", bytes.len());
        return Ok(());
    }
    let mut chunks = bytes.chunks(CHUNK_BYTES_MAX);
    let mut first = (more as u16).to_le_bytes().to_vec();
    first.extend_from_slice(chunks.next().unwrap_or_default());
    events.insert(seq, seal(Tag::Event, &number_bytes(seq), &first).as_slice())?;
    if more > 0 {
        let mut parts = writing.open_table(PARTS)?;
        for (part, chunk) in (1..).zip(chunks) {
            let key = part_key(seq, part);
            parts.insert(key, seal(Tag::Part, &number_bytes(key), chunk).as_slice())?;
        }
    }
    Ok(())
}

fn put_inbox<'w>(
    writing: &WriteTransaction,
    writes: impl Iterator<Item = &'w Write>,
) -> Result<(), redb::Error> {
    let mut inbox = writing.open_table(INBOX)?;
    for write in writes {
        if let Write::Inbox { key: DedupeKey(id), seq } = write {
            inbox.insert(seq.0, seal(Tag::Inbox, &number_bytes(seq.0), id).as_slice())?;
        }
    }
    forget_beyond(&mut inbox, INBOX_IDS_MAX)
}

/// Forgets the oldest ids until `keep` are left.
fn forget_beyond(inbox: &mut Table<'_, u64, Bytes>, keep: u64) -> Result<(), redb::Error> {
    while inbox.len()? > keep {
        inbox.pop_first()?;
    }
    Ok(())
}

fn put_cursors<'w>(
    writing: &WriteTransaction,
    writes: impl Iterator<Item = &'w Write>,
) -> Result<(), redb::Error> {
    let mut cursors = writing.open_table(CURSORS)?;
    for write in writes {
        match write {
            Write::Cursor { destination, seq } => {
                let key = destination.key();
                let value = seal(Tag::Cursor, key.as_bytes(), &number_bytes(seq.0));
                cursors.insert(key.as_str(), value.as_slice())?;
            }
            Write::CursorGone(destination) => {
                cursors.remove(destination.key().as_str())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn put_fact(facts: &mut Table<'_, &str, Bytes>, key: FactKey, text: &str) -> Result<(), redb::Error> {
    let name = key.as_str();
    let (rev, more_before) = match facts.get(name)? {
        Some(value) => fact_piece(name, value.value()).map_or((0, 0), |piece| (piece.rev, piece.more)),
        None => (0, 0),
    };
    let rev = rev.wrapping_add(1);
    let more = parts_of(text.len()).min(usize::from(u16::MAX)) as u16;
    let mut chunks = text.as_bytes().chunks(CHUNK_BYTES_MAX);
    let first = sealed_piece(name, rev, text.is_empty(), more, chunks.next().unwrap_or_default());
    facts.insert(name, first.as_slice())?;
    for (part, chunk) in (1..=more).zip(chunks) {
        let key = fact_part_key(name, part);
        facts.insert(key.as_str(), sealed_piece(&key, rev, false, 0, chunk).as_slice())?;
    }
    for part in more + 1..=more_before {
        facts.remove(fact_part_key(name, part).as_str())?;
    }
    Ok(())
}

fn sealed_piece(key: &str, rev: u32, removed: bool, more: u16, text: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(7 + text.len());
    payload.extend_from_slice(&rev.to_le_bytes());
    payload.push(u8::from(removed));
    payload.extend_from_slice(&more.to_le_bytes());
    payload.extend_from_slice(text);
    seal(Tag::Fact, key.as_bytes(), &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_grows_by_doubling_and_never_beyond_its_cap() {
        let mib = 1 << 20;
        assert_eq!(grown(mib, 16 * mib), 16 * (mib - PAGE_BYTES) + PAGE_BYTES);
        assert_eq!(grown(9 * mib, 16 * mib), 9 * mib);
        assert_eq!(grown(0, 0), 2 * PAGE_BYTES);
        assert!(grown(mib + 1, 16 * mib) <= 16 * mib);
    }
}
