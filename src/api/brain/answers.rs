//! What callers of the brain are told.

use super::{QuestionForm, SayForm};
use crate::agent::brain::setup::BrainSetup;
use crate::agent::brain::speech::{AskAnswer, Message, Refusal, Role, TurnAnswer};
use crate::agent::brain::status::BrainStatus;
use crate::agent::effect::DecisionAnswer;
use crate::api::Response;
use crate::api::json::Json;
use crate::api::problem::{Kind, Problem};
use crate::wire::openai;

/// What a refusal means: its kind, its words, and seconds for `Retry-After`.
#[must_use]
pub fn words_of(refusal: &Refusal) -> (Kind, String, Option<u32>) {
    match refusal {
        Refusal::NoProvider => {
            let text = "no model is configured: see [[brain.provider]] and OPENAI_API_KEY in docs/brain.md";
            (Kind::NoModel, text.to_owned(), None)
        }
        Refusal::UnknownProvider(name) => {
            (Kind::NoModel, format!("provider \"{name}\" is not configured"), None)
        }
        Refusal::AllDown { why, retry_after_s } => {
            (Kind::ModelsDown, format!("no model answers: {}", why.join("; ")), Some(*retry_after_s))
        }
        Refusal::Question { status, why } => {
            (Kind::ModelRefused, format!("the model answered {status}: {why}"), None)
        }
        Refusal::Budget { which, retry_after_s } => {
            let text = format!("brain.{which} is used up; there is room again in {retry_after_s} s");
            (Kind::BudgetSpent, text, Some(*retry_after_s))
        }
        Refusal::Busy { what, retry_after_s } => (Kind::Busy, (*what).to_owned(), Some(*retry_after_s)),
        Refusal::Unwritable { retry_after_s } => {
            (Kind::LedgerFault, "the ledger cannot be written now".to_owned(), Some(*retry_after_s))
        }
        Refusal::Stopping => (Kind::Stopping, "the agent is stopping, come back".to_owned(), Some(5)),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let (kind, text, retry_after_s) = words_of(refusal);
    let mut response = Problem::new(kind, text).response();
    response.close = kind == Kind::Stopping;
    match retry_after_s {
        Some(seconds) => response.with("retry-after", seconds.max(1).to_string()),
        None => response,
    }
}

/// The answer to a question that came to nothing before its first piece.
#[must_use]
pub fn question_refused(form: QuestionForm, refusal: &Refusal) -> Response {
    if matches!(form, QuestionForm::Chat { .. }) {
        return refused(refusal);
    }
    let (kind, text, retry_after_s) = words_of(refusal);
    // A client of OpenAI reads the provider's own status.
    let status = match refusal {
        Refusal::Question { status, .. } => *status,
        _ => kind.status(),
    };
    let code = kind.row().1.replace('-', "_");
    let response = openai_error(status, &text, "", &code);
    match retry_after_s {
        Some(seconds) => response.with("retry-after", seconds.max(1).to_string()),
        None => response,
    }
}

/// An error as OpenAI's clients read it.
#[must_use]
pub fn openai_error(status: u16, text: &str, param: &str, code: &str) -> Response {
    let class = match status {
        429 => "insufficient_quota",
        400..500 => "invalid_request_error",
        _ => "server_error",
    };
    Response::text(status, "application/json", openai::error_body(text, class, param, code))
}

/// `GET /v1/models`.
#[must_use]
pub fn openai_models(setup: &BrainSetup) -> String {
    openai::models_body(&names(setup))
}

/// The answer to something said, once its turn is over. `elapsed_ms`: how long it took.
#[must_use]
pub fn said(form: SayForm, session: &str, answer: &AskAnswer, elapsed_ms: u64) -> Response {
    match answer {
        AskAnswer::Turn(turn) => {
            let text = match form {
                SayForm::Completion => completed(session, turn, elapsed_ms),
                SayForm::Chat | SayForm::Stream => chatted(session, turn, elapsed_ms),
            };
            Response::text(200, "application/json", text)
        }
        AskAnswer::Waits => waiting(session),
        AskAnswer::Refused(refusal) => refused(refusal),
        AskAnswer::Passed | AskAnswer::Broke(_) => {
            Problem::new(Kind::ModelsDown, "the model broke off").response()
        }
    }
}

/// 202: it is kept, and where its answer will be.
fn waiting(session: &str) -> Response {
    let place = format!("/api/gpt/conversation/{session}");
    let mut json = Json::object();
    json.key("status").text("queued");
    json.key("session_id").text(session);
    json.key("conversation").text(&place);
    Response::text(202, "application/json", json.end_object()).with("location", place)
}

fn completed(session: &str, turn: &TurnAnswer, elapsed_ms: u64) -> String {
    let mut json = Json::object();
    json.key("content").text(&turn.text);
    json.key("provider").text(&turn.provider);
    json.key("model").text(&turn.model);
    json.key("agent_id").text(session);
    json.key("tokens_used").number(turn.tokens.into());
    seconds(&mut json, "processing_time", elapsed_ms);
    // Of the documents; a model does not know how sure it is, so this says only whether it came to its end.
    json.key("confidence_score").float(if turn.end.as_str() == "done" { 1.0 } else { 0.5 });
    json.key("metadata").open('{');
    json.key("finish_reason").text(turn.end.as_str());
    json.close('}');
    json.end_object()
}

fn seconds(json: &mut Json, name: &str, elapsed_ms: u64) {
    #[expect(clippy::cast_precision_loss, reason = "an answer takes less than 285,000 years")]
    json.key(name).float(elapsed_ms as f64 / 1_000.0);
}

/// `response` and `message` both: every variant of the desktop finds what it reads.
fn chatted(session: &str, turn: &TurnAnswer, elapsed_ms: u64) -> String {
    let mut json = Json::object();
    json.key("model").text(&turn.model);
    json.key("response").text(&turn.text);
    json.key("message").open('{');
    json.key("role").text("assistant");
    json.key("content").text(&turn.text);
    json.close('}');
    json.key("done").boolean(true);
    json.key("done_reason").text(turn.end.as_str());
    json.key("session_id").text(session);
    json.key("provider").text(&turn.provider);
    json.key("tokens_used").number(turn.tokens.into());
    seconds(&mut json, "processing_time", elapsed_ms);
    json.key("metadata").raw("{}");
    json.end_object()
}

/// What someone who decided about `what` is told.
#[must_use]
pub fn decided(what: &str, answer: DecisionAnswer) -> Response {
    match answer {
        DecisionAnswer::Done => {
            let mut json = Json::object();
            json.key("status").text("success");
            json.key("message").text(&format!("{what}: done"));
            Response::text(200, "application/json", json.end_object())
        }
        DecisionAnswer::Unknown => {
            Problem::new(Kind::NotFound, format!("{what}: there is none, or not any more")).into()
        }
        DecisionAnswer::Unwritable { retry_after_s } => refused(&Refusal::Unwritable { retry_after_s }),
    }
}

/// `GET /api/gpt/conversation/{agent_id}`.
#[must_use]
pub fn conversation(session: &str, messages: &[(u32, Message)]) -> Response {
    if messages.is_empty() {
        return Problem::new(Kind::NotFound, format!("there is no conversation {session}")).into();
    }
    let mut json = Json::object();
    json.key("agent_id").text(session);
    json.key("session_id").text(session);
    json.key("messages").open('[');
    for (number, message) in messages {
        json.open('{');
        json.key("id").number((*number).into());
        json.key("role").text(message.role.as_str());
        json.key("content").text(&message.text);
        json.key("timestamp").time(message.at);
        if !message.calls.is_empty() {
            json.key("tool_calls").open('[');
            for call in &message.calls {
                json.open('{');
                json.key("id").text(&call.id);
                json.key("name").text(&call.name);
                json.key("subject").text(&call.subject);
                json.close('}');
            }
            json.close(']');
        }
        if message.role == Role::Tool {
            json.key("tool_call_id").text(&message.call_id);
        }
        if message.is_partial {
            json.key("partial").boolean(true);
        }
        json.close('}');
    }
    json.close(']');
    Response::text(200, "application/json", json.end_object())
}

/// `GET /chat/sessions`: the conversations, the one spoken to last first.
#[must_use]
pub fn conversations(brain: &BrainStatus<'_>) -> String {
    let mut json = Json::object();
    json.key("sessions").open('[');
    for session in &brain.sessions {
        json.open('{');
        json.key("id").text(session.name);
        json.key("session_id").text(session.name);
        json.key("messages").number(session.messages.into());
        json.key("bytes").number(session.bytes.into());
        json.key("last_active").time(session.at);
        json.key("state").text(session.state);
        json.close('}');
    }
    json.close(']');
    json.end_object()
}

/// `GET /api/gpt/health`.
#[must_use]
pub fn healthy(brain: &BrainStatus<'_>) -> String {
    let mut json = Json::object();
    json.key("overall").text(brain.word());
    json.key("providers").open('{');
    for provider in &brain.providers {
        let word = match (provider.state.as_str(), provider.last_fault) {
            ("down" | "probing", Some(fault)) => format!("unhealthy: {fault}"),
            ("down" | "probing", None) => "unhealthy".to_owned(),
            _ => "healthy".to_owned(),
        };
        json.key(provider.name).text(&word);
    }
    for documented in ["openai", "maclink"] {
        if brain.providers.iter().all(|provider| provider.name != documented) {
            json.key(documented).text("not_configured");
        }
    }
    json.close('}');
    json.end_object()
}

/// `GET /api/gpt/providers/status`.
#[must_use]
pub fn provider_status(brain: &BrainStatus<'_>) -> String {
    let mut json = Json::object();
    for provider in &brain.providers {
        json.key(provider.name).open('{');
        json.key("available").boolean(provider.state.as_str() != "down");
        json.key("kind").text(provider.kind.as_str());
        json.key("state").text(provider.state.as_str());
        json.key("last_fault").text_or_null(provider.last_fault);
        json.key("next_try_in_ms").number_or_null(provider.next_try_in_ms);
        json.key("stats").open('{');
        json.key("requests").number(provider.answered + provider.failed);
        json.key("errors").number(provider.failed);
        seconds(&mut json, "avg_response_time", provider.mean_ms);
        json.close('}');
        json.close('}');
    }
    json.end_object()
}

/// `GET /api/models`: Ollama's shape, as the desktop reads it.
#[must_use]
pub fn models(setup: &BrainSetup) -> String {
    let mut json = Json::object();
    json.key("models").open('[');
    for (name, provider) in names(setup) {
        json.open('{');
        json.key("name").text(name);
        json.key("model").text(name);
        json.key("provider").text(provider);
        json.close('}');
    }
    json.close(']');
    json.end_object()
}

/// Every model that callers may ask for by name, and the first provider that has it.
pub(in crate::api) fn names(setup: &BrainSetup) -> Vec<(&str, &str)> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for provider in &setup.providers {
        let own = Some(provider.model.as_str()).filter(|model| !model.is_empty());
        for name in own.into_iter().chain(provider.models.iter().map(|model| model.wanted.as_str())) {
            if names.iter().all(|(known, _)| *known != name) {
                names.push((name, &provider.name));
            }
        }
    }
    names
}

/// `GET /api/approvals`.
#[must_use]
pub fn pending(brain: &BrainStatus<'_>) -> String {
    let mut json = Json::object();
    json.key("approvals").open('[');
    for approval in &brain.approvals {
        json.open('{');
        json.key("id").text(&approval.id.to_string());
        json.key("session_id").text(approval.session);
        json.key("tool").text(approval.tool);
        json.key("subject").text(approval.subject);
        json.key("arguments").text(approval.arguments);
        json.key("expires_in_s").number(approval.expires_in_ms.div_ceil(1_000));
        json.close('}');
    }
    json.close(']');
    json.end_object()
}

/// `GET /api/gpt/personas`.
#[must_use]
pub fn persona_list() -> String {
    let mut json = Json::object();
    json.key("personas").open('[');
    for persona in &super::personas::PERSONAS {
        json.open('{');
        json.key("id").text(persona.name);
        json.key("name").text(persona.name);
        json.key("description").text(persona.description);
        json.key("instruction").text(persona.instruction);
        json.close('}');
    }
    json.close(']');
    json.end_object()
}
