//! `run`: the agent itself.

use std::ffi::OsString;

use super::out::{Exit, Failure, printable};
use super::settings::{self, Source};
use super::version::VERSION;
use crate::ledger::OpenError;
use crate::shell::run::{self, Start, StartFault};

/// Runs the agent until it is stopped.
pub fn run(source: Source, program: Vec<OsString>) -> Result<(), Failure> {
    let loaded = settings::load(&source)?;
    let reload = move || {
        source.load().map(|loaded| loaded.config).map_err(|fault| printable_lines(&fault.to_string()))
    };
    let start = Start {
        config: loaded.config,
        config_file: loaded.file,
        reload: Box::new(reload),
        version: VERSION,
        program,
    };
    take_panics_for_a_failed_start();
    run::run(start).map_err(|fault| Failure::new(exit_of(&fault), fault))
}

/// Libraries below the agent panic where the kernel gives them nothing to begin with. Until it serves, that ends the start with a line
/// and a code, as any other fault of a start does.
fn take_panics_for_a_failed_start() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if run::has_started() {
            return usual(panic);
        }
        log::error!("start_failed why={:?}", printable_lines(&panic.to_string()));
        std::process::exit(Exit::Io as i32);
    }));
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn exit_of(fault: &StartFault) -> Exit {
    match fault {
        StartFault::State(..) => Exit::CantCreate,
        StartFault::Ledger(OpenError::Io(..)) => Exit::Io,
        StartFault::Ledger(OpenError::Damaged(_) | OpenError::Format(_)) => Exit::Data,
        StartFault::Ledger(OpenError::InUse(_)) | StartFault::Bind(..) => Exit::Unavailable,
        StartFault::Tls(_) | StartFault::Open(_) => Exit::Config,
        StartFault::System(..) => Exit::Other,
    }
}
