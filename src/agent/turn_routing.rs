//! Where turns meet the other parts: their steps are made durable, asked of providers, run as tools, decided by people.

use super::Agent;
use super::brain::permission::{Law, Mode};
use super::brain::providers::{Route, seconds};
use super::brain::questions::Asker;
use super::brain::setup::Permission;
use super::brain::speech::{
    AskAnswer, CallState, Caller, Message, Refusal, Reply, Role, RunId, Saying, SessionPrompt, ToolCall,
    ToolResult, TurnAnswer, TurnEnd, TurnRecord, is_session_name,
};
use super::brain::status::{ApprovalStatus, SessionStatus};
use super::brain::turns::{Step, Then, Turn, is_unusable, usable_calls};
use super::brain_routing::Outcome;
use super::effect::{DecisionAnswer, Effect};
use super::event::{Field, JsonText, Severity};
use super::ids::{EventId, RequestId};
use super::input::{CommitFault, ControllerAnswer};
use super::limits::{COMMIT_WAIT_MAX_MS, MESSAGE_BYTES_MAX, THOUGHTS_MAX, TURNS_MAX};
use super::memory::Write;
use super::session::Session;
use super::time::{Mono, SECOND_MS};

/// Bytes of tokens beside the messages of a conversation: roles, names of tools.
const PROMPT_TOKENS: u32 = 64;
/// Most questions of a turn that the controller may ask for.
const QUESTIONS_MAX: u32 = 1_000;
/// Bytes of what was said that are kept for the end of its turn.
const GOAL_BYTES_MAX: usize = 1_024;

impl Agent {
    /// Someone says something to a conversation.
    pub(super) fn on_say(&mut self, request: RequestId, saying: Saying) {
        if let Err(refusal) = self.begin_turn(request, saying) {
            self.answer(request, AskAnswer::Refused(refusal));
        }
    }

    fn say_refusal(&mut self, saying: &Saying) -> Option<Refusal> {
        let busy = |what| Some(Refusal::Busy { what, retry_after_s: 2 });
        if self.stopping.is_some() {
            return Some(Refusal::Stopping);
        }
        if self.brain.providers.is_empty() {
            return Some(Refusal::NoProvider);
        }
        if !saying.provider.is_empty() && !self.brain.providers.has(&saying.provider) {
            return Some(Refusal::UnknownProvider(saying.provider.clone()));
        }
        if !is_session_name(&saying.session) || saying.text.len() > MESSAGE_BYTES_MAX {
            let why = "no name of a conversation, or too long a text".to_owned();
            return Some(Refusal::Question { status: 422, why });
        }
        if let Some(fault) = self.journal.fault() {
            return Some(unwritable(fault));
        }
        let place = self.brain.sessions.find(&saying.session);
        if place.is_some_and(|place| self.brain.sessions.list[place].turn.is_some()) {
            return busy("conversation");
        }
        if self.brain.sessions.active() >= TURNS_MAX {
            return busy("turns");
        }
        if !self.journal.has_room(2 * saying.text.len() + saying.instruction.len()) {
            return busy("ledger");
        }
        self.budget_refusal(saying.caller)
    }

    fn begin_turn(&mut self, request: RequestId, saying: Saying) -> Result<(), Refusal> {
        if let Some(refusal) = self.say_refusal(&saying) {
            return Err(refusal);
        }
        let (now, at) = (self.now.mono, self.calendar.read(self.now).0);
        let mut writes = Vec::new();
        let place = self
            .brain
            .sessions
            .open(&saying.session, at, &mut writes)
            .ok_or(Refusal::Busy { what: "conversations", retry_after_s: 2 })?;
        let Saying { caller, by, session: name, text, model, provider, instruction, may_wait } = saying;
        let session = &mut self.brain.sessions.list[place];
        session.record.at = at;
        session.record.turn = Some(TurnRecord { model, provider, instruction, ..TurnRecord::default() });
        let mut turn = Turn::new(now, caller, Step::Calling);
        turn.request = Some(request);
        turn.is_kept = false;
        turn.may_wait = may_wait;
        turn.goal = text.clone();
        super::cut(&mut turn.goal, GOAL_BYTES_MAX);
        let metadata = JsonText::of_fields(&[
            ("session", Field::Text(&name)),
            ("goal", Field::Text(&text)),
            ("caller", Field::Text(caller.as_str())),
            ("by", if by.is_empty() { Field::None } else { Field::Text(&by) }),
        ]);
        session.turn = Some(Box::new(turn));
        session.push(message(Role::User, text, at), &mut writes);
        self.counters.turns_started += 1;
        self.record_always("goal_received", Severity::Info, format!("{name}: a turn began"), metadata);
        self.keep_turn(place, writes, Then::Ask);
        Ok(())
    }

