//! The whole story on one machine: stand-ins for ALEX OS, AIWM and an endpoint of your own, and the real agent against
//! them as a process of its own. Everything listens on loopback at free ports and keeps its state in a temporary folder.
//!
//! `cargo run --release --example demo` tells it and stays until Ctrl-C. With `DEMO_SECONDS=60` it ends by itself: with 0
//! as soon as everything happened, with 1 if something did not within that time.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a story for a terminal, with clocks and threads of its own"
)]

#[path = "../tests/stand_in/mod.rs"]
mod stand_in;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stand_in::aiwm::{self, Aiwm};
use stand_in::alexos::{self, AlexOs};
use stand_in::client;
use stand_in::json;
use stand_in::port::Port;
use stand_in::process::{Agent, Folder, Program, free_address};
use stand_in::receiver::{self, Receiver};

/// The terminal, or whoever read what was told, went away.
static IS_UNHEARD: AtomicBool = AtomicBool::new(false);

/// As `println!`, but a reader that goes away ends the story as Ctrl-C does: the agent is not left behind.
macro_rules! say {
    ($($words:tt)*) => {
        if writeln!(std::io::stdout(), $($words)*).is_err() {
            IS_UNHEARD.store(true, Ordering::Relaxed);
        }
    };
}

/// The first word with which this program starts itself again as the agent.
const AGENT_WORD: &str = "agent-process";
/// Signs what goes to the endpoint of your own. Not a secret: it is printed.
const HOOK_SECRET: &str = "whsec_ZGVtby1vbmx5LWRlbW8tb25seS1kZW1vLW9ubHk=";
/// Longest wait for any one thing, if nobody says how long.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    if words.peek().is_some_and(|word| word == AGENT_WORD) {
        let Ok(path) = std::env::current_exe() else { return ExitCode::FAILURE };
        let program = vec![path.into_os_string(), AGENT_WORD.into()];
        return chainbot::cli::main_as(program, words.skip(1));
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, interrupted.clone()) {
            eprintln!("cannot listen for Ctrl-C: {error}");
        }
    }
    let seconds = std::env::var("DEMO_SECONDS").ok().and_then(|text| text.parse().ok());
    let mut demo = Demo::open(seconds, interrupted);
    match demo.tell() {
        Ok(()) => {
            say!("\nNothing was lost.");
            if seconds.is_none() {
                demo.stay();
            }
            demo.end()
        }
        Err(Ended::Interrupted) => demo.end(),
        Err(Ended::Missing(what)) => {
            say!(
                "\n{:6.1} s  MISSING   {what}\n\nThe agent's log:\n{}",
                demo.elapsed(),
                demo.agent.log_text()
            );
            ExitCode::FAILURE
        }
    }
}

/// Why the story did not go on.
enum Ended {
    Interrupted,
    Missing(String),
}

struct Demo {
    begin: Instant,
    seconds: Option<u64>,
    interrupted: Arc<AtomicBool>,
    alexos: Port<AlexOs>,
    aiwm: Port<Aiwm>,
    endpoint: Port<Receiver>,
    agent: Agent,
    address: SocketAddr,
    folder: Folder,
}

impl Demo {
    fn open(seconds: Option<u64>, interrupted: Arc<AtomicBool>) -> Self {
        let folder = Folder::new("demo");
        let alexos = alexos::open(alexos::Kind::Documented);
        let aiwm = aiwm::open(aiwm::Generation::C);
        let endpoint = receiver::open();
        let address = free_address();
        let config = folder.0.join("config.toml");
        let text = config_text(address, &alexos.url(), &aiwm.url(), &endpoint.url(), &folder);
        std::fs::write(&config, text).expect("a writable temporary folder");
        let path = std::env::current_exe().expect("this program's own file");
        let program = Program { path, words: vec![AGENT_WORD.to_owned(), "run".to_owned()] };
        let agent = Agent::new(program, config, address);
        Self { begin: Instant::now(), seconds, interrupted, alexos, aiwm, endpoint, agent, address, folder }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || IS_UNHEARD.load(Ordering::Relaxed)
    }

    fn tell(&mut self) -> Result<(), Ended> {
        self.introduce();
        self.start()?;
        self.take_and_deliver()?;
        self.survive_alexos_away()?;
        self.survive_a_kill()
    }

