//! What the ledger held when the agent was made, and what it is asked to write.

use super::brain::speech::{Message, SessionRecord};
use super::event::Event;
use super::ids::{DedupeKey, Destination, LedgerId, Seq};
use super::input::ControllerAnswer;
use super::time::Wall;

/// What the ledger held. `Memory::default()` is a ledger that was just made (with `LedgerId(0)`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// The ledger's name.
    pub ledger: LedgerId,
    /// The oldest event kept; `Seq(last.0 + 1)` if there is none.
    pub oldest: Seq,
    /// The newest event; `Seq(0)` if there never was one.
    pub last: Seq,
    /// Time of the newest event, if there is one.
    pub newest_at: Option<Wall>,
    /// The last event each destination has behind it.
    pub cursors: Vec<(Destination, Seq)>,
    /// Named small values, see `FactKey`.
    pub facts: Vec<(FactKey, String)>,
    /// `FactKey::Controller`, read by the shell with `wire::aiwm::controller_from_fact`.
    pub controller: Option<ControllerAnswer>,
    /// The conversations, at most `limits::SESSIONS_MAX`.
    pub sessions: Vec<SessionMemory>,
    /// What had to be done to open the ledger, for an event. `None`: nothing.
    pub recovered: Option<Recovery>,
    /// The last commit before the end could not be read and was taken back. If the power cut it short, nothing in it was
    /// acknowledged; if the disk lost it, something may have been. `last` is beyond the places that it used.
    pub is_rolled_back: bool,
}

/// A conversation as the ledger held it. Its messages stay there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionMemory {
    /// Its name.
    pub name: String,
    /// What was kept of it.
    pub record: SessionRecord,
    /// The assistant's message whose calls were being made (`TurnRecord::calling`).
    pub calling: Option<Message>,
    /// Bytes of its messages from `record.first` on; 0 for one that cannot be read. May be shorter than there are messages.
    pub sizes: Vec<u32>,
}

/// A ledger was damaged, and this is what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What was wrong, for people.
    pub reason: String,
    /// File name of the quarantined ledger.
    pub quarantined_as: String,
    /// Events whose checksum held and that were carried over.
    pub events_salvaged: u64,
    /// Records that were lost, as far as they could be counted.
    pub records_lost: u64,
}

/// The named small values in the ledger's `facts` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKey {
    /// The id that ALEX OS gave us, as text.
    AlexosAgentId,
    /// The controller's last good answer as JSON (`ControllerAnswer`, never the token). `wire/aiwm.rs` writes and reads it.
    Controller,
    /// `HookSetup::key` of the webhooks that said 410, with commas between.
    HooksDisabled,
    /// What each caller used of its budget, as `agent/brain/` writes it.
    BrainUsage,
}

impl FactKey {
    /// Every key.
    pub const ALL: [Self; 4] = [Self::AlexosAgentId, Self::Controller, Self::HooksDisabled, Self::BrainUsage];

    /// The name in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlexosAgentId => "alex_os.agent_id",
            Self::Controller => "aiwm.controller",
            Self::HooksDisabled => "webhooks.disabled",
            Self::BrainUsage => "brain.usage",
        }
    }

    /// Reads the name in the ledger.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }
}

/// One thing to make durable. All writes of a commit become durable together or not at all.
/// Writing the same thing twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Put this event at its place.
    Event(Event),
    /// Remember that this id was answered with that event.
    Inbox {
        /// The caller's id, hashed.
        key: DedupeKey,
        /// The event that it became.
        seq: Seq,
    },
    /// This destination has everything up to `seq` behind it.
    Cursor {
        /// The reader.
        destination: Destination,
        /// The last event behind it.
        seq: Seq,
    },
    /// This destination is no longer configured: forget it, so that it holds no events back.
    CursorGone(Destination),
    /// Set a named value; an empty one removes it.
    Fact(FactKey, String),
    /// Put this message at its place in a conversation.
    Message {
        /// The conversation.
        session: String,
        /// The place.
        number: u32,
        /// The message.
        message: Box<Message>,
    },
    /// Forget the messages of a conversation before this place.
    MessagesGone {
        /// The conversation.
        session: String,
        /// The first that stays.
        below: u32,
    },
    /// What is kept of a conversation beside its messages.
    Session {
        /// The conversation.
        session: String,
        /// What.
        record: Box<SessionRecord>,
    },
    /// Forget a conversation and all its messages.
    SessionGone(String),
}

impl Write {
    /// About how many bytes this holds in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Event(event) => 96 + event.kind.len() + event.message.len() + event.metadata.0.len(),
            Self::Fact(_, value) => 48 + value.len(),
            Self::Inbox { .. } | Self::Cursor { .. } | Self::CursorGone(_) => 64,
            Self::Message { session, message, .. } => 128 + session.len() + message.bytes(),
            Self::Session { session, record } => 128 + session.len() + record.bytes_held(),
            Self::MessagesGone { session, .. } | Self::SessionGone(session) => 64 + session.len(),
        }
    }
}
