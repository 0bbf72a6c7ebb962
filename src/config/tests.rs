//! Tests of the whole room: what is read, who wins, what is shown. The table of faults is in `tests/faults.rs`.

mod faults;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::*;

/// A world to read a config in.
#[derive(Default)]
struct World {
    text: Option<String>,
    environment: Vec<(String, String)>,
    files: BTreeMap<PathBuf, String>,
}

impl World {
    fn file(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.to_owned());
        self
    }

    fn read(&self) -> Result<Config, Vec<Fault>> {
        let own_addresses: [IpAddr; 1] = ["192.168.1.20".parse().expect("an address")];
        let read = |path: &Path| {
            if path.ends_with("forbidden") {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied));
            }
            self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        super::read(&Inputs {
            file: self.text.as_deref().map(|text| ("./config.toml", text)),
            environment: &self.environment,
            read: &read,
            state_dir: None,
            own_addresses: &own_addresses,
            hostname: "Board.example.org",
            built_at: Wall(5),
        })
    }

    fn config(&self) -> Config {
        self.read().unwrap_or_else(|faults| panic!("{}", faults_text(&faults)))
    }

    fn faults(&self) -> String {
        self.read().map(|_| String::new()).unwrap_or_else(|faults| faults_text(&faults))
    }
}

const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[test]
fn without_anything_the_agent_stands_alone() {
    let config = World::default().config();
    assert_eq!((config.server.host.to_string().as_str(), config.server.port), ("127.0.0.1", 9000));
    assert_eq!((config.setup.alexos, config.setup.aiwm, config.setup.hooks), (None, None, Vec::new()));
    assert_eq!(config.setup.identity.name, "chainbot");
    assert_eq!(config.setup.identity.capabilities.len(), 9);
    assert_eq!(config.setup.identity.ui_features[0], "Agent Map Window");
    assert_eq!(config.ledger.path, Path::new("./state/chainbot.redb"));
    assert_eq!(
        (config.ledger.events_max, config.setup.events_max, config.setup.built_at),
        (20_000, 20_000, Wall(5))
    );
    assert_eq!(config.security.token, None);
    assert_eq!(config.log_level, log::LevelFilter::Info);
    assert!(config.values.iter().all(|value| value.origin == Origin::Default));
    assert_eq!(config.notes, Vec::<String>::new());
}

#[test]
fn the_reference_has_every_key_and_says_the_defaults() {
    let reference = World::file(REFERENCE).config();
    let default = World::default().config();
    assert_eq!(reference.values.len(), KEYS.len());
    for (given, default) in reference.values.iter().zip(&default.values) {
        assert_eq!(given.datum, default.datum, "{}", given.name);
        // An empty ledger.path is filled in; all the others must stand in the file.
        assert!(matches!(given.origin, Origin::File { .. }), "{} is not in config.toml", given.name);
    }
    assert_eq!((reference.setup, reference.server), (default.setup, default.server));
}

/// The commented example of a list in the reference, without its marks.
fn example(list: &List) -> String {
    let title = format!("[[{}]]", list.name);
    let (_, example) = REFERENCE.split_once(&format!("# {title}")).expect("the example is there");
    let lines = example.lines().skip(1).map_while(|line| line.strip_prefix("# "));
    let example: String = lines.map(|line| format!("{line}\n")).collect();
    for key in list.keys {
        assert!(example.contains(&format!("{} = ", key.name)), "{}.{}", list.name, key.name);
    }
    format!("{title}\n{example}")
}

#[test]
fn the_references_examples_of_lists_are_some() {
    let config = World::file(&LISTS.iter().map(example).collect::<String>()).config();
    assert_eq!(config.setup.hooks[0].filter.kinds, ["workflow_*", "health_report"]);
    assert_eq!(config.setup.hooks[0].request_timeout_ms, 15_000);
    let provider = &config.setup.brain.providers[0];
    assert_eq!((provider.name.as_str(), provider.timeout_ms), ("office", 30_000));
    assert_eq!(provider.models[1].there, "llama3.2");
    assert_eq!(config.setup.brain.mcp[0].url, "http://127.0.0.1:8765/mcp");
}

