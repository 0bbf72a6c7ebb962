//! The tools that a model may call on this board: the one table, their arguments checked, and what they touch.
//!
//! What a person is asked about and what rules are matched with, the subject, is made from the same checked values that
//! are then carried out: a path is the path that is opened, a command line is quoted so that it can mean one thing only.
//! Not here: whether a call is allowed (`agent/brain/`), and doing it (`shell/tools/`).

mod subject;

use crate::agent::event::{EventFilter, Severity};
use crate::agent::limits::{
    COMMAND_WORDS_MAX, EVENT_TYPE_BYTES_MAX, TOLD_EVENTS_MAX, TOOL_ARGUMENTS_BYTES_MAX, TOOL_PATH_BYTES_MAX,
    TOOL_URL_BYTES_MAX,
};
use crate::wire::json::{Json, Kind, push_raw, push_text};
use crate::wire::words::is_unprintable;
pub use subject::canonical;
use subject::{checked_path, checked_url, quoted};

/// How the names of tools of other servers begin.
pub const MCP_PREFIX: &str = "mcp__";
/// Events that are told if the call does not say how many.
const TOLD_EVENTS: u64 = 20;
/// Largest number that JSON carries everywhere (RFC 8259, section 6).
const NUMBER_MAX: u64 = 1 << 53;

/// A tool of the table.
#[derive(Debug)]
pub struct Tool {
    /// Its name: letters, digits and hyphens.
    pub name: &'static str,
    /// One sentence for the model.
    pub about: &'static str,
    /// JSON schema of its arguments.
    pub parameters: &'static str,
    /// The argument that says what is touched; empty: it touches nothing in particular.
    pub subject: &'static str,
    /// The other arguments.
    others: &'static [&'static str],
}

/// Every tool.
pub const TOOLS: [Tool; 7] = [
    Tool {
        name: "read-file",
        about: "Read a regular file as text; a long one in parts.",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string","description":"Relative to the working folder"},"offset":{"type":"integer","minimum":0,"description":"First byte to read, 0 if left out"},"limit":{"type":"integer","minimum":1,"description":"Most bytes to read"}},"required":["path"],"additionalProperties":false}"#,
        subject: "path",
        others: &["offset", "limit"],
    },
    Tool {
        name: "write-file",
        about: "Write text to a file, replacing what it held or appending to it; its folder must exist.",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string","description":"Relative to the working folder"},"content":{"type":"string"},"append":{"type":"boolean","description":"Keep what the file holds and write behind it"}},"required":["path","content"],"additionalProperties":false}"#,
        subject: "path",
        others: &["content", "append"],
    },
    Tool {
        name: "list-dir",
        about: "List a folder: the kind, size and name of each entry, sorted by name.",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string","description":"Relative to the working folder, which is listed if this is left out"}},"additionalProperties":false}"#,
        subject: "path",
        others: &[],
    },
    Tool {
        name: "run-command",
        about: "Run a program with arguments, without a shell, and return its output and exit code.",
        parameters: r#"{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},"minItems":1,"description":"The program and its arguments, one word each"},"cwd":{"type":"string","description":"Folder to run in, relative to the working folder"}},"required":["command"],"additionalProperties":false}"#,
        subject: "command",
        others: &["cwd"],
    },
    Tool {
        name: "http-get",
        about: "Fetch a page of text from the internet by GET; redirects are told, not followed.",
        parameters: r#"{"type":"object","properties":{"url":{"type":"string","description":"http or https"}},"required":["url"],"additionalProperties":false}"#,
        subject: "url",
        others: &[],
    },
    Tool {
        name: "system-info",
        about: "Tell the load, memory, disk, temperature and uptime of this board.",
        parameters: r#"{"type":"object","properties":{},"additionalProperties":false}"#,
        subject: "",
        others: &[],
    },
    Tool {
        name: "events",
        about: "Tell the newest events of this agent's log, the oldest of them first.",
        parameters: r#"{"type":"object","properties":{"type":{"type":"string","description":"An event type, or the beginning of one followed by *"},"severity":{"type":"string","enum":["info","warning","error","critical"]},"limit":{"type":"integer","minimum":1,"maximum":50}},"additionalProperties":false}"#,
        subject: "type",
        others: &["severity", "limit"],
    },
];

const _: () = assert!(TOLD_EVENTS_MAX == 50, "the schema of events says so");

