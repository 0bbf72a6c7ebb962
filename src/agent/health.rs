//! How we are: `healthy | degraded | unhealthy` with hysteresis, and when to report it.
//!
//! Getting worse shows at once; getting better only after it has lasted a while, and a limit that was crossed is left a few
//! percent below. So a value that trembles at its limit does not flap. The worst ends sooner: others act upon it.

use super::effect::Health;
use super::input::Sample;
use super::rng::Rng;
use super::time::Mono;

/// How long it must be better before it is said, in milliseconds.
const RECOVER_MS: u64 = 30_000;
/// The same while we are unhealthy: whoever asks `/health` is told 503 until then.
const RECOVER_UNHEALTHY_MS: u64 = 5_000;
/// (enter, leave) in percent.
const DISK_UNHEALTHY: (f64, f64) = (98.0, 96.0);
const DISK_DEGRADED: (f64, f64) = (90.0, 87.0);
const MEMORY_UNHEALTHY: (f64, f64) = (97.0, 94.0);
const MEMORY_DEGRADED: (f64, f64) = (90.0, 85.0);
const CPU_DEGRADED: (f64, f64) = (97.0, 85.0);
/// How much a new sample of processor use counts against those before it: ten minutes of full load at a sample a minute
/// make it degraded.
const CPU_WEIGHT: f64 = 0.3;
/// First sample this long after the start, in milliseconds, so that processor use is not that of starting.
const FIRST_SAMPLE_MS: u64 = 1_000;

/// What health is judged by, beside the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// A commit failed and none has succeeded since.
    pub ledger_failing: bool,
    /// ALEX OS or AIWM is configured and not there, or a webhook is failing.
    pub peer_missing: bool,
    /// Someone should look.
    pub needs_attention: bool,
}

/// Health and its timer. See the module.
#[derive(Debug)]
pub struct HealthKeeper {
    shown: Health,
    better_since: Option<Mono>,
    has_settled: bool,
    sample: Option<Sample>,
    /// Processor use in percent, smoothed over samples: a short load is no illness.
    cpu_percent: f64,
    interval_ms: u64,
    sample_at: Mono,
    is_sampling: bool,
}

impl HealthKeeper {
    /// Samples every `interval_ms`.
    #[must_use]
    pub fn new(interval_ms: u64, now: Mono) -> Self {
        Self {
            shown: Health::Healthy,
            better_since: None,
            has_settled: false,
            sample: None,
            cpu_percent: 0.0,
            interval_ms: interval_ms.max(1),
            sample_at: now.plus(FIRST_SAMPLE_MS.min(interval_ms)),
            is_sampling: false,
        }
    }

