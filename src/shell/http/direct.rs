//! A request that has arrived whole and asks for nothing special, answered without hyper and its buffers.
//!
//! ```text
//!   turn, unless it only reads --> decided --> answered
//!                                     |  it waits for its commit or a model, or its reader for a small answer: the turn goes to the next
//!                                     v
//!                                  waiting --> answered
//! ```
//!
//! So a hundred requests may wait for one commit, where hyper would hold 20 KiB for each, and `/health` waits for nobody. What an answer
//! holds while its client does not read is bounded by the turns all the same: a large one takes one, and so does a body made piece by
//! piece that has an end. Not here: what comes in pieces or in chunks, HTTP/1.0 and `Expect`. They go through
//! `exchange`.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::{Method, StatusCode};

use super::alarm::Alarm;
use super::connection::{self, Outcome};
use super::line::Line;
use super::port::{Seat, Share, Turn};
use super::refusal::Refusal;
use super::service::{Answer, AnswerBody, Chunk, ChunkSource, Handling, Incoming, Pace, Service, reason_of};
use super::upgrade;
use crate::shell::reactor;

/// A piece of a streamed body below this goes out together with what is before and behind it.
const SMALL_BYTES: usize = 512;
/// Bytes of an answer that may wait for its reader without being counted.
const STALLED_FREE_BYTES: usize = 1024;

/// What a request holds of what all share.
pub(super) struct Held<'s> {
    pub(super) turn: Option<Turn<'s>>,
    pub(super) share: Share,
    seat: &'s Seat,
    peer: SocketAddr,
}

impl<'s> Held<'s> {
    pub(super) fn nothing(seat: &'s Seat, peer: SocketAddr) -> Self {
        Self { turn: None, share: Share::new(&seat.port, peer.ip()), seat, peer }
    }

    fn let_go(&mut self) {
        self.turn = None;
        self.share.clear();
    }

    /// Whether an answer that holds so many bytes may wait for its reader.
    fn may_stall(&mut self, bytes: usize) -> bool {
        self.share.clear();
        if bytes <= STALLED_FREE_BYTES {
            self.turn = None;
            return true;
        }
        if self.turn.is_none() {
            self.turn = self.seat.port.try_turn(self.peer.ip());
        }
        self.turn.is_some() || self.share.try_grow(bytes)
    }
}

/// The request at hand, if it can be answered here: taken off the line, its body within the share of all bodies.
pub(super) fn take(line: &mut Line, peer: SocketAddr, share: &mut Share) -> Option<Incoming> {
    let (head, body) = line.whole()?;
    let mut request = upgrade::incoming(head, peer)?;
    let may_have_body = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&request.method);
    if request.method == Method::CONNECT || !(may_have_body || body.is_empty()) || !share.try_grow(body.len())
    {
        return None;
    }
    request.body = body.to_vec();
    line.pass_over();
    Some(request)
}

/// Answers a request that was taken off the line.
pub(super) async fn exchange(
    line: &mut Line,
    alarm: &mut Alarm,
    mut held: Held<'_>,
    service: &Rc<dyn Service>,
    request: Incoming,
) -> Outcome {
    let seat = held.seat;
    let is_head = request.method == Method::HEAD;
    let pace = Rc::clone(&request.pace);
    let Some(answer) = handled(line, &mut held, service.handle(request), &pace).await else {
        return Outcome::Lost;
    };
    let is_closing = answer.close || !line.is_kept || seat.port.is_stopping();
    let is_lasting = pace.get() == Pace::Lasting;
    if let AnswerBody::Stream(source) = &answer.body
        && !(is_head || is_lasting || source.is_endless() || held.turn.is_some())
    {
        held.turn = connection::turn(alarm, held.peer, seat).await;
        if held.turn.is_none() {
            return connection::refuse(Refusal::Busy, line, alarm, held.peer, seat).await;
        }
    }
    let head = head_of(&answer, seat, is_closing, is_head);
    let was_sent = match answer.body {
        _ if is_head => send_whole(line, alarm, held, &head, &[], 0).await,
        AnswerBody::Empty => send_whole(line, alarm, held, &head, &[], 0).await,
        AnswerBody::Static(bytes) => send_whole(line, alarm, held, &head, bytes, 0).await,
        AnswerBody::Bytes(bytes) => send_whole(line, alarm, held, &head, &bytes, bytes.capacity()).await,
        AnswerBody::Stream(source) => {
            // Boxed: a connection must not hold the room of a stream for good.
            Box::pin(stream(line, alarm, held, source, head, is_lasting)).await
        }
    };
    match (was_sent, is_closing) {
        (false, _) => Outcome::Lost,
        (true, true) => Outcome::Last,
        (true, false) => Outcome::Kept,
    }
}

