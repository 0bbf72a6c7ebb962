//! The ten webhook paths: who may bring one, what it must look like, and what the caller is told in the end. The body
//! is decoded by `wire/webhook.rs`, signatures are checked by `wire/standard_webhooks.rs`.

use hmac_sha256::Hash;

use super::json::Json;
use super::problem::{InputFault, Kind, Place, Problem};
use super::routes::{Role, Route};
use super::{Decision, Request, Response, View, access, shown};
use crate::agent::effect::IntakeAnswer;
use crate::agent::ids::DedupeKey;
use crate::agent::limits::{BODY_BYTES_MAX, DEDUPE_ID_BYTES_MAX};
use crate::wire::standard_webhooks::{Key, SignedHeaders, verify};
use crate::wire::webhook::{BodyFault, FieldFault, WebhookKind, decode};

/// `Retry-After` of an answer while stopping, in seconds: a restart takes less.
pub(super) const STOPPING_RETRY_S: u32 = 5;

/// Checks a webhook. Where secrets are configured a valid signature is needed and is enough; else the role counts.
pub(super) fn take(
    view: &View<'_>,
    request: &Request<'_>,
    route: &Route,
    role: Role,
    kind: WebhookKind,
) -> Result<Decision, Response> {
    if view.security.webhook_secrets.is_empty() {
        access::check_role(view.security, route, role)?;
    } else {
        check_signature(view, request)?;
    }
    check_media(request)?;
    let dedupe = dedupe(request)?;
    let draft = decode(kind, request.body).map_err(|fault| problem_of(fault).response())?;
    let message = kind.success_message(&draft.kind);
    Ok(Decision::Intake { draft, dedupe, message })
}

fn check_signature(view: &View<'_>, request: &Request<'_>) -> Result<(), Response> {
    let single = |name| if request.header_count(name) == 1 { request.header(name) } else { None };
    let headers = SignedHeaders {
        id: single("webhook-id"),
        timestamp: single("webhook-timestamp"),
        signature: single("webhook-signature"),
    };
    let secrets = view.security.webhook_secrets.iter();
    let keys: Vec<Key> = secrets.filter_map(|secret| Key::parse(&secret.0).ok()).collect();
    let now = view.status.trust.may_judge().then_some(view.status.at);
    verify(&keys, headers, request.body, now)
        .map_err(|fault| Problem::new(Kind::BadSignature, fault.to_string()).into())
}

pub(super) fn check_media(request: &Request<'_>) -> Result<(), Response> {
    if request.body.len() > BODY_BYTES_MAX {
        let detail = format!("body is {} bytes, at most {BODY_BYTES_MAX} are taken", request.body.len());
        return Err(Problem::new(Kind::TooLarge, detail).into());
    }
    let encoding = request.header("content-encoding").unwrap_or("identity").trim();
    if request.header_count("content-encoding") > 1 || !encoding.eq_ignore_ascii_case("identity") {
        let detail = format!("content-encoding is \"{}\": must be identity or missing", shown(encoding));
        return Err(Problem::new(Kind::UnsupportedMediaType, detail).into());
    }
    let count = request.header_count("content-type");
    let media = request.header("content-type");
    if count == 0 || (count == 1 && media.is_some_and(is_json)) {
        return Ok(());
    }
    let detail = format!("content-type is \"{}\": must be application/json", shown(media.unwrap_or("")));
    Err(Problem::new(Kind::UnsupportedMediaType, detail).response().with("accept", "application/json"))
}

/// `application/json`, any type that ends in `+json`, or what `curl -d` says of every body if it is told nothing;
/// parameters do not matter. A browser's form cannot use the last one: its `Origin` is checked.
fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or("").trim();
    let known = ["application/json", "application/x-www-form-urlencoded"];
    known.iter().any(|known| essence.eq_ignore_ascii_case(known))
        || (essence.contains('/') && essence.to_ascii_lowercase().ends_with("+json"))
}

