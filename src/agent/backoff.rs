//! Exponential backoff with jitter: `base`, twice that, four times that ... up to a cap.

use super::rng::Rng;

/// How long to wait after the n-th failure in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base_ms: u64,
    cap_ms: u64,
    failures: u32,
}

impl Backoff {
    /// The first wait is about `base_ms`, none is longer than `cap_ms` and a tenth.
    #[must_use]
    pub fn new(base_ms: u64, cap_ms: u64) -> Self {
        Self { base_ms: base_ms.max(1), cap_ms: cap_ms.max(base_ms.max(1)), failures: 0 }
    }

    /// Counts a failure and says how long to wait, in milliseconds.
    pub fn fail(&mut self, rng: &mut Rng) -> u64 {
        let doublings = self.failures.min(32);
        self.failures = self.failures.saturating_add(1);
        let wait = self.base_ms.saturating_mul(1 << doublings).min(self.cap_ms);
        rng.jittered(wait)
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_a_success() {
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::new(1_000, 300_000);
        let waits: Vec<u64> = (0..12).map(|_| backoff.fail(&mut rng)).collect();
        for (n, wait) in waits.iter().enumerate() {
            let plain = (1_000u64 << n).min(300_000);
            assert!(wait.abs_diff(plain) <= plain / 10, "failure {n}: {wait} is not about {plain}");
        }
        assert_ne!(waits[9], waits[10], "the cap is jittered too");
        backoff.reset();
        assert!(backoff.fail(&mut rng) <= 1_100);
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::new(u64::MAX / 2, u64::MAX);
        for _ in 0..100 {
            assert!(backoff.fail(&mut rng) > 0);
        }
    }
}
