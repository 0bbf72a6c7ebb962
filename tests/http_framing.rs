//! The open port on real sockets: what it answers, what it refuses, and what it does when a client misbehaves.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: a client in a thread of its own, and a helper that cannot go on should stop the test"
)]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_executor::LocalExecutor;
use chainbot::shell::http::{
    Answer, AnswerBody, Chunk, ChunkSource, Handling, Incoming, Limits, Pace, Port, Service, bind, serve,
};
use chainbot::shell::reactor::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};

/// Longest that any single thing here may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    let limit = async {
        Timer::after(PATIENCE).await;
        panic!("{what} took longer than {PATIENCE:?}")
    };
    future::or(work, limit).await
}

fn quick() -> Limits {
    Limits {
        head_time_max: Duration::from_millis(100),
        body_time_max: Duration::from_millis(100),
        write_stall_max: Duration::from_millis(100),
        idle_time_max: Duration::from_millis(100),
        linger_time_max: Duration::from_millis(100),
        drain_time_max: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Answers with what it was asked; keeps a list of it.
#[derive(Default)]
struct Echo {
    asked: RefCell<Vec<String>>,
    pieces: Rc<Cell<usize>>,
    may_answer: Rc<Cell<bool>>,
}

impl Service for Echo {
    fn handle(&self, request: Incoming) -> Handling {
        let asked = format!(
            "{} {}?{} {}",
            request.method,
            request.path,
            request.query.unwrap_or_default(),
            request.body.len()
        );
        self.asked.borrow_mut().push(asked.clone());
        let source = |left, is_endless| -> AnswerBody {
            AnswerBody::Stream(Box::new(Pieces { left, is_endless, given: self.pieces.clone() }))
        };
        let body = match request.path.as_str() {
            "/pieces" => source(3, false),
            "/endless" => source(usize::MAX, true),
            "/flood" => source(usize::MAX, false),
            "/large" => AnswerBody::Bytes(vec![b'x'; LARGE_BYTES]),
            "/static" => AnswerBody::Static(vec![b'x'; LARGE_BYTES].leak()),
            _ => AnswerBody::Bytes(asked.into_bytes()),
        };
        let status = if request.path == "/too-large" { 413 } else { 200 };
        let answer = Answer { status, headers: Vec::new(), content_type: "text/plain", body, close: false };
        let may_answer = self.may_answer.clone();
        match &*request.path {
            "/lasting" => request.pace.set(Pace::Lasting),
            "/committing" => request.pace.set(Pace::Committing),
            _ => {}
        }
        let must_wait = matches!(&*request.path, "/wait" | "/lasting" | "/committing");
        Box::pin(async move {
            while must_wait && !may_answer.get() {
                future::yield_now().await;
            }
            answer
        })
    }
}

const PIECE_BYTES: usize = 4096;
/// More than the kernel takes for a client that does not read.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

/// Pieces of 4 KiB, counted as they are asked for; after the first, an endless source has nothing to say.
struct Pieces {
    left: usize,
    is_endless: bool,
    given: Rc<Cell<usize>>,
}

impl ChunkSource for Pieces {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Chunk> {
        if self.left == 0 {
            return Poll::Ready(Chunk::End);
        }
        if self.is_endless && self.left < usize::MAX {
            return Poll::Pending;
        }
        self.left -= 1;
        self.given.set(self.given.get() + 1);
        Poll::Ready(Chunk::Bytes(vec![b'x'; PIECE_BYTES]))
    }

    fn is_endless(&self) -> bool {
        self.is_endless
    }
}

struct Server {
    port: Rc<Port>,
    echo: Rc<Echo>,
    address: SocketAddr,
}

impl Server {
    async fn client(&self) -> Client {
        Client { socket: Async::<TcpStream>::connect(self.address).await.unwrap() }
    }

    async fn wait_until_open(&self, n: usize) {
        bounded(&format!("reaching {n} connections"), async {
            while self.port.open() != n {
                Timer::after(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// Runs `test` against a server on a port of its own, then stops the server and waits for its end.
fn against(limits: Limits, test: impl AsyncFnOnce(&Server)) {
    chainbot::shell::reactor::block_on(async {
        let listener = bind("127.0.0.1", 0).unwrap().remove(0);
        let address = listener.get_ref().local_addr().unwrap();
        let server = Server { port: Port::new(limits), echo: Rc::default(), address };
        let serving = serve(listener, server.port.clone(), server.echo.clone());
        let testing = async {
            test(&server).await;
            server.port.stop();
        };
        bounded("the test", future::zip(serving, testing)).await;
    });
}

struct Client {
    socket: Async<TcpStream>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        bounded("sending", self.socket.write_all(bytes.as_ref())).await.unwrap();
    }

    /// All bytes to the end; a reset counts as an end.
    async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end = bounded("reading to the end", self.socket.read_to_end(&mut bytes)).await;
        assert!(end.is_ok() || end.unwrap_err().kind() == io::ErrorKind::ConnectionReset);
        bytes
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            bounded("reading a head", self.socket.read_exact(&mut byte)).await.unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let mut body = vec![0; length_of(&head)];
        bounded("reading a body", self.socket.read_exact(&mut body)).await.unwrap();
        Reply { status: status_of(&head), head, body }
    }

    async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}

fn status_of(head: &str) -> u16 {
    head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap().parse().unwrap()
}

fn length_of(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
    lines.next().map_or(0, |length| length.parse().unwrap())
}

fn split_replies(bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        let body_end = (end + length_of(&head)).min(rest.len());
        replies.push(Reply { status: status_of(&head), body: rest[end..body_end].to_vec(), head });
        rest = &rest[body_end..];
    }
    replies
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb";
/// Waits within its turn until it may be answered.
const WAITING: &str = "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb";

// --- what it answers ---

#[test]
fn a_connection_is_kept_for_the_next_request() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        for path in ["/1", "/2"] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let reply = client.reply().await;
            assert_eq!((reply.status, reply.body), (200, format!("GET {path}? 0").into_bytes()));
        }
        assert_eq!(server.port.open(), 1);
        assert_eq!(server.port.answers(), [0, 2, 0, 0, 0]);
    });
}

#[test]
fn head_gets_the_length_without_the_body() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(length_of(&client.head().await), "HEAD /? 0".len());
        client.send(GET).await;
        assert_eq!(client.reply().await.body, b"GET /? 0");
    });
}

