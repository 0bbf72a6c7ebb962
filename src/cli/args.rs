//! Words typed -> a command of the table with its options and operands, or what is wrong with them.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use super::commands::{self, COMMANDS, Command, GLOBAL, Opt};
use crate::config::nearest;

/// A command line that makes sense.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// What to do.
    pub command: &'static Command,
    /// `--config`, if given.
    pub config: Option<PathBuf>,
    /// Options of the command as typed, in order: long name, value (empty if it takes none).
    pub options: Vec<(&'static str, String)>,
    /// What followed.
    pub operands: Vec<String>,
}

impl Typed {
    /// Whether the option was given.
    #[must_use]
    pub fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// The value of the option; the last one wins.
    #[must_use]
    pub fn value(&self, long: &str) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| *name == long).map(|(_, value)| value.as_str())
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Do this.
    Run(Typed),
    /// The help of this command, or the whole list.
    Help(Option<&'static Command>),
    /// The help of a first word with several second ones.
    GroupHelp(&'static str),
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageFault {
    /// No such command; with the nearest one, if one is near.
    UnknownCommand(String, Option<&'static str>),
    /// The second word is missing: these are the choices.
    Incomplete(&'static str),
    /// No such option of this command; with the nearest one, if one is near.
    UnknownOption(String, &'static str, Option<&'static str>),
    /// The option needs a value.
    NoValue(&'static str, &'static str),
    /// The option takes no value.
    UnexpectedValue(String),
    /// One operand too many.
    TooMany(String, &'static str),
    /// This operand is missing.
    Missing(&'static str, &'static str),
    /// Not UTF-8.
    NotText(String),
}

impl fmt::Display for UsageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(word, None) => write!(f, "there is no command \"{word}\""),
            Self::UnknownCommand(word, Some(near)) => {
                write!(f, "there is no command \"{word}\": did you mean \"{near}\"?")
            }
            Self::Incomplete(word) => {
                write!(f, "\"{word}\" needs a second word:")?;
                for (index, command) in commands::group(word).enumerate() {
                    write!(f, "{} {}", if index == 0 { "" } else { "," }, second(command))?;
                }
                Ok(())
            }
            Self::UnknownOption(option, name, None) => write!(f, "\"{name}\" has no option {option}"),
            Self::UnknownOption(option, name, Some(near)) => {
                write!(f, "\"{name}\" has no option {option}: did you mean --{near}?")
            }
            Self::NoValue(option, value) => write!(f, "--{option} needs a value: --{option} {value}"),
            Self::UnexpectedValue(option) => write!(f, "{option} takes no value"),
            Self::TooMany(word, name) => write!(f, "\"{name}\" does not know what to do with \"{word}\""),
            Self::Missing(operand, name) => write!(f, "\"{name}\" needs {operand}"),
            Self::NotText(word) => write!(f, "\"{word}\" is not UTF-8 text"),
        }
    }
}

/// Reads the words after the program's name.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Asked, UsageFault> {
    let words: Vec<OsString> = words.collect();
    let mut reading = Reading::default();
    let mut parser = Parser::from_args(words);
    while let Some(arg) = parser.next().map_err(lexopt_fault)? {
        match arg {
            Arg::Value(word) => reading.on_word(text(word)?)?,
            Arg::Short(letter) => {
                let name = format!("-{letter}");
                reading.on_option(&mut parser, |option| option.short == Some(letter), name)?;
            }
            Arg::Long(long) => {
                let long = long.to_owned();
                reading.on_option(&mut parser, |option| option.long == long, format!("--{long}"))?;
            }
        }
    }
    reading.finish()
}

#[derive(Default)]
struct Reading {
    /// A first word that needs a second.
    group: Option<&'static str>,
    command: Option<&'static Command>,
    config: Option<PathBuf>,
    wants_help: bool,
    wants_version: bool,
    options: Vec<(&'static str, String)>,
    operands: Vec<String>,
}

impl Reading {
    fn on_word(&mut self, word: String) -> Result<(), UsageFault> {
        match (self.command, self.group) {
            (Some(command), _) if self.operands.len() >= command.operands_max() => {
                Err(UsageFault::TooMany(word, command.name))
            }
            (Some(_), _) => {
                self.operands.push(word);
                Ok(())
            }
            (None, Some(group)) => self.on_second_word(group, &word),
            (None, None) => self.on_first_word(word),
        }
    }

    fn on_first_word(&mut self, word: String) -> Result<(), UsageFault> {
        self.command = commands::find(&word);
        self.group = commands::group(&word).next().map(first);
        if self.command.is_some() || self.group.is_some() {
            return Ok(());
        }
        let near = nearest(&word, COMMANDS.iter().map(first));
        Err(UsageFault::UnknownCommand(word, near))
    }

    fn on_second_word(&mut self, group: &'static str, word: &str) -> Result<(), UsageFault> {
        self.command = commands::group(group).find(|command| second(command) == word);
        if self.command.is_some() {
            return Ok(());
        }
        let near = nearest(word, commands::group(group).map(second));
        let near = near.and_then(|near| commands::group(group).find(|command| second(command) == near));
        Err(UsageFault::UnknownCommand(format!("{group} {word}"), near.map(|command| command.name)))
    }

    fn on_option(
        &mut self,
        parser: &mut Parser,
        is_it: impl Fn(&Opt) -> bool,
        shown: String,
    ) -> Result<(), UsageFault> {
        let own = self.command.map_or(&[][..], |command| command.options);
        let Some(option) = own.iter().chain(GLOBAL).find(|option| is_it(option)) else {
            let name = self.command.map(|command| command.name).or(self.group).unwrap_or("chainbot");
            let near =
                nearest(shown.trim_start_matches('-'), own.iter().chain(GLOBAL).map(|option| option.long));
            return Err(UsageFault::UnknownOption(shown, name, near));
        };
        let value = match option.value {
            Some(name) => text(parser.value().map_err(|_| UsageFault::NoValue(option.long, name))?)?,
            None => String::new(),
        };
        match option.long {
            "config" => self.config = Some(PathBuf::from(value)),
            "help" => self.wants_help = true,
            "version" => self.wants_version = true,
            long => self.options.push((long, value)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Asked, UsageFault> {
        if self.wants_help {
            return Ok(match (self.command, self.group) {
                (Some(command), _) => Asked::Help(Some(command)),
                (None, Some(group)) => Asked::GroupHelp(group),
                (None, None) => Asked::Help(None),
            });
        }
        let command = match (self.command, self.group) {
            _ if self.wants_version => commands::find("version").unwrap_or(commands::default_command()),
            (Some(command), _) => command,
            (None, Some(group)) => return Err(UsageFault::Incomplete(group)),
            (None, None) => commands::default_command(),
        };
        if command.name == "help" {
            return help_for(&self.operands);
        }
        if let Some(operand) = command.operands.get(self.operands.len()).filter(|name| !name.starts_with('['))
        {
            return Err(UsageFault::Missing(operand, command.name));
        }
        Ok(Asked::Run(Typed { command, config: self.config, options: self.options, operands: self.operands }))
    }
}

/// `chainbot help words...` is `chainbot words... --help`.
fn help_for(words: &[String]) -> Result<Asked, UsageFault> {
    let mut reading = Reading { wants_help: true, ..Reading::default() };
    for word in words {
        reading.on_word(word.clone())?;
    }
    reading.finish()
}

/// The right name that was probably meant.
fn nearest(word: &str, names: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    let near = nearest::nearest(word, names.clone().map(str::to_owned))?;
    names.into_iter().find(|name| **name == *near)
}

fn first(command: &'static Command) -> &'static str {
    command.name.split(' ').next().unwrap_or(command.name)
}

fn second(command: &'static Command) -> &'static str {
    command.name.split_once(' ').map_or("", |(_, second)| second)
}

fn text(word: OsString) -> Result<String, UsageFault> {
    word.into_string().map_err(|word| UsageFault::NotText(word.to_string_lossy().into_owned()))
}

fn lexopt_fault(error: lexopt::Error) -> UsageFault {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => UsageFault::UnexpectedValue(option),
        other => UsageFault::NotText(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Asked, UsageFault> {
        parse(line.split_whitespace().map(Into::into))
    }

    fn typed(line: &str) -> Typed {
        match parse_line(line) {
            Ok(Asked::Run(typed)) => typed,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn no_command_is_run_and_config_may_stand_anywhere() {
        assert_eq!(typed("").command.name, "run");
        for line in [
            "--config a.toml events --follow",
            "events --config a.toml --follow",
            "events -f -c a.toml",
            "events -fca.toml",
        ] {
            let typed = typed(line);
            assert_eq!(
                (typed.command.name, typed.config.as_deref()),
                ("events", Some("a.toml".as_ref())),
                "{line}"
            );
            assert!(typed.has("follow"), "{line}");
        }
    }

    #[test]
    fn values_and_operands_arrive() {
        let typed = typed("webhook sign --secret=whsec_a --id 7 --id 8 -");
        assert_eq!((typed.value("secret"), typed.value("id")), (Some("whsec_a"), Some("8")));
        assert_eq!(typed.operands, ["-"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_nearest_right_name() {
        for (line, answer) in [
            ("evnts", "there is no command \"evnts\": did you mean \"events\"?"),
            ("frobnicate", "there is no command \"frobnicate\""),
            ("config shwo", "there is no command \"config shwo\": did you mean \"config show\"?"),
            ("config", "\"config\" needs a second word: show, docs"),
            ("events --folow", "\"events\" has no option --folow: did you mean --follow?"),
            ("status -x", "\"status\" has no option -x"),
            ("--json", "\"chainbot\" has no option --json"),
            ("events --limit", "--limit needs a value: --limit N"),
            ("events --follow=yes", "--follow takes no value"),
            ("status now", "\"status\" does not know what to do with \"now\""),
            ("webhook sign", "\"webhook sign\" needs FILE"),
            ("ledger salvage a", "\"ledger salvage\" needs TO"),
        ] {
            assert_eq!(parse_line(line).expect_err(line).to_string(), answer, "{line}");
        }
    }

    #[test]
    fn help_is_everywhere() {
        assert_eq!(parse_line("--help"), Ok(Asked::Help(None)));
        assert_eq!(parse_line("help"), Ok(Asked::Help(None)));
        assert_eq!(parse_line("webhook --help"), Ok(Asked::GroupHelp("webhook")));
        assert_eq!(parse_line("help webhook"), Ok(Asked::GroupHelp("webhook")));
        for command in COMMANDS.iter().filter(|command| command.name != "help") {
            assert_eq!(parse_line(&format!("{} --help", command.name)), Ok(Asked::Help(Some(command))));
            assert_eq!(parse_line(&format!("help {}", command.name)), Ok(Asked::Help(Some(command))));
        }
        assert_eq!(typed("--version").command.name, "version");
        assert_eq!(typed("status -V").command.name, "version");
    }
}
