//! Bytes to messages and back, one file per peer. Pure: no socket, no clock, no file.
//!
//! The shell turns each [`Call`] into a request with [`encode`], carries it out, and turns what came of it into an
//! [`Outcome`] with [`decode`]. JSON is read as views into the text (`json.rs`), never as a tree: a body of 64 KiB
//! would otherwise become megabytes of nodes.

pub mod aiwm;
pub mod alexos;
pub mod autobot;
pub mod bus;
pub mod bus_handshake;
pub mod chat;
pub mod event_json;
pub mod frames;
pub mod health_json;
pub mod hooks;
pub mod http_chunks;
pub mod http_head;
pub mod json;
pub mod jwt;
pub mod maclink;
pub mod mcp;
pub mod ollama;
pub mod openai;
pub mod redact;
mod reply;
pub mod skim;
pub mod standard_webhooks;
pub mod target;
pub mod time;
pub mod tools;
pub mod webhook;
pub mod windows;
pub mod words;

use crate::agent::effect::Call;
use crate::agent::ids::{CorrelationId, LedgerId};
use crate::agent::input::{Fault, Outcome};
use crate::agent::setup::Setup;
use crate::agent::time::Wall;

/// One request to a peer, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Absolute, `http` or `https`. May hold secrets: log the call's peer instead.
    pub url: String,
    /// Names in lower case, none twice. A `host` among them replaces the URL's.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for `GET`.
    pub body: Vec<u8>,
    /// Time for everything from the name lookup to the last byte of the answer, in milliseconds.
    pub timeout_ms: u64,
    /// Which addresses the URL's name may resolve to.
    pub guard: AddressGuard,
}

/// Which addresses a request may go to. Redirects are never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressGuard {
    /// All: the peer was configured by the operator as a part of the system.
    Any,
    /// A private, loopback or link-local address only if the URL names it by number.
    NoPrivateNames,
    /// A private, loopback or link-local address never, however the URL names it: the URL is a stranger's.
    PublicOnly,
}

/// A peer's answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HttpReply {
    /// The status, redirects included.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The `Date` header.
    pub date: Option<String>,
    /// At most `limits::REPLY_BYTES_MAX`.
    pub body: Vec<u8>,
    /// Whether it came over TLS with a certificate that was checked.
    pub over_tls: bool,
}

/// What came of a request: an answer of any status, or a fault below HTTP.
pub type CallResult = Result<HttpReply, Fault>;

/// Makes the request of a call. `None`: the peer is not configured (any more).
#[must_use]
pub fn encode(
    call: &Call,
    correlation: CorrelationId,
    _ledger: LedgerId,
    setup: &Setup,
) -> Option<HttpRequest> {
    let mut request = match call {
        Call::AlexosRegister { .. }
        | Call::AlexosCanon
        | Call::AlexosEvent { .. }
        | Call::AlexosReport { .. }
        | Call::WebhookUrlReport { .. } => alexos::encode(call, setup)?,
        Call::AiwmConnect | Call::AiwmHeartbeat { .. } | Call::AiwmDisconnect { .. } => {
            aiwm::encode(call, setup.aiwm.as_ref()?)
        }
        Call::Hook { key, event, id, at } => {
            let hook = setup.hooks.iter().find(|hook| hook.key == *key)?;
            hooks::encode(hook, event, *id, *at)
        }
    };
    request.headers.push(("user-agent", USER_AGENT.to_owned()));
    request.headers.push(("x-correlation-id", correlation.to_string()));
    Some(request)
}

/// What a call's result means, and the peer's `Date` if the peer was authenticated: by TLS, or because it is AIWM and
/// took our secret or token.
#[must_use]
pub fn decode(call: &Call, result: CallResult) -> (Outcome, Option<Wall>) {
    let outcome = match call {
        Call::AlexosRegister { .. }
        | Call::AlexosCanon
        | Call::AlexosEvent { .. }
        | Call::AlexosReport { .. }
        | Call::WebhookUrlReport { .. } => alexos::decode(call, &result),
        Call::AiwmConnect | Call::AiwmHeartbeat { .. } | Call::AiwmDisconnect { .. } => {
            Outcome::Aiwm(aiwm::decode(call, &result))
        }
        Call::Hook { .. } => Outcome::Delivered(hooks::verdict(&result)),
    };
    let date = result.ok().and_then(|reply| trusted_date(&reply, &outcome));
    (outcome, date)
}

/// Sent with every request.
pub const USER_AGENT: &str = concat!("chainbot/", env!("CARGO_PKG_VERSION"));

fn trusted_date(reply: &HttpReply, outcome: &Outcome) -> Option<Wall> {
    use crate::agent::input::AiwmReply::{Connected, Taken};
    let took_our_token = matches!(outcome, Outcome::Aiwm(Connected { .. } | Taken { .. }));
    (reply.over_tls || took_our_token)
        .then_some(reply.date.as_deref())
        .flatten()
        .and_then(time::parse_http_date)
}
