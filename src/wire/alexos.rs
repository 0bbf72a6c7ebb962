//! ALEX OS: registration, canon, events and health reports (docs/peers.md, section 1).
//!
//! What the documents describe and what the public release offers differ, so both paths for events are here and the
//! agent chooses. Requests carry no authentication: neither knows any.

use super::event_json::push_id;
use super::health_json::{push_report, report_message, report_severity};
use super::json::{Json, Kind, push_name, push_number, push_raw, push_text, push_texts};
use super::reply::{json, retry, retry_status, says, why};
use super::time::format_rfc3339;
use super::words::one_line;
use super::{AddressGuard, CallResult, HttpReply, HttpRequest};
use crate::agent::effect::{Call, EventsPath, HealthReport};
use crate::agent::event::{Event, Severity};
use crate::agent::ids::EventId;
use crate::agent::input::{CanonEntry, Fault, Outcome, Verdict};
use crate::agent::limits::CANON_MAX;
use crate::agent::setup::{AlexosSetup, Setup};
use crate::agent::time::Wall;

/// Longest id that ALEX OS may give us, in bytes. Beyond: not kept.
const AGENT_ID_BYTES_MAX: usize = 128;
/// Longest name and version of a canon entry, in bytes. Beyond: cut.
const CANON_TEXT_BYTES_MAX: usize = 128;

/// `None`: ALEX OS, or the other machine of `webhook_url`, is not configured.
pub(super) fn encode(call: &Call, setup: &Setup) -> Option<HttpRequest> {
    let alexos = setup.alexos.as_ref()?;
    let registry = &alexos.registry_url;
    Some(match call {
        Call::AlexosRegister { at } => {
            post(alexos, format!("{registry}/api/agents/register"), registration(setup, alexos, *at))
        }
        Call::AlexosCanon => get(alexos, format!("{registry}/api/agents/canon")),
        Call::AlexosEvent { event, id, path } => match path {
            EventsPath::Documented => {
                post(alexos, documented_url(registry, &event.kind), envelope(event, *id))
            }
            EventsPath::Public => post(alexos, public_url(registry), public_event(event, *id)),
        },
        Call::AlexosReport { report, path } => match path {
            EventsPath::Documented => {
                post(alexos, documented_url(registry, REPORT_TYPE), report_envelope(report, setup))
            }
            EventsPath::Public => post(alexos, public_url(registry), public_report(report, setup)),
        },
        Call::WebhookUrlReport { report } => {
            let url = Some(&alexos.webhook_url).filter(|url| !url.is_empty())?;
            let mut body = String::new();
            push_report(&mut body, report, setup);
            let mut request = post(alexos, format!("{url}/health"), body);
            request.headers.retain(|(name, _)| *name != "host"); // `host_header` is ALEX OS's
            request
        }
        _ => return None,
    })
}

/// The event type of a health report.
const REPORT_TYPE: &str = "health_report";

fn documented_url(registry: &str, event_type: &str) -> String {
    format!("{registry}/api/webhooks/chainbot/{event_type}")
}

/// The doubled prefix is the public release's own; without the last slash it answers 405.
fn public_url(registry: &str) -> String {
    format!("{registry}/api/events/api/events/")
}

fn post(alexos: &AlexosSetup, url: String, body: String) -> HttpRequest {
    let mut request = get(alexos, url);
    request.method = "POST";
    request.headers.push(("content-type", "application/json".to_owned()));
    request.body = body.into_bytes();
    request
}

fn get(alexos: &AlexosSetup, url: String) -> HttpRequest {
    let mut headers = vec![("accept", "application/json".to_owned())];
    if !alexos.host_header.is_empty() {
        headers.push(("host", alexos.host_header.clone()));
    }
    HttpRequest {
        method: "GET",
        url,
        headers,
        body: Vec::new(),
        timeout_ms: alexos.request_timeout_ms,
        guard: AddressGuard::Any,
    }
}

