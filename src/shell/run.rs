//! `chainbot run`: from a good config to a world that lives, and its end.
//!
//! One thread runs everything here; `LocalExecutor` holds a task for the port, the commits, the calls, the signals and
//! the timer.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_executor::LocalExecutor;

use super::answers::Answers;
use super::bus::{self, Links};
use super::calls::Calls;
use super::client::Client;
use super::clock::Clock;
use super::committer::Committer;
use super::credentials::{self, Watch};
use super::dial::Dialer;
use super::http::{self, Port, Service};
use super::sense::{self, Sense};
use super::signals::{Signal, Signals};
use super::think::{self, Around, Thinker};
use super::tls_files::{self, TlsFault};
use super::tools::Hands;
use super::work;
use super::world::{Durable, Parts, World, rate_of};
use super::ws::hub::Hub;
use super::{log as output, reactor, state};
use crate::agent::Agent;
use crate::agent::input::{Input, StopReason};
use crate::agent::memory::{FactKey, Memory};
use crate::api::Security;
use crate::api::access::tokens::Tokens;
use crate::api::routes::Role;
use crate::config::Config;
use crate::ledger::{self, ChildResult, Ledger, OpenError};
use crate::wire::aiwm;

/// Largest line of a child that is kept, in bytes.
const CHILD_LINE_MAX: usize = 400;

/// All that a run needs.
pub struct Start {
    /// What to do.
    pub config: Config,
    /// Where it came from, for people.
    pub config_file: Option<PathBuf>,
    /// Reads the config again, or says what is wrong with it.
    pub reload: Box<dyn Fn() -> Result<Config, String>>,
    /// Version of the program.
    pub version: &'static str,
    /// This same program, for `ledger verify` and `ledger salvage`; it may begin with words of its own.
    pub program: Vec<OsString>,
}

