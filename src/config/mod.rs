//! Text, environment and the controller's settings become one checked `Config` that knows where each value came from.
//!
//! Pure: files are read by the caller, or by a closure that the caller gives. In order of strength: AIWM's settings,
//! the environment, systemd credentials, the config file, the defaults of the one table in `table.rs`.
//!
//! Not here: which of the places of `places.rs` exists, and what is done with a fault.

mod brain;
mod build;
mod datum;
mod environment;
mod fault;
mod file;
mod hooks;
pub(crate) mod nearest;
mod noeffect;
mod origin;
mod places;
mod render;
mod sources;
mod table;
mod url;

#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::agent::input::Setting;
use crate::agent::setup::{Secret, Setup};
use crate::agent::time::Wall;

pub use build::read;
pub use datum::{Datum, Why};
pub use fault::Fault;
pub use file::FILE_BYTES_MAX;
pub use origin::Origin;
pub use places::{CONFIG_VARIABLE, Candidate, PLACES, candidates};
pub use render::{docs_text, faults_text, show_json, show_text};
pub use sources::Value;
pub use table::{KEYS, Key, Kind, LISTS, List, SECTIONS};
pub use url::UrlFault;

/// The commented reference, `config.toml` at the root of the repository. It says what the defaults are.
pub const REFERENCE: &str = include_str!("../../config.toml");

/// All that a configuration is made from.
pub struct Inputs<'a> {
    /// The config file's name, as messages shall show it, and its text; at most `FILE_BYTES_MAX` bytes are taken.
    pub file: Option<(&'a str, &'a str)>,
    /// The environment. `CREDENTIALS_DIRECTORY` and `STATE_DIRECTORY` are taken from it, too.
    pub environment: &'a [(String, String)],
    /// Reads a file that holds a secret. The caller bounds its size.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// Where state is kept; `None`: the first folder of `STATE_DIRECTORY`, else `./state`.
    pub state_dir: Option<&'a Path>,
    /// The addresses of this machine.
    pub own_addresses: &'a [IpAddr],
    /// The name of this machine, may be empty.
    pub hostname: &'a str,
    /// When the program was built.
    pub built_at: Wall,
}

/// A configuration without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the agent is told.
    pub setup: Setup,
    /// The `[server]` section.
    pub server: Server,
    /// The `[ledger]` section.
    pub ledger: Ledger,
    /// The `[security]` section.
    pub security: Security,
    /// The `[websocket]` section.
    pub websocket: Websocket,
    /// `log.level`.
    pub log_level: log::LevelFilter,
    /// Every value and where it came from, in the order of the table, then the lists.
    pub values: Vec<Value>,
    /// What was given and has no effect, a line each; for the log at the start and for `check`.
    pub notes: Vec<String>,
}

/// The `[server]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The address to listen at.
    pub host: IpAddr,
    /// The port to listen at; 0 is any free one.
    pub port: u16,
    /// What the port shows under TLS; `None`: it speaks none.
    pub tls: Option<TlsFiles>,
}

/// The files of `server.tls_cert` and `server.tls_key`, not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The `[ledger]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The file; never empty.
    pub path: PathBuf,
    /// Size at which the oldest events go, in MiB.
    pub size_max_mib: u64,
    /// Number of events kept.
    pub events_max: u64,
}

/// The `[websocket]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Websocket {
    /// Sockets open at once at the open port.
    pub max_connections: usize,
}

/// The `[security]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Allows everything, from anywhere. At least 16 characters. `None`: the one made at the first start does.
    pub token: Option<Secret>,
    /// With which ALEX OS polls us.
    pub api_key: Option<Secret>,
    /// `whsec_...`, each checked, the newest first; empty: signatures are not asked for.
    pub webhook_secrets: Vec<Secret>,
    /// Signs the agent's own access tokens.
    pub secret_key: Option<Secret>,
    /// Still verifies tokens that it signed.
    pub secret_key_previous: Option<Secret>,
    /// What `api_key` allows: `viewer`, `operator` or `admin`.
    pub api_key_role: String,
    /// What callers on this machine may do: `admin`, `operator`, `viewer` or `none`.
    pub loopback_role: String,
    /// Requests that one address may send in a window; 0: as many as it likes.
    pub rate_limit_requests: u32,
    /// Length of that window in seconds.
    pub rate_limit_window_s: u32,
    /// Whether this machine is held to it as well.
    pub rate_limit_loopback: bool,
    /// Authorities in PEM form that are trusted beside the public ones. Read at the start, by the shell.
    pub authorities: Option<PathBuf>,
}

impl Config {
    /// The value of `section.key` or `webhooks[1].key`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.name == name)
    }

    /// The values with the controller's settings over them, for show. A setting that is no row of the table, is not the
    /// controller's to set, or breaks its row's rules leaves the value as it was.
    #[must_use]
    pub fn with_controller(&self, settings: &[Setting]) -> Vec<Value> {
        let mut values = self.values.clone();
        for value in values.iter_mut().filter(|value| value.key.is_controllers()) {
            let setting = settings.iter().find(|setting| is_of(setting, value));
            if let Some(Ok(datum)) =
                setting.map(|setting| datum::from_text(&value.key.kind, &setting.value.0))
            {
                value.datum = datum;
                value.origin = Origin::Controller;
            }
        }
        values
    }
}

/// AIWM calls the bot's token `telegram.token`; the documents' variable, and so the key, says `bot_token`.
fn is_of(setting: &Setting, value: &Value) -> bool {
    setting.key == value.name || (setting.key == "telegram.token" && value.name == "telegram.bot_token")
}
