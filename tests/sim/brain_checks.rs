//! What must hold of the brain: a model of what is durable of the conversations, what was allowed and what ran.

use std::collections::{BTreeMap, BTreeSet};

use chainbot::agent::brain::permission::fits;
use chainbot::agent::brain::setup::Permission;
use chainbot::agent::brain::speech::{
    CallState, Caller, Role, SessionPrompt, SessionRecord, ToolCall, TurnAnswer, TurnEnd,
};
use chainbot::agent::limits;
use chainbot::agent::memory::{Memory, Write};
use chainbot::agent::status::Status;

use crate::brain::BrainPlan;

const HOUR_MS: u64 = 3_600_000;

/// The model.
#[derive(Debug)]
pub struct BrainChecks {
    mode: Permission,
    requests_per_hour: u32,
    records: BTreeMap<String, SessionRecord>,
    /// Numbers of durable messages.
    messages: BTreeMap<String, BTreeSet<u32>>,
    /// What durable messages of models begin with.
    texts: BTreeSet<String>,
    /// Numbers in the arguments of calls that people allowed, and of those that ran.
    allowed: BTreeSet<String>,
    ran: BTreeSet<String>,
    passed: BTreeMap<Caller, Vec<u64>>,
    /// A commit of which nobody knows whether it is durable: the model is behind the ledger, perhaps.
    is_doubtful: bool,
}

impl BrainChecks {
    /// A model of a world in which nothing was said.
    pub fn new(plan: Option<BrainPlan>) -> Self {
        Self {
            mode: plan.map_or(Permission::Deny, |plan| plan.mode),
            requests_per_hour: plan.map_or(0, |plan| plan.requests_per_hour),
            records: BTreeMap::new(),
            messages: BTreeMap::new(),
            texts: BTreeSet::new(),
            allowed: BTreeSet::new(),
            ran: BTreeSet::new(),
            passed: BTreeMap::new(),
            is_doubtful: false,
        }
    }

    /// The process starts with this memory.
    pub fn on_open(&mut self, memory: &Memory) {
        let found: BTreeMap<String, SessionRecord> =
            memory.sessions.iter().map(|session| (session.name.clone(), session.record.clone())).collect();
        if !self.is_doubtful {
            assert_eq!(found, self.records, "the conversations are not those that were durable");
        }
        self.is_doubtful = false;
        for session in &memory.sessions {
            let calling = session.record.turn.as_ref().map_or(0, |turn| turn.calling);
            assert!(calling == 0 || session.calling.is_some(), "the calls of {} are lost", session.name);
            let range = session.record.first..session.record.next;
            assert!(
                range.start == range.end || session.sizes.iter().all(|size| *size > 0),
                "a message is lost"
            );
            self.messages.insert(session.name.clone(), range.collect());
        }
        self.records = found;
        self.passed.clear();
    }

    /// Whether a commit is durable is not known, or a process ended in one.
    pub fn on_doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// These are durable.
    pub fn on_committed(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Session { session, record } => {
                    self.records.insert(session.clone(), record.as_ref().clone());
                }
                Write::Message { session, number, message } => {
                    self.messages.entry(session.clone()).or_default().insert(*number);
                    if message.role == Role::Assistant {
                        self.texts.insert(beginning(&message.text));
                    }
                    assert!(message.text.len() <= limits::MESSAGE_BYTES_MAX, "a message is too long");
                    assert!(message.calls.len() <= limits::TOOL_CALLS_MAX, "too many calls are kept");
                }
                Write::MessagesGone { session, below } => {
                    self.messages.entry(session.clone()).or_default().retain(|number| number >= below);
                }
                Write::SessionGone(session) => {
                    self.records.remove(session);
                    self.messages.remove(session);
                }
                _ => {}
            }
        }
    }

    /// A conversation is sent to a model.
    pub fn on_prompt(&self, prompt: &SessionPrompt) {
        let durable = self.messages.get(&prompt.session);
        for number in prompt.from..=prompt.upto {
            assert!(
                durable.is_some_and(|messages| messages.contains(&number)),
                "message {number} of {} is sent before it is durable",
                prompt.session
            );
        }
        let record = self.records.get(&prompt.session);
        assert!(record.is_some_and(|record| record.turn.is_some()), "{} has no turn", prompt.session);
    }

    /// So many questions are under way.
    pub fn on_thinking(&self, count: usize) {
        assert!(count <= limits::THOUGHTS_MAX, "{count} questions at once");
    }

    /// A person allows a call with these arguments.
    pub fn on_allowed(&mut self, arguments: &str) {
        self.allowed.insert(arguments.to_owned());
    }

    /// A decision is durable, or there was nothing to decide.
    pub fn on_decided(&self, _is_done: bool) {}

    /// A tool runs.
    pub fn on_run(&mut self, session: &str, call: &ToolCall) {
        let what = format!("{} {} of {session}", call.name, call.arguments);
        assert!(self.ran.insert(call.arguments.clone()), "{what} runs twice");
        assert!(["read-file", "run-command"].contains(&call.name.as_str()), "{what} is not allowed");
        let is_denied = call.name == "run-command" && fits("rm *", &call.subject);
        assert!(!is_denied, "{what} runs against a rule");
        assert!(
            self.mode == Permission::Allow || self.allowed.contains(&call.arguments),
            "{what} runs and nobody allowed it"
        );
        assert!(
            call.arguments.starts_with("{\"n\":"),
            "{what} runs with arguments that the model did not write"
        );
        let turn = self.records.get(session).and_then(|record| record.turn.as_ref());
        assert!(
            turn.is_some_and(|turn| turn.call == CallState::Started && turn.calling > 0),
            "{what} runs before its begin is durable: {turn:?}"
        );
    }

    /// A caller's own question was answered.
    pub fn on_passed(&mut self, now: u64, caller: Caller) {
        let times = self.passed.entry(caller).or_default();
        times.retain(|at| now - at < HOUR_MS);
        times.push(now);
        let limit = self.requests_per_hour as usize;
        assert!(limit == 0 || times.len() <= limit, "{} questions of {caller:?} in an hour", times.len());
    }

    /// A caller hears how its turn ended.
    pub fn on_turn(&self, turn: &TurnAnswer) {
        if turn.end == TurnEnd::Done && !turn.text.is_empty() {
            assert!(self.texts.contains(&beginning(&turn.text)), "an answer is told before it is durable");
        }
    }

    /// What the agent shows holds what is promised.
    pub fn on_status(&self, status: &Status) {
        let brain = &status.brain;
        assert!(brain.sessions.len() <= limits::SESSIONS_MAX, "{} conversations", brain.sessions.len());
        assert!(brain.approvals.len() <= limits::TURNS_MAX + 1, "{} people are asked", brain.approvals.len());
        let mut bytes = 0;
        for session in &brain.sessions {
            assert!(session.messages <= limits::SESSION_MESSAGES_MAX, "{session:?}");
            assert!(session.bytes <= limits::SESSION_BYTES_MAX, "{session:?}");
            bytes += session.bytes;
        }
        assert!(bytes <= limits::CONVERSATIONS_BYTES_MAX, "{bytes} bytes of conversations");
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(24).collect()
}
