//! The clocks of the board: a monotonic one that begins anew with each start, and a calendar that may be wrong by
//! decades until somebody tells it.

use chainbot::agent::time::{Mono, Now, Wall};

use crate::plan::BUILT_AT;
use crate::rng::Rng;

/// What the calendar really says when the world begins: 40 days after the build.
const TRUE_ZERO_MS: i64 = BUILT_AT.0 + 40 * 86_400_000;
const YEAR_MS: i64 = 365 * 86_400_000;

/// The clocks of one board.
#[derive(Debug)]
pub struct Clock {
    boot_at: u64,
    mono_zero: u64,
    wrong_by_ms: i64,
    is_synced: bool,
}

impl Clock {
    /// Clocks that are right.
    pub fn new() -> Self {
        Self { boot_at: 0, mono_zero: 0, wrong_by_ms: 0, is_synced: true }
    }

    /// The true calendar, which the peers have.
    pub fn true_ms(world_ms: u64) -> i64 {
        TRUE_ZERO_MS + i64::try_from(world_ms).expect("a world is short")
    }

    /// The board starts. With trouble it may think that it is 1970.
    pub fn boot(&mut self, now: u64, has_trouble: bool, rng: &mut Rng) {
        self.boot_at = now;
        self.mono_zero = rng.pick(&[0, 0, 17, 40 * 86_400_000]);
        if has_trouble && rng.chance(600) {
            self.wrong_by_ms = -Self::true_ms(now);
            self.is_synced = false;
        }
    }

    /// The calendar jumps.
    pub fn jump(&mut self, now: u64, rng: &mut Rng) {
        self.is_synced = false;
        self.wrong_by_ms = match rng.below(4) {
            0 => -Self::true_ms(now),
            1 => -YEAR_MS * i64::try_from(rng.within(1, 60)).expect("small"),
            2 => YEAR_MS * i64::try_from(rng.within(1, 60)).expect("small"),
            _ => i64::try_from(rng.below(7_200_000)).expect("small") - 3_600_000,
        };
    }

    /// The calendar jumps by this much.
    pub fn jump_by(&mut self, ms: i64) {
        self.is_synced = false;
        self.wrong_by_ms += ms;
    }

    /// The board slept for this long, up to now: the monotonic clock did not see it.
    pub fn slept(&mut self, ms: u64) {
        self.boot_at += ms;
    }

    /// Whether the calendar is so wrong that no certificate is valid by it.
    pub fn is_far_off(&self) -> bool {
        self.wrong_by_ms.abs() > 300 * 86_400_000
    }

    /// A time source answers.
    pub fn sync(&mut self) {
        self.wrong_by_ms = 0;
        self.is_synced = true;
    }

    /// One reading.
    pub fn read(&self, now: u64) -> Now {
        Now {
            mono: Mono(now - self.boot_at + self.mono_zero),
            system: Wall(Self::true_ms(now) + self.wrong_by_ms),
            synced: self.is_synced,
        }
    }

    /// The world's time of a monotonic reading of this boot.
    pub fn world_ms(&self, mono: Mono) -> u64 {
        mono.0.saturating_sub(self.mono_zero).saturating_add(self.boot_at)
    }
}
