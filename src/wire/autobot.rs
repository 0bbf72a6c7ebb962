//! AutoBot's socket messages (seed 003): `{"type", "payload"}`, and the dialect of ALEX OS's `/ws`, `{"action"}`.
//!
//! Unified events are written as the documented types. What has no type of its own is `error` if it is grave and
//! `progress` if not; every payload made of an event carries it in short as `event`, so that a client can go on from
//! there on `/ws/events`. The table is in `docs/sockets.md`.

use super::json::{Json, Kind, push_name, push_number, push_raw, push_text};
use super::time::format_rfc3339;
use crate::agent::event::{Event, Severity};
use crate::agent::ids::{EventId, LedgerId};
use crate::agent::input::Sample;
use crate::agent::time::Wall;

/// Longest `user_message` in bytes. Beyond: an `error` message.
pub const USER_MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// Longest id that a client may name, in bytes. Beyond: an `error` message.
pub const ID_BYTES_MAX: usize = 128;

/// Longest name of a user in bytes. Beyond: an `error` message.
const USER_BYTES_MAX: usize = 32;

/// The documented types of the server that events may bear themselves.
const OWN_TYPES: [&str; 24] = [
    "command_execution_end",
    "command_execution_start",
    "diagnostics_report",
    "error",
    "file_uploaded",
    "goal_completed",
    "goal_received",
    "knowledge_base_update",
    "llm_response",
    "llm_status",
    "plan_ready",
    "progress",
    "settings_updated",
    "thought",
    "tool_code",
    "tool_output",
    "user_message",
    "user_permission_request",
    "workflow_approval_required",
    "workflow_cancelled",
    "workflow_completed",
    "workflow_failed",
    "workflow_step_completed",
    "workflow_step_started",
];

/// What AutoBot's frontend sends to other peers through its server; taken and forgotten, as there.
const COLLABORATION: [&str; 9] = [
    "activity_broadcast",
    "cursor_move",
    "invitation_response",
    "invitation_send",
    "presence_update",
    "secret_revoked",
    "secret_shared",
    "session_join",
    "session_leave",
];

/// What a client of `/ws` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `ping`: wants a `pong`.
    Ping,
    /// `pong`, or something for other clients: nothing to do.
    Nothing,
    /// `auth`, the first message of a client that showed no credential.
    Auth(String),
    /// `user_message`.
    UserMessage {
        /// 1 to `USER_MESSAGE_BYTES_MAX` bytes.
        message: String,
        /// The chat, if it named one.
        chat_id: Option<String>,
    },
    /// `health_check`.
    HealthCheck,
    /// `workflow_approval`, or `user_permission_response`.
    WorkflowApproval {
        /// Which.
        workflow_id: String,
        /// Whether it may go on.
        approved: bool,
    },
    /// `workflow_cancel`.
    WorkflowCancel {
        /// Which.
        workflow_id: String,
    },
    /// `command_approval`, whose fields stand beside the type.
    CommandApproval {
        /// Which.
        terminal_session_id: String,
        /// Whether it may be done.
        approved: bool,
        /// Who says so.
        user_id: String,
    },
    /// `{"action":"ping"}`.
    ActionPing,
    /// `{"action":"subscribe"}` or `unsubscribe`, with its channels.
    Subscribe {
        /// Or unsubscribe.
        is_on: bool,
        /// Names out of `CHANNELS`.
        channels: Vec<&'static str>,
    },
    /// An action that cannot be done, and the words of ALEX OS for it.
    BadAction(String),
}

/// The channels of ALEX OS's `/ws`.
pub const CHANNELS: [&str; 5] = ["metrics", "events", "agents", "alerts", "system"];

/// Why a message was not understood, for an `error` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// `INVALID_JSON`, `NOT_AN_OBJECT`, `MISSING_FIELD`, `INVALID_FIELD` or `UNKNOWN_TYPE`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

pub(super) fn misfit<T>(code: &'static str, message: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit { code, message: message.into() })
}

/// The object that a client's message must be.
pub(super) fn object(text: &str) -> Result<Json<'_>, Misfit> {
    let Ok(message) = Json::parse(text.as_bytes()) else {
        return misfit("INVALID_JSON", "message is not valid JSON");
    };
    if message.kind() != Kind::Object {
        return misfit("NOT_AN_OBJECT", format!("message is {}, wanted an object", message.kind().as_str()));
    }
    Ok(message)
}

