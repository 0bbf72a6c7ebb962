//! chainbot(1), in the `man` macros.

use std::fmt::Write;

use chainbot::cli::commands::{COMMANDS, Command, EXIT_CODES, GLOBAL, Opt};

/// The whole page.
pub fn page() -> String {
    let mut text = format!(
        ".\\\" Made by `cargo run --example gen` from the table of commands: do not edit.\n\
         .TH CHAINBOT 1 \"\" \"chainbot {}\" \"ChainBot\"\n\
         .SH NAME\nchainbot \\- agent for small boards that registers, beats, reports health and relays webhooks\n\
         .SH SYNOPSIS\n.B chainbot\n[\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fICOMMAND\\fR] [\\fIOPTION\\fR]...\n\
         .SH DESCRIPTION\nWithout a command the agent runs until it is stopped.\n\
         The other commands ask the running agent, or work on its files.\n\
         .SH OPTIONS\nEvery command takes these, before or after its name.\n",
        env!("CARGO_PKG_VERSION")
    );
    options(&mut text, GLOBAL);
    text.push_str(".SH COMMANDS\n");
    for each in COMMANDS {
        command(&mut text, each);
    }
    text.push_str(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(text, ".TP\n{code}\n{}", escape(meaning));
    }
    text.push_str(FILES);
    text
}

const FILES: &str = "\
.SH FILES
.TP
.I /etc/chainbot/config.toml
The config, if neither \\fB\\-\\-config\\fR nor CHAINBOT_CONFIG names one and there is no
.I config.toml
in the working directory.
.TP
.I /var/lib/chainbot
The ledger, and the token that the first start made, when run as a service.
.TP
.I /etc/credstore/chainbot.*
Secrets for systemd, one file each; the unit lists their names.
.SH ENVIRONMENT
.B \"chainbot config docs\"
lists a variable for every key.
CHAINBOT_CONFIG names the config file.
.SH \"SEE ALSO\"
.BR systemctl (1),
.BR systemd.exec (5)
";

fn command(text: &mut String, command: &Command) {
    let _ = write!(text, ".SS \"chainbot {}", escape(command.name));
    for operand in command.operands {
        let _ = write!(text, " {}", escape(operand));
    }
    let _ = writeln!(text, "\"\n{}.", escape(command.summary));
    if !command.about.is_empty() {
        let _ = writeln!(text, "{}", sentences(command.about));
    }
    options(text, command.options);
    text.push_str(".PP\nFor example\n");
    for (line, meaning) in command.examples {
        let _ = writeln!(text, ".TP\n.B \"{}\"\n{}", quoted(line), escape(meaning));
    }
}

fn options(text: &mut String, options: &[Opt]) {
    for option in options {
        text.push_str(".TP\n");
        if let Some(short) = option.short {
            let _ = write!(text, "\\fB\\-{short}\\fR, ");
        }
        let _ = write!(text, "\\fB\\-\\-{}\\fR", escape(option.long));
        if let Some(value) = option.value {
            let _ = write!(text, " \\fI{value}\\fR");
        }
        let _ = writeln!(text, "\n{}.", sentences(option.summary));
    }
}

/// Each sentence on a line of its own, so that the formatter knows where one ends.
fn sentences(text: &str) -> String {
    escape(text).replace(". ", ".\n")
}

/// Nothing in the text may be taken for a request or a special character.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Within the quotes of a macro's argument.
fn quoted(text: &str) -> String {
    escape(text).replace('"', "\\(dq").replace('\'', "\\(aq")
}
