//! The one table of every key. Parsing, checking, the environment's names, `config docs` and `config show` are made from it.
//!
//! Names are those of the documents' YAML files; intervals are whole seconds, as there.

use crate::agent::limits::{HOOKS_MAX, MCP_SERVERS_MAX, PROVIDERS_MAX};

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line of text.
    Text,
    /// An absolute URL with one of these schemes, without user, password, query and fragment. May be empty.
    Url(&'static [&'static str]),
    /// An absolute URL that may carry secrets in its user part or query; it is shown without them.
    SecretUrl(&'static [&'static str]),
    /// A whole number from `min` to `max`, both included.
    Int {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
        /// What it counts, empty for a bare number.
        unit: &'static str,
    },
    /// A decimal number from `min` to `max`, both included.
    Number {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// `true` or `false`.
    Bool,
    /// A list of texts, in the environment separated by commas.
    List,
    /// The name of a file.
    Path,
    /// The address to listen at: an IP address or `localhost`.
    Address,
    /// A text that is never shown.
    Secret,
    /// One or more texts that are never shown, the newest first.
    Secrets,
    /// One of `words`, in any case; `aliases` are other spellings of them.
    Choice {
        /// The words as they are kept.
        words: &'static [&'static str],
        /// Another spelling, and the word that it means.
        aliases: &'static [(&'static str, &'static str)],
    },
}

impl Kind {
    /// Whether the value is masked wherever it is shown, and may come from a file of its own.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret | Self::Secrets | Self::SecretUrl(_))
    }

    /// The unit of a number, empty if it has none.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Int { unit, .. } => unit,
            _ => "",
        }
    }
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The section, as in `[server]`.
    pub section: &'static str,
    /// The name within the section.
    pub name: &'static str,
    /// What the value must be.
    pub kind: Kind,
    /// The value when nobody gives one, written as in the environment.
    pub default: &'static str,
    /// The names by which the documents set it in the environment; the first that is set wins.
    pub variables: &'static [&'static str],
    /// One sentence for people, without a full stop.
    pub doc: &'static str,
}

impl Key {
    /// `section.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `CHAINBOT_<SECTION>__<KEY>`.
    #[must_use]
    pub fn own_variable(&self) -> String {
        format!("CHAINBOT_{}__{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Whether the controller's settings may set it: what it runs, never who may reach the board.
    #[must_use]
    pub fn is_controllers(&self) -> bool {
        matches!(self.section, "claude" | "discord" | "telegram")
    }
}

const WEB: &[&str] = &["http", "https"];
const SOCKET: &[&str] = &["ws", "wss", "http", "https"];

const fn seconds(min: i64, max: i64) -> Kind {
    Kind::Int { min, max, unit: "s" }
}

const fn count(min: i64, max: i64, unit: &'static str) -> Kind {
    Kind::Int { min, max, unit }
}

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    variables: &'static [&'static str],
    doc: &'static str,
) -> Key {
    Key { section, name, kind, default, variables, doc }
}

/// The sections in the order in which they are shown, each with a sentence for people.
pub const SECTIONS: &[(&str, &str)] = &[
    ("server", "Where the HTTP API listens"),
    ("alex_os", "ALEX OS: registration, health reports, events"),
    ("chainbot", "What a registration says of this agent"),
    ("aiwm", "AIWM, the controller: identity, heartbeat, instruction"),
    ("ledger", "The file that keeps events, cursors and ids across restarts"),
    ("security", "Who may call, and what is trusted"),
    ("websocket", "WebSockets at the open port"),
    ("log", "Lines on standard error"),
    ("brain", "Conversations, and what one key may ask of the models upstream"),
    ("tools", "What the model may do on this machine"),
    ("openai", "A model at OpenAI, or at a server that speaks like it"),
    ("maclink", "A model at a MacLink"),
    ("claude", "What the controller's settings say of Claude; they win over the values here"),
    ("discord", "A Discord bot; the controller's settings win over the values here"),
    ("telegram", "A Telegram bot; the controller's settings win over the values here"),
];

