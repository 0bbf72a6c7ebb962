//! The log: one line per record on stderr, `2026-11-21T02:00:00.123Z info registration: registered attempts=1`.
//!
//! Under systemd the journal writes the time, so a line begins with its priority (`<6>`) instead. The last few lines are
//! kept for the health report. What goes into a record is the caller's duty: no token, no key, no payload.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::sync::Mutex;

use log::{Level, LevelFilter, Record};

use super::clock;
use crate::agent::limits::LOG_EXCERPT_LINES;
use crate::agent::time::Wall;
use crate::wire::time::format_rfc3339;

/// Longest line that the excerpt keeps, in bytes. Beyond: cut at a character.
const EXCERPT_LINE_BYTES_MAX: usize = 200;

/// The last lines of level info or worse, oldest first.
static EXCERPT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// How lines begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Time and level, for a file or a pipe.
    Plain,
    /// The same with colours, for a terminal.
    Colour,
    /// `<priority>`, for the journal.
    Journal,
}

/// Starts the log at a level. Called once, before anything is logged; a second call does nothing but set the level.
///
/// Records of other packages are shown from `warn` on: theirs may hold URLs and headers.
pub fn init(level: LevelFilter) {
    let style = style_of(std::env::var_os("JOURNAL_STREAM").is_some(), io::stderr().is_terminal());
    let _ = env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .filter_module("chainbot", LevelFilter::Trace)
        .format(move |out, record| {
            let at = clock::system_now();
            remember(at, record);
            out.write_all(line(style, at, record).as_bytes())
        })
        .try_init();
    set_level(level);
}

/// Changes the level, for a config that was read again.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// The last lines of level info or worse, oldest first; at most `limits::LOG_EXCERPT_LINES`, 200 bytes each.
#[must_use]
pub fn excerpt() -> Vec<String> {
    EXCERPT.lock().map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
}

fn remember(at: Wall, record: &Record<'_>) {
    if record.level() > Level::Info {
        return;
    }
    let mut kept = line(Style::Plain, at, record);
    kept.pop();
    while kept.len() > EXCERPT_LINE_BYTES_MAX {
        kept.pop();
    }
    if let Ok(mut lines) = EXCERPT.lock() {
        if lines.len() == LOG_EXCERPT_LINES {
            lines.pop_front();
        }
        lines.push_back(kept);
    }
}

fn style_of(is_journal: bool, is_terminal: bool) -> Style {
    match (is_terminal, is_journal) {
        // A terminal's shell may have inherited JOURNAL_STREAM from a service: what stderr is decides.
        (true, _) => Style::Colour,
        (false, true) => Style::Journal,
        (false, false) => Style::Plain,
    }
}

/// One line with its line feed. Control characters in the message are escaped, so that no peer can write a line of its own.
fn line(style: Style, at: Wall, record: &Record<'_>) -> String {
    let mut out = String::with_capacity(128);
    let level = word(record.level());
    // Writing into a String does not fail.
    let _ = match style {
        Style::Plain => write!(out, "{} {level} ", format_rfc3339(at)),
        Style::Colour => {
            let colour = colour(record.level());
            write!(out, "\x1b[2m{}\x1b[0m \x1b[{colour}m{level}\x1b[0m ", format_rfc3339(at))
        }
        Style::Journal => write!(out, "<{}>", priority(record.level())),
    };
    let _ = write!(out, "{}: ", short(record.target()));
    let _ = write!(OneLine(&mut out), "{}", record.args());
    out.push('\n');
    out
}

/// Escapes control characters on their way through.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// The last part of a module's path.
fn short(target: &str) -> &str {
    target.rsplit("::").next().unwrap_or(target)
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Colour codes of terminals: red, yellow, green, blue, grey.
fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "31",
        Level::Warn => "33",
        Level::Info => "32",
        Level::Debug => "34",
        Level::Trace => "2",
    }
}

/// Priorities of syslog (`man sd-daemon`).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(style: Style, level: Level, target: &str, text: &str) -> String {
        let args = format_args!("{text}");
        line(
            style,
            Wall(1_795_226_400_123),
            &Record::builder().level(level).target(target).args(args).build(),
        )
    }

    #[test]
    fn a_line_has_time_level_and_short_target() {
        let line = said(Style::Plain, Level::Info, "chainbot::agent::registration", "registered attempts=1");
        assert_eq!(line, "2026-11-21T02:00:00.123Z info registration: registered attempts=1\n");
    }

    #[test]
    fn the_journal_gets_a_priority_instead_of_a_time() {
        assert_eq!(said(Style::Journal, Level::Warn, "chainbot", "x"), "<4>chainbot: x\n");
        assert_eq!(said(Style::Journal, Level::Trace, "a::b", "x"), "<7>b: x\n");
    }

    #[test]
    fn a_message_cannot_make_a_line_of_its_own() {
        let line = said(Style::Plain, Level::Info, "t", "one\ntwo\r\x1b[31m\u{85}");
        assert!(line.ends_with("t: one\\ntwo\\r\\u{1b}[31m\\u{85}\n"), "{line}");
    }

    #[test]
    fn colours_are_for_terminals_only() {
        assert_eq!(style_of(false, false), Style::Plain);
        assert_eq!(style_of(true, false), Style::Journal);
        assert_eq!(style_of(true, true), Style::Colour);
        assert!(said(Style::Colour, Level::Error, "t", "x").contains("\x1b[31merror"));
        assert!(!said(Style::Plain, Level::Error, "t", "x").contains('\x1b'));
    }

    // One test for the one excerpt of the process.
    #[test]
    fn the_excerpt_keeps_the_last_lines_short_and_skips_debug() {
        let tell = |level, text: &str| {
            let args = format_args!("{text}");
            remember(Wall(0), &Record::builder().level(level).target("t").args(args).build());
        };
        for number in 0..=LOG_EXCERPT_LINES {
            tell(Level::Info, &format!("line {number}"));
        }
        tell(Level::Debug, "unseen");
        tell(Level::Warn, &"ü".repeat(300));
        let lines = excerpt();
        assert_eq!(lines.len(), LOG_EXCERPT_LINES);
        assert!(lines[0].ends_with("t: line 2"), "{lines:?}");
        let last = &lines[LOG_EXCERPT_LINES - 1];
        assert!(last.len() <= EXCERPT_LINE_BYTES_MAX && last.ends_with('ü'), "{last}");
    }
}
