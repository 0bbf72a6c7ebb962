//! Printing that a closed pipe ends quietly, colours where they are wanted, and what a command ends with.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::process::ExitCode;

/// Exit codes of `commands::EXIT_CODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something that has no code of its own failed.
    Other = 1,
    /// The command line is wrong.
    Usage = 64,
    /// The data is wrong.
    Data = 65,
    /// The agent or the peer is not reachable, or refused.
    Unavailable = 69,
    /// A file could not be made.
    CantCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// The config is wrong.
    Config = 78,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The reader of our output went away: nothing to say, and nobody to say it to.
    ClosedPipe,
    /// What to tell, and the code to end with. An empty text was told already.
    Told(Exit, String),
}

impl Failure {
    /// A failure with these words.
    pub fn new(exit: Exit, words: impl fmt::Display) -> Self {
        Self::Told(exit, words.to_string())
    }

    /// Says it on stderr, unless it was said, and gives the code.
    #[must_use]
    pub fn tell(self) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Told(exit, words) => {
                if !words.is_empty() {
                    note(&words);
                }
                ExitCode::from(exit as u8)
            }
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing to stdout: everything else is named where it happens.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::new(Exit::Io, format_args!("cannot write to standard output: {error}")),
        }
    }
}

/// One line for people on stderr. If that fails there is nobody left to tell.
pub fn note(words: &str) {
    let _ = writeln!(io::stderr(), "chainbot: {words}");
}

/// Standard output, gathered; colours only on a terminal and without `NO_COLOR` (no-color.org).
#[derive(Debug)]
pub struct Out {
    stdout: BufWriter<Stdout>,
    has_colours: bool,
}

/// A colour that says how grave something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// All is well.
    Good,
    /// Someone may want to look.
    Warn,
    /// Someone should look.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Bold,
    /// As it is.
    Plain,
}

impl Out {
    /// Standard output of this process.
    #[must_use]
    pub fn stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let stdout = io::stdout();
        let has_colours = stdout.is_terminal() && !refused && !is_dumb;
        Self { stdout: BufWriter::with_capacity(4096, stdout), has_colours }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// `Failure::ClosedPipe` when nobody reads any more.
    pub fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.stdout, "{line}")?;
        Ok(())
    }

    /// Writes text that ends its own lines.
    ///
    /// # Errors
    /// As `line`.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Lets the reader see what was written.
    ///
    /// # Errors
    /// As `line`.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush()?;
        Ok(())
    }

    /// The text in this colour, if there are colours.
    #[must_use]
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Faint => "2",
            Paint::Bold => "1",
            Paint::Plain => return text.to_owned(),
        };
        if self.has_colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Foreign text made safe for a terminal: control characters become `?`, so that no peer moves the cursor.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
        assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::ClosedPipe));
        assert!(matches!(
            Failure::from(io::Error::from(io::ErrorKind::StorageFull)),
            Failure::Told(Exit::Io, _)
        ));
    }

    #[test]
    fn no_peer_moves_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{9b}c"), "a?[2Jb???c");
    }
}
