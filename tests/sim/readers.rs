//! Clients that follow the log over WebSockets: the agent's own frames, cursor and page on both ends of a connection that
//! is cut in the middle of a frame, stalls, or is open on one side only. Each comes back with the last id that it has
//! seen, and must see each event once and in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use chainbot::agent::ids::{EventId, LedgerId, Seq};
use chainbot::api::Follow;
use chainbot::api::events::parse_follow;
use chainbot::shell::ws::cursor;
use chainbot::shell::ws::driver::{Next, Role, Socket};
use chainbot::wire::event_json::push_ledger_event;
use chainbot::wire::json::Json;
use futures_lite::{AsyncRead, AsyncWrite};

use crate::rng::Rng;
use crate::trace::note;
use crate::world::{Happening, World};

/// Clients in a world.
const READERS: usize = 2;
/// As the shell reads for a socket.
const PAGE_EVENTS: usize = 16;
const PAGE_BYTES: usize = 4 * 1024;
/// What a good connection holds, in bytes.
const GOOD_BYTES_MAX: usize = 64 * 1024;
/// Turns of both ends in one step.
const TURNS: usize = 40;

/// One way of a connection: bytes that were written and not read.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// How many of them the far side may have by now.
    arrived: usize,
    is_cut: bool,
}

type Shared = Rc<RefCell<Way>>;

