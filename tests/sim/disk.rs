//! A disk in memory whose power can be cut. Depends on nothing but redb's storage trait: whoever wants it names this
//! file with `#[path]`.
//!
//! Writes are seen by readers at once and reach the platter at the next flush. A power cut keeps a random part of what was
//! not flushed: in any order, each write torn at 512 bytes. After it every operation fails until `power_on`, so that
//! whoever still holds the old handle cannot write, as in life.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: u64 = 4_096;

/// Handles to one disk are clones of each other.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

/// What an operation does, for faults that hit only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Read,
    Write,
    Sync,
    SetLen,
}

#[derive(Default)]
struct State {
    /// What a power cut cannot take back.
    durable: Vec<u8>,
    /// What readers see.
    current: Vec<u8>,
    /// What was done since the last flush, in order.
    pending: Vec<Pending>,
    /// Pages that take room on the disk: those that were ever written.
    allocated: Vec<bool>,
    off: bool,
    sync_lies: bool,
    failed_sync_forgets: bool,
    fail_in: Option<(u64, Option<Op>)>,
    off_in: Option<u64>,
    failing: bool,
    space_max: Option<u64>,
    bytes_written: u64,
    syncs: u64,
    ops: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimDisk({} bytes, {} pending)", self.current.len(), self.pending.len())
    }
}

#[derive(Clone)]
enum Pending {
    Write { offset: u64, bytes: Box<[u8]> },
    SetLen(u64),
}

#[allow(dead_code, reason = "each user of this file needs another part of it")]
impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds this and is in order.
    pub fn with_bytes(bytes: Vec<u8>) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.lock();
            state.allocated = vec![true; bytes.len().div_ceil(PAGE_BYTES as usize)];
            state.durable.clone_from(&bytes);
            state.current = bytes;
        }
        disk
    }

    /// What readers see.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    /// Cuts the power. `random` gives random numbers.
    pub fn power_cut(&self, random: &mut dyn FnMut() -> u64) {
        let mut state = self.lock();
        let pending = std::mem::take(&mut state.pending);
        // Some cuts keep nearly all, some nearly nothing: both ends are as likely as the middle.
        let keep_of_16 = random() % 17;
        let mut survivors = Vec::new();
        for change in pending {
            match change {
                Pending::SetLen(len) if random() % 16 < keep_of_16 => set_len(&mut state.durable, len),
                Pending::SetLen(_) => {}
                Pending::Write { offset, bytes } => survivors.push((offset, bytes)),
            }
        }
        for last in (1..survivors.len()).rev() {
            survivors.swap(last, (random() % (last as u64 + 1)) as usize);
        }
        for (offset, bytes) in survivors {
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if random() % 16 < keep_of_16 {
                    put(&mut state.durable, offset as usize + number * SECTOR_BYTES, sector);
                }
            }
        }
        state.current = state.durable.clone();
        state.off = true;
    }

    /// Stops everything at once without a loss, as `kill -9` does: the system still writes what it was given.
    pub fn kill(&self) {
        self.lock().off = true;
    }

    /// Stops as `kill` does after `ops` more operations, so that the power can be cut in the middle of something.
    pub fn kill_after(&self, ops: u64) {
        self.lock().off_in = Some(ops);
    }

    /// Ends what `power_cut` and `kill` began, for handles old and new.
    pub fn power_on(&self) {
        let mut state = self.lock();
        state.off = false;
        state.off_in = None;
    }

    /// Whether flushes only pretend.
    pub fn set_sync_lies(&self, lies: bool) {
        self.lock().sync_lies = lies;
    }

    /// Whether a flush that fails drops what it should have written, as Linux does: readers still see it, a later flush
    /// does not write it.
    pub fn set_failed_sync_forgets(&self, forgets: bool) {
        self.lock().failed_sync_forgets = forgets;
    }

    /// The operation after the next `after` fails with EIO: any, or the first of this kind from then on.
    pub fn fail_once_after(&self, after: u64, op: Option<Op>) {
        self.lock().fail_in = Some((after, op));
    }

    /// Whether an operation is still to fail.
    pub fn is_to_fail(&self) -> bool {
        self.lock().fail_in.is_some()
    }

    /// Whether every operation fails with EIO.
    pub fn set_failing(&self, failing: bool) {
        self.lock().failing = failing;
    }

    /// No more room than this many bytes in pages that were ever written; ENOSPC beyond. `None`: enough.
    pub fn set_space_max(&self, bytes: Option<u64>) {
        self.lock().space_max = bytes;
    }

    /// Bytes in pages that were ever written.
    pub fn space_used(&self) -> u64 {
        self.lock().allocated.iter().filter(|page| **page).count() as u64 * PAGE_BYTES
    }

    /// Ends every fault but a power cut.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.sync_lies = false;
        state.fail_in = None;
        state.failing = false;
        state.space_max = None;
    }

    /// Turns a bit over, on the platter and for readers.
    pub fn flip_bit(&self, bit: u64) {
        let state = &mut *self.lock();
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        for bytes in [&mut state.durable, &mut state.current] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= mask;
            }
        }
    }

    /// Bytes written since the disk was made.
    pub fn bytes_written(&self) -> u64 {
        self.lock().bytes_written
    }

    /// Flushes since the disk was made.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Operations since the disk was made.
    pub fn ops(&self) -> u64 {
        self.lock().ops
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, op: Op) -> io::Result<()> {
        match &mut self.off_in {
            Some(0) => self.off = true,
            Some(ops) => *ops -= 1,
            None => {}
        }
        if self.off || self.failing {
            return Err(io::Error::other("the disk does not answer"));
        }
        self.ops += 1;
        match &mut self.fail_in {
            Some((0, only)) if only.is_none_or(|only| only == op) => {
                self.fail_in = None;
                Err(io::Error::other("the disk failed once"))
            }
            Some((0, _)) | None => Ok(()),
            Some((after, _)) => {
                *after -= 1;
                Ok(())
            }
        }
    }

    fn allocate(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let pages = offset / PAGE_BYTES..(offset + len).div_ceil(PAGE_BYTES);
        let used = self.allocated.iter().filter(|page| **page).count() as u64;
        let fresh =
            pages.clone().filter(|page| !self.allocated.get(*page as usize).unwrap_or(&false)).count() as u64;
        if fresh > 0 && self.space_max.is_some_and(|max| (used + fresh) * PAGE_BYTES > max) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if self.allocated.len() < pages.end as usize {
            self.allocated.resize(pages.end as usize, false);
        }
        pages.for_each(|page| self.allocated[page as usize] = true);
        Ok(())
    }
}