#[test]
fn an_expected_100_is_sent_before_the_body() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
        assert_eq!(status_of(&client.head().await), 100);
        client.send("abc").await;
        assert_eq!(client.reply().await.body, b"POST /? 3");
        client.send(GET).await;
        assert_eq!(client.reply().await.status, 200);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        let requests: String = (1..=3)
            .map(|n| format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}", "b".repeat(n)))
            .collect();
        client.send(requests).await;
        for n in 1..=3 {
            assert_eq!(client.reply().await.body, format!("POST /{n}? {n}").into_bytes());
        }
    });
}

#[test]
fn more_pipelined_requests_than_fit_the_buffer_are_all_answered() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send(GET.repeat(2_000)).await;
        for _ in 0..2_000 {
            assert_eq!(client.reply().await.status, 200);
        }
    });
}

#[test]
fn the_largest_body_is_taken_and_passed_on_whole() {
    against(Limits { body_time_max: PATIENCE, ..quick() }, async |server| {
        let mut client = server.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n").await;
        client.send(vec![b'b'; 65_536]).await;
        client.send(GET).await;
        assert_eq!(client.reply().await.body, b"POST /? 65536");
        assert_eq!(client.reply().await.status, 200);
    });
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_answer() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send(GET).await;
        client.socket.get_ref().shutdown(Shutdown::Write).unwrap();
        assert_eq!(split_replies(&client.rest().await).len(), 1);
    });
}

#[test]
fn a_streamed_body_comes_whole_and_the_connection_is_kept() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.head().await.contains("transfer-encoding: chunked"));
        let mut body = vec![0; 3 * (6 + 4096 + 2) + 5];
        bounded("reading chunks", client.socket.read_exact(&mut body)).await.unwrap();
        assert!(body.starts_with(b"1000\r\nx") && body.ends_with(b"x\r\n0\r\n\r\n"));
        client.send(GET).await;
        assert_eq!(client.reply().await.status, 200);
    });
}

// --- what it refuses ---

