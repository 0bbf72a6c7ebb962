//! A request that has arrived whole and asks for nothing special, answered without hyper and its buffers.
//!
//! ```text
//!   turn --> decided --> answered
//!               |  it waits for its commit, a model or its reader: the turn goes to the next
//!               v
//!            waiting --> answered
//! ```
//!
//! So a hundred requests may wait for one commit, where hyper would hold 20 KiB for each. Not here: what comes in pieces or in chunks,
//! HTTP/1.0, `Connection: close` and `Expect`. They go through `exchange`.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use hyper::{Method, StatusCode};

use super::alarm::Alarm;
use super::connection::Outcome;
use super::line::Line;
use super::port::{Seat, Share, Turn};
use super::service::{Answer, AnswerBody, Chunk, ChunkSource, Handling, Incoming, Pace, Service};
use super::upgrade;

/// A piece of a streamed body below this goes out together with what is before and behind it.
const SMALL_BYTES: usize = 512;

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
    seat: &Seat,
    (turn, share): (Turn<'_>, Share),
    service: &Rc<dyn Service>,
    request: Incoming,
) -> Outcome {
    let is_head = request.method == Method::HEAD;
    let pace = Rc::clone(&request.pace);
    let mut held = Some((turn, share));
    let Some(answer) = handled(line, &mut held, service.handle(request), &pace).await else {
        return Outcome::Lost;
    };
    let is_closing = answer.close || seat.port.is_stopping();
    let stall_max = seat.port.limits().write_stall_max;
    let head = head_of(&answer, seat, is_closing, is_head);
    let was_sent = match answer.body {
        _ if is_head => line.send(alarm, &head, &[], stall_max).await,
        AnswerBody::Empty => line.send(alarm, &head, &[], stall_max).await,
        AnswerBody::Static(bytes) => line.send(alarm, &head, bytes, stall_max).await,
        AnswerBody::Bytes(bytes) => line.send(alarm, &head, &bytes, stall_max).await,
        AnswerBody::Stream(source) => {
            // Boxed: a connection must not hold the room of a stream for good.
            Box::pin(stream(line, alarm, seat, held, source, (head, pace.get() == Pace::Lasting))).await
        }
    };
    match (was_sent, is_closing) {
        (false, _) => Outcome::Lost,
        (true, true) => Outcome::Last,
        (true, false) => Outcome::Kept,
    }
}

/// The answer; `None` if the client left before one that takes long.
async fn handled(
    line: &mut Line,
    held: &mut Option<(Turn<'_>, Share)>,
    mut handling: Handling,
    pace: &Cell<Pace>,
) -> Option<Answer> {
    poll_fn(|cx| {
        if let Poll::Ready(answer) = handling.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        if pace.get() != Pace::Prompt {
            *held = None;
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
    seat: &Seat,
    mut held: Option<(Turn<'_>, Share)>,
    mut source: Box<dyn ChunkSource>,
    (head, is_lasting): (Vec<u8>, bool),
) -> bool {
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
                held = None;
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
    }
}

/// The head of an answer; counts it.
fn head_of(answer: &Answer, seat: &Seat, is_closing: bool, is_head: bool) -> Vec<u8> {
    let status = match StatusCode::from_u16(answer.status) {
        Ok(status) if (200..600).contains(&answer.status) => status,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    seat.port.count(status.as_u16());
    let mut head = Vec::with_capacity(256);
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or("Unknown")] {
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
