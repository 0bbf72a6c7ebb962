//! The HTTP API as values. One route table (`routes.rs`) says what there is; the router, the authorisation, the
//! OpenAPI document and the pages are made from it. [`respond`] is pure: a request and a view of the agent go in, a
//! [`Decision`] comes out. The shell owns the sockets, streams the events and carries an intake to the agent.
//!
//! Not here: HTTP framing, limits on connections and deadlines (`shell/`), the decoding of webhook bodies and
//! signatures (`wire/`), the events themselves (`ledger/`).

pub mod access;
pub mod audit;
mod auth;
pub mod brain;
pub mod commands;
pub mod events;
pub mod intake;
pub mod metrics;
pub mod openapi;
pub mod pages;
pub mod problem;
pub mod router;
pub mod routes;
pub mod sockets;
pub mod throttle;

mod chainbot;
mod json;
mod schemas;
mod views;

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod testing;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

pub use access::{Security, Shown, Who, WhoKind};
pub use events::{EventsQuery, Follow};
pub use intake::intake_answer;
pub use problem::Problem;
pub use sockets::{Conversation, Plan, Reaction, Scene};
pub use throttle::{Hold, Place, Rate, Throttle};

use crate::agent::event::EventDraft;
use crate::agent::ids::{DedupeKey, EventId, Seq};
use crate::agent::{Setup, Status};
use crate::wire::windows::Window;

use problem::Kind;
use router::Found;
use routes::{BrainAsk, Endpoint, ROUTES, Route, Shape, SocketKind};

/// A request whose head was framed and whose body was read whole (at most `limits::BODY_BYTES_MAX`) by the shell.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// As in the request line, in its case.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// What follows the first `?`, without it; empty if there is none.
    pub query: &'a str,
    /// The first value of the header with this name in lower case, if it is visible ASCII.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// How many headers have this name in lower case.
    pub header_count: &'a dyn Fn(&str) -> usize,
    /// The body, empty if there is none.
    pub body: &'a [u8],
    /// Whether the other end of the connection is 127.0.0.0/8 or ::1 (also as ::ffff:127.0.0.1).
    pub peer_is_loopback: bool,
    /// The other end of the connection.
    pub peer: IpAddr,
}

impl<'a> Request<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        (self.header)(name)
    }

    fn header_count(&self, name: &str) -> usize {
        (self.header_count)(name)
    }
}

/// What a request may see.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The agent now.
    pub status: &'a Status<'a>,
    /// What the agent was told.
    pub setup: &'a Setup,
    /// Who may.
    pub security: &'a Security,
    /// Makes the effective config as a JSON object, secrets masked. Called only for `/config`.
    pub config_json: &'a dyn Fn() -> String,
    /// Version of the program.
    pub version: &'a str,
    /// Path of the ledger's file, for people.
    pub ledger_file: &'a str,
    /// What the shell knows of the process.
    pub process: ProcessFacts<'a>,
    /// What `Throttle::admit` says to this request.
    pub hold: Hold,
}

/// What the shell knows of the process at this moment.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFacts<'a> {
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// Threads.
    pub threads: u32,
    /// Open file descriptors.
    pub fds: u32,
    /// Connections to the open port.
    pub connections: u32,
    /// Open WebSockets.
    pub sockets: u32,
    /// Open WebSockets of each window, in the order of `Window::ALL`.
    pub windows: [u32; 6],
    /// Different users at windows.
    pub users: u32,
    /// Different sessions at windows.
    pub sessions: u32,
    /// Bytes of the ledger's file.
    pub ledger_bytes: u64,
    /// Answers since the start.
    pub http: &'a HttpCounters,
    /// `Throttle::refused`.
    pub throttled: [u64; 2],
}

/// Answers since the start, by status.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HttpCounters(BTreeMap<u16, u64>);

impl HttpCounters {
    /// Statuses told apart. Beyond: counted as the first status of their class (`400`, `500` ...).
    pub const STATUSES_MAX: usize = 32;

