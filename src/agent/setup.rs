//! What the agent is told about itself and its peers. Made by `config/`, checked there; read by `agent/` and `wire/`.

use std::fmt;

use super::brain::setup::BrainSetup;
use super::event::EventFilter;

/// A value that never shows itself: `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything the agent is told.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Setup {
    /// Who we are.
    pub identity: Identity,
    /// ALEX OS, if one is configured (`alex_os.module_registry_url` is not empty).
    pub alexos: Option<AlexosSetup>,
    /// AIWM, if enabled.
    pub aiwm: Option<AiwmSetup>,
    /// Users' own endpoints, at most `limits::HOOKS_MAX`.
    pub hooks: Vec<HookSetup>,
    /// Models, conversations, tools.
    pub brain: BrainSetup,
    /// Which events the ledger keeps at most; the shell gives it to the ledger too.
    pub events_max: u64,
    /// Build time of the program: a floor for the calendar.
    pub built_at: super::time::Wall,
}

/// The `[chainbot]` section: what a registration says of us.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identity {
    /// `chainbot.name`.
    pub name: String,
    /// `chainbot.version`.
    pub version: String,
    /// `chainbot.description`.
    pub description: String,
    /// `chainbot.role`.
    pub role: String,
    /// `chainbot.capabilities`.
    pub capabilities: Vec<String>,
    /// `chainbot.ui_features`.
    pub ui_features: Vec<String>,
    /// `chainbot.endpoints`.
    pub endpoints: Vec<String>,
    /// `chainbot.health_endpoint`.
    pub health_endpoint: String,
    /// `chainbot.docs_endpoint`.
    pub docs_endpoint: String,
    /// `server.port`.
    pub port: u16,
}

/// The `[alex_os]` section.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AlexosSetup {
    /// `alex_os.module_registry_url`, without a trailing slash.
    pub registry_url: String,
    /// `alex_os.event_bus_url`, may be empty.
    pub event_bus_url: String,
    /// `alex_os.webhook_url`, without a trailing slash, may be empty.
    pub webhook_url: String,
    /// Whether `webhook_url` is another machine's: only then health reports are posted there.
    pub report_to_webhook_url: bool,
    /// `alex_os.host_header`: sent as `Host` instead of the URL's, if not empty.
    pub host_header: String,
    /// `alex_os.health_check_interval`, in milliseconds.
    pub health_interval_ms: u64,
    /// `alex_os.registration_retry_interval`, in milliseconds.
    pub retry_interval_ms: u64,
    /// `alex_os.max_registration_attempts`.
    pub attempts_max: u32,
    /// Time for one call, in milliseconds.
    pub request_timeout_ms: u64,
}

/// The `[aiwm]` section, when enabled.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AiwmSetup {
    /// `aiwm.base_url`, without a trailing slash; may carry a path.
    pub base_url: String,
    /// `aiwm.agent_id`: 24 hex digits (checked by `config/`).
    pub agent_id: String,
    /// `aiwm.agent_secret`.
    pub agent_secret: Secret,
    /// `aiwm.heartbeat_interval`, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// `aiwm.reconnect_interval`, in milliseconds (the documents' 23 h).
    pub reconnect_interval_ms: u64,
    /// `aiwm.retry_interval`, in milliseconds (the documents' 5 min, after the first three tries).
    pub retry_interval_ms: u64,
    /// `aiwm.request_timeout`, in milliseconds.
    pub request_timeout_ms: u64,
    /// `aiwm.status = "online"`: try the oldest generation's word first.
    pub prefers_online: bool,
}

/// One `[[webhooks]]` entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HookSetup {
    /// Stable name of its cursor: 16 hex digits of the SHA-256 of the URL.
    pub key: String,
    /// Where to POST. May hold secrets in its query, so it is shown without one.
    pub url: Secret,
    /// The URL without user, password and query, for people.
    pub shown_url: String,
    /// Signing secrets (`whsec_...`), the newest first. Empty: not signed.
    pub secrets: Vec<Secret>,
    /// Which events.
    pub filter: EventFilter,
    /// Time for one call, in milliseconds.
    pub request_timeout_ms: u64,
}
