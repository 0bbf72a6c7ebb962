//! Standard Webhooks both ways, held against another implementation than the agent's own.

use std::collections::BTreeSet;

use crate::stand_in::aiwm::Generation;
use crate::stand_in::alexos::Kind;
use crate::stand_in::json;
use crate::stand_in::port::Request;
use crate::world::{SECRET, World, text};

#[test]
fn users_endpoints_get_signed_events_again_until_they_take_them() {
    let mut world = World::new(Kind::Documented, Generation::C);
    let url = world.receiver.url();
    world.configure(&format!(
        "[[webhooks]]\nurl = \"{url}/hook?key=hidden\"\nsecret = \"{SECRET}\"\ntypes = [\"door_*\"]\n"
    ));
    world.receiver.peer.state.change(|s| s.status = 500);
    world.agent.start();
    world.brought("lamp_lit");
    let id = world.brought("door_opened");
    world.wait_receiver("a first try", |s| !s.seen.is_empty());
    world.receiver.peer.state.change(|s| s.status = 204);
    world.wait_receiver("a second try", |s| s.seen.len() > 1);
    let seen = world.receiver.peer.state.look(|s| s.seen.clone());
    for request in &seen {
        assert_eq!(request.path, "/hook?key=hidden");
        assert_eq!(request.header("webhook-id"), Some(id.as_str()), "constant, and only what was asked for");
        verify(request);
        let event = json::parse(&request.body).unwrap();
        assert_eq!(json::str_at(&event, &["type"]), Some("door_opened"), "{}", request.body);
    }
    let stamps: BTreeSet<_> =
        seen.iter().map(|request| request.header("webhook-timestamp").unwrap()).collect();
    assert_eq!(stamps.len(), seen.len(), "renewed");

    world.receiver.peer.state.change(|s| s.status = 410);
    world.brought("door_closed");
    world.wait_status("410 disables", |s| {
        json::array_at(s, &["destinations"])
            .is_some_and(|all| all.iter().any(|d| json::str_at(d, &["state"]) == Some("disabled")))
    });
    assert!(!text(&world.chainbot(&["status"])).contains("hidden"));
}

/// With another implementation than the agent's own.
fn verify(request: &Request) {
    let mut headers = ureq::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    webhook.verify(request.body.as_bytes(), &headers).unwrap();
}

#[test]
fn where_a_secret_is_configured_only_signed_webhooks_are_taken() {
    let mut world = World::new(Kind::Documented, Generation::C);
    world.configure(&format!("[security]\nwebhook_secrets = [\"{SECRET}\"]\n"));
    world.agent.start();
    let unsigned = world.bring(r#"{"event_type":"x"}"#, &[]);
    assert_eq!(unsigned.status, 401);
    let sent = world.chainbot(&["webhook", "send", "--type", "signed_by_hand"]);
    assert!(sent.status.success(), "{}", text(&sent));
    let oracle = standardwebhooks::Webhook::new(SECRET).unwrap();
    let body = r#"{"event_type":"signed_by_another"}"#;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let signature = oracle.sign("m1", i64::try_from(now).unwrap(), body.as_bytes()).unwrap();
    let stamp = now.to_string();
    let headers = [("webhook-id", "m1"), ("webhook-timestamp", &stamp), ("webhook-signature", &signature)];
    assert_eq!(world.bring(body, &headers).status, 200);
    assert_eq!(world.bring(r#"{"event_type":"changed"}"#, &headers).status, 401);
}
