//! The event bus of ALEX OS: envelopes as documented, and the `{"action": ...}` dialect of its public release
//! (protocol notes, sections 1.5 and 3.3; seed 002 for the unified event).
//!
//! What comes in is read leniently: an envelope names its type in `event_type`, a unified event in `type`, and the
//! dashboard's messages wrap one. Whatever has no usable type is `BusIn::Unknown`, never an error.

use hmac_sha256::Hash;

use super::alexos::{envelope, report_envelope};
use super::json::{Json, Kind};
use super::webhook::is_event_type;
use super::words::one_line;
use crate::agent::effect::BusOut;
use crate::agent::event::{EventDraft, JsonText, Severity, Source};
use crate::agent::ids::{DedupeKey, EventId};
use crate::agent::input::BusIn;
use crate::agent::limits::{DEDUPE_ID_BYTES_MAX, EVENT_MESSAGE_BYTES_MAX};
use crate::agent::setup::Setup;

/// Longest complaint of the peer that is kept, in bytes.
const COMPLAINT_BYTES_MAX: usize = 200;

/// What a message is on the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A protocol ping.
    Ping,
}

/// Makes the frame of a message.
#[must_use]
pub fn encode(message: &BusOut, setup: &Setup) -> Frame {
    Frame::Text(match message {
        BusOut::Event { event, id } => envelope(event, *id),
        BusOut::Report(report) => report_envelope(report, setup),
        BusOut::Ping => return Frame::Ping,
        BusOut::Pong => r#"{"type":"pong"}"#.to_owned(),
        BusOut::ActionPing => r#"{"action":"ping"}"#.to_owned(),
        BusOut::Subscribe => {
            r#"{"action":"subscribe","channels":["metrics","events","agents","alerts","system"]}"#.to_owned()
        }
    })
}

/// What a text message means.
#[must_use]
pub fn decode(text: &str) -> BusIn {
    let Ok(json) = Json::parse(text.as_bytes()) else { return BusIn::Unknown };
    if json.some("source").is_some()
        && let Some(event) = event(json, json)
    {
        return event;
    }
    match words(json, "type").as_deref() {
        Some("pong") => BusIn::Pong,
        Some("ping") => BusIn::Ping,
        Some("subscription_confirmed") => BusIn::Subscribed,
        Some("error") => complaint(json),
        Some(kind) => wrapped(kind, json),
        None if words(json, "action").as_deref() == Some("ping") => BusIn::Ping,
        None => BusIn::Unknown,
    }
}

fn complaint(json: Json<'_>) -> BusIn {
    let said = ["message", "error", "detail"].into_iter().find_map(|name| words(json, name));
    match said.as_deref() {
        Some("Missing action") => BusIn::MissingAction,
        said => BusIn::Complaint(one_line(said.unwrap_or("an error without words"), COMPLAINT_BYTES_MAX)),
    }
}

/// `new_event`, `alert`, `watchtower_event` ...: the event is inside, and was the peer's own.
fn wrapped(kind: &str, json: Json<'_>) -> BusIn {
    if !matches!(kind, "new_event" | "event" | "alert" | "watchtower_event" | "chainbot_update") {
        return BusIn::Unknown;
    }
    ["event", "data", "payload"]
        .into_iter()
        .filter_map(|name| json.some(name))
        .find_map(|inner| event(inner, json))
        .unwrap_or(BusIn::Unknown)
}

/// `inner` describes the event; `whole` is what is kept of it.
fn event(inner: Json<'_>, whole: Json<'_>) -> Option<BusIn> {
    let kind = ["event_type", "type"]
        .into_iter()
        .find_map(|name| words(inner, name))
        .filter(|kind| is_event_type(kind) && !is_control(kind))?;
    let said = words(inner, "message").or_else(|| inner.some("data").and_then(|data| words(data, "message")));
    let message = said.unwrap_or_else(|| format!("event {kind}"));
    let id = id(inner);
    Some(BusIn::Event {
        key: id.as_deref().map(key),
        name: id.as_deref().and_then(EventId::parse),
        is_chainbots: words(inner, "source").as_deref() == Some(Source::Chainbot.as_str()),
        draft: Box::new(EventDraft {
            kind,
            source: Source::AlexOs,
            severity: severity(inner),
            message: one_line(&message, EVENT_MESSAGE_BYTES_MAX),
            metadata: JsonText(whole.compact()),
        }),
    })
}

