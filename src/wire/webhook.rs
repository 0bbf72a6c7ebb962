//! The ten webhook paths that callers POST to: body to event draft (fields as in the integration guide).
//!
//! Fields that the documents name are checked for their type; all are optional but `event_type`, `null` counts as
//! missing, and unknown fields are kept. Not here: signatures, ids, answers' status codes.

use std::borrow::Cow;

use super::json::{Json, Kind, TextFault};
use super::words::one_line;
use crate::agent::event::{EventDraft, JsonText, Severity, Source};
use crate::agent::limits::{EVENT_MESSAGE_BYTES_MAX, EVENT_TYPE_BYTES_MAX};

/// Members of a body that are kept at once, about 1 KiB of memory. One with more is looked through again for each.
const MEMBERS_MAX: usize = 24;
/// Members for which there is room at once.
const MEMBERS_USUAL: usize = 12;

/// Where the ten paths begin.
pub const PREFIX: &str = "/api/webhooks/chainbot/";

/// One of the ten paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// `workflow/started`.
    WorkflowStarted,
    /// `workflow/completed`.
    WorkflowCompleted,
    /// `workflow/failed`.
    WorkflowFailed,
    /// `agent/spawned`.
    AgentSpawned,
    /// `agent/terminated`.
    AgentTerminated,
    /// `entanglement/created`.
    EntanglementCreated,
    /// `entanglement/destroyed`.
    EntanglementDestroyed,
    /// `health`.
    Health,
    /// `status`.
    Status,
    /// `event`.
    Event,
}

impl WebhookKind {
    /// Every path, in the order of the documents.
    pub const ALL: [Self; 10] = [
        Self::WorkflowStarted,
        Self::WorkflowCompleted,
        Self::WorkflowFailed,
        Self::AgentSpawned,
        Self::AgentTerminated,
        Self::EntanglementCreated,
        Self::EntanglementDestroyed,
        Self::Health,
        Self::Status,
        Self::Event,
    ];

    /// What follows `PREFIX`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::WorkflowStarted => "workflow/started",
            Self::WorkflowCompleted => "workflow/completed",
            Self::WorkflowFailed => "workflow/failed",
            Self::AgentSpawned => "agent/spawned",
            Self::AgentTerminated => "agent/terminated",
            Self::EntanglementCreated => "entanglement/created",
            Self::EntanglementDestroyed => "entanglement/destroyed",
            Self::Health => "health",
            Self::Status => "status",
            Self::Event => "event",
        }
    }

    /// Reads what follows `PREFIX`.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.path() == path)
    }

    /// The event's type; `None` for `event`, whose body names it.
    #[must_use]
    pub fn event_type(self) -> Option<&'static str> {
        match self {
            Self::WorkflowStarted => Some("workflow_started"),
            Self::WorkflowCompleted => Some("workflow_completed"),
            Self::WorkflowFailed => Some("workflow_failed"),
            Self::AgentSpawned => Some("agent_spawned"),
            Self::AgentTerminated => Some("agent_terminated"),
            Self::EntanglementCreated => Some("entanglement_created"),
            Self::EntanglementDestroyed => Some("entanglement_destroyed"),
            Self::Health => Some("health_report"),
            Self::Status => Some("status_update"),
            Self::Event => None,
        }
    }

    /// The `message` of the success answer, as the Python service words it. `event_type` is the draft's `kind`.
    #[must_use]
    pub fn success_message(self, event_type: &str) -> String {
        match self {
            Self::WorkflowStarted => "Workflow started event processed".to_owned(),
            Self::WorkflowCompleted => "Workflow completed event processed".to_owned(),
            Self::WorkflowFailed => "Workflow failed event processed".to_owned(),
            Self::AgentSpawned => "Agent spawned event processed".to_owned(),
            Self::AgentTerminated => "Agent terminated event processed".to_owned(),
            Self::EntanglementCreated => "Entanglement created event processed".to_owned(),
            Self::EntanglementDestroyed => "Entanglement destroyed event processed".to_owned(),
            Self::Health | Self::Status => "Health status updated".to_owned(),
            Self::Event => format!("Event {event_type} processed"),
        }
    }

    /// The noun and the word that `status` must have.
    fn noun_and_status(self) -> (&'static str, &'static str) {
        self.path().split_once('/').unwrap_or((self.path(), ""))
    }
}

