//! Whom to ask: the providers in order of preference, each with a circuit.
//!
//! ```text
//! closed -> open (CIRCUIT_FAILURES in a row, a refusal of us, or a long Retry-After)
//! open   -> probing (its pause is over and somebody asks) -> closed (it answered)
//!                                                         -> open (it did not: a longer pause)
//! ```
//!
//! A question tries one provider `THOUGHT_TRIES_MAX` times and then the next. Nothing happens here by itself: a circuit whose
//! pause is over waits for the next question.

use super::setup::{BrainSetup, ProviderKind, ProviderSetup};
use super::speech::{Refusal, ThoughtFault};
use super::status::{ProviderState, ProviderStatus};
use crate::agent::input::Fault;
use crate::agent::limits::{BACKOFF_MAX_MS, CIRCUIT_FAILURES, THOUGHT_RETRY_MAX_MS, THOUGHT_TRIES_MAX};
use crate::agent::rng::Rng;
use crate::agent::time::{HOUR_MS, MINUTE_MS, Mono, SECOND_MS};

/// First pause of a circuit, in milliseconds; each failed probe doubles it up to `BACKOFF_MAX_MS`.
const PAUSE_MS: u64 = 5 * SECOND_MS;
/// Pause after a provider refused us (401, 402, 403, a spent quota), in milliseconds: people have to mend that.
const REFUSED_PAUSE_MS: u64 = 10 * MINUTE_MS;
/// How long a model that a provider does not have is not asked for there, in milliseconds.
const MODEL_PAUSE_MS: u64 = 5 * MINUTE_MS;
/// Models remembered as missing at one provider. Beyond: the oldest is forgotten.
const MISSING_MAX: usize = 4;
/// Wait after the first failed try in milliseconds (the documents' 1 s, then 2 s).
const TRY_WAIT_MS: u64 = SECOND_MS;
/// Longest `Retry-After` that is remembered, in milliseconds.
const AFTER_MAX_MS: u64 = HOUR_MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed,
    Open {
        until: Mono,
    },
    /// One question is there; once it is being answered, others may follow.
    Probing {
        has_begun: bool,
    },
}

#[derive(Debug)]
struct Provider {
    setup: ProviderSetup,
    circuit: Circuit,
    /// Failures in a row.
    failures: u32,
    pause_ms: u64,
    missing: Vec<(String, Mono)>,
    last_fault: Option<String>,
    answered: u64,
    failed: u64,
    spent_ms: u64,
}

/// How far a question is in the order of the providers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Route {
    /// The model wanted; empty: each provider's own.
    model: String,
    /// The only provider that may answer; empty: any.
    only: String,
    place: usize,
    tries: u32,
    not_before: Mono,
    whys: Vec<String>,
}

impl Route {
    /// When the question may be asked again at the earliest.
    #[must_use]
    pub fn not_before(&self) -> Mono {
        self.not_before
    }

    /// A question that begins with the first provider.
    #[must_use]
    pub fn new(model: String, only: String) -> Self {
        Self { model, only, ..Self::default() }
    }
}

/// What a question should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this provider with this model.
    Ask {
        /// `ProviderSetup::name`.
        provider: String,
        /// As it is called there.
        model: String,
    },
    /// Try again then.
    Wait(Mono),
    /// Nobody can be asked. `until`: when somebody can, if time alone brings that about.
    Down {
        /// See above.
        until: Option<Mono>,
    },
}

/// How a question to one provider ended, as far as it concerns the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It answered.
    Answered,
    /// It broke off.
    Broke(Fault),
    /// Nothing usable came.
    Failed(&'a ThoughtFault),
    /// Nobody waited for it.
    Left,
}

/// What happened to a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that people need to know.
    None,
    /// It opened: why.
    Down(String),
    /// It closed.
    Up,
}

/// The providers. See the module.
#[derive(Debug, Default)]
pub struct Providers {
    list: Vec<Provider>,
}

