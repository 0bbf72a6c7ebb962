//! MCP, the protocol of servers of tools: JSON-RPC 2.0 over streamable HTTP, as far as tools need it.
//!
//! `initialize` -> `notifications/initialized` -> `tools/list`, page by page -> `tools/call`. Not here: HTTP and sessions
//! (`shell/mcp.rs`), and all that servers offer beside tools.

use hmac_sha256::Hash;

use super::json::{Json, Kind, push_raw, push_text};
use super::tools::{MCP_PREFIX, canonical};
use super::words::{cut, one_line};
use crate::agent::ids::hex;
use crate::agent::limits::{MCP_ABOUT_BYTES_MAX, MCP_LISTED_BYTES_MAX, MCP_SCHEMA_BYTES_MAX, MCP_TOOLS_MAX};

/// The version that is asked for. Servers may answer with another; the messages for tools are the same in all.
pub const VERSION: &str = "2025-06-18";
/// Longest name of a tool, as OpenAI has it.
const NAME_BYTES_MAX: usize = 64;
/// Longest name of a tool that is taken from a server, in bytes. Beyond: the tool is dropped.
const THERE_BYTES_MAX: usize = 128;
/// Longest cursor, session or version in bytes. Beyond: none.
const WORD_BYTES_MAX: usize = 1024;
/// Most bytes of a server's words about a fault.
const WHY_BYTES_MAX: usize = 300;

/// A tool of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpTool {
    /// As the model knows it: 1 to 64 bytes of letters, digits, `_` and `-`.
    pub name: String,
    /// As the server knows it.
    pub there: String,
    /// For the model, one line.
    pub about: String,
    /// JSON schema of its arguments: an object, at most `limits::MCP_SCHEMA_BYTES_MAX`.
    pub parameters: String,
}

impl McpTool {
    fn bytes(&self) -> usize {
        self.name.len() + self.there.len() + self.about.len() + self.parameters.len()
    }
}

/// What a server said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// What was asked for.
    Result(Json<'a>),
    /// That it could not be had.
    Error {
        /// JSON-RPC's.
        code: i64,
        /// The error's text, `message` first.
        error: Json<'a>,
    },
    /// Its list of tools is another one from here on.
    ToolsChanged,
    /// Something else.
    Other,
}

/// The request that begins a session.
#[must_use]
pub fn initialize(id: u64) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let params = format!(
        r#"{{"protocolVersion":"{VERSION}","capabilities":{{}},"clientInfo":{{"name":"chainbot","version":"{version}"}}}}"#
    );
    request(id, "initialize", &params)
}

/// The notification that follows its answer.
#[must_use]
pub fn initialized() -> String {
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned()
}

/// The request for the tools, or for the next page of them.
#[must_use]
pub fn list(id: u64, cursor: Option<&str>) -> String {
    let mut params = String::from("{");
    if let Some(cursor) = cursor {
        push_text(&mut params, "cursor", cursor);
    }
    params.push('}');
    request(id, "tools/list", &params)
}

/// The request to call a tool. `arguments` is what the model wrote, checked by `tools::subject`.
#[must_use]
pub fn call(id: u64, there: &str, arguments: &str) -> String {
    let given = Json::parse(arguments.as_bytes()).ok().and_then(|json| canonical(json).ok());
    let mut params = String::from("{");
    push_text(&mut params, "name", there);
    push_raw(&mut params, "arguments", given.as_deref().unwrap_or("{}"));
    params.push('}');
    request(id, "tools/call", &params)
}

fn request(id: u64, method: &str, params: &str) -> String {
    let mut out = String::from("{\"jsonrpc\":\"2.0\"");
    push_raw(&mut out, "id", &id.to_string());
    push_text(&mut out, "method", method);
    push_raw(&mut out, "params", params);
    out.push('}');
    out
}

/// Reads a message, or the one of a list that answers the request `id`.
#[must_use]
pub fn said<'a>(message: Json<'a>, id: u64) -> Said<'a> {
    if message.kind() == Kind::List {
        let all = message.items().map(|item| said(item, id));
        return all.filter(|said| *said != Said::Other).last().unwrap_or(Said::Other);
    }
    if message.some("method").and_then(Json::text).as_deref() == Some("notifications/tools/list_changed") {
        return Said::ToolsChanged;
    }
    let is_ours = message.some("id").and_then(Json::u64) == Some(id);
    match (message.some("result"), message.some("error")) {
        (Some(result), None) if is_ours => Said::Result(result),
        // An error about a request that could not be read has no id.
        (_, Some(error)) if is_ours || message.some("id").is_none() => {
            Said::Error { code: code_of(error), error }
        }
        _ => Said::Other,
    }
}

fn code_of(error: Json<'_>) -> i64 {
    error.some("code").and_then(|code| code.raw().parse().ok()).unwrap_or(0)
}

