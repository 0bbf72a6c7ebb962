//! Time as the agent sees it: a monotonic reading for every timer, a wall reading only to write on things.
//!
//! Not here: any clock. `shell/clock.rs` reads them; `calendar.rs` decides how far the wall may be trusted.

/// Monotonic milliseconds since an arbitrary zero (the start of the process). Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This reading and `ms` milliseconds more; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this reading, 0 if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wall time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

/// How far the wall clock may be believed, in growing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Nothing is known: the board may think that it is 1970.
    Unset,
    /// Not before the newest of build time and the newest time in the ledger.
    Floor,
    /// Agrees with the `Date` header of an authenticated peer.
    Hinted,
    /// The kernel says that it is disciplined by a time source.
    Synced,
}

impl Trust {
    /// The word used in `/status` and `/metrics`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Floor => "floor",
            Self::Hinted => "hinted",
            Self::Synced => "synced",
        }
    }

    /// Whether a date may be held against somebody: a signature's age, a token's expiry.
    #[must_use]
    pub fn may_judge(self) -> bool {
        self >= Self::Hinted
    }
}

/// One reading of the clocks, taken by the shell just before it calls the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Drives every timer, retry, limit and order.
    pub mono: Mono,
    /// What the system clock says, believed or not. `calendar.rs` makes the written time from it.
    pub system: Wall,
    /// Whether the kernel calls the system clock synchronised.
    pub synced: bool,
}

/// Milliseconds in a second.
pub const SECOND_MS: u64 = 1_000;
/// Milliseconds in a minute.
pub const MINUTE_MS: u64 = 60 * SECOND_MS;
/// Milliseconds in an hour.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
