//! The checked values become what the rooms are told; the rules that concern more than one key stand here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::datum::{self, Datum};
use super::fault::Fault;
use super::sources::{Sources, Value, shown_text};
use super::table::KEYS;
use super::url;
use super::{Config, Inputs, Ledger, Security, Server, TlsFiles, Websocket};
use super::{brain, hooks};
use crate::agent::brain::setup::BrainSetup;
use crate::agent::setup::{AiwmSetup, AlexosSetup, HookSetup, Identity, Secret, Setup};
use crate::agent::time::SECOND_MS;

/// Shortest `security.token` in characters. Beyond loopback it is all that stands between a stranger and the agent.
const TOKEN_CHARS_MIN: usize = 16;
/// Shortest key that signs tokens in bytes: as long as the hash (RFC 7518 section 3.2).
const SIGNING_KEY_BYTES_MIN: usize = 32;
/// Name of the file of tokens that were made, beside the ledger.
const TOKENS_FILE: &str = "tokens";
/// Name of the ledger's file in the state folder.
const LEDGER_FILE: &str = "chainbot.redb";
/// Name of the folder that tools may use, in the state folder.
const WORKSPACE: &str = "workspace";
/// The documents' placeholder for the board's address: nobody's address, so at best our own.
const PLACEHOLDER_HOST: &str = "your-pi-ip";

/// Reads and checks everything.
///
/// # Errors
/// Every fault of every source, at least one.
pub fn read(inputs: &Inputs<'_>) -> Result<Config, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    let sources = Sources::new(inputs, &mut faults);
    if let Some(file) = &sources.file {
        file.check_names(&mut faults, &mut notes);
    }
    sources.environment.check_names(&mut faults, &mut notes);
    let mut values = Values(KEYS.iter().map(|key| sources.value(key, &mut faults)).collect());
    let state_dir = state_dir(inputs, &sources);
    values.fill("ledger.path", &state_dir.join(LEDGER_FILE));
    values.fill("tools.root", &state_dir.join(WORKSPACE));
    // A file that is not TOML hides what it sets: what seems to be missing may stand in it.
    if inputs.file.is_some() && sources.file.is_none() {
        return Err(faults);
    }
    check(&values, inputs, &mut faults);
    values.note_what_is_idle(&mut notes);
    let hooks = hooks::read(&sources, &mut values.0, &mut faults);
    let lists = brain::read(&sources, &mut values, &mut faults);
    let instruction = brain::instruction(&sources, &values, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let brain = brain::build(&values, lists, instruction);
    Ok(build(values, hooks, brain, notes, inputs))
}

fn state_dir(inputs: &Inputs<'_>, sources: &Sources<'_>) -> PathBuf {
    // systemd lists several folders with colons.
    let named =
        || sources.environment.get("STATE_DIRECTORY").and_then(|list| list.split(':').next()).map(Path::new);
    inputs.state_dir.or_else(named).unwrap_or(Path::new("./state")).to_owned()
}

/// The values by name.
pub(super) struct Values(pub(super) Vec<Value>);

impl Values {
    pub(super) fn get(&self, name: &str) -> &Value {
        self.0
            .iter()
            .find(|value| value.name == name)
            .expect("every name asked for here is a row of the table")
    }

    pub(super) fn text(&self, name: &str) -> &str {
        match &self.get(name).datum {
            Datum::Text(text) => text,
            _ => "",
        }
    }

    /// A base URL: the paths that are added begin with a slash.
    pub(super) fn base_url(&self, name: &str) -> String {
        self.text(name).trim_end_matches('/').to_owned()
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        match self.get(name).datum {
            Datum::Int(number) => u64::try_from(number).unwrap_or(0),
            _ => 0,
        }
    }

    fn small(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).unwrap_or(u32::MAX)
    }

    pub(super) fn milliseconds(&self, name: &str) -> u64 {
        self.number(name).saturating_mul(SECOND_MS)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name).datum == Datum::Bool(true)
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name);
        (!text.is_empty()).then(|| text.into())
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match &self.get(name).datum {
            Datum::List(list) => list.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        match &self.get(name).datum {
            Datum::Secret(secret) if !secret.0.is_empty() => Some(secret.clone()),
            _ => None,
        }
    }

    /// Names a place in the state folder, unless one is given.
    pub(super) fn fill(&mut self, name: &str, path: &Path) {
        let value = self.0.iter_mut().find(|value| value.name == name && value.datum.is_empty());
        if let Some(value) = value {
            value.datum = Datum::Text(path.to_string_lossy().into_owned());
        }
    }

    pub(super) fn note_what_is_idle(&self, notes: &mut Vec<String>) {
        for name in ["aiwm.base_url", "aiwm.agent_id", "aiwm.agent_secret"] {
            let value = self.get(name);
            if !self.is_on("aiwm.enabled") && !value.datum.is_empty() {
                notes.push(format!("{name} has no effect: aiwm.enabled is false ({})", value.origin));
            }
        }
        for name in ["alex_os.event_bus_url", "alex_os.webhook_url"] {
            let value = self.get(name);
            if self.text("alex_os.module_registry_url").is_empty() && !value.datum.is_empty() {
                notes.push(format!(
                    "{name} has no effect: alex_os.module_registry_url is empty ({})",
                    value.origin
                ));
            }
        }
    }
}