impl Providers {
    /// Those of the config; what is known of one that stays the same is kept.
    pub fn configure(&mut self, setup: &BrainSetup) {
        let mut old = std::mem::take(&mut self.list);
        self.list = setup.providers.iter().map(|setup| reuse(&mut old, setup)).collect();
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|provider| provider.setup.name == name)
    }

    /// Whether one knows this model.
    #[must_use]
    pub fn knows_model(&self, model: &str) -> bool {
        let knows = |setup: &ProviderSetup| {
            setup.model == model || setup.models.iter().any(|known| known.wanted == model)
        };
        self.list.iter().any(|provider| knows(&provider.setup))
    }

    /// What a question should do now. A provider that is named in the answer counts as asked.
    pub fn next(&mut self, now: Mono, route: &mut Route) -> Step {
        while let Some(provider) = self.list.get_mut(route.place) {
            let model = provider.model_for(&route.model);
            let is_wanted = route.only.is_empty() || route.only == provider.setup.name;
            if !is_wanted || !provider.may_ask(now, &model) {
                if is_wanted {
                    note(&mut route.whys, provider);
                }
                route.place += 1;
                route.tries = 0;
                route.not_before = Mono(0);
                continue;
            }
            if route.not_before > now {
                return Step::Wait(route.not_before);
            }
            route.tries += 1;
            if matches!(provider.circuit, Circuit::Open { .. }) {
                provider.enter(Circuit::Probing { has_begun: false }, "its pause is over");
            }
            return Step::Ask { provider: provider.setup.name.clone(), model };
        }
        Step::Down { until: self.opens_at(now, route) }
    }

    /// The question begins anew with the first provider.
    pub fn restart(route: &mut Route) {
        *route = Route::new(std::mem::take(&mut route.model), std::mem::take(&mut route.only));
    }

    /// When the first provider that may answer can be asked again, if time alone brings that about.
    fn opens_at(&self, now: Mono, route: &Route) -> Option<Mono> {
        let wanted =
            self.list.iter().filter(|provider| route.only.is_empty() || route.only == provider.setup.name);
        let at = |provider: &Provider| match provider.circuit {
            Circuit::Open { until } => Some(until),
            Circuit::Probing { has_begun: false } => None,
            Circuit::Probing { .. } | Circuit::Closed => {
                let model = provider.model_for(&route.model);
                let until = provider.missing.iter().find(|(missing, _)| *missing == model);
                Some(until.map_or(now.plus(PAUSE_MS), |(_, until)| *until))
            }
        };
        wanted.filter_map(at).min().map(|at| at.max(now.plus(SECOND_MS)))
    }

    /// What a caller is told when nobody can be asked.
    #[must_use]
    pub fn refusal(&self, now: Mono, route: &Route, until: Option<Mono>) -> Refusal {
        if self.list.is_empty() {
            return Refusal::NoProvider;
        }
        let wait_ms = until.map_or(PAUSE_MS, |until| until.since(now));
        Refusal::AllDown { why: route.whys.clone(), retry_after_s: seconds(wait_ms) }
    }

    /// The first piece of an answer came.
    pub fn on_began(&mut self, name: &str) {
        if let Some(provider) = self.find(name)
            && provider.circuit == (Circuit::Probing { has_begun: false })
        {
            provider.circuit = Circuit::Probing { has_begun: true };
        }
    }

    /// A question to a provider ended after `spent_ms`.
    pub fn on_end(
        &mut self,
        now: Mono,
        (name, model): (&str, &str),
        end: &End<'_>,
        spent_ms: u64,
        rng: &mut Rng,
    ) -> Change {
        let Some(provider) = self.find(name) else { return Change::None };
        match end {
            End::Left => {
                if provider.circuit == (Circuit::Probing { has_begun: false }) {
                    provider.enter(Circuit::Open { until: now }, "nobody waited for the probe");
                }
                Change::None
            }
            End::Answered => {
                provider.answered += 1;
                provider.spent_ms = provider.spent_ms.saturating_add(spent_ms);
                provider.last_fault = None;
                provider.enter_closed("it answered")
            }
            End::Broke(fault) => provider.fail(now, format!("broke off: {fault}"), 0, rng),
            End::Failed(ThoughtFault::Retry { fault, after_ms }) => {
                provider.fail(now, fault.to_string(), after_ms.unwrap_or(0), rng)
            }
            End::Failed(ThoughtFault::Provider { status: 404, why }) => {
                provider.failed += 1;
                provider.last_fault = Some(format!("model {model}: status 404: {why}"));
                provider.missing.retain(|(missing, _)| missing != model);
                if provider.missing.len() >= MISSING_MAX {
                    provider.missing.remove(0);
                }
                provider.missing.push((model.to_owned(), now.plus(rng.jittered(MODEL_PAUSE_MS))));
                provider.enter_closed("it answered, though not for this model")
            }
            End::Failed(ThoughtFault::Provider { status, why }) => {
                provider.failed += 1;
                let why = format!("status {status}: {why}");
                provider.enter_open(now, why, REFUSED_PAUSE_MS, rng)
            }
            End::Failed(ThoughtFault::Question { .. }) => {
                provider.failed += 1;
                provider.enter_closed("it answered that the question is no good")
            }
        }
    }

    /// What a question that failed does before it is asked again: another try there after a while, or the next provider.
    pub fn on_failed(&mut self, now: Mono, route: &mut Route, fault: &ThoughtFault, rng: &mut Rng) {
        let Some(provider) = self.list.get(route.place) else { return };
        let after_ms = match fault {
            ThoughtFault::Retry { after_ms, .. } => after_ms.unwrap_or(0),
            ThoughtFault::Provider { .. } | ThoughtFault::Question { .. } => u64::MAX,
        };
        if route.tries < THOUGHT_TRIES_MAX && after_ms <= THOUGHT_RETRY_MAX_MS {
            let wait = rng.jittered(TRY_WAIT_MS << route.tries.saturating_sub(1).min(8)).max(after_ms);
            route.not_before = now.plus(wait.max(1));
            return;
        }
        note(&mut route.whys, provider);
        route.place += 1;
        route.tries = 0;
        route.not_before = Mono(0);
    }

    /// The config changed: the question stays with its provider if that is still there, else it begins anew.
    pub fn on_reconfigured(&self, route: &mut Route, asked: Option<&str>) {
        let place = asked.and_then(|name| self.list.iter().position(|at| at.setup.name == name));
        match place {
            Some(place) => route.place = place,
            None => Self::restart(route),
        }
    }

    /// For `/status`.
    #[must_use]
    pub fn status(&self, now: Mono) -> Vec<ProviderStatus<'_>> {
        self.list.iter().map(|provider| provider.status(now)).collect()
    }

    /// Whether one's circuit is not closed.
    #[must_use]
    pub fn is_any_down(&self) -> bool {
        self.list.iter().any(|provider| provider.circuit != Circuit::Closed)
    }

    fn find(&mut self, name: &str) -> Option<&mut Provider> {
        self.list.iter_mut().find(|provider| provider.setup.name == name)
    }
}

