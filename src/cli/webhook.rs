//! `webhook sign | verify | send`: Standard Webhooks by hand.

use std::io::Read;

use super::args::Typed;
use super::ask::{self, AskFault};
use super::out::{Exit, Failure, Out, Paint, printable};
use super::settings;
use crate::agent::ids::{CallId, hex};
use crate::agent::limits::BODY_BYTES_MAX;
use crate::config::Config;
use crate::shell::calls::Calls;
use crate::shell::clock::system_now;
use crate::shell::reactor;
use crate::shell::tls_files;
use crate::wire::json::{self, Json, Kind};
use crate::wire::standard_webhooks::{self, Key, SignedHeaders};
use crate::wire::{AddressGuard, HttpRequest, USER_AGENT};

/// Largest body that is signed, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Where the running agent takes events of any type.
const EVENT_PATH: &str = "/api/webhooks/chainbot/event";
/// Time for a post to somebody else, in milliseconds.
const SEND_TIMEOUT_MS: u64 = 15_000;

/// `webhook sign FILE`.
pub fn sign(typed: &Typed, configured: &[String], out: &mut Out) -> Result<(), Failure> {
    let key = one_key(typed, configured)?;
    let body = body_of(&typed.operands[0])?;
    let id = id_of(typed)?;
    let timestamp_s = timestamp_of(typed)?.unwrap_or(now_s());
    for (name, value) in signed_headers(&key, &id, timestamp_s, &body) {
        out.line(format_args!("{name}: {value}"))?;
    }
    Ok(())
}

/// `webhook verify FILE`.
pub fn verify(typed: &Typed, configured: &[String], out: &mut Out) -> Result<(), Failure> {
    let keys = keys(typed, configured)?;
    let headers = SignedHeaders {
        id: Some(needed(typed, "id")?),
        timestamp: Some(needed(typed, "timestamp")?),
        signature: Some(needed(typed, "signature")?),
    };
    let body = body_of(&typed.operands[0])?;
    let now = typed.has("fresh").then(system_now);
    standard_webhooks::verify(&keys, headers, &body, now)
        .map_err(|fault| Failure::new(Exit::Data, format_args!("not valid: {fault}")))?;
    out.line(out.paint(Paint::Good, "valid"))
}

/// `webhook send [URL]`.
pub fn send(typed: &Typed, config: &Config, out: &mut Out) -> Result<(), Failure> {
    let (configured, agent) = (settings::webhook_secrets(config), settings::running_agent(config));
    let body = event_body(typed.value("type").unwrap_or("test"), typed.value("data"))?;
    let id = id_of(typed)?;
    // The running agent's own secrets are for its own path: they go to nobody else, not even as a signature.
    let url = typed.operands.first();
    let secrets = if url.is_none() { &configured[..] } else { &[] };
    let has_secret = typed.has("secret") || !secrets.is_empty();
    let headers = if has_secret {
        signed_headers(&one_key(typed, secrets)?, &id, now_s(), body.as_bytes())
    } else {
        vec![("webhook-id", id), ("webhook-timestamp", now_s().to_string())]
    };
    let (status, answer) = match url {
        None => agent.post(EVENT_PATH, &headers, &body).map_err(|fault| agent.failure(&fault))?,
        Some(url) => post_elsewhere(url, headers, body, config)?,
    };
    let shown = answer.lines().map(printable).collect::<Vec<_>>().join("\n");
    if (200..300).contains(&status) {
        return out.line(format_args!("{} {shown}", out.paint(Paint::Good, &status.to_string())));
    }
    let where_to = url.map_or(agent.base(), String::as_str);
    Err(match url {
        None => agent.failure(&AskFault::Refused(status, ask::problem_of(&answer))),
        Some(_) => Failure::new(
            Exit::Unavailable,
            format_args!("{} answered {status}: {}", printable(where_to), ask::problem_of(&answer)),
        ),
    })
}

fn post_elsewhere(
    url: &str,
    headers: Vec<(&'static str, String)>,
    body: String,
    config: &Config,
) -> Result<(u16, String), Failure> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("\"{}\" is no URL: it begins with http:// or https://", printable(url)),
        ));
    }
    let mut request = HttpRequest {
        method: "POST",
        url: url.to_owned(),
        headers,
        body: body.into_bytes(),
        timeout_ms: SEND_TIMEOUT_MS,
        guard: AddressGuard::Any,
    };
    request.headers.push(("content-type", "application/json".to_owned()));
    request.headers.push(("user-agent", USER_AGENT.to_owned()));
    let authorities = tls_files::authorities(config).map_err(|fault| Failure::new(Exit::Config, fault))?;
    let calls = Calls::new(authorities.as_deref()).map_err(|error| Failure::new(Exit::Other, error))?;
    calls.start(CallId(0), request);
    match reactor::block_on(calls.next()).1 {
        Ok(reply) => Ok((reply.status, String::from_utf8_lossy(&reply.body).into_owned())),
        Err(fault) => Err(Failure::new(Exit::Unavailable, format_args!("{}: {fault}", printable(url)))),
    }
}