    /// Makes the writes durable with what is kept of the conversation, and then goes on.
    fn keep_turn(&mut self, place: usize, mut writes: Vec<Write>, then: Then) {
        let batch = self.write_session(place, &mut writes);
        if let Some(turn) = &mut self.brain.sessions.list[place].turn {
            turn.step = Step::Keeping { place: batch, then };
        }
    }

    /// Puts the writes and what is kept of the conversation into the next commit, and sends that off. Which batch it is.
    fn write_session(&mut self, place: usize, writes: &mut Vec<Write>) -> u64 {
        self.brain.sessions.make_room(place, writes);
        writes.push(self.brain.sessions.list[place].write());
        self.push_all(writes)
    }

    fn push_all(&mut self, writes: &mut Vec<Write>) -> u64 {
        let (now, batch) = (self.now.mono, self.journal.place());
        for write in writes.drain(..) {
            self.journal.push(now, write);
        }
        self.journal.hurry(now);
        batch
    }

    /// Lets every turn go on as far as it can.
    pub(super) fn run_turns(&mut self) {
        for place in 0..self.brain.sessions.list.len() {
            while self.advance_turn(place) {}
        }
        let now = self.now.mono;
        let is_overdue = |turn: &Turn| {
            !turn.is_kept && turn.request.is_some() && now.since(turn.since) >= COMMIT_WAIT_MAX_MS
        };
        if self.brain.sessions.list.iter().any(|session| session.turn.as_deref().is_some_and(is_overdue)) {
            self.give_up_sayings(is_overdue, CommitFault::Io);
        }
    }

    /// Whether the turn came a step further.
    fn advance_turn(&mut self, place: usize) -> bool {
        let now = self.now.mono;
        let Some(turn) = self.brain.sessions.list[place].turn.as_deref_mut() else { return false };
        let is_stopped = turn.is_stopped;
        match &turn.step {
            Step::Keeping { place: batch, .. } if self.journal.is_durable(*batch) => {
                turn.is_kept = true;
                if let Step::Keeping { then, .. } = std::mem::replace(&mut turn.step, Step::Calling) {
                    self.on_kept(place, then);
                }
                true
            }
            Step::Ready { until } if is_stopped || until.is_none_or(|until| until <= now) => {
                self.try_ask(place);
                let turn = self.brain.sessions.list[place].turn.as_deref();
                turn.is_some_and(|turn| !matches!(turn.step, Step::Ready { .. } | Step::Asking))
            }
            Step::Calling => {
                self.look_at_call(place);
                true
            }
            Step::Approving { approval, deadline } if is_stopped || *deadline <= now => {
                let approval = *approval;
                let (by, why) = if is_stopped {
                    ("stop", "not run: the turn was stopped")
                } else {
                    ("time", "not run: nobody allowed it in time")
                };
                self.record_decision(approval, false, by);
                self.refuse_call(place, why);
                true
            }
            Step::Keeping { .. }
            | Step::Ready { .. }
            | Step::Asking
            | Step::Approving { .. }
            | Step::Running(_) => false,
        }
    }

    fn on_kept(&mut self, place: usize, then: Then) {
        let deadline = self.now.mono.plus(self.setup.brain.tools.approval_time_ms.max(SECOND_MS));
        let session = &mut self.brain.sessions.list[place];
        let Some(turn) = session.turn.as_deref_mut() else { return };
        match then {
            Then::Ask => turn.step = Step::Ready { until: None },
            Then::Call => turn.step = Step::Calling,
            Then::Approve(approval) => turn.step = Step::Approving { approval, deadline },
            Then::Run if turn.is_stopped => self.refuse_call(place, "not run: the turn was stopped"),
            Then::Run => {
                self.brain.last_run += 1;
                let run = RunId(self.brain.last_run);
                turn.step = Step::Running(run);
                let next = session.record.turn.as_ref().map_or(0, |turn| turn.next_call as usize);
                if let Some(call) = turn.calls.get(next) {
                    let (session, call) = (session.name.clone(), Box::new(call.clone()));
                    self.counters.tools_started += 1;
                    self.effects.push_back(Effect::RunTool { run, session, call });
                }
            }
            Then::End(answer) => {
                let request = turn.request;
                session.turn = None;
                if let Some(request) = request {
                    self.answer(request, *answer);
                }
            }
        }
    }