impl Provider {
    fn new(setup: &ProviderSetup) -> Self {
        Self {
            setup: setup.clone(),
            circuit: Circuit::Closed,
            failures: 0,
            pause_ms: PAUSE_MS,
            missing: Vec::new(),
            last_fault: None,
            answered: 0,
            failed: 0,
            spent_ms: 0,
        }
    }

    fn model_for(&self, wanted: &str) -> String {
        let known = self.setup.models.iter().find(|known| known.wanted == wanted);
        match known {
            Some(known) => known.there.clone(),
            None if self.setup.model.is_empty() => wanted.to_owned(),
            None => self.setup.model.clone(),
        }
    }

    fn may_ask(&mut self, now: Mono, model: &str) -> bool {
        self.missing.retain(|(_, until)| *until > now);
        let may = match self.circuit {
            Circuit::Closed => true,
            Circuit::Open { until } => until <= now,
            Circuit::Probing { has_begun } => has_begun,
        };
        may && !self.missing.iter().any(|(missing, _)| missing == model)
    }

    fn fail(&mut self, now: Mono, why: String, after_ms: u64, rng: &mut Rng) -> Change {
        self.failed += 1;
        self.failures = self.failures.saturating_add(1);
        let is_probe = matches!(self.circuit, Circuit::Probing { .. });
        if is_probe || self.failures >= CIRCUIT_FAILURES || after_ms > THOUGHT_RETRY_MAX_MS {
            return self.enter_open(now, why, after_ms.min(AFTER_MAX_MS), rng);
        }
        self.last_fault = Some(why);
        Change::None
    }

    fn enter_open(&mut self, now: Mono, why: String, least_ms: u64, rng: &mut Rng) -> Change {
        let was_closed = self.circuit == Circuit::Closed;
        let pause = rng.jittered(self.pause_ms).max(least_ms);
        self.last_fault = Some(why.clone());
        if let Circuit::Open { until } = self.circuit {
            // A question that was there when it opened: nothing new, but perhaps a longer wait.
            self.circuit = Circuit::Open { until: until.max(now.plus(least_ms)) };
            return Change::None;
        }
        self.pause_ms = self.pause_ms.saturating_mul(2).min(BACKOFF_MAX_MS);
        self.enter(Circuit::Open { until: now.plus(pause) }, &why);
        if was_closed { Change::Down(why) } else { Change::None }
    }

