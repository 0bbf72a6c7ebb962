//! Runs of tools: started, stopped and answered as the agent says, each within its bounds.
//!
//! Files and the ledger are read in a short-lived helper thread, commands in processes of their own, pages over the
//! loop's own client. Nothing here decides whether a call is allowed: what comes here was allowed, and is durable as
//! begun.

mod command;
mod fetch;
mod files;
pub mod launch;
mod machine;
mod root;
mod text;
mod told;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_executor::LocalExecutor;
use async_lock::{Semaphore, SemaphoreGuardArc};
use futures_lite::future;

use self::root::Root;
use self::text::{failed, words_of};
use crate::agent::brain::setup::{McpSetup, ToolsSetup};
use crate::agent::brain::speech::{RunId, ToolCall, ToolResult};
use crate::agent::ids::EventId;
use crate::agent::limits::TOOL_RUNS_MAX;
use crate::ledger::Ledger;
use crate::shell::client::Client;
use crate::shell::mcp::Servers;
use crate::shell::reactor::Timer;
use crate::shell::work;
use crate::wire::tools::{self, Action};

/// Stack of a helper thread in bytes, as for calls (`calls.rs`).
const STACK_BYTES: usize = 192 * 1024;

/// The loop's end of all runs.
pub struct Hands {
    executor: LocalExecutor<'static>,
    kit: Rc<Kit>,
    running: RefCell<BTreeMap<RunId, Sender<()>>>,
    done: (Sender<Done>, Receiver<Done>),
}

type Done = (RunId, ToolResult);

/// What runs work with.
struct Kit {
    /// How this program is started again.
    program: Vec<OsString>,
    ledger: Arc<Ledger>,
    client: Client,
    servers: Servers,
    /// Held by a thread that writes: an append reads what it appends to.
    writing: Arc<Mutex<()>>,
    places: Arc<Semaphore>,
}

/// A place among `TOOL_RUNS_MAX`. Held by a helper thread until it is really done.
type Place = SemaphoreGuardArc;

impl Hands {
    /// Nothing runs. `program`: how this program is started again, for commands.
    #[must_use]
    pub fn new(program: Vec<OsString>, ledger: Arc<Ledger>, client: Client) -> Self {
        let kit = Kit {
            program,
            ledger,
            servers: Servers::new(client.clone()),
            client,
            writing: Arc::default(),
            places: Arc::new(Semaphore::new(TOOL_RUNS_MAX)),
        };
        let (executor, kit) = (LocalExecutor::new(), Rc::new(kit));
        let servers = Rc::clone(&kit);
        executor.spawn(work(async move { servers.servers.keep().await })).detach();
        Self { executor, kit, running: RefCell::default(), done: async_channel::unbounded() }
    }

    /// Starts a run; it is answered by [`Hands::next`]. Beyond `TOOL_RUNS_MAX` it waits for its turn. `newest`: the newest
    /// durable event.
    pub fn start(&self, run: RunId, call: ToolCall, setup: &ToolsSetup, newest: EventId) {
        let (stop, stopped) = async_channel::bounded(1);
        self.running.borrow_mut().insert(run, stop);
        let (kit, setup, answer) = (Rc::clone(&self.kit), setup.clone(), self.done.0.clone());
        let run_it = async move {
            let result = kit.run(&call, &setup, newest, &stopped).await;
            let _ = answer.try_send((run, result));
        };
        self.executor.spawn(work(run_it)).detach();
    }

    /// Stops a run with all that it started. It is answered all the same.
    pub fn stop(&self, run: RunId) {
        // Nobody sends over this channel: its end is the message.
        self.running.borrow_mut().remove(&run);
    }

    /// These are the servers of further tools from here on: the config's, then the controller's.
    pub fn set_servers(&self, servers: &[McpSetup]) {
        self.kit.servers.set(servers);
    }

    /// The tools that these names admit, those of servers included as far as they are known: the `tools` of a question, a
    /// JSON array in OpenAI's form.
    #[must_use]
    pub fn schemas(&self, names: &[String]) -> String {
        let mut out = String::from("[");
        tools::push_schemas(&mut out, names);
        self.kit.servers.push_schemas(&mut out, names);
        out.push(']');
        out
    }

    /// Ends what servers keep for this agent, within half a second. For the end of the process.
    pub async fn goodbye(&self) {
        self.kit.servers.goodbye().await;
    }

    /// The next run that is over, in any order. Nothing runs unless this is awaited.
    pub async fn next(&self) -> (RunId, ToolResult) {
        let done = self.executor.run(self.done.1.recv()).await;
        match done {
            Ok((run, result)) => {
                self.running.borrow_mut().remove(&run);
                (run, result)
            }
            Err(_) => std::future::pending().await,
        }
    }
}

