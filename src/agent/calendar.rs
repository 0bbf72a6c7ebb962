//! What time to write on things, on a board that may boot in 1970.
//!
//! ```text
//! unset -> floor (the newest of build time and the newest time in the ledger)
//!       -> hinted (the Date header of an authenticated peer)
//!       -> synced (the kernel says so)
//! ```
//!
//! Not here: timers. They run on monotonic time, whatever the calendar says.

use super::time::{Mono, Now, Trust, Wall};

/// A system clock this close to a hint is believed, in milliseconds: a `Date` header has whole seconds and was underway.
const HINT_TOLERANCE_MS: u64 = 5 * 60 * 1_000;

/// How far the wall clock may be believed, and what it would say.
#[derive(Clone, Debug)]
pub struct Calendar {
    floor: Wall,
    floor_at: Mono,
    hint: Option<(Mono, Wall)>,
}

impl Calendar {
    /// A calendar that knows only that it is not before `floor` (0: knows nothing).
    #[must_use]
    pub fn new(floor: Wall, now: Now) -> Self {
        Self { floor, floor_at: now.mono, hint: None }
    }

    /// An authenticated peer said what time it is. One before the floor is not believed.
    pub fn hint(&mut self, now: Now, date: Wall) {
        if date >= self.floor {
            self.hint = Some((now.mono, date));
        }
    }

    /// Whether the system clock, by which certificates are judged, may be wrong.
    #[must_use]
    pub fn is_doubted(&self, now: Now) -> bool {
        let agrees =
            |at: Mono, date| now.system.0.abs_diff(later(date, now.mono.since(at)).0) <= HINT_TOLERANCE_MS;
        !now.synced && !self.hint.is_some_and(|(at, date)| agrees(at, date))
    }

    /// A moment that has surely passed, whatever the system clock says: under a clock that is not trusted no more than the floor.
    #[must_use]
    pub fn passed(&self, now: Now) -> Wall {
        match self.read(now) {
            (at, trust) if trust.may_judge() => at,
            (_, Trust::Floor) => later(self.floor, now.mono.since(self.floor_at)),
            _ => Wall(i64::MIN),
        }
    }

    /// The time to write on things, and how far it may be believed.
    #[must_use]
    pub fn read(&self, now: Now) -> (Wall, Trust) {
        if now.synced {
            return (now.system, Trust::Synced);
        }
        if let Some((at, date)) = self.hint {
            let hinted = later(date, now.mono.since(at));
            let is_close = now.system.0.abs_diff(hinted.0) <= HINT_TOLERANCE_MS;
            return (if is_close { now.system } else { hinted }, Trust::Hinted);
        }
        if self.floor.0 <= 0 {
            return (now.system, Trust::Unset);
        }
        let floor = later(self.floor, now.mono.since(self.floor_at));
        (now.system.max(floor), Trust::Floor)
    }
}

fn later(wall: Wall, ms: u64) -> Wall {
    Wall(wall.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono: u64, system: i64, synced: bool) -> Now {
        Now { mono: Mono(mono), system: Wall(system), synced }
    }

    #[test]
    fn trust_grows_from_floor_to_hinted_to_synced() {
        let year_2026 = 1_790_000_000_000;
        let mut calendar = Calendar::new(Wall(year_2026), now(0, 0, false));
        assert_eq!(calendar.read(now(1_000, 1_000, false)), (Wall(year_2026 + 1_000), Trust::Floor));
        calendar.hint(now(2_000, 2_000, false), Wall(year_2026 + 86_400_000));
        assert_eq!(calendar.read(now(3_000, 3_000, false)), (Wall(year_2026 + 86_401_000), Trust::Hinted));
        assert_eq!(calendar.read(now(3_000, 5, true)), (Wall(5), Trust::Synced));
    }

    #[test]
    fn what_has_surely_passed_does_not_rest_on_a_clock_that_is_not_trusted() {
        let year_2026 = 1_790_000_000_000;
        let mut calendar = Calendar::new(Wall(year_2026), now(0, 0, false));
        assert_eq!(calendar.passed(now(5, year_2026 * 2, false)), Wall(year_2026 + 5));
        assert_eq!(calendar.passed(now(5, 7, true)), Wall(7));
        calendar.hint(now(5, 0, false), Wall(year_2026 + 9));
        assert_eq!(calendar.passed(now(6, 0, false)), Wall(year_2026 + 10));
        assert_eq!(Calendar::new(Wall(0), now(0, 0, false)).passed(now(9, 77, false)), Wall(i64::MIN));
    }

    #[test]
    fn a_hint_before_the_floor_is_not_believed() {
        let mut calendar = Calendar::new(Wall(1_000_000), now(0, 0, false));
        calendar.hint(now(0, 0, false), Wall(999_999));
        assert_eq!(calendar.read(now(0, 0, false)).1, Trust::Floor);
    }

    #[test]
    fn a_system_clock_that_agrees_with_the_hint_is_used() {
        let mut calendar = Calendar::new(Wall(1_000), now(0, 0, false));
        calendar.hint(now(0, 0, false), Wall(500_000));
        assert_eq!(calendar.read(now(1_000, 502_345, false)), (Wall(502_345), Trust::Hinted));
    }

    #[test]
    fn a_system_clock_is_doubted_until_the_kernel_or_a_hint_vouches_for_it() {
        let mut calendar = Calendar::new(Wall(1_000), now(0, 0, false));
        assert!(calendar.is_doubted(now(0, 500_000, false)));
        assert!(!calendar.is_doubted(now(0, 500_000, true)));
        calendar.hint(now(0, 500_000, false), Wall(500_000));
        assert!(!calendar.is_doubted(now(1_000, 501_000, false)));
        assert!(calendar.is_doubted(now(1_000, 315_360_000_000, false)), "it jumped by ten years");
    }

    #[test]
    fn without_a_floor_nothing_is_known() {
        let calendar = Calendar::new(Wall(0), now(0, 0, false));
        assert_eq!(calendar.read(now(9, 77, false)), (Wall(77), Trust::Unset));
    }
}
