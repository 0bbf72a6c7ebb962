//! What the agent asks the world to do. Plain values: tests compare them.

use std::sync::Arc;

use super::brain::speech::{AskAnswer, Prompt, RunId, ThoughtId, ToolCall};
use super::event::{Event, EventFilter};
use super::ids::{CallId, CorrelationId, Destination, EventId, LinkId, RequestId, Seq, Ticket};
use super::input::Sample;
use super::memory::Write;
use super::setup::Secret;
use super::time::{Mono, Wall};

/// What should happen, in the order in which `poll_effect` gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make all of this durable together; answer `Committed` or `CommitFailed`. At most one is in flight.
    Commit {
        /// To be named in the answer.
        ticket: Ticket,
        /// In order.
        writes: Arc<[Write]>,
    },
    /// Read the next event after `after` that passes `filter`, looking at `FETCH_SCAN_MAX` records at most;
    /// answer `Fetched`. At most one per destination is in flight.
    Fetch {
        /// For whom.
        destination: Destination,
        /// Exclusive.
        after: Seq,
        /// What it wants.
        filter: EventFilter,
    },
    /// Do this call and answer `CallDone`. At most `limits::CALLS_MAX` are in flight.
    Call {
        /// To be named in the answer.
        id: CallId,
        /// Goes out as `X-Correlation-Id`.
        correlation: CorrelationId,
        /// What to call. `wire::encode` makes a request from it.
        call: Call,
    },
    /// The answer to `Input::Webhook`.
    Respond {
        /// Which request.
        request: RequestId,
        /// What to say. `api/` makes a response from it.
        answer: IntakeAnswer,
    },
    /// Open a link to the event bus; answer `BusOpened`, `BusRefused` or `BusClosed`. One link at most is in use.
    BusOpen {
        /// To be named in the answers.
        link: LinkId,
        /// `ws` or `wss`.
        url: String,
        /// Sent as `Host` instead of the URL's, if not empty.
        host_header: String,
    },
    /// Send this over the link, after all that was sent before.
    BusSend {
        /// As in `BusOpen`.
        link: LinkId,
        /// What. `wire::bus` makes a frame from it.
        message: BusOut,
    },
    /// Drop the link; no answer is awaited.
    BusClose {
        /// As in `BusOpen`.
        link: LinkId,
    },
    /// Ask a model and answer `Thought`, once or twice. At most `limits::THOUGHTS_MAX` are under way.
    Think {
        /// To be named in the answers.
        thought: ThoughtId,
        /// What.
        prompt: Prompt,
        /// `ProviderSetup::name`.
        provider: String,
        /// The model as the provider knows it.
        model: String,
    },
    /// Drop a question; `ThoughtEnd::Left` is the answer, unless another is under way already.
    ThinkStop {
        /// As in `Think`.
        thought: ThoughtId,
    },
    /// The answer to `Input::Ask` and `Input::Say`.
    AskDone {
        /// Which request.
        request: RequestId,
        /// What to say at the end.
        answer: AskAnswer,
    },
    /// Run a tool and answer `ToolDone`. What it is asked was allowed, and is durable as begun.
    RunTool {
        /// To be named in the answer.
        run: RunId,
        /// For whom.
        session: String,
        /// What.
        call: Box<ToolCall>,
    },
    /// Stop a tool, with all that it started; `ToolDone` is the answer all the same.
    StopTool {
        /// As in `RunTool`.
        run: RunId,
    },
    /// The answer to `Input::Decide` and `Input::Forget`, once it is durable.
    Decided {
        /// Which request.
        request: RequestId,
        /// What to say.
        answer: DecisionAnswer,
    },
    /// Take a sample of the machine and answer `Sampled`.
    Sample,
    /// The events up to this place are durable: wake everyone who follows the ledger.
    Published {
        /// The newest durable event.
        last: Seq,
    },
    /// Everything is done that could be done: end the process.
    Exit,
}

