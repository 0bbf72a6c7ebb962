//! `run`: the agent itself.

use std::process::ExitCode;

use super::out::{Exit, Failure};
use super::settings::{self, Source};

/// Runs the agent until it is stopped.
pub fn run(source: Source) -> Result<ExitCode, Failure> {
    let _ = settings::load(&source)?;
    Err(Failure::new(Exit::Other, "\"run\" is not in this build"))
}
