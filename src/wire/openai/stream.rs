//! Answers of chat completions as they come: server-sent events, or one object that passes by.

use crate::agent::input::Fault;
use crate::wire::chat::{Delta, Finish, fault_of_error, tokens_of};
use crate::wire::frames::{Cut, Frames, data_of};
use crate::wire::json::{Json, Kind};
use crate::wire::skim::Skim;

/// Reads a streamed answer.
#[derive(Debug)]
pub struct Events(Frames);

impl Default for Events {
    fn default() -> Self {
        Self(Frames::new(Cut::Events))
    }
}

impl Events {
    /// Takes what came; to be followed by `next` until it gives nothing.
    ///
    /// # Errors
    /// An event is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.push(bytes)
    }

    /// Appends what the next event says to `out`, and gives the event as it came.
    ///
    /// # Errors
    /// It is not an event of this kind of answer.
    pub fn next(&mut self, out: &mut Vec<Delta>) -> Result<Option<&[u8]>, Fault> {
        let Some(event) = self.0.take() else { return Ok(None) };
        read_event(event, out)?;
        Ok(Some(event))
    }

    /// At the end of the body: an event that no empty line ended.
    ///
    /// # Errors
    /// As `next`.
    pub fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        read_event(self.0.rest(), out)
    }
}

fn read_event(event: &[u8], out: &mut Vec<Delta>) -> Result<(), Fault> {
    let data = data_of(event);
    match data.trim_ascii() {
        b"" if event.first().is_none_or(|b| b":dei\r\n".contains(b)) => Ok(()),
        b"" => Err(Fault::Garbage),
        b"[DONE]" => {
            out.push(Delta::Done);
            Ok(())
        }
        data => read_chunk(Json::parse(data).map_err(|_| Fault::Garbage)?, out),
    }
}

fn read_chunk(chunk: Json<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
    if chunk.kind() != Kind::Object {
        return Err(Fault::Garbage);
    }
    if let Some(error) = error_of(chunk) {
        out.push(Delta::Failed(fault_of_error(error)));
        return Ok(());
    }
    if let Some(model) = chunk.some("model").and_then(Json::text) {
        out.push(Delta::Model(model.into_owned()));
    }
    for choice in chunk.get("choices").into_iter().flat_map(Json::items) {
        read_choice(choice, out);
    }
    let usage = chunk.some("usage").or_else(|| chunk.at(&["x_groq", "usage"]));
    out.extend(usage.and_then(usage_of));
    Ok(())
}

/// The error object, or the object that is one.
fn error_of(chunk: Json<'_>) -> Option<Json<'_>> {
    let is_error = || chunk.some("object").and_then(Json::text).as_deref() == Some("error");
    chunk.some("error").or_else(|| is_error().then_some(chunk))
}

fn read_choice(choice: Json<'_>, out: &mut Vec<Delta>) {
    let said = choice.some("delta").or_else(|| choice.some("message"));
    for (name, value) in said.into_iter().flat_map(Json::fields) {
        match (&*name, value.kind()) {
            ("content", Kind::Text) => out.extend(value.text().map(|text| Delta::Text(text.into_owned()))),
            ("tool_calls", Kind::List) => {
                out.extend(value.items().enumerate().map(|(at, call)| read_call(at, call)));
            }
            ("role" | "refusal", _) => {}
            (_, Kind::Text) if value.raw().len() > 2 => out.push(Delta::Other),
            (_, Kind::List) if value.items().next().is_some() => out.push(Delta::Other),
            _ => {}
        }
    }
    if let Some(word) = choice.some("finish_reason").and_then(Json::text) {
        out.push(Delta::Finish(Finish::parse(&word)));
    }
}

fn read_call(at: usize, call: Json<'_>) -> Delta {
    let text = |path: &[&str]| call.at(path).and_then(Json::text).unwrap_or_default().into_owned();
    let index =
        call.some("index").and_then(Json::u64).map_or(at, |n| usize::try_from(n).unwrap_or(usize::MAX));
    Delta::Call {
        index,
        id: text(&["id"]),
        name: text(&["function", "name"]),
        arguments: text(&["function", "arguments"]),
    }
}

fn usage_of(usage: Json<'_>) -> Option<Delta> {
    let count = |name| usage.some(name).and_then(Json::u64).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let tokens_in = count("prompt_tokens")?;
    let tokens_out =
        count("completion_tokens").or_else(|| Some(count("total_tokens")?.saturating_sub(tokens_in)));
    Some(Delta::Usage { tokens_in, tokens_out: tokens_out.unwrap_or(0) })
}

/// Looks at an answer in one piece while it passes by.
#[derive(Debug)]
pub struct Passed {
    skim: Skim,
    bytes: u64,
}

impl Default for Passed {
    fn default() -> Self {
        Self { skim: Skim::new(&["error", "model", "usage", "object"], ""), bytes: 0 }
    }
}

impl Passed {
    /// Takes what came.
    ///
    /// # Errors
    /// It is no object.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len() as u64;
        self.skim.push(bytes, &mut String::new())
    }

    /// Bytes that came.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it says instead of an answer, as far as it came.
    #[must_use]
    pub fn error(&self) -> Option<Delta> {
        let is_error = self.skim.found("object") == Some("\"error\"");
        let error = self.skim.found("error").or(is_error.then_some("null"))?;
        // Too long to be kept, it is an error all the same.
        let json = Json::parse(error.as_bytes()).or_else(|_| Json::parse(b"null")).ok()?;
        Some(Delta::Failed(fault_of_error(json)))
    }

    /// At the end of the body.
    ///
    /// # Errors
    /// The answer is not whole.
    pub fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if !self.skim.is_whole() {
            return Err(if self.bytes == 0 { Fault::Garbage } else { Fault::Reset });
        }
        if let Some(error) = self.error() {
            out.push(error);
            return Ok(());
        }
        let json = |name| Json::parse(self.skim.found(name)?.as_bytes()).ok();
        out.extend(json("model").and_then(|model| Some(Delta::Model(model.text()?.into_owned()))));
        let usage = json("usage").and_then(usage_of);
        out.push(usage.unwrap_or(Delta::Usage { tokens_in: 0, tokens_out: tokens_of(self.bytes) }));
        out.push(Delta::Done);
        Ok(())
    }
}
