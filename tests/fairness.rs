//! One client that never stops, and the others of the real program: within a second they are answered all the same.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads, and a helper that cannot go on should stop the test"
)]

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stand_in::client;
use stand_in::process::{Agent, Folder, Program, exe, free_address};
use stand_in::tls::{self, fixture};

/// How long a flood goes on.
const FLOOD: Duration = Duration::from_secs(3);
/// How long anybody else may wait meanwhile. A client that is kept from its turn waits to the end of the flood.
const WAIT_MAX: Duration = Duration::from_secs(1);
const SOCKET: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The beginning of a text in fragments, and a fragment that does not end it; both are empty.
const BEGUN: &[u8] = &[0x01, 0x80, 0, 0, 0, 0];
const FRAGMENT: &[u8] = &[0x00, 0x80, 0, 0, 0, 0];

struct World {
    agent: Agent,
    address: SocketAddr,
    _folder: Folder,
}

impl World {
    fn started(more: &str) -> Self {
        let (folder, address) = (Folder::new("fairness"), free_address());
        let (port, ledger) = (address.port(), folder.0.join("l.redb"));
        let config = format!("[server]\nport = {port}\n{more}\n[ledger]\npath = {ledger:?}\n");
        std::fs::write(folder.0.join("config.toml"), config).unwrap();
        let program = Program { path: exe(env!("CARGO_BIN_EXE_chainbot")), words: vec!["run".into()] };
        let mut agent = Agent::new(program, folder.0.join("config.toml"), address);
        agent.start();
        Self { agent, address, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Asks for /health until the flood is over; the longest that an answer took.
    fn longest_wait(&self) -> Duration {
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < FLOOD {
            let asked = Instant::now();
            assert_eq!(client::get(self.address, "/health").unwrap().status, 200);
            longest = longest.max(asked.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        longest
    }
}

/// Bytes without a pause, in a thread of their own.
struct Flood {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn of(bytes: &[u8], mut to: impl Write + Send + 'static) -> Self {
        let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, count, burst) =
            (Arc::clone(&is_over), Arc::clone(&sent), bytes.repeat(65_536 / bytes.len()));
        let writer = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) && to.write_all(&burst).is_ok() {
                count.fetch_add(burst.len() as u64, Ordering::Relaxed);
            }
        });
        Self { is_over, sent, threads: vec![writer] }
    }

    /// Takes what comes back, so that nothing but the program itself slows the flood.
    fn reading(mut self, mut from: TcpStream) -> Self {
        self.threads.push(thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while from.read(&mut bytes).is_ok_and(|n| n > 0) {}
        }));
        self
    }

    /// Ends it; how many bytes went out.
    fn end(self, connection: &TcpStream) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = connection.shutdown(std::net::Shutdown::Both);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.sent.load(Ordering::Relaxed)
    }
}

fn read_head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn requests_without_a_pause_keep_nobody_waiting_and_do_not_hold_up_a_stop() {
    let mut world = World::started("");
    // The second fills what is read at once to the byte, so that none of them ever lies ahead.
    let short = "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let exact = format!("HEAD /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(2_048 - 47));
    for request in [short, exact] {
        let stream = world.connect();
        let flood =
            Flood::of(request.as_bytes(), stream.try_clone().unwrap()).reading(stream.try_clone().unwrap());
        let longest = world.longest_wait();
        assert!(flood.end(&stream) > 1_000_000, "it was a flood");
        assert!(longest < WAIT_MAX, "{longest:?} with {} bytes", request.len());
    }
    let stream = world.connect();
    let request = "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let flood =
        Flood::of(request.as_bytes(), stream.try_clone().unwrap()).reading(stream.try_clone().unwrap());
    thread::sleep(Duration::from_millis(200));
    let (status, took) = world.agent.stop();
    flood.end(&stream);
    assert!(status.success() && took < WAIT_MAX, "{status} after {took:?}");
}

