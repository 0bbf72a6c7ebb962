//! What must hold after every step. A model of what is durable, acknowledged, sent and settled; every check panics
//! with the rule that is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use chainbot::agent::bus::Bus;
use chainbot::agent::effect::{BeatStatus, Call, IntakeAnswer};
use chainbot::agent::event::{Event, EventFilter, Source};
use chainbot::agent::ids::{CallId, DedupeKey, Destination, EventId, LedgerId, RequestId, Seq, Ticket};
use chainbot::agent::input::{AiwmReply, Outcome, Verdict};
use chainbot::agent::memory::{FactKey, Memory, Write};
use chainbot::agent::setup::AiwmSetup;
use chainbot::agent::{Setup, Status, limits};

use crate::clients::{Clients, Post};
use crate::network::Peer;
use crate::peers::find_post;

/// Calls of a minute that may fail, for each peer. A peer that fails every second time resets a backoff often.
const FAILED_PER_MINUTE_MAX: u32 = 75;
/// Calls of a minute to AIWM: three quick tries of each of connect and heartbeat, and the beats. Other settings begin
/// the count anew: whoever changed them wants them tried at once.
const AIWM_PER_MINUTE_MAX: u32 = 15;
/// The only status by which a peer of these worlds says that an event itself is no good.
const NOT_VALID: u16 = 422;
/// Deadlines of a second. A commit may be due every 50 ms beside what else there is.
const WAKES_PER_SECOND_MAX: u32 = 40;
/// How long a client may wait: the agent's own bound, and the time by which a tick may be late.
const ANSWER_MAX_MS: u64 = limits::COMMIT_WAIT_MAX_MS + 2_000;
/// Room in the journal beside what clients bring: the agent's own events, cursors and facts.
const JOURNAL_SLACK: usize = 64;

/// An event as the model keeps it.
#[derive(Clone, Debug)]
struct Kept {
    print: u64,
    post: Option<u64>,
    event: Event,
}

/// One destination as the model sees it.
#[derive(Debug, Default)]
pub struct Reader {
    filter: EventFilter,
    settled: BTreeSet<u64>,
    /// Refused for good: not owed any more.
    parked: BTreeSet<u64>,
    settled_this_run: BTreeSet<u64>,
    sent_max: u64,
    cursor: u64,
    is_gone: bool,
    /// It said 410, and this is durable: no power cut may bring it back.
    is_noted_gone: bool,
    /// It said 410. Until that is durable, a process that starts anew does not know.
    said_gone: bool,
    /// The config was read again since: it is tried again, from the end of the log.
    may_return: bool,
    /// `is_gone` and `may_return`, both, when it said 410.
    had_returned: bool,
}

/// The model.
#[derive(Debug)]
pub struct Checks {
    ledger: LedgerId,
    built_at: i64,
    is_capped: bool,
    prefers_online: bool,
    durable: BTreeMap<u64, Kept>,
    uncertain: BTreeMap<u64, Vec<u64>>,
    /// A commit failed since the log was last looked at.
    is_doubtful: bool,
    oldest: u64,
    /// Places up to here are used up by a commit that was taken back.
    floor: u64,
    posts: BTreeMap<u64, u64>,
    acked: BTreeMap<u64, u64>,
    readers: BTreeMap<Destination, Reader>,
    in_flight: BTreeMap<CallId, Peer>,
    fetching: BTreeSet<Destination>,
    last_call: u64,
    last_ticket: Option<Ticket>,
    tokens: BTreeSet<String>,
    asked: BTreeMap<RequestId, u64>,
    wakes: (u64, u32),
    published: u64,
    minute: u64,
    failed: BTreeMap<Peer, u32>,
    to_aiwm: u32,
    aiwm: Option<AiwmSetup>,
}

