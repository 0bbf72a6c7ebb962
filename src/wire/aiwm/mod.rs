//! AIWM, the controller: connect, heartbeat, disconnect, as its three generations answer (docs/peers.md, section 2).
//!
//! Any 2xx is success (the documents say 200, all generations say 201). The status alone does not tell "no such agent"
//! from "no such path", so the words of an error are read too. Never asked: new credentials, which the server would
//! give to any agent.

mod connect;
mod fact;
mod servers;
mod settings;

pub use fact::{controller_from_fact, controller_to_fact};

use super::json::{Kind, push_name, push_number, push_text};
use super::reply::{json, retry_after_ms, says, why};
use super::words::one_line;
use super::{AddressGuard, CallResult, HttpReply, HttpRequest};
use crate::agent::effect::{BeatMetrics, BeatStatus, Call};
use crate::agent::input::{AiwmReply, Fault};
use crate::agent::setup::{AiwmSetup, Secret};

/// Longest title of work that is kept, in bytes.
const WORK_BYTES_MAX: usize = 200;

pub(super) fn encode(call: &Call, setup: &AiwmSetup) -> HttpRequest {
    let mut body = String::from("{");
    let (action, token) = match call {
        Call::AiwmHeartbeat { token, status, metrics } => {
            push_beat(&mut body, *status, metrics.as_ref());
            ("heartbeat", Some(token))
        }
        Call::AiwmDisconnect { token, reason } => {
            push_text(&mut body, "reason", reason);
            ("disconnect", Some(token))
        }
        _ => {
            push_text(&mut body, "secret", &setup.agent_secret.0);
            ("connect", None)
        }
    };
    body.push('}');
    let mut headers =
        vec![("accept", "application/json".to_owned()), ("content-type", "application/json".to_owned())];
    headers.extend(token.map(bearer));
    HttpRequest {
        method: "POST",
        url: format!("{}/agents/{}/{action}", setup.base_url.trim_end_matches('/'), setup.agent_id),
        headers,
        body: body.into_bytes(),
        timeout_ms: setup.request_timeout_ms,
        guard: AddressGuard::Any,
    }
}

fn bearer(token: &Secret) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", token.0))
}

fn push_beat(body: &mut String, status: BeatStatus, metrics: Option<&BeatMetrics>) {
    let word = match status {
        BeatStatus::Online => "online",
        BeatStatus::Idle => "idle",
        BeatStatus::Busy => "busy",
    };
    push_text(body, "status", word);
    if let Some(metrics) = metrics {
        push_name(body, "metrics");
        body.push('{');
        push_number(body, "cpu", metrics.cpu_percent);
        push_number(body, "memory", metrics.memory_percent);
        push_name(body, "uptime");
        body.push_str(&metrics.uptime_s.to_string());
        push_number(body, "activeConnections", f64::from(metrics.connections));
        body.push('}');
    }
}

/// What an answer to one of our three calls means.
pub(super) fn decode(call: &Call, result: &CallResult) -> AiwmReply {
    let reply = match result {
        Err(fault) => return AiwmReply::Failed { fault: *fault, after_ms: None },
        Ok(reply) => reply,
    };
    match reply.status {
        200..=299 if matches!(call, Call::AiwmConnect) => connect::decode(reply),
        200..=299 => AiwmReply::Taken { work: work(result) },
        400 | 401 if says(reply, "Agent is suspended") => AiwmReply::Suspended,
        401 => AiwmReply::Unauthorized { why: why(reply) },
        404 if why(reply).starts_with("Agent with ID") => AiwmReply::AgentGone,
        404 | 405 | 501 => AiwmReply::WrongPath { status: reply.status },
        400 if is_about_status(call, reply) => AiwmReply::StatusRefused,
        408 | 425 | 429 => failed(reply),
        400..=499 => AiwmReply::Refused { status: reply.status, why: why(reply) },
        503 if reply.retry_after.is_some() => failed(reply),
        500..=599 => AiwmReply::ServerError { status: reply.status },
        _ => failed(reply),
    }
}

fn failed(reply: &HttpReply) -> AiwmReply {
    AiwmReply::Failed { fault: Fault::Status(reply.status), after_ms: retry_after_ms(reply) }
}

/// The list of allowed words prints empty in all generations, so only its beginning can be compared.
fn is_about_status(call: &Call, reply: &HttpReply) -> bool {
    matches!(call, Call::AiwmHeartbeat { .. }) && why(reply).starts_with("status must be one of")
}

/// Generation c: the title of work that waits, else what else it asks for.
fn work(result: &CallResult) -> Option<String> {
    let answer = json(result)?;
    let places =
        [("work", "title"), ("work", "id"), ("systemTask", "title"), ("systemTask", "type")].into_iter();
    places
        .filter_map(|(place, name)| {
            answer.some(place)?.some(name).filter(|value| value.kind() == Kind::Text)?.text()
        })
        .map(|title| one_line(&title, WORK_BYTES_MAX))
        .find(|title| !title.is_empty())
}

#[cfg(test)]
mod tests;
