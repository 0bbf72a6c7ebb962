//! MacLink: whether a model is ready, and one answer in one piece.

use super::chat::{Delta, Finish};
use super::json::{Json, Kind, push_number, push_raw, push_text};
use super::openai::Prompted;
use super::skim::Skim;
use crate::agent::brain::speech::Role;
use crate::agent::input::Fault;

/// The path that lists the models.
pub const MODELS_PATH: &str = "/api/models";
/// The path that answers.
pub const GENERATE_PATH: &str = "/api/generate";

/// The path that tells how a model is.
#[must_use]
pub fn status_path(model: &str) -> String {
    let mut path = String::from("/api/models/");
    for b in model.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~:@".contains(&b) {
            path.push(char::from(b));
        } else {
            path.push_str(&format!("%{b:02X}"));
        }
    }
    path.push_str("/status");
    path
}

/// Whether the answer of `status_path` says that the model is ready; else what it says.
///
/// # Errors
/// The word that it says instead, at most 64 bytes; empty if it says nothing.
pub fn ready(body: &[u8]) -> Result<(), String> {
    let json = Json::parse(body).ok();
    let status = json.and_then(|json| json.some("status")?.text());
    match status.as_deref() {
        Some("ready") => Ok(()),
        status => Err(super::words::one_line(status.unwrap_or(""), super::chat::NAME_BYTES_MAX)),
    }
}

/// The first model of the answer of `MODELS_PATH` that is ready, or says nothing of that.
#[must_use]
pub fn first_ready(body: &[u8]) -> Option<String> {
    let json = Json::parse(body).ok()?;
    let mut models = json.get("models").unwrap_or(json).items();
    let is_ready =
        |model: Json<'_>| model.some("status").is_none_or(|status| status.text().as_deref() == Some("ready"));
    let found = models.find(|model| is_ready(*model))?;
    let name = found.some("name").unwrap_or(found);
    name.text().map(std::borrow::Cow::into_owned)
}

/// What a question in OpenAI's form is in MacLink's: the last message is the prompt. `body` was checked by `openai::read`.
#[must_use]
pub fn from_question(body: Json<'_>, model: &str) -> String {
    let mut said = Said::default();
    for message in body.get("messages").into_iter().flat_map(Json::items) {
        let text = super::openai::content_of(message);
        let role = message.some("role").and_then(Json::text).unwrap_or_default();
        said.say(&role, text);
    }
    let mut out = said.finish(model);
    for (name, theirs) in [
        ("max_tokens", "max_tokens"),
        ("max_completion_tokens", "max_tokens"),
        ("temperature", "temperature"),
    ] {
        if let Some(value) = body.some(name).filter(|value| value.kind() == Kind::Number) {
            push_raw(&mut out, theirs, value.raw());
        }
    }
    push_raw(
        &mut out,
        "top_p",
        body.some("top_p").filter(|v| v.kind() == Kind::Number).map_or("0.9", Json::raw),
    );
    let stop = body.some("stop");
    match stop.filter(|stop| stop.kind() == Kind::List) {
        Some(list) => push_raw(&mut out, "stop_sequences", list.raw()),
        None => {
            let one = stop.filter(|stop| stop.kind() == Kind::Text).map_or("", Json::raw);
            push_raw(&mut out, "stop_sequences", &format!("[{one}]"));
        }
    }
    out.push('}');
    out
}

/// The question of a conversation. Tools are not for MacLink: calls are left out, and their results are told as text.
#[must_use]
pub fn from_messages(prompted: &Prompted<'_>) -> String {
    let mut said = Said { system: prompted.instruction.to_owned(), ..Said::default() };
    for (_, message) in prompted.messages {
        match message.role {
            Role::Tool => said.say("user", format!("Result of {}: {}", message.call_id, message.text)),
            role => said.say(role.as_str(), message.text.clone()),
        }
    }
    let mut out = said.finish(prompted.model);
    if prompted.max_tokens > 0 {
        push_number(&mut out, "max_tokens", f64::from(prompted.max_tokens));
    }
    push_number(&mut out, "temperature", f64::from(prompted.temperature_milli) / 1_000.0);
    out.push_str(",\"top_p\":0.9,\"stop_sequences\":[]}");
    out
}

/// A conversation as MacLink takes it.
#[derive(Default)]
struct Said {
    system: String,
    /// JSON objects, each with a comma before it but the first.
    history: String,
    /// The last message, which is not in the history yet.
    last: Option<(String, String)>,
}

impl Said {
    fn say(&mut self, role: &str, text: String) {
        if matches!(role, "system" | "developer") {
            if !self.system.is_empty() {
                self.system.push('\n');
            }
            return self.system.push_str(&text);
        }
        if let Some((role, text)) = self.last.replace((role.to_owned(), text)) {
            if !self.history.is_empty() {
                self.history.push(',');
            }
            self.history.push('{');
            push_text(&mut self.history, "role", &role);
            push_text(&mut self.history, "content", &text);
            self.history.push('}');
        }
    }

    fn finish(self, model: &str) -> String {
        let mut out = String::from("{");
        push_text(&mut out, "prompt", &self.last.map_or_else(String::new, |(_, text)| text));
        push_text(&mut out, "model_name", model);
        push_text(&mut out, "system_message", &self.system);
        push_raw(&mut out, "conversation_history", &format!("[{}]", self.history));
        out
    }
}

/// Reads an answer as it comes.
#[derive(Debug)]
pub struct Answer(Skim);

impl Default for Answer {
    fn default() -> Self {
        Self(Skim::new(&["tokens_used", "model", "error"], "content"))
    }
}

