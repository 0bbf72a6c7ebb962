//! The sockets of the real program: handshakes, resuming over restarts, a reader that does not read, and what each
//! message of a client is answered. The client is tungstenite's own, blocking, and raw bytes where it would not do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads, and a helper that cannot go on should stop the test"
)]

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use stand_in::client;
use stand_in::json::{self, Value};
use stand_in::process::{Agent, Folder, Program, exe, free_address};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

type Client = WebSocket<TcpStream>;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const EVENT: &str = "/api/webhooks/chainbot/event";

struct World {
    agent: Agent,
    address: SocketAddr,
    _folder: Folder,
}

impl World {
    fn started(more: &str) -> Self {
        let (folder, address) = (Folder::new("sockets"), free_address());
        let config = format!(
            "[server]\nport = {}\n[ledger]\npath = {:?}\n{more}",
            address.port(),
            folder.0.join("l.redb")
        );
        std::fs::write(folder.0.join("config.toml"), config).unwrap();
        let program = Program { path: exe(env!("CARGO_BIN_EXE_chainbot")), words: vec!["run".into()] };
        let mut agent = Agent::new(program, folder.0.join("config.toml"), address);
        agent.start();
        // The start itself is an event, durable a moment later: a live reader must not meet it.
        while !client::get(address, "/api/events").unwrap().body.contains("chainbot_started") {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { agent, address, _folder: folder }
    }

    fn open(&self, path: &str) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        tungstenite::client(request, stream).unwrap().0
    }

