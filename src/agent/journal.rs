//! Gathers what must become durable and commits it in groups, one commit at a time.
//!
//! ```text
//! idle -> (something waits) -> committing -> idle
//!                              committing -> faulted (commit failed) -> committing (the same writes again)
//! ```
//!
//! A commit goes out at once when a caller waits for it or `COMMIT_BATCH_RECORDS` writes gathered, else after
//! `COMMIT_GATHER_MS`. What gathers while a commit is in flight goes with the next. After a failure the outcome is
//! unknown: the callers are told to come again, and the same writes are tried until they are in.
//!
//! Not here: the ledger. `shell/committer.rs` carries the writes out.

use std::sync::Arc;

use super::backoff::Backoff;
use super::effect::IntakeAnswer;
use super::event::{Event, EventDraft};
use super::ids::{DedupeKey, EventId, LedgerId, RequestId, Seq, Ticket};
use super::input::CommitFault;
use super::limits::{
    COMMIT_BATCH_RECORDS, COMMIT_GATHER_MS, COMMIT_WAIT_MAX_MS, JOURNAL_BYTES_MAX, JOURNAL_WRITES_MAX,
};
use super::memory::Write;
use super::rng::Rng;
use super::time::{Mono, Wall};
use super::timers::Timer;

/// First and longest wait after a failed commit, in milliseconds.
const RETRY_BASE_MS: u64 = 1_000;
const RETRY_CAP_MS: u64 = 8_000;

/// A caller that waits until its event is durable.
#[derive(Debug)]
struct Waiter {
    request: RequestId,
    seq: Seq,
    is_duplicate: bool,
    since: Mono,
}

/// Writes that travel together, and who waits for them.
#[derive(Debug, Default)]
struct Batch {
    writes: Vec<Write>,
    bytes: usize,
    waiters: Vec<Waiter>,
    since: Option<Mono>,
    /// It does not wait for company.
    is_urgent: bool,
    /// Which batch it is, counted from 0.
    place: u64,
}

impl Batch {
    fn push(&mut self, now: Mono, write: Write) {
        self.bytes += write.bytes();
        self.writes.push(write);
        self.since.get_or_insert(now);
    }

    fn seq_of(&self, wanted: DedupeKey) -> Option<Seq> {
        seq_of(&self.writes, wanted)
    }

    fn seal(self) -> Sealed {
        let Self { writes, bytes, waiters, place, .. } = self;
        Sealed { writes: writes.into(), bytes, waiters, place }
    }
}

/// A batch that nothing is added to. Its writes are shared with whoever commits them: they are in memory once.
#[derive(Debug)]
struct Sealed {
    writes: Arc<[Write]>,
    bytes: usize,
    waiters: Vec<Waiter>,
    place: u64,
}

impl Sealed {
    fn seq_of(&self, wanted: DedupeKey) -> Option<Seq> {
        seq_of(&self.writes, wanted)
    }
}

fn seq_of(writes: &[Write], wanted: DedupeKey) -> Option<Seq> {
    writes.iter().find_map(|write| match write {
        Write::Inbox { key, seq } if *key == wanted => Some(*seq),
        _ => None,
    })
}

#[derive(Debug)]
enum State {
    Idle,
    Committing { ticket: Ticket, batch: Sealed },
    Faulted { retry_at: Mono, batch: Sealed },
}

/// What became of an event that a peer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It goes with the next commit.
    New,
    /// Its key waits for a commit already.
    Known,
    /// There is no room for it.
    Full,
}

/// What became of the callers of a batch.
pub type Answers = Vec<(RequestId, IntakeAnswer)>;

/// The journal. See the module.
#[derive(Debug)]
pub struct Journal {
    ledger: LedgerId,
    last: Seq,
    durable: Seq,
    next_ticket: u64,
    gathering: Batch,
    state: State,
    last_fault: Option<CommitFault>,
    backoff: Backoff,
    /// Batches that are durable.
    durable_batches: u64,
}

impl Journal {
    /// A journal that continues after `last`.
    #[must_use]
    pub fn new(ledger: LedgerId, last: Seq) -> Self {
        Self {
            ledger,
            last,
            durable: last,
            next_ticket: 1,
            gathering: Batch::default(),
            state: State::Idle,
            last_fault: None,
            backoff: Backoff::new(RETRY_BASE_MS, RETRY_CAP_MS),
            durable_batches: 0,
        }
    }

