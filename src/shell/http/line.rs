//! A socket and the bytes that came over it before their turn: at most 8 KiB, given up when empty. More than 2 KiB of them, a long head,
//! are counted among the bodies, so that many clients with long heads cannot take more memory than those with long bodies.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};

use super::alarm::{Alarm, now};
use super::port::{Seat, Share};
use super::refusal::Refusal;
use super::stream::Stream;
use crate::agent::limits::HEAD_BYTES_MAX;
use crate::wire::http_chunks::Chunks;
use crate::wire::http_head::{self, Framing, Head, Scan};

/// Bytes read at once.
const READ_BYTES: usize = 4 * 1024;
/// Bytes that may be ahead without being counted: two of the usual requests.
const AHEAD_FREE_BYTES: usize = 2 * 1024;
/// Bytes of a connection that is at its end which are read and dropped, so that the last answer is not lost.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// How many bytes of the socket belong to the request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// So many more.
    Exactly(u64),
    /// Only hyper can tell, so the connection ends with this request.
    Unknown,
}

/// What a connection brings next.
pub(super) enum Next {
    /// A whole head that can be read in one way only; it and its body are `left`.
    Request,
    /// Something that is refused.
    Refuse(Refusal),
    /// Nothing: the client left, took too long, or the server stops.
    Gone,
}

/// A request in chunks while it is passed on: what of its head has not been, and how far its body is.
#[derive(Default)]
struct Chunked {
    head_left: usize,
    body: Chunks,
}

impl Chunked {
    /// How many of the next bytes may be passed on; all of them unless the request is one in chunks.
    ///
    /// # Errors
    /// The first of them is no part of such a body.
    fn undoubted(&mut self, left: Left, bytes: &[u8]) -> io::Result<usize> {
        if left != Left::Unknown {
            return Ok(bytes.len());
        }
        let of_head = bytes.len().min(self.head_left);
        self.head_left -= of_head;
        match of_head + self.body.take(&bytes[of_head..]) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::InvalidData.into()),
            good => Ok(good),
        }
    }
}

/// A connection's socket with what was read ahead.
pub(super) struct Line {
    socket: Stream,
    ahead: Vec<u8>,
    scanned: usize,
    pub(super) left: Left,
    chunked: Chunked,
    wants_upgrade: bool,
    head_bytes: usize,
    is_simple: bool,
    /// Whether the client wants to go on after the request at hand.
    pub(super) is_kept: bool,
    /// What of the memory for large bodies the bytes ahead hold.
    share: Option<Share>,
}

impl Line {
    pub(super) fn new(socket: Stream) -> Line {
        Line {
            socket,
            ahead: Vec::new(),
            scanned: 0,
            left: Left::Exactly(0),
            chunked: Chunked::default(),
            wants_upgrade: false,
            head_bytes: 0,
            is_simple: false,
            is_kept: true,
            share: None,
        }
    }

    /// Waits for the next head; `patience` is how long its first byte may take.
    pub(super) async fn next(&mut self, seat: &Seat, alarm: &mut Alarm, patience: Duration) -> Next {
        let limits = *seat.port.limits();
        let first_due = now() + patience;
        let mut head_due = None;
        self.scanned = 0;
        poll_fn(|cx| {
            seat.watch_stop(cx);
            if seat.port.is_stopping() {
                return Poll::Ready(Next::Gone);
            }
            if let Poll::Ready(next) = self.poll_next(cx, seat, limits.body_bytes_max) {
                return Poll::Ready(next);
            }
            if !self.ahead.is_empty() && head_due.is_none() {
                head_due = Some(now() + limits.head_time_max);
            }
            alarm.poll_due(cx, Some(head_due.unwrap_or(first_due))).map(|()| Next::Gone)
        })
        .await
    }