#[test]
fn no_probe_gets_more_than_it_should() {
    let probes = include_str!("data/framing.txt");
    let probes: Vec<&str> =
        probes.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(probes.len() >= 160);
    let limits = Limits { connections_max: 200, ..quick() };
    let limits = Limits { head_time_max: PATIENCE / 5, body_time_max: PATIENCE / 10, ..limits };
    for parts in [1, 2, 7] {
        against(limits, async |server| {
            let executor = LocalExecutor::new();
            let trying: Vec<_> =
                probes.iter().map(|probe| executor.spawn(try_probe(server, probe, parts))).collect();
            let mut faults = Vec::new();
            let all = async {
                for probe in trying {
                    faults.extend(probe.await);
                }
            };
            executor.run(all).await;
            assert!(faults.is_empty(), "in {parts} parts:\n{}", faults.join("\n"));
            let asked = server.echo.asked.borrow();
            assert!(!asked.iter().any(|asked| asked.contains("smuggled")), "{asked:?}");
        });
    }
}

async fn try_probe(server: &Server, probe: &str, parts: usize) -> Option<String> {
    let columns: Vec<&str> = probe.splitn(4, " | ").collect();
    let [name, status, count, bytes] = columns[..] else { panic!("four columns: {probe}") };
    let bytes = unescape(bytes);
    let mut client = server.client().await;
    for part in bytes.chunks(bytes.len().div_ceil(parts)) {
        // The port may have refused and closed by then.
        let _ = bounded("sending a probe", client.socket.write_all(part)).await;
        for _ in 0..10 {
            future::yield_now().await;
        }
    }
    let replies = split_replies(&client.rest().await);
    let is_expected = match (status, replies.first()) {
        (_, None) => false,
        ("2xx", Some(reply)) => reply.status / 100 == 2,
        ("4xx", Some(reply)) => reply.status / 100 == 4 && reply.head.contains("connection: close"),
        (status, Some(reply)) => reply.status == status.parse::<u16>().unwrap(),
    };
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    let is_good = is_expected && replies.len() == count.parse::<usize>().unwrap();
    (!is_good).then(|| format!("{name}: {statuses:?} instead of {count} x {status}"))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let kind = rest.as_bytes()[0];
                rest = &rest[1..];
                match kind {
                    b'r' => bytes.push(b'\r'),
                    b'n' => bytes.push(b'\n'),
                    b't' => bytes.push(b'\t'),
                    b'\\' => bytes.push(b'\\'),
                    b'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => panic!("unknown escape {other}"),
                }
            }
            '{' => {
                let (repeat, after) = rest.split_once('}').unwrap();
                let (what, count) = repeat.split_once('*').unwrap();
                bytes.extend_from_slice(what.repeat(count.parse().unwrap()).as_bytes());
                rest = after;
            }
            c => bytes.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    bytes
}

#[test]
fn a_body_that_turns_out_too_large_is_refused_in_the_same_words() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n").await;
        client.send(vec![b'b'; 65_537]).await;
        assert!(client.head().await.starts_with("HTTP/1.1 413 Content Too Large\r\n"));
    });
}

#[test]
fn a_stream_over_http_1_0_says_that_it_ends_with_its_connection() {
    against(quick(), async |server| {
        for path in ["/pieces", "/"] {
            let mut client = server.client().await;
            let fields = "Host: a\r\nConnection: keep-alive\r\n";
            client.send(format!("GET {path} HTTP/1.0\r\n{fields}\r\n")).await;
            let head = client.head().await;
            assert_eq!(head.contains("connection: close"), path == "/pieces", "{head}");
            assert_eq!(head.contains("connection: keep-alive"), path == "/", "{head}");
        }
    });
}

#[test]
fn a_refusal_is_a_problem_document() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
        let reply = client.reply().await;
        assert!(reply.head.contains("content-type: application/problem+json"), "{}", reply.head);
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains(r#""status":400"#) && body.contains(r#""detail":""#), "{body}");
        assert!(client.is_closed().await);
        assert_eq!(server.port.answers(), [0, 0, 0, 1, 0]);
    });
}

#[test]
fn a_body_too_large_is_refused_before_it_is_sent() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n")
            .await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 413);
        let words = String::from_utf8_lossy(&reply.body);
        assert!(words.contains("at most 65536 bytes"), "{words}");
        assert!(client.is_closed().await);
    });
}