impl Checks {
    /// A model of a world in which nothing is written yet.
    pub fn new(setup: &Setup, is_capped: bool) -> Self {
        let alexos = setup.alexos.iter().map(|_| (Destination::Alexos, Bus::filter()));
        let hooks = setup.hooks.iter().map(|hook| (Destination::Hook(hook.key.clone()), hook.filter.clone()));
        let readers =
            alexos.chain(hooks).map(|(name, filter)| (name, Reader { filter, ..Reader::default() }));
        Self {
            ledger: LedgerId(0),
            built_at: setup.built_at.0,
            is_capped,
            prefers_online: setup.aiwm.as_ref().is_some_and(|aiwm| aiwm.prefers_online),
            durable: BTreeMap::new(),
            uncertain: BTreeMap::new(),
            is_doubtful: false,
            oldest: 1,
            floor: 0,
            posts: BTreeMap::new(),
            acked: BTreeMap::new(),
            readers: readers.collect(),
            in_flight: BTreeMap::new(),
            fetching: BTreeSet::new(),
            last_call: 0,
            last_ticket: None,
            tokens: BTreeSet::new(),
            asked: BTreeMap::new(),
            wakes: (0, 0),
            published: 0,
            minute: 0,
            failed: BTreeMap::new(),
            to_aiwm: 0,
            aiwm: setup.aiwm.clone(),
        }
    }

    /// The newest durable event.
    pub fn last(&self) -> u64 {
        self.durable.last_key_value().map_or(0, |(seq, _)| *seq).max(self.floor)
    }

    /// Places of durable events that are not ALEX OS's own, after `after` and before `before`.
    pub fn own_between(&self, after: u64, before: u64) -> Vec<u64> {
        let range = self.durable.range((Bound::Excluded(after), Bound::Excluded(before.max(after + 1))));
        range.filter(|(_, kept)| kept.event.source != Source::AlexOs).map(|(seq, _)| *seq).collect()
    }

    /// The messages of ALEX OS's own durable events.
    pub fn of_alexos(&self) -> impl Iterator<Item = &str> {
        let events = self.durable.values().map(|kept| &kept.event);
        events.filter(|event| event.source == Source::AlexOs).map(|event| event.message.as_str())
    }

    /// The ledger's name.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The ids of clients whose event is in the log, with its place.
    pub fn keyed(&self, clients: &Clients) -> Vec<(DedupeKey, Seq)> {
        let kept = self.posts.iter().filter(|(_, seq)| **seq >= self.oldest);
        kept.filter_map(|(post, seq)| Some((clients.post(usize::try_from(*post).ok()?).key?, Seq(*seq))))
            .collect()
    }

    /// The process starts with this memory and this log.
    pub fn on_open(&mut self, memory: &Memory, log: &[Event], boots: u32) {
        assert!(boots == 1 || memory.ledger == self.ledger, "the ledger has another name than before");
        assert_eq!(memory.recovered, None, "a ledger that only lost its power was taken for damaged");
        self.ledger = memory.ledger;
        self.in_flight.clear();
        self.fetching.clear();
        self.tokens.clear();
        self.asked.clear();
        self.last_ticket = None;
        self.last_call = 0;
        self.failed.clear();
        self.to_aiwm = 0;
        self.reconcile(log);
        self.uncertain.clear();
        // A commit that was taken back has used its places up, also if the power went again before that was told.
        let beyond = memory.last.0.checked_sub(self.last());
        assert!(
            beyond.is_some_and(|beyond| beyond >= 1_000 || (beyond == 0 && !memory.is_rolled_back)),
            "the memory's newest event is {}, the log's {}",
            memory.last.0,
            self.last()
        );
        self.floor = memory.last.0;
        let disabled = memory.facts.iter().find(|(key, _)| *key == FactKey::HooksDisabled);
        let disabled = disabled.map_or("", |(_, text)| text.as_str());
        for (destination, reader) in &mut self.readers {
            if reader.said_gone && !is_among(disabled, destination) {
                assert!(!reader.is_noted_gone, "{destination:?} said 410, durably, and it is forgotten");
                // As it was before: owed everything, or begun again at the end of the log by a reload.
                reader.said_gone = false;
                (reader.is_gone, reader.may_return) = (reader.had_returned, reader.had_returned);
            }
            let cursor =
                memory.cursors.iter().find(|(name, _)| name == destination).map_or(0, |(_, seq)| seq.0);
            assert!(
                reader.is_gone || cursor >= reader.cursor,
                "the durable cursor of {destination:?} went back to {cursor} from {}",
                reader.cursor
            );
            reader.cursor = cursor;
            reader.settled_this_run.clear();
        }
    }