    fn introduce(&self) {
        say!("ALEX OS (stand-in)        {}", self.alexos.url());
        say!("AIWM (stand-in)           {}", self.aiwm.url());
        say!("Your endpoint (stand-in)  {}", self.endpoint.url());
        say!("The agent                 http://{}", self.address);
        say!("Its folder                {}\n", self.folder.0.display());
    }

    fn start(&mut self) -> Result<(), Ended> {
        self.say("the agent starts");
        self.agent.start();
        let state = &self.alexos.peer.clone().state;
        self.wait("registered with ALEX OS", |bound| {
            state.wait_until(bound, |s| !s.registrations.is_empty())
        })?;
        let state = &self.aiwm.peer.clone().state;
        self.wait("connected with AIWM", |bound| state.wait_until(bound, |s| s.connects > 0))?;
        self.wait("first heartbeat at AIWM", |bound| state.wait_until(bound, |s| !s.beats.is_empty()))?;
        let state = &self.alexos.peer.clone().state;
        self.wait("first health report at ALEX OS", |bound| {
            state.wait_until(bound, |s| !s.reports.is_empty())
        })
    }

    fn take_and_deliver(&mut self) -> Result<(), Ended> {
        let id = self.bring("coffee_ready")?;
        self.arrive(&id)?;
        let state = &self.endpoint.peer.clone().state;
        self.wait(&format!("{id} delivered to your endpoint, signed"), |bound| {
            state.wait_until(bound, |s| {
                s.seen.iter().any(|request| request.header("webhook-id") == Some(&id) && is_signed(request))
            })
        })
    }

    fn survive_alexos_away(&mut self) -> Result<(), Ended> {
        self.alexos.down();
        self.say("ALEX OS goes away");
        let mut ids = Vec::new();
        for number in 1..=5 {
            ids.push(self.bring(&format!("while_away_{number}"))?);
        }
        self.alexos.up();
        self.say("ALEX OS comes back");
        for id in &ids {
            self.arrive(id)?;
        }
        Ok(())
    }

    /// ALEX OS is away meanwhile: else it might have the event before the agent is killed, and would rightly get it again
    /// under the same id, as the agent could not note that it was taken.
    fn survive_a_kill(&mut self) -> Result<(), Ended> {
        self.alexos.down();
        self.say("ALEX OS goes away again");
        let id = self.bring("last_words")?;
        self.agent.kill();
        self.say("the agent is killed with -9, just after it answered");
        self.agent.start();
        self.say("the agent starts again");
        let address = self.address;
        self.wait(&format!("{id} is still in its ledger"), |_| {
            client::get(address, "/api/events?type=last_words").is_ok_and(|reply| reply.body.contains(&id))
        })?;
        self.alexos.up();
        self.say("ALEX OS comes back");
        self.arrive(&id)
    }

