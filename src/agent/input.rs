//! What happened in the world. The only way into the agent.

use super::brain::setup::McpSetup;
use super::brain::speech::{Question, RunId, Saying, ThoughtId, ThoughtNews, ToolResult};
use super::event::{Event, EventDraft};
use super::ids::{CallId, DedupeKey, Destination, EventId, LinkId, RequestId, Seq, Ticket};
use super::limits::{CLOCK_RETRY_MS, LOCAL_RETRY_MS};
use super::setup::{Secret, Setup};
use super::time::Wall;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The deadline came, or the shell just wanted to ask.
    Tick,
    /// This commit and all earlier ones are durable.
    Committed {
        /// As in `Effect::Commit`.
        ticket: Ticket,
        /// The oldest event that the ledger still keeps.
        oldest: Seq,
    },
    /// Whether this commit is durable is unknown.
    CommitFailed {
        /// As in `Effect::Commit`.
        ticket: Ticket,
        /// Why.
        fault: CommitFault,
    },
    /// What `Effect::Fetch` found.
    Fetched {
        /// As in the effect.
        destination: Destination,
        /// The first event that passes, if one was found.
        event: Option<Box<Event>>,
        /// Everything up to here was looked at (with an event: its place).
        upto: Seq,
        /// The ledger kept nothing before this place when it was read; 0 if nothing was missing.
        oldest: Seq,
        /// The ledger could not be read: ask again later.
        failed: bool,
    },
    /// A call came back, whatever came of it.
    CallDone {
        /// As in `Effect::Call`.
        id: CallId,
        /// What came of it.
        outcome: Outcome,
        /// The `Date` of the answer, if the peer was authenticated (TLS, or it took our token).
        date: Option<Wall>,
    },
    /// A caller brought a webhook; it is answered by `Effect::Respond`.
    Webhook {
        /// To be named in the answer.
        request: RequestId,
        /// The checked content.
        draft: EventDraft,
        /// The caller's id, if it gave one.
        dedupe: Option<DedupeKey>,
        /// The event that the ledger already has under this id.
        known: Option<Seq>,
    },
    /// The handshake with the event bus is done.
    BusOpened {
        /// As in `Effect::BusOpen`.
        link: LinkId,
    },
    /// The handshake was answered with another status than 101.
    BusRefused {
        /// As in `Effect::BusOpen`.
        link: LinkId,
        /// The status.
        status: u16,
    },
    /// A message came over the link.
    BusMessage {
        /// As in `Effect::BusOpen`.
        link: LinkId,
        /// What `wire::bus` made of it.
        message: BusIn,
        /// The event that the ledger already has under the id of an event that came.
        known: Option<Seq>,
    },
    /// The link could not be opened, or is no more.
    BusClosed {
        /// As in `Effect::BusOpen`.
        link: LinkId,
        /// Why.
        end: LinkEnd,
    },
    /// A caller brought a question to pass through; it is answered by `Effect::AskDone`, its text on the way by the shell.
    Ask {
        /// To be named in the answer; the shell holds the body under it.
        request: RequestId,
        /// What the brain must know of it.
        question: Question,
    },
    /// Someone says something to a conversation; it is answered by `Effect::AskDone` when the turn is over and durable.
    Say {
        /// To be named in the answer.
        request: RequestId,
        /// What.
        saying: Box<Saying>,
    },
    /// The caller of an `Ask` or `Say` no longer waits: what is under way for it is stopped.
    CallerLeft {
        /// Which.
        request: RequestId,
    },
    /// What a provider's answer is doing.
    Thought {
        /// As in `Effect::Think`.
        thought: ThoughtId,
        /// What.
        news: ThoughtNews,
    },
    /// A tool is done.
    ToolDone {
        /// As in `Effect::RunTool`.
        run: RunId,
        /// What came of it.
        result: ToolResult,
    },
    /// A person decided about a request for permission; it is answered by `Effect::Decided`.
    Decide {
        /// To be named in the answer.
        request: RequestId,
        /// The event that asked.
        approval: EventId,
        /// Whether it may be done.
        is_yes: bool,
        /// Who says so, for the log, at most 64 bytes.
        by: String,
    },
    /// Someone wants a conversation forgotten; it is answered by `Effect::Decided`.
    Forget {
        /// To be named in the answer.
        request: RequestId,
        /// Its name.
        session: String,
    },
    /// Someone wants the turn of a conversation stopped.
    StopTurn {
        /// Its name.
        session: String,
    },
    /// What `Effect::Sample` found.
    Sampled(Box<Sample>),
    /// The config was read again and is good.
    Reconfigured(Box<Setup>),
    /// Someone wants the process to end.
    StopAsked(StopReason),
}

