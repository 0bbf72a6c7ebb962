//! Models, tools, people and those who talk to the agent: providers that fail, stall, break off and lie, people who allow,
//! refuse and ignore, callers who leave.

use std::collections::BTreeMap;

use chainbot::agent::brain::setup::{
    BrainSetup, BudgetSetup, ModelName, Permission, ProviderSetup, Rule, ToolsSetup,
};
use chainbot::agent::brain::speech::{
    AskAnswer, Caller, Prompt, Question, Reply, RunId, Saying, ThoughtEnd, ThoughtFault, ThoughtId,
    ThoughtNews, ToolCall, ToolResult,
};
use chainbot::agent::effect::DecisionAnswer;
use chainbot::agent::ids::{EventId, RequestId};
use chainbot::agent::input::Fault;
use chainbot::agent::{Effect, Input};

use crate::brain_checks::BrainChecks;
use crate::rng::Rng;
use crate::trace::note;
use crate::world::{Happening, World};

const MINUTE_MS: u64 = 60_000;
/// How long a provider that says nothing is waited for.
const STALL_MS: u64 = 30_000;
/// Requests of those who talk have numbers from here on: others have theirs below.
const FIRST_REQUEST: u64 = 1_000_000_000;
/// Most requests that wait at once.
const WAITING_MAX: usize = 30;
/// Callers with a credential.
const CALLERS: [Caller; 3] = [Caller::Loopback, Caller::Token, Caller::ApiKey];

/// What of the brain there is in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrainPlan {
    /// How many providers.
    pub providers: usize,
    /// What happens to calls of tools that no rule speaks of.
    pub mode: Permission,
    /// Questions within an hour; 0: no limit.
    pub requests_per_hour: u32,
    /// Mean time between two requests.
    pub gap_ms: u64,
    /// Names of conversations.
    pub names: u64,
    /// How many of a thousand texts are long.
    pub long_per_mille: u64,
    /// Providers change.
    pub has_moods: bool,
}

impl BrainPlan {
    /// Of this seed: some have one.
    pub fn of(seed: u64) -> Option<Self> {
        let rng = &mut Rng::new(seed, "brain plan");
        rng.chance(400).then(|| Self {
            providers: rng.pick(&[1, 1, 2, 3]),
            mode: rng.pick(&[Permission::Allow, Permission::Ask, Permission::Ask]),
            requests_per_hour: rng.pick(&[0, 0, 0, 5, 40]),
            gap_ms: rng.pick(&[3_000, 15_000, 60_000]),
            names: rng.pick(&[2, 6, 50]),
            long_per_mille: rng.pick(&[0, 0, 50, 400]),
            has_moods: rng.chance(800),
        })
    }

    /// What the agent is told.
    pub fn setup(&self) -> BrainSetup {
        let provider = |n: usize| ProviderSetup {
            name: format!("p{n}"),
            base_url: format!("http://p{n}.test"),
            model: format!("own-{n}"),
            models: vec![ModelName { wanted: "big".to_owned(), there: format!("big-{n}") }],
            timeout_ms: STALL_MS,
            ..ProviderSetup::default()
        };
        let rule = |mode, tool: &str, pattern: &str| Rule {
            mode,
            tool: tool.to_owned(),
            pattern: pattern.to_owned(),
        };
        let tools = ToolsSetup {
            allowed: vec!["read-file".to_owned(), "run-command".to_owned()],
            rules: vec![rule(Permission::Deny, "run-command", "rm *")],
            mode: self.mode,
            approval_time_ms: MINUTE_MS,
            ..ToolsSetup::default()
        };
        BrainSetup {
            providers: (0..self.providers).map(provider).collect(),
            budget: BudgetSetup { requests_per_hour: self.requests_per_hour, ..BudgetSetup::default() },
            history_messages: 40,
            history_tokens: 8_000,
            turn_questions_max: 6,
            turn_tokens_max: 20_000,
            tools,
            ..BrainSetup::default()
        }
    }
}

/// How a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    Slow,
    Failing,
    Limited,
    Refusing,
    NoModel,
    Breaking,
    Stalling,
    Picky,
}

/// A question to a provider.
struct Thought {
    /// Somebody stopped it.
    is_stopped: bool,
    is_turns: bool,
}

/// Somebody who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Ask(Caller),
    Say,
    Decide,
}

