//! ALEX OS, as documented and as publicly released (protocol notes, sections 1.2, 1.3 and 3).

use std::collections::{BTreeMap, BTreeSet};

use chainbot::agent::ids::EventId;
use chainbot::agent::input::Fault;
use chainbot::wire::HttpRequest;
use miniserde::json::Value;

use super::{Answer, header, object, path_of, string};
use crate::rng::Rng;

/// Which ALEX OS it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Registration, canon and webhooks.
    Documented,
    /// None of these; events through the doubled path, one at a time.
    Public,
}

/// How it behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As its kind does.
    Fine,
    /// Half of the answers are 500, stored or not.
    Erring,
    /// Every path is 404: another program sits on the port.
    Absent,
    /// Seconds for each answer, sometimes more than a caller waits.
    Slow,
    /// 503 with or without `Retry-After`.
    Busy,
    /// 401: somebody put a gate before it.
    Gated,
    /// 422 to one type of event: those are parked.
    Picky,
}

/// One ALEX OS.
#[derive(Debug)]
pub struct Alexos {
    /// What it is.
    pub kind: Kind,
    /// How it is.
    pub mood: Mood,
    /// Whether it knows us.
    pub is_registered: bool,
    /// The events that it stored, in the order of their first arrival, with the post each came from.
    pub stored: BTreeMap<EventId, u32>,
    /// Health reports that it took.
    pub reports: u64,
    in_work: BTreeSet<u64>,
    broken: BTreeSet<u64>,
    next_id: u64,
}

