//! Servers of tools: their sessions, what they offer, and calls of it, over streamable HTTP (`wire/mcp.rs`).
//!
//! ```text
//! wanted --listed--> known --the list changed, the session was lost, a tool was not there--> wanted
//! wanted --failed--> failed --after a while, or when it is called--> wanted
//! ```
//!
//! A request is sent again only if the server did not take it, because it had forgotten the session. No stream is held
//! open, so an idle agent and its servers leave each other alone.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_lock::Mutex;
use futures_lite::future;

use super::client::{Client, ClientRequest, ClientResponse};
use crate::agent::brain::setup::McpSetup;
use crate::agent::input::Fault;
use crate::agent::limits::{BACKOFF_MAX_MS, MCP_SERVERS_MAX, REPLY_BYTES_MAX};
use crate::shell::reactor::Timer;
use crate::wire::AddressGuard;
use crate::wire::frames::{Cut, Frames, data_of};
use crate::wire::json::Json;
use crate::wire::mcp::{self, McpTool, Said};
use crate::wire::tools::{is_named, push_schema};

/// Time for a connection to a server, in milliseconds.
const CONNECT_MS: u64 = 10_000;
/// Time for a server to say anything, in milliseconds. The time of a call itself is the caller's to bound.
const SILENCE_MS: u64 = 600_000;
/// Time for a session and all pages of a list, in milliseconds.
const LIST_MS: u64 = 30_000;
/// Time for goodbyes, in milliseconds.
const GOODBYE_MS: u64 = 500;
/// Pages of one list that are read.
const PAGES_MAX: usize = 32;
/// Wait after the first failure, in milliseconds; doubled after each further one, up to `BACKOFF_MAX_MS`.
const BACKOFF_MS: u64 = 5_000;
/// How much is read of an answer that is no success, in bytes.
const WORDS_BYTES_MAX: usize = 4 * 1024;
/// JSON-RPC's code for parameters that are no good, and MCP's for a tool that is not there.
const INVALID_PARAMS: i64 = -32_602;
/// Headers that are made here or by the client.
const OWN_HEADERS: [&str; 9] = [
    "accept",
    "content-type",
    "content-length",
    "connection",
    "host",
    "transfer-encoding",
    "mcp-session-id",
    "mcp-protocol-version",
    "user-agent",
];

/// Why a server did not answer.
#[derive(Debug)]
pub enum McpFault {
    /// Below HTTP, or an answer that is none.
    Http(Fault),
    /// Another status than a success.
    Status(u16, String),
    /// The session is forgotten there.
    SessionLost,
    /// The server says that it cannot.
    Error(i64, String),
}

impl fmt::Display for McpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(fault) => fault.fmt(f),
            Self::Status(status, why) if why.is_empty() => write!(f, "status {status}"),
            Self::Status(status, why) => write!(f, "status {status}: {why}"),
            Self::SessionLost => f.write_str("session lost twice"),
            Self::Error(code, why) => write!(f, "{why} (code {code})"),
        }
    }
}

/// All servers.
pub struct Servers {
    client: Client,
    servers: RefCell<Vec<Rc<Server>>>,
    wake: (Sender<()>, Receiver<()>),
}

struct Server {
    setup: McpSetup,
    /// Locked while a session is begun, so that two calls do not begin two.
    session: Mutex<Option<Rc<Session>>>,
    last_id: Cell<u64>,
    tools: RefCell<Vec<McpTool>>,
    listing: Cell<Listing>,
    /// In a row.
    failures: Cell<u32>,
    /// Why the last one failed.
    why: RefCell<String>,
}

/// What is known of a server's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Wanted,
    Known,
    Failed,
}

#[derive(Debug)]
struct Session {
    /// Servers without sessions give none.
    id: Option<String>,
    version: String,
}

/// A message that answers a request, and the session that came with it.
struct Answer {
    id: u64,
    message: Vec<u8>,
    session: Option<String>,
}

impl Answer {
    fn result(&self) -> Result<Json<'_>, McpFault> {
        match read(&self.message, self.id) {
            Said::Result(result) => Ok(result),
            Said::Error { code, error } => Err(McpFault::Error(code, mcp::why(error))),
            _ => Err(McpFault::Http(Fault::Garbage)),
        }
    }
}