/// Reads a message of a client.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<Said, Misfit> {
    let message = object(text)?;
    if let (None, Some(action)) = (message.some("type"), message.some("action")) {
        return Ok(read_action(&action.text().unwrap_or_default(), message));
    }
    let kind = required(message, "type", 64)?;
    let payload = message.some("payload").unwrap_or(message);
    match kind.as_str() {
        "ping" => Ok(Said::Ping),
        "pong" => Ok(Said::Nothing),
        "auth" => Ok(Said::Auth(required(payload, "token", 4096)?)),
        "user_message" => Ok(Said::UserMessage {
            message: required(payload, "message", USER_MESSAGE_BYTES_MAX)?,
            chat_id: optional(payload, "chat_id", ID_BYTES_MAX)?,
        }),
        "health_check" => Ok(Said::HealthCheck),
        "workflow_approval" | "user_permission_response" => Ok(Said::WorkflowApproval {
            workflow_id: match optional(payload, "approval_id", ID_BYTES_MAX)? {
                Some(id) => id,
                None => required(payload, "workflow_id", ID_BYTES_MAX)?,
            },
            approved: boolean(payload, "approved")?,
        }),
        "workflow_cancel" => {
            Ok(Said::WorkflowCancel { workflow_id: required(payload, "workflow_id", ID_BYTES_MAX)? })
        }
        "command_approval" => Ok(Said::CommandApproval {
            terminal_session_id: required(message, "terminal_session_id", ID_BYTES_MAX)?,
            // As AutoBot's server reads it: no word is a no.
            approved: message.some("approved").and_then(Json::bool).unwrap_or(false),
            user_id: optional(message, "user_id", USER_BYTES_MAX)?.unwrap_or_else(|| "web_user".to_owned()),
        }),
        kind if COLLABORATION.contains(&kind) => Ok(Said::Nothing),
        kind => misfit("UNKNOWN_TYPE", format!("type \"{}\" is not known", shown(kind))),
    }
}

fn read_action(action: &str, message: Json<'_>) -> Said {
    match action {
        "ping" => Said::ActionPing,
        "subscribe" | "unsubscribe" => read_channels(action == "subscribe", message),
        "" => Said::BadAction("Missing action".to_owned()),
        _ => Said::BadAction(format!("Unknown action: {}", shown(action))),
    }
}

fn read_channels(is_on: bool, message: Json<'_>) -> Said {
    let channels = message.some("channels");
    if channels.is_none_or(|channels| channels.kind() != Kind::List) {
        return Said::BadAction("Channels must be a list".to_owned());
    }
    let mut known = Vec::new();
    for item in channels.into_iter().flat_map(Json::items) {
        let name = item.text().unwrap_or_default();
        match CHANNELS.iter().find(|channel| **channel == name) {
            Some(channel) if known.contains(channel) => {}
            Some(channel) => known.push(*channel),
            None => return Said::BadAction(format!("Invalid channels: {{'{}'}}", shown(&name))),
        }
    }
    Said::Subscribe { is_on, channels: known }
}

fn required(object: Json<'_>, name: &str, bytes_max: usize) -> Result<String, Misfit> {
    match optional(object, name, bytes_max)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => misfit("MISSING_FIELD", format!("{name} is missing")),
    }
}

fn optional(object: Json<'_>, name: &str, bytes_max: usize) -> Result<Option<String>, Misfit> {
    let Some(value) = object.some(name) else { return Ok(None) };
    match value.text() {
        Some(text) if text.len() <= bytes_max => Ok(Some(text.into_owned())),
        Some(text) => misfit(
            "INVALID_FIELD",
            format!("{name} is {} bytes long, at most {bytes_max} are taken", text.len()),
        ),
        None => misfit("INVALID_FIELD", format!("{name} is {}, wanted a string", value.kind().as_str())),
    }
}

fn boolean(object: Json<'_>, name: &str) -> Result<bool, Misfit> {
    match object.some(name) {
        Some(value) => value.bool().map_or_else(
            || misfit("INVALID_FIELD", format!("{name} is {}, wanted a boolean", value.kind().as_str())),
            Ok,
        ),
        None => misfit("MISSING_FIELD", format!("{name} is missing")),
    }
}

