//! What the open port asks of the rest: a request that is whole goes in, an answer comes out.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::{HeaderMap, Method, StatusCode};

use super::stream::Stream;

/// A request whose head and body have arrived within the limits.
#[derive(Debug)]
pub struct Incoming {
    /// The method, in the client's spelling; `CONNECT` never gets here.
    pub method: Method,
    /// The path as sent: still percent-encoded, beginning with a slash, or `*`.
    pub path: String,
    /// What follows the question mark as sent, if there is one.
    pub query: Option<String>,
    /// The header fields; names in lower case, values not checked to be text.
    pub headers: HeaderMap,
    /// The body, at most `Limits::body_bytes_max` bytes; read for POST, PUT, PATCH and DELETE only, else empty.
    pub body: Vec<u8>,
    /// Where the connection comes from; an IPv4 address never in its IPv6 spelling.
    pub peer: SocketAddr,
    /// Set by the service once it knows what the answer waits for.
    pub pace: Rc<Cell<Pace>>,
}

/// How long an answer takes to begin or to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// It is made at once.
    #[default]
    Prompt,
    /// It waits for a commit, of which the journal bounds how many there are: others have their turn meanwhile.
    Committing,
    /// It may take long: others have their turn meanwhile, and a client that closes its side has left.
    Lasting,
}

/// What is sent back for one request.
pub struct Answer {
    /// Status code, 200 to 599; anything else is sent as 500.
    pub status: u16,
    /// Further header fields; one whose value is not valid in a header is left out.
    pub headers: Vec<(&'static str, String)>,
    /// Media type of the body; empty for none.
    pub content_type: &'static str,
    /// The body; for HEAD only its length is sent.
    pub body: AnswerBody,
    /// Whether the connection ends with this answer.
    pub close: bool,
}

impl Answer {
    /// The status as it is sent.
    pub(super) fn sent_status(&self) -> StatusCode {
        match StatusCode::from_u16(self.status) {
            Ok(status) if (200..600).contains(&self.status) => status,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What is said beside a status (RFC 9110 section 15); hyper has the name of 413 from an older one.
pub(super) fn reason_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        status => status.canonical_reason().unwrap_or("Unknown"),
    }
}

/// The body of an answer.
pub enum AnswerBody {
    /// No body.
    Empty,
    /// Bytes of the program itself: sent without a copy.
    Static(&'static [u8]),
    /// Bytes made for this answer: sent without a further copy.
    Bytes(Vec<u8>),
    /// A body of unknown length, made piece by piece as the client takes it.
    Stream(Box<dyn ChunkSource>),
}

/// One step of a streamed body.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// The next piece; an empty one is passed over.
    Bytes(Vec<u8>),
    /// The body is complete.
    End,
    /// The body cannot be completed: the connection is cut, so that the client sees that something is missing.
    Cut,
}

/// Makes a streamed body. Dropped when the client goes away.
pub trait ChunkSource {
    /// The next piece. Asked only when the piece before has been taken by the kernel, so that at most one piece per
    /// client is in memory; must arrange for a wake-up when it answers `Pending`.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Chunk>;

    /// Whether the body ends only with the client's leaving. Such a body is ended when the server stops, and as soon
    /// as the client closes its side.
    fn is_endless(&self) -> bool {
        false
    }
}

/// An answer in the making.
pub type Handling = Pin<Box<dyn Future<Output = Answer>>>;

/// What a connection becomes after a 101.
pub struct Upgrade {
    /// Further header fields of the 101; values without control characters.
    pub headers: Vec<(&'static str, String)>,
    /// Goes on with the connection and the bytes that came behind the head; gives it back to be closed in peace, unless
    /// it is broken.
    pub run: Box<dyn FnOnce(Stream, Vec<u8>) -> Upgraded>,
}

/// A connection that is no HTTP any more.
pub type Upgraded = Pin<Box<dyn Future<Output = Option<Stream>>>>;

/// Answers requests.
pub trait Service {
    /// Decides about a request without a body that asks for an upgrade. `None`: it is answered by `handle`, like any
    /// other. The connection gives up its seat for an upgrade: the number of upgraded ones is the service's to bound.
    fn upgrade(&self, _request: &Incoming) -> Option<Upgrade> {
        None
    }

    /// Begins to answer. Dropped unfinished when the connection breaks or the server has waited long enough to stop.
    fn handle(&self, request: Incoming) -> Handling;
}