/// What a call asks for, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `read-file`.
    ReadFile {
        /// Below the root (`checked_path`).
        path: String,
        /// First byte.
        offset: u64,
        /// Most bytes; `None`: as many as an output may have.
        limit: Option<u64>,
    },
    /// `write-file`.
    WriteFile {
        /// Below the root.
        path: String,
        /// At most `limits::TOOL_ARGUMENTS_BYTES_MAX`.
        content: String,
        /// Whether what the file holds stays.
        is_append: bool,
    },
    /// `list-dir`.
    ListDir {
        /// Below the root; `.` is the root.
        path: String,
    },
    /// `run-command`.
    RunCommand {
        /// The program and its arguments: 1 to `limits::COMMAND_WORDS_MAX` words without NUL, the first not empty.
        command: Vec<String>,
        /// Below the root; `.` is the root.
        cwd: String,
    },
    /// `http-get`.
    HttpGet {
        /// `http` or `https`, no user, no fragment, at most `limits::TOOL_URL_BYTES_MAX`.
        url: String,
    },
    /// `system-info`.
    SystemInfo,
    /// `events`.
    Events {
        /// Which.
        filter: EventFilter,
        /// 1 to `limits::TOLD_EVENTS_MAX`.
        limit: usize,
    },
}

/// The tool of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Whether a list of names holds this one, exactly or by a prefix ending in `*`.
#[must_use]
pub fn is_named(names: &[String], name: &str) -> bool {
    names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    })
}

/// The tools that these names admit, as the `tools` of a question in OpenAI's form: a JSON array, in the table's order.
/// Names that are not in the table are left out.
#[must_use]
pub fn schemas(names: &[String]) -> String {
    let mut out = String::from("[");
    push_schemas(&mut out, names);
    out.push(']');
    out
}

/// As `schemas`, into an array that was begun.
pub fn push_schemas(out: &mut String, names: &[String]) {
    for tool in TOOLS.iter().filter(|tool| is_named(names, tool.name)) {
        push_schema(out, tool.name, tool.about, tool.parameters);
    }
}

/// Appends one tool to an array that was begun. `parameters` is a JSON object.
pub fn push_schema(out: &mut String, name: &str, about: &str, parameters: &str) {
    if !out.ends_with('[') {
        out.push(',');
    }
    out.push_str(r#"{"type":"function","function":{"#);
    push_text(out, "name", name);
    push_text(out, "description", about);
    push_raw(out, "parameters", parameters);
    out.push_str("}}");
}

/// What a call touches, for rules and people: the path, the command line (each word quoted where it must be, so that no
/// two commands look the same, and behind it the folder if it is not the root), the URL; for a tool of another server its arguments, without white space and escapes
/// that need not be. Empty if the tool touches nothing in particular.
///
/// # Errors
/// Why the call cannot be carried out, for the model.
pub fn subject(name: &str, arguments: &str) -> Result<String, String> {
    if name.starts_with(MCP_PREFIX) {
        return canonical(object(arguments)?);
    }
    Ok(match parse(name, arguments)? {
        Action::ReadFile { path, .. } | Action::WriteFile { path, .. } | Action::ListDir { path } => path,
        Action::RunCommand { command, cwd } if cwd == "." => quoted(&command),
        // Behind the command, so that a rule that ends in a star judges it wherever it runs.
        Action::RunCommand { command, cwd } => format!("{} [in {}]", quoted(&command), quoted(&[cwd])),
        Action::HttpGet { url } => url,
        Action::SystemInfo => String::new(),
        Action::Events { mut filter, .. } => filter.kinds.pop().unwrap_or_default(),
    })
}

/// Checks a call of a tool of the table. A `command` that is one text is for `/bin/sh -c`; whether a shell is configured is
/// for the caller to ask ([`wants_shell`]).
///
/// # Errors
/// What is wrong with it, for the model.
pub fn parse(name: &str, arguments: &str) -> Result<Action, String> {
    let tool = find(name).ok_or_else(|| format!("there is no tool {name:?}"))?;
    let given = object(arguments)?;
    check_names(tool, given)?;
    Ok(match tool.name {
        "read-file" => Action::ReadFile {
            path: path(given, "path", None)?,
            offset: whole(given, "offset", 0, NUMBER_MAX)?.unwrap_or(0),
            limit: whole(given, "limit", 1, NUMBER_MAX)?,
        },
        "write-file" => Action::WriteFile {
            path: path(given, "path", None)?,
            content: text(given, "content")?.ok_or("content is missing")?,
            is_append: flag(given, "append")?,
        },
        "list-dir" => Action::ListDir { path: path(given, "path", Some("."))? },
        "run-command" => Action::RunCommand { command: command(given)?, cwd: path(given, "cwd", Some("."))? },
        "http-get" => {
            let url = bounded(given, "url", TOOL_URL_BYTES_MAX)?.ok_or("url is missing")?;
            Action::HttpGet { url: checked_url(&url)? }
        }
        "events" => events(given)?,
        _ => Action::SystemInfo,
    })
}

/// Whether this call of `run-command` is one text for a shell, rather than words.
#[must_use]
pub fn wants_shell(arguments: &str) -> bool {
    object(arguments).is_ok_and(|given| given.get("command").is_some_and(|value| value.kind() == Kind::Text))
}

/// The arguments as an object. No text at all, which some models write when there are none, is an empty one.
fn object(arguments: &str) -> Result<Json<'_>, String> {
    if arguments.len() > TOOL_ARGUMENTS_BYTES_MAX {
        return Err(format!("the arguments are longer than {TOOL_ARGUMENTS_BYTES_MAX} bytes"));
    }
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    match Json::parse(text.as_bytes()) {
        Ok(json) if json.kind() == Kind::Object => Ok(json),
        Ok(json) => Err(format!("the arguments are {}, not an object", json.kind().as_str())),
        Err(_) => Err("the arguments are not valid JSON".to_owned()),
    }
}

