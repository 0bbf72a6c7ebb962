//! What a call touches, written so that it means one thing: paths without detours, quoted command lines, plain URLs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::agent::event::push_json_string;
use crate::wire::json::{Json, Kind};
use crate::wire::words::is_unprintable;

/// A path below the root, without `.` and doubled slashes; `.` for the root itself.
pub(super) fn checked_path(name: &str, path: &str) -> Result<String, String> {
    if path.chars().any(is_unprintable) {
        return Err(format!("{name} holds a control character"));
    }
    if path.starts_with('/') {
        return Err(format!("{name} must be relative to the working folder, without / before it"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(format!("{name} must not contain .."));
    }
    if path.is_empty() {
        return Err(format!("{name} is empty"));
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

/// The URL with its scheme and host in lower case and without its fragment.
///
/// Refused is what two readers could take for two places: a user before the host, numbers that some libraries take for
/// addresses, backslashes, `..`, anything that is not visible ASCII.
pub(super) fn checked_url(url: &str) -> Result<String, String> {
    let fault = |why: &str| Err(format!("url {why}"));
    if !url.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
        return fault("holds a character that must be written as %XX");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return fault("must begin with http:// or https://");
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return fault("must begin with http:// or https://");
    }
    let rest = rest.split('#').next().unwrap_or(rest);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return fault("must not name a user");
    }
    let (host, port) = host_and_port(authority).ok_or("url has no usable host")?;
    let path = target.split('?').next().unwrap_or(target).to_ascii_lowercase().replace("%2e", ".");
    if path.split('/').any(|part| part == ".." || part == ".") {
        return fault("must not contain . or .. as a part of its path");
    }
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok(format!("{scheme}://{host}{port}{slash}{target}"))
}

/// The host in lower case and the port with its colon, or nothing if there is none.
fn host_and_port(authority: &str) -> Option<(String, &str)> {
    let end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let is_port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok();
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    let host = host.to_ascii_lowercase();
    is_host(&host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let is_name = (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && host.split('.').rev().skip_while(|label| label.is_empty()).all(|label| !label.is_empty());
    is_name && (!ends_in_number(host) || host.parse::<Ipv4Addr>().is_ok())
}

/// Whether some libraries would take the host for an address: its last label is a number, decimal or hexadecimal.
fn ends_in_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    let hex = last.strip_prefix("0x");
    last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Words as a shell would have to be given them. Different words never make the same text, and none of it moves the pen.
pub(super) fn quoted(words: &[String]) -> String {
    let mut out = String::new();
    for word in words {
        if !out.is_empty() {
            out.push(' ');
        }
        push_quoted(&mut out, word);
    }
    out
}

fn push_quoted(out: &mut String, word: &str) {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b);
    if !word.is_empty() && word.bytes().all(is_bare) {
        out.push_str(word);
    } else if !word.chars().any(|c| c == '\'' || is_unprintable(c)) {
        out.push('\'');
        out.push_str(word);
        out.push('\'');
    } else {
        out.push_str("$'");
        for c in word.chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if is_unprintable(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('\'');
    }
}

/// A value written in the one way that there is: no white space, no escapes that need not be, of members that occur
/// twice an error. What is judged is then what a server reads, whichever way it reads JSON.
///
/// # Errors
/// If a member occurs twice, or a string holds half a character.
pub fn canonical(value: Json<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(value.raw().len());
    push_canonical(&mut out, value)?;
    Ok(out)
}

fn push_canonical(out: &mut String, value: Json<'_>) -> Result<(), String> {
    match value.kind() {
        Kind::Object => {
            out.push('{');
            let mut names = BTreeSet::new();
            for (name, member) in value.fields() {
                if !names.is_empty() {
                    out.push(',');
                }
                push_json_string(out, &name);
                out.push(':');
                push_canonical(out, member)?;
                if let Some(name) = names.replace(name) {
                    return Err(format!("{:?} is given twice", super::shortened(&name)));
                }
            }
            out.push('}');
        }
        Kind::List => {
            out.push('[');
            for (at, item) in value.items().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_canonical(out, item)?;
            }
            out.push(']');
        }
        Kind::Text => push_json_string(out, &value.text().ok_or("a string is damaged")?),
        _ => out.push_str(value.raw()),
    }
    Ok(())
}
