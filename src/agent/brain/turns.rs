//! A turn of a conversation: questions to a model and runs of tools, until the model calls no more.
//!
//! ```text
//! keeping (what was said) -> ready -> asking -> keeping (what it answered) -> over
//!                                                                          -> calling
//! calling -> approving -> calling, keeping (that it begins) -> running -> keeping (what came of it) -> calling, ready
//! ready -> over (a limit, a stop, nobody can be asked), ready (later: it is queued)
//! ```
//!
//! Nothing goes on before what led to it is durable. What the ledger keeps of a turn is `TurnRecord`; here is the rest.

use super::speech::{AskAnswer, Caller, RunId, ToolCall};
use crate::agent::ids::{EventId, RequestId};
use crate::agent::limits::{TOOL_ARGUMENTS_BYTES_MAX, TOOL_CALLS_MAX};
use crate::agent::time::Mono;

/// Longest id and name of a call in bytes.
const CALL_NAME_BYTES_MAX: usize = 64;
/// Begins the id of a call that must not be made: the model wrote it wrongly.
const UNUSABLE: &str = "norun_";

/// How far a turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Waits until the journal's batch `place` is durable.
    Keeping {
        /// `Journal::place`.
        place: u64,
        /// What comes then.
        then: Then,
    },
    /// Wants to ask a model. `until`: when to try again, if time brings it about; it is tried after every input besides.
    Ready {
        /// See above.
        until: Option<Mono>,
    },
    /// A question is under way (`Questions`).
    Asking,
    /// The next call is looked at.
    Calling,
    /// A person is asked.
    Approving {
        /// The event that asks.
        approval: EventId,
        /// Then it is a no.
        deadline: Mono,
    },
    /// A tool runs.
    Running(RunId),
}

/// What comes when something is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Ask a model.
    Ask,
    /// Look at the next call.
    Call,
    /// Wait for a person.
    Approve(EventId),
    /// Run the tool.
    Run,
    /// The turn is over.
    End(Box<AskAnswer>),
}

/// A turn under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who waits for its end.
    pub request: Option<RequestId>,
    /// Whose budget.
    pub caller: Caller,
    /// How far it is.
    pub step: Step,
    /// Since when it is under way in this process.
    pub since: Mono,
    /// What was said is durable.
    pub is_kept: bool,
    /// It may wait for a provider.
    pub may_wait: bool,
    /// The log says that it waits.
    pub is_queued: bool,
    /// Someone wants it to end.
    pub is_stopped: bool,
    /// Calls of the message at hand.
    pub calls: Vec<ToolCall>,
    /// Calls of it that were too many and are not among them.
    pub calls_cut: usize,
    /// What was said, cut for the log.
    pub goal: String,
    /// The last thing that the model said.
    pub text: String,
    /// Who said it.
    pub provider: String,
    /// With which model.
    pub model: String,
}

impl Turn {
    /// A turn in this step, for whom `caller` pays and for which nobody waits.
    #[must_use]
    pub fn new(now: Mono, caller: Caller, step: Step) -> Self {
        Self {
            request: None,
            caller,
            step,
            since: now,
            is_kept: true,
            may_wait: true,
            is_queued: false,
            is_stopped: false,
            calls: Vec::new(),
            calls_cut: 0,
            goal: String::new(),
            text: String::new(),
            provider: String::new(),
            model: String::new(),
        }
    }

    /// Whether it is at work, and not waiting for a provider.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.step, Step::Ready { .. })
    }

    /// The word in `/status`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.step {
            Step::Ready { .. } => "waits_for_provider",
            Step::Approving { .. } | Step::Keeping { then: Then::Approve(_), .. } => "waits_for_approval",
            Step::Running(_) | Step::Calling | Step::Keeping { then: Then::Run | Then::Call, .. } => {
                "running_tool"
            }
            Step::Asking | Step::Keeping { .. } => "thinking",
        }
    }

    /// When it must be looked at again.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match self.step {
            Step::Ready { until } => until,
            Step::Approving { deadline, .. } => Some(deadline),
            _ => None,
        }
    }
}

/// The calls of a model's message as they are kept and made, and how many were too many. Ids are unique and arguments bounded;
/// a call that repeats an id or is too long stays, so that the model can be told, under an id that says that it is not made.
#[must_use]
pub fn usable_calls(calls: Vec<ToolCall>) -> (Vec<ToolCall>, usize) {
    let cut = calls.len().saturating_sub(TOOL_CALLS_MAX);
    let mut kept: Vec<ToolCall> = Vec::with_capacity(calls.len().min(TOOL_CALLS_MAX));
    let mut bytes = 0;
    for (n, mut call) in calls.into_iter().take(TOOL_CALLS_MAX).enumerate() {
        if call.id.is_empty() || call.id.len() > CALL_NAME_BYTES_MAX || call.id.starts_with(UNUSABLE) {
            call.id = format!("call_{n}");
        }
        if call.arguments.trim().is_empty() {
            call.arguments = "{}".to_owned();
        }
        crate::agent::cut(&mut call.name, CALL_NAME_BYTES_MAX);
        bytes += call.arguments.len() + call.subject.len();
        let is_object = call.arguments.trim_start().starts_with('{');
        let is_repeated = kept.iter().any(|other| other.id == call.id);
        if is_repeated || !is_object || bytes > TOOL_ARGUMENTS_BYTES_MAX {
            bytes -= call.arguments.len() + call.subject.len();
            call.id = format!("{UNUSABLE}{n}");
            call.arguments = "{}".to_owned();
            call.subject = String::new();
        }
        kept.push(call);
    }
    (kept, cut)
}

/// Whether a call must not be made, because `usable_calls` found it wanting.
#[must_use]
pub fn is_unusable(call: &ToolCall) -> bool {
    call.id.starts_with(UNUSABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, arguments: &str) -> ToolCall {
        let (name, subject) = ("read-file".to_owned(), String::new());
        ToolCall { id: id.to_owned(), name, arguments: arguments.to_owned(), subject }
    }

    #[test]
    fn what_a_model_writes_wrongly_stays_under_an_id_that_is_not_run() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(TOOL_ARGUMENTS_BYTES_MAX));
        let calls = vec![
            call("a", "{}"),
            call("a", "{}"),
            call("", ""),
            call("norun_7", "{}"),
            call("b", &long),
            call("c", "[]"),
        ];
        let (kept, cut) = usable_calls(calls);
        let ids: Vec<&str> = kept.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids, ["a", "norun_1", "call_2", "call_3", "norun_4", "norun_5"]);
        assert!(kept.iter().all(|call| call.arguments == "{}"));
        assert_eq!(cut, 0);
        assert!(is_unusable(&kept[1]) && !is_unusable(&kept[3]));
    }

    #[test]
    fn more_calls_than_may_be_are_counted_and_not_kept() {
        let calls = (0..TOOL_CALLS_MAX + 3).map(|n| call(&format!("c{n}"), "{}")).collect();
        let (kept, cut) = usable_calls(calls);
        assert_eq!((kept.len(), cut), (TOOL_CALLS_MAX, 3));
    }
}
