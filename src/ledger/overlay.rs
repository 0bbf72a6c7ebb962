//! A file that looks writable and stays as it is: what is written goes to memory. Looking at a damaged file must not
//! change it, and a check at every start must not cost flash.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const PAGE_BYTES: u64 = 4_096;

type PageBytes = Box<[u8; PAGE_BYTES as usize]>;

/// The overlay over a storage.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    below: B,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// Bytes of the storage below that still count.
    below_len: u64,
    pages: BTreeMap<u64, PageBytes>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(super) fn new(below: B) -> io::Result<Self> {
        let len = below.len()?;
        Ok(Self { below, state: Mutex::new(State { len, below_len: len, pages: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, state: &State, page: u64) -> io::Result<PageBytes> {
        let mut bytes: PageBytes = Box::new([0; PAGE_BYTES as usize]);
        let start = page * PAGE_BYTES;
        let there = state.below_len.saturating_sub(start).min(PAGE_BYTES) as usize;
        if there > 0 {
            self.below.read(start, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

/// The pages that a range touches: number, first byte within it, place in the range, length.
fn pages_of(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE_BYTES) as usize;
        let part = (len - done).min(PAGE_BYTES as usize - within);
        let item = (part > 0).then_some((at / PAGE_BYTES, within, done, part));
        done += part;
        item
    })
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        for (page, within, place, part) in pages_of(offset, out.len()) {
            let out = &mut out[place..place + part];
            match state.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + part]),
                None => out.copy_from_slice(&self.load(&state, page)?[within..within + part]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.lock();
        state.len = len;
        state.below_len = state.below_len.min(len);
        state.pages.retain(|page, _| page * PAGE_BYTES < len);
        // What is cut off reads as zero when the file grows again.
        let cut = (len % PAGE_BYTES) as usize;
        if let Some(bytes) = state.pages.get_mut(&(len / PAGE_BYTES)) {
            bytes[cut..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.lock();
        for (page, within, place, part) in pages_of(offset, data.len()) {
            if !state.pages.contains_key(&page) {
                let loaded = self.load(&state, page)?;
                state.pages.insert(page, loaded);
            }
            if let Some(bytes) = state.pages.get_mut(&page) {
                bytes[within..within + part].copy_from_slice(&data[place..place + part]);
            }
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn writes_are_read_back_and_do_not_reach_what_is_below() {
        let below = InMemoryBackend::new();
        below.set_len(10_000).expect("set_len");
        below.write(0, &[7; 10_000]).expect("write");
        let overlay = Overlay::new(below).expect("overlay");
        overlay.write(4_090, &[9; 20]).expect("write");
        overlay.set_len(20_000).expect("set_len");
        let mut out = [0; 30];
        overlay.read(4_085, &mut out).expect("read");
        assert_eq!(out[..5], [7; 5]);
        assert_eq!(out[5..25], [9; 20]);
        assert_eq!(out[25..], [7; 5]);
        overlay.read(9_990, &mut out).expect("read");
        assert_eq!((out[9], out[10]), (7, 0), "the file was extended with zeros");
        assert!(overlay.read(19_990, &mut out).is_err(), "beyond the end");
        overlay.below.read(4_085, &mut out).expect("read");
        assert_eq!(out, [7; 30]);
        overlay.set_len(4_100).expect("set_len");
        overlay.set_len(9_000).expect("set_len");
        overlay.read(4_085, &mut out).expect("read");
        assert_eq!(out[15..], [0; 15], "what was cut off is zero");
    }
}
