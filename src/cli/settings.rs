//! The config as this process finds it: the file, the environment, the machine. Read here, decided in `config/`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ask::RunningAgent;
use super::out::{Exit, Failure, Out, Paint, note, printable};
use super::version;
use crate::agent::setup::Secret;
use crate::agent::time::Wall;
use crate::config::{self, CONFIG_VARIABLE, Config, FILE_BYTES_MAX, Fault, Inputs};
use crate::shell::{credentials, state, tls_files};
use crate::wire::json::{Json, Kind};

/// Largest file with a secret, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 16 * 1024;

const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Where systemd puts the credentials of the packaged unit while it runs; only the service and root may look.
const SERVICE_CREDENTIALS: &str = "/run/credentials/chainbot.service";
/// Secrets without which a config may be at fault, and their variables.
const SECRETS_NEEDED: [(&str, &str); 2] =
    [("security.token", "CHAINBOT_SECURITY__TOKEN"), ("aiwm.agent_secret", "CHAINBOT_AIWM__AGENT_SECRET")];
/// Stands for a secret that the running agent has. It is never sent.
const STAND_IN: &str = "known-to-the-agent-alone";

/// Where the config is read from: found once, read at the start and at each SIGHUP.
#[derive(Clone, Debug)]
pub struct Source {
    flag: Option<PathBuf>,
}

/// A config that is good, and the file that it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The file, if one was found.
    pub file: Option<PathBuf>,
    /// What it means.
    pub config: Config,
}

/// Why there is no config.
#[derive(Debug)]
pub enum LoadFault {
    /// The file that was named cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It can be read, and this is wrong with it.
    Faults(Vec<Fault>),
}

impl std::fmt::Display for LoadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Faults(faults) => f.write_str(config::faults_text(faults).trim_end()),
        }
    }
}

impl Source {
    /// `flag` is what `--config` named.
    #[must_use]
    pub fn new(flag: Option<PathBuf>) -> Self {
        Self { flag }
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// The file cannot be read, or every fault that is in it and in the environment.
    pub fn load(&self) -> Result<Loaded, LoadFault> {
        self.load_in(environment())
    }

    /// For commands that only ask the running agent: it has its secrets from systemd, which nobody but root may read. That they
    /// are missing here is no fault then, and callers on this machine need none.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_to_ask(&self) -> Result<Loaded, LoadFault> {
        let environment = environment();
        match self.load_in(environment.clone()) {
            Err(LoadFault::Faults(faults)) if faults.iter().all(is_of_a_secret) => {
                let stand_ins =
                    SECRETS_NEEDED.map(|(_, variable)| (variable.to_owned(), STAND_IN.to_owned()));
                let mut loaded = self.load_in([environment, stand_ins.to_vec()].concat())?;
                loaded.config.security.token = None;
                Ok(loaded)
            }
            result => result,
        }
    }

    fn load_in(&self, environment: Vec<(String, String)>) -> Result<Loaded, LoadFault> {
        let file = self.find(&environment)?;
        let name = file.as_ref().map(|(path, _)| path.display().to_string());
        let inputs = Inputs {
            file: file.as_ref().zip(name.as_ref()).map(|((_, text), name)| (name.as_str(), text.as_str())),
            environment: &environment,
            read: &|path| read_bounded(path, SECRET_FILE_BYTES_MAX),
            state_dir: None,
            own_addresses: &state::own_addresses(),
            hostname: &state::host_name().unwrap_or_default(),
            built_at: Wall(version::built_at_s() * 1_000),
        };
        let config = config::read(&inputs).map_err(LoadFault::Faults)?;
        Ok(Loaded { file: file.map(|(path, _)| path), config })
    }

    /// The first candidate that is there, and its text.
    fn find(&self, environment: &[(String, String)]) -> Result<Option<(PathBuf, String)>, LoadFault> {
        let variable =
            environment.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, value)| value.as_str());
        for candidate in config::candidates(self.flag.as_deref(), variable) {
            // One byte beyond the limit is enough for the checker to see that it is too long.
            match read_bounded(&candidate.path, FILE_BYTES_MAX as u64 + 1) {
                Ok(text) => return Ok(Some((candidate.path, text))),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !candidate.must_exist => {}
                Err(error) => return Err(LoadFault::Unreadable(candidate.path, error)),
            }
        }
        Ok(None)
    }
}

/// The variables of this process. Beside a service of systemd root sees the secrets that the service was given, as the service does.
fn environment() -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let is_service = variables.iter().any(|(name, _)| name == CREDENTIALS_VARIABLE);
    if !is_service && std::fs::read_dir(SERVICE_CREDENTIALS).is_ok() {
        variables.push((CREDENTIALS_VARIABLE.to_owned(), SERVICE_CREDENTIALS.to_owned()));
    }
    variables
}

fn is_of_a_secret(fault: &Fault) -> bool {
    match fault {
        Fault::OpenWithoutToken { .. } => true,
        Fault::Missing { key, .. } => SECRETS_NEEDED.iter().any(|(name, _)| name == key),
        _ => false,
    }
}

fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max).read_to_string(&mut text)?;
    Ok(text)
}

/// The config, or every fault on stderr.
///
/// # Errors
/// With the exit code of a wrong config.
pub fn load(source: &Source) -> Result<Loaded, Failure> {
    source.load().map_err(told)
}

/// The config of the running agent, as far as it can be known here, or every fault on stderr.
///
/// # Errors
/// As `load`.
pub fn load_to_ask(source: &Source) -> Result<Loaded, Failure> {
    source.load_to_ask().map_err(told)
}

fn told(fault: LoadFault) -> Failure {
    match fault {
        LoadFault::Faults(faults) => {
            for fault in &faults {
                note(&printable(&fault.to_string()));
            }
            Failure::new(Exit::Config, faults_counted(faults.len()))
        }
        unreadable => Failure::new(Exit::Config, unreadable),
    }
}

fn faults_counted(count: usize) -> String {
    if count == 1 { "1 fault in the config".to_owned() } else { format!("{count} faults in the config") }
}

/// `check`.
pub fn check(source: &Source, out: &mut Out) -> Result<(), Failure> {
    let loaded = load(source)?;
    check_files(&loaded.config)?;
    credentials::check_open(&loaded.config).map_err(|what| Failure::new(Exit::Config, what))?;
    for each in &loaded.config.notes {
        note(&printable(each));
    }
    let name =
        loaded.file.as_ref().map_or("no file, the defaults".to_owned(), |file| file.display().to_string());
    out.line(format_args!("{}: {}", printable(&name), out.paint(Paint::Good, "good")))
}

/// Certificates and keys, as a start would read them.
fn check_files(config: &Config) -> Result<(), Failure> {
    let faults: Vec<_> = [tls_files::of_port(config).err(), tls_files::authorities(config).err()]
        .into_iter()
        .flatten()
        .collect();
    for fault in &faults {
        note(&printable(&fault.to_string()));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Config, faults_counted(faults.len()))) }
}

/// `config show`.
pub fn show(source: &Source, wants_json: bool, out: &mut Out) -> Result<(), Failure> {
    let loaded = load(source)?;
    if wants_json {
        return out.line(config::show_json(&loaded.config.values));
    }
    out.text(&config::show_text(&loaded.config.values))?;
    // An agent that does not answer, or says something else, has nothing to add.
    let Ok(theirs) = running_agent(&loaded.config).get("/config") else { return Ok(()) };
    let ours = config::show_json(&loaded.config.values);
    let differences = differences(&ours, &theirs);
    if !differences.is_empty() {
        out.line(out.paint(Paint::Bold, "\nThe running agent has:"))?;
    }
    for line in differences {
        out.line(line)?;
    }
    Ok(())
}

/// Lines for the values that the running agent has otherwise: settings of the controller, and what was changed in the
/// file since it was read.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let (Ok(ours), Ok(theirs)) = (Json::parse(ours.as_bytes()), Json::parse(theirs.as_bytes())) else {
        return Vec::new();
    };
    let lines = theirs.fields().filter_map(|(name, their)| {
        let value = their.get("value")?;
        if ours.at(&[&name, "value"]).map(Json::raw) == Some(value.raw()) {
            return None;
        }
        let shown = match value.kind() {
            Kind::Text => value.text()?.into_owned(),
            _ => value.compact(),
        };
        let origin = their.get("origin")?.text()?;
        Some(printable(&format!("{name}  {shown}  {origin}")))
    });
    lines.collect()
}

/// The agent that this config is for.
pub fn running_agent(config: &Config) -> RunningAgent {
    let token = config.security.token.clone().or_else(|| own_token(config)).unwrap_or_default();
    RunningAgent::new(config.server.host, config.server.port, &token.0)
}

/// The secret of the first start, where callers on this machine need one and may read it.
fn own_token(config: &Config) -> Option<Secret> {
    if config.security.loopback_role == "admin" {
        return None;
    }
    let path = state::dir_of(&config.ledger.path).join(state::TOKEN_FILE);
    let text = read_bounded(&path, SECRET_FILE_BYTES_MAX).ok()?;
    Some(Secret(text.trim().to_owned())).filter(|secret| secret.0.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The secrets that sign what the agent takes.
pub fn webhook_secrets(config: &Config) -> Vec<String> {
    config.security.webhook_secrets.iter().map(|Secret(secret)| secret.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_running_agent_has_otherwise_is_told() {
        let ours =
            r#"{"a.b":{"value":1,"unit":"","origin":"default"},"a.c":{"value":"x","origin":"default"}}"#;
        let theirs =
            r#"{"a.b":{"value":1,"unit":"","origin":"file"},"a.c":{"value":"y","origin":"AIWM"},"n":3}"#;
        assert_eq!(differences(ours, theirs), ["a.c  y  AIWM"]);
        assert!(differences(ours, "<html>").is_empty());
    }
}
