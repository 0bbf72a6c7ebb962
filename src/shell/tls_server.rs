//! A connection of the open port under TLS.
//!
//! ```text
//!   socket --records--> incoming --rustls--> plain --> reader
//!   socket <--records-- outgoing <--rustls------------ writer
//! ```
//!
//! rustls' own buffers are not used: they stay as long as the connection. The three here are given up when they are
//! empty, so that a connection at rest holds its keys and nothing else.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::http::Share;
use crate::agent::limits::{TLS_HELLO_BYTES_MAX, TLS_RECORD_BYTES_MAX};
use crate::shell::reactor::Async;

/// Bytes read from the socket at once, and of plain text that become one record.
const PIECE_BYTES: usize = 4 * 1024;
/// What a record is longer than its plain text, at most, with a change of keys before it.
const RECORD_MORE_BYTES: usize = 128;

/// A connection of the open port under TLS.
pub struct TlsServer {
    socket: Async<TcpStream>,
    tls: Box<UnbufferedServerConnection>,
    /// Records as they came, at most `TLS_RECORD_BYTES_MAX`.
    incoming: Vec<u8>,
    /// What was in them and has not been read, at most what fits into as many bytes.
    plain: Vec<u8>,
    /// Records that the kernel has not taken: one of `PIECE_BYTES`, and rustls' own answers.
    outgoing: Vec<u8>,
    /// For more than a piece of either that comes in: all connections together may hold only so much.
    share: Share,
    is_share_taken: bool,
    is_ended: bool,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}

/// What rustls did with what it had.
#[derive(PartialEq, Eq)]
enum Turn {
    /// It waits for more of the handshake.
    Waits,
    /// It is ready for traffic; `true`: what was to be written is in `outgoing`.
    Traffic(bool),
}

impl TlsServer {
    /// A connection before its handshake. `share` counts what is held of large records.
    ///
    /// # Errors
    /// rustls finds the configuration unusable, which one from `load` is not.
    pub(super) fn new(config: Arc<ServerConfig>, socket: Async<TcpStream>, share: Share) -> io::Result<Self> {
        let tls = Box::new(UnbufferedServerConnection::new(config).map_err(invalid)?);
        let (incoming, plain, outgoing) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { socket, tls, incoming, plain, outgoing, share, is_share_taken: false, is_ended: false })
    }

    /// The connection below.
    pub(super) fn socket(&self) -> &Async<TcpStream> {
        &self.socket
    }

    /// Says TLS's goodbye, as far as that goes without waiting.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        let Self { tls, incoming, outgoing, .. } = self;
        // It is shown what came in, as always: rustls remembers how far it was with half a message, and panics if that is not there.
        let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(incoming);
        if let Ok(ConnectionState::WriteTraffic(mut writer)) = state {
            let start = outgoing.len();
            outgoing.resize(start + RECORD_MORE_BYTES, 0);
            let n = writer.queue_close_notify(&mut outgoing[start..]).unwrap_or(0);
            outgoing.truncate(start + n);
        }
        drop_front(incoming, discard);
        let _ = self.poll_drain(cx);
    }

    /// The handshake; its caller bounds it in time.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let turn = self.advance(None);
            if turn.is_err() {
                // An alert tells the client why; whether it hears that does not matter.
                let _ = self.poll_drain(cx);
            }
            turn?;
            ready!(self.poll_drain(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.is_ended || ready!(self.poll_fill(cx, TLS_HELLO_BYTES_MAX))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads a piece of what the socket has; 0 at its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<io::Result<usize>> {
        let mut bytes = [0; PIECE_BYTES];
        let room = PIECE_BYTES.min(bytes_max.saturating_sub(self.incoming.len()));
        if room == 0 {
            return Poll::Ready(Err(invalid("a message of TLS that is too long")));
        }
        let n = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut bytes[..room]))?;
        let wanted = self.incoming.len() + n;
        if wanted > PIECE_BYTES && !self.is_share_taken {
            if !self.share.try_grow(TLS_RECORD_BYTES_MAX) {
                return Poll::Ready(Err(ErrorKind::OutOfMemory.into()));
            }
            self.is_share_taken = true;
        }
        self.incoming.reserve_exact(n);
        self.incoming.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    /// Gives out what waits to be sent.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let n = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.outgoing))?;
            if n == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            drop_front(&mut self.outgoing, n);
        }
        Poll::Ready(Ok(()))
    }

    /// Has rustls work through the records at hand, and then encrypt `text`, at most `PIECE_BYTES` of it.
    fn advance(&mut self, text: Option<&[u8]>) -> io::Result<Turn> {
        let Self { tls, incoming, plain, outgoing, is_ended, .. } = self;
        loop {
            let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(incoming);
            let turn = match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        plain.extend_from_slice(record.map_err(invalid)?.payload);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(outgoing, |out| data.encode(out).map_err(room_of_encode))?;
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    *is_ended = true;
                    None
                }
                Ok(ConnectionState::Closed) => Some(Turn::Traffic(false)),
                Ok(ConnectionState::BlockedHandshake) => Some(Turn::Waits),
                Ok(ConnectionState::WriteTraffic(mut writer)) => {
                    if let Some(text) = text {
                        encode(outgoing, |out| writer.encrypt(text, out).map_err(room_of_encrypt))?;
                    }
                    Some(Turn::Traffic(text.is_some()))
                }
                Ok(_) => return Err(invalid("early data")),
                Err(error) => {
                    // Shown the same bytes again, for the reason above; nothing is read from this connection any more.
                    let alert = tls.process_tls_records(incoming);
                    if let Ok(ConnectionState::EncodeTlsData(mut data)) = alert.state {
                        encode(outgoing, |out| data.encode(out).map_err(room_of_encode))?;
                    }
                    return Err(invalid(error));
                }
            };
            drop_front(incoming, discard);
            if let Some(turn) = turn {
                return Ok(turn);
            }
        }
    }

    /// Gives the share back once what it was taken for is gone.
    fn settle(&mut self) {
        if self.is_share_taken && self.incoming.len() <= PIECE_BYTES && self.plain.len() <= PIECE_BYTES {
            self.incoming.shrink_to_fit();
            self.plain.shrink_to_fit();
            self.share.clear();
            self.is_share_taken = false;
        }
    }
}

