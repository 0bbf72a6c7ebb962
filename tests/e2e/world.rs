//! An agent and its peers, and what the tests ask of them.

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::stand_in::aiwm::{self, Aiwm, Generation};
use crate::stand_in::alexos::{self, AlexOs, Kind};
use crate::stand_in::client::{self, Reply};
use crate::stand_in::json::{self, Value};
use crate::stand_in::port::Port;
use crate::stand_in::process::{Agent, Folder, Program, exe, free_address};
use crate::stand_in::receiver::{self, Receiver};

pub const BUILT: &str = env!("CARGO_BIN_EXE_chainbot");
/// Far above what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Takes events of any type.
pub const EVENT: &str = "/api/webhooks/chainbot/event";
/// Of the Standard Webhooks specification.
pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// An agent and its peers, and the folder that holds its config and its ledger.
pub struct World {
    pub agent: Agent,
    pub alexos: Port<AlexOs>,
    pub aiwm: Port<Aiwm>,
    pub receiver: Port<Receiver>,
    pub folder: Folder,
    pub address: SocketAddr,
}

impl World {
    /// Not started yet.
    pub fn new(kind: Kind, generation: Generation) -> Self {
        let folder = Folder::new("e2e");
        let address = free_address();
        let (alexos, aiwm, receiver) = (alexos::open(kind), aiwm::open(generation), receiver::open());
        let program = Program { path: exe(BUILT), words: vec!["run".into()] };
        let agent = Agent::new(program, folder.0.join("config.toml"), address);
        let world = Self { agent, alexos, aiwm, receiver, folder, address };
        world.configure("");
        world
    }

    pub fn started(kind: Kind, generation: Generation) -> Self {
        let mut world = Self::new(kind, generation);
        world.agent.start();
        world
    }

    /// Writes the config file: short intervals, and `more` behind it.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "[server]\nhost = \"{}\"\nport = {}\n\
             [ledger]\npath = \"{}/state/ledger.redb\"\n\
             [alex_os]\nmodule_registry_url = \"{}\"\nhealth_check_interval = 1\nregistration_retry_interval = 1\n\
             [aiwm]\nenabled = true\nbase_url = \"{}\"\nagent_id = \"{}\"\nagent_secret = \"{}\"\n\
             heartbeat_interval = 1\nretry_interval = 1\n\
             [log]\nlevel = \"debug\"\n{more}",
            self.address.ip(),
            self.address.port(),
            self.folder.0.display(),
            self.alexos.url(),
            self.aiwm.url(),
            aiwm::AGENT_ID,
            aiwm::FIRST_SECRET,
        );
        std::fs::write(&self.agent.config, text).unwrap();
    }

    /// A command of the same program with the same config.
    pub fn chainbot(&self, words: &[&str]) -> Output {
        let program =
            Program { path: exe(BUILT), words: words.iter().map(|&word| word.to_owned()).collect() };
        program.command(&self.agent.config).output().unwrap()
    }

    pub fn bring(&self, body: &str, headers: &[(&str, &str)]) -> Reply {
        client::post(self.address, EVENT, headers, body).unwrap()
    }

    /// Brings an event of this type, which must be taken, and gives its id.
    pub fn brought(&self, kind: &str) -> String {
        let reply = self.bring(&format!(r#"{{"event_type":"{kind}"}}"#), &[]);
        assert_eq!(reply.status, 200, "{reply:?}");
        json::str_at(&reply.json(), &["id"]).unwrap().to_owned()
    }

    pub fn status(&self) -> Value {
        client::get(self.address, "/status").unwrap().json()
    }

    /// Waits until `/status` says so.
    pub fn wait_status(&self, what: &str, fact: impl Fn(&Value) -> bool) {
        wait(what, || fact(&self.status()));
    }

    pub fn wait_alexos(&self, what: &str, fact: impl FnMut(&alexos::State) -> bool) {
        assert!(self.alexos.peer.state.wait_until(PATIENCE, fact), "{what}\n{}", self.agent.log_text());
    }

    pub fn wait_aiwm(&self, what: &str, fact: impl FnMut(&aiwm::State) -> bool) {
        assert!(self.aiwm.peer.state.wait_until(PATIENCE, fact), "{what}\n{}", self.agent.log_text());
    }

    pub fn wait_receiver(&self, what: &str, fact: impl FnMut(&receiver::State) -> bool) {
        assert!(self.receiver.peer.state.wait_until(PATIENCE, fact), "{what}\n{}", self.agent.log_text());
    }

    pub fn arrives(&self, id: &str) {
        self.wait_alexos(&format!("{id} at ALEX OS"), |state| state.count_id(id) > 0);
    }
}

/// Asks again and again, for facts that nobody tells.
pub fn wait(what: &str, mut fact: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !fact() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
