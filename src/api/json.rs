//! A writer of compact JSON into a `String`: no tree, no allocation beyond the text.
//!
//! It puts commas by looking at the last byte written, so it needs no stack. That the calls nest well is
//! the caller's business; a test parses every answer of the API.

use std::fmt::Write as _;

use crate::agent::event::push_json_string;
use crate::agent::time::Wall;
use crate::wire::time::format_rfc3339;

/// JSON text under construction.
#[derive(Debug, Default)]
pub(crate) struct Json(String);

impl Json {
    /// Starts with an open object.
    pub(crate) fn object() -> Self {
        Self::object_of(256)
    }

    /// The same, with room for this many bytes.
    pub(crate) fn object_of(bytes: usize) -> Self {
        let mut json = Self(String::with_capacity(bytes));
        json.open('{');
        json
    }

    /// Starts with an open array.
    pub(crate) fn array() -> Self {
        Self("[".to_owned())
    }

    /// Closes the outermost object and gives the text.
    pub(crate) fn end_object(mut self) -> String {
        self.close('}');
        self.0
    }

    /// Closes the outermost array and gives the text.
    pub(crate) fn end_array(mut self) -> String {
        self.close(']');
        self.0
    }

    /// Gives the text as it stands.
    pub(crate) fn end(self) -> String {
        self.0
    }

    fn comma(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':' | b',')) {
            self.0.push(',');
        }
    }

    /// Opens an object `{` or array `[` as the next element.
    pub(crate) fn open(&mut self, bracket: char) {
        self.comma();
        self.0.push(bracket);
    }

    /// Closes with `}` or `]`.
    pub(crate) fn close(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    /// Writes the key of the next value.
    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.comma();
        push_json_string(&mut self.0, key);
        self.0.push(':');
        self
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.comma();
        self.0.push_str(json);
    }

    /// A string.
    pub(crate) fn text(&mut self, value: &str) {
        self.comma();
        push_json_string(&mut self.0, value);
    }

    /// A number that needs no care.
    pub(crate) fn number(&mut self, value: u64) {
        self.comma();
        let _ = write!(self.0, "{value}");
    }

    /// A number with up to three decimals; what JSON cannot say becomes `null`.
    pub(crate) fn float(&mut self, value: f64) {
        self.comma();
        if value.is_finite() {
            let _ = write!(self.0, "{}", (value * 1000.0).round() / 1000.0);
        } else {
            self.0.push_str("null");
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// A string or `null`.
    pub(crate) fn text_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.raw("null"),
        }
    }

    /// A number or `null`.
    pub(crate) fn number_or_null(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.number(value),
            None => self.raw("null"),
        }
    }

    /// A time as RFC 3339 text.
    pub(crate) fn time(&mut self, at: Wall) {
        self.text(&format_rfc3339(at));
    }

    /// A time as RFC 3339 text, or `null`.
    pub(crate) fn time_or_null(&mut self, at: Option<Wall>) {
        self.text_or_null(at.map(format_rfc3339).as_deref());
    }

    /// A list of strings.
    pub(crate) fn texts<T: AsRef<str>>(&mut self, values: &[T]) {
        self.open('[');
        for value in values {
            self.text(value.as_ref());
        }
        self.close(']');
    }
}
