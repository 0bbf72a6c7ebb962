//! `http-get`: one page of text, as it is, and no further.
//!
//! The dialer looks at the addresses that it is about to connect to, after the name was looked up, so a name that changes
//! its address between two looks gains nothing. Redirects are told: the place that they point to is a new subject, for
//! rules and people to judge.

use std::borrow::Cow;

use super::text::{done, failed, plain, whole};
use crate::agent::brain::setup::ToolsSetup;
use crate::agent::brain::speech::ToolResult;
use crate::agent::input::Fault;
use crate::agent::limits::TOOL_URL_BYTES_MAX;
use crate::shell::client::{Client, ClientRequest, ClientResponse};
use crate::wire::AddressGuard;
use crate::wire::words::one_line;

/// What is asked for.
const ACCEPT: &str = "text/*, application/json, application/xml;q=0.9, */*;q=0.1";

/// Fetches `url`, which was checked. The caller bounds it in time.
pub(super) async fn get(client: &Client, url: String, setup: &ToolsSetup) -> ToolResult {
    let guard = if setup.private_addresses { AddressGuard::Any } else { AddressGuard::PublicOnly };
    let request = ClientRequest {
        method: "GET",
        url,
        headers: vec![(Cow::Borrowed("accept"), ACCEPT.to_owned())],
        body: Vec::new(),
        guard,
        connect_ms: setup.run_time_ms,
        silence_ms: setup.run_time_ms,
    };
    match client.send(request).await {
        Ok(response) => told(response, setup.output_bytes_max).await,
        Err(Fault::PrivateAddress) => {
            failed("refused: the address is private, and such are not allowed here")
        }
        Err(fault) => failed(format!("nothing came: {fault}")),
    }
}

async fn told(mut response: ClientResponse, bytes_max: u32) -> ToolResult {
    let status = response.status;
    if (300..400).contains(&status) {
        let to = response.header("location").map(|to| one_line(to, TOOL_URL_BYTES_MAX));
        let to = to.map_or_else(String::new, |to| format!(", which points to {to} and was not followed"));
        return failed(format!("[status {status}{to}]"));
    }
    let kind = response.header("content-type").map(|kind| one_line(kind, 100)).unwrap_or_default();
    let coding = response.header("content-encoding").unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") || !is_text(&kind) {
        return failed(format!("[status {status}; what came is no text: {kind}]"));
    }
    let (bytes, end) = gather(&mut response, usize::try_from(bytes_max).unwrap_or(usize::MAX)).await;
    if bytes.contains(&0) {
        return failed(format!("[status {status}; what came is no text]"));
    }
    let note = match end {
        End::Whole => String::new(),
        End::Cut => format!("; cut after {} bytes", bytes.len()),
        End::Broken(fault) => format!("; broken off: {fault}"),
    };
    let text = format!("[status {status}{note}]\n{}", plain(&bytes));
    if (200..300).contains(&status) { done(text) } else { failed(text) }
}

enum End {
    Whole,
    Cut,
    Broken(Fault),
}

/// The beginning of the body, cut at a character.
async fn gather(response: &mut ClientResponse, bytes_max: usize) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    loop {
        match response.next().await {
            Ok(Some(piece)) if bytes.len() + piece.len() > bytes_max => {
                bytes.extend_from_slice(&piece[..bytes_max - bytes.len()]);
                bytes.truncate(whole(&bytes));
                return (bytes, End::Cut);
            }
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return (bytes, End::Whole),
            Err(fault) => return (bytes, End::Broken(fault)),
        }
    }
}

/// Whether a media type is text for people or programs; nothing said counts as text.
fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_named = |names: &[&str]| names.contains(&kind.as_str());
    kind.is_empty()
        || kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || is_named(&[
            "application/json",
            "application/xml",
            "application/javascript",
            "application/x-ndjson",
        ])
        || is_named(&["application/yaml", "application/x-yaml", "application/toml", "application/jsonl"])
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
