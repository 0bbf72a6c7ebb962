//! Room below the cap: how much is in use, how much a commit needs, and which events go for it.
//!
//! Only redb knows which pages are in use, and tells after a walk through all of them. `Room` keeps a count up to date with what
//! commits add and drop, so that it is seldom counted anew.

use redb::{Database, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::commit::{Batches, CommitReport, forget_beyond};
use super::record::{CURSORS, EVENTS, INBOX, PART_BITS, PARTS, Tag, number_of, unseal};
use super::store::Ledger;
use super::talks::drop_some_messages;
use crate::agent::ids::Seq;
use crate::agent::memory::Write;

type Bytes = &'static [u8];

const PAGE_BYTES: u64 = 4_096;
/// Head of a leaf.
const LEAF_HEAD_BYTES: u64 = 4;
/// What a value takes in a leaf beside itself: its key, and where it ends.
const PAIR_BYTES: u64 = 12;
/// What a leaf takes in the branches above it, which may be half empty.
const BRANCH_BYTES: u64 = 64;
/// What an id takes in the inbox, its part of the branches included.
const ID_BYTES: u64 = 34;
/// Most events dropped in one transaction.
const DROPS_MAX: u64 = 4_096;
/// Rounds of dropping before a commit gives up.
const ROUNDS_MAX: usize = 64;
/// Pages that any commit may need: the paths to the leaves of eight tables and redb's own.
const PAGES_OF_A_COMMIT: u64 = 56;
/// Ids in a page of the inbox that is half empty.
const IDS_OF_A_PAGE: u64 = 40;

/// Bytes of the file in use.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// An upper bound but for a few pages of redb's own; `None` if nobody has counted.
    used: Option<u64>,
    /// How far the bound may be above the truth.
    doubt: u64,
    events: Run,
    parts: Run,
}

/// A table to whose end values come, and from whose beginning they go.
#[derive(Debug, Default)]
struct Run {
    first: Leaf,
    last: Leaf,
}

/// A leaf that is being filled, or emptied in the same order. redb leaves it when the next value does not fit, and begins another.
#[derive(Debug, Default)]
struct Leaf {
    bytes_left: u64,
}

impl Leaf {
    /// Leaves that this value begins: one or none. A row of values has never more of them here than in redb, and one at most is
    /// counted too early.
    fn begun_by(&mut self, value: &[u8]) -> u64 {
        let bytes = value.len() as u64 + PAIR_BYTES;
        let is_begun = bytes > self.bytes_left;
        if is_begun {
            self.bytes_left = PAGE_BYTES - LEAF_HEAD_BYTES;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        u64::from(is_begun)
    }
}

impl Room {
    pub(super) fn event_put(&mut self, value: &[u8]) {
        let leaves = self.events.last.begun_by(value);
        self.leaves_put(leaves);
    }

    pub(super) fn part_put(&mut self, value: &[u8]) {
        let leaves = self.parts.last.begun_by(value);
        self.leaves_put(leaves);
    }

    fn event_gone(&mut self, value: &[u8]) {
        let leaves = self.events.first.begun_by(value);
        self.gone(leaves * PAGE_BYTES);
    }

    fn part_gone(&mut self, value: &[u8]) {
        let leaves = self.parts.first.begun_by(value);
        self.gone(leaves * PAGE_BYTES);
    }

    fn leaves_put(&mut self, leaves: u64) {
        let bytes = leaves * (PAGE_BYTES + BRANCH_BYTES);
        self.put(bytes, bytes / 32);
    }

    /// The inbox has `after` ids and had `before`.
    pub(super) fn ids_changed(&mut self, before: u64, after: u64) {
        self.put(after.saturating_sub(before) * ID_BYTES, 0);
        self.gone(before.saturating_sub(after) * ID_BYTES);
    }

    /// What came in the place of something else is counted in full.
    pub(super) fn other_put(&mut self, write: &Write) {
        let bytes = bytes_added(write);
        self.put(bytes, bytes);
    }

    fn put(&mut self, bytes: u64, doubt: u64) {
        self.used = self.used.map(|used| used + bytes);
        self.doubt += doubt;
    }

    fn gone(&mut self, bytes: u64) {
        self.used = self.used.map(|used| used.saturating_sub(bytes));
    }