    fn enter_closed(&mut self, why: &str) -> Change {
        self.failures = 0;
        self.pause_ms = PAUSE_MS;
        let was_closed = self.circuit == Circuit::Closed;
        self.enter(Circuit::Closed, why);
        if was_closed { Change::None } else { Change::Up }
    }

    fn enter(&mut self, circuit: Circuit, why: &str) {
        if self.circuit != circuit {
            log::debug!("provider={} from={:?} to={circuit:?} why={why:?}", self.setup.name, self.circuit);
        }
        self.circuit = circuit;
    }

    fn status(&self, now: Mono) -> ProviderStatus<'_> {
        let (state, next_try_in_ms) = match self.circuit {
            Circuit::Closed if self.answered + self.failed == 0 => (ProviderState::Unknown, None),
            Circuit::Closed => (ProviderState::Up, None),
            Circuit::Open { until } => (ProviderState::Down, Some(until.since(now))),
            Circuit::Probing { .. } => (ProviderState::Probing, None),
        };
        ProviderStatus {
            name: &self.setup.name,
            kind: self.kind(),
            state,
            last_fault: self.last_fault.as_deref(),
            next_try_in_ms,
            answered: self.answered,
            failed: self.failed,
            mean_ms: self.spent_ms.checked_div(self.answered).unwrap_or(0),
        }
    }

    fn kind(&self) -> ProviderKind {
        self.setup.kind
    }
}

/// The provider of this name as it was, unless what is asked there changed.
fn reuse(old: &mut Vec<Provider>, setup: &ProviderSetup) -> Provider {
    match old.iter().position(|provider| provider.setup.name == setup.name) {
        Some(place) => {
            let provider = old.swap_remove(place);
            if provider.setup == *setup { provider } else { Provider::new(setup) }
        }
        None => Provider::new(setup),
    }
}

/// Remembers why a provider was passed over, the last word of each.
fn note(whys: &mut Vec<String>, provider: &Provider) {
    let name = &provider.setup.name;
    let fault = provider.last_fault.as_deref().unwrap_or("being tried by another question");
    let mut why = format!("{name}: {fault}");
    crate::agent::cut(&mut why, 200);
    whys.retain(|old| old.split_once(": ").is_none_or(|(other, _)| other != name));
    whys.push(why);
}

