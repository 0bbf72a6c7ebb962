//! OpenAI's chat completions, from both sides: what programs on the board ask, and what a provider is asked and answers.
//!
//! A caller's question goes on as it was written but for its `model`, and so does the answer: members that are not known here
//! survive. Only an answer of another kind of provider is written anew (`encode`).

mod encode;
mod stream;

use std::borrow::Cow;

use super::chat::tokens_of;
use super::json::{Json, Kind, push_name, push_number, push_raw, push_text, push_texts};
use crate::agent::brain::speech::{Message, Role};
pub use encode::{Encoder, Shape};
pub use stream::{Events, Passed};

/// What is appended to a provider's `base_url`.
pub const CHAT_PATH: &str = "/chat/completions";
/// Most bytes of a model's name that a caller may ask for.
const MODEL_BYTES_MAX: usize = 200;

/// What must be known of a question to pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `model`; empty: none.
    pub model: String,
    /// `stream`.
    pub is_stream: bool,
    /// `stream_options.include_usage`.
    pub wants_usage: bool,
    /// Our own `queue`: whether the question is kept if no provider can be had.
    pub is_queued: bool,
    /// About how many tokens it is.
    pub tokens: u32,
}

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// The member; empty if it is not about one.
    pub param: &'static str,
    /// For people.
    pub message: String,
}

impl FieldFault {
    fn new(param: &'static str, message: impl Into<String>) -> Self {
        Self { param, message: message.into() }
    }

    /// The body of a 400 in OpenAI's shape.
    #[must_use]
    pub fn body(&self) -> String {
        error_body(&self.message, "invalid_request_error", self.param, "")
    }
}

/// Looks at a question.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(body: &[u8]) -> Result<Asked, FieldFault> {
    let json = Json::parse(body).map_err(|fault| FieldFault::new("", fault.to_string()))?;
    if json.kind() != Kind::Object {
        return Err(FieldFault::new("", format!("body must be an object, not {}", json.kind().as_str())));
    }
    check_messages(json)?;
    let model = member(json, "model", Kind::Text)?.and_then(Json::text).unwrap_or_default();
    if model.len() > MODEL_BYTES_MAX {
        return Err(FieldFault::new("model", format!("model must be at most {MODEL_BYTES_MAX} bytes")));
    }
    let is = |name| Ok(member(json, name, Kind::Bool)?.and_then(Json::bool) == Some(true));
    let options = member(json, "stream_options", Kind::Object)?;
    Ok(Asked {
        model: model.into_owned(),
        is_stream: is("stream")?,
        wants_usage: options.and_then(|o| o.get("include_usage")?.bool()) == Some(true),
        is_queued: is("queue")?,
        tokens: tokens_of(body.len() as u64),
    })
}

fn member<'a>(json: Json<'a>, name: &'static str, kind: Kind) -> Result<Option<Json<'a>>, FieldFault> {
    match json.some(name) {
        Some(value) if value.kind() != kind => {
            let (want, is) = (kind.as_str(), value.kind().as_str());
            Err(FieldFault::new(name, format!("{name} must be {want}, not {is}")))
        }
        value => Ok(value),
    }
}

fn check_messages(json: Json<'_>) -> Result<(), FieldFault> {
    let fault = |message: &str| Err(FieldFault::new("messages", message));
    let Some(messages) = member(json, "messages", Kind::List)? else { return fault("messages is missing") };
    if messages.items().next().is_none() {
        return fault("messages must not be empty");
    }
    let is_good = |message: Json<'_>| message.get("role").is_some_and(|role| role.kind() == Kind::Text);
    if messages.items().all(is_good) {
        Ok(())
    } else {
        fault("each of messages must be an object with a role")
    }
}

/// The question for a provider: as it came, but for the model (if one is named), whether it is streamed, and our own
/// members. `body` was checked by `read`.
#[must_use]
pub fn rewrite(body: &[u8], model: &str, is_stream: bool) -> String {
    let mut out = String::with_capacity(body.len() + model.len() + 32);
    out.push('{');
    let Ok(json) = Json::parse(body) else { return "{}".to_owned() };
    let has_stream = json.some("stream").is_some();
    for (name, value) in json.fields() {
        let is_dropped = match &*name {
            "model" => !model.is_empty(),
            "stream_options" => !is_stream,
            "queue" | "stream" => true,
            _ => false,
        };
        if !is_dropped {
            push_escaped_name(&mut out, &name);
            out.push_str(value.raw());
        }
    }
    if !model.is_empty() {
        push_text(&mut out, "model", model);
    }
    if is_stream || has_stream {
        push_raw(&mut out, "stream", if is_stream { "true" } else { "false" });
    }
    out.push('}');
    out
}

fn push_escaped_name(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    crate::agent::event::push_json_string(out, name);
    out.push(':');
}

/// What a conversation's next question is made of.
#[derive(Clone, Copy, Debug)]
pub struct Prompted<'a> {
    /// As the provider knows it; empty: its own.
    pub model: &'a str,
    /// Goes before the messages; may be empty.
    pub instruction: &'a str,
    /// Oldest first.
    pub messages: &'a [(u32, Message)],
    /// The tools it may call: a JSON array in OpenAI's form, or empty.
    pub tools: &'a str,
    /// Longest answer; 0: the provider's own limit.
    pub max_tokens: u32,
    /// In thousandths.
    pub temperature_milli: u32,
}

