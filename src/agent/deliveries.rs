//! Deliveries: a cursor into the log for every destination, in order, at least once.
//!
//! ```text
//! idle -> fetching -> sending -> idle (taken: the cursor moves on)
//!                             -> waiting (worth again) -> fetching
//!                             -> idle (refused for good: parked as a dead letter, the cursor moves on)
//!                             -> disabled (410)
//! ```
//!
//! The log is the queue: no event is held here while it waits, it is read again. A moved cursor is written along with
//! the next commit, or by itself after `CURSOR_LAG_MAX_MS`.

use super::backoff::Backoff;
use super::event::EventFilter;
use super::ids::{CallId, Destination, Seq};
use super::input::{Fault, Verdict};
use super::limits::{BACKOFF_MAX_MS, CURSOR_LAG_MAX_MS, NOT_OFFERED_TIMES};
use super::memory::Write;
use super::rng::Rng;
use super::status::DestinationStatus;
use super::time::{HOUR_MS, MINUTE_MS, Mono, SECOND_MS};

/// Waits before each repetition of a webhook, in milliseconds (Standard Webhooks' schedule). After the last it is parked.
pub const HOOK_SCHEDULE_MS: [u64; 9] = [
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
];
/// The longest `Retry-After` that is honoured, in milliseconds.
const RETRY_AFTER_MAX_MS: u64 = 24 * HOUR_MS;
/// Failures in a row after which a destination counts as missing.
const FAILING_ATTEMPTS: u32 = 3;
/// First wait of the backoff towards ALEX OS, in milliseconds.
const ALEXOS_BACKOFF_BASE_MS: u64 = SECOND_MS;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Fetching,
    Sending { call: CallId, seq: Seq, is_news: bool },
    Waiting { until: Mono },
    Disabled,
}

/// What became of a delivery, for the agent to route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It went well, or nothing was at stake.
    None,
    /// Delivered.
    Taken,
    /// It is tried again.
    Retried,
    /// Given up on this event.
    Parked {
        /// The event.
        seq: Seq,
        /// Why, for people.
        why: String,
        /// It was itself the news of a dead letter: no event is made of it, so that there is no chain of them.
        is_news: bool,
    },
    /// The destination said 410.
    Disabled,
    /// The path is not offered (ALEX OS): the agent finds another.
    NotOffered,
}

/// One reader of the log.
#[derive(Debug)]
pub struct Delivery {
    /// For whom.
    pub destination: Destination,
    /// Which events it wants.
    pub filter: EventFilter,
    key: String,
    shown: String,
    state: State,
    cursor: Seq,
    moved_at: Option<Mono>,
    backoff: Backoff,
    attempts: u32,
    last_fault: Option<String>,
    /// The ledger could not be read for it the last time.
    is_unreadable: bool,
    /// Which event, after how many confirmations of a path the last time, and how often.
    not_offered: Option<(Seq, u64, u32)>,
}

impl Delivery {
    /// A reader that has everything up to `cursor` behind it.
    #[must_use]
    pub fn new(destination: Destination, filter: EventFilter, shown: String, cursor: Seq) -> Self {
        Self {
            key: destination.key(),
            destination,
            filter,
            shown,
            state: State::Idle,
            cursor,
            moved_at: None,
            backoff: Backoff::new(ALEXOS_BACKOFF_BASE_MS, BACKOFF_MAX_MS),
            attempts: 0,
            last_fault: None,
            is_unreadable: false,
            not_offered: None,
        }
    }

    fn is_alexos(&self) -> bool {
        self.destination == Destination::Alexos
    }

    /// The last event behind it.
    #[must_use]
    pub fn cursor(&self) -> Seq {
        self.cursor
    }

    /// Whether there may be something to send now.
    #[must_use]
    pub fn is_due(&self, now: Mono, durable: Seq) -> bool {
        self.cursor < durable
            && match self.state {
                State::Idle => true,
                State::Waiting { until } => until <= now,
                State::Fetching | State::Sending { .. } | State::Disabled => false,
            }
    }

