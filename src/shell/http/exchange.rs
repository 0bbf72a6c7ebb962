//! One request and its answer: between hyper, which calls it, and the service, which it calls.
//!
//! ```text
//!   reading the body --in time--> handling --> answering --> answered --flushed--> finished
//!          |  late: 408, too large: 413, no memory: 503         |
//!          +---------------------------------------------------->  stalled: the connection is cut
//! ```

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Version};

use super::alarm::now;
use super::body::Taken;
use super::port::{Port, Share};
use super::refusal::Refusal;
use super::service::{Answer, AnswerBody, Chunk, ChunkSource, Incoming, Pace, Service, reason_of};
use crate::shell::reactor;

/// What the parts of one exchange tell each other.
pub(super) struct Exchange {
    port: Rc<Port>,
    service: Rc<dyn Service>,
    peer: SocketAddr,
    body_due: Cell<Option<Instant>>,
    is_body_late: Cell<bool>,
    write_due: Cell<Option<Instant>>,
    is_http10: Cell<bool>,
    is_closing: Cell<bool>,
    is_endless: Cell<bool>,
    pace: Rc<Cell<Pace>>,
    is_chunk_unsent: Cell<bool>,
    is_chunk_awaited: Cell<bool>,
    is_answered: Cell<bool>,
    is_finished: Cell<bool>,
}

impl Exchange {
    /// `is_closing`: whether the connection ends with this exchange whatever the answer.
    pub(super) fn new(
        port: Rc<Port>,
        service: Rc<dyn Service>,
        peer: SocketAddr,
        is_closing: bool,
    ) -> Rc<Exchange> {
        let body_due = now() + port.limits().body_time_max;
        Rc::new(Exchange {
            port,
            service,
            peer,
            body_due: Cell::new(Some(body_due)),
            is_body_late: Cell::new(false),
            write_due: Cell::new(None),
            is_http10: Cell::new(false),
            is_closing: Cell::new(is_closing),
            is_endless: Cell::new(false),
            pace: Rc::default(),
            is_chunk_unsent: Cell::new(false),
            is_chunk_awaited: Cell::new(false),
            is_answered: Cell::new(false),
            is_finished: Cell::new(false),
        })
    }

    /// Whether the answer takes long to begin or to end, or ends only with the client's leaving.
    pub(super) fn is_lasting(&self) -> bool {
        self.pace.get() == Pace::Lasting || self.is_endless.get()
    }

