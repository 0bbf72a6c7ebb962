//! The sockets of the open port: which upgrades are taken, and what a socket says to what it hears.
//!
//! Pure: `accept` makes a [`Plan`] of a request, [`Conversation`] makes [`Reaction`]s of messages and texts of events.
//! The shell owns frames, pings, deadlines and cursors.
//!
//! ```text
//!   credential shown: open                        open --text--> reactions
//!   none: waiting --auth, in time--> open         open --event--> text, if the socket shows it
//!         waiting --anything else--> closed 1008
//! ```

use std::net::IpAddr;

use super::access;
use super::audit::{self, Deed};
use super::events::{self, Follow};
use super::problem::{InputFault, Kind, Place, Problem};
use super::routes::{Role, Route};
use super::{Decision, Request, Response, Security, View, Who, brain, commands, shown};
use crate::agent::brain::speech::{Refusal, Saying};
use crate::agent::effect::{DecisionAnswer, IntakeAnswer};
use crate::agent::event::{Event, EventDraft, JsonText, Severity, Source};
use crate::agent::ids::{EventId, LedgerId};
use crate::agent::input::Sample;
use crate::agent::limits::EVENT_MESSAGE_BYTES_MAX;
use crate::agent::{Setup, Status};
use crate::wire::autobot::{self, Misfit};
use crate::wire::event_json::push_ledger_event;
use crate::wire::json::{self, push_raw, push_text};
use crate::wire::windows::{self, Window};

/// Longest user or session of a window in bytes. Beyond: 422.
pub const NAME_BYTES_MAX: usize = 64;
/// The sub-protocol that is spoken; offered beside it, `bearer.<token>` shows a credential.
pub const SUBPROTOCOL: &str = "chainbot";
/// The event of what someone said when there is no model.
const USER_MESSAGE: &str = "user_message";
const BEARER: &str = "bearer.";

/// The sorts of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// `/ws`: AutoBot's messages, or ALEX OS's dialect.
    AutoBot,
    /// `/ws-test`: an echo.
    Test,
    /// `/ws/health`.
    Health,
    /// `/ws/events`: unified events.
    Events,
    /// `/api/ws/{window}/{user_id}`.
    Window,
}

impl SocketKind {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AutoBot => "autobot",
            Self::Test => "test",
            Self::Health => "health",
            Self::Events => "events",
            Self::Window => "window",
        }
    }
}

/// A socket that may be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of which sort.
    pub kind: SocketKind,
    /// Its client; with the role `Open` it must show a credential in its first message.
    pub who: Who,
    /// Its address.
    pub from: IpAddr,
    /// `Sec-WebSocket-Key`, checked.
    pub key: String,
    /// The sub-protocol to answer with.
    pub subprotocol: Option<&'static str>,
    /// Where its events begin and which they are; `None` for a socket without events.
    pub follow: Option<Follow>,
    /// The window and who sits at it.
    pub seat: Option<WindowSeat>,
}

/// Who sits at a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSeat {
    /// The window.
    pub window: Window,
    /// From the path, at most `NAME_BYTES_MAX` bytes.
    pub user: String,
    /// From the query, likewise.
    pub session: Option<String>,
}

/// Decides about a request at a socket's path, whose Host and path have been checked.
pub(super) fn accept(
    view: &View<'_>,
    request: &Request<'_>,
    route: &Route,
    kind: SocketKind,
    who: &Who,
) -> Result<Decision, Response> {
    check_handshake(request)?;
    access::check_same_site(request)?;
    let offered = request.header("sec-websocket-protocol").unwrap_or("");
    let names = || offered.split(',').map(str::trim);
    let mut who = who.clone();
    let shows_credential =
        access::shows(request, beside(request)) || request.header_count("authorization") > 0;
    let may_wait = !shows_credential && access::has_secrets(view.security);
    if who.role < route.role && !may_wait {
        access::check_role(view.security, route, who.role)?;
    }
    // A path that is open to all has nothing to wait for.
    if route.role == Role::Open {
        who.role = who.role.max(Role::Viewer);
    }
    let ledger = view.status.ledger.id;
    let follow = match kind {
        SocketKind::Events => Some(events::parse_follow(request.query, ledger, view.status.ledger.durable)?),
        SocketKind::AutoBot | SocketKind::Window => Some(Follow::live(view.status.ledger.durable)),
        SocketKind::Test | SocketKind::Health => None,
    };
    let seat = if kind == SocketKind::Window { Some(window_seat(request)?) } else { None };
    Ok(Decision::Socket(Plan {
        kind,
        who,
        from: request.peer,
        key: request.header("sec-websocket-key").unwrap_or("").trim().to_owned(),
        subprotocol: names().any(|name| name == SUBPROTOCOL).then_some(SUBPROTOCOL),
        follow,
        seat,
    }))
}

