//! The brain: questions to models upstream, conversations held here, tools within permission.
//!
//! What thinks is elsewhere; here is decided whom to ask, what of a conversation is sent along, what a model's call of a tool
//! may do, and what of all that is kept. Bodies and answers pass through the shell: only their sizes and ends come here.
//!
//! # Its events
//!
//! What sockets, the audit and people learn of all this they read from the log. Texts are cut to 2 KiB unless it says "whole".
//!
//! | type | when | metadata |
//! | --- | --- | --- |
//! | `goal_received` | a turn begins | `session`, `goal`, `caller` |
//! | `model_called` | each question to a provider ended | `provider`, `model`, `caller`, `session` or none, `tokens_in`, `tokens_out`, `outcome` |
//! | `thought` | the model says something before it calls tools | `session`, `content` |
//! | `plan_ready` | the model calls tools | `session`, `llm_response`, `steps` (list of `tool: subject`) |
//! | `tool_started` | before a tool runs | `session`, `call_id`, `tool`, `subject` |
//! | `tool_ended` | it is done, or was refused | `session`, `call_id`, `tool`, `subject`, `success`, `output`, `exit_code` or none |
//! | `approval_requested` | a person is asked; its id names the request | `session`, `tool`, `subject`, `arguments`, `timeout_seconds` |
//! | `approval_decided` | somebody decided, or time did | `approval`, `approved`, `by` |
//! | `llm_response` | a turn ended with an answer | `session`, `response` (whole), `provider`, `model`, `tokens`, `end` |
//! | `goal_completed` | with it | `session`, `goal`, `result`, `end` |
//! | `turn_failed` | a turn ended without an answer; a warning | `session`, `reason` |
//! | `question_queued` | it waits for a provider | `session` |
//! | `provider_down`, `provider_up` | a circuit opened or closed | `provider`, `model`, `reason` |

pub mod budget;
pub mod permission;
pub mod providers;
pub mod questions;
pub mod sessions;
pub mod setup;
pub mod speech;
pub mod status;
pub mod turns;

use budget::Budgets;
use providers::Providers;
use questions::Questions;
use sessions::Sessions;

use crate::agent::effect::DecisionAnswer;
use crate::agent::ids::RequestId;

/// The parts of the brain. `brain_routing.rs` and `turn_routing.rs` bring them together.
#[derive(Debug, Default)]
pub struct Brain {
    /// Whom to ask.
    pub providers: Providers,
    /// What each caller may ask.
    pub budgets: Budgets,
    /// What is being asked.
    pub questions: Questions,
    /// The conversations and their turns.
    pub sessions: Sessions,
    /// Those who decided or forgot something and are told once it is durable: with which batch of the journal.
    pub deciders: Vec<(RequestId, u64, DecisionAnswer)>,
    /// Runs of tools so far.
    pub last_run: u64,
}