/// Every key outside of the lists, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key(
        "server",
        "host",
        Kind::Address,
        "127.0.0.1",
        &["HOST"],
        "IP address to listen at; one beyond loopback needs a credential that somebody has: `security.token`, or one of `chainbot token create`",
    ),
    key(
        "server",
        "port",
        count(0, 65_535, ""),
        "9000",
        &["PORT"],
        "TCP port to listen at; 0 takes any free one",
    ),
    key(
        "server",
        "tls_cert",
        Kind::Path,
        "",
        &[],
        "File with the certificate chain (PEM) of this port, the server's own first; empty: HTTP without TLS",
    ),
    key(
        "server",
        "tls_key",
        Kind::Path,
        "",
        &[],
        "File with its private key (PEM); needed beside `server.tls_cert`",
    ),
    key(
        "alex_os",
        "module_registry_url",
        Kind::Url(WEB),
        "",
        &["ALEX_OS_REGISTRY_URL"],
        "Base URL of ALEX OS; empty: no ALEX OS, the agent stands alone",
    ),
    key(
        "alex_os",
        "event_bus_url",
        Kind::Url(SOCKET),
        "",
        &["ALEX_OS_EVENT_BUS_URL"],
        "URL of ALEX OS's event socket; empty: none",
    ),
    key(
        "alex_os",
        "webhook_url",
        Kind::Url(WEB),
        "",
        &["ALEX_OS_WEBHOOK_URL"],
        "Told to ALEX OS at registration; health reports go there too if it is another machine",
    ),
    key(
        "alex_os",
        "health_check_interval",
        seconds(1, 86_400),
        "60",
        &["ALEX_OS_HEALTH_INTERVAL"],
        "Time between two health reports",
    ),
    key(
        "alex_os",
        "registration_retry_interval",
        seconds(1, 3_600),
        "30",
        &["ALEX_OS_REGISTRATION_RETRY"],
        "Wait after the first failed registration; it doubles up to 5 minutes",
    ),
    key(
        "alex_os",
        "max_registration_attempts",
        count(1, 1_000, "attempts"),
        "10",
        &["ALEX_OS_MAX_REGISTRATION_ATTEMPTS"],
        "Failures after which the health report asks for attention; the agent goes on trying every 5 minutes",
    ),
    key(
        "alex_os",
        "host_header",
        Kind::Text,
        "",
        &[],
        "Sent as `Host` instead of the URL's host, for a proxy that chooses by name; empty: the URL's",
    ),
    key("alex_os", "request_timeout", seconds(1, 120), "10", &[], "Time for one call to ALEX OS"),
    key("chainbot", "name", Kind::Text, "chainbot", &["AGENT_NAME"], "Name of this agent"),
    key("chainbot", "version", Kind::Text, "1.0.0", &[], "Version told to ALEX OS"),
    key(
        "chainbot",
        "description",
        Kind::Text,
        "Advanced workflow orchestration engine with AI agent management",
        &[],
        "One sentence about this agent",
    ),
    key("chainbot", "role", Kind::Text, "workflow_orchestrator", &[], "Role told to ALEX OS"),
    key(
        "chainbot",
        "capabilities",
        Kind::List,
        "workflow_engine,agent_manager,gui,websocket,chatgpt_import,gpt_integration,real_time_monitoring,\
         audit_logging,multi_agent_coordination",
        &[],
        "Capabilities told to ALEX OS",
    ),
    key(
        "chainbot",
        "ui_features",
        Kind::List,
        "Agent Map Window,Code Agent Window,Chat Window,Watchtower Window,Workflow Builder Window,\
         Data Importer Window",
        &[],
        "Windows told to ALEX OS",
    ),
    key(
        "chainbot",
        "endpoints",
        Kind::List,
        "/api/agents/*,/api/workflows/*,/api/gpt/*,/api/chatgpt/*,/api/audit/*,/api/websockets/*,\
         /api/webhooks/chainbot/*",
        &[],
        "Paths told to ALEX OS",
    ),
    key(
        "chainbot",
        "health_endpoint",
        Kind::Text,
        "/health",
        &[],
        "Path of the health answer told to ALEX OS",
    ),
    key("chainbot", "docs_endpoint", Kind::Text, "/docs", &[], "Path of the API page told to ALEX OS"),
    key("aiwm", "enabled", Kind::Bool, "false", &["AIWM_ENABLED"], "Whether the agent connects to AIWM"),
    key("aiwm", "base_url", Kind::Url(WEB), "", &["AIWM_BASE_URL"], "Base URL of AIWM; may carry a path"),
    key("aiwm", "agent_id", Kind::Text, "", &["AIWM_AGENT_ID"], "Id of this agent at AIWM: 24 hex digits"),
    key("aiwm", "agent_secret", Kind::Secret, "", &["AIWM_AGENT_SECRET"], "Secret of this agent at AIWM"),
    key("aiwm", "heartbeat_interval", seconds(1, 3_600), "60", &[], "Time between two heartbeats"),
    key(
        "aiwm",
        "reconnect_interval",
        seconds(10, 86_400),
        "82800",
        &[],
        "Time after which the token is renewed; AIWM's live 24 hours",
    ),
    key(
        "aiwm",
        "retry_interval",
        seconds(1, 86_400),
        "300",
        &[],
        "Time between two tries to connect, after the first three",
    ),
    key("aiwm", "request_timeout", seconds(1, 120), "10", &[], "Time for one call to AIWM"),
    key(
        "aiwm",
        "status",
        Kind::Choice { words: &["idle", "online"], aliases: &[] },
        "idle",
        &[],
        "Word for a free agent in the heartbeat; `online` is tried first only if chosen here",
    ),
    key(
        "ledger",
        "path",
        Kind::Path,
        "",
        &[],
        "The ledger's file; empty: `chainbot.redb` in the service's state folder, or in `./state`",
    ),
    key(
        "ledger",
        "size_max_mib",
        count(1, 1_024, "MiB"),
        "16",
        &[],
        "Size at which the oldest events that everybody has are dropped",
    ),
    key(
        "ledger",
        "events_max",
        count(100, 1_000_000, "events"),
        "20000",
        &[],
        "Number of events kept, whatever their size",
    ),
    key(
        "security",
        "token",
        Kind::Secret,
        "",
        &[],
        "Bearer token that allows everything, 16 characters or more; empty: the one that the first start puts into the file `token` beside the ledger",
    ),
    key(
        "security",
        "api_key",
        Kind::Secret,
        "",
        &["CHAINBOT_API_KEY"],
        "Key with which ALEX OS polls this agent, as set there",
    ),
    key(
        "security",
        "webhook_secrets",
        Kind::Secrets,
        "",
        &[],
        "Secrets (`whsec_...`) of which one must have signed an incoming webhook, the newest first; empty: not asked",
    ),
    key(
        "security",
        "api_key_role",
        Kind::Choice { words: &["viewer", "operator", "admin"], aliases: &[] },
        "viewer",
        &[],
        "What that key allows; ALEX OS shows it to anybody who asks, and looking is all that ALEX OS does with it",
    ),
    key(
        "security",
        "loopback_role",
        Kind::Choice { words: &["admin", "operator", "viewer", "none"], aliases: &[] },
        "admin",
        &[],
        "What callers on this machine may do without a credential; a request that a proxy of this machine passed on never has it",
    ),
    key(
        "security",
        "secret_key",
        Kind::Secret,
        "",
        &["SECRET_KEY"],
        "Key that signs access tokens, 32 bytes or longer, for agents that share one; empty: the agent makes its own",
    ),
    key(
        "security",
        "secret_key_previous",
        Kind::Secret,
        "",
        &[],
        "The key before that: it signs nothing, and what it signed is still taken",
    ),
    key(
        "security",
        "rate_limit_requests",
        count(0, 1_000_000, "requests"),
        "600",
        &["RATE_LIMIT_REQUESTS"],
        "Requests that one address may send within `rate_limit_window`; 0: as many as it likes",
    ),
    key(
        "security",
        "rate_limit_window",
        seconds(1, 3_600),
        "60",
        &["RATE_LIMIT_WINDOW"],
        "Window of `rate_limit_requests`, from the first request of an address on",
    ),
    key(
        "security",
        "rate_limit_loopback",
        Kind::Bool,
        "false",
        &[],
        "Whether callers on this machine are held to that, and to the limit of wrong credentials",
    ),
    key(
        "security",
        "authorities",
        Kind::Path,
        "",
        &[],
        "PEM file of authorities that are trusted beside the public ones, for peers of the LAN over TLS",
    ),
    key(
        "websocket",
        "max_connections",
        count(1, 1_000, "sockets"),
        "100",
        &["WS_MAX_CONNECTIONS"],
        "WebSockets open at once; one address other than this machine's may have a quarter of them",
    ),
    key(
        "log",
        "level",
        Kind::Choice {
            words: &["off", "error", "warn", "info", "debug", "trace"],
            aliases: &[("warning", "warn"), ("critical", "error"), ("fatal", "error")],
        },
        "info",
        &["LOG_LEVEL"],
        "Least grave line that is written",
    ),
    key(
        "brain",
        "model",
        Kind::Text,
        "",
        &[],
        "Model asked for when a caller names none; empty: each provider's own",
    ),
    key(
        "brain",
        "instruction_file",
        Kind::Path,
        "",
        &[],
        "File with the instruction (UTF-8, up to 16 KiB) that goes before a conversation if AIWM gives none",
    ),
    key(
        "brain",
        "history_messages",
        count(2, 200, "messages"),
        "20",
        &[],
        "Most messages of a conversation that are sent along",
    ),
    key(
        "brain",
        "history_tokens",
        count(256, 1_000_000, "tokens"),
        "4000",
        &[],
        "Most tokens of a conversation that are sent along, estimated as four bytes each",
    ),
    key(
        "brain",
        "turn_tokens",
        count(256, 100_000_000, "tokens"),
        "50000",
        &[],
        "Most tokens, in and out, of one turn of a conversation with all its calls of tools",
    ),
    key(
        "brain",
        "requests_per_hour",
        count(0, 1_000_000, "requests"),
        "0",
        &[],
        "Questions to models within an hour, for each key; 0: no limit",
    ),
    key(
        "brain",
        "requests_per_day",
        count(0, 10_000_000, "requests"),
        "0",
        &[],
        "Questions to models within a day, for each key; 0: no limit",
    ),
    key(
        "brain",
        "tokens_per_hour",
        count(0, 1_000_000_000, "tokens"),
        "0",
        &[],
        "Tokens, in and out, within an hour, for each key; 0: no limit",
    ),
    key(
        "brain",
        "tokens_per_day",
        count(0, 2_000_000_000, "tokens"),
        "0",
        &[],
        "Tokens, in and out, within a day, for each key; 0: no limit",
    ),
    key(
        "tools",
        "allowed",
        Kind::List,
        "system-info,events",
        &[],
        "Tools that the model is told of, if AIWM has no list of its own; `mcp__*` are those of every server",
    ),
    key(
        "tools",
        "mode",
        Kind::Choice { words: &["ask", "allow", "deny"], aliases: &[] },
        "ask",
        &[],
        "What happens when the model calls a tool that none of the three lists names",
    ),
    key(
        "tools",
        "deny",
        Kind::List,
        "",
        &[],
        "Calls that are refused, as `tool` or `tool:pattern` with `*` for any characters; looked at first",
    ),
    key("tools", "ask", Kind::List, "", &[], "Calls about which a person decides; looked at second"),
    key(
        "tools",
        "allow",
        Kind::List,
        "system-info,events",
        &[],
        "Calls that need nobody's leave; looked at third",
    ),
    key(
        "tools",
        "root",
        Kind::Path,
        "",
        &[],
        "Folder that no path of a tool leaves; empty: `workspace` in the service's state folder, or in `./state`",
    ),
    key(
        "tools",
        "approval_time",
        seconds(10, 86_400),
        "300",
        &[],
        "Time that a person has to answer; then it is a no",
    ),
    key("tools", "run_time", seconds(1, 600), "30", &[], "Time for one call of a tool"),
    key(
        "tools",
        "output_kib",
        count(1, 24, "KiB"),
        "16",
        &[],
        "Most output of a call that the model is given; the rest is cut, and said so",
    ),
    key("tools", "memory_mib", count(8, 4_096, "MiB"), "128", &[], "Most memory of a command"),
    key(
        "tools",
        "shell",
        Kind::Bool,
        "false",
        &[],
        "Whether `run-command` may be given a line for `/bin/sh -c`, instead of a list of arguments",
    ),
    key(
        "tools",
        "private_addresses",
        Kind::Bool,
        "false",
        &[],
        "Whether `http-get` may reach this machine and private networks",
    ),
    key("openai", "api_key", Kind::Secret, "", &["OPENAI_API_KEY"], "API key; empty: OpenAI is not used"),
    key(
        "openai",
        "base_url",
        Kind::Url(WEB),
        "https://api.openai.com/v1",
        &["OPENAI_BASE_URL"],
        "Base URL of the API",
    ),
    key("openai", "model", Kind::Text, "gpt-4o", &["OPENAI_MODEL"], "Model asked for"),
    key(
        "openai",
        "max_tokens",
        count(1, 1_000_000, "tokens"),
        "2048",
        &["OPENAI_MAX_TOKENS"],
        "Longest answer",
    ),
    key(
        "openai",
        "temperature",
        Kind::Number { min: 0, max: 2 },
        "0.7",
        &["OPENAI_TEMPERATURE"],
        "How freely it answers",
    ),
    key("openai", "timeout", seconds(1, 600), "30", &["OPENAI_TIMEOUT"], "Time for one answer"),
    key("maclink", "enabled", Kind::Bool, "false", &["MACLINK_ENABLED"], "Whether a MacLink is used"),
    key(
        "maclink",
        "base_url",
        Kind::Url(WEB),
        "http://localhost:8080",
        &["MACLINK_BASE_URL", "MACLINK_URL"],
        "Base URL of the MacLink",
    ),
    key("maclink", "api_key", Kind::Secret, "", &["MACLINK_API_KEY"], "API key; empty: none is sent"),
    key("maclink", "timeout", seconds(1, 600), "30", &["MACLINK_TIMEOUT"], "Time for one answer"),
    key("claude", "model", Kind::Text, "claude-3-5-haiku-latest", &["CLAUDE_MODEL"], "Model asked for"),
    key(
        "claude",
        "max_turns",
        count(1, 10_000, "turns"),
        "100",
        &["CLAUDE_MAX_TURNS"],
        "Longest conversation",
    ),
    key(
        "claude",
        "permission_mode",
        Kind::Text,
        "default",
        &["CLAUDE_PERMISSION_MODE"],
        "What tools may do unasked",
    ),
    key(
        "claude",
        "resume",
        Kind::Bool,
        "true",
        &["CLAUDE_RESUME"],
        "Whether a conversation is taken up again",
    ),
    key("claude", "oauth_token", Kind::Secret, "", &["CLAUDE_CODE_OAUTH_TOKEN"], "OAuth token"),
    key("discord", "token", Kind::Secret, "", &["DISCORD_TOKEN"], "Token of the bot; empty: no Discord"),
    key("discord", "channel_ids", Kind::List, "", &["DISCORD_CHANNEL_ID"], "Channels listened to"),
    key("discord", "bot_id", Kind::Text, "", &["DISCORD_BOT_ID"], "Id of the bot"),
    key(
        "telegram",
        "bot_token",
        Kind::Secret,
        "",
        &["TELEGRAM_BOT_TOKEN"],
        "Token of the bot; empty: no Telegram",
    ),
    key("telegram", "group_ids", Kind::List, "", &["TELEGRAM_GROUP_ID"], "Groups listened to"),
    key("telegram", "bot_username", Kind::Text, "", &["TELEGRAM_BOT_USERNAME"], "Name of the bot"),
];