/// `{"event_type": ..., the fields of --data}`.
fn event_body(kind: &str, data: Option<&str>) -> Result<String, Failure> {
    let mut body = String::from("{");
    json::push_text(&mut body, "event_type", kind);
    if let Some(data) = data {
        let wrong = |why: &str| Failure::new(Exit::Usage, format_args!("--data {why}"));
        let data = Json::parse(data.as_bytes()).map_err(|fault| wrong(&format!("is not JSON: {fault}")))?;
        if data.kind() != Kind::Object {
            return Err(wrong("must be an object, as in --data '{\"door\":3}'"));
        }
        if data.get("event_type").is_some() {
            return Err(wrong("must not hold event_type: that is --type"));
        }
        let inside = data.raw().trim_start_matches('{').trim_end_matches('}').trim();
        if !inside.is_empty() {
            body.push(',');
            // The outer brackets alone go: the raw text begins and ends with exactly one each.
            body.push_str(&data.raw()[1..data.raw().len() - 1]);
        }
    }
    body.push('}');
    Ok(body)
}

fn signed_headers(key: &Key, id: &str, timestamp_s: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp_s.to_string()),
        ("webhook-signature", key.sign(id, timestamp_s, body)),
    ]
}

/// The key of `--secret`, else the newest of the config.
fn one_key(typed: &Typed, configured: &[String]) -> Result<Key, Failure> {
    keys(typed, configured).map(|keys| keys.into_iter().next().expect("keys gives at least one"))
}

/// The key of `--secret`, else all of the config; at least one.
fn keys(typed: &Typed, configured: &[String]) -> Result<Vec<Key>, Failure> {
    let parse = |secret: &str, exit, name| {
        Key::parse(secret).map_err(|fault| Failure::new(exit, format_args!("{name}: {fault}")))
    };
    if let Some(secret) = typed.value("secret") {
        return Ok(vec![parse(secret, Exit::Usage, "--secret")?]);
    }
    if configured.is_empty() {
        let words = "there is no secret: give --secret, or set security.webhook_secrets in the config";
        return Err(Failure::new(Exit::Usage, words));
    }
    configured.iter().map(|secret| parse(secret, Exit::Config, "security.webhook_secrets")).collect()
}

fn needed<'t>(typed: &'t Typed, option: &str) -> Result<&'t str, Failure> {
    typed
        .value(option)
        .ok_or_else(|| Failure::new(Exit::Usage, format_args!("\"{}\" needs --{option}", typed.command.name)))
}

fn timestamp_of(typed: &Typed) -> Result<Option<i64>, Failure> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            Failure::new(
                Exit::Usage,
                format_args!("--timestamp is \"{}\": must be seconds since 1970", printable(text)),
            )
        })
    };
    typed.value("timestamp").map(parse).transpose()
}

fn id_of(typed: &Typed) -> Result<String, Failure> {
    match typed.value("id") {
        Some(id) if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(Failure::new(Exit::Usage, "--id must be visible ASCII letters, without spaces"))
        }
        Some(id) => Ok(id.to_owned()),
        None => fresh_id(),
    }
}

/// 96 random bits: no two webhooks of the world share one.
fn fresh_id() -> Result<String, Failure> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::Other, format_args!("no random numbers from the system: {error}"))
    })?;
    Ok(format!("msg_{}", hex(&bytes)))
}

fn now_s() -> i64 {
    system_now().0.div_euclid(1_000)
}

fn body_of(file: &str) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = if file == "-" {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut body)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut body))
    };
    let shown = if file == "-" { "standard input".into() } else { printable(file) };
    read.map_err(|error| Failure::new(Exit::Io, format_args!("cannot read {shown}: {error}")))?;
    if body.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::new(
            Exit::Data,
            format_args!("{shown} is longer than {} MiB", FILE_BYTES_MAX >> 20),
        ));
    }
    Ok(body)
}

const _: () =
    assert!(BODY_BYTES_MAX as u64 <= FILE_BYTES_MAX, "whatever the agent takes can be signed by hand");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_put_into_the_body_as_it_was_typed() {
        let body = |data| event_body("door", data).map_err(|_| ());
        assert_eq!(body(None).as_deref(), Ok(r#"{"event_type":"door"}"#));
        assert_eq!(body(Some(" { } ")).as_deref(), Ok(r#"{"event_type":"door"}"#));
        assert_eq!(body(Some(r#"{"a":{"b":{}}}"#)).as_deref(), Ok(r#"{"event_type":"door","a":{"b":{}}}"#));
        assert_eq!(body(Some(r#"{"a":{}}"#)).as_deref(), Ok(r#"{"event_type":"door","a":{}}"#));
        for bad in ["[]", "3", "{", "", r#"{"event_type":"x"}"#] {
            assert!(body(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn fresh_ids_differ() {
        let (one, other) = (fresh_id().unwrap(), fresh_id().unwrap());
        assert!(one.starts_with("msg_") && one.len() == 28 && one != other, "{one} {other}");
    }
}
