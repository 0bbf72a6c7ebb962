//! Wakes the tasks that follow the ledger when there is something new to read.

use std::cell::RefCell;
use std::task::{Context, Waker};

/// Wakers kept. Beyond: all are woken and forgotten, which costs those tasks a look.
const WAKERS_MAX: usize = 256;

/// A bell that tasks listen for.
#[derive(Default)]
pub(super) struct Bell(RefCell<Vec<Waker>>);

impl Bell {
    /// Has the calling task woken at the next ring.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        let mut wakers = self.0.borrow_mut();
        if wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        wakers.push(cx.waker().clone());
        if wakers.len() > WAKERS_MAX {
            drop(wakers);
            self.ring();
        }
    }

    /// Wakes everybody who listens.
    pub(super) fn ring(&self) {
        let wakers = std::mem::take(&mut *self.0.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }
}
