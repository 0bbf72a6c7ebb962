//! The link to ALEX OS's event bus: everything that happens here goes out live, and what happens there comes in.
//!
//! ```text
//! off (no event_bus_url, or stopping)
//! waiting -> connecting (documented) -> open (documented)
//!            connecting (documented) -> waiting (403, 404, 405, 501) -> connecting (public) -> open (public)
//!                                       connecting (public) -> not_offered (asked again after 15 minutes) -> connecting
//! open (documented) -> open (public)  ("Missing action": this peer takes no envelopes)
//! connecting, open -> waiting (refused, lost, or no pong in time; 1 s to 60 s, for ever)
//! ```
//!
//! On the documented bus events are read from the log and go out in batches, each followed by a protocol ping; only
//! its pong moves the cursor. So a link that is open but dead is noticed, and what it swallowed goes out again over
//! the next one: at least once, in order, under the same ids. On the public dialect nothing goes out but a
//! subscription and a JSON ping: its session can be dead while TCP and the protocol's pings are fine.
//!
//! The cursor lives in memory and begins at the newest event when the bus first opens in a run. It is not persisted:
//! HTTP deliveries already bring ALEX OS every event over restarts, and a second written cursor would cost flash and
//! hold events back in a ledger for a link that may never come back.
//!
//! Not here: frames (`shell/bus.rs`) and JSON (`wire/bus.rs`).

use super::backoff::Backoff;
use super::effect::BusOut;
use super::event::{EventFilter, Source};
use super::ids::{LinkId, Seq};
use super::input::LinkEnd;
use super::limits::{
    BUS_BACKOFF_MAX_MS, BUS_BATCH_BYTES, BUS_BATCH_EVENTS, BUS_BATCH_INTERVAL_MS, BUS_EVENTS_PER_SECOND,
    BUS_PING_INTERVAL_MS, BUS_PONG_TIME_MAX_MS, NOT_OFFERED_RECHECK_MS,
};
use super::rng::Rng;
use super::status::BusStatus;
use super::time::{Mono, SECOND_MS};

/// First wait after a link that failed, in milliseconds.
const BACKOFF_BASE_MS: u64 = SECOND_MS;
/// A link that lived this long was a good one: the backoff starts over, in milliseconds.
const SETTLED_AFTER_MS: u64 = BUS_PING_INTERVAL_MS;

/// What the peer of a link speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Event envelopes both ways, as documented.
    Documented,
    /// `{"action": ...}`, as the public release does at `/ws`.
    Public,
}

impl Dialect {
    /// The word in `/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Public => "public",
        }
    }
}

/// Something that the bus would like to have done.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Open a link.
    Open {
        /// Its name.
        link: LinkId,
        /// `ws` or `wss`.
        url: String,
    },
    /// Drop it.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Send a message of the protocol itself.
    Send {
        /// Over which link.
        link: LinkId,
        /// What.
        message: BusOut,
    },
    /// Send a health report.
    Report {
        /// Over which link.
        link: LinkId,
    },
    /// Read the next event.
    Fetch {
        /// Exclusive.
        after: Seq,
    },
}

/// A ping that waits for its pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awaited {
    until: Mono,
    /// What the peer has, once it answers.
    upto: Seq,
}

#[derive(Debug)]
struct Open {
    link: LinkId,
    dialect: Dialect,
    since: Mono,
    /// Subscription, then answers that are owed.
    owed: Vec<BusOut>,
    ping_at: Mono,
    awaited: Option<Awaited>,
    /// The last event read for this link.
    read: Seq,
    batch_events: usize,
    batch_bytes: usize,
    /// When the next batch may begin.
    batch_at: Mono,
    /// When the ledger may be read again after it could not be.
    readable_at: Mono,
}

#[derive(Debug)]
enum State {
    Off,
    Waiting {
        until: Mono,
        next: Dialect,
    },
    NotOffered {
        until: Mono,
    },
    /// `place` is whose address it is; what is spoken there is another matter.
    Connecting {
        link: LinkId,
        place: Dialect,
    },
    Open(Box<Open>),
}