    /// Whether the answer has been given to the kernel whole.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished.get()
    }

    /// Whether the connection ends with this exchange.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// When to call `on_due`.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.body_due.get(), self.write_due.get()) {
            (Some(body), Some(write)) => Some(body.min(write)),
            (body, write) => body.or(write),
        }
    }

    /// A deadline has come. Answers whether the exchange goes on: a late body is answered, a stalled client is not.
    pub(super) fn on_due(&self) -> bool {
        if self.write_due.get().is_some_and(|due| due <= now()) {
            return false;
        }
        self.body_due.set(None);
        self.is_body_late.set(true);
        true
    }

    /// hyper wrote, or could not.
    pub(super) fn on_write(&self, is_pending: bool) {
        if !is_pending {
            self.write_due.set(None);
        } else if self.write_due.get().is_none() {
            self.write_due.set(Some(now() + self.port.limits().write_stall_max));
        }
    }

    /// All that hyper had to write has been written.
    pub(super) fn on_flushed(&self, cx: &mut Context<'_>) {
        self.is_chunk_unsent.set(false);
        if self.is_chunk_awaited.take() {
            reactor::wake_rested(cx);
        }
        if self.is_answered.get() {
            self.is_finished.set(true);
        }
    }

    async fn answer(self: Rc<Exchange>, request: Request<hyper::body::Incoming>) -> Response<Outgoing> {
        let (head, body) = request.into_parts();
        self.is_http10.set(head.version == Version::HTTP_10);
        let mut share = Share::new(&self.port, self.peer.ip());
        let body = match head.method {
            Method::CONNECT => Err(Refusal::Connect),
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => self.read(body, &mut share).await,
            _ => self.pass_over(body).await,
        };
        self.body_due.set(None);
        let answer = match body {
            Err(refusal) => refusal.to_answer(),
            Ok(body) => {
                let path = head.uri.path().to_owned();
                let query = head.uri.query().map(str::to_owned);
                let Exchange { peer, ref service, .. } = *self;
                let pace = Rc::clone(&self.pace);
                let (method, headers) = (head.method, head.headers);
                service.handle(Incoming { method, path, query, headers, body, peer, pace }).await
            }
        };
        drop(share);
        self.respond(answer)
    }

    /// A body without a meaning, as of a GET: held to the same rules, kept nowhere, and the last of its connection.
    async fn pass_over(&self, mut body: hyper::body::Incoming) -> Result<Vec<u8>, Refusal> {
        if !body.is_end_stream() {
            self.is_closing.set(true);
        }
        let mut passed = 0;
        while let Some(data) = self.piece(&mut body).await? {
            passed += data.len();
            if passed > self.port.limits().body_bytes_max {
                return Err(Refusal::BodyTooLarge);
            }
        }
        Ok(Vec::new())
    }

    async fn read(&self, mut body: hyper::body::Incoming, share: &mut Share) -> Result<Vec<u8>, Refusal> {
        let announced = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(0);
        let mut bytes = Taken::new(announced);
        while let Some(data) = self.piece(&mut body).await? {
            if bytes.len() + data.len() > self.port.limits().body_bytes_max {
                return Err(Refusal::BodyTooLarge);
            }
            if !bytes.try_push(&data, share) {
                return Err(Refusal::BodiesFull);
            }
        }
        Ok(bytes.into_bytes())
    }

    /// The next bytes of a body; `None` at its end.
    async fn piece(&self, body: &mut hyper::body::Incoming) -> Result<Option<Bytes>, Refusal> {
        while !body.is_end_stream() {
            let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending if self.is_body_late.get() => Poll::Ready(Err(Refusal::BodyLate)),
                Poll::Pending => Poll::Pending,
                Poll::Ready(frame) => Poll::Ready(frame.transpose().map_err(|_| Refusal::BodyBroken)),
            });
            let Some(frame) = frame.await? else { break };
            // Trailers mean nothing here.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    fn respond(self: Rc<Exchange>, answer: Answer) -> Response<Outgoing> {
        let status = answer.sent_status();
        self.port.count(status.as_u16());
        // Without chunks, which HTTP/1.0 does not have, only the end of the connection ends a body of unknown length.
        let ends_by_close = self.is_http10.get() && matches!(answer.body, AnswerBody::Stream(_));
        let is_closing = self.is_closing.get() || answer.close || ends_by_close || self.port.is_stopping();
        self.is_closing.set(is_closing);
        let content = match answer.body {
            AnswerBody::Empty => Content::Empty,
            AnswerBody::Static(bytes) => Content::Whole(Bytes::from_static(bytes)),
            AnswerBody::Bytes(bytes) => Content::Whole(Bytes::from(bytes)),
            AnswerBody::Stream(source) => {
                self.is_endless.set(source.is_endless());
                Content::Stream(source)
            }
        };
        let mut response = Response::new(Outgoing { exchange: self, content });
        *response.status_mut() = status;
        if status.canonical_reason() != Some(reason_of(status)) {
            response.extensions_mut().insert(ReasonPhrase::from_static(reason_of(status).as_bytes()));
        }
        let headers = response.headers_mut();
        if !answer.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        }
        for (name, value) in answer.headers {
            match HeaderValue::try_from(value) {
                Ok(value) => drop(headers.append(HeaderName::from_static(name), value)),
                Err(_) => log::warn!("header_dropped name={name}"),
            }
        }
        if is_closing {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The exchange as hyper calls it.
pub(super) struct Handler(pub(super) Rc<Exchange>);

impl hyper::service::Service<Request<hyper::body::Incoming>> for Handler {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Outgoing>, Infallible>>>>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let exchange = self.0.clone();
        Box::pin(async move { Ok(exchange.answer(request).await) })
    }
}

/// The body of an answer as hyper takes it; its end of life is how the exchange learns that hyper has it whole.
pub(super) struct Outgoing {
    exchange: Rc<Exchange>,
    content: Content,
}

enum Content {
    Empty,
    Whole(Bytes),
    Stream(Box<dyn ChunkSource>),
}

/// The source of a streamed body could not go on.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of the body could not go on")
    }
}

impl std::error::Error for Broken {}

impl Outgoing {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Content::Stream(source) = &mut self.content else { return Poll::Ready(None) };
        if self.exchange.is_chunk_unsent.get() {
            self.exchange.is_chunk_awaited.set(true);
            return Poll::Pending;
        }
        let chunk = loop {
            if self.exchange.is_endless.get() && self.exchange.port.is_stopping() {
                break Chunk::End;
            }
            match std::task::ready!(source.poll_next(cx)) {
                Chunk::Bytes(bytes) if bytes.is_empty() => {}
                chunk => break chunk,
            }
        };
        Poll::Ready(match chunk {
            Chunk::Bytes(bytes) => {
                self.exchange.is_chunk_unsent.set(true);
                Some(Ok(Frame::data(Bytes::from(bytes))))
            }
            Chunk::End => {
                self.content = Content::Empty;
                None
            }
            Chunk::Cut => Some(Err(Broken)),
        })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Content::Whole(bytes) = &mut this.content {
            let bytes = std::mem::take(bytes);
            this.content = Content::Empty;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        this.poll_chunk(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.exchange.is_answered.set(true);
    }
}
