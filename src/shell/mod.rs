//! Hands and senses: clocks, sockets, threads, files, signals. Decides nothing.

use std::future::Future;
use std::pin::Pin;

mod answers;
mod asking;
mod bell;
mod brain_answers;
mod bus;
pub mod calls;
pub mod client;
pub mod clock;
pub mod committer;
pub mod credentials;
pub mod dial;
mod event_stream;
pub mod http;
pub mod log;
pub mod mcp;
mod oneshot;
pub mod reactor;
pub mod resolve;
pub mod run;
pub mod sense;
pub mod signals;
pub mod state;
pub mod think;
mod tls;
pub mod tls_files;
mod tls_server;
mod tls_stream;
pub mod tools;
mod world;
pub mod ws;

/// A task as the executors are given it: boxed, or each future that there is would have its own copy of an executor's code.
fn work<'a>(future: impl Future<Output = ()> + 'a) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(future)
}
