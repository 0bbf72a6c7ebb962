//! The ten webhook paths that callers POST to: body to event draft (seed 000, "Webhook Endpoints" and "Event Payloads").
//!
//! Fields that the documents name are checked for their type; all are optional but `event_type`, `null` counts as
//! missing, and unknown fields are kept. Not here: signatures, ids, answers' status codes.

use super::json::{Json, Kind, TextFault};
use super::words::one_line;
use crate::agent::event::{EventDraft, JsonText, Severity, Source};
use crate::agent::limits::{EVENT_MESSAGE_BYTES_MAX, EVENT_TYPE_BYTES_MAX};

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
    let faults: Vec<_> = rules(kind).filter_map(|rule| rule.fault(json, kind)).collect();
    if !faults.is_empty() {
        return Err(BodyFault::Fields(faults));
    }
    let event_type =
        kind.event_type().map_or_else(|| text(json, "event_type").unwrap_or_default(), str::to_owned);
    Ok(EventDraft {
        source: word(json, "source", Source::parse).unwrap_or_default(),
        severity: severity(kind, json),
        message: one_line(&message(kind, json, &event_type), EVENT_MESSAGE_BYTES_MAX),
        kind: event_type,
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
    fn fault(&self, body: Json<'_>, kind: WebhookKind) -> Option<FieldFault> {
        let value = self.0.split('/').skip(1).try_fold(body, Json::some);
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

fn severity(kind: WebhookKind, body: Json<'_>) -> Severity {
    let wants_attention = body.some("requires_attention").and_then(Json::bool) == Some(true);
    let said = if kind == WebhookKind::Event { word(body, "severity", Severity::parse) } else { None };
    said.unwrap_or(match kind {
        WebhookKind::WorkflowFailed => Severity::Error,
        _ if wants_attention => Severity::Warning,
        _ => Severity::Info,
    })
}

fn word<T>(body: Json<'_>, name: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
    body.some(name).and_then(Json::text).and_then(|text| parse(&text))
}

fn text(body: Json<'_>, name: &str) -> Option<String> {
    body.some(name)
        .and_then(Json::text)
        .map(std::borrow::Cow::into_owned)
        .filter(|text| !text.trim().is_empty())
}

/// One line for people.
fn message(kind: WebhookKind, body: Json<'_>, event_type: &str) -> String {
    match kind {
        WebhookKind::Health | WebhookKind::Status => health_message(kind, body),
        WebhookKind::Event => text(body, "message").unwrap_or_else(|| format!("event {event_type}")),
        _ => {
            let (noun, status) = kind.noun_and_status();
            let name = text(body, &format!("{noun}_name")).or_else(|| text(body, &format!("{noun}_id")));
            let named =
                name.map_or_else(|| noun.to_owned(), |name| format!("{noun} \"{}\"", one_line(&name, 80)));
            let why = text(body, "error").or_else(|| text(body, "reason"));
            why.map_or_else(|| format!("{named} {status}"), |why| format!("{named} {status}: {why}"))
        }
    }
}

fn health_message(kind: WebhookKind, body: Json<'_>) -> String {
    let who =
        text(body, "agent_name").map_or_else(String::new, |name| format!(" of \"{}\"", one_line(&name, 80)));
    let noun = if kind == WebhookKind::Health { "health" } else { "status" };
    let state = text(body, "status_id").unwrap_or_else(|| "updated".to_owned());
    let why = text(body, "attention_reason").map_or_else(String::new, |why| format!(" ({why})"));
    format!("{noun}{who}: {state}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(kind: WebhookKind, body: &str) -> Vec<&'static str> {
        match decode(kind, body.as_bytes()) {
            Err(BodyFault::Fields(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn the_documents_samples_become_events() {
        use WebhookKind as K;
        let workflow = r#"{"workflow_id":"w-1","workflow_name":"Sample Workflow","status":"STATUS","user_id":"u",
            "timestamp":"2024-01-01T00:00:00Z","error":null,"duration":120,"steps_completed":5,"total_steps":10}"#;
        let agent = r#"{"agent_id":"a","agent_name":"Sample Agent","agent_type":"assistant","status":"STATUS",
            "user_id":"u","timestamp":"2024-01-01T00:00:00Z","reason":"done"}"#;
        let health = r#"{"agent_name":"chainbot","agent_version":"1.0.0","timestamp":"2024-01-01T00:00:00Z",
            "status_id":"degraded","workflow_state":"running","active_workflows":2,"workflow_blockers":[],
            "log_excerpt":"Recent","requires_attention":true,"attention_reason":"disk full",
            "gpt_integration_status":"healthy","websocket_connections":5,"active_agents":3,"system_resources":
            {"cpu_usage":25.5,"memory_usage":45.2,"disk_usage":30.1,"network_usage":1.2}}"#;
        let table = [
            (
                K::WorkflowStarted,
                workflow,
                "workflow_started",
                Severity::Info,
                "workflow \"Sample Workflow\" started",
            ),
            (
                K::WorkflowCompleted,
                workflow,
                "workflow_completed",
                Severity::Info,
                "workflow \"Sample Workflow\" completed",
            ),
            (
                K::WorkflowFailed,
                workflow,
                "workflow_failed",
                Severity::Error,
                "workflow \"Sample Workflow\" failed",
            ),
            (K::AgentSpawned, agent, "agent_spawned", Severity::Info, "agent \"Sample Agent\" spawned: done"),
            (
                K::AgentTerminated,
                agent,
                "agent_terminated",
                Severity::Info,
                "agent \"Sample Agent\" terminated: done",
            ),
            (
                K::EntanglementCreated,
                r#"{"entanglement_id":"e1"}"#,
                "entanglement_created",
                Severity::Info,
                "entanglement \"e1\" created",
            ),
            (
                K::EntanglementDestroyed,
                "{}",
                "entanglement_destroyed",
                Severity::Info,
                "entanglement destroyed",
            ),
            (
                K::Health,
                health,
                "health_report",
                Severity::Warning,
                "health of \"chainbot\": degraded (disk full)",
            ),
            (K::Status, "{\"status_id\":\"healthy\"}", "status_update", Severity::Info, "status: healthy"),
            (K::Event, r#"{"event_type":"x.y-z_1"}"#, "x.y-z_1", Severity::Info, "event x.y-z_1"),
        ];
        for (kind, body, event_type, severity, message) in table {
            let body = body.replace("STATUS", kind.noun_and_status().1);
            let draft = decode(kind, body.as_bytes()).unwrap();
            assert_eq!((&*draft.kind, draft.severity, &*draft.message), (event_type, severity, message));
            assert_eq!(draft.source, Source::Chainbot);
            assert_eq!(draft.metadata.0, Json::parse(body.as_bytes()).unwrap().compact());
            assert_eq!(WebhookKind::from_path(kind.path()), Some(kind));
        }
    }

    #[test]
    fn a_generic_event_says_its_own_severity_source_and_message() {
        let body = br#"{"event_type":"boot","severity":"critical","source":"watchtower","message":"up\nagain","x":1}"#;
        let draft = decode(WebhookKind::Event, body).unwrap();
        assert_eq!((draft.severity, draft.source), (Severity::Critical, Source::Watchtower));
        assert_eq!(draft.message, "up again");
        let warned = decode(WebhookKind::Event, br#"{"event_type":"a","requires_attention":true}"#).unwrap();
        assert_eq!(warned.severity, Severity::Warning);
    }

    #[test]
    fn unknown_fields_and_number_texts_are_kept_and_null_is_missing() {
        let body =
            br#"{ "zeta": 1.50, "workflow_id": null, "alpha": [1e2], "status": null, "duration": null }"#;
        let draft = decode(WebhookKind::WorkflowStarted, body).unwrap();
        assert_eq!(
            draft.metadata.0,
            r#"{"zeta":1.50,"workflow_id":null,"alpha":[1e2],"status":null,"duration":null}"#
        );
    }

    #[test]
    fn wrong_types_are_named_field_by_field() {
        use WebhookKind as K;
        let table: [(K, &str, &[&str]); 25] = [
            (K::WorkflowStarted, r#"{"workflow_id":5}"#, &["/workflow_id"]),
            (K::WorkflowStarted, r#"{"workflow_name":["a"]}"#, &["/workflow_name"]),
            (K::WorkflowStarted, r#"{"status":"completed"}"#, &["/status"]),
            (K::WorkflowCompleted, r#"{"status":"started"}"#, &["/status"]),
            (K::WorkflowFailed, r#"{"status":true,"error":{}}"#, &["/status", "/error"]),
            (K::WorkflowStarted, r#"{"duration":-1}"#, &["/duration"]),
            (K::WorkflowStarted, r#"{"duration":"120"}"#, &["/duration"]),
            (
                K::WorkflowStarted,
                r#"{"steps_completed":1.5,"total_steps":-3}"#,
                &["/steps_completed", "/total_steps"],
            ),
            (K::WorkflowStarted, r#"{"timestamp":1700000000}"#, &["/timestamp"]),
            (K::WorkflowStarted, r#"{"user_id":{"id":1}}"#, &["/user_id"]),
            (K::AgentSpawned, r#"{"status":"terminated"}"#, &["/status"]),
            (
                K::AgentSpawned,
                r#"{"agent_id":1,"agent_name":2,"agent_type":3}"#,
                &["/agent_id", "/agent_name", "/agent_type"],
            ),
            (K::AgentTerminated, r#"{"reason":5}"#, &["/reason"]),
            (K::EntanglementCreated, r#"{"entanglement_id":5}"#, &["/entanglement_id"]),
            (K::Health, r#"{"status_id":"ok"}"#, &["/status_id"]),
            (K::Health, r#"{"workflow_state":"busy"}"#, &["/workflow_state"]),
            (K::Health, r#"{"workflow_blockers":"none"}"#, &["/workflow_blockers"]),
            (K::Health, r#"{"workflow_blockers":["a",1]}"#, &["/workflow_blockers"]),
            (K::Health, r#"{"requires_attention":"yes"}"#, &["/requires_attention"]),
            (K::Status, r#"{"system_resources":[1]}"#, &["/system_resources"]),
            (K::Status, r#"{"system_resources":{"cpu_usage":"1"}}"#, &["/system_resources/cpu_usage"]),
            (K::Event, r#"{}"#, &["/event_type"]),
            (
                K::Event,
                r#"{"event_type":null,"severity":"fatal","source":"me"}"#,
                &["/event_type", "/severity", "/source"],
            ),
            (K::Event, r#"{"event_type":"a/b"}"#, &["/event_type"]),
            (K::Event, r#"{"event_type":"..","message":1}"#, &["/event_type", "/message"]),
        ];
        for (kind, body, pointers) in table {
            assert_eq!(fields(kind, body), pointers, "{body}");
        }
        let long = format!("{{\"event_type\":\"{}\"}}", "a".repeat(EVENT_TYPE_BYTES_MAX + 1));
        assert_eq!(fields(WebhookKind::Event, &long), ["/event_type"]);
    }

    #[test]
    fn a_complaint_says_what_is_wanted_and_never_the_value() {
        let Err(fault) = decode(WebhookKind::WorkflowStarted, br#"{"status":"sesame","duration":-2}"#) else {
            panic!("taken")
        };
        let BodyFault::Fields(faults) = fault else { panic!("{fault:?}") };
        assert_eq!(faults[0].detail, "must be started, is another word");
        assert_eq!(faults[1].detail, "must be a number of 0 or more, is negative");
    }

    #[test]
    fn bodies_that_are_no_object_are_refused() {
        for body in ["[]", "1", "null", "\"a\"", "[{\"event_type\":\"a\"}]"] {
            assert_eq!(decode(WebhookKind::Event, body.as_bytes()), Err(BodyFault::NotAnObject), "{body}");
        }
        for (body, fault) in [
            (&b""[..], TextFault::NotJson),
            (b"{", TextFault::NotJson),
            (b"a=b&c=d", TextFault::NotJson),
            (b"{\"a\":\"\xff\"}", TextFault::NotUtf8),
            (b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", TextFault::TooDeep),
        ] {
            assert_eq!(decode(WebhookKind::Event, body), Err(BodyFault::Text(fault)));
        }
    }

    #[test]
    fn messages_stay_within_their_bound() {
        let body = format!(r#"{{"workflow_name":"{0}","error":"{0}"}}"#, "é\\n".repeat(3_000));
        let draft = decode(WebhookKind::WorkflowFailed, body.as_bytes()).unwrap();
        assert!(draft.message.len() <= EVENT_MESSAGE_BYTES_MAX && draft.message.contains("failed: é"));
    }

    #[test]
    fn answers_are_worded_as_the_python_service_does() {
        assert_eq!(WebhookKind::WorkflowStarted.success_message("x"), "Workflow started event processed");
        assert_eq!(WebhookKind::Status.success_message("x"), "Health status updated");
        assert_eq!(WebhookKind::Event.success_message("boot"), "Event boot processed");
    }
}
