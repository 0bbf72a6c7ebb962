//! A state that tests wait on: for a fact, with a bound, never for a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Watched<S> {
    state: Mutex<S>,
    changed: Condvar,
}

impl<S> Watched<S> {
    pub fn new(state: S) -> Self {
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes everyone who waits on it.
    pub fn change<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub fn look<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.lock())
    }

    /// Waits until `fact` gives something, at most for `bound`.
    pub fn wait<R>(&self, bound: Duration, mut fact: impl FnMut(&S) -> Option<R>) -> Option<R> {
        let end = Instant::now() + bound;
        let mut state = self.lock();
        loop {
            if let Some(result) = fact(&state) {
                return Some(result);
            }
            let left = end.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `fact` holds; false if it did not within `bound`.
    pub fn wait_until(&self, bound: Duration, mut fact: impl FnMut(&S) -> bool) -> bool {
        self.wait(bound, |state| fact(state).then_some(())).is_some()
    }
}
