//! The unified event: what everything that matters becomes, written once to the ledger.

use super::ids::Seq;
use super::time::Wall;

/// How grave an event is. ALEX OS adds `critical` to the documents' three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// Something happened.
    #[default]
    Info,
    /// An operator may want to know.
    Warning,
    /// Something failed.
    Error,
    /// Something failed that others depend on.
    Critical,
}

impl Severity {
    /// Every severity, in growing order.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == text)
    }
}

/// Where an event came from (the documents' three sources).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Source {
    /// This agent and its own clients.
    #[default]
    Chainbot,
    /// The container monitor.
    Watchtower,
    /// ALEX OS.
    AlexOs,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Chainbot, Self::Watchtower, Self::AlexOs];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chainbot => "chainbot",
            Self::Watchtower => "watchtower",
            Self::AlexOs => "alex_os",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// A valid JSON value as compact text. Only `wire/` makes one from foreign text, after parsing it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonText(pub String);

impl JsonText {
    /// `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self("{}".to_owned())
    }

    /// An object of string values, written with JSON's escapes. Keys must need no escape.
    #[must_use]
    pub fn of_strings(fields: &[(&str, &str)]) -> Self {
        let mut text = String::from("{");
        for (index, (key, value)) in fields.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push('"');
            text.push_str(key);
            text.push_str("\":");
            push_json_string(&mut text, value);
        }
        text.push('}');
        Self(text)
    }
}

/// A value in an event's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A string, cut to `FIELD_BYTES_MAX` at a character.
    Text(&'a str),
    /// A string as it is.
    Whole(&'a str),
    /// A list of strings.
    Texts(&'a [String]),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
    /// The key is left out.
    None,
}

/// Longest text of `Field::Text` in bytes.
pub const FIELD_BYTES_MAX: usize = 2 * 1024;

impl JsonText {
    /// An object of these fields. Keys must need no escape.
    #[must_use]
    pub fn of_fields(fields: &[(&str, Field<'_>)]) -> Self {
        let mut text = String::from("{");
        for (key, value) in fields.iter().filter(|(_, value)| *value != Field::None) {
            if text.len() > 1 {
                text.push(',');
            }
            push_json_string(&mut text, key);
            text.push(':');
            match *value {
                Field::Text(value) => {
                    let mut value = value.to_owned();
                    super::cut(&mut value, FIELD_BYTES_MAX);
                    push_json_string(&mut text, &value);
                }
                Field::Whole(value) => push_json_string(&mut text, value),
                Field::Texts(values) => push_list(&mut text, values),
                Field::Number(value) => text.push_str(&value.to_string()),
                Field::Flag(value) => text.push_str(if value { "true" } else { "false" }),
                Field::None => {}
            }
        }
        text.push('}');
        Self(text)
    }
}

fn push_list(text: &mut String, values: &[String]) {
    text.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_json_string(text, value);
    }
    text.push(']');
}

/// Appends `value` to `text` as a JSON string (RFC 8259 section 7), quotes included.
pub fn push_json_string(text: &mut String, value: &str) {
    use std::fmt::Write;
    text.push('"');
    let mut rest = value;
    // Most strings need no escape, so what lies between escapes goes in one piece.
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        text.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            control => {
                let _ = write!(text, "\\u{control:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text.push('"');
}

/// The type of events that tell who changes what.
pub const AUDIT: &str = "audit";

/// An event that has no place in the ledger yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// 1 to `limits::EVENT_TYPE_BYTES_MAX` bytes of `A-Z a-z 0-9 . _ -`.
    pub kind: String,
    /// Where it came from.
    pub source: Source,
    /// How grave it is.
    pub severity: Severity,
    /// One line for people, at most `limits::EVENT_MESSAGE_BYTES_MAX` bytes.
    pub message: String,
    /// A JSON object: for a webhook, the caller's body.
    pub metadata: JsonText,
}

/// An event with its place and time. What the ledger keeps and everybody is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Place in the ledger.
    pub seq: Seq,
    /// When the agent took it, by the calendar it had then.
    pub at: Wall,
    /// As in `EventDraft`.
    pub kind: String,
    /// As in `EventDraft`.
    pub source: Source,
    /// As in `EventDraft`.
    pub severity: Severity,
    /// As in `EventDraft`.
    pub message: String,
    /// As in `EventDraft`.
    pub metadata: JsonText,
}

/// Which events a reader wants. Empty lists mean "all".
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Exact types, or a prefix ending in `*`.
    pub kinds: Vec<String>,
    /// Severities wanted, each named exactly.
    pub severities: Vec<Severity>,
    /// Sources wanted.
    pub sources: Vec<Source>,
    /// Events of this moment and later ones.
    pub from: Option<Wall>,
    /// Events before this moment.
    pub until: Option<Wall>,
}

impl EventFilter {
    /// Whether an event with these properties passes.
    #[must_use]
    pub fn matches(&self, kind: &str, severity: Severity, source: Source) -> bool {
        (self.kinds.is_empty() || self.kinds.iter().any(|pattern| kind_matches(pattern, kind)))
            && (self.severities.is_empty() || self.severities.contains(&severity))
            && (self.sources.is_empty() || self.sources.contains(&source))
    }
}

impl EventFilter {
    /// Whether an event of this moment passes.
    #[must_use]
    pub fn is_in_time(&self, at: Wall) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }
}

fn kind_matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}