/// What came over the event bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusIn {
    /// An event.
    Event {
        /// Its content, of source `alex_os`: that is where it came from.
        draft: Box<EventDraft>,
        /// Its id, hashed, if it has one.
        key: Option<DedupeKey>,
        /// Its id, if it has the form of ours.
        name: Option<EventId>,
        /// Whether it says that its source is `chainbot`.
        is_chainbots: bool,
    },
    /// An event with an id of which the ledger, unreadable, could not tell whether it is there: as with a webhook then,
    /// it is turned away rather than taken twice.
    Doubtful,
    /// The pong to our protocol ping.
    ProtocolPong,
    /// `{"type":"pong"}`.
    Pong,
    /// `{"type":"ping"}`.
    Ping,
    /// `{"type":"subscription_confirmed"}`.
    Subscribed,
    /// `{"type":"error","message":"Missing action"}`: this peer takes no envelopes.
    MissingAction,
    /// Another error, in its words: one line, bounded.
    Complaint(String),
    /// Something else, or nothing that can be read.
    Unknown,
}

/// Why a link is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// It failed, before the handshake was done or after.
    Failed(Fault),
    /// The peer closed it with this code (RFC 6455, section 7.4), 1005 if it named none.
    Closed(u16),
    /// The peer broke the rules of the protocol; the code says which.
    Broken(u16),
}

impl std::fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(fault) => fault.fmt(f),
            Self::Closed(code) => write!(f, "closed by the peer with code {code}"),
            Self::Broken(code) => write!(f, "the peer broke the protocol (code {code})"),
        }
    }
}

/// Why we stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGTERM or SIGINT.
    Signal,
}

impl StopReason {
    /// For logs and peers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
        }
    }
}

/// What may be wrong with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// No room on the disk, or the quota is used up.
    Full,
    /// The disk failed in another way.
    Io,
}

/// A reading of the machine.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Sample {
    /// Processor use in percent, 0 to 100.
    pub cpu_percent: f64,
    /// Memory use in percent, 0 to 100.
    pub memory_percent: f64,
    /// Use of the disk that holds the ledger in percent, 0 to 100.
    pub disk_percent: f64,
    /// Bytes in and out over all interfaces but loopback since the sample before, in KiB per second.
    pub network_kib_s: f64,
    /// Resident memory of this process in KiB.
    pub rss_kib: u64,
    /// The last lines of the log, oldest first, secrets masked.
    pub log_excerpt: Vec<String>,
    /// Connections to the open port.
    pub connections: u32,
    /// Open WebSockets.
    pub sockets: u32,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of `AlexosRegister`.
    Registered(Verdict, Option<String>),
    /// Of `AlexosCanon`: names and versions of the agents.
    Canon(Verdict, Vec<CanonEntry>),
    /// Of every other call to ALEX OS, to `webhook_url` and to `[[webhooks]]`.
    Delivered(Verdict),
    /// Of every call to AIWM.
    Aiwm(AiwmReply),
}

/// What a peer's answer means for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken.
    Accepted,
    /// 404, 405, 501: this peer does not have that path.
    NotOffered {
        /// The status.
        status: u16,
    },
    /// Worth trying again.
    Retry {
        /// What was wrong.
        fault: Fault,
        /// The peer's `Retry-After`, in milliseconds.
        after_ms: Option<u64>,
    },
    /// 401, 403, 407 or a wrong `Host`: the peer does not let us in, whatever we bring. Held back and tried again.
    Denied {
        /// The status.
        status: u16,
        /// The peer's words, at most 200 bytes, control characters removed.
        why: String,
    },
    /// Another 4xx: what we brought is no good, and bringing the same again is no use.
    Refused {
        /// The status.
        status: u16,
        /// The peer's words, at most 200 bytes, control characters removed.
        why: String,
    },
    /// 410: never again.
    Gone,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time.
    Timeout,
    /// Nobody listens.
    Refused,
    /// The connection broke.
    Reset,
    /// This machine has no descriptor, thread or memory left for the call: not the peer's fault, tried again after
    /// `limits::LOCAL_RETRY_MS`.
    Local,
    /// The name has no address.
    Dns,
    /// The certificate is not valid (yet).
    Tls,
    /// Likewise, under a clock that may be wrong: no verdict, tried again after `limits::CLOCK_RETRY_MS`.
    Clock,
    /// The answer is larger than `limits::REPLY_BYTES_MAX`.
    TooLarge,
    /// The name resolves to a private address, which a `[[webhooks]]` URL may only name directly.
    PrivateAddress,
    /// The peer answered with this status.
    Status(u16),
    /// The peer's answer is not what its kind of answer looks like.
    Garbage,
    /// Anything else below HTTP.
    Transport,
}