impl Alexos {
    /// One that knows nobody.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            mood: Mood::Fine,
            is_registered: false,
            stored: BTreeMap::new(),
            reports: 0,
            in_work: BTreeSet::new(),
            broken: BTreeSet::new(),
            next_id: 1,
        }
    }

    /// Another mood; sometimes another kind, sometimes it forgets us. Says how long it lasts in milliseconds.
    pub fn change(&mut self, rng: &mut Rng) -> u64 {
        self.mood = match rng.below(100) {
            0..50 => Mood::Fine,
            50..65 => Mood::Erring,
            65..75 => Mood::Absent,
            75..87 => Mood::Slow,
            87..92 => Mood::Busy,
            92..96 => Mood::Picky,
            _ => Mood::Gated,
        };
        if rng.chance(100) {
            self.is_registered = false;
        }
        if rng.chance(60) {
            self.kind = if self.kind == Kind::Public { Kind::Documented } else { Kind::Public };
        }
        rng.within(5, 15 * 60) * 1_000
    }

    /// A request is there: says how long it will take in milliseconds. The public release has one database session
    /// for all: requests that overlap break each other.
    pub fn arrive(&mut self, flight: u64, rng: &mut Rng) -> u64 {
        if self.kind == Kind::Public && !self.in_work.is_empty() {
            self.broken.extend(self.in_work.iter().copied());
            self.broken.insert(flight);
        }
        self.in_work.insert(flight);
        if self.mood == Mood::Slow { rng.within(500, 45_000) } else { rng.within(2, 12) }
    }

    /// The request is done.
    pub fn serve(&mut self, flight: u64, request: &HttpRequest, rng: &mut Rng) -> Result<Answer, Fault> {
        self.in_work.remove(&flight);
        if self.broken.remove(&flight) {
            return self.serve_broken(request, rng);
        }
        match self.mood {
            Mood::Absent => Ok(Answer::text(404, "{\"detail\":\"Not Found\"}")),
            Mood::Gated => Ok(Answer::text(401, "{\"detail\":\"Not authenticated\"}")),
            Mood::Busy => Ok(Answer {
                retry_after_s: rng.chance(500).then(|| rng.within(1, 90)),
                ..Answer::text(503, "busy")
            }),
            Mood::Erring if rng.chance(500) => self.serve_broken(request, rng),
            Mood::Picky if is_disliked(request) => Ok(Answer::text(422, "{\"detail\":\"not this one\"}")),
            Mood::Fine | Mood::Slow | Mood::Erring | Mood::Picky => Ok(self.route(request)),
        }
    }

    /// It may have stored the event all the same.
    fn serve_broken(&mut self, request: &HttpRequest, rng: &mut Rng) -> Result<Answer, Fault> {
        if rng.chance(500) {
            self.route(request);
        }
        match rng.below(3) {
            0 => Ok(Answer::text(500, "Internal Server Error")),
            1 => Ok(Answer::text(400, "{\"detail\":\"Event creation failed: This transaction is closed\"}")),
            _ => Err(Fault::Reset),
        }
    }

    fn route(&mut self, request: &HttpRequest) -> Answer {
        let path = path_of(&request.url);
        match (self.kind, request.method, path) {
            (Kind::Public, _, _) if !is_known_host(request) => Answer::text(400, "Invalid host header"),
            (Kind::Public, "POST", "/api/events/api/events/") => self.take_public(request),
            (Kind::Public, "POST", _) => Answer::text(405, "{\"detail\":\"Method Not Allowed\"}"),
            (Kind::Documented, "POST", "/api/agents/register") => self.register(request),
            (Kind::Documented, "GET", "/api/agents/canon") => Answer::text(
                200,
                "{\"agents\":[{\"name\":\"ChainBot\",\"version\":\"1.0.0\",\"description\":\"d\",\"capabilities\":[]}]}",
            ),
            (Kind::Documented, "POST", path) => match path.strip_prefix("/api/webhooks/chainbot/") {
                Some(event_type) if !event_type.is_empty() => self.take_documented(request),
                _ => Answer::text(404, "{\"detail\":\"Not Found\"}"),
            },
            _ => Answer::text(404, "{\"detail\":\"Not Found\"}"),
        }
    }

    fn register(&mut self, request: &HttpRequest) -> Answer {
        let Some(body) = object(request) else { return Answer::text(422, "{\"detail\":[]}") };
        if ["name", "version"].iter().any(|field| string(&body, field).is_none()) {
            return Answer::text(
                422,
                "{\"detail\":[{\"loc\":[\"body\",\"name\"],\"msg\":\"field required\"}]}",
            );
        }
        self.is_registered = true;
        Answer::text(201, "{\"status\":\"registered\",\"agent_id\":\"agent-7\"}")
    }

    fn take_documented(&mut self, request: &HttpRequest) -> Answer {
        let Some(body) = object(request) else { return Answer::text(422, "{\"detail\":[]}") };
        self.store(string(&body, "event_type").unwrap_or_default() == "health_report", Value::Object(body));
        Answer::text(200, "{\"status\":\"success\"}")
    }

    fn take_public(&mut self, request: &HttpRequest) -> Answer {
        let Some(body) = object(request) else { return Answer::text(422, "{\"detail\":[]}") };
        let is_valid = string(&body, "event_type").is_some()
            && matches!(body.get("payload"), None | Some(Value::Object(_)))
            && matches!(body.get("severity"), None | Some(Value::String(_)))
            && matches!(body.get("source"), None | Some(Value::String(_) | Value::Null))
            && matches!(body.get("agent_uuid"), None | Some(Value::Null));
        if !is_valid {
            return Answer::text(422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"not valid\"}]}");
        }
        let is_report = string(&body, "event_type") == Some("health_report");
        let payload = body.get("payload").cloned().unwrap_or(Value::Null);
        self.store(is_report, payload);
        self.next_id += 1;
        Answer::text(
            200,
            format!(
                "{{\"id\":{},\"event_type\":\"x\",\"created_at\":\"2026-11-21T00:00:00\"}}",
                self.next_id
            ),
        )
    }

    fn store(&mut self, is_report: bool, content: Value) {
        let id = match &content {
            Value::Object(content) => string(content, "id").and_then(EventId::parse),
            _ => None,
        };
        match id {
            Some(id) => *self.stored.entry(id).or_default() += 1,
            None => {
                assert!(is_report, "ALEX OS got an event without an id, so it cannot recognise a repetition");
                self.reports += 1;
            }
        }
    }
}

fn is_disliked(request: &HttpRequest) -> bool {
    object(request).is_some_and(|body| string(&body, "event_type") == Some("my.own-kind"))
}

/// The public release answers only to these names.
fn is_known_host(request: &HttpRequest) -> bool {
    let host = header(request, "host").unwrap_or_else(|| {
        let rest = request.url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    });
    ["10.42.69.208", "localhost", "127.0.0.1"].contains(&host.split(':').next().unwrap_or_default())
}