    fn counted(&mut self, used: u64) {
        (self.used, self.doubt) = (Some(used), 0);
    }
}

impl Ledger {
    /// Drops what neither `events_max` nor the cap leave room for, so that the next commit like this finds room: the pages
    /// of what is dropped become free once this transaction is durable. A bit more than needed, so that not every commit has to.
    pub(super) fn retain(
        &self,
        writing: &WriteTransaction,
        room: &mut Room,
        need: u64,
    ) -> Result<CommitReport, redb::Error> {
        let mut events = writing.open_table(EVENTS)?;
        let surplus = events.len()?.saturating_sub(self.events_max);
        let count = if surplus > 0 { surplus + self.events_max / 64 } else { 0 };
        let capacity = grown(self.disk.len()?, self.disk.size_max());
        let most = capacity - reserve(need, capacity);
        let goal = if room.used > Some(most) { most - capacity / 64 } else { u64::MAX };
        let mut dropped_undelivered = 0;
        if count > 0 || goal < u64::MAX {
            let goes_on = |dropped, room: &Room| dropped < count || room.used > Some(goal);
            dropped_undelivered = drop_oldest(writing, &mut events, room, goes_on)?;
        }
        let oldest = events.first()?.map_or(Seq(1), |(key, _)| Seq(key.value()));
        Ok(CommitReport { oldest, dropped_undelivered })
    }