impl Servers {
    /// None are known.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, servers: RefCell::default(), wake: async_channel::bounded(1) }
    }

    /// These are the servers from here on, the first `MCP_SERVERS_MAX` of different names. One that stays the same keeps its
    /// session; one that only has other headers (a new token) keeps what is known of its tools until they are listed again.
    pub fn set(&self, setups: &[McpSetup]) {
        let before = self.servers.take();
        let mut servers: Vec<Rc<Server>> = Vec::new();
        for setup in setups {
            if servers.len() == MCP_SERVERS_MAX {
                log::warn!(
                    "mcp_server_dropped server={} why=\"there are {MCP_SERVERS_MAX} already\"",
                    setup.name
                );
            } else if servers.iter().all(|server| server.setup.name != setup.name) {
                servers.push(renewed(&before, setup));
            }
        }
        *self.servers.borrow_mut() = servers;
        self.rouse();
    }

    /// Appends the tools that these names admit to an array of schemas that was begun.
    pub fn push_schemas(&self, out: &mut String, names: &[String]) {
        for server in self.servers.borrow().iter() {
            for tool in server.tools.borrow().iter().filter(|tool| is_named(names, &tool.name)) {
                push_schema(out, &tool.name, &tool.about, &tool.parameters);
            }
        }
    }

    /// Lists what is to be listed, for ever.
    pub async fn keep(&self) {
        loop {
            let wanted = self.with_listing(|listing| listing == Listing::Wanted);
            if let Some(server) = wanted {
                self.list(&server).await;
                continue;
            }
            let woken = async {
                let _ = self.wake.1.recv().await;
            };
            let later = async {
                match self.backoff_ms() {
                    Some(ms) => Timer::after(Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                };
                self.retry();
            };
            future::or(woken, later).await;
        }
    }

    /// Calls a tool by its name here; what it came to: whether it did what it was asked, and its text.
    ///
    /// # Errors
    /// Why nothing usable came, for the model.
    pub async fn call(&self, name: &str, arguments: &str) -> Result<(bool, String), String> {
        let Some((server, there)) = self.find(name).await else { return Err(self.no_server(name)) };
        let answer = self.exchange(&server, &|id| mcp::call(id, &there, arguments)).await;
        match answer.as_ref().map(Answer::result) {
            Ok(Ok(result)) => Ok(mcp::outcome(result)),
            Ok(Err(fault)) => {
                if matches!(fault, McpFault::Error(INVALID_PARAMS, _)) {
                    self.want(&server);
                }
                Err(format!("the server {} refused: {fault}", server.setup.name))
            }
            Err(fault) => Err(format!(
                "the server {} did not answer: {fault}; whether it was done is unknown",
                server.setup.name
            )),
        }
    }

    /// Ends all sessions, in `GOODBYE_MS` at most: some servers have room for one only.
    pub async fn goodbye(&self) {
        let all = async {
            let servers = self.servers.take();
            for server in servers {
                if let Some(session) = server.session.lock().await.take()
                    && session.id.is_some()
                {
                    let request = server.request("DELETE", Some(&session), String::new());
                    let _ = self.client.send(request).await;
                }
            }
        };
        let late = async {
            Timer::after(Duration::from_millis(GOODBYE_MS)).await;
        };
        future::or(all, late).await;
    }

    fn rouse(&self) {
        // A full channel means that it is awake.
        let _ = self.wake.0.try_send(());
    }

    fn want(&self, server: &Server) {
        server.listing.set(Listing::Wanted);
        self.rouse();
    }

    fn with_listing(&self, is_it: impl Fn(Listing) -> bool) -> Option<Rc<Server>> {
        self.servers.borrow().iter().find(|server| is_it(server.listing.get())).cloned()
    }

    fn backoff_ms(&self) -> Option<u64> {
        let servers = self.servers.borrow();
        let failed = servers.iter().filter(|server| server.listing.get() == Listing::Failed);
        let fewest = failed.map(|server| server.failures.get()).min()?;
        Some((BACKOFF_MS << fewest.saturating_sub(1).min(10)).min(BACKOFF_MAX_MS))
    }

    fn retry(&self) {
        for server in self.servers.borrow().iter() {
            if server.listing.get() == Listing::Failed {
                server.listing.set(Listing::Wanted);
            }
        }
    }

    /// A server whose tools are not known might have it.
    async fn find(&self, name: &str) -> Option<(Rc<Server>, String)> {
        if let Some(found) = self.known(name) {
            return Some(found);
        }
        self.retry();
        while let Some(server) = self.with_listing(|listing| listing == Listing::Wanted) {
            self.list(&server).await;
        }
        self.known(name)
    }

    fn no_server(&self, name: &str) -> String {
        let mut why = format!("no server offers {name:?} at present");
        for server in self.servers.borrow().iter().filter(|server| server.listing.get() == Listing::Failed) {
            why.push_str(&format!(
                "; the server {} does not answer: {}",
                server.setup.name,
                server.why.borrow()
            ));
        }
        why
    }

    fn known(&self, name: &str) -> Option<(Rc<Server>, String)> {
        let servers = self.servers.borrow();
        servers.iter().find_map(|server| {
            let tools = server.tools.borrow();
            let tool = tools.iter().find(|tool| tool.name == name)?;
            Some((Rc::clone(server), tool.there.clone()))
        })
    }

    async fn list(&self, server: &Rc<Server>) {
        let late = async {
            Timer::after(Duration::from_millis(LIST_MS)).await;
            Err(McpFault::Http(Fault::Timeout))
        };
        let name = &server.setup.name;
        match future::or(self.pages(server), late).await {
            Ok(tools) => {
                log::info!("mcp_listed server={name} tools={}", tools.len());
                *server.tools.borrow_mut() = tools;
                server.listing.set(Listing::Known);
                server.failures.set(0);
            }
            Err(fault) => {
                let times = server.failures.get() + 1;
                server.failures.set(times);
                *server.why.borrow_mut() = fault.to_string();
                server.listing.set(Listing::Failed);
                let level = if times == 1 { log::Level::Warn } else { log::Level::Debug };
                log::log!(level, "mcp_failed server={name} times={times} why=\"{fault}\"");
            }
        }
    }

    async fn pages(&self, server: &Rc<Server>) -> Result<Vec<McpTool>, McpFault> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let answer = self.exchange(server, &|id| mcp::list(id, cursor.as_deref())).await?;
            cursor = mcp::take_page(&mut tools, &server.setup.name, answer.result()?);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Sends a request within a session, once more if the server has forgotten that.
    async fn exchange(&self, server: &Server, make: &dyn Fn(u64) -> String) -> Result<Answer, McpFault> {
        let session = self.session(server).await?;
        match self.post(server, Some(&session), make).await {
            Err(McpFault::SessionLost) => {
                self.forget(server, &session).await;
                let session = self.session(server).await?;
                self.post(server, Some(&session), make).await
            }
            answer => answer,
        }
    }

    async fn forget(&self, server: &Server, lost: &Rc<Session>) {
        let mut session = server.session.lock().await;
        if session.as_ref().is_some_and(|kept| Rc::ptr_eq(kept, lost)) {
            *session = None;
            // A server that forgets was begun anew, perhaps with other tools.
            if server.listing.get() == Listing::Known {
                self.want(server);
            }
        }
    }

    async fn session(&self, server: &Server) -> Result<Rc<Session>, McpFault> {
        let mut kept = server.session.lock().await;
        if let Some(session) = &*kept {
            return Ok(Rc::clone(session));
        }
        let answer = self.post(server, None, &mcp::initialize).await?;
        let version = mcp::version_of(answer.result()?).ok_or(McpFault::Http(Fault::Garbage))?;
        let session = Rc::new(Session { id: answer.session, version });
        let request = server.request("POST", Some(&session), mcp::initialized());
        let response = self.client.send(request).await.map_err(McpFault::Http)?;
        if !(200..300).contains(&response.status) {
            return Err(refused(response).await);
        }
        *kept = Some(Rc::clone(&session));
        Ok(session)
    }

    async fn post(
        &self,
        server: &Server,
        session: Option<&Session>,
        make: &dyn Fn(u64) -> String,
    ) -> Result<Answer, McpFault> {
        let id = server.last_id.get() + 1;
        server.last_id.set(id);
        let request = server.request("POST", session, make(id));
        let response = self.client.send(request).await.map_err(McpFault::Http)?;
        match response.status {
            200..=299 => {}
            400 | 404 if session.is_some_and(|session| session.id.is_some()) => {
                return Err(McpFault::SessionLost);
            }
            _ => return Err(refused(response).await),
        }
        let given = response.header("mcp-session-id").filter(|id| mcp::is_word(id)).map(str::to_owned);
        let (message, has_changed) = answer_in(response, id).await.map_err(McpFault::Http)?;
        if has_changed {
            self.want(server);
        }
        Ok(Answer { id, message, session: given })
    }
}

