//! `GET /api/events`: the query, and the pieces of the answer. The shell reads the ledger and streams: `HEAD`,
//! each event by `push`, `tail`.

use super::problem::{InputFault, Kind, Place, Problem};
use super::{Response, shown};
use crate::agent::event::{Event, EventFilter, Severity, Source};
use crate::agent::ids::{EventId, LedgerId, Seq};
use crate::agent::limits::EVENT_TYPE_BYTES_MAX;
use crate::agent::time::Wall;
use crate::wire::event_json::push_ledger_event;
use crate::wire::time::parse_rfc3339;

/// Events in an answer if the caller does not say.
pub const LIMIT_DEFAULT: usize = 100;
/// Most events in an answer. Beyond: 422.
pub const LIMIT_MAX: usize = 1_000;
/// Most types in a filter. Beyond: 422.
pub const KINDS_MAX: usize = 16;

const NAMES: &str = "since, limit, type, severity, source, from, until";

/// What the caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsQuery {
    /// Exclusive; `Seq(0)` begins at the oldest kept.
    pub after: Seq,
    /// Which events.
    pub filter: EventFilter,
    /// At most this many, 1 to `LIMIT_MAX`.
    pub limit: usize,
    /// `next` of an answer without events: the `since` given, or `0`.
    pub since: String,
}

/// What a reader that stays wants: a socket of `/ws/events`, or `/api/events/stream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Exclusive; everything behind it is sent, and then what comes.
    pub after: Seq,
    /// Which events.
    pub filter: EventFilter,
}

impl Follow {
    /// All events that come after `durable`.
    #[must_use]
    pub fn live(durable: Seq) -> Self {
        Self { after: durable, filter: EventFilter::default() }
    }
}

/// What the answer begins with.
pub const HEAD: &str = "{\"events\":[";

/// Appends one event of this ledger, with a comma before it unless it is the first.
pub fn push(out: &mut String, event: &Event, ledger: LedgerId, is_first: bool) {
    if !is_first {
        out.push(',');
    }
    push_ledger_event(out, event, ledger);
}

/// What the answer ends with. `last` is the last event written.
#[must_use]
pub fn tail(query: &EventsQuery, last: Option<EventId>) -> String {
    match last {
        Some(id) => format!("],\"next\":\"{id}\"}}"),
        None => format!("],\"next\":\"{}\"}}", query.since),
    }
}

/// Reads a query string. A `since` of another ledger begins at the oldest kept: its places mean nothing here.
///
/// # Errors
/// 422 that names every parameter that is not right.
pub fn parse(query: &str, ledger: LedgerId) -> Result<EventsQuery, Response> {
    let reader = read(query)?;
    let (after, since) = match reader.since {
        Some(id) if id.ledger == ledger => (id.seq, id.to_string()),
        Some(id) => (Seq(0), id.to_string()),
        None => (Seq(0), "0".to_owned()),
    };
    Ok(EventsQuery { after, filter: reader.filter, limit: reader.limit.unwrap_or(LIMIT_DEFAULT), since })
}

/// Reads the query of a reader that stays: without `since` it begins behind `durable`, the newest event. A `since` of
/// another ledger begins at the oldest kept, one that is still to come at the newest.
///
/// # Errors
/// 422 that names every parameter that is not right.
pub fn parse_follow(query: &str, ledger: LedgerId, durable: Seq) -> Result<Follow, Response> {
    let mut reader = read(query)?;
    if reader.limit.is_some() {
        reader.fault("limit", "limit is not a parameter here: the events do not end".to_owned());
        return Err(Problem::of_faults(Kind::InvalidParameters, reader.faults).into());
    }
    let after = match reader.since {
        Some(id) if id.ledger == ledger => id.seq.min(durable),
        None if !reader.has_since => durable,
        _ => Seq(0),
    };
    Ok(Follow { after, filter: reader.filter })
}

/// The first value of a parameter in a query; `None` also if it is not percent-encoded UTF-8.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| decoded(value))
}

fn read(query: &str) -> Result<Reader, Response> {
    let mut reader = Reader::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (decoded(name), decoded(value)) {
            (Some(name), Some(value)) => reader.parameter(&name, &value),
            _ => reader.fault(name, format!("{} is not percent-encoded UTF-8", shown(pair))),
        }
    }
    if reader.faults.is_empty() {
        return Ok(reader);
    }
    Err(Problem::of_faults(Kind::InvalidParameters, reader.faults).into())
}

#[derive(Default)]
struct Reader {
    since: Option<EventId>,
    has_since: bool,
    limit: Option<usize>,
    filter: EventFilter,
    faults: Vec<InputFault>,
}

/// Faults named in one answer; the rest is left out, so that a query of 8 KiB cannot make a far longer answer.
const FAULTS_MAX: usize = 8;