/// Unknown members and such as occur twice are errors: what a person saw must be what is done.
fn check_names(tool: &Tool, given: Json<'_>) -> Result<(), String> {
    for (at, (name, _)) in given.fields().enumerate() {
        let is_known =
            (name == tool.subject && !tool.subject.is_empty()) || tool.others.contains(&name.as_ref());
        if !is_known {
            return Err(format!("{:?} is not an argument of {}", shortened(&name), tool.name));
        }
        if given.fields().take(at).any(|(earlier, _)| earlier == name) {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(())
}

fn shortened(name: &str) -> &str {
    crate::wire::words::cut(name, 64)
}

fn text(given: Json<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(value) = given.some(name) else { return Ok(None) };
    match value.text() {
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(format!("{name} is {}, not a string", value.kind().as_str())),
    }
}

fn bounded(given: Json<'_>, name: &str, bytes_max: usize) -> Result<Option<String>, String> {
    let found = text(given, name)?;
    match &found {
        Some(text) if text.len() > bytes_max => {
            Err(format!("{name} is {} bytes long: the limit is {bytes_max}", text.len()))
        }
        _ => Ok(found),
    }
}

fn whole(given: Json<'_>, name: &str, min: u64, max: u64) -> Result<Option<u64>, String> {
    let Some(value) = given.some(name) else { return Ok(None) };
    let found = value.u64().filter(|number| (min..=max).contains(number));
    found.map(Some).ok_or_else(|| format!("{name} must be a whole number from {min} to {max}"))
}

fn flag(given: Json<'_>, name: &str) -> Result<bool, String> {
    match given.some(name) {
        None => Ok(false),
        Some(value) => value.bool().ok_or_else(|| format!("{name} must be true or false")),
    }
}

fn path(given: Json<'_>, name: &str, default: Option<&str>) -> Result<String, String> {
    match (bounded(given, name, TOOL_PATH_BYTES_MAX)?, default) {
        (Some(path), _) => checked_path(name, &path),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("{name} is missing")),
    }
}

/// The words of a command; a single text becomes the words that hand it to the shell.
fn command(given: Json<'_>) -> Result<Vec<String>, String> {
    let value = given.some("command").ok_or("command is missing")?;
    let words = match value.kind() {
        Kind::Text => {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), text(given, "command")?.unwrap_or_default()]
        }
        Kind::List => {
            let words = value.items().take(COMMAND_WORDS_MAX + 1);
            let words: Option<Vec<String>> = words.map(|word| word.text().map(Into::into)).collect();
            words.ok_or("command must be a list of strings")?
        }
        other => return Err(format!("command is {}, not a list of strings", other.as_str())),
    };
    if words.len() > COMMAND_WORDS_MAX {
        return Err(format!("command has more than {COMMAND_WORDS_MAX} words"));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("command holds a NUL character".to_owned());
    }
    match words.first() {
        Some(program) if !program.trim().is_empty() => Ok(words),
        _ => Err("command names no program".to_owned()),
    }
}

fn events(given: Json<'_>) -> Result<Action, String> {
    let mut filter = EventFilter::default();
    if let Some(kind) = bounded(given, "type", EVENT_TYPE_BYTES_MAX)? {
        if kind.chars().any(is_unprintable) {
            return Err("type holds a control character".to_owned());
        }
        filter.kinds.push(kind);
    }
    if let Some(word) = text(given, "severity")? {
        let severity = Severity::parse(&word);
        filter.severities.push(severity.ok_or("severity must be info, warning, error or critical")?);
    }
    let limit = whole(given, "limit", 1, TOLD_EVENTS_MAX as u64)?.unwrap_or(TOLD_EVENTS);
    Ok(Action::Events { filter, limit: usize::try_from(limit).unwrap_or(TOLD_EVENTS_MAX) })
}

#[cfg(test)]
mod tests;
