//! The messages of ChainBot's windows: `{"type", "window_type", "timestamp", "data"}` both ways.

use super::autobot::{Misfit, misfit, object, shown};
use super::json::{Json, push_name, push_number, push_raw, push_text, push_texts};
use super::time::format_rfc3339;
use crate::agent::event::{Event, push_json_string};
use crate::agent::ids::LedgerId;
use crate::agent::input::Sample;
use crate::agent::time::Wall;

/// The windows of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// Agents and how they are connected.
    AgentMap,
    /// Code.
    CodeAgent,
    /// Chat.
    Chat,
    /// The machine and what happens on it.
    Watchtower,
    /// Workflows.
    WorkflowBuilder,
    /// Imported files.
    DataImporter,
}

impl Window {
    /// Every window, in the documents' order.
    pub const ALL: [Self; 6] = [
        Self::AgentMap,
        Self::CodeAgent,
        Self::Chat,
        Self::Watchtower,
        Self::WorkflowBuilder,
        Self::DataImporter,
    ];

    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentMap => "agent_map",
            Self::CodeAgent => "code_agent",
            Self::Chat => "chat",
            Self::Watchtower => "watchtower",
            Self::WorkflowBuilder => "workflow_builder",
            Self::DataImporter => "data_importer",
        }
    }

    /// Reads the name in messages, or the one in paths, which has dashes for underscores.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| {
            let name = window.as_str().bytes();
            text.len() == name.len()
                && text
                    .bytes()
                    .zip(name)
                    .all(|(given, name)| given == name || (given == b'-' && name == b'_'))
        })
    }

    /// What the window can show.
    #[must_use]
    pub fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::AgentMap => &["agent_map_update", "agent_status_update", "agent_spawn", "agent_kill"],
            Self::CodeAgent => &["code_change"],
            Self::Chat => &["chat_history", "chat_message", "agent_response", "slash_command"],
            Self::Watchtower => &["system_stats", "log_update", "health_check"],
            Self::WorkflowBuilder => {
                &["workflow_update", "workflow_start", "workflow_complete", "workflow_error"]
            }
            Self::DataImporter => &["log_update"],
        }
    }
}

/// The types of the documents, both ways.
pub const TYPES: [&str; 26] = [
    "agent_kill",
    "agent_map_update",
    "agent_response",
    "agent_spawn",
    "agent_status_update",
    "alert",
    "chat_history",
    "chat_message",
    "code_change",
    "code_diff",
    "code_run",
    "code_save",
    "harry_suggestion",
    "health_check",
    "hot_swap",
    "incident",
    "log_update",
    "slash_command",
    "system_stats",
    "window_close",
    "window_focus",
    "window_open",
    "workflow_complete",
    "workflow_error",
    "workflow_start",
    "workflow_update",
];

/// Longest slash command with its operands, in bytes. Beyond: an `error` message.
const COMMAND_BYTES_MAX: usize = 4 * 1024;

/// What a window said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `ping` or `pong` of a client that watches its connection.
    Ping,
    /// `window_focus`.
    Focus,
    /// `hot_swap`.
    HotSwap {
        /// Where to.
        target: Window,
        /// JSON, as it came.
        swap_data: String,
    },
    /// `slash_command`.
    Command {
        /// With its slash and its operands.
        line: String,
    },
    /// `chat_message`.
    Chat {
        /// At most `autobot::USER_MESSAGE_BYTES_MAX` bytes.
        message: String,
    },
    /// `health_check`.
    HealthCheck,
    /// Another documented type: taken, and nothing done.
    Nothing,
    /// `auth`, the first message of a client that showed no credential.
    Auth(String),
}

