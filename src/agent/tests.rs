//! Step tables: an input goes in, exactly these effects come out.

use super::effect::{Call, Effect, EventsPath, IntakeAnswer};
use super::event::{Event, EventDraft, EventFilter, JsonText, Severity, Source};
use super::ids::{CallId, DedupeKey, Destination, LedgerId, RequestId, Seq, Ticket};
use super::input::{
    AiwmReply, CommitFault, ControllerAnswer, Fault, Generation, Input, Outcome, Sample, StopReason, Verdict,
};
use super::memory::{FactKey, Memory, Write};
use super::setup::{AiwmSetup, AlexosSetup, HookSetup, Identity, Secret, Setup};
use super::time::{Mono, Now, Wall};
use super::{Agent, limits};

mod brain;
mod bus;

const T0: i64 = 1_790_000_000_000;

/// Drives an agent as the shell does, and keeps what it asked for.
struct Driver {
    agent: Agent,
    at: u64,
}

fn now(at: u64) -> Now {
    Now { mono: Mono(at), system: Wall(T0 + i64::try_from(at).unwrap()), synced: true }
}

fn identity() -> Identity {
    Identity { name: "chainbot".to_owned(), version: "1".to_owned(), ..Identity::default() }
}

fn alexos() -> AlexosSetup {
    AlexosSetup {
        registry_url: "http://alex".to_owned(),
        health_interval_ms: 60_000,
        retry_interval_ms: 30_000,
        attempts_max: 10,
        request_timeout_ms: 10_000,
        ..AlexosSetup::default()
    }
}

fn aiwm() -> AiwmSetup {
    AiwmSetup {
        heartbeat_interval_ms: 60_000,
        reconnect_interval_ms: 82_800_000,
        retry_interval_ms: 300_000,
        ..AiwmSetup::default()
    }
}

fn hook(key: &str) -> HookSetup {
    HookSetup { key: key.to_owned(), ..HookSetup::default() }
}

fn alone() -> Setup {
    Setup { identity: identity(), events_max: 100, ..Setup::default() }
}

fn with_alexos() -> Setup {
    Setup { alexos: Some(alexos()), ..alone() }
}

fn with_aiwm() -> Setup {
    Setup { aiwm: Some(aiwm()), ..alone() }
}

fn memory() -> Memory {
    Memory { ledger: LedgerId(7), oldest: Seq(1), ..Memory::default() }
}

fn draft(kind: &str) -> EventDraft {
    EventDraft {
        kind: kind.to_owned(),
        source: Source::Chainbot,
        severity: Severity::Info,
        message: String::new(),
        metadata: JsonText::empty_object(),
    }
}

fn event(seq: u64, kind: &str) -> Box<Event> {
    let EventDraft { kind, source, severity, message, metadata } = draft(kind);
    Box::new(Event { seq: Seq(seq), at: Wall(T0), kind, source, severity, message, metadata })
}

fn delivered(id: CallId, verdict: Verdict) -> Input {
    Input::CallDone { id, outcome: Outcome::Delivered(verdict), date: None }
}

fn retry(fault: Fault) -> Verdict {
    Verdict::Retry { fault, after_ms: None }
}

impl Driver {
    fn new(setup: Setup, memory: Memory) -> Self {
        Self { agent: Agent::new(setup, memory, 1, now(0)), at: 0 }
    }

    fn feed(&mut self, input: Input) -> Vec<Effect> {
        self.agent.handle(now(self.at), input);
        let effects: Vec<Effect> = std::iter::from_fn(|| self.agent.poll_effect()).collect();
        if let Some(deadline) = self.agent.poll_timeout() {
            assert!(deadline.at > Mono(self.at), "{deadline:?} at {}", self.at);
        }
        effects
    }