    /// Asks a model, if the turn may and somebody can be asked; else it waits or is over.
    fn try_ask(&mut self, place: usize) {
        let session = &self.brain.sessions.list[place];
        let (Some(turn), Some(record)) = (session.turn.as_deref(), session.record.turn.as_ref()) else {
            return;
        };
        let (caller, is_detached) = (turn.caller, turn.request.is_none());
        let brain = &self.setup.brain;
        let tokens_max = if brain.turn_tokens_max == 0 { u32::MAX } else { brain.turn_tokens_max };
        if turn.is_stopped {
            return self.end_turn(place, Ok(TurnEnd::Stopped), Vec::new());
        }
        if record.questions >= self.questions_max() {
            return self.end_turn(place, Ok(TurnEnd::QuestionLimit), Vec::new());
        }
        if record.tokens >= tokens_max {
            return self.end_turn(place, Ok(TurnEnd::TokenLimit), Vec::new());
        }
        let is_known = record.provider.is_empty() || self.brain.providers.has(&record.provider);
        if !is_known && !self.brain.providers.is_empty() {
            let refusal = Refusal::UnknownProvider(record.provider.clone());
            return self.end_turn(place, Err(refusal), Vec::new());
        }
        if self.brain.questions.list.len() >= THOUGHTS_MAX || self.brain.sessions.active() >= TURNS_MAX {
            return self.wait_turn(place, None);
        }
        if let Some((until, which)) =
            self.brain.budgets.spent(self.now.mono, caller, &self.setup.brain.budget)
        {
            if is_detached {
                return self.wait_turn(place, Some(until));
            }
            self.counters.questions_over_budget += 1;
            let retry_after_s = seconds(until.since(self.now.mono));
            return self.end_turn(place, Err(Refusal::Budget { which, retry_after_s }), Vec::new());
        }
        self.ask_model(place, caller);
    }

    fn wait_turn(&mut self, place: usize, until: Option<Mono>) {
        if let Some(turn) = &mut self.brain.sessions.list[place].turn {
            turn.step = Step::Ready { until };
        }
    }

    fn ask_model(&mut self, place: usize, caller: Caller) {
        let brain = &self.setup.brain;
        let session = &mut self.brain.sessions.list[place];
        let (Some(turn), Some(record)) = (session.turn.as_deref_mut(), session.record.turn.as_ref()) else {
            return;
        };
        turn.step = Step::Asking;
        let controller = self.session.as_ref().and_then(Session::answer);
        let wanted =
            setting(controller, "claude.model").filter(|model| self.brain.providers.knows_model(model));
        let wanted = if record.model.is_empty() { wanted } else { Some(record.model.as_str()) };
        let route = Route::new(wanted.unwrap_or(&brain.model).to_owned(), record.provider.clone());
        let theirs = controller.map_or("", |answer| answer.instruction.as_str());
        let base = if theirs.is_empty() { &brain.instruction } else { theirs };
        // What whoever speaks brings along (a persona, what went before a queued question) comes behind and replaces nothing.
        let instruction = match (base, record.instruction.as_str()) {
            ("", own) => own.to_owned(),
            (base, "") => base.to_owned(),
            (base, own) => format!("{base}\n\n{own}"),
        };
        let law = law(controller, &brain.tools);
        let kept = session.record.next - session.record.first;
        let sent = if brain.history_messages == 0 { kept } else { kept.min(brain.history_messages) };
        let prompt = SessionPrompt {
            session: session.name.clone(),
            from: session.record.next - sent,
            upto: session.record.next - 1,
            tokens_max: brain.history_tokens,
            instruction,
            tools: law.allowed.iter().filter(|tool| law.is_told(tool)).cloned().collect(),
        };
        let history = session.tokens_from(prompt.from).min(brain.history_tokens);
        let tokens = history + u32::try_from(prompt.instruction.len() / 4).unwrap_or(0) + PROMPT_TOKENS;
        let name = session.name.clone();
        self.begin_question(Asker::Turn(Box::new(prompt)), caller, name, route, tokens);
    }

    fn questions_max(&self) -> u32 {
        let controller = self.session.as_ref().and_then(Session::answer);
        let theirs = setting(controller, "claude.max_turns").and_then(|turns| turns.parse::<u32>().ok());
        let wanted = theirs.filter(|turns| *turns > 0).unwrap_or(self.setup.brain.turn_questions_max);
        wanted.clamp(1, QUESTIONS_MAX)
    }

    /// The question of a turn is over.
    pub(super) fn on_turn_answered(&mut self, name: &str, outcome: Outcome, provider: String, model: String) {
        let Some(place) = self.brain.sessions.find(name) else { return };
        let session = &mut self.brain.sessions.list[place];
        let (Some(turn), Some(record)) = (session.turn.as_deref_mut(), session.record.turn.as_mut()) else {
            return;
        };
        let is_stopped = turn.is_stopped;
        if !matches!(outcome, Outcome::Down { .. }) {
            record.questions = record.questions.saturating_add(1);
            (turn.provider, turn.model) = (provider, model);
        }
        match outcome {
            Outcome::Down { .. } if is_stopped => self.end_turn(place, Ok(TurnEnd::Stopped), Vec::new()),
            Outcome::Down { route, until } => self.on_turn_down(place, &route, until),
            Outcome::Rejected { status, why } => {
                self.end_turn(place, Err(Refusal::Question { status, why }), Vec::new());
            }
            Outcome::Broke(reply, _) => self.end_in_part(place, reply, TurnEnd::Broke),
            Outcome::Left(reply) => self.end_in_part(place, reply, TurnEnd::Stopped),
            Outcome::Answered(reply) if is_stopped => self.end_in_part(place, reply, TurnEnd::Stopped),
            Outcome::Answered(reply) => self.on_replied(place, reply),
        }
    }

