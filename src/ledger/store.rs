//! Opening, and closing and opening again: `open -> (I/O error) -> closed -> open`, at the next use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableError,
};

use super::disk::{Disk, DiskFault, FileDisk, Gate, open_locked};
use super::ids::Ids;
use super::record::{self, CURSORS, EVENTS, FACTS, INBOX, META, PARTS, SEQ_END, Tag, seal};
use super::room::Room;
use crate::agent::Memory;
use crate::agent::ids::{LedgerId, Seq};

/// Bytes that redb may keep in memory, dirty pages included.
pub(super) const CACHE_BYTES: usize = 256 * 1024;
/// The smallest cap in bytes: the inbox and the largest commit must fit beside some events.
pub const SIZE_MIN_BYTES: u64 = 4 * 1024 * 1024;
/// How far above the newest event the places go on after a commit was taken back: more than one transaction can hold.
const ROLLBACK_GAP: u64 = 1_000;
/// What the tables and their values mean.
const FORMAT: u64 = 1;

const META_ID: &str = "id";
const META_FORMAT: &str = "format";
const META_FLOOR: &str = "floor";

/// How much a ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest size of the file in bytes, taken as `SIZE_MIN_BYTES` if it is less. redb doubles its file when it is
    /// full and never beyond this, so at least half of it can be used.
    pub size_max_bytes: u64,
    /// Most events kept, taken as 1 if it is 0.
    pub events_max: u64,
}