    /// When it may be due, if it waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Idle | State::Fetching | State::Sending { .. } | State::Disabled => None,
        }
    }

    /// When its moved cursor must be written.
    #[must_use]
    pub fn write_deadline(&self) -> Option<Mono> {
        self.moved_at.map(|at| at.plus(CURSOR_LAG_MAX_MS))
    }

    /// The write for its cursor, if it moved.
    pub fn take_write(&mut self) -> Option<Write> {
        self.moved_at.take()?;
        Some(Write::Cursor { destination: self.destination.clone(), seq: self.cursor })
    }

    /// Whether a place in the calls is taken.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.state, State::Fetching | State::Sending { .. })
    }

    /// Whether it said 410.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.state == State::Disabled
    }

    /// The next event is being read.
    pub fn on_fetch_started(&mut self) {
        self.enter(State::Fetching, "due");
    }

    /// Nothing that it wants was found up to `upto`.
    pub fn on_nothing(&mut self, now: Mono, upto: Seq) {
        if self.state == State::Fetching {
            self.is_unreadable = false;
            self.advance(now, upto);
            self.enter(State::Idle, "nothing wanted");
        }
    }

    /// The ledger could not be read.
    pub fn on_unreadable(&mut self, now: Mono, rng: &mut Rng) {
        if self.state == State::Fetching {
            let wait = self.backoff.fail(rng);
            self.is_unreadable = true;
            self.enter(State::Waiting { until: now.plus(wait) }, "ledger unreadable");
        }
    }

    /// The ledger works again: whoever waits because of it need not. Those waits are not counted against the peer.
    pub fn on_ledger_well(&mut self) {
        if std::mem::take(&mut self.is_unreadable) {
            self.backoff.reset();
            self.wake();
        }
    }

    /// Whether it waits for a fetch.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        self.state == State::Fetching
    }

    /// The fetched event is on its way. `is_news`: it tells of a dead letter.
    pub fn on_sending(&mut self, call: CallId, seq: Seq, is_news: bool) {
        self.is_unreadable = false;
        self.enter(State::Sending { call, seq, is_news }, "fetched");
    }

    /// The fetched event is not sent after all.
    pub fn release(&mut self) {
        self.enter(State::Idle, "not sent");
    }

    /// Whether this call is its.
    #[must_use]
    pub fn is_sending(&self, id: CallId) -> bool {
        matches!(self.state, State::Sending { call, .. } if call == id)
    }

    /// A peer answered. `path_confirmations` tells whether ALEX OS took something else since the last "not offered"; `None` over a
    /// path that is the same for all types, where that says nothing of this one.
    pub fn on_answer(
        &mut self,
        now: Mono,
        verdict: Verdict,
        path_confirmations: Option<u64>,
        rng: &mut Rng,
    ) -> Change {
        let State::Sending { seq, .. } = self.state else { return Change::None };
        match verdict {
            Verdict::Accepted => self.enter_taken(now, seq),
            Verdict::NotOffered { status } if self.is_alexos() => {
                self.on_not_offered(now, seq, status, path_confirmations)
            }
            Verdict::NotOffered { status } => self.enter_failed(now, seq, Fault::Status(status), None, rng),
            Verdict::Retry { fault, after_ms } => self.enter_failed(now, seq, fault, after_ms, rng),
            Verdict::Denied { status, why } => {
                let change = self.enter_failed(now, seq, Fault::Status(status), Some(BACKOFF_MAX_MS), rng);
                self.last_fault = Some(format!("status {status}: {why}"));
                change
            }
            Verdict::Refused { status, why } if self.is_alexos() => {
                self.enter_parked(now, seq, format!("status {status}: {why}"))
            }
            Verdict::Refused { status, .. } => self.enter_failed(now, seq, Fault::Status(status), None, rng),
            Verdict::Gone if self.is_alexos() => self.enter_parked(now, seq, "status 410".to_owned()),
            Verdict::Gone => {
                self.enter_disabled();
                Change::Disabled
            }
        }
    }

    /// ALEX OS does not have the path. An event that is not offered again and again, while others were taken in between, is
    /// itself the reason. Twice is not enough: between two outages a report may have been taken and the event not tried.
    fn on_not_offered(&mut self, now: Mono, seq: Seq, status: u16, confirmations: Option<u64>) -> Change {
        if let Some(confirmations) = confirmations {
            let times = match self.not_offered {
                Some((before, at, times)) if before == seq => times + u32::from(at < confirmations),
                _ => 1,
            };
            if times >= NOT_OFFERED_TIMES {
                return self.enter_parked(
                    now,
                    seq,
                    format!("status {status}: this event type is not offered"),
                );
            }
            self.not_offered = Some((seq, confirmations, times));
        }
        self.last_fault = Some(format!("not offered (status {status})"));
        self.enter(State::Idle, "path not offered");
        Change::NotOffered
    }

    fn enter_taken(&mut self, now: Mono, seq: Seq) -> Change {
        self.advance(now, seq);
        self.enter(State::Idle, "taken");
        Change::Taken
    }

    fn enter_parked(&mut self, now: Mono, seq: Seq, why: String) -> Change {
        log::warn!("delivery_parked destination={} seq={} why={why:?}", self.destination.key(), seq.0);
        let is_news = matches!(self.state, State::Sending { is_news: true, .. });
        self.advance(now, seq);
        self.last_fault = Some(why.clone());
        self.enter(State::Idle, "parked");
        Change::Parked { seq, why, is_news }
    }

    fn enter_disabled(&mut self) {
        log::warn!("webhook_disabled destination={} why=\"status 410\"", self.destination.key());
        self.last_fault = Some("status 410: disabled until the config is reloaded".to_owned());
        self.moved_at = None;
        self.enter(State::Disabled, "410");
    }

    /// Makes a reader disabled from the start: it said 410 in an earlier run.
    pub fn stay_disabled(&mut self) {
        self.enter_disabled();
    }

    fn enter_failed(
        &mut self,
        now: Mono,
        seq: Seq,
        fault: Fault,
        after_ms: Option<u64>,
        rng: &mut Rng,
    ) -> Change {
        self.last_fault = Some(fault.to_string());
        if let Some(wait) = fault.own_wait_ms() {
            self.enter(State::Waiting { until: now.plus(rng.jittered(wait)) }, "not the peer's fault");
            return Change::Retried;
        }
        let place = self.attempts as usize;
        self.attempts = self.attempts.saturating_add(1);
        let plain = if self.is_alexos() {
            self.backoff.fail(rng)
        } else {
            match HOOK_SCHEDULE_MS.get(place) {
                Some(wait) => rng.jittered(*wait),
                None => {
                    return self.enter_parked(now, seq, format!("{fault} after {} tries", self.attempts));
                }
            }
        };
        let wait = plain.max(after_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS));
        log::debug!(
            "delivery_failed destination={} seq={} attempt={} why=\"{fault}\" retry_in_ms={wait}",
            self.destination.key(),
            seq.0,
            self.attempts
        );
        self.enter(State::Waiting { until: now.plus(wait) }, "failed");
        Change::Retried
    }

    fn advance(&mut self, now: Mono, seq: Seq) {
        self.attempts = 0;
        self.backoff.reset();
        self.last_fault = None;
        if seq > self.cursor {
            self.cursor = seq;
            self.moved_at.get_or_insert(now);
        }
    }

    /// The ledger dropped everything before `oldest`. How many places were lost to this reader.
    pub fn on_oldest(&mut self, now: Mono, oldest: Seq) -> u64 {
        // What a busy one loses shows when it asks for the next.
        if self.is_busy() { 0 } else { self.skip_to(now, oldest) }
    }

    /// The same while it asks.
    pub fn skip_to(&mut self, now: Mono, oldest: Seq) -> u64 {
        let first_kept = Seq(oldest.0.saturating_sub(1));
        if self.cursor >= first_kept || self.is_disabled() {
            return 0;
        }
        let lost = first_kept.0 - self.cursor.0;
        self.advance(now, first_kept);
        lost
    }

    /// Whether its event has failed several times in a row.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.attempts >= FAILING_ATTEMPTS || self.backoff.failures() >= FAILING_ATTEMPTS
    }

    /// Its cursor is news to the ledger.
    pub fn mark_moved(&mut self, now: Mono) {
        if !self.is_disabled() {
            self.moved_at.get_or_insert(now);
        }
    }

    /// The config was read again: `fresh` is this reader as it would be made from it. What is underway stays so; what
    /// waits is tried at once, and its schedule begins anew.
    pub fn on_reconfigured(&mut self, fresh: Self) {
        self.filter = fresh.filter;
        self.shown = fresh.shown;
        self.attempts = 0;
        self.backoff.reset();
        self.wake();
    }

    /// The peer may be well again (config reloaded, ALEX OS back): do not wait any longer.
    pub fn wake(&mut self) {
        if matches!(self.state, State::Waiting { .. }) {
            self.enter(State::Idle, "woken");
        }
    }

    fn enter(&mut self, state: State, why: &str) {
        log::trace!("delivery destination={} to={state:?} why={why:?}", self.destination.key());
        self.state = state;
    }

    /// For `/status`.
    #[must_use]
    pub fn status(&self, now: Mono, durable: Seq) -> DestinationStatus<'_> {
        DestinationStatus {
            key: &self.key,
            shown: &self.shown,
            state: match self.state {
                State::Idle => "idle",
                State::Fetching | State::Sending { .. } => "sending",
                State::Waiting { .. } => "waiting",
                State::Disabled => "disabled",
            },
            cursor: self.cursor,
            behind: durable.0.saturating_sub(self.cursor.0),
            attempts: self.attempts,
            next_try_in_ms: self.deadline().map(|until| until.since(now)),
            last_fault: self.last_fault.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::{CLOCK_RETRY_MS, LOCAL_RETRY_MS};
    use super::*;

    const RETRY: Verdict = Verdict::Retry { fault: Fault::Timeout, after_ms: None };

    fn delivery(destination: Destination) -> Delivery {
        Delivery::new(destination, EventFilter::default(), "x".to_owned(), Seq(0))
    }

    fn hook() -> Delivery {
        delivery(Destination::Hook("k".to_owned()))
    }

    fn send(delivery: &mut Delivery, now: u64, seq: u64, verdict: Verdict, confirmations: u64) -> Change {
        assert!(delivery.is_due(Mono(now), Seq(99)), "due at {now}");
        delivery.on_fetch_started();
        delivery.on_sending(CallId(1), Seq(seq), false);
        delivery.on_answer(Mono(now), verdict, Some(confirmations), &mut Rng::new(5))
    }

    #[test]
    fn a_ledger_that_works_again_ends_the_waits_that_it_caused_and_no_others() {
        let mut delivery = delivery(Destination::Alexos);
        for now in [0, 100_000, 200_000, 400_000] {
            assert!(delivery.is_due(Mono(now), Seq(99)));
            delivery.on_fetch_started();
            delivery.on_unreadable(Mono(now), &mut Rng::new(5));
        }
        assert!(!delivery.is_due(Mono(400_001), Seq(99)), "it waits");
        assert!(delivery.is_failing());
        delivery.on_ledger_well();
        assert!(delivery.is_due(Mono(400_001), Seq(99)));
        assert!(!delivery.is_failing(), "that was not its peer");
        assert_eq!(send(&mut delivery, 400_001, 3, RETRY, 0), Change::Retried);
        delivery.on_ledger_well();
        assert!(!delivery.is_due(Mono(400_002), Seq(99)), "it waits for its peer");
    }

    #[test]
    fn a_taken_event_moves_the_cursor_and_writes_it_later() {
        let mut delivery = delivery(Destination::Alexos);
        assert_eq!(send(&mut delivery, 100, 3, Verdict::Accepted, 0), Change::Taken);
        assert_eq!(delivery.cursor(), Seq(3));
        assert_eq!(delivery.write_deadline(), Some(Mono(2_100)));
        assert_eq!(
            delivery.take_write(),
            Some(Write::Cursor { destination: Destination::Alexos, seq: Seq(3) })
        );
        assert_eq!(delivery.take_write(), None);
    }

    #[test]
    fn a_webhook_is_tried_ten_times_over_its_schedule_and_then_parked() {
        let mut delivery = hook();
        let mut now = 0;
        for plain in HOOK_SCHEDULE_MS {
            assert_eq!(send(&mut delivery, now, 1, RETRY, 0), Change::Retried);
            let wait = delivery.deadline().expect("a wait").0 - now;
            assert!(wait.abs_diff(plain) <= plain / 10, "{wait} is not about {plain}");
            now += wait;
        }
        assert!(matches!(send(&mut delivery, now, 1, RETRY, 0), Change::Parked { seq: Seq(1), .. }));
        assert!(delivery.is_due(Mono(now), Seq(99)), "the next event starts afresh");
    }

    #[test]
    fn what_is_not_the_peers_fault_uses_up_no_try() {
        for (fault, plain) in [(Fault::Clock, CLOCK_RETRY_MS), (Fault::Local, LOCAL_RETRY_MS)] {
            for mut delivery in [hook(), delivery(Destination::Alexos)] {
                let mut now = 0;
                for _ in 0..1_000 {
                    let verdict = Verdict::Retry { fault, after_ms: None };
                    assert_eq!(send(&mut delivery, now, 1, verdict, 0), Change::Retried);
                    let wait = delivery.deadline().expect("a wait").0 - now;
                    assert!(wait.abs_diff(plain) <= plain / 10, "{wait}");
                    now += wait;
                }
                assert_eq!(delivery.attempts, 0);
            }
        }
    }

    #[test]
    fn alexos_is_tried_forever_at_most_five_minutes_apart() {
        let mut delivery = delivery(Destination::Alexos);
        let mut now = 0;
        for _ in 0..50 {
            assert_eq!(send(&mut delivery, now, 1, RETRY, 0), Change::Retried);
            let wait = delivery.deadline().expect("a wait").0 - now;
            assert!(wait <= 330_000);
            now += wait;
        }
    }

    #[test]
    fn retry_after_is_honoured() {
        let mut delivery = hook();
        send(&mut delivery, 0, 1, Verdict::Retry { fault: Fault::Status(429), after_ms: Some(60_000) }, 0);
        assert_eq!(delivery.deadline(), Some(Mono(60_000)));
    }

    #[test]
    fn a_refused_event_is_parked_for_alexos_and_repeated_for_a_webhook() {
        let refused = || Verdict::Refused { status: 422, why: "no".to_owned() };
        let mut alexos = delivery(Destination::Alexos);
        assert!(matches!(send(&mut alexos, 0, 1, refused(), 0), Change::Parked { .. }));
        assert_eq!(send(&mut hook(), 0, 1, refused(), 0), Change::Retried);
    }

    #[test]
    fn a_peer_that_does_not_let_us_in_loses_no_event() {
        let mut alexos = delivery(Destination::Alexos);
        let denied = Verdict::Denied { status: 401, why: "who".to_owned() };
        assert_eq!(send(&mut alexos, 0, 1, denied, 0), Change::Retried);
        assert_eq!(alexos.cursor(), Seq(0));
    }

    #[test]
    fn gone_disables_a_webhook() {
        let mut delivery = hook();
        assert_eq!(send(&mut delivery, 0, 1, Verdict::Gone, 0), Change::Disabled);
        assert!(!delivery.is_due(Mono(u64::MAX), Seq(99)));
    }

    #[test]
    fn an_event_type_that_is_not_offered_does_not_hold_up_the_others() {
        let mut alexos = delivery(Destination::Alexos);
        let missing = || Verdict::NotOffered { status: 404 };
        assert_eq!(send(&mut alexos, 0, 1, missing(), 4), Change::NotOffered);
        assert_eq!(send(&mut alexos, 0, 1, missing(), 4), Change::NotOffered, "the other path");
        assert_eq!(send(&mut alexos, 0, 1, missing(), 5), Change::NotOffered, "perhaps it was away twice");
        assert_eq!(send(&mut alexos, 0, 1, missing(), 5), Change::NotOffered);
        assert!(matches!(send(&mut alexos, 0, 1, missing(), 6), Change::Parked { .. }));
    }

    #[test]
    fn what_the_ledger_dropped_is_counted_as_lost() {
        let mut alexos = delivery(Destination::Alexos);
        assert_eq!(alexos.on_oldest(Mono(0), Seq(11)), 10);
        assert_eq!(alexos.cursor(), Seq(10));
        assert_eq!(alexos.on_oldest(Mono(0), Seq(11)), 0);
    }
}
