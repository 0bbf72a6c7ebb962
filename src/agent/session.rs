//! The session with AIWM: connect, heartbeat, renew, and what to do without it.
//!
//! ```text
//! connecting -> connected -> connecting (401, renewal due)
//! connecting -> waiting(local) (tries 1-2-4 s used up, then every retry interval) -> connecting
//! connecting -> waiting(suspended | gone | refused) -> connecting
//! connected  -> waiting(suspended | gone)
//! ```
//!
//! While a token is being renewed the old one goes on beating. A controller that refuses us is asked again slowly:
//! administrators mend things.

use super::backoff::Backoff;
use super::brain::setup::McpSetup;
use super::effect::{BeatStatus, Call};
use super::input::{AiwmReply, ControllerAnswer, Fault, Generation};
use super::limits::{BACKOFF_MAX_MS, NOT_OFFERED_RECHECK_MS};
use super::rng::Rng;
use super::setup::{AiwmSetup, Secret};
use super::time::{Mono, Wall};

/// Tries in quick succession before the local fallback (the guide's 1-2-4 s).
const QUICK_TRIES: u32 = 3;
/// The first of the quick waits, in milliseconds.
const QUICK_BASE_MS: u64 = 1_000;

/// Why the session waits before it connects again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitReason {
    Local,
    Suspended,
    Gone,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Connecting { at: Mono },
    Connected,
    Waiting { until: Mono, reason: WaitReason },
}

impl State {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Connected => "connected",
            Self::Waiting { reason: WaitReason::Local, .. } => "local",
            Self::Waiting { reason: WaitReason::Suspended, .. } => "suspended",
            Self::Waiting { reason: WaitReason::Gone, .. } => "gone",
            Self::Waiting { reason: WaitReason::Refused, .. } => "refused",
        }
    }
}

#[derive(Clone, Debug)]
struct Token {
    secret: Secret,
    renew_at: Mono,
    has_beaten: bool,
}

/// What an answer changed, for the agent to route.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing that others need to know.
    None,
    /// We are in. Whether a living token was replaced; the fact to write if the answer is another than the last.
    Connected {
        /// A living token was replaced.
        is_refresh: bool,
        /// `FactKey::Controller`'s new text.
        new_fact: Option<String>,
    },
    /// It did not let us in.
    ConnectFailed,
    /// It took a heartbeat.
    Beaten,
    /// It did not take a heartbeat.
    BeatFailed,
}

/// The session. See the module.
#[derive(Debug)]
pub struct Session {
    state: State,
    quick: Backoff,
    slow: Backoff,
    retry_interval_ms: u64,
    heartbeat_interval_ms: u64,
    reconnect_interval_ms: u64,
    token: Option<Token>,
    beat_at: Mono,
    says_online: bool,
    is_calling: bool,
    generation: Option<Generation>,
    answer: Option<ControllerAnswer>,
    fact: Option<String>,
    is_fresh: bool,
    last_connect: Option<Wall>,
    last_beat: Option<Mono>,
    last_fault: Option<String>,
    work: Option<String>,
}

impl Session {
    /// A session that connects at once; `remembered` is the controller's last good answer and its text in the ledger.
    #[must_use]
    pub fn new(
        setup: &AiwmSetup,
        remembered: Option<ControllerAnswer>,
        fact: Option<String>,
        now: Mono,
    ) -> Self {
        Self {
            state: State::Connecting { at: now },
            quick: Backoff::new(QUICK_BASE_MS, QUICK_BASE_MS << (QUICK_TRIES - 1)),
            slow: Backoff::new(setup.retry_interval_ms, setup.retry_interval_ms),
            retry_interval_ms: setup.retry_interval_ms,
            heartbeat_interval_ms: setup.heartbeat_interval_ms.max(1),
            reconnect_interval_ms: setup.reconnect_interval_ms.max(1),
            token: None,
            beat_at: now,
            says_online: setup.prefers_online,
            is_calling: false,
            generation: None,
            answer: remembered,
            fact,
            is_fresh: false,
            last_connect: None,
            last_beat: None,
            last_fault: None,
            work: None,
        }
    }

    /// The servers of further tools that the controller named.
    pub fn servers(&self) -> &[McpSetup] {
        self.answer.as_ref().map_or(&[], |answer| &answer.servers)
    }

    /// What the controller last said, and its text in the ledger: goes over into the session of another config.
    #[must_use]
    pub fn into_memory(self) -> (Option<ControllerAnswer>, Option<String>) {
        (self.answer, self.fact)
    }

