//! Registration with ALEX OS, and its canon.
//!
//! ```text
//! unregistered -> registering -> registered -> unregistered (it forgot us, or came back from an outage)
//!                 registering -> retrying (backoff; every 5 minutes once the attempts are used up) -> registering
//!                 registering -> not_offered (asked again every 15 minutes) -> registering
//! ```
//!
//! It never gives up and never floods. Once `max_registration_attempts` have failed, `attention` says so.

use super::backoff::Backoff;
use super::input::{CanonEntry, Verdict};
use super::limits::{BACKOFF_MAX_MS, CANON_MAX, NOT_OFFERED_RECHECK_MS};
use super::rng::Rng;
use super::time::{Mono, Wall};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unregistered,
    Registering,
    Registered,
    Retrying { until: Mono },
    NotOffered { until: Mono },
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::Retrying { .. } => "retrying",
            Self::NotOffered { .. } => "not_offered",
        }
    }
}

/// What the registration would like to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Register.
    Register,
    /// Read the canon.
    Canon,
}

/// What a registration's answer changed, for the agent to route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that others need to know.
    None,
    /// It took us, after it had not before.
    Registered,
}

/// The registration. See the module.
#[derive(Debug)]
pub struct Registration {
    state: State,
    backoff: Backoff,
    attempts: u32,
    attempts_max: u32,
    agent_id: Option<String>,
    last_registration: Option<Wall>,
    last_fault: Option<String>,
    canon: Vec<CanonEntry>,
    canon_due: Option<Mono>,
    is_reading_canon: bool,
}

impl Registration {
    /// Not registered yet; `agent_id` is what ALEX OS called us last time.
    #[must_use]
    pub fn new(retry_interval_ms: u64, attempts_max: u32, agent_id: Option<String>) -> Self {
        Self {
            state: State::Unregistered,
            backoff: Backoff::new(retry_interval_ms, BACKOFF_MAX_MS.max(retry_interval_ms)),
            attempts: 0,
            attempts_max,
            agent_id,
            last_registration: None,
            last_fault: None,
            canon: Vec::new(),
            canon_due: None,
            is_reading_canon: false,
        }
    }

    /// What should be called now, if anything.
    #[must_use]
    pub fn wish(&self, now: Mono) -> Option<Wish> {
        if self.register_due().is_some_and(|due| due <= now) {
            return Some(Wish::Register);
        }
        (!self.is_reading_canon && self.canon_due.is_some_and(|due| due <= now)).then_some(Wish::Canon)
    }

    fn register_due(&self) -> Option<Mono> {
        match self.state {
            State::Unregistered => Some(Mono(0)),
            State::Retrying { until } | State::NotOffered { until } => Some(until),
            State::Registering | State::Registered => None,
        }
    }

