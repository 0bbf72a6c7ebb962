//! The process: starts and ends it, gives it inputs, carries out its effects, as the shell would.

use std::sync::Arc;

use chainbot::agent::brain::speech::{ThoughtEnd, ThoughtNews};
use chainbot::agent::effect::IntakeAnswer;
use chainbot::agent::event::EventFilter;
use chainbot::agent::ids::{Destination, RequestId, Seq, Ticket};
use chainbot::agent::input::{CommitFault, Outcome, Sample, StopReason};
use chainbot::agent::memory::Write;
use chainbot::agent::{Agent, Call, Effect, Input, limits};
use chainbot::ledger::Fetched;

use crate::trace::note;
use crate::world::{Happening, Node, World};

/// A tick may come this much later than a stop's last deadline: the machine is busy.
const STOP_SLACK_MS: u64 = 50;
/// One step in so many is followed by a look at the status.
const STATUS_STEPS: u64 = 8;

impl World {
    /// The process starts: opens the ledger, checks what is in it, makes the agent.
    pub fn start(&mut self) {
        if self.node.is_some() {
            return;
        }
        self.boots += 1;
        self.clock.boot(self.now, self.plan.has_clock_trouble && !self.is_healed, &mut self.rng);
        let fresh = u32::try_from(self.rng.below(1 << 32)).expect("32 bits");
        if self.plan.is_unplugged && !self.is_healed {
            for _ in 0..self.rng.pick(&[0, 0, 1, 2]) {
                note!("== power cut while the ledger is opened");
                self.cuts.power += 1;
                self.cuts.in_recoveries += 1;
                self.store.cut_recovery(fresh, &mut self.rng);
            }
        }
        let (memory, log) = match self.store.open(fresh).map(|memory| (memory, self.store.scan())) {
            Ok((memory, Some(log))) => (memory, log),
            Ok((_, None)) => return self.start_fails("the log cannot be read"),
            Err(why) => return self.start_fails(&why),
        };
        note!(
            "== start {}: {} events kept, last {}, cursors {:?}",
            self.boots,
            log.len(),
            memory.last.0,
            memory.cursors
        );
        self.checks.on_open(&memory, &log, self.boots);
        self.brain.checks.on_open(&memory);
        for (key, seq) in self.checks.keyed(&self.clients) {
            let found = self.store.inbox(key);
            let is_right = found == Ok(Some(seq)) || (found.is_err() && !self.is_healed);
            assert!(is_right, "event {} is in the log and its id is forgotten", seq.0);
        }
        let agent = Agent::new(self.setup.clone(), memory, self.rng.draw(), self.clock.read(self.now));
        let (boot, is_done, is_stopping) = (self.boots, false, false);
        self.node = Some(Node { agent, boot, wake_at: None, commit: None, is_done, is_stopping });
        self.feed(Input::Tick);
    }

    /// The disk does not give the ledger: whoever starts the process tries again.
    fn start_fails(&mut self, why: &str) {
        assert!(!self.is_healed, "the ledger does not open on a good disk: {why}");
        note!("== start fails: {why}");
        self.boots -= 1;
        self.store.close();
        self.after(5_000, Happening::Start);
    }

