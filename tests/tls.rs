//! TLS at the open port of the real program: HTTP and sockets over it, certificates that change, and clients that begin
//! a handshake and do not end it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads, and a helper that cannot go on should stop the test"
)]

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use stand_in::client;
use stand_in::process::{Agent, Folder, Program, exe, free_address};
use stand_in::tls::{self, Client, fixture};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

const EVENT: &str = "/api/webhooks/chainbot/event";

struct World {
    agent: Agent,
    address: SocketAddr,
    folder: Folder,
}

impl World {
    /// The files are copies in the world's folder: `cert.pem` and `key.pem`.
    fn started() -> Self {
        let (folder, address) = (Folder::new("tls"), free_address());
        let world_file = |name: &str| folder.0.join(name);
        std::fs::copy(fixture("server.pem"), world_file("cert.pem")).unwrap();
        std::fs::copy(fixture("server.key"), world_file("key.pem")).unwrap();
        std::fs::write(world_file("config.toml"), config(&folder.0, address)).unwrap();
        let program = Program { path: exe(env!("CARGO_BIN_EXE_chainbot")), words: vec!["run".into()] };
        let mut agent = Agent::new(program, world_file("config.toml"), address);
        agent.start();
        Self { agent, address, folder }
    }

    fn connect(&self) -> Client {
        tls::connect(&tls::client_config(), self.address).unwrap()
    }

    /// The certificate that is shown.
    fn shown(&self) -> Vec<u8> {
        self.connect().conn.peer_certificates().unwrap()[0].to_vec()
    }

    fn renew(&self, name: &str, from: &Path) {
        std::fs::copy(from, self.folder.0.join(name)).unwrap();
    }

    /// Has the config read again, and waits until the log says so.
    fn reload(&self, word: &str) {
        let count = || self.agent.log_text().matches(word).count();
        let before = count();
        self.agent.signal("HUP");
        wait(word, || count() > before);
    }
}

fn config(folder: &Path, address: SocketAddr) -> String {
    format!(
        "[server]\nport = {}\ntls_cert = {:?}\ntls_key = {:?}\n[ledger]\npath = {:?}\n[log]\nlevel = \"debug\"\n",
        address.port(),
        folder.join("cert.pem"),
        folder.join("key.pem"),
        folder.join("l.redb")
    )
}

