//! Where the questions meet the other parts: what callers and turns ask goes to a provider, what comes back to whoever asked.

use super::Agent;
use super::brain::Brain;
use super::brain::budget::Budgets;
use super::brain::providers::{Change, End, Route, Step};
use super::brain::questions::{Asker, Query, State};
use super::brain::sessions::Sessions;
use super::brain::speech::{
    AskAnswer, Caller, Prompt, Question, Refusal, Reply, ThoughtEnd, ThoughtFault, ThoughtId, ThoughtNews,
};
use super::brain::status::BrainStatus;
use super::effect::Effect;
use super::event::{EventDraft, Field, JsonText, Severity, Source};
use super::ids::{RequestId, Seq};
use super::input::Fault;
use super::limits::THOUGHTS_MAX;
use super::memory::{FactKey, Memory};
use super::time::{Mono, Now};

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered(Reply),
    Broke(Reply, Fault),
    Left(Reply),
    /// The provider says that the question is no good.
    Rejected {
        status: u16,
        why: String,
    },
    /// Nobody can be asked. `until`: when somebody can, if time brings that about.
    Down {
        route: Route,
        until: Option<Mono>,
    },
}

impl Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Broke(..) => "broke_off",
            Self::Left(_) => "left",
            Self::Rejected { .. } => "rejected",
            Self::Down { .. } => "all_down",
        }
    }

    fn tokens(&self) -> (u32, u32) {
        match self {
            Self::Answered(reply) | Self::Broke(reply, _) | Self::Left(reply) => {
                (reply.tokens_in, reply.tokens_out)
            }
            Self::Rejected { .. } | Self::Down { .. } => (0, 0),
        }
    }
}

impl Agent {
    /// The brain as the ledger remembers it. Called once, when the journal is there.
    pub(super) fn furnish_brain(&mut self, memory: &mut Memory) {
        let (at, trust) = self.calendar.read(self.now);
        let mut budgets = Budgets::default();
        if let Some((_, text)) = memory.facts.iter().find(|(key, _)| *key == FactKey::BrainUsage) {
            budgets.recall(self.now.mono, text, trust.may_judge().then_some(at));
        }
        let (now, deadline) = (self.now.mono, self.now.mono.plus(self.setup.brain.tools.approval_time_ms));
        let sessions = Sessions::recall(std::mem::take(&mut memory.sessions), now, deadline);
        self.brain = Brain { budgets, sessions, ..Brain::default() };
        self.brain.providers.configure(&self.setup.brain);
    }

    /// A caller's own question.
    pub(super) fn on_ask(&mut self, request: RequestId, question: Question) {
        if let Some(refusal) = self.ask_refusal(question.caller) {
            return self.answer(request, AskAnswer::Refused(refusal));
        }
        self.counters.questions_asked += 1;
        let Question { caller, model, tokens } = question;
        let wanted = if model.is_empty() { self.setup.brain.model.clone() } else { model };
        let route = Route::new(wanted, String::new());
        self.begin_question(Asker::Request(request), caller, String::new(), route, tokens);
    }

    fn ask_refusal(&mut self, caller: Caller) -> Option<Refusal> {
        if self.stopping.is_some() {
            return Some(Refusal::Stopping);
        }
        if self.brain.providers.is_empty() {
            return Some(Refusal::NoProvider);
        }
        if self.brain.questions.list.len() >= THOUGHTS_MAX {
            return Some(Refusal::Busy { what: "questions", retry_after_s: 1 });
        }
        self.budget_refusal(caller)
    }

    pub(super) fn budget_refusal(&mut self, caller: Caller) -> Option<Refusal> {
        let refusal = self.brain.budgets.refusal(self.now.mono, caller, &self.setup.brain.budget);
        self.counters.questions_over_budget += u64::from(refusal.is_some());
        refusal
    }

    /// Asks the first provider that can be asked. There must be a place among `THOUGHTS_MAX`.
    pub(super) fn begin_question(
        &mut self,
        asker: Asker,
        caller: Caller,
        session: String,
        route: Route,
        tokens: u32,
    ) {
        self.brain.budgets.on_asked(self.now.mono, caller, tokens);
        let query = Query { asker, caller, session, route, tokens, state: State::Waiting, asked: None };
        self.brain.questions.list.push(query);
        self.advance_question(self.brain.questions.list.len() - 1);
    }

    /// Whether the question is over.
    fn advance_question(&mut self, place: usize) -> bool {
        let now = self.now.mono;
        let query = &mut self.brain.questions.list[place];
        match self.brain.providers.next(now, &mut query.route) {
            Step::Wait(_) => false,
            Step::Down { until } => {
                let route = query.route.clone();
                self.finish_question(place, Outcome::Down { route, until });
                true
            }
            Step::Ask { provider, model } => {
                let prompt = match &query.asker {
                    Asker::Request(request) => Prompt::Caller(*request),
                    Asker::Turn(prompt) => Prompt::Session(prompt.clone()),
                    Asker::Nobody => {
                        self.brain.providers.on_end(now, (&provider, &model), &End::Left, 0, &mut self.rng);
                        self.finish_question(place, Outcome::Left(Reply::default()));
                        return true;
                    }
                };
                let thought = self.brain.questions.new_thought();
                let query = &mut self.brain.questions.list[place];
                query.asked = Some((provider.clone(), model.clone()));
                query.state = State::Thinking {
                    thought,
                    provider: provider.clone(),
                    model: model.clone(),
                    since: now,
                    has_begun: false,
                };
                self.effects.push_back(Effect::Think { thought, prompt, provider, model });
                false
            }
        }
    }

