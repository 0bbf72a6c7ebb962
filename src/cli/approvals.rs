//! `approvals`: the calls of tools about which a person is asked.

use super::args::Typed;
use super::ask::RunningAgent;
use super::out::{Exit, Failure, Out, Paint, printable};
use crate::agent::event::push_json_string;
use crate::agent::ids::EventId;
use crate::wire::json::Json;

/// `approvals [--allow ID | --refuse ID] [--json]`.
pub fn approvals(typed: &Typed, agent: &RunningAgent, out: &mut Out) -> Result<(), Failure> {
    match (typed.value("allow"), typed.value("refuse")) {
        (Some(_), Some(_)) => {
            Err(Failure::new(Exit::Usage, "--allow and --refuse are two answers: give one of them"))
        }
        (Some(id), None) => decide(agent, id, true, out),
        (None, Some(id)) => decide(agent, id, false, out),
        (None, None) => list(agent, typed.has("json"), out),
    }
}

fn decide(agent: &RunningAgent, id: &str, is_yes: bool, out: &mut Out) -> Result<(), Failure> {
    if EventId::parse(id).is_none() {
        let words = format!("\"{}\" is no id; `chainbot approvals` lists them", printable(id));
        return Err(Failure::new(Exit::Usage, words));
    }
    answer(agent, id, is_yes)?;
    out.line(if is_yes { "allowed" } else { "refused" })
}

/// Tells the agent what a person decided.
pub(super) fn answer(agent: &RunningAgent, id: &str, is_yes: bool) -> Result<(), Failure> {
    let mut body = format!("{{\"approved\":{is_yes},\"user_id\":");
    push_json_string(&mut body, &std::env::var("USER").unwrap_or_else(|_| "terminal".to_owned()));
    body.push('}');
    let (status, text) =
        agent.post(&format!("/api/approvals/{id}"), &[], &body).map_err(|fault| agent.failure(&fault))?;
    if status == 200 {
        return Ok(());
    }
    let why = super::ask::problem_of(&text);
    Err(agent.failure(&super::ask::AskFault::Refused(status, why)))
}

fn list(agent: &RunningAgent, wants_json: bool, out: &mut Out) -> Result<(), Failure> {
    let body = agent.get("/api/approvals").map_err(|fault| agent.failure(&fault))?;
    if wants_json {
        return out.line(body.trim_end());
    }
    let parsed = Json::parse(body.as_bytes()).ok();
    let mut count = 0;
    for approval in parsed.and_then(|json| json.get("approvals")).into_iter().flat_map(Json::items) {
        let text = |name: &str| printable(&approval.some(name).and_then(Json::text).unwrap_or_default());
        out.line(format_args!(
            "{}  {} {}  ({}, {} s left)",
            text("id"),
            out.paint(Paint::Bold, &text("tool")),
            text("subject"),
            text("session_id"),
            approval.some("expires_in_s").and_then(Json::u64).unwrap_or(0),
        ))?;
        count += 1;
    }
    if count == 0 {
        out.line("nobody is asked anything")?;
    }
    Ok(())
}
