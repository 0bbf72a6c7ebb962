//! Stand-ins for the agent's peers on loopback, and a hand that starts the agent as its own process. Shared by the
//! end-to-end tests and the demo. Nothing here is taken from `src/`: the stand-ins say what the peers' documents and
//! the measured servers say, not what the agent believes of them.
#![allow(dead_code, reason = "each of the programs that share this uses another part of it")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads and clocks, and a stand-in that cannot go on should stop the test"
)]

pub mod aiwm;
pub mod alexos;
pub mod client;
pub mod json;
pub mod model;
pub mod port;
pub mod process;
pub mod receiver;
pub mod tls;
pub mod upstream;
pub mod watched;