    /// The ledger's name.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The newest durable event.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// Why the last commit failed, until one succeeds.
    #[must_use]
    pub fn fault(&self) -> Option<CommitFault> {
        self.last_fault
    }

    /// Writes that are not durable yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.gathering.writes.len() + self.batch().map_or(0, |batch| batch.writes.len())
    }

    /// The batch that what is pushed now goes with.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.gathering.place
    }

    /// Whether everything that went with this batch is durable.
    #[must_use]
    pub fn is_durable(&self, place: u64) -> bool {
        place < self.durable_batches
    }

    /// Whether there is room for so many bytes more.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.pending() + 8 <= JOURNAL_WRITES_MAX && self.pending_bytes() + bytes <= JOURNAL_BYTES_MAX
    }

    /// Puts an event of our own into the next commit, room or not: only where few can come, and what they tell must not be lost.
    pub fn record_always(&mut self, now: Mono, at: Wall, draft: EventDraft) -> Seq {
        self.push_event(now, at, draft)
    }

    fn pending_bytes(&self) -> usize {
        self.gathering.bytes + self.batch().map_or(0, |batch| batch.bytes)
    }

    fn batch(&self) -> Option<&Sealed> {
        match &self.state {
            State::Idle => None,
            State::Committing { batch, .. } | State::Faulted { batch, .. } => Some(batch),
        }
    }

    fn batch_mut(&mut self) -> Option<&mut Sealed> {
        match &mut self.state {
            State::Idle => None,
            State::Committing { batch, .. } | State::Faulted { batch, .. } => Some(batch),
        }
    }

    /// The public name of a place.
    #[must_use]
    pub fn event_id(&self, seq: Seq) -> EventId {
        EventId { seq, ledger: self.ledger }
    }

    /// Puts an event of our own into the next commit. `None`: the journal is full, and it is dropped.
    pub fn record(&mut self, now: Mono, at: Wall, draft: EventDraft) -> Option<Seq> {
        if self.pending() >= JOURNAL_WRITES_MAX || self.pending_bytes() >= JOURNAL_BYTES_MAX {
            return None;
        }
        Some(self.push_event(now, at, draft))
    }

    /// Puts an event that a peer brought into the next commit, once for each `key`.
    pub fn record_once(
        &mut self,
        now: Mono,
        at: Wall,
        draft: EventDraft,
        key: Option<DedupeKey>,
    ) -> Recorded {
        let is_waiting = |key| {
            self.gathering.seq_of(key).or_else(|| self.batch().and_then(|batch| batch.seq_of(key))).is_some()
        };
        if key.is_some_and(is_waiting) {
            return Recorded::Known;
        }
        let bytes = self.pending_bytes() + draft.metadata.0.len();
        if self.pending() + 2 > JOURNAL_WRITES_MAX || bytes > JOURNAL_BYTES_MAX {
            return Recorded::Full;
        }
        let seq = self.push_event(now, at, draft);
        if let Some(key) = key {
            self.gathering.push(now, Write::Inbox { key, seq });
        }
        Recorded::New
    }

    fn push_event(&mut self, now: Mono, at: Wall, draft: EventDraft) -> Seq {
        let seq = self.last.next();
        self.last = seq;
        let EventDraft { kind, source, severity, message, metadata } = draft;
        self.gathering.push(now, Write::Event(Event { seq, at, kind, source, severity, message, metadata }));
        seq
    }

    /// Puts a write that is not an event into the next commit. Only for rare ones: facts, forgotten cursors.
    pub fn push(&mut self, now: Mono, write: Write) {
        if let Write::Fact(key, _) = &write {
            self.gathering.writes.retain(|kept| !matches!(kept, Write::Fact(other, _) if other == key));
        }
        self.gathering.push(now, write);
    }

    /// Takes a caller's event. `Some`: the answer is known at once. `None`: it comes with the commit.
    pub fn intake(
        &mut self,
        now: Mono,
        at: Wall,
        request: RequestId,
        draft: EventDraft,
        dedupe: Option<DedupeKey>,
    ) -> Option<IntakeAnswer> {
        if let Some(fault) = self.last_fault {
            return Some(fault_answer(fault));
        }
        if let Some(key) = dedupe
            && self.join(now, request, key)
        {
            return None;
        }
        let bytes = self.pending_bytes() + draft.metadata.0.len();
        if self.pending() + 2 > JOURNAL_WRITES_MAX || bytes > JOURNAL_BYTES_MAX {
            return Some(IntakeAnswer::Busy { retry_after_s: 1 });
        }
        let seq = self.push_event(now, at, draft);
        if let Some(key) = dedupe {
            self.gathering.push(now, Write::Inbox { key, seq });
        }
        self.gathering.waiters.push(Waiter { request, seq, is_duplicate: false, since: now });
        None
    }

    /// The same id waits already: this caller waits with it.
    fn join(&mut self, now: Mono, request: RequestId, key: DedupeKey) -> bool {
        let waiter = |seq| Waiter { request, seq, is_duplicate: true, since: now };
        if let Some(batch) = self.batch_mut()
            && let Some(seq) = batch.seq_of(key)
        {
            batch.waiters.push(waiter(seq));
            return true;
        }
        if let Some(seq) = self.gathering.seq_of(key) {
            self.gathering.waiters.push(waiter(seq));
            return true;
        }
        false
    }

    /// Whether a commit would go out at once if there were anything to write.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The next commit, if one is due. `extra` are writes that travel along for free (moved cursors).
    pub fn poll(&mut self, now: Mono, extra: impl FnOnce() -> Vec<Write>) -> Option<(Ticket, Arc<[Write]>)> {
        let due = match &self.state {
            State::Committing { .. } => false,
            State::Faulted { retry_at, .. } => *retry_at <= now,
            State::Idle => self.gather_end().is_some_and(|end| end <= now),
        };
        if !due {
            return None;
        }
        let batch = match std::mem::replace(&mut self.state, State::Idle) {
            State::Faulted { batch, .. } => batch,
            State::Idle | State::Committing { .. } => {
                let mut batch = std::mem::take(&mut self.gathering);
                self.gathering.place = batch.place + 1;
                for write in extra() {
                    batch.push(now, write);
                }
                batch.seal()
            }
        };
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let writes = Arc::clone(&batch.writes);
        self.enter_committing(ticket, batch);
        Some((ticket, writes))
    }

    /// Sends the gathered writes, and `extra`, without waiting for more company.
    pub fn hurry(&mut self, now: Mono) {
        self.gathering.since.get_or_insert(now);
        self.gathering.is_urgent = true;
    }

    fn gather_end(&self) -> Option<Mono> {
        let since = self.gathering.since?;
        let is_urgent = self.gathering.is_urgent
            || !self.gathering.waiters.is_empty()
            || self.gathering.writes.len() >= COMMIT_BATCH_RECORDS;
        Some(if is_urgent { since } else { since.plus(COMMIT_GATHER_MS) })
    }

    /// A commit is durable. `None`: an outdated ticket.
    pub fn on_committed(&mut self, ticket: Ticket) -> Option<Answers> {
        let State::Committing { ticket: expected, .. } = &self.state else { return None };
        if *expected != ticket {
            return None;
        }
        let State::Committing { batch, .. } = std::mem::replace(&mut self.state, State::Idle) else {
            return None;
        };
        self.enter_idle(&batch);
        let answer = |waiter: Waiter| {
            let id = self.event_id(waiter.seq);
            (waiter.request, IntakeAnswer::Stored { id, duplicate: waiter.is_duplicate })
        };
        Some(batch.waiters.into_iter().map(answer).collect())
    }

    /// Whether a commit is durable is unknown. `None`: an outdated ticket.
    pub fn on_failed(
        &mut self,
        now: Mono,
        ticket: Ticket,
        fault: CommitFault,
        rng: &mut Rng,
    ) -> Option<Answers> {
        let State::Committing { ticket: expected, .. } = &self.state else { return None };
        if *expected != ticket {
            return None;
        }
        let State::Committing { mut batch, .. } = std::mem::replace(&mut self.state, State::Idle) else {
            return None;
        };
        let waiters = batch.waiters.drain(..).chain(self.gathering.waiters.drain(..));
        let answers = waiters.map(|waiter| (waiter.request, fault_answer(fault))).collect();
        self.enter_faulted(now, fault, batch, rng);
        Some(answers)
    }

    /// Callers that have waited too long. Their events stay: only the outcome is unknown to them.
    pub fn poll_overdue(&mut self, now: Mono) -> Answers {
        let mut overdue = Vec::new();
        let gathering = &mut self.gathering.waiters;
        let committing = match &mut self.state {
            State::Committing { batch, .. } | State::Faulted { batch, .. } => Some(&mut batch.waiters),
            State::Idle => None,
        };
        for waiters in committing.into_iter().chain([gathering]) {
            waiters.retain(|waiter| {
                let is_overdue = now.since(waiter.since) >= COMMIT_WAIT_MAX_MS;
                if is_overdue {
                    overdue.push((waiter.request, IntakeAnswer::Busy { retry_after_s: 5 }));
                }
                !is_overdue
            });
        }
        overdue
    }

    /// When to be called again.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        let commit = match &self.state {
            State::Committing { .. } => None,
            State::Faulted { retry_at, .. } => Some((*retry_at, Timer::RetryCommit)),
            State::Idle => self.gather_end().map(|end| (end, Timer::Commit)),
        };
        // They came one after the other: the first of each waits longest.
        let overdue = |waiters: &[Waiter]| {
            waiters.first().map(|waiter| (waiter.since.plus(COMMIT_WAIT_MAX_MS), Timer::AnswerWaiters))
        };
        let committing = self.batch().and_then(|batch| overdue(&batch.waiters));
        let gathering = overdue(&self.gathering.waiters);
        [commit, committing, gathering].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn enter_idle(&mut self, batch: &Sealed) {
        if self.backoff.failures() > 0 {
            log::info!("ledger_recovered failures={}", self.backoff.failures());
        }
        self.backoff.reset();
        self.last_fault = None;
        let newest = batch.writes.iter().filter_map(|write| match write {
            Write::Event(event) => Some(event.seq),
            _ => None,
        });
        self.durable = newest.max().unwrap_or(self.durable).max(self.durable);
        self.durable_batches = batch.place + 1;
        self.state = State::Idle;
    }

    fn enter_committing(&mut self, ticket: Ticket, batch: Sealed) {
        log::trace!("journal state=committing ticket={} writes={}", ticket.0, batch.writes.len());
        self.state = State::Committing { ticket, batch };
    }

    fn enter_faulted(&mut self, now: Mono, fault: CommitFault, batch: Sealed, rng: &mut Rng) {
        let wait = self.backoff.fail(rng);
        log::warn!("ledger_commit_failed fault={fault:?} writes={} retry_in_ms={wait}", batch.writes.len());
        self.last_fault = Some(fault);
        self.state = State::Faulted { retry_at: now.plus(wait), batch };
    }
}

