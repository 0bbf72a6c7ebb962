//! The open port: an HTTP/1.1 server on one thread, with a bound on everything a stranger can spend.
//!
//! ```text
//!   bytes --> Line (8 KiB) --> http_head::scan --doubt--> 400 and close
//!                                    |
//!                              one whole head
//!                                    v
//!                  one of the turns, of which there are fewer than seats
//!                                    |--whole and simple--> direct --> Service::handle -> Answer --> socket
//!                                    v
//!             hyper, made anew for each request, sees that request's bytes and no others
//!                                    |
//!                          body within its limits
//!                                    v
//!                        Service::handle -> Answer --> hyper --> socket
//! ```
//!
//! A connection between two requests costs its task and its socket: the buffers, hyper's included, live as long as
//! one exchange. A request for an upgrade leaves before hyper sees it, and its connection with it. Not here: routes,
//! roles and what is answered (`api`), and what upgraded connections do (`ws`).

mod adapter;
mod alarm;
mod body;
mod connection;
mod direct;
mod exchange;
mod line;
mod listen;
mod port;
mod refusal;
mod service;
mod stream;
mod upgrade;

pub(super) use alarm::{Alarm, now};
pub use listen::{bind, serve};
pub use port::{Limits, Port};
pub(super) use port::{Seat, Share};
pub use service::{
    Answer, AnswerBody, Chunk, ChunkSource, Handling, Incoming, Pace, Service, Upgrade, Upgraded,
};
pub use stream::Stream;
