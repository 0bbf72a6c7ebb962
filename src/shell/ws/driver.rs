//! One WebSocket without blocking, as server or as client: tungstenite's frames over any asynchronous stream.
//!
//! ```text
//!   asleep --bytes come, or something is sent--> awake --nothing under way either way--> asleep
//!                                                  |
//!                                close sent or received, fault --> ended (told once)
//! ```
//!
//! A socket that is asleep has no buffers: tungstenite's are made when there is something to do and dropped when it is
//! done, so neither the number of idle sockets nor the largest message of the past costs memory. Not here: the
//! handshake, deadlines, and what the messages mean.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};
pub use tungstenite::protocol::Role;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocket, WebSocketConfig};
pub use tungstenite::{Bytes, Utf8Bytes};
use tungstenite::{Error, Message};

use super::meter::Meter;
use crate::agent::limits::SOCKET_MESSAGE_BYTES_MAX;

/// Bytes read at once by a socket that is asleep: on the stack, so that they cost nothing afterwards.
const READ_BYTES: usize = 4 * 1024;
/// Bytes read at once by one that is awake, into a buffer that it holds while its peer does not take what it wrote.
const AWAKE_READ_BYTES: usize = 1024;
/// Bytes gathered before they are written. What the peer does not take stays in memory.
const WRITE_BYTES: usize = 2 * 1024;
/// Longest reason of a close frame in bytes: a control frame holds 125, two of them the code.
const REASON_BYTES_MAX: usize = 123;

/// What a socket brings next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole text message, at most `limits::SOCKET_MESSAGE_BYTES_MAX` bytes unless made with another limit.
    Text(Utf8Bytes),
    /// A whole binary message, likewise.
    Binary(Bytes),
    /// A protocol ping came; it is answered already.
    Ping,
    /// A protocol pong came that answers the last ping.
    Pong,
    /// Another pong came: of an earlier ping, or of none (RFC 6455, section 5.5.3).
    StrayPong,
    /// It is over: nothing more is read or written.
    Ended(End),
}

/// How a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The close handshake is done.
    Closed {
        /// The code in the peer's close frame, if it had one.
        code: Option<u16>,
        /// Its reason, at most 123 bytes.
        reason: String,
    },
    /// The peer broke the rules and was told so with this code: 1002, 1007 or 1009.
    Fault(u16),
    /// The stream ended or broke without a close frame.
    Lost(ErrorKind),
}

/// A WebSocket after its handshake.
pub struct Socket<S> {
    state: State<S>,
    role: Role,
    message_bytes_max: usize,
    /// Pings that went out; the payload of the last of them.
    pings: u32,
    fault: Option<u16>,
    close: Option<(Option<u16>, String)>,
}