/// Sends this over so many connections, and reads nothing.
fn stall(world: &World, count: usize, bytes: &str) -> Vec<TcpStream> {
    let send = |mut stream: TcpStream| {
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    };
    let held = (0..count).map(|_| send(world.connect())).collect();
    // They are read, or never will be: connections are taken in the order in which they come.
    assert_eq!(client::get(world.address, "/openapi.json").unwrap().status, 200);
    held
}

#[test]
fn readers_that_stall_and_bodies_held_back_keep_nobody_waiting_who_only_asks() {
    let world = World::started("");
    let reader = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(30);
    let body = "POST /api/webhooks/chainbot/event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n";
    for bytes in [&*reader, body] {
        let asked = Instant::now();
        let _held = stall(&world, 16, bytes);
        assert_eq!(client::get(world.address, "/health").unwrap().status, 200);
        assert!(asked.elapsed() < WAIT_MAX, "{:?} behind {}", asked.elapsed(), &bytes[..20]);
    }
}

#[test]
fn a_byte_behind_a_long_head_does_not_keep_others_from_sending_bodies() {
    let world = World::started("");
    let long =
        format!("GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\nG", "x".repeat(2_200));
    let _streams = stall(&world, 32, &long);
    let body = r#"{"event_type":"e"}"#;
    let mut poster = world.connect();
    write!(
        poster,
        "POST /api/webhooks/chainbot/event HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    // Behind the head, so that it is taken in as a body.
    thread::sleep(Duration::from_millis(50));
    poster.write_all(body.as_bytes()).unwrap();
    let head = read_head(&mut poster);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn fragments_of_a_message_without_end_keep_nobody_waiting() {
    let world = World::started("");
    let mut stream = world.connect();
    stream.write_all(SOCKET.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101"));
    stream.write_all(BEGUN).unwrap();
    let flood = Flood::of(FRAGMENT, stream.try_clone().unwrap()).reading(stream.try_clone().unwrap());
    let longest = world.longest_wait();
    assert!(flood.end(&stream) > 1_000_000, "it was a flood");
    assert!(longest < WAIT_MAX, "{longest:?}");
}

#[test]
fn fragments_without_end_under_tls_keep_nobody_waiting() {
    let (cert, key) = (fixture("server.pem"), fixture("server.key"));
    let world = World::started(&format!("tls_cert = {cert:?}\ntls_key = {key:?}"));
    let mut stream = tls::connect(&tls::client_config(), world.address).unwrap();
    stream.write_all(SOCKET.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101"));
    stream.write_all(BEGUN).unwrap();
    let connection = stream.sock.try_clone().unwrap();
    let flood = Flood::of(FRAGMENT, stream);
    let longest = world.longest_wait();
    assert!(flood.end(&connection) > 100_000, "it was a flood");
    assert!(longest < WAIT_MAX, "{longest:?}");
}

#[test]
fn a_message_in_very_many_fragments_is_heard_whole() {
    let world = World::started("");
    let mut stream = world.connect();
    stream.write_all(SOCKET.replace("/ws ", "/ws-test ").as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101"));
    let mut frames = BEGUN.to_vec();
    for _ in 0..60_000 {
        frames.extend(FRAGMENT);
        frames.extend([0x00, 0x81, 0, 0, 0, 0, b'a']);
    }
    frames.extend([0x80, 0x80, 0, 0, 0, 0]);
    stream.write_all(&frames).unwrap();
    let wanted = format!(r#"{{"type":"echo","message":"{}"}}"#, "a".repeat(60_000));
    // The greeting has a short length, the echo one of two bytes.
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    stream.read_exact(&mut vec![0; head[1].into()]).unwrap();
    let mut echo = vec![0; 4 + wanted.len()];
    stream.read_exact(&mut echo).unwrap();
    assert!(echo[4..] == *wanted.as_bytes(), "{}", String::from_utf8_lossy(&echo[..100]));
}