    fn reconcile(&mut self, log: &[Event]) {
        let found: BTreeMap<u64, Kept> = log.iter().map(|event| (event.seq.0, Kept::of(event))).collect();
        let first = found.first_key_value().map_or(self.last() + 1, |(seq, _)| *seq);
        self.drop_before(first);
        for (seq, kept) in self.durable.range(self.oldest..) {
            let now = found.get(seq).unwrap_or_else(|| {
                let acked = if kept.post.is_some_and(|post| self.acked.contains_key(&post)) {
                    "acknowledged "
                } else {
                    ""
                };
                panic!("durable {acked}event {seq} ({:?}) is lost", kept.event.message)
            });
            assert_eq!(now.print, kept.print, "event {seq} came back changed");
        }
        for (seq, kept) in found {
            if !self.durable.contains_key(&seq) {
                let was_asked = self.uncertain.get(&seq).is_some_and(|prints| prints.contains(&kept.print));
                assert!(was_asked, "event {seq} ({:?}) came from nowhere", kept.event.message);
                self.keep(seq, kept);
            }
        }
    }

    /// A commit failed: whether it is durable is unknown.
    pub fn on_commit_failed(&mut self) {
        self.is_doubtful = true;
    }

    /// Whether the ledger may know more than the model: a commit that failed was perhaps not in vain.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// The ledger shows these events: whatever it shows must be durable from here on, and must have been asked for.
    pub fn on_shown(&mut self, log: &[Event]) {
        self.reconcile(log);
        self.is_doubtful = false;
    }

    fn keep(&mut self, seq: u64, kept: Kept) {
        if let Some(post) = kept.post {
            let earlier = self.posts.insert(post, seq);
            assert!(
                earlier.is_none_or(|earlier| earlier == seq),
                "post {post} has two effects: {earlier:?} and {seq}"
            );
        }
        self.durable.insert(seq, kept);
    }

    fn drop_before(&mut self, oldest: u64) {
        if oldest > self.oldest {
            let is_lossless = self.durable.range(self.oldest..oldest).next().is_none();
            assert!(self.is_capped || is_lossless, "events before {oldest} were dropped below the cap");
            self.oldest = oldest;
        }
    }

    /// The agent asks for a commit.
    pub fn on_commit(&mut self, ticket: Ticket, writes: &[Write]) {
        assert!(self.last_ticket.is_none_or(|last| ticket > last), "tickets do not grow: {ticket:?}");
        assert!(!writes.is_empty(), "an empty commit");
        self.last_ticket = Some(ticket);
        let mut last = self.last();
        for write in writes {
            match write {
                Write::Event(event) => {
                    self.check_event(event, last);
                    last = last.max(event.seq.0);
                }
                Write::Message { .. }
                | Write::MessagesGone { .. }
                | Write::Session { .. }
                | Write::SessionGone(_) => {}
                Write::Inbox { seq, .. } => {
                    assert!(seq.0 <= last, "an inbox row names event {} after {last}", seq.0)
                }
                Write::Cursor { destination, seq } => self.check_cursor(destination, *seq),
                Write::CursorGone(destination) => {
                    let is_wanted = self.readers.get(destination).is_some_and(|reader| !reader.is_gone);
                    assert!(!is_wanted, "{destination:?} is configured and forgotten");
                }
                Write::Fact(_, value) => {
                    assert!(
                        !self.tokens.iter().any(|token| value.contains(token)),
                        "a token goes to the disk"
                    );
                }
            }
        }
    }

    fn check_event(&mut self, event: &Event, last: u64) {
        let (seq, kept) = (event.seq.0, Kept::of(event));
        match self.durable.get(&seq) {
            Some(durable) => assert_eq!(durable.print, kept.print, "durable event {seq} is overwritten"),
            None => assert_eq!(seq, last + 1, "the log gets a hole"),
        }
        assert!(event.at.0 >= self.built_at, "event {seq} is dated before the program was built");
        self.uncertain.entry(seq).or_default().push(kept.print);
    }

    fn check_cursor(&self, destination: &Destination, seq: Seq) {
        let last = self.last();
        assert!(seq.0 <= last, "the cursor of {destination:?} goes to {} beyond the durable {last}", seq.0);
        let Some(reader) = self.readers.get(destination) else { panic!("a cursor for {destination:?}") };
        if reader.is_gone {
            return;
        }
        assert!(seq.0 >= reader.cursor, "the cursor of {destination:?} goes back to {}", seq.0);
        let from = self.oldest.max(reader.cursor + 1);
        for (seq, kept) in self.durable.range(from..).take_while(|(kept_seq, _)| **kept_seq <= seq.0) {
            let is_done = !kept.passes(&reader.filter) || reader.settled.contains(seq);
            assert!(is_done, "the cursor of {destination:?} passes event {seq}, which it never had");
        }
    }