    /// When the next wish comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let canon = if self.is_reading_canon { None } else { self.canon_due };
        [self.register_due(), canon].into_iter().flatten().min()
    }

    /// The wish is being carried out.
    pub fn on_started(&mut self, wish: Wish) {
        match wish {
            Wish::Register => self.enter(State::Registering, "due"),
            Wish::Canon => self.is_reading_canon = true,
        }
    }

    /// ALEX OS answered a registration.
    pub fn on_registered(
        &mut self,
        now: Mono,
        at: Wall,
        verdict: &Verdict,
        agent_id: Option<String>,
        rng: &mut Rng,
    ) -> Change {
        match verdict {
            Verdict::Accepted => {
                self.agent_id = agent_id.or(self.agent_id.take());
                self.last_registration = Some(at);
                self.enter_registered(now);
                return Change::Registered;
            }
            Verdict::NotOffered { status } => self.enter_not_offered(now, *status, rng),
            Verdict::Retry { fault, after_ms } => match fault.own_wait_ms() {
                Some(wait) => {
                    self.last_fault = Some(fault.to_string());
                    self.enter(
                        State::Retrying { until: now.plus(rng.jittered(wait)) },
                        "not the peer's fault",
                    );
                }
                None => self.enter_retrying(now, fault.to_string(), after_ms.unwrap_or(0), rng),
            },
            Verdict::Denied { status, why } | Verdict::Refused { status, why } => {
                self.enter_retrying(now, format!("status {status}: {why}"), 0, rng);
            }
            Verdict::Gone => self.enter_retrying(now, "status 410".to_owned(), 0, rng),
        }
        Change::None
    }

    /// ALEX OS answered a look into its canon.
    pub fn on_canon(&mut self, now: Mono, verdict: &Verdict, entries: Vec<CanonEntry>, rng: &mut Rng) {
        self.is_reading_canon = false;
        let wait = rng.jittered(NOT_OFFERED_RECHECK_MS);
        self.canon_due = matches!(self.state, State::Registered).then(|| now.plus(wait));
        if matches!(verdict, Verdict::Accepted) {
            self.canon = entries;
            self.canon.truncate(CANON_MAX);
        }
    }

    /// ALEX OS no longer knows us, or came back from an outage: register again.
    pub fn forget(&mut self, why: &str) {
        if matches!(self.state, State::Registered) {
            self.enter(State::Unregistered, why);
            self.canon_due = None;
        }
    }

    /// Whether it is known that ALEX OS took us.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        matches!(self.state, State::Registered)
    }

    /// Whether there is nothing wrong: registered, or this ALEX OS has no registration.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Registered | State::NotOffered { .. })
    }

    /// Why someone should look, if someone should.
    #[must_use]
    pub fn attention(&self) -> Option<String> {
        let is_spent = self.attempts >= self.attempts_max && !self.is_settled();
        is_spent.then(|| {
            let fault = self.last_fault.as_deref().unwrap_or("no answer yet");
            format!("registration with ALEX OS failed {} times: {fault}", self.attempts)
        })
    }

    /// For `/status`: the state's name. `failed` is `retrying` with the attempts used up.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.attention().is_some() && matches!(self.state, State::Retrying { .. }) {
            return "failed";
        }
        self.state.as_str()
    }

    /// For `/status`: tries since the last success, last success, last fault, id, canon.
    #[must_use]
    pub fn facts(&self) -> (u32, Option<Wall>, Option<&str>, Option<&str>, &[CanonEntry]) {
        (
            self.attempts,
            self.last_registration,
            self.last_fault.as_deref(),
            self.agent_id.as_deref(),
            &self.canon,
        )
    }

    fn enter(&mut self, state: State, why: &str) {
        if self.state != state {
            log::debug!("registration from={} to={} why={why:?}", self.state.as_str(), state.as_str());
        }
        self.state = state;
    }

    fn enter_registered(&mut self, now: Mono) {
        self.attempts = 0;
        self.backoff.reset();
        self.last_fault = None;
        self.canon_due = Some(now);
        self.enter(State::Registered, "accepted");
        log::info!("alexos_registered agent_id={:?}", self.agent_id.as_deref().unwrap_or("-"));
    }

    fn enter_not_offered(&mut self, now: Mono, status: u16, rng: &mut Rng) {
        if !matches!(self.last_fault.as_deref(), Some(fault) if fault.starts_with("not offered")) {
            log::info!("alexos_registration_not_offered status={status} asked_again_in_min=15");
        }
        self.attempts = 0;
        self.backoff.reset();
        self.last_fault = Some(format!("not offered by this ALEX OS (status {status})"));
        let until = now.plus(rng.jittered(NOT_OFFERED_RECHECK_MS));
        self.enter(State::NotOffered { until }, "not offered");
    }

    fn enter_retrying(&mut self, now: Mono, fault: String, after_ms: u64, rng: &mut Rng) {
        self.attempts = self.attempts.saturating_add(1);
        let backoff = self.backoff.fail(rng);
        let spent = if self.attempts >= self.attempts_max { rng.jittered(BACKOFF_MAX_MS) } else { 0 };
        let wait = backoff.max(spent).max(after_ms.min(BACKOFF_MAX_MS));
        log::warn!(
            "alexos_registration_failed attempt={} why={fault:?} retry_in_s={}",
            self.attempts,
            wait / 1_000
        );
        self.last_fault = Some(fault);
        self.enter(State::Retrying { until: now.plus(wait) }, "failed");
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::Fault;
    use super::super::limits::CLOCK_RETRY_MS;
    use super::*;

    const RETRY: Verdict = Verdict::Retry { fault: Fault::Timeout, after_ms: None };

    fn registration() -> Registration {
        Registration::new(30_000, 3, None)
    }

    fn answer(registration: &mut Registration, now: u64, verdict: &Verdict) -> Change {
        registration.on_started(Wish::Register);
        registration.on_registered(Mono(now), Wall(5), verdict, Some("id-1".to_owned()), &mut Rng::new(1))
    }

    #[test]
    fn a_certificate_under_a_clock_that_may_be_wrong_uses_up_no_attempt() {
        let mut registration = registration();
        let mut now = 0;
        for _ in 0..100 {
            answer(&mut registration, now, &Verdict::Retry { fault: Fault::Clock, after_ms: None });
            let due = registration.deadline().expect("a retry").0;
            assert!((due - now).abs_diff(CLOCK_RETRY_MS) <= CLOCK_RETRY_MS / 10, "{}", due - now);
            assert!(registration.attention().is_none());
            now = due;
        }
    }

    #[test]
    fn it_registers_at_once_and_then_reads_the_canon() {
        let mut registration = registration();
        assert_eq!(registration.wish(Mono(0)), Some(Wish::Register));
        assert_eq!(answer(&mut registration, 10, &Verdict::Accepted), Change::Registered);
        assert_eq!(registration.state(), "registered");
        assert_eq!(registration.wish(Mono(10)), Some(Wish::Canon));
        registration.on_started(Wish::Canon);
        assert_eq!(registration.wish(Mono(10)), None);
    }

    #[test]
    fn failures_back_off_and_then_ask_for_attention_without_giving_up() {
        let mut registration = registration();
        let mut now = 0;
        for attempt in 1..=8 {
            answer(&mut registration, now, &RETRY);
            let due = registration.deadline().expect("a retry").0;
            let floor = if attempt >= 3 { 270_000 } else { 27_000 };
            assert!(due - now >= floor && due - now <= 330_000, "attempt {attempt}: {}", due - now);
            assert_eq!(registration.attention().is_some(), attempt >= 3);
            now = due;
        }
        assert_eq!(registration.state(), "failed");
        answer(&mut registration, now, &Verdict::Accepted);
        assert_eq!(registration.attention(), None);
    }

    #[test]
    fn a_peer_without_registration_is_asked_again_after_a_quarter_of_an_hour() {
        let mut registration = registration();
        answer(&mut registration, 0, &Verdict::NotOffered { status: 405 });
        assert_eq!(registration.state(), "not_offered");
        assert_eq!(registration.attention(), None);
        let due = registration.deadline().expect("asked again").0;
        assert!((810_000..=990_000).contains(&due), "{due}");
    }

    #[test]
    fn a_peer_that_forgot_us_is_registered_with_again() {
        let mut registration = registration();
        answer(&mut registration, 0, &Verdict::Accepted);
        registration.forget("it came back");
        assert_eq!(registration.wish(Mono(0)), Some(Wish::Register));
        assert_eq!(registration.facts().3, Some("id-1"), "its name for us is kept");
    }
}