    /// Gives the agent an input and carries out what it wants.
    pub fn feed(&mut self, input: Input) {
        let Some(node) = self.node.as_mut() else { return };
        trace_input(&input);
        node.agent.handle(self.clock.read(self.now), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.node.as_mut().and_then(|node| node.agent.poll_effect()) {
            assert!(!self.node.as_ref().is_some_and(|node| node.is_done), "an effect after Exit: {effect:?}");
            self.carry_out(effect);
        }
        let Some(node) = self.node.as_mut() else { return };
        if node.is_done {
            return self.exit();
        }
        let now = self.clock.read(self.now);
        self.checks.on_step(self.now);
        let deadline = node.agent.poll_timeout();
        if let Some(deadline) = deadline {
            assert!(deadline.at > now.mono, "{:?} is due in the past: a busy loop", deadline.timer);
        }
        if self.steps.is_multiple_of(STATUS_STEPS) {
            let status = node.agent.status(now);
            self.checks.on_status(&status);
            self.brain.checks.on_status(&status);
        }
        let is_late = !node.is_stopping && !self.is_healed && self.rng.chance(20);
        let late_ms = if is_late { self.rng.gap(300) } else { 0 };
        node.wake_at = deadline.map(|deadline| self.clock.world_ms(deadline.at).saturating_add(late_ms));
    }

    fn carry_out(&mut self, effect: Effect) {
        let boot = self.boots;
        match effect {
            effect @ (Effect::Think { .. }
            | Effect::ThinkStop { .. }
            | Effect::AskDone { .. }
            | Effect::RunTool { .. }
            | Effect::StopTool { .. }
            | Effect::Decided { .. }) => self.brain_effect(effect),
            Effect::Commit { ticket, writes } => self.begin_commit(ticket, writes),
            Effect::Fetch { destination, after, filter } => {
                self.checks.on_fetch(&destination, after);
                let wait = if self.rng.chance(100) && !self.is_healed { self.rng.below(2_000) } else { 0 };
                self.after(wait, Happening::FetchDone { boot, destination, after, filter });
            }
            Effect::Call { id, correlation, call } => self.call(id, correlation, call),
            Effect::Respond { request, answer } => self.respond(request, &answer),
            effect @ (Effect::BusOpen { .. } | Effect::BusSend { .. } | Effect::BusClose { .. }) => {
                self.bus_effect(effect);
            }
            Effect::Sample => self.after(1, Happening::SampleDone { boot }),
            Effect::Published { last } => self.checks.on_published(last),
            Effect::Exit => {
                note!("<- exit");
                self.node.as_mut().expect("it runs").is_done = true;
            }
        }
    }

    fn begin_commit(&mut self, ticket: Ticket, writes: Arc<[Write]>) {
        note!("<- commit {}: {}", ticket.0, describe_writes(&writes));
        self.checks.on_commit(ticket, &writes);
        self.commits += 1;
        let wait = self.store.commit_ms(&mut self.rng);
        let node = self.node.as_mut().expect("it runs");
        assert!(node.commit.is_none(), "two commits in flight");
        node.commit = Some((ticket, writes));
        let boot = node.boot;
        self.after(wait, Happening::CommitDone { boot });
    }

    /// The disk has done what it could: from here on a power cut takes nothing of it back.
    pub fn commit_done(&mut self, boot: u32) {
        let Some(node) = self.node.as_ref().filter(|node| node.boot == boot) else { return };
        let (ticket, writes) = node.commit.clone().expect("a commit is in flight until it is told");
        let result = self.store.commit(&writes, &mut self.rng);
        match result {
            Ok(oldest) => {
                self.checks.on_committed(&writes, oldest);
                self.brain.checks.on_committed(&writes);
            }
            Err(fault) => {
                self.brain.checks.on_doubt();
                self.checks.on_commit_failed();
                note!("   disk: commit {} fails: {fault:?}", ticket.0);
            }
        }
        let wait = if self.rng.chance(100) { self.rng.below(200) } else { 0 };
        self.after(wait, Happening::CommitTold { boot, ticket, result });
    }

    /// The agent hears of the end of its commit.
    pub fn commit_told(&mut self, boot: u32, ticket: Ticket, result: Result<Seq, CommitFault>) {
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
        node.commit = None;
        self.feed(match result {
            Ok(oldest) => Input::Committed { ticket, oldest },
            Err(fault) => Input::CommitFailed { ticket, fault },
        });
    }

    /// The log was read.
    pub fn fetch_done(&mut self, boot: u32, destination: Destination, after: Seq, filter: &EventFilter) {
        if self.node.as_ref().is_none_or(|node| node.boot != boot) {
            return;
        }
        self.checks.on_fetched(&destination);
        let found = self.store.fetch(after, filter, limits::FETCH_SCAN_MAX);
        let failed = found.is_err();
        let Fetched { event, upto, oldest } =
            found.unwrap_or(Fetched { event: None, upto: after, oldest: Seq(0) });
        let event = event.map(Box::new);
        self.look_if_doubtful();
        self.feed(Input::Fetched { destination, event, upto, oldest, failed });
    }

    /// What the ledger shows must be durable, even if its commit seemed to fail.
    fn look_if_doubtful(&mut self) {
        if self.checks.is_doubtful()
            && let Some(log) = self.store.scan()
        {
            self.checks.on_shown(&log);
        }
    }

    /// A sample of a machine that has little to do.
    pub fn sample_done(&mut self, boot: u32) {
        if self.node.as_ref().is_some_and(|node| node.boot == boot) {
            let memory_percent = if self.rng.chance(20) { 97.5 } else { 40.0 };
            self.feed(Input::Sampled(Box::new(Sample {
                cpu_percent: 3.5,
                memory_percent,
                disk_percent: 20.0,
                ..Sample::default()
            })));
        }
    }

    /// A client sends a message.
    pub fn post(&mut self, chosen: Option<usize>) {
        let index = match chosen {
            Some(index) => index,
            None if self.is_healed => return,
            None => {
                let wait = self.rng.gap(self.plan.post_gap_ms);
                self.after(wait, Happening::Post(None));
                if self.rng.chance(30) {
                    for _ in 0..self.rng.below(25) {
                        let one = self.clients.choose();
                        self.after(0, Happening::Post(Some(one)));
                    }
                }
                self.clients.choose()
            }
        };
        if self.node.is_none() {
            return self.again_later(index, None);
        }
        let post = self.clients.post(index);
        let (dedupe, draft) = (post.key, post.draft.clone());
        // A ledger that cannot be asked whether it has the id is as good as none: the shell answers 503 by itself.
        let Ok(known) = dedupe.map_or(Ok(None), |key| self.store.inbox(key)) else {
            return self.again_later(index, None);
        };
        self.look_if_doubtful();
        let request = self.clients.send(index);
        self.checks.on_request(self.now, request);
        let patience = if self.is_healed { 60_000 } else { self.rng.within(500, 40_000) };
        self.after(patience, Happening::ClientTired { request, in_peace: self.is_healed });
        self.feed(Input::Webhook { request, draft, dedupe, known });
    }

    fn respond(&mut self, request: RequestId, answer: &IntakeAnswer) {
        note!("<- answer to request {}: {answer:?}", request.0);
        self.checks.on_answer(request);
        let Some(index) = self.clients.on_answer(request) else { return };
        if let IntakeAnswer::Stored { id, .. } = answer {
            self.checks.on_stored(index, self.clients.post(index), *id);
            self.clients.on_stored(index, *id);
        } else {
            self.checks.on_turned_away(answer);
            self.again_later(index, Some(answer));
        }
    }

    /// A client has no answer and tries again, perhaps.
    pub fn client_tired(&mut self, request: RequestId, in_peace: bool) {
        if let Some(index) = self.clients.gives_up_waiting(request) {
            assert!(!in_peace, "request {} was not answered within a minute on a good disk", request.0);
            self.again_later(index, None);
        }
    }

    fn again_later(&mut self, index: usize, answer: Option<&IntakeAnswer>) {
        if let Some(wait) = self.clients.try_again_in(index, answer, self.is_healed) {
            self.after(wait, Happening::Post(Some(index)));
        }
    }

    /// Somebody asks the process to stop.
    pub fn ask_to_stop(&mut self) {
        let Some(node) = self.node.as_mut() else { return };
        node.is_stopping = true;
        let boot = node.boot;
        self.after(limits::STOP_TIME_MAX_MS + STOP_SLACK_MS, Happening::StopOverdue { boot });
        self.feed(Input::StopAsked(StopReason::Signal));
    }

    /// By now it must be gone.
    pub fn stop_overdue(&mut self, boot: u32) {
        let is_there = self.node.as_ref().is_some_and(|node| node.boot == boot);
        assert!(
            !is_there,
            "the process is there {} ms after it was asked to stop",
            limits::STOP_TIME_MAX_MS + STOP_SLACK_MS
        );
    }

    /// The agent is done: the process ends, in the middle of a commit if there is one.
    fn exit(&mut self) {
        let commit = self.node.take().and_then(|node| node.commit);
        match commit {
            Some((_, writes)) => {
                self.brain.checks.on_doubt();
                self.store.kill(Some(&writes), &mut self.rng);
            }
            None => self.store.close(),
        }
        self.process_ended();
        let wait = self.rng.within(100, 20_000);
        self.after(wait, Happening::Start);
    }

    /// What becomes of those who waited for the process.
    pub fn process_ended(&mut self) {
        self.brain_ended();
        for index in self.clients.on_process_end() {
            self.again_later(index, None);
        }
    }
}

fn trace_input(input: &Input) {
    match input {
        Input::Tick => note!("-> tick"),
        Input::Committed { ticket, oldest } => note!("-> committed {} (oldest {})", ticket.0, oldest.0),
        Input::CommitFailed { ticket, fault } => note!("-> commit {} failed: {fault:?}", ticket.0),
        Input::Fetched { destination, event, upto, failed, .. } => {
            let found = event.as_ref().map(|event| event.seq.0);
            note!(
                "-> fetched for {}: {found:?} up to {}{}",
                destination.key(),
                upto.0,
                if *failed { ", failed" } else { "" }
            );
        }
        Input::CallDone { id, outcome, .. } => note!("-> call {} done: {}", id.0, describe_outcome(outcome)),
        Input::Webhook { request, draft, dedupe, known } => {
            let keyed = if dedupe.is_some() { " with id" } else { "" };
            note!("-> request {}: {}{keyed}, known {:?}", request.0, draft.message, known.map(|seq| seq.0));
        }
        Input::BusOpened { link } => note!("-> bus {} open", link.0),
        Input::BusRefused { link, status } => note!("-> bus {} refused: {status}", link.0),
        Input::BusMessage { link, message, .. } => note!("-> bus {}: {message:?}", link.0),
        Input::BusClosed { link, end } => note!("-> bus {} closed: {end}", link.0),
        Input::Say { request, saying } => {
            note!("-> say {}: {} bytes to {}", request.0, saying.text.len(), saying.session);
        }
        Input::Thought { thought, news } => note!("-> thought {}: {}", thought.0, describe_news(news)),
        Input::ToolDone { run, result } => note!("-> run {} done: {}", run.0, result.is_ok),
        Input::Ask { .. }
        | Input::CallerLeft { .. }
        | Input::Decide { .. }
        | Input::Forget { .. }
        | Input::StopTurn { .. } => note!("-> {input:?}"),
        Input::Sampled(_) => note!("-> sampled"),
        Input::Reconfigured(_) => note!("-> reconfigured"),
        Input::StopAsked(reason) => note!("-> stop asked: {reason:?}"),
    }
}

fn describe_news(news: &ThoughtNews) -> String {
    match news {
        ThoughtNews::Began => "began".to_owned(),
        ThoughtNews::Ended(ThoughtEnd::Answered(reply)) => format!("answered, {} calls", reply.calls.len()),
        ThoughtNews::Ended(end) => format!("{end:?}"),
    }
}

fn describe_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Aiwm(chainbot::agent::input::AiwmReply::Connected { .. }) => "connected".to_owned(),
        Outcome::Canon(verdict, entries) => format!("canon {verdict:?}, {} agents", entries.len()),
        other => format!("{other:?}"),
    }
}