    /// The commit is durable.
    pub fn on_committed(&mut self, writes: &[Write], oldest: Seq) {
        for write in writes {
            match write {
                Write::Event(event) => self.keep(event.seq.0, Kept::of(event)),
                Write::Cursor { destination, seq } => {
                    if let Some(reader) = self.readers.get_mut(destination) {
                        reader.cursor = seq.0;
                    }
                }
                Write::Fact(FactKey::HooksDisabled, keys) => {
                    for (destination, reader) in &mut self.readers {
                        reader.is_noted_gone = reader.said_gone && is_among(keys, destination);
                    }
                }
                Write::Inbox { .. }
                | Write::CursorGone(_)
                | Write::Fact(..)
                | Write::Message { .. }
                | Write::MessagesGone { .. }
                | Write::Session { .. }
                | Write::SessionGone(_) => {}
            }
        }
        self.drop_before(oldest.0);
    }

    /// A client is told that its post is stored.
    pub fn on_stored(&mut self, index: usize, post: &Post, id: EventId) {
        let index = index as u64;
        assert_eq!(id.ledger, self.ledger, "post {index} was acknowledged under another ledger");
        let seq = id.seq.0;
        self.acked.insert(index, seq);
        if seq < self.oldest {
            return;
        }
        let Some(kept) = self.durable.get(&seq) else {
            panic!("post {index} is acknowledged as {id} before it is durable")
        };
        assert_eq!(kept.post, Some(index), "post {index} is acknowledged as {id}, which is another's event");
        assert!(
            kept.event.kind == post.draft.kind && kept.event.severity == post.draft.severity,
            "post {index} was stored changed"
        );
    }

    /// A client gets its answer: one for each request, and only if it asked.
    pub fn on_answer(&mut self, request: RequestId) {
        assert!(
            self.asked.remove(&request).is_some(),
            "request {} is answered twice, or was never made",
            request.0
        );
    }

    /// A client asks.
    pub fn on_request(&mut self, now: u64, request: RequestId) {
        self.asked.insert(request, now);
    }

    /// The board slept: nobody waited meanwhile.
    pub fn on_slept(&mut self, ms: u64) {
        self.asked.values_mut().for_each(|since| *since += ms);
    }

    /// The agent is called because its deadline came.
    pub fn on_wake(&mut self, now: u64) {
        let (second, count) = self.wakes;
        self.wakes = if second == now / 1_000 { (second, count + 1) } else { (now / 1_000, 1) };
        assert!(count <= WAKES_PER_SECOND_MAX, "a busy loop: {count} deadlines within a second");
    }

    /// Nobody waits for longer than was promised.
    pub fn on_step(&self, now: u64) {
        if let Some((request, since)) = self.asked.first_key_value() {
            assert!(now - since <= ANSWER_MAX_MS, "request {} waits for {} ms", request.0, now - since);
        }
    }

    /// A client is answered in any other way.
    pub fn on_turned_away(&self, answer: &IntakeAnswer) {
        if let IntakeAnswer::Busy { retry_after_s }
        | IntakeAnswer::Full { retry_after_s }
        | IntakeAnswer::Faulty { retry_after_s } = answer
        {
            assert!((1..=3_600).contains(retry_after_s), "Retry-After is {retry_after_s} s");
        }
    }

    /// The agent announces what is durable.
    pub fn on_published(&mut self, last: Seq) {
        self.published = last.0;
        assert!(last.0 <= self.last(), "event {} is published before it is durable", last.0);
    }

    /// The agent asks for the next event.
    pub fn on_fetch(&mut self, destination: &Destination, after: Seq) {
        assert!(
            self.readers.contains_key(destination) || *destination == Destination::Bus,
            "a fetch for {destination:?}, which is not configured"
        );
        assert!(self.fetching.insert(destination.clone()), "two fetches for {destination:?}");
        assert!(
            after.0 <= self.last(),
            "a fetch for {destination:?} after {} beyond the durable log",
            after.0
        );
    }

    /// The fetch was answered.
    pub fn on_fetched(&mut self, destination: &Destination) {
        self.fetching.remove(destination);
    }

