//! One value: read from TOML or from text, held against its kind, or refused with a reason.

use std::fmt;

use toml::de::DeValue;

use super::table::Kind;
use super::url::{self, UrlFault};
use crate::agent::setup::Secret;

/// Longest text in bytes. Beyond: refused.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Longest secret in bytes. Beyond: refused.
pub const SECRET_BYTES_MAX: usize = 4_096;
/// Most entries of a list. Beyond: refused.
pub const LIST_MAX: usize = 64;
/// Most secrets of a list of secrets. Beyond: refused.
pub const SECRETS_MAX: usize = 4;

/// A value as it is kept. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// Text, URL, path, address, choice or decimal number.
    Text(String),
    /// A whole number in the key's unit.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// At most `LIST_MAX` texts.
    List(Vec<String>),
    /// A secret; empty if there is none.
    Secret(Secret),
    /// At most `SECRETS_MAX` secrets, the newest first.
    Secrets(Vec<Secret>),
}

impl Datum {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Secret(Secret(text)) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Secrets(secrets) => secrets.is_empty(),
            Self::Int(_) | Self::Bool(_) => false,
        }
    }
}

/// Why a value is refused. `Display` continues a sentence that names the key and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another type than the kind's.
    Type {
        /// What it is.
        found: &'static str,
        /// What it must be.
        wants: &'static str,
    },
    /// Not a whole number.
    NotInt,
    /// Not a decimal number.
    NotNumber,
    /// Neither true nor false.
    NotBool,
    /// Outside of the limits.
    Range {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
        /// The unit, may be empty.
        unit: &'static str,
    },
    /// None of the words.
    Choice {
        /// The words.
        words: &'static [&'static str],
    },
    /// No or another scheme.
    Scheme {
        /// The schemes that serve.
        schemes: &'static [&'static str],
    },
    /// Something else is wrong with a URL.
    Url(UrlFault),
    /// A user, a password, a query or a fragment where a base URL is wanted.
    NotBase,
    /// Neither an IP address nor `localhost`.
    Address,
    /// Longer than `max` bytes.
    Long {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// More than `max` entries.
    Many {
        /// How many.
        entries: usize,
        /// The limit.
        max: usize,
    },
    /// A line break or another control character.
    Control,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { wants, .. } => write!(f, "must be {wants}"),
            Self::NotInt => f.write_str("must be a whole number"),
            Self::NotNumber => f.write_str("must be a decimal number"),
            Self::NotBool => f.write_str("must be true or false"),
            Self::Range { min, max, unit } => write!(f, "must be {min} to {max}{}{unit}", gap(unit)),
            Self::Choice { words } => write!(f, "must be {}", alternatives(words)),
            Self::Scheme { schemes } => write!(f, "scheme must be {}", alternatives(schemes)),
            Self::Url(fault) => f.write_str(match fault {
                UrlFault::Scheme => "scheme must be given",
                UrlFault::Host => "host must be a name or an IP address",
                UrlFault::Port => "port must be 1 to 65535",
                UrlFault::Character => "blanks and special characters must be written as %XX",
            }),
            Self::NotBase => f.write_str("must have no user, password, query or fragment"),
            Self::Address => f.write_str("must be an IP address or localhost"),
            Self::Long { bytes, max } => write!(f, "must be at most {max} bytes long, has {bytes}"),
            Self::Many { entries, max } => write!(f, "must have at most {max} entries, has {entries}"),
            Self::Control => f.write_str("must have no line breaks or other control characters"),
        }
    }
}

fn gap(unit: &str) -> &'static str {
    if unit.is_empty() { "" } else { " " }
}

