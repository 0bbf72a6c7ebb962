//! Saying goodbye: the last event, the last report, the disconnect, the last commit, within `STOP_TIME_MAX_MS`.

use super::limits::STOP_TIME_MAX_MS;
use super::time::Mono;

/// A stop that is underway.
#[derive(Debug)]
pub struct Stopping {
    /// When the process ends at the latest.
    pub deadline: Mono,
    /// `Effect::Exit` was given.
    pub has_exited: bool,
}

impl Stopping {
    /// A stop that begins now.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        Self { deadline: now.plus(STOP_TIME_MAX_MS), has_exited: false }
    }
}
