use super::super::table_tests::get;
use super::super::testing::{Ask, CANARY, World};
use super::*;
use crate::agent::ids::{EventId, Seq};
use crate::agent::time::Wall;
use crate::wire::json::Json;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn upgrade(target: &str) -> Ask<'_> {
    get(target)
        .with("connection", "keep-alive, Upgrade")
        .with("upgrade", "WebSocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", KEY)
}

fn status(world: &World, ask: &Ask<'_>) -> u16 {
    match world.ask(ask) {
        Decision::Answer(response) => response.status,
        Decision::Socket(_) => 101,
        other => panic!("{other:?}"),
    }
}

fn plan(world: &World, ask: &Ask<'_>) -> Plan {
    match world.ask(ask) {
        Decision::Socket(plan) => plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handshake_is_taken_to_the_letter_or_not_at_all() {
    let world = World::full();
    for path in ["/ws", "/api/ws", "/ws-test", "/api/ws-test", "/ws/health", "/ws/events", "/api/ws/chat/ann"]
    {
        assert_eq!(status(&world, &upgrade(path)), 101, "{path}");
    }
    let ws = || upgrade("/ws");
    for (ask, wanted) in [
        (get("/ws"), 426),
        (get("/ws/health"), 200),
        (ws().without("connection"), 426),
        (ws().without("connection").with("connection", "keep-alive"), 426),
        (ws().without("upgrade"), 426),
        (ws().without("upgrade").with("upgrade", "h2c"), 426),
        (ws().without("sec-websocket-version"), 426),
        (ws().without("sec-websocket-version").with("sec-websocket-version", "8"), 426),
        (ws().with("sec-websocket-version", "13"), 426),
        (ws().without("sec-websocket-key"), 400),
        (ws().without("sec-websocket-key").with("sec-websocket-key", "short"), 400),
        (ws().without("sec-websocket-key").with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ!=="), 400),
        (ws().with("sec-websocket-key", KEY), 400),
        (ws().with("origin", "http://evil.example"), 403),
        (ws().with("origin", "http://localhost:9000"), 101),
        (ws().without("host").with("host", "evil.example"), 421),
        (upgrade("/api/ws/attic/ann"), 404),
        (upgrade("/ws/events?since=x"), 422),
        (upgrade("/ws/events?limit=1"), 422),
        (upgrade("/nowhere"), 404),
    ] {
        assert_eq!(status(&world, &ask), wanted, "{:?}", world.ask(&ask));
    }
    let user = format!("/api/ws/chat/{}", "a".repeat(NAME_BYTES_MAX + 1));
    assert_eq!(status(&world, &upgrade(&user)), 422);
}

#[test]
fn a_credential_comes_by_header_by_sub_protocol_or_with_the_first_message() {
    let world = World::full();
    let bearer = format!("Bearer {CANARY}");
    let protocol = format!("chainbot, bearer.{CANARY}");
    for (ask, role, subprotocol) in [
        (upgrade("/ws"), Role::Admin, None),
        (upgrade("/ws").afar(), Role::Open, None),
        (upgrade("/ws").afar().with("authorization", &bearer), Role::Admin, None),
        (upgrade("/ws").afar().with("sec-websocket-protocol", &protocol), Role::Admin, Some("chainbot")),
        (upgrade("/ws").with("sec-websocket-protocol", "graphql"), Role::Admin, None),
        (upgrade("/ws/health").afar(), Role::Viewer, None),
    ] {
        let plan = plan(&world, &ask);
        assert_eq!((plan.who.role, plan.subprotocol), (role, subprotocol));
    }
    for ask in [
        upgrade("/ws").afar().with("authorization", "Bearer wrong"),
        upgrade("/ws").afar().with("sec-websocket-protocol", "chainbot, bearer.wrong"),
    ] {
        assert_eq!(status(&world, &ask), 401);
    }
    assert_eq!(status(&World::bare(), &upgrade("/ws").afar()), 401, "there is nothing to show");
}

/// The texts of a talk that is opened with `ask` and hears `heard`, its greeting included.
fn talk(ask: &Ask<'_>, heard: &[&str]) -> Vec<String> {
    talk_in(&World::full(), ask, heard)
}

fn talk_in(world: &World, ask: &Ask<'_>, heard: &[&str]) -> Vec<String> {
    let mut talk = Conversation::new(7, &plan(world, ask));
    world.with_view(|view| {
        let scene = Scene { status: view.status, setup: view.setup, security: view.security };
        let mut reactions = talk.greeting(scene);
        heard.iter().for_each(|text| reactions.extend(talk.on_text(scene, text)));
        reactions
            .into_iter()
            .map(|reaction| match reaction {
                Reaction::Say(text) => {
                    assert!(Json::parse(text.as_bytes()).is_ok(), "{text}");
                    text
                }
                Reaction::Tell(window, text) => format!("{}: {text}", window.as_str()),
                Reaction::Take(draft) => format!("take {} {}", draft.kind, draft.metadata.0),
                Reaction::Close(code, reason) => format!("close {code} {reason}"),
                other => format!("{other:?}"),
            })
            .collect()
    })
}

#[test]
fn autobots_messages_are_answered() {
    for (heard, wanted) in [
        (r#"{"type":"ping"}"#, vec![r#"{"type":"pong"}"#]),
        (r#"{"type":"pong"}"#, vec![]),
        (r#"{"type":"health_check"}"#, vec![r#""type":"health_response""#]),
        ("{", vec![r#""error_code":"INVALID_JSON","severity":"low""#]),
        (r#"{"type":"bogus"}"#, vec![r#""error_code":"UNKNOWN_TYPE""#]),
        (r#"{"type":"user_message","payload":{}}"#, vec![r#""error_code":"MISSING_FIELD""#]),
        (
            r#"{"type":"user_message","payload":{"message":"hi","chat_id":"c"}}"#,
            vec![r#"take user_message {"message":"hi","chat_id":"c"}"#],
        ),
        (
            r#"{"type":"workflow_approval","payload":{"workflow_id":"w","approved":true}}"#,
            vec![r#""error_code":"NO_SUCH_WORKFLOW""#],
        ),
        (
            r#"{"type":"command_approval","terminal_session_id":"t"}"#,
            vec![r#"{"type":"approval_error","payload":{"terminal_session_id":"t""#],
        ),
        (r#"{"action":"ping"}"#, vec![r#"{"type":"pong","timestamp":""#]),
        (
            r#"{"action":"subscribe","channels":["events"]}"#,
            vec![r#"{"type":"subscription_confirmed","channels":["events"],"#],
        ),
        (
            r#"{"action":"get_status"}"#,
            vec![
                r#"{"type":"error","message":"Unknown action: get_status","error_code":"INVALID_ACTION","severity":"low"}"#,
            ],
        ),
    ] {
        let said = talk(&upgrade("/ws"), &[heard]);
        assert_eq!(said[0], autobot::GREETING);
        assert_eq!(said.len(), wanted.len() + 1, "{said:?}");
        assert!(said[1..].iter().zip(&wanted).all(|(said, wanted)| said.contains(wanted)), "{said:?}");
    }
}

#[test]
fn a_client_without_a_credential_hears_nothing_before_it_shows_one() {
    let first = format!(r#"{{"type":"auth","token":"{CANARY}"}}"#);
    let ask = upgrade("/ws").afar();
    assert_eq!(talk(&ask, &[&first, r#"{"type":"ping"}"#]), [autobot::GREETING, autobot::PONG]);
    for wrong in
        [r#"{"type":"auth","token":"wrong"}"#, r#"{"type":"ping"}"#, "{", r#"{"type":"auth","token":""}"#]
    {
        assert_eq!(talk(&ask, &[wrong]), ["close 1008 credential needed"], "{wrong}");
    }
}

#[test]
fn every_window_begins_with_its_two_messages() {
    for (window, first) in [
        ("agent-map", "agent_map_update"),
        ("code-agent", "code_change"),
        ("chat", "History(\"ann\")"),
        ("watchtower", "system_stats"),
        ("workflow-builder", "workflow_update"),
        ("data_importer", "log_update"),
    ] {
        let said = talk(&upgrade(&format!("/api/ws/{window}/ann")), &[]);
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with(r#"{"type":"window_open""#) && said[1].contains(first), "{said:?}");
    }
}

#[test]
fn windows_are_told_of_focus_and_swaps() {
    let ask = upgrade("/api/ws/chat/ann?session_id=s");
    let said = talk(
        &ask,
        &[
            r#"{"type":"window_focus","window_type":"chat","data":{}}"#,
            r#"{"type":"hot_swap","window_type":"chat","data":{"target_window":"agent_map","swap_data":{"a":1}}}"#,
            r#"{"type":"slash_command","data":{"command":"/help","args":[]}}"#,
            r#"{"type":"slash_command","data":{"command":"/run","args":[]}}"#,
            r#"{"type":"bogus"}"#,
        ],
    );
    for (said, wanted) in said[2..].iter().zip([
        r#"chat: {"type":"window_focus""#,
        r#"agent_map: {"type":"hot_swap","window_type":"agent_map""#,
        r#"{"type":"agent_response""#,
        r#"{"type":"agent_response""#,
        r#"{"type":"error","window_type":"chat""#,
    ]) {
        assert!(said.starts_with(wanted), "{said}");
    }
    assert!(said[2].contains(r#""focused":true,"user_id":"ann","session_id":"s""#), "{}", said[2]);
    assert!(said[5].contains(r#""status":"error""#), "{}", said[5]);
}

#[test]
fn a_broadcast_is_checked_like_any_body() {
    let world = World::full();
    let post = |target, body| world.ask(&Ask::post(target, body));
    let Decision::Broadcast { window, text } =
        post("/api/ws/broadcast/agent-map?message_type=alert", r#"{"a": 1}"#)
    else {
        panic!()
    };
    assert_eq!(window, Window::AgentMap);
    assert!(text.contains(r#""type":"alert""#) && text.ends_with(r#""data":{"a":1}}"#), "{text}");
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(OUTBOX_BYTES_MAX));
    for (target, body, wanted) in [
        ("/api/ws/broadcast/attic?message_type=alert", "{}", 404),
        ("/api/ws/broadcast/chat?message_type=bogus", "{}", 422),
        ("/api/ws/broadcast/chat", "{}", 422),
        ("/api/ws/broadcast/chat?message_type=alert", "[]", 422),
        ("/api/ws/broadcast/chat?message_type=alert", "{", 400),
        ("/api/ws/broadcast/chat?message_type=alert", &large, 413),
    ] {
        let Decision::Answer(response) = post(target, body) else { panic!("{target}") };
        assert_eq!(response.status, wanted, "{target}");
    }
}

#[test]
fn a_dialect_shows_events_in_its_own_way() {
    let world = World::full();
    let event = Event {
        seq: Seq(1),
        at: Wall(0),
        kind: "workflow_failed".to_owned(),
        source: Source::Chainbot,
        severity: Severity::Error,
        message: "m".to_owned(),
        metadata: JsonText::empty_object(),
    };
    let shown = |target: &str, heard: &[&str]| {
        let mut talk = Conversation::new(7, &plan(&world, &upgrade(target)));
        world.with_view(|view| {
            let scene = Scene { status: view.status, setup: view.setup, security: view.security };
            heard.iter().for_each(|text| drop(talk.on_text(scene, text)));
        });
        talk.on_event(&event, LedgerId(1))
    };
    let events = r#"{"action":"subscribe","channels":["events"]}"#;
    let alerts = r#"{"action":"subscribe","channels":["alerts"]}"#;
    let off = r#"{"action":"unsubscribe","channels":["events"]}"#;
    for (target, heard, wanted) in [
        ("/ws", vec![], Some(r#"{"type":"workflow_failed","payload":"#)),
        ("/ws", vec![events], Some(r#"{"type":"new_event","channel":"events","data":{"id":"#)),
        ("/ws", vec![alerts], Some(r#"{"type":"alert","channel":"alerts""#)),
        ("/ws", vec![events, off], None),
        ("/ws/events", vec![], Some(r#"{"id":"000000000001-00000001""#)),
        ("/ws-test", vec![], None),
        ("/ws/health", vec![], None),
        ("/api/ws/workflow-builder/a", vec![], Some(r#"{"type":"workflow_error""#)),
        ("/api/ws/chat/a", vec![], None),
        ("/api/ws/watchtower/a", vec![], Some(r#"{"type":"log_update""#)),
    ] {
        let found = shown(target, &heard);
        assert_eq!(found.is_some(), wanted.is_some(), "{target}");
        assert!(found.unwrap_or_default().starts_with(wanted.unwrap_or_default()), "{target}");
    }
}

#[test]
fn a_message_that_is_kept_has_no_model_to_answer_it() {
    let world = World::full();
    let id = EventId { seq: Seq(1), ledger: LedgerId(1) };
    let answers = |target: &str, answer: IntakeAnswer| {
        let talk = Conversation::new(7, &plan(&world, &upgrade(target)));
        world.with_view(|view| {
            let scene = Scene { status: view.status, setup: view.setup, security: view.security };
            assert!(
                talk.on_taken(scene, "agent_spawned", &IntakeAnswer::Stored { id, duplicate: false })
                    .is_empty()
            );
            talk.on_taken(scene, "user_message", &answer)
        })
    };
    let stored = || IntakeAnswer::Stored { id, duplicate: false };
    let said = format!("{:?}", answers("/ws", stored()));
    assert!(
        said.contains("llm_status") && said.contains("disconnected") && said.contains("NO_MODEL"),
        "{said}"
    );
    let said = format!("{:?}", answers("/api/ws/chat/a", stored()));
    assert!(said.contains("NO_MODEL") && said.contains("window_type"), "{said}");
    let said = format!("{:?}", answers("/ws", IntakeAnswer::Busy { retry_after_s: 1 }));
    assert!(said.contains("BUSY") && !said.contains("llm_status"), "{said}");
}

#[test]
fn with_a_model_what_is_said_goes_to_a_conversation() {
    let world = World::thoughtful();
    let said = talk_in(
        &world,
        &upgrade("/ws"),
        &[
            r#"{"type":"user_message","payload":{"message":"hi","chat_id":"c d"}}"#,
            r#"{"type":"command_approval","terminal_session_id":"000000000009-deadbeef","approved":true,"user_id":"ann"}"#,
            r#"{"type":"workflow_approval","payload":{"workflow_id":"000000000009-deadbeef","approved":false}}"#,
        ],
    );
    for (said, parts) in said[1..].iter().zip([
        vec!["Converse", r#"session: "c-d""#, r#"text: "hi""#, "caller: Loopback"],
        vec!["Decide", "seq: Seq(9)", "is_yes: true", "ann (loopback)"],
        vec!["Decide", "seq: Seq(9)", "is_yes: false", "loopback"],
    ]) {
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let far = upgrade("/ws").afar();
    let first = format!(r#"{{"type":"auth","token":"{CANARY}"}}"#);
    let said = talk_in(&world, &far, &[&first, r#"{"type":"user_message","payload":{"message":"hi"}}"#]);
    assert!(said[1].contains("caller: Token") && said[1].contains(r#"session: "default""#), "{}", said[1]);
}

#[test]
fn every_slash_command_has_an_effect_and_a_reply() {
    let world = World::thoughtful();
    let run = |line: &str| {
        let heard = format!(r#"{{"type":"chat_message","data":{{"message":"{line}"}}}}"#);
        talk_in(&world, &upgrade("/api/ws/chat/ann?session_id=porch"), &[&heard])[2..].join("\n")
    };
    for (line, parts) in [
        ("/help", vec!["/whois <name>", "/export", r#""status":"ok""#]),
        ("/agents", vec!["chainbot (degraded)", "porch: 4 messages, idle"]),
        ("/whois porch", vec!["a conversation of 4 messages"]),
        ("/whois office", vec!["a provider of models (ollama), up, 3 answered, 1 failed"]),
        ("/whois chainbot", vec!["this agent"]),
        ("/whois bob", vec!["nobody here is called bob"]),
        ("/spawn", vec!["take agent_spawned", "general_assistant-1", "Converse", "is there"]),
        ("/spawn code_assistant", vec!["code_assistant-1", "experienced programmer"]),
        ("/spawn clown", vec![r#""status":"error""#, "clown is no persona"]),
        ("/kill porch", vec![r#"Forget("porch")"#, "take agent_terminated", "stopped and forgotten"]),
        ("/kill attic", vec![r#""status":"error""#, "there is no conversation attic"]),
        ("/kill", vec![r#""status":"error""#, "usage: /kill <conversation>"]),
        ("/run backup now", vec!["take workflow_started", "run-backup", "Converse", "started as run-backup"]),
        ("/fix it", vec![r#"session: "porch""#, "Find what is wrong here and mend it: it"]),
        ("/search door", vec![r#"Search { command: "/search", text: "door" }"#]),
        ("/export", vec![r#"Export { command: "/export", session: "porch" }"#]),
        ("/clear", vec![r#"Forget("porch")"#, "porch is forgotten"]),
        ("/dance", vec![r#""status":"error""#, "/dance is no command"]),
    ] {
        let said = run(line);
        assert!(parts.iter().all(|part| said.contains(part)), "{line}: {said}");
    }
}
