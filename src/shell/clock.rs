//! The clocks. The only file that reads them for the agent.
//!
//! Whether the system clock is disciplined is the kernel's knowledge, and asking it (`adjtimex`) needs unsafe code that
//! no package in the tree offers safely. So the word of systemd-timesyncd is taken, which leaves a file behind once it
//! has set the clock. Under chrony or ntpd nothing says so in a stable place: there the calendar is trusted through the
//! `Date` of authenticated peers (`Trust::Hinted`), which is enough to judge signatures.

#![allow(clippy::disallowed_methods, reason = "this is where clocks are read")]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::agent::time::{MINUTE_MS, Mono, Now, Wall};

/// Made by systemd-timesyncd when it has set the clock; gone after a boot, because `/run` is memory.
const SYNCED_MARK: &str = "/run/systemd/timesync/synchronized";

/// The clocks of this process. Monotonic zero is the moment in which it was made.
///
/// A suspended board stops the monotonic clock: timers go on where they were, and that is what a retry wants.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    mark: PathBuf,
    /// When the mark was looked for, and whether it was there.
    looked: Cell<Option<(Mono, bool)>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Starts the monotonic clock at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::with_mark(Path::new(SYNCED_MARK))
    }

    fn with_mark(mark: &Path) -> Self {
        Self { start: Instant::now(), mark: mark.to_owned(), looked: Cell::new(None) }
    }

    /// One reading. Looks at the disk at most once a minute.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = self.mono();
        Now { mono, system: system_now(), synced: self.synced(mono) }
    }

    /// The system's wall time, whatever it is worth.
    #[must_use]
    pub fn wall(&self) -> Wall {
        system_now()
    }

    /// The monotonic reading alone, in milliseconds since the clock was made.
    #[must_use]
    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The `Instant` of a monotonic reading, for a timer that waits for it; `None` beyond what an `Instant` can say.
    #[must_use]
    pub fn instant_of(&self, at: Mono) -> Option<Instant> {
        self.start.checked_add(std::time::Duration::from_millis(at.0))
    }

    fn synced(&self, now: Mono) -> bool {
        if let Some((at, synced)) = self.looked.get()
            && now.since(at) < MINUTE_MS
        {
            return synced;
        }
        let synced = self.mark.exists();
        self.looked.set(Some((now, synced)));
        synced
    }
}

/// What the system clock says, also if it stands before 1970.
#[must_use]
pub fn system_now() -> Wall {
    let whole = |ms: u128| i64::try_from(ms).unwrap_or(i64::MAX);
    Wall(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => whole(since.as_millis()),
        Err(before) => -whole(before.duration().as_millis()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_begins_near_zero_and_never_goes_back() {
        let clock = Clock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(first.mono.0 < 10_000, "{first:?}");
        assert!(second.mono >= first.mono);
        assert!(first.system.0 > 1_700_000_000_000, "the machine that tests has a calendar: {first:?}");
    }

    #[test]
    fn the_mark_is_looked_for_once_a_minute() {
        let mark = std::env::temp_dir().join(format!("chainbot-clock-{}", std::process::id()));
        std::fs::write(&mark, "").expect("a writable temporary directory");
        let clock = Clock::with_mark(&mark);
        assert!(clock.synced(Mono(0)));
        std::fs::remove_file(&mark).expect("it is ours");
        assert!(clock.synced(Mono(MINUTE_MS - 1)), "remembered");
        assert!(!clock.synced(Mono(MINUTE_MS)), "looked again");
    }

    #[test]
    fn a_deadline_becomes_the_instant_it_means() {
        let clock = Clock::new();
        let instant = clock.instant_of(Mono(1_500)).expect("near");
        assert_eq!(instant.duration_since(clock.start).as_millis(), 1_500);
    }
}
