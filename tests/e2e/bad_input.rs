//! Every kind of bad input over the socket, and its answer.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::stand_in::aiwm::Generation;
use crate::stand_in::alexos::Kind;
use crate::stand_in::client;
use crate::stand_in::json;
use crate::world::{EVENT, World, wait};

/// A request as bytes, the status that it is answered with, and words of the answer's body.
type Bad = (&'static str, String, u16, &'static str);

fn bad_requests(address: SocketAddr) -> Vec<Bad> {
    let post = |path: &str, headers: &str, body: &str| {
        let mut request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        if !headers.to_ascii_lowercase().contains("content-type:") {
            request.push_str("Content-Type: application/json\r\n");
        }
        write!(request, "{headers}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        request
    };
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")
    };
    let large = format!(r#"{{"event_type":"x","data":"{}"}}"#, "x".repeat(64 * 1024));
    let long_id = format!("webhook-id: {}\r\n", "i".repeat(300));
    let workflow = "/api/webhooks/chainbot/workflow/started";
    vec![
        ("no JSON", post(EVENT, "", "no json"), 400, "JSON"),
        ("half of it", post(EVENT, "", r#"{"event_type":"#), 400, "JSON"),
        ("nothing", post(EVENT, "", ""), 400, "JSON"),
        ("not UTF-8 escapes", post(EVENT, "", r#"{"event_type":"\ud800"}"#), 400, "JSON"),
        ("a list", post(EVENT, "", "[]"), 422, "object"),
        ("a number", post(EVENT, "", "3"), 422, "object"),
        ("no type", post(EVENT, "", "{}"), 422, "#/event_type"),
        ("a type with spaces", post(EVENT, "", r#"{"event_type":"a b"}"#), 422, "#/event_type"),
        ("a type that climbs", post(EVENT, "", r#"{"event_type":".."}"#), 422, "#/event_type"),
        ("an id of another type", post(workflow, "", r#"{"workflow_id":5}"#), 422, "#/workflow_id"),
        ("a status of another path", post(workflow, "", r#"{"status":"failed"}"#), 422, "#/status"),
        ("too deep", post(EVENT, "", &"[".repeat(5_000)), 400, "deep"),
        ("too large", post(EVENT, "", &large), 413, "65536"),
        ("another type of body", post(EVENT, "Content-Type: text/plain\r\n", "{}"), 415, "application/json"),
        ("compressed", post(EVENT, "Content-Encoding: gzip\r\n", "{}"), 415, "identity"),
        ("an id that is too long", post(EVENT, &long_id, r#"{"event_type":"x"}"#), 400, "webhook-id"),
        ("no such path", get("/api/nothing", ""), 404, ""),
        ("another method", get(EVENT, ""), 405, ""),
        ("a since that is none", get("/api/events?since=yesterday", ""), 422, "since"),
        ("a limit of 0", get("/api/events?limit=0", ""), 422, "limit"),
        ("a limit above all", get("/api/events?limit=1001", ""), 422, "1000"),
        ("an unknown severity", get("/api/events?severity=bad", ""), 422, "severity"),
        ("an unknown parameter", get("/api/events?sinc=0", ""), 422, "sinc"),
        ("another site", post(EVENT, "Origin: http://evil.example\r\n", r#"{"event_type":"x"}"#), 403, ""),
        (
            "another host",
            "GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".into(),
            421,
            "",
        ),
        ("no host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n".into(), 400, ""),
        ("two hosts", get("/health", "Host: localhost\r\n"), 400, ""),
        ("no HTTP", "\u{1}\u{2}\u{3}\r\n\r\n".into(), 400, ""),
        ("a length that is none", get("/health", "Content-Length: abc\r\n"), 400, ""),
        ("two lengths", get("/health", "Content-Length: 0\r\nContent-Length: 1\r\n"), 400, ""),
        ("length and chunks", get("/health", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400, ""),
        ("a head without end", get("/health", &format!("X-Long: {}\r\n", "x".repeat(20_000))), 431, ""),
    ]
}

#[test]
fn every_bad_input_has_its_answer_and_nothing_is_stored() {
    let world = World::started(Kind::Documented, Generation::C);
    let newest = |world: &World| json::u64_at(&world.status(), &["ledger", "durable"]);
    wait("the start is durable", || json::u64_at(&world.status(), &["ledger", "pending"]) == Some(0));
    world.wait_alexos("registration", |s| !s.registrations.is_empty());
    world.wait_aiwm("a beat", |s| !s.beats.is_empty());
    let before = newest(&world);
    let mut wrong = String::new();
    for (name, request, status, words) in bad_requests(world.address) {
        let reply = client::raw(world.address, request.as_bytes()).unwrap_or_default();
        let problem = reply.json();
        let is_told = json::u64_at(&problem, &["status"]) == Some(status.into())
            && json::str_at(&problem, &["detail"]).is_some_and(|detail| !detail.is_empty())
            && reply.header("content-type") == Some("application/problem+json")
            && reply.body.contains(words);
        if reply.status != status || !is_told {
            writeln!(wrong, "{name}: wanted {status} with {words:?}, got {} {}", reply.status, reply.body)
                .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(newest(&world), before, "nothing was stored");
    let id = world.brought("good_after_all_that");
    world.arrives(&id);
}