/// The words of an error, one line.
#[must_use]
pub fn why(error: Json<'_>) -> String {
    let words = error.some("message").and_then(Json::text).unwrap_or_default();
    one_line(&words, WHY_BYTES_MAX)
}

/// The version that a server answers to `initialize`; `None` if it is none that can go into a header.
#[must_use]
pub fn version_of(result: Json<'_>) -> Option<String> {
    let version = result.some("protocolVersion")?.text()?;
    is_word(&version).then(|| version.into_owned())
}

/// Whether a text is one visible word that a header can hold.
#[must_use]
pub fn is_word(text: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Takes a page of a server's tools and gives the cursor of the next, if there is one and there is still room.
///
/// Tools without a usable name or schema are dropped, and so is what comes beyond `limits::MCP_TOOLS_MAX` tools or
/// `limits::MCP_LISTED_BYTES_MAX` bytes.
pub fn take_page(tools: &mut Vec<McpTool>, server: &str, result: Json<'_>) -> Option<String> {
    let mut bytes: usize = tools.iter().map(McpTool::bytes).sum();
    for entry in result.some("tools").into_iter().flat_map(Json::items) {
        let Some(tool) = tool_of(server, entry) else { continue };
        bytes += tool.bytes();
        if tools.len() == MCP_TOOLS_MAX || bytes > MCP_LISTED_BYTES_MAX {
            return None;
        }
        if tools.iter().all(|known| known.name != tool.name) {
            tools.push(tool);
        }
    }
    let cursor = result.some("nextCursor")?.text()?;
    (cursor.len() <= WORD_BYTES_MAX).then(|| cursor.into_owned())
}

fn tool_of(server: &str, entry: Json<'_>) -> Option<McpTool> {
    let there = entry.some("name")?.text()?;
    if !(1..=THERE_BYTES_MAX).contains(&there.len()) {
        return None;
    }
    let about =
        ["description", "title"].into_iter().find_map(|name| entry.some(name)?.text()).unwrap_or_default();
    let schema = entry.some("inputSchema").filter(|schema| schema.kind() == Kind::Object);
    let parameters = schema.map_or_else(|| r#"{"type":"object"}"#.to_owned(), Json::compact);
    if parameters.len() > MCP_SCHEMA_BYTES_MAX {
        return None;
    }
    Some(McpTool {
        name: name_of(server, &there),
        there: there.into_owned(),
        about: one_line(cut(&about, 4 * MCP_ABOUT_BYTES_MAX), MCP_ABOUT_BYTES_MAX),
        parameters,
    })
}

/// `mcp__{server}__{tool}`. Where that is too long, holds other characters than a name may, or could be read as the tool
/// of another server, part of a hash of both names stands at the end: each pair has a name of its own, whatever other
/// servers and tools there are.
#[must_use]
pub fn name_of(server: &str, tool: &str) -> String {
    let plain = format!("{MCP_PREFIX}{server}__{tool}");
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let is_clear = !server.contains("__") && !server.ends_with('_');
    // A name that looks as if it had a hash might be that of another pair.
    let is_hashed = plain.len() > 9
        && matches!(plain.as_bytes()[plain.len() - 9..], [b'_', ref hash @ ..] if hash.iter().all(u8::is_ascii_hexdigit));
    if is_name(&plain) && plain.len() <= NAME_BYTES_MAX && is_clear && !is_hashed {
        return plain;
    }
    let hash = Hash::hash(format!("{server}\0{tool}").as_bytes());
    let mut name: String = plain
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .take(NAME_BYTES_MAX - 9)
        .collect();
    name.push('_');
    name.push_str(&hex(&hash[..4]));
    name
}

/// What a call came to: whether it did what it was asked, and its text. What is no text is named and left out.
#[must_use]
pub fn outcome(result: Json<'_>) -> (bool, String) {
    let mut text = String::new();
    for part in result.some("content").into_iter().flat_map(Json::items) {
        if !text.is_empty() {
            text.push('\n');
        }
        push_part(&mut text, part);
    }
    if text.is_empty()
        && let Some(structured) = result.some("structuredContent")
    {
        text = structured.compact();
    }
    (result.some("isError").and_then(Json::bool) != Some(true), text)
}

fn push_part(out: &mut String, part: Json<'_>) {
    let word = |name: &str| part.some(name).and_then(Json::text).unwrap_or_default();
    let inner = part.some("resource");
    if let Some(text) = part.some("text").or_else(|| inner?.some("text")).and_then(Json::text) {
        out.push_str(&text);
    } else if let Some(uri) = part.some("uri").or_else(|| inner?.some("uri")).and_then(Json::text) {
        out.push_str(&one_line(&uri, WHY_BYTES_MAX));
    } else {
        let kind = [word("mimeType"), word("type")].into_iter().find(|word| !word.is_empty());
        out.push_str(&format!("[left out: {}]", one_line(&kind.unwrap_or_default(), 80)));
    }
}

#[cfg(test)]
#[path = "mcp_tests.rs"]
mod tests;
