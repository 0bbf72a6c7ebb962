//! The agent's only chance: a small generator seeded by the shell (SplitMix64), for jitter and correlation ids.
//!
//! Not for secrets: those come from the kernel, in `shell/`.

/// A deterministic stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 128 bits.
    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = high.saturating_sub(low);
        if width == u64::MAX { self.next_u64() } else { low + self.next_u64() % (width + 1) }
    }

    /// `ms` give or take a tenth, so that boards that lost power together do not come back together.
    pub fn jittered(&mut self, ms: u64) -> u64 {
        let tenth = ms / 10;
        self.between(ms - tenth, ms.saturating_add(tenth))
    }
}