/// See the file's header.
pub struct BrainWorld {
    plan: Option<BrainPlan>,
    moods: Vec<Mood>,
    thoughts: BTreeMap<ThoughtId, Thought>,
    runs: BTreeMap<RunId, bool>,
    waiting: BTreeMap<RequestId, Wish>,
    next_request: u64,
    nonce: u64,
    /// The model of what must hold.
    pub checks: BrainChecks,
    rng: Rng,
}

/// Something that happens to the brain.
#[derive(Debug)]
pub enum Stir {
    /// Someone wants something.
    Talk,
    /// A person looks at what is asked.
    Person,
    /// A provider changes.
    Mood(usize),
    /// A provider's answer begins.
    Began(ThoughtId),
    /// It ends.
    Ended(ThoughtId, Box<ThoughtEnd>),
    /// A tool is done.
    ToolDone(RunId, bool),
}

impl BrainWorld {
    /// A world in which nobody has said anything.
    pub fn new(seed: u64, plan: Option<BrainPlan>) -> Self {
        Self {
            plan,
            moods: vec![Mood::Fine; plan.map_or(0, |plan| plan.providers)],
            thoughts: BTreeMap::new(),
            runs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_request: FIRST_REQUEST,
            nonce: 0,
            checks: BrainChecks::new(plan),
            rng: Rng::new(seed, "brain"),
        }
    }

    fn request(&mut self, wish: Wish) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.waiting.insert(request, wish);
        request
    }

    fn nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// What a model says: an end, or calls of tools, well or badly written.
    fn reply(&mut self) -> Reply {
        let nonce = self.nonce();
        let mut reply =
            Reply { text: format!("answer {nonce}"), tokens_in: 200, tokens_out: 50, ..Reply::default() };
        let long = self.plan.is_some_and(|plan| self.rng.chance(plan.long_per_mille));
        if long {
            reply.text.push_str(&"x".repeat(self.rng.within(1_000, 40_000) as usize));
        }
        if !self.rng.chance(450) {
            return reply;
        }
        for n in 0..self.rng.pick(&[1, 1, 1, 2, 3, 11]) {
            let nonce = self.nonce();
            let id = if self.rng.chance(100) { "same".to_owned() } else { format!("c{n}") };
            let tools = ["read-file", "read-file", "run-command", "run-command", "write-file", "made-up"];
            let name = self.rng.pick(&tools).to_owned();
            let subject = self.rng.pick(&["a.txt", "ls", "rm -rf /"]).to_owned();
            let arguments = match self.rng.below(20) {
                0 => "nonsense".to_owned(),
                1 => format!("{{\"n\":{nonce},\"x\":\"{}\"}}", "y".repeat(12_000)),
                _ => format!("{{\"n\":{nonce}}}"),
            };
            reply.calls.push(ToolCall { id, name, arguments, subject });
        }
        reply
    }

    /// Nobody of them is there any more.
    fn process_ended(&mut self) {
        self.thoughts.clear();
        self.runs.clear();
        self.waiting.clear();
    }
}

impl World {
    /// Sets the talk going.
    pub fn begin_talking(&mut self) {
        let Some(plan) = self.brain.plan else { return };
        note!("   {plan:?}");
        self.stir(1_000, Stir::Talk);
        self.stir(5_000, Stir::Person);
        for provider in 0..plan.providers * usize::from(plan.has_moods) {
            let wait = self.brain.rng.gap(120_000);
            self.stir(wait, Stir::Mood(provider));
        }
    }

    fn stir(&mut self, wait: u64, stir: Stir) {
        let boot = self.boots;
        self.after(wait, Happening::Brain { boot, stir });
    }

