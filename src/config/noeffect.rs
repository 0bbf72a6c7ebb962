//! Names of the documents that have no meaning here: taken, noted, without an effect.

/// A name of the documents that has no meaning here: `name*` stands for all that begin so.
pub struct NoEffect {
    /// The name, or its beginning and `*`.
    pub name: &'static str,
    /// Why, for people.
    pub why: &'static str,
}

const fn no_effect(name: &'static str, why: &'static str) -> NoEffect {
    NoEffect { name, why }
}

/// Variables that the documents name and that are taken without an effect.
pub const NO_EFFECT_VARIABLES: &[NoEffect] = &[
    no_effect("CHAINBOT_API_URL", "it tells ALEX OS where this agent is; set it there"),
    no_effect("ALEX_OS_BASE_URL", "it is the dashboard's; this agent takes ALEX_OS_REGISTRY_URL"),
    no_effect("WATCHTOWER_*", "it is a setting of ALEX OS"),
    no_effect("DEBUG", "use LOG_LEVEL=debug for more lines"),
    no_effect("DATABASE_URL", "events are kept in the agent's own file, see ledger.path"),
    no_effect("LOG_FILE", "lines go to standard error, where the service manager takes them"),
    no_effect("LOG_MAX_SIZE", "lines go to standard error, where the service manager takes them"),
    no_effect("LOG_BACKUP_COUNT", "lines go to standard error, where the service manager takes them"),
    no_effect("WS_*", "the limits of sockets are fixed"),
    no_effect("CORS_ORIGINS", "other origins are not admitted"),
    no_effect("RATE_LIMIT_*", "only RATE_LIMIT_REQUESTS and RATE_LIMIT_WINDOW are read"),
    no_effect("AUDIT_*", "every event is kept in the ledger"),
    no_effect("GUI_*", "the windows are part of the program"),
    no_effect("MAX_CONCURRENT_WORKFLOWS", "the limit is fixed"),
    no_effect("MAX_CONCURRENT_AGENTS", "the limit is fixed"),
    no_effect("WORKFLOW_TIMEOUT", "a workflow states its own"),
    no_effect("AUTO_RETRY_FAILED", "a workflow's step states it"),
    no_effect("MAX_RETRY_ATTEMPTS", "a workflow's step states it"),
    no_effect("AGENT_FRAMEWORK", "AIWM states it at connect"),
    no_effect("AGENT_*", "only AGENT_NAME is read"),
];

/// Keys of the documents' YAML that are taken without an effect, as `section.name`.
pub const NO_EFFECT_KEYS: &[NoEffect] = &[no_effect("server.debug", "use log.level for more lines")];