impl Reader {
    fn fault(&mut self, name: &str, detail: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(InputFault { place: Place::Query(shown(name)), detail });
        }
    }

    fn parameter(&mut self, name: &str, value: &str) {
        match name {
            "since" => self.since(value),
            "limit" => self.limit(value),
            "type" => value.split(',').for_each(|kind| self.kind(kind)),
            "severity" => value.split(',').for_each(|word| self.severity(word)),
            "source" => value.split(',').for_each(|word| self.source(word)),
            "from" => self.filter.from = self.moment(name, value, self.filter.from.is_some()),
            "until" => self.filter.until = self.moment(name, value, self.filter.until.is_some()),
            _ => self.fault(name, format!("{} is not a parameter: {NAMES} are", shown(name))),
        }
    }

    fn since(&mut self, value: &str) {
        if std::mem::replace(&mut self.has_since, true) {
            return self.fault("since", "since is there twice, wanted once".to_owned());
        }
        self.since = EventId::parse(value);
        if self.since.is_none() && value != "0" {
            let detail = format!("since is \"{}\": must be the id of an event, or 0", shown(value));
            self.fault("since", detail);
        }
    }

    fn limit(&mut self, value: &str) {
        if self.limit.is_some() {
            return self.fault("limit", "limit is there twice, wanted once".to_owned());
        }
        let limit = value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        self.limit = Some(limit.unwrap_or(0));
        if !(1..=LIMIT_MAX).contains(&limit.unwrap_or(0)) {
            let detail = format!("limit is \"{}\": must be a number from 1 to {LIMIT_MAX}", shown(value));
            self.fault("limit", detail);
        }
    }

    fn moment(&mut self, name: &str, value: &str, is_there: bool) -> Option<Wall> {
        if is_there {
            self.fault(name, format!("{name} is there twice, wanted once"));
        }
        let moment = parse_rfc3339(value);
        if moment.is_none() {
            let detail = format!("{name} is \"{}\": must be a time like 2026-01-31T12:00:00Z", shown(value));
            self.fault(name, detail);
        }
        moment
    }

    fn kind(&mut self, value: &str) {
        let is_kind_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let name = value.strip_suffix('*').unwrap_or(value);
        if value.is_empty() || name.len() > EVENT_TYPE_BYTES_MAX || !name.bytes().all(is_kind_byte) {
            let detail = format!(
                "type is \"{}\": must be 1 to {EVENT_TYPE_BYTES_MAX} of A-Z a-z 0-9 . _ -, and may end in *",
                shown(value)
            );
            return self.fault("type", detail);
        }
        if self.filter.kinds.len() == KINDS_MAX {
            return self.fault("type", format!("type names more than {KINDS_MAX} types"));
        }
        self.filter.kinds.push(value.to_owned());
    }

    fn severity(&mut self, value: &str) {
        match Severity::parse(value) {
            Some(severity) if self.filter.severities.contains(&severity) => {}
            Some(severity) => self.filter.severities.push(severity),
            None => {
                let words = Severity::ALL.map(Severity::as_str).join(", ");
                self.fault("severity", format!("severity is \"{}\": must be one of {words}", shown(value)));
            }
        }
    }

    fn source(&mut self, value: &str) {
        match Source::parse(value) {
            Some(source) if self.filter.sources.contains(&source) => {}
            Some(source) => self.filter.sources.push(source),
            None => {
                let words = Source::ALL.map(Source::as_str).join(", ");
                self.fault("source", format!("source is \"{}\": must be one of {words}", shown(value)));
            }
        }
    }
}

/// Undoes the percent-encoding of a form; `None` if it is broken or not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? * 16 + hex(rest.next()?)?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: LedgerId = LedgerId(0xdead_beef);

    #[test]
    fn an_empty_query_begins_at_the_oldest_with_the_default_limit() {
        let query = parse("", LEDGER).unwrap();
        assert_eq!((query.after, query.limit), (Seq(0), 100));
        assert_eq!(query.filter, EventFilter::default());
        assert_eq!(format!("{HEAD}{}", tail(&query, None)), r#"{"events":[],"next":"0"}"#);
    }

    #[test]
    fn since_goes_on_after_an_event_of_this_ledger_only() {
        let query = parse("since=000000000042-deadbeef&limit=1", LEDGER).unwrap();
        assert_eq!((query.after, query.limit), (Seq(0x42), 1));
        assert_eq!(tail(&query, None), r#"],"next":"000000000042-deadbeef"}"#);
        let last = EventId { seq: Seq(0x43), ledger: LEDGER };
        assert_eq!(tail(&query, Some(last)), r#"],"next":"000000000043-deadbeef"}"#);
        let foreign = parse("since=000000000042-00000001", LEDGER).unwrap();
        assert_eq!(foreign.after, Seq(0));
    }

    #[test]
    fn a_reader_that_stays_begins_live_unless_it_says_where() {
        let after = |query| parse_follow(query, LEDGER, Seq(0x50)).unwrap().after;
        assert_eq!(after("type=x"), Seq(0x50));
        assert_eq!(after("since=0"), Seq(0));
        assert_eq!(after("since=000000000042-deadbeef"), Seq(0x42));
        assert_eq!(after("since=000000000099-deadbeef"), Seq(0x50), "still to come");
        assert_eq!(after("since=000000000042-00000001"), Seq(0), "of another ledger");
        for bad in ["limit=5", "since=x", "token=y", "severity=loud"] {
            assert_eq!(parse_follow(bad, LEDGER, Seq(0)).unwrap_err().status, 422, "{bad}");
        }
    }

    #[test]
    fn filters_are_repeated_or_listed() {
        let query =
            parse("type=workflow_*,agent_spawned&type=x&severity=error,info&source=alex%5Fos", LEDGER)
                .unwrap();
        assert_eq!(query.filter.kinds, ["workflow_*", "agent_spawned", "x"]);
        assert_eq!(query.filter.severities, [Severity::Error, Severity::Info]);
        assert_eq!(query.filter.sources, [Source::AlexOs]);
    }

    #[test]
    fn a_long_bad_query_makes_a_short_answer() {
        let query = "x=1&".repeat(2_000);
        assert!(parse(&query, LEDGER).unwrap_err().body.len() < 2_048);
    }
}
