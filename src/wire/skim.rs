//! Reads a few members of a JSON object while it passes by, however long it is: small values are kept, and the text of one
//! member can be had as it comes. What is inside other members is not looked at.

use std::borrow::Cow;

use super::json::Json;
use crate::agent::input::Fault;

/// Longest value that is kept, in bytes. Beyond: it counts as there, without a value.
const VALUE_BYTES_MAX: usize = 2 * 1024;
/// Longest name that is told from others, in bytes, quotes included.
const NAME_BYTES_MAX: usize = 34;

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Before,
    /// A name or the end.
    Members,
    Name,
    Colon,
    Value(Sink),
    After,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Passed,
    Kept,
    Told,
}

/// A reader of one object.
#[derive(Debug)]
pub struct Skim {
    kept_names: &'static [&'static str],
    told_name: &'static str,
    at: At,
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    has_value: bool,
    name: Vec<u8>,
    /// The value at hand, if it is kept.
    value: Vec<u8>,
    /// What of the told text is not decoded yet.
    told: Vec<u8>,
    /// Whether a told text ended within a character.
    is_torn: bool,
    found: Vec<(&'static str, String)>,
}

impl Skim {
    /// `kept_names`: members whose values are kept; `told_name`: the member whose text is told as it comes, if it is one.
    #[must_use]
    pub fn new(kept_names: &'static [&'static str], told_name: &'static str) -> Self {
        Self {
            kept_names,
            told_name,
            at: At::Before,
            depth: 0,
            in_string: false,
            is_escaped: false,
            has_value: false,
            name: Vec::new(),
            value: Vec::new(),
            told: Vec::new(),
            is_torn: false,
            found: Vec::new(),
        }
    }

    /// Takes what came; the told text goes to `text`.
    ///
    /// # Errors
    /// It is not an object, or the told text is no text.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) -> Result<(), Fault> {
        for byte in bytes {
            self.take(*byte)?;
        }
        self.tell(text)
    }

    /// The value of a kept member as written, `null` counting as none; empty if it was too long.
    #[must_use]
    pub fn found(&self, name: &str) -> Option<&str> {
        let (_, value) = self.found.iter().rev().find(|(kept, _)| *kept == name)?;
        (value != "null").then_some(value)
    }

    /// Whether the object is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.at == At::After
    }

    fn take(&mut self, byte: u8) -> Result<(), Fault> {
        let is_space = byte.is_ascii_whitespace();
        match self.at {
            At::Before | At::Members | At::Colon | At::After if is_space => {}
            At::Before if byte == b'{' => self.at = At::Members,
            At::Members if byte == b'"' => {
                self.name.clear();
                self.name.push(byte);
                self.at = At::Name;
            }
            At::Members if byte == b',' => {}
            At::Members if byte == b'}' => self.at = At::After,
            At::Name => self.take_name(byte),
            At::Colon if byte == b':' => self.enter_value(),
            At::Value(sink) => self.take_value(byte, sink),
            _ => return Err(Fault::Garbage),
        }
        Ok(())
    }

    fn take_name(&mut self, byte: u8) {
        if self.name.len() < NAME_BYTES_MAX {
            self.name.push(byte);
        }
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.at = At::Colon,
            _ => {}
        }
    }

    fn enter_value(&mut self) {
        let is = |name: &str| self.name.get(1..self.name.len() - 1) == Some(name.as_bytes());
        let sink = if is(self.told_name) {
            Sink::Told
        } else if self.kept_names.iter().any(|name| is(name)) {
            Sink::Kept
        } else {
            Sink::Passed
        };
        self.value.clear();
        self.has_value = false;
        self.at = At::Value(sink);
    }

    fn take_value(&mut self, byte: u8, sink: Sink) {
        let (mut is_end, mut is_part) = (false, true);
        let was_in_text = self.in_string && self.depth == 0;
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => {
                self.in_string = !self.in_string;
                is_end = !self.in_string && self.depth == 0;
            }
            _ if self.in_string => {}
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                is_end = self.depth == 0;
            }
            b',' | b'}' | b']' if self.depth == 0 => (is_end, is_part) = (true, false),
            _ if byte.is_ascii_whitespace() => {
                is_part = self.depth > 0;
                is_end = self.depth == 0 && self.has_value;
            }
            _ => {}
        }
        self.has_value |= is_part;
        if is_part && sink == Sink::Kept && self.value.len() <= VALUE_BYTES_MAX {
            self.value.push(byte);
        }
        if was_in_text && sink == Sink::Told && !is_end {
            self.told.push(byte);
        }
        if is_end {
            self.end_value(sink);
            self.at = if byte == b'}' && !is_part { At::After } else { At::Members };
        }
    }

    fn end_value(&mut self, sink: Sink) {
        self.is_torn |= sink == Sink::Told && whole_characters(&self.told) < self.told.len();
        if sink != Sink::Kept {
            return;
        }
        let name = self.kept_names.iter().find(|name| self.name[1..self.name.len() - 1] == *name.as_bytes());
        let value = if self.value.len() > VALUE_BYTES_MAX { &[] } else { &*self.value };
        let value = String::from_utf8_lossy(value).into_owned();
        if let Some(name) = name
            && self.found.len() < 2 * self.kept_names.len()
        {
            self.found.push((name, value));
        }
    }
}