/// Why there is no run.
#[derive(Debug)]
pub enum StartFault {
    /// The state directory or what is in it.
    State(PathBuf, io::Error),
    /// Callers from beyond this machine are let in, and nobody has a credential. What to do.
    Open(String),
    /// The ledger.
    Ledger(OpenError),
    /// The certificates of the port or of authorities, or the port's key.
    Tls(TlsFault),
    /// The address.
    Bind(std::net::SocketAddr, io::Error),
    /// Threads, signals, randomness.
    System(&'static str, io::Error),
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(path, error) => write!(f, "state directory {}: {error}", path.display()),
            Self::Open(what) => f.write_str(what),
            Self::Ledger(error) => error.fmt(f),
            Self::Tls(fault) => fault.fmt(f),
            Self::Bind(address, error) => write!(f, "cannot listen at {address}: {error}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartFault {}

/// Runs the agent until it is stopped.
///
/// # Errors
/// If it cannot start.
pub fn run(start: Start) -> Result<(), StartFault> {
    output::init(start.config.log_level);
    let signals = Signals::new().map_err(|error| StartFault::System("signals", error))?;
    let (world, listeners) = build(&start)?;
    let world = Rc::new(world);
    tell_start(&start, &world);
    let executor = LocalExecutor::new();
    reactor::block_on(executor.run(live(&executor, &world, listeners, &signals, &start)));
    drop(executor);
    log::info!("stopped");
    if let Some(world) = Rc::into_inner(world) {
        world.close();
    }
    Ok(())
}

type Listeners = Vec<reactor::Async<std::net::TcpListener>>;

fn build(start: &Start) -> Result<(World, Listeners), StartFault> {
    let config = &start.config;
    let dir = state::dir_of(&config.ledger.path);
    let at_state = |error| StartFault::State(dir.clone(), error);
    state::ensure_dir(&dir).map_err(at_state)?;
    let own_secret = state::first_start_secret(&dir).map_err(at_state)?;
    credentials::check_open(config).map_err(StartFault::Open)?;
    let watch = Watch::new(&dir);
    let (ledger, memory) = open_ledger(config, &start.program)?;
    let ledger = Arc::new(ledger);
    let address = (config.server.host, config.server.port).into();
    let at_bind = |error| StartFault::Bind(address, error);
    let listeners = http::bind(&config.server.host.to_string(), config.server.port).map_err(at_bind)?;
    let mut setup = config.setup.clone();
    if let Some(bound) = listeners.first().and_then(|listener| listener.get_ref().local_addr().ok()) {
        setup.identity.port = bound.port();
    }
    let mut security = security_of(config);
    security.token.get_or_insert(own_secret);
    security.keys = credentials::keys(&dir, config).map_err(at_state)?;
    security.tokens = credentials::tokens_or_none(&dir);
    let clock = Clock::new();
    let seed = state::seed().map_err(|error| StartFault::System("random numbers", error))?;
    let agent = Agent::new(setup, memory, seed, clock.now());
    let committer = Committer::start(Durable(Arc::clone(&ledger)))
        .map_err(|error| StartFault::System("ledger thread", error))?;
    let authorities = tls_files::authorities(config).map_err(StartFault::Tls)?;
    let calls =
        Calls::new(authorities.as_deref()).map_err(|error| StartFault::System("certificates", error))?;
    let dialer =
        Dialer::new(authorities.as_deref()).map_err(|error| StartFault::System("certificates", error))?;
    let dialer = Rc::new(dialer);
    let links = Links::new(Rc::clone(&dialer));
    let client = Client::new(dialer);
    let thinker = Thinker::new(client.clone());
    let hands = Hands::new(start.program.clone(), Arc::clone(&ledger), client);
    let port = Port::new(http::Limits::default());
    port.set_tls(tls_files::of_port(config).map_err(StartFault::Tls)?);
    let world = World::new(Parts {
        clock,
        agent,
        ledger,
        ledger_file: config.ledger.path.display().to_string(),
        config: config.clone(),
        security,
        watch,
        version: start.version,
        committer,
        calls,
        links,
        thinker,
        hands,
        sense: Sense::new(&dir),
        port,
        hub: Hub::new(config.websocket.max_connections),
    });
    Ok((world, listeners))
}

fn open_ledger(config: &Config, program: &[OsString]) -> Result<(Ledger, Memory), StartFault> {
    let path = &config.ledger.path;
    let limits = ledger::Limits {
        size_max_bytes: config.ledger.size_max_mib.saturating_mul(1024 * 1024),
        events_max: config.ledger.events_max,
    };
    let recovered = ledger::prepare_file(path, &mut |words| run_child(program, words));
    #[expect(clippy::cast_possible_truncation, reason = "half of the random bits are enough for a name")]
    let fresh_id = state::seed().map_err(|error| StartFault::System("random numbers", error))? as u32;
    let (ledger, mut memory) = Ledger::open_file(path, limits, fresh_id).map_err(StartFault::Ledger)?;
    memory.recovered = recovered;
    let fact = memory.facts.iter().find(|(key, _)| *key == FactKey::Controller);
    memory.controller = fact.and_then(|(_, text)| aiwm::controller_from_fact(text));
    Ok((ledger, memory))
}

fn run_child(program: &[OsString], words: &[&OsStr]) -> ChildResult {
    let Some((name, first)) = program.split_first() else { return ChildResult::NotStarted };
    let output = Command::new(name)
        .args(first)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else { return ChildResult::NotStarted };
    match (output.status.code(), output.status.signal()) {
        (Some(code), _) => {
            let end = output.stdout.len().min(CHILD_LINE_MAX);
            let text = String::from_utf8_lossy(&output.stdout[..end]);
            ChildResult::Ended { code, output: text.lines().next().unwrap_or("").to_owned() }
        }
        (None, Some(signal)) => ChildResult::Killed { signal },
        (None, None) => ChildResult::NotStarted,
    }
}

/// The role of a word of the config; `none` is that of everybody.
fn role_of(word: &str) -> Role {
    Role::parse(word).unwrap_or(Role::Open)
}

fn security_of(config: &Config) -> Security {
    let mut host_names: Vec<String> = state::host_name().into_iter().collect();
    host_names.extend(host_names.first().map(|name| format!("{name}.local")));
    Security {
        token: config.security.token.clone(),
        api_key: config.security.api_key.clone(),
        api_key_role: role_of(&config.security.api_key_role),
        loopback_role: role_of(&config.security.loopback_role),
        keys: Vec::new(),
        tokens: Tokens::default(),
        webhook_secrets: config.security.webhook_secrets.clone(),
        host_names,
    }
}

async fn live<'a>(
    executor: &LocalExecutor<'a>,
    world: &'a Rc<World>,
    listeners: Listeners,
    signals: &'a Signals,
    start: &'a Start,
) {
    let service: Rc<dyn Service> = Rc::new(Answers::new(Rc::clone(world)));
    let port = world.port();
    let serving: Vec<_> = listeners
        .into_iter()
        .map(|listener| executor.spawn(work(http::serve(listener, Rc::clone(&port), Rc::clone(&service)))))
        .collect();
    drop(service);
    let background = [
        work(world.listen_to_commits()),
        work(world.listen_to_calls()),
        work(bus::keep_bus(world)),
        work(world.listen_to_tools()),
        work(think::keep(Rc::clone(&world.thinker), Rc::clone(world) as Rc<dyn Around>)),
        work(world.keep_time()),
        work(listen_to_signals(world, signals, start)),
        work(tell_manager(world)),
    ]
    .map(|work| executor.spawn(work));
    world.tell_servers();
    world.feed(Input::Tick);
    world.ended().await;
    notify("STOPPING=1");
    world.hub().places().stop();
    port.stop();
    for task in serving {
        task.await;
    }
    for task in background {
        task.cancel().await;
    }
    world.hands.goodbye().await;
}

/// Pause after the signals could not be heard.
const SIGNALS_PAUSE: Duration = Duration::from_secs(1);
/// Whether the agent has come to serve.
static HAS_STARTED: AtomicBool = AtomicBool::new(false);

/// Whether the agent has come to serve: loop and ledger have answered once.
#[must_use]
pub fn has_started() -> bool {
    HAS_STARTED.load(Ordering::Relaxed)
}

/// Tells the service manager that loop and ledger live: first that it is ready, then again and again. A loop that stalls or a
/// ledger that hangs keeps this waiting, and then it is told nothing.
async fn tell_manager(world: &World) {
    let interval = state::watchdog_interval();
    let mut word = "READY=1";
    while world.pulse().await {
        HAS_STARTED.store(true, Ordering::Relaxed);
        notify(word);
        let Some(interval) = interval else { return };
        if word == "WATCHDOG=1" {
            reactor::Timer::after(interval).await;
        }
        word = "WATCHDOG=1";
    }
    log::error!("ledger_thread_gone");
}

fn notify(state: &str) {
    if let Err(error) = state::sd_notify(state) {
        log::warn!("service_manager_unreachable why=\"{error}\"");
    }
}

async fn listen_to_signals(world: &World, signals: &Signals, start: &Start) {
    loop {
        match signals.next().await {
            Ok(Signal::Stop) => world.feed(Input::StopAsked(StopReason::Signal)),
            Ok(Signal::Reload) => reload(world, start),
            Err(error) => {
                log::error!("signals_unheard why=\"{error}\"");
                reactor::Timer::after(SIGNALS_PAUSE).await;
            }
        }
    }
}

/// A config with faults changes nothing; what cannot change while the agent runs is told.
fn reload(world: &World, start: &Start) {
    let config = match (start.reload)() {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults.lines() {
                log::error!("config_fault {fault}");
            }
            log::warn!("config_kept why=\"the new one has faults\"");
            return;
        }
    };
    let fixed = |config: &Config| {
        let address = (config.server.host, config.server.port);
        (address, config.ledger.clone(), config.security.authorities.clone())
    };
    if fixed(&config) != fixed(&start.config) {
        log::warn!(
            "restart_needed why=\"server.host, server.port, [ledger] and security.authorities change with a restart only\""
        );
    }
    renew_tls(world, &config);
    output::set_level(config.log_level);
    let mut setup = config.setup.clone();
    setup.identity.port = world.agent.borrow().setup().identity.port;
    let mut security = security_of(&config);
    let dir = state::dir_of(&start.config.ledger.path);
    let unreadable = |error: &io::Error| log::error!("token_unreadable why=\"{error}\"");
    let own_secret = state::first_start_secret(&dir).inspect_err(unreadable).ok();
    security.token = security.token.or(own_secret);
    // What somebody did to the files is told before their keys change with the config.
    world.reread_credentials();
    security.tokens = world.security.borrow().tokens.clone();
    security.keys = credentials::keys(&dir, &config).unwrap_or_else(|error| {
        log::error!("signing_keys_unreadable kept=true why=\"{error}\"");
        world.security.borrow().keys.clone()
    });
    *world.security.borrow_mut() = security;
    world.throttle.borrow_mut().set_rate(rate_of(&config));
    *world.config.borrow_mut() = config;
    world.feed(Input::Reconfigured(Box::new(setup)));
    world.tell_servers();
}

/// Reads certificate and key again: new connections are shown what is in the files then. Faulty ones change nothing.
fn renew_tls(world: &World, config: &Config) {
    match tls_files::of_port(config) {
        Ok(tls) => {
            log::info!("tls_read is_on={}", tls.is_some());
            world.port().set_tls(tls);
        }
        Err(fault) => {
            log::error!("config_fault {fault}");
            log::warn!("tls_kept why=\"the new certificate or key has a fault\"");
        }
    }
}

/// The first lines of a start.
fn tell_start(start: &Start, world: &World) {
    let config = &start.config;
    let file = start.config_file.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    log::info!("starting version={} config={file}", start.version);
    for note in &config.notes {
        log::warn!("config_note {note}");
    }
    let agent = world.agent.borrow();
    let setup = agent.setup();
    let tls = if config.server.tls.is_some() { "on" } else { "off" };
    log::info!("listening address={} port={} tls={tls}", config.server.host, setup.identity.port);
    let stats = world.ledger.stats().unwrap_or_default();
    log::info!(
        "ledger file={} bytes={} events={} newest={}",
        world.ledger_file,
        stats.file_bytes,
        stats.events,
        stats.last.0
    );
    let alexos = setup.alexos.as_ref().map_or("off", |alexos| alexos.registry_url.as_str());
    let aiwm = setup.aiwm.as_ref().map_or("off", |aiwm| aiwm.base_url.as_str());
    log::info!("peers alex_os={alexos} aiwm={aiwm} webhooks={}", setup.hooks.len());
    log::info!("memory rss_kib={}", sense::rss_kib().unwrap_or(0));
}
