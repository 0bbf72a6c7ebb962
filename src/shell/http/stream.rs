//! A connection of the open port with or without TLS, and which of both it becomes.
//!
//! ```text
//!   no certificate ---------------------------------------------> plain
//!   certificate: first byte of TLS --turn, handshake in time----> under TLS
//!                another one, from this machine ----------------> plain
//!                another one, from elsewhere -------------------> refused
//! ```

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};

use super::alarm::{Alarm, now};
use super::line::Line;
use super::port::{Seat, Share};
use super::refusal::Refusal;
use crate::agent::limits::HANDSHAKE_TIME_MAX_MS;
use crate::shell::reactor::Async;
use crate::shell::tls_server::TlsServer;

/// The first byte of every TLS connection: a record with a handshake message (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// A connection of the open port.
#[derive(Debug)]
pub enum Stream {
    /// Bytes as they are.
    Plain(Async<TcpStream>),
    /// Under TLS, its handshake done.
    Tls(Box<TlsServer>),
}

impl Stream {
    /// Ready when the client will send no more, or has broken the connection.
    pub(super) fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(socket) => socket.poll_ending(cx),
            Self::Tls(tls) => tls.socket().poll_ending(cx),
        }
    }

    /// Ends the writing half, so that the client sees an end; whether that could be done.
    pub(super) fn shut_down(&mut self, cx: &mut Context<'_>) -> bool {
        let socket = match self {
            Self::Plain(socket) => &*socket,
            Self::Tls(tls) => {
                tls.say_goodbye(cx);
                tls.socket()
            }
        };
        socket.get_ref().shutdown(Shutdown::Write).is_ok()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, bytes),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_close(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_close(cx),
        }
    }
}

/// Finds out what the client speaks; `None`: the connection is over.
pub(super) async fn open(
    socket: Async<TcpStream>,
    peer: SocketAddr,
    seat: &Seat,
    alarm: &mut Alarm,
) -> Option<Stream> {
    if seat.port.tls().is_none() {
        return Some(Stream::Plain(socket));
    }
    // Boxed: a connection must not hold the room of its handshake for good.
    Box::pin(open_either(socket, peer, seat, alarm)).await
}

async fn open_either(
    socket: Async<TcpStream>,
    peer: SocketAddr,
    seat: &Seat,
    alarm: &mut Alarm,
) -> Option<Stream> {
    let limits = *seat.port.limits();
    let mut first = [0];
    let peeked = within(alarm, seat, limits.head_time_max, socket.peek(&mut first)).await?.ok()?;
    if peeked == 0 {
        return None;
    }
    if first[0] == HANDSHAKE_RECORD {
        return shake_hands(socket, peer, seat, alarm).await;
    }
    let own = socket.get_ref().local_addr().ok()?.ip().to_canonical();
    if peer.ip().is_loopback() || peer.ip() == own {
        return Some(Stream::Plain(socket));
    }
    let refusal = Refusal::NoTls;
    log::debug!("request_refused peer={peer} reason={refusal:?}");
    seat.port.count(refusal.status());
    let mut line = Line::new(Stream::Plain(socket));
    if line.write(alarm, &refusal.to_wire(), limits.write_stall_max).await {
        line.linger(alarm, limits.linger_time_max).await;
    }
    None
}

async fn shake_hands(
    socket: Async<TcpStream>,
    peer: SocketAddr,
    seat: &Seat,
    alarm: &mut Alarm,
) -> Option<Stream> {
    let turn = poll_fn(|cx| {
        seat.watch_stop(cx);
        seat.port.try_handshake(peer.ip()).map_or(Poll::Pending, Poll::Ready)
    });
    let _turn = within(alarm, seat, seat.port.limits().head_time_max, turn).await?;
    let share = Share::new(&seat.port, peer.ip());
    let mut tls = Box::new(TlsServer::new(seat.port.tls()?, socket, share).ok()?);
    let handshake = poll_fn(|cx| tls.poll_handshake(cx));
    let time_max = Duration::from_millis(HANDSHAKE_TIME_MAX_MS);
    match within(alarm, seat, time_max, handshake).await? {
        Ok(()) => Some(Stream::Tls(tls)),
        Err(error) => {
            log::debug!("handshake_failed peer={peer} why=\"{error}\"");
            None
        }
    }
}

/// What comes of it in time, unless the port stops first.
async fn within<T>(
    alarm: &mut Alarm,
    seat: &Seat,
    time_max: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let due = now() + time_max;
    let mut work = pin!(work);
    poll_fn(|cx| {
        seat.watch_stop(cx);
        if seat.port.is_stopping() {
            return Poll::Ready(None);
        }
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => alarm.poll_due(cx, Some(due)).map(|()| None),
        }
    })
    .await
}