/// Reads a message of a window. `window_type` may be missing: the path has said it.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<Said, Misfit> {
    let message = object(text)?;
    let Some(kind) = message.some("type").and_then(Json::text) else {
        return misfit("MISSING_FIELD", "type is missing");
    };
    if let Some(window) = message.some("window_type").and_then(Json::text)
        && Window::parse(&window).is_none()
    {
        return misfit("INVALID_FIELD", format!("window_type \"{}\" is not known", shown(&window)));
    }
    let data = message.some("data").unwrap_or(message);
    let text = |name: &str| data.some(name).and_then(Json::text).map(std::borrow::Cow::into_owned);
    match &*kind {
        "ping" => Ok(Said::Ping),
        "auth" => Ok(Said::Auth(text("token").unwrap_or_default())),
        "window_focus" => Ok(Said::Focus),
        "hot_swap" => {
            let Some(target) = text("target_window").as_deref().and_then(Window::parse) else {
                return misfit("MISSING_FIELD", "target_window is missing or no window");
            };
            let swap_data = data.some("swap_data").map_or_else(|| "{}".to_owned(), Json::compact);
            Ok(Said::HotSwap { target, swap_data })
        }
        "slash_command" => match text("command") {
            Some(command) if !command.is_empty() && command.len() <= COMMAND_BYTES_MAX => {
                command_line(command, data)
            }
            _ => misfit("MISSING_FIELD", "command is missing or longer than 4096 bytes"),
        },
        "chat_message" => match text("message").or_else(|| text("content")) {
            Some(message)
                if !message.is_empty() && message.len() <= super::autobot::USER_MESSAGE_BYTES_MAX =>
            {
                Ok(Said::Chat { message })
            }
            _ => misfit("MISSING_FIELD", "message is missing or too long"),
        },
        "health_check" => Ok(Said::HealthCheck),
        "pong" => Ok(Said::Nothing),
        known if TYPES.contains(&known) => Ok(Said::Nothing),
        unknown => misfit("UNKNOWN_TYPE", format!("type \"{}\" is not known", shown(unknown))),
    }
}

/// The command and its `args`, a list of strings or one string.
fn command_line(command: String, data: Json<'_>) -> Result<Said, Misfit> {
    let mut line = command;
    let args = data.some("args");
    let texts = args.filter(|args| args.kind() == super::json::Kind::Text).into_iter();
    for arg in texts.chain(args.into_iter().flat_map(Json::items)) {
        let Some(arg) = arg.text() else {
            return misfit("INVALID_FIELD", "args must be strings");
        };
        line.push(' ');
        line.push_str(&arg);
        if line.len() > COMMAND_BYTES_MAX {
            return misfit("INVALID_FIELD", "command and args are longer than 4096 bytes");
        }
    }
    Ok(Said::Command { line })
}

/// A message to a window, with `data` that is JSON already.
#[must_use]
pub fn message(kind: &str, window: Window, at: Wall, data: &str) -> String {
    let mut out = String::with_capacity(112 + data.len());
    out.push('{');
    push_text(&mut out, "type", kind);
    push_text(&mut out, "window_type", window.as_str());
    push_text(&mut out, "timestamp", &format_rfc3339(at));
    push_raw(&mut out, "data", data);
    out.push('}');
    out
}

/// An object whose members `fill` writes.
#[must_use]
pub fn data(fill: impl FnOnce(&mut String)) -> String {
    let mut out = String::from("{");
    fill(&mut out);
    out.push('}');
    out
}

/// What `window_open` says.
#[must_use]
pub fn open_data(connection_id: u64, window: Window) -> String {
    data(|out| {
        push_text(out, "connection_id", &format!("{:012x}", connection_id));
        push_text(out, "window_type", window.as_str());
        push_texts(out, "capabilities", window.capabilities());
    })
}

/// The machine, as the watchtower window shows it.
#[must_use]
pub fn stats_data(sample: Option<&Sample>, gpt_status: &str) -> String {
    let sample = sample.cloned().unwrap_or_default();
    data(|out| {
        push_name(out, "system_stats");
        out.push('{');
        push_number(out, "cpu_usage", sample.cpu_percent);
        push_number(out, "memory_usage", sample.memory_percent);
        push_number(out, "disk_usage", sample.disk_percent);
        push_number(out, "network_usage", sample.network_kib_s);
        out.push('}');
        push_name(out, "gpt_integration");
        out.push('{');
        push_text(out, "status", gpt_status);
        out.push('}');
        push_texts(out, "recent_logs", &sample.log_excerpt);
        push_raw(out, "active_alerts", "[]");
        push_raw(out, "incidents", "[]");
    })
}