/// A section of which there may be several.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// Its name, as in `[[webhooks]]`; `brain.provider` stands in the section `brain`.
    pub name: &'static str,
    /// The keys of one entry.
    pub keys: &'static [Key],
    /// Most entries. Beyond: a fault.
    pub max: usize,
    /// What it must be, for a fault.
    pub wants: &'static str,
    /// Sentences for people.
    pub doc: &'static str,
}

impl List {
    /// The variable of a key of the `place`th entry, from 1.
    #[must_use]
    pub fn variable(&self, place: usize, key: &Key) -> String {
        format!("{}{place}__{}", self.prefix(), key.name.to_ascii_uppercase())
    }

    /// What the variables of its entries begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("CHAINBOT_{}__", self.name.to_ascii_uppercase().replace('.', "__"))
    }
}

/// Every section of which there may be several.
pub const LISTS: &[List] = &[WEBHOOKS, PROVIDERS, MCP];

/// `[[webhooks]]`.
pub const WEBHOOKS: List = List {
    name: "webhooks",
    wants: "sections, each headed [[webhooks]]",
    keys: HOOK_KEYS,
    max: HOOKS_MAX,
    doc: "Users' own endpoints that events are sent to, at most 16, each with a URL of its own",
};

/// `[[brain.provider]]`.
pub const PROVIDERS: List = List {
    name: "brain.provider",
    wants: "sections, each headed [[brain.provider]]",
    keys: PROVIDER_KEYS,
    max: PROVIDERS_MAX,
    doc: "Models upstream in order of preference, at most 8, each with a name of its own; after them come those that \
          `[openai]`, `[claude]` and `[maclink]` configure",
};