/// The fields of both Python clients, which name the first two differently: either kind of server finds its own.
fn registration(setup: &Setup, alexos: &AlexosSetup, at: Wall) -> String {
    let me = &setup.identity;
    let mut out = String::from("{");
    for (name, value) in [
        ("agent_name", &me.name),
        ("name", &me.name),
        ("agent_version", &me.version),
        ("version", &me.version),
        ("description", &me.description),
        ("role", &me.role),
    ] {
        push_text(&mut out, name, value);
    }
    push_texts(&mut out, "capabilities", &me.capabilities);
    push_texts(&mut out, "ui_features", &me.ui_features);
    push_texts(&mut out, "endpoints", &me.endpoints);
    push_number(&mut out, "port", f64::from(me.port));
    for (name, value) in [
        ("health_endpoint", &me.health_endpoint),
        ("docs_endpoint", &me.docs_endpoint),
        ("event_bus_url", &alexos.event_bus_url),
        ("webhook_url", &alexos.webhook_url),
    ] {
        push_text(&mut out, name, value);
    }
    push_text(&mut out, "registration_time", &format_rfc3339(at));
    out.push('}');
    out
}

/// The documented envelope: that of both Python clients, with the event's id and message beside.
pub(super) fn envelope(event: &Event, id: EventId) -> String {
    let data = Json::parse(event.metadata.0.as_bytes()).ok();
    let asks = data.and_then(|data| data.some("requires_attention")).and_then(Json::bool);
    let mut out = String::with_capacity(400 + event.message.len() + event.metadata.0.len());
    out.push('{');
    push_id(&mut out, id);
    push_text(&mut out, "event_type", &event.kind);
    push_text(&mut out, "timestamp", &format_rfc3339(event.at));
    push_text(&mut out, "source", event.source.as_str());
    push_raw(&mut out, "data", &event.metadata.0);
    push_text(&mut out, "severity", event.severity.as_str());
    push_flag(&mut out, "requires_attention", asks.unwrap_or(event.severity >= Severity::Error));
    push_text(&mut out, "message", &event.message);
    for name in ["agent_id", "workflow_id", "user_id"] {
        let value = data.and_then(|data| data.some(name)).filter(|value| value.kind() == Kind::Text);
        push_raw(&mut out, name, value.map_or("null", Json::raw));
    }
    out.push('}');
    out
}

/// The public release drops unknown fields, so everything goes into `payload`; its dashboard prints `payload.message`.
fn public_event(event: &Event, id: EventId) -> String {
    let mut out = public_start(&event.kind, event.severity, event.metadata.0.len() + event.message.len());
    push_id(&mut out, id);
    push_text(&mut out, "message", &event.message);
    push_text(&mut out, "timestamp", &format_rfc3339(event.at));
    push_text(&mut out, "source", event.source.as_str());
    push_raw(&mut out, "data", &event.metadata.0);
    out.push_str(PUBLIC_END);
    out
}

pub(super) fn report_envelope(report: &HealthReport, setup: &Setup) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "id", &report.id.to_string());
    push_text(&mut out, "event_type", REPORT_TYPE);
    push_text(&mut out, "timestamp", &format_rfc3339(report.at));
    push_text(&mut out, "source", "chainbot");
    push_name(&mut out, "data");
    push_report(&mut out, report, setup);
    push_text(&mut out, "severity", report_severity(report).as_str());
    push_flag(&mut out, "requires_attention", report.attention.is_some());
    push_text(&mut out, "message", &report_message(report));
    for name in ["agent_id", "workflow_id", "user_id"] {
        push_raw(&mut out, name, "null");
    }
    out.push('}');
    out
}

fn public_report(report: &HealthReport, setup: &Setup) -> String {
    let mut out = public_start(REPORT_TYPE, report_severity(report), 1_000);
    push_text(&mut out, "id", &report.id.to_string());
    push_text(&mut out, "message", &report_message(report));
    push_text(&mut out, "timestamp", &format_rfc3339(report.at));
    push_text(&mut out, "source", "chainbot");
    push_name(&mut out, "data");
    push_report(&mut out, report, setup);
    out.push_str(PUBLIC_END);
    out
}

fn public_start(event_type: &str, severity: Severity, room: usize) -> String {
    let mut out = String::with_capacity(300 + room);
    out.push('{');
    push_text(&mut out, "event_type", event_type);
    push_text(&mut out, "severity", severity.as_str());
    push_raw(&mut out, "payload", "{");
    out
}

/// `agent_uuid` is a foreign key to a table that nothing can fill, so it stays null.
const PUBLIC_END: &str = r#"},"source":"chainbot","agent_uuid":null}"#;