/// An end of a connection.
#[derive(Debug)]
struct Wire {
    from: Shared,
    to: Shared,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut way = self.from.borrow_mut();
        let n = bytes.len().min(way.arrived);
        if n == 0 {
            return if way.is_cut {
                Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
            } else {
                Poll::Pending
            };
        }
        way.bytes.drain(..n).zip(bytes).for_each(|(byte, to)| *to = byte);
        way.arrived -= n;
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = self.to.borrow_mut();
        if way.is_cut {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let n = bytes.len().min(way.bytes_max - way.bytes.len());
        way.bytes.extend(&bytes[..n]);
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection with both of its ends.
struct Connection {
    boot: u32,
    server: Socket<Wire>,
    client: Socket<Wire>,
    down: Shared,
    up: Shared,
    follow: Follow,
    /// Steps for which nothing comes through.
    stalled: u64,
    /// The client has given it up, and the server does not know.
    is_half_open: bool,
}

#[derive(Default)]
struct Reader {
    connection: Option<Connection>,
    /// Connections that the server still feeds and nobody reads.
    abandoned: Option<Connection>,
    /// Where it began, and everything that it saw.
    begun: Option<Seq>,
    seen: Vec<u64>,
    /// The log dropped what it had not seen: it may miss events.
    was_lost: bool,
}

/// All readers of a world.
pub struct Readers {
    readers: Vec<Reader>,
    rng: Rng,
    /// Connections that were made.
    pub connections: u64,
}

impl Readers {
    /// Nobody is connected.
    pub fn new(seed: u64) -> Self {
        let readers = std::iter::repeat_with(Reader::default).take(READERS).collect();
        Self { readers, rng: Rng::new(seed, "readers"), connections: 0 }
    }
}

impl World {
    /// The readers begin.
    pub fn begin_reading(&mut self) {
        for reader in 0..READERS {
            let wait = self.readers.rng.below(30_000);
            self.after(wait, Happening::Reader(reader));
        }
    }

    /// A reader, and the server's end of its connection, have their turn.
    pub fn reader_step(&mut self, index: usize) {
        let mut reader = std::mem::take(&mut self.readers.readers[index]);
        let boot = self.node.as_ref().map(|node| node.boot);
        // The process ended, and its connections with it; a client hears of that, or does not.
        reader.abandoned = reader.abandoned.filter(|connection| Some(connection.boot) == boot);
        if reader.connection.as_ref().is_some_and(|connection| Some(connection.boot) != boot) {
            reader.connection = None;
        }
        if boot.is_some() && reader.connection.is_none() {
            self.connect(index, &mut reader);
        }
        if let Some(mut connection) = reader.abandoned.take() {
            self.feed_reader(&mut connection);
            reader.abandoned = Some(connection);
        }
        if let Some(mut connection) = reader.connection.take() {
            let is_over = self.exchange(index, &mut reader, &mut connection);
            if connection.is_half_open {
                reader.abandoned = Some(connection);
            } else if !is_over {
                reader.connection = Some(connection);
            }
        }
        self.readers.readers[index] = reader;
        let mean = if self.is_healed { 30_000 } else { 20_000 };
        let wait = self.readers.rng.gap(mean) + 1;
        self.after(wait, Happening::Reader(index));
    }

    fn ends(&self) -> Option<(EventId, Seq)> {
        self.node.as_ref().map(|node| (node.agent.durable(), node.agent.oldest()))
    }

    fn connect(&mut self, index: usize, reader: &mut Reader) {
        let Some((durable, oldest)) = self.ends() else { return };
        let since = match (reader.seen.last(), reader.begun) {
            (Some(seq), _) => format!("since={}", EventId { seq: Seq(*seq), ledger: durable.ledger }),
            // Of a live reader that saw nothing yet: it goes on where it began.
            (None, Some(Seq(0))) => "since=0".to_owned(),
            (None, Some(seq)) => format!("since={}", EventId { seq, ledger: durable.ledger }),
            (None, None) => if index == 0 { "since=0" } else { "" }.to_owned(),
        };
        let Ok(mut follow) = parse_follow(&since, durable.ledger, durable.seq) else {
            panic!("{since} is refused")
        };
        reader.was_lost |= cursor::is_lost(&follow, oldest);
        cursor::begin(&mut follow, oldest);
        if reader.begun.is_none() {
            reader.begun = Some(follow.after);
        }
        let bytes_max = usize::try_from(self.readers.rng.within(200, 20_000)).expect("small");
        let way = || Rc::new(RefCell::new(Way { bytes_max, ..Way::default() }));
        let (down, up) = (way(), way());
        let server = Wire { from: Rc::clone(&up), to: Rc::clone(&down) };
        let client = Wire { from: Rc::clone(&down), to: Rc::clone(&up) };
        note!("reader {index} connects with {since:?}");
        self.readers.connections += 1;
        reader.connection = Some(Connection {
            boot: self.boots,
            server: Socket::new(server, &[], Role::Server),
            client: Socket::new(client, &[], Role::Client),
            down,
            up,
            follow,
            stalled: 0,
            is_half_open: false,
        });
    }

    /// Whether the connection is over.
    fn exchange(&mut self, index: usize, reader: &mut Reader, connection: &mut Connection) -> bool {
        let mut cut_at = None;
        if !self.is_healed {
            let rng = &mut self.readers.rng;
            connection.stalled = match connection.stalled {
                0 if rng.chance(60) => rng.within(1, 10),
                left => left.saturating_sub(1),
            };
            cut_at = rng.chance(60).then(|| usize::try_from(rng.below(TURNS as u64)).expect("small"));
            connection.is_half_open = rng.chance(30);
        } else {
            connection.stalled = 0;
        }
        for turn in 0..TURNS {
            let is_open = self.feed_reader(connection);
            if connection.stalled == 0 {
                self.carry(connection);
            }
            if cut_at == Some(turn) {
                // Somewhere in the middle of a frame, most likely.
                connection.down.borrow_mut().is_cut = true;
                connection.up.borrow_mut().is_cut = true;
            }
            if self.hear(index, reader, connection) {
                return true;
            }
            if !is_open {
                return true;
            }
        }
        false
    }

    /// Some of the bytes arrive.
    fn carry(&mut self, connection: &Connection) {
        for way in [&connection.down, &connection.up] {
            let mut way = way.borrow_mut();
            let waiting = way.bytes.len() - way.arrived;
            if self.is_healed {
                way.bytes_max = GOOD_BYTES_MAX;
                way.arrived += waiting;
            } else {
                way.arrived += usize::try_from(self.readers.rng.within(0, waiting as u64)).expect("small");
            }
        }
    }

    /// The server's end; false when it is closed.
    fn feed_reader(&mut self, connection: &mut Connection) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let Some((durable, oldest)) = self.ends() else { return false };
        let Connection { server, follow, .. } = connection;
        if let Poll::Ready(Next::Ended(_)) = server.poll_next(&mut cx) {
            return false;
        }
        if server.poll_flush(&mut cx).is_pending() || follow.after >= durable.seq {
            return true;
        }
        if cursor::is_lost(follow, oldest) {
            note!("a reader is too far behind");
            server.close(1013, "");
            return server.poll_flush(&mut cx).is_pending();
        }
        let page = self.store.page(follow.after, &follow.filter, PAGE_EVENTS, PAGE_BYTES);
        // A disk that cannot be read just now is asked again.
        if let Some(page) = page {
            let show = |event: &chainbot::agent::event::Event| {
                let mut text = String::new();
                push_ledger_event(&mut text, event, durable.ledger);
                Some(text)
            };
            cursor::give(server, follow, &page, durable, show, |_| true);
            let _ = server.poll_flush(&mut cx);
        }
        true
    }

    /// The client's end; true when it is over.
    fn hear(&self, index: usize, reader: &mut Reader, connection: &mut Connection) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match connection.client.poll_next(&mut cx) {
                Poll::Pending => return false,
                Poll::Ready(Next::Ended(_)) => return true,
                Poll::Ready(Next::Text(text)) => {
                    let seq = seq_of(text.as_str(), self.checks.ledger());
                    let last = reader.seen.last().copied().or(reader.begun.map(|seq| seq.0)).unwrap_or(0);
                    assert!(seq > last, "reader {index} sees {seq} after {last}");
                    assert!(seq <= self.checks.last(), "reader {index} sees {seq}, which is not durable");
                    reader.seen.push(seq);
                }
                Poll::Ready(_) => {}
            }
        }
    }

    /// What the readers have not seen, after everything healed.
    pub fn wrong_with_readers(&self) -> Option<String> {
        let oldest = self.ends()?.1;
        let log: Vec<u64> = self.store.scan()?.iter().map(|event| event.seq.0).collect();
        self.readers.readers.iter().enumerate().find_map(|(index, reader)| {
            let begun = reader.begun?.0;
            let is_expected = |seq: &&u64| **seq > begun && !reader.seen.contains(seq);
            let missing: Vec<&u64> = log.iter().filter(is_expected).collect();
            // Events that the ledger drops while a reader is away are nobody's fault.
            let is_excused = reader.was_lost || begun < oldest.0 && self.plan.is_capped();
            let last = log.last().copied().unwrap_or(0);
            let is_behind = last > begun && reader.seen.last() != Some(&last);
            (is_behind || !missing.is_empty() && !is_excused)
                .then(|| format!("reader {index} has not seen {missing:?}"))
        })
    }
}

fn seq_of(text: &str, ledger: LedgerId) -> u64 {
    let json = Json::parse(text.as_bytes()).expect("an event is JSON");
    let id = json.get("id").and_then(|id| id.text()).expect("an event has an id").into_owned();
    let id = EventId::parse(&id).unwrap_or_else(|| panic!("{id} is no id"));
    assert_eq!(id.ledger, ledger, "an event of another ledger");
    id.seq.0
}