/// The bus. See the module.
#[derive(Debug)]
pub struct Bus {
    state: State,
    documented_url: String,
    public_url: String,
    /// ALEX OS has been asked to register us: only then may it know us.
    may_open: bool,
    /// The peer at the documented address said that it takes no envelopes, and has registered nobody since.
    takes_no_envelopes: bool,
    last_link: u64,
    backoff: Backoff,
    confirmed: Option<Seq>,
    is_report_due: bool,
    heard: Option<Mono>,
    last_fault: Option<String>,
    second: (Mono, u32),
    /// For which link an event is being read.
    fetching: Option<LinkId>,
}

impl Bus {
    /// A bus at `event_bus_url`, off if that is empty, with the public dialect at `{registry}/ws`.
    #[must_use]
    pub fn new(event_bus_url: &str, registry_url: &str) -> Self {
        let mut bus = Self {
            state: State::Off,
            documented_url: String::new(),
            public_url: String::new(),
            may_open: false,
            takes_no_envelopes: false,
            last_link: 0,
            backoff: Backoff::new(BACKOFF_BASE_MS, BUS_BACKOFF_MAX_MS),
            confirmed: None,
            is_report_due: false,
            heard: None,
            last_fault: None,
            second: (Mono(0), 0),
            fetching: None,
        };
        bus.place_at(event_bus_url, registry_url);
        bus
    }

    /// The config was read again: begins anew, and goes on where the cursor is. The link in use is for the caller to close.
    pub fn on_reconfigured(&mut self, event_bus_url: &str, registry_url: &str) {
        self.backoff.reset();
        self.last_fault = None;
        self.may_open = false;
        self.takes_no_envelopes = false;
        self.place_at(event_bus_url, registry_url);
    }

    fn place_at(&mut self, event_bus_url: &str, registry_url: &str) {
        self.documented_url = as_socket_url(event_bus_url);
        self.public_url = as_socket_url(&format!("{registry_url}/ws"));
        if event_bus_url.is_empty() {
            self.enter_off("no event_bus_url");
        } else {
            self.enter_waiting(Mono(0), Dialect::Documented, "configured");
        }
    }

    /// Which events go out: not those that came from ALEX OS.
    #[must_use]
    pub fn filter() -> EventFilter {
        EventFilter { sources: vec![Source::Chainbot, Source::Watchtower], ..EventFilter::default() }
    }

    /// ALEX OS answered a registration, whatever it said.
    pub fn allow(&mut self) {
        self.may_open = true;
    }

    /// ALEX OS took us: what it did not offer before may be there now.
    pub fn ask_anew(&mut self, now: Mono) {
        // Only a documented ALEX OS registers anybody: it may have taken the place of a public release.
        self.takes_no_envelopes = false;
        if matches!(self.state, State::NotOffered { .. } | State::Waiting { .. }) {
            self.enter_waiting(now, Dialect::Documented, "registered");
        }
    }

