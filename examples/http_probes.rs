//! What hostile clients cost: our open port and `tiny_http` 0.12 on loopback, each a process of its own under the same
//! clients, with figures from `/proc`. `cargo run --release --example http_probes`
//!
//! The reasons for `docs/decisions/0002-hyper.md`. Takes about a minute; nothing leaves the machine.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it reads clocks, sleeps, prints, and ends if anything is not as expected"
)]

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chainbot::shell::http::{Answer, AnswerBody, Handling, Incoming, Limits, Port, Service, bind, serve};

const PROBES: &str = include_str!("../tests/data/framing.txt");
const IDLE_CONNECTIONS: usize = 200;
/// How long the pipelining client goes on.
const PIPELINE_TIME: Duration = Duration::from_secs(10);
/// How long a probe waits for further bytes.
const PROBE_TIME: Duration = Duration::from_millis(300);
/// More than any machine has, and less than what 64 bits hold.
const HUGE_BYTES: u64 = 1 << 62;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("serve-tiny_http") => serve_tiny_http(),
        Some("serve-chainbot") => serve_chainbot(),
        _ => ["tiny_http", "chainbot"].into_iter().for_each(attack),
    }
}

// --- the servers: both answer every request, and count those for /smuggled ---

fn serve_tiny_http() {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    println!("{}", server.server_addr().to_ip().unwrap().port());
    let mut smuggled = 0;
    for request in server.incoming_requests() {
        let answer = answer_to(request.url(), &mut smuggled);
        // The client may be gone: that is its own affair.
        let _ = request.respond(tiny_http::Response::from_string(answer));
    }
}

fn answer_to(url: &str, smuggled: &mut u32) -> String {
    *smuggled += u32::from(url.starts_with("/smuggled"));
    smuggled.to_string()
}

struct Count(Cell<u32>);

impl Service for Count {
    fn handle(&self, request: Incoming) -> Handling {
        let mut smuggled = self.0.get();
        let body = AnswerBody::Bytes(answer_to(&request.path, &mut smuggled).into_bytes());
        self.0.set(smuggled);
        let answer =
            Answer { status: 200, headers: Vec::new(), content_type: "text/plain", body, close: false };
        Box::pin(async move { answer })
    }
}

fn serve_chainbot() {
    let listener = bind("127.0.0.1", 0).unwrap().remove(0);
    println!("{}", listener.get_ref().local_addr().unwrap().port());
    // As for a stranger: loopback has no share of its own.
    let limits = Limits { loopback_exempt: false, ..Limits::default() };
    chainbot::shell::reactor::block_on(serve(listener, Port::new(limits), Rc::new(Count(Cell::new(0)))));
}

// --- the clients ---

/// A server in a process of its own.
struct Victim {
    child: Child,
    port: u16,
}

/// What `/proc` says of a process.
#[derive(Clone, Copy)]
struct Figures {
    threads: u64,
    rss_kib: u64,
    peak_kib: u64,
}

impl Victim {
    fn start(which: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .arg(format!("serve-{which}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let victim = Self { child, port: line.trim().parse().unwrap() };
        victim.smuggled().unwrap();
        victim
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PROBE_TIME))?;
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(socket)
    }

    fn figures(&self) -> Option<Figures> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some(Figures {
            threads: number("Threads:")?,
            rss_kib: number("VmRSS:")?,
            peak_kib: number("VmHWM:")?,
        })
    }

    /// Requests for /smuggled that reached the service so far; `None` if nobody answers.
    fn smuggled(&self) -> Option<u32> {
        let mut socket = self.connect().ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        text.rsplit("\r\n\r\n").next()?.trim().parse().ok()
    }

    fn end(mut self) -> String {
        let ended = self.child.try_wait().unwrap();
        let _ = self.child.kill();
        let _ = self.child.wait();
        ended.map_or("alive".to_owned(), |status| format!("ended by itself ({status})"))
    }
}

fn attack(which: &str) {
    println!("{which}");
    idle_connections(which);
    huge_length(which);
    pipelining(which);
    framing(which);
}

