//! Checking and compacting a file that nobody has open. redb can panic on a damaged file, and a panic ends the process:
//! run `verify_file` in a child (`chainbot ledger verify PATH`).

use std::path::Path;

use redb::{Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend};

use super::disk::{Disk, FileDisk, Gate, is_blank, open_locked};
use super::overlay::Overlay;
use super::read::{Read, event_at, fact_part_key, fact_piece, fact_text};
use super::record::{CURSORS, EVENTS, FACTS, INBOX, META, PARTS, Tag, number_bytes, unseal};
use super::store::{CACHE_BYTES, OpenError};
use super::talks;
use crate::agent::event::EventFilter;
use crate::agent::memory::FactKey;

type Bytes = &'static [u8];

/// What was found in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Records whose checksum holds.
    pub records: u64,
    /// Records whose checksum does not hold, and events of which a part is missing.
    pub corrupt: u64,
    /// redb found its own structure in disorder.
    pub disorder: bool,
}

impl VerifyReport {
    /// Whether the file may be used as it is.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.corrupt == 0 && !self.disorder
    }
}

/// What compacting a file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactReport {
    /// Length before in bytes.
    pub bytes_before: u64,
    /// Length after in bytes.
    pub bytes_after: u64,
}

/// Checks the structure and every record. Changes nothing in the file.
///
/// # Errors
/// If another process has the file, the system refuses, or redb cannot open it at all.
pub fn verify_file(path: &Path) -> Result<VerifyReport, OpenError> {
    let disk = FileDisk(open_existing(path)?);
    let named = |error| OpenError::Io(path.to_owned(), error);
    let len = disk.len().map_err(named)?;
    if is_blank(&disk, len).map_err(named)? {
        return Ok(VerifyReport::default());
    }
    let overlay = Overlay::new(disk).map_err(named)?;
    let mut db = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(overlay)?;
    let disorder = !db.check_integrity()?;
    let mut report = VerifyReport { disorder, ..VerifyReport::default() };
    check_tables(&db, &mut report)?;
    Ok(report)
}

/// Makes the file as short as what is in it. Writes it anew for the most part.
///
/// # Errors
/// If another process has the file, the system refuses, or redb cannot open it.
pub fn compact_file(path: &Path) -> Result<CompactReport, OpenError> {
    let named = |error| OpenError::Io(path.to_owned(), error);
    let file = open_existing(path)?;
    let again = file.try_clone().map_err(named)?;
    let bytes_before = file.metadata().map_err(named)?.len();
    let (gate, _open) = Gate::new(Disk::new(std::sync::Arc::new(FileDisk(file)), u64::MAX));
    let mut db = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(gate)?;
    db.compact().map_err(redb::Error::from)?;
    drop(db);
    Ok(CompactReport { bytes_before, bytes_after: again.metadata().map_err(named)?.len() })
}

fn open_existing(path: &Path) -> Result<std::fs::File, OpenError> {
    open_locked(path, false)
        .map_err(|error| OpenError::Io(path.to_owned(), error))?
        .ok_or_else(|| OpenError::InUse(path.to_owned()))
}

fn check_tables(db: &Database, report: &mut VerifyReport) -> Result<(), redb::Error> {
    let reading = db.begin_read()?;
    if reading.list_tables()?.next().is_none() {
        // Made, and then the power went before anything was written.
        return Ok(());
    }
    check_events(&reading, report)?;
    check(&reading.open_table(PARTS)?, report, |key, value| {
        unseal(Tag::Part, &number_bytes(key), value).is_some()
    })?;
    check(&reading.open_table(CURSORS)?, report, |key, value| {
        unseal(Tag::Cursor, key.as_bytes(), value).is_some()
    })?;
    check(&reading.open_table(INBOX)?, report, |key, value| {
        unseal(Tag::Inbox, &number_bytes(key), value).is_some()
    })?;
    check(&reading.open_table(META)?, report, |key, value| {
        unseal(Tag::Meta, key.as_bytes(), value).is_some()
    })?;
    let facts = reading.open_table(FACTS)?;
    check(&facts, report, |key, value| fact_piece(key, value).is_some())?;
    for key in FactKey::ALL {
        if matches!(fact_text(&facts, key)?, Read::Corrupt) {
            log::debug!("ledger fact_incomplete={} next={}", key.as_str(), fact_part_key(key.as_str(), 1));
            report.corrupt += 1;
        }
    }
    let talks = talks::count(&reading, true)?;
    report.records += (talks.sessions + talks.messages).saturating_sub(talks.corrupt);
    report.corrupt += talks.corrupt;
    Ok(())
}

fn check_events(reading: &ReadTransaction, report: &mut VerifyReport) -> Result<(), redb::Error> {
    let parts = reading.open_table(PARTS)?;
    for row in reading.open_table(EVENTS)?.iter()? {
        let (key, value) = row?;
        match event_at(key.value(), value.value(), &parts, &EventFilter::default())? {
            Read::Good(_) => report.records += 1,
            Read::Corrupt | Read::Absent => report.corrupt += 1,
        }
    }
    Ok(())
}

fn check<K: Key + 'static>(
    table: &ReadOnlyTable<K, Bytes>,
    report: &mut VerifyReport,
    holds: impl for<'v> Fn(K::SelfType<'v>, &'v [u8]) -> bool,
) -> Result<(), redb::Error> {
    for row in table.iter()? {
        let (key, value) = row?;
        if holds(key.value(), value.value()) {
            report.records += 1;
        } else {
            report.corrupt += 1;
        }
    }
    Ok(())
}