fn set_len(bytes: &mut Vec<u8>, len: u64) {
    bytes.resize(len as usize, 0);
}

/// Writes what lies within the length: a file whose growth was lost has no place for what was written there.
fn put(bytes: &mut [u8], offset: usize, data: &[u8]) {
    let end = (offset + data.len()).min(bytes.len());
    if offset < end {
        bytes[offset..end].copy_from_slice(&data[..end - offset]);
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> Result<u64, io::Error> {
        let state = self.lock();
        if state.off || state.failing {
            return Err(io::Error::other("the disk does not answer"));
        }
        Ok(state.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let mut state = self.lock();
        state.begin(Op::Read)?;
        let start = offset as usize;
        let bytes = state.current.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.lock();
        state.begin(Op::SetLen)?;
        set_len(&mut state.current, len);
        state.allocated.truncate(len.div_ceil(PAGE_BYTES) as usize);
        state.pending.push(Pending::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.lock();
        if let Err(error) = state.begin(Op::Sync) {
            if state.failed_sync_forgets && !state.off {
                state.pending.retain(|change| matches!(change, Pending::SetLen(_)));
            }
            return Err(error);
        }
        state.syncs += 1;
        if state.sync_lies {
            return Ok(());
        }
        for change in std::mem::take(&mut state.pending) {
            match change {
                Pending::SetLen(len) => set_len(&mut state.durable, len),
                Pending::Write { offset, bytes } => put(&mut state.durable, offset as usize, &bytes),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.lock();
        state.begin(Op::Write)?;
        state.allocate(offset, data.len() as u64)?;
        let end = offset + data.len() as u64;
        if end > state.current.len() as u64 {
            set_len(&mut state.current, end);
            state.pending.push(Pending::SetLen(end));
        }
        put(&mut state.current, offset as usize, data);
        state.bytes_written += data.len() as u64;
        state.pending.push(Pending::Write { offset, bytes: data.into() });
        Ok(())
    }
}