fn tell(what: &str, before: Figures, after: Option<Figures>, end: &str) {
    match after {
        Some(after) => println!(
            "  {what}: threads {} -> {}, resident {} -> {} KiB (peak {} KiB), {end}",
            before.threads, after.threads, before.rss_kib, after.rss_kib, after.peak_kib
        ),
        None => println!("  {what}: {end}"),
    }
}

fn idle_connections(which: &str) {
    let victim = Victim::start(which);
    let before = victim.figures().unwrap();
    let sockets: Vec<_> = (0..IDLE_CONNECTIONS).filter_map(|_| victim.connect().ok()).collect();
    std::thread::sleep(Duration::from_secs(2));
    let after = victim.figures();
    // One that the server has closed reads as its end.
    let is_open = |mut socket: &TcpStream| matches!(socket.read(&mut [0; 512]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    let open = sockets.iter().filter(|socket| is_open(socket)).count();
    tell(&format!("{} idle connections, {open} kept", sockets.len()), before, after, &victim.end());
}

fn huge_length(which: &str) {
    let victim = Victim::start(which);
    let before = victim.figures().unwrap();
    let mut socket = victim.connect().unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {HUGE_BYTES}\r\n\r\nx");
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 64];
    let length = socket.read(&mut answer).unwrap_or(0);
    drop(socket);
    std::thread::sleep(Duration::from_secs(1));
    let after = victim.figures().filter(|_| victim.smuggled().is_some());
    let line = String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or("no answer").to_owned();
    let what = format!("Content-Length {HUGE_BYTES}, answered \"{line}\"");
    tell(&what, before, after, &victim.end());
}

/// Sends requests one behind the other and never reads an answer.
fn pipelining(which: &str) {
    let victim = Victim::start(which);
    let before = victim.figures().unwrap();
    let mut socket = victim.connect().unwrap();
    let requests = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < PIPELINE_TIME {
        match socket.write(requests.as_bytes()) {
            Ok(0) => break,
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let after = victim.figures();
    let seconds = start.elapsed().as_secs();
    let what = format!("one client, {} KiB of requests in {seconds} s, no answer read", sent / 1024);
    tell(&what, before, after, &victim.end());
}

fn framing(which: &str) {
    let mut victim = Victim::start(which);
    let (mut count, mut smuggled, mut ended) = (0, Vec::new(), 0);
    for line in PROBES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut columns = line.splitn(4, " | ");
        let (name, bytes) = (columns.next().unwrap(), bytes_of(columns.nth(2).unwrap()));
        count += 1;
        let before = victim.smuggled().unwrap();
        probe(&victim, &bytes);
        match victim.smuggled() {
            Some(after) if after > before => smuggled.push(name),
            Some(_) => {}
            None => {
                ended += 1;
                let _ = std::mem::replace(&mut victim, Victim::start(which)).end();
            }
        }
    }
    println!(
        "  {count} framing probes: {} smuggled, {ended} ended the server, {}",
        smuggled.len(),
        victim.end()
    );
    smuggled.iter().for_each(|name| println!("    smuggled: {name}"));
}

fn probe(victim: &Victim, bytes: &[u8]) {
    let Ok(mut socket) = victim.connect() else { return };
    if socket.write_all(bytes).is_err() || socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let _ = socket.read_to_end(&mut Vec::new());
}

/// Reads the escapes of the probes' file: \r \n \t \\ \xNN, and {c*n} for n times c.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, count, used) = match (first, tail) {
            (b'\\', [b'r', ..]) => (b'\r', 1, 2),
            (b'\\', [b'n', ..]) => (b'\n', 1, 2),
            (b'\\', [b't', ..]) => (b'\t', 1, 2),
            (b'\\', [b'\\', ..]) => (b'\\', 1, 2),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), 1, 4)
            }
            (b'{', [byte, b'*', ..]) => {
                let end = rest.iter().position(|byte| *byte == b'}').unwrap();
                (*byte, std::str::from_utf8(&rest[3..end]).unwrap().parse().unwrap(), end + 1)
            }
            _ => (*first, 1, 1),
        };
        bytes.resize(bytes.len() + count, byte);
        rest = &rest[used..];
    }
    bytes
}
