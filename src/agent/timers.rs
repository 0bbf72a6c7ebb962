//! The closed table of reasons for which the agent wants to be called again.

/// Why a deadline is set. In order of precedence when two fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The gathered writes go out.
    Commit,
    /// A failed commit is tried again.
    RetryCommit,
    /// Callers have waited too long for their commit.
    AnswerWaiters,
    /// Moved cursors are written.
    WriteCursors,
    /// Register with ALEX OS (again).
    Register,
    /// Health report.
    Report,
    /// The next delivery to ALEX OS or a webhook.
    Deliver,
    /// Open the event bus (again), ping it, or send the next batch.
    Bus,
    /// Connect with AIWM (again).
    Connect,
    /// Heartbeat to AIWM.
    Beat,
    /// Ask a model again, go on with a turn, or take no answer for a no.
    Think,
    /// Stopping has taken long enough.
    Stop,
}
