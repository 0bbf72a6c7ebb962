//! The brain's part of the config: providers from their sections and from the documents' variables, tools, budgets.

use std::path::Path;

use super::build::Values;
use super::datum::Datum;
use super::fault::Fault;
use super::origin::Origin;
use super::sources::{Sources, Value};
use super::table::{List, MCP, PROVIDERS};
use crate::agent::brain::permission::Mode;
use crate::agent::brain::setup::{
    BrainSetup, BudgetSetup, McpSetup, ModelName, Permission, ProviderKind, ProviderSetup, Rule, ToolsSetup,
};
use crate::agent::limits::PROVIDERS_MAX;
use crate::agent::setup::Secret;
use crate::agent::time::SECOND_MS;

const NAME_RULE: &str = "must be 1 to 32 characters of a-z, A-Z, 0-9, - and _";
const MODEL_RULE: &str = "must be models, or wanted=there, without blanks";
const TOOL_RULE: &str = "must be tools of a-z, A-Z, 0-9, -, _ and a last *, with or without :pattern behind";
const ROOT_RULE: &str = "must not hold the ledger: name a folder of its own";
const OPENAI_URL: &str = "https://api.openai.com/v1";
const CLAUDE_URL: &str = "https://api.anthropic.com/v1";
const OLLAMA_URL: &str = "http://localhost:11434";
const MACLINK_URL: &str = "http://localhost:8080";

/// The sections of the brain's lists, read.
pub struct Lists {
    providers: Vec<ProviderSetup>,
    mcp: Vec<McpSetup>,
}

/// Reads `[[brain.provider]]` and `[[brain.mcp]]`; their values go to `values`.
pub fn read(sources: &Sources<'_>, values: &mut Values, faults: &mut Vec<Fault>) -> Lists {
    let registry_url = values.base_url("alex_os.module_registry_url");
    let providers = sources.items(&PROVIDERS, faults);
    check_names(&PROVIDERS, &providers, sources, faults);
    for entry in &providers {
        check_models(entry, faults);
        if text(entry, "kind") == "alexos" && text(entry, "base_url").is_empty() && registry_url.is_empty() {
            faults.push(Fault::Missing {
                key: value(entry, "base_url").name.clone(),
                because: "needed because its kind is alexos and alex_os.module_registry_url is empty",
                place: value(entry, "kind").origin.clone(),
            });
        }
    }
    let mcp = sources.items(&MCP, faults);
    check_names(&MCP, &mcp, sources, faults);
    for (index, entry) in mcp.iter().enumerate() {
        let url = value(entry, "url");
        if url.datum.is_empty() && !url.is_refused {
            faults.push(Fault::Missing {
                key: url.name.clone(),
                because: "every [[brain.mcp]] needs one",
                place: sources.place_of(&MCP, index, entry),
            });
        }
    }
    for name in ["tools.deny", "tools.ask", "tools.allow", "tools.allowed"] {
        check_tools(values.get(name), faults);
    }
    check_root(values, faults);
    let lists = Lists {
        providers: providers.iter().map(|entry| provider(entry, &registry_url)).collect(),
        mcp: mcp.iter().map(|entry| server(entry)).collect(),
    };
    values.0.extend(providers.into_iter().chain(mcp).flatten());
    lists
}

/// The instruction's text; what cannot be read is a fault.
pub fn instruction(sources: &Sources<'_>, values: &Values, faults: &mut Vec<Fault>) -> String {
    let path = values.text("brain.instruction_file");
    if path.is_empty() {
        return String::new();
    }
    match sources.read_file(Path::new(path)) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => {
            faults.push(Fault::SecretFile {
                key: "brain.instruction_file".to_owned(),
                path: path.to_owned(),
                why: error.to_string(),
                place: values.get("brain.instruction_file").origin.clone(),
            });
            String::new()
        }
    }
}

fn value<'a>(entry: &'a [Value], name: &str) -> &'a Value {
    entry
        .iter()
        .find(|value| value.key.name == name)
        .expect("every name asked for here is a row of the table")
}