#[test]
fn a_client_that_sends_on_after_its_refusal_can_still_read_it() {
    against(Limits { linger_time_max: PATIENCE, ..quick() }, async |server| {
        let mut client = server.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n").await;
        bounded("the refusal", async {
            while server.port.answers()[3] == 0 {
                Timer::after(Duration::from_millis(1)).await;
            }
        })
        .await;
        for _ in 0..20 {
            client.send(vec![b'b'; 10_000]).await;
            Timer::after(Duration::from_millis(1)).await;
        }
        assert_eq!(client.reply().await.status, 413);
    });
}

#[test]
fn bodies_that_are_too_much_together_are_refused_with_503() {
    let limits = Limits { bodies_bytes_max: 5_000, body_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut first = server.client().await;
        first.send("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n").await;
        first.send(vec![b'b'; 4_000]).await;
        bounded("the first request", async {
            while server.echo.asked.borrow().is_empty() {
                Timer::after(Duration::from_millis(1)).await;
            }
        })
        .await;
        let mut second = server.client().await;
        second.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n").await;
        second.send(vec![b'b'; 4_000]).await;
        let refused = second.reply().await;
        assert_eq!(refused.status, 503);
        assert!(refused.head.contains("retry-after"));
        server.echo.may_answer.set(true);
        assert_eq!(first.reply().await.status, 200);
        let mut third = server.client().await;
        third.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n").await;
        third.send(vec![b'b'; 4_000]).await;
        assert_eq!(third.reply().await.status, 200);
    });
}

// --- what it does when a client is slow, or many ---

#[test]
fn a_slow_head_is_closed() {
    against(quick(), async |server| {
        let mut silent = server.client().await;
        let mut slow = server.client().await;
        slow.send("GET / HTTP/1.1\r\nHos").await;
        assert!(slow.is_closed().await);
        assert!(silent.is_closed().await);
    });
}

#[test]
fn a_head_that_drips_in_is_closed_in_the_same_time() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        let mut drips = 0;
        while client.socket.write_all(b"G").await.is_ok() {
            drips += 1;
            Timer::after(Duration::from_millis(5)).await;
            assert!(drips < 1_000);
        }
        server.wait_until_open(0).await;
    });
}

#[test]
fn a_slow_body_gets_408() {
    against(Limits { head_time_max: PATIENCE, idle_time_max: PATIENCE, ..quick() }, async |server| {
        let mut client = server.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 408);
        assert!(reply.head.contains("connection: close"));
        assert!(client.is_closed().await);
        assert!(server.echo.asked.borrow().is_empty());
    });
}

#[test]
fn an_idle_connection_is_closed() {
    against(Limits { head_time_max: PATIENCE, ..quick() }, async |server| {
        let mut client = server.client().await;
        client.send(GET).await;
        assert_eq!(client.reply().await.status, 200);
        assert!(client.is_closed().await);
    });
}

#[test]
fn a_client_that_never_reads_is_closed_with_one_piece_at_most_in_memory() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.wait_until_open(1).await;
        server.wait_until_open(0).await;
        assert_eq!(Rc::strong_count(&server.echo.pieces), 1, "the source is gone");
        // What the kernel took can still be read; of all that was made, only one piece may be missing there.
        let taken = client.rest().await;
        let body_at = taken.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let whole = taken[body_at..].iter().filter(|byte| **byte == b'x').count() / PIECE_BYTES;
        let made = server.echo.pieces.get();
        assert!(whole > 0 && made - whole <= 1, "{made} pieces made, {whole} taken");
    });
}

#[test]
fn others_are_answered_between_the_pieces_of_a_body_that_is_taken_at_once() {
    // The second goes through hyper.
    for more in ["", "Expect: 100-continue\r\n"] {
        against(quick(), async |server| {
            let mut reader = server.client().await;
            reader.send(format!("GET /flood HTTP/1.1\r\nHost: a\r\n{more}\r\n")).await;
            reader.head().await;
            let taking = std::thread::spawn({
                let mut socket = reader.socket.get_ref().try_clone().unwrap();
                move || {
                    let mut bytes = [0; 65_536];
                    loop {
                        match io::Read::read(&mut socket, &mut bytes) {
                            Ok(1..) => {}
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            _ => break,
                        }
                    }
                }
            });
            let mut other = server.client().await;
            let mut meanwhile = Vec::new();
            for _ in 0..200 {
                let before = server.echo.pieces.get();
                other.send(GET).await;
                assert_eq!(other.reply().await.status, 200);
                meanwhile.push(server.echo.pieces.get() - before);
            }
            meanwhile.sort_unstable();
            assert!(meanwhile[100] < 12, "{meanwhile:?} pieces were made meanwhile");
            reader.socket.get_ref().shutdown(Shutdown::Both).unwrap();
            taking.join().unwrap();
        });
    }
}