    /// Nobody can be asked: the turn waits, if it may, and else is over.
    fn on_turn_down(&mut self, place: usize, route: &Route, until: Option<Mono>) {
        let session = &mut self.brain.sessions.list[place];
        let Some(turn) = session.turn.as_deref_mut() else { return };
        if !turn.may_wait {
            let refusal = self.brain.providers.refusal(self.now.mono, route, until);
            return self.end_turn(place, Err(refusal), Vec::new());
        }
        let (request, is_queued) = (turn.request.take(), turn.is_queued);
        turn.caller = Caller::Agent;
        turn.is_queued = true;
        turn.step = Step::Ready { until };
        if !is_queued {
            let metadata = JsonText::of_fields(&[("session", Field::Text(&session.name))]);
            let message = format!("{}: what was said waits for a provider", session.name);
            self.record_always("question_queued", Severity::Info, message, metadata);
        }
        if let Some(request) = request {
            self.answer(request, AskAnswer::Waits);
        }
    }

    /// The model answered to the end.
    fn on_replied(&mut self, place: usize, mut reply: Reply) {
        let calls = std::mem::take(&mut reply.calls);
        if calls.is_empty() {
            let mut writes = Vec::new();
            self.put_reply(place, reply, Vec::new(), false, &mut writes);
            return self.end_turn(place, Ok(TurnEnd::Done), writes);
        }
        let (calls, cut) = usable_calls(calls);
        let steps: Vec<String> =
            calls.iter().map(|call| format!("{}: {}", call.name, call.subject)).collect();
        let mut writes = Vec::new();
        let number = self.put_reply(place, reply, calls.clone(), false, &mut writes);
        let session = &mut self.brain.sessions.list[place];
        let (Some(turn), Some(record)) = (session.turn.as_deref_mut(), session.record.turn.as_mut()) else {
            return;
        };
        (record.calling, record.next_call, record.call) = (number, 0, CallState::New);
        (turn.calls, turn.calls_cut) = (calls, cut);
        let name = Field::Text(&session.name);
        let thought = (!turn.text.is_empty())
            .then(|| JsonText::of_fields(&[("session", name), ("content", Field::Text(&turn.text))]));
        let metadata = JsonText::of_fields(&[
            ("session", name),
            ("llm_response", Field::Text(&turn.text)),
            ("steps", Field::Texts(&steps)),
        ]);
        let message = format!("{}: the model calls {} tools", session.name, steps.len());
        if let Some(thought) = thought {
            self.record_always("thought", Severity::Info, message.clone(), thought);
        }
        self.record_always("plan_ready", Severity::Info, message, metadata);
        self.keep_turn(place, writes, Then::Call);
    }

    /// An answer that is not whole: its text is kept, its calls are not made.
    fn end_in_part(&mut self, place: usize, reply: Reply, end: TurnEnd) {
        let mut writes = Vec::new();
        if !reply.text.is_empty() {
            self.put_reply(place, reply, Vec::new(), true, &mut writes);
        }
        self.end_turn(place, Ok(end), writes);
    }

    /// Puts what the model said into the conversation; the number of the message.
    fn put_reply(
        &mut self,
        place: usize,
        reply: Reply,
        calls: Vec<ToolCall>,
        is_partial: bool,
        writes: &mut Vec<Write>,
    ) -> u32 {
        let at = self.calendar.read(self.now).0;
        let session = &mut self.brain.sessions.list[place];
        let Reply { mut text, tokens_in, tokens_out, model, .. } = reply;
        super::cut(&mut text, MESSAGE_BYTES_MAX);
        if let Some(turn) = session.turn.as_deref_mut() {
            turn.text.clone_from(&text);
            if !model.is_empty() {
                turn.model = model;
            }
        }
        if let Some(record) = &mut session.record.turn {
            record.tokens = record.tokens.saturating_add(tokens_in).saturating_add(tokens_out);
        }
        session.push(Message { calls, is_partial, ..message(Role::Assistant, text, at) }, writes)
    }