/// Words of the protocol that are no events, whatever else the message has.
fn is_control(kind: &str) -> bool {
    matches!(kind, "ping" | "pong" | "error" | "subscription_confirmed" | "unsubscription_confirmed")
}

fn severity(event: Json<'_>) -> Severity {
    let asks = event.some("requires_attention").and_then(Json::bool) == Some(true);
    let said = words(event, "severity").and_then(|word| Severity::parse(&word.to_ascii_lowercase()));
    said.unwrap_or(if asks { Severity::Warning } else { Severity::Info })
}

fn words(json: Json<'_>, name: &str) -> Option<String> {
    json.some(name).and_then(Json::text).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty())
}

fn id(event: Json<'_>) -> Option<String> {
    let value = ["id", "event_id"].into_iter().find_map(|name| event.some(name))?;
    let text = match value.kind() {
        Kind::Text => value.text()?.into_owned(),
        Kind::Number => value.raw().to_owned(),
        _ => return None,
    };
    (1..=DEDUPE_ID_BYTES_MAX).contains(&text.len()).then_some(text)
}

/// Ids of the bus and ids of webhooks are different namespaces.
fn key(id: &str) -> DedupeKey {
    let mut hash = Hash::new();
    hash.update(b"bus:");
    hash.update(id.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    DedupeKey(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::event::Event;
    use crate::agent::ids::{LedgerId, Seq};
    use crate::agent::time::Wall;

    fn taken(text: &str) -> (EventDraft, Option<DedupeKey>, Option<EventId>, bool) {
        match decode(text) {
            BusIn::Event { draft, key, name, is_chainbots } => (*draft, key, name, is_chainbots),
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn an_envelope_becomes_an_event_of_alex_os_with_all_that_it_says() {
        let text = r#"{ "event_type": "module.health", "source": "watchtower", "severity": "ERROR",
            "id": "e-1", "timestamp": "2026-11-21T00:00:00", "data": {"message": "low\nmemory", "a": [1.50]} }"#;
        let (draft, key, name, is_chainbots) = taken(text);
        assert_eq!(draft.kind, "module.health");
        assert_eq!(draft.source, Source::AlexOs);
        assert_eq!(draft.severity, Severity::Error);
        assert_eq!(draft.message, "low memory");
        assert!(draft.metadata.0.contains(r#""source":"watchtower""#), "{}", draft.metadata.0);
        assert!(draft.metadata.0.contains(r#""a":[1.50]"#));
        assert!(key.is_some());
        assert_eq!((name, is_chainbots), (None, false));
    }

    #[test]
    fn a_unified_event_and_the_dashboards_wrapping_are_read_too() {
        let unified = r#"{"id":"9","timestamp":"t","type":"deploy","source":"alex_os","severity":"info","message":"m","metadata":{}}"#;
        assert_eq!(taken(unified).0.kind, "deploy");
        assert_eq!(taken(unified).0.message, "m");
        let wrapped = r#"{"type":"new_event","data":{"id":5,"event_type":"disk","severity":"warning"}}"#;
        let (draft, key, ..) = taken(wrapped);
        assert_eq!((draft.kind.as_str(), draft.severity), ("disk", Severity::Warning));
        assert_eq!(
            key,
            taken(r#"{"id":5,"event_type":"disk","source":"x"}"#).1,
            "the same id is the same event"
        );
        let urgent = r#"{"event_type":"a","source":"x","requires_attention":true}"#;
        assert_eq!(taken(urgent).0.severity, Severity::Warning);
    }

    #[test]
    fn our_own_events_are_known_by_source_and_by_name() {
        let id = EventId { seq: Seq(66), ledger: LedgerId(0xdead_beef) };
        let event = Event {
            seq: id.seq,
            at: Wall(0),
            kind: "door".to_owned(),
            source: Source::Chainbot,
            severity: Severity::Info,
            message: "open".to_owned(),
            metadata: JsonText::empty_object(),
        };
        let message = BusOut::Event { event: Box::new(event), id };
        let Frame::Text(text) = encode(&message, &Setup::default()) else { panic!("no text") };
        let (_, _, name, is_chainbots) = taken(&text);
        assert_eq!((name, is_chainbots), (Some(id), true));
        let (_, _, name, is_chainbots) =
            taken(&text.replace(r#""source":"chainbot""#, r#""source":"relay""#));
        assert_eq!((name, is_chainbots), (Some(id), false));
    }

    #[test]
    fn the_words_of_the_public_dialect_are_understood() {
        for (text, meaning) in [
            (r#"{"type":"pong","timestamp":"t"}"#, BusIn::Pong),
            (r#"{"type":"ping","timestamp":"t"}"#, BusIn::Ping),
            (r#"{"type":"ping","source":"alex_os"}"#, BusIn::Ping),
            (r#"{"action":"ping"}"#, BusIn::Ping),
            (r#"{"type":"subscription_confirmed","channels":[],"timestamp":"t"}"#, BusIn::Subscribed),
            (r#"{"type":"error","message":"Missing action"}"#, BusIn::MissingAction),
            (
                r#"{"type":"error","message":"Unknown action:\n pong"}"#,
                BusIn::Complaint("Unknown action:  pong".to_owned()),
            ),
            (r#"{"type":"error"}"#, BusIn::Complaint("an error without words".to_owned())),
        ] {
            assert_eq!(decode(text), meaning, "{text}");
        }
    }

    #[test]
    fn garbage_is_unknown_and_nothing_else() {
        let deep = "[".repeat(40_000);
        let long = format!(r#"{{"event_type":"{}","source":"x"}}"#, "a".repeat(65));
        for text in [
            "",
            " ",
            "null",
            "[]",
            "{}",
            "42",
            "\"text\"",
            "{\"type\":",
            "{\"type\":5}",
            r#"{"type":"metrics_update","data":{}}"#,
            r#"{"type":"new_event"}"#,
            r#"{"type":"new_event","data":[]}"#,
            r#"{"event_type":"a b","source":"x"}"#,
            r#"{"event_type":"..","source":"x"}"#,
            r#"{"event_type":["a"],"source":"x"}"#,
            r#"{"event_type":"a"}"#,
            r#"{"source":"x"}"#,
            "\u{0}",
            &deep,
            &long,
        ] {
            assert_eq!(decode(text), BusIn::Unknown, "{text:.60}");
        }
    }

    #[test]
    fn an_id_that_is_none_is_left_out() {
        let long = format!(r#""{}""#, "x".repeat(257));
        for id in ["null", "\"\"", "true", "{}", "[1]", &long] {
            let (_, key, ..) = taken(&format!(r#"{{"event_type":"a","source":"x","id":{id}}}"#));
            assert_eq!(key, None, "{id:.20}");
        }
    }

    #[test]
    fn what_we_say_is_as_recorded() {
        let setup = Setup::default();
        assert_eq!(encode(&BusOut::ActionPing, &setup), Frame::Text(r#"{"action":"ping"}"#.to_owned()));
        assert_eq!(encode(&BusOut::Ping, &setup), Frame::Ping);
        let Frame::Text(text) = encode(&BusOut::Subscribe, &setup) else { panic!("no text") };
        let json = Json::parse(text.as_bytes()).expect("valid");
        let channels: Vec<_> =
            json.some("channels").expect("there").items().filter_map(|item| item.text()).collect();
        assert_eq!(channels, ["metrics", "events", "agents", "alerts", "system"]);
    }
}
