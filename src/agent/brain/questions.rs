//! The questions to providers that are under way, callers' own and those of turns: at most `limits::THOUGHTS_MAX`.
//!
//! ```text
//! waiting (for another try) -> thinking -> waiting (it failed before it began)
//!                                       -> over
//! ```

use super::providers::Route;
use super::speech::{Caller, SessionPrompt, ThoughtId};
use crate::agent::ids::RequestId;
use crate::agent::time::Mono;

/// Who waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A caller, for its own question.
    Request(RequestId),
    /// The turn of a conversation.
    Turn(Box<SessionPrompt>),
    /// Nobody any more: it only keeps its place until it is over.
    Nobody,
}

/// How far a question is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked (again) when its route says so.
    Waiting,
    /// A provider has it.
    Thinking {
        /// The shell's name for it.
        thought: ThoughtId,
        /// Who.
        provider: String,
        /// With which model.
        model: String,
        /// Since when.
        since: Mono,
        /// Its first piece went on: nobody else can answer.
        has_begun: bool,
    },
}

/// A question under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who waits.
    pub asker: Asker,
    /// Whose budget.
    pub caller: Caller,
    /// The conversation, for the log; empty: none.
    pub session: String,
    /// Where it is in the order of the providers.
    pub route: Route,
    /// About how many tokens it is.
    pub tokens: u32,
    /// How far it is.
    pub state: State,
    /// The last provider and model that it went to.
    pub asked: Option<(String, String)>,
}

/// The questions under way. See the module.
#[derive(Debug, Default)]
pub struct Questions {
    /// In the order in which they were asked.
    pub list: Vec<Query>,
    last: u64,
}

impl Questions {
    /// A name for a question to a provider.
    pub fn new_thought(&mut self) -> ThoughtId {
        self.last += 1;
        ThoughtId(self.last)
    }

    /// The place of the question that a provider has under this name.
    #[must_use]
    pub fn of_thought(&self, wanted: ThoughtId) -> Option<usize> {
        self.list
            .iter()
            .position(|query| matches!(query.state, State::Thinking { thought, .. } if thought == wanted))
    }

    /// The place of a caller's question.
    #[must_use]
    pub fn of_request(&self, wanted: RequestId) -> Option<usize> {
        self.list.iter().position(|query| query.asker == Asker::Request(wanted))
    }

    /// The place of the question of a conversation's turn.
    #[must_use]
    pub fn of_session(&self, name: &str) -> Option<usize> {
        let is_turns = |query: &Query| matches!(query.asker, Asker::Turn(_));
        self.list.iter().position(|query| is_turns(query) && query.session == name)
    }
}

impl Query {
    /// The provider's name for it, while one has it.
    #[must_use]
    pub fn thought(&self) -> Option<ThoughtId> {
        match self.state {
            State::Thinking { thought, .. } => Some(thought),
            State::Waiting => None,
        }
    }
}
