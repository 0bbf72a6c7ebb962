//! From requests to what is asked.

use super::answers::openai_error;
use super::{Asked, QuestionForm, SESSION_DEFAULT, SayForm, personas};
use crate::agent::brain::speech::{Caller, Question, Saying, is_session_name};
use crate::agent::ids::EventId;
use crate::agent::limits::{BODY_BYTES_MAX, INSTRUCTION_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::agent::time::Wall;
use crate::api::problem::{InputFault, Kind, Place, Problem};
use crate::api::{Request, Response, View, events, intake, shown};
use crate::wire::json::{self, Json, push_name, push_raw, push_text};
use crate::wire::openai;

/// Longest name of a model, a provider or a person, in bytes. Beyond: 422.
const NAME_BYTES_MAX: usize = 64;
/// Most of `context_data` that goes along, in bytes. Beyond: 422.
const CONTEXT_BYTES_MAX: usize = 8 * 1024;

/// Gathers the faults of a body while it is read.
struct Reader<'a> {
    body: Json<'a>,
    faults: Vec<InputFault>,
}

impl<'a> Reader<'a> {
    fn new(request: &Request<'a>) -> Result<Self, Response> {
        intake::check_media(request)?;
        let body = Json::parse(request.body)
            .map_err(|fault| Problem::new(Kind::NotJson, fault.to_string()).response())?;
        let mut reader = Self { body, faults: Vec::new() };
        if body.kind() != json::Kind::Object {
            reader.fault("", format!("body is {}, wanted an object", body.kind().as_str()));
        }
        Ok(reader)
    }

    fn fault(&mut self, name: &str, detail: String) {
        let place = if name.is_empty() { "#".to_owned() } else { format!("#/{name}") };
        self.faults.push(InputFault { place: Place::Body(place), detail });
    }

    fn end<T>(self, value: T) -> Result<T, Response> {
        if self.faults.is_empty() {
            return Ok(value);
        }
        Err(Problem::of_faults(Kind::InvalidFields, self.faults).into())
    }

    /// A text of at most `bytes_max` bytes; empty if it is not there.
    fn text(&mut self, name: &str, bytes_max: usize) -> String {
        let Some(value) = self.body.some(name) else { return String::new() };
        let Some(text) = value.text() else {
            self.fault(name, format!("{name} is {}, wanted a string", value.kind().as_str()));
            return String::new();
        };
        if text.len() > bytes_max {
            self.fault(name, format!("{name} has {} bytes, at most {bytes_max} are taken", text.len()));
            return String::new();
        }
        text.into_owned()
    }

    fn needed_text(&mut self, name: &str, bytes_max: usize) -> String {
        let count = self.faults.len();
        let text = self.text(name, bytes_max);
        if text.is_empty() && self.faults.len() == count {
            self.fault(name, format!("{name} is missing or empty"));
        }
        text
    }

    fn flag(&mut self, name: &str) -> bool {
        let Some(value) = self.body.some(name) else { return false };
        value.bool().unwrap_or_else(|| {
            self.fault(name, format!("{name} is {}, wanted true or false", value.kind().as_str()));
            false
        })
    }

    /// The first of these members that names a conversation.
    fn session(&mut self, names: &[&str]) -> Option<String> {
        let name = names.iter().find(|name| self.body.some(name).is_some())?;
        let text = self.text(name, NAME_BYTES_MAX);
        if !is_session_name(&text) {
            let detail =
                format!("{name} is \"{}\": must be 1 to 64 characters of A-Z a-z 0-9 . _ -", shown(&text));
            self.fault(name, detail);
        }
        Some(text)
    }

    /// What may be said of any saying.
    fn saying(&mut self, caller: Caller, session: String, text: String) -> Saying {
        let persona = self.text("persona", NAME_BYTES_MAX);
        let found = personas::find(if persona.is_empty() { &session } else { &persona });
        if found.is_none() && !persona.is_empty() {
            let names = personas::PERSONAS.map(|persona| persona.name).join(", ");
            self.fault("persona", format!("persona is \"{}\": must be one of {names}", shown(&persona)));
        }
        Saying {
            caller,
            by: String::new(),
            session,
            text,
            model: self.text("model", NAME_BYTES_MAX),
            provider: self.text("provider", NAME_BYTES_MAX),
            instruction: found.map_or_else(String::new, |persona| persona.instruction.to_owned()),
            may_wait: self.flag("queue"),
        }
    }
}

