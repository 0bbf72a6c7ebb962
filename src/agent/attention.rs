//! What someone should look at: one line per cause, told once when it appears and at most once an hour.

use super::time::{HOUR_MS, Mono};

/// What can need attention, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The ledger cannot be written.
    Ledger,
    /// AIWM refuses us.
    Aiwm,
    /// ALEX OS does not register us.
    Registration,
    /// A webhook said 410.
    Webhook,
}

/// The causes that hold now, and when each was last told.
#[derive(Debug, Default)]
pub struct Attention {
    causes: Vec<(Cause, String)>,
    told: Vec<(Cause, Mono)>,
}

impl Attention {
    /// Replaces the causes that hold. Answers those that must be told now.
    pub fn update(&mut self, now: Mono, mut causes: Vec<(Cause, String)>) -> Vec<(Cause, String)> {
        causes.sort();
        let is_new = |cause: Cause, old: &[(Cause, String)]| !old.iter().any(|(held, _)| *held == cause);
        let mut fresh = Vec::new();
        for (cause, why) in &causes {
            if is_new(*cause, &self.causes) && self.may_tell(now, *cause) {
                self.told.push((*cause, now));
                fresh.push((*cause, why.clone()));
            }
        }
        self.causes = causes;
        fresh
    }

    fn may_tell(&mut self, now: Mono, cause: Cause) -> bool {
        self.told.retain(|(_, at)| now.since(*at) < HOUR_MS);
        !self.told.iter().any(|(told, _)| *told == cause)
    }

    /// The gravest cause, for people.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.causes.first().map(|(_, why)| why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(why: &str) -> Vec<(Cause, String)> {
        vec![(Cause::Registration, why.to_owned())]
    }

    #[test]
    fn a_cause_is_told_when_it_appears_and_not_while_it_lasts() {
        let mut attention = Attention::default();
        assert_eq!(attention.update(Mono(0), cause("10 times")).len(), 1);
        assert_eq!(attention.update(Mono(1), cause("11 times")), []);
        assert_eq!(attention.reason(), Some("11 times"));
    }

    #[test]
    fn a_cause_that_comes_and_goes_is_told_once_an_hour() {
        let mut attention = Attention::default();
        let mut told = 0;
        for minute in 0..120u64 {
            let causes = if minute % 2 == 0 { cause("x") } else { vec![] };
            told += attention.update(Mono(minute * 60_000), causes).len();
        }
        assert_eq!(told, 2);
    }
}