    /// How we are.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shown
    }

    /// The last sample.
    #[must_use]
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// Another interval between samples.
    pub fn set_interval(&mut self, interval_ms: u64) {
        self.interval_ms = interval_ms.max(1);
    }

    /// Whether a sample is due; counts as taken.
    pub fn poll_sample(&mut self, now: Mono, rng: &mut Rng) -> bool {
        let is_due = !self.is_sampling && self.sample_at <= now;
        if is_due {
            self.is_sampling = true;
            self.sample_at = now.plus(rng.jittered(self.interval_ms));
        }
        is_due
    }

    /// When the next sample is due, or it has been better for long enough.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let sample = (!self.is_sampling).then_some(self.sample_at);
        let better = self.better_since.map(|since| since.plus(self.recover_ms()));
        sample.into_iter().chain(better).min()
    }

    fn recover_ms(&self) -> u64 {
        if self.shown == Health::Unhealthy { RECOVER_UNHEALTHY_MS } else { RECOVER_MS }
    }

    /// A sample was taken. Whether it was asked for: then a report is due.
    pub fn on_sample(&mut self, sample: Sample) -> bool {
        self.cpu_percent += (sample.cpu_percent - self.cpu_percent) * CPU_WEIGHT;
        self.sample = Some(sample);
        std::mem::take(&mut self.is_sampling)
    }

    /// Judges anew.
    pub fn judge(&mut self, now: Mono, circumstances: Circumstances) {
        let found = self.raw(circumstances);
        if found >= self.shown {
            self.better_since = None;
            self.enter(found);
            return;
        }
        let since = *self.better_since.get_or_insert(now);
        if !self.has_settled || now.since(since) >= self.recover_ms() {
            self.better_since = None;
            self.enter(found);
        }
    }

    fn raw(&self, circumstances: Circumstances) -> Health {
        let is_over = |value: f64, (enter, leave): (f64, f64), level: Health| {
            value >= if self.shown >= level { leave } else { enter }
        };
        let sample = self.sample.as_ref();
        let disk = sample.map_or(0.0, |sample| sample.disk_percent);
        let memory = sample.map_or(0.0, |sample| sample.memory_percent);
        if circumstances.ledger_failing
            || is_over(disk, DISK_UNHEALTHY, Health::Unhealthy)
            || is_over(memory, MEMORY_UNHEALTHY, Health::Unhealthy)
        {
            return Health::Unhealthy;
        }
        let is_degraded = circumstances.peer_missing
            || circumstances.needs_attention
            || is_over(disk, DISK_DEGRADED, Health::Degraded)
            || is_over(memory, MEMORY_DEGRADED, Health::Degraded)
            || is_over(self.cpu_percent, CPU_DEGRADED, Health::Degraded);
        if is_degraded { Health::Degraded } else { Health::Healthy }
    }

    fn enter(&mut self, health: Health) {
        if self.shown != health {
            log::info!("health from={} to={}", self.shown.as_str(), health.as_str());
        }
        self.has_settled |= health == Health::Healthy && self.sample.is_some();
        self.shown = health;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Circumstances =
        Circumstances { ledger_failing: false, peer_missing: false, needs_attention: false };

    fn keeper() -> HealthKeeper {
        let mut keeper = HealthKeeper::new(60_000, Mono(0));
        keeper.on_sample(Sample::default());
        keeper.judge(Mono(0), FINE);
        keeper
    }

    #[test]
    fn worse_shows_at_once_and_better_only_after_a_while() {
        let bad = Circumstances { ledger_failing: true, ..FINE };
        let poor = Circumstances { peer_missing: true, ..FINE };
        for (worse, shown, wait) in
            [(bad, Health::Unhealthy, RECOVER_UNHEALTHY_MS), (poor, Health::Degraded, RECOVER_MS)]
        {
            let mut keeper = keeper();
            keeper.judge(Mono(1), worse);
            assert_eq!(keeper.health(), shown);
            keeper.judge(Mono(2), FINE);
            keeper.is_sampling = true;
            assert_eq!(keeper.deadline(), Some(Mono(2 + wait)), "it looks again by itself");
            keeper.judge(Mono(1 + wait), FINE);
            assert_eq!(keeper.health(), shown);
            keeper.judge(Mono(2 + wait), FINE);
            assert_eq!(keeper.health(), Health::Healthy);
        }
    }

    #[test]
    fn a_value_that_trembles_at_its_limit_does_not_flap() {
        let mut keeper = keeper();
        let mut changes = 0;
        for minute in 0..60 {
            let disk_percent = if minute % 2 == 0 { 90.5 } else { 89.5 };
            keeper.on_sample(Sample { disk_percent, ..Sample::default() });
            let before = keeper.health();
            keeper.judge(Mono(minute * 60_000), FINE);
            changes += u32::from(keeper.health() != before);
        }
        assert_eq!(changes, 1, "degraded once, and so it stays");
    }

    #[test]
    fn samples_come_at_the_interval_and_one_at_a_time() {
        let mut keeper = HealthKeeper::new(60_000, Mono(0));
        let mut rng = Rng::new(1);
        assert!(!keeper.poll_sample(Mono(999), &mut rng));
        assert!(keeper.poll_sample(Mono(1_000), &mut rng));
        assert_eq!(keeper.deadline(), None, "one is being taken");
        assert!(keeper.on_sample(Sample::default()));
        let next = keeper.deadline().expect("the next").0;
        assert!((55_000..=67_000).contains(&next), "{next}");
    }
}
