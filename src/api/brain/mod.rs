//! Chat, completions, conversations and approvals: what a request asks of the brain, and what its caller is told.
//!
//! The gateway's own shapes are in `wire/openai.rs`; here are the documents' and the windows'. A question that names no
//! conversation is passed through; with one, it is said to it, and its messages stay on the board.

mod answers;
mod read;

pub mod personas;

#[cfg(test)]
mod tests;

pub use answers::{
    conversation, conversations, decided, healthy, models, openai_error, openai_models, pending,
    persona_list, provider_status, question_refused, said, words_of,
};
pub(super) use read::{completion, decision, forget, message, question, show, stop};

use crate::agent::brain::speech::{Question, Saying};
use crate::agent::ids::EventId;

/// What is asked of the brain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Pass this through and stream what comes.
    Question {
        /// What the agent must know of it.
        question: Question,
        /// The request in OpenAI's shape; `model` and what is ours are rewritten for each provider.
        body: Vec<u8>,
        /// In which shape it is answered.
        form: QuestionForm,
        /// Said to a conversation instead, to be answered later, if no provider can be had now.
        otherwise: Option<Box<Saying>>,
    },
    /// Say this to a conversation.
    Say {
        /// What.
        saying: Box<Saying>,
        /// In which shape it is answered.
        form: SayForm,
    },
    /// A person decides about a call of a tool.
    Decide {
        /// The event that asked.
        approval: EventId,
        /// Whether it may be done.
        is_yes: bool,
        /// Who says so.
        by: String,
    },
    /// Forget a conversation.
    Forget {
        /// Its name.
        session: String,
    },
    /// Stop what a conversation is doing.
    Stop {
        /// Its name.
        session: String,
    },
    /// Show a conversation's messages.
    Show {
        /// Its name.
        session: String,
    },
}

/// In which shape a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionForm {
    /// OpenAI's: server-sent events or one object.
    OpenAi {
        /// Piece by piece.
        is_streamed: bool,
        /// With a last piece about tokens, if it is streamed.
        wants_usage: bool,
    },
    /// The documents' `POST /api/chat`: Ollama's lines or one object, with `response` beside `message`.
    Chat {
        /// Piece by piece.
        is_streamed: bool,
    },
}

/// In which shape something said to a conversation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SayForm {
    /// `POST /api/gpt/completion`.
    Completion,
    /// `POST /api/chat` with a `session_id`, and `POST /chat/message`.
    Chat,
    /// The same piece by piece: a line of JSON each.
    Stream,
}

/// The conversation of callers that name none.
pub const SESSION_DEFAULT: &str = "default";

/// A name for the conversation of someone who may call himself anything: what does not fit is replaced by `-`.
#[must_use]
pub fn session_name(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = text.chars().take(64).map(fit).collect();
    if name.is_empty() { SESSION_DEFAULT.to_owned() } else { name }
}