/// Foreign text for a message: at most 60 characters, control characters replaced.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A message with a payload that `fill` writes the members of.
#[must_use]
pub fn message(kind: &str, fill: impl FnOnce(&mut String)) -> String {
    let mut out = String::with_capacity(128);
    out.push('{');
    push_text(&mut out, "type", kind);
    push_name(&mut out, "payload");
    out.push('{');
    fill(&mut out);
    out.push_str("}}");
    out
}

/// The first message on `/ws`, to the letter.
pub const GREETING: &str =
    r#"{"type":"connection_established","payload":{"message":"WebSocket connected successfully"}}"#;
/// The first message on `/ws-test`.
pub const TEST_GREETING: &str = r#"{"type":"connected","message":"Test connection successful"}"#;
/// Asks a client of `/ws` for a `pong`.
pub const PING: &str = r#"{"type":"ping"}"#;
/// The answer to `ping`.
pub const PONG: &str = r#"{"type":"pong"}"#;

/// What `/ws-test` answers to a text.
#[must_use]
pub fn echo(text: &str) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "type", "echo");
    push_text(&mut out, "message", text);
    out.push('}');
    out
}

/// An `error` message; `severity` is `low`, `medium`, `high` or `critical`.
#[must_use]
pub fn error(code: &str, severity: &str, text: &str) -> String {
    message("error", |out| {
        push_text(out, "message", text);
        push_text(out, "error_code", code);
        push_text(out, "severity", severity);
    })
}

/// The answer to `health_check`.
#[must_use]
pub fn health_response(status: &str, at: Wall) -> String {
    message("health_response", |out| {
        push_text(out, "status", status);
        push_text(out, "timestamp", &format_rfc3339(at));
    })
}

/// `llm_status` of an agent without a model.
#[must_use]
pub fn no_model() -> String {
    message("llm_status", |out| {
        push_text(out, "status", "disconnected");
        push_raw(out, "model", "null");
        push_text(out, "message", "no model is configured");
    })
}

/// The answer to `command_approval` and its kin: whether somebody still waited for it.
#[must_use]
pub fn approval_answer(approval: &str, approved: bool, is_taken: bool) -> String {
    message(if is_taken { "approval_processed" } else { "approval_error" }, |out| {
        push_text(out, "terminal_session_id", approval);
        push_text(out, "approval_id", approval);
        push_raw(out, "approved", if approved { "true" } else { "false" });
        if is_taken {
            push_text(out, "result", if approved { "approved" } else { "denied" });
        } else {
            push_text(out, "error", "nobody waits for this approval (any more)");
            push_text(out, "error_code", "NO_SUCH_SESSION");
            push_text(out, "severity", "medium");
        }
    })
}

/// `diagnostics_report` of a sample; `services` are names and words.
#[must_use]
pub fn diagnostics(sample: &Sample, services: &[(&str, &str)]) -> String {
    message("diagnostics_report", |out| {
        push_name(out, "system");
        out.push('{');
        push_number(out, "cpu_usage", sample.cpu_percent);
        push_number(out, "memory_usage", sample.memory_percent);
        push_number(out, "disk_usage", sample.disk_percent);
        out.push('}');
        push_name(out, "services");
        out.push('{');
        for (name, word) in services {
            push_text(out, name, word);
        }
        out.push('}');
    })
}

/// The answer to an action of ALEX OS's dialect.
#[must_use]
pub fn action_pong(at: Wall) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "type", "pong");
    push_text(&mut out, "timestamp", &format_rfc3339(at));
    out.push('}');
    out
}

/// The answer to `subscribe` or `unsubscribe`.
#[must_use]
pub fn action_confirmed(is_on: bool, channels: &[&str], at: Wall) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "type", if is_on { "subscription_confirmed" } else { "unsubscription_confirmed" });
    super::json::push_texts(&mut out, "channels", channels);
    push_text(&mut out, "timestamp", &format_rfc3339(at));
    out.push('}');
    out
}

/// The answer to an action that cannot be done.
#[must_use]
pub fn action_error(text: &str) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "type", "error");
    push_text(&mut out, "message", text);
    push_text(&mut out, "error_code", "INVALID_ACTION");
    push_text(&mut out, "severity", "low");
    out.push('}');
    out
}

