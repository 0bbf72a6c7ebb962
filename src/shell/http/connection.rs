//! One connection from its first byte to its last: head, exchange, head, exchange, end.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::server::conn::http1::Builder;

use super::adapter::Adapter;
use super::alarm::{Alarm, now};
use super::direct::{self, Held};
use super::exchange::{Exchange, Handler};
use super::line::{Left, Line, Next};
use super::port::{Seat, Turn};
use super::refusal::Refusal;
use super::service::{Service, Upgrade};
use super::stream;
use super::upgrade;
use crate::shell::reactor::{self, Async};

/// hyper's read buffer is of this size, and it is the least that hyper takes for its bound.
const HYPER_BYTES_MAX: usize = 8 * 1024;
/// Requests that are answered one after the other as they lie ahead, before others have their turn.
const AT_ONCE_MAX: u8 = 16;

/// What is left of a connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The next request may come.
    Kept,
    /// The answer was the last; the client may still be reading it.
    Last,
    /// Nobody is there to read on.
    Lost,
}

/// Serves a connection to its end.
pub(super) async fn attend(socket: Async<TcpStream>, peer: SocketAddr, seat: Seat, service: Rc<dyn Service>) {
    let limits = *seat.port.limits();
    let mut alarm = Alarm::new();
    let Some(stream) = stream::open(socket, peer, &seat, &mut alarm).await else { return };
    let mut line = Line::new(stream);
    let mut patience = limits.head_time_max;
    let mut at_once = 0;
    loop {
        let outcome = match line.next(&seat, &mut alarm, patience).await {
            Next::Gone => Outcome::Lost,
            Next::Refuse(refusal) => refuse(refusal, &mut line, &mut alarm, peer, &seat).await,
            Next::Request => match try_upgrade(&line, peer, &service) {
                Some(upgrade) => return enter_upgraded(line, alarm, seat, upgrade).await,
                None => in_turn(&mut line, &mut alarm, peer, &seat, &service).await,
            },
        };
        match outcome {
            Outcome::Kept => {
                patience = limits.idle_time_max;
                at_once = if line.is_empty() { 0 } else { at_once + 1 };
                if at_once == AT_ONCE_MAX {
                    at_once = 0;
                    reactor::rest().await;
                }
            }
            Outcome::Last => return line.linger(&mut alarm, limits.linger_time_max).await,
            Outcome::Lost => return,
        }
    }
}

fn try_upgrade(line: &Line, peer: SocketAddr, service: &Rc<dyn Service>) -> Option<Upgrade> {
    let incoming = upgrade::incoming(line.upgrade_head()?, peer)?;
    service.upgrade(&incoming)
}

/// Says 101 and hands the connection over. The seat is given back: what comes has places of its own.
async fn enter_upgraded(mut line: Line, mut alarm: Alarm, seat: Seat, upgrade: Upgrade) {
    let limits = *seat.port.limits();
    if !line.write(&mut alarm, &upgrade::to_wire(&upgrade), limits.write_stall_max).await {
        return;
    }
    seat.port.count(101);
    let port = seat.port.clone();
    drop(seat);
    drop(alarm);
    let (socket, ahead) = line.into_parts();
    if let Some(socket) = (upgrade.run)(socket, ahead).await {
        Line::new(socket).linger(&mut Alarm::new(), limits.linger_time_max).await;
    }
    // A port that stops waits for the last connection, seated or not.
    port.wake_watchers();
}

pub(super) async fn refuse(
    refusal: Refusal,
    line: &mut Line,
    alarm: &mut Alarm,
    peer: SocketAddr,
    seat: &Seat,
) -> Outcome {
    log::debug!("request_refused peer={peer} reason={refusal:?}");
    seat.port.count(refusal.status());
    let was_written = line.write(alarm, &refusal.to_wire(), seat.port.limits().write_stall_max).await;
    if was_written { Outcome::Last } else { Outcome::Lost }
}

/// Waits until the request may begin; `None` if that takes too long.
pub(super) async fn turn<'s>(alarm: &mut Alarm, peer: SocketAddr, seat: &'s Seat) -> Option<Turn<'s>> {
    let due = now() + seat.port.limits().head_time_max;
    let mut turn = pin!(seat.port.turn(peer.ip()));
    poll_fn(|cx| match turn.as_mut().poll(cx) {
        Poll::Ready(turn) => Poll::Ready(Some(turn)),
        Poll::Pending => alarm.poll_due(cx, Some(due)).map(|()| None),
    })
    .await
}

async fn in_turn(
    line: &mut Line,
    alarm: &mut Alarm,
    peer: SocketAddr,
    seat: &Seat,
    service: &Rc<dyn Service>,
) -> Outcome {
    let mut held = Held::nothing(seat, peer);
    if !line.is_light() {
        held.turn = turn(alarm, peer, seat).await;
        if held.turn.is_none() {
            return refuse(Refusal::Busy, line, alarm, peer, seat).await;
        }
    }
    match direct::take(line, peer, &mut held.share) {
        Some(request) => direct::exchange(line, alarm, held, service, request).await,
        // Boxed: an idle connection, or one that becomes a socket, must not hold hyper's room.
        None => Box::pin(exchange(line, alarm, peer, seat, held.turn, service)).await,
    }
}

async fn exchange(
    line: &mut Line,
    alarm: &mut Alarm,
    peer: SocketAddr,
    seat: &Seat,
    mut held: Option<Turn<'_>>,
    service: &Rc<dyn Service>,
) -> Outcome {
    if held.is_none() {
        held = turn(alarm, peer, seat).await;
    }
    let Some(turn) = held else { return refuse(Refusal::Busy, line, alarm, peer, seat).await };
    let is_length_unknown = line.left == Left::Unknown;
    let exchange = Exchange::new(seat.port.clone(), service.clone(), peer, is_length_unknown);
    let outcome = run_hyper(line, alarm, seat, turn, &exchange).await;
    match outcome {
        Outcome::Kept if line.left != Left::Exactly(0) => Outcome::Last,
        outcome => outcome,
    }
}

async fn run_hyper(
    line: &mut Line,
    alarm: &mut Alarm,
    seat: &Seat,
    turn: Turn<'_>,
    exchange: &Rc<Exchange>,
) -> Outcome {
    // What lasts must not keep others waiting.
    let mut turn = Some(turn);
    let line = RefCell::new(line);
    let adapter = Adapter { line: &line, exchange: exchange.clone() };
    let mut builder = Builder::new();
    // hyper would keep a second buffer of 8 KiB for each request under way, to read the client's leaving into.
    builder.max_buf_size(HYPER_BYTES_MAX).header_read_timeout(None).half_close(true);
    let mut hyper = pin!(builder.serve_connection(adapter, Handler(exchange.clone())));
    poll_fn(|cx| {
        seat.watch_stop(cx);
        loop {
            if let Poll::Ready(end) = hyper.as_mut().poll(cx) {
                return Poll::Ready(if end.is_ok() || exchange.is_finished() {
                    Outcome::Last
                } else {
                    Outcome::Lost
                });
            }
            if exchange.is_finished() {
                return Poll::Ready(if exchange.is_closing() { Outcome::Last } else { Outcome::Kept });
            }
            if exchange.is_lasting() {
                turn = None;
                if line.borrow_mut().poll_left(cx).is_ready() {
                    return Poll::Ready(Outcome::Lost);
                }
            }
            if alarm.poll_due(cx, exchange.due()).is_pending() {
                return Poll::Pending;
            }
            if !exchange.on_due() {
                return Poll::Ready(Outcome::Lost);
            }
        }
    })
    .await
}