    fn bring(&self, kind: &str) {
        let body = format!(r#"{{"event_type":"{kind}"}}"#);
        assert_eq!(client::post(self.address, EVENT, &[], &body).unwrap().status, 200);
    }
}

fn text(client: &mut Client) -> String {
    loop {
        match client.read().unwrap() {
            Message::Text(text) => return text.as_str().to_owned(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn message(client: &mut Client) -> Value {
    json::parse(&text(client)).unwrap()
}

fn field(value: &Value, path: &[&str]) -> String {
    json::str_at(value, path).unwrap_or_default().to_owned()
}

/// Reads events until one of this type; the ids of all.
fn ids_until(client: &mut Client, kind: &str) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let event = message(client);
        ids.push(field(&event, &["id"]));
        if field(&event, &["type"]) == kind {
            return ids;
        }
    }
}

#[test]
fn a_handshake_that_is_none_is_refused_and_the_connection_stays_http() {
    let world = World::started("");
    let head = |fields: &str| {
        format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
            + "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    };
    let good = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    for (fields, status) in [
        (good.to_owned(), 400),
        (format!("{good}Sec-WebSocket-Key: short\r\n"), 400),
        (format!("{good}Sec-WebSocket-Key: {KEY}\r\nOrigin: http://evil.example\r\n"), 403),
        (format!("Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Key: {KEY}\r\n"), 426),
        (format!("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"), 426),
    ] {
        let reply = client::raw(world.address, head(&fields).as_bytes()).unwrap();
        assert_eq!(reply.status, status, "{fields}");
        assert!(reply.body.contains("HTTP/1.1 200"), "the next request is answered: {}", reply.body);
    }
}

#[test]
fn frames_sent_with_the_handshake_are_heard() {
    let world = World::started("");
    let mut bytes = format!(
        "GET /ws-test HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i', 0x88, 0x80, 0, 0, 0, 0]);
    let reply = client::raw(world.address, &bytes).unwrap();
    assert_eq!(reply.status, 101);
    // The accept of RFC 6455 section 1.3's own example.
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(reply.body.contains(r#"{"type":"echo","message":"hi"}"#), "{}", reply.body);
}

#[test]
fn a_reader_sees_each_event_once_and_in_order_over_restarts() {
    let mut world = World::started("");
    let mut seen: Vec<String> = Vec::new();
    for life in 0..4 {
        let since = seen.last().map_or("0", String::as_str).to_owned();
        let mut reader = world.open(&format!("/ws/events?since={since}"));
        for index in 0..20 {
            world.bring(&format!("e{index}"));
        }
        world.bring(&format!("end_of_{life}"));
        seen.extend(ids_until(&mut reader, &format!("end_of_{life}")));
        // What comes while nobody reads is read after the restart.
        drop(reader);
        world.bring("unseen");
        if life % 2 == 0 {
            let _ = world.agent.stop();
        } else {
            world.agent.kill()
        }
        world.agent.start();
    }
    let mut reader = world.open("/ws/events?since=0");
    world.bring("all");
    let all = ids_until(&mut reader, "all");
    assert!(seen.len() > 80 && all.starts_with(&seen), "{} and {}", seen.len(), all.len());
    assert!(all.is_sorted_by(|one, next| one < next), "in order, none twice");
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let world = World::started("");
    let mut reader = world.open("/ws/events?since=0&type=door_*");
    world.bring("window_opened");
    world.bring("door_opened");
    assert_eq!(field(&message(&mut reader), &["type"]), "door_opened");
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    let world = World::started("");
    let mut slow = world.open("/ws/events");
    let mut quick = world.open("/ws/events");
    let filler = "x".repeat(20_000);
    for index in 0..300 {
        let body = format!(r#"{{"event_type":"big","n":{index},"filler":"{filler}"}}"#);
        assert_eq!(client::post(world.address, EVENT, &[], &body).unwrap().status, 200);
        assert_eq!(field(&message(&mut quick), &["type"]), "big");
    }
    world.bring("last");
    assert_eq!(ids_until(&mut slow, "last").len(), 301);
}

#[test]
fn a_stop_tells_clients_to_come_back() {
    let mut world = World::started("");
    let mut client = world.open("/ws");
    assert!(text(&mut client).contains("connection_established"));
    let stopping = std::thread::spawn(move || {
        let (status, took) = world.agent.stop();
        assert!(status.success() && took < Duration::from_secs(3), "{status} after {took:?}");
    });
    loop {
        match client.read().unwrap() {
            Message::Close(Some(frame)) => {
                assert_eq!(u16::from(frame.code), 1012);
                break;
            }
            Message::Text(_) | Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // The answer to the close goes out with the next read, which then finds the end.
    while client.read().is_ok() {}
    stopping.join().unwrap();
}

#[test]
fn a_message_to_the_agent_is_kept_and_shown_to_all() {
    let world = World::started("");
    let (mut one, mut other) = (world.open("/ws"), world.open("/api/ws"));
    for client in [&mut one, &mut other] {
        assert_eq!(field(&message(client), &["type"]), "connection_established");
    }
    one.send(Message::text(r#"{"type":"user_message","payload":{"message":"hello","chat_id":"c"}}"#))
        .unwrap();
    let mut kinds: Vec<String> = (0..3).map(|_| field(&message(&mut one), &["type"])).collect();
    kinds.sort();
    assert_eq!(kinds, ["error", "llm_status", "user_message"]);
    let shown = message(&mut other);
    assert_eq!(field(&shown, &["payload", "message"]), "hello");
    assert_eq!(field(&shown, &["payload", "chat_id"]), "c");
    assert!(client::get(world.address, "/api/events?type=user_message").unwrap().body.contains("hello"));
}

#[test]
fn a_bad_message_is_told_and_the_socket_stays() {
    let world = World::started("");
    let mut client = world.open("/ws");
    text(&mut client);
    for (sent, code) in [("{", "INVALID_JSON"), ("[1]", "NOT_AN_OBJECT"), (r#"{"type":"x"}"#, "UNKNOWN_TYPE")]
    {
        client.send(Message::text(sent)).unwrap();
        assert_eq!(field(&message(&mut client), &["payload", "error_code"]), code);
    }
    client.send(Message::binary(vec![1])).unwrap();
    assert_eq!(field(&message(&mut client), &["payload", "error_code"]), "BINARY");
    client.send(Message::text(r#"{"type":"ping"}"#)).unwrap();
    assert_eq!(field(&message(&mut client), &["type"]), "pong");
}

#[test]
fn windows_hear_broadcasts_and_are_counted() {
    let world = World::started("");
    let mut chat = world.open("/api/ws/chat/ann?session_id=s");
    let _map = world.open("/api/ws/agent-map/bob");
    assert_eq!(field(&message(&mut chat), &["type"]), "window_open");
    assert_eq!(field(&message(&mut chat), &["type"]), "chat_history");
    let stats = client::get(world.address, "/api/websockets/stats").unwrap().body;
    assert!(stats.contains(r#""total_connections":2"#) && stats.contains(r#""active_users":2"#), "{stats}");
    let reply =
        client::post(world.address, "/api/ws/broadcast/chat?message_type=alert", &[], r#"{"a":1}"#).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(field(&message(&mut chat), &["type"]), "alert");
}

#[test]
fn who_changes_something_is_in_the_log_without_the_secrets_that_came_with_it() {
    let world = World::started("");
    let body = r#"{"a":{"api_key":"k-of-someone"},"b":"Bearer k-of-someone"}"#;
    let path = "/api/ws/broadcast/chat?message_type=alert";
    assert_eq!(client::post(world.address, path, &[], body).unwrap().status, 200);
    let events = client::get(world.address, "/api/events?type=audit").unwrap().body;
    let wanted = r#"{"who":"loopback","role":"admin","what":"window.broadcast","on":"chat","from":"127.0.0.1","details":{"a":{"api_key":"***"},"b":"Bearer ***"}}"#;
    assert!(events.contains(wanted), "{events}");
    assert!(!events.contains("k-of-someone"), "{events}");
}

#[test]
fn no_more_sockets_than_places_are_opened_and_http_goes_on() {
    let world = World::started("[websocket]\nmax_connections = 2\n");
    let (first, _second) = (world.open("/ws-test"), world.open("/ws-test"));
    let refused = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close\r\n\r\n"
    );
    let reply = client::raw(world.address, refused.as_bytes()).unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    assert!(reply.body.contains("HTTP/1.1 200"), "{}", reply.body);
    drop(first);
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while !client::get(world.address, "/api/websockets/stats")
        .unwrap()
        .body
        .contains(r#""total_connections":1"#)
    {
        assert!(std::time::Instant::now() < end, "the place is not given back");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(world.open("/ws-test"));
}

#[test]
fn server_sent_events_go_on_after_the_last_one_seen() {
    let world = World::started("");
    world.bring("one");
    world.bring("two");
    let events = client::get(world.address, "/api/events?type=one").unwrap().json();
    let id = field(&events, &["next"]);
    let first = json::array_at(&events, &["events"]).map(|events| field(&events[0], &["id"])).unwrap();
    assert!(id >= first);
    use std::io::{BufRead as _, Write as _};
    let mut stream = TcpStream::connect(world.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {first}\r\n\r\n")
        .unwrap();
    let lines = std::io::BufReader::new(stream).lines().map(Result::unwrap);
    let ids: Vec<String> = lines.filter(|line| line.starts_with("data: ")).take(1).collect();
    assert!(ids[0].contains(r#""type":"two""#), "{ids:?}");
}
