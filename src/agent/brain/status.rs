//! How the brain shows itself: `Status::brain`.

use super::setup::ProviderKind;
use super::speech::Caller;
use crate::agent::ids::EventId;
use crate::agent::time::Wall;

/// The brain at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BrainStatus<'a> {
    /// In order of preference.
    pub providers: Vec<ProviderStatus<'a>>,
    /// Questions to providers under way.
    pub under_way: u32,
    /// What each caller used, of those that used anything.
    pub usage: Vec<UsageStatus>,
    /// The conversations, the one spoken to last first.
    pub sessions: Vec<SessionStatus<'a>>,
    /// What people are asked.
    pub approvals: Vec<ApprovalStatus<'a>>,
}

impl BrainStatus<'_> {
    /// The documents' word: `not_configured`, `healthy` if the first provider is not known to be down, `degraded` if another
    /// one can answer, else `unhealthy`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let is_up = |provider: &ProviderStatus<'_>| provider.state != ProviderState::Down;
        match self.providers.first() {
            None => "not_configured",
            Some(first) if is_up(first) => "healthy",
            Some(_) if self.providers.iter().any(is_up) => "degraded",
            Some(_) => "unhealthy",
        }
    }
}

/// A provider at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Whether it is asked.
    pub state: ProviderState,
    /// What was wrong last, for people; `None` after an answer.
    pub last_fault: Option<&'a str>,
    /// When it is asked again, if its circuit is open.
    pub next_try_in_ms: Option<u64>,
    /// Questions that it answered.
    pub answered: u64,
    /// Questions that came to nothing there.
    pub failed: u64,
    /// Mean time to the end of an answer, in milliseconds; 0 before the first.
    pub mean_ms: u64,
}

/// Whether a provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderState {
    /// It has not been asked yet.
    Unknown,
    /// Its last answers were good.
    Up,
    /// Its circuit is open.
    Down,
    /// One question goes to it, to see whether it is back.
    Probing,
}

impl ProviderState {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Probing => "probing",
        }
    }
}

/// What a caller used of its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageStatus {
    /// Whose.
    pub caller: Caller,
    /// Questions within the last hour and day.
    pub requests: (u64, u64),
    /// Tokens within the last hour and day.
    pub tokens: (u64, u64),
}

/// A conversation at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus<'a> {
    /// Its name.
    pub name: &'a str,
    /// Messages kept.
    pub messages: u32,
    /// Bytes of their text.
    pub bytes: u32,
    /// When it was last spoken to.
    pub at: Wall,
    /// What its turn is doing: `idle`, `thinking`, `running_tool`, `waits_for_approval` or `waits_for_provider`.
    pub state: &'static str,
}

/// A request for permission at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalStatus<'a> {
    /// The event that asked.
    pub id: EventId,
    /// The conversation.
    pub session: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// What it would touch.
    pub subject: &'a str,
    /// The arguments as the model wrote them.
    pub arguments: &'a str,
    /// Time left until it is a no.
    pub expires_in_ms: u64,
}