/// Why a ledger cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse(PathBuf),
    /// The system refused.
    Io(PathBuf, std::io::Error),
    /// What is in the file is no ledger, or a damaged one.
    Damaged(String),
    /// A later version wrote it.
    Format(u64),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "ledger {} is in use by another process", path.display()),
            Self::Io(path, error) => write!(f, "ledger {}: {error}", path.display()),
            Self::Damaged(what) => write!(f, "ledger is damaged: {what}"),
            Self::Format(format) => write!(f, "ledger has format {format}: this version reads {FORMAT}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) if !is_about_content(&error) => Self::Io(PathBuf::new(), error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Whether it says that something else stands in the file than redb wrote, or less.
fn is_about_content(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(error) => error.into(),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<redb::Error> for OpenError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => StorageError::Io(error).into(),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// The ledger. Shared by reference between the thread that commits and those that read.
#[derive(Debug)]
pub struct Ledger {
    pub(super) disk: Arc<Disk>,
    pub(super) events_max: u64,
    pub(super) corrupt: AtomicU64,
    ids: Mutex<Ids>,
    slot: Mutex<Slot>,
    writer: Mutex<Writer>,
}

/// The database that is open.
#[derive(Debug)]
struct Slot {
    db: Option<Arc<Database>>,
    gate: Arc<AtomicBool>,
}

/// Held for as long as a commit or an opening takes.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) room: Room,
}

impl Ledger {
    /// Opens the ledger in this file or makes it, with folder (0700) and file (0600). `fresh_id` names a new one.
    ///
    /// # Errors
    /// If another process has it, the system refuses, or it is damaged beyond opening.
    pub fn open_file(path: &Path, limits: Limits, fresh_id: u32) -> Result<(Self, Memory), OpenError> {
        let named = |error| OpenError::Io(path.to_owned(), error);
        let Some(file) = open_locked(path, true).map_err(named)? else {
            return Err(OpenError::InUse(path.to_owned()));
        };
        Self::open_on(Arc::new(FileDisk(file)), limits, fresh_id).map_err(|error| match error {
            OpenError::Io(_, error) => named(error),
            error => error,
        })
    }

    /// The same over any storage. The storage is kept over closing and opening again.
    ///
    /// # Errors
    /// As `open_file`.
    pub fn open_on(
        backend: Arc<dyn StorageBackend>,
        limits: Limits,
        fresh_id: u32,
    ) -> Result<(Self, Memory), OpenError> {
        let disk = Disk::new(backend, limits.size_max_bytes.max(SIZE_MIN_BYTES));
        let before = Header::read(&disk);
        let (db, gate) = open_database(&disk)?;
        let is_rolled_back = before.is_some_and(|before| before.is_rolled_back(Header::read(&disk)));
        prepare_tables(&db, fresh_id)?;
        let ids = read_ids(&db)?;
        let ledger = Self {
            disk,
            events_max: limits.events_max.max(1),
            corrupt: AtomicU64::new(0),
            ids: Mutex::new(ids),
            slot: Mutex::new(Slot { db: Some(Arc::new(db)), gate }),
            writer: Mutex::default(),
        };
        let mut memory = ledger.recall()?;
        if is_rolled_back {
            memory.is_rolled_back = true;
            memory.last = Seq((memory.last.0 + ROLLBACK_GAP).min(SEQ_END - 1));
            ledger.raise_floor(memory.last)?;
        }
        Ok((ledger, memory))
    }

    /// What the tables hold of the agent's memory.
    fn recall(&self) -> Result<Memory, OpenError> {
        // The shell reads the controller's answer from its fact, and knows what `prepare_file` had to do.
        let damaged = |fault: super::ReadFault| OpenError::Damaged(fault.to_string());
        let id = self.meta(META_ID)?.ok_or_else(|| OpenError::Damaged("its id is unreadable".to_owned()))?;
        let floor = self.meta(META_FLOOR)?.unwrap_or(0);
        let ends = self.ends().map_err(damaged)?;
        let last = Seq(ends.last.max(floor));
        Ok(Memory {
            ledger: LedgerId(id as u32),
            oldest: ends.oldest.map_or(last.next(), Seq),
            last,
            newest_at: ends.newest_at,
            cursors: self.cursors().map_err(damaged)?,
            facts: self.facts().map_err(damaged)?,
            sessions: self.sessions().map_err(damaged)?,
            ..Memory::default()
        })
    }

    fn meta(&self, name: &str) -> Result<Option<u64>, OpenError> {
        let damaged = |error: String| OpenError::Damaged(error);
        let db = self.current().ok_or_else(|| damaged("closed".to_owned()))?;
        let reading = db.begin_read().map_err(|error| damaged(error.to_string()))?;
        let table = reading.open_table(META).map_err(|error| damaged(error.to_string()))?;
        Ok(table.get(name)?.and_then(|value| meta_number(name, value.value())))
    }

    /// The database, if it is open.
    pub(super) fn current(&self) -> Option<Arc<Database>> {
        self.lock_slot().db.clone()
    }

    /// The database, opened again if an error closed it. Held by whoever has the writer's lock.
    pub(super) fn current_or_reopened(&self, writer: &mut Writer) -> Result<Arc<Database>, OpenError> {
        if let Some(db) = self.current() {
            return Ok(db);
        }
        writer.room = Room::default();
        self.disk.rewrite_unsynced().map_err(|error| OpenError::Io(PathBuf::new(), error))?;
        let (db, gate) = open_database(&self.disk)?;
        // A commit whose outcome was unknown may have left ids.
        *self.lock_ids() = read_ids(&db)?;
        let db = Arc::new(db);
        *self.lock_slot() = Slot { db: Some(Arc::clone(&db)), gate };
        log::info!("ledger opened_again=true");
        Ok(db)
    }

    /// Gives this database up after an error, if it is still the one in use. redb refuses everything after an I/O error
    /// until the file is opened again.
    pub(super) fn retire(&self, db: &Arc<Database>) {
        let mut slot = self.lock_slot();
        if slot.db.as_ref().is_some_and(|current| Arc::ptr_eq(current, db)) {
            slot.gate.store(false, Ordering::Release);
            slot.db = None;
        }
    }

    pub(super) fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer's lock, if nobody commits.
    pub(super) fn try_lock_writer(&self) -> Option<MutexGuard<'_, Writer>> {
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(super) fn lock_ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes places up to and including `floor` count as used, so that no event gets an id that was given before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn raise_floor(&self, floor: Seq) -> Result<(), OpenError> {
        let mut writer = self.lock_writer();
        let db = self.current_or_reopened(&mut writer)?;
        let writing = db.begin_write().map_err(redb::Error::from)?;
        put_meta(&writing, META_FLOOR, floor.0)?;
        writing.commit().map_err(redb::Error::from)?;
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(DiskFault::Io | DiskFault::Full) = self.disk.take_fault() {
            log::warn!("ledger closed_after_fault=true");
        }
    }
}

/// What the first page says of the last two commits (redb's file format 3, its `docs/design.md`).
struct Header {
    /// The file was not closed.
    is_unclean: bool,
    /// Which of the two is in use.
    primary: usize,
    /// The number of each.
    ids: [u64; 2],
}

impl Header {
    const BYTES: usize = 320;
    const ID_AT: [usize; 2] = [64 + 104, 192 + 104];

    /// `None` if there is no such page, or it cannot be read.
    fn read(disk: &Disk) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = disk.head()?;
        let id = |at: usize| bytes[at..].first_chunk().map(|id| u64::from_le_bytes(*id));
        let flags = bytes[9];
        Some(Self {
            is_unclean: flags & 2 != 0,
            primary: usize::from(flags & 1),
            ids: [id(Self::ID_AT[0])?, id(Self::ID_AT[1])?],
        })
    }

    /// Whether redb took back the newer commit when it opened a file that was like this and is like `after`: redb repairs by a commit
    /// of its own, which goes in the place of the one that it does not build upon.
    fn is_rolled_back(&self, after: Option<Self>) -> bool {
        let newer = usize::from(self.ids[1] > self.ids[0]);
        self.is_unclean && after.is_some_and(|after| after.primary == newer)
    }
}