fn alternatives(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Reads a value from text, as the environment, a credential or the table's default gives it.
///
/// # Errors
/// The first rule of the kind that the text breaks.
pub fn from_text(kind: &Kind, text: &str) -> Result<Datum, Why> {
    match kind {
        Kind::Int { .. } => {
            let number = text.parse().map_err(|_| Why::NotInt)?;
            in_range(kind, number)
        }
        Kind::Bool => bool_of(text).map(Datum::Bool).ok_or(Why::NotBool),
        Kind::List => list(split(text, ',')),
        Kind::Secrets => secrets(text.split([',', ' ', '\t', '\r', '\n']).map(str::to_owned).collect()),
        _ => single(kind, text),
    }
}

/// Reads a value from the config file.
///
/// # Errors
/// Another type, or the first rule of the kind that the value breaks.
pub fn from_toml(kind: &Kind, value: &DeValue<'_>) -> Result<Datum, Why> {
    let wants = wanted_type(kind);
    let refused = || Why::Type { found: found_type(value), wants };
    let mixed = || Why::Type { found: "a list of other things", wants };
    match (kind, value) {
        (Kind::Int { .. }, DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            // Only a number beyond 64 bits does not parse: the limits say what is wrong with it.
            in_range(kind, number.unwrap_or(i64::MAX))
        }
        (Kind::Number { .. }, DeValue::Integer(number)) if number.radix() == 10 => {
            single(kind, number.as_str())
        }
        (Kind::Number { .. }, DeValue::Float(number)) => single(kind, number.as_str()),
        (Kind::Bool, DeValue::Boolean(yes)) => Ok(Datum::Bool(*yes)),
        (Kind::List, DeValue::Array(entries)) => {
            let texts: Option<Vec<String>> =
                entries.iter().map(|entry| entry_text(entry.get_ref())).collect();
            list(texts.ok_or_else(mixed)?)
        }
        (Kind::Secrets, DeValue::Array(entries)) => {
            let texts: Option<Vec<String>> =
                entries.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect();
            secrets(texts.ok_or_else(mixed)?)
        }
        (Kind::Secrets, DeValue::String(text)) => secrets(vec![text.to_string()]),
        (Kind::Int { .. } | Kind::Number { .. } | Kind::Bool | Kind::List, _) => Err(refused()),
        (_, DeValue::String(text)) => single(kind, text),
        _ => Err(refused()),
    }
}

/// Ids are written as numbers, too.
fn entry_text(entry: &DeValue<'_>) -> Option<String> {
    match entry {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

fn in_range(kind: &Kind, number: i64) -> Result<Datum, Why> {
    match *kind {
        Kind::Int { min, max, unit } if number < min || number > max => Err(Why::Range { min, max, unit }),
        _ => Ok(Datum::Int(number)),
    }
}

fn single(kind: &Kind, text: &str) -> Result<Datum, Why> {
    let max = if kind.is_secret() { SECRET_BYTES_MAX } else { TEXT_BYTES_MAX };
    check_text(text, max)?;
    match *kind {
        Kind::Url(schemes) => check_url(text, schemes, true)?,
        Kind::SecretUrl(schemes) => {
            check_url(text, schemes, false)?;
            return Ok(Datum::Secret(Secret(text.to_owned())));
        }
        Kind::Secret => return Ok(Datum::Secret(Secret(text.to_owned()))),
        Kind::Address => {
            address(text).ok_or(Why::Address)?;
        }
        Kind::Number { min, max } => check_number(text, min, max)?,
        Kind::Choice { words, aliases } => {
            return word(text, words, aliases)
                .map(|word| Datum::Text(word.to_owned()))
                .ok_or(Why::Choice { words });
        }
        _ => {}
    }
    Ok(Datum::Text(text.to_owned()))
}

fn check_text(text: &str, max: usize) -> Result<(), Why> {
    if text.len() > max {
        return Err(Why::Long { bytes: text.len(), max });
    }
    if text.chars().any(char::is_control) { Err(Why::Control) } else { Ok(()) }
}

fn check_url(text: &str, schemes: &'static [&'static str], is_base: bool) -> Result<(), Why> {
    if text.is_empty() {
        return Ok(());
    }
    let parts = url::parse(text, schemes).map_err(|fault| match fault {
        UrlFault::Scheme => Why::Scheme { schemes },
        fault => Why::Url(fault),
    })?;
    if is_base && (parts.has_user || parts.has_query) { Err(Why::NotBase) } else { Ok(()) }
}

#[allow(clippy::cast_precision_loss, reason = "the limits are small")]
fn check_number(text: &str, min: i64, max: i64) -> Result<(), Why> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    let number: f64 = text.parse().ok().filter(|_| is_plain).ok_or(Why::NotNumber)?;
    if number < min as f64 || number > max as f64 { Err(Why::Range { min, max, unit: "" }) } else { Ok(()) }
}

/// Reads `server.host`: an IP address, bare or in brackets, or `localhost`.
#[must_use]
pub fn address(text: &str) -> Option<std::net::IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

fn word(
    text: &str,
    words: &'static [&'static str],
    aliases: &'static [(&'static str, &'static str)],
) -> Option<&'static str> {
    let plain = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
    plain
        .or_else(|| aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(text)).map(|(_, word)| *word))
}

fn bool_of(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn split(text: &str, separator: char) -> Vec<String> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn list(entries: Vec<String>) -> Result<Datum, Why> {
    if entries.len() > LIST_MAX {
        return Err(Why::Many { entries: entries.len(), max: LIST_MAX });
    }
    for entry in &entries {
        check_text(entry, TEXT_BYTES_MAX)?;
    }
    Ok(Datum::List(entries))
}

fn secrets(mut entries: Vec<String>) -> Result<Datum, Why> {
    entries.retain(|entry| !entry.is_empty());
    if entries.len() > SECRETS_MAX {
        return Err(Why::Many { entries: entries.len(), max: SECRETS_MAX });
    }
    for entry in &entries {
        check_text(entry, SECRET_BYTES_MAX)?;
    }
    Ok(Datum::Secrets(entries.into_iter().map(Secret).collect()))
}

fn wanted_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Int { .. } => "an integer, without quotes",
        Kind::Number { .. } => "a number, without quotes",
        Kind::Bool => "true or false, without quotes",
        Kind::List => "a list of strings",
        Kind::Secrets => "a string or a list of strings",
        _ => "a string, in quotes",
    }
}

/// The type of a TOML value with its article.
#[must_use]
pub fn found_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
