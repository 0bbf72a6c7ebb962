//! What is wrong with a configuration, in words that name the key, the value, the rule and the place.

use std::fmt;

use super::datum::Why;
use super::origin::Origin;

/// One thing that is wrong. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is longer than is read.
    FileTooLong {
        /// The file.
        file: String,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The file is not TOML.
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// The column in characters, from 1.
        column: u32,
        /// The parser's words.
        message: String,
    },
    /// A key is given twice.
    Duplicate {
        /// The key or the section, as written.
        name: String,
        /// The second place.
        place: Origin,
    },
    /// A section that does not exist.
    UnknownSection {
        /// Its name.
        name: String,
        /// The nearest right name.
        nearest: Option<String>,
        /// Where it stands.
        place: Origin,
    },
    /// A key that does not exist.
    UnknownKey {
        /// `section.key`, or the key alone where it stands in no section.
        name: String,
        /// The nearest right name.
        nearest: Option<String>,
        /// Where it stands.
        place: Origin,
    },
    /// A variable that begins with `CHAINBOT_` and means nothing.
    UnknownVariable {
        /// Its name.
        name: String,
        /// The nearest right name.
        nearest: Option<String>,
    },
    /// A section that is something else, or a list of sections that is not one.
    NotSection {
        /// Its name.
        name: String,
        /// What it is.
        found: &'static str,
        /// What it must be.
        wants: &'static str,
        /// Where it stands.
        place: Origin,
    },
    /// A value that its kind refuses.
    Refused {
        /// The key.
        key: String,
        /// The value as a person wrote it; `None` for a secret.
        shown: Option<String>,
        /// The rule that it breaks.
        why: Why,
        /// Where it stands.
        place: Origin,
    },
    /// A value that another rule than its kind's refuses.
    Wrong {
        /// The key.
        key: String,
        /// The value as a person wrote it; `None` for a secret.
        shown: Option<String>,
        /// The rule, beginning with "must".
        rule: &'static str,
        /// Where it stands.
        place: Origin,
    },
    /// A value that is needed and not given.
    Missing {
        /// The key.
        key: String,
        /// Why it is needed.
        because: &'static str,
        /// What asks for it.
        place: Origin,
    },
    /// An address beyond loopback without a token.
    OpenWithoutToken {
        /// The address.
        host: String,
        /// Where the address stands.
        place: Origin,
    },
    /// A secret and the file that holds it are both given.
    SecretTwice {
        /// The key.
        key: String,
        /// Where the file is named.
        place: Origin,
    },
    /// A file with a secret cannot be read.
    SecretFile {
        /// The key that is meant.
        key: String,
        /// The file.
        path: String,
        /// The system's words.
        why: String,
        /// Who named the file.
        place: Origin,
    },
    /// More sections of a list than there may be.
    TooMany {
        /// The list.
        list: &'static str,
        /// How many.
        entries: usize,
        /// The limit.
        max: usize,
        /// The first one too many.
        place: Origin,
    },
    /// Two sections of a list with the same value where each needs its own.
    Same {
        /// The list.
        list: &'static str,
        /// The key.
        key: &'static str,
        /// The second, from 1.
        second: usize,
        /// The first, from 1.
        first: usize,
        /// Where the second's value stands.
        place: Origin,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileTooLong { file, bytes, max } => {
                write!(f, "{file} is {bytes} bytes long: must be at most {max}")
            }
            Self::Syntax { file, line, column, message } => {
                write!(f, "not TOML: {message} ({file} line {line} column {column})")
            }
            Self::Duplicate { name, place } => write!(f, "{name} is given twice ({place})"),
            Self::UnknownSection { name, nearest, place } => {
                write!(f, "section [{name}] is not known")?;
                if let Some(nearest) = nearest {
                    write!(f, ": did you mean {nearest}?")?;
                }
                write!(f, " ({place})")
            }
            Self::UnknownKey { name, nearest, place } => {
                write!(f, "{name} is not known")?;
                if let Some(nearest) = nearest {
                    write!(f, ": did you mean {nearest}?")?;
                }
                write!(f, " ({place})")
            }
            Self::UnknownVariable { name, nearest } => {
                write!(f, "{name} is not known")?;
                if let Some(nearest) = nearest {
                    write!(f, ": did you mean {nearest}?")?;
                }
                write!(f, " (environment {name})")
            }
            Self::NotSection { name, found, wants, place } => {
                write!(f, "{name} is {found}: must be {wants} ({place})")
            }
            Self::Refused { key, why: why @ Why::Type { found, .. }, place, .. } => {
                write!(f, "{key} is {found}: {why} ({place})")
            }
            Self::Refused { key, shown, why, place } => value(f, key, shown.as_deref(), why, place),
            Self::Wrong { key, shown, rule, place } => value(f, key, shown.as_deref(), rule, place),
            Self::Missing { key, because, place } => write!(f, "{key} is missing: {because} ({place})"),
            Self::OpenWithoutToken { host, place } => write!(
                f,
                "server.host is {host:?}: an address beyond loopback needs a credential that somebody has; set security.token, or \
                 security.token_file, to a secret of 16 characters or more, make a token with `chainbot token create`, or \
                 listen at 127.0.0.1 ({place})"
            ),
            Self::SecretTwice { key, place } => {
                write!(f, "{key}_file is given beside {key}: keep one ({place})")
            }
            Self::SecretFile { key, path, why, place } => {
                write!(f, "{key} is to be read from {path:?}: {why} ({place})")
            }
            Self::TooMany { list, entries, max, place } => {
                write!(f, "{list} has {entries} entries: must have at most {max} ({place})")
            }
            Self::Same { list, key, second, first, place } => {
                write!(f, "{list}[{second}].{key} is that of {list}[{first}]: must be another ({place})")
            }
        }
    }
}

fn value(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    shown: Option<&str>,
    rule: &dyn fmt::Display,
    place: &Origin,
) -> fmt::Result {
    match shown {
        Some(shown) => write!(f, "{key} is {shown}: {rule} ({place})"),
        None => write!(f, "{key}: {rule} ({place})"),
    }
}
