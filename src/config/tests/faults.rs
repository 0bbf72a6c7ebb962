//! A table of what is written and what is said of it.

use super::{SIGNING, World};

/// A config file and the whole text of its faults.
const FILES: &[(&str, &str)] = &[
    // Names.
    ("[servr]\nport = 1", "section [servr] is not known: did you mean [server]? (config.toml line 1)\n"),
    ("\n[alexos]", "section [alexos] is not known: did you mean [alex_os]? (config.toml line 2)\n"),
    ("[webhook]", "section [webhook] is not known: did you mean [[webhooks]]? (config.toml line 1)\n"),
    ("[[banana]]", "section [banana] is not known (config.toml line 1)\n"),
    ("[server]\nprot = 1", "server.prot is not known: did you mean server.port? (config.toml line 2)\n"),
    (
        "[server]\nlevel = \"info\"",
        "server.level is not known: did you mean log.level? (config.toml line 2)\n",
    ),
    ("[server]\nbanana = 1", "server.banana is not known (config.toml line 2)\n"),
    ("port = 9000", "port is not known: did you mean server.port? (config.toml line 1)\n"),
    (
        "[aiwm]\nbase-url = \"\"",
        "aiwm.base-url is not known: did you mean aiwm.base_url? (config.toml line 2)\n",
    ),
    (
        "[aiwm]\nagent_secret_fil = \"\"",
        "aiwm.agent_secret_fil is not known: did you mean aiwm.agent_secret_file? (config.toml line 2)\n",
    ),
    ("[server]\nport_file = \"\"", "server.port_file is not known (config.toml line 2)\n"),
    (
        "[[webhooks]]\nurl = \"http://a\"\ntype = []",
        "webhooks[1].type is not known: did you mean webhooks[1].types? (config.toml line 3)\n",
    ),
    // Keys that need each other.
    (
        "[server]\ntls_cert = \"c.pem\"",
        "server.tls_key is missing: needed because server.tls_cert is set (config.toml line 2)\n",
    ),
    (
        "[server]\ntls_key = \"k.pem\"",
        "server.tls_cert is missing: needed because server.tls_key is set (config.toml line 2)\n",
    ),
    // Types.
    ("server = 3", "server is an integer: must be a section in brackets (config.toml line 1)\n"),
    (
        "[webhooks]\nurl = \"\"",
        "webhooks is a section: must be sections, each headed [[webhooks]] (config.toml line 1)\n",
    ),
    (
        "webhooks = [3]",
        "webhooks[1] is an integer: must be a section in double brackets (config.toml line 1)\n",
    ),
    (
        "[server]\nport = \"9000\"",
        "server.port is a string: must be an integer, without quotes (config.toml line 2)\n",
    ),
    (
        "[aiwm]\nheartbeat_interval = 1.5",
        "aiwm.heartbeat_interval is a decimal number: must be an integer, without quotes (config.toml line 2)\n",
    ),
    ("[server]\nhost = 1", "server.host is an integer: must be a string, in quotes (config.toml line 2)\n"),
    ("[server]\nhost.a = 1", "server.host is a section: must be a string, in quotes (config.toml line 2)\n"),
    (
        "[aiwm]\nenabled = \"no\"",
        "aiwm.enabled is a string: must be true or false, without quotes (config.toml line 2)\n",
    ),
    (
        "[chainbot]\ncapabilities = \"gui\"",
        "chainbot.capabilities is a string: must be a list of strings (config.toml line 2)\n",
    ),
    (
        "[chainbot]\ncapabilities = [true]",
        "chainbot.capabilities is a list of other things: must be a list of strings (config.toml line 2)\n",
    ),
    (
        "[security]\nwebhook_secrets = 7",
        "security.webhook_secrets is an integer: must be a string or a list of strings (config.toml line 2)\n",
    ),
    ("[log]\nlevel = 1979-05-27", "log.level is a date: must be a string, in quotes (config.toml line 2)\n"),
    // Limits.
    ("[server]\nport = 70000", "server.port is 70000: must be 0 to 65535 (config.toml line 2)\n"),
    ("[server]\nport = -1", "server.port is -1: must be 0 to 65535 (config.toml line 2)\n"),
    (
        "[server]\nport = 99999999999999999999",
        "server.port is 99999999999999999999: must be 0 to 65535 (config.toml line 2)\n",
    ),
    (
        "[aiwm]\nheartbeat_interval = 0",
        "aiwm.heartbeat_interval is 0: must be 1 to 3600 s (config.toml line 2)\n",
    ),
    (
        "[ledger]\nsize_max_mib = 2_000",
        "ledger.size_max_mib is 2000: must be 1 to 1024 MiB (config.toml line 2)\n",
    ),
    ("[openai]\ntemperature = 2.5", "openai.temperature is 2.5: must be 0 to 2 (config.toml line 2)\n"),
    (
        "[openai]\ntemperature = nan",
        "openai.temperature is \"nan\": must be a decimal number (config.toml line 2)\n",
    ),
    (
        "[log]\nlevel = \"loud\"",
        "log.level is \"loud\": must be off, error, warn, info, debug or trace (config.toml line 2)\n",
    ),
    (
        "[server]\nhost = \"board\"",
        "server.host is \"board\": must be an IP address or localhost (config.toml line 2)\n",
    ),
    (
        "[chainbot]\nname = \"a\\nb\"",
        "chainbot.name is \"a\\nb\": must have no line breaks or other control characters (config.toml line 2)\n",
    ),
    ("[chainbot]\nname = \"\"", "chainbot.name is \"\": must not be empty (config.toml line 2)\n"),
    (
        "[chainbot]\ndocs_endpoint = \"docs\"",
        "chainbot.docs_endpoint is \"docs\": must begin with / (config.toml line 2)\n",
    ),
    // URLs.
    (
        "[alex_os]\nmodule_registry_url = \"10.42.69.208:8000\"",
        "alex_os.module_registry_url is \"10.42.69.208:8000\": scheme must be http or https (config.toml line 2)\n",
    ),
    (
        "[alex_os]\nmodule_registry_url = \"http://10.42.69.208:80000\"",
        "alex_os.module_registry_url is \"http://10.42.69.208:80000\": port must be 1 to 65535 (config.toml line 2)\n",
    ),
    (
        "[alex_os]\nmodule_registry_url = \"http:///x\"",
        "alex_os.module_registry_url is \"http:///x\": host must be a name or an IP address (config.toml line 2)\n",
    ),
    (
        "[alex_os]\nevent_bus_url = \"ftp://a\"",
        "alex_os.event_bus_url is \"ftp://a\": scheme must be ws, wss, http or https (config.toml line 2)\n",
    ),
    (
        "[aiwm]\nbase_url = \"http://me:pw@a/x?y=z\"",
        "aiwm.base_url is \"http://a/x\": must have no user, password, query or fragment (config.toml line 2)\n",
    ),
    (
        "[alex_os]\nhost_header = \"a b\"",
        "alex_os.host_header is \"a b\": must be a host name or address, with or without a port (config.toml line 2)\n",
    ),
    // What belongs together.
    (
        "[aiwm]\nenabled = true",
        "aiwm.base_url is missing: needed because aiwm.enabled is true (config.toml line 2)\n\
         aiwm.agent_id is missing: needed because aiwm.enabled is true (config.toml line 2)\n\
         aiwm.agent_secret is missing: needed because aiwm.enabled is true (config.toml line 2)\n",
    ),
    (
        "[aiwm]\nenabled = true\nbase_url = \"http://a\"\nagent_secret = \"s\"\nagent_id = \"693f3a2c\"",
        "aiwm.agent_id is \"693f3a2c\": must be 24 hex digits (config.toml line 5)\n",
    ),
    (
        "[server]\nhost = \"0.0.0.0\"",
        "server.host is \"0.0.0.0\": an address beyond loopback needs a credential that somebody has; set \
         security.token, or security.token_file, to a secret of 16 characters or more, make a token with `chainbot token create`, \
         or listen at 127.0.0.1 (config.toml line 2)\n",
    ),
    (
        "[server]\nhost = \"::\"\n[security]\ntoken = \"tooshort\"",
        "security.token: must be 16 characters or longer (config.toml line 4)\n",
    ),
    (
        "[security]\ntoken = \"0123456789 abcdef\"",
        "security.token: must be ASCII characters without blanks (config.toml line 2)\n",
    ),
    (
        "[security]\ntoken = \"0123456789abcdef\"\ntoken_file = \"t\"",
        "security.token_file is given beside security.token: keep one (config.toml line 3)\n",
    ),
    (
        "[security]\ntoken_file = \"nowhere\"",
        "security.token is to be read from \"nowhere\": entity not found (config.toml line 2)\n",
    ),
    (
        "[security]\ntoken_file = \"forbidden\"",
        "security.token is to be read from \"forbidden\": permission denied (config.toml line 2)\n",
    ),
    (
        "[security]\ntoken_file = 3",
        "security.token_file is an integer: must be a string, in quotes (config.toml line 2)\n",
    ),
    // Webhooks.
    (
        "[security]\nwebhook_secrets = [\"whsec_c2hvcnQ=\"]",
        "security.webhook_secrets: must be whsec_ and the base64 of 24 to 64 bytes (config.toml line 2)\n",
    ),
    (
        "[[webhooks]]\nurl = \"http://a\"\nsecret = \"s3cr3t\"",
        "webhooks[1].secret: must be whsec_ and the base64 of 24 to 64 bytes (config.toml line 3)\n",
    ),
    (
        "[[webhooks]]\nurl = \"http://a\"\nsecret = [\"a\", \"b\", \"c\", \"d\", \"e\"]",
        "webhooks[1].secret: must have at most 4 entries, has 5 (config.toml line 3)\n",
    ),
    (
        "[[webhooks]]\nurl = \"a?key=s3cr3t\"",
        "webhooks[1].url: scheme must be http or https (config.toml line 2)\n",
    ),
    (
        "\n[[webhooks]]\ntimeout = 1",
        "webhooks[1].url is missing: every [[webhooks]] needs one (config.toml line 2)\n",
    ),
    (
        "[[webhooks]]\nurl = \"http://a\"\n[[webhooks]]\nurl = \"http://a\"",
        "webhooks[2].url is that of webhooks[1]: must be another (config.toml line 4)\n",
    ),
    (
        "[[webhooks]]\nurl = \"http://a\"\ntypes = [\"*a\"]",
        "webhooks[1].types: must be event types of A-Z a-z 0-9 . _ -, up to 64 characters, or prefixes ending in * \
         (config.toml line 3)\n",
    ),
    // The brain.
    (
        "[[brain.provider]]\nkind = \"ollama\"",
        "brain.provider[1].name is missing: every entry needs one (config.toml line 1)\n",
    ),
    (
        "[[brain.provider]]\nname = \"a\"\n[[brain.provider]]\nname = \"a\"",
        "brain.provider[2].name is that of brain.provider[1]: must be another (config.toml line 4)\n",
    ),
    (
        "[[brain.provider]]\nname = \"a b\"",
        "brain.provider[1].name is \"a b\": must be 1 to 32 characters of a-z, A-Z, 0-9, - and _ (config.toml line 2)\n",
    ),
    (
        "[[brain.provider]]\nname = \"a\"\nkind = \"gemini\"",
        "brain.provider[1].kind is \"gemini\": must be openai, ollama, maclink or alexos (config.toml line 3)\n",
    ),
    (
        "[[brain.provider]]\nname = \"a\"\nkind = \"alexos\"",
        "brain.provider[1].base_url is missing: needed because its kind is alexos and alex_os.module_registry_url is empty \
         (config.toml line 3)\n",
    ),
    (
        "[[brain.provider]]\nname = \"a\"\nmodles = 1",
        "brain.provider[1].modles is not known: did you mean brain.provider[1].models? (config.toml line 3)\n",
    ),
    (
        "[[brain.provider]]\nname = \"a\"\nmodels = [\"a=\"]",
        "brain.provider[1].models: must be models, or wanted=there, without blanks (config.toml line 3)\n",
    ),
    (
        "[brain]\nprovider = 3",
        "brain.provider is an integer: must be sections, each headed [[brain.provider]] (config.toml line 2)\n",
    ),
    (
        "[[brain.mcp]]\nname = \"a\"",
        "brain.mcp[1].url is missing: every [[brain.mcp]] needs one (config.toml line 1)\n",
    ),
    (
        "[tools]\nallow = [\"run command\"]",
        "tools.allow: must be tools of a-z, A-Z, 0-9, -, _ and a last *, with or without :pattern behind (config.toml line 2)\n",
    ),
    (
        "[tools]\nroot = \"/\"",
        "tools.root is \"/\": must not hold the ledger: name a folder of its own (config.toml line 2)\n",
    ),
    (
        "[tools]\nroot = \"state\"",
        "tools.root is \"state\": must not hold the ledger: name a folder of its own (config.toml line 2)\n",
    ),
    (
        "[tools]\nroot = \".\"",
        "tools.root is \".\": must not hold the ledger: name a folder of its own (config.toml line 2)\n",
    ),
    (
        "[tools]\nroot = \"/var\"\n[ledger]\npath = \"/var/lib/chainbot/l.redb\"",
        "tools.root is \"/var\": must not hold the ledger: name a folder of its own (config.toml line 2)\n",
    ),
    (
        "[brain]\ninstruction_file = \"missing\"",
        "brain.instruction_file is to be read from \"missing\": entity not found (config.toml line 2)\n",
    ),
    // What is no TOML.
    ("[server]\nport = 1\nport = 2", "port is given twice (config.toml line 3)\n"),
    ("[log]\n[server]\n[log]", "log is given twice (config.toml line 3)\n"),
];

