//! JSON as views into checked text: nothing is copied until it is asked for, so reading costs no memory.
//!
//! `miniserde` checks the text (RFC 8259) once; a [`Json`] is then a slice of it. Of a name that occurs twice in an
//! object the last one counts, as in the Python services. Not here: trees, and numbers beyond what `f64` holds.

use std::borrow::Cow;

use miniserde::de::{Deserialize, Visitor};

/// Deepest nesting of lists and objects that is read. Beyond: `TextFault::TooDeep`.
pub const DEPTH_MAX: usize = 32;

/// Why bytes are no JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFault {
    /// Not UTF-8.
    NotUtf8,
    /// Not one JSON value, or a number beyond `f64`, or half a surrogate pair.
    NotJson,
    /// Nested deeper than `DEPTH_MAX`.
    TooDeep,
}

impl std::fmt::Display for TextFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("body is not UTF-8"),
            Self::NotJson => f.write_str("body is not valid JSON"),
            Self::TooDeep => write!(f, "body is nested deeper than {DEPTH_MAX} levels"),
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Kind {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// One value inside a checked text, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Checks a whole text.
    ///
    /// # Errors
    /// If it is not exactly one JSON value in UTF-8, or nested deeper than `DEPTH_MAX`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TextFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| TextFault::NotUtf8)?;
        if depth(bytes) > DEPTH_MAX {
            return Err(TextFault::TooDeep);
        }
        miniserde::json::from_str::<Checked>(text).map_err(|_| TextFault::NotJson)?;
        Ok(Self(text.trim_matches(is_space)))
    }

    /// The value's own text.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The member of an object; `None` if there is none or this is no object.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        self.fields().filter(|(key, _)| key == name).last().map(|(_, value)| value)
    }

    /// As `get`, but `null` counts as missing.
    #[must_use]
    pub fn some(self, name: &str) -> Option<Json<'a>> {
        self.get(name).filter(|value| value.kind() != Kind::Null)
    }

    /// A member of members.
    #[must_use]
    pub fn at(self, path: &[&str]) -> Option<Json<'a>> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// The content of a string.
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::Text).then(|| unescape(self.0)).flatten()
    }

    /// A boolean.
    #[must_use]
    pub fn bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A number.
    #[must_use]
    pub fn f64(self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.0.parse().ok()).flatten()
    }

    /// A whole number of 0 or more, however it is written (`5`, `5.0`, `5e0`); beyond 2^53 only if written plainly.
    #[must_use]
    pub fn u64(self) -> Option<u64> {
        let float = || self.f64().filter(|n| n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(n));
        match self.0.parse() {
            Ok(whole) if self.kind() == Kind::Number => Some(whole),
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a whole number of 0 to 2^53
            _ => float().map(|n| n as u64),
        }
    }

    /// The members of an object in their order; nothing for anything else.
    #[must_use]
    pub fn fields(self) -> Fields<'a> {
        Fields(self.0.strip_prefix('{').unwrap_or(""))
    }

    /// The items of a list in their order; nothing for anything else.
    #[must_use]
    pub fn items(self) -> Items<'a> {
        Items(self.0.strip_prefix('[').unwrap_or(""))
    }

    /// The same text without white space between its tokens. Order, numbers and escapes stay as they were written.
    #[must_use]
    pub fn compact(self) -> String {
        let mut out = String::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some(next) = rest.chars().next() {
            let (token, after) = rest.split_at(if next == '"' { string_len(rest) } else { next.len_utf8() });
            if !is_space(next) {
                out.push_str(token);
            }
            rest = after;
        }
        out
    }
}

/// See [`Json::fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches(|c| is_space(c) || c == ',');
        if !rest.starts_with('"') {
            self.0 = "";
            return None;
        }
        let (name, rest) = rest.split_at(string_len(rest));
        let rest = rest.trim_start_matches(|c| is_space(c) || c == ':');
        let (value, rest) = rest.split_at(value_len(rest));
        self.0 = rest;
        Some((unescape(name)?, Json(value)))
    }
}

/// See [`Json::items`].
#[derive(Clone, Debug)]
pub struct Items<'a>(&'a str);

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches(|c| is_space(c) || c == ',');
        let (value, rest) = rest.split_at(value_len(rest));
        self.0 = rest;
        (!value.is_empty()).then_some(Json(value))
    }
}

/// Appends `"name":` with a comma before it unless it is the first member. Names must need no escape.
pub fn push_name(out: &mut String, name: &str) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

/// Appends a member with a string value.
pub fn push_text(out: &mut String, name: &str, value: &str) {
    push_name(out, name);
    crate::agent::event::push_json_string(out, value);
}

/// Appends a member whose value is JSON already.
pub fn push_raw(out: &mut String, name: &str, value: &str) {
    push_name(out, name);
    out.push_str(value);
}

/// Appends a member with a number, at most two digits after the point; what is no number is written as 0.
pub fn push_number(out: &mut String, name: &str, value: f64) {
    let value = if value.is_finite() { value.clamp(-1e15, 1e15) } else { 0.0 };
    push_name(out, name);
    out.push_str(&((value * 100.0).round() / 100.0 + 0.0).to_string()); // + 0.0 turns -0 into 0
}

/// Appends a member with a list of strings.
pub fn push_texts<T: AsRef<str>>(out: &mut String, name: &str, values: &[T]) {
    push_name(out, name);
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        crate::agent::event::push_json_string(out, value.as_ref());
    }
    out.push(']');
}

/// Any value, read and forgotten: what is left is that it was valid.
struct Checked;

impl Deserialize for Checked {
    fn begin(out: &mut Option<Self>) -> &mut dyn Visitor {
        *out = Some(Self);
        <dyn Visitor>::ignore()
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The deepest nesting of brackets outside strings. Right for valid JSON, and not too small for what comes before the
/// first fault of anything else.
fn depth(bytes: &[u8]) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for b in bytes {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Bytes of the string at the start of `text`, both quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (index, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Bytes of the value at the start of `text`; 0 at the end of a list or object.
fn value_len(text: &str) -> usize {
    let (mut open, mut at) = (0usize, 0);
    while let Some(b) = text.as_bytes().get(at) {
        match b {
            b'"' => at += string_len(&text[at..]),
            b'[' | b'{' => {
                open += 1;
                at += 1;
            }
            b']' | b'}' if open > 0 => {
                open -= 1;
                at += 1;
            }
            b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' if open == 0 => break,
            _ => at += 1,
        }
        if open == 0 && matches!(b, b'"' | b']' | b'}') {
            break;
        }
    }
    at
}

/// The content of a string that was checked.
fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        return miniserde::json::from_str::<String>(quoted).ok().map(Cow::Owned);
    }
    quoted.get(1..quoted.len().checked_sub(1)?).map(Cow::Borrowed)
}

#[cfg(test)]
mod tests;