    /// The link that must be told to end when this bus is thrown away.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        match &self.state {
            State::Connecting { link, .. } => Some(*link),
            State::Open(open) => Some(open.link),
            State::Off | State::Waiting { .. } | State::NotOffered { .. } => None,
        }
    }

    /// Whether this link is the one in use.
    #[must_use]
    pub fn is_link(&self, link: LinkId) -> bool {
        self.link() == Some(link)
    }

    /// Whether an event is being read for it.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    /// What it would like to have done now; to be asked until it says `None`.
    pub fn poll(&mut self, now: Mono, durable: Seq, rng: &mut Rng) -> Option<Wish> {
        match &self.state {
            State::Off | State::Connecting { .. } => None,
            State::Waiting { until, next } if *until <= now && self.may_open => {
                Some(self.enter_connecting(*next))
            }
            State::NotOffered { until } if *until <= now && self.may_open => {
                Some(self.enter_connecting(Dialect::Documented))
            }
            State::Waiting { .. } | State::NotOffered { .. } => None,
            State::Open(open) if open.awaited.is_some_and(|awaited| awaited.until <= now) => {
                let link = open.link;
                self.enter_failed(now, "no pong in time".to_owned(), rng);
                Some(Wish::Close { link })
            }
            State::Open(_) => self.poll_open(now, durable),
        }
    }

    fn poll_open(&mut self, now: Mono, durable: Seq) -> Option<Wish> {
        let State::Open(open) = &mut self.state else { return None };
        let link = open.link;
        if !open.owed.is_empty() {
            return Some(Wish::Send { link, message: open.owed.remove(0) });
        }
        if std::mem::take(&mut self.is_report_due) && open.dialect == Dialect::Documented {
            return Some(Wish::Report { link });
        }
        if let Some(wish) = open.poll_batch(now, durable, self.fetching.is_some()) {
            if matches!(wish, Wish::Fetch { .. }) {
                self.fetching = Some(link);
            }
            return Some(wish);
        }
        (open.awaited.is_none() && open.ping_at <= now).then(|| open.ping(now))
    }

    /// When it may have a wish, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, durable: Seq) -> Option<Mono> {
        match &self.state {
            State::Off | State::Connecting { .. } => None,
            State::Waiting { until, .. } | State::NotOffered { until } => self.may_open.then_some(*until),
            State::Open(open) => Some(open.deadline(durable, self.fetching.is_some())),
        }
    }

    /// A health report was made.
    pub fn on_report_due(&mut self) {
        self.is_report_due = matches!(self.state, State::Open(_));
    }

    /// The handshake is done. Whether this link was waited for.
    pub fn on_opened(&mut self, now: Mono, link: LinkId, durable: Seq) -> bool {
        let State::Connecting { link: wanted, place } = self.state else { return false };
        if wanted != link {
            return false;
        }
        let dialect = if self.takes_no_envelopes { Dialect::Public } else { place };
        self.enter_open(now, link, dialect, durable, "handshake done");
        true
    }

    /// The handshake was answered with an HTTP status. Whether this link was waited for.
    pub fn on_refused(&mut self, now: Mono, link: LinkId, status: u16, rng: &mut Rng) -> bool {
        let State::Connecting { link: wanted, place } = self.state else { return false };
        if wanted != link {
            return false;
        }
        let is_missing = matches!(status, 403 | 404 | 405 | 501);
        if !is_missing {
            self.enter_failed(now, format!("status {status}"), rng);
        } else if place == Dialect::Documented && self.documented_url != self.public_url {
            self.enter_waiting(now, Dialect::Public, "documented bus not offered");
        } else {
            self.enter_not_offered(now, status, rng);
        }
        true
    }

    /// The link is no more. Whether it was in use.
    pub fn on_closed(&mut self, now: Mono, link: LinkId, end: LinkEnd, rng: &mut Rng) -> bool {
        let is_ours = self.is_link(link);
        if is_ours {
            self.enter_failed(now, end.to_string(), rng);
        }
        is_ours
    }

    /// Something came in. Whether over the link in use.
    pub fn on_heard(&mut self, now: Mono, link: LinkId) -> bool {
        let is_ours = matches!(&self.state, State::Open(open) if open.link == link);
        if is_ours {
            self.heard = Some(now);
        }
        is_ours
    }

    /// The pong of the last ping came: a protocol one on the documented bus, a JSON one on the public dialect.
    pub fn on_pong(&mut self, dialect: Dialect) {
        if let State::Open(open) = &mut self.state
            && open.dialect == dialect
            && let Some(awaited) = open.awaited.take()
            && dialect == Dialect::Documented
        {
            self.confirmed = Some(awaited.upto.max(self.confirmed.unwrap_or_default()));
        }
    }

    /// The peer asks whether we live. The public release needs no answer and knows none but our own ping.
    pub fn on_ping(&mut self, now: Mono) {
        let State::Open(open) = &mut self.state else { return };
        match open.dialect {
            Dialect::Documented if open.owed.is_empty() => open.owed.push(BusOut::Pong),
            Dialect::Public if open.awaited.is_none() => open.ping_at = now,
            Dialect::Documented | Dialect::Public => {}
        }
    }

    /// The peer takes no envelopes: none is sent to it again unless it registers us.
    pub fn on_missing_action(&mut self, now: Mono) {
        let State::Open(open) = &self.state else { return };
        if open.dialect == Dialect::Documented {
            self.takes_no_envelopes = true;
            self.confirmed = None;
            let (link, read) = (open.link, open.read);
            self.enter_open(now, link, Dialect::Public, read, "it said \"Missing action\"");
        }
    }

    /// The peer complained about something.
    pub fn on_complaint(&mut self, text: String) {
        log::info!("bus_complaint text={text:?}");
        self.last_fault = Some(text);
    }

    /// Nothing that goes out was found up to `upto`, or the ledger could not be read.
    pub fn on_nothing(&mut self, now: Mono, upto: Seq, durable: Seq, failed: bool) {
        let Some(open) = take_fetching(&mut self.fetching, &mut self.state) else { return };
        if failed {
            open.readable_at = now.plus(SECOND_MS);
            return;
        }
        // Nothing at all behind it: the places up to the end were never given to an event.
        open.read = if upto > open.read { upto } else { open.read.max(durable) };
        if open.batch_events == 0 && open.awaited.is_none() {
            self.confirmed = Some(open.read);
        }
    }

    /// An event was read: over which link to send it. `None`: the link is gone, or is no longer a documented one.
    pub fn on_fetched(&mut self, seq: Seq, bytes: usize) -> Option<LinkId> {
        let open = take_fetching(&mut self.fetching, &mut self.state)?;
        open.read = open.read.max(seq);
        open.batch_events += 1;
        open.batch_bytes += bytes;
        Some(open.link)
    }

    /// The ledger dropped everything before `oldest`. How many places were lost to the bus.
    pub fn on_oldest(&mut self, oldest: Seq) -> u64 {
        let first_kept = Seq(oldest.0.saturating_sub(1));
        let Some(confirmed) = self.confirmed.filter(|seq| *seq < first_kept) else { return 0 };
        let read = match &mut self.state {
            State::Open(open) => {
                let read = open.read;
                open.read = read.max(first_kept);
                read
            }
            _ => confirmed,
        };
        self.confirmed = Some(first_kept);
        first_kept.0.saturating_sub(read.0)
    }

    /// Whether one more event may come in this second.
    pub fn may_take(&mut self, now: Mono) -> bool {
        if now.since(self.second.0) >= SECOND_MS {
            self.second = (now, 0);
        }
        self.second.1 = self.second.1.saturating_add(1);
        self.second.1 <= BUS_EVENTS_PER_SECOND
    }

    /// The agent stops: the link to close, if there is one.
    pub fn stop(&mut self) -> Option<LinkId> {
        let link = self.link();
        self.enter_off("stopping");
        link
    }

    fn enter_off(&mut self, why: &str) {
        self.tell("off", why);
        self.state = State::Off;
    }

    fn enter_waiting(&mut self, until: Mono, next: Dialect, why: &str) {
        self.tell("waiting", why);
        self.state = State::Waiting { until, next };
    }

    fn enter_not_offered(&mut self, now: Mono, status: u16, rng: &mut Rng) {
        self.last_fault = Some(format!("not offered (status {status})"));
        self.tell("not_offered", "refused");
        self.state = State::NotOffered { until: now.plus(rng.jittered(NOT_OFFERED_RECHECK_MS)) };
    }

    fn enter_connecting(&mut self, place: Dialect) -> Wish {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let url = match place {
            Dialect::Documented => self.documented_url.clone(),
            Dialect::Public => self.public_url.clone(),
        };
        self.tell("connecting", place.as_str());
        self.state = State::Connecting { link, place };
        Wish::Open { link, url }
    }

    fn enter_open(&mut self, now: Mono, link: LinkId, dialect: Dialect, durable: Seq, why: &str) {
        log::info!("bus_open dialect={} why={why:?}", dialect.as_str());
        let owed = match dialect {
            Dialect::Documented => Vec::new(),
            Dialect::Public => vec![BusOut::Subscribe],
        };
        let read = match dialect {
            Dialect::Documented => *self.confirmed.get_or_insert(durable),
            Dialect::Public => durable,
        };
        self.state = State::Open(Box::new(Open {
            link,
            dialect,
            since: now,
            owed,
            ping_at: now.plus(BUS_PING_INTERVAL_MS),
            awaited: None,
            read,
            batch_events: 0,
            batch_bytes: 0,
            batch_at: now,
            readable_at: now,
        }));
        self.last_fault = None;
    }

    fn enter_failed(&mut self, now: Mono, why: String, rng: &mut Rng) {
        let since = match &self.state {
            State::Open(open) => Some(open.since),
            _ => None,
        };
        if since.is_some_and(|since| now.since(since) >= SETTLED_AFTER_MS) {
            self.backoff.reset();
        }
        let wait = self.backoff.fail(rng);
        if since.is_some() {
            log::info!("bus_lost why={why:?} retry_in_ms={wait}");
        }
        self.enter_waiting(now.plus(wait), Dialect::Documented, &why);
        self.last_fault = Some(why);
    }

    fn tell(&self, to: &str, why: &str) {
        log::debug!("bus from={} to={to} why={why:?}", self.state.as_str());
    }

    /// For `/status`.
    #[must_use]
    pub fn status(&self, now: Mono, durable: Seq) -> BusStatus<'_> {
        let dialect = match &self.state {
            State::Open(open) => Some(open.dialect),
            _ => None,
        };
        let next_try = match self.state {
            State::Waiting { until, .. } | State::NotOffered { until } if self.may_open => Some(until),
            _ => None,
        };
        let is_reading = dialect == Some(Dialect::Documented);
        BusStatus {
            state: self.state.as_str(),
            dialect: dialect.map(Dialect::as_str),
            last_message_age_ms: self.heard.map(|at| now.since(at)),
            behind: self.confirmed.filter(|_| is_reading).map(|seq| durable.0.saturating_sub(seq.0)),
            next_try_in_ms: next_try.map(|at| at.since(now)),
            last_fault: self.last_fault.as_deref(),
        }
    }
}

