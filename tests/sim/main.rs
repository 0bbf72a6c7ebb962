//! The simulator: a seed is a world.
//!
//! The real agent, ledger and codecs live through trouble with the network, the peers, the disk, the clock and the
//! power, all in virtual time; then everything heals and must come right. The same seed is the same world, to the
//! byte of its trace.
//!
//! - `SIM_SEEDS=n` how many seeds (200 if not given), `SIM_FIRST=n` the first of them (0).
//! - `SIM_SEED=n cargo test --test sim one_seed -- --nocapture` lives through one and prints what happens.
//! - `SIM_SCRIPT=file cargo test --test sim one_script -- --nocapture` does so with a world that a fuzzer wrote.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod brain;
mod brain_checks;
mod bus;
mod calls;
mod chaos;
mod checks;
mod clients;
mod clock;
mod demand;
mod disk;
mod network;
mod node;
mod peers;
mod plan;
mod power;
mod readers;
mod regressions;
mod rng;
mod run;
mod script;
mod store;
mod trace;
mod world;

use plan::Plan;
use run::{Verdict, live, number_from};

/// Worlds that the plain test run lives through.
const SEEDS: u64 = 200;

#[test]
fn every_seed_comes_right() {
    if number_from("SIM_SEED").is_some() {
        return;
    }
    run::live_all(number_from("SIM_FIRST").unwrap_or(0), number_from("SIM_SEEDS").unwrap_or(SEEDS));
}

#[test]
fn one_seed() {
    if let Some(seed) = number_from("SIM_SEED") {
        live(Plan::of(seed).bounded(), true).expect_right();
    }
}

#[test]
fn one_script() {
    if let Some(file) = std::env::var_os("SIM_SCRIPT") {
        trace::begin(true);
        script::live(&std::fs::read(file).unwrap());
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [1, 7, 23] {
        let digest = |verdict: Verdict| verdict.digest;
        let first = digest(live(Plan::of(seed).bounded(), false));
        assert_eq!(first, digest(live(Plan::of(seed).bounded(), false)), "seed {seed} went two ways");
        assert!(first.1 > 100, "seed {seed} is an empty world");
    }
}

#[test]
fn a_lying_sync_is_found() {
    let found = (0..60).find(|seed| {
        let plan = Plan { sync_lies: true, end_gap_ms: Some(60_000), ..Plan::of(*seed).bounded() };
        live(plan, false).fault.is_some_and(|fault| fault.contains("lost") || fault.contains("does not open"))
    });
    assert!(found.is_some(), "no seed noticed that nothing was ever synced");
}

/// Things that happen, most kinds of them; the seed before them is in its first byte.
const SCRIPT: &[u8] = &[
    7, 0, 0, 0, 10, 0, 3, 70, 40, 5, 140, 0, 11, 100, 3, 0, 130, 0, 14, 20, 3, 3, 130, 9, 14, 130, 0, 9, 60,
    40, 17, 150, 60, 4, 10, 1, 18, 5, 3, 38, 5, 3, 59, 5, 3, 16, 80, 1, 7, 150, 0, 9, 100, 216, 10, 200, 0,
];

#[test]
fn a_written_world_comes_right() {
    for seed in 0..40 {
        let mut bytes = SCRIPT.to_vec();
        bytes[0] = seed;
        trace::begin(false);
        script::live(&bytes);
    }
}