impl Answer {
    /// Takes what came.
    ///
    /// # Errors
    /// It is no answer of a MacLink.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), Fault> {
        let mut text = String::new();
        self.0.push(bytes, &mut text)?;
        if !text.is_empty() {
            out.push(Delta::Text(text));
        }
        Ok(())
    }

    /// At the end of the body. `tokens_in`: as estimated, of the question; MacLink counts both together.
    ///
    /// # Errors
    /// The answer is not whole.
    pub fn end(&mut self, tokens_in: u32, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if !self.0.is_whole() {
            return Err(Fault::Reset);
        }
        if let Some(error) = self.0.found("error") {
            let error = Json::parse(error.as_bytes()).map_err(|_| Fault::Garbage)?;
            out.push(Delta::Failed(super::chat::fault_of_error(error)));
            return Ok(());
        }
        if let Some(used) = self.0.found("tokens_used").and_then(|text| text.parse::<u32>().ok()) {
            let tokens_in = tokens_in.min(used);
            out.push(Delta::Usage { tokens_in, tokens_out: used - tokens_in });
        }
        out.extend([Delta::Finish(Finish::Stop), Delta::Done]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::brain::speech::Message;
    use crate::agent::time::Wall;

    #[test]
    fn a_model_must_be_ready() {
        assert_eq!(ready(br#"{"status":"ready","x":1}"#), Ok(()));
        assert_eq!(ready(br#"{"status":"loading"}"#), Err("loading".to_owned()));
        for garbage in ["", "[]", "{}", "<html>", r#"{"status":5}"#] {
            assert_eq!(ready(garbage.as_bytes()), Err(String::new()), "{garbage}");
        }
        assert_eq!(status_path("llama2"), "/api/models/llama2/status");
        assert_eq!(status_path("a/b ?é"), "/api/models/a%2Fb%20%3F%C3%A9/status");
        let models =
            r#"{"models":[{"name":"a","status":"stopped"},{"name":"b","status":"ready"},{"name":"c"}]}"#;
        assert_eq!(first_ready(models.as_bytes()).as_deref(), Some("b"));
        for none in ["", "{}", r#"{"models":[]}"#, r#"{"models":[{"status":"ready"}]}"#] {
            assert_eq!(first_ready(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_question_becomes_a_prompt_with_its_history() {
        let body = r#"{"model":"x","temperature":0.5,"stop":"END","max_tokens":9,"messages":[{"role":"system","content":"be \"kind\""},
            {"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":[{"type":"text","text":"three"}]}]}"#;
        let json = Json::parse(body.as_bytes()).expect("JSON");
        let made = from_question(json, "llama2");
        let made = Json::parse(made.as_bytes()).expect("JSON");
        let text = |name: &str| made.get(name).and_then(Json::text).map(std::borrow::Cow::into_owned);
        assert_eq!(text("prompt").as_deref(), Some("three"));
        assert_eq!(text("model_name").as_deref(), Some("llama2"));
        assert_eq!(text("system_message").as_deref(), Some("be \"kind\""));
        let history = made.get("conversation_history").map(Json::raw);
        assert_eq!(
            history,
            Some(r#"[{"role":"user","content":"one"},{"role":"assistant","content":"two"}]"#)
        );
        assert_eq!(made.get("stop_sequences").map(Json::raw), Some(r#"["END"]"#));
        assert_eq!(
            (made.get("max_tokens").map(Json::raw), made.get("top_p").map(Json::raw)),
            (Some("9"), Some("0.9"))
        );
        let message = |role, text: &str| Message {
            role,
            text: text.to_owned(),
            at: Wall(0),
            calls: Vec::new(),
            call_id: String::new(),
            is_partial: false,
        };
        let said = [
            (1, message(Role::User, "a")),
            (2, message(Role::Assistant, "b")),
            (3, message(Role::User, "c")),
        ];
        let (model, instruction, tools) = ("m", "i", "");
        let prompted =
            Prompted { model, instruction, messages: &said, tools, max_tokens: 5, temperature_milli: 700 };
        let made = from_messages(&prompted);
        assert!(Json::parse(made.as_bytes()).is_ok() && made.contains(r#""prompt":"c""#), "{made}");
        assert!(
            made.contains(r#""temperature":0.7"#) && made.contains(r#"{"role":"assistant","content":"b"}"#),
            "{made}"
        );
        assert!(Json::parse(from_messages(&Prompted { messages: &[], ..prompted }).as_bytes()).is_ok());
    }

    fn read(text: &str, step: usize) -> Result<Vec<Delta>, Fault> {
        let (mut answer, mut out) = (Answer::default(), Vec::new());
        text.as_bytes().chunks(step).try_for_each(|piece| answer.push(piece, &mut out))?;
        answer.end(3, &mut out)?;
        Ok(out)
    }

    #[test]
    fn an_answer_comes_as_text_with_what_it_cost() {
        let out = read(r#"{"content":"hello","tokens_used":10}"#, 1_000).expect("an answer");
        let usage = Delta::Usage { tokens_in: 3, tokens_out: 7 };
        assert_eq!(out, [Delta::Text("hello".to_owned()), usage, Delta::Finish(Finish::Stop), Delta::Done]);
        let out = read(r#"{"error":"boom"}"#, 1).expect("an answer");
        assert!(matches!(&*out, [Delta::Failed(_)]), "{out:?}");
        assert_eq!(read("<html>", 1), Err(Fault::Garbage));
        assert_eq!(read(r#"{"content":"he"#, 1), Err(Fault::Reset));
        assert_eq!(read("", 1), Err(Fault::Reset));
    }
}