    /// Something happens to the brain.
    pub fn brain_step(&mut self, boot: u32, stir: Stir) {
        let is_current = self.node.as_ref().is_some_and(|node| node.boot == boot);
        match stir {
            Stir::Talk if self.is_healed => {}
            Stir::Talk => {
                let gap = self.brain.plan.map_or(MINUTE_MS, |plan| plan.gap_ms);
                let wait = self.brain.rng.gap(gap);
                self.stir(wait, Stir::Talk);
                self.talk();
            }
            Stir::Person => {
                let wait = self.brain.rng.gap(20_000);
                self.stir(wait, Stir::Person);
                self.person_looks();
            }
            Stir::Mood(_) if self.is_healed => {}
            Stir::Mood(provider) => self.change_provider(provider),
            Stir::Began(thought) if is_current && self.brain.thoughts.contains_key(&thought) => {
                self.feed(Input::Thought { thought, news: ThoughtNews::Began });
            }
            Stir::Ended(thought, end) if is_current && self.brain.thoughts.remove(&thought).is_some() => {
                self.feed(Input::Thought { thought, news: ThoughtNews::Ended(*end) });
            }
            Stir::ToolDone(run, is_ok) if is_current && self.brain.runs.remove(&run).is_some() => {
                let length = if self.brain.rng.chance(50) { 60_000 } else { 20 };
                let result = ToolResult { is_ok, text: "o".repeat(length), exit_code: Some(0) };
                self.feed(Input::ToolDone { run, result });
            }
            Stir::Began(_) | Stir::Ended(..) | Stir::ToolDone(..) => {}
        }
    }

    /// Someone asks, says, leaves, stops, forgets, or decides about something that nobody asked.
    fn talk(&mut self) {
        if self.node.is_none() || self.brain.waiting.len() >= WAITING_MAX {
            return;
        }
        match self.brain.rng.below(20) {
            0..7 => self.ask(),
            7..14 => self.say(),
            14..16 => self.leave(),
            16 => {
                let session = self.name();
                self.feed(Input::StopTurn { session });
            }
            17 => {
                let (request, session) = (self.brain.request(Wish::Decide), self.name());
                self.feed(Input::Forget { request, session });
            }
            18 => {
                let request = self.brain.request(Wish::Decide);
                let id = EventId {
                    seq: chainbot::agent::ids::Seq(self.brain.rng.below(500)),
                    ledger: self.checks.ledger(),
                };
                self.decide(request, id, true);
            }
            _ => {
                for _ in 0..15 {
                    self.ask();
                }
            }
        }
    }

    fn name(&mut self) -> String {
        let names = self.brain.plan.map_or(1, |plan| plan.names);
        format!("talk-{}", self.brain.rng.below(names))
    }

    fn ask(&mut self) {
        let caller = self.brain.rng.pick(&CALLERS);
        let model = self.brain.rng.pick(&["", "big", "unheard-of"]).to_owned();
        let request = self.brain.request(Wish::Ask(caller));
        let question = Question { caller, model, tokens: 100 };
        self.feed(Input::Ask { request, question });
    }

    fn say(&mut self) {
        let request = self.brain.request(Wish::Say);
        let session = self.name();
        let rng = &mut self.brain.rng;
        let long = self.brain.plan.is_some_and(|plan| rng.chance(plan.long_per_mille));
        let length = if long { rng.within(5_000, 32_768) } else { 30 };
        let provider = if rng.chance(50) { "p0" } else { "" };
        let saying = Saying {
            caller: rng.pick(&CALLERS),
            by: "someone".to_owned(),
            session,
            text: "q".repeat(usize::try_from(length).expect("small")),
            model: rng.pick(&["", "", "big"]).to_owned(),
            provider: provider.to_owned(),
            instruction: rng.pick(&["", "", "be a pirate"]).to_owned(),
            may_wait: rng.chance(400),
        };
        self.feed(Input::Say { request, saying: Box::new(saying) });
    }

    fn leave(&mut self) {
        let waits = |wish: &Wish| *wish != Wish::Decide;
        let waiting: Vec<RequestId> =
            self.brain.waiting.iter().filter(|(_, wish)| waits(wish)).map(|(id, _)| *id).collect();
        if !waiting.is_empty() {
            let request = self.brain.rng.pick(&waiting);
            self.brain.waiting.remove(&request);
            self.feed(Input::CallerLeft { request });
        }
    }

    /// A person looks at what is asked: says yes, says no, or lets it be.
    fn person_looks(&mut self) {
        let Some(node) = self.node.as_ref() else { return };
        let status = node.agent.status(self.clock.read(self.now));
        let asked: Vec<EventId> = status.brain.approvals.iter().map(|approval| approval.id).collect();
        for id in asked {
            let choice = self.brain.rng.below(4);
            if choice < 3 {
                let request = self.brain.request(Wish::Decide);
                self.decide(request, id, choice > 0);
            }
        }
    }