/// The caller's id. `webhook-id` goes before `Idempotency-Key`. The same id is the same message on every path, as
/// Standard Webhooks ids are unique for the sender and not for the path.
fn dedupe(request: &Request<'_>) -> Result<Option<DedupeKey>, Response> {
    let Some(name) =
        ["webhook-id", "idempotency-key"].into_iter().find(|name| request.header_count(name) > 0)
    else {
        return Ok(None);
    };
    let id = request.header(name).unwrap_or("");
    let is_good = request.header_count(name) == 1
        && (1..=DEDUPE_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !is_good {
        let detail =
            format!("{name} must be there once, with 1 to {DEDUPE_ID_BYTES_MAX} printable ASCII characters");
        return Err(Problem::new(Kind::BadHeader, detail).into());
    }
    let hash = Hash::hash(id.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    Ok(Some(DedupeKey(key)))
}

fn problem_of(fault: BodyFault) -> Problem {
    match fault {
        BodyFault::Text(_) => Problem::new(Kind::NotJson, fault.to_string()),
        BodyFault::NotAnObject => {
            let detail = fault.to_string();
            let place = Place::Body("#".to_owned());
            Problem::of_faults(Kind::InvalidFields, vec![InputFault { place, detail }])
        }
        BodyFault::Fields(faults) => {
            Problem::of_faults(Kind::InvalidFields, faults.into_iter().map(input_fault).collect())
        }
    }
}

fn input_fault(fault: FieldFault) -> InputFault {
    let name = fault.pointer.trim_start_matches('/').replace('/', ".");
    InputFault {
        place: Place::Body(format!("#{}", fault.pointer)),
        detail: format!("{name} {}", fault.detail),
    }
}

/// What the caller of a webhook path is told. `message` is that of `Decision::Intake`.
#[must_use]
pub fn intake_answer(answer: &IntakeAnswer, message: &str) -> Response {
    match answer {
        IntakeAnswer::Stored { id, duplicate } => {
            let mut json = Json::object();
            json.key("status").text("success");
            json.key("message").text(message);
            json.key("id").text(&id.to_string());
            if *duplicate {
                json.key("duplicate").boolean(true);
            }
            Response::text(200, "application/json", json.end_object())
        }
        IntakeAnswer::Busy { retry_after_s } => {
            let detail = "the ledger has not caught up, the webhook may or may not be stored: send it again with the same id";
            retry_later(Kind::Busy, detail, *retry_after_s)
        }
        IntakeAnswer::Full { retry_after_s } => {
            retry_later(Kind::DiskFull, "the ledger's disk has no room, nothing was stored", *retry_after_s)
        }
        IntakeAnswer::Faulty { retry_after_s } => {
            let detail = "the ledger's disk fails, the webhook may or may not be stored: send it again with the same id";
            retry_later(Kind::LedgerFault, detail, *retry_after_s)
        }
        IntakeAnswer::Stopping => {
            let detail = "the agent is stopping, send it again when it is back";
            Response { close: true, ..retry_later(Kind::Stopping, detail, STOPPING_RETRY_S) }
        }
    }
}

/// A problem with the time after which to come back.
pub(super) fn with_retry(problem: Problem, retry_after_s: u32) -> Response {
    problem.response().with("retry-after", retry_after_s.max(1).to_string())
}

/// The answer when the ledger cannot be read for `GET /api/events`, or when the shell has no room for a request.
#[must_use]
pub fn retry_later(kind: Kind, detail: &str, retry_after_s: u32) -> Response {
    with_retry(Problem::new(kind, detail), retry_after_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::ids::{EventId, LedgerId, Seq};

    fn text(response: &Response) -> &str {
        std::str::from_utf8(&response.body).unwrap()
    }

    #[test]
    fn a_stored_webhook_is_told_its_event_and_whether_it_is_a_repetition() {
        let id = EventId { seq: Seq(66), ledger: LedgerId(0xdead_beef) };
        let answer = |duplicate| intake_answer(&IntakeAnswer::Stored { id, duplicate }, "Done");
        let first = r#"{"status":"success","message":"Done","id":"000000000042-deadbeef"}"#;
        assert_eq!(text(&answer(false)), first);
        assert_eq!(text(&answer(true)), first.replace('}', r#","duplicate":true}"#));
        assert_eq!(answer(true).status, 200);
    }

    #[test]
    fn every_refusal_says_when_to_come_back() {
        for (answer, status, after, close) in [
            (IntakeAnswer::Busy { retry_after_s: 2 }, 503, "2", false),
            (IntakeAnswer::Full { retry_after_s: 60 }, 507, "60", false),
            (IntakeAnswer::Faulty { retry_after_s: 0 }, 503, "1", false),
            (IntakeAnswer::Stopping, 503, "5", true),
        ] {
            let response = intake_answer(&answer, "");
            assert_eq!((response.status, response.close), (status, close), "{answer:?}");
            assert_eq!(response.content_type, "application/problem+json");
            assert_eq!(response.headers, [("retry-after", after.to_owned())]);
        }
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        for good in [
            "application/json",
            "APPLICATION/JSON; charset=utf-8",
            "application/cloudevents+json",
            "application/x-www-form-urlencoded",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "application/jsonp", "json", "+json", "text/plain; a=application/json"]
        {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