#[test]
fn providers_come_in_the_order_of_preference_and_the_documents_behind() {
    let config = World::file(
        "[brain]\nmodel = \"m\"\n[[brain.provider]]\nname = \"a\"\nkind = \"alexos\"\n\
         [[brain.provider]]\nname = \"b\"\nkind = \"ollama\"\nmodels = [\"x\", \"gpt-4o=y\"]\n",
    )
    .with("ALEX_OS_REGISTRY_URL", "http://alex:8000/")
    .with("OPENAI_API_KEY", "sk-1234")
    .with("OPENAI_MODEL", "gpt-4o-mini")
    .with("CLAUDE_CODE_OAUTH_TOKEN", "oauth")
    .with("MACLINK_ENABLED", "true")
    .with("CHAINBOT_BRAIN__PROVIDER__2__TIMEOUT", "7")
    .with("CHAINBOT_BRAIN__PROVIDER__3__NAME", "c")
    .config();
    let brain = &config.setup.brain;
    let shown: Vec<(&str, &str)> =
        brain.providers.iter().map(|provider| (provider.name.as_str(), provider.base_url.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("a", "http://alex:8000/v1"),
            ("b", "http://localhost:11434"),
            ("c", "https://api.openai.com/v1"),
            ("openai", "https://api.openai.com/v1"),
            ("claude", "https://api.anthropic.com/v1"),
            ("maclink", "http://localhost:8080"),
        ]
    );
    assert_eq!((brain.providers[1].timeout_ms, brain.providers[3].model.as_str()), (7_000, "gpt-4o-mini"));
    assert_eq!((brain.temperature_milli, brain.max_tokens, brain.turn_questions_max), (700, 2_048, 100));
    let secrets = format!("{:?}{}", config.setup, show_json(&config.values));
    assert!(!secrets.contains("sk-1234") && !secrets.contains("oauth\""), "{secrets}");
}

#[test]
fn without_a_key_there_is_no_provider_but_a_server_of_ones_own_needs_none() {
    assert!(World::default().config().setup.brain.providers.is_empty());
    let own = World::default().with("OPENAI_BASE_URL", "http://10.0.0.5:8000/v1").config();
    assert_eq!(own.setup.brain.providers[0].base_url, "http://10.0.0.5:8000/v1");
}

#[test]
fn permission_looks_at_deny_before_ask_before_allow() {
    let config = World::file(
        "[tools]\nmode = \"deny\"\nallow = [\"run-command:up*:x\"]\nask = [\"mcp__*\"]\ndeny = [\"http-get\"]\n",
    )
    .config();
    let tools = &config.setup.brain.tools;
    let rules: Vec<(&str, &str, &str)> = tools
        .rules
        .iter()
        .map(|rule| (rule.mode.as_str(), rule.tool.as_str(), rule.pattern.as_str()))
        .collect();
    assert_eq!(rules, [("deny", "http-get", ""), ("ask", "mcp__*", ""), ("allow", "run-command", "up*:x")]);
    assert_eq!((tools.mode.as_str(), tools.output_bytes_max), ("deny", 16_384));
    assert!(tools.root.ends_with("state/workspace"), "{}", tools.root);
}

#[test]
fn the_documents_settings_become_a_setup() {
    let config = World::file(
        "[server]\nhost = \"0.0.0.0\"\n[security]\ntoken = \"0123456789abcdef\"\n\
         [alex_os]\nmodule_registry_url = \"http://10.42.69.208:8000/\"\nhealth_check_interval = 5\nhost_header = \"alex:80\"\n",
    )
    .with("ALEX_OS_WEBHOOK_URL", "http://your-pi-ip:9000/api/webhooks/chainbot")
    .with("ALEX_OS_EVENT_BUS_URL", "ws://10.42.69.208:8000/ws/events")
    .with("AIWM_ENABLED", "true")
    .with("AIWM_BASE_URL", "https://api.x-or.cloud/dev/aiwm/")
    .with("AIWM_AGENT_ID", "693F3a2c8d1e5b4a7c9f1d3e")
    .with("AIWM_AGENT_SECRET", "a1b2c3d4e5f6")
    .with("AGENT_NAME", "Customer Support Agent")
    .with("LOG_LEVEL", "WARNING")
    .with("DISCORD_CHANNEL_ID", "1, 2,")
    .config();
    let alexos = config.setup.alexos.as_ref().expect("ALEX OS is configured");
    assert_eq!(alexos.registry_url, "http://10.42.69.208:8000");
    assert_eq!(
        (alexos.health_interval_ms, alexos.retry_interval_ms, alexos.attempts_max),
        (5_000, 30_000, 10)
    );
    assert_eq!((alexos.host_header.as_str(), alexos.report_to_webhook_url), ("alex:80", false));
    let aiwm = config.setup.aiwm.as_ref().expect("AIWM is enabled");
    assert_eq!(
        (aiwm.base_url.as_str(), aiwm.agent_id.as_str()),
        ("https://api.x-or.cloud/dev/aiwm", "693f3a2c8d1e5b4a7c9f1d3e")
    );
    assert_eq!((aiwm.reconnect_interval_ms, aiwm.prefers_online), (82_800_000, false));
    assert_eq!(config.setup.identity.name, "Customer Support Agent");
    assert_eq!(config.log_level, log::LevelFilter::Warn);
    let ids = config.value("discord.channel_ids").expect("a row");
    assert_eq!(ids.datum, Datum::List(vec!["1".to_owned(), "2".to_owned()]));
}

