//! `run`: the agent itself.

use std::ffi::OsString;
use std::process::ExitCode;

use super::out::{Exit, Failure};
use super::settings::{self, Source};
use super::version;
use crate::shell::run::{Start, StartFault};

/// Runs the agent until it is stopped.
pub fn run(source: Source) -> Result<ExitCode, Failure> {
    let loaded = settings::load(&source)?;
    let start = Start {
        config: loaded.config,
        config_file: loaded.file,
        reload: Box::new(move || match source.load() {
            Ok(loaded) => Ok(loaded.config),
            Err(fault) => Err(fault.to_string()),
        }),
        version: version::VERSION,
        program: program(),
    };
    crate::shell::run::run(start).map_err(|fault| Failure::new(exit_of(&fault), fault))?;
    Ok(ExitCode::SUCCESS)
}

/// This same program, to be started again for looking into a ledger.
fn program() -> Vec<OsString> {
    std::env::current_exe().map(|path| vec![path.into_os_string()]).unwrap_or_default()
}

fn exit_of(fault: &StartFault) -> Exit {
    match fault {
        StartFault::State(..) => Exit::CantCreate,
        StartFault::Ledger(_) | StartFault::System(..) => Exit::Io,
        StartFault::Bind(..) => Exit::Unavailable,
    }
}
