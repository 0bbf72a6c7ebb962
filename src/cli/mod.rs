//! What a person types. `commands` is the table; `args` reads a command line by it, `help` prints it; every other file
//! is one command. Nothing here decides anything about the agent: a command asks the running one, or opens a file.

mod approvals;
pub mod args;
pub mod ask;
mod chat;
pub mod commands;
pub mod events;
mod help;
mod ledger;
pub mod out;
mod run;
mod service;
pub mod settings;
mod status;
mod token;
pub mod version;
mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Asked, Typed};
use out::{Exit, Failure, Out};
use settings::Source;

/// The whole program: the words after its name in, an exit code out.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let own = std::env::current_exe().map(|path| vec![path.into_os_string()]).unwrap_or_default();
    main_as(own, words)
}

/// As `main`, for a program that is called by more than its name. The agent starts `program` again, with words of its
/// own behind it, to look into a ledger before it opens it.
pub fn main_as(program: Vec<OsString>, words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    if let Some(code) = crate::shell::tools::launch::main(&program, &words) {
        return code;
    }
    let mut out = Out::stdout();
    match ask(program, words.into_iter(), &mut out).and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

fn ask(
    program: Vec<OsString>,
    words: impl Iterator<Item = OsString>,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let asked = args::parse(words).map_err(|fault| {
        Failure::new(Exit::Usage, format_args!("{fault}\nTry `chainbot help` for what can be typed."))
    })?;
    match asked {
        Asked::Help(None) => out.text(&help::overview())?,
        Asked::Help(Some(command)) => out.text(&help::of_command(command))?,
        Asked::GroupHelp(word) => out.text(&help::of_group(word))?,
        Asked::Run(typed) if typed.command.name == "run" => run::run(Source::new(typed.config), program)?,
        Asked::Run(typed) => answer(&typed, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Every command that ends by itself.
fn answer(typed: &Typed, out: &mut Out) -> Result<(), Failure> {
    let source = Source::new(typed.config.clone());
    let config = || settings::load_to_ask(&source).map(|loaded| loaded.config);
    match typed.command.name {
        "version" => version::print(out),
        "check" => settings::check(&source, out),
        "config show" => settings::show(&source, typed.has("json"), out),
        "config docs" => out.text(&crate::config::docs_text()),
        "status" => status::status(&settings::running_agent(&config()?), typed.has("json"), out),
        "events" => {
            let plan = events::Plan::from(typed)?;
            let config = config()?;
            let from_file = |plan: &events::Plan, out: &mut Out| {
                ledger::take_panics_for_damage();
                ledger::events(&config.ledger.path, plan, out)
            };
            events::events(&plan, &settings::running_agent(&config), from_file, out)
        }
        "chat" => chat::chat(typed, &settings::running_agent(&config()?), out),
        "approvals" => approvals::approvals(typed, &settings::running_agent(&config()?), out),
        "token create" => token::create(typed, &config()?, out),
        "token list" => token::list(typed.has("json"), &config()?, out),
        "token revoke" => token::revoke(typed, &config()?, out),
        "token rotate" => token::rotate(&config()?, out),
        "webhook sign" => webhook::sign(typed, &secrets(typed, config)?, out),
        "webhook verify" => webhook::verify(typed, &secrets(typed, config)?, out),
        "webhook send" => {
            let config = config()?;
            webhook::send(typed, &config, out)
        }
        "service install" => service::install(typed.has("dry-run"), out),
        "service uninstall" => service::uninstall(typed.has("dry-run"), out),
        "service status" => service::status(out),
        "ledger salvage" => ledger::salvage(&typed.operands[0], &typed.operands[1], out),
        name => {
            let path = match typed.operands.first() {
                Some(path) => path.into(),
                None => config()?.ledger.path,
            };
            ledger::take_panics_for_damage();
            match name {
                "ledger verify" => ledger::verify(&path, typed.has("quiet"), out),
                "ledger stats" => ledger::stats(&path, out),
                "ledger compact" => ledger::compact(&path, out),
                _ => Err(Failure::new(
                    Exit::Other,
                    format_args!("\"{name}\" is in the table but does nothing"),
                )),
            }
        }
    }
}

/// The secrets of the config, which is not even read if the secret was typed.
fn secrets(
    typed: &Typed,
    config: impl FnOnce() -> Result<crate::config::Config, Failure>,
) -> Result<Vec<String>, Failure> {
    if typed.has("secret") { Ok(Vec::new()) } else { Ok(settings::webhook_secrets(&config()?)) }
}