/// A field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: &'static str,
    /// What it must be. Never the value.
    pub detail: String,
}

/// Why a body becomes no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Not readable at all (400).
    Text(TextFault),
    /// JSON, but no object (422).
    NotAnObject,
    /// These fields are wrong, in the order of the documents (422).
    Fields(Vec<FieldFault>),
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(fault) => fault.fmt(f),
            Self::NotAnObject => f.write_str("body is not a JSON object"),
            Self::Fields(faults) => {
                let first = faults.first().map_or("", |fault| fault.pointer);
                write!(f, "{} field(s) not as documented, first {first}", faults.len())
            }
        }
    }
}

/// Makes an event of a body. The whole body becomes its metadata, compact, in its own order.
///
/// # Errors
/// If it is no JSON object, or a documented field has another type or word.
pub fn decode(kind: WebhookKind, body: &[u8]) -> Result<EventDraft, BodyFault> {
    let json = Json::parse(body).map_err(BodyFault::Text)?;
    if json.kind() != Kind::Object {
        return Err(BodyFault::NotAnObject);
    }
    let body = &Members::of(json);
    let faults: Vec<_> = rules(kind).filter_map(|rule| rule.fault(body, kind)).collect();
    if !faults.is_empty() {
        return Err(BodyFault::Fields(faults));
    }
    let event_type =
        kind.event_type().map_or_else(|| text(body, "event_type").unwrap_or_default(), Cow::Borrowed);
    Ok(EventDraft {
        source: word(body, "source", Source::parse).unwrap_or_default(),
        severity: severity(kind, body),
        message: one_line(&message(kind, body, &event_type), EVENT_MESSAGE_BYTES_MAX),
        kind: event_type.into_owned(),
        metadata: JsonText(json.compact()),
    })
}

/// Whether a text may be an event's type: 1 to `EVENT_TYPE_BYTES_MAX` of `A-Z a-z 0-9 . _ -`, not only dots (it
/// becomes a part of a path).
#[must_use]
pub fn is_event_type(text: &str) -> bool {
    (1..=EVENT_TYPE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text.bytes().any(|b| b != b'.')
}

/// A body's members, found in one pass: it is asked for a dozen of them.
struct Members<'a> {
    body: Json<'a>,
    /// All of them, unless there are more than `MEMBERS_MAX`.
    seen: Option<Vec<(Cow<'a, str>, Json<'a>)>>,
}

impl<'a> Members<'a> {
    fn of(body: Json<'a>) -> Self {
        let mut seen = Vec::with_capacity(MEMBERS_USUAL);
        seen.extend(body.fields().take(MEMBERS_MAX + 1));
        Self { body, seen: (seen.len() <= MEMBERS_MAX).then_some(seen) }
    }

    /// As [`Json::some`].
    fn some(&self, name: &str) -> Option<Json<'a>> {
        let Some(seen) = &self.seen else { return self.body.some(name) };
        let value = seen.iter().rfind(|(known, _)| known == name).map(|(_, value)| *value);
        value.filter(|value| value.kind() != Kind::Null)
    }
}

/// What a field must be.
#[derive(Clone, Copy)]
enum Must {
    Text,
    TextOrTexts,
    Bool,
    Count,
    Amount,
    Texts,
    Object,
    OneOf(&'static [&'static str]),
    PathStatus,
    EventType,
}

/// Bytes for which a line has room at once.
const MESSAGE_BYTES_USUAL: usize = 96;