fn text<'a>(entry: &'a [Value], name: &str) -> &'a str {
    match &value(entry, name).datum {
        Datum::Text(text) | Datum::Secret(Secret(text)) => text,
        _ => "",
    }
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Each entry has a name, and one of its own.
fn check_names(list: &'static List, entries: &[Vec<Value>], sources: &Sources<'_>, faults: &mut Vec<Fault>) {
    for (index, entry) in entries.iter().enumerate() {
        let name = value(entry, "name");
        if name.datum.is_empty() && !name.is_refused {
            faults.push(Fault::Missing {
                key: name.name.clone(),
                because: "every entry needs one",
                place: sources.place_of(list, index, entry),
            });
        } else if !is_name(text(entry, "name")) {
            faults.push(super::build::wrong(name, NAME_RULE));
        }
        let first = entries[..index].iter().position(|other| text(other, "name") == text(entry, "name"));
        if let Some(first) = first.filter(|_| !name.datum.is_empty()) {
            let (second, first) = (index + 1, first + 1);
            let place = name.origin.clone();
            faults.push(Fault::Same { list: list.name, key: "name", second, first, place });
        }
    }
}

fn check_models(entry: &[Value], faults: &mut Vec<Fault>) {
    let models = value(entry, "models");
    let Datum::List(list) = &models.datum else { return };
    let is_model = |name: &str| !name.is_empty() && !name.contains([' ', '\t']);
    let is_good = |model: &str| match model.split_once('=') {
        Some((wanted, there)) => is_model(wanted) && is_model(there),
        None => is_model(model),
    };
    if !list.iter().all(|model| is_good(model)) {
        faults.push(super::build::wrong(models, MODEL_RULE));
    }
}

