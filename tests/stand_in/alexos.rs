//! ALEX OS: as documented (register, canon, webhooks), and as its public release really is (none of those, and events
//! through one doubled path that breaks when it is asked two things at once).

use std::time::Duration;

use super::json::{self, Value};
use super::port::{Answer, Peer, Port, Request};
use super::watched::Watched;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Documented,
    Public,
}

/// How it feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Good,
    /// Every answer has this status, and nothing is kept.
    Fail(u16),
    /// It keeps what it is sent and answers 500 all the same, as the public release does.
    KeepAndFail,
    Garbage,
    /// Every answer takes this long.
    Slow(Duration),
}

/// An event that it kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub kind: String,
    /// The agent's id for it.
    pub id: String,
    pub body: Value,
}

#[derive(Debug)]
pub struct State {
    pub kind: Kind,
    pub mode: Mode,
    pub seen: Vec<Request>,
    pub registrations: Vec<Value>,
    pub canon_asked: usize,
    pub events: Vec<Kept>,
    /// Health reports: they come by the same paths as events, but are none.
    pub reports: Vec<Value>,
    pub in_flight: usize,
    pub in_flight_max: usize,
}

impl State {
    /// How often an event with this id was kept.
    pub fn count_id(&self, id: &str) -> usize {
        self.events.iter().filter(|event| event.id == id).count()
    }
}

pub struct AlexOs {
    pub state: Watched<State>,
}

/// A new one on its own port.
pub fn open(kind: Kind) -> Port<AlexOs> {
    Port::open(AlexOs {
        state: Watched::new(State {
            kind,
            mode: Mode::Good,
            seen: Vec::new(),
            registrations: Vec::new(),
            canon_asked: 0,
            events: Vec::new(),
            reports: Vec::new(),
            in_flight: 0,
            in_flight_max: 0,
        }),
    })
}

impl Peer for AlexOs {
    fn answer(&self, request: Request) -> Answer {
        let (answer, slow) = self.state.change(|state| {
            state.in_flight += 1;
            state.in_flight_max = state.in_flight_max.max(state.in_flight);
            state.seen.push(request.clone());
            (state.answer(&request), state.mode)
        });
        // The time is spent here, so that a second request in the meantime counts as one in flight.
        if let Mode::Slow(time) = slow {
            std::thread::sleep(time);
        }
        self.state.change(|state| state.in_flight -= 1);
        answer
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        match self.mode {
            Mode::Fail(status) => return Answer::json(status, r#"{"detail":"out of order"}"#),
            Mode::Garbage => return Answer::garbage(),
            Mode::Good | Mode::Slow(_) | Mode::KeepAndFail => {}
        }
        let answer = match self.kind {
            Kind::Documented => self.documented(request),
            Kind::Public => self.public(request),
        };
        if self.mode == Mode::KeepAndFail { Answer::text(500, "Internal Server Error") } else { answer }
    }

    fn documented(&mut self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/api/agents/register") => self.register(request),
            ("GET", "/api/agents/canon") => {
                self.canon_asked += 1;
                Answer::json(
                    200,
                    r#"{"agents":[{"name":"harry","version":"2.1.0","description":"d","capabilities":["reasoning"]}]}"#,
                )
            }
            ("POST", path) if path.starts_with("/api/webhooks/chainbot/") => {
                let kind = path.trim_start_matches("/api/webhooks/chainbot/").to_owned();
                match json::parse(&request.body) {
                    Some(body @ Value::Object(_)) => {
                        self.keep(kind, "data", body);
                        Answer::json(200, r#"{"status":"success"}"#)
                    }
                    _ => Answer::json(422, r#"{"detail":"body must be an object"}"#),
                }
            }
            _ => Answer::json(404, r#"{"detail":"Not Found"}"#),
        }
    }

    fn register(&mut self, request: &Request) -> Answer {
        let body = json::parse(&request.body).unwrap_or(Value::Null);
        let has_name = json::str_at(&body, &["agent_name"]).or(json::str_at(&body, &["name"])).is_some();
        if !has_name {
            return Answer::json(422, r#"{"detail":"agent_name is missing"}"#);
        }
        self.registrations.push(body);
        Answer::json(
            201,
            format!(r#"{{"agent_id":"alex-{:04}","status":"registered"}}"#, self.registrations.len()),
        )
    }

    fn public(&mut self, request: &Request) -> Answer {
        let host = request.header("host").unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if !["localhost", "127.0.0.1", "10.42.69.208"].contains(&name) {
            return Answer::text(400, "Invalid host header");
        }
        let path = request.path.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path) {
            ("POST", "/api/events/api/events/") => self.public_event(request),
            ("GET", "/dashboard/api/health") => Answer::json(
                200,
                r#"{"status":"healthy","timestamp":"2026-01-01T00:00:00","version":"1.0.0"}"#,
            ),
            ("GET", _) => Answer::json(404, r#"{"detail":"Not Found"}"#),
            _ => {
                let mut answer = Answer::json(405, r#"{"detail":"Method Not Allowed"}"#);
                answer.headers.push(("Allow".to_owned(), "GET".to_owned()));
                answer
            }
        }
    }

    fn public_event(&mut self, request: &Request) -> Answer {
        if self.in_flight > 1 {
            return Answer::text(500, "Internal Server Error");
        }
        let body = json::parse(&request.body).unwrap_or(Value::Null);
        let kind = json::str_at(&body, &["event_type"]).map(str::to_owned);
        let has_object = matches!(json::at(&body, &["payload"]), None | Some(Value::Object(_)));
        match kind {
            Some(kind) if has_object => {
                self.keep(kind, "payload", body);
                Answer::json(
                    200,
                    format!(r#"{{"id":{},"severity":"info","payload":{{}}}}"#, self.events.len()),
                )
            }
            _ => Answer::json(
                422,
                r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#,
            ),
        }
    }

    fn keep(&mut self, kind: String, data: &str, body: Value) {
        if kind == "health_report" {
            self.reports.push(body);
            return;
        }
        let id = [&["event_id"][..], &["id"], &[data, "event_id"], &[data, "id"]]
            .into_iter()
            .find_map(|path| json::str_at(&body, path))
            .unwrap_or_default()
            .to_owned();
        self.events.push(Kept { kind, id, body });
    }
}