/// One row of the documents' tables: where the field is, and what it must be.
struct Rule(&'static str, Must);

const COMMON: &[Rule] =
    &[Rule("/timestamp", Must::Text), Rule("/user_id", Must::Text), Rule("/requires_attention", Must::Bool)];

const WORKFLOW: &[Rule] = &[
    Rule("/workflow_id", Must::Text),
    Rule("/workflow_name", Must::Text),
    Rule("/status", Must::PathStatus),
    Rule("/error", Must::Text),
    Rule("/duration", Must::Amount),
    Rule("/steps_completed", Must::Count),
    Rule("/total_steps", Must::Count),
];

const AGENT: &[Rule] = &[
    Rule("/agent_id", Must::Text),
    Rule("/agent_name", Must::Text),
    Rule("/agent_type", Must::Text),
    Rule("/status", Must::PathStatus),
    Rule("/reason", Must::Text),
];

const ENTANGLEMENT: &[Rule] = &[Rule("/entanglement_id", Must::Text), Rule("/status", Must::PathStatus)];

const HEALTH: &[Rule] = &[
    Rule("/agent_name", Must::Text),
    Rule("/agent_version", Must::Text),
    Rule("/status_id", Must::OneOf(&["healthy", "degraded", "unhealthy"])),
    Rule("/workflow_state", Must::OneOf(&["running", "idle"])),
    Rule("/active_workflows", Must::Count),
    Rule("/workflow_blockers", Must::Texts),
    Rule("/log_excerpt", Must::TextOrTexts),
    Rule("/attention_reason", Must::Text),
    Rule("/gpt_integration_status", Must::Text),
    Rule("/websocket_connections", Must::Count),
    Rule("/active_agents", Must::Count),
    Rule("/system_resources", Must::Object),
    Rule("/system_resources/cpu_usage", Must::Amount),
    Rule("/system_resources/memory_usage", Must::Amount),
    Rule("/system_resources/disk_usage", Must::Amount),
    Rule("/system_resources/network_usage", Must::Amount),
];

const EVENT: &[Rule] = &[
    Rule("/event_type", Must::EventType),
    Rule("/severity", Must::OneOf(&["info", "warning", "error", "critical"])),
    Rule("/source", Must::OneOf(&["chainbot", "watchtower", "alex_os"])),
    Rule("/message", Must::Text),
];

fn rules(kind: WebhookKind) -> impl Iterator<Item = &'static Rule> {
    use WebhookKind::{
        AgentSpawned, AgentTerminated, EntanglementCreated, EntanglementDestroyed, Event, Health, Status,
        WorkflowCompleted, WorkflowFailed, WorkflowStarted,
    };
    let own = match kind {
        WorkflowStarted | WorkflowCompleted | WorkflowFailed => WORKFLOW,
        AgentSpawned | AgentTerminated => AGENT,
        EntanglementCreated | EntanglementDestroyed => ENTANGLEMENT,
        Health | Status => HEALTH,
        Event => EVENT,
    };
    own.iter().chain(COMMON)
}

impl Rule {
    fn fault(&self, body: &Members<'_>, kind: WebhookKind) -> Option<FieldFault> {
        let mut names = self.0.split('/').skip(1);
        let value = names.next().and_then(|name| body.some(name));
        let value = value.and_then(|value| names.try_fold(value, Json::some));
        let detail = match value {
            Some(value) => self.1.complaint(value, kind)?,
            None if matches!(self.1, Must::EventType) => "is required".to_owned(),
            None => return None,
        };
        Some(FieldFault { pointer: self.0, detail })
    }
}

