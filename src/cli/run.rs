//! `run`: the agent itself.

use std::process::ExitCode;

use super::args::Typed;
use super::out::{Exit, Failure};

/// Runs the agent until it is stopped.
pub fn run(_typed: &Typed) -> Result<ExitCode, Failure> {
    Err(Failure::new(Exit::Other, "\"run\" is not in this build"))
}
