//! Completions for bash, zsh and fish: the commands, their second words, their options. Files where the shell would
//! complete a file.

use std::fmt::Write;

use chainbot::cli::commands::{COMMANDS, Command, GLOBAL, Opt, group};

const MADE: &str = "# Made by `cargo run --example gen` from the table of commands: do not edit.";

fn first(command: &Command) -> &'static str {
    command.name.split(' ').next().unwrap_or(command.name)
}

fn second(command: &Command) -> Option<&'static str> {
    command.name.split_once(' ').map(|(_, second)| second)
}

/// First words in the order of the table, each once.
fn first_words() -> Vec<&'static str> {
    let mut words: Vec<_> = COMMANDS.iter().map(first).collect();
    words.dedup();
    words
}

/// What is said of a first word: of its command, or of all behind it.
fn about(word: &'static str) -> String {
    match COMMANDS.iter().find(|command| command.name == word) {
        Some(command) => command.summary.to_owned(),
        None => group(word).filter_map(second).collect::<Vec<_>>().join(", "),
    }
}

fn options_of(command: &Command) -> impl Iterator<Item = &'static Opt> {
    command.options.iter().chain(GLOBAL)
}

fn dashed(options: impl Iterator<Item = &'static Opt>) -> String {
    options.map(|option| format!("--{}", option.long)).collect::<Vec<_>>().join(" ")
}

/// For `/usr/share/bash-completion/completions/chainbot`.
pub fn bash() -> String {
    let mut cases = String::new();
    for word in first_words() {
        let seconds = group(word).filter_map(second).collect::<Vec<_>>().join(" ");
        if !seconds.is_empty() {
            let _ = writeln!(cases, "        '{word}') words='{seconds}' ;;");
        }
    }
    for command in COMMANDS {
        let words = match command.name {
            "help" => first_words().join(" "),
            _ => dashed(options_of(command)),
        };
        let _ = writeln!(cases, "        '{}') words='{words}' ;;", command.name);
    }
    let mut values: Vec<String> = COMMANDS
        .iter()
        .flat_map(options_of)
        .filter(|option| option.value.is_some() && option.value != Some("FILE"))
        .map(|option| format!("--{}", option.long))
        .collect();
    values.sort_unstable();
    values.dedup();
    format!(
        "{MADE}
# shellcheck shell=bash
_chainbot() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command='' words='' word
    COMPREPLY=()
    case $previous in
        -c | --config) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") && return ;;
        {}) return ;;
    esac
    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do
        case $word in
            -*) ;;
            *) command=\"${{command:+$command }}$word\" ;;
        esac
    done
    case $command in
        '') words='{} {}' ;;
{cases}    esac
    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")
    [[ ${{#COMPREPLY[@]}} -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -f -- \"$current\")
}}
complete -o filenames -F _chainbot chainbot
",
        values.join(" | "),
        first_words().join(" "),
        dashed(GLOBAL.iter()),
    )
}

/// For a folder of zsh's `fpath`.
pub fn zsh() -> String {
    let mut text = format!(
        "#compdef chainbot\n{MADE}\n_chainbot() {{\n    local -a choices\n    local name=$words[2]\n"
    );
    text.push_str("    if (( CURRENT == 2 )); then\n");
    zsh_choices(&mut text, first_words().into_iter().map(|word| (word, about(word))));
    text.push_str("    fi\n    case $name in\n");
    for word in first_words().into_iter().filter(|word| group(word).next().is_some()) {
        let _ = writeln!(text, "    {word})\n    if (( CURRENT == 3 )); then");
        let seconds = group(word).filter_map(|command| Some((second(command)?, command.summary.to_owned())));
        zsh_choices(&mut text, seconds);
        text.push_str("    fi\n    name=\"$words[2] $words[3]\" ;;\n");
    }
    text.push_str("    esac\n    case $name in\n");
    for command in COMMANDS {
        let _ = writeln!(text, "    '{}')\n        _arguments \\", command.name);
        for option in options_of(command) {
            let _ = writeln!(text, "            {} \\", zsh_option(option));
        }
        text.push_str("            '*:file:_files' ;;\n");
    }
    text.push_str("    esac\n}\n_chainbot \"$@\"\n");
    text
}

fn zsh_choices(text: &mut String, choices: impl Iterator<Item = (&'static str, String)>) {
    text.push_str("        choices=(\n");
    for (word, about) in choices {
        let _ = writeln!(text, "            '{word}:{}'", about.replace('\'', "'\\''"));
    }
    text.push_str("        )\n        _describe command choices\n        return\n");
}

fn zsh_option(option: &Opt) -> String {
    let about =
        option.summary.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let value = match option.value {
        Some("FILE") => ":file:_files",
        Some(_) => ":value: ",
        None => "",
    };
    match option.short {
        Some(short) => {
            format!("'(-{short} --{0})'{{-{short},--{0}}}'[{about}]{value}'", option.long)
        }
        None => format!("'--{}[{about}]{value}'", option.long),
    }
}

/// For fish's `vendor_completions.d`.
pub fn fish() -> String {
    let mut text = format!("{MADE}\n");
    let words = first_words();
    let _ = writeln!(text, "set -l first {}", words.join(" "));
    for word in &words {
        let about = fish_quoted(&about(word));
        let _ = writeln!(
            text,
            "complete -c chainbot -f -n \"not __fish_seen_subcommand_from $first\" -a {word} -d {about}"
        );
    }
    for command in COMMANDS {
        let first = first(command);
        let mut seen = format!("__fish_seen_subcommand_from {first}");
        if let Some(second) = second(command) {
            let seconds: Vec<_> = group(first).filter_map(self::second).collect();
            let _ = writeln!(
                text,
                "complete -c chainbot -f -n \"{seen}; and not __fish_seen_subcommand_from {}\" -a {second} -d {}",
                seconds.join(" "),
                fish_quoted(command.summary)
            );
            let _ = write!(seen, "; and __fish_seen_subcommand_from {second}");
        }
        for option in command.options {
            fish_option(&mut text, &format!(" -n \"{seen}\""), option);
        }
    }
    for option in GLOBAL {
        fish_option(&mut text, "", option);
    }
    text
}

fn fish_option(text: &mut String, condition: &str, option: &Opt) {
    let short = option.short.map_or(String::new(), |short| format!(" -s {short}"));
    let value = match option.value {
        Some("FILE") => " -r",
        Some(_) => " -x",
        None => "",
    };
    let _ = writeln!(
        text,
        "complete -c chainbot{condition}{short} -l {}{value} -d {}",
        option.long,
        fish_quoted(option.summary)
    );
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
