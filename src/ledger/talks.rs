//! Conversations: one table, from the name of a conversation to what is kept of it, and from name, `/` and number to a message.
//!
//! Long ones go on in further pieces, whose keys end in `#` and their number. Every piece carries the checksum of the whole, so
//! that pieces of two texts never make one. A ledger of an older version has no such table: it holds no conversations.

use std::ops::Bound;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, StorageError, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::Ledger;
use super::read::ReadFault;
use super::record::{CHUNK_BYTES_MAX, Tag, parts_of, seal, unseal};
use super::talk_codec::{decode_message, decode_record, encode_message, encode_record};
use crate::agent::brain::speech::{Message, SessionRecord, is_session_name};
use crate::agent::limits::SESSION_MESSAGES_MAX;
use crate::agent::memory::{SessionMemory, Write};

type Bytes = &'static [u8];

/// See the file's header.
pub(super) const TALKS: TableDefinition<'_, &str, Bytes> = TableDefinition::new("talks");

/// A stored piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'v> {
    /// Checksum of the whole.
    pub(super) stamp: u32,
    /// Grows with every change under its key, as long as there is something under it; 0 in a following piece.
    pub(super) rev: u32,
    /// Pieces that follow the first; 0 in a following piece.
    pub(super) more: u16,
    pub(super) bytes: &'v [u8],
}

/// What a key of the table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'k> {
    /// A conversation.
    Session(&'k str),
    /// A message of it.
    Message(&'k str, u32),
    /// A further piece of either.
    Part,
}

/// Reads a key; `None` if it is none of this table.
pub(super) fn name_of(key: &str) -> Option<Name<'_>> {
    let whole = key.split_once('#').map_or(key, |(whole, _)| whole);
    let (session, number) = match whole.split_once('/') {
        Some((session, number)) => (session, Some(u32::from_str_radix(number, 16).ok()?)),
        None => (whole, None),
    };
    if !is_session_name(session) {
        return None;
    }
    Some(match number {
        _ if whole.len() < key.len() => Name::Part,
        Some(number) => Name::Message(session, number),
        None => Name::Session(session),
    })
}

/// Reads a stored piece; `None` if its checksum does not hold.
pub(super) fn piece_of<'v>(key: &str, value: &'v [u8]) -> Option<Piece<'v>> {
    let payload = unseal(Tag::Talk, key.as_bytes(), value)?;
    let (stamp, payload) = payload.split_first_chunk()?;
    let (rev, payload) = payload.split_first_chunk()?;
    let (more, bytes) = payload.split_first_chunk()?;
    let (stamp, rev) = (u32::from_le_bytes(*stamp), u32::from_le_bytes(*rev));
    Some(Piece { stamp, rev, more: u16::from_le_bytes(*more), bytes })
}

/// Key of a further piece; `part` counts from 1.
pub(super) fn part_key(key: &str, part: u16) -> String {
    format!("{key}#{part:05}")
}

/// Key of a message.
pub(super) fn message_key(session: &str, number: u32) -> String {
    format!("{session}/{number:08x}")
}

