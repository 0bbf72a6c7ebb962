//! Questions, conversations, tools and people: an input goes in, exactly these effects come out.

use super::*;
use crate::agent::brain::setup::{BrainSetup, BudgetSetup, Permission, ProviderSetup, ToolsSetup};
use crate::agent::brain::speech::{
    AskAnswer, Caller, Message, Prompt, Question, Refusal, Reply, Role, RunId, Saying, SessionPrompt,
    ThoughtEnd, ThoughtFault, ThoughtId, ThoughtNews, ToolCall, ToolResult, TurnAnswer, TurnEnd,
};
use crate::agent::brain::status::ProviderState;
use crate::agent::effect::{BeatStatus, DecisionAnswer};
use crate::agent::ids::EventId;
use crate::agent::memory::SessionMemory;

fn thinking() -> Setup {
    let provider = |name: &str| ProviderSetup {
        name: name.to_owned(),
        model: "m".to_owned(),
        ..ProviderSetup::default()
    };
    let tools = ToolsSetup {
        allowed: vec!["read-file".to_owned(), "run-command".to_owned()],
        mode: Permission::Allow,
        approval_time_ms: 60_000,
        ..ToolsSetup::default()
    };
    let brain = BrainSetup {
        providers: vec![provider("a"), provider("b")],
        history_messages: 50,
        history_tokens: 4_000,
        turn_questions_max: 5,
        turn_tokens_max: 10_000,
        tools,
        ..BrainSetup::default()
    };
    Setup { brain, ..alone() }
}

fn asking() -> Setup {
    let mut setup = thinking();
    setup.brain.tools.mode = Permission::Ask;
    setup
}

fn ask(request: u64) -> Input {
    let question = Question { caller: Caller::Token, model: String::new(), tokens: 10 };
    Input::Ask { request: RequestId(request), question }
}

fn saying(may_wait: bool) -> Saying {
    Saying {
        caller: Caller::Token,
        by: String::new(),
        session: "talk".to_owned(),
        text: "hello".to_owned(),
        model: String::new(),
        provider: String::new(),
        instruction: String::new(),
        may_wait,
    }
}

fn say(request: u64) -> Input {
    Input::Say { request: RequestId(request), saying: Box::new(saying(false)) }
}

fn ended(thought: u64, end: ThoughtEnd) -> Input {
    Input::Thought { thought: ThoughtId(thought), news: ThoughtNews::Ended(end) }
}

fn reply(text: &str, calls: &[&str]) -> Reply {
    let call = |(n, name): (usize, &&str)| ToolCall {
        id: format!("c{n}"),
        name: (*name).to_owned(),
        arguments: "{}".to_owned(),
        subject: "x".to_owned(),
    };
    let calls = calls.iter().enumerate().map(call).collect();
    Reply { text: text.to_owned(), calls, tokens_in: 7, tokens_out: 3, model: "m1".to_owned() }
}

fn answered(thought: u64, text: &str, calls: &[&str]) -> Input {
    ended(thought, ThoughtEnd::Answered(reply(text, calls)))
}

fn failed(thought: u64) -> Input {
    let fault = ThoughtFault::Retry { fault: Fault::Status(503), after_ms: None };
    ended(thought, ThoughtEnd::Failed(fault))
}

fn refused(thought: u64) -> Input {
    let fault = ThoughtFault::Provider { status: 401, why: "no key".to_owned() };
    ended(thought, ThoughtEnd::Failed(fault))
}

fn done(run: u64) -> Input {
    let result = ToolResult { is_ok: true, text: "out".to_owned(), exit_code: Some(0) };
    Input::ToolDone { run: RunId(run), result }
}

fn thought_of(effects: &[Effect]) -> Option<(u64, &str)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Think { thought, provider, .. } => Some((thought.0, provider.as_str())),
        _ => None,
    })
}

fn prompt_of(effects: &[Effect]) -> &SessionPrompt {
    let prompt = effects.iter().find_map(|effect| match effect {
        Effect::Think { prompt: Prompt::Session(prompt), .. } => Some(prompt),
        _ => None,
    });
    prompt.expect("a conversation is sent")
}