fn check(values: &Values, inputs: &Inputs<'_>, faults: &mut Vec<Fault>) {
    check_texts(values, faults);
    check_secrets(values, faults);
    check_signing_keys(values, faults);
    check_host(values, inputs, faults);
    check_tls(values, faults);
    check_aiwm(values, faults);
}

pub(super) fn wrong(value: &Value, rule: &'static str) -> Fault {
    let shown = match &value.datum {
        Datum::Text(text) => shown_text(&value.key.kind, text, false),
        _ => None,
    };
    Fault::Wrong { key: value.name.clone(), shown, rule, place: value.origin.clone() }
}

fn check_texts(values: &Values, faults: &mut Vec<Fault>) {
    let host_header = values.text("alex_os.host_header");
    if !host_header.is_empty() && url::split_port(host_header).is_err() {
        faults.push(wrong(
            values.get("alex_os.host_header"),
            "must be a host name or address, with or without a port",
        ));
    }
    for name in ["chainbot.health_endpoint", "chainbot.docs_endpoint"] {
        if !values.text(name).starts_with('/') {
            faults.push(wrong(values.get(name), "must begin with /"));
        }
    }
    for name in ["chainbot.name", "chainbot.version"] {
        if values.text(name).is_empty() {
            faults.push(wrong(values.get(name), "must not be empty"));
        }
    }
}

fn check_secrets(values: &Values, faults: &mut Vec<Fault>) {
    for value in &values.0 {
        // These go into a header; the two others are hashed or sent as JSON.
        let is_sent_bare = !matches!(
            value.name.as_str(),
            "aiwm.agent_secret" | "security.secret_key" | "security.secret_key_previous"
        );
        match &value.datum {
            Datum::Secret(Secret(text)) if is_sent_bare && !text.bytes().all(|b| b.is_ascii_graphic()) => {
                faults.push(wrong(value, "must be ASCII characters without blanks"));
            }
            Datum::Secrets(_) => hooks::check_secrets(value, faults),
            _ => {}
        }
    }
    if values.secret("security.token").is_some_and(|token| token.0.len() < TOKEN_CHARS_MIN) {
        faults.push(wrong(values.get("security.token"), "must be 16 characters or longer"));
    }
}

fn check_signing_keys(values: &Values, faults: &mut Vec<Fault>) {
    for name in ["security.secret_key", "security.secret_key_previous"] {
        if values.secret(name).is_some_and(|key| key.0.len() < SIGNING_KEY_BYTES_MIN) {
            faults.push(wrong(
                values.get(name),
                "must be 32 bytes or longer: whoever guesses it may do everything",
            ));
        }
    }
    let (first, second) = (values.get("security.secret_key"), values.get("security.secret_key_previous"));
    if first.datum.is_empty() && !second.datum.is_empty() && !first.is_refused {
        let place = second.origin.clone();
        let because = "needed because security.secret_key_previous is set";
        faults.push(Fault::Missing { key: first.name.clone(), because, place });
    }
}

