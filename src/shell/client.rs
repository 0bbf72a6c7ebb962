//! HTTP/1.1 as a client on the loop, for answers that last: a model's words come over minutes, and no thread waits for
//! them. Calls that come and go are ureq's in the helper threads (`calls.rs`, decisions/0014).
//!
//! A connection for each request, `Connection: close`, no redirects. The answer's body is given piece by piece, and
//! nothing is read ahead of who takes them: a slow reader slows the peer. To drop an answer is to cancel it.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::{AsyncRead as _, AsyncWrite as _, future};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, Connection};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{HeaderMap, Request, Response};

use super::dial::{self, AnyStream, Dialer};
use crate::agent::input::Fault;
use crate::agent::limits::HEAD_BYTES_MAX;
use crate::shell::reactor::Timer;
use crate::wire::target::{self, Target};
use crate::wire::{AddressGuard, USER_AGENT};

/// Largest body of a request in bytes. Beyond: `Fault::TooLarge`.
pub const REQUEST_BYTES_MAX: usize = 384 * 1024;
/// Most header fields of an answer. Beyond: `Fault::Garbage`.
const HEADERS_MAX: usize = 64;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 4 * 1024;
/// Most bytes that are read until the answer's head is whole, with what comes before it (1xx) and behind it at once. Beyond:
/// `Fault::Garbage`. hyper would go on with 1xx for as long as they come, and the loop would wait for it.
const BEFORE_BODY_BYTES_MAX: usize = 4 * HEAD_BYTES_MAX;

/// One request.
#[derive(Debug)]
pub struct ClientRequest {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Absolute, `http` or `https`. May hold secrets: never logged.
    pub url: String,
    /// Beside `host`, `user-agent`, `connection`, `accept-encoding` and `content-length`, which are made here.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// At most `REQUEST_BYTES_MAX`; empty for `GET`.
    pub body: Vec<u8>,
    /// Which addresses the URL may lead to.
    pub guard: AddressGuard,
    /// Time from the name's look-up to the end of the TLS handshake, in milliseconds.
    pub connect_ms: u64,
    /// Time to the answer's head and between pieces of its body, in milliseconds.
    pub silence_ms: u64,
}

/// Sends requests.
#[derive(Clone, Debug)]
pub struct Client {
    dialer: Rc<Dialer>,
}

impl Client {
    /// Connections are opened by this dialer.
    #[must_use]
    pub fn new(dialer: Rc<Dialer>) -> Self {
        Self { dialer }
    }

    /// Sends a request and waits for the head of its answer, whatever its status.
    ///
    /// # Errors
    /// A fault below HTTP, or an answer that is none.
    pub async fn send(&self, request: ClientRequest) -> Result<ClientResponse, Fault> {
        if request.body.len() > REQUEST_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        let target = target::http(&request.url).ok_or(Fault::Transport)?;
        let opened = within(request.connect_ms, self.dialer.open(&target, request.guard)).await?;
        let (is_secure, silence) = (target.is_secure, Duration::from_millis(request.silence_ms.max(1)));
        let message = message_of(&target, request.method, &request.headers, request.body)?;
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let before_body = Rc::new(Cell::new(BEFORE_BODY_BYTES_MAX));
        let shaken = builder.handshake(Io { stream: opened, left: Rc::clone(&before_body) }).await;
        let (mut sender, connection) = shaken.map_err(|error| fault_of(&error, is_secure))?;
        let mut line = Line { connection: Some(Box::pin(connection)), is_secure };
        let mut answer = pin!(sender.send_request(message));
        let head = poll_fn(|cx| {
            line.drive(cx);
            answer.as_mut().poll(cx).map_err(|error| fault_of(&error, is_secure))
        });
        let response = future::or(head, late(silence)).await?;
        before_body.set(usize::MAX);
        Ok(ClientResponse::new(response, line, silence))
    }
}