    /// The turn is over, with the last of its writes.
    fn end_turn(&mut self, place: usize, end: Result<TurnEnd, Refusal>, writes: Vec<Write>) {
        let session = &mut self.brain.sessions.list[place];
        let Some(turn) = session.turn.as_deref_mut() else { return };
        let tokens = session.record.turn.take().map_or(0, |record| record.tokens);
        turn.calls = Vec::new();
        let name = Field::Text(&session.name);
        let answer = match end {
            Ok(end) => {
                let (text, goal) = (turn.text.clone(), std::mem::take(&mut turn.goal));
                let response = JsonText::of_fields(&[
                    ("session", name),
                    ("response", Field::Whole(&text)),
                    ("provider", Field::Text(&turn.provider)),
                    ("model", Field::Text(&turn.model)),
                    ("tokens", Field::Number(i64::from(tokens))),
                    ("end", Field::Text(end.as_str())),
                ]);
                let completed = JsonText::of_fields(&[
                    ("session", name),
                    ("goal", Field::Text(&goal)),
                    ("result", Field::Text(&text)),
                    ("end", Field::Text(end.as_str())),
                ]);
                let message = format!("{}: the turn ended: {}", session.name, end.as_str());
                let (provider, model) = (turn.provider.clone(), turn.model.clone());
                self.counters.turns_completed += 1;
                self.record_always("llm_response", Severity::Info, message.clone(), response);
                self.record_always("goal_completed", Severity::Info, message, completed);
                AskAnswer::Turn(Box::new(TurnAnswer { text, provider, model, tokens, end }))
            }
            Err(refusal) => {
                let reason = reason_of(&refusal);
                let metadata = JsonText::of_fields(&[("session", name), ("reason", Field::Text(&reason))]);
                let message = format!("{}: the turn failed: {reason}", session.name);
                self.counters.turns_failed += 1;
                self.record_always("turn_failed", Severity::Warning, message, metadata);
                AskAnswer::Refused(refusal)
            }
        };
        self.keep_turn(place, writes, Then::End(Box::new(answer)));
    }

    /// The next call of the message at hand is looked at: made, asked about, or answered as not made.
    fn look_at_call(&mut self, place: usize) {
        let session = &mut self.brain.sessions.list[place];
        let (Some(turn), Some(record)) = (session.turn.as_deref_mut(), session.record.turn.as_ref()) else {
            return;
        };
        let Some(call) = turn.calls.get(record.next_call as usize) else {
            turn.step = Step::Ready { until: None };
            return;
        };
        if record.call == CallState::Started {
            return self.refuse_call(place, "interrupted by a restart: nobody knows what came of it");
        }
        if turn.is_stopped {
            return self.refuse_call(place, "not run: the turn was stopped");
        }
        if is_unusable(call) {
            let why = "not run: its id repeats another's, or its arguments are no JSON object or too long";
            return self.refuse_call(place, why);
        }
        let controller = self.session.as_ref().and_then(Session::answer);
        match law(controller, &self.setup.brain.tools).judge(call) {
            Permission::Deny => {
                self.refuse_call(place, "not run: this tool, or this use of it, is not allowed")
            }
            Permission::Allow => self.start_call(place),
            Permission::Ask => self.ask_people(place),
        }
    }

    fn ask_people(&mut self, place: usize) {
        let Some((name, call)) = self.call_at_hand(place) else { return };
        let time_s = self.setup.brain.tools.approval_time_ms.max(SECOND_MS) / SECOND_MS;
        let metadata = JsonText::of_fields(&[
            ("session", Field::Text(&name)),
            ("tool", Field::Text(&call.name)),
            ("subject", Field::Text(&call.subject)),
            ("arguments", Field::Text(&call.arguments)),
            ("timeout_seconds", Field::Number(i64::try_from(time_s).unwrap_or(i64::MAX))),
        ]);
        let message = format!("{name}: may {} be run: {}", call.name, call.subject);
        let seq = self.record_always("approval_requested", Severity::Warning, message, metadata);
        self.counters.approvals_requested += 1;
        let approval = self.journal.event_id(seq);
        if let Some(record) = &mut self.brain.sessions.list[place].record.turn {
            record.call = CallState::Asked(approval);
        }
        self.keep_turn(place, Vec::new(), Then::Approve(approval));
    }

    fn start_call(&mut self, place: usize) {
        let Some((name, call)) = self.call_at_hand(place) else { return };
        let metadata = JsonText::of_fields(&[
            ("session", Field::Text(&name)),
            ("call_id", Field::Text(&call.id)),
            ("tool", Field::Text(&call.name)),
            ("subject", Field::Text(&call.subject)),
        ]);
        let message = format!("{name}: {} begins: {}", call.name, call.subject);
        self.record_always("tool_started", Severity::Info, message, metadata);
        if let Some(record) = &mut self.brain.sessions.list[place].record.turn {
            record.call = CallState::Started;
        }
        self.keep_turn(place, Vec::new(), Then::Run);
    }

    fn call_at_hand(&self, place: usize) -> Option<(String, ToolCall)> {
        let session = &self.brain.sessions.list[place];
        let next = session.record.turn.as_ref()?.next_call as usize;
        Some((session.name.clone(), session.turn.as_ref()?.calls.get(next)?.clone()))
    }

    fn refuse_call(&mut self, place: usize, why: &str) {
        self.counters.tools_refused += 1;
        self.finish_call(place, ToolResult { is_ok: false, text: why.to_owned(), exit_code: None });
    }