fn answers(effects: &[Effect]) -> Vec<(u64, &AskAnswer)> {
    let answer = |effect| match effect {
        &Effect::AskDone { request, ref answer } => Some((request.0, answer)),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

fn runs(effects: &[Effect]) -> Vec<(u64, &str)> {
    let run = |effect| match effect {
        &Effect::RunTool { run, ref call, .. } => Some((run.0, call.name.as_str())),
        _ => None,
    };
    effects.iter().filter_map(run).collect()
}

fn writes(effects: &[Effect]) -> Vec<&Write> {
    let mut all = Vec::new();
    for effect in effects {
        if let Effect::Commit { writes, .. } = effect {
            all.extend(writes.iter());
        }
    }
    all
}

fn kinds(effects: &[Effect]) -> Vec<&str> {
    let mut all = Vec::new();
    for write in writes(effects) {
        if let Write::Event(event) = write {
            all.push(event.kind.as_str());
        }
    }
    all
}

fn turn_end(effects: &[Effect]) -> Option<&TurnAnswer> {
    answers(effects).into_iter().find_map(|(_, answer)| match answer {
        AskAnswer::Turn(turn) => Some(turn.as_ref()),
        _ => None,
    })
}

/// Messages and conversations as the writes leave them.
#[derive(Default)]
struct Kept {
    sessions: Vec<SessionMemory>,
    messages: Vec<(u32, Message)>,
}

impl Kept {
    fn take(&mut self, effects: &[Effect]) {
        for write in writes(effects) {
            match write {
                Write::Session { session, record } => {
                    let record = record.as_ref().clone();
                    let calling = record.turn.as_ref().map_or(0, |turn| turn.calling);
                    let calling = self.messages.iter().find(|(number, _)| *number == calling);
                    let calling = calling.map(|(_, message)| message.clone());
                    let name = session.clone();
                    self.sessions = vec![SessionMemory { name, record, calling, sizes: Vec::new() }];
                }
                Write::Message { number, message, .. } => {
                    self.messages.push((*number, message.as_ref().clone()))
                }
                _ => {}
            }
        }
    }

    fn memory(self) -> Memory {
        Memory { sessions: self.sessions, last: Seq(500), ..memory() }
    }
}

fn started(setup: Setup) -> Driver {
    let mut driver = Driver::new(setup, memory());
    driver.advance(5_000);
    driver
}

/// A turn whose model calls these tools; what was seen since the answer.
fn calling(setup: Setup, tools: &[&str]) -> (Driver, Vec<Effect>) {
    let mut driver = started(setup);
    driver.settle(say(1));
    let effects = driver.settle(answered(1, "let me see", tools));
    (driver, effects)
}

fn approval_of(driver: &Driver) -> EventId {
    let status = driver.agent.status(now(driver.at));
    assert_eq!(status.brain.approvals.len(), 1);
    status.brain.approvals[0].id
}

fn decide(request: u64, approval: EventId, is_yes: bool) -> Input {
    Input::Decide { request: RequestId(request), approval, is_yes, by: "me".to_owned() }
}

#[test]
fn a_question_passes_through_and_is_written_into_the_log() {
    let mut driver = started(thinking());
    let effects = driver.feed(ask(1));
    let prompt = Prompt::Caller(RequestId(1));
    let (provider, model) = ("a".to_owned(), "m".to_owned());
    assert_eq!(effects, [Effect::Think { thought: ThoughtId(1), prompt, provider, model }]);
    let began = Input::Thought { thought: ThoughtId(1), news: ThoughtNews::Began };
    assert_eq!(driver.feed(began), []);
    let effects = driver.feed(answered(1, "", &[]));
    assert_eq!(effects, [Effect::AskDone { request: RequestId(1), answer: AskAnswer::Passed }]);
    let effects = driver.advance(100);
    assert_eq!(kinds(&effects), ["model_called"]);
    driver.feed(answered(1, "", &[]));
    assert_eq!(driver.agent.status(now(driver.at)).counters.answers_dropped, 1);
}

#[test]
fn the_next_provider_is_asked_when_the_first_fails_and_nobody_when_all_do() {
    let mut driver = started(thinking());
    driver.feed(ask(1));
    assert_eq!(thought_of(&driver.feed(refused(1))), Some((2, "b")), "at once");
    assert_eq!(driver.feed(failed(2)), [], "it is tried again after a while");
    let effects = driver.advance(1_500);
    assert_eq!(thought_of(&effects), Some((3, "b")));
    driver.feed(failed(3));
    let effects = driver.advance(2_500);
    assert_eq!(thought_of(&effects), Some((4, "b")));
    let effects = driver.feed(failed(4));
    let [(1, AskAnswer::Refused(Refusal::AllDown { why, retry_after_s }))] = answers(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(why, &["a: status 401: no key".to_owned(), "b: status 503".to_owned()]);
    assert!((1..=6).contains(retry_after_s), "{retry_after_s}");
    let effects = driver.feed(ask(2));
    assert!(matches!(answers(&effects)[..], [(2, AskAnswer::Refused(Refusal::AllDown { .. }))]), "at once");
    assert_eq!(driver.agent.status(now(driver.at)).brain.word(), "unhealthy");
    let effects = driver.advance(100);
    assert_eq!(
        kinds(&effects),
        ["provider_down", "model_called"],
        "one line for each question that was asked"
    );
    driver.advance(6_000);
    assert_eq!(thought_of(&driver.feed(ask(3))), Some((5, "b")), "the probe");
    assert_eq!(driver.agent.status(now(driver.at)).brain.providers[1].state, ProviderState::Probing);
    driver.feed(answered(5, "", &[]));
    assert_eq!(driver.agent.status(now(driver.at)).brain.word(), "degraded");
    let effects = driver.advance(100);
    assert_eq!(kinds(&effects), ["provider_up", "model_called"]);
}

#[test]
fn a_bad_question_is_nobody_elses() {
    let mut driver = started(thinking());
    driver.feed(ask(1));
    let fault = ThoughtFault::Question { status: 400, why: "bad".to_owned() };
    let effects = driver.feed(ended(1, ThoughtEnd::Failed(fault)));
    let answer = AskAnswer::Refused(Refusal::Question { status: 400, why: "bad".to_owned() });
    assert_eq!(answers(&effects), [(1, &answer)]);
    assert_eq!(driver.agent.status(now(driver.at)).brain.word(), "healthy");
}

#[test]
fn an_answer_that_broke_off_is_nobody_elses() {
    let mut driver = started(thinking());
    driver.feed(ask(1));
    driver.feed(Input::Thought { thought: ThoughtId(1), news: ThoughtNews::Began });
    let effects = driver.feed(ended(1, ThoughtEnd::Broke(reply("par", &[]), Fault::Reset)));
    assert_eq!(answers(&effects), [(1, &AskAnswer::Broke(Fault::Reset))]);
}

#[test]
fn a_caller_that_leaves_takes_its_question_along() {
    let mut driver = started(thinking());
    driver.feed(ask(1));
    let effects = driver.feed(Input::CallerLeft { request: RequestId(1) });
    assert_eq!(effects, [Effect::ThinkStop { thought: ThoughtId(1) }]);
    assert_eq!(answers(&driver.feed(ended(1, ThoughtEnd::Left(Reply::default())))), []);
    driver.feed(ask(2));
    driver.feed(failed(2));
    assert_eq!(driver.feed(Input::CallerLeft { request: RequestId(2) }), []);
    assert_eq!(thought_of(&driver.advance(10_000)), None, "nobody waits for another try");
}

#[test]
fn more_questions_than_may_be_are_turned_away() {
    let mut driver = started(thinking());
    for request in 1..=limits::THOUGHTS_MAX as u64 {
        assert!(thought_of(&driver.feed(ask(request))).is_some());
    }
    let effects = driver.feed(ask(99));
    assert!(matches!(answers(&effects)[..], [(99, AskAnswer::Refused(Refusal::Busy { .. }))]), "{effects:?}");
    driver.feed(answered(1, "", &[]));
    assert!(thought_of(&driver.feed(ask(100))).is_some());
}

#[test]
fn a_budget_is_kept_and_goes_into_the_ledger_only_with_other_writes() {
    let mut setup = thinking();
    setup.brain.budget = BudgetSetup { requests_per_hour: 1, ..BudgetSetup::default() };
    let mut driver = started(setup.clone());
    driver.feed(ask(1));
    driver.feed(answered(1, "", &[]));
    let effects = driver.feed(ask(2));
    let [(2, AskAnswer::Refused(Refusal::Budget { which, retry_after_s }))] = answers(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*which, "requests_per_hour");
    assert!((3_590..=3_900).contains(retry_after_s), "{retry_after_s}");
    let effects = driver.advance(100);
    let [_, Write::Fact(FactKey::BrainUsage, text)] = writes(&effects)[..] else { panic!("{effects:?}") };
    let facts = vec![(FactKey::BrainUsage, text.clone())];
    assert_eq!(writes(&driver.advance(600_000)), [] as [&Write; 0], "nothing by itself");
    let mut driver = Driver::new(setup, Memory { facts, ..memory() });
    driver.advance(5_000);
    let effects = driver.feed(ask(3));
    assert!(matches!(answers(&effects)[..], [(3, AskAnswer::Refused(Refusal::Budget { .. }))]));
}

#[test]
fn what_is_said_is_durable_before_it_is_asked_and_the_answer_before_it_is_told() {
    let mut driver = started(thinking());
    let effects = driver.feed(say(1));
    let [Effect::Commit { ticket, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(kinds(&effects), ["goal_received"]);
    assert!(writes(&effects).iter().any(|write| matches!(write, Write::Message { number: 1, .. })));
    let effects = driver.feed(Input::Committed { ticket: *ticket, oldest: Seq(1) });
    assert_eq!(thought_of(&effects), Some((1, "a")));
    assert_eq!((prompt_of(&effects).from, prompt_of(&effects).upto), (1, 1));
    assert_eq!(prompt_of(&effects).tools.len(), 2);
    let effects = driver.feed(answered(1, "hi", &[]));
    let [Effect::Commit { ticket, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(kinds(&effects), ["model_called", "llm_response", "goal_completed"]);
    let effects = driver.feed(Input::Committed { ticket: *ticket, oldest: Seq(1) });
    let turn = turn_end(&effects).expect("it is over");
    assert_eq!(
        (turn.text.as_str(), turn.end, turn.tokens, turn.model.as_str()),
        ("hi", TurnEnd::Done, 10, "m1")
    );
    let effects = driver.settle(say(2));
    assert_eq!(prompt_of(&effects).upto, 3, "the conversation goes on");
}

#[test]
fn a_conversation_has_one_turn_at_a_time() {
    let mut driver = started(thinking());
    driver.settle(say(1));
    let effects = driver.feed(say(2));
    let busy = AskAnswer::Refused(Refusal::Busy { what: "conversation", retry_after_s: 2 });
    assert_eq!(answers(&effects), [(2, &busy)]);
}

#[test]
fn a_tool_runs_only_when_its_begin_is_durable_and_its_result_goes_to_the_model() {
    let mut driver = started(thinking());
    driver.settle(say(1));
    let effects = driver.feed(answered(1, "let me see", &["read-file", "read-file"]));
    assert_eq!(kinds(&effects), ["model_called", "thought", "plan_ready"]);
    let mut ticket = 0;
    let mut committed = |driver: &mut Driver, effects: &[Effect]| {
        ticket = effects.iter().rev().find_map(commit_of).unwrap_or(ticket);
        driver.feed(Input::Committed { ticket: Ticket(ticket), oldest: Seq(1) })
    };
    let effects = committed(&mut driver, &effects);
    assert_eq!(kinds(&effects), ["tool_started"]);
    assert_eq!(runs(&effects), []);
    let effects = committed(&mut driver, &effects);
    assert_eq!(runs(&effects), [(1, "read-file")]);
    let effects = driver.feed(done(1));
    assert_eq!(kinds(&effects), ["tool_ended", "tool_started"], "in one commit");
    let effects = committed(&mut driver, &effects);
    assert_eq!(runs(&effects), [(2, "read-file")]);
    let effects = driver.feed(done(2));
    let effects = committed(&mut driver, &effects);
    assert_eq!(prompt_of(&effects).upto, 4, "what was said, the calls, two results");
    let effects = driver.settle(answered(2, "both", &[]));
    assert_eq!(turn_end(&effects).map(|turn| (turn.end, turn.tokens)), Some((TurnEnd::Done, 20)));
}

fn commit_of(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Commit { ticket, .. } => Some(ticket.0),
        _ => None,
    }
}

#[test]
fn what_is_not_allowed_is_told_to_the_model_and_not_run() {
    let (_, effects) = calling(thinking(), &["write-file", "made-up"]);
    assert_eq!(runs(&effects), []);
    assert_eq!(thought_of(&effects), Some((2, "a")), "the model is told");
    let results: Vec<&str> = writes(&effects)
        .into_iter()
        .filter_map(|write| match write {
            Write::Message { message, .. } if message.role == Role::Tool => Some(message.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|text| text.contains("not allowed")), "{results:?}");
}

#[test]
fn a_person_says_yes_and_it_runs_once() {
    let (mut driver, effects) = calling(asking(), &["read-file"]);
    assert!(kinds(&effects).contains(&"approval_requested"));
    assert_eq!(runs(&effects), []);
    let approval = approval_of(&driver);
    let effects = driver.settle(decide(7, approval, true));
    assert_eq!(kinds(&effects), ["approval_decided", "tool_started"]);
    assert_eq!(runs(&effects), [(1, "read-file")]);
    let told = Effect::Decided { request: RequestId(7), answer: DecisionAnswer::Done };
    assert!(effects.contains(&told));
    let effects = driver.settle(decide(8, approval, true));
    assert_eq!(effects, [Effect::Decided { request: RequestId(8), answer: DecisionAnswer::Unknown }]);
}

#[test]
fn a_no_and_no_answer_in_time_are_told_to_the_model() {
    let (mut driver, _) = calling(asking(), &["read-file"]);
    let approval = approval_of(&driver);
    let effects = driver.settle(decide(7, approval, false));
    assert_eq!((runs(&effects), thought_of(&effects)), (vec![], Some((2, "a"))));
    let (mut driver, _) = calling(asking(), &["read-file"]);
    assert_eq!(thought_of(&driver.advance(59_000)), None);
    let effects = driver.advance(2_000);
    assert!(kinds(&effects).contains(&"approval_decided"));
    assert_eq!((runs(&effects), thought_of(&effects)), (vec![], Some((2, "a"))));
}

#[test]
fn a_tool_that_a_restart_interrupted_is_not_run_again() {
    let mut driver = started(thinking());
    let mut kept = Kept::default();
    kept.take(&driver.settle(say(1)));
    let effects = driver.settle(answered(1, "", &["read-file", "read-file"]));
    assert_eq!(runs(&effects).len(), 1);
    kept.take(&effects);
    let mut driver = Driver::new(thinking(), kept.memory());
    let effects = driver.settle(Input::Tick);
    assert_eq!(runs(&effects), [(1, "read-file")], "the second call, which nobody began");
    let texts: Vec<&str> = writes(&effects)
        .into_iter()
        .filter_map(|write| match write {
            Write::Message { message, .. } => Some(message.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["interrupted by a restart: nobody knows what came of it"]);
    let effects = driver.settle(done(1));
    assert_eq!(thought_of(&effects), Some((1, "a")), "the turn goes on");
    let effects = driver.settle(answered(1, "done", &[]));
    assert_eq!(answers(&effects), [], "nobody waits for it");
    assert!(kinds(&effects).contains(&"goal_completed"));
}

#[test]
fn a_person_who_is_asked_may_answer_after_a_restart() {
    let mut driver = started(asking());
    let mut kept = Kept::default();
    kept.take(&driver.settle(say(1)));
    kept.take(&driver.settle(answered(1, "", &["read-file"])));
    let approval = approval_of(&driver);
    let mut driver = Driver::new(asking(), kept.memory());
    driver.settle(Input::Tick);
    assert_eq!(approval_of(&driver), approval);
    assert_eq!(runs(&driver.settle(decide(7, approval, true))), [(1, "read-file")]);
}

#[test]
fn what_may_wait_is_answered_when_a_provider_is_back_even_after_a_restart() {
    let mut driver = started(thinking());
    let mut kept = Kept::default();
    let saying = Input::Say { request: RequestId(1), saying: Box::new(saying(true)) };
    let mut effects = driver.settle(saying);
    effects.extend(driver.settle(refused(1)));
    effects.extend(driver.settle(refused(2)));
    assert_eq!(answers(&effects), [(1, &AskAnswer::Waits)]);
    effects.extend(driver.advance(100));
    assert!(kinds(&effects).contains(&"question_queued"));
    kept.take(&effects);
    assert_eq!(driver.agent.status(now(driver.at)).brain.sessions[0].state, "waits_for_provider");
    let effects = driver.advance(15 * 60_000);
    assert!(thought_of(&effects).is_some(), "the pause is over");
    let mut driver = Driver::new(thinking(), kept.memory());
    assert_eq!(thought_of(&driver.settle(Input::Tick)), Some((1, "a")));
    let effects = driver.settle(answered(1, "late", &[]));
    assert!(kinds(&effects).contains(&"llm_response"));
}

#[test]
fn what_may_not_wait_is_refused_at_once() {
    let mut driver = started(thinking());
    driver.settle(say(1));
    driver.settle(refused(1));
    let effects = driver.settle(refused(2));
    assert!(matches!(answers(&effects)[..], [(1, AskAnswer::Refused(Refusal::AllDown { .. }))]));
    assert!(kinds(&effects).contains(&"turn_failed"));
    assert_eq!(driver.agent.status(now(driver.at)).brain.sessions[0].state, "idle");
}

#[test]
fn a_stopped_turn_keeps_what_came_and_ends() {
    let mut driver = started(thinking());
    driver.settle(say(1));
    let stop = || Input::StopTurn { session: "talk".to_owned() };
    assert_eq!(driver.feed(stop()), [Effect::ThinkStop { thought: ThoughtId(1) }]);
    let effects = driver.settle(ended(1, ThoughtEnd::Left(reply("so f", &[]))));
    assert_eq!(
        turn_end(&effects).map(|turn| (turn.end, turn.text.as_str())),
        Some((TurnEnd::Stopped, "so f"))
    );
    driver.settle(say(2));
    driver.settle(answered(2, "", &["read-file", "read-file"]));
    let effects = driver.settle(stop());
    assert_eq!(effects, [Effect::StopTool { run: RunId(1) }]);
    let effects = driver.settle(done(1));
    assert_eq!(runs(&effects), [], "not the second");
    assert_eq!(turn_end(&effects).map(|turn| turn.end), Some(TurnEnd::Stopped));
}

#[test]
fn a_caller_of_a_turn_that_leaves_stops_it_and_is_told_nothing() {
    let mut driver = started(thinking());
    driver.settle(say(1));
    let effects = driver.settle(Input::CallerLeft { request: RequestId(1) });
    assert_eq!(effects, [Effect::ThinkStop { thought: ThoughtId(1) }]);
    let effects = driver.settle(ended(1, ThoughtEnd::Left(Reply::default())));
    assert_eq!(answers(&effects), []);
    assert_eq!(driver.agent.status(now(driver.at)).brain.sessions[0].state, "idle");
}

#[test]
fn a_turn_that_calls_without_end_is_ended() {
    let mut driver = started(thinking());
    let mut effects = driver.settle(say(1));
    for n in 1..=5 {
        assert_eq!(thought_of(&effects), Some((n, "a")));
        driver.settle(answered(n, "more", &["read-file"]));
        effects = driver.settle(done(n));
    }
    assert_eq!(turn_end(&effects).map(|turn| turn.end), Some(TurnEnd::QuestionLimit));
    let mut setup = thinking();
    setup.brain.turn_tokens_max = 15;
    let mut driver = started(setup);
    driver.settle(say(1));
    driver.settle(answered(1, "", &["read-file"]));
    driver.settle(done(1));
    driver.settle(answered(2, "", &["read-file"]));
    let effects = driver.settle(done(2));
    assert_eq!(turn_end(&effects).map(|turn| turn.end), Some(TurnEnd::TokenLimit));
}

#[test]
fn a_conversation_is_forgotten_durably_with_its_turn() {
    let mut driver = started(thinking());
    let forget = |request| Input::Forget { request: RequestId(request), session: "talk".to_owned() };
    let unknown = Effect::Decided { request: RequestId(5), answer: DecisionAnswer::Unknown };
    assert_eq!(driver.feed(forget(5)), [unknown]);
    driver.settle(say(1));
    let effects = driver.settle(forget(6));
    assert!(effects.contains(&Effect::ThinkStop { thought: ThoughtId(1) }));
    assert_eq!(turn_end(&effects).map(|turn| turn.end), Some(TurnEnd::Stopped));
    assert!(writes(&effects).contains(&&Write::SessionGone("talk".to_owned())));
    let told = Effect::Decided { request: RequestId(6), answer: DecisionAnswer::Done };
    assert!(effects.contains(&told));
    assert_eq!(driver.agent.status(now(driver.at)).brain.sessions.len(), 0);
    assert_eq!(answers(&driver.settle(ended(1, ThoughtEnd::Left(Reply::default())))), []);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut driver = started(thinking());
    let effects = driver.feed(say(1));
    let ticket = Ticket(effects.iter().find_map(commit_of).expect("a commit"));
    let effects = driver.feed(Input::CommitFailed { ticket, fault: CommitFault::Full });
    let unwritable = AskAnswer::Refused(Refusal::Unwritable { retry_after_s: 10 });
    assert_eq!(answers(&effects), [(1, &unwritable)]);
    assert_eq!(answers(&driver.feed(say(2))), [(2, &unwritable)]);
    let effects = driver.advance(20_000);
    assert_eq!((thought_of(&effects), answers(&effects)), (None, vec![]), "told once, and not asked");
    assert!(thought_of(&driver.settle(say(3))).is_some(), "normal again");
}

#[test]
fn stopping_tells_callers_and_leaves_turns_for_the_next_start() {
    let mut driver = started(thinking());
    driver.settle(say(1));
    driver.feed(ask(2));
    let effects = driver.feed(Input::StopAsked(StopReason::Signal));
    let stopping = AskAnswer::Refused(Refusal::Stopping);
    let mut told = answers(&effects);
    told.sort_by_key(|(request, _)| *request);
    assert_eq!(told, [(1, &stopping), (2, &stopping)]);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::ThinkStop { .. })).count(), 2);
    assert_eq!(answers(&driver.feed(ask(3))), [(3, &stopping)]);
    let effects = driver.settle(ended(1, ThoughtEnd::Left(Reply::default())));
    let forgets = |write: &&&Write| matches!(write, Write::Session { record, .. } if record.turn.is_none());
    assert_eq!(writes(&effects).iter().filter(forgets).count(), 0, "its turn stays in the ledger");
}

#[test]
fn the_controllers_words_come_before_the_configs_and_a_busy_agent_says_so() {
    let mut setup = thinking();
    setup.aiwm = Some(aiwm());
    setup.brain.instruction = "ours".to_owned();
    let setting = |key: &str, value: &str| crate::agent::input::Setting {
        key: key.to_owned(),
        value: Secret(value.to_owned()),
        is_secret: false,
    };
    let answer = ControllerAnswer {
        instruction: "theirs".to_owned(),
        tools: Some(vec!["read-file".to_owned()]),
        settings: vec![setting("claude.max_turns", "1"), setting("claude.permission_mode", "default")],
        ..ControllerAnswer::default()
    };
    let mut driver = Driver::new(setup, Memory { controller: Some(answer), ..memory() });
    let (connect, _) = the_call(&driver.settle(Input::Tick));
    let effects = driver.settle(say(1));
    assert_eq!(prompt_of(&effects).instruction, "theirs");
    assert_eq!(prompt_of(&effects).tools, ["read-file"]);
    let reply = AiwmReply::Connected {
        token: Secret("t".to_owned()),
        expires_in_s: None,
        answer: Box::default(),
        fact: String::new(),
    };
    let effects = driver.settle(Input::CallDone { id: connect, outcome: Outcome::Aiwm(reply), date: None });
    let (_, call) = the_call(&effects);
    assert!(matches!(call, Call::AiwmHeartbeat { status: BeatStatus::Busy, .. }), "{call:?}");
}

#[test]
fn what_a_speaker_brings_along_comes_behind_the_instruction_and_replaces_nothing() {
    for (ours, theirs, sent) in [
        ("", "", ""),
        ("be brief", "", "be brief"),
        ("", "persona", "persona"),
        ("be brief", "persona", "be brief\n\npersona"),
    ] {
        let mut setup = thinking();
        setup.brain.instruction = ours.to_owned();
        let mut driver = started(setup);
        let saying = Saying { instruction: theirs.to_owned(), ..saying(false) };
        let effects = driver.settle(Input::Say { request: RequestId(1), saying: Box::new(saying) });
        assert_eq!(prompt_of(&effects).instruction, sent);
    }
}