fn check_tools(tools: &Value, faults: &mut Vec<Fault>) {
    let Datum::List(list) = &tools.datum else { return };
    let is_tool = |rule: &String| {
        let name = rule.split(':').next().unwrap_or("");
        let bare = name.strip_suffix('*').unwrap_or(name);
        !name.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !list.iter().all(is_tool) {
        faults.push(super::build::wrong(tools, TOOL_RULE));
    }
}

/// A model that may write beside the ledger may write the ledger. As the paths are written: links are the kernel's to judge.
fn check_root(values: &Values, faults: &mut Vec<Fault>) {
    let bare = |name| {
        let path = Path::new(values.text(name));
        path.strip_prefix(".").unwrap_or(path)
    };
    // The root of all holds also what is named from the working folder.
    let (root, ledger) = (bare("tools.root"), bare("ledger.path"));
    if root == Path::new("/") || ledger.starts_with(root) {
        faults.push(super::build::wrong(values.get("tools.root"), ROOT_RULE));
    }
}

fn provider(entry: &[Value], registry_url: &str) -> ProviderSetup {
    let kind = match text(entry, "kind") {
        "ollama" => ProviderKind::Ollama,
        "maclink" => ProviderKind::MacLink,
        "alexos" => ProviderKind::AlexOs,
        _ => ProviderKind::OpenAi,
    };
    let given = text(entry, "base_url").trim_end_matches('/');
    let base_url = match kind {
        _ if !given.is_empty() => given.to_owned(),
        ProviderKind::OpenAi => OPENAI_URL.to_owned(),
        ProviderKind::Ollama => OLLAMA_URL.to_owned(),
        ProviderKind::MacLink => MACLINK_URL.to_owned(),
        ProviderKind::AlexOs => format!("{registry_url}/v1"),
    };
    let models = match &value(entry, "models").datum {
        Datum::List(list) => list.iter().map(|model| model_name(model)).collect(),
        _ => Vec::new(),
    };
    let timeout_ms = match value(entry, "timeout").datum {
        Datum::Int(seconds) => seconds.unsigned_abs() * SECOND_MS,
        _ => 0,
    };
    ProviderSetup {
        name: text(entry, "name").to_owned(),
        kind,
        base_url,
        api_key: Secret(text(entry, "api_key").to_owned()),
        model: text(entry, "model").to_owned(),
        models,
        timeout_ms,
    }
}

fn model_name(model: &str) -> ModelName {
    let (wanted, there) = model.split_once('=').unwrap_or((model, model));
    ModelName { wanted: wanted.to_owned(), there: there.to_owned() }
}

fn server(entry: &[Value]) -> McpSetup {
    let token = text(entry, "token");
    let bearer = || ("authorization".to_owned(), Secret(format!("Bearer {token}")));
    McpSetup {
        name: text(entry, "name").to_owned(),
        url: text(entry, "url").to_owned(),
        headers: if token.is_empty() { Vec::new() } else { vec![bearer()] },
    }
}

/// What the brain is told.
pub fn build(values: &Values, lists: Lists, instruction: String) -> BrainSetup {
    let small = |name| u32::try_from(values.number(name)).unwrap_or(u32::MAX);
    let mut providers = lists.providers;
    documented(values, &mut providers);
    providers.truncate(PROVIDERS_MAX);
    BrainSetup {
        providers,
        budget: BudgetSetup {
            requests_per_hour: small("brain.requests_per_hour"),
            requests_per_day: small("brain.requests_per_day"),
            tokens_per_hour: small("brain.tokens_per_hour"),
            tokens_per_day: small("brain.tokens_per_day"),
        },
        model: values.text("brain.model").to_owned(),
        max_tokens: small("openai.max_tokens"),
        temperature_milli: milli(values.text("openai.temperature")),
        history_messages: small("brain.history_messages"),
        history_tokens: small("brain.history_tokens"),
        instruction,
        turn_questions_max: small("claude.max_turns"),
        turn_tokens_max: small("brain.turn_tokens"),
        tools: tools(values),
        mcp: lists.mcp,
    }
}

/// A decimal number of the table, in thousandths.
fn milli(number: &str) -> u32 {
    let value = number.parse::<f64>().unwrap_or(0.0).clamp(0.0, 1_000.0) * 1_000.0;
    // Within the table's limits: neither negative nor near the end of u32.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = value.round() as u32;
    whole
}

/// The providers of the documents' own variables, behind those with a section.
fn documented(values: &Values, providers: &mut Vec<ProviderSetup>) {
    let mut add = |name: &str, kind, base_url: String, key: &str, model: &str, timeout_ms| {
        if providers.iter().all(|provider| provider.name != name) {
            providers.push(ProviderSetup {
                name: name.to_owned(),
                kind,
                base_url,
                api_key: values.secret(key).unwrap_or_default(),
                model: model.to_owned(),
                models: Vec::new(),
                timeout_ms,
            });
        }
    };
    let timeout = values.milliseconds("openai.timeout");
    // A server of one's own may want no key; OpenAI's always does.
    let is_own = values.get("openai.base_url").origin != Origin::Default
        && values.base_url("openai.base_url") != OPENAI_URL;
    if values.secret("openai.api_key").is_some() || is_own {
        let model = values.text("openai.model");
        let base_url = values.base_url("openai.base_url");
        add("openai", ProviderKind::OpenAi, base_url, "openai.api_key", model, timeout);
    }
    if values.secret("claude.oauth_token").is_some() {
        let model = values.text("claude.model");
        add("claude", ProviderKind::OpenAi, CLAUDE_URL.to_owned(), "claude.oauth_token", model, timeout);
    }
    if values.is_on("maclink.enabled") {
        let timeout = values.milliseconds("maclink.timeout");
        let base_url = values.base_url("maclink.base_url");
        add("maclink", ProviderKind::MacLink, base_url, "maclink.api_key", "llama2", timeout);
    }
}

fn tools(values: &Values) -> ToolsSetup {
    let small = |name| u32::try_from(values.number(name)).unwrap_or(u32::MAX);
    let mut rules = Vec::new();
    for (name, mode) in
        [("tools.deny", Permission::Deny), ("tools.ask", Permission::Ask), ("tools.allow", Permission::Allow)]
    {
        rules.extend(values.list(name).iter().map(|rule| {
            let (tool, pattern) = rule.split_once(':').unwrap_or((rule, ""));
            Rule { mode, tool: tool.to_owned(), pattern: pattern.to_owned() }
        }));
    }
    ToolsSetup {
        allowed: values.list("tools.allowed"),
        root: values.text("tools.root").to_owned(),
        rules,
        mode: match values.text("tools.mode") {
            "allow" => Permission::Allow,
            "deny" => Permission::Deny,
            _ => Permission::Ask,
        },
        // The documents' default says no more than tools.mode does.
        permission_mode: match Mode::parse(values.text("claude.permission_mode")) {
            Mode::Ask => Mode::Config,
            mode => mode,
        },
        approval_time_ms: values.milliseconds("tools.approval_time"),
        run_time_ms: values.milliseconds("tools.run_time"),
        output_bytes_max: small("tools.output_kib") * 1024,
        memory_kib_max: small("tools.memory_mib") * 1024,
        shell: values.is_on("tools.shell"),
        private_addresses: values.is_on("tools.private_addresses"),
    }
}
