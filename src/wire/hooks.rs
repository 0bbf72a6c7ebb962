//! Users' own endpoints (`[[webhooks]]`): unified events, signed as Standard Webhooks v1 says.
//!
//! The id stays the same over all tries of an event, the timestamp and with it the signature are those of the try.
//! Redirects are not followed, for a redirect may lead to where the operator did not mean to post.

use super::event_json::push_event;
use super::reply::{retry, retry_status};
use super::standard_webhooks::{Key, sign_all};
use super::{AddressGuard, CallResult, HttpRequest};
use crate::agent::event::Event;
use crate::agent::ids::EventId;
use crate::agent::input::{Fault, Verdict};
use crate::agent::setup::HookSetup;
use crate::agent::time::Wall;

/// One event for one endpoint. Without secrets there is no signature.
pub(super) fn encode(hook: &HookSetup, event: &Event, id: EventId, at: Wall) -> HttpRequest {
    let mut body = String::new();
    push_event(&mut body, event, id);
    let (id, timestamp_s) = (id.to_string(), at.0.max(0) / 1_000);
    // `config/` has checked the secrets, so none is passed over here.
    let keys: Vec<Key> = hook.secrets.iter().filter_map(|secret| Key::parse(&secret.0).ok()).collect();
    let signature = sign_all(&keys, &id, timestamp_s, body.as_bytes());
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp_s.to_string()),
    ];
    if !signature.is_empty() {
        headers.push(("webhook-signature", signature));
    }
    HttpRequest {
        method: "POST",
        url: hook.url.0.clone(),
        headers,
        body: body.into_bytes(),
        timeout_ms: hook.request_timeout_ms,
        guard: AddressGuard::NoPrivateNames,
    }
}

/// 2xx is taken, 410 ends it; everything else is tried again on the agent's schedule, which ends by itself.
pub(super) fn verdict(result: &CallResult) -> Verdict {
    match result {
        Err(fault) => retry(*fault),
        Ok(reply) => match reply.status {
            200..=299 => Verdict::Accepted,
            410 => Verdict::Gone,
            429 | 503 => retry_status(reply),
            status => retry(Fault::Status(status)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::event::{JsonText, Severity, Source};
    use crate::agent::ids::{LedgerId, Seq};
    use crate::agent::setup::Secret;
    use crate::wire::HttpReply;
    use crate::wire::standard_webhooks::{SignedHeaders, verify};

    const SECRETS: [&str; 2] =
        ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

    fn request(secrets: &[&str]) -> HttpRequest {
        let hook = HookSetup {
            url: Secret("https://example.org/hook?key=1".to_owned()),
            secrets: secrets.iter().map(|&secret| Secret(secret.to_owned())).collect(),
            request_timeout_ms: 15_000,
            ..HookSetup::default()
        };
        let event = Event {
            seq: Seq(1),
            at: Wall(0),
            kind: "boot".to_owned(),
            source: Source::Chainbot,
            severity: Severity::Info,
            message: String::new(),
            metadata: JsonText::empty_object(),
        };
        encode(&hook, &event, EventId { seq: Seq(1), ledger: LedgerId(2) }, Wall(1_795_221_371_999))
    }

    fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn each_secret_alone_verifies_what_goes_out() {
        let request = request(&SECRETS);
        assert_eq!(header(&request, "webhook-id"), Some("000000000001-00000002"));
        assert_eq!(header(&request, "webhook-timestamp"), Some("1795221371"));
        assert_eq!(header(&request, "webhook-signature").unwrap().split(' ').count(), 2);
        assert_eq!(request.guard, AddressGuard::NoPrivateNames);
        for secret in SECRETS {
            let headers = SignedHeaders {
                id: header(&request, "webhook-id"),
                timestamp: header(&request, "webhook-timestamp"),
                signature: header(&request, "webhook-signature"),
            };
            let key = Key::parse(secret).unwrap();
            assert_eq!(verify(&[key], headers, &request.body, Some(Wall(1_795_221_371_999))), Ok(()));
        }
    }

    #[test]
    fn an_endpoint_without_secrets_gets_no_signature() {
        assert_eq!(header(&request(&[]), "webhook-signature"), None);
    }

    #[test]
    fn statuses_are_verdicts() {
        let after = |status, retry_after: Option<&str>| {
            verdict(&Ok(HttpReply {
                status,
                retry_after: retry_after.map(str::to_owned),
                ..HttpReply::default()
            }))
        };
        let again = |status, after_ms| Verdict::Retry { fault: Fault::Status(status), after_ms };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(after(status, None), Verdict::Accepted);
        }
        assert_eq!(after(410, None), Verdict::Gone);
        assert_eq!(after(429, Some("3")), again(429, Some(3_000)));
        assert_eq!(after(503, Some("3")), again(503, Some(3_000)));
        for status in [100, 301, 302, 307, 400, 401, 403, 404, 405, 422, 500, 501, 502, 504, 999] {
            assert_eq!(after(status, Some("3")), again(status, None));
        }
        assert_eq!(verdict(&Err(Fault::PrivateAddress)), retry(Fault::PrivateAddress));
    }
}