/// The agent itself as the one agent there is: for the agent map, and shorter for the others.
#[must_use]
pub fn self_data(name: &str, status: &str, at: Wall) -> String {
    let mut out = String::from("{");
    push_text(&mut out, "id", name);
    push_text(&mut out, "name", name);
    push_text(&mut out, "type", "chainbot");
    push_text(&mut out, "status", status);
    push_raw(&mut out, "position", r#"{"x":0,"y":0}"#);
    push_raw(&mut out, "connections", "[]");
    push_text(&mut out, "last_activity", &format_rfc3339(at));
    out.push('}');
    out
}

/// An event as the windows show it: its type, and `data` that is the unified event. `None`: not for this window.
#[must_use]
pub fn of_event(window: Window, event: &Event, ledger: LedgerId) -> Option<String> {
    let kind = match (window, event.kind.as_str()) {
        (Window::Watchtower, _) => "log_update",
        (Window::WorkflowBuilder, "workflow_started") => "workflow_start",
        (Window::WorkflowBuilder, "workflow_completed") => "workflow_complete",
        (Window::WorkflowBuilder, "workflow_failed") => "workflow_error",
        (Window::WorkflowBuilder, kind) if kind.starts_with("workflow_") => "workflow_update",
        (Window::AgentMap, "agent_spawned") => "agent_spawn",
        (Window::AgentMap, "agent_terminated") => "agent_kill",
        (Window::Chat, "user_message" | "chat_message" | "goal_received") => "chat_message",
        (Window::Chat, "llm_response") => "agent_response",
        (Window::Chat, "approval_requested" | "turn_failed") => "alert",
        (
            Window::Chat,
            "thought" | "tool_started" | "tool_ended" | "plan_ready" | "approval_decided" | "question_queued",
        ) => "agent_status_update",
        _ => return None,
    };
    let mut data = String::new();
    super::event_json::push_ledger_event(&mut data, event, ledger);
    Some(message(kind, window, event.at, &data))
}

/// A JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_json_string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_two_spellings() {
        assert_eq!(Window::parse("agent-map"), Some(Window::AgentMap));
        assert_eq!(Window::parse("agent_map"), Some(Window::AgentMap));
        for bad in ["", "agentmap", "agent.map", "agent-map-", "chat "] {
            assert_eq!(Window::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_windows_messages_are_read() {
        for (text, said) in [
            (r#"{"type":"window_focus","window_type":"chat","data":{}}"#, Said::Focus),
            (
                r#"{"type":"hot_swap","window_type":"chat","data":{"target_window":"code_agent","swap_data":{"a": 1}}}"#,
                Said::HotSwap { target: Window::CodeAgent, swap_data: r#"{"a":1}"#.to_owned() },
            ),
            (
                r#"{"type":"slash_command","data":{"command":"/help","args":[]}}"#,
                Said::Command { line: "/help".to_owned() },
            ),
            (
                r#"{"type":"slash_command","data":{"command":"/search","args":["a b","c"]}}"#,
                Said::Command { line: "/search a b c".to_owned() },
            ),
            (r#"{"type":"code_save","data":{}}"#, Said::Nothing),
            (r#"{"type":"chat_message","data":{"message":"hi"}}"#, Said::Chat { message: "hi".to_owned() }),
        ] {
            assert_eq!(read(text), Ok(said), "{text}");
        }
        for (text, code) in [
            ("{", "INVALID_JSON"),
            ("[]", "NOT_AN_OBJECT"),
            ("{}", "MISSING_FIELD"),
            (r#"{"type":"bogus"}"#, "UNKNOWN_TYPE"),
            (r#"{"type":"window_focus","window_type":"attic"}"#, "INVALID_FIELD"),
            (r#"{"type":"hot_swap","data":{"target_window":"attic"}}"#, "MISSING_FIELD"),
            (r#"{"type":"slash_command","data":{}}"#, "MISSING_FIELD"),
            (r#"{"type":"slash_command","data":{"command":"/a","args":[1]}}"#, "INVALID_FIELD"),
        ] {
            assert_eq!(read(text).map_err(|misfit| misfit.code), Err(code), "{text}");
        }
    }

    #[test]
    fn what_windows_are_sent_is_json() {
        for window in Window::ALL {
            for data in
                [open_data(7, window), stats_data(None, "healthy"), self_data("a\"b", "idle", Wall(0))]
            {
                let text = message("window_open", window, Wall(0), &data);
                let json = Json::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"));
                assert_eq!(json.get("window_type").and_then(Json::text).as_deref(), Some(window.as_str()));
            }
        }
    }
}