/// `[[brain.mcp]]`.
pub const MCP: List = List {
    name: "brain.mcp",
    wants: "sections, each headed [[brain.mcp]]",
    keys: MCP_KEYS,
    max: MCP_SERVERS_MAX,
    doc: "Servers of further tools that speak MCP over streamable HTTP, at most 4; those of AIWM's settings come on top",
};

/// The keys of one `[[brain.provider]]` entry.
pub const PROVIDER_KEYS: &[Key] = &[
    key("brain.provider", "name", Kind::Text, "", &[], "Its name in answers, events and `provider`; needed"),
    key(
        "brain.provider",
        "kind",
        Kind::Choice { words: &["openai", "ollama", "maclink", "alexos"], aliases: &[("alex_os", "alexos")] },
        "openai",
        &[],
        "What it speaks; `openai` is any server with `/chat/completions`",
    ),
    key(
        "brain.provider",
        "base_url",
        Kind::Url(WEB),
        "",
        &[],
        "Base URL; empty: OpenAI's own, Ollama's and MacLink's at this machine, `/v1` at ALEX OS",
    ),
    key("brain.provider", "api_key", Kind::Secret, "", &[], "Sent as a bearer token; empty: none is sent"),
    key(
        "brain.provider",
        "model",
        Kind::Text,
        "",
        &[],
        "Model asked for when the one wanted is not among `models`",
    ),
    key(
        "brain.provider",
        "models",
        Kind::List,
        "",
        &[],
        "Models that it has, and `wanted=there` for those that have another name there; empty: any, by the name wanted",
    ),
    key(
        "brain.provider",
        "timeout",
        seconds(1, 600),
        "30",
        &[],
        "Longest silence: before the first piece and between two",
    ),
];