/// Carries out those of the writes that concern conversations, in order.
pub(super) fn apply_talks<'w>(
    writing: &WriteTransaction,
    writes: impl Iterator<Item = &'w Write>,
) -> Result<(), redb::Error> {
    let mut table = None;
    for write in writes.filter(|write| is_of_talks(write)) {
        let talks = match &mut table {
            Some(talks) => talks,
            None => table.insert(writing.open_table(TALKS)?),
        };
        match write {
            Write::Session { session, record } => put(talks, session, &encode_record(record))?,
            Write::Message { session, number, message } => {
                put(talks, &message_key(session, *number), &encode_message(message))?;
            }
            Write::MessagesGone { session, below } => {
                remove(talks, &message_key(session, 0), &message_key(session, *below))?;
            }
            Write::SessionGone(session) => {
                // `#` and `/` come before every other character that may follow a name's end, and `0` after `/`.
                remove(talks, session, &format!("{session}$"))?;
                remove(talks, &format!("{session}/"), &format!("{session}0"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_of_talks(write: &Write) -> bool {
    matches!(
        write,
        Write::Session { .. } | Write::Message { .. } | Write::MessagesGone { .. } | Write::SessionGone(_)
    )
}

fn put(talks: &mut Table<'_, &str, Bytes>, key: &str, bytes: &[u8]) -> Result<(), redb::Error> {
    let (rev, more_before) = match talks.get(key)? {
        Some(value) => piece_of(key, value.value()).map_or((0, 0), |piece| (piece.rev, piece.more)),
        None => (0, 0),
    };
    let stamp = crc32fast::hash(bytes);
    let more = parts_of(bytes.len()).min(usize::from(u16::MAX)) as u16;
    let mut chunks = bytes.chunks(CHUNK_BYTES_MAX);
    let first = Piece { stamp, rev: rev.wrapping_add(1), more, bytes: chunks.next().unwrap_or_default() };
    talks.insert(key, first.sealed(key).as_slice())?;
    for (part, bytes) in (1..=more).zip(chunks) {
        let key = part_key(key, part);
        talks.insert(key.as_str(), Piece { stamp, rev: 0, more: 0, bytes }.sealed(&key).as_slice())?;
    }
    for part in more + 1..=more_before {
        talks.remove(part_key(key, part).as_str())?;
    }
    Ok(())
}

impl Piece<'_> {
    fn sealed(self, key: &str) -> Vec<u8> {
        let mut payload = Vec::with_capacity(10 + self.bytes.len());
        payload.extend_from_slice(&self.stamp.to_le_bytes());
        payload.extend_from_slice(&self.rev.to_le_bytes());
        payload.extend_from_slice(&self.more.to_le_bytes());
        payload.extend_from_slice(self.bytes);
        seal(Tag::Talk, key.as_bytes(), &payload)
    }
}

/// Removes the keys from `from` on and before `end`.
fn remove(talks: &mut Table<'_, &str, Bytes>, from: &str, end: &str) -> Result<(), redb::Error> {
    if from < end {
        talks.retain_in(from..end, |_, _| false)?;
    }
    Ok(())
}

/// Removes a quarter of the messages, those of one conversation after the other: the last resort of a ledger that is too
/// small. `false` if there are none.
pub(super) fn drop_some_messages(writing: &WriteTransaction) -> Result<bool, redb::Error> {
    let mut talks = writing.open_table(TALKS)?;
    let is_message = |key: &str| key.contains('/');
    let mut count = 0_u64;
    for row in talks.iter()? {
        count += u64::from(is_message(row?.0.value()));
    }
    let mut left = count.div_ceil(4);
    talks.retain(|key, _| {
        let goes = left > 0 && is_message(key);
        left -= u64::from(goes);
        !goes
    })?;
    Ok(count > 0)
}

/// The bytes stored under a key: `Ok(None)` if they are not whole.
fn whole(
    talks: &ReadOnlyTable<&'static str, Bytes>,
    key: &str,
    first: &[u8],
) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(first) = piece_of(key, first) else { return Ok(None) };
    let mut bytes = first.bytes.to_vec();
    for part in 1..=first.more {
        let key = part_key(key, part);
        let Some(value) = talks.get(key.as_str())? else { return Ok(None) };
        match piece_of(&key, value.value()) {
            Some(piece) if piece.stamp == first.stamp => bytes.extend_from_slice(piece.bytes),
            _ => return Ok(None),
        }
    }
    Ok((crc32fast::hash(&bytes) == first.stamp).then_some(bytes))
}

/// The table, if there is one.
fn open(reading: &ReadTransaction) -> Result<Option<ReadOnlyTable<&'static str, Bytes>>, redb::Error> {
    match reading.open_table(TALKS) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Conversations and messages kept, and records that are not whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TalkCount {
    pub(super) sessions: u64,
    pub(super) messages: u64,
    pub(super) corrupt: u64,
}

/// Counts, and looks into every record if `is_thorough`.
pub(super) fn count(reading: &ReadTransaction, is_thorough: bool) -> Result<TalkCount, redb::Error> {
    let mut count = TalkCount::default();
    let Some(talks) = open(reading)? else { return Ok(count) };
    for row in talks.iter()? {
        let (key, value) = row?;
        let name = name_of(key.value());
        match name {
            Some(Name::Session(_)) => count.sessions += 1,
            Some(Name::Message(..)) => count.messages += 1,
            Some(Name::Part) | None => {}
        }
        if is_thorough {
            let is_good = match name {
                Some(Name::Part) => piece_of(key.value(), value.value()).is_some(),
                Some(Name::Session(_)) => whole(&talks, key.value(), value.value())?
                    .is_some_and(|bytes| decode_record(&bytes).is_ok()),
                Some(Name::Message(..)) => whole(&talks, key.value(), value.value())?
                    .is_some_and(|bytes| decode_message(&bytes).is_ok()),
                None => false,
            };
            count.corrupt += u64::from(!is_good);
        }
    }
    Ok(count)
}

impl Ledger {
    /// Messages `from` to `upto`, both included, of a conversation: the newest whose `Message::bytes` are together at most
    /// `bytes_max`, the oldest of them first. The newest comes whatever its size; those that cannot be read are left out.
    ///
    /// # Errors
    /// If the ledger cannot be read just now.
    pub fn messages(
        &self,
        session: &str,
        from: u32,
        upto: u32,
        bytes_max: usize,
    ) -> Result<Vec<(u32, Message)>, ReadFault> {
        self.reading(|reading| {
            let mut found = Vec::new();
            let Some(talks) = open(reading)? else { return Ok(found) };
            let (first, last) = (message_key(session, from), message_key(session, upto));
            if first > last || !is_session_name(session) {
                return Ok(found);
            }
            let mut bytes_left = bytes_max;
            let range = (Bound::Included(first.as_str()), Bound::Included(last.as_str()));
            for row in talks.range::<&str>(range)?.rev() {
                let (key, value) = row?;
                let Some(Name::Message(_, number)) = name_of(key.value()) else { continue };
                let bytes = whole(&talks, key.value(), value.value())?;
                let Some(message) = self.counted(bytes.and_then(|bytes| decode_message(&bytes).ok())) else {
                    continue;
                };
                let left = bytes_left.checked_sub(message.bytes());
                if left.is_none() && !found.is_empty() {
                    break;
                }
                bytes_left = left.unwrap_or(0);
                found.push((number, message));
            }
            found.reverse();
            Ok(found)
        })
    }

    /// The conversations, and of each the message whose calls were being made. What cannot be read is counted and left out.
    pub(super) fn sessions(&self) -> Result<Vec<SessionMemory>, ReadFault> {
        let records = self.reading(|reading| {
            let mut records: Vec<(String, SessionRecord)> = Vec::new();
            let Some(talks) = open(reading)? else { return Ok(records) };
            for row in talks.iter()? {
                let (key, value) = row?;
                let Some(Name::Session(name)) = name_of(key.value()) else { continue };
                let bytes = whole(&talks, key.value(), value.value())?;
                if let Some(record) = self.counted(bytes.and_then(|bytes| decode_record(&bytes).ok())) {
                    records.push((name.to_owned(), record));
                } else {
                    log::warn!("ledger conversation_unreadable name={name}");
                }
            }
            Ok(records)
        })?;
        let calling = |name: &str, record: &SessionRecord| -> Result<Option<Message>, ReadFault> {
            let number = record.turn.as_ref().map_or(0, |turn| turn.calling);
            if number == 0 {
                return Ok(None);
            }
            Ok(self.messages(name, number, number, 0)?.pop().map(|(_, message)| message))
        };
        let recalled = records.into_iter().map(|(name, record)| {
            let (calling, sizes) = (calling(&name, &record)?, self.sizes(&name, &record)?);
            Ok(SessionMemory { name, record, calling, sizes })
        });
        recalled.collect()
    }

    /// Bytes of the messages that a conversation's record names, one after the other.
    fn sizes(&self, session: &str, record: &SessionRecord) -> Result<Vec<u32>, ReadFault> {
        self.reading(|reading| {
            let count = record.next.saturating_sub(record.first).min(2 * SESSION_MESSAGES_MAX);
            let mut sizes = vec![0; count as usize];
            let Some(talks) = open(reading)? else { return Ok(sizes) };
            for (number, size) in (record.first..).zip(&mut sizes) {
                let key = message_key(session, number);
                let Some(value) = talks.get(key.as_str())? else { continue };
                let bytes = whole(&talks, &key, value.value())?;
                if let Some(message) = bytes.and_then(|bytes| decode_message(&bytes).ok()) {
                    *size = u32::try_from(message.bytes()).unwrap_or(u32::MAX);
                }
            }
            Ok(sizes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_names() {
        assert_eq!(name_of("a-b.c"), Some(Name::Session("a-b.c")));
        assert_eq!(name_of(&message_key("a", 18)), Some(Name::Message("a", 18)));
        assert_eq!(name_of(&part_key("a", 1)), Some(Name::Part));
        assert_eq!(name_of(&part_key(&message_key("a", 18), 1)), Some(Name::Part));
        for bad in ["", "a b", "/00000001", "a/x", "a/b/c"] {
            assert_eq!(name_of(bad), None, "{bad}");
        }
    }
}
