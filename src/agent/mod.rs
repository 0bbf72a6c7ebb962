//! The core: it decides everything and knows no clock, socket, thread or file.
//!
//! # Contract
//!
//! `Agent` is driven by one caller, in one thread:
//!
//! 1. After every [`Agent::handle`], drain [`Agent::poll_effect`] to `None` before the next `handle` (asserted), and
//!    carry the effects out in that order.
//! 2. Commits have tickets and complete in the order asked; `Committed { ticket }` covers all earlier ones.
//! 3. A tick that comes early or twice is harmless. [`Agent::poll_timeout`] is strictly later than the last `now` (asserted).
//! 4. Same setup, memory, seed and inputs: same effects, to the byte.
//! 5. Nothing is acknowledged, to a caller or to a peer, that a power cut could take back: the answer goes out on
//!    `Committed`, never on `Commit`. After a failed commit the outcome is unknown, and the same writes are tried again.
//! 6. Answers with an unknown or outdated id are counted and dropped.
//! 7. A panic is a bug of ours. Nothing that came from network, disk or config may reach an assertion.
//! 8. State is a small enum per part, changed only in its `enter_*` functions, which log old, new and why.
//!
//! Parts never call each other: each returns a small value, and `Agent` routes it.

pub mod counters;
pub mod effect;
pub mod event;
pub mod ids;
pub mod input;
pub mod limits;
pub mod memory;
pub mod setup;
pub mod status;
pub mod time;
pub mod timers;

pub use counters::Counters;
pub use effect::{Call, Deadline, Effect};
pub use input::Input;
pub use memory::Memory;
pub use setup::Setup;
pub use status::Status;
pub use time::Now;

/// The agent. See the module's contract.
#[derive(Debug)]
pub struct Agent {}

impl Agent {
    /// An agent with what the ledger held. `seed` feeds jitter and correlation ids.
    #[must_use]
    pub fn new(_setup: Setup, _memory: Memory, _seed: u64, _now: Now) -> Self {
        Self {}
    }

    /// The only way in.
    pub fn handle(&mut self, _now: Now, _input: Input) {}

    /// The next thing the world should do, in order; `None` when all is said.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// When to call `handle(now, Input::Tick)` at the latest, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    /// What the agent is told about itself and its peers.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        unreachable!("replaced by the agent's own state")
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self, _now: Now) -> Status {
        unreachable!("replaced by the agent's own state")
    }
}