    /// What the controller last said, in this run or one before.
    #[must_use]
    pub fn answer(&self) -> Option<&ControllerAnswer> {
        self.answer.as_ref()
    }

    /// The next call, if one is due. At most one is in flight. `is_busy` goes into a heartbeat.
    #[must_use]
    pub fn wish(&self, now: Mono, is_busy: bool) -> Option<Call> {
        if self.is_calling {
            return None;
        }
        if self.connect_due().is_some_and(|due| due <= now) {
            return Some(Call::AiwmConnect);
        }
        let token = self.token.as_ref()?;
        (self.may_beat() && self.beat_at <= now).then(|| Call::AiwmHeartbeat {
            token: token.secret.clone(),
            status: match is_busy {
                true => BeatStatus::Busy,
                false if self.says_online => BeatStatus::Online,
                false => BeatStatus::Idle,
            },
            metrics: None,
        })
    }

    fn may_beat(&self) -> bool {
        self.token.is_some()
            && !matches!(self.state, State::Waiting { reason, .. } if reason != WaitReason::Local)
    }

    fn connect_due(&self) -> Option<Mono> {
        match (&self.state, &self.token) {
            (State::Connecting { at }, _) => Some(*at),
            (State::Waiting { until, .. }, _) => Some(*until),
            (State::Connected, Some(token)) => Some(token.renew_at),
            (State::Connected, None) => Some(Mono(0)),
        }
    }

    /// When the next call is due, while none is in flight.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, super::timers::Timer)> {
        use super::timers::Timer;
        if self.is_calling {
            return None;
        }
        let connect = self.connect_due().map(|at| (at, Timer::Connect));
        let beat = self.may_beat().then_some((self.beat_at, Timer::Beat));
        [connect, beat].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The wished call is being carried out.
    pub fn on_started(&mut self) {
        self.is_calling = true;
    }

    /// AIWM answered a connect.
    pub fn on_connect(&mut self, now: Mono, at: Wall, reply: AiwmReply, rng: &mut Rng) -> Change {
        self.is_calling = false;
        match reply {
            AiwmReply::Connected { token, expires_in_s, answer, fact } => {
                return self.enter_connected(now, at, token, expires_in_s, *answer, fact, rng);
            }
            AiwmReply::Suspended => self.enter_waiting(now, WaitReason::Suspended, "agent is suspended", rng),
            AiwmReply::AgentGone => self.enter_waiting(now, WaitReason::Gone, "no such agent", rng),
            AiwmReply::Unauthorized { why } => self.enter_waiting(now, WaitReason::Refused, &why, rng),
            AiwmReply::WrongPath { status } => {
                let why = format!("no such path (status {status}): check aiwm.base_url");
                self.enter_waiting(now, WaitReason::Refused, &why, rng);
            }
            AiwmReply::Refused { status, why } => {
                self.enter_waiting(now, WaitReason::Refused, &format!("status {status}: {why}"), rng);
            }
            AiwmReply::ServerError { status } => self.enter_retrying(now, Fault::Status(status), 0, rng),
            AiwmReply::Failed { fault, after_ms } => {
                self.enter_retrying(now, fault, after_ms.unwrap_or(0), rng);
            }
            AiwmReply::Taken { .. } | AiwmReply::StatusRefused => {
                self.enter_retrying(now, Fault::Garbage, 0, rng);
            }
        }
        Change::ConnectFailed
    }

    /// AIWM answered a heartbeat.
    pub fn on_beat(&mut self, now: Mono, reply: AiwmReply, rng: &mut Rng) -> Change {
        self.is_calling = false;
        self.beat_at = now.plus(rng.jittered(self.heartbeat_interval_ms));
        match reply {
            AiwmReply::Taken { work } => {
                self.note_beat(now, work);
                return Change::Beaten;
            }
            AiwmReply::StatusRefused if self.says_online => {
                log::info!("aiwm_status_word from=online to=idle why=\"refused by this controller\"");
                self.says_online = false;
                self.beat_at = now;
            }
            AiwmReply::Unauthorized { why } => self.lose_token(now, &why, rng),
            AiwmReply::Suspended => {
                self.token = None;
                self.enter_waiting(now, WaitReason::Suspended, "agent is suspended", rng);
            }
            AiwmReply::AgentGone => {
                self.token = None;
                self.enter_waiting(now, WaitReason::Gone, "no such agent", rng);
            }
            AiwmReply::WrongPath { status } | AiwmReply::ServerError { status } => {
                self.note_fault(format!("heartbeat: status {status}"));
            }
            AiwmReply::Refused { status, why } => {
                self.note_fault(format!("heartbeat: status {status}: {why}"))
            }
            AiwmReply::Failed { fault, after_ms } => {
                self.note_fault(format!("heartbeat: {fault}"));
                let asked = now.plus(after_ms.unwrap_or(0).min(BACKOFF_MAX_MS));
                self.beat_at = self.beat_at.max(asked);
            }
            AiwmReply::Connected { .. } | AiwmReply::StatusRefused => {
                self.note_fault(format!("heartbeat: {}", Fault::Garbage));
            }
        }
        Change::BeatFailed
    }