/// An event for a client that subscribed in ALEX OS's dialect: `new_event` or `alert`, with the event as `data`.
#[must_use]
pub fn action_event(kind: &str, channel: &str, event: &Event, ledger: LedgerId) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "type", kind);
    push_text(&mut out, "channel", channel);
    push_name(&mut out, "data");
    super::event_json::push_ledger_event(&mut out, event, ledger);
    push_text(&mut out, "timestamp", &format_rfc3339(event.at));
    out.push('}');
    out
}

/// A unified event as one of the documented types.
#[must_use]
pub fn of_event(event: &Event, ledger: LedgerId) -> String {
    let kind = type_of(event);
    let metadata = Json::parse(event.metadata.0.as_bytes()).ok();
    let text = |name: &str| metadata.and_then(|object| object.some(name)).map(Json::raw);
    message(kind, |out| {
        match kind {
            "workflow_step_started" if kind != event.kind => workflow(out, kind, event, &text),
            "workflow_completed" | "workflow_failed" => workflow(out, kind, event, &text),
            "settings_updated" if kind != event.kind => settings(out, event),
            "error" if kind != event.kind => {
                push_text(out, "message", &event.message);
                push_text(out, "error_code", &event.kind.to_ascii_uppercase());
                push_text(
                    out,
                    "severity",
                    if event.severity == Severity::Critical { "critical" } else { "high" },
                );
            }
            "progress" if kind != event.kind => {
                push_text(out, "message", &event.message);
                push_raw(out, "percentage", "100");
                push_text(out, "stage", &event.kind);
            }
            "diagnostics_report" if kind != event.kind => report(out, &text),
            "llm_response" | "thought" => brain(out, event, ledger, &text),
            _ if is_brains(&event.kind) => brain(out, event, ledger, &text),
            _ => own(out, event, metadata),
        }
        in_short(out, event, ledger);
    })
}

/// The documented type that an event is sent as.
#[must_use]
pub fn type_of(event: &Event) -> &'static str {
    if let Some(own) = OWN_TYPES.iter().find(|own| **own == event.kind) {
        return own;
    }
    match event.kind.as_str() {
        "workflow_started" => "workflow_step_started",
        "controller_updated" | "config_reloaded" => "settings_updated",
        "health_report" | "status_report" | "chainbot_health" | "chainbot_status" => "diagnostics_report",
        "chat_message" => "user_message",
        "tool_started" if is_command(event) => "command_execution_start",
        "tool_started" => "tool_code",
        "tool_ended" if is_command(event) => "command_execution_end",
        "tool_ended" => "tool_output",
        "approval_requested" if is_command(event) => "user_permission_request",
        "approval_requested" => "workflow_approval_required",
        "provider_down" | "provider_up" => "llm_status",
        _ if event.severity >= Severity::Error => "error",
        _ => "progress",
    }
}

fn is_brains(kind: &str) -> bool {
    matches!(kind, "tool_started" | "tool_ended" | "approval_requested" | "provider_down" | "provider_up")
}

fn is_command(event: &Event) -> bool {
    let tool = Json::parse(event.metadata.0.as_bytes()).ok().and_then(|object| object.some("tool"));
    tool.and_then(Json::text).as_deref() == Some("run-command")
}