/// An answer, its body still on the way.
#[derive(Debug)]
pub struct ClientResponse {
    /// The status, redirects included.
    pub status: u16,
    headers: HeaderMap,
    body: Incoming,
    line: Line,
    silence: Duration,
    timer: Timer,
    is_armed: bool,
}

impl ClientResponse {
    fn new(response: Response<Incoming>, line: Line, silence: Duration) -> Self {
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Self { status, headers, body, line, silence, timer: Timer::never(), is_armed: false }
    }

    /// The first header field of this name, which is in lower case; `None` if there is none or it is no text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body, at most 8 KiB and never empty; `None` at its end. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// The connection broke or fell silent, or the body is not framed as HTTP has it. The answer is over then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        loop {
            self.line.drive(cx);
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    self.is_armed = false;
                    let Some(frame) = frame else { return Poll::Ready(Ok(None)) };
                    let frame = frame.map_err(|error| fault_of(&error, self.line.is_secure))?;
                    match frame.into_data() {
                        Ok(data) if !data.is_empty() => return Poll::Ready(Ok(Some(data))),
                        // Trailers, which nobody looks at.
                        _ => continue,
                    }
                }
                // That the body is wanted wakes the connection, and so this task.
                Poll::Pending => {}
            }
            if !self.is_armed {
                self.timer.set_after(self.silence);
                self.is_armed = true;
            }
            ready!(Pin::new(&mut self.timer).poll(cx));
            return Poll::Ready(Err(Fault::Timeout));
        }
    }
}

/// What carries the bytes of one exchange; hyper moves them only while it is driven.
struct Line {
    connection: Option<Pin<Box<Connection<Io, Whole>>>>,
    is_secure: bool,
}

impl Line {
    /// What goes wrong is told by the answer or its body.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            self.connection = None;
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

fn message_of(
    target: &Target<'_>,
    method: &'static str,
    headers: &[(Cow<'static, str>, String)],
    body: Vec<u8>,
) -> Result<Request<Whole>, Fault> {
    let path = if target.path.starts_with('/') {
        Cow::Borrowed(target.path)
    } else {
        format!("/{}", target.path).into()
    };
    let mut builder = Request::builder()
        .method(method)
        .uri(&*path)
        .header("host", target.authority)
        .header("user-agent", USER_AGENT)
        .header("accept-encoding", "identity")
        .header("connection", "close");
    for (name, value) in headers {
        builder = builder.header(&**name, value);
    }
    // A name or value that cannot be sent, which the config lets nobody write.
    builder.body(Whole(Bytes::from(body))).map_err(|_| Fault::Transport)
}

async fn within<T>(time_ms: u64, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    future::or(work, late(Duration::from_millis(time_ms.max(1)))).await
}

async fn late<T>(time: Duration) -> Result<T, Fault> {
    Timer::after(time).await;
    Err(Fault::Timeout)
}

/// What an error of hyper means. Of a body that is not framed as it must be, the source is an `io::Error`.
fn fault_of(error: &hyper::Error, is_secure: bool) -> Fault {
    if error.is_parse_too_large() {
        return Fault::TooLarge;
    }
    if error.is_parse() {
        return Fault::Garbage;
    }
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) if error.kind() == io::ErrorKind::InvalidInput => Fault::Garbage,
        Some(error) if error.kind() == io::ErrorKind::InvalidData && !is_secure => Fault::Garbage,
        Some(error) => dial::fault_of(error),
        None => Fault::Reset,
    }
}

/// A request's body, sent whole.
struct Whole(Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// A connection as hyper reads and writes it.
struct Io {
    stream: AnyStream,
    /// Bytes that may still be read; `usize::MAX` is no bound.
    left: Rc<Cell<usize>>,
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut piece = [0; PIECE_BYTES];
        let left = self.left.get();
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        let room = buf.remaining().min(PIECE_BYTES).min(left);
        let n = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece[..room]))?;
        if left != usize::MAX {
            self.left.set(left - n);
        }
        buf.put_slice(&piece[..n]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