    /// Feeds, and makes every commit durable and every sample empty.
    fn settle(&mut self, input: Input) -> Vec<Effect> {
        let mut seen = Vec::new();
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.feed(input) {
                match &effect {
                    Effect::Commit { ticket, .. } => {
                        inputs.push_back(Input::Committed { ticket: *ticket, oldest: Seq(1) });
                    }
                    Effect::Sample => inputs.push_back(Input::Sampled(Box::default())),
                    _ => {}
                }
                seen.push(effect);
            }
        }
        seen
    }

    fn advance(&mut self, ms: u64) -> Vec<Effect> {
        let end = self.at + ms;
        let mut seen = Vec::new();
        while let Some(deadline) = self.agent.poll_timeout().filter(|deadline| deadline.at.0 <= end) {
            self.at = deadline.at.0;
            seen.extend(self.settle(Input::Tick));
        }
        self.at = end;
        seen
    }

    fn post(&mut self, request: u64, key: Option<u8>) -> Vec<Effect> {
        self.feed(Input::Webhook {
            request: RequestId(request),
            draft: draft("door"),
            dedupe: key.map(|byte| DedupeKey([byte; 16])),
            known: None,
        })
    }

    /// Starts with ALEX OS that took the registration and has no canon.
    fn registered(setup: Setup) -> Self {
        let mut driver = Self::new(setup, memory());
        let effects = driver.settle(Input::Tick);
        let register = the_call(&effects).0;
        let outcome = Outcome::Registered(Verdict::Accepted, Some("id".to_owned()));
        let effects = driver.settle(Input::CallDone { id: register, outcome, date: None });
        let (canon, call) = the_call(&effects);
        assert_eq!(call, &Call::AlexosCanon);
        let outcome = Outcome::Canon(Verdict::NotOffered { status: 404 }, Vec::new());
        let effects = driver.feed(Input::CallDone { id: canon, outcome, date: None });
        driver.pump(effects);
        let effects = driver.advance(100);
        driver.pump(effects);
        driver
    }

    /// Goes on until something is called.
    fn until_call(&mut self) -> Vec<Effect> {
        let mut seen = Vec::new();
        for _ in 0..200 {
            seen.extend(self.advance(1_000));
            if seen.iter().any(|effect| matches!(effect, Effect::Call { .. })) {
                return seen;
            }
        }
        panic!("nothing is called: {seen:?}");
    }

    /// Answers fetches from a log in which every event passes, and takes every delivery, until nothing is left to send.
    fn pump(&mut self, effects: Vec<Effect>) {
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let input = match effect {
                Effect::Fetch { destination, after, .. } => {
                    let seq = after.next();
                    let event = Some(event(seq.0, "x"));
                    Input::Fetched { destination, event, upto: seq, oldest: Seq(0), failed: false }
                }
                Effect::Call { id, .. } => delivered(id, Verdict::Accepted),
                Effect::Commit { ticket, .. } => Input::Committed { ticket, oldest: Seq(1) },
                _ => continue,
            };
            effects.extend(self.feed(input));
        }
    }
}

fn the_call(effects: &[Effect]) -> (CallId, &Call) {
    let calls: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Call { id, call, .. } => Some((*id, call)),
            _ => None,
        })
        .collect();
    assert_eq!(calls.len(), 1, "one call: {effects:?}");
    calls[0]
}

fn written(effects: &[Effect]) -> Vec<&Write> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit { writes, .. } => Some(writes.iter()),
            _ => None,
        })
        .flatten()
        .collect()
}

