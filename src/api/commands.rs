//! The slash commands of the chat window: what each does, and what it replies.
//!
//! Pure: what only looks is answered at once; what changes something or reads the ledger comes out as a [`Reaction`], and
//! the shell brings back what came of it.

use super::brain::{personas, session_name};
use super::shown;
use super::sockets::{Reaction, Scene, WindowSeat};
use crate::agent::brain::speech::{Caller, Message, Saying};
use crate::agent::event::{Event, EventDraft, JsonText, Severity, Source};
use crate::wire::time::format_rfc3339;
use crate::wire::windows::{self, Window};

/// Most bytes of a reply. Beyond: cut, and said so.
pub const REPLY_BYTES_MAX: usize = 12 * 1024;
/// Most events that `/search` shows.
pub const FOUND_MAX: usize = 10;

/// Command, operands, what it does.
const COMMANDS: [(&str, &str, &str); 10] = [
    ("/help", "", "lists these commands"),
    ("/agents", "", "lists this agent and its conversations"),
    ("/spawn", "[persona]", "begins a conversation with a persona"),
    ("/kill", "<conversation>", "stops a conversation and forgets it"),
    ("/run", "<text>", "gives the model a task, as a workflow of its own"),
    ("/fix", "<text>", "asks the code assistant to find and mend what is wrong"),
    ("/search", "<text>", "looks for a text in the newest events"),
    ("/whois", "<name>", "says what is known of a conversation, a provider or this agent"),
    ("/export", "", "shows what was said in this conversation"),
    ("/clear", "", "forgets this conversation"),
];

/// A command line in its parts: the command with its slash, and the rest.
#[must_use]
pub fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace).map_or((line, ""), |(command, rest)| (command, rest.trim()))
}

/// What a command leads to. `session`: the conversation of the one who typed it.
pub(super) fn run(scene: Scene<'_>, seat: &WindowSeat, session: &str, line: &str) -> Vec<Reaction> {
    let (command, rest) = split(line);
    let say = |status: &str, text: String| vec![reply(scene, seat, command, status, &text)];
    let is_missing = rest.is_empty() && matches!(command, "/kill" | "/run" | "/fix" | "/search" | "/whois");
    if is_missing {
        let usage = COMMANDS.iter().find(|(name, ..)| *name == command).map_or("", |(_, usage, _)| *usage);
        return say("error", format!("usage: {command} {usage}"));
    }
    match command {
        "/help" => say("ok", help()),
        "/agents" => say("ok", agents(scene)),
        "/whois" => say("ok", whois(scene, rest)),
        "/spawn" => spawn(scene, seat, command, rest),
        "/kill" => {
            let name = session_name(rest);
            if scene.status.brain.sessions.iter().all(|known| known.name != name) {
                return say("error", format!("there is no conversation {name}; /agents lists them"));
            }
            let event = agent_event("agent_terminated", &name, seat);
            vec![
                Reaction::Forget(name.clone()),
                Reaction::Take(event),
                reply(scene, seat, command, "ok", &format!("{name} is stopped and forgotten")),
            ]
        }
        "/run" => {
            let name = session_name(&format!("run-{}", rest.split_whitespace().next().unwrap_or("default")));
            let draft = event(
                "workflow_started",
                format!("workflow {name} started"),
                &[("workflow_id", &name), ("workflow_name", rest), ("user_id", &seat.user)],
            );
            vec![
                Reaction::Take(draft),
                converse(&name, format!("Do this, step by step, and report what came of it: {rest}"), ""),
                reply(scene, seat, command, "ok", &format!("started as {name}")),
            ]
        }
        "/fix" => {
            let text = format!("Find what is wrong here and mend it: {rest}");
            vec![
                converse(session, text, "code_assistant"),
                reply(scene, seat, command, "ok", "asked; the answer comes as agent_response"),
            ]
        }
        "/search" => vec![Reaction::Search { command: command.to_owned(), text: rest.to_owned() }],
        "/export" => vec![Reaction::Export { command: command.to_owned(), session: session.to_owned() }],
        "/clear" => vec![
            Reaction::Forget(session.to_owned()),
            reply(scene, seat, command, "ok", &format!("{session} is forgotten")),
        ],
        other => say("error", format!("{} is no command; /help lists them", shown(other))),
    }
}

fn help() -> String {
    let mut text = String::new();
    for (name, operands, what) in COMMANDS {
        let gap = if operands.is_empty() { "" } else { " " };
        text.push_str(&format!("{name}{gap}{operands}: {what}\n"));
    }
    text
}

fn agents(scene: Scene<'_>) -> String {
    let mut text = format!("{} ({})\n", scene.setup.identity.name, scene.status.health.as_str());
    for session in &scene.status.brain.sessions {
        text.push_str(&format!("{}: {} messages, {}\n", session.name, session.messages, session.state));
    }
    text
}

fn whois(scene: Scene<'_>, name: &str) -> String {
    let identity = &scene.setup.identity;
    if name == identity.name {
        return format!("{name}: this agent, {}, {}", identity.role, scene.status.health.as_str());
    }
    if let Some(session) = scene.status.brain.sessions.iter().find(|session| session.name == name) {
        let persona = personas::find(name).map_or("no persona", |persona| persona.name);
        return format!(
            "{name}: a conversation of {} messages, {}, {persona}, last spoken to at {}",
            session.messages,
            session.state,
            format_rfc3339(session.at)
        );
    }
    if let Some(provider) = scene.status.brain.providers.iter().find(|provider| provider.name == name) {
        return format!(
            "{name}: a provider of models ({}), {}, {} answered, {} failed",
            provider.kind.as_str(),
            provider.state.as_str(),
            provider.answered,
            provider.failed
        );
    }
    format!("nobody here is called {}", shown(name))
}