/// A call in a few words.
pub fn describe(call: &Call) -> String {
    match call {
        Call::AlexosRegister { .. } => "register".to_owned(),
        Call::AlexosCanon => "canon".to_owned(),
        Call::AlexosEvent { event, path, .. } => format!("event {} ({path:?})", event.seq.0),
        Call::AlexosReport { path, report } => format!("report {} ({path:?})", report.health.as_str()),
        Call::WebhookUrlReport { .. } => "report to webhook_url".to_owned(),
        Call::AiwmConnect => "connect".to_owned(),
        Call::AiwmHeartbeat { status, .. } => format!("beat {status:?}"),
        Call::AiwmDisconnect { reason, .. } => format!("disconnect ({reason})"),
        Call::Hook { event, .. } => format!("event {}", event.seq.0),
    }
}

fn describe_writes(writes: &[Write]) -> String {
    let words = writes.iter().map(|write| match write {
        Write::Event(event) => format!("event {} {} ({})", event.seq.0, event.kind, event.message),
        Write::Inbox { seq, .. } => format!("inbox {}", seq.0),
        Write::Cursor { destination, seq } => format!("cursor {} {}", destination.key(), seq.0),
        Write::CursorGone(destination) => format!("cursor {} gone", destination.key()),
        Write::Message { session, number, message } => {
            format!("message {number} of {session} ({})", message.role.as_str())
        }
        Write::Session { session, record } => {
            let turn =
                record.turn.as_ref().map(|turn| (turn.questions, turn.calling, turn.next_call, turn.call));
            format!("session {session} {}..{} {turn:?}", record.first, record.next)
        }
        Write::MessagesGone { .. } | Write::SessionGone(_) => format!("{write:?}"),
        Write::Fact(key, value) => format!("fact {} ({} bytes)", key.as_str(), value.len()),
    });
    words.collect::<Vec<_>>().join(", ")
}