    /// Sees to it that `need` bytes fit below the cap; answers how many events were dropped that were not delivered
    /// everywhere. `retain` has made the room before, if this commit is like the last one. If not, the oldest
    /// events are dropped in transactions of their own.
    pub(super) fn make_room(
        &self,
        db: &Database,
        room: &mut Room,
        need: u64,
        recount: bool,
    ) -> Result<u64, redb::Error> {
        let mut undelivered = 0;
        for round in 0..ROUNDS_MAX {
            let len = self.disk.len()?;
            let capacity = grown(len, self.disk.size_max());
            let used = room.used.unwrap_or(len);
            // In doubt it is counted before `retain` drops anything for it.
            let is_sure = room.doubt <= capacity / 64 || used + need + reserve(need, capacity) <= capacity;
            if !recount && round == 0 && is_sure && used + need <= capacity {
                return Ok(undelivered);
            }
            let used = used_bytes(db)?;
            room.counted(used);
            let goal = if round == 0 { need } else { need + capacity / 32 };
            if used + goal <= capacity {
                return Ok(undelivered);
            }
            let writing = db.begin_write()?;
            let progress = drop_some(&writing, room, &mut undelivered)?;
            writing.commit()?;
            if !progress {
                break;
            }
        }
        Ok(undelivered)
    }
}

/// What is to be free after a commit that needed `need` bytes: for one more of its kind and a bit.
fn reserve(need: u64, capacity: u64) -> u64 {
    (need + capacity / 64).min(capacity / 6)
}

/// An upper bound of the bytes of pages that these writes take until they are durable and what they replace is free.
pub(super) fn bytes_needed(batches: &Batches<'_>) -> u64 {
    let writes = || batches.iter().copied().flatten();
    let inbox = writes().filter(|write| matches!(write, Write::Inbox { .. })).count() as u64;
    // The ids come to one end of the inbox, and as many are forgotten at the other.
    let inbox_pages = 2 * inbox.div_ceil(IDS_OF_A_PAGE);
    writes().map(bytes_added).sum::<u64>() + (PAGES_OF_A_COMMIT + inbox_pages) * PAGE_BYTES
}

/// An upper bound of the bytes of pages that this write takes for good: leaves may be half empty.
fn bytes_added(write: &Write) -> u64 {
    match write {
        Write::Event(_) | Write::Fact(..) | Write::Message { .. } | Write::Session { .. } => {
            2 * (write.bytes() as u64 + 64)
        }
        Write::Inbox { .. } => 160,
        Write::Cursor { .. } | Write::CursorGone(_) | Write::MessagesGone { .. } | Write::SessionGone(_) => 0,
    }
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
fn drop_some(
    writing: &WriteTransaction,
    room: &mut Room,
    undelivered: &mut u64,
) -> Result<bool, redb::Error> {
    let mut events = writing.open_table(EVENTS)?;
    let kept = events.len()?;
    if kept > 1 {
        let count = (kept / 16).max(1);
        *undelivered += drop_oldest(writing, &mut events, room, |dropped, _| dropped < count)?;
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

/// Drops the oldest events, as long as `goes_on` says so of how many went and of the room, but never the newest, whose place
/// must not be given again. Answers how many of them some destination did not have behind it.
fn drop_oldest(
    writing: &WriteTransaction,
    events: &mut Table<'_, u64, Bytes>,
    room: &mut Room,
    goes_on: impl Fn(u64, &Room) -> bool,
) -> Result<u64, redb::Error> {
    let floor = delivered_floor(writing)?;
    let mut parts = writing.open_table(PARTS)?;
    let mut undelivered = 0;
    for dropped in 0..DROPS_MAX.min(events.len()?.saturating_sub(1)) {
        if !goes_on(dropped, room) {
            break;
        }
        let Some((key, value)) = events.pop_first()? else { break };
        undelivered += u64::from(key.value() > floor);
        room.event_gone(value.value());
        while parts.first()?.is_some_and(|(part, _)| part.value() >> PART_BITS <= key.value()) {
            if let Some((_, value)) = parts.pop_first()? {
                room.part_gone(value.value());
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redb::ReadableDatabase;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::agent::event::{Event, JsonText, Severity, Source};
    use crate::agent::ids::{DedupeKey, Destination};
    use crate::agent::memory::FactKey;
    use crate::agent::time::Wall;
    use crate::ledger::Limits;

    #[test]
    fn the_file_grows_by_doubling_and_never_beyond_its_cap() {
        let mib = 1 << 20;
        assert_eq!(grown(mib, 16 * mib), 16 * (mib - PAGE_BYTES) + PAGE_BYTES);
        assert_eq!(grown(9 * mib, 16 * mib), 9 * mib);
        assert_eq!(grown(0, 0), 2 * PAGE_BYTES);
        assert!(grown(mib + 1, 16 * mib) <= 16 * mib);
    }

    /// Events with their ids, each of `bytes` and a little more.
    fn batch(places: std::ops::Range<u64>, bytes: usize) -> Vec<Write> {
        let event = |seq| Event {
            seq: Seq(seq),
            at: Wall(1_700_000_000_000),
            kind: "workflow_completed".to_owned(),
            source: Source::Chainbot,
            severity: Severity::Info,
            message: String::new(),
            metadata: JsonText("x".repeat(bytes)),
        };
        let key = |seq: u64| DedupeKey(u128::from(seq).to_le_bytes());
        places
            .flat_map(|seq| [Write::Event(event(seq)), Write::Inbox { key: key(seq), seq: Seq(seq) }])
            .collect()
    }

    /// What was seen of a ledger at its cap.
    #[derive(Debug, Default)]
    struct Seen {
        commits: u64,
        walks: u64,
        /// Furthest that the bound was below the truth.
        below: u64,
        /// Furthest that it was above, beyond what it doubts itself.
        above: u64,
    }

    /// Fills a small ledger and goes on for `commits` commits of up to `most` events of the size that `bytes` gives. With
    /// `pinned`, somebody always reads what was there three commits ago.
    fn at_the_cap(commits: u64, most: u64, bytes: impl Fn(u64) -> usize, pinned: bool) -> Seen {
        let limits = Limits { size_max_bytes: 4 << 20, events_max: 1_000_000 };
        let (ledger, _) = Ledger::open_on(Arc::new(InMemoryBackend::new()), limits, 1).expect("opens");
        let db = ledger.current().expect("it is open");
        let cursor = Write::Cursor { destination: Destination::Alexos, seq: Seq(0) };
        ledger.commit(&[vec![cursor]]).expect("commits");
        let (mut seen, mut next, mut dropped, mut readers) = (Seen::default(), 1, 0, Vec::new());
        while seen.commits < commits {
            let count = 1 + next % most;
            let mut writes = batch(next..next + count, bytes(next));
            if next % 16 == 0 {
                writes.push(Write::Fact(FactKey::Controller, "y".repeat(bytes(next))));
            }
            next += count;
            let doubt = ledger.lock_writer().room.doubt;
            let report = ledger.commit(&[writes]).expect("room is made");
            dropped += report.dropped_undelivered;
            assert_eq!(dropped, report.oldest.0 - 1, "each that goes is counted");
            assert!(ledger.disk.len().expect("reads") <= limits.size_max_bytes);
            if pinned {
                readers.push(db.begin_read().expect("reads"));
                readers.drain(..readers.len().saturating_sub(3));
            }
            let writer = ledger.lock_writer();
            if let Some(bound) = writer.room.used {
                seen.commits += 1;
                seen.walks += u64::from(writer.room.doubt < doubt);
                if seen.commits % 8 > 0 {
                    continue;
                }
                let truth = used_bytes(&db).expect("counts");
                seen.below = seen.below.max(truth.saturating_sub(bound));
                seen.above = seen.above.max(bound.saturating_sub(truth + writer.room.doubt));
            }
            drop(writer);
        }
        let same = ledger.current().is_some_and(|now| Arc::ptr_eq(&now, &db));
        assert!(same, "the file could not grow although it was thought that it need not");
        seen
    }

    #[test]
    fn the_bound_stays_near_the_truth_and_is_seldom_counted_anew() {
        let mix = |seq: u64| [30, 300, 1_350, 3_000][(seq % 4) as usize];
        let waves = |seq: u64| [30, 1_350, 60_000][(seq / 300 % 3) as usize];
        let few = 6 * PAGE_BYTES;
        for (seen, what) in [
            (at_the_cap(300, 4, |_| 300, false), "alike"),
            (at_the_cap(300, 4, |_| 60_000, false), "large"),
            (at_the_cap(600, 8, mix, false), "mixed"),
            (at_the_cap(800, 8, waves, false), "small ones and then large ones"),
            (at_the_cap(300, 30, |_| 300, true), "somebody reads"),
        ] {
            assert!(seen.below <= few && seen.above <= few, "{what}: {seen:?}");
            assert!(seen.walks <= seen.commits / 20, "{what}: {seen:?}");
        }
    }
}