    fn note_beat(&mut self, now: Mono, work: Option<String>) {
        if let Some(token) = &mut self.token {
            token.has_beaten = true;
        }
        self.quick.reset();
        self.slow.reset();
        if matches!(self.state, State::Connected) {
            self.last_fault = None;
        }
        self.last_beat = Some(now);
        self.work = work;
    }

    fn note_fault(&mut self, fault: String) {
        log::warn!("aiwm_call_failed why={fault:?}");
        self.last_fault = Some(fault);
    }

    /// The token is no good: connect at once if it was good before, else as after a failed connect, so that a
    /// controller that gives out useless tokens is not flooded.
    fn lose_token(&mut self, now: Mono, why: &str, rng: &mut Rng) {
        let was_good = self.token.take().is_some_and(|token| token.has_beaten);
        if was_good {
            self.last_fault = Some(format!("token refused: {why}"));
            self.enter(State::Connecting { at: now }, "token refused");
        } else {
            self.enter_retrying(now, Fault::Status(401), 0, rng);
        }
    }

    /// A good answer came: remember it, and beat at once.
    #[expect(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn enter_connected(
        &mut self,
        now: Mono,
        at: Wall,
        secret: Secret,
        expires_in_s: Option<u64>,
        answer: ControllerAnswer,
        fact: String,
        rng: &mut Rng,
    ) -> Change {
        let is_refresh = self.token.is_some();
        let lifetime_ms = expires_in_s.map_or(u64::MAX, |s| s.saturating_mul(1_000) / 20 * 19);
        let renew_ms = self.reconnect_interval_ms.min(lifetime_ms).max(1_000);
        let renew_at = now.plus(renew_ms - rng.between(0, renew_ms / 20));
        let was_proven = self.token.as_ref().is_some_and(|token| token.has_beaten);
        self.token = Some(Token { secret, renew_at, has_beaten: was_proven });
        self.generation = Some(answer.generation);
        self.answer = Some(answer);
        self.is_fresh = true;
        self.last_connect = Some(at);
        self.last_fault = None;
        self.beat_at = now;
        self.enter(State::Connected, "accepted");
        log::info!(
            "aiwm_connected generation={} renewed_in_s={}",
            self.generation.map_or("-", Generation::as_str),
            renew_ms / 1_000
        );
        let new_fact = (self.fact.as_ref() != Some(&fact)).then(|| fact.clone());
        self.fact = Some(fact);
        Change::Connected { is_refresh, new_fact }
    }

    fn enter_retrying(&mut self, now: Mono, fault: Fault, after_ms: u64, rng: &mut Rng) {
        self.last_fault = Some(format!("connect: {fault}"));
        let after = after_ms.min(BACKOFF_MAX_MS);
        if self.quick.failures() < QUICK_TRIES {
            let wait = self.quick.fail(rng).max(after);
            log::warn!("aiwm_connect_failed why=\"{fault}\" retry_in_ms={wait}");
            self.enter(State::Connecting { at: now.plus(wait) }, "failed");
        } else {
            let wait = match fault.own_wait_ms() {
                Some(wait) => rng.jittered(wait),
                None => self.slow.fail(rng).max(after),
            };
            log::warn!("aiwm_unavailable why=\"{fault}\" local=true retry_in_s={}", wait / 1_000);
            self.enter(State::Waiting { until: now.plus(wait), reason: WaitReason::Local }, "tries used up");
        }
    }

    fn enter_waiting(&mut self, now: Mono, reason: WaitReason, why: &str, rng: &mut Rng) {
        let plain = match reason {
            WaitReason::Gone => self.retry_interval_ms.max(NOT_OFFERED_RECHECK_MS),
            WaitReason::Local | WaitReason::Suspended | WaitReason::Refused => self.retry_interval_ms,
        };
        self.token = None;
        let wait = rng.jittered(plain);
        self.last_fault = Some(why.to_owned());
        self.enter(State::Waiting { until: now.plus(wait), reason }, why);
        log::error!("aiwm_refused state={} why={why:?} retry_in_s={}", self.state.as_str(), wait / 1_000);
    }

    fn enter(&mut self, state: State, why: &str) {
        if self.state.as_str() != state.as_str() {
            log::debug!("session from={} to={} why={why:?}", self.state.as_str(), state.as_str());
        }
        self.state = state;
    }

    /// Whether we are in.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// The goodbye, if this controller takes one. Generation a answers 404 to it.
    #[must_use]
    pub fn farewell(&self, reason: &'static str) -> Option<Call> {
        let token = self.token.as_ref()?;
        let is_offered = self.generation != Some(Generation::A);
        is_offered.then(|| Call::AiwmDisconnect { token: token.secret.clone(), reason })
    }

    /// Why someone should look, if someone should.
    #[must_use]
    pub fn attention(&self) -> Option<String> {
        let State::Waiting { reason, .. } = &self.state else { return None };
        let fault = self.last_fault.as_deref().unwrap_or("");
        match reason {
            WaitReason::Local => None,
            WaitReason::Suspended => Some("AIWM has suspended this agent".to_owned()),
            WaitReason::Gone => Some("AIWM does not know this agent: check aiwm.agent_id".to_owned()),
            WaitReason::Refused => Some(format!("AIWM refuses this agent: {fault}")),
        }
    }

    /// For `/status`.
    #[must_use]
    pub fn status(&self, now: Mono) -> super::status::AiwmStatus<'_> {
        let answer = self.answer.as_ref();
        super::status::AiwmStatus {
            state: self.state.as_str(),
            generation: self.generation,
            last_connect: self.last_connect,
            last_beat_age_ms: self.last_beat.map(|at| now.since(at)),
            last_fault: self.last_fault.as_deref(),
            next_try_in_ms: match &self.state {
                State::Connected => None,
                State::Connecting { .. } | State::Waiting { .. } => {
                    self.connect_due().map(|due| due.since(now))
                }
            },
            instruction_bytes: answer.map_or(0, |answer| answer.instruction.len()),
            is_fresh: self.is_fresh,
            tools: answer.and_then(|answer| answer.tools.as_deref()),
            settings: answer.map(|answer| answer.settings.as_slice()).unwrap_or_default(),
            work: self.work.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> AiwmSetup {
        AiwmSetup {
            heartbeat_interval_ms: 60_000,
            reconnect_interval_ms: 82_800_000,
            retry_interval_ms: 300_000,
            request_timeout_ms: 10_000,
            ..AiwmSetup::default()
        }
    }

    fn session() -> Session {
        Session::new(&setup(), None, None, Mono(0))
    }

    fn welcome(token: &str) -> AiwmReply {
        AiwmReply::Connected {
            token: Secret(token.to_owned()),
            expires_in_s: Some(86_400),
            answer: Box::default(),
            fact: "{}".to_owned(),
        }
    }

    fn connect(session: &mut Session, now: u64, reply: AiwmReply) -> Change {
        assert_eq!(session.wish(Mono(now), false), Some(Call::AiwmConnect), "at {now}");
        session.on_started();
        session.on_connect(Mono(now), Wall(1), reply, &mut Rng::new(3))
    }

    fn beat(session: &mut Session, now: u64, reply: AiwmReply) -> Change {
        assert!(matches!(session.wish(Mono(now), false), Some(Call::AiwmHeartbeat { .. })), "at {now}");
        session.on_started();
        session.on_beat(Mono(now), reply, &mut Rng::new(3))
    }

    fn due(session: &Session) -> u64 {
        session.deadline().expect("something is due").0.0
    }

    const LOST: AiwmReply = AiwmReply::Failed { fault: Fault::Timeout, after_ms: None };
    const TAKEN: AiwmReply = AiwmReply::Taken { work: None };

    #[test]
    fn it_connects_then_beats_at_once_and_every_minute() {
        let mut session = session();
        let change = connect(&mut session, 0, welcome("t"));
        assert_eq!(change, Change::Connected { is_refresh: false, new_fact: Some("{}".to_owned()) });
        assert_eq!(beat(&mut session, 0, TAKEN), Change::Beaten);
        assert!((54_000..=66_000).contains(&due(&session)));
        assert_eq!(session.status(Mono(5)).last_beat_age_ms, Some(5));
    }

    #[test]
    fn three_quick_tries_then_local_and_every_five_minutes() {
        let mut session = session();
        let mut now = 0;
        for plain in [1_000u64, 2_000, 4_000, 300_000, 300_000] {
            connect(&mut session, now, LOST);
            let wait = due(&session) - now;
            assert!(wait.abs_diff(plain) <= plain / 10, "{wait} is not about {plain}");
            now += wait;
        }
        assert_eq!(session.status(Mono(now)).state, "local");
        assert_eq!(session.attention(), None, "a controller out of reach is no one's fault");
        connect(&mut session, now, welcome("t"));
        assert!(session.is_connected());
    }

    #[test]
    fn a_refused_token_is_replaced_at_once_but_useless_tokens_do_not_flood() {
        let mut session = session();
        connect(&mut session, 0, welcome("t"));
        beat(&mut session, 0, TAKEN);
        let later = due(&session);
        beat(&mut session, later, AiwmReply::Unauthorized { why: String::new() });
        let mut now = later;
        connect(&mut session, now, welcome("u"));
        let mut waits = Vec::new();
        for _ in 0..5 {
            beat(&mut session, now, AiwmReply::Unauthorized { why: String::new() });
            waits.push(due(&session) - now);
            now = due(&session);
            connect(&mut session, now, welcome("v"));
        }
        assert!(waits[0] >= 900 && waits[4] >= 270_000, "{waits:?}");
    }

    #[test]
    fn the_token_is_renewed_before_it_ends_while_the_old_one_beats() {
        let mut session = session();
        connect(&mut session, 0, welcome("old"));
        beat(&mut session, 0, TAKEN);
        let renew_at = session.token.as_ref().expect("a token").renew_at.0;
        assert!((78_660_000..=82_800_000).contains(&renew_at), "{renew_at}");
        assert_eq!(session.wish(Mono(renew_at), false), Some(Call::AiwmConnect));
        connect(&mut session, renew_at, LOST);
        beat(&mut session, renew_at, TAKEN);
        let retry = due(&session);
        let change = connect(&mut session, retry, welcome("new"));
        assert_eq!(change, Change::Connected { is_refresh: true, new_fact: None });
    }

    #[test]
    fn a_suspended_agent_is_not_retried_as_unknown() {
        let mut session = session();
        connect(&mut session, 0, AiwmReply::Suspended);
        assert_eq!(session.status(Mono(0)).state, "suspended");
        assert!(session.attention().expect("someone should look").contains("suspended"));
        assert!((270_000..=330_000).contains(&due(&session)));
    }

    #[test]
    fn a_deleted_agent_stops_beating_and_asks_slowly() {
        let mut session = session();
        connect(&mut session, 0, welcome("t"));
        beat(&mut session, 0, AiwmReply::AgentGone);
        assert_eq!(session.status(Mono(0)).state, "gone");
        assert!(due(&session) >= 810_000);
        assert_eq!(session.wish(Mono(800_000), false), None, "no heartbeat without a token");
    }

    #[test]
    fn a_controller_that_does_not_know_online_is_sent_idle_for_good() {
        let mut session = Session::new(&AiwmSetup { prefers_online: true, ..setup() }, None, None, Mono(0));
        connect(&mut session, 0, welcome("t"));
        let status = |session: &Session| match session.wish(Mono(0), false) {
            Some(Call::AiwmHeartbeat { status, .. }) => status,
            other => panic!("a heartbeat is due, not {other:?}"),
        };
        assert_eq!(status(&session), BeatStatus::Online);
        beat(&mut session, 0, AiwmReply::StatusRefused);
        assert_eq!(status(&session), BeatStatus::Idle);
        beat(&mut session, 0, AiwmReply::StatusRefused);
        assert!(due(&session) >= 54_000, "idle refused is not tried again at once");
    }

    #[test]
    fn a_goodbye_is_said_where_it_is_offered() {
        let mut session = session();
        assert_eq!(session.farewell("x"), None, "not connected");
        let answer = ControllerAnswer { generation: Generation::B, ..ControllerAnswer::default() };
        let welcome = AiwmReply::Connected {
            token: Secret("t".to_owned()),
            expires_in_s: None,
            answer: Box::new(answer),
            fact: String::new(),
        };
        connect(&mut session, 0, welcome);
        assert!(matches!(session.farewell("x"), Some(Call::AiwmDisconnect { .. })));
    }
}