/// Variables and the whole text of their faults.
const VARIABLES: &[(&[(&str, &str)], &str)] = &[
    (
        &[("AIWM_BASE_URL", "htp://x")],
        "aiwm.base_url is \"htp://x\": scheme must be http or https (environment AIWM_BASE_URL)\n",
    ),
    (&[("PORT", "70000")], "server.port is 70000: must be 0 to 65535 (environment PORT)\n"),
    (&[("PORT", "eighty")], "server.port is \"eighty\": must be a whole number (environment PORT)\n"),
    (&[("PORT", "1e3")], "server.port is \"1e3\": must be a whole number (environment PORT)\n"),
    (
        &[("AIWM_ENABLED", "maybe")],
        "aiwm.enabled is \"maybe\": must be true or false (environment AIWM_ENABLED)\n",
    ),
    (
        &[("OPENAI_TEMPERATURE", "warm")],
        "openai.temperature is \"warm\": must be a decimal number (environment OPENAI_TEMPERATURE)\n",
    ),
    (
        &[("OPENAI_MAX_TOKENS", "0")],
        "openai.max_tokens is 0: must be 1 to 1000000 tokens (environment OPENAI_MAX_TOKENS)\n",
    ),
    (
        &[("CHAINBOT_SERVER__PROT", "1")],
        "CHAINBOT_SERVER__PROT is not known: did you mean CHAINBOT_SERVER__PORT? (environment CHAINBOT_SERVER__PROT)\n",
    ),
    (
        &[("CHAINBOT_SERVER_PORT", "1")],
        "CHAINBOT_SERVER_PORT is not known: did you mean CHAINBOT_SERVER__PORT? (environment CHAINBOT_SERVER_PORT)\n",
    ),
    (
        &[("CHAINBOT_PORT", "9000")],
        "CHAINBOT_PORT is not known: did you mean CHAINBOT_SERVER__PORT? (environment CHAINBOT_PORT)\n",
    ),
    (
        &[("CHAINBOT_CONFG", "x")],
        "CHAINBOT_CONFG is not known: did you mean CHAINBOT_CONFIG? (environment CHAINBOT_CONFG)\n",
    ),
    (
        &[("CHAINBOT_WEBHOOKS__1__URI", "x")],
        "CHAINBOT_WEBHOOKS__1__URI is not known: did you mean CHAINBOT_WEBHOOKS__1__URL? \
         (environment CHAINBOT_WEBHOOKS__1__URI)\n",
    ),
    (
        &[("CHAINBOT_WEBHOOKS__17__URL", "http://a")],
        "CHAINBOT_WEBHOOKS__17__URL is not known: did you mean CHAINBOT_WEBHOOKS__1__URL? \
         (environment CHAINBOT_WEBHOOKS__17__URL)\n",
    ),
    (
        &[("CHAINBOT_SERVER__PORT_FILE", "x")],
        "CHAINBOT_SERVER__PORT_FILE is not known: did you mean CHAINBOT_SERVER__PORT? \
         (environment CHAINBOT_SERVER__PORT_FILE)\n",
    ),
    (
        &[("CHAINBOT_WEBHOOKS__2__URL", "http://a")],
        "webhooks[1].url is missing: every [[webhooks]] needs one (environment CHAINBOT_WEBHOOKS__*)\n",
    ),
    (
        &[("AIWM_AGENT_SECRET_FILE", "nowhere")],
        "aiwm.agent_secret is to be read from \"nowhere\": entity not found (environment AIWM_AGENT_SECRET_FILE)\n",
    ),
    (
        &[("AIWM_AGENT_SECRET_FILE", "empty")],
        "aiwm.agent_secret is to be read from \"empty\": the file is empty (environment AIWM_AGENT_SECRET_FILE)\n",
    ),
    (
        &[("HOST", "raspberrypi")],
        "server.host is \"raspberrypi\": must be an IP address or localhost (environment HOST)\n",
    ),
    (
        &[("CHAINBOT_SECURITY__WEBHOOK_SECRETS", "s3cr3t")],
        "security.webhook_secrets: must be whsec_ and the base64 of 24 to 64 bytes \
         (environment CHAINBOT_SECURITY__WEBHOOK_SECRETS)\n",
    ),
];