enum State<S> {
    Asleep(Stream<S>),
    Awake(Box<WebSocket<Stream<S>>>),
    /// Between two states, and when a future was dropped in the middle of it: never seen by a caller.
    Ended(Option<S>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket over a stream on which the handshake is done; `ahead` is what was read beyond it.
    #[must_use]
    pub fn new(stream: S, ahead: &[u8], role: Role) -> Self {
        Self::with_limit(stream, ahead, role, SOCKET_MESSAGE_BYTES_MAX)
    }

    /// As `new`, with another limit for what comes in: for the tests of the protocol, whose messages are larger.
    #[must_use]
    pub fn with_limit(stream: S, ahead: &[u8], role: Role, message_bytes_max: usize) -> Self {
        let mut stream = Stream::new(stream);
        let state = if ahead.is_empty() {
            State::Asleep(stream)
        } else {
            stream.meter.take(ahead);
            State::Awake(awake(stream, ahead, role, message_bytes_max))
        };
        Self { state, role, message_bytes_max, pings: 0, fault: None, close: None }
    }

    /// The next that comes in. Answers pings and closes, and writes what waits to be written; reads nothing while
    /// that is stuck, so that a peer which sends and does not read holds up only itself.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            match &mut self.state {
                State::Ended(_) => return Poll::Ready(Next::Ended(End::Lost(ErrorKind::NotConnected))),
                State::Asleep(stream) => {
                    let mut bytes = [0; READ_BYTES];
                    let n = match std::task::ready!(stream.poll_fill(cx, &mut bytes)) {
                        Ok(0) => return Poll::Ready(self.enter_ended(End::Lost(ErrorKind::UnexpectedEof))),
                        Ok(n) => n,
                        Err(error) => return Poll::Ready(self.enter_ended(End::Lost(error.kind()))),
                    };
                    self.wake(&bytes[..n]);
                }
                State::Awake(socket) => {
                    socket.get_mut().watch(cx);
                    if let Some(next) = std::task::ready!(self.poll_awake()) {
                        return Poll::Ready(next);
                    }
                }
            }
        }
    }

    /// Ready when everything given so far has been taken by the kernel: the time to give the next message.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Awake(socket) = &mut self.state else { return Poll::Ready(()) };
        socket.get_mut().watch(cx);
        match socket.flush() {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            // What went wrong is told by `poll_next`.
            _ => Poll::Ready(()),
        }
    }

    /// Gives a text message to be written. To be asked for when `poll_flush` was ready, so that one message at most
    /// waits in memory; written by the next `poll_flush` or `poll_next`.
    pub fn send_text(&mut self, text: impl Into<Utf8Bytes>) {
        self.send(Message::Text(text.into()));
    }

    /// As `send_text`, with a binary message.
    pub fn send_binary(&mut self, bytes: impl Into<Bytes>) {
        self.send(Message::Binary(bytes.into()));
    }

    /// Asks the peer for a pong; only one with the same payload is told as `Next::Pong`.
    pub fn ping(&mut self) {
        self.pings = self.pings.wrapping_add(1);
        self.send(Message::Ping(Bytes::copy_from_slice(&self.pings.to_be_bytes())));
    }

    /// Begins the close handshake; `poll_next` tells when it is done, which the caller bounds in time.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.wake(&[]);
        if let State::Awake(socket) = &mut self.state {
            let _ = socket.close(Some(close_frame(code, reason)));
        }
    }

    /// Whether messages can still be given: no close frame went or came.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.state {
            State::Asleep(_) => true,
            State::Awake(socket) => socket.can_write(),
            State::Ended(_) => false,
        }
    }

    /// Bytes in memory of a message that is coming in.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.stream().map_or(0, |stream| stream.meter.held_bytes())
    }

    /// Whether the kernel declined the last bytes that were written: more of them would only wait in memory.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.stream().is_some_and(|stream| stream.is_blocked)
    }

    /// How often a write was taken after one that was not: each time the peer has proved that it reads.
    #[must_use]
    pub fn unblocked_count(&self) -> u32 {
        self.stream().map_or(0, |stream| stream.unblocked_count)
    }

    /// The stream, whatever its state: after the end, to close it in peace.
    #[must_use]
    pub fn into_stream(self) -> Option<S> {
        match self.state {
            State::Asleep(stream) => Some(stream.inner),
            State::Awake(socket) => Some(socket.into_inner().inner),
            State::Ended(stream) => stream,
        }
    }

    fn stream(&self) -> Option<&Stream<S>> {
        match &self.state {
            State::Asleep(stream) => Some(stream),
            State::Awake(socket) => Some(socket.get_ref()),
            State::Ended(_) => None,
        }
    }

    fn send(&mut self, message: Message) {
        self.wake(&[]);
        if let State::Awake(socket) = &mut self.state {
            // What went wrong is told by `poll_next`; after a close frame there is nobody to tell anything.
            let _ = socket.write(message);
        }
    }

    fn wake(&mut self, bytes: &[u8]) {
        self.state = match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Asleep(stream) => State::Awake(awake(stream, bytes, self.role, self.message_bytes_max)),
            state => state,
        };
    }

    /// One step of tungstenite; `None` when the socket fell asleep, and the stream must be asked.
    fn poll_awake(&mut self) -> Poll<Option<Next>> {
        let State::Awake(socket) = &mut self.state else { return Poll::Ready(None) };
        let is_flushed = match socket.flush() {
            Ok(()) => true,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Some(self.on_error(&error))),
        };
        if let Some(code) = self.fault {
            return Poll::Ready(Some(self.enter_ended(End::Fault(code))));
        }
        match socket.read() {
            Ok(Message::Text(text)) => Poll::Ready(Some(Next::Text(text))),
            Ok(Message::Binary(bytes)) => Poll::Ready(Some(Next::Binary(bytes))),
            Ok(Message::Ping(_)) => Poll::Ready(Some(Next::Ping)),
            Ok(Message::Pong(payload)) => {
                let is_ours = self.pings > 0 && payload.as_ref() == self.pings.to_be_bytes();
                Poll::Ready(Some(if is_ours { Next::Pong } else { Next::StrayPong }))
            }
            Ok(Message::Close(frame)) => {
                self.close = Some(frame.map_or((None, String::new()), |frame| {
                    (Some(frame.code.into()), frame.reason.as_str().to_owned())
                }));
                self.poll_awake()
            }
            Ok(Message::Frame(_)) => self.poll_awake(),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                if is_flushed && socket.can_write() && socket.get_ref().meter.is_at_rest() {
                    self.sleep();
                    return Poll::Ready(None);
                }
                Poll::Pending
            }
            Err(error) => self.on_read_error(&error),
        }
    }

    fn on_read_error(&mut self, error: &Error) -> Poll<Option<Next>> {
        let code = match error {
            Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
            Error::Protocol(_) | Error::AttackAttempt => Some(1002),
            Error::Utf8(_) => Some(1007),
            Error::Capacity(_) => Some(1009),
            _ => None,
        };
        let State::Awake(socket) = &mut self.state else { return Poll::Ready(None) };
        match code {
            Some(code) if socket.can_write() => {
                self.fault = Some(code);
                let _ = socket.close(Some(close_frame(code, "")));
                self.poll_awake()
            }
            Some(code) => Poll::Ready(Some(self.enter_ended(End::Fault(code)))),
            None => Poll::Ready(Some(self.on_error(error))),
        }
    }

    fn on_error(&mut self, error: &Error) -> Next {
        let end = match (self.fault, self.close.take(), error) {
            (Some(code), _, _) => End::Fault(code),
            (None, Some((code, reason)), _) => End::Closed { code, reason },
            (None, None, Error::ConnectionClosed | Error::AlreadyClosed) => {
                End::Closed { code: None, reason: String::new() }
            }
            (None, None, Error::Io(error)) => End::Lost(error.kind()),
            (None, None, Error::Protocol(_)) => End::Lost(ErrorKind::UnexpectedEof),
            _ => End::Lost(ErrorKind::Other),
        };
        self.enter_ended(end)
    }

    /// Drops tungstenite's buffers. Nothing is lost: all that was read has been given out, all that was written has
    /// been taken.
    fn sleep(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Awake(socket) => State::Asleep(socket.into_inner()),
            state => state,
        };
    }

    fn enter_ended(&mut self, end: End) -> Next {
        let stream = match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Asleep(stream) => Some(stream.inner),
            State::Awake(socket) => Some(socket.into_inner().inner),
            State::Ended(stream) => stream,
        };
        self.state = State::Ended(stream);
        Next::Ended(end)
    }
}

