//! What each caller may ask: questions and tokens within an hour and within a day.
//!
//! Time is counted in parts: an hour in twelve of five minutes, a day in 24 of an hour. The part under way is counted beside
//! them, so that no window of that length ever holds more than the limit. Kept over restarts as text; time that passed
//! meanwhile counts only if the calendar may be believed.

use super::setup::BudgetSetup;
use super::speech::{Caller, Refusal};
use super::status::UsageStatus;
use crate::agent::time::{HOUR_MS, MINUTE_MS, Mono, Wall};

const HOUR_PARTS: usize = 12;
const DAY_PARTS: usize = 24;
const HOUR_PART_MS: u64 = 5 * MINUTE_MS;
const DAY_PART_MS: u64 = HOUR_MS;

/// Counts in parts of time, the part under way first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window<const N: usize> {
    part_ms: u64,
    /// Which part is under way, counted from the start of the process.
    part: u64,
    counts: [u32; N],
}

impl<const N: usize> Window<N> {
    fn new(part_ms: u64) -> Self {
        Self { part_ms, part: 0, counts: [0; N] }
    }

    fn turn(&mut self, now: Mono) {
        let part = now.0 / self.part_ms;
        let passed = usize::try_from(part.saturating_sub(self.part)).unwrap_or(usize::MAX).min(N);
        if passed > 0 {
            self.counts.rotate_right(passed);
            self.counts[..passed].fill(0);
            self.part = part;
        }
    }

    fn sum(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn add(&mut self, amount: u32) {
        self.counts[0] = self.counts[0].saturating_add(amount);
    }

    /// Takes back what was added, from the newest parts first.
    fn take(&mut self, mut amount: u32) {
        for count in &mut self.counts {
            let taken = amount.min(*count);
            *count -= taken;
            amount -= taken;
        }
    }

    /// When the sum falls below `limit` by time alone; `None` if it is below.
    fn frees_at(&self, limit: u32) -> Option<Mono> {
        let mut left = self.sum();
        if limit == 0 || left < u64::from(limit) {
            return None;
        }
        let mut age = N;
        while age > 0 && left >= u64::from(limit) {
            age -= 1;
            left -= u64::from(self.counts[age]);
        }
        Some(Mono((self.part + (N - age) as u64) * self.part_ms))
    }
}

/// What one caller used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Usage {
    hour: [Window<{ HOUR_PARTS + 1 }>; 2],
    day: [Window<{ DAY_PARTS + 1 }>; 2],
}

/// Places in the pairs of `Usage`.
const REQUESTS: usize = 0;
const TOKENS: usize = 1;

impl Usage {
    fn new() -> Self {
        let (hour, day) = (Window::new(HOUR_PART_MS), Window::new(DAY_PART_MS));
        Self { hour: [hour.clone(), hour], day: [day.clone(), day] }
    }

    fn turn(&mut self, now: Mono) {
        self.hour.iter_mut().for_each(|window| window.turn(now));
        self.day.iter_mut().for_each(|window| window.turn(now));
    }
}

/// The budgets. See the module.
#[derive(Debug)]
pub struct Budgets {
    usage: [Usage; Caller::ALL.len()],
    is_dirty: bool,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { usage: std::array::from_fn(|_| Usage::new()), is_dirty: false }
    }
}

impl Budgets {
    /// When this caller may ask again, and what it used up; `None`: at once.
    pub fn spent(&mut self, now: Mono, caller: Caller, setup: &BudgetSetup) -> Option<(Mono, &'static str)> {
        let usage = self.of(now, caller);
        [
            (usage.hour[REQUESTS].frees_at(setup.requests_per_hour), "requests_per_hour"),
            (usage.day[REQUESTS].frees_at(setup.requests_per_day), "requests_per_day"),
            (usage.hour[TOKENS].frees_at(setup.tokens_per_hour), "tokens_per_hour"),
            (usage.day[TOKENS].frees_at(setup.tokens_per_day), "tokens_per_day"),
        ]
        .into_iter()
        .filter_map(|(at, which)| Some((at?, which)))
        .max_by_key(|(at, _)| *at)
    }