/// Drops the first `n` bytes, and the buffer with the last of them.
fn drop_front(bytes: &mut Vec<u8>, n: usize) {
    if n == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..n);
    }
}

/// Why nothing was encoded: the room needed, or something else.
type NoRoom = Result<usize, io::Error>;

fn room_of_encode(error: EncodeError) -> NoRoom {
    match error {
        EncodeError::InsufficientSize(size) => Ok(size.required_size),
        error => Err(invalid(error)),
    }
}

fn room_of_encrypt(error: EncryptError) -> NoRoom {
    match error {
        EncryptError::InsufficientSize(size) => Ok(size.required_size),
        error => Err(invalid(error)),
    }
}

/// Appends what `write` makes, asking it first how much that is.
fn encode(
    outgoing: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, NoRoom>,
) -> io::Result<()> {
    let start = outgoing.len();
    let mut room = 0;
    // Once without room, once with what was asked for.
    for _ in 0..2 {
        outgoing.reserve_exact(room);
        outgoing.resize(start + room, 0);
        match write(&mut outgoing[start..]) {
            Ok(n) => {
                outgoing.truncate(start + n);
                return Ok(());
            }
            Err(needed) => room = needed?,
        }
    }
    outgoing.truncate(start);
    Err(invalid("no room for a record"))
}

impl AsyncRead for TlsServer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.plain.is_empty() {
                let n = bytes.len().min(self.plain.len());
                bytes[..n].copy_from_slice(&self.plain[..n]);
                drop_front(&mut self.plain, n);
                self.settle();
                return Poll::Ready(Ok(n));
            }
            if self.is_ended {
                return Poll::Ready(Ok(0));
            }
            if ready!(self.poll_fill(cx, TLS_RECORD_BYTES_MAX))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            let turn = self.advance(None);
            // New keys and alerts are sent on the way; a full socket must not keep us from reading.
            let drained = self.poll_drain(cx);
            turn?;
            if let Poll::Ready(Err(error)) = drained {
                return Poll::Ready(Err(error));
            }
            self.settle();
        }
    }
}

impl AsyncWrite for TlsServer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let text = &bytes[..bytes.len().min(PIECE_BYTES)];
        if self.advance(Some(text))? != Turn::Traffic(true) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(text.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_goodbye(cx);
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