impl Server {
    fn request(&self, method: &'static str, session: Option<&Session>, body: String) -> ClientRequest {
        let mut headers: Vec<(Cow<'static, str>, String)> = vec![
            (Cow::Borrowed("accept"), "application/json, text/event-stream".to_owned()),
            (Cow::Borrowed("content-type"), "application/json".to_owned()),
        ];
        if let Some(session) = session {
            headers.push((Cow::Borrowed("mcp-protocol-version"), session.version.clone()));
            headers.extend(session.id.clone().map(|id| (Cow::Borrowed("mcp-session-id"), id)));
        }
        for (name, value) in &self.setup.headers {
            if !OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                headers.push((Cow::Owned(name.clone()), value.0.clone()));
            }
        }
        ClientRequest {
            method,
            url: self.setup.url.clone(),
            headers,
            body: body.into_bytes(),
            guard: AddressGuard::Any,
            connect_ms: CONNECT_MS,
            silence_ms: SILENCE_MS,
        }
    }
}

/// The server of this setup: the one before if nothing changed.
fn renewed(before: &[Rc<Server>], setup: &McpSetup) -> Rc<Server> {
    let old = before.iter().find(|server| server.setup.name == setup.name && server.setup.url == setup.url);
    match old {
        Some(old) if old.setup == *setup => Rc::clone(old),
        old => Rc::new(Server {
            setup: setup.clone(),
            session: Mutex::new(None),
            last_id: Cell::new(0),
            tools: RefCell::new(old.map(|old| old.tools.take()).unwrap_or_default()),
            listing: Cell::new(Listing::Wanted),
            failures: Cell::new(0),
            why: RefCell::default(),
        }),
    }
}