impl Must {
    fn complaint(self, value: Json<'_>, kind: WebhookKind) -> Option<String> {
        let (is_good, want) = match self {
            Self::Text => (value.kind() == Kind::Text, "a string"),
            Self::TextOrTexts => {
                (value.kind() == Kind::Text || is_texts(value), "a string or a list of strings")
            }
            Self::Bool => (value.kind() == Kind::Bool, "true or false"),
            Self::Count => (value.u64().is_some(), "a whole number of 0 or more"),
            Self::Amount => (value.f64().is_some_and(|n| n >= 0.0), "a number of 0 or more"),
            Self::Texts => (is_texts(value), "a list of strings"),
            Self::Object => (value.kind() == Kind::Object, "an object"),
            Self::EventType => return event_type_complaint(value),
            Self::OneOf(words) => return word_complaint(value, words),
            Self::PathStatus => return word_complaint(value, &[kind.noun_and_status().1]),
        };
        (!is_good).then(|| format!("must be {want}, is {}", described(value)))
    }
}

fn is_texts(value: Json<'_>) -> bool {
    value.kind() == Kind::List && value.items().all(|item| item.kind() == Kind::Text)
}

fn described(value: Json<'_>) -> &'static str {
    match value.f64() {
        Some(n) if n < 0.0 => "negative",
        Some(n) if n.fract() != 0.0 => "a fraction",
        _ => value.kind().as_str(),
    }
}

fn word_complaint(value: Json<'_>, words: &[&str]) -> Option<String> {
    let text = value.text();
    if text.as_deref().is_some_and(|text| words.contains(&text)) {
        return None;
    }
    let is = if text.is_some() { "another word" } else { value.kind().as_str() };
    Some(format!("must be {}, is {is}", words.join(" or ")))
}

fn event_type_complaint(value: Json<'_>) -> Option<String> {
    let is_good = value.text().is_some_and(|text| is_event_type(&text));
    (!is_good).then(|| {
        format!("must be 1 to {EVENT_TYPE_BYTES_MAX} of the characters A-Z a-z 0-9 . _ - and not only dots")
    })
}

fn severity(kind: WebhookKind, body: &Members<'_>) -> Severity {
    let wants_attention = body.some("requires_attention").and_then(Json::bool) == Some(true);
    let said = if kind == WebhookKind::Event { word(body, "severity", Severity::parse) } else { None };
    said.unwrap_or(match kind {
        WebhookKind::WorkflowFailed => Severity::Error,
        _ if wants_attention => Severity::Warning,
        _ => Severity::Info,
    })
}

fn word<T>(body: &Members<'_>, name: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
    body.some(name).and_then(Json::text).and_then(|text| parse(&text))
}

fn text<'a>(body: &Members<'a>, name: &str) -> Option<Cow<'a, str>> {
    body.some(name).and_then(Json::text).filter(|text| !text.trim().is_empty())
}

/// One line for people.
fn message<'a>(kind: WebhookKind, body: &Members<'a>, event_type: &str) -> Cow<'a, str> {
    match kind {
        WebhookKind::Health | WebhookKind::Status => health_message(kind, body).into(),
        WebhookKind::Event => text(body, "message").unwrap_or_else(|| format!("event {event_type}").into()),
        _ => {
            let (noun, status) = kind.noun_and_status();
            let mut line = String::with_capacity(MESSAGE_BYTES_USUAL);
            line.push_str(noun);
            if let Some(name) =
                text(body, &format!("{noun}_name")).or_else(|| text(body, &format!("{noun}_id")))
            {
                line.extend([" \"", &one_line(&name, 80), "\""]);
            }
            line.extend([" ", status]);
            if let Some(why) = text(body, "error").or_else(|| text(body, "reason")) {
                line.extend([": ", &why]);
            }
            line.into()
        }
    }
}

fn health_message(kind: WebhookKind, body: &Members<'_>) -> String {
    let who =
        text(body, "agent_name").map_or_else(String::new, |name| format!(" of \"{}\"", one_line(&name, 80)));
    let noun = if kind == WebhookKind::Health { "health" } else { "status" };
    let state = text(body, "status_id").unwrap_or(Cow::Borrowed("updated"));
    let why = text(body, "attention_reason").map_or_else(String::new, |why| format!(" ({why})"));
    format!("{noun}{who}: {state}{why}")
}

#[cfg(test)]
mod tests;
