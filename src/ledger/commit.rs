//! Committing: one transaction for everything that is asked.

use std::sync::Arc;

use redb::{Database, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::codec::encode;
use super::disk::DiskFault;
use super::read::{fact_part_key, fact_piece};
use super::record::{
    CHUNK_BYTES_MAX, CURSORS, EVENTS, FACTS, INBOX, PART_BITS, PARTS, SEQ_END, Tag, number_bytes, part_key,
    parts_of, seal,
};
use super::room::{Room, bytes_needed};
use super::store::{Ledger, Writer};
use super::talks::apply_talks;
use crate::agent::event::Event;
use crate::agent::ids::{DedupeKey, Seq};
use crate::agent::input::CommitFault;
use crate::agent::limits::INBOX_IDS_MAX;
use crate::agent::memory::{FactKey, Write};

type Bytes = &'static [u8];
/// What one transaction is asked to make durable.
pub(super) type Batches<'a> = [&'a [Write]];

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
    pub fn commit<B: AsRef<[Write]>>(&self, batches: &[B]) -> Result<CommitReport, CommitFault> {
        let batches: &Batches<'_> = &batches.iter().map(AsRef::as_ref).collect::<Vec<_>>();
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
        batches: &Batches<'_>,
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
        batches: &Batches<'_>,
        spare: u64,
    ) -> Result<CommitReport, redb::Error> {
        let need = bytes_needed(batches) * spare;
        let room = &mut writer.room;
        let undelivered = self.make_room(db, room, need, spare > 1)?;
        let writing = db.begin_write()?;
        apply(&writing, room, batches)?;
        let mut report = self.retain(&writing, room, need)?;
        report.dropped_undelivered += undelivered;
        writing.commit()?;
        self.note_ids(batches);
        Ok(report)
    }

    /// The ids that are durable now, so that `inbox` finds them; those that the table forgot go in heaps.
    fn note_ids(&self, batches: &Batches<'_>) {
        let count = {
            let mut ids = self.lock_ids();
            for write in batches.iter().copied().flatten() {
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
}

/// Carries the writes out, table by table, so that only those are opened that change: each costs pages.
fn apply(writing: &WriteTransaction, room: &mut Room, batches: &Batches<'_>) -> Result<(), redb::Error> {
    let writes = || batches.iter().copied().flatten();
    if writes().any(|write| matches!(write, Write::Event(_))) {
        let mut events = writing.open_table(EVENTS)?;
        for write in writes() {
            if let Write::Event(event) = write {
                put_event(writing, &mut events, room, event)?;
            }
        }
    }
    if writes().any(|write| matches!(write, Write::Inbox { .. })) {
        put_inbox(writing, room, writes())?;
    }
    if writes().any(|write| matches!(write, Write::Cursor { .. } | Write::CursorGone(_))) {
        put_cursors(writing, writes())?;
    }
    for write in writes() {
        if let Write::Fact(key, text) = write {
            put_fact(&mut writing.open_table(FACTS)?, *key, text)?;
        }
        if !matches!(write, Write::Event(_) | Write::Inbox { .. }) {
            room.other_put(write);
        }
    }
    apply_talks(writing, writes())
}

fn put_event(
    writing: &WriteTransaction,
    events: &mut Table<'_, u64, Bytes>,
    room: &mut Room,
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
    let value = seal(Tag::Event, &number_bytes(seq), &first);
    events.insert(seq, value.as_slice())?;
    room.event_put(&value);
    if more > 0 {
        let mut parts = writing.open_table(PARTS)?;
        for (part, chunk) in (1..).zip(chunks) {
            let key = part_key(seq, part);
            let value = seal(Tag::Part, &number_bytes(key), chunk);
            parts.insert(key, value.as_slice())?;
            room.part_put(&value);
        }
    }
    Ok(())
}

fn put_inbox<'w>(
    writing: &WriteTransaction,
    room: &mut Room,
    writes: impl Iterator<Item = &'w Write>,
) -> Result<(), redb::Error> {
    let mut inbox = writing.open_table(INBOX)?;
    let before = inbox.len()?;
    for write in writes {
        if let Write::Inbox { key: DedupeKey(id), seq } = write {
            inbox.insert(seq.0, seal(Tag::Inbox, &number_bytes(seq.0), id).as_slice())?;
        }
    }
    forget_beyond(&mut inbox, INBOX_IDS_MAX)?;
    room.ids_changed(before, inbox.len()?);
    Ok(())
}

/// Forgets the oldest ids until `keep` are left.
pub(super) fn forget_beyond(inbox: &mut Table<'_, u64, Bytes>, keep: u64) -> Result<(), redb::Error> {
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