#[test]
fn every_fault_of_a_file_is_said_in_these_words() {
    for (text, said) in FILES {
        assert_eq!(World::file(text).faults(), *said, "{text}");
    }
}

#[test]
fn every_fault_of_the_environment_is_said_in_these_words() {
    for (variables, said) in VARIABLES {
        let mut world = World::default().with_file("empty", " \n");
        for (name, value) in *variables {
            world = world.with(name, value);
        }
        assert_eq!(world.faults(), *said, "{variables:?}");
    }
}

#[test]
fn what_is_not_toml_is_said_with_line_and_column() {
    let table = [
        ("[server\nport = 1", "line 1 column 8"),
        ("[server]\nport = ", "line 2 column 8"),
        ("[server]\nhost = \"127.0.0.1", "line 2 column 18"),
        ("[server]\n\n  port 9000", "line 3 column"),
        ("server:\n  port: 9000", "line 1 column"),
        ("[server]\nhost = '\u{7}'", "line 2 column"),
    ];
    for (text, place) in table {
        let said = World::file(text).faults();
        assert!(
            said.starts_with("not TOML: ") && said.contains(&format!("(config.toml {place}")),
            "{text}\n{said}"
        );
    }
}

#[test]
fn all_faults_are_said_at_once() {
    let said =
        World::file("[servr]\n[log]\nlevel = 1\nlevel = 2\n[aiwm]\nheartbeat_interval = 0\n[[webhooks]]\n")
            .with("PORT", "x")
            .with("CHAINBOT_LOG_LEVL", "x")
            .faults();
    assert_eq!(said.lines().count(), 7, "{said}");
}

