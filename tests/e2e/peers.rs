//! What the peers get, and what becomes of them: ALEX OS in both kinds, the controller in three generations.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::stand_in::aiwm::{self, Generation};
use crate::stand_in::alexos::{Kind, Mode};
use crate::stand_in::client;
use crate::stand_in::json::{self, Value};
use crate::world::{World, text};

#[test]
fn it_registers_beats_and_reports_as_documented() {
    let mut world = World::started(Kind::Documented, Generation::C);
    world.wait_alexos("registration, canon, report", |s| {
        !s.registrations.is_empty() && s.canon_asked > 0 && s.reports.len() > 1
    });
    world.wait_aiwm("two beats", |s| s.beats.len() > 1);
    world.alexos.peer.state.look(|state| {
        let registration = &state.registrations[0];
        for field in
            ["agent_name", "name", "agent_version", "version", "health_endpoint", "registration_time"]
        {
            assert!(json::str_at(registration, &[field]).is_some(), "{field} of {registration:?}");
        }
        assert_eq!(json::u64_at(registration, &["port"]), Some(u64::from(world.address.port())));
        assert_eq!(json::array_at(registration, &["capabilities"]).unwrap().len(), 9);
        let report = json::at(state.reports.last().unwrap(), &["data"]).unwrap();
        let Value::Object(fields) = report else { panic!("{report:?}") };
        assert_eq!(fields.len(), 14, "{report:?}");
        assert!(json::at(report, &["system_resources", "memory_usage"]).is_some());
    });
    world.aiwm.peer.state.look(|state| {
        assert!(state.beats.iter().all(|beat| json::str_at(beat, &["status"]) == Some("idle")));
        let ids: BTreeSet<_> =
            state.seen.iter().map(|request| request.header("x-correlation-id").unwrap()).collect();
        assert_eq!(ids.len(), state.seen.len(), "each call has its own correlation id");
    });
    let human = text(&world.chainbot(&["status"]));
    for part in ["registered as alex-0001", "connected (generation c)", "Ledger      healthy", "Memory"] {
        assert!(human.contains(part), "no {part:?} in\n{human}");
    }
    let (status, took) = world.agent.stop();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    assert_eq!(world.aiwm.peer.state.look(|s| s.disconnects), 1);
}

#[test]
fn each_generation_of_the_controller_is_understood() {
    for (generation, letter) in [(Generation::A, "a"), (Generation::B, "b"), (Generation::C, "c")] {
        let mut world = World::started(Kind::Documented, generation);
        world.wait_aiwm("a beat", |s| !s.beats.is_empty());
        let status = world.status();
        assert_eq!(json::str_at(&status, &["aiwm", "generation"]), Some(letter));
        assert_eq!(json::array_at(&status, &["aiwm", "tools"]).is_some(), generation != Generation::B);
        assert_eq!(json::str_at(&status, &["aiwm", "settings", "claude.model"]), Some("claude-stand-in-1"));
        assert!(!text(&world.chainbot(&["status", "--json"])).contains("discord-secret-1"));

        // A token that is worth nothing any more is replaced, whenever that happens.
        let (connects, beats) = world.aiwm.peer.state.change(|s| {
            s.rotate_signing_key();
            (s.connects, s.beats.len())
        });
        world
            .wait_aiwm("a new token, and a beat with it", |s| s.connects > connects && s.beats.len() > beats);

        // A controller that is out of order for a while is found again.
        world.aiwm.peer.state.change(|s| s.fails_with = Some(500));
        world.wait_status("trouble with AIWM is told", |status| {
            json::str_at(status, &["aiwm", "last_fault"]).is_some()
        });
        let beats = world.aiwm.peer.state.change(|s| {
            s.fails_with = None;
            s.beats.len()
        });
        world.wait_aiwm("beats again", |s| s.beats.len() > beats);

        world.aiwm.peer.state.change(|s| {
            s.is_suspended = true;
            s.rotate_signing_key();
        });
        world.wait_status("suspension is told", |s| json::str_at(s, &["aiwm", "state"]) == Some("suspended"));
        assert!(world.agent.stop().0.success());
    }
}