    /// Brings a webhook as curl would, and gives the id of the event that it became.
    fn bring(&mut self, kind: &str) -> Result<String, Ended> {
        let body = format!(r#"{{"event_type":"{kind}","resource_id":"demo"}}"#);
        let reply = client::post(self.address, "/api/webhooks/chainbot/event", &[], &body);
        let answer = reply.as_ref().map(client::Reply::json).unwrap_or(json::Value::Null);
        match (&reply, json::str_at(&answer, &["id"])) {
            (Ok(reply), Some(id)) if reply.status == 200 => {
                self.say(&format!("webhook {kind} answered: stored as {id}"));
                Ok(id.to_owned())
            }
            _ => Err(Ended::Missing(format!("an answer of 200 with an id to webhook {kind}: {reply:?}"))),
        }
    }

    /// Waits until ALEX OS has the event, once.
    fn arrive(&mut self, id: &str) -> Result<(), Ended> {
        let state = &self.alexos.peer.clone().state;
        self.wait(&format!("{id} delivered to ALEX OS"), |bound| {
            state.wait_until(bound, |s| s.count_id(id) > 0)
        })?;
        match state.look(|s| s.count_id(id)) {
            1 => Ok(()),
            count => Err(Ended::Missing(format!("exactly one delivery of {id}: there were {count}"))),
        }
    }

    /// Waits for a fact in short steps, so that Ctrl-C is heard.
    fn wait(&mut self, what: &str, mut fact: impl FnMut(Duration) -> bool) -> Result<(), Ended> {
        let end = match self.seconds {
            Some(seconds) => self.begin + Duration::from_secs(seconds),
            None => Instant::now() + PATIENCE,
        };
        while !fact(Duration::from_millis(100)) {
            if self.is_interrupted() {
                return Err(Ended::Interrupted);
            }
            if Instant::now() > end {
                return Err(Ended::Missing(what.to_owned()));
            }
        }
        self.say(what);
        Ok(())
    }

    /// Shows what to try, and what comes of it, until Ctrl-C.
    fn stay(&mut self) {
        let base = format!("http://{}", self.address);
        say!("\nTry it (Ctrl-C ends all of it):\n");
        say!("  curl {base}/health");
        say!("  curl {base}/status");
        say!("  curl {base}/metrics");
        say!("  curl '{base}/api/events?type=while_away_*'");
        say!(
            "  curl -X POST {base}/api/webhooks/chainbot/workflow/started \\\n    -H 'Content-Type: application/json' -H 'webhook-id: once-1' \\\n    -d '{{\"workflow_id\":\"w1\",\"workflow_name\":\"Backup\",\"status\":\"started\"}}'\n"
        );
        let mut shown = self.counts();
        let (mut events, mut hooks) = (shown.events, shown.hooks);
        while !self.is_interrupted() {
            self.alexos.peer.state.wait_until(Duration::from_millis(200), |s| s.events.len() > events);
            let now = self.counts();
            let arrived = self.alexos.peer.state.look(|s| {
                s.events
                    .iter()
                    .skip(events)
                    .map(|event| format!("{} {} delivered to ALEX OS", event.kind, event.id))
                    .collect::<Vec<_>>()
            });
            arrived.iter().for_each(|line| self.say(line));
            if now.hooks > hooks {
                self.say(&format!("{} more delivered to your endpoint", now.hooks - hooks));
            }
            if now.beats > shown.beats {
                self.say(&format!("heartbeat {} at AIWM", now.beats));
            }
            if now.reports > shown.reports {
                self.say(&format!("health report {} at ALEX OS", now.reports));
            }
            (events, hooks) = (now.events, now.hooks);
            shown = now;
        }
        say!();
    }

    fn counts(&self) -> Counts {
        let (events, reports) = self.alexos.peer.state.look(|s| (s.events.len(), s.reports.len()));
        let beats = self.aiwm.peer.state.look(|s| s.beats.len());
        let hooks = self.endpoint.peer.state.look(|s| s.seen.len());
        Counts { events, reports, beats, hooks }
    }

    /// Asks the agent to stop. Ctrl-C in a terminal has asked it already.
    fn end(&mut self) -> ExitCode {
        if self.agent.pid().is_none() {
            return ExitCode::SUCCESS;
        }
        let was_asked = self.is_interrupted();
        if was_asked {
            let _ = self.agent.ended_within(Duration::from_secs(2));
        }
        if self.agent.pid().is_some() {
            let (status, took) = self.agent.stop();
            self.say(&format!("the agent said goodbye ({status}, {} ms)", took.as_millis()));
            return if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        self.say("the agent said goodbye");
        ExitCode::SUCCESS
    }

    fn say(&self, what: &str) {
        say!("{:6.1} s  {what}", self.elapsed());
    }

    fn elapsed(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }
}

#[derive(Clone, Copy)]
struct Counts {
    events: usize,
    reports: usize,
    beats: usize,
    hooks: usize,
}

/// Whether another implementation than the agent's own finds the signature right.
fn is_signed(request: &stand_in::port::Request) -> bool {
    let Ok(webhook) = standardwebhooks::Webhook::new(HOOK_SECRET) else { return false };
    let mut headers = ureq::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        if let Some(value) = request.header(name).and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    webhook.verify(request.body.as_bytes(), &headers).is_ok()
}

fn config_text(address: SocketAddr, alexos: &str, aiwm: &str, endpoint: &str, folder: &Folder) -> String {
    format!(
        r#"[server]
host = "{host}"
port = {port}

[alex_os]
module_registry_url = "{alexos}"
webhook_url = "http://{address}/api/webhooks/chainbot"
health_check_interval = 5
registration_retry_interval = 1

[aiwm]
enabled = true
base_url = "{aiwm}"
agent_id = "{agent_id}"
agent_secret = "{agent_secret}"
heartbeat_interval = 5

[ledger]
path = "{folder}/chainbot.redb"

[[webhooks]]
url = "{endpoint}/hook"
secret = "{HOOK_SECRET}"
"#,
        host = address.ip(),
        port = address.port(),
        agent_id = aiwm::AGENT_ID,
        agent_secret = aiwm::FIRST_SECRET,
        folder = folder.0.display(),
    )
}
