//! Boards whose power goes and whose process is killed again and again, mostly in a commit, and while the ledger is opened after
//! that: nothing that was acknowledged is lost, and no id has a second effect. `tests/reliability/power` runs it for longer.
//!
//! `POWER_CUTS=n` how many cuts and kills (1,000 if not given), `POWER_FIRST=n` the first seed (0).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::brain::BrainPlan;
use crate::plan::Plan;
use crate::run::{Verdict, live, number_from};
use crate::world::Cuts;

/// Cuts and kills of the plain test run.
const CUTS: u64 = 1_000;
/// Worlds of the control.
const LIES: u64 = 20;

/// A world of half a minute in which somebody pulls the plug every second, and puts it in again.
pub fn unplugged(seed: u64) -> Plan {
    let plan = Plan::of(seed);
    Plan {
        chaos_ms: 40_000,
        end_gap_ms: Some(800),
        post_gap_ms: 300,
        large_per_mille: plan.large_per_mille.min(50),
        has_disk_trouble: plan.has_disk_trouble && seed.is_multiple_of(4),
        brain: (0..)
            .map(|n| BrainPlan::of(seed + n))
            .find(Option::is_some)
            .flatten()
            .filter(|_| !seed.is_multiple_of(2)),
        is_unplugged: true,
        ..plan
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "facts for docs/reliability.md")]
fn nothing_acknowledged_is_lost_however_often_the_power_goes() {
    let wanted = number_from("POWER_CUTS").unwrap_or(CUTS);
    let next = AtomicU64::new(number_from("POWER_FIRST").unwrap_or(0));
    let (sum, broken) = (Mutex::new(Cuts::default()), Mutex::new(Vec::<Verdict>::new()));
    let work = || {
        while total(&sum.lock().unwrap()) < wanted && broken.lock().unwrap().is_empty() {
            let verdict = live(unplugged(next.fetch_add(1, Ordering::Relaxed)), false);
            sum.lock().unwrap().add(&verdict.cuts);
            if verdict.fault.is_some() {
                broken.lock().unwrap().push(verdict);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    broken.lock().unwrap().iter().for_each(Verdict::expect_right);
    let Cuts { power, kills, in_commits, in_recoveries } = *sum.lock().unwrap();
    println!("FACT simulated power cuts: {power}, of them {in_recoveries} while a ledger was opened");
    println!("FACT simulated kills: {kills}");
    println!("FACT of these in the middle of a commit: {in_commits}");
    println!("FACT acknowledged and lost: 0 (0)");
    println!("FACT ids with a second effect: 0 (0)");
    assert!(in_commits > wanted / 4 && in_recoveries > wanted / 20, "the cuts miss what they are for");
}

fn total(cuts: &Cuts) -> u64 {
    cuts.power + cuts.kills
}

impl Cuts {
    fn add(&mut self, other: &Self) {
        self.power += other.power;
        self.kills += other.kills;
        self.in_commits += other.in_commits;
        self.in_recoveries += other.in_recoveries;
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "facts for docs/reliability.md")]
fn a_disk_that_lies_about_its_flushes_is_found_out_by_power_cuts() {
    let lying = |seed: &u64| {
        let plan = Plan { sync_lies: true, has_disk_trouble: false, ..unplugged(*seed) };
        live(plan, false).fault.is_some()
    };
    let found = (0..LIES).filter(lying).count() as u64;
    println!(
        "FACT worlds whose disk lies about its flushes, and that are found out: {found} of {LIES} (all)"
    );
    assert_eq!(found, LIES, "the control must fail");
}