#[test]
fn a_board_without_network_works_with_what_it_knew() {
    let mut world = World::started(Kind::Documented, Generation::C);
    world.wait_status("the answer is kept", |s| json::u64_at(s, &["aiwm", "instruction_bytes"]) > Some(0));
    world.wait_status("and durable", |s| json::u64_at(s, &["ledger", "pending"]) == Some(0));
    assert!(world.agent.stop().0.success());
    world.aiwm.down();
    world.agent.start();
    let status = world.status();
    assert!(json::u64_at(&status, &["aiwm", "instruction_bytes"]) > Some(0), "{status:?}");
    assert!(matches!(json::at(&status, &["aiwm", "is_fresh"]), Some(Value::Bool(false))));
    assert_eq!(json::str_at(&status, &["aiwm", "settings", "claude.model"]), Some("claude-stand-in-1"));
}

#[test]
fn the_public_release_gets_its_events_one_at_a_time() {
    let world = World::started(Kind::Public, Generation::B);
    world.wait_status("it is found out", |s| {
        json::str_at(s, &["alex_os", "registration"]) == Some("not_offered")
    });
    let id = world.brought("door_opened");
    world.arrives(&id);
    world.alexos.peer.state.look(|state| {
        let event = state.events.iter().find(|event| event.id == id).unwrap();
        assert_eq!(event.kind, "door_opened");
        assert!(matches!(json::at(&event.body, &["agent_uuid"]), Some(Value::Null)));
        assert!(json::str_at(&event.body, &["payload", "message"]).is_some());
    });
    // Nothing else may be on its way, or that would be what it is tried with.
    world.wait_status("everything before is delivered", |s| {
        json::array_at(s, &["destinations"]).is_some_and(|all| json::u64_at(&all[0], &["behind"]) == Some(0))
    });
    // It keeps what it answers 500 to: the same id comes again until it says 200.
    world.alexos.peer.state.change(|state| state.mode = Mode::KeepAndFail);
    let again = world.brought("door_closed");
    world.wait_alexos("it is tried again", |state| state.count_id(&again) > 1);
    world.alexos.peer.state.change(|state| state.mode = Mode::Slow(Duration::from_millis(5)));
    let burst: Vec<_> = (0..20).map(|_| world.brought("burst")).collect();
    burst.iter().for_each(|id| world.arrives(id));
    assert_eq!(world.alexos.peer.state.look(|state| state.in_flight_max), 1);
}

#[test]
fn nothing_is_lost_while_alexos_is_away() {
    let mut world = World::started(Kind::Documented, Generation::C);
    world.wait_alexos("registration", |s| !s.registrations.is_empty());
    world.alexos.down();
    let ids: Vec<_> = (0..30).map(|_| world.brought("while_away")).collect();
    world.wait_status("trouble is told", |s| {
        json::array_at(s, &["destinations"])
            .is_some_and(|all| json::str_at(&all[0], &["last_fault"]).is_some())
    });
    world.alexos.up();
    ids.iter().for_each(|id| world.arrives(id));
    let order: Vec<_> = world.alexos.peer.state.look(|s| {
        s.events.iter().filter(|event| event.kind == "while_away").map(|event| event.id.clone()).collect()
    });
    assert_eq!(order, ids, "in order and once");
}

#[test]
fn what_alexos_polls_is_there_under_both_names() {
    let world = World::started(Kind::Public, Generation::A);
    for (path, part) in [
        ("/api/health", "\"status\""),
        ("/api/chainbot/alex-agents", "["),
        ("/api/chainbot/ai-agents", "["),
        ("/api/chainbot/workflows", "["),
        ("/api/chainbot/health", "\"status\""),
        ("/api/chainbot/agents/all", "count"),
        ("/openapi.json", "\"openapi\""),
        ("/docs", "<html"),
        ("/metrics", "chainbot_"),
        ("/config", "server.port"),
        ("/", "\"service\""),
    ] {
        let reply = client::get(world.address, path).unwrap();
        assert!(reply.status == 200 && reply.body.contains(part), "{path}: {reply:?}");
    }
    assert!(!client::get(world.address, "/config").unwrap().body.contains(aiwm::FIRST_SECRET));
    let doubled =
        client::post(world.address, "/api/api/webhooks/chainbot/event", &[], r#"{"event_type":"doubled"}"#);
    assert_eq!(doubled.unwrap().status, 200);
    let head = client::request(world.address, "HEAD", "/health", &[], "").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