    /// The agent makes a call.
    pub fn on_call(&mut self, now: u64, id: CallId, peer: Peer, call: &Call) {
        assert!(id.0 > self.last_call || self.last_call == 0, "call {} is not new", id.0);
        self.last_call = id.0;
        self.in_flight.insert(id, peer);
        let to = |wanted: fn(&Peer) -> bool| self.in_flight.values().filter(|peer| wanted(peer)).count();
        assert!(self.in_flight.len() <= limits::CALLS_MAX, "{} calls in flight", self.in_flight.len());
        assert!(to(|peer| *peer == Peer::Alexos) <= 1, "two calls to ALEX OS in flight");
        assert!(to(|peer| *peer == Peer::Aiwm) <= 1, "two calls to AIWM in flight");
        assert!(
            to(|peer| matches!(peer, Peer::Hook(_))) <= limits::HOOK_CALLS_MAX,
            "too many calls to webhooks"
        );
        self.count_minute(now);
        match call {
            Call::AlexosEvent { event, id, .. } => self.check_delivery(&Destination::Alexos, event, *id),
            Call::Hook { key, event, id, .. } => {
                self.check_delivery(&Destination::Hook(key.clone()), event, *id)
            }
            Call::AiwmHeartbeat { token, status, .. } => {
                assert!(
                    self.tokens.contains(&token.0),
                    "a heartbeat with a token that was not given in this run"
                );
                assert!(
                    *status != BeatStatus::Online || self.prefers_online,
                    "status online without being told so"
                );
            }
            Call::AiwmDisconnect { token, .. } => {
                assert!(
                    self.tokens.contains(&token.0),
                    "a disconnect with a token that was not given in this run"
                );
            }
            _ => {}
        }
        if peer == Peer::Aiwm {
            self.to_aiwm += 1;
            assert!(
                self.to_aiwm <= AIWM_PER_MINUTE_MAX,
                "AIWM is flooded: {} calls in a minute",
                self.to_aiwm
            );
        }
    }

    fn count_minute(&mut self, now: u64) {
        if now / 60_000 != self.minute {
            self.minute = now / 60_000;
            self.failed.clear();
            self.to_aiwm = 0;
        }
    }

    fn check_delivery(&mut self, destination: &Destination, event: &Event, id: EventId) {
        let seq = event.seq.0;
        assert!(id.seq == event.seq && id.ledger == self.ledger, "event {seq} goes out as {id}");
        let Some(kept) = self.durable.get(&seq) else {
            panic!("event {seq} goes to {destination:?} before it is durable")
        };
        assert_eq!(kept.print, Kept::of(event).print, "event {seq} goes to {destination:?} changed");
        let Some(reader) = self.readers.get_mut(destination) else { panic!("a delivery to {destination:?}") };
        if reader.is_gone {
            assert!(reader.may_return, "a delivery to {destination:?}, which said 410");
            return;
        }
        assert!(kept.passes(&reader.filter), "event {seq} goes to {destination:?}, which does not want it");
        assert!(!reader.settled_this_run.contains(&seq), "event {seq} goes to {destination:?}, which has it");
        if seq > reader.sent_max {
            let owed = self
                .durable
                .range(self.oldest.max(reader.sent_max + 1)..)
                .find(|(_, kept)| kept.passes(&reader.filter));
            let owed = owed.map_or(0, |(seq, _)| *seq);
            assert_eq!(seq, owed, "{destination:?} gets event {seq} out of order");
            reader.sent_max = seq;
        }
    }

