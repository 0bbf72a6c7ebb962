//! The agent as it shows itself: one plain value from which `/health`, `/status`, `/metrics` and the polled lists are made.

use super::brain::status::BrainStatus;
use super::counters::Counters;
use super::effect::{EventsPath, Health};
use super::ids::{LedgerId, Seq};
use super::input::{CanonEntry, CommitFault, Generation, Sample, Setting};
use super::time::{Trust, Wall};

/// Everything that may be shown, at one moment. Borrowed from the agent: it is made for every request.
#[derive(Clone, Debug, PartialEq)]
pub struct Status<'a> {
    /// The time to write on things.
    pub at: Wall,
    /// How far it may be believed.
    pub trust: Trust,
    /// A moment that has surely passed, believed or not what the clock says.
    pub passed: Wall,
    /// Milliseconds since the agent started.
    pub uptime_ms: u64,
    /// How we are.
    pub health: Health,
    /// Why someone should look, if someone should.
    pub attention: Option<&'a str>,
    /// Stopping.
    pub is_stopping: bool,
    /// The ledger.
    pub ledger: LedgerStatus,
    /// ALEX OS, if configured.
    pub alexos: Option<AlexosStatus<'a>>,
    /// AIWM, if enabled.
    pub aiwm: Option<AiwmStatus<'a>>,
    /// Models, conversations, approvals.
    pub brain: BrainStatus<'a>,
    /// ALEX OS's event receiver and the `[[webhooks]]`, in the order of the config.
    pub destinations: Vec<DestinationStatus<'a>>,
    /// The last sample of the machine.
    pub sample: Option<&'a Sample>,
    /// What was counted since the start.
    pub counters: &'a Counters,
}

/// The ledger, as the agent knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerStatus {
    /// Its name.
    pub id: LedgerId,
    /// The oldest event kept.
    pub oldest: Seq,
    /// The newest durable event.
    pub durable: Seq,
    /// Writes that wait for a commit.
    pub pending: usize,
    /// Why the last commit failed, until one succeeds.
    pub fault: Option<CommitFault>,
}

/// ALEX OS, as the agent knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlexosStatus<'a> {
    /// `unregistered | registering | registered | retrying | not_offered | failed`.
    pub registration: &'static str,
    /// Tries since the last success.
    pub attempts: u32,
    /// When it last took a registration.
    pub last_registration: Option<Wall>,
    /// When it last took a health report.
    pub last_report: Option<Wall>,
    /// The id that it gave us.
    pub agent_id: Option<&'a str>,
    /// How it takes events; `None`: not found out, or not at all.
    pub events_path: Option<EventsPath>,
    /// What it last failed at, for people.
    pub last_fault: Option<&'a str>,
    /// Milliseconds to the next try, if one is waited for.
    pub next_try_in_ms: Option<u64>,
    /// Its agents, where it offers a canon.
    pub canon: &'a [CanonEntry],
    /// Its event bus.
    pub bus: BusStatus<'a>,
}

/// The event bus, as the agent knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct BusStatus<'a> {
    /// `off | waiting | connecting | open | not_offered`.
    pub state: &'static str,
    /// What an open link speaks: `documented | public`.
    pub dialect: Option<&'static str>,
    /// Milliseconds since something last came in, over this link or one before.
    pub last_message_age_ms: Option<u64>,
    /// Places between what the peer has surely got and the newest durable event; `None` if it takes no events.
    pub behind: Option<u64>,
    /// Milliseconds to the next try, if one is waited for.
    pub next_try_in_ms: Option<u64>,
    /// What it last failed at, for people.
    pub last_fault: Option<&'a str>,
}

/// AIWM, as the agent knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct AiwmStatus<'a> {
    /// `connecting | connected | local | suspended | gone | refused`.
    pub state: &'static str,
    /// The shape of its answers, once seen.
    pub generation: Option<Generation>,
    /// When it last let us in.
    pub last_connect: Option<Wall>,
    /// Milliseconds since it last took a heartbeat.
    pub last_beat_age_ms: Option<u64>,
    /// What it last failed at, for people.
    pub last_fault: Option<&'a str>,
    /// Milliseconds to the next try, if one is waited for.
    pub next_try_in_ms: Option<u64>,
    /// Bytes of the instruction in force.
    pub instruction_bytes: usize,
    /// Whether instruction, tools and settings are the controller's from this run (else: from the ledger, or none).
    pub is_fresh: bool,
    /// Allowed tools; `None`: the controller does not say.
    pub tools: Option<&'a [String]>,
    /// Settings in force.
    pub settings: &'a [Setting],
    /// Title of the work that waits there.
    pub work: Option<&'a str>,
}

/// One reader of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationStatus<'a> {
    /// `alex_os` or `webhook:<key>`.
    pub key: &'a str,
    /// For people: the URL without secrets.
    pub shown: &'a str,
    /// `idle | sending | waiting | not_offered | disabled`.
    pub state: &'static str,
    /// The last event behind it.
    pub cursor: Seq,
    /// Places between the cursor and the newest durable event.
    pub behind: u64,
    /// Tries of the event at hand.
    pub attempts: u32,
    /// Milliseconds to the next try, if one is waited for.
    pub next_try_in_ms: Option<u64>,
    /// What it last failed at, for people.
    pub last_fault: Option<&'a str>,
}