    /// The same as a refusal.
    pub fn refusal(&mut self, now: Mono, caller: Caller, setup: &BudgetSetup) -> Option<Refusal> {
        let (at, which) = self.spent(now, caller, setup)?;
        Some(Refusal::Budget { which, retry_after_s: super::providers::seconds(at.since(now)) })
    }

    /// A question of about so many tokens goes out.
    pub fn on_asked(&mut self, now: Mono, caller: Caller, tokens: u32) {
        self.is_dirty = true;
        let usage = self.of(now, caller);
        usage.hour[REQUESTS].add(1);
        usage.day[REQUESTS].add(1);
        usage.hour[TOKENS].add(tokens);
        usage.day[TOKENS].add(tokens);
    }

    /// It was in truth so many tokens.
    pub fn on_answered(&mut self, now: Mono, caller: Caller, estimated: u32, tokens: u32) {
        self.is_dirty = true;
        let usage = self.of(now, caller);
        usage.hour[TOKENS].add(tokens.saturating_sub(estimated));
        usage.day[TOKENS].add(tokens.saturating_sub(estimated));
        usage.hour[TOKENS].take(estimated.saturating_sub(tokens));
        usage.day[TOKENS].take(estimated.saturating_sub(tokens));
    }

    /// Nobody could be asked: it does not count.
    pub fn on_not_asked(&mut self, now: Mono, caller: Caller, estimated: u32) {
        let usage = self.of(now, caller);
        usage.hour[REQUESTS].take(1);
        usage.day[REQUESTS].take(1);
        self.on_answered(now, caller, estimated, 0);
    }

    fn of(&mut self, now: Mono, caller: Caller) -> &mut Usage {
        let usage = &mut self.usage[caller as usize];
        usage.turn(now);
        usage
    }

    /// `FactKey::BrainUsage`'s new text, if it changed since it was last taken.
    pub fn take_fact(&mut self, now: Mono, at: Wall) -> Option<String> {
        use std::fmt::Write;
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        let mut text = at.0.to_string();
        for (caller, usage) in Caller::ALL.iter().zip(&mut self.usage) {
            usage.turn(now);
            if usage.day[REQUESTS].sum() + usage.day[TOKENS].sum() == 0 {
                continue;
            }
            text.push(' ');
            text.push_str(caller.as_str());
            let hours = usage.hour.iter().flat_map(|window| window.counts.iter());
            for count in hours.chain(usage.day.iter().flat_map(|window| window.counts.iter())) {
                let _ = write!(text, ",{count}");
            }
        }
        Some(text)
    }

    /// What was kept. `at`: the time, if it may be believed; else no time passed since.
    pub fn recall(&mut self, now: Mono, text: &str, at: Option<Wall>) {
        let mut words = text.split(' ');
        let Some(written) = words.next().and_then(|at| at.parse::<i64>().ok()) else { return };
        let passed_ms = at.map_or(0, |at| u64::try_from(at.0.saturating_sub(written)).unwrap_or(0));
        for word in words {
            let mut fields = word.split(',');
            let name = fields.next().unwrap_or_default();
            let Some(caller) = Caller::ALL.into_iter().find(|caller| caller.as_str() == name) else {
                continue;
            };
            let usage = &mut self.usage[caller as usize];
            let mut fill = |counts: &mut [u32]| {
                counts.fill_with(|| fields.next().and_then(|count| count.parse().ok()).unwrap_or(0));
            };
            usage.hour.iter_mut().for_each(|window| fill(&mut window.counts));
            usage.day.iter_mut().for_each(|window| fill(&mut window.counts));
            age(&mut usage.hour, now, passed_ms);
            age(&mut usage.day, now, passed_ms);
        }
    }

    /// For `/status`: of those that used anything within a day.
    #[must_use]
    pub fn status(&self, now: Mono) -> Vec<UsageStatus> {
        let mut all = Vec::new();
        for (caller, usage) in Caller::ALL.into_iter().zip(&self.usage) {
            let mut usage = usage.clone();
            usage.turn(now);
            let requests = (usage.hour[REQUESTS].sum(), usage.day[REQUESTS].sum());
            let tokens = (usage.hour[TOKENS].sum(), usage.day[TOKENS].sum());
            if requests.1 + tokens.1 > 0 {
                all.push(UsageStatus { caller, requests, tokens });
            }
        }
        all
    }
}