    fn decide(&mut self, request: RequestId, approval: EventId, is_yes: bool) {
        let Some(node) = self.node.as_ref() else { return };
        let status = node.agent.status(self.clock.read(self.now));
        let asked = status.brain.approvals.iter().find(|asked| asked.id == approval);
        if let Some(asked) = asked.filter(|_| is_yes) {
            self.brain.checks.on_allowed(asked.arguments);
        }
        self.feed(Input::Decide { request, approval, is_yes, by: "somebody".to_owned() });
    }

    fn change_provider(&mut self, provider: usize) {
        const ALL: [Mood; 11] = [
            Mood::Fine,
            Mood::Fine,
            Mood::Fine,
            Mood::Slow,
            Mood::Failing,
            Mood::Limited,
            Mood::Refusing,
            Mood::NoModel,
            Mood::Breaking,
            Mood::Stalling,
            Mood::Picky,
        ];
        self.brain.moods[provider] = self.brain.rng.pick(&ALL);
        note!("   provider p{provider}: {:?}", self.brain.moods[provider]);
        let wait = self.brain.rng.gap(180_000);
        self.stir(wait, Stir::Mood(provider));
    }

    /// The config is read again, perhaps without a provider or with another mode.
    pub fn change_brain(&mut self, setup: &mut BrainSetup) {
        match self.brain.rng.below(4) {
            0 => drop(setup.providers.pop()),
            1 => setup.providers.iter_mut().for_each(|provider| provider.timeout_ms += 1),
            2 => setup.turn_questions_max = 2,
            _ => {}
        }
    }

    /// Everybody is well from here on.
    pub fn heal_brain(&mut self) {
        self.brain.moods.fill(Mood::Fine);
    }

    /// The process is there no more.
    pub fn brain_ended(&mut self) {
        self.brain.process_ended();
    }

    /// Carries out what the brain wants.
    pub fn brain_effect(&mut self, effect: Effect) {
        note!("<- {}", describe(&effect));
        match effect {
            Effect::Think { thought, prompt, provider, .. } => self.think(thought, &prompt, &provider),
            Effect::ThinkStop { thought } => {
                if let Some(known) = self.brain.thoughts.get_mut(&thought).filter(|known| !known.is_stopped) {
                    known.is_stopped = true;
                    let text = if known.is_turns { "a part" } else { "" }.to_owned();
                    let end = ThoughtEnd::Left(Reply { text, tokens_in: 100, ..Reply::default() });
                    self.stir(5, Stir::Ended(thought, Box::new(end)));
                }
            }
            Effect::RunTool { run, session, call } => {
                self.brain.checks.on_run(&session, &call);
                self.brain.runs.insert(run, true);
                let wait = if self.brain.rng.chance(100) { 60_000 } else { self.brain.rng.gap(2_000) };
                let is_ok = self.brain.rng.chance(800);
                self.stir(wait, Stir::ToolDone(run, is_ok));
            }
            Effect::StopTool { run } => self.stir(3, Stir::ToolDone(run, false)),
            Effect::AskDone { request, answer } => self.answered(request, &answer),
            Effect::Decided { request, answer } => {
                let wish = self.brain.waiting.remove(&request);
                assert_eq!(wish, Some(Wish::Decide), "request {} is answered, and nobody waits", request.0);
                self.brain.checks.on_decided(answer == DecisionAnswer::Done);
            }
            other => panic!("{other:?} is none of the brain's"),
        }
    }

    fn answered(&mut self, request: RequestId, answer: &AskAnswer) {
        let wish = self.brain.waiting.remove(&request);
        match (wish, answer) {
            (Some(Wish::Ask(_)), AskAnswer::Turn(_) | AskAnswer::Waits)
            | (Some(Wish::Say), AskAnswer::Passed | AskAnswer::Broke(_))
            | (Some(Wish::Decide) | None, _) => {
                panic!("request {} ({wish:?}) is answered with {answer:?}", request.0)
            }
            (Some(Wish::Ask(caller)), AskAnswer::Passed | AskAnswer::Broke(_)) => {
                self.brain.checks.on_passed(self.now, caller);
            }
            (Some(Wish::Say), AskAnswer::Turn(turn)) => self.brain.checks.on_turn(turn),
            (Some(_), _) => {}
        }
    }

