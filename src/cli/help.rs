//! `--help` of everything, made from the table of commands.

use std::fmt::Write;

use super::commands::{self, COMMANDS, Command, EXIT_CODES, GLOBAL, Opt};

/// Nothing printed is wider, but for examples that must stay one line to be copied.
const COLUMNS: usize = 80;

/// The list of commands.
#[must_use]
pub fn overview() -> String {
    let mut text = String::from(
        "ChainBot: a small agent that registers, beats, reports health, takes\n\
         and sends webhooks, and loses nothing.\n\nUsage: chainbot [--config FILE] [COMMAND]\n\nCommands:\n",
    );
    for command in COMMANDS {
        row(&mut text, command.name, command.summary, 16);
    }
    text.push_str("\nOptions of every command:\n");
    options(&mut text, GLOBAL);
    text.push_str("\nExamples:\n");
    for name in ["run", "check", "status", "events", "webhook send"] {
        if let Some(command) = commands::find(name) {
            example(&mut text, command.examples[0]);
        }
    }
    text.push_str("\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        row(&mut text, &code.to_string(), meaning, 4);
    }
    text.push_str("\n`chainbot help COMMAND` says more of one command.\n");
    text
}

/// The commands behind one first word.
#[must_use]
pub fn of_group(word: &str) -> String {
    let mut text = format!("Usage: chainbot {word} COMMAND\n\nCommands:\n");
    for command in commands::group(word) {
        row(&mut text, command.name, command.summary, 16);
    }
    text.push_str("\nExamples:\n");
    for command in commands::group(word) {
        example(&mut text, command.examples[0]);
    }
    text
}

/// All that is known of one command.
#[must_use]
pub fn of_command(command: &Command) -> String {
    let mut text = format!("{}\n\nUsage: chainbot {}", command.summary, command.name);
    if !command.options.is_empty() {
        text.push_str(" [OPTIONS]");
    }
    for operand in command.operands {
        let _ = write!(text, " {operand}");
    }
    text.push('\n');
    if !command.about.is_empty() {
        text.push('\n');
        wrap(&mut text, command.about, 0);
    }
    text.push_str("\nOptions:\n");
    options(&mut text, command.options);
    options(&mut text, GLOBAL);
    text.push_str("\nExamples:\n");
    for each in command.examples {
        example(&mut text, *each);
    }
    text
}

fn options(text: &mut String, options: &[Opt]) {
    for option in options {
        let mut name = option.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        let _ = write!(name, "--{}", option.long);
        if let Some(value) = option.value {
            let _ = write!(name, " {value}");
        }
        row(text, &name, option.summary, 24);
    }
}

fn example(text: &mut String, (line, meaning): (&str, &str)) {
    let _ = writeln!(text, "  {line}\n      {meaning}");
}

/// A name and its meaning beside it, wrapped so that a terminal of 80 columns shows it whole.
fn row(text: &mut String, name: &str, meaning: &str, width: usize) {
    let indent = width + 4;
    let fits = name.chars().count() <= width;
    let _ = if fits { write!(text, "  {name:width$}  ") } else { write!(text, "  {name}\n{:indent$}", "") };
    wrap(text, meaning, indent);
}

/// Appends the words, the text standing at column `indent` already, with line breaks where they are needed.
fn wrap(text: &mut String, words: &str, indent: usize) {
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > COLUMNS {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_help_fits_a_terminal_and_names_what_it_is_about() {
        let all = COMMANDS.iter().map(of_command).chain([overview(), of_group("ledger")]);
        for help in all {
            for line in help.lines().filter(|line| !line.contains("chainbot")) {
                assert!(line.chars().count() <= COLUMNS, "{line}");
                assert_eq!(line, line.trim_end(), "{line}");
            }
        }
        let overview = overview();
        for command in COMMANDS {
            assert!(overview.contains(command.name));
        }
        for (code, meaning) in EXIT_CODES {
            assert!(overview.contains(&format!("  {code:<4}  {meaning}\n")), "{code}");
        }
        assert!(of_command(commands::find("events").unwrap()).contains("-f, --follow "));
    }
}