impl State {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting { .. } => "waiting",
            Self::NotOffered { .. } => "not_offered",
            Self::Connecting { .. } => "connecting",
            Self::Open(_) => "open",
        }
    }
}

impl Open {
    /// The next step of the batch at hand, on the documented bus.
    fn poll_batch(&mut self, now: Mono, durable: Seq, is_fetching: bool) -> Option<Wish> {
        if self.dialect == Dialect::Public || is_fetching || self.awaited.is_some() {
            return None;
        }
        let is_full = self.batch_events >= BUS_BATCH_EVENTS || self.batch_bytes >= BUS_BATCH_BYTES;
        let has_more = self.read < durable && self.readable_at <= now;
        if self.batch_events > 0 && (is_full || !has_more) {
            return Some(self.ping(now));
        }
        if !has_more || (self.batch_events == 0 && self.batch_at > now) {
            return None;
        }
        if self.batch_events == 0 {
            self.batch_at = now.plus(BUS_BATCH_INTERVAL_MS);
        }
        Some(Wish::Fetch { after: self.read })
    }

    fn ping(&mut self, now: Mono) -> Wish {
        self.awaited = Some(Awaited { until: now.plus(BUS_PONG_TIME_MAX_MS), upto: self.read });
        self.ping_at = now.plus(BUS_PING_INTERVAL_MS);
        self.batch_events = 0;
        self.batch_bytes = 0;
        let message = match self.dialect {
            Dialect::Documented => BusOut::Ping,
            Dialect::Public => BusOut::ActionPing,
        };
        Wish::Send { link: self.link, message }
    }

    fn deadline(&self, durable: Seq, is_fetching: bool) -> Mono {
        if let Some(awaited) = self.awaited {
            return awaited.until;
        }
        let has_more = self.dialect == Dialect::Documented && self.read < durable && !is_fetching;
        if has_more { self.ping_at.min(self.batch_at.max(self.readable_at)) } else { self.ping_at }
    }
}

/// Ends the read in flight; the link that it was for, if that is still in use and takes events.
fn take_fetching<'a>(fetching: &mut Option<LinkId>, state: &'a mut State) -> Option<&'a mut Open> {
    let link = fetching.take()?;
    match state {
        State::Open(open) if open.link == link && open.dialect == Dialect::Documented => Some(open),
        _ => None,
    }
}

/// `http` and `https` name the same server as `ws` and `wss`.
fn as_socket_url(url: &str) -> String {
    for (web, socket) in [("http://", "ws://"), ("https://", "wss://")] {
        if url.get(..web.len()).is_some_and(|start| start.eq_ignore_ascii_case(web)) {
            return format!("{socket}{}", &url[web.len()..]);
        }
    }
    url.to_owned()
}

#[cfg(test)]
mod tests;
