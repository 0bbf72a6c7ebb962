//! What a person types. `commands` is the table; `args` reads a command line by it, `help` prints it; every other file
//! is one command. Nothing here decides anything about the agent: a command asks the running one, or opens a file.

pub mod args;
pub mod commands;
mod help;
mod nearest;
pub mod out;
mod run;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Asked, Typed};
use out::{Exit, Failure, Out};

/// The whole program: the words after its name in, an exit code out.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    match ask(words) {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

fn ask(words: impl Iterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let mut out = Out::stdout();
    let asked = args::parse(words).map_err(|fault| {
        Failure::new(Exit::Usage, format_args!("{fault}\nTry `chainbot help` for what can be typed."))
    })?;
    match asked {
        Asked::Help(None) => out.text(&help::overview())?,
        Asked::Help(Some(command)) => out.text(&help::of_command(command))?,
        Asked::GroupHelp(word) => out.text(&help::of_group(word))?,
        Asked::Run(typed) => return dispatch(&typed, &mut out),
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn dispatch(typed: &Typed, out: &mut Out) -> Result<ExitCode, Failure> {
    match typed.command.name {
        "run" => return run::run(typed),
        "version" => version::print(out)?,
        name => return Err(Failure::new(Exit::Other, format_args!("\"{name}\" is not in this build"))),
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