#[test]
fn an_endless_stream_ends_when_its_client_leaves() {
    against(Limits { write_stall_max: PATIENCE, ..quick() }, async |server| {
        let mut client = server.client().await;
        client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        server.wait_until_open(1).await;
        drop(client);
        server.wait_until_open(0).await;
    });
}

#[test]
fn a_client_that_leaves_is_noticed_whatever_it_sent_ahead() {
    against(Limits { write_stall_max: PATIENCE, ..quick() }, async |server| {
        for path in ["/endless", "/lasting"] {
            let mut client = server.client().await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n{}", GET.repeat(200))).await;
            server.wait_until_open(1).await;
            client.socket.get_ref().shutdown(Shutdown::Write).unwrap();
            server.wait_until_open(0).await;
        }
    });
}

#[test]
fn connections_beyond_the_limit_are_turned_away_and_seats_come_free() {
    let limits = Limits { head_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut clients = Vec::new();
        for _ in 0..limits.connections_max {
            clients.push(server.client().await);
        }
        server.wait_until_open(limits.connections_max).await;
        let mut late = server.client().await;
        late.send(GET).await;
        let said = late.rest().await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&said));
        assert_eq!((server.port.open(), server.port.turned_away()), (limits.connections_max, 1));
        clients[0].send(GET).await;
        assert_eq!(clients[0].reply().await.status, 200);
        clients.truncate(1);
        server.wait_until_open(1).await;
        let mut next = server.client().await;
        next.send(GET).await;
        assert_eq!(next.reply().await.status, 200);
    });
}

#[test]
fn a_request_waits_for_its_turn_and_an_endless_answer_keeps_none_waiting() {
    let limits = Limits { exchanges_max: 1, head_time_max: PATIENCE, write_stall_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut endless = server.client().await;
        endless.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
        endless.head().await;
        let mut first = server.client().await;
        first.send(WAITING).await;
        bounded("the first turn", async {
            while server.echo.asked.borrow().len() < 2 {
                Timer::after(Duration::from_millis(1)).await;
            }
        })
        .await;
        let mut second = server.client().await;
        second.send(POST).await;
        server.wait_until_open(3).await;
        assert_eq!(server.echo.asked.borrow().len(), 2, "the second waits");
        server.echo.may_answer.set(true);
        assert_eq!((first.reply().await.status, second.reply().await.status), (200, 200));
    });
}

#[test]
fn who_only_reads_waits_for_no_turn() {
    let limits = Limits { exchanges_max: 1, head_time_max: PATIENCE, body_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut held_back = server.client().await;
        held_back.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n").await;
        server.wait_until_open(1).await;
        let mut reader = server.client().await;
        reader.send(GET).await;
        assert_eq!(reader.reply().await.status, 200);
        reader.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let last = reader.reply().await;
        assert!(last.status == 200 && last.head.contains("connection: close"), "{}", last.head);
        assert!(reader.is_closed().await);
        let mut poster = server.client().await;
        poster.send(POST).await;
        held_back.send("b".repeat(100)).await;
        assert_eq!(held_back.reply().await.body, b"POST /? 100");
        assert_eq!(poster.reply().await.status, 200, "it had its turn then");
    });
}

