//! `mcpServers` of generations b and c: servers of tools, with headers that hold a token. Never written anywhere.

use super::connect::NAME_BYTES_MAX;
use crate::agent::brain::setup::McpSetup;
use crate::agent::limits::{MCP_SERVERS_MAX, TOOL_URL_BYTES_MAX};
use crate::agent::setup::Secret;
use crate::wire::json::{Json, Kind};
use crate::wire::target;

/// Most headers of a server. Beyond: the server is dropped, for half its headers are of no use.
const HEADERS_MAX: usize = 8;
/// Longest value of a header in bytes, as that of the token itself. Beyond: the server is dropped.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Those that are reached over HTTP, by name; the rest is dropped.
pub(super) fn servers(json: Json<'_>) -> Vec<McpSetup> {
    let all = json.some("mcpServers").into_iter().flat_map(Json::fields);
    all.filter_map(|(name, value)| server(&name, value)).take(MCP_SERVERS_MAX).collect()
}

fn server(name: &str, value: Json<'_>) -> Option<McpSetup> {
    let kind = value.some("type").and_then(Json::text);
    let is_http = kind.is_none_or(|kind| matches!(&*kind, "http" | "streamable-http" | "streamableHttp"));
    let url = value.some("url")?.text()?;
    let is_good =
        is_http && (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if !is_good || url.len() > TOOL_URL_BYTES_MAX || target::http(&url).is_none() {
        return None;
    }
    let fields = value.some("headers").into_iter().flat_map(Json::fields);
    let headers = fields.map(|(name, value)| header(&name, value)).collect::<Option<Vec<_>>>()?;
    (headers.len() <= HEADERS_MAX).then(|| McpSetup { name: name.to_owned(), url: url.into_owned(), headers })
}

/// A header that can be sent.
fn header(name: &str, value: Json<'_>) -> Option<(String, Secret)> {
    let value = value.text().filter(|_| value.kind() == Kind::Text)?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let is_good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_token)
        && value.len() <= HEADER_BYTES_MAX
        && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    is_good.then(|| (name.to_owned(), Secret(value.into_owned())))
}
