//! What is said: messages, calls of tools, questions to a model and what came of them.

use crate::agent::ids::{EventId, RequestId};
use crate::agent::input::Fault;
use crate::agent::time::Wall;

/// One question to one provider. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThoughtId(pub u64);

/// One run of a tool. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// Whose budget a question is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A program or person on the board, without a credential.
    Loopback,
    /// Who holds `security.token`.
    Token,
    /// Who holds `security.api_key`.
    ApiKey,
    /// The agent itself: a queued question, a turn taken up after a restart.
    Agent,
}

impl Caller {
    /// Every caller.
    pub const ALL: [Self; 4] = [Self::Loopback, Self::Token, Self::ApiKey, Self::Agent];

    /// The word in events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Token => "token",
            Self::ApiKey => "api_key",
            Self::Agent => "agent",
        }
    }
}

/// A caller's own question, passed through: its body stays with the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose budget.
    pub caller: Caller,
    /// The model that it names; empty: none.
    pub model: String,
    /// About how many tokens its body is.
    pub tokens: u32,
}

/// Something said to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Whose budget.
    pub caller: Caller,
    /// Who says it and from where, for the log.
    pub by: String,
    /// The conversation's name (`is_session_name`).
    pub session: String,
    /// What is said, at most `limits::MESSAGE_BYTES_MAX`.
    pub text: String,
    /// The model wanted; empty: the config's.
    pub model: String,
    /// The provider wanted; empty: any, in order.
    pub provider: String,
    /// Goes before the conversation instead of the usual instruction, if not empty (a persona).
    pub instruction: String,
    /// Whether it is kept and answered later if no provider can be had now.
    pub may_wait: bool,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The instruction.
    System,
    /// A person or program.
    User,
    /// The model.
    Assistant,
    /// What came of a call.
    Tool,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::System, Self::User, Self::Assistant, Self::Tool];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What; at most `limits::MESSAGE_BYTES_MAX`.
    pub text: String,
    /// When.
    pub at: Wall,
    /// The tools that an assistant's message calls, at most `limits::TOOL_CALLS_MAX`.
    pub calls: Vec<ToolCall>,
    /// Of a tool's message: `ToolCall::id`.
    pub call_id: String,
    /// Whether it ended before it was complete.
    pub is_partial: bool,
}

impl Message {
    /// About how many bytes it holds beside itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let calls = self.calls.iter().map(ToolCall::bytes).sum::<usize>();
        self.text.len() + self.call_id.len() + calls
    }
}

/// A model's wish to use a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's name for it, at most 64 bytes.
    pub id: String,
    /// The tool, at most 64 bytes.
    pub name: String,
    /// A JSON object as the model wrote it, at most `limits::TOOL_ARGUMENTS_BYTES_MAX`.
    pub arguments: String,
    /// What it touches, for rules and people: a path, a command line, a URL; made by `wire::tools::subject`.
    pub subject: String,
}

impl ToolCall {
    fn bytes(&self) -> usize {
        96 + self.id.len() + self.name.len() + self.arguments.len() + self.subject.len()
    }
}

/// What came of a call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// Whether it did what it was asked.
    pub is_ok: bool,
    /// For the model, at most `ToolsSetup::output_bytes_max` and a note about the cut.
    pub text: String,
    /// The exit code, of a command.
    pub exit_code: Option<i32>,
}

/// What a provider is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The body that the shell holds under this request; its answer goes to it.
    Caller(RequestId),
    /// Messages of a conversation, read from the ledger.
    Session(Box<SessionPrompt>),
}

/// Messages of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPrompt {
    /// The conversation.
    pub session: String,
    /// The first message sent along.
    pub from: u32,
    /// The last, included.
    pub upto: u32,
    /// Older messages are left out so that about so many tokens remain; calls and their results stay together.
    pub tokens_max: u32,
    /// Goes before them; may be empty.
    pub instruction: String,
    /// Names of the tools that the model is told of; an entry `mcp__*` stands for those of every server.
    pub tools: Vec<String>,
}

/// What a provider's answer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThoughtNews {
    /// Its first piece came and went on: from now on nobody else can answer.
    Began,
    /// It is over.
    Ended(ThoughtEnd),
}

/// What came of a question to one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThoughtEnd {
    /// It answered to the end.
    Answered(Reply),
    /// It broke off after it began; what came until then.
    Broke(Reply, Fault),
    /// Nothing usable came.
    Failed(ThoughtFault),
    /// The caller went away.
    Left(Reply),
}

