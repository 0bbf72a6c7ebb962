//! What lies below redb: the file or a simulated disk, its cap, its counters, and what must be repaired after a fault.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Writes beyond this many since the last flush are not remembered one by one.
const UNSYNCED_MAX: usize = 4_096;
const PAGE_BYTES: usize = 4_096;
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// What the disk failed with last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskFault {
    /// Any error but the following.
    Io,
    /// No room: ENOSPC, EDQUOT or EFBIG.
    Full,
    /// The file would have grown beyond its cap.
    Capped,
}

/// The disk below all redb databases that are opened over it one after the other.
#[derive(Debug)]
pub(super) struct Disk {
    backend: Arc<dyn StorageBackend>,
    size_max: u64,
    fault: AtomicU8,
    unsynced: Mutex<Unsynced>,
    pub(super) bytes_written: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// What was written since the last flush that succeeded.
#[derive(Debug, Default)]
struct Unsynced {
    ranges: Vec<(u64, u32)>,
    overflowed: bool,
}

impl Disk {
    pub(super) fn new(backend: Arc<dyn StorageBackend>, size_max: u64) -> Arc<Self> {
        Arc::new(Self {
            backend,
            size_max,
            fault: AtomicU8::new(0),
            unsynced: Mutex::default(),
            bytes_written: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        })
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    pub(super) fn size_max(&self) -> u64 {
        self.size_max
    }

    /// The last fault since this was asked for, if there was one. redb names only the first and then says "previous".
    pub(super) fn take_fault(&self) -> Option<DiskFault> {
        match self.fault.swap(0, Ordering::Relaxed) {
            1 => Some(DiskFault::Io),
            2 => Some(DiskFault::Full),
            3 => Some(DiskFault::Capped),
            _ => None,
        }
    }

    /// The first bytes; `None` if there are not so many or they cannot be read.
    pub(super) fn head<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let is_long = self.backend.len().ok()? >= N as u64;
        (is_long && self.backend.read(0, &mut bytes).is_ok()).then_some(bytes)
    }

    /// Makes a file empty whose creation was cut short, so that it is created again. redb writes its magic number
    /// last, so nothing can have been acknowledged; a file with anything in its pages is left for the salvage.
    pub(super) fn clear_if_blank(&self) -> io::Result<()> {
        let len = self.backend.len()?;
        if len > 0 && is_blank(&*self.backend, len)? {
            self.backend.set_len(0)?;
        }
        Ok(())
    }

    /// Writes again whatever was written since the last flush that succeeded, and flushes it. When a flush fails, Linux
    /// drops the pages from what it will write and still shows them to readers: redb would then build on pages
    /// that the disk never got.
    pub(super) fn rewrite_unsynced(&self) -> io::Result<()> {
        let (ranges, overflowed) = {
            let unsynced = self.lock_unsynced();
            (unsynced.ranges.clone(), unsynced.overflowed)
        };
        if ranges.is_empty() && !overflowed {
            return Ok(());
        }
        let len = self.backend.len()?;
        if overflowed {
            self.rewrite(0, len)?;
        }
        for (offset, bytes) in ranges {
            self.rewrite(offset, len.min(offset + u64::from(bytes)))?;
        }
        self.note(self.backend.sync_data())?;
        *self.lock_unsynced() = Unsynced::default();
        Ok(())
    }

    fn rewrite(&self, from: u64, to: u64) -> io::Result<()> {
        let mut page = [0; PAGE_BYTES];
        let mut offset = from;
        while offset < to {
            let part = &mut page[..(to - offset).min(PAGE_BYTES as u64) as usize];
            self.note(self.backend.read(offset, part))?;
            self.note(self.backend.write(offset, part))?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn lock_unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result {
            self.fault.store(if is_full(error) { 2 } else { 1 }, Ordering::Relaxed);
        }
        result
    }
}

/// Whether redb's creation of this file did not come to its end.
pub(super) fn is_blank(backend: &dyn StorageBackend, len: u64) -> io::Result<bool> {
    let mut page = [0; PAGE_BYTES];
    let mut offset = 0;
    while offset < len {
        let part = &mut page[..(len - offset).min(PAGE_BYTES as u64) as usize];
        backend.read(offset, part)?;
        // The first page may hold a header already, all but the magic number.
        let checked = if offset == 0 { &part[..part.len().min(MAGIC.len())] } else { &part[..] };
        if checked.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += part.len() as u64;
    }
    Ok(true)
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The disk as one redb database sees it. When the ledger gives a database up, it shuts the gate, so that whatever that
/// database still holds can never reach the file under its successor.
#[derive(Debug)]
pub(super) struct Gate {
    disk: Arc<Disk>,
    open: Arc<AtomicBool>,
}

impl Gate {
    /// A gate, and the handle that shuts it by storing `false`.
    pub(super) fn new(disk: Arc<Disk>) -> (Self, Arc<AtomicBool>) {
        let open = Arc::new(AtomicBool::new(true));
        (Self { disk, open: Arc::clone(&open) }, open)
    }

    fn disk(&self) -> io::Result<&Disk> {
        if self.open.load(Ordering::Acquire) {
            Ok(&self.disk)
        } else {
            Err(io::Error::other("the ledger was opened again"))
        }
    }
}

impl StorageBackend for Gate {
    fn len(&self) -> Result<u64, io::Error> {
        self.disk()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let disk = self.disk()?;
        disk.note(disk.backend.read(offset, out))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let disk = self.disk()?;
        if len > disk.size_max && len > disk.len()? {
            disk.fault.store(3, Ordering::Relaxed);
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        disk.note(disk.backend.set_len(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let disk = self.disk()?;
        disk.syncs.fetch_add(1, Ordering::Relaxed);
        disk.note(disk.backend.sync_data())?;
        let mut unsynced = disk.lock_unsynced();
        unsynced.ranges.clear();
        unsynced.overflowed = false;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let disk = self.disk()?;
        // What was not taken is not written again: on a full disk there is no room for it.
        disk.note(disk.backend.write(offset, data))?;
        disk.bytes_written.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut unsynced = disk.lock_unsynced();
        if unsynced.ranges.len() < UNSYNCED_MAX {
            unsynced.ranges.push((offset, data.len() as u32));
        } else {
            unsynced.overflowed = true;
        }
        Ok(())
    }
}

/// A file as redb's storage. The lock belongs to the file that `open_locked` gave out and lives as long as it.
#[derive(Debug)]
pub(super) struct FileDisk(pub(super) File);

impl StorageBackend for FileDisk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write_all_at(data, offset)
    }
}

/// Opens the file for this process alone; `Ok(None)` if another process has it. With `create`, makes what is
/// missing: the folder for its owner alone (0700) and the file likewise (0600).
pub(super) fn open_locked(path: &Path, create: bool) -> io::Result<Option<File>> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let is_new = create && !path.exists();
    if let (Some(parent), true) = (parent, is_new) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let file =
        OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    }
    if is_new {
        sync_folder(path)?;
    }
    Ok(Some(file))
}

/// Makes a new or changed name in the file's folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