    fn think(&mut self, thought: ThoughtId, prompt: &Prompt, provider: &str) {
        let place = self.setup.brain.providers.iter().position(|known| known.name == provider);
        assert!(place.is_some(), "{provider} is not configured");
        let mood = provider.strip_prefix('p').and_then(|n| n.parse::<usize>().ok());
        let mood = mood.map_or(Mood::Fine, |n| self.brain.moods[n]);
        let is_turns = matches!(prompt, Prompt::Session(_));
        match prompt {
            Prompt::Caller(request) => {
                let waits = self.brain.waiting.contains_key(request);
                assert!(waits, "request {} is asked, and nobody waits for it", request.0);
            }
            Prompt::Session(prompt) => self.brain.checks.on_prompt(prompt),
        }
        self.brain.thoughts.insert(thought, Thought { is_stopped: false, is_turns });
        self.brain.checks.on_thinking(self.brain.thoughts.len());
        let rng = &mut self.brain.rng;
        let began = rng.within(50, if mood == Mood::Slow { 25_000 } else { 1_500 });
        let length = rng.within(10, if mood == Mood::Slow { 60_000 } else { 5_000 });
        let fault = |fault, after_ms| ThoughtEnd::Failed(ThoughtFault::Retry { fault, after_ms });
        let refusal = |status| ThoughtFault::Provider { status, why: "no".to_owned() };
        let end = match mood {
            Mood::Failing => fault(rng.pick(&[Fault::Status(503), Fault::Refused, Fault::Reset]), None),
            Mood::Limited => fault(Fault::Status(429), rng.pick(&[Some(500), Some(3_000), Some(90_000)])),
            Mood::Refusing => ThoughtEnd::Failed(refusal(rng.pick(&[401, 402, 403, 429]))),
            Mood::NoModel => ThoughtEnd::Failed(refusal(404)),
            Mood::Picky => ThoughtEnd::Failed(ThoughtFault::Question { status: 400, why: "bad".to_owned() }),
            Mood::Stalling => fault(Fault::Timeout, None),
            Mood::Breaking => {
                let text = format!("half {}", self.brain.nonce());
                ThoughtEnd::Broke(Reply { text, tokens_in: 10, ..Reply::default() }, Fault::Reset)
            }
            Mood::Fine | Mood::Slow if is_turns => ThoughtEnd::Answered(self.brain.reply()),
            Mood::Fine | Mood::Slow => {
                ThoughtEnd::Answered(Reply { tokens_in: 90, tokens_out: 40, ..Reply::default() })
            }
        };
        let has_begun = matches!(end, ThoughtEnd::Answered(_) | ThoughtEnd::Broke(..));
        let wait = match mood {
            Mood::Stalling => STALL_MS,
            _ if has_begun => began + length,
            _ => began,
        };
        if has_begun {
            self.stir(began, Stir::Began(thought));
        }
        self.stir(wait, Stir::Ended(thought, Box::new(end)));
    }

    /// What is not over although everything is well.
    pub fn wrong_with_brain(&self) -> Option<String> {
        let status = self.node.as_ref()?.agent.status(self.clock.read(self.now));
        if let Some(session) = status.brain.sessions.iter().find(|session| session.state != "idle") {
            return Some(format!("the turn of {} is not over: {}", session.name, session.state));
        }
        if status.brain.under_way > 0 {
            return Some(format!("{} questions are under way", status.brain.under_way));
        }
        self.brain
            .waiting
            .first_key_value()
            .map(|(request, wish)| format!("request {} ({wish:?}) was not answered", request.0))
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Think { thought, prompt, provider, model } => match prompt {
            Prompt::Caller(request) => {
                format!("think {} for {} at {provider} ({model})", thought.0, request.0)
            }
            Prompt::Session(prompt) => format!(
                "think {} for {} {}..={} at {provider} ({model})",
                thought.0, prompt.session, prompt.from, prompt.upto
            ),
        },
        Effect::RunTool { run, session, call } => {
            format!("run {} of {session}: {} {} {}", run.0, call.id, call.name, call.subject)
        }
        Effect::AskDone { request, answer: AskAnswer::Turn(turn) } => {
            format!("answer to {}: a turn that ended: {}", request.0, turn.end.as_str())
        }
        other => format!("{other:?}"),
    }
}