    /// Counts one answer.
    pub fn count(&mut self, status: u16) {
        let has_room = self.0.len() < Self::STATUSES_MAX || self.0.contains_key(&status);
        let row = if has_room { status } else { status.clamp(100, 599) / 100 * 100 };
        *self.0.entry(row).or_default() += 1;
    }

    /// Statuses and how often each was answered, by status.
    pub fn rows(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().map(|(status, count)| (*status, *count))
    }
}

/// A whole answer. For a HEAD request the body is here too: the shell sends its length and not its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Empty if there is no body.
    pub content_type: &'static str,
    /// More headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
    /// Whether the connection ends after it.
    pub close: bool,
}

impl Response {
    /// An answer with a body made of text.
    #[must_use]
    pub fn text(status: u16, content_type: &'static str, body: String) -> Self {
        let body = Cow::Owned(body.into_bytes());
        Self { status, content_type, headers: Vec::new(), body, close: false }
    }

    fn shaped(status: u16, shape: Shape, body: String) -> Self {
        Self::text(status, shape.content_type(), body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer this.
    Answer(Response),
    /// Give it to the agent as `Input::Webhook`, wait for `Effect::Respond`, and answer with [`intake_answer`].
    Intake {
        /// The checked content.
        draft: EventDraft,
        /// The caller's id, if it gave one: the shell looks up in the ledger what it knows of it.
        dedupe: Option<DedupeKey>,
        /// For [`intake_answer`].
        message: String,
    },
    /// Stream the events that this asks for, with the pieces of `events.rs`.
    Events(EventsQuery),
    /// Stream events without an end, as server-sent events.
    Follow(Follow),
    /// Make this connection a WebSocket, if there is a place for one.
    Socket(Plan),
    /// Do this with the brain, and answer with the functions of `brain`.
    Brain(Box<brain::Asked>),
    /// Send everybody at a window this, and answer with `sockets::broadcast_answer`.
    Broadcast {
        /// Where.
        window: Window,
        /// What.
        text: String,
    },
}

/// What becomes of a request, and of whom it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What to do.
    pub decision: Decision,
    /// Who asked. Nobody, if that was not looked at.
    pub who: Who,
    /// For `Throttle::note`.
    pub shown: Shown,
    /// The event that has to be durable before the decision is carried out: who changes what.
    pub deed: Option<EventDraft>,
}

/// Decides what becomes of a request.
#[must_use]
pub fn respond(view: &View<'_>, request: &Request<'_>) -> Decided {
    let mut seen = Seen { who: Who::nobody(), shown: Shown::Nothing, is_login: false };
    let decision = decide(view, request, &mut seen).unwrap_or_else(Decision::Answer);
    let Seen { who, shown, is_login } = seen;
    let deed = match is_login {
        true => Some(audit::draft(&who, request.peer, &audit::Deed::on("token.login", who.user()))),
        false => audit::of_decision(request, &decision, &who),
    };
    Decided { decision, who, shown, deed }
}

/// What was seen of the caller on the way to a decision.
struct Seen {
    who: Who,
    shown: Shown,
    /// Whether somebody has logged in.
    is_login: bool,
}

fn decide(view: &View<'_>, request: &Request<'_>, seen: &mut Seen) -> Result<Decision, Response> {
    if let Some(seconds) = view.hold.rate {
        seen.shown = Shown::OverRate;
        return Err(held("too many requests from this address", seconds));
    }
    access::check_host(view, request)?;
    let route = match router::find(ROUTES, request.method, request.path) {
        Found::Route(route) => route,
        Found::Options => return Err(options(request)),
        Found::WrongMethod => return Err(wrong_method(request)),
        Found::Nowhere => return Err(nowhere(request)),
    };
    access::check_origin(request)?;
    let is_login = route.endpoint == Endpoint::Login;
    let beside = if matches!(route.endpoint, Endpoint::Socket(_)) { sockets::beside(request) } else { None };
    let shows = access::shows(request, beside);
    if let Some(seconds) = view.hold.guesses.filter(|_| shows || is_login) {
        seen.shown = Shown::Held;
        return Err(held("too many wrong credentials, so this one was not looked at", seconds));
    }
    seen.who = access::who(view.security, view.status, request, beside);
    if shows {
        let is_right = !matches!(seen.who.kind, WhoKind::Nobody | WhoKind::Loopback);
        seen.shown = if is_right { Shown::Right } else { Shown::Wrong };
    }
    if is_login {
        return log_in(view, request, seen);
    }
    let who = &seen.who;
    let role = who.role;
    if let Endpoint::Webhook(kind) = route.endpoint {
        return intake::take(view, request, route, role, kind);
    }
    if let Endpoint::Socket(kind) = route.endpoint
        && (kind != SocketKind::Health || request.header_count("upgrade") > 0)
    {
        return sockets::accept(view, request, route, kind, who);
    }
    access::check_role(view.security, route, role)?;
    match route.endpoint {
        Endpoint::Broadcast => return sockets::broadcast(view, request),
        Endpoint::EventStream => return follow(view, request),
        Endpoint::Brain(ask) => return ask_brain(view, request, who, ask),
        _ => {}
    }
    if route.endpoint == Endpoint::Events {
        return Ok(Decision::Events(events::parse(request.query, view.status.ledger.id)?));
    }
    Ok(Decision::Answer(answer(view, route, who)))
}

fn log_in(view: &View<'_>, request: &Request<'_>, seen: &mut Seen) -> Result<Decision, Response> {
    match auth::login(view, request) {
        Ok((response, user)) => {
            *seen = Seen { who: user, shown: Shown::Right, is_login: true };
            Ok(Decision::Answer(response))
        }
        Err((response, is_wrong)) => {
            if is_wrong {
                seen.shown = Shown::Wrong;
            }
            Err(response)
        }
    }
}

/// The answer to whoever must wait.
fn held(why: &str, seconds: u32) -> Response {
    intake::with_retry(Problem::new(Kind::Throttled, format!("{why}: try again in {seconds} s")), seconds)
}

fn ask_brain(view: &View<'_>, request: &Request<'_>, who: &Who, ask: BrainAsk) -> Result<Decision, Response> {
    let caller = who.caller();
    let asked = match ask {
        BrainAsk::Question => brain::question(request, caller, view.status.at),
        BrainAsk::Message => brain::message(request, caller),
        BrainAsk::Completion => brain::completion(request, caller),
        BrainAsk::Show => brain::show(request),
        BrainAsk::Forget => brain::forget(request),
        BrainAsk::Stop => brain::stop(view, request),
        BrainAsk::Decide => brain::decision(request, caller),
    };
    asked.map(|mut asked| {
        if let brain::Asked::Say { saying, .. } | brain::Asked::Question { otherwise: Some(saying), .. } =
            &mut asked
        {
            saying.by = audit::by(who, request.peer);
        }
        Decision::Brain(Box::new(asked))
    })
}

/// What an `EventSource` that lost its connection has seen goes before what its address says.
fn follow(view: &View<'_>, request: &Request<'_>) -> Result<Decision, Response> {
    let ledger = &view.status.ledger;
    let mut follow = events::parse_follow(request.query, ledger.id, ledger.durable)?;
    if let Some(id) = request.header("last-event-id").filter(|id| !id.is_empty()) {
        follow.after = match EventId::parse(id) {
            Some(id) if id.ledger == ledger.id => id.seq.min(ledger.durable),
            _ => Seq(0),
        };
    }
    Ok(Decision::Follow(follow))
}

/// The documents made of the route table. They are the same for the life of the process, and the largest answers of a
/// fixed size: so all who read one share its bytes.
fn document(endpoint: Endpoint, version: &str) -> Option<&'static [u8]> {
    static OPENAPI: OnceLock<String> = OnceLock::new();
    static DOCS: OnceLock<String> = OnceLock::new();
    let text = match endpoint {
        Endpoint::OpenApi => OPENAPI.get_or_init(|| exact(openapi::render(ROUTES, version))),
        Endpoint::Docs => DOCS.get_or_init(|| exact(pages::html(ROUTES, version))),
        _ => return None,
    };
    Some(text.as_bytes())
}