/// The keys of one `[[brain.mcp]]` entry.
pub const MCP_KEYS: &[Key] = &[
    key(
        "brain.mcp",
        "name",
        Kind::Text,
        "",
        &[],
        "Its name: its tools are called `mcp__<name>__<tool>`; needed",
    ),
    key("brain.mcp", "url", Kind::Url(WEB), "", &[], "Where it listens; needed"),
    key("brain.mcp", "token", Kind::Secret, "", &[], "Sent as a bearer token; empty: none is sent"),
];

/// The keys of one `[[webhooks]]` entry.
pub const HOOK_KEYS: &[Key] = &[
    key("webhooks", "url", Kind::SecretUrl(WEB), "", &[], "Where events are POSTed; needed"),
    key(
        "webhooks",
        "secret",
        Kind::Secrets,
        "",
        &[],
        "Secret (`whsec_...`) that signs, or a list of up to 4, the newest first; empty: not signed",
    ),
    key("webhooks", "types", Kind::List, "", &[], "Event types sent, or prefixes ending in `*`; empty: all"),
    key("webhooks", "timeout", seconds(1, 60), "15", &[], "Time for one call"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_section_is_described() {
        let mut names: Vec<String> =
            KEYS.iter().chain(LISTS.iter().flat_map(|list| list.keys)).map(Key::full_name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        let mut variables: Vec<String> = KEYS.iter().map(Key::own_variable).collect();
        variables.extend(KEYS.iter().flat_map(|key| key.variables.iter().map(|name| (*name).to_owned())));
        let all = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), all);
        for key in KEYS {
            assert!(SECTIONS.iter().any(|(name, _)| *name == key.section), "{}", key.full_name());
            assert!(!key.doc.is_empty() && !key.doc.ends_with('.'), "{}", key.full_name());
        }
    }

    #[test]
    fn a_key_never_ends_like_the_file_form_of_another() {
        let known = KEYS.iter().chain(LISTS.iter().flat_map(|list| list.keys));
        let secrets: Vec<String> = known
            .clone()
            .filter(|key| key.kind.is_secret())
            .map(|key| format!("{}_file", key.full_name()))
            .collect();
        assert!(known.into_iter().all(|key| !secrets.contains(&key.full_name())));
    }
}