fn fault_answer(fault: CommitFault) -> IntakeAnswer {
    match fault {
        CommitFault::Full => IntakeAnswer::Full { retry_after_s: 10 },
        CommitFault::Io => IntakeAnswer::Faulty { retry_after_s: 5 },
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{JsonText, Severity, Source};
    use super::*;

    fn draft(kind: &str) -> EventDraft {
        EventDraft {
            kind: kind.to_owned(),
            source: Source::Chainbot,
            severity: Severity::Info,
            message: String::new(),
            metadata: JsonText::empty_object(),
        }
    }

    fn journal() -> Journal {
        Journal::new(LedgerId(7), Seq(10))
    }

    fn ask(journal: &mut Journal, now: u64, request: u64, key: Option<u8>) -> Option<IntakeAnswer> {
        let dedupe = key.map(|byte| DedupeKey([byte; 16]));
        journal.intake(Mono(now), Wall(0), RequestId(request), draft("x"), dedupe)
    }

    #[test]
    fn a_caller_is_answered_on_the_commit_and_not_before() {
        let mut journal = journal();
        assert_eq!(ask(&mut journal, 5, 1, None), None);
        let (ticket, writes) = journal.poll(Mono(5), Vec::new).expect("a waiting caller makes it due");
        assert_eq!(writes.len(), 1);
        assert_eq!(journal.durable(), Seq(10));
        let answers = journal.on_committed(ticket).expect("the ticket in flight");
        let id = journal.event_id(Seq(11));
        assert_eq!(answers, [(RequestId(1), IntakeAnswer::Stored { id, duplicate: false })]);
        assert_eq!(journal.durable(), Seq(11));
    }

    #[test]
    fn what_gathers_while_a_commit_is_in_flight_goes_with_the_next() {
        let mut journal = journal();
        ask(&mut journal, 0, 1, None);
        let (first, _) = journal.poll(Mono(0), Vec::new).expect("due");
        ask(&mut journal, 1, 2, None);
        ask(&mut journal, 2, 3, None);
        assert_eq!(journal.poll(Mono(9), Vec::new), None, "one at a time");
        journal.on_committed(first);
        let (_, writes) = journal.poll(Mono(9), Vec::new).expect("due");
        assert_eq!(writes.len(), 2);
    }

    #[test]
    fn an_event_of_our_own_waits_for_company() {
        let mut journal = journal();
        journal.record(Mono(100), Wall(0), draft("own"));
        assert_eq!(journal.poll(Mono(149), Vec::new), None);
        assert_eq!(journal.deadline(), Some((Mono(150), Timer::Commit)));
        assert!(journal.poll(Mono(150), Vec::new).is_some());
    }

    #[test]
    fn the_same_id_waits_with_the_first_and_makes_no_second_event() {
        let mut journal = journal();
        ask(&mut journal, 0, 1, Some(9));
        let (ticket, _) = journal.poll(Mono(0), Vec::new).expect("due");
        ask(&mut journal, 0, 2, Some(9));
        assert_eq!(journal.poll(Mono(0), Vec::new), None);
        let answers = journal.on_committed(ticket).expect("in flight");
        let id = journal.event_id(Seq(11));
        assert_eq!(answers[1], (RequestId(2), IntakeAnswer::Stored { id, duplicate: true }));
    }

    #[test]
    fn after_a_failure_callers_are_turned_away_and_the_same_writes_are_tried_again() {
        let mut journal = journal();
        let mut rng = Rng::new(1);
        ask(&mut journal, 0, 1, None);
        let (ticket, writes) = journal.poll(Mono(0), Vec::new).expect("due");
        let answers = journal.on_failed(Mono(1), ticket, CommitFault::Full, &mut rng).expect("in flight");
        assert_eq!(answers, [(RequestId(1), IntakeAnswer::Full { retry_after_s: 10 })]);
        assert_eq!(ask(&mut journal, 2, 2, None), Some(IntakeAnswer::Full { retry_after_s: 10 }));
        let (retry_at, timer) = journal.deadline().expect("a retry");
        assert_eq!(timer, Timer::RetryCommit);
        let (again, same) = journal.poll(retry_at, Vec::new).expect("due");
        assert!(Arc::ptr_eq(&same, &writes), "not even in memory twice");
        assert_eq!(journal.on_committed(again), Some(vec![]));
        assert_eq!(ask(&mut journal, 9_000, 3, None), None, "normal again");
    }

    #[test]
    fn an_outdated_ticket_changes_nothing() {
        let mut journal = journal();
        ask(&mut journal, 0, 1, None);
        journal.poll(Mono(0), Vec::new).expect("due");
        assert_eq!(journal.on_committed(Ticket(99)), None);
        assert_eq!(journal.pending(), 1);
    }

    #[test]
    fn a_caller_that_waited_too_long_is_told_so() {
        let mut journal = journal();
        ask(&mut journal, 0, 1, None);
        journal.poll(Mono(0), Vec::new).expect("due");
        assert!(journal.poll_overdue(Mono(29_999)).is_empty());
        assert_eq!(journal.deadline(), Some((Mono(30_000), Timer::AnswerWaiters)));
        assert_eq!(journal.poll_overdue(Mono(30_000)).len(), 1);
    }

    #[test]
    fn a_full_journal_turns_callers_away() {
        let mut journal = journal();
        ask(&mut journal, 0, 0, None);
        journal.poll(Mono(0), Vec::new).expect("due");
        let refused = (1..=400).filter_map(|n| ask(&mut journal, 0, n, None)).count();
        assert_eq!(refused, 400 - (JOURNAL_WRITES_MAX - 2));
    }
}