#[test]
fn a_reader_that_stalls_keeps_its_turn_only_for_what_it_holds() {
    let limits = Limits {
        exchanges_max: 1,
        bodies_bytes_max: 20 * 1024 * 1024,
        head_time_max: PATIENCE / 5,
        write_stall_max: PATIENCE,
        ..quick()
    };
    against(limits, async |server| {
        let mut readers = Vec::new();
        let mut stall = async |path: &str| {
            let mut reader = server.client().await;
            reader.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            reader.head().await;
            readers.push(reader);
        };
        let post = async || {
            let mut other = server.client().await;
            other.send(POST).await;
            other.reply().await.status
        };
        stall("/static").await;
        stall("/static").await;
        assert_eq!(post().await, 200, "bytes of the program are nobody's memory");
        stall("/large").await;
        assert_eq!(post().await, 503, "the first has the turn");
        stall("/large").await;
        let mut third = server.client().await;
        third.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(third.rest().await.len() < LARGE_BYTES, "the second has what there is for bodies: it is cut");
        let mut small = server.client().await;
        small.send(GET).await;
        assert_eq!(small.reply().await.status, 200);
        let last = readers.last_mut().unwrap();
        let mut body = vec![0; LARGE_BYTES];
        bounded("reading at last", last.socket.read_exact(&mut body)).await.unwrap();
    });
}

#[test]
fn an_answer_that_takes_long_to_begin_keeps_none_waiting_and_ends_when_its_client_leaves() {
    let limits = Limits { exchanges_max: 1, head_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut first = server.client().await;
        first.send("GET /lasting HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut second = server.client().await;
        second.send(GET).await;
        assert_eq!(second.reply().await.status, 200);
        drop(first);
        drop(second);
        server.wait_until_open(0).await;
        let mut third = server.client().await;
        third.send("GET /lasting HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.echo.may_answer.set(true);
        assert_eq!(third.reply().await.status, 200);
    });
}

#[test]
fn requests_that_wait_for_one_commit_keep_none_waiting() {
    let limits = Limits { exchanges_max: 1, head_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut waiting = Vec::new();
        for _ in 0..limits.connections_max - 1 {
            let mut client = server.client().await;
            client.send("POST /committing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
            waiting.push(client);
        }
        let mut other = server.client().await;
        other.send(GET).await;
        assert_eq!(other.reply().await.status, 200);
        server.echo.may_answer.set(true);
        for mut client in waiting {
            assert_eq!(client.reply().await.body, b"POST /committing? 3");
        }
    });
}

#[test]
fn the_same_is_answered_with_and_without_hyper() {
    against(Limits { head_time_max: PATIENCE, ..quick() }, async |server| {
        for path in ["/", "/pieces", "/?a=b", "*", "/too-large"] {
            for method in ["GET", "HEAD", "OPTIONS", "POST"] {
                let mut seen = Vec::new();
                // The second of them is kept for hyper.
                for more in ["", "Expect: 100-continue\r\n"] {
                    let mut client = server.client().await;
                    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n")).await;
                    client.socket.get_ref().shutdown(Shutdown::Write).unwrap();
                    let text = String::from_utf8(client.rest().await).unwrap();
                    let (head, body) = text.split_once("\r\n\r\n").unwrap();
                    let mut fields: Vec<_> =
                        head.lines().filter(|line| *line != "connection: close").collect();
                    fields.retain(|line| !line.starts_with("date: "));
                    fields[1..].sort_unstable();
                    seen.push((fields.join("|"), unchunked(body)));
                }
                assert_eq!(seen[0], seen[1], "{method} {path}");
            }
        }
    });
}

/// A body in chunks without what says where they end; any other as it is.
fn unchunked(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { return body.to_owned() };
        text.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
    if text.is_empty() { body.to_owned() } else { text }
}

#[test]
fn long_heads_are_counted_among_the_bodies() {
    let limits = Limits { head_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut dripping = Vec::new();
        for _ in 0..limits.bodies_bytes_max / 6_144 {
            let mut client = server.client().await;
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(3_000))).await;
            dripping.push(client);
        }
        server.wait_until_open(dripping.len()).await;
        let mut long = server.client().await;
        long.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(3_000))).await;
        assert_eq!(long.reply().await.status, 503);
        let mut short = server.client().await;
        short.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(1_000))).await;
        assert_eq!(short.reply().await.status, 200);
        dripping[0].send("\r\n\r\n").await;
        assert_eq!(dripping[0].reply().await.status, 200);
        long = server.client().await;
        long.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(3_000))).await;
        assert_eq!(long.reply().await.status, 200, "what it held came free");
    });
}

