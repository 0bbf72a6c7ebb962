//! Ollama's own API: `/api/chat`, streamed in lines, and `/api/tags`.

use std::borrow::Cow;

use super::chat::{Delta, Finish, fault_of_error};
use super::frames::{Cut, Frames};
use super::json::{Json, Kind, push_name, push_raw, push_text};
use super::openai::{Prompted, content_of};
use crate::agent::brain::speech::{Role, ToolCall};
use crate::agent::input::Fault;

/// The path that answers.
pub const CHAT_PATH: &str = "/api/chat";
/// The path that lists the models.
pub const TAGS_PATH: &str = "/api/tags";
/// What of a question in OpenAI's form is an option here, and its name.
const OPTIONS: [(&str, &str); 8] = [
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("seed", "seed"),
    ("stop", "stop"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("max_tokens", "num_predict"),
    ("max_completion_tokens", "num_predict"),
];

/// What a question in OpenAI's form is in Ollama's, streamed. `body` was checked by `openai::read`.
#[must_use]
pub fn from_question(body: Json<'_>, model: &str) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "model", model);
    push_name(&mut out, "messages");
    out.push('[');
    for message in body.get("messages").into_iter().flat_map(Json::items) {
        push_asked(&mut out, message);
    }
    out.push(']');
    if let Some(tools) = body.some("tools") {
        push_raw(&mut out, "tools", tools.raw());
    }
    push_format(&mut out, body);
    let mut options = String::from("{");
    for (name, theirs) in OPTIONS {
        if let Some(value) = body.some(name) {
            push_raw(&mut options, theirs, value.raw());
        }
    }
    options.push('}');
    push_raw(&mut out, "options", &options);
    out.push_str(",\"stream\":true}");
    out
}

fn push_format(out: &mut String, body: Json<'_>) {
    let Some(format) = body.some("response_format") else { return };
    match format.some("type").and_then(Json::text).as_deref() {
        Some("json_object") => push_text(out, "format", "json"),
        Some("json_schema") => {
            if let Some(schema) = format.at(&["json_schema", "schema"]) {
                push_raw(out, "format", schema.raw());
            }
        }
        _ => {}
    }
}

fn push_asked(out: &mut String, message: Json<'_>) {
    let role = message.some("role").and_then(Json::text).unwrap_or_default();
    super::openai::push_message(
        out,
        if role == "developer" { "system" } else { &role },
        &content_of(message),
    );
    push_images(out, message);
    let calls = message.some("tool_calls").into_iter().flat_map(Json::items);
    let mut list = String::from("[");
    for call in calls {
        let text = |path: &[&str]| call.at(path).and_then(Json::text).unwrap_or_default();
        push_call(&mut list, &text(&["function", "name"]), &text(&["function", "arguments"]));
    }
    close_message(out, list);
}

/// Images that are in the message itself; an address is not followed.
fn push_images(out: &mut String, message: Json<'_>) {
    let parts = message.some("content").into_iter().flat_map(Json::items);
    let urls = parts.filter_map(|part| part.at(&["image_url", "url"])?.text());
    let mut images = String::from("[");
    for url in urls {
        let Some((_, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) else {
            continue;
        };
        if images.len() > 1 {
            images.push(',');
        }
        crate::agent::event::push_json_string(&mut images, data);
    }
    if images.len() > 1 {
        images.push(']');
        push_raw(out, "images", &images);
    }
}

/// The question of a conversation, streamed.
#[must_use]
pub fn from_messages(prompted: &Prompted<'_>) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "model", prompted.model);
    push_name(&mut out, "messages");
    out.push('[');
    if !prompted.instruction.is_empty() {
        super::openai::push_message(&mut out, "system", prompted.instruction);
        out.push('}');
    }
    for (_, message) in prompted.messages {
        super::openai::push_message(&mut out, message.role.as_str(), &message.text);
        if message.role == Role::Tool {
            let mut called = prompted.messages.iter().flat_map(|(_, said)| &said.calls);
            let name = called.rfind(|call| call.id == message.call_id).map_or("", |call| &call.name);
            push_text(&mut out, "tool_name", name);
        }
        let mut list = String::from("[");
        for call in &message.calls {
            push_call(&mut list, &call.name, &call.arguments);
        }
        close_message(&mut out, list);
    }
    out.push(']');
    if prompted.tools.len() > 2 {
        push_raw(&mut out, "tools", prompted.tools);
    }
    let mut options = String::from("{");
    super::json::push_number(&mut options, "temperature", f64::from(prompted.temperature_milli) / 1_000.0);
    if prompted.max_tokens > 0 {
        push_raw(&mut options, "num_predict", &prompted.max_tokens.to_string());
    }
    options.push('}');
    push_raw(&mut out, "options", &options);
    out.push_str(",\"stream\":true}");
    out
}

fn close_message(out: &mut String, mut calls: String) {
    if calls.len() > 1 {
        calls.push(']');
        push_raw(out, "tool_calls", &calls);
    }
    out.push('}');
}

/// A call as Ollama writes it, its arguments as an object; in one line, as an answer's lines must be.
fn push_call(out: &mut String, name: &str, arguments: &str) {
    if !out.ends_with('[') {
        out.push(',');
    }
    out.push_str("{\"function\":{");
    push_text(out, "name", name);
    let object = Json::parse(arguments.as_bytes()).ok().filter(|json| json.kind() == Kind::Object);
    push_raw(out, "arguments", &object.map_or_else(|| "{}".to_owned(), Json::compact));
    out.push_str("}}");
}

/// Calls as Ollama writes them.
#[must_use]
pub fn calls_json(calls: &[ToolCall]) -> String {
    let mut out = String::from("[");
    for call in calls {
        push_call(&mut out, &call.name, &call.arguments);
    }
    out.push(']');
    out
}

/// Names in the answer of `TAGS_PATH`, at most `max` of them.
#[must_use]
pub fn model_names(body: &[u8], max: usize) -> Vec<String> {
    let Ok(json) = Json::parse(body) else { return Vec::new() };
    let names =
        json.get("models").into_iter().flat_map(Json::items).filter_map(|model| model.some("name")?.text());
    names.take(max).map(Cow::into_owned).collect()
}

/// Reads an answer as it comes.
#[derive(Debug)]
pub struct Lines {
    frames: Frames,
    calls: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { frames: Frames::new(Cut::Lines), calls: 0 }
    }
}

impl Lines {
    /// Takes what came.
    ///
    /// # Errors
    /// It is no line of such an answer, or too long a one.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.frames.push(bytes)?;
        while let Some(line) = self.frames.take() {
            read_line(line, &mut self.calls, out)?;
        }
        Ok(())
    }

    /// At the end of the body: a line that nothing ended.
    ///
    /// # Errors
    /// As `push`.
    pub fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        read_line(self.frames.rest(), &mut self.calls, out)
    }
}

