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
            Said::CommandApproval {
                terminal_session_id: "t".to_owned(),
                approved: true,
                user_id: "web_user".to_owned(),
            },
        ),
        (
            r#"{"type":"user_permission_response","payload":{"approval_id":"a","approved":false}}"#,
            Said::WorkflowApproval { workflow_id: "a".to_owned(), approved: false },
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

#[test]
fn the_brains_events_are_written_as_the_documents_types() {
    let shown = |kind: &str, metadata: &str| {
        let event = Event {
            seq: Seq(5),
            at: Wall(0),
            kind: kind.to_owned(),
            source: Source::Chainbot,
            severity: Severity::Info,
            message: "m".to_owned(),
            metadata: JsonText(metadata.to_owned()),
        };
        let text = of_event(&event, LedgerId(1));
        assert!(Json::parse(text.as_bytes()).is_ok(), "{text}");
        text
    };
    let command = r#"{"session":"c","call_id":"k","tool":"run-command","subject":"uptime","success":false,"output":"o","exit_code":1,"arguments":"{}","timeout_seconds":300}"#;
    let reading =
        r#"{"session":"c","call_id":"k","tool":"read-file","subject":"a.txt","success":true,"output":"o"}"#;
    let id = "000000000005-00000001";
    for (kind, metadata, parts) in [
        (
            "tool_started",
            command,
            vec![r#""type":"command_execution_start","#, r#""execution_id":"k","command":"uptime""#],
        ),
        ("tool_started", reading, vec![r#""type":"tool_code""#, r#""code":"a.txt","tool":"read-file""#]),
        (
            "tool_ended",
            command,
            vec![r#""type":"command_execution_end""#, r#""returncode":1,"status":"failed","error":"o""#],
        ),
        ("tool_ended", reading, vec![r#""type":"tool_output""#, r#""success":true,"output":"o""#]),
        (
            "approval_requested",
            command,
            vec![
                r#""type":"user_permission_request""#,
                id,
                r#""command":"uptime""#,
                r#""timeout_seconds":300"#,
            ],
        ),
        (
            "approval_requested",
            reading,
            vec![r#""type":"workflow_approval_required""#, r#""workflow_id":""#, id],
        ),
        (
            "llm_response",
            r#"{"session":"c","response":"hi","provider":"p","model":"x","tokens":3,"end":"done"}"#,
            vec![
                r#"{"type":"llm_response","payload":{"chat_id":"c","response":"hi","provider":"p","model":"x""#,
            ],
        ),
        (
            "provider_down",
            r#"{"provider":"p","model":"x","reason":"r"}"#,
            vec![r#""type":"llm_status""#, r#""status":"disconnected","provider":"p","model":"x""#],
        ),
        ("provider_up", r#"{"provider":"p"}"#, vec![r#""status":"connected""#, r#""model":null"#]),
        (
            "goal_received",
            r#"{"session":"c","goal":"g"}"#,
            vec![r#"{"type":"goal_received""#, r#""goal":"g""#],
        ),
        (
            "plan_ready",
            r#"{"session":"c","steps":["a"]}"#,
            vec![r#"{"type":"plan_ready""#, r#""steps":["a"]"#],
        ),
        (
            "thought",
            r#"{"session":"c","content":"I look first."}"#,
            vec![r#"{"type":"thought","payload":{"chat_id":"c","thought":{"content":"I look first.","#],
        ),
        ("turn_failed", "{}", vec![r#"{"type":"progress""#]),
    ] {
        let text = shown(kind, metadata);
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