#[test]
fn the_environment_wins_over_a_credential_over_the_file_over_the_default() {
    let origin = |world: &World| world.config().value("openai.api_key").expect("a row").origin.to_string();
    let mut world = World::default();
    assert_eq!(origin(&world), "default");
    world.text = Some("[openai]\napi_key_file = \"key\"\napi_key = \"\"\n".to_owned());
    world = world.with_file("key", " of-a-file\n");
    assert_eq!(origin(&world), "file key, named by config.toml line 2");
    world.text = Some("[openai]\n\napi_key = \"of-the-file\"\n".to_owned());
    assert_eq!(origin(&world), "config.toml line 3");
    world = world.with("CREDENTIALS_DIRECTORY", "/run/c").with_file("/run/c/openai.api_key", "of-systemd\n");
    assert_eq!(origin(&world), "credential openai.api_key");
    world = world.with("OPENAI_API_KEY_FILE", "key");
    assert_eq!(origin(&world), "file key, named by environment OPENAI_API_KEY_FILE");
    world = world.with("OPENAI_API_KEY", "of-the-environment");
    assert_eq!(origin(&world), "environment OPENAI_API_KEY");
    world = world.with("CHAINBOT_OPENAI__API_KEY", "our-own-name");
    assert_eq!(origin(&world), "environment CHAINBOT_OPENAI__API_KEY");
    let key = world.config().value("openai.api_key").expect("a row").datum.clone();
    assert_eq!(key, Datum::Secret(Secret("our-own-name".to_owned())));
}

#[test]
fn an_empty_variable_of_the_documents_counts_as_not_set() {
    let config = World::default().with("PORT", " ").with("CHAINBOT_API_KEY", "").config();
    assert_eq!((config.server.port, config.security.api_key), (9000, None));
    let config =
        World::file("[chainbot]\ndescription = \"x\"\n").with("CHAINBOT_CHAINBOT__DESCRIPTION", "").config();
    assert_eq!(config.setup.identity.description, "");
}

#[test]
fn every_key_is_set_by_each_of_its_variables() {
    for key in KEYS {
        let names =
            std::iter::once(key.own_variable()).chain(key.variables.iter().map(|name| (*name).to_owned()));
        for name in names {
            let least;
            let given = match key.kind {
                Kind::List if key.section == "tools" => "read-file",
                Kind::Address => "::1",
                Kind::Url(_) | Kind::SecretUrl(_) => "http://a.b",
                Kind::Int { min, .. } => {
                    least = min.to_string();
                    &least
                }
                Kind::Number { .. } => "1.5",
                Kind::Bool => "on",
                Kind::Secrets => SIGNING,
                Kind::Choice { words, .. } => words[1],
                Kind::Text | Kind::List | Kind::Path | Kind::Secret => "/0123456789abcdef0123456789abcdef",
            };
            let mut world =
                World::default().with(&name, given).with_file("/0123456789abcdef0123456789abcdef", "text");
            if name == "AIWM_ENABLED" || name == "CHAINBOT_AIWM__ENABLED" {
                world = world.with("AIWM_BASE_URL", "http://a").with("AIWM_AGENT_ID", &"a".repeat(24));
                world = world.with("AIWM_AGENT_SECRET", "s");
            }
            // One needs the other.
            match key.name {
                "secret_key_previous" => world = world.with("SECRET_KEY", given),
                "tls_cert" => world = world.with("CHAINBOT_SERVER__TLS_KEY", "k.pem"),
                "tls_key" => world = world.with("CHAINBOT_SERVER__TLS_CERT", "c.pem"),
                _ => {}
            }
            if key.name == "host_header" {
                world.environment[0].1 = "a.b".to_owned();
            }
            let config = world.config();
            let value = config.value(&key.full_name()).expect("a row");
            assert_eq!(value.origin, Origin::Environment { name: name.clone() }, "{name}");
            if key.kind.is_secret() {
                let mut world = World::default().with(&format!("{name}_FILE"), "f").with_file("f", given);
                if key.name == "secret_key_previous" {
                    world = world.with("SECRET_KEY", given);
                }
                assert!(matches!(
                    world.config().value(&key.full_name()).expect("a row").origin,
                    Origin::SecretFile { .. }
                ));
            }
        }
    }
}

