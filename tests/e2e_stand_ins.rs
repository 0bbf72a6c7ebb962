//! The stand-ins do what the other end-to-end tests and the demo take for granted.

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::time::Duration;

use stand_in::{aiwm, alexos, client, json};

#[test]
fn a_peer_goes_away_and_comes_back_at_the_same_address() {
    let mut peer = alexos::open(alexos::Kind::Documented);
    let register = |peer: &stand_in::port::Port<alexos::AlexOs>| {
        client::post(peer.address, "/api/agents/register", &[], r#"{"agent_name":"a"}"#)
    };
    assert_eq!(register(&peer).unwrap().status, 201);
    peer.down();
    assert!(register(&peer).is_err());
    peer.up();
    assert_eq!(register(&peer).unwrap().status, 201);
    assert_eq!(peer.peer.state.look(|state| state.registrations.len()), 2);
}

#[test]
fn the_public_release_takes_only_events_and_breaks_when_asked_two_things_at_once() {
    let peer = alexos::open(alexos::Kind::Public);
    let event = r#"{"event_type":"t","payload":{"event_id":"e1"}}"#;
    for (path, body, status) in [
        ("/api/agents/register", "{}", 405),
        ("/api/webhooks/chainbot/t", "{}", 405),
        ("/api/events/api/events", event, 405),
        ("/api/events/api/events/", r#"{"event_type":"t","payload":[]}"#, 422),
        ("/api/events/api/events/", event, 200),
    ] {
        assert_eq!(client::post(peer.address, path, &[], body).unwrap().status, status, "{path}");
    }
    assert_eq!(peer.peer.state.look(|state| state.count_id("e1")), 1);

    peer.peer.state.change(|state| state.mode = alexos::Mode::Slow(Duration::from_millis(200)));
    let post = || client::post(peer.address, "/api/events/api/events/", &[], event).unwrap().status;
    let statuses =
        std::thread::scope(|scope| [scope.spawn(post), scope.spawn(post)].map(|t| t.join().unwrap()));
    assert!(statuses.contains(&500), "{statuses:?}");
    assert_eq!(peer.peer.state.look(|state| state.in_flight_max), 2);
}

#[test]
fn each_generation_of_the_controller_has_its_own_shape() {
    for generation in [aiwm::Generation::A, aiwm::Generation::B, aiwm::Generation::C] {
        let peer = aiwm::open(generation);
        let path = |action: &str| format!("/agents/{}/{action}", aiwm::AGENT_ID);
        let secret = format!(r#"{{"secret":"{}"}}"#, aiwm::FIRST_SECRET);
        let answer = client::post(peer.address, &path("connect"), &[], &secret).unwrap();
        assert_eq!(answer.status, 201);
        let answer = answer.json();
        let token = json::str_at(&answer, &["token"]).or(json::str_at(&answer, &["accessToken"])).unwrap();
        assert_eq!(json::array_at(&answer, &["tools"]).is_some(), generation != aiwm::Generation::B);
        let headers = [("Authorization", format!("bearer {token}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let beat =
            |body: &str| client::post(peer.address, &path("heartbeat"), &headers, body).unwrap().status;
        assert_eq!(beat(r#"{"status":"idle"}"#), 201);
        assert_eq!(beat(r#"{"status":"online"}"#), if generation == aiwm::Generation::C { 400 } else { 201 });
        peer.peer.state.change(aiwm::State::rotate_signing_key);
        assert_eq!(beat(r#"{"status":"idle"}"#), 401);
    }
}