    /// What a provider's answer is doing.
    pub(super) fn on_thought(&mut self, thought: ThoughtId, news: ThoughtNews) {
        let Some(place) = self.brain.questions.of_thought(thought) else {
            self.counters.answers_dropped += 1;
            return;
        };
        let State::Thinking { provider, has_begun, .. } = &mut self.brain.questions.list[place].state else {
            return;
        };
        match news {
            ThoughtNews::Began => {
                *has_begun = true;
                self.brain.providers.on_began(provider);
            }
            ThoughtNews::Ended(end) => self.on_thought_ended(place, end),
        }
    }

    fn on_thought_ended(&mut self, place: usize, end: ThoughtEnd) {
        let query = &mut self.brain.questions.list[place];
        let state = std::mem::replace(&mut query.state, State::Waiting);
        let State::Thinking { provider, model, since, has_begun, .. } = state else { return };
        let is_awaited = query.asker != Asker::Nobody;
        let told = match &end {
            ThoughtEnd::Answered(_) => End::Answered,
            ThoughtEnd::Broke(_, fault) => End::Broke(*fault),
            ThoughtEnd::Failed(fault) => End::Failed(fault),
            ThoughtEnd::Left(_) => End::Left,
        };
        let (now, spent) = (self.now.mono, self.now.mono.since(since));
        let change = self.brain.providers.on_end(now, (&provider, &model), &told, spent, &mut self.rng);
        self.record_circuit(&provider, &model, change);
        let outcome = match end {
            ThoughtEnd::Answered(reply) => Outcome::Answered(reply),
            ThoughtEnd::Broke(reply, fault) => Outcome::Broke(reply, fault),
            ThoughtEnd::Left(reply) => Outcome::Left(reply),
            ThoughtEnd::Failed(_) if !is_awaited => Outcome::Left(Reply::default()),
            ThoughtEnd::Failed(ThoughtFault::Question { status, why }) => Outcome::Rejected { status, why },
            // A part of an answer went on: nobody else can answer.
            ThoughtEnd::Failed(_) if has_begun => Outcome::Broke(Reply::default(), Fault::Transport),
            ThoughtEnd::Failed(fault) => {
                let route = &mut self.brain.questions.list[place].route;
                self.brain.providers.on_failed(now, route, &fault, &mut self.rng);
                self.advance_question(place);
                return;
            }
        };
        self.finish_question(place, outcome);
    }

    fn record_circuit(&mut self, provider: &str, model: &str, change: Change) {
        let (kind, severity, message, reason) = match change {
            Change::None => return,
            Change::Down(why) => (
                "provider_down",
                Severity::Warning,
                format!("{provider} is not asked for a while: {why}"),
                why,
            ),
            Change::Up => {
                let message = format!("{provider} answers again");
                ("provider_up", Severity::Info, message.clone(), message)
            }
        };
        let metadata = JsonText::of_fields(&[
            ("provider", Field::Text(provider)),
            ("model", Field::Text(model)),
            ("reason", Field::Text(&reason)),
        ]);
        self.record(kind, severity, message, metadata);
    }

    /// A question is over: told to the log, the budget and whoever asked.
    fn finish_question(&mut self, place: usize, outcome: Outcome) {
        let query = self.brain.questions.list.swap_remove(place);
        let (tokens_in, tokens_out) = outcome.tokens();
        let tokens = tokens_in.saturating_add(tokens_out);
        let now = self.now.mono;
        if query.asked.is_none() || matches!(outcome, Outcome::Down { .. }) {
            self.brain.budgets.on_not_asked(now, query.caller, query.tokens);
        } else {
            self.brain.budgets.on_answered(now, query.caller, query.tokens, tokens);
        }
        self.counters.tokens_used += u64::from(tokens);
        match outcome {
            Outcome::Answered(_) => self.counters.questions_answered += 1,
            _ if query.asked.is_some() => self.counters.questions_failed += 1,
            _ => {}
        }
        if let Some((provider, model)) = &query.asked {
            let metadata = JsonText::of_fields(&[
                ("provider", Field::Text(provider)),
                ("model", Field::Text(model)),
                ("caller", Field::Text(query.caller.as_str())),
                ("session", if query.session.is_empty() { Field::None } else { Field::Text(&query.session) }),
                ("tokens_in", Field::Number(i64::from(tokens_in))),
                ("tokens_out", Field::Number(i64::from(tokens_out))),
                ("outcome", Field::Text(outcome.as_str())),
            ]);
            let message = format!("{provider} was asked for {}: {}", query.caller.as_str(), outcome.as_str());
            self.record("model_called", Severity::Info, message, metadata);
        }
        match query.asker {
            Asker::Request(request) => {
                let answer = self.answer_of(outcome);
                self.answer(request, answer);
            }
            Asker::Turn(_) => {
                let (provider, model) = query.asked.unwrap_or_default();
                self.on_turn_answered(&query.session, outcome, provider, model);
            }
            Asker::Nobody => {}
        }
    }