impl Skim {
    /// Decodes what is whole of the told text.
    fn tell(&mut self, text: &mut String) -> Result<(), Fault> {
        let end = whole_characters(&self.told);
        if self.is_torn {
            return Err(Fault::Garbage);
        }
        if end == 0 {
            return Ok(());
        }
        let mut quoted = Vec::with_capacity(end + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(&self.told[..end]);
        quoted.push(b'"');
        let decoded = Json::parse(&quoted).ok().and_then(|json| json.text().map(Cow::into_owned));
        text.push_str(&decoded.ok_or(Fault::Garbage)?);
        self.told.drain(..end);
        Ok(())
    }
}

/// Bytes at the start that are whole characters and escapes. What is neither is left to the decoder to find fault with.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(first) = bytes.get(at) {
        let len = match first {
            b'\\' if bytes.get(at + 1) != Some(&b'u') => 2,
            b'\\' if is_high_surrogate(&bytes[at..]) => 12,
            b'\\' => 6,
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        };
        if at + len > bytes.len() {
            break;
        }
        at += len;
    }
    at
}

/// Whether an escape is the first half of a character (RFC 8259, section 7).
fn is_high_surrogate(escape: &[u8]) -> bool {
    matches!(escape.get(2..4), Some([b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skim(text: &str, step: usize) -> (Skim, String, Result<(), Fault>) {
        let mut skim = Skim::new(&["model", "usage"], "content");
        let mut told = String::new();
        let result = text.as_bytes().chunks(step).try_for_each(|piece| skim.push(piece, &mut told));
        (skim, told, result)
    }

    #[test]
    fn members_and_text_are_the_same_however_the_object_is_cut() {
        let text = r#" {"a":{"model":"no","content":"no","s":"}]\""},"model" : "m\"1", "content":"\u00e9\ud83d\ude00 é😀\n\\","n":-1e5,
            "usage":{"in":[1,{"x":"]"}]} ,"list":["content",{}],"z":null} "#;
        for step in 1..=text.len() {
            let (skim, told, result) = skim(text, step);
            assert_eq!(result, Ok(()), "{step}");
            assert_eq!(told, "\u{e9}\u{1f600} \u{e9}\u{1f600}\n\\", "{step}");
            assert_eq!(skim.found("model"), Some(r#""m\"1""#), "{step}");
            assert_eq!(skim.found("usage"), Some(r#"{"in":[1,{"x":"]"}]}"#), "{step}");
            assert!(skim.is_whole(), "{step}");
        }
    }

    #[test]
    fn what_is_no_object_or_not_whole_is_told() {
        for bad in ["<html>", "[1]", "{1:2}", "{\"a\" 1}", "{} x", "\"a\""] {
            assert_eq!(skim(bad, 3).2, Err(Fault::Garbage), "{bad}");
        }
        for bad in [
            r#"{"content":"\ud83dxxxxxxxx"}"#,
            r#"{"content":"\ud83d","a":1}"#,
            r#"{"content":"\q"}"#,
            "{\"content\":\"a\nb\"}",
        ] {
            assert_eq!(skim(bad, 64).2, Err(Fault::Garbage), "{bad}");
        }
        let whole = r#"{"content":"abc","model":"m"}"#;
        for end in 0..whole.len() {
            let (skim, _, result) = skim(&whole[..end], 4);
            assert!(result.is_ok() && !skim.is_whole(), "{end}");
        }
        assert!(skim(r#"{"content":null,"model":null}"#, 5).0.found("model").is_none());
        assert_eq!(skim(r#"{"content":{"a":"b"}}"#, 5).1, "");
    }

    #[test]
    fn a_long_text_passes_and_is_not_kept() {
        let text = format!(r#"{{"model":"{}","content":"{}"}}"#, "m".repeat(5_000), "x".repeat(100_000));
        let (skim, told, result) = skim(&text, 4_096);
        assert_eq!((result, told.len(), skim.found("model")), (Ok(()), 100_000, Some("")));
        assert!(skim.told.capacity() <= 16 * 1024 && skim.value.capacity() <= 8 * 1024);
    }
}