#[test]
fn a_fault_that_a_stronger_source_hides_is_said_too() {
    let said = World::file("[server]\nport = 70000\n").with("PORT", "9000").faults();
    assert_eq!(said, "server.port is 70000: must be 0 to 65535 (config.toml line 2)\n");
}

#[test]
fn more_than_sixteen_webhooks_are_one_fault() {
    let text: String = (0..20).map(|n| format!("[[webhooks]]\nurl = \"http://h{n}\"\n")).collect();
    assert_eq!(
        World::file(&text).faults(),
        "webhooks has 20 entries: must have at most 16 (config.toml line 33)\n"
    );
}

#[test]
fn no_fault_shows_a_secret() {
    let secret = "s3cr3t s3cr3t";
    let long = "s3cr3t".repeat(1_000);
    for value in [secret, long.as_str()] {
        let mut world = World::file(&format!("[[webhooks]]\nurl = \"{value}\"\nsecret = \"{value}\"\n"));
        for key in super::KEYS.iter().filter(|key| key.kind.is_secret()) {
            world = world.with(&key.own_variable(), value);
        }
        let said = world.faults();
        assert!(said.lines().count() > 8 && !said.contains("s3cr3t"), "{said}");
    }
    let good = World::default().with("CHAINBOT_SECURITY__WEBHOOK_SECRETS", SIGNING);
    assert_eq!(good.faults(), "");
}