    /// Whether nothing lies ahead: the next request must come over the socket first.
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_empty()
    }

    /// How many bytes may be ahead.
    fn ahead_max(&self) -> usize {
        if self.share.is_some() { HEAD_BYTES_MAX } else { AHEAD_FREE_BYTES }
    }

    /// Whether more bytes may come ahead: from some on, they are counted among all bodies.
    fn has_room_ahead(&mut self, seat: &Seat) -> bool {
        if self.ahead.len() < self.ahead_max() {
            return true;
        }
        let mut share = Share::new(&seat.port, seat.address());
        let is_within = share.try_grow(HEAD_BYTES_MAX - AHEAD_FREE_BYTES);
        self.share = is_within.then_some(share);
        is_within
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, seat: &Seat, body_bytes_max: usize) -> Poll<Next> {
        loop {
            if self.is_worth_a_scan() {
                self.scanned = self.ahead.len();
                match http_head::scan(&self.ahead) {
                    Scan::Partial if self.ahead.len() < HEAD_BYTES_MAX => {}
                    Scan::Partial | Scan::TooLarge => {
                        return Poll::Ready(Next::Refuse(Refusal::HeadTooLarge));
                    }
                    Scan::Doubt(reason) => return Poll::Ready(Next::Refuse(Refusal::Doubt(reason))),
                    Scan::Head(head) => return Poll::Ready(self.enter_request(&head, body_bytes_max)),
                }
            }
            if !self.has_room_ahead(seat) {
                return Poll::Ready(Next::Refuse(Refusal::BodiesFull));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(Next::Gone),
                Ok(_) => {}
            }
        }
    }

    /// A head that drips in is scanned at each line end and each doubling, not at each byte.
    fn is_worth_a_scan(&self) -> bool {
        let new = &self.ahead[self.scanned..];
        !new.is_empty()
            && (new.contains(&b'\n')
                || self.ahead.len() >= 2 * self.scanned
                || self.ahead.len() >= HEAD_BYTES_MAX)
    }

    fn enter_request(&mut self, head: &Head, body_bytes_max: usize) -> Next {
        let head_bytes = head.len as u64;
        self.wants_upgrade = head.wants_upgrade && head.framing == Framing::None;
        self.head_bytes = head.len;
        self.is_simple = !head.is_http10 && !head.expects_continue && !head.wants_upgrade;
        self.is_kept = head.keep_alive;
        self.left = match head.framing {
            Framing::None => Left::Exactly(head_bytes),
            Framing::Length(bytes) if bytes > body_bytes_max as u64 => {
                return Next::Refuse(Refusal::BodyTooLarge);
            }
            Framing::Length(bytes) => Left::Exactly(head_bytes + bytes),
            Framing::Chunked => {
                self.chunked = Chunked { head_left: head.len, body: Chunks::default() };
                Left::Unknown
            }
        };
        Next::Request
    }

    /// The head at hand, if it asks for an upgrade and has no body.
    pub(super) fn upgrade_head(&self) -> Option<&[u8]> {
        let Left::Exactly(bytes) = self.left else { return None };
        if self.wants_upgrade { self.ahead.get(..usize::try_from(bytes).ok()?) } else { None }
    }

    /// Head and body of the request at hand, if all of it is here and it asks for nothing special.
    pub(super) fn whole(&self) -> Option<(&[u8], &[u8])> {
        let Left::Exactly(bytes) = self.left else { return None };
        let whole = self.ahead.get(..usize::try_from(bytes).ok()?)?;
        if self.is_simple { whole.split_at_checked(self.head_bytes) } else { None }
    }

    /// Whether the request at hand is whole and holds next to nothing: one that reads, without a body.
    pub(super) fn is_light(&self) -> bool {
        self.whole().is_some_and(|(head, body)| {
            body.is_empty() && (head.starts_with(b"GET ") || head.starts_with(b"HEAD "))
        })
    }

    /// Drops the request at hand, of which all is here.
    pub(super) fn pass_over(&mut self) {
        if let Left::Exactly(bytes) = self.left {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.drop_ahead(bytes.min(self.ahead.len()));
            self.left = Left::Exactly(0);
        }
    }

    /// Drops the head at hand: the socket, and what came behind it.
    pub(super) fn into_parts(mut self) -> (Stream, Vec<u8>) {
        if let Left::Exactly(bytes) = self.left {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.drop_ahead(bytes.min(self.ahead.len()));
        }
        (self.socket, self.ahead)
    }

    /// Reads what has come into the bytes ahead; 0 means that the client has closed its side.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let room = READ_BYTES.min(self.ahead_max().saturating_sub(self.ahead.len()));
        let n = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut bytes[..room]))?;
        if self.ahead.capacity() - self.ahead.len() < n {
            let wanted = (self.ahead.len() + n).next_power_of_two();
            self.ahead.reserve_exact(wanted - self.ahead.len());
        }
        self.ahead.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    /// Passes bytes of the request under way to `give`, at most `room`; nothing is passed once the client has closed
    /// its side. Pending for good when the request has been passed on whole.
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        give: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        let room = match self.left {
            Left::Exactly(0) => return Poll::Pending,
            Left::Exactly(left) => room.min(usize::try_from(left).unwrap_or(usize::MAX)),
            Left::Unknown => room,
        };
        let n = if self.ahead.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let room = room.min(READ_BYTES);
            let n = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut bytes[..room]))?;
            let good = self.chunked.undoubted(self.left, &bytes[..n])?;
            give(&bytes[..good]);
            self.ahead.extend_from_slice(&bytes[good..n]);
            good
        } else {
            let n = self.chunked.undoubted(self.left, &self.ahead[..room.min(self.ahead.len())])?;
            give(&self.ahead[..n]);
            self.drop_ahead(n);
            n
        };
        if let Left::Exactly(left) = &mut self.left {
            *left -= n as u64;
        }
        Poll::Ready(Ok(()))
    }

    fn drop_ahead(&mut self, n: usize) {
        if n == self.ahead.len() {
            self.ahead = Vec::new();
            self.share = None;
        } else {
            self.ahead.drain(..n);
            // What is left may stay for as long as an answer lasts: it must not hold what a long head was given.
            if self.share.is_some() && self.ahead.len() <= AHEAD_FREE_BYTES {
                self.ahead.shrink_to_fit();
                self.share = None;
            }
        }
    }

    /// Ready when the client has closed its side or broken the connection after its request; reads ahead to find
    /// out, as far as there is room.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left != Left::Exactly(0) {
            return Poll::Pending;
        }
        while self.ahead.len() < self.ahead_max() {
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        // There is no room to read on, but the kernel tells of the end before what is in front of it was read.
        self.socket.poll_ending(cx)
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    /// Ready when the kernel has taken what was written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Writes head and body of an answer; gives up when the client takes none of it for so long.
    pub(super) async fn send(
        &mut self,
        alarm: &mut Alarm,
        head: &[u8],
        body: &[u8],
        stall_max: Duration,
    ) -> bool {
        let (mut head, mut body) = (head, body);
        let mut due = None;
        poll_fn(|cx| {
            loop {
                let written = if head.is_empty() && body.is_empty() {
                    self.poll_flush(cx).map_ok(|()| None)
                } else {
                    self.poll_write(cx, &[io::IoSlice::new(head), io::IoSlice::new(body)]).map_ok(Some)
                };
                match written {
                    Poll::Ready(Ok(None)) => return Poll::Ready(true),
                    Poll::Ready(Ok(Some(n))) if n > 0 => {
                        let of_head = n.min(head.len());
                        (head, body) = (&head[of_head..], &body[n - of_head..]);
                        due = None;
                    }
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => {
                        let due = *due.get_or_insert_with(|| now() + stall_max);
                        return alarm.poll_due(cx, Some(due)).map(|()| false);
                    }
                }
            }
        })
        .await
    }

    /// Writes an answer of the port's own; gives up when the client does not take it.
    pub(super) async fn write(&mut self, alarm: &mut Alarm, bytes: &[u8], stall_max: Duration) -> bool {
        let due = now() + stall_max;
        let mut rest = bytes;
        poll_fn(|cx| {
            while !rest.is_empty() {
                match Pin::new(&mut self.socket).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => rest = &rest[n..],
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => return alarm.poll_due(cx, Some(due)).map(|()| false),
                }
            }
            match self.poll_flush(cx) {
                Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
                Poll::Pending => alarm.poll_due(cx, Some(due)).map(|()| false),
            }
        })
        .await
    }

    /// Ends the connection so that the client can still read the last answer: a socket closed with unread bytes is
    /// reset, and a reset drops what the client has not read yet.
    pub(super) async fn linger(mut self, alarm: &mut Alarm, time_max: Duration) {
        if !poll_fn(|cx| Poll::Ready(self.socket.shut_down(cx))).await {
            return;
        }
        let due = now() + time_max;
        let mut dropped = 0;
        poll_fn(|cx| {
            // Here and not outside: what lives across a wait is part of every connection's task.
            let mut bytes = [0; READ_BYTES];
            while dropped < LINGER_BYTES_MAX {
                match Pin::new(&mut self.socket).poll_read(cx, &mut bytes) {
                    Poll::Ready(Ok(n)) if n > 0 => dropped += n,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return alarm.poll_due(cx, Some(due)),
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}