/// `POST /v1/chat/completions`. Members that are not looked at here go to the provider as they came.
pub(in crate::api) fn question(request: &Request<'_>, caller: Caller, at: Wall) -> Result<Asked, Response> {
    intake::check_media(request).map_err(|problem| {
        let text = format!("the body must be application/json, at most {BODY_BYTES_MAX} bytes");
        openai_error(problem.status, &text, "", "invalid_body")
    })?;
    let asked =
        openai::read(request.body).map_err(|fault| Response::text(400, "application/json", fault.body()))?;
    let otherwise = asked.is_queued.then(|| last_words(request.body, &asked.model, caller, at)).flatten();
    Ok(Asked::Question {
        question: Question { caller, model: asked.model, tokens: asked.tokens },
        body: request.body.to_vec(),
        form: QuestionForm::OpenAi { is_streamed: asked.is_stream, wants_usage: asked.wants_usage },
        otherwise,
    })
}

/// What a question that may wait says to a conversation of its own: the last message of a user, and all before it as its
/// instruction. `None` if there is no such message, or it is too long to be kept.
fn last_words(body: &[u8], model: &str, caller: Caller, at: Wall) -> Option<Box<Saying>> {
    let body = Json::parse(body).ok()?;
    let messages: Vec<Json<'_>> = body.some("messages")?.items().collect();
    let last = messages.iter().rposition(|message| role_of(*message) == "user")?;
    let text = openai::content_of(messages[last]);
    let mut instruction = String::new();
    for message in &messages[..last] {
        instruction.push_str(&role_of(*message));
        instruction.push_str(": ");
        instruction.push_str(&openai::content_of(*message));
        instruction.push('\n');
    }
    let fits =
        !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && instruction.len() <= INSTRUCTION_BYTES_MAX;
    fits.then(|| {
        Box::new(Saying {
            caller,
            by: String::new(),
            session: format!("queued-{:x}", at.0),
            text,
            model: model.to_owned(),
            provider: String::new(),
            instruction,
            may_wait: true,
        })
    })
}

fn role_of(message: Json<'_>) -> std::borrow::Cow<'_, str> {
    message.some("role").and_then(Json::text).unwrap_or_default()
}

/// `POST /api/chat`: with a conversation's name, said to it; without, passed through.
pub(in crate::api) fn message(request: &Request<'_>, caller: Caller) -> Result<Asked, Response> {
    let mut reader = Reader::new(request)?;
    let is_streamed = reader.flag("stream");
    let session = reader.session(&["session_id", "chat_id", "agent_id", "session"]);
    let last = last_of_user(reader.body);
    let plain = reader.text("message", MESSAGE_BYTES_MAX);
    let text = if plain.is_empty() { last.unwrap_or_default() } else { plain };
    if text.is_empty() && reader.faults.is_empty() {
        // The words of the Python service.
        reader.fault("messages", "No user message found.".to_owned());
    }
    if text.len() > MESSAGE_BYTES_MAX {
        let detail =
            format!("the last message has {} bytes, at most {MESSAGE_BYTES_MAX} are taken", text.len());
        reader.fault("messages", detail);
    }
    let is_list = reader.body.some("messages").is_some_and(|list| list.kind() == json::Kind::List);
    if session.is_none() && is_list {
        let model = reader.text("model", NAME_BYTES_MAX);
        let body = plain_question(reader.body, &model, is_streamed);
        let tokens = u32::try_from(body.len() / 4).unwrap_or(u32::MAX);
        let otherwise =
            reader.flag("queue").then(|| Box::new(reader.saying(caller, SESSION_DEFAULT.to_owned(), text)));
        let question = Question { caller, model, tokens };
        let form = QuestionForm::Chat { is_streamed };
        return reader.end(Asked::Question { question, body, form, otherwise });
    }
    let session = session.unwrap_or_else(|| SESSION_DEFAULT.to_owned());
    let saying = Box::new(reader.saying(caller, session, text));
    let form = if is_streamed { SayForm::Stream } else { SayForm::Chat };
    reader.end(Asked::Say { saying, form })
}

/// The text of the last message whose role is `user`.
fn last_of_user(body: Json<'_>) -> Option<String> {
    let messages = body.some("messages")?;
    let last = messages.items().filter(|message| role_of(*message) == "user").last()?;
    Some(openai::content_of(last))
}

/// The same question in OpenAI's shape.
fn plain_question(body: Json<'_>, model: &str, is_streamed: bool) -> Vec<u8> {
    let mut out = String::from("{");
    push_text(&mut out, "model", model);
    push_name(&mut out, "messages");
    out.push_str(body.some("messages").map_or("[]", Json::raw));
    for name in ["tools", "tool_choice", "max_tokens", "temperature", "stop", "seed"] {
        if let Some(value) = body.some(name) {
            push_raw(&mut out, name, value.raw());
        }
    }
    push_raw(&mut out, "stream", if is_streamed { "true" } else { "false" });
    out.push('}');
    out.into_bytes()
}

/// `POST /api/gpt/completion`.
pub(in crate::api) fn completion(request: &Request<'_>, caller: Caller) -> Result<Asked, Response> {
    let mut reader = Reader::new(request)?;
    let text = reader.needed_text("prompt", MESSAGE_BYTES_MAX);
    let session = reader.session(&["agent_id"]).unwrap_or_else(|| SESSION_DEFAULT.to_owned());
    let mut saying = reader.saying(caller, session, text);
    if let Some(context) = reader.body.some("context_data").filter(|context| context.raw() != "{}") {
        let context = context.compact();
        if context.len() > CONTEXT_BYTES_MAX {
            let detail =
                format!("context_data has {} bytes, at most {CONTEXT_BYTES_MAX} are taken", context.len());
            reader.fault("context_data", detail);
        } else {
            saying.text = format!("Context: {context}\n\n{}", saying.text);
        }
        if saying.text.len() > MESSAGE_BYTES_MAX {
            let detail = format!(
                "prompt and context_data have {} bytes together, at most {MESSAGE_BYTES_MAX} are taken",
                saying.text.len()
            );
            reader.fault("prompt", detail);
        }
    }
    reader.end(Asked::Say { saying: Box::new(saying), form: SayForm::Completion })
}

/// The name at the end of the path.
fn name_in(path: &str) -> Result<String, Response> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    if is_session_name(name) {
        return Ok(name.to_owned());
    }
    let detail =
        format!("\"{}\" is no conversation: names are 1 to 64 characters of A-Z a-z 0-9 . _ -", shown(name));
    Err(Problem::new(Kind::NotFound, detail).into())
}