    /// The call at hand is over: its result goes into the conversation, and the next is looked at.
    fn finish_call(&mut self, place: usize, result: ToolResult) {
        let Some((name, call)) = self.call_at_hand(place) else { return };
        let at = self.calendar.read(self.now).0;
        let ToolResult { is_ok, mut text, exit_code } = result;
        let metadata = JsonText::of_fields(&[
            ("session", Field::Text(&name)),
            ("call_id", Field::Text(&call.id)),
            ("tool", Field::Text(&call.name)),
            ("subject", Field::Text(&call.subject)),
            ("success", Field::Flag(is_ok)),
            ("output", Field::Text(&text)),
            ("exit_code", exit_code.map_or(Field::None, |code| Field::Number(i64::from(code)))),
        ]);
        let message_text = format!("{name}: {} ended: {}", call.name, if is_ok { "ok" } else { "not ok" });
        self.record_always("tool_ended", Severity::Info, message_text, metadata);
        let session = &mut self.brain.sessions.list[place];
        let room = session.result_bytes_max().saturating_sub(call.id.len());
        let (Some(turn), Some(record)) = (session.turn.as_deref_mut(), session.record.turn.as_mut()) else {
            return;
        };
        (record.next_call, record.call) = (record.next_call + 1, CallState::New);
        let is_last = record.next_call as usize >= turn.calls.len();
        if is_last && turn.calls_cut > 0 {
            text.push_str(&format!("\n({} further calls were too many and were not run)", turn.calls_cut));
        }
        super::cut(&mut text, MESSAGE_BYTES_MAX.min(room));
        let mut writes = Vec::new();
        session.push(Message { call_id: call.id, ..message(Role::Tool, text, at) }, &mut writes);
        if is_last {
            self.brain.sessions.make_room(place, &mut writes);
            let session = &mut self.brain.sessions.list[place];
            if let Some(record) = &mut session.record.turn {
                (record.calling, record.next_call) = (0, 0);
            }
            if let Some(turn) = session.turn.as_deref_mut() {
                turn.calls = Vec::new();
            }
            return self.keep_turn(place, writes, Then::Ask);
        }
        // What comes next waits for its own commit, and this goes with that or before it.
        self.write_session(place, &mut writes);
        if let Some(turn) = &mut self.brain.sessions.list[place].turn {
            turn.step = Step::Calling;
        }
    }

    /// A tool is done.
    pub(super) fn on_tool_done(&mut self, run: RunId, result: ToolResult) {
        let runs = |turn: &Turn| turn.step == Step::Running(run);
        let place = self.brain.sessions.list.iter().position(|one| one.turn.as_deref().is_some_and(runs));
        match place {
            Some(place) if self.stopping.is_none() => self.finish_call(place, result),
            // While stopping: what was begun is told to the model as interrupted, after the restart.
            Some(_) => {}
            None => self.counters.answers_dropped += 1,
        }
    }

    /// Someone wants a turn stopped.
    pub(super) fn on_stop_turn(&mut self, name: &str) {
        if let Some(place) = self.brain.sessions.find(name)
            && self.stopping.is_none()
        {
            self.stop_turn(place);
        }
    }

    /// The turn ends as soon as what is under way for it has ended.
    pub(super) fn stop_turn(&mut self, place: usize) {
        let session = &mut self.brain.sessions.list[place];
        let Some(turn) = session.turn.as_deref_mut().filter(|turn| !turn.is_stopped) else { return };
        turn.is_stopped = true;
        match turn.step {
            Step::Running(run) => self.effects.push_back(Effect::StopTool { run }),
            Step::Asking => {
                let name = session.name.clone();
                let Some(query) = self.brain.questions.of_session(&name) else { return };
                match self.brain.questions.list[query].thought() {
                    Some(thought) => self.effects.push_back(Effect::ThinkStop { thought }),
                    None => self.drop_waiting_question(query, &name),
                }
            }
            _ => {}
        }
    }

    /// The question of a stopped turn was between two tries.
    fn drop_waiting_question(&mut self, query: usize, name: &str) {
        self.drop_question(query);
        if let Some(place) = self.brain.sessions.find(name) {
            self.end_turn(place, Ok(TurnEnd::Stopped), Vec::new());
        }
    }