fn host_of(values: &Values) -> IpAddr {
    datum::address(values.text("server.host")).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// Whether tokens were made is looked at, not which: that is the start's affair.
fn check_host(values: &Values, inputs: &Inputs<'_>, faults: &mut Vec<Fault>) {
    let host = values.get("server.host");
    let credentials =
        ["security.token", "security.api_key", "security.secret_key"].map(|name| values.get(name));
    let is_given = credentials.iter().any(|value| !value.datum.is_empty() || value.is_refused);
    let tokens = Path::new(values.text("ledger.path")).with_file_name(TOKENS_FILE);
    let is_open = !host_of(values).to_canonical().is_loopback();
    if is_open && !is_given && (inputs.read)(&tokens).is_err() {
        let text = values.text("server.host").to_owned();
        faults.push(Fault::OpenWithoutToken { host: text, place: host.origin.clone() });
    }
}

fn check_tls(values: &Values, faults: &mut Vec<Fault>) {
    let (cert, key) = (values.get("server.tls_cert"), values.get("server.tls_key"));
    for (given, missing, because) in [
        (cert, key, "needed because server.tls_cert is set"),
        (key, cert, "needed because server.tls_key is set"),
    ] {
        if !given.datum.is_empty() && missing.datum.is_empty() && !missing.is_refused {
            let place = given.origin.clone();
            faults.push(Fault::Missing { key: missing.name.clone(), because, place });
        }
    }
}

fn check_aiwm(values: &Values, faults: &mut Vec<Fault>) {
    if !values.is_on("aiwm.enabled") {
        return;
    }
    for name in ["aiwm.base_url", "aiwm.agent_id", "aiwm.agent_secret"] {
        let value = values.get(name);
        if value.datum.is_empty() && !value.is_refused {
            let place = values.get("aiwm.enabled").origin.clone();
            faults.push(Fault::Missing {
                key: name.to_owned(),
                because: "needed because aiwm.enabled is true",
                place,
            });
        }
    }
    let id = values.get("aiwm.agent_id");
    let is_id = |id: &str| id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if !id.datum.is_empty() && !is_id(values.text("aiwm.agent_id")) {
        faults.push(wrong(id, "must be 24 hex digits"));
    }
}

fn build(
    values: Values,
    hooks: Vec<HookSetup>,
    brain: BrainSetup,
    notes: Vec<String>,
    inputs: &Inputs<'_>,
) -> Config {
    let webhook_secrets = match &values.get("security.webhook_secrets").datum {
        Datum::Secrets(secrets) => secrets.clone(),
        _ => Vec::new(),
    };
    Config {
        server: Server { host: host_of(&values), port: port_of(&values), tls: tls_files(&values) },
        ledger: Ledger {
            path: values.text("ledger.path").into(),
            size_max_mib: values.number("ledger.size_max_mib"),
            events_max: values.number("ledger.events_max"),
        },
        security: Security {
            token: values.secret("security.token"),
            api_key: values.secret("security.api_key"),
            webhook_secrets,
            secret_key: values.secret("security.secret_key"),
            secret_key_previous: values.secret("security.secret_key_previous"),
            api_key_role: values.text("security.api_key_role").to_owned(),
            loopback_role: values.text("security.loopback_role").to_owned(),
            rate_limit_requests: values.small("security.rate_limit_requests"),
            rate_limit_window_s: values.small("security.rate_limit_window"),
            rate_limit_loopback: values.is_on("security.rate_limit_loopback"),
            authorities: Some(values.text("security.authorities"))
                .filter(|name| !name.is_empty())
                .map(PathBuf::from),
        },
        websocket: Websocket {
            max_connections: usize::try_from(values.number("websocket.max_connections"))
                .unwrap_or(usize::MAX),
        },
        log_level: values.text("log.level").parse().unwrap_or(log::LevelFilter::Info),
        setup: Setup {
            identity: identity(&values),
            alexos: alexos(&values, inputs),
            aiwm: aiwm(&values),
            hooks,
            brain,
            events_max: values.number("ledger.events_max"),
            built_at: inputs.built_at,
        },
        values: values.0,
        notes,
    }
}

fn tls_files(values: &Values) -> Option<TlsFiles> {
    let (cert, key) = (values.path("server.tls_cert")?, values.path("server.tls_key")?);
    Some(TlsFiles { cert, key })
}

fn port_of(values: &Values) -> u16 {
    u16::try_from(values.number("server.port")).unwrap_or(0)
}

fn identity(values: &Values) -> Identity {
    let text = |name| values.text(name).to_owned();
    Identity {
        name: text("chainbot.name"),
        version: text("chainbot.version"),
        description: text("chainbot.description"),
        role: text("chainbot.role"),
        capabilities: values.list("chainbot.capabilities"),
        ui_features: values.list("chainbot.ui_features"),
        endpoints: values.list("chainbot.endpoints"),
        health_endpoint: text("chainbot.health_endpoint"),
        docs_endpoint: text("chainbot.docs_endpoint"),
        port: port_of(values),
    }
}

fn alexos(values: &Values, inputs: &Inputs<'_>) -> Option<AlexosSetup> {
    let registry_url = values.base_url("alex_os.module_registry_url");
    if registry_url.is_empty() {
        return None;
    }
    let webhook_url = values.base_url("alex_os.webhook_url");
    Some(AlexosSetup {
        report_to_webhook_url: is_another_machines(&webhook_url, port_of(values), inputs),
        registry_url,
        event_bus_url: values.text("alex_os.event_bus_url").to_owned(),
        webhook_url,
        host_header: values.text("alex_os.host_header").to_owned(),
        health_interval_ms: values.milliseconds("alex_os.health_check_interval"),
        retry_interval_ms: values.milliseconds("alex_os.registration_retry_interval"),
        attempts_max: u32::try_from(values.number("alex_os.max_registration_attempts")).unwrap_or(u32::MAX),
        request_timeout_ms: values.milliseconds("alex_os.request_timeout"),
    })
}

fn aiwm(values: &Values) -> Option<AiwmSetup> {
    values.is_on("aiwm.enabled").then(|| AiwmSetup {
        base_url: values.base_url("aiwm.base_url"),
        agent_id: values.text("aiwm.agent_id").to_ascii_lowercase(),
        agent_secret: values.secret("aiwm.agent_secret").unwrap_or_default(),
        heartbeat_interval_ms: values.milliseconds("aiwm.heartbeat_interval"),
        reconnect_interval_ms: values.milliseconds("aiwm.reconnect_interval"),
        retry_interval_ms: values.milliseconds("aiwm.retry_interval"),
        request_timeout_ms: values.milliseconds("aiwm.request_timeout"),
        prefers_online: values.text("aiwm.status") == "online",
    })
}

/// Whether health reports may be posted to `alex_os.webhook_url`. The documents' example names the board itself there:
/// posting to it would be a report to ourselves. It is ours if it has our port and our address, loopback, any
/// address, `localhost` or our host name; the documents' placeholder is nobody's.
fn is_another_machines(webhook_url: &str, own_port: u16, inputs: &Inputs<'_>) -> bool {
    let Ok(parts) = url::parse(webhook_url, &["http", "https"]) else { return false };
    let host = parts.host.trim_end_matches('.').to_ascii_lowercase();
    if host == PLACEHOLDER_HOST {
        return false;
    }
    let is_own_host = match parts.address() {
        Some(address) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified() || inputs.own_addresses.contains(&address)
        }
        None => host == "localhost" || is_own_name(&host, inputs.hostname),
    };
    !(is_own_host && parts.port == own_port)
}

/// `board`, `board.local` and `board.example.org` are all names of a board called `board`.
fn is_own_name(host: &str, hostname: &str) -> bool {
    let hostname = hostname.trim_end_matches('.').to_ascii_lowercase();
    let short = hostname.split('.').next().unwrap_or_default();
    !short.is_empty() && (host == hostname || host == short || host.strip_suffix(".local") == Some(short))
}