/// What was read counts as of `passed_ms` ago.
fn age<const N: usize>(windows: &mut [Window<N>], now: Mono, passed_ms: u64) {
    for window in windows {
        let passed = usize::try_from(passed_ms / window.part_ms).unwrap_or(usize::MAX).min(N);
        window.counts.rotate_right(passed);
        window.counts[..passed].fill(0);
        window.part = now.0 / window.part_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: BudgetSetup =
        BudgetSetup { requests_per_hour: 3, requests_per_day: 0, tokens_per_hour: 0, tokens_per_day: 1_000 };

    fn refused(budgets: &mut Budgets, now: u64) -> Option<(&'static str, u32)> {
        match budgets.refusal(Mono(now), Caller::Token, &SETUP) {
            None => None,
            Some(Refusal::Budget { which, retry_after_s }) => Some((which, retry_after_s)),
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_spent_budget_says_when_it_is_free_again_and_then_it_is() {
        let mut budgets = Budgets::default();
        let first = 7 * MINUTE_MS;
        for n in 0..3 {
            assert_eq!(refused(&mut budgets, first + n), None);
            budgets.on_asked(Mono(first + n), Caller::Token, 10);
        }
        let (which, wait_s) = refused(&mut budgets, first + 1_500).expect("spent");
        assert_eq!(which, "requests_per_hour");
        let free = first + 1_500 + u64::from(wait_s) * 1_000;
        assert!(free - first >= HOUR_MS, "no hour ever holds more");
        assert!(refused(&mut budgets, free - 1_000).is_some());
        assert_eq!(refused(&mut budgets, free), None);
        assert_eq!(budgets.spent(Mono(first), Caller::Loopback, &SETUP), None, "each has its own");
    }

    #[test]
    fn tokens_count_as_estimated_until_they_are_known() {
        let mut budgets = Budgets::default();
        budgets.on_asked(Mono(0), Caller::Token, 1_000);
        assert_eq!(refused(&mut budgets, 1).expect("spent").0, "tokens_per_day");
        budgets.on_answered(Mono(2), Caller::Token, 1_000, 400);
        assert_eq!(refused(&mut budgets, 3), None);
        budgets.on_asked(Mono(4), Caller::Token, 0);
        budgets.on_answered(Mono(5), Caller::Token, 0, 600);
        assert_eq!(refused(&mut budgets, 6).expect("spent").0, "tokens_per_day");
        budgets.on_asked(Mono(7), Caller::Agent, 5);
        budgets.on_not_asked(Mono(8), Caller::Agent, 5);
        assert_eq!(budgets.status(Mono(9)).len(), 1, "what could not be asked does not count");
    }

    #[test]
    fn what_was_used_is_kept_over_a_restart() {
        let mut before = Budgets::default();
        for _ in 0..3 {
            before.on_asked(Mono(0), Caller::Token, 5);
        }
        let text = before.take_fact(Mono(10), Wall(1_000_000)).expect("it changed");
        assert_eq!(before.take_fact(Mono(11), Wall(1_000_001)), None, "written once");
        let recalled = |at| {
            let mut after = Budgets::default();
            after.recall(Mono(50), &text, at);
            (refused(&mut after, 60), after.status(Mono(60)).first().map(|usage| usage.tokens))
        };
        assert_eq!(recalled(None).0.expect("still spent").0, "requests_per_hour");
        assert_eq!(recalled(None).1, Some((15, 15)));
        let two_hours = Wall(1_000_000 + 2 * 3_600_000);
        assert_eq!(recalled(Some(two_hours)), (None, Some((0, 15))));
        for nonsense in ["", "x", "5 token,x,,1", "7 nobody,1", "9223372036854775807 token,1"] {
            Budgets::default().recall(Mono(0), nonsense, Some(Wall(i64::MAX)));
        }
    }
}