/// The credential that is offered as a sub-protocol.
pub(super) fn beside<'a>(request: &Request<'a>) -> Option<&'a str> {
    let offered = request.header("sec-websocket-protocol")?;
    offered.split(',').find_map(|name| name.trim().strip_prefix(BEARER))
}

/// RFC 6455 section 4.2.1. What is no handshake at all is told how to be one.
fn check_handshake(request: &Request<'_>) -> Result<(), Response> {
    let has = |name: &str, token: &str| {
        request.header_count(name) == 1
            && request
                .header(name)
                .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if request.method != "GET" || !has("upgrade", "websocket") || !has("connection", "upgrade") {
        let detail = "this path is a WebSocket: open it with ws:// or wss://";
        return Err(Problem::new(Kind::UpgradeRequired, detail)
            .response()
            .with("upgrade", "websocket")
            .with("connection", "upgrade"));
    }
    if request.header_count("sec-websocket-version") != 1
        || request.header("sec-websocket-version").is_none_or(|version| version.trim() != "13")
    {
        let detail = "only version 13 of the WebSocket protocol is spoken";
        return Err(Problem::new(Kind::UpgradeRequired, detail)
            .response()
            .with("upgrade", "websocket")
            .with("sec-websocket-version", "13"));
    }
    let key = request.header("sec-websocket-key").map(str::trim).unwrap_or("");
    if request.header_count("sec-websocket-key") != 1 || !is_key(key) {
        return Err(Problem::new(
            Kind::BadHeader,
            "sec-websocket-key must be there once, 16 bytes in base64",
        )
        .into());
    }
    Ok(())
}

/// 16 bytes in base64: 22 digits, of which the last stands for two bits, and `==`.
fn is_key(key: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(is_digit)
}

fn window_seat(request: &Request<'_>) -> Result<WindowSeat, Response> {
    let mut segments = request.path.trim_end_matches('/').rsplit('/');
    let (user, window) = (segments.next().unwrap_or(""), segments.next().unwrap_or(""));
    let Some(window) = Window::parse(window) else {
        return Err(no_window(window));
    };
    let session = events::parameter(request.query, "session_id").filter(|session| !session.is_empty());
    if user.len() > NAME_BYTES_MAX || session.as_ref().is_some_and(|session| session.len() > NAME_BYTES_MAX) {
        let detail = format!("user and session_id take at most {NAME_BYTES_MAX} bytes");
        return Err(Problem::new(Kind::InvalidParameters, detail).into());
    }
    Ok(WindowSeat { window, user: user.to_owned(), session })
}

fn no_window(name: &str) -> Response {
    let names = Window::ALL.map(Window::as_str).join(", ");
    Problem::new(Kind::NotFound, format!("\"{}\" is no window: {names} are", shown(name))).into()
}

/// `POST /api/ws/broadcast/{window}`: the message for everybody at the window.
pub(super) fn broadcast(view: &View<'_>, request: &Request<'_>) -> Result<Decision, Response> {
    super::intake::check_media(request)?;
    let name = request.path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let Some(window) = Window::parse(name) else { return Err(no_window(name)) };
    let kind = events::parameter(request.query, "message_type").unwrap_or_default();
    let Some(kind) = windows::TYPES.iter().find(|known| **known == kind) else {
        let place = Place::Query("message_type".to_owned());
        let detail =
            format!("message_type is \"{}\": must be one of {}", shown(&kind), windows::TYPES.join(", "));
        return Err(Problem::of_faults(Kind::InvalidParameters, vec![InputFault { place, detail }]).into());
    };
    let data = json::Json::parse(request.body)
        .map_err(|fault| Problem::new(Kind::NotJson, fault.to_string()).response())?;
    if data.kind() != json::Kind::Object {
        let place = Place::Body("#".to_owned());
        let detail = format!("body is {}, wanted an object", data.kind().as_str());
        return Err(Problem::of_faults(Kind::InvalidFields, vec![InputFault { place, detail }]).into());
    }
    let text = windows::message(kind, window, view.status.at, &data.compact());
    if text.len() > OUTBOX_BYTES_MAX {
        let detail = format!("the message is {} bytes, at most {OUTBOX_BYTES_MAX} are broadcast", text.len());
        return Err(Problem::new(Kind::TooLarge, detail).into());
    }
    Ok(Decision::Broadcast { window, text })
}

/// Most bytes of messages that wait for one socket and are no events. Beyond: it is closed with 1013.
pub const OUTBOX_BYTES_MAX: usize = 16 * 1024;
/// Most messages that wait for one socket and are no events. Beyond: it is closed with 1013.
pub const OUTBOX_MESSAGES_MAX: usize = 16;

/// What a broadcast is answered.
#[must_use]
pub fn broadcast_answer(window: Window, count: usize) -> Response {
    let text = format!("message sent to {count} connections of {}", window.as_str());
    Response::text(200, "application/json", format!("{{\"message\":{}}}", windows::quoted(&text)))
}

/// The answer to a good upgrade when every place is taken.
#[must_use]
pub fn no_place(is_stopping: bool) -> Response {
    let (kind, detail) = match is_stopping {
        true => (Kind::Stopping, "the agent is stopping, come back"),
        false => (
            Kind::Busy,
            "every place for a WebSocket is taken (websocket.max_connections, and a share per address)",
        ),
    };
    Problem::new(kind, detail).response().with("retry-after", "5")
}

/// What to do about something a socket heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Send it this text.
    Say(String),
    /// Send everybody at a window this text.
    Tell(Window, String),
    /// Give it to the agent; tell the outcome to `Conversation::on_taken`.
    Take(EventDraft),
    /// Say it to a conversation; a refusal goes to `Conversation::on_refused`, the answer comes as an event.
    Converse(Box<Saying>),
    /// Decide about a call of a tool; tell the outcome to `Conversation::on_decided`.
    Decide {
        /// The event that asked.
        approval: EventId,
        /// Whether it may be done.
        is_yes: bool,
        /// Who says so.
        by: String,
    },
    /// Forget a conversation.
    Forget(String),
    /// Show what was said in a conversation: `Conversation::history`.
    History(String),
    /// Answer with `Conversation::exported`.
    Export {
        /// With its slash.
        command: String,
        /// The conversation.
        session: String,
    },
    /// Answer with `Conversation::found`.
    Search {
        /// With its slash.
        command: String,
        /// What is looked for.
        text: String,
    },
    /// Close it.
    Close(u16, &'static str),
}

/// What a conversation may look at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The agent now.
    pub status: &'a Status<'a>,
    /// What the agent was told.
    pub setup: &'a Setup,
    /// Who may.
    pub security: &'a Security,
}