/// The members of a message about the brain: those of its documented type, and those really sent.
fn brain<'a>(out: &mut String, event: &Event, ledger: LedgerId, raw: &dyn Fn(&str) -> Option<&'a str>) {
    let copy = |out: &mut String, name: &str, from: &str| {
        if let Some(value) = raw(from) {
            push_raw(out, name, value);
        }
    };
    copy(out, "chat_id", "session");
    match event.kind.as_str() {
        "tool_started" => {
            for (name, from) in
                [("execution_id", "call_id"), ("command", "subject"), ("code", "subject"), ("tool", "tool")]
            {
                copy(out, name, from);
            }
            push_text(out, "language", "tool");
        }
        "tool_ended" => {
            let is_good = raw("success") == Some("true");
            for (name, from) in [
                ("execution_id", "call_id"),
                ("command", "subject"),
                ("tool", "tool"),
                ("success", "success"),
                ("output", "output"),
                ("exit_code", "exit_code"),
                ("returncode", "exit_code"),
            ] {
                copy(out, name, from);
            }
            push_text(out, "status", if is_good { "success" } else { "failed" });
            if !is_good {
                copy(out, "error", "output");
            }
        }
        "approval_requested" => {
            let id = EventId { seq: event.seq, ledger }.to_string();
            for name in ["approval_id", "task_id", "workflow_id", "terminal_session_id"] {
                push_text(out, name, &id);
            }
            for (name, from) in [
                ("action", "tool"),
                ("package", "subject"),
                ("command", "subject"),
                ("details", "arguments"),
                ("timeout_seconds", "timeout_seconds"),
            ] {
                copy(out, name, from);
            }
            for name in ["reason", "question", "description"] {
                push_text(out, name, &event.message);
            }
        }
        "thought" => {
            push_name(out, "thought");
            out.push('{');
            copy(out, "content", "content");
            push_text(out, "reasoning", "");
            push_raw(out, "confidence", "null");
            out.push('}');
        }
        "llm_response" => {
            for name in ["response", "provider", "model", "tokens", "end"] {
                copy(out, name, name);
            }
        }
        _ => {
            push_text(out, "status", if event.kind == "provider_up" { "connected" } else { "disconnected" });
            copy(out, "provider", "provider");
            push_raw(out, "model", raw("model").unwrap_or("null"));
            push_text(out, "message", &event.message);
        }
    }
}

/// The members of a workflow's message: those of its documented type that the event knows, and those really sent.
fn workflow<'a>(out: &mut String, kind: &str, event: &Event, raw: &dyn Fn(&str) -> Option<&'a str>) {
    let copy = |out: &mut String, name: &str, from: &[&str]| {
        if let Some(value) = from.iter().find_map(|from| raw(from)) {
            push_raw(out, name, value);
        }
    };
    copy(out, "workflow_id", &["workflow_id"]);
    copy(out, "total_steps", &["total_steps"]);
    match kind {
        "workflow_step_started" => {
            push_text(out, "description", &event.message);
            copy(out, "step_id", &["step_id"]);
            copy(out, "step_number", &["step_number"]);
            copy(out, "step_index", &["step_index"]);
        }
        "workflow_completed" => {
            push_text(out, "description", &event.message);
            copy(out, "execution_time", &["execution_time", "duration"]);
            copy(out, "results", &["results", "result"]);
        }
        _ => {
            if raw("error").is_none() {
                push_text(out, "error", &event.message);
            }
            copy(out, "error", &["error"]);
            copy(out, "failed_step", &["failed_step", "steps_completed"]);
            copy(out, "current_step", &["current_step", "steps_completed"]);
        }
    }
}

fn settings(out: &mut String, event: &Event) {
    push_name(out, "settings");
    out.push('{');
    push_raw(out, "updated_keys", "[]");
    push_text(out, "timestamp", &format_rfc3339(event.at));
    out.push('}');
    push_text(out, "message", &event.message);
}

fn report<'a>(out: &mut String, raw: &dyn Fn(&str) -> Option<&'a str>) {
    push_raw(out, "system", raw("system_resources").filter(|text| text.starts_with('{')).unwrap_or("{}"));
    push_name(out, "services");
    out.push('{');
    if let (Some(name), Some(status)) = (raw("agent_name"), raw("status_id")) {
        out.push_str(name);
        out.push(':');
        out.push_str(status);
    }
    out.push('}');
}

/// An event that bears a documented type: what its maker said, and the line for people.
fn own(out: &mut String, event: &Event, metadata: Option<Json<'_>>) {
    let mut has_message = false;
    for (name, value) in metadata.into_iter().flat_map(Json::fields) {
        if name == "event" || name == "event_type" {
            continue;
        }
        has_message |= name == "message";
        if !out.ends_with('{') {
            out.push(',');
        }
        crate::agent::event::push_json_string(out, &name);
        out.push(':');
        out.push_str(value.raw());
    }
    if !has_message {
        push_text(out, "message", &event.message);
    }
}

fn in_short(out: &mut String, event: &Event, ledger: LedgerId) {
    push_name(out, "event");
    out.push('{');
    push_text(out, "id", &EventId { seq: event.seq, ledger }.to_string());
    push_text(out, "timestamp", &format_rfc3339(event.at));
    push_text(out, "type", &event.kind);
    push_text(out, "source", event.source.as_str());
    push_text(out, "severity", event.severity.as_str());
    out.push('}');
}

#[cfg(test)]
mod tests;