fn awake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: Stream<S>,
    ahead: &[u8],
    role: Role,
    message_bytes_max: usize,
) -> Box<WebSocket<Stream<S>>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(AWAKE_READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    Box::new(WebSocket::from_partially_read(stream, ahead.to_vec(), role, Some(config)))
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code: CloseCode::from(code), reason: reason[..end].into() }
}

/// A stream as tungstenite takes it: what is not ready is `WouldBlock`, and the task is woken when it is.
struct Stream<S> {
    inner: S,
    waker: Waker,
    meter: Meter,
    is_blocked: bool,
    unblocked_count: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    fn new(inner: S) -> Self {
        Self {
            inner,
            waker: Waker::noop().clone(),
            meter: Meter::default(),
            is_blocked: false,
            unblocked_count: 0,
        }
    }

    fn watch(&mut self, cx: &Context<'_>) {
        self.waker.clone_from(cx.waker());
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, bytes);
        if let Poll::Ready(Ok(n)) = polled {
            self.meter.take(&bytes[..n]);
        }
        polled
    }
}

fn not_pending<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Stream<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let waker = self.waker.clone();
        not_pending(self.poll_fill(&mut Context::from_waker(&waker), bytes))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let polled = Pin::new(&mut self.inner).poll_write(&mut Context::from_waker(&self.waker), bytes);
        if std::mem::replace(&mut self.is_blocked, polled.is_pending()) && polled.is_ready() {
            self.unblocked_count = self.unblocked_count.wrapping_add(1);
        }
        not_pending(polled)
    }

    fn flush(&mut self) -> io::Result<()> {
        not_pending(Pin::new(&mut self.inner).poll_flush(&mut Context::from_waker(&self.waker)))
    }
}

#[cfg(test)]
mod tests;