/// One socket's talk, from its first message on.
#[derive(Debug)]
pub struct Conversation {
    id: u64,
    kind: SocketKind,
    who: Who,
    from: IpAddr,
    seat: Option<WindowSeat>,
    /// Channels that a client of ALEX OS's dialect wants; `None`: it has not spoken in it.
    channels: Option<Vec<&'static str>>,
}

impl Conversation {
    /// The talk of a socket that has been opened. `id` is its own in this run.
    #[must_use]
    pub fn new(id: u64, plan: &Plan) -> Self {
        Self {
            id,
            kind: plan.kind,
            who: plan.who.clone(),
            from: plan.from,
            seat: plan.seat.clone(),
            channels: None,
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Whether the client has shown that it may listen.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.who.role > Role::Open
    }

    /// The first messages; none before the client is admitted.
    #[must_use]
    pub fn greeting(&self, scene: Scene<'_>) -> Vec<Reaction> {
        if !self.is_admitted() {
            return Vec::new();
        }
        let at = scene.status.at;
        let health = scene.status.health.as_str();
        match (self.kind, &self.seat) {
            (SocketKind::AutoBot, _) => vec![Reaction::Say(autobot::GREETING.to_owned())],
            (SocketKind::Test, _) => vec![Reaction::Say(autobot::TEST_GREETING.to_owned())],
            (SocketKind::Health, _) => vec![Reaction::Say(autobot::health_response(health, at))],
            (SocketKind::Window, Some(seat)) => {
                let open = windows::open_data(self.id, seat.window);
                let open = Reaction::Say(windows::message("window_open", seat.window, at, &open));
                match first_data(seat.window, scene) {
                    None => vec![open, Reaction::History(session_of(seat))],
                    Some((kind, data)) => {
                        vec![open, Reaction::Say(windows::message(kind, seat.window, at, &data))]
                    }
                }
            }
            _ => Vec::new(),
        }
    }

    /// A text message came.
    #[must_use]
    pub fn on_text(&mut self, scene: Scene<'_>, text: &str) -> Vec<Reaction> {
        if !self.is_admitted() {
            return self.on_first(scene, text);
        }
        match (self.kind, self.seat.clone()) {
            (SocketKind::Test, _) => vec![Reaction::Say(autobot::echo(text))],
            (SocketKind::Window, Some(seat)) => match windows::read(text) {
                Ok(said) => self.on_window(scene, &seat, said),
                Err(misfit) => vec![window_error(scene, seat.window, "low", &misfit)],
            },
            _ => match autobot::read(text) {
                Ok(said) => self.on_said(scene, said),
                Err(misfit) => vec![error(misfit.code, "low", &misfit.message)],
            },
        }
    }

    /// A binary message came: no dialect has any.
    #[must_use]
    pub fn on_binary(&self, scene: Scene<'_>) -> Vec<Reaction> {
        if !self.is_admitted() {
            return vec![Reaction::Close(1008, "credential needed")];
        }
        let misfit = Misfit { code: "BINARY", message: "binary messages are not taken".to_owned() };
        match &self.seat {
            Some(seat) => vec![window_error(scene, seat.window, "low", &misfit)],
            None => vec![error(misfit.code, "low", &misfit.message)],
        }
    }

    fn on_first(&mut self, scene: Scene<'_>, text: &str) -> Vec<Reaction> {
        let known = match autobot::read(text) {
            Ok(autobot::Said::Auth(token)) => access::who_shows(scene.security, scene.status, &token),
            _ => None,
        };
        let Some(who) = known else { return vec![Reaction::Close(1008, "credential needed")] };
        self.who = who;
        self.greeting(scene)
    }

    fn on_said(&mut self, scene: Scene<'_>, said: autobot::Said) -> Vec<Reaction> {
        use autobot::Said;
        let at = scene.status.at;
        let is_autobot = self.kind == SocketKind::AutoBot;
        match said {
            Said::Ping => vec![Reaction::Say(autobot::PONG.to_owned())],
            Said::Nothing | Said::Auth(_) => Vec::new(),
            Said::HealthCheck => {
                vec![Reaction::Say(autobot::health_response(scene.status.health.as_str(), at))]
            }
            _ if !is_autobot => {
                vec![error("UNKNOWN_TYPE", "low", "this socket takes ping, pong and health_check")]
            }
            Said::ActionPing => {
                self.channels.get_or_insert_default();
                vec![Reaction::Say(autobot::action_pong(at))]
            }
            Said::Subscribe { is_on, channels } => self.subscribe(is_on, &channels, scene),
            Said::BadAction(text) => vec![Reaction::Say(autobot::action_error(&text))],
            Said::UserMessage { .. } | Said::WorkflowCancel { .. } if self.who.role < Role::Operator => {
                vec![error("FORBIDDEN", "medium", "the role operator is needed")]
            }
            Said::WorkflowApproval { .. } | Said::CommandApproval { .. } if self.who.role < Role::Admin => {
                vec![error("FORBIDDEN", "medium", "the role admin is needed")]
            }
            Said::UserMessage { message, chat_id } => {
                let session = brain::session_name(chat_id.as_deref().unwrap_or(""));
                self.converse(scene, &session, message, || user_message_of(chat_id.as_deref()))
            }
            Said::WorkflowApproval { workflow_id, approved } => {
                decide(&workflow_id, approved, self.who.name.to_string()).unwrap_or_else(|| {
                    vec![error(
                        "NO_SUCH_WORKFLOW",
                        "medium",
                        &format!("no workflow {workflow_id} waits here"),
                    )]
                })
            }
            Said::WorkflowCancel { workflow_id } => {
                vec![error("NO_SUCH_WORKFLOW", "medium", &format!("no workflow {workflow_id} waits here"))]
            }
            Said::CommandApproval { terminal_session_id, approved, user_id } => {
                let by = format!("{user_id} ({})", self.who.name);
                decide(&terminal_session_id, approved, by).unwrap_or_else(|| {
                    vec![Reaction::Say(autobot::approval_answer(&terminal_session_id, approved, false))]
                })
            }
        }
    }

    /// Without a model the message is kept as an event, and the client told so.
    fn converse(
        &self,
        scene: Scene<'_>,
        session: &str,
        message: String,
        fields: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Vec<Reaction> {
        if scene.setup.brain.providers.is_empty() {
            return vec![Reaction::Take(user_message(&message, &fields()))];
        }
        let mut saying = commands::saying(session, message, "");
        self.sign(&mut saying);
        vec![Reaction::Converse(Box::new(saying))]
    }

    fn subscribe(&mut self, is_on: bool, channels: &[&'static str], scene: Scene<'_>) -> Vec<Reaction> {
        let wanted = self.channels.get_or_insert_default();
        wanted.retain(|channel| !channels.contains(channel));
        if is_on {
            wanted.extend(channels);
        }
        vec![Reaction::Say(autobot::action_confirmed(is_on, channels, scene.status.at))]
    }

    fn on_window(&self, scene: Scene<'_>, seat: &WindowSeat, said: windows::Said) -> Vec<Reaction> {
        use windows::Said;
        let at = scene.status.at;
        let say =
            |kind: &str, data: String| vec![Reaction::Say(windows::message(kind, seat.window, at, &data))];
        match said {
            Said::Ping => vec![Reaction::Say(autobot::PONG.to_owned())],
            Said::Nothing | Said::Auth(_) => Vec::new(),
            Said::HealthCheck => say(
                "health_check",
                windows::data(|out| push_text(out, "status", scene.status.health.as_str())),
            ),
            Said::Focus => {
                let data = windows::data(|out| {
                    push_raw(out, "focused", "true");
                    push_text(out, "user_id", &seat.user);
                    push_session(out, seat);
                });
                vec![Reaction::Tell(seat.window, windows::message("window_focus", seat.window, at, &data))]
            }
            Said::Chat { .. } | Said::Command { .. } | Said::HotSwap { .. }
                if self.who.role < Role::Operator =>
            {
                let message = "the role operator is needed".to_owned();
                vec![window_error(scene, seat.window, "medium", &Misfit { code: "FORBIDDEN", message })]
            }
            Said::HotSwap { target, swap_data } => {
                let data = windows::data(|out| {
                    push_text(out, "source_window", seat.window.as_str());
                    push_raw(out, "swap_data", &swap_data);
                    push_text(out, "user_id", &seat.user);
                });
                let text = windows::message("hot_swap", target, at, &data);
                if text.len() > OUTBOX_BYTES_MAX {
                    let message = format!(
                        "swap_data makes a message of {} bytes, at most {OUTBOX_BYTES_MAX} are sent on",
                        text.len()
                    );
                    return vec![window_error(
                        scene,
                        seat.window,
                        "low",
                        &Misfit { code: "TOO_LARGE", message },
                    )];
                }
                vec![Reaction::Tell(target, text)]
            }
            Said::Command { line } => self.command(scene, seat, &line),
            Said::Chat { message } if message.starts_with('/') => self.command(scene, seat, &message),
            Said::Chat { message } => {
                let fields = || {
                    let session = seat.session.iter().map(|session| ("session_id", session.clone()));
                    std::iter::once(("user_id", seat.user.clone())).chain(session).collect()
                };
                self.converse(scene, &session_of(seat), message, fields)
            }
        }
    }

    fn command(&self, scene: Scene<'_>, seat: &WindowSeat, line: &str) -> Vec<Reaction> {
        let mut reactions = commands::run(scene, seat, &session_of(seat), line);
        for reaction in &mut reactions {
            if let Reaction::Converse(saying) = reaction {
                self.sign(saying);
            }
        }
        reactions
    }

    fn sign(&self, saying: &mut Saying) {
        saying.caller = self.who.caller();
        saying.by = audit::by(&self.who, self.from);
    }

    /// The event that tells who does this, if it changes something and is no event by itself.
    #[must_use]
    pub fn deed(&self, reaction: &Reaction) -> Option<EventDraft> {
        let deed = match reaction {
            Reaction::Decide { approval, is_yes, by } => {
                let what = if *is_yes { "approval.grant" } else { "approval.refuse" };
                Deed {
                    what,
                    on: approval.to_string(),
                    details: Some(windows::data(|out| push_text(out, "by", by))),
                }
            }
            Reaction::Forget(session) => Deed::on("conversation.forget", session),
            _ => return None,
        };
        Some(audit::draft(&self.who, self.from, &deed))
    }

    /// What was said was refused.
    #[must_use]
    pub fn on_refused(&self, scene: Scene<'_>, refusal: &Refusal) -> Vec<Reaction> {
        let (kind, message, _) = brain::words_of(refusal);
        let code = match refusal {
            Refusal::NoProvider | Refusal::UnknownProvider(_) => "NO_MODEL",
            Refusal::AllDown { .. } => "MODELS_DOWN",
            Refusal::Question { .. } => "MODEL_REFUSED",
            Refusal::Budget { .. } => "BUDGET_SPENT",
            Refusal::Busy { .. } => "BUSY",
            Refusal::Unwritable { .. } => "LEDGER_FAULT",
            Refusal::Stopping => "STOPPING",
        };
        let severity = if kind.status() == 503 { "high" } else { "medium" };
        match &self.seat {
            Some(seat) => vec![window_error(scene, seat.window, severity, &Misfit { code, message })],
            None => vec![error(code, severity, &message)],
        }
    }

    /// What became of a decision.
    #[must_use]
    pub fn on_decided(&self, approval: EventId, is_yes: bool, answer: DecisionAnswer) -> Vec<Reaction> {
        let is_taken = answer == DecisionAnswer::Done;
        vec![Reaction::Say(autobot::approval_answer(&approval.to_string(), is_yes, is_taken))]
    }

    /// The window that the socket serves; the chat's, if it serves none.
    #[must_use]
    pub fn window(&self) -> Window {
        self.seat.as_ref().map_or(Window::Chat, |seat| seat.window)
    }

    /// What the agent made of `Reaction::Take` with an event of this kind.
    #[must_use]
    pub fn on_taken(&self, scene: Scene<'_>, kind: &str, answer: &IntakeAnswer) -> Vec<Reaction> {
        let (code, severity, text) = match answer {
            IntakeAnswer::Stored { .. } if kind != USER_MESSAGE => return Vec::new(),
            IntakeAnswer::Stored { .. } => {
                ("NO_MODEL", "medium", "the message is kept, but no model is configured to answer it")
            }
            IntakeAnswer::Busy { .. } => ("BUSY", "medium", "too much waits already, try again"),
            IntakeAnswer::Full { .. } => ("DISK_FULL", "high", "the disk is full, the message is not kept"),
            IntakeAnswer::Faulty { .. } => {
                ("LEDGER_FAULT", "high", "the ledger cannot be written, the message is not kept")
            }
            IntakeAnswer::Stopping => ("STOPPING", "low", "the agent is stopping, come back"),
        };
        if let Some(seat) = &self.seat {
            return vec![window_error(
                scene,
                seat.window,
                severity,
                &Misfit { code, message: text.to_owned() },
            )];
        }
        let mut reactions = vec![error(code, severity, text)];
        if matches!(answer, IntakeAnswer::Stored { .. }) {
            reactions.insert(0, Reaction::Say(autobot::no_model()));
        }
        reactions
    }

    /// An event as this socket shows it, if it does.
    #[must_use]
    pub fn on_event(&self, event: &Event, ledger: LedgerId) -> Option<String> {
        match (self.kind, &self.seat, &self.channels) {
            (SocketKind::Events, _, _) => {
                let mut text = String::new();
                push_ledger_event(&mut text, event, ledger);
                Some(text)
            }
            (SocketKind::AutoBot, _, None) => Some(autobot::of_event(event, ledger)),
            (SocketKind::AutoBot, _, Some(channels)) => {
                let is_grave = event.severity >= Severity::Error;
                if is_grave && channels.contains(&"alerts") {
                    return Some(autobot::action_event("alert", "alerts", event, ledger));
                }
                channels
                    .contains(&"events")
                    .then(|| autobot::action_event("new_event", "events", event, ledger))
            }
            (SocketKind::Window, Some(seat), _) => windows::of_event(seat.window, event, ledger),
            _ => None,
        }
    }

    /// A sample of the machine as this socket shows it, if it does.
    #[must_use]
    pub fn on_sample(&self, scene: Scene<'_>, sample: &Sample) -> Option<String> {
        match (self.kind, &self.seat, &self.channels) {
            (SocketKind::AutoBot, _, None) => {
                let aiwm = scene.status.aiwm.as_ref().map_or("not_configured", |aiwm| aiwm.state);
                let alexos =
                    scene.status.alexos.as_ref().map_or("not_configured", |alexos| alexos.registration);
                let services =
                    [("chainbot", scene.status.health.as_str()), ("alex_os", alexos), ("aiwm", aiwm)];
                Some(autobot::diagnostics(sample, &services))
            }
            (SocketKind::Window, Some(seat), _) if seat.window == Window::Watchtower => {
                let data = windows::stats_data(Some(sample), scene.status.brain.word());
                Some(windows::message("system_stats", seat.window, scene.status.at, &data))
            }
            _ => None,
        }
    }

    /// The JSON message that asks a quiet client for a sign of life, where the dialect has one.
    #[must_use]
    pub fn ping(&self) -> Option<&'static str> {
        (self.kind == SocketKind::AutoBot && self.channels.is_none() && self.is_admitted())
            .then_some(autobot::PING)
    }
}

fn error(code: &str, severity: &str, text: &str) -> Reaction {
    Reaction::Say(autobot::error(code, severity, text))
}

fn window_error(scene: Scene<'_>, window: Window, severity: &str, misfit: &Misfit) -> Reaction {
    let data = windows::data(|out| {
        push_text(out, "message", &misfit.message);
        push_text(out, "error_code", misfit.code);
        push_text(out, "severity", severity);
    });
    Reaction::Say(windows::message("error", window, scene.status.at, &data))
}

/// The conversation of whoever sits there.
fn session_of(seat: &WindowSeat) -> String {
    brain::session_name(seat.session.as_deref().unwrap_or(&seat.user))
}

fn decide(approval: &str, is_yes: bool, by: String) -> Option<Vec<Reaction>> {
    let approval = EventId::parse(approval)?;
    Some(vec![Reaction::Decide { approval, is_yes, by }])
}

fn push_session(out: &mut String, seat: &WindowSeat) {
    match &seat.session {
        Some(session) => push_text(out, "session_id", session),
        None => push_raw(out, "session_id", "null"),
    }
}

fn user_message_of(chat_id: Option<&str>) -> Vec<(&'static str, String)> {
    chat_id.map(|chat_id| ("chat_id", chat_id.to_owned())).into_iter().collect()
}

fn user_message(message: &str, fields: &[(&'static str, String)]) -> EventDraft {
    let metadata = windows::data(|out| {
        push_text(out, "message", message);
        for (name, value) in fields {
            push_text(out, name, value);
        }
    });
    let mut line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    crate::agent::cut(&mut line, EVENT_MESSAGE_BYTES_MAX);
    EventDraft {
        kind: USER_MESSAGE.to_owned(),
        source: Source::Chainbot,
        severity: Severity::Info,
        message: line,
        metadata: JsonText(metadata),
    }
}

/// The first message of a window after `window_open`: its type and data. `None`: what was said there before.
fn first_data(window: Window, scene: Scene<'_>) -> Option<(&'static str, String)> {
    let at = scene.status.at;
    let ourself = || windows::self_data(&scene.setup.identity.name, scene.status.health.as_str(), at);
    Some(match window {
        Window::AgentMap => {
            ("agent_map_update", format!(r#"{{"agents":[{}],"connections":[],"layout":"auto"}}"#, ourself()))
        }
        Window::CodeAgent => (
            "code_change",
            format!(
                r#"{{"available_agents":[{}],"current_agent":null,"file_tree":[],"open_files":[]}}"#,
                ourself()
            ),
        ),
        Window::Chat => return None,
        Window::Watchtower => {
            ("system_stats", windows::stats_data(scene.status.sample, scene.status.brain.word()))
        }
        Window::WorkflowBuilder => (
            "workflow_update",
            r#"{"available_workflows":[],"workflow_templates":[],"current_workflow":null}"#.to_owned(),
        ),
        Window::DataImporter => {
            ("log_update", r#"{"imported_files":[],"upload_progress":{},"search_filters":{}}"#.to_owned())
        }
    })
}

#[cfg(test)]
mod tests;
