//! Hands and senses: clocks, sockets, threads, files, signals. Decides nothing.

mod answers;
mod asking;
mod bell;
mod brain_answers;
mod bus;
pub mod calls;
pub mod client;
pub mod clock;
pub mod committer;
pub mod dial;
mod event_stream;
pub mod http;
pub mod log;
pub mod mcp;
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