impl Fault {
    /// Time until a call is tried again that failed by no fault of the peer's, in milliseconds: no schedule counts it.
    #[must_use]
    pub fn own_wait_ms(self) -> Option<u64> {
        match self {
            Self::Clock => Some(CLOCK_RETRY_MS),
            Self::Local => Some(LOCAL_RETRY_MS),
            _ => None,
        }
    }

    /// The same under a clock that may be wrong.
    #[must_use]
    pub fn doubted(self) -> Self {
        if self == Self::Tls { Self::Clock } else { self }
    }
}

impl Outcome {
    /// The same under a clock that may be wrong: what it says of a certificate is no verdict.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        match &mut self {
            Self::Registered(Verdict::Retry { fault, .. }, _)
            | Self::Canon(Verdict::Retry { fault, .. }, _)
            | Self::Delivered(Verdict::Retry { fault, .. })
            | Self::Aiwm(AiwmReply::Failed { fault, .. }) => *fault = fault.doubted(),
            _ => {}
        }
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no answer in time",
            Self::Refused => "connection refused",
            Self::Reset => "connection broken",
            Self::Local => "this machine has nothing left to call with",
            Self::Dns => "name has no address",
            Self::Tls => "certificate not accepted",
            Self::Clock => "certificate not accepted, and the clock of this machine may be wrong",
            Self::TooLarge => "answer too large",
            Self::PrivateAddress => "name resolves to a private address",
            Self::Status(status) => return write!(f, "status {status}"),
            Self::Garbage => "answer not understood",
            Self::Transport => "connection failed",
        })
    }
}

/// An agent of ALEX OS's canon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonEntry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What AIWM answered.
#[derive(Clone, Debug, PartialEq)]
pub enum AiwmReply {
    /// Of a connect: we are in.
    Connected {
        /// The JWT for everything that follows.
        token: Secret,
        /// Seconds that the token lives, if the answer or the token says so.
        expires_in_s: Option<u64>,
        /// Instruction, tools, settings.
        answer: Box<ControllerAnswer>,
        /// The same as the text of `FactKey::Controller`, without anything secret.
        fact: String,
    },
    /// Of a heartbeat or disconnect: taken.
    Taken {
        /// Generation c: title of work that waits.
        work: Option<String>,
    },
    /// 401 to a heartbeat: the token is no good. 401 to a connect: the secret is no good.
    Unauthorized {
        /// The peer's words.
        why: String,
    },
    /// 401 or 400 that says that the agent is suspended.
    Suspended,
    /// 404 that says that there is no such agent.
    AgentGone,
    /// 404 for a path that is not there, or 405, 501.
    WrongPath {
        /// The status.
        status: u16,
    },
    /// 500 to an id that is well-formed here but not there, as far as it can be told.
    ServerError {
        /// The status.
        status: u16,
    },
    /// 400 to the heartbeat's status word.
    StatusRefused,
    /// Another 4xx.
    Refused {
        /// The status.
        status: u16,
        /// The peer's words.
        why: String,
    },
    /// Nothing usable came back.
    Failed {
        /// What was wrong.
        fault: Fault,
        /// The peer's `Retry-After`, in milliseconds.
        after_ms: Option<u64>,
    },
}

/// The controller's last good answer, whatever its generation. Never holds the token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ControllerAnswer {
    /// Which generation's shape it had.
    pub generation: Generation,
    /// The instruction as text, at most `limits::INSTRUCTION_BYTES_MAX`; empty if none.
    pub instruction: String,
    /// Names of the allowed tools; `None` if the answer does not speak of tools.
    pub tools: Option<Vec<String>>,
    /// Settings under one spelling (`claude.model`, `claude.max_turns`, `discord.token`, ...) as text.
    /// Unknown ones keep their own name. Secret ones are kept in memory, never written.
    pub settings: Vec<Setting>,
    /// The agent's name as the controller knows it.
    pub name: Option<String>,
    /// Servers of further tools, at most `limits::MCP_SERVERS_MAX`. Kept in memory, never written.
    pub servers: Vec<McpSetup>,
}

/// One setting of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Config key.
    pub key: String,
    /// Value as text; lists are joined by commas.
    pub value: Secret,
    /// Whether it is shown and written only masked.
    pub is_secret: bool,
}

/// The shapes of AIWM's answers (docs/peers.md, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Generation {
    /// `token`, text instruction, tools, nested settings.
    #[default]
    A,
    /// `accessToken`, object instruction, no tools, flat settings.
    B,
    /// As b, with tools and a top-level id and name.
    C,
}

impl Generation {
    /// The letter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        }
    }
}
