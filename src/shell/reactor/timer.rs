//! Timers: entries of a map that the loop looks into before it sleeps. To move one is no system call.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{TIMERS, now};

/// When somebody is to be woken; the number tells apart who wants the same moment.
type Place = (Instant, u64);

/// All timers of a thread that somebody waits for.
pub(super) struct Timers {
    waiting: BTreeMap<Place, Waker>,
    next: u64,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self { waiting: BTreeMap::new(), next: 0 }
    }

    /// How long until the first one rings; `None`: nobody waits.
    pub(super) fn patience(&self) -> Option<Duration> {
        let ((due, _), _) = self.waiting.first_key_value()?;
        Some(due.saturating_duration_since(now()))
    }

    /// Takes out those whose moment has come.
    pub(super) fn ring(&mut self) -> Vec<Waker> {
        let mut rung = Vec::new();
        if self.waiting.is_empty() {
            return rung;
        }
        let now = now();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            rung.push(first.remove());
        }
        rung
    }
}

/// Ready once, when its moment has come. Belongs to the thread that waits for it.
#[derive(Debug)]
pub struct Timer {
    due: Option<Instant>,
    place: Option<Place>,
}

impl Timer {
    /// A timer that never rings.
    #[must_use]
    pub fn never() -> Self {
        Self { due: None, place: None }
    }

    /// Rings at this moment.
    #[must_use]
    pub fn at(due: Instant) -> Self {
        Self { due: Some(due), place: None }
    }

    /// Rings after this time; never, if that is beyond all time.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self { due: now().checked_add(time), place: None }
    }

    /// Moves it to this moment. Whoever waits must poll it again.
    pub fn set_at(&mut self, due: Instant) {
        self.leave();
        self.due = Some(due);
    }

    /// Moves it to the end of this time, as `set_at` does.
    pub fn set_after(&mut self, time: Duration) {
        self.leave();
        self.due = now().checked_add(time);
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            // Away at the end of the thread.
            let _ = TIMERS.try_with(|timers| timers.borrow_mut().waiting.remove(&place));
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        if due <= now() {
            self.leave();
            self.due = None;
            return Poll::Ready(());
        }
        // What was there is dropped outside: with a waker may go a task, and with that its timers.
        let (place, _before) = TIMERS.with_borrow_mut(|timers| {
            let place = self.place.unwrap_or_else(|| {
                timers.next += 1;
                (due, timers.next)
            });
            (place, timers.waiting.insert(place, cx.waker().clone()))
        });
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.leave();
    }
}