#[test]
fn what_is_too_long_is_refused_unread() {
    let said = World::file(&"#".repeat(70_000)).faults();
    assert_eq!(said, "config.toml is 70000 bytes long: must be at most 65536\n");
    let said = World::default().with("AGENT_NAME", &"é".repeat(600)).faults();
    assert!(
        said.contains("…\": must be at most 1024 bytes long, has 1200 (environment AGENT_NAME)"),
        "{said}"
    );
    let list = vec!["1"; 70].join(",");
    let said = World::file(&format!("[discord]\nchannel_ids = [{list}]")).faults();
    assert_eq!(said, "discord.channel_ids: must have at most 64 entries, has 70 (config.toml line 2)\n");
}

#[test]
fn no_text_makes_a_panic() {
    // Every truncation and every changed byte of the reference, and of one that uses the rest of the grammar.
    let odd = "[[webhooks]]\nurl='http://ü'\nx.\"y z\"={a=[1,0x2,{b=1979-05-27T00:32:00.9-07:00}]}\n[a.b]\n\"\"='''\n'''\n";
    for text in [super::REFERENCE, odd] {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
            let _ = World::file(&text[..end]).read();
        }
        for (at, replacement) in
            (0..text.len()).step_by(11).zip(['"', '[', '=', '.', '\n', '\u{0}', 'é', '#'].iter().cycle())
        {
            let mut changed = text.to_owned();
            if changed.is_char_boundary(at) && changed.is_char_boundary(at + 1) {
                changed.replace_range(at..=at, &replacement.to_string());
                let _ = World::file(&changed).read();
            }
        }
    }
}