/// The message of an answer that succeeded, and whether the server said on the way that its tools changed.
async fn answer_in(mut response: ClientResponse, id: u64) -> Result<(Vec<u8>, bool), Fault> {
    let kind = response.header("content-type").unwrap_or("").to_ascii_lowercase();
    if !kind.starts_with("text/event-stream") {
        let message = gather(&mut response, REPLY_BYTES_MAX).await?;
        return match read(&message, id) {
            Said::Result(_) | Said::Error { .. } => Ok((message, false)),
            _ => Err(Fault::Garbage),
        };
    }
    let mut frames = Frames::bounded(Cut::Events, REPLY_BYTES_MAX);
    let mut has_changed = false;
    while let Some(piece) = response.next().await? {
        frames.push(&piece)?;
        while let Some(event) = frames.take() {
            let message = data_of(event);
            match read(&message, id) {
                Said::Result(_) | Said::Error { .. } => return Ok((message, has_changed)),
                Said::ToolsChanged => has_changed = true,
                Said::Other => {}
            }
        }
    }
    Err(Fault::Garbage)
}

fn read(message: &[u8], id: u64) -> Said<'_> {
    Json::parse(message).map_or(Said::Other, |json| mcp::said(json, id))
}

/// The whole body, unless it is longer than that.
async fn gather(response: &mut ClientResponse, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.next().await? {
        if bytes.len() + piece.len() > bytes_max {
            return Err(Fault::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// An answer that is no success, in the server's words if it has any.
async fn refused(mut response: ClientResponse) -> McpFault {
    let status = response.status;
    let body = gather(&mut response, WORDS_BYTES_MAX).await.unwrap_or_default();
    let why = Json::parse(&body).ok().and_then(|json| json.some("error").map(mcp::why));
    McpFault::Status(status, why.unwrap_or_default())
}

#[cfg(test)]
#[path = "mcp_tests.rs"]
mod tests;
