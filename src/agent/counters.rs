//! What is counted since the start. Each becomes a row in `/metrics`.

/// Counters only grow; all begin at 0 with the process.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Successful connects with AIWM.
    pub aiwm_connection_success: u64,
    /// Failed connects with AIWM.
    pub aiwm_connection_failure: u64,
    /// Heartbeats that AIWM took.
    pub aiwm_heartbeat_success: u64,
    /// Heartbeats that AIWM did not take.
    pub aiwm_heartbeat_failure: u64,
    /// Connects that replaced a living token.
    pub aiwm_token_refresh: u64,
    /// Answers of AIWM that differed from the one before.
    pub aiwm_config_update: u64,
    /// Registrations that ALEX OS took.
    pub alexos_registration_success: u64,
    /// Registrations that it did not take.
    pub alexos_registration_failure: u64,
    /// Health reports that it took.
    pub alexos_report_success: u64,
    /// Health reports that it did not take.
    pub alexos_report_failure: u64,
    /// Events that a destination took.
    pub deliveries_success: u64,
    /// Tries of a delivery that failed and are tried again.
    pub deliveries_retried: u64,
    /// Events that a destination refused for good.
    pub deliveries_parked: u64,
    /// Events that the ledger dropped before a destination had them.
    pub deliveries_lost: u64,
    /// Links to the event bus that opened.
    pub bus_opened: u64,
    /// Links to the event bus that failed, before or after they opened.
    pub bus_failed: u64,
    /// Events and reports sent over the event bus, repetitions included.
    pub bus_sent: u64,
    /// Events that came over the event bus and were recorded.
    pub bus_received: u64,
    /// Events that came over the event bus again.
    pub bus_duplicate: u64,
    /// Events of our own that the event bus brought back.
    pub bus_own: u64,
    /// Events of the event bus that were too many, or that the ledger could not take.
    pub bus_dropped: u64,
    /// Messages of the event bus that are no event and mean nothing to us.
    pub bus_unknown: u64,
    /// Events that the ledger dropped before the event bus had them.
    pub bus_lost: u64,
    /// Events written.
    pub events_recorded: u64,
    /// Webhooks stored.
    pub webhooks_stored: u64,
    /// Webhooks answered from memory because their id was known.
    pub webhooks_duplicate: u64,
    /// Webhooks turned away because the ledger could not take them.
    pub webhooks_turned_away: u64,
    /// Commits asked for.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Questions of callers, passed through.
    pub questions_asked: u64,
    /// Questions to models that were answered to the end.
    pub questions_answered: u64,
    /// Questions to models of which nothing, or only a part, came.
    pub questions_failed: u64,
    /// Questions and turns turned away because a budget was spent.
    pub questions_over_budget: u64,
    /// Tokens of all questions, in and out.
    pub tokens_used: u64,
    /// Turns of conversations begun.
    pub turns_started: u64,
    /// Turns that ended with an answer.
    pub turns_completed: u64,
    /// Turns that ended without one.
    pub turns_failed: u64,
    /// Runs of tools begun.
    pub tools_started: u64,
    /// Calls of tools that were not made: not allowed, refused, or written wrongly.
    pub tools_refused: u64,
    /// Requests for permission.
    pub approvals_requested: u64,
    /// Answers with an unknown or outdated id.
    pub answers_dropped: u64,
}