/// An answer as far as it came. For a caller's own question the text went through and is not here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reply {
    /// The text, at most `limits::MESSAGE_BYTES_MAX`; the rest went to listeners and is cut here.
    pub text: String,
    /// Tools called.
    pub calls: Vec<ToolCall>,
    /// Tokens in, as the provider counts or as estimated.
    pub tokens_in: u32,
    /// Tokens out, likewise.
    pub tokens_out: u32,
    /// The model, as the provider calls it; may be empty.
    pub model: String,
}

/// Why nothing usable came of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThoughtFault {
    /// Worth trying again: 429, 5xx, no answer in time, a broken connection.
    Retry {
        /// What was wrong.
        fault: Fault,
        /// `Retry-After`, in milliseconds.
        after_ms: Option<u64>,
    },
    /// 401, 402, 403, 429 for a spent quota, 404 for a model: another provider may do better.
    Provider {
        /// The status.
        status: u16,
        /// Its words, at most 200 bytes.
        why: String,
    },
    /// Another 4xx: the question itself is no good, wherever it goes.
    Question {
        /// The status.
        status: u16,
        /// Its words, at most 200 bytes.
        why: String,
    },
}

/// Why a question or saying is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No provider is configured.
    NoProvider,
    /// The provider asked for by name is not configured.
    UnknownProvider(String),
    /// None of them answers: what each said last, for people.
    AllDown {
        /// `name: why`, at most 200 bytes each.
        why: Vec<String>,
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// The question is no good, as the provider says.
    Question {
        /// The provider's status.
        status: u16,
        /// Its words.
        why: String,
    },
    /// The caller's budget is spent.
    Budget {
        /// Which: `requests_per_hour`, ...
        which: &'static str,
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// As many questions are under way as there may be, or the conversation has a turn under way.
    Busy {
        /// Which.
        what: &'static str,
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// It cannot be kept: the ledger cannot be written now.
    Unwritable {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// The agent is stopping.
    Stopping,
}

/// What a caller is told at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskAnswer {
    /// A caller's own question went through to the end.
    Passed,
    /// The provider broke off in the middle of it.
    Broke(Fault),
    /// Nothing came of it.
    Refused(Refusal),
    /// What was said is kept and will be answered when a provider can be had.
    Waits,
    /// A turn of a conversation is over.
    Turn(Box<TurnAnswer>),
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnAnswer {
    /// The last thing that the model said.
    pub text: String,
    /// Who answered last.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Tokens of the whole turn.
    pub tokens: u32,
    /// Why it ended.
    pub end: TurnEnd,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// The model was done.
    Done,
    /// `turn_questions_max` was reached.
    QuestionLimit,
    /// `turn_tokens_max` was reached.
    TokenLimit,
    /// The provider broke off; the partial answer is kept.
    Broke,
    /// Someone stopped it.
    Stopped,
}

impl TurnEnd {
    /// The word in answers and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::QuestionLimit => "question_limit",
            Self::TokenLimit => "token_limit",
            Self::Broke => "broke_off",
            Self::Stopped => "stopped",
        }
    }
}

/// What the ledger keeps of a conversation beside its messages.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SessionRecord {
    /// Number of its oldest message.
    pub first: u32,
    /// Number of the message that comes next.
    pub next: u32,
    /// When it was last spoken to.
    pub at: Wall,
    /// Bytes of the text of its messages.
    pub bytes: u32,
    /// The turn under way.
    pub turn: Option<TurnRecord>,
}

impl SessionRecord {
    /// About how many bytes it holds beside itself.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        let turn = |turn: &TurnRecord| 64 + turn.model.len() + turn.provider.len() + turn.instruction.len();
        self.turn.as_ref().map_or(0, turn)
    }
}

/// What the ledger keeps of a turn under way.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TurnRecord {
    /// As in `Saying`.
    pub model: String,
    /// As in `Saying`.
    pub provider: String,
    /// As in `Saying`.
    pub instruction: String,
    /// Questions to a model so far.
    pub questions: u32,
    /// Tokens so far.
    pub tokens: u32,
    /// Number of the assistant's message whose calls are being made; 0 if none are.
    pub calling: u32,
    /// Which of its calls is next.
    pub next_call: u32,
    /// What is known of that call.
    pub call: CallState,
}

/// How far a call of a tool is, as the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CallState {
    /// Nothing is decided.
    #[default]
    New,
    /// A person was asked; the event that says so names the request.
    Asked(EventId),
    /// It was begun. After a restart: nobody knows what came of it, and it is not begun again.
    Started,
}

/// Whether a text may name a conversation: 1 to 64 bytes of letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn is_session_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
