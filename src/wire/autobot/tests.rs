use super::*;
use crate::agent::event::{JsonText, Source};
use crate::agent::ids::Seq;

fn event(kind: &str, severity: Severity, metadata: &str) -> Event {
    Event {
        seq: Seq(66),
        at: Wall(1_795_221_371_123),
        kind: kind.to_owned(),
        source: Source::AlexOs,
        severity,
        message: "a line".to_owned(),
        metadata: JsonText(metadata.to_owned()),
    }
}

const SHORT: &str = r#""event":{"id":"000000000042-deadbeef","timestamp":"2026-11-21T00:36:11.123Z","#;

fn sent(kind: &str, severity: Severity, metadata: &str) -> String {
    let text = of_event(&event(kind, severity, metadata), LedgerId(0xdead_beef));
    assert!(Json::parse(text.as_bytes()).is_ok(), "{text}");
    assert!(text.contains(SHORT), "{text}");
    text.split(SHORT).next().unwrap_or_default().to_owned()
}

#[test]
fn events_are_sent_as_their_documented_types() {
    use Severity::{Critical, Error, Info};
    for (kind, severity, metadata, expected) in [
        (
            "workflow_started",
            Info,
            r#"{"workflow_id":"w","total_steps":5}"#,
            r#"{"type":"workflow_step_started","payload":{"workflow_id":"w","total_steps":5,"description":"a line","#,
        ),
        (
            "workflow_completed",
            Info,
            r#"{"workflow_id":"w","duration":4.5}"#,
            r#"{"type":"workflow_completed","payload":{"workflow_id":"w","description":"a line","execution_time":4.5,"#,
        ),
        (
            "workflow_failed",
            Error,
            r#"{"workflow_id":"w","error":"disk","steps_completed":3}"#,
            r#"{"type":"workflow_failed","payload":{"workflow_id":"w","error":"disk","failed_step":3,"current_step":3,"#,
        ),
        ("workflow_failed", Error, "{}", r#"{"type":"workflow_failed","payload":{"error":"a line","#),
        (
            "door_opened",
            Info,
            r#"{"door":"north"}"#,
            r#"{"type":"progress","payload":{"message":"a line","percentage":100,"stage":"door_opened","#,
        ),
        (
            "disk_full",
            Critical,
            "{}",
            r#"{"type":"error","payload":{"message":"a line","error_code":"DISK_FULL","severity":"critical","#,
        ),
        (
            "controller_updated",
            Info,
            "{}",
            r#"{"type":"settings_updated","payload":{"settings":{"updated_keys":[],"timestamp":"2026-11-21T00:36:11.123Z"},"message":"a line","#,
        ),
        (
            "user_message",
            Info,
            r#"{"message":"hi","chat_id":"c"}"#,
            r#"{"type":"user_message","payload":{"message":"hi","chat_id":"c","#,
        ),
        (
            "health_report",
            Info,
            r#"{"agent_name":"s","status_id":"healthy","system_resources":{"cpu_usage":1}}"#,
            r#"{"type":"diagnostics_report","payload":{"system":{"cpu_usage":1},"services":{"s":"healthy"},"#,
        ),
    ] {
        assert_eq!(sent(kind, severity, metadata), expected, "{kind}");
    }
}

#[test]
fn an_event_with_odd_metadata_is_still_json() {
    for metadata in ["{}", "[]", "5", r#"{"a\"b":[1,{"c":null}],"event":1,"message":5}"#] {
        for kind in OWN_TYPES.iter().chain(&["workflow_started", "x", "health_report"]) {
            let text = of_event(&event(kind, Severity::Info, metadata), LedgerId(1));
            let json = Json::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(json.at(&["payload", "event", "type"]).and_then(Json::text).as_deref(), Some(*kind));
        }
    }
}

#[test]
fn a_clients_messages_are_read_with_and_without_payload() {
    let chat = Some("c".to_owned());
    for (text, said) in [
        (r#"{"type":"ping"}"#, Said::Ping),
        (r#"{"type":"ping","timestamp":5}"#, Said::Ping),
        (r#"{"type":"pong"}"#, Said::Nothing),
        (r#"{"type":"session_join","sessionId":"s"}"#, Said::Nothing),
        (
            r#"{"type":"user_message","payload":{"message":"hi","chat_id":"c"}}"#,
            Said::UserMessage { message: "hi".to_owned(), chat_id: chat },
        ),
        (
            r#"{"type":"user_message","payload":{"message":"hi","chat_id":null}}"#,
            Said::UserMessage { message: "hi".to_owned(), chat_id: None },
        ),
        (r#"{"type":"health_check"}"#, Said::HealthCheck),
        (
            r#"{"type":"workflow_approval","payload":{"workflow_id":"w","approved":true,"message":"ok"}}"#,
            Said::WorkflowApproval { workflow_id: "w".to_owned(), approved: true },
        ),
        (
            r#"{"type":"workflow_cancel","payload":{"workflow_id":"w"}}"#,
            Said::WorkflowCancel { workflow_id: "w".to_owned() },
        ),
        (
            r#"{"type":"command_approval","terminal_session_id":"t","approved":true}"#,
            Said::CommandApproval { terminal_session_id: "t".to_owned() },
        ),
        (r#"{"type":"auth","token":"t"}"#, Said::Auth("t".to_owned())),
        (r#"{"action":"ping"}"#, Said::ActionPing),
        (
            r#"{"action":"subscribe","channels":["events","events","alerts"]}"#,
            Said::Subscribe { is_on: true, channels: vec!["events", "alerts"] },
        ),
        (
            r#"{"action":"subscribe","channels":["bogus"]}"#,
            Said::BadAction("Invalid channels: {'bogus'}".to_owned()),
        ),
        (r#"{"action":"unsubscribe","channels":5}"#, Said::BadAction("Channels must be a list".to_owned())),
        (r#"{"action":"publish"}"#, Said::BadAction("Unknown action: publish".to_owned())),
    ] {
        assert_eq!(read(text), Ok(said), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_message_has_a_code() {
    let long = format!(r#"{{"type":"user_message","payload":{{"message":"{}"}}}}"#, "a".repeat(40_000));
    for (text, code) in [
        ("", "INVALID_JSON"),
        ("{", "INVALID_JSON"),
        ("[1]", "NOT_AN_OBJECT"),
        ("null", "NOT_AN_OBJECT"),
        ("{}", "MISSING_FIELD"),
        (r#"{"type":5}"#, "INVALID_FIELD"),
        (r#"{"type":"bogus"}"#, "UNKNOWN_TYPE"),
        (r#"{"type":"user_message"}"#, "MISSING_FIELD"),
        (r#"{"type":"user_message","payload":{"message":""}}"#, "MISSING_FIELD"),
        (r#"{"type":"user_message","payload":{"message":7}}"#, "INVALID_FIELD"),
        (r#"{"type":"workflow_approval","payload":{"workflow_id":"w"}}"#, "MISSING_FIELD"),
        (r#"{"type":"workflow_approval","payload":{"workflow_id":"w","approved":1}}"#, "INVALID_FIELD"),
        (r#"{"type":"command_approval","payload":{"terminal_session_id":"t"}}"#, "MISSING_FIELD"),
        (&long, "INVALID_FIELD"),
    ] {
        assert_eq!(read(text).map_err(|misfit| misfit.code), Err(code), "{text}");
    }
}