fn spawn(scene: Scene<'_>, seat: &WindowSeat, command: &str, rest: &str) -> Vec<Reaction> {
    let wanted = if rest.is_empty() { "general_assistant" } else { rest };
    let Some(persona) = personas::PERSONAS.iter().find(|persona| persona.name == wanted) else {
        let names = personas::PERSONAS.map(|persona| persona.name).join(", ");
        let text = format!("{} is no persona: {names} are", shown(wanted));
        return vec![reply(scene, seat, command, "error", &text)];
    };
    let is_taken = |name: &str| scene.status.brain.sessions.iter().any(|session| session.name == name);
    let name = (1..)
        .map(|number: u32| format!("{}-{number}", persona.name))
        .find(|name| !is_taken(name))
        .unwrap_or_default();
    let text = format!("{name} is there; talk with it by session_id {name}");
    let mut reactions = vec![Reaction::Take(agent_event("agent_spawned", &name, seat))];
    reactions.push(converse(&name, "Introduce yourself in one sentence.".to_owned(), persona.name));
    reactions.push(reply(scene, seat, command, "ok", &text));
    reactions
}

fn converse(session: &str, text: String, persona: &str) -> Reaction {
    Reaction::Converse(Box::new(saying(session, text, persona)))
}

/// Something said at a window or over `/ws`.
pub(super) fn saying(session: &str, text: String, persona: &str) -> Saying {
    let name = if persona.is_empty() { session } else { persona };
    Saying {
        caller: Caller::Loopback,
        by: String::new(),
        session: session.to_owned(),
        text,
        model: String::new(),
        provider: String::new(),
        instruction: personas::find(name).map_or_else(String::new, |persona| persona.instruction.to_owned()),
        may_wait: false,
    }
}

fn agent_event(kind: &str, name: &str, seat: &WindowSeat) -> EventDraft {
    let persona = personas::find(name).map_or("conversation", |persona| persona.name);
    let what = kind.trim_start_matches("agent_");
    event(
        kind,
        format!("agent {name} {what}"),
        &[("agent_id", name), ("agent_name", name), ("agent_type", persona), ("user_id", &seat.user)],
    )
}

fn event(kind: &str, mut message: String, fields: &[(&str, &str)]) -> EventDraft {
    crate::agent::cut(&mut message, crate::agent::limits::EVENT_MESSAGE_BYTES_MAX);
    EventDraft {
        kind: kind.to_owned(),
        source: Source::Chainbot,
        severity: Severity::Info,
        message,
        metadata: JsonText::of_strings(fields),
    }
}

/// The reply to a command.
pub(super) fn reply(
    scene: Scene<'_>,
    seat: &WindowSeat,
    command: &str,
    status: &str,
    text: &str,
) -> Reaction {
    Reaction::Say(response(seat.window, scene.status.at, command, status, text))
}

fn response(window: Window, at: crate::agent::time::Wall, command: &str, status: &str, text: &str) -> String {
    let mut text = text.trim_end().to_owned();
    crate::agent::cut(&mut text, REPLY_BYTES_MAX);
    let data = windows::data(|out| {
        crate::wire::json::push_text(out, "command", command);
        crate::wire::json::push_text(out, "status", status);
        crate::wire::json::push_text(out, "response", &text);
    });
    windows::message("agent_response", window, at, &data)
}

/// What `/search` found: the newest events first that hold the text.
#[must_use]
pub fn found(window: Window, at: crate::agent::time::Wall, command: &str, events: &[Event]) -> String {
    let lines = events.iter().rev().take(FOUND_MAX).map(|event| {
        format!(
            "{} {} {}: {}\n",
            format_rfc3339(event.at),
            event.severity.as_str(),
            event.kind,
            event.message
        )
    });
    let text: String = lines.collect();
    let text = if text.is_empty() { "nothing among the newest events".to_owned() } else { text };
    response(window, at, command, "ok", &text)
}

/// What `/export` shows.
#[must_use]
pub fn exported(
    window: Window,
    at: crate::agent::time::Wall,
    command: &str,
    messages: &[(u32, Message)],
) -> String {
    let lines = messages.iter().map(|(_, message)| {
        format!("[{}] {}: {}\n", format_rfc3339(message.at), message.role.as_str(), message.text)
    });
    let text: String = lines.collect();
    let text = if text.is_empty() { "nothing was said here yet".to_owned() } else { text };
    response(window, at, command, "ok", &text)
}

/// The first message of the chat window: what was said before, the newest that fit.
#[must_use]
pub fn history(scene: Scene<'_>, messages: &[(u32, Message)]) -> String {
    let mut kept = Vec::new();
    let mut bytes = 0;
    for (_, message) in messages.iter().rev() {
        bytes += message.text.len() + 64;
        if bytes > REPLY_BYTES_MAX {
            break;
        }
        kept.push(message);
    }
    let data = windows::data(|out| {
        out.push_str("\"conversation_history\":[");
        for (index, message) in kept.iter().rev().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push('{');
            crate::wire::json::push_text(out, "role", message.role.as_str());
            crate::wire::json::push_text(out, "content", &message.text);
            crate::wire::json::push_text(out, "timestamp", &format_rfc3339(message.at));
            out.push('}');
        }
        out.push_str("],\"available_agents\":[");
        out.push_str(&windows::self_data(
            &scene.setup.identity.name,
            scene.status.health.as_str(),
            scene.status.at,
        ));
        out.push_str("],\"active_sessions\":[");
        for (index, session) in scene.status.brain.sessions.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&windows::quoted(session.name));
        }
        out.push(']');
    });
    windows::message("chat_history", Window::Chat, scene.status.at, &data)
}