    fn answer_of(&self, outcome: Outcome) -> AskAnswer {
        match outcome {
            Outcome::Answered(_) | Outcome::Left(_) => AskAnswer::Passed,
            Outcome::Broke(_, fault) => AskAnswer::Broke(fault),
            Outcome::Rejected { status, why } => AskAnswer::Refused(Refusal::Question { status, why }),
            Outcome::Down { route, until } => {
                AskAnswer::Refused(self.brain.providers.refusal(self.now.mono, &route, until))
            }
        }
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: AskAnswer) {
        self.effects.push_back(Effect::AskDone { request, answer });
    }

    /// The caller of a question or of a turn is gone.
    pub(super) fn on_caller_left(&mut self, request: RequestId) {
        if let Some(place) = self.brain.questions.of_request(request) {
            return self.drop_question(place);
        }
        let waits = |turn: &super::brain::turns::Turn| turn.request == Some(request);
        let place =
            self.brain.sessions.list.iter().position(|session| session.turn.as_deref().is_some_and(waits));
        if let Some(place) = place {
            if let Some(turn) = &mut self.brain.sessions.list[place].turn {
                turn.request = None;
            }
            self.stop_turn(place);
        }
    }

    /// Nobody waits for a question any more.
    pub(super) fn drop_question(&mut self, place: usize) {
        let query = &mut self.brain.questions.list[place];
        query.asker = Asker::Nobody;
        match query.thought() {
            Some(thought) => self.effects.push_back(Effect::ThinkStop { thought }),
            None => self.finish_question(place, Outcome::Left(Reply::default())),
        }
    }

    /// Lets questions whose wait is over try again, and turns go on.
    pub(super) fn run_brain(&mut self) {
        let mut place = 0;
        while place < self.brain.questions.list.len() {
            let query = &self.brain.questions.list[place];
            let is_over = query.state == State::Waiting && self.advance_question(place);
            place += usize::from(!is_over);
        }
        self.run_turns();
    }

    /// When the brain must be called again.
    pub(super) fn brain_deadline(&self) -> Option<Mono> {
        let waiting = self.brain.questions.list.iter().filter(|query| query.state == State::Waiting);
        waiting.map(|query| query.route.not_before()).chain(self.turn_deadlines()).min()
    }

    /// Something asks, or works for a conversation.
    pub(super) fn is_brain_busy(&self) -> bool {
        !self.brain.questions.list.is_empty() || self.brain.sessions.active() > 0
    }

    pub(super) fn reconfigure_brain(&mut self) {
        self.brain.providers.configure(&self.setup.brain);
        for query in &mut self.brain.questions.list {
            let asked = query.asked.as_ref().map(|(provider, _)| provider.as_str());
            self.brain.providers.on_reconfigured(&mut query.route, asked);
        }
    }

    /// Callers are told, providers and tools stopped; turns are taken up after the restart.
    pub(super) fn stop_brain(&mut self) {
        for place in (0..self.brain.questions.list.len()).rev() {
            let asker = self.brain.questions.list[place].asker.clone();
            self.drop_question(place);
            if let Asker::Request(request) = asker {
                self.answer(request, AskAnswer::Refused(Refusal::Stopping));
            }
        }
        self.stop_turns();
    }

    /// Writes an event of our own that must not be lost.
    pub(super) fn record_always(
        &mut self,
        kind: &str,
        severity: Severity,
        mut message: String,
        metadata: JsonText,
    ) -> Seq {
        super::cut(&mut message, super::limits::EVENT_MESSAGE_BYTES_MAX);
        let at = self.calendar.read(self.now).0;
        let (kind, source) = (kind.to_owned(), Source::Chainbot);
        self.counters.events_recorded += 1;
        self.journal.record_always(
            self.now.mono,
            at,
            EventDraft { kind, source, severity, message, metadata },
        )
    }

    /// For `/status`.
    pub(super) fn brain_status(&self, now: Now) -> BrainStatus<'_> {
        let thinking = self.brain.questions.list.iter().filter(|query| query.state != State::Waiting);
        BrainStatus {
            providers: self.brain.providers.status(now.mono),
            under_way: u32::try_from(thinking.count()).unwrap_or(u32::MAX),
            usage: self.brain.budgets.status(now.mono),
            sessions: self.session_statuses(),
            approvals: self.approval_statuses(now.mono),
        }
    }
}