fn push_flag(out: &mut String, name: &str, value: bool) {
    push_raw(out, name, if value { "true" } else { "false" });
}

/// The outcome of a call that `encode` knows.
pub(super) fn decode(call: &Call, result: &CallResult) -> Outcome {
    let verdict = verdict(result);
    let is_taken = verdict == Verdict::Accepted;
    match call {
        Call::AlexosRegister { .. } => match json(result) {
            None if is_taken && !is_empty(result) => Outcome::Registered(retry(Fault::Garbage), None),
            answer => {
                let id = answer.filter(|_| is_taken).and_then(agent_id);
                Outcome::Registered(verdict, id)
            }
        },
        Call::AlexosCanon => match json(result) {
            None if is_taken => Outcome::Canon(retry(Fault::Garbage), Vec::new()),
            answer => {
                let entries = answer.filter(|_| is_taken).map(canon).unwrap_or_default();
                Outcome::Canon(verdict, entries)
            }
        },
        // A web page that says 200 comes from something in between, and the event would be lost.
        _ if is_taken && is_html(result) => Outcome::Delivered(retry(Fault::Garbage)),
        _ => Outcome::Delivered(verdict),
    }
}

fn verdict(result: &CallResult) -> Verdict {
    let reply = match result {
        Err(fault) => return retry(*fault),
        Ok(reply) => reply,
    };
    match reply.status {
        200..=299 => Verdict::Accepted,
        404 | 405 | 501 => Verdict::NotOffered { status: reply.status },
        400 if is_database_fault(reply) => retry_status(reply),
        400 if says(reply, "Invalid host header") => Verdict::Denied {
            status: 400,
            why: "Invalid host header: set alex_os.host_header to a name that ALEX OS accepts, such as localhost"
                .to_owned(),
        },
        401 | 403 | 407 => Verdict::Denied { status: reply.status, why: why(reply) },
        408 | 425 | 429 => retry_status(reply),
        400..=499 => Verdict::Refused { status: reply.status, why: why(reply) },
        _ => retry_status(reply),
    }
}

/// What the public release answers when two requests met in its one database session (docs/peers.md, section 1.3).
fn is_database_fault(reply: &HttpReply) -> bool {
    says(reply, "Event creation failed") || says(reply, "This transaction is closed")
}

fn is_empty(result: &CallResult) -> bool {
    result.as_ref().is_ok_and(|reply| reply.body.trim_ascii().is_empty())
}

fn is_html(result: &CallResult) -> bool {
    result.as_ref().is_ok_and(|reply| reply.body.trim_ascii_start().starts_with(b"<"))
}

/// The id that a registration's answer gives us, wherever it puts it.
fn agent_id(answer: Json<'_>) -> Option<String> {
    let places = [Some(answer), answer.some("agent"), answer.some("data"), answer.some("result")];
    places
        .into_iter()
        .flatten()
        .find_map(|place| ["agent_id", "id", "uuid"].into_iter().find_map(|name| id(place.some(name)?)))
}

fn id(value: Json<'_>) -> Option<String> {
    let text = match value.kind() {
        Kind::Text => value.text()?.into_owned(),
        Kind::Number => value.raw().to_owned(),
        _ => return None,
    };
    let is_good = !text.is_empty() && text.len() <= AGENT_ID_BYTES_MAX && !text.chars().any(char::is_control);
    is_good.then_some(text)
}

/// `{"agents":[...]}` or the bare list; entries without a name are passed over.
fn canon(answer: Json<'_>) -> Vec<CanonEntry> {
    let list = answer.some("agents").unwrap_or(answer);
    let text = |entry: Json<'_>, names: [&str; 2]| {
        let value = names.into_iter().find_map(|name| entry.some(name)?.text());
        value.map(|value| one_line(&value, CANON_TEXT_BYTES_MAX)).filter(|value| !value.is_empty())
    };
    list.items()
        .filter_map(|entry| {
            let name = text(entry, ["name", "agent_name"])?;
            Some(CanonEntry { name, version: text(entry, ["version", "agent_version"]).unwrap_or_default() })
        })
        .take(CANON_MAX)
        .collect()
}

#[cfg(test)]
mod tests;