/// The question of a conversation, streamed. At OpenAI itself the newer names of members are used and the tokens are asked
/// for; compatible servers may know neither.
#[must_use]
pub fn from_messages(prompted: &Prompted<'_>, is_openai: bool) -> String {
    let mut out = String::from("{");
    if !prompted.model.is_empty() {
        push_text(&mut out, "model", prompted.model);
    }
    push_name(&mut out, "messages");
    out.push('[');
    if !prompted.instruction.is_empty() {
        push_message(&mut out, "system", prompted.instruction);
        out.push('}');
    }
    for (_, message) in prompted.messages {
        push_said(&mut out, message);
    }
    out.push(']');
    if prompted.tools.len() > 2 {
        push_raw(&mut out, "tools", prompted.tools);
    }
    if prompted.max_tokens > 0 {
        let name = if is_openai { "max_completion_tokens" } else { "max_tokens" };
        push_number(&mut out, name, f64::from(prompted.max_tokens));
    }
    push_number(&mut out, "temperature", f64::from(prompted.temperature_milli) / 1_000.0);
    out.push_str(",\"stream\":true");
    if is_openai {
        out.push_str(",\"stream_options\":{\"include_usage\":true}");
    }
    out.push('}');
    out
}

/// A message without its closing brace.
pub(super) fn push_message(out: &mut String, role: &str, text: &str) {
    if !out.ends_with('[') {
        out.push(',');
    }
    out.push('{');
    push_text(out, "role", role);
    push_text(out, "content", text);
}

fn push_said(out: &mut String, message: &Message) {
    push_message(out, message.role.as_str(), &message.text);
    if message.role == Role::Tool {
        push_text(out, "tool_call_id", &message.call_id);
    }
    if !message.calls.is_empty() {
        push_name(out, "tool_calls");
        out.push('[');
        for call in &message.calls {
            push_call(out, None, &call.id, &call.name, &call.arguments);
        }
        out.push(']');
    }
    out.push('}');
}

/// A call as OpenAI writes it, its arguments as a text.
pub(super) fn push_call(out: &mut String, index: Option<usize>, id: &str, name: &str, arguments: &str) {
    if !out.ends_with('[') {
        out.push(',');
    }
    out.push('{');
    if let Some(index) = index {
        push_raw(out, "index", &index.to_string());
    }
    if !id.is_empty() {
        push_text(out, "id", id);
    }
    push_raw(out, "type", "\"function\"");
    push_name(out, "function");
    out.push('{');
    if !name.is_empty() {
        push_text(out, "name", name);
    }
    push_text(out, "arguments", arguments);
    out.push_str("}}");
}

/// The text of a message: a string, or the text among its parts.
#[must_use]
pub fn content_of(message: Json<'_>) -> String {
    let Some(content) = message.some("content") else { return String::new() };
    if let Some(text) = content.text() {
        return text.into_owned();
    }
    let mut out = String::new();
    for text in content.items().filter_map(|part| part.some("text")?.text()) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&text);
    }
    out
}

/// An error in OpenAI's shape; an empty `param` or `code` is `null`.
#[must_use]
pub fn error_body(message: &str, kind: &str, param: &str, code: &str) -> String {
    let mut out = String::from("{\"error\":{");
    push_text(&mut out, "message", message);
    push_text(&mut out, "type", kind);
    for (name, value) in [("param", param), ("code", code)] {
        if value.is_empty() {
            push_raw(&mut out, name, "null");
        } else {
            push_text(&mut out, name, value);
        }
    }
    out.push_str("}}");
    out
}

/// The answer to `GET /v1/models`: names and who answers to them.
#[must_use]
pub fn models_body(models: &[(&str, &str)]) -> String {
    let mut out = String::from("{\"object\":\"list\",\"data\":[");
    for (index, (name, owner)) in models.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('{');
        push_text(&mut out, "id", name);
        out.push_str(",\"object\":\"model\",\"created\":0");
        push_text(&mut out, "owned_by", owner);
        out.push('}');
    }
    out.push_str("]}");
    out
}

/// Names in a `/models` answer of a provider, at most `max` of them.
#[must_use]
pub fn model_names(body: &[u8], max: usize) -> Vec<String> {
    let Ok(json) = Json::parse(body) else { return Vec::new() };
    let names =
        json.get("data").into_iter().flat_map(Json::items).filter_map(|model| model.some("id")?.text());
    names.take(max).map(Cow::into_owned).collect()
}

/// A question in OpenAI's form out of a list of texts, as other callers of the board write it: role and content of each.
#[must_use]
pub fn question(model: &str, messages: &[(&str, &str)], stop: &[&str]) -> String {
    let mut out = String::from("{");
    if !model.is_empty() {
        push_text(&mut out, "model", model);
    }
    push_name(&mut out, "messages");
    out.push('[');
    for (role, text) in messages {
        push_message(&mut out, role, text);
        out.push('}');
    }
    out.push(']');
    if !stop.is_empty() {
        push_texts(&mut out, "stop", stop);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests;