/// Whole seconds for `Retry-After`, at least one.
#[must_use]
pub fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(SECOND_MS)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::setup::ModelName;
    use super::*;

    fn providers(names: &[&str]) -> Providers {
        let setup = |name: &&str| ProviderSetup {
            name: (*name).to_owned(),
            model: format!("{name}-own"),
            models: vec![ModelName { wanted: "big".to_owned(), there: format!("{name}-big") }],
            ..ProviderSetup::default()
        };
        let mut providers = Providers::default();
        let setup = BrainSetup { providers: names.iter().map(setup).collect(), ..BrainSetup::default() };
        providers.configure(&setup);
        providers
    }

    fn asked(step: Step) -> (String, String) {
        match step {
            Step::Ask { provider, model } => (provider, model),
            other => panic!("{other:?}"),
        }
    }

    fn retry(after_ms: Option<u64>) -> ThoughtFault {
        ThoughtFault::Retry { fault: Fault::Status(503), after_ms }
    }

    fn fail(providers: &mut Providers, now: u64, name: &str, fault: &ThoughtFault) -> Change {
        providers.on_end(Mono(now), (name, "m"), &End::Failed(fault), 1, &mut Rng::new(1))
    }

    #[test]
    fn a_wanted_model_is_mapped_and_an_unknown_one_becomes_the_providers_own() {
        let mut both = providers(&["a", "b"]);
        let mut route = Route::new("big".to_owned(), String::new());
        assert_eq!(asked(both.next(Mono(0), &mut route)), ("a".to_owned(), "a-big".to_owned()));
        let mut route = Route::new("other".to_owned(), "b".to_owned());
        assert_eq!(asked(both.next(Mono(0), &mut route)), ("b".to_owned(), "b-own".to_owned()));
        assert!(both.knows_model("big") && both.knows_model("a-own") && !both.knows_model("other"));
    }

    #[test]
    fn a_failing_provider_is_tried_three_times_and_then_left_and_its_circuit_opens() {
        let mut both = providers(&["a", "b"]);
        let (mut route, mut at) = (Route::default(), 0);
        for _ in 0..THOUGHT_TRIES_MAX {
            assert_eq!(asked(both.next(Mono(at), &mut route)).0, "a");
            let change = fail(&mut both, at, "a", &retry(None));
            both.on_failed(Mono(at), &mut route, &retry(None), &mut Rng::new(1));
            if let Step::Wait(until) = both.next(Mono(at), &mut route) {
                assert!((900..=2_200).contains(&until.since(Mono(at))));
                assert_eq!(change, Change::None);
                at = until.0;
            } else {
                assert!(matches!(change, Change::Down(_)));
            }
        }
        let mut other = Route::default();
        assert_eq!(asked(both.next(Mono(at), &mut other)).0, "b", "others go past it at once");
        let Step::Down { until: Some(until) } =
            both.next(Mono(at), &mut Route::new(String::new(), "a".to_owned()))
        else {
            panic!("it is the only one wanted")
        };
        assert_eq!(asked(both.next(until, &mut Route::default())).0, "a", "the probe");
        assert_eq!(asked(both.next(until, &mut Route::default())).0, "b", "one probe at a time");
        both.on_began("a");
        assert_eq!(asked(both.next(until, &mut Route::default())).0, "a", "it is answering");
        let end = both.on_end(until, ("a", "m"), &End::Answered, 7, &mut Rng::new(1));
        assert_eq!(end, Change::Up);
    }

    #[test]
    fn a_long_wish_to_wait_and_a_refusal_send_the_question_on_at_once() {
        let refusal = ThoughtFault::Provider { status: 401, why: "no".to_owned() };
        for (fault, least_ms) in [(retry(Some(60_000)), 60_000), (refusal, REFUSED_PAUSE_MS)] {
            let mut both = providers(&["a", "b"]);
            let mut route = Route::default();
            both.next(Mono(0), &mut route);
            assert!(matches!(fail(&mut both, 0, "a", &fault), Change::Down(_)));
            both.on_failed(Mono(0), &mut route, &fault, &mut Rng::new(1));
            assert_eq!(asked(both.next(Mono(0), &mut route)).0, "b");
            assert_eq!(asked(both.next(Mono(least_ms - 1), &mut Route::default())).0, "b");
        }
    }

    #[test]
    fn a_missing_model_closes_only_the_way_to_that_model() {
        let mut one = providers(&["a"]);
        let missing = ThoughtFault::Provider { status: 404, why: "no such model".to_owned() };
        let mut rng = Rng::new(1);
        assert_eq!(one.on_end(Mono(0), ("a", "a-big"), &End::Failed(&missing), 1, &mut rng), Change::None);
        let mut big = Route::new("big".to_owned(), String::new());
        let Step::Down { until } = one.next(Mono(0), &mut big) else { panic!("not asked again") };
        assert!(until.is_some_and(|until| until.0 >= 60_000));
        let Refusal::AllDown { why, retry_after_s } = one.refusal(Mono(0), &big, until) else { panic!() };
        assert!(why[0].starts_with("a: model a-big: status 404"), "{why:?}");
        assert!(retry_after_s >= 60);
        assert_eq!(asked(one.next(Mono(0), &mut Route::default())).1, "a-own");
    }

    #[test]
    fn a_probe_that_nobody_waits_for_is_taken_up_by_the_next_question() {
        let mut one = providers(&["a"]);
        let refusal = ThoughtFault::Provider { status: 403, why: String::new() };
        fail(&mut one, 0, "a", &refusal);
        let later = Mono(2 * REFUSED_PAUSE_MS);
        asked(one.next(later, &mut Route::default()));
        assert_eq!(one.next(later, &mut Route::default()), Step::Down { until: None });
        one.on_end(later, ("a", "m"), &End::Left, 1, &mut Rng::new(1));
        asked(one.next(later, &mut Route::default()));
    }

    #[test]
    fn each_failed_probe_makes_the_pause_longer_up_to_a_bound() {
        let mut one = providers(&["a"]);
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..3 {
            fail(&mut one, now, "a", &retry(None));
        }
        for _ in 0..12 {
            let Step::Down { until: Some(until) } = one.next(Mono(now), &mut Route::default()) else {
                panic!("open")
            };
            pauses.push(until.0 - now);
            now = until.0;
            asked(one.next(until, &mut Route::default()));
            assert_eq!(fail(&mut one, now, "a", &retry(None)), Change::None, "told once");
        }
        assert!(pauses[0] <= 5_500 && pauses[4] > 60_000, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= BACKOFF_MAX_MS / 10 * 11), "{pauses:?}");
    }
}
