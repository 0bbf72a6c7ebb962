//! A peer on a loopback port of its own (tiny_http), that can go away and come back at the same address.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tiny_http::Server;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What to say to it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// How long to think first.
    pub after: Duration,
    /// Bytes that are no HTTP instead.
    pub is_garbage: bool,
    /// Instead of `body`: pieces, each sent as it is said.
    pub stream: Option<Streamed>,
}

/// A body that comes in pieces.
#[derive(Clone, Debug)]
pub struct Streamed {
    pub pieces: Vec<String>,
    pub end: StreamEnd,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    Whole,
    /// The connection is closed before the end.
    Cut,
    /// Nothing but a blank line now and then comes any more, until the caller leaves or the port goes away.
    Held,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.into(),
            after: Duration::ZERO,
            is_garbage: false,
            stream: None,
        }
    }

    pub fn stream(content_type: &'static str, pieces: Vec<String>, end: StreamEnd) -> Self {
        Self { content_type, stream: Some(Streamed { pieces, end }), ..Self::json(200, "") }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { content_type: "text/plain; charset=utf-8", ..Self::json(status, body) }
    }

    pub fn garbage() -> Self {
        Self { is_garbage: true, ..Self::text(200, "\u{1}\u{2}not http\r\n\r\n") }
    }
}

/// What stands behind a port.
pub trait Peer: Send + Sync + 'static {
    fn answer(&self, request: Request) -> Answer;

    /// The caller of a held stream has left.
    fn left(&self) {}
}

pub struct Port<P: Peer> {
    pub peer: Arc<P>,
    pub address: SocketAddr,
    running: Option<Running>,
}

struct Running {
    server: Arc<Server>,
    is_stopping: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

/// Several, so that a peer sees when it is asked two things at once.
const WORKERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether the caller of a held stream is still there: longer than the agent waits in tests.
const SILENCE: Duration = Duration::from_secs(2);

impl<P: Peer> Port<P> {
    pub fn open(peer: P) -> Self {
        let server = Server::http("127.0.0.1:0").expect("a free port");
        let address = server.server_addr().to_ip().expect("an IP address");
        let peer = Arc::new(peer);
        let running = Some(Running::start(server, &peer));
        Self { peer, address, running }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Goes away: returns when a connection is refused.
    pub fn down(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop();
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < end, "the port did not close");
            std::thread::yield_now();
        }
    }

    /// Comes back at the same address.
    pub fn up(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.running.is_none() {
            match Server::http(self.address) {
                Ok(server) => self.running = Some(Running::start(server, &self.peer)),
                Err(error) => assert!(Instant::now() < end, "the port cannot be had again: {error}"),
            }
        }
    }
}

impl<P: Peer> Drop for Port<P> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

impl Running {
    fn start<P: Peer>(server: Server, peer: &Arc<P>) -> Self {
        let server = Arc::new(server);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let workers = (0..WORKERS)
            .map(|_| {
                let (server, peer, is_stopping) = (server.clone(), peer.clone(), is_stopping.clone());
                std::thread::spawn(move || work(&server, &*peer, &is_stopping))
            })
            .collect();
        Self { server, is_stopping, workers }
    }

    fn stop(self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        for _ in &self.workers {
            self.server.unblock();
        }
        for worker in self.workers {
            let _ = worker.join();
        }
        // What came too late is dropped, which answers 500, instead of hanging until its caller gives up.
        while let Ok(Some(request)) = self.server.try_recv() {
            drop(request);
        }
    }
}

fn work(server: &Server, peer: &dyn Peer, is_stopping: &AtomicBool) {
    while !is_stopping.load(Ordering::SeqCst) {
        let Ok(mut raw) = server.recv() else { continue };
        let mut body = Vec::new();
        if raw.as_reader().read_to_end(&mut body).is_err() {
            continue;
        }
        let headers = raw.headers().iter().map(|h| (h.field.to_string(), h.value.to_string())).collect();
        let request = Request {
            method: raw.method().to_string(),
            path: raw.url().to_owned(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let answer = peer.answer(request);
        if !answer.after.is_zero() {
            std::thread::sleep(answer.after);
        }
        match &answer.stream {
            Some(stream) => write_stream(raw, &answer, stream, peer, is_stopping),
            None => write(raw, &answer),
        }
    }
}

fn write_stream(
    raw: tiny_http::Request,
    answer: &Answer,
    stream: &Streamed,
    peer: &dyn Peer,
    is_stopping: &AtomicBool,
) {
    let mut writer = raw.into_writer();
    let mut say = |text: &str| writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_ok();
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let Answer { status, content_type, .. } = answer;
    let mut is_there = say(&format!(
        "HTTP/1.1 {status} Stand-In\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ));
    for piece in &stream.pieces {
        is_there = is_there && say(&chunk(piece));
    }
    match stream.end {
        StreamEnd::Whole => drop(say("0\r\n\r\n")),
        StreamEnd::Cut => {}
        StreamEnd::Held => {
            let mut next = Instant::now() + SILENCE;
            while is_there && !is_stopping.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
                if Instant::now() >= next {
                    is_there = say(&chunk("\n"));
                    next += SILENCE;
                }
            }
            if !is_there {
                peer.left();
            }
        }
    }
}

/// Written by hand because tiny_http does not let `Connection` be set, and a kept-alive connection would outlive a
/// peer that went away.
fn write(raw: tiny_http::Request, answer: &Answer) {
    let mut writer = raw.into_writer();
    let head = if answer.is_garbage {
        String::new()
    } else {
        let mut head = format!(
            "HTTP/1.1 {} Stand-In\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
            answer.status,
            answer.content_type,
            answer.body.len()
        );
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    };
    let _ = writer.write_all(head.as_bytes());
    let _ = writer.write_all(answer.body.as_bytes());
    let _ = writer.flush();
}
