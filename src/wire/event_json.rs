//! The unified event as JSON, as the documents have it: `{id, timestamp, type, source, severity, message, metadata}`.

use super::json::{push_raw, push_text};
use super::time::format_rfc3339;
use crate::agent::event::Event;
use crate::agent::ids::{EventId, LedgerId};

/// Appends `event` as one compact JSON object. What `/api/events`, sockets, `[[webhooks]]` and the command line show.
pub fn push_event(out: &mut String, event: &Event, id: EventId) {
    out.reserve(160 + event.kind.len() + event.message.len() + event.metadata.0.len());
    out.push('{');
    push_id(out, id);
    push_text(out, "timestamp", &format_rfc3339(event.at));
    push_text(out, "type", &event.kind);
    push_text(out, "source", event.source.as_str());
    push_text(out, "severity", event.severity.as_str());
    push_text(out, "message", &event.message);
    push_raw(out, "metadata", &event.metadata.0);
    out.push('}');
}

pub(super) fn push_id(out: &mut String, id: EventId) {
    push_text(out, "id", &id.to_string());
}

/// As `push_event`, for an event whose public name is made of its own place and this ledger.
pub fn push_ledger_event(out: &mut String, event: &Event, ledger: LedgerId) {
    push_event(out, event, EventId { seq: event.seq, ledger });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::event::{JsonText, Severity, Source};
    use crate::agent::ids::Seq;
    use crate::agent::time::Wall;

    #[test]
    fn an_event_is_written_with_the_documents_names() {
        let event = Event {
            seq: Seq(66),
            at: Wall(1_795_221_371_123),
            kind: "workflow_failed".to_owned(),
            source: Source::AlexOs,
            severity: Severity::Error,
            message: "say \"hi\"\u{7f}".to_owned(),
            metadata: JsonText(r#"{"a":[1.50]}"#.to_owned()),
        };
        let mut out = String::new();
        push_ledger_event(&mut out, &event, LedgerId(0xdead_beef));
        assert_eq!(
            out,
            "{\"id\":\"000000000042-deadbeef\",\"timestamp\":\"2026-11-21T00:36:11.123Z\",\"type\":\"workflow_failed\",\
             \"source\":\"alex_os\",\"severity\":\"error\",\"message\":\"say \\\"hi\\\"\u{7f}\",\"metadata\":{\"a\":[1.50]}}"
        );
        assert!(crate::wire::json::Json::parse(out.as_bytes()).is_ok());
    }
}