fn read_line(line: &[u8], calls: &mut usize, out: &mut Vec<Delta>) -> Result<(), Fault> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    let json = Json::parse(line).ok().filter(|json| json.kind() == Kind::Object).ok_or(Fault::Garbage)?;
    if let Some(error) = json.some("error") {
        out.push(Delta::Failed(fault_of_error(error)));
        return Ok(());
    }
    out.extend(json.some("model").and_then(|model| Some(Delta::Model(model.text()?.into_owned()))));
    if let Some(message) = json.some("message") {
        read_message(message, calls, out);
    }
    if json.get("done").and_then(Json::bool) == Some(true) {
        read_end(json, out);
    }
    Ok(())
}

fn read_message(message: Json<'_>, calls: &mut usize, out: &mut Vec<Delta>) {
    let text = |name| message.some(name).and_then(Json::text).filter(|text| !text.is_empty());
    out.extend(text("thinking").map(|_| Delta::Other));
    out.extend(text("content").map(|text| Delta::Text(text.into_owned())));
    for call in message.some("tool_calls").into_iter().flat_map(Json::items) {
        let name = call.at(&["function", "name"]).and_then(Json::text).unwrap_or_default().into_owned();
        let arguments = call.at(&["function", "arguments"]).map_or("{}", Json::raw).to_owned();
        let id = format!("call_{calls}");
        out.push(Delta::Call { index: *calls, id, name, arguments });
        *calls = calls.saturating_add(1);
    }
}

fn read_end(json: Json<'_>, out: &mut Vec<Delta>) {
    let count = |name| json.some(name).and_then(Json::u64).and_then(|n| u32::try_from(n).ok());
    let tokens_in = count("prompt_eval_count").unwrap_or(0); // left out if all of it was known from before
    out.extend(count("eval_count").map(|tokens_out| Delta::Usage { tokens_in, tokens_out }));
    let word = json.some("done_reason").and_then(Json::text);
    out.push(Delta::Finish(Finish::parse(word.as_deref().unwrap_or("stop"))));
    out.push(Delta::Done);
}

#[cfg(test)]
#[path = "ollama_tests.rs"]
mod tests;