/// `GET /api/gpt/conversation/{agent_id}` and `GET /chat/history`.
pub(in crate::api) fn show(request: &Request<'_>) -> Result<Asked, Response> {
    if request.path.trim_end_matches('/').ends_with("/history") {
        let session = events::parameter(request.query, "session_id").unwrap_or_default();
        let session = if session.is_empty() { SESSION_DEFAULT.to_owned() } else { session };
        return name_in(&session).map(|session| Asked::Show { session });
    }
    name_in(request.path).map(|session| Asked::Show { session })
}

/// `DELETE /api/gpt/conversation/{agent_id}`.
pub(in crate::api) fn forget(request: &Request<'_>) -> Result<Asked, Response> {
    name_in(request.path).map(|session| Asked::Forget { session })
}

/// `POST /api/gpt/conversation/{agent_id}/stop`.
pub(in crate::api) fn stop(view: &View<'_>, request: &Request<'_>) -> Result<Asked, Response> {
    let path = request.path.trim_end_matches('/');
    let session = name_in(path.strip_suffix("/stop").unwrap_or(path))?;
    if view.status.brain.sessions.iter().any(|known| known.name == session) {
        return Ok(Asked::Stop { session });
    }
    Err(Problem::new(Kind::NotFound, format!("there is no conversation {session}")).into())
}

/// `POST /api/approvals/{id}`.
pub(in crate::api) fn decision(request: &Request<'_>, caller: Caller) -> Result<Asked, Response> {
    let name = request.path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let Some(approval) = EventId::parse(name) else {
        let detail =
            format!("\"{}\" is no request for permission; GET /api/approvals lists them", shown(name));
        return Err(Problem::new(Kind::NotFound, detail).into());
    };
    let mut reader = Reader::new(request)?;
    if reader.body.some("approved").is_none() {
        reader.fault("approved", "approved is missing".to_owned());
    }
    let is_yes = reader.flag("approved");
    let given = reader.text("user_id", NAME_BYTES_MAX);
    let by =
        if given.is_empty() { caller.as_str().to_owned() } else { format!("{given} ({})", caller.as_str()) };
    reader.end(Asked::Decide { approval, is_yes, by })
}
