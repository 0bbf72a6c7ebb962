//! `ledger verify | stats | compact | salvage`, and the events of a ledger that no agent has open.

use std::path::Path;

use super::events::Plan;
use super::out::{Exit, Failure, Out};

fn not_yet() -> Failure {
    Failure::new(Exit::Other, "ledger files are not in this build")
}

pub fn events(_path: &Path, _plan: &Plan, _out: &mut Out) -> Result<(), Failure> {
    Err(not_yet())
}
pub fn salvage(_from: &str, _to: &str, _out: &mut Out) -> Result<(), Failure> {
    Err(not_yet())
}
pub fn verify(_path: &Path, _out: &mut Out) -> Result<(), Failure> {
    Err(not_yet())
}
pub fn stats(_path: &Path, _out: &mut Out) -> Result<(), Failure> {
    Err(not_yet())
}
pub fn compact(_path: &Path, _out: &mut Out) -> Result<(), Failure> {
    Err(not_yet())
}