/// A call to a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `POST {registry}/api/agents/register`.
    AlexosRegister {
        /// Written as `registration_time`.
        at: Wall,
    },
    /// `GET {registry}/api/agents/canon`.
    AlexosCanon,
    /// An event to ALEX OS, by the path that it offers.
    AlexosEvent {
        /// The event.
        event: Box<Event>,
        /// Its public name.
        id: EventId,
        /// How.
        path: EventsPath,
    },
    /// The `health_report` event to ALEX OS, by the path that it offers. Never in the ledger.
    AlexosReport {
        /// What to say.
        report: Box<HealthReport>,
        /// How.
        path: EventsPath,
    },
    /// The health report to `{webhook_url}/health`, where that is another machine.
    WebhookUrlReport {
        /// What to say.
        report: Box<HealthReport>,
    },
    /// `POST {base}/agents/{id}/connect`.
    AiwmConnect,
    /// `POST {base}/agents/{id}/heartbeat`.
    AiwmHeartbeat {
        /// From the last connect.
        token: Secret,
        /// What we are.
        status: BeatStatus,
        /// The numbers sent along, if a sample was taken.
        metrics: Option<BeatMetrics>,
    },
    /// `POST {base}/agents/{id}/disconnect`.
    AiwmDisconnect {
        /// From the last connect.
        token: Secret,
        /// Why we go, for people.
        reason: &'static str,
    },
    /// An event to a `[[webhooks]]` entry.
    Hook {
        /// `HookSetup::key`.
        key: String,
        /// The event.
        event: Box<Event>,
        /// Its public name: the `webhook-id`, constant over retries.
        id: EventId,
        /// The `webhook-timestamp` of this try.
        at: Wall,
    },
}

/// A message to the event bus.
#[derive(Clone, Debug, PartialEq)]
pub enum BusOut {
    /// An event as its envelope.
    Event {
        /// The event.
        event: Box<Event>,
        /// Its public name.
        id: EventId,
    },
    /// The `health_report` event. Never in the ledger.
    Report(Box<HealthReport>),
    /// A protocol ping; its pong is answered as `BusIn::ProtocolPong`.
    Ping,
    /// `{"type":"pong"}`.
    Pong,
    /// Public dialect: `{"action":"ping"}`.
    ActionPing,
    /// Public dialect: subscribe to its five channels.
    Subscribe,
}

/// How ALEX OS takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventsPath {
    /// `POST {registry}/api/webhooks/chainbot/{event_type}`, as documented.
    Documented,
    /// `POST {registry}/api/events/api/events/`, the one that works on the public release.
    Public,
}

/// The status of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatStatus {
    /// Only the two oldest generations know it.
    Online,
    /// Up and free.
    Idle,
    /// At work.
    Busy,
}

/// The numbers of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct BeatMetrics {
    /// Processor use of the machine in percent, 0 to 100.
    pub cpu_percent: f64,
    /// Memory use of the machine in percent, 0 to 100.
    pub memory_percent: f64,
    /// Seconds since the agent started.
    pub uptime_s: u64,
    /// Connections to the open port.
    pub connections: u32,
}

/// The documents' health report, 14 fields.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthReport {
    /// `timestamp`.
    pub at: Wall,
    /// A name for this report that does not repeat: for the peer's own duplicates.
    pub id: CorrelationId,
    /// `status_id`.
    pub health: Health,
    /// `active_workflows`; `workflow_state` is `running` if it is not 0, else `idle`.
    pub active_workflows: u32,
    /// `workflow_blockers`.
    pub workflow_blockers: Vec<String>,
    /// `attention_reason`; `requires_attention` is whether there is one.
    pub attention: Option<String>,
    /// `gpt_integration_status`.
    pub gpt_status: &'static str,
    /// `active_agents`.
    pub active_agents: u32,
    /// `system_resources`, `log_excerpt` and `websocket_connections`.
    pub sample: Sample,
}

/// The documents' three words for how we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All configured peers are there and the machine has room.
    Healthy,
    /// Something is missing, the main job goes on.
    Degraded,
    /// The main job is in danger.
    Unhealthy,
}

impl Health {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What someone who decides or forgets is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionAnswer {
    /// It is so, and durable.
    Done,
    /// There is no such conversation, or nobody waits for that permission (any more).
    Unknown,
    /// 503: the ledger cannot be written now.
    Unwritable {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
}

/// What a caller of a webhook path is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntakeAnswer {
    /// It is durable.
    Stored {
        /// The event that it became.
        id: EventId,
        /// Whether this id was stored before.
        duplicate: bool,
    },
    /// 503: too much waits already, or the commit did not end in time.
    Busy {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// 507: the ledger's disk is full.
    Full {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// 503: the ledger cannot be written.
    Faulty {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// 503: the agent is stopping.
    Stopping,
}

/// When the agent must be called again, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Strictly later than the last `now`.
    pub at: Mono,
    /// Which timer.
    pub timer: super::timers::Timer,
}