impl Kit {
    async fn run(
        &self,
        call: &ToolCall,
        setup: &ToolsSetup,
        newest: EventId,
        stop: &Receiver<()>,
    ) -> ToolResult {
        let stopped = async {
            let _ = stop.recv().await;
            None
        };
        let place = async { Some(Arc::clone(&self.places).acquire_arc().await) };
        let Some(place) = future::or(stopped, place).await else {
            return failed("stopped before it began");
        };
        if call.name.starts_with(tools::MCP_PREFIX) {
            return within(setup.run_time_ms, stop, self.call_server(call, setup)).await;
        }
        match tools::parse(&call.name, &call.arguments) {
            Err(why) => failed(why),
            Ok(Action::RunCommand { .. }) if tools::wants_shell(&call.arguments) && !setup.shell => {
                failed("command must be a list of words: there is no shell here")
            }
            Ok(Action::RunCommand { command, cwd }) => {
                let stopped = async {
                    let _ = stop.recv().await;
                };
                command::run(&self.program, setup, &command, &cwd, stopped).await
            }
            Ok(Action::HttpGet { url }) => {
                within(setup.run_time_ms, stop, fetch::get(&self.client, url, setup)).await
            }
            Ok(action) => self.in_thread(action, setup, newest, place, stop).await,
        }
    }

    /// Calls a tool of a server.
    async fn call_server(&self, call: &ToolCall, setup: &ToolsSetup) -> ToolResult {
        if let Err(why) = tools::subject(&call.name, &call.arguments) {
            return failed(why);
        }
        match self.servers.call(&call.name, &call.arguments).await {
            Ok((is_ok, said)) => {
                let mut ends = text::Ends::new(setup.output_bytes_max);
                ends.push(said.as_bytes());
                ToolResult { is_ok, text: ends.into_text(), exit_code: None }
            }
            Err(why) => failed(why),
        }
    }

    /// Does what may wait for the disk. A disk that does not answer in time is left to its thread.
    async fn in_thread(
        &self,
        action: Action,
        setup: &ToolsSetup,
        newest: EventId,
        place: Place,
        stop: &Receiver<()>,
    ) -> ToolResult {
        let (answer, answered) = async_channel::bounded(1);
        let (ledger, writing) = (Arc::clone(&self.ledger), Arc::clone(&self.writing));
        let (run_time_ms, setup) = (setup.run_time_ms, setup.clone());
        let work = move || {
            let _ = answer.try_send(act(action, &setup, &ledger, newest, &writing));
            drop(place);
        };
        if let Err(error) = thread::Builder::new().name("tool".to_owned()).stack_size(STACK_BYTES).spawn(work)
        {
            log::warn!("no_thread_for_tool error=\"{error}\"");
            return failed("there are no means to run it now");
        }
        let done = async { answered.recv().await.unwrap_or_else(|_| failed("it broke off")) };
        within(run_time_ms, stop, done).await
    }
}

/// The result of some work, or that it was given up.
async fn within(time_ms: u64, stop: &Receiver<()>, work: impl Future<Output = ToolResult>) -> ToolResult {
    let late = async {
        Timer::after(Duration::from_millis(time_ms)).await;
        failed(format!("given up after {time_ms} ms; whether it was done is unknown"))
    };
    let stopped = async {
        let _ = stop.recv().await;
        failed("stopped; whether it was done is unknown")
    };
    future::or(work, future::or(late, stopped)).await
}

/// In a helper thread.
fn act(
    action: Action,
    setup: &ToolsSetup,
    ledger: &Ledger,
    newest: EventId,
    writing: &Mutex<()>,
) -> ToolResult {
    match action {
        Action::SystemInfo => text::done(machine::describe(Path::new(&setup.root))),
        Action::Events { filter, limit } => {
            told::tell(ledger, newest, &filter, limit, setup.output_bytes_max)
        }
        action => match Root::open(&setup.root) {
            Err(error) => failed(format!("the working folder cannot be opened: {}", words_of(&error))),
            Ok(root) => act_on_files(action, &root, setup, writing),
        },
    }
}

fn act_on_files(action: Action, root: &Root, setup: &ToolsSetup, writing: &Mutex<()>) -> ToolResult {
    let most = u64::from(setup.output_bytes_max);
    match action {
        Action::ReadFile { path, offset, limit } => {
            files::read(root, &path, offset, limit.map_or(most, |limit| limit.min(most)))
        }
        Action::WriteFile { path, content, is_append } => {
            let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
            files::write(root, &path, &content, is_append)
        }
        Action::ListDir { path } => {
            let mut listed = files::list(root, &path);
            text::cut_lines(&mut listed.text, setup.output_bytes_max);
            listed
        }
        _ => failed("not a tool of files"),
    }
}