#[test]
fn what_lies_behind_a_long_head_does_not_keep_the_room_of_the_head() {
    let limits = Limits { head_time_max: PATIENCE, body_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut streams = Vec::new();
        let long = format!("GET /endless HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\nG", "a".repeat(2_200));
        for _ in 0..limits.bodies_bytes_max / 6_144 {
            let mut client = server.client().await;
            client.send(&long).await;
            client.head().await;
            streams.push(client);
        }
        let mut other = server.client().await;
        other.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await;
        Timer::after(Duration::from_millis(5)).await;
        other.send("b").await;
        assert_eq!(other.reply().await.status, 200);
    });
}

#[test]
fn a_turn_that_does_not_come_is_answered_503() {
    let limits = Limits { exchanges_max: 1, ..quick() };
    against(limits, async |server| {
        let mut first = server.client().await;
        first.send(WAITING).await;
        server.wait_until_open(1).await;
        let mut second = server.client().await;
        second.send(POST).await;
        let said = second.reply().await;
        assert_eq!(said.status, 503);
        assert!(said.head.contains("retry-after: 5") && said.head.contains("connection: close"));
        server.echo.may_answer.set(true);
        assert_eq!(first.reply().await.status, 200);
    });
}

#[test]
fn a_burst_of_clients_waits_to_be_accepted() {
    let listener = bind("127.0.0.1", 0).unwrap().remove(0);
    let address = listener.get_ref().local_addr().unwrap();
    let kept = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let burst = kept.trim().parse::<usize>().unwrap().min(400);
    // Nobody accepts meanwhile: who is not kept by the kernel has to try again.
    let waiting: Vec<_> = (0..burst).map(|_| TcpStream::connect_timeout(&address, PATIENCE / 20)).collect();
    assert_eq!(waiting.iter().filter(|client| client.is_err()).count(), 0);
}

#[test]
fn one_address_gets_its_share_and_the_last_seat_is_for_loopback() {
    let limits =
        Limits { loopback_exempt: false, connections_per_address_max: 2, head_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let _kept = [server.client().await, server.client().await];
        server.wait_until_open(2).await;
        let mut third = server.client().await;
        assert!(third.rest().await.starts_with(b"HTTP/1.1 503 "));
    });
    let limits = Limits { loopback_exempt: false, connections_max: 2, head_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let _kept = server.client().await;
        server.wait_until_open(1).await;
        let mut second = server.client().await;
        assert!(second.rest().await.starts_with(b"HTTP/1.1 503 "));
    });
}

// --- how it stops ---

#[test]
fn a_stop_closes_the_idle_and_lets_the_busy_finish() {
    let limits =
        Limits { head_time_max: PATIENCE, idle_time_max: PATIENCE, drain_time_max: PATIENCE, ..quick() };
    against(limits, async |server| {
        let mut idle = server.client().await;
        idle.send(GET).await;
        idle.reply().await;
        let mut endless = server.client().await;
        endless.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
        endless.head().await;
        let mut busy = server.client().await;
        busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bounded("the request", async {
            while server.echo.asked.borrow().len() < 3 {
                Timer::after(Duration::from_millis(1)).await;
            }
        })
        .await;
        server.port.stop();
        assert!(idle.is_closed().await);
        assert!(endless.rest().await.ends_with(b"\r\n0\r\n\r\n"), "a clean end");
        assert!(Async::<TcpStream>::connect(server.address).await.is_err());
        server.echo.may_answer.set(true);
        let reply = busy.reply().await;
        assert!(reply.head.contains("connection: close"));
        assert!(busy.is_closed().await);
    });
}

#[test]
fn a_stop_does_not_wait_for_an_answer_that_never_comes() {
    against(quick(), async |server| {
        let mut client = server.client().await;
        client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.wait_until_open(1).await;
        server.port.stop();
        assert!(client.is_closed().await);
    });
}

#[test]
fn a_host_may_be_a_name_or_an_address_of_either_family() {
    assert!(!bind("localhost", 0).unwrap().is_empty());
    let listeners = bind("127.0.0.1", 0).unwrap();
    let taken = listeners[0].get_ref().local_addr().unwrap().port();
    assert_eq!(bind("127.0.0.1", taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    match bind("[::1]", 0) {
        Ok(listeners) => assert!(listeners[0].get_ref().local_addr().unwrap().is_ipv6()),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::InvalidInput),
    }
}