fn wait(what: &str, mut fact: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !fact() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn certificate(name: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(fixture(name)).unwrap().to_vec()
}

/// One request over a connection that ends with it.
fn ask(stream: &mut Client, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // Without TLS's own goodbye this is an error: the answer could have been cut short.
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

#[test]
fn http_is_answered_under_tls_whatever_its_size_and_this_machine_may_go_without() {
    let world = World::started();
    let mut stream = world.connect();
    assert_eq!(stream.conn.alpn_protocol(), None);
    assert!(ask(&mut stream, &get("/health")).starts_with("HTTP/1.1 200"));
    let large = ask(&mut world.connect(), &get("/openapi.json"));
    let plain = client::get(world.address, "/openapi.json").unwrap();
    assert!(plain.body.len() > 20_000, "more than a record");
    assert!(large.ends_with(&plain.body), "the same bytes as without TLS");
    let body = format!(r#"{{"event_type":"big","data":{{"text":"{}"}}}}"#, "x".repeat(60_000));
    let head = format!(
        "POST {EVENT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = ask(&mut world.connect(), &(head + &body));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn events_arrive_over_wss_in_order_and_large_messages_pass_both_ways() {
    let world = World::started();
    let request = "wss://localhost/ws/events?since=0&type=door".into_client_request().unwrap();
    let mut events = tungstenite::client(request, world.connect()).unwrap().0;
    let mut brought = Vec::new();
    for index in 0..300 {
        let padding = "x".repeat(index * 40);
        let body = format!(r#"{{"event_type":"door","data":{{"text":"{padding}"}}}}"#);
        let reply = client::post(world.address, EVENT, &[], &body).unwrap().json();
        brought.push(stand_in::json::str_at(&reply, &["id"]).unwrap().to_owned());
    }
    let seen: Vec<String> = (0..brought.len()).map(|_| id_of(&text(&mut events))).collect();
    assert_eq!(seen, brought);
    let request = "wss://localhost/ws-test".into_client_request().unwrap();
    let mut echo = tungstenite::client(request, world.connect()).unwrap().0;
    text(&mut echo);
    let long = "y".repeat(60_000);
    for _ in 0..5 {
        echo.send(Message::text(long.clone())).unwrap();
    }
    for _ in 0..5 {
        assert!(text(&mut echo).contains(&long));
    }
}

fn text(client: &mut WebSocket<Client>) -> String {
    loop {
        match client.read().unwrap() {
            Message::Text(text) => return text.as_str().to_owned(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn id_of(text: &str) -> String {
    let event = stand_in::json::parse(text).unwrap();
    stand_in::json::str_at(&event, &["id"]).unwrap().to_owned()
}

#[test]
fn a_session_is_resumed() {
    let world = World::started();
    let config = tls::client_config();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut stream = tls::connect(&config, world.address).unwrap();
        ask(&mut stream, &get("/health"));
        kinds.push(stream.conn.handshake_kind().unwrap());
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
}

#[test]
fn sighup_renews_the_certificate_and_a_faulty_one_changes_nothing() {
    let world = World::started();
    assert_eq!(world.shown(), certificate("server.pem"));
    let mut old = world.connect();
    world.renew("cert.pem", &fixture("renewed.pem"));
    world.reload("tls_kept");
    assert_eq!(world.shown(), certificate("server.pem"), "the new certificate has another key");
    assert!(world.agent.log_text().contains("key.pem\": does not fit the certificate"));
    world.renew("key.pem", &fixture("renewed.key"));
    world.reload("tls_read");
    assert_eq!(world.shown(), certificate("renewed.pem"));
    std::fs::write(world.folder.0.join("cert.pem"), "rubbish").unwrap();
    world.reload("tls_kept");
    assert_eq!(world.shown(), certificate("renewed.pem"));
    assert!(world.agent.log_text().contains("cert.pem\": no certificate in PEM form"));
    assert!(ask(&mut old, &get("/health")).starts_with("HTTP/1.1 200"), "an open connection goes on");
}

#[test]
fn what_is_wrong_with_the_files_is_told_before_a_start() {
    let folder = Folder::new("tls-faults");
    let path = folder.0.join("config.toml");
    let text = config(&folder.0, free_address()) + "[security]\nauthorities = \"/nowhere/ca.pem\"\n";
    std::fs::write(&path, text).unwrap();
    std::fs::copy(fixture("server.pem"), folder.0.join("cert.pem")).unwrap();
    for (key, why) in [
        (None, "No such file"),
        (Some("server.pem"), "no private key in PEM form"),
        (Some("renewed.key"), "does not fit the certificate"),
    ] {
        if let Some(key) = key {
            std::fs::copy(fixture(key), folder.0.join("key.pem")).unwrap();
        }
        for word in ["check", "run"] {
            let program = Program { path: exe(env!("CARGO_BIN_EXE_chainbot")), words: vec![word.into()] };
            let output = program.command(&path).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(78), "{word}: {told}");
            let is_told = (told.contains("server.tls_key is") && told.contains(why))
                || (word == "run"
                    && told.contains("security.authorities is \"/nowhere/ca.pem\": No such file"));
            assert!(is_told, "{word}: {told}");
        }
    }
}

#[test]
fn handshakes_that_do_not_end_hold_up_others_for_a_bounded_time_only() {
    let world = World::started();
    // The head of a record of 512 bytes that never come.
    let stuck: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = TcpStream::connect(world.address).unwrap();
            stream.write_all(&[22, 3, 1, 2, 0]).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
            stream
        })
        .collect();
    assert!(client::get(world.address, "/health").is_ok_and(|reply| reply.status == 200));
    assert!(ask(&mut world.connect(), &get("/health")).starts_with("HTTP/1.1 200"));
    for mut stream in stuck {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
    }
}

#[test]
fn garbage_under_tls_ends_its_connection_and_no_other() {
    let world = World::started();
    for bytes in [
        &[22, 3, 1, 255, 255][..],
        &[22, 3, 1, 0, 4, 1, 0, 0, 0],
        &[22; 20_000],
        // Half a message of the handshake, and what claims to be one of 6 MB.
        &[22, 3, 1, 0, 2, 1, 0],
        &[22, 3, 1, 0, 2, 1, 0, 22, 3, 1, 255, 255],
        b"\x16\x03\x01\x00\x05hello",
    ] {
        let mut stream = TcpStream::connect(world.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(ask(&mut world.connect(), &get("/health")).starts_with("HTTP/1.1 200"), "{bytes:x?}");
    }
}