/// Sends an answer that is there whole, of which so many bytes are in memory until it is with the kernel.
async fn send_whole(
    line: &mut Line,
    alarm: &mut Alarm,
    mut held: Held<'_>,
    head: &[u8],
    body: &[u8],
    body_bytes: usize,
) -> bool {
    let stall_max = held.seat.port.limits().write_stall_max;
    let mut sending = pin!(line.send(alarm, head, body, stall_max));
    let mut is_stalled = false;
    poll_fn(|cx| {
        let sent = sending.as_mut().poll(cx);
        if sent.is_pending() && !std::mem::replace(&mut is_stalled, true) && !held.may_stall(body_bytes) {
            log::debug!(
                "answer_dropped peer={} why=\"too many large answers wait for their readers\"",
                held.peer
            );
            return Poll::Ready(false);
        }
        sent
    })
    .await
}

/// The answer; `None` if the client left before one that takes long.
async fn handled(
    line: &mut Line,
    held: &mut Held<'_>,
    mut handling: Handling,
    pace: &Cell<Pace>,
) -> Option<Answer> {
    poll_fn(|cx| {
        if let Poll::Ready(answer) = handling.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        if pace.get() != Pace::Prompt {
            held.let_go();
        }
        if pace.get() == Pace::Lasting {
            return line.poll_left(cx).map(|()| None);
        }
        Poll::Pending
    })
    .await
}

/// Sends a body piece by piece, in chunks (RFC 9112 section 7.1). Whether it was sent whole.
async fn stream(
    line: &mut Line,
    alarm: &mut Alarm,
    mut held: Held<'_>,
    mut source: Box<dyn ChunkSource>,
    head: Vec<u8>,
    is_lasting: bool,
) -> bool {
    let seat = held.seat;
    held.share.clear();
    let stall_max = seat.port.limits().write_stall_max;
    let is_endless = source.is_endless();
    let mut out = head;
    loop {
        let next = poll_fn(|cx| {
            seat.watch_stop(cx);
            if is_endless && seat.port.is_stopping() {
                return Poll::Ready(Some(Some(Chunk::End)));
            }
            if let Poll::Ready(chunk) = source.poll_next(cx) {
                return Poll::Ready(Some(Some(chunk)));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(None));
            }
            if is_endless || is_lasting {
                held.let_go();
                return line.poll_left(cx).map(|()| None);
            }
            Poll::Pending
        });
        match next.await {
            // Nothing yet, so what there is goes out.
            Some(None) => {}
            Some(Some(Chunk::Bytes(bytes))) if bytes.is_empty() => continue,
            Some(Some(Chunk::Bytes(bytes))) => {
                // Writing into memory does not fail.
                let _ = write!(out, "{:x}\r\n", bytes.len());
                if bytes.len() < SMALL_BYTES {
                    out.extend_from_slice(&bytes);
                    out.extend_from_slice(b"\r\n");
                    if out.len() < SMALL_BYTES {
                        continue;
                    }
                } else {
                    if !line.send(alarm, &out, &bytes, stall_max).await {
                        return false;
                    }
                    out = b"\r\n".to_vec();
                    // To make a piece takes time, and a client that takes each at once never ends the poll.
                    reactor::rest().await;
                    continue;
                }
            }
            Some(Some(Chunk::End)) => {
                out.extend_from_slice(b"0\r\n\r\n");
                return line.send(alarm, &out, &[], stall_max).await;
            }
            Some(Some(Chunk::Cut)) | None => return false,
        }
        if !line.send(alarm, &std::mem::take(&mut out), &[], stall_max).await {
            return false;
        }
        reactor::rest().await;
    }
}

/// The head of an answer; counts it.
fn head_of(answer: &Answer, seat: &Seat, is_closing: bool, is_head: bool) -> Vec<u8> {
    let status = answer.sent_status();
    seat.port.count(status.as_u16());
    let mut head = Vec::with_capacity(256);
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason_of(status)] {
        head.extend_from_slice(part.as_bytes());
    }
    if !answer.content_type.is_empty() {
        put(&mut head, "content-type", answer.content_type);
    }
    for (name, value) in &answer.headers {
        if value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f)) {
            put(&mut head, name, value);
        } else {
            log::warn!("header_dropped name={name}");
        }
    }
    if is_closing {
        put(&mut head, "connection", "close");
    }
    let has_length = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = match &answer.body {
        AnswerBody::Stream(_) => None,
        AnswerBody::Empty => Some(0),
        AnswerBody::Static(bytes) => Some(bytes.len()),
        AnswerBody::Bytes(bytes) => Some(bytes.len()),
    };
    match length {
        None if is_head => {}
        None => put(&mut head, "transfer-encoding", "chunked"),
        Some(length) if has_length => {
            // Writing into memory does not fail.
            let _ = write!(head, "\r\ncontent-length: {length}");
        }
        Some(_) => {}
    }
    seat.port.with_date(|date| put(&mut head, "date", date));
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// A field, with the end of the line before it.
fn put(head: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["\r\n", name, ": ", value] {
        head.extend_from_slice(part.as_bytes());
    }
}
