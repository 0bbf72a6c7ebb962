//! The audit trail: who did what, on what, from where. Each deed that changes something and is no event by itself becomes an
//! event of type `audit`, durable before the deed is done; what was said to a conversation carries the same words in its
//! own event.

use std::net::IpAddr;

use super::access::Who;
use super::brain::Asked;
use super::intake::{STOPPING_RETRY_S, retry_later};
use super::problem::Kind;
use super::{Decision, Request, Response};
use crate::agent::effect::IntakeAnswer;
use crate::agent::event::{AUDIT, EventDraft, JsonText, Severity, Source};
use crate::agent::limits::EVENT_MESSAGE_BYTES_MAX;
use crate::wire::json::{Json, push_raw, push_text};
use crate::wire::redact::redacted;
use crate::wire::words::{cut, one_line};

/// Most bytes of a request's body, its secrets replaced, that are kept with the deed.
pub const DETAILS_BYTES_MAX: usize = 1024;
/// Most bytes of the name of what it was done on.
const ON_BYTES_MAX: usize = 200;

/// Something that is done to this agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// A word of ours: `approval.grant`, `conversation.forget`, `token.login` ...
    pub what: &'static str,
    /// Which one: a conversation, a request for permission, a window, a token.
    pub on: String,
    /// What came with it: JSON without secrets, at most about `DETAILS_BYTES_MAX`.
    pub details: Option<String>,
}

impl Deed {
    /// A deed without more to tell.
    #[must_use]
    pub fn on(what: &'static str, on: &str) -> Self {
        Self { what, on: on.to_owned(), details: None }
    }
}

/// Who and from where, in a few words for people.
#[must_use]
pub fn by(who: &Who, from: IpAddr) -> String {
    format!("{} at {}", who.name, from.to_canonical())
}

/// The event that tells of a deed.
#[must_use]
pub fn draft(who: &Who, from: IpAddr, deed: &Deed) -> EventDraft {
    told(&who.name, who.role.as_str(), &from.to_canonical().to_string(), deed)
}

/// The event that tells of a deed of someone who is at this machine and was not asked who he is: at its command line, or
/// by a signal.
#[must_use]
pub fn local_draft(deed: &Deed) -> EventDraft {
    told("command line", "admin", "local", deed)
}

fn told(who: &str, role: &str, from: &str, deed: &Deed) -> EventDraft {
    let on = one_line(&deed.on, ON_BYTES_MAX);
    let mut metadata = String::from("{");
    for (name, value) in [("who", who), ("role", role), ("what", deed.what), ("on", &on), ("from", from)] {
        push_text(&mut metadata, name, value);
    }
    if let Some(details) = &deed.details {
        push_raw(&mut metadata, "details", details);
    }
    metadata.push('}');
    let message = format!("{who} at {from}: {} {on}", deed.what);
    EventDraft {
        kind: AUDIT.to_owned(),
        source: Source::Chainbot,
        severity: Severity::Info,
        message: cut(message.trim_end(), EVENT_MESSAGE_BYTES_MAX).to_owned(),
        metadata: JsonText(metadata),
    }
}

/// The event that tells of what becomes of this request, if it changes something and is no event by itself.
#[must_use]
pub fn of_decision(request: &Request<'_>, decision: &Decision, who: &Who) -> Option<EventDraft> {
    let deed = deed_of(request, decision)?;
    Some(draft(who, request.peer, &deed))
}

/// Whether it is written who does something.
///
/// # Errors
/// It is not, so it is not done: what to answer.
pub fn written(answer: &IntakeAnswer) -> Result<(), Response> {
    let (kind, retry_after_s) = match answer {
        IntakeAnswer::Stored { .. } => return Ok(()),
        IntakeAnswer::Busy { retry_after_s } => (Kind::Busy, *retry_after_s),
        IntakeAnswer::Full { retry_after_s } => (Kind::DiskFull, *retry_after_s),
        IntakeAnswer::Faulty { retry_after_s } => (Kind::LedgerFault, *retry_after_s),
        IntakeAnswer::Stopping => (Kind::Stopping, STOPPING_RETRY_S),
    };
    Err(retry_later(
        kind,
        "it was not done, because it cannot be written down just now who does it",
        retry_after_s,
    ))
}