    /// A person decides about a call.
    pub(super) fn on_decide(&mut self, request: RequestId, approval: EventId, is_yes: bool, by: &str) {
        let waits =
            |turn: &Turn| matches!(turn.step, Step::Approving { approval: asked, .. } if asked == approval);
        let place = self.brain.sessions.list.iter().position(|one| one.turn.as_deref().is_some_and(waits));
        let Some(place) = place.filter(|_| self.stopping.is_none()) else {
            return self.effects.push_back(Effect::Decided { request, answer: DecisionAnswer::Unknown });
        };
        if let Some(answer) = self.decision_fault() {
            return self.effects.push_back(Effect::Decided { request, answer });
        }
        self.record_decision(approval, is_yes, by);
        let controller = self.session.as_ref().and_then(Session::answer);
        let law = law(controller, &self.setup.brain.tools);
        let is_forbidden =
            self.call_at_hand(place).is_none_or(|(_, call)| law.judge(&call) == Permission::Deny);
        if !is_yes {
            self.refuse_call(place, "not run: a person said no");
        } else if is_forbidden {
            self.refuse_call(place, "not run: this tool, or this use of it, is not allowed any more");
        } else {
            self.start_call(place);
        }
        self.brain.deciders.push((request, self.journal.place(), DecisionAnswer::Done));
    }

    fn record_decision(&mut self, approval: EventId, approved: bool, by: &str) {
        let metadata = JsonText::of_fields(&[
            ("approval", Field::Text(&approval.to_string())),
            ("approved", Field::Flag(approved)),
            ("by", Field::Text(by)),
        ]);
        let message = format!("{approval} was {} by {by}", if approved { "approved" } else { "refused" });
        self.record_always("approval_decided", Severity::Info, message, metadata);
    }

    fn decision_fault(&self) -> Option<DecisionAnswer> {
        self.journal.fault().map(|fault| DecisionAnswer::Unwritable { retry_after_s: retry_after_s(fault) })
    }

    /// Someone wants a conversation forgotten; its turn is stopped.
    pub(super) fn on_forget(&mut self, request: RequestId, name: String) {
        let place = self.brain.sessions.find(&name).filter(|_| self.stopping.is_none());
        let Some(place) = place else {
            return self.effects.push_back(Effect::Decided { request, answer: DecisionAnswer::Unknown });
        };
        if let Some(answer) = self.decision_fault() {
            return self.effects.push_back(Effect::Decided { request, answer });
        }
        if let Some(query) = self.brain.questions.of_session(&name) {
            self.drop_question(query);
        }
        let session = self.brain.sessions.list.swap_remove(place);
        if let Some(turn) = session.turn {
            self.forget_turn(&name, *turn);
        }
        let batch = self.push_all(&mut vec![Write::SessionGone(name)]);
        self.brain.deciders.push((request, batch, DecisionAnswer::Done));
    }

    fn forget_turn(&mut self, name: &str, turn: Turn) {
        match turn.step {
            Step::Running(run) => self.effects.push_back(Effect::StopTool { run }),
            Step::Approving { approval, .. } => self.record_decision(approval, false, "stop"),
            _ => {}
        }
        let end = TurnEnd::Stopped;
        let metadata =
            JsonText::of_fields(&[("session", Field::Text(name)), ("end", Field::Text(end.as_str()))]);
        let message = format!("{name}: forgotten in the middle of a turn");
        self.record_always("goal_completed", Severity::Info, message, metadata);
        if let Some(request) = turn.request {
            let Turn { text, provider, model, .. } = turn;
            let answer = TurnAnswer { text, provider, model, tokens: 0, end };
            self.answer(request, AskAnswer::Turn(Box::new(answer)));
        }
    }

    /// Answers those whose decision is durable.
    pub(super) fn run_deciders(&mut self) {
        let (journal, effects) = (&self.journal, &mut self.effects);
        self.brain.deciders.retain(|(request, batch, answer)| {
            let is_durable = journal.is_durable(*batch);
            if is_durable {
                effects.push_back(Effect::Decided { request: *request, answer: *answer });
            }
            !is_durable
        });
    }

    /// A commit failed: what was said or decided with it may or may not be kept.
    pub(super) fn on_brain_commit_failed(&mut self, fault: CommitFault) {
        let answer = DecisionAnswer::Unwritable { retry_after_s: retry_after_s(fault) };
        for (request, ..) in std::mem::take(&mut self.brain.deciders) {
            self.effects.push_back(Effect::Decided { request, answer });
        }
        self.give_up_sayings(|turn| !turn.is_kept, fault);
    }

    /// Those who said something that is not durable are told so, and its turn does not go on.
    fn give_up_sayings(&mut self, is_meant: impl Fn(&Turn) -> bool, fault: CommitFault) {
        for place in 0..self.brain.sessions.list.len() {
            let turn = self.brain.sessions.list[place].turn.as_deref_mut();
            if let Some(turn) = turn.filter(|turn| is_meant(turn))
                && let Some(request) = turn.request.take()
            {
                turn.is_stopped = true;
                self.answer(request, AskAnswer::Refused(unwritable(fault)));
            }
        }
    }

    /// The process stops: callers are told, tools stopped, turns left for the next start.
    pub(super) fn stop_turns(&mut self) {
        for place in 0..self.brain.sessions.list.len() {
            let Some(turn) = self.brain.sessions.list[place].turn.as_deref_mut() else { continue };
            let (request, step) = (turn.request.take(), &turn.step);
            if let Step::Running(run) = step {
                self.effects.push_back(Effect::StopTool { run: *run });
            }
            if let Some(request) = request {
                self.answer(request, AskAnswer::Refused(Refusal::Stopping));
            }
        }
    }