fn exact(mut text: String) -> String {
    text.shrink_to_fit();
    text
}

fn answer(view: &View<'_>, route: &Route, who: &Who) -> Response {
    let shape = route.answers.first().map_or(Shape::Problem, |(_, shape)| *shape);
    let mut response = match document(route.endpoint, view.version) {
        Some(bytes) => Response { body: Cow::Borrowed(bytes), ..Response::shaped(200, shape, String::new()) },
        None => {
            let (status, body) = made(view, route, who);
            Response::shaped(status, shape, body)
        }
    };
    response = response.with("cache-control", "no-store");
    if shape == Shape::Page { with_page_headers(response) } else { response }
}

/// Status and body of an answer that is made anew each time.
fn made(view: &View<'_>, route: &Route, who: &Who) -> (u16, String) {
    match route.endpoint {
        Endpoint::Service => (200, views::service(view)),
        Endpoint::Health => views::health(view, who.role),
        Endpoint::Me => (200, auth::me(view, who)),
        Endpoint::Status => (200, views::status(view)),
        Endpoint::Metrics => (200, metrics::render(view)),
        Endpoint::Config => (200, (view.config_json)()),
        Endpoint::PolledHealth => (200, chainbot::polled_health(view)),
        Endpoint::AlexAgentList => (200, chainbot::agent_list(view)),
        Endpoint::AiAgentList | Endpoint::WorkflowList => (200, "[]".to_owned()),
        Endpoint::ChainbotHealth => (200, chainbot::health(view)),
        Endpoint::ChainbotStatus => (200, chainbot::status(view)),
        Endpoint::AlexAgents => (200, chainbot::agents(view, true)),
        Endpoint::AiAgents => (200, chainbot::agents(view, false)),
        Endpoint::AllAgents => (200, chainbot::all_agents(view)),
        Endpoint::SocketStats => (200, views::socket_stats(view)),
        Endpoint::SocketStatus => (200, views::socket_status(view)),
        Endpoint::WebhookService => (200, chainbot::webhook_service(view)),
        Endpoint::WebhookHealth => (200, chainbot::webhook_health(view)),
        Endpoint::Socket(_) => (200, views::socket_health(view)),
        Endpoint::GptHealth => (200, brain::healthy(&view.status.brain)),
        Endpoint::ProviderStatus => (200, brain::provider_status(&view.status.brain)),
        Endpoint::Personas => (200, brain::persona_list()),
        Endpoint::Models => (200, brain::models(&view.setup.brain)),
        Endpoint::OpenAiModels => (200, brain::openai_models(&view.setup.brain)),
        Endpoint::Conversations => (200, brain::conversations(&view.status.brain)),
        Endpoint::Approvals => (200, brain::pending(&view.status.brain)),
        Endpoint::Webhook(_)
        | Endpoint::Brain(_)
        | Endpoint::Login
        | Endpoint::Events
        | Endpoint::EventStream
        | Endpoint::Broadcast
        | Endpoint::OpenApi
        | Endpoint::Docs => (500, String::new()),
    }
}

fn with_page_headers(response: Response) -> Response {
    response
        .with(
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "no-referrer")
}

fn options(request: &Request<'_>) -> Response {
    Response { status: 204, content_type: "", headers: Vec::new(), body: Cow::Borrowed(b""), close: false }
        .with("allow", router::allow(ROUTES, request.path))
}

fn wrong_method(request: &Request<'_>) -> Response {
    let allow = router::allow(ROUTES, request.path);
    let detail = format!("{} is not offered here, {allow} are", shown(request.method));
    Problem::new(Kind::MethodNotAllowed, detail).response().with("allow", allow)
}

fn nowhere(request: &Request<'_>) -> Response {
    let detail = format!("there is nothing at {}; /docs lists what there is", shown(request.path));
    Problem::new(Kind::NotFound, detail).response()
}

/// Foreign text for a message: cut to 100 characters, control characters replaced.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut shown: String = text.chars().take(100).map(clean).collect();
    if text.chars().nth(100).is_some() {
        shown.push('…');
    }
    shown
}
