//! What the brain is told: `[brain]`, its providers, budgets, tools and servers of tools.

use super::permission::Mode;
use crate::agent::setup::Secret;

/// The `[brain]` section.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BrainSetup {
    /// In order of preference, at most `limits::PROVIDERS_MAX`. Empty: there is no model.
    pub providers: Vec<ProviderSetup>,
    /// What one key may ask.
    pub budget: BudgetSetup,
    /// The model asked for when nobody names one; empty: each provider's own.
    pub model: String,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// How freely it answers, in thousandths.
    pub temperature_milli: u32,
    /// Most messages of a conversation that are sent along.
    pub history_messages: u32,
    /// Most estimated tokens of a conversation that are sent along.
    pub history_tokens: u32,
    /// The instruction if the controller gives none: a local file's text, at most `limits::INSTRUCTION_BYTES_MAX`; may be empty.
    pub instruction: String,
    /// Most questions to a model within one turn.
    pub turn_questions_max: u32,
    /// Most tokens, in and out, within one turn.
    pub turn_tokens_max: u32,
    /// What the model may do here.
    pub tools: ToolsSetup,
    /// Servers of further tools, at most `limits::MCP_SERVERS_MAX`; those of the controller come on top.
    pub mcp: Vec<McpSetup>,
}

/// One `[[brain.provider]]`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProviderSetup {
    /// Its name, unique.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Without a trailing slash; may carry a path.
    pub base_url: String,
    /// Sent as a bearer token; empty: none.
    pub api_key: Secret,
    /// Asked for when the wanted model is not one of `models`.
    pub model: String,
    /// Wanted models and what they are called there. A model under its own name maps to itself.
    pub models: Vec<ModelName>,
    /// Time until the first piece of an answer and between pieces, in milliseconds.
    pub timeout_ms: u64,
}

/// A model's name here and there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ModelName {
    /// As callers ask for it.
    pub wanted: String,
    /// As the provider knows it.
    pub there: String,
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ProviderKind {
    /// OpenAI's chat completions, at OpenAI or at a server that speaks like it.
    #[default]
    OpenAi,
    /// A MacLink.
    MacLink,
    /// Ollama's own API.
    Ollama,
    /// OpenAI's chat completions at ALEX OS.
    AlexOs,
}

impl ProviderKind {
    /// The word in the config and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::MacLink => "maclink",
            Self::Ollama => "ollama",
            Self::AlexOs => "alexos",
        }
    }
}

/// What one key may ask; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BudgetSetup {
    /// Questions within an hour.
    pub requests_per_hour: u32,
    /// Questions within a day.
    pub requests_per_day: u32,
    /// Tokens, in and out, within an hour.
    pub tokens_per_hour: u32,
    /// Tokens, in and out, within a day.
    pub tokens_per_day: u32,
}

/// What the model may do here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ToolsSetup {
    /// Names of the tools it is told of, if the controller has no list; `mcp__*` admits those of every server.
    pub allowed: Vec<String>,
    /// The folder that no path leaves, absolute.
    pub root: String,
    /// Looked through in order; the first that fits decides.
    pub rules: Vec<Rule>,
    /// What happens if no rule fits and `permission_mode` says nothing.
    pub mode: Permission,
    /// The documents' word about permission, if somebody set it; the controller's goes before it.
    pub permission_mode: Mode,
    /// How long a person has to answer, in milliseconds; then it is a no.
    pub approval_time_ms: u64,
    /// How long one call may take, in milliseconds.
    pub run_time_ms: u64,
    /// Most bytes of a call's output; the rest is cut, and said so.
    pub output_bytes_max: u32,
    /// Most memory of a command in KiB.
    pub memory_kib_max: u32,
    /// Whether commands go through `/bin/sh -c`.
    pub shell: bool,
    /// Whether `http-get` may reach private addresses.
    pub private_addresses: bool,
}

/// `mode`, for a tool and what it is asked to touch.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rule {
    /// What happens.
    pub mode: Permission,
    /// The tool's name, or a prefix ending in `*`.
    pub tool: String,
    /// Fits the call's subject (path, command line, URL); `*` stands for any characters. Empty: any subject.
    pub pattern: String,
}

/// What happens when the model calls a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Permission {
    /// A person decides.
    #[default]
    Ask,
    /// It runs.
    Allow,
    /// It does not.
    Deny,
}

impl Permission {
    /// The word in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A server of tools that speaks MCP over streamable HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct McpSetup {
    /// Its name: its tools are called `mcp__{name}__{tool}`.
    pub name: String,
    /// Where it listens.
    pub url: String,
    /// Sent with each request; may hold a secret.
    pub headers: Vec<(String, Secret)>,
}