fn recorded(effects: &[Effect]) -> Vec<&str> {
    written(effects)
        .into_iter()
        .filter_map(|write| match write {
            Write::Event(event) => Some(event.kind.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_start_is_an_event_and_nothing_else_happens_alone() {
    let mut driver = Driver::new(alone(), memory());
    assert_eq!(driver.feed(Input::Tick), []);
    let effects = driver.advance(100);
    assert_eq!(recorded(&effects), ["chainbot_started"]);
    let later = driver.advance(24 * 60 * 60 * 1_000);
    assert_eq!(written(&later), Vec::<&Write>::new(), "an idle day writes nothing");
}

#[test]
fn a_webhook_is_answered_when_it_is_durable_and_not_before() {
    let mut driver = Driver::new(alone(), memory());
    driver.advance(100);
    let effects = driver.post(1, Some(9));
    let [Effect::Commit { ticket, writes }] = effects.as_slice() else {
        panic!("only a commit: {effects:?}")
    };
    assert_eq!(writes.len(), 2, "the event and its id");
    let id = driver.agent.event_id(Seq(2));
    assert_eq!(
        driver.feed(Input::Committed { ticket: *ticket, oldest: Seq(1) }),
        [
            Effect::Respond { request: RequestId(1), answer: IntakeAnswer::Stored { id, duplicate: false } },
            Effect::Published { last: Seq(2) },
        ]
    );
}

#[test]
fn an_id_that_the_ledger_knows_makes_no_second_event() {
    let mut driver = Driver::new(alone(), memory());
    driver.advance(100);
    let input = Input::Webhook {
        request: RequestId(5),
        draft: draft("door"),
        dedupe: Some(DedupeKey([1; 16])),
        known: Some(Seq(1)),
    };
    let id = driver.agent.event_id(Seq(1));
    let answer = IntakeAnswer::Stored { id, duplicate: true };
    assert_eq!(driver.feed(input), [Effect::Respond { request: RequestId(5), answer }]);
}

#[test]
fn a_full_disk_turns_webhooks_away_until_the_same_writes_are_in() {
    let mut driver = Driver::new(alone(), memory());
    driver.advance(100);
    driver.post(1, None);
    let effects = driver.feed(Input::CommitFailed { ticket: Ticket(2), fault: CommitFault::Full });
    let full = |request| Effect::Respond {
        request: RequestId(request),
        answer: IntakeAnswer::Full { retry_after_s: 10 },
    };
    assert_eq!(effects, [full(1)]);
    assert_eq!(driver.post(2, None), [full(2)]);
    let effects = driver.advance(3_000);
    assert_eq!(recorded(&effects), ["door", "requires_attention"]);
    assert!(matches!(driver.post(3, None).as_slice(), [Effect::Commit { .. }]), "normal again");
}

#[test]
fn ticks_that_come_early_or_twice_do_nothing() {
    let mut driver = Driver::registered(with_alexos());
    for _ in 0..5 {
        assert_eq!(driver.feed(Input::Tick), []);
    }
}

#[test]
fn answers_that_nobody_waits_for_are_counted_and_dropped() {
    let mut driver = Driver::new(alone(), memory());
    driver.advance(100);
    for input in [
        delivered(CallId(99), Verdict::Accepted),
        Input::Committed { ticket: Ticket(99), oldest: Seq(1) },
        Input::CommitFailed { ticket: Ticket(99), fault: CommitFault::Io },
        Input::Fetched {
            destination: Destination::Alexos,
            event: None,
            upto: Seq(9),
            oldest: Seq(0),
            failed: false,
        },
    ] {
        assert_eq!(driver.feed(input), []);
    }
    assert_eq!(driver.agent.status(now(100)).counters.answers_dropped, 4);
}

#[test]
fn an_answer_of_the_wrong_kind_is_a_call_that_failed() {
    let mut driver = Driver::new(with_alexos(), memory());
    let effects = driver.settle(Input::Tick);
    let (id, _) = the_call(&effects);
    driver.settle(delivered(id, Verdict::Accepted));
    let status = driver.agent.status(now(0)).alexos.expect("configured");
    assert_eq!((status.registration, status.attempts), ("retrying", 1));
}

#[test]
fn alexos_has_one_call_at_a_time() {
    let mut driver = Driver::registered(with_alexos());
    driver.settle(Input::Webhook { request: RequestId(1), draft: draft("a"), dedupe: None, known: None });
    let later = driver.advance(600_000);
    let calls = later.iter().filter(|effect| matches!(effect, Effect::Call { .. })).count();
    let reads = later.iter().filter(|effect| matches!(effect, Effect::Fetch { .. })).count();
    assert_eq!((calls, reads), (0, 0), "the read for the first event was never answered");
}

#[test]
fn what_was_dropped_before_a_read_is_counted_once() {
    let mut driver = Driver::registered(with_alexos());
    let effects =
        driver.settle(Input::Webhook { request: RequestId(1), draft: draft("a"), dedupe: None, known: None });
    let fetch = effects.iter().find_map(|effect| match effect {
        Effect::Fetch { after, .. } => Some(*after),
        _ => None,
    });
    let after = fetch.expect("the event is read");
    let oldest = Seq(after.0 + 8);
    let effects = driver.feed(Input::Fetched {
        destination: Destination::Alexos,
        event: Some(event(oldest.0, "a")),
        upto: oldest,
        oldest,
        failed: false,
    });
    let (id, _) = the_call(&effects);
    assert_eq!(driver.agent.counters.deliveries_lost, 7);
    driver.settle(delivered(id, Verdict::Accepted));
    driver.agent.skip_dropped();
    assert_eq!(driver.agent.counters.deliveries_lost, 7);
}

#[test]
fn an_event_goes_by_the_documented_path_and_then_by_the_public_one() {
    let mut driver = Driver::registered(with_alexos());
    let alexos = driver.agent.alexos.as_mut().expect("configured");
    alexos.path.reset();
    alexos.has_doubted = true;
    let effects =
        driver.settle(Input::Webhook { request: RequestId(1), draft: draft("a"), dedupe: None, known: None });
    let fetch = effects.iter().find_map(|effect| match effect {
        Effect::Fetch { after, .. } => Some(after.next()),
        _ => None,
    });
    let seq = fetch.expect("the event is read");
    let fetched = || Input::Fetched {
        destination: Destination::Alexos,
        event: Some(event(seq.0, "a")),
        upto: seq,
        oldest: Seq(0),
        failed: false,
    };
    let effects = driver.feed(fetched());
    let (id, Call::AlexosEvent { path, .. }) = the_call(&effects) else { panic!("an event: {effects:?}") };
    assert_eq!(*path, EventsPath::Documented);
    let effects = driver.feed(delivered(id, Verdict::NotOffered { status: 405 }));
    assert!(matches!(effects.as_slice(), [Effect::Fetch { .. }]), "{effects:?}");
    let effects = driver.feed(fetched());
    let (_, Call::AlexosEvent { path, .. }) = the_call(&effects) else { panic!("an event: {effects:?}") };
    assert_eq!(*path, EventsPath::Public);
}

#[test]
fn a_registration_whose_path_was_never_there_is_asked_about_once() {
    let mut driver = Driver::registered(with_alexos());
    let alexos = driver.agent.alexos.as_mut().expect("configured");
    alexos.path.reset();
    let mut is_asked = || {
        driver.agent.note_alexos(EventsPath::Documented, &Verdict::NotOffered { status: 404 });
        let registration = &mut driver.agent.alexos.as_mut().expect("configured").registration;
        let is_asked = !registration.is_registered();
        registration.on_registered(
            Mono(1),
            Wall(1),
            &Verdict::Accepted,
            None,
            &mut crate::agent::rng::Rng::new(1),
        );
        is_asked
    };
    assert_eq!([is_asked(), is_asked()], [true, false]);
}

#[test]
fn a_sample_makes_a_report_and_no_write() {
    let mut driver = Driver::registered(with_alexos());
    let effects = driver.advance(2_000);
    let sampled = effects.iter().any(|effect| matches!(effect, Effect::Sample));
    let (_, call) = the_call(&effects);
    assert!(sampled && matches!(call, Call::AlexosReport { .. }), "{effects:?}");
    assert_eq!(recorded(&effects), Vec::<&str>::new());
}

#[test]
fn after_an_outage_it_registers_again_and_waits_no_longer() {
    let mut driver = Driver::registered(with_alexos());
    for _ in 0..3 {
        let effects = driver.until_call();
        let (id, call) = the_call(&effects);
        assert!(matches!(call, Call::AlexosReport { .. }));
        driver.settle(delivered(id, retry(Fault::Refused)));
    }
    let effects = driver.until_call();
    let (id, _) = the_call(&effects);
    let effects = driver.settle(delivered(id, Verdict::Accepted));
    assert!(matches!(the_call(&effects).1, Call::AlexosRegister { .. }), "{effects:?}");
}

#[test]
fn a_dead_letter_makes_an_event_and_its_news_does_not() {
    let mut driver = Driver::registered(with_alexos());
    let refused = || Verdict::Refused { status: 422, why: "no".to_owned() };
    let mut effects =
        driver.settle(Input::Webhook { request: RequestId(1), draft: draft("a"), dedupe: None, known: None });
    for (kind, news) in [("a", vec!["delivery_parked"]), ("delivery_parked", vec![])] {
        let seq = effects.iter().find_map(|effect| match effect {
            Effect::Fetch { after, .. } => Some(after.next()),
            _ => None,
        });
        let seq = seq.unwrap_or_else(|| panic!("a read: {effects:?}"));
        let sent = driver.feed(Input::Fetched {
            destination: Destination::Alexos,
            event: Some(event(seq.0, kind)),
            upto: seq,
            oldest: Seq(0),
            failed: false,
        });
        let (id, _) = the_call(&sent);
        driver.at += 1;
        effects = driver.settle(delivered(id, refused()));
        effects.extend(driver.advance(60));
        assert_eq!(recorded(&effects), news, "{kind}");
    }
    assert_eq!(driver.agent.status(now(0)).counters.deliveries_parked, 2);
}

#[test]
fn at_most_two_webhooks_are_called_at_once() {
    let hooks = (0..4).map(|n| hook(&n.to_string())).collect();
    let mut driver = Driver::new(Setup { hooks, ..alone() }, memory());
    let mut effects = driver.advance(100);
    let webhook = Input::Webhook { request: RequestId(1), draft: draft("a"), dedupe: None, known: None };
    effects.extend(driver.settle(webhook));
    let reads = effects.iter().filter(|effect| matches!(effect, Effect::Fetch { .. })).count();
    assert_eq!(reads, limits::HOOK_CALLS_MAX);
}

#[test]
fn a_reader_that_is_no_longer_configured_is_forgotten() {
    let memory = Memory { cursors: vec![(Destination::Hook("old".to_owned()), Seq(3))], ..memory() };
    let mut driver = Driver::new(alone(), memory);
    let effects = driver.advance(100);
    assert!(
        written(&effects).contains(&&Write::CursorGone(Destination::Hook("old".to_owned()))),
        "{effects:?}"
    );
}

#[test]
fn a_new_webhook_begins_with_what_happens_from_then_on() {
    let memory = Memory { last: Seq(9), ..memory() };
    let driver = Driver::new(Setup { hooks: vec![hook("k")], ..alone() }, memory);
    assert_eq!(driver.agent.status(now(0)).destinations[0].cursor, Seq(9));
}

#[test]
fn the_controllers_answer_is_written_once_and_never_with_its_token() {
    let mut driver = Driver::new(with_aiwm(), memory());
    let effects = driver.settle(Input::Tick);
    let (id, call) = the_call(&effects);
    assert_eq!(call, &Call::AiwmConnect);
    let welcome = |id| Input::CallDone {
        id,
        outcome: Outcome::Aiwm(AiwmReply::Connected {
            token: Secret("jwt".to_owned()),
            expires_in_s: Some(3_600),
            answer: Box::new(ControllerAnswer { generation: Generation::C, ..ControllerAnswer::default() }),
            fact: "the answer".to_owned(),
        }),
        date: None,
    };
    let mut effects = driver.settle(welcome(id));
    effects.extend(driver.advance(60));
    let facts: Vec<_> =
        written(&effects).into_iter().filter(|write| matches!(write, Write::Fact(..))).collect();
    assert_eq!(facts, [&Write::Fact(FactKey::Controller, "the answer".to_owned())]);
    assert_eq!(recorded(&effects), ["chainbot_started", "controller_updated"]);
    let beat = effects.iter().any(
        |effect| matches!(effect, Effect::Call { call: Call::AiwmHeartbeat { token, .. }, .. } if token.0 == "jwt"),
    );
    assert!(beat, "it beats at once");
}

#[test]
fn a_date_of_an_authenticated_peer_sets_the_calendar() {
    let mut driver = Driver::new(with_aiwm(), memory());
    let effects = driver.settle(Input::Tick);
    let (id, _) = the_call(&effects);
    let outcome = Outcome::Aiwm(AiwmReply::ServerError { status: 500 });
    let lost = |mono| Now { synced: false, system: Wall(5), ..now(mono) };
    driver.agent.handle(lost(10), Input::CallDone { id, outcome, date: Some(Wall(T0)) });
    assert_eq!(driver.agent.status(lost(1_010)).at, Wall(T0 + 1_000));
}

#[test]
fn stopping_says_goodbye_writes_and_ends() {
    let mut driver = Driver::registered(with_alexos());
    driver.agent.alexos.as_mut().expect("configured").path.on_accepted(EventsPath::Documented);
    let effects = driver.feed(Input::StopAsked(StopReason::Signal));
    let (report, call) = the_call(&effects);
    assert!(matches!(call, Call::AlexosReport { .. }));
    assert_eq!(recorded(&effects), ["chainbot_stopped"]);
    assert_eq!(
        driver.post(7, None),
        [Effect::Respond { request: RequestId(7), answer: IntakeAnswer::Stopping }]
    );
    let ticket = effects.iter().find_map(|effect| match effect {
        Effect::Commit { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let effects = driver.feed(Input::Committed { ticket: ticket.expect("a commit"), oldest: Seq(1) });
    assert!(!effects.contains(&Effect::Exit), "the report is still underway");
    assert_eq!(driver.feed(delivered(report, Verdict::Accepted)), [Effect::Exit]);
    assert_eq!(driver.feed(Input::Tick), [], "it ends once");
}

#[test]
fn stopping_does_not_wait_longer_than_its_time() {
    let mut driver = Driver::new(with_alexos(), memory());
    driver.settle(Input::Tick);
    driver.feed(Input::StopAsked(StopReason::Signal));
    let deadline = driver.agent.poll_timeout().expect("a deadline").at.0;
    assert!(deadline <= limits::STOP_TIME_MAX_MS);
    driver.at = limits::STOP_TIME_MAX_MS;
    assert!(driver.feed(Input::Tick).contains(&Effect::Exit), "the registration never came back");
}

#[test]
fn a_new_config_keeps_cursors_and_waits_for_calls_of_the_old_one() {
    let mut driver = Driver::new(with_alexos(), memory());
    let effects = driver.settle(Input::Tick);
    let (old, _) = the_call(&effects);
    let moved = AlexosSetup { registry_url: "http://other".to_owned(), ..alexos() };
    let setup = Setup { alexos: Some(moved), ..alone() };
    let effects = driver.settle(Input::Reconfigured(Box::new(setup)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Call { .. })), "{effects:?}");
    let outcome = Outcome::Registered(Verdict::Accepted, None);
    let effects = driver.settle(Input::CallDone { id: old, outcome, date: None });
    assert!(matches!(the_call(&effects).1, Call::AlexosRegister { .. }));
    assert_eq!(driver.agent.status(now(0)).alexos.expect("configured").registration, "registering");
}

#[test]
fn a_new_config_keeps_what_aiwm_said() {
    let controller = ControllerAnswer { instruction: "be brief".to_owned(), ..ControllerAnswer::default() };
    let mut driver = Driver::new(with_aiwm(), Memory { controller: Some(controller), ..memory() });
    driver.settle(Input::Tick);
    let other = AiwmSetup { heartbeat_interval_ms: 20_000, ..aiwm() };
    driver.settle(Input::Reconfigured(Box::new(Setup { aiwm: Some(other), ..alone() })));
    assert_eq!(driver.agent.status(now(0)).aiwm.expect("configured").instruction_bytes, "be brief".len());
}

#[test]
fn servers_of_tools_are_asked_only_if_a_model_could_be_told_of_them() {
    use super::brain::setup::{McpSetup, ProviderSetup};
    let server = |name: &str| McpSetup { name: name.to_owned(), ..McpSetup::default() };
    let names = |tools: Option<&[&str]>, allowed: &[&str], has_model: bool| -> Vec<String> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let servers = vec![server("theirs")];
        let controller = ControllerAnswer { tools: tools.map(texts), servers, ..ControllerAnswer::default() };
        let mut setup = with_aiwm();
        setup.brain.mcp.push(server("own"));
        setup.brain.tools.allowed = texts(allowed);
        setup.brain.providers.extend(has_model.then(ProviderSetup::default));
        let driver = Driver::new(setup, Memory { controller: Some(controller), ..memory() });
        driver.agent.tool_servers().into_iter().map(|server| server.name).collect()
    };
    assert_eq!(names(None, &["mcp__*"], true), ["own", "theirs"]);
    assert_eq!(names(None, &["*"], true), ["own", "theirs"]);
    assert_eq!(names(Some(&["mcp__theirs__a"]), &[], true), ["own", "theirs"]);
    assert_eq!(names(None, &["mcp__*"], false), [""; 0], "no model");
    assert_eq!(names(None, &["events", "read-*"], true), [""; 0]);
    assert_eq!(names(Some(&["events"]), &["mcp__*"], true), [""; 0], "the controller's list counts");
}

#[test]
fn the_same_inputs_make_the_same_effects() {
    let run = || {
        let setup = Setup { hooks: vec![hook("k")], aiwm: Some(aiwm()), ..with_alexos() };
        let mut driver = Driver::new(setup, memory());
        let mut seen = driver.settle(Input::Tick);
        for request in 0..20 {
            seen.extend(driver.post(request, Some(3)));
            seen.extend(driver.advance(10_000));
        }
        format!("{seen:?}")
    };
    assert_eq!(run(), run());
}

#[test]
fn filters_pass_what_they_name() {
    let filter = EventFilter {
        kinds: vec!["workflow_*".to_owned(), "door".to_owned()],
        severities: vec![Severity::Error],
        ..EventFilter::default()
    };
    assert!(filter.matches("workflow_failed", Severity::Error, Source::Chainbot));
    assert!(filter.matches("door", Severity::Error, Source::AlexOs));
    assert!(!filter.matches("doorbell", Severity::Error, Source::Chainbot));
    assert!(!filter.matches("door", Severity::Info, Source::Chainbot));
    let hour = EventFilter { from: Some(Wall(10)), until: Some(Wall(20)), ..EventFilter::default() };
    assert_eq!([9, 10, 19, 20].map(|at| hour.is_in_time(Wall(at))), [false, true, true, false]);
    assert!(filter.is_in_time(Wall(0)));
}

#[test]
fn a_sample_is_shown_until_the_next() {
    let mut driver = Driver::new(alone(), memory());
    driver.feed(Input::Sampled(Box::new(Sample { cpu_percent: 12.5, ..Sample::default() })));
    assert_eq!(driver.agent.status(now(0)).sample.map(|sample| sample.cpu_percent), Some(12.5));
}