    /// A call came back and the agent is about to be told.
    pub fn on_call_done(&mut self, now: u64, id: CallId, call: &Call, outcome: &Outcome) {
        let peer = self.in_flight.remove(&id).expect("it was in flight");
        self.count_minute(now);
        if let Outcome::Aiwm(AiwmReply::Connected { token, .. }) = outcome {
            self.tokens.insert(token.0.clone());
        }
        let is_good = match outcome {
            Outcome::Registered(verdict, _) | Outcome::Canon(verdict, _) | Outcome::Delivered(verdict) => {
                *verdict == Verdict::Accepted
            }
            Outcome::Aiwm(reply) => matches!(reply, AiwmReply::Connected { .. } | AiwmReply::Taken { .. }),
        };
        let is_parked = matches!(outcome, Outcome::Delivered(Verdict::Refused { .. }));
        if !is_good && !is_parked {
            let failed = self.failed.entry(peer).or_default();
            *failed += 1;
            assert!(
                *failed <= FAILED_PER_MINUTE_MAX,
                "{peer:?} is flooded: {failed} failed calls in a minute"
            );
        }
        let (destination, seq) = match call {
            Call::AlexosEvent { event, .. } => (Destination::Alexos, event.seq.0),
            Call::Hook { key, event, .. } => (Destination::Hook(key.clone()), event.seq.0),
            _ => return,
        };
        let (Outcome::Delivered(verdict), Some(reader)) = (outcome, self.readers.get_mut(&destination))
        else {
            return;
        };
        match verdict {
            Verdict::Accepted => {
                reader.settled.insert(seq);
                reader.settled_this_run.insert(seq);
            }
            Verdict::Refused { status, .. } => {
                assert_eq!(*status, NOT_VALID, "event {seq} is parked for what is not its own fault");
                reader.settled.insert(seq);
                reader.parked.insert(seq);
            }
            Verdict::Gone if destination != Destination::Alexos => {
                reader.had_returned = reader.is_gone && reader.may_return;
                reader.is_gone = true;
                reader.said_gone = true;
                reader.may_return = false;
            }
            Verdict::Gone | Verdict::NotOffered { .. } | Verdict::Retry { .. } | Verdict::Denied { .. } => {}
        }
    }

    /// The process gets this config. What is not in it is owed nothing; what comes back begins at the end of the log.
    pub fn on_reconfigured(&mut self, setup: &Setup) {
        if self.aiwm != setup.aiwm {
            self.aiwm.clone_from(&setup.aiwm);
            self.to_aiwm = 0;
        }
        for (destination, reader) in &mut self.readers {
            reader.may_return =
                setup.hooks.iter().any(|hook| Destination::Hook(hook.key.clone()) == *destination);
            reader.is_gone |= *destination != Destination::Alexos && !reader.may_return;
            reader.said_gone = false;
        }
    }

    /// What the agent shows of itself.
    pub fn on_status(&self, status: &Status) {
        let last = self.last();
        let ledger = &status.ledger;
        assert!(
            ledger.pending <= limits::JOURNAL_WRITES_MAX + JOURNAL_SLACK,
            "{} writes wait",
            ledger.pending
        );
        assert!(ledger.durable.0 <= last, "status shows {} durable, {last} are", ledger.durable.0);
        for destination in &status.destinations {
            assert!(
                destination.cursor.0 <= last,
                "status shows the cursor of {} beyond the log",
                destination.key
            );
        }
    }

    /// What is still owed to this destination, if it is willing: events that it neither has nor refused.
    pub fn owed(&self, destination: &Destination, has: impl Fn(EventId) -> bool) -> Vec<u64> {
        let reader = &self.readers[destination];
        if reader.is_gone {
            return Vec::new();
        }
        let wanted = self.durable.range(self.oldest..).filter(|(_, kept)| kept.passes(&reader.filter));
        wanted
            .map(|(seq, _)| *seq)
            .filter(|seq| {
                !reader.parked.contains(seq) && !has(EventId { seq: Seq(*seq), ledger: self.ledger })
            })
            .collect()
    }

    /// The newest event that was announced to those who follow the log.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Posts that were acknowledged and whose event is not in the log.
    pub fn lost(&self) -> Vec<u64> {
        let is_lost = |seq: &u64| *seq >= self.oldest && !self.durable.contains_key(seq);
        self.acked.iter().filter(|(_, seq)| is_lost(seq)).map(|(post, _)| *post).collect()
    }
}

impl Kept {
    fn of(event: &Event) -> Self {
        Self {
            print: print(event),
            post: find_post(&event.metadata.0),
            event: Event { metadata: chainbot::agent::event::JsonText(String::new()), ..event.clone() },
        }
    }

    fn passes(&self, filter: &EventFilter) -> bool {
        filter.matches(&self.event.kind, self.event.severity, self.event.source)
    }
}

/// Whether the destination is in the list of those that said 410, as the ledger keeps it.
fn is_among(keys: &str, destination: &Destination) -> bool {
    matches!(destination, Destination::Hook(own) if keys.split(',').any(|key| key == own))
}

/// A hash of everything in an event.
fn print(event: &Event) -> u64 {
    let head =
        format!("{}|{}|{:?}|{:?}|{}|", event.at.0, event.kind, event.source, event.severity, event.message);
    let words = head.as_bytes().chunks(8).chain(event.metadata.0.as_bytes().chunks(8));
    words.fold(0xcbf2_9ce4_8422_2325, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}
