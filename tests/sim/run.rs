//! Lives through seeds, several at once, and reports what went wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;
use crate::trace;
use crate::world::{Cuts, World};

/// Seeds run at once.
const THREADS: usize = 2;

thread_local! {
    static FAULT: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_LIVING: RefCell<bool> = const { RefCell::new(false) };
}

/// What came of a world.
#[derive(Debug)]
pub struct Verdict {
    /// Which.
    pub seed: u64,
    /// Hash and number of its trace lines.
    pub digest: (u64, u64),
    /// The rule that was broken, if one was.
    pub fault: Option<String>,
    /// The last lines of the trace.
    pub tail: String,
    /// How often it ended without a goodbye; nothing if a rule was broken.
    pub cuts: Cuts,
}

impl Verdict {
    /// Panics with seed, rule and trace if a rule was broken.
    pub fn expect_right(&self) {
        assert!(self.fault.is_none(), "{}", self.report());
    }

    fn report(&self) -> String {
        let fault = self.fault.as_deref().unwrap_or("all is right");
        format!(
            "{}\nseed {} breaks a rule: {fault}\nlive through it with SIM_SEED={} cargo test --test sim one_seed -- --nocapture",
            self.tail, self.seed, self.seed
        )
    }
}

/// Lives through one world.
pub fn live(plan: Plan, is_printed: bool) -> Verdict {
    install_hook();
    trace::begin(is_printed);
    IS_LIVING.set(true);
    let seed = plan.seed;
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan);
        world.run();
        world.cuts
    }));
    IS_LIVING.set(false);
    let fault = FAULT.take();
    let fault = if result.is_err() { fault.or_else(|| Some("a panic".to_owned())) } else { None };
    let cuts = result.unwrap_or_default();
    Verdict { seed, digest: trace::digest(), fault, tail: trace::tail(), cuts }
}

/// Lives through `count` worlds from `first` on and panics with the first broken rule. With `SIM_SURVEY=1` it does not
/// stop at the first, and lists every rule that was broken with how often and by which seed.
pub fn live_all(first: u64, count: u64) {
    let next = AtomicU64::new(first);
    let end = first + count;
    let is_survey = number_from("SIM_SURVEY").is_some();
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return failed;
            }
            let verdict = live(Plan::of(seed).bounded(), false);
            if verdict.fault.is_some() {
                failed.push(verdict);
                if !is_survey {
                    next.store(end, Ordering::Relaxed);
                }
            }
        }
    };
    let mut verdicts: Vec<Verdict> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("worlds catch their panics")).collect()
    });
    verdicts.sort_by_key(|verdict| verdict.seed);
    let survey = if is_survey { survey(&verdicts) } else { String::new() };
    assert!(verdicts.is_empty(), "{}{survey}", verdicts[0].report());
}

/// Each broken rule once, by the place where it is written.
fn survey(verdicts: &[Verdict]) -> String {
    let mut rules: BTreeMap<String, (usize, u64, &str)> = BTreeMap::new();
    for verdict in verdicts {
        let fault = verdict.fault.as_deref().unwrap_or_default();
        let place = fault.rsplit_once('(').map_or(fault, |(_, place)| place).to_owned();
        rules.entry(place).or_insert((0, verdict.seed, fault)).0 += 1;
    }
    let lines = rules
        .values()
        .map(|(count, seed, fault)| format!("{count:6} times, first by seed {seed}: {fault}\n"));
    format!("\n\n{} seeds break a rule:\n{}", verdicts.len(), lines.collect::<String>())
}

/// A number from the environment.
pub fn number_from(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

/// Keeps the words of a panic in a world instead of printing them.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_LIVING.with_borrow(|is| *is) {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                let payload = info.payload();
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let words = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                FAULT.set(Some(format!("{words} ({place})")));
            } else {
                others(info);
            }
        }));
    });
}