#[test]
fn names_without_a_meaning_here_are_noted_and_no_faults() {
    let config = World::file("[server]\ndebug = false\n")
        .with("DATABASE_URL", "sqlite:///./chainbot.db")
        .with("WS_PING_INTERVAL", "20")
        .with("CHAINBOT_API_URL", "http://localhost:3000")
        .with("AIWM_BASEURL", "http://a")
        .with("AIWM_AGENT_ID", "x")
        .with("CHAINBOT_SERVICE_HOST", "10.0.0.1")
        .with("CHAINBOT_PORT", "tcp://10.0.0.1:9000")
        .with("HOME", "/root")
        .config();
    let notes = config.notes.join("\n");
    assert_eq!(config.notes.len(), 6, "{notes}");
    assert!(
        notes.contains("server.debug has no effect: use log.level for more lines (config.toml line 2)"),
        "{notes}"
    );
    assert!(notes.contains("environment DATABASE_URL has no effect"), "{notes}");
    assert!(notes.contains("environment AIWM_BASEURL is not read: did you mean AIWM_BASE_URL?"), "{notes}");
    assert!(
        notes.contains("aiwm.agent_id has no effect: aiwm.enabled is false (environment AIWM_AGENT_ID)"),
        "{notes}"
    );
}

#[test]
fn webhooks_come_from_the_file_and_the_environment() {
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let config = World::file(&format!(
        "[[webhooks]]\nurl = \"https://me:pw@a.b/x?key=k\"\nsecret = [\"{SIGNING}\", \"{other}\"]\ntypes = [\"a*\", \"b\"]\n\
         [[webhooks]]\nurl = \"http://c\"\nsecret_file = \"s\"\n"
    ))
    .with("CHAINBOT_WEBHOOKS__2__TIMEOUT", "3")
    .with("CHAINBOT_WEBHOOKS__3__URL", "http://d")
    .with_file("s", &format!("{SIGNING}\n"))
    .config();
    let hooks = &config.setup.hooks;
    assert_eq!(hooks.len(), 3);
    assert_eq!(
        (hooks[0].url.0.as_str(), hooks[0].shown_url.as_str()),
        ("https://me:pw@a.b/x?key=k", "https://a.b/x")
    );
    assert_eq!((hooks[0].secrets.len(), hooks[0].filter.kinds.len()), (2, 2));
    assert_eq!((hooks[1].secrets[0].0.as_str(), hooks[1].request_timeout_ms), (SIGNING, 3_000));
    // The first 16 digits of `printf http://d | sha256sum`: a cursor must outlive an update.
    assert_eq!(hooks[2].key, "36e317172051343c");
    assert!(hooks[0].key != hooks[1].key && hooks[1].key != hooks[2].key);
    assert_eq!(config.value("webhooks[2].url").expect("a row").origin.to_string(), "config.toml line 6");
}

#[test]
fn health_reports_go_to_the_webhook_url_only_on_another_machine() {
    let table = [
        ("", false),
        ("http://your-pi-ip:9000/api/webhooks/chainbot", false),
        ("http://your-pi-ip/x", false),
        ("http://127.0.0.1:9000/x", false),
        ("http://[::1]:9000/x", false),
        ("http://0.0.0.0:9000/x", false),
        ("http://LOCALHOST:9000/x", false),
        ("http://192.168.1.20:9000/x", false),
        ("http://board:9000/x", false),
        ("http://board.local:9000/x", false),
        ("http://board.example.org.:9000/x", false),
        ("http://192.168.1.20:8000/x", true),
        ("http://192.168.1.21:9000/x", true),
        ("http://billboard.local:9000/x", true),
        ("http://localhost/x", true),
    ];
    for (url, is_reported) in table {
        let world =
            World::default().with("ALEX_OS_REGISTRY_URL", "http://a").with("ALEX_OS_WEBHOOK_URL", url);
        let alexos = world.config().setup.alexos.expect("ALEX OS is configured");
        assert_eq!(alexos.report_to_webhook_url, is_reported, "{url}");
    }
}

#[test]
fn the_ledger_stands_in_the_services_state_folder() {
    let config = World::default().with("STATE_DIRECTORY", "/var/lib/chainbot:/var/lib/other").config();
    assert_eq!(config.ledger.path, Path::new("/var/lib/chainbot/chainbot.redb"));
    let config = World::file("[ledger]\npath = \"/data/x.redb\"\n").with("STATE_DIRECTORY", "/s").config();
    assert_eq!(config.ledger.path, Path::new("/data/x.redb"));
}

