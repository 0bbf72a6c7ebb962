//! The real program against the stand-ins, over real sockets, a real ledger file and real signals.
//!
//! Nothing waits for a time: every wait is for a fact, with a bound far above what it takes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads, and a helper that cannot go on should stop the test"
)]

#[path = "../stand_in/mod.rs"]
mod stand_in;

mod bad_input;
mod durability;
mod hooks;
mod lifecycle;
mod peers;
mod world;