    /// The config changed: what waits tries at once.
    pub(super) fn wake_turns(&mut self) {
        for turn in self.brain.sessions.list.iter_mut().filter_map(|session| session.turn.as_deref_mut()) {
            if let Step::Ready { until } = &mut turn.step {
                *until = None;
            }
        }
    }

    pub(super) fn turn_deadlines(&self) -> impl Iterator<Item = Mono> {
        let turns = self.brain.sessions.list.iter().filter_map(|session| session.turn.as_deref());
        turns.flat_map(|turn| {
            let waits = !turn.is_kept && turn.request.is_some();
            [turn.deadline(), waits.then(|| turn.since.plus(COMMIT_WAIT_MAX_MS))].into_iter().flatten()
        })
    }

    pub(super) fn session_statuses(&self) -> Vec<SessionStatus<'_>> {
        let status = |session: &'_ super::brain::sessions::Conversation| {
            let record = &session.record;
            (record.next - record.first, record.bytes, record.at)
        };
        let mut all: Vec<SessionStatus<'_>> = Vec::with_capacity(self.brain.sessions.list.len());
        for session in &self.brain.sessions.list {
            let (messages, bytes, at) = status(session);
            let state = session.turn.as_deref().map_or("idle", Turn::word);
            all.push(SessionStatus { name: &session.name, messages, bytes, at, state });
        }
        all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.name.cmp(b.name)));
        all
    }

    /// Whether there is a model that would be told of tools of servers.
    pub(super) fn may_tell_servers(&self) -> bool {
        let brain = &self.setup.brain;
        let law = law(self.session.as_ref().and_then(Session::answer), &brain.tools);
        let is_theirs = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => prefix.starts_with("mcp__") || "mcp__".starts_with(prefix),
            None => pattern.starts_with("mcp__"),
        };
        !brain.providers.is_empty() && law.allowed.iter().any(is_theirs)
    }

    pub(super) fn approval_statuses(&self, now: Mono) -> Vec<ApprovalStatus<'_>> {
        let mut all = Vec::new();
        for session in &self.brain.sessions.list {
            let (Some(turn), Some(record)) = (session.turn.as_deref(), &session.record.turn) else {
                continue;
            };
            if let Step::Approving { approval, deadline } = turn.step
                && let Some(call) = turn.calls.get(record.next_call as usize)
            {
                all.push(ApprovalStatus {
                    id: approval,
                    session: &session.name,
                    tool: &call.name,
                    subject: &call.subject,
                    arguments: &call.arguments,
                    expires_in_ms: deadline.since(now),
                });
            }
        }
        all.sort_by_key(|approval| approval.id);
        all
    }
}

fn message(role: Role, text: String, at: super::time::Wall) -> Message {
    Message { role, text, at, calls: Vec::new(), call_id: String::new(), is_partial: false }
}

/// What permission depends on: the controller's list of tools and its mode, else the config's.
fn law<'a>(controller: Option<&'a ControllerAnswer>, tools: &'a super::brain::setup::ToolsSetup) -> Law<'a> {
    let theirs = controller.and_then(|answer| answer.tools.as_deref());
    let theirs_mode = setting(controller, "claude.permission_mode").map(Mode::parse);
    let mode = theirs_mode.filter(|mode| *mode != Mode::Config).unwrap_or(tools.permission_mode);
    Law { allowed: theirs.unwrap_or(&tools.allowed), tools, mode }
}

fn setting<'a>(controller: Option<&'a ControllerAnswer>, key: &str) -> Option<&'a str> {
    let found = controller?.settings.iter().find(|setting| setting.key == key)?;
    Some(found.value.0.as_str()).filter(|value| !value.is_empty())
}

fn unwritable(fault: CommitFault) -> Refusal {
    Refusal::Unwritable { retry_after_s: retry_after_s(fault) }
}

fn retry_after_s(fault: CommitFault) -> u32 {
    match fault {
        CommitFault::Full => 10,
        CommitFault::Io => 5,
    }
}

/// For the log and people.
fn reason_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NoProvider => "no provider is configured".to_owned(),
        Refusal::UnknownProvider(name) => format!("no provider is called {name}"),
        Refusal::AllDown { why, .. } => format!("no provider answers: {}", why.join("; ")),
        Refusal::Question { status, why } => format!("the provider refused it with status {status}: {why}"),
        Refusal::Budget { which, .. } => format!("the budget is spent: {which}"),
        Refusal::Busy { what, .. } => format!("too busy: {what}"),
        Refusal::Unwritable { .. } => "the ledger cannot be written".to_owned(),
        Refusal::Stopping => "the agent is stopping".to_owned(),
    }
}