fn deed_of(request: &Request<'_>, decision: &Decision) -> Option<Deed> {
    let details = || Json::parse(request.body).ok().map(|json| redacted(json, DETAILS_BYTES_MAX));
    let (what, on) = match decision {
        Decision::Brain(asked) => match &**asked {
            Asked::Decide { approval, is_yes: true, .. } => ("approval.grant", approval.to_string()),
            Asked::Decide { approval, .. } => ("approval.refuse", approval.to_string()),
            Asked::Forget { session } => return Some(Deed::on("conversation.forget", session)),
            Asked::Stop { session } => return Some(Deed::on("conversation.stop", session)),
            Asked::Question { .. } | Asked::Say { .. } | Asked::Show { .. } => return None,
        },
        Decision::Broadcast { window, .. } => ("window.broadcast", window.as_str().to_owned()),
        _ => return None,
    };
    Some(Deed { what, on, details: details() })
}

#[cfg(test)]
mod tests {
    use super::super::routes::{BrainAsk, Endpoint, Method, ROUTES};
    use super::super::testing::{Ask, World};
    use super::*;

    #[test]
    fn no_route_that_changes_something_is_forgotten() {
        for route in ROUTES.iter().filter(|route| route.method != Method::Get) {
            let is_told = match route.endpoint {
                // An event by itself.
                Endpoint::Webhook(_) => true,
                // By `goal_received`, or `model_called` if nothing is kept.
                Endpoint::Brain(BrainAsk::Question | BrainAsk::Message | BrainAsk::Completion) => true,
                // By `respond`.
                Endpoint::Login => true,
                // By `deed_of`.
                Endpoint::Brain(BrainAsk::Forget | BrainAsk::Stop | BrainAsk::Decide)
                | Endpoint::Broadcast => true,
                _ => false,
            };
            assert!(is_told, "who uses {} is told nowhere", route.path);
        }
    }

    fn told_of(ask: &Ask<'_>) -> Option<EventDraft> {
        World::thoughtful().tell(ask)
    }

    #[test]
    fn a_deed_says_who_what_on_what_and_from_where_and_no_secret() {
        let body = r#"{"approved":true,"user_id":"kim","note":{"api_key":"k-1"}}"#;
        let draft = told_of(&Ask::post("/api/approvals/000000000009-deadbeef", body)).expect("told");
        assert_eq!(draft.kind, AUDIT);
        assert_eq!(draft.message, "loopback at 127.0.0.1: approval.grant 000000000009-deadbeef");
        assert_eq!(
            draft.metadata.0,
            r#"{"who":"loopback","role":"admin","what":"approval.grant","on":"000000000009-deadbeef","from":"127.0.0.1","details":{"approved":true,"user_id":"kim","note":{"api_key":"***"}}}"#
        );
    }

    #[test]
    fn a_deed_that_is_refused_and_one_that_changes_nothing_are_not_told() {
        assert_eq!(told_of(&Ask::post("/api/approvals/000000000009-deadbeef", "{}")), None);
        assert_eq!(
            told_of(&Ask::post("/api/approvals/000000000009-deadbeef", r#"{"approved":true}"#).afar()),
            None
        );
        assert_eq!(told_of(&Ask::new("GET", "/api/approvals")), None);
    }

    #[test]
    fn what_is_done_on_something_with_a_long_name_stays_within_the_limits_of_an_event() {
        let deed = Deed::on("conversation.forget", &"x\ny".repeat(1_000));
        let draft = local_draft(&deed);
        assert!(draft.message.len() <= EVENT_MESSAGE_BYTES_MAX && !draft.message.contains('\n'));
        assert!(Json::parse(draft.metadata.0.as_bytes()).is_ok());
    }
}