fn open_database(disk: &Arc<Disk>) -> Result<(Database, Arc<AtomicBool>), OpenError> {
    disk.clear_if_blank().map_err(|error| OpenError::Io(PathBuf::new(), error))?;
    let (gate, open) = Gate::new(Arc::clone(disk));
    let db = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(gate)?;
    Ok((db, open))
}

/// The ids in the table. One that cannot be read is left out: it counts as damage when it is looked for in vain.
fn read_ids(db: &Database) -> Result<Ids, OpenError> {
    let mut ids = Ids::default();
    let reading = db.begin_read().map_err(redb::Error::from)?;
    for row in reading.open_table(INBOX).map_err(redb::Error::from)?.iter()? {
        let (seq, value) = row?;
        let (seq, value) = (seq.value(), value.value());
        let id = record::unseal(Tag::Inbox, &record::number_bytes(seq), value);
        if let Some(id) = id.and_then(|id| id.try_into().ok()) {
            ids.insert(id, seq);
        }
    }
    Ok(ids)
}

/// Makes the tables of a new ledger, and checks the format of an old one.
fn prepare_tables(db: &Database, fresh_id: u32) -> Result<(), OpenError> {
    let format = {
        let reading = db.begin_read().map_err(redb::Error::from)?;
        match reading.open_table(META) {
            Ok(table) => table.get(META_FORMAT)?.map(|value| meta_number(META_FORMAT, value.value())),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(redb::Error::from(error).into()),
        }
    };
    match format {
        Some(Some(FORMAT)) => return Ok(()),
        Some(Some(other)) => return Err(OpenError::Format(other)),
        Some(None) => return Err(OpenError::Damaged("its format is unreadable".to_owned())),
        None => {}
    }
    let writing = db.begin_write().map_err(redb::Error::from)?;
    make_tables(&writing).map_err(redb::Error::from)?;
    put_meta(&writing, META_FORMAT, FORMAT)?;
    put_meta(&writing, META_ID, u64::from(fresh_id))?;
    writing.commit().map_err(redb::Error::from)?;
    Ok(())
}

fn make_tables(writing: &redb::WriteTransaction) -> Result<(), TableError> {
    writing.open_table(EVENTS)?;
    writing.open_table(PARTS)?;
    writing.open_table(CURSORS)?;
    writing.open_table(INBOX)?;
    writing.open_table(FACTS)?;
    Ok(())
}

fn put_meta(writing: &redb::WriteTransaction, name: &str, number: u64) -> Result<(), OpenError> {
    let mut table = writing.open_table(META).map_err(redb::Error::from)?;
    let value = seal(Tag::Meta, name.as_bytes(), &record::number_bytes(number));
    table.insert(name, value.as_slice())?;
    Ok(())
}

fn meta_number(name: &str, value: &[u8]) -> Option<u64> {
    record::number_of(record::unseal(Tag::Meta, name.as_bytes(), value)?)
}

/// The id of a ledger in a stored value of the meta table, if it is one.
pub(super) fn ledger_id_of(name: &[u8], value: &[u8]) -> Option<u32> {
    (name == META_ID.as_bytes()).then(|| meta_number(META_ID, value)).flatten().map(|id| id as u32)
}

/// The floor of a ledger in a stored value of the meta table, if it is one.
pub(super) fn floor_of(name: &[u8], value: &[u8]) -> Option<u64> {
    (name == META_FLOOR.as_bytes()).then(|| meta_number(META_FLOOR, value)).flatten()
}