#[test]
fn the_controllers_settings_win_where_they_may() {
    let setting = |key: &str, value: &str| Setting {
        key: key.to_owned(),
        value: Secret(value.to_owned()),
        is_secret: false,
    };
    let config = World::default().with("CLAUDE_MODEL", "mine").with("CLAUDE_MAX_TURNS", "7").config();
    let values = config.with_controller(&[
        setting("claude.model", "theirs"),
        setting("claude.max_turns", "many"),
        setting("discord.token", "MTk4NjIyNDgzNDcxOTI1MjQ4"),
        setting("telegram.token", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5"),
        setting("server.host", "0.0.0.0"),
        setting("assistant_maxSteps", "10"),
    ]);
    let shown = show_text(&values);
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).expect("a row").to_owned();
    assert!(
        line("claude.model").contains("\"theirs\"") && line("claude.model").ends_with("controller"),
        "{shown}"
    );
    assert!(line("claude.max_turns").ends_with("environment CLAUDE_MAX_TURNS"), "{shown}");
    assert!(line("discord.token").contains("****MjQ4") && !shown.contains("MTk4"), "{shown}");
    assert!(line("telegram.bot_token").ends_with("controller"), "{shown}");
    assert!(line("server.host").ends_with("default"), "{shown}");
    assert_eq!(values.len(), config.values.len());
}

#[test]
fn what_is_shown_masks_every_secret() {
    let secret = "s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t";
    let mut world = World::file("[[webhooks]]\nurl = \"https://u:s3cr3t@a.b/x?k=s3cr3t\"\n");
    for key in KEYS.iter().filter(|key| key.kind == Kind::Secret) {
        world = world.with(&key.own_variable(), secret);
    }
    world = world.with("CHAINBOT_SECURITY__WEBHOOK_SECRETS", SIGNING);
    world = world.with("CHAINBOT_AIWM__AGENT_SECRET", "short");
    let config = world.config();
    for text in [show_text(&config.values), show_json(&config.values), format!("{config:?}")] {
        assert!(
            !text.contains("s3cr3t-") && !text.contains("k=s3cr3t") && !text.contains("u:s3cr3t"),
            "{text}"
        );
        assert!(!text.contains("C2FVsBQ") && !text.contains("\"short\""), "{text}");
    }
    let shown = show_text(&config.values);
    assert!(shown.contains("****cr3t") && shown.contains("****b7oD"), "{shown}");
    assert!(shown.contains("https://a.b/x ") && shown.contains("****  "), "{shown}");
}

#[test]
fn what_is_shown_is_aligned_and_has_units() {
    let text = show_text(&World::file("[aiwm]\nheartbeat_interval = 5\n").config().values);
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).expect("a row");
    assert_eq!(
        line("aiwm.heartbeat_interval"),
        "aiwm.heartbeat_interval              5 s                                       config.toml line 2"
    );
    assert_eq!(
        line("security.token"),
        "security.token                       (not set)                                 default"
    );
}

#[test]
fn the_json_is_json() {
    let world = World::default().with("OPENAI_TEMPERATURE", ".5").with("AGENT_NAME", "a \"quoted\" name");
    let json = show_json(&world.config().values);
    let miniserde::json::Value::Object(object) = miniserde::json::from_str(&json).expect("valid JSON") else {
        panic!("not an object: {json}")
    };
    assert_eq!(object.len(), KEYS.len());
    assert!(json.contains(
        r#""openai.temperature":{"value":0.5,"unit":"","origin":"environment OPENAI_TEMPERATURE"}"#
    ));
    assert!(json.contains(r#""security.token":{"value":null,"unit":"","origin":"default"}"#));
    assert!(json.contains(r#""aiwm.heartbeat_interval":{"value":60,"unit":"s","origin":"default"}"#));
}

/// `BLESS=1 cargo test --lib config::` writes the page again.
#[test]
fn the_documentation_is_that_of_the_table() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let path = docs.join("configuration.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(&docs).expect("docs/ can be made");
        std::fs::write(&path, docs_text()).expect("docs/ can be written");
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == docs_text(), "docs/configuration.md is not that of the table: run with BLESS=1");
    for key in KEYS {
        let row = page.lines().find(|line| line.contains(&format!("`{}`", key.own_variable())));
        assert!(row.is_some_and(|row| row.contains(key.doc)), "{}", key.full_name());
    }
}
