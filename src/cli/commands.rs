//! The one table of everything that can be typed. The parser, every `--help` and what is made of it elsewhere (manual
//! page, completions) read it; nothing about a command is written a second time.

/// An option of a command, or of all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Opt {
    /// Long name without dashes.
    pub long: &'static str,
    /// Short name without dash.
    pub short: Option<char>,
    /// What the value is called in the help; `None`: the option takes none.
    pub value: Option<&'static str>,
    /// One line for people.
    pub summary: &'static str,
}

/// A command: what it is called, what it takes, and how it is used.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// One or two words.
    pub name: &'static str,
    /// Names of what follows the options, in order; in brackets if it may be left out.
    pub operands: &'static [&'static str],
    /// One line for the list of commands.
    pub summary: &'static str,
    /// What someone should know before typing it, may be empty.
    pub about: &'static str,
    /// Options beside the ones of all commands.
    pub options: &'static [Opt],
    /// What to type, and what that does.
    pub examples: &'static [(&'static str, &'static str)],
}

impl Command {
    /// How many operands may follow.
    #[must_use]
    pub fn operands_max(&self) -> usize {
        self.operands.len()
    }

    /// How many operands must follow.
    #[must_use]
    pub fn operands_min(&self) -> usize {
        self.operands.iter().filter(|name| !name.starts_with('[')).count()
    }
}

const fn flag(long: &'static str, summary: &'static str) -> Opt {
    Opt { long, short: None, value: None, summary }
}

const fn option(long: &'static str, value: &'static str, summary: &'static str) -> Opt {
    Opt { long, short: None, value: Some(value), summary }
}

const JSON: Opt = flag("json", "Print JSON for programs instead of text for people");

/// Options that every command takes, before or after its name.
pub const GLOBAL: &[Opt] = &[
    Opt {
        long: "config",
        short: Some('c'),
        value: Some("FILE"),
        summary: "Read this file instead of looking for one (CHAINBOT_CONFIG, ./config.toml, /etc/chainbot/config.toml)",
    },
    Opt { long: "help", short: Some('h'), value: None, summary: "Say what can be typed here, with examples" },
    Opt { long: "version", short: Some('V'), value: None, summary: "Print the version" },
];

const DRY_RUN: Opt = flag("dry-run", "Change nothing, only say what would be done");

const SECRET: Opt = option(
    "secret",
    "WHSEC",
    "The signing secret (whsec_...). Others can see it in the list of processes: prefer CHAINBOT_WEBHOOK_SECRET",
);
const ID: Opt = option("id", "ID", "The webhook-id");
const TIMESTAMP: Opt = option("timestamp", "SECONDS", "The webhook-timestamp, in seconds since 1970");

/// Every command, in the order of the help. Names of two words share their first.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "run",
        operands: &[],
        summary: "Run the agent until it is stopped (also without any command)",
        about: "SIGTERM and SIGINT: a last report, goodbye to the controller, everything durable, gone within 2 seconds; a second one ends it at once. SIGHUP reads the config again; a faulty one is reported and the old one stays in force. The log goes to stderr.",
        options: &[],
        examples: &[
            ("chainbot", "run with the first config file found, or with the defaults"),
            ("chainbot run --config /etc/chainbot/config.toml", "run with this one"),
        ],
    },
    Command {
        name: "check",
        operands: &[],
        summary: "Check the config file and the environment, and name every fault",
        about: "Prints all faults at once, each with its line and, for a mistyped key, the nearest right name. Ends with 78 if there is any.",
        options: &[],
        examples: &[(
            "chainbot check --config new.toml && systemctl reload chainbot",
            "check before it is used",
        )],
    },
    Command {
        name: "config show",
        operands: &[],
        summary: "Print each value in force and where it came from, secrets masked",
        about: "Shows what this file and this environment make. Settings from the controller are asked of the running agent, if there is one.",
        options: &[JSON],
        examples: &[
            ("chainbot config show", "every value and its origin"),
            ("AIWM_ENABLED=true chainbot config show | grep ^aiwm", "what a variable would change"),
        ],
    },
    Command {
        name: "config docs",
        operands: &[],
        summary: "Print every key with its type, unit, default and variable",
        about: "",
        options: &[],
        examples: &[("chainbot config docs | less", "read about all keys")],
    },
    Command {
        name: "status",
        operands: &[],
        summary: "Ask the running agent how it is",
        about: "Ends with 69 if no agent answers at the address of the config.",
        options: &[JSON],
        examples: &[
            ("chainbot status", "for people"),
            ("chainbot status --json", "the whole of it, for programs"),
        ],
    },
    Command {
        name: "events",
        operands: &[],
        summary: "Print the events that the ledger keeps, oldest first",
        about: "One line per event: time, severity, type, id, message; with --json one object per line. Asks the running agent; if none runs, reads the ledger file.",
        options: &[
            Opt {
                long: "follow",
                short: Some('f'),
                value: None,
                summary: "Go on with new events as they come, also over restarts of the agent",
            },
            option(
                "since",
                "ID",
                "Begin after the event with this id (default: the oldest kept; with --follow, the newest)",
            ),
            option("type", "TYPE", "Only this type; a prefix ending in *; several with commas"),
            option("severity", "S", "Only info, warning, error or critical; several with commas"),
            Opt { long: "limit", short: Some('n'), value: Some("N"), summary: "Stop after this many events" },
            JSON,
        ],
        examples: &[
            ("chainbot events", "all that are kept"),
            ("chainbot events --follow --severity warning,error,critical", "watch for trouble"),
            ("chainbot events --type 'workflow_*' --json", "for programs"),
        ],
    },
    Command {
        name: "chat",
        operands: &["[TEXT]"],
        summary: "Talk with a model through the running agent",
        about: "With TEXT one answer, without it a conversation line by line. What comes through a pipe is the text, or goes behind TEXT. The answer is printed as it comes; Ctrl-C stops it, and a second one, or the end of input, ends the conversation. The agent keeps what was said under the name of --agent. Calls of tools about which a person is asked are put to you.",
        options: &[
            option(
                "agent",
                "NAME",
                "The conversation to go on with, 1 to 64 of A-Z a-z 0-9 . _ - (default: terminal)",
            ),
            option("model", "MODEL", "Ask for this model"),
            option("persona", "NAME", "general_assistant, code_assistant, creative_writer or analyst"),
        ],
        examples: &[
            ("chainbot chat", "a conversation"),
            ("chainbot chat --agent porch How-warm-is-it", "one question to a conversation of its own"),
            (
                "chainbot events -n 50 | chainbot chat What-went-wrong",
                "a question about something else's output",
            ),
        ],
    },
    Command {
        name: "approvals",
        operands: &[],
        summary: "List the calls of tools about which a person is asked, allow or refuse one",
        about: "An id that nobody waits for any more ends with 69.",
        options: &[
            option("allow", "ID", "Allow this call"),
            option("refuse", "ID", "Refuse this call"),
            JSON,
        ],
        examples: &[
            ("chainbot approvals", "what waits"),
            ("chainbot approvals --allow 000000000042-deadbeef", "let it be done"),
        ],
    },
    Command {
        name: "token create",
        operands: &["NAME"],
        summary: "Make a token for a caller, and print it this once",
        about: "An API key, or with --jwt a JSON Web Token. Only its hash, or its id, is kept in the state folder; run it as the user whose the folder is, or as root. A running agent knows it within a second.",
        options: &[
            option("role", "ROLE", "What it allows: viewer, operator or admin"),
            option(
                "days",
                "N",
                "How long it is good (default: an API key until it is revoked, a JSON Web Token 90)",
            ),
            flag("jwt", "Make a JSON Web Token, signed with the key in use"),
        ],
        examples: &[
            ("chainbot token create phone --role viewer", "a key that may look"),
            ("chainbot token create ci --role operator --days 30 --jwt", "a token that ends by itself"),
        ],
    },
    Command {
        name: "token list",
        operands: &[],
        summary: "List the tokens that were made, none of their secrets",
        about: "Ends with 65 if a line of the file is damaged: such a line opens nothing.",
        options: &[JSON],
        examples: &[("chainbot token list", "who may call")],
    },
    Command {
        name: "token revoke",
        operands: &["TOKEN"],
        summary: "Take a token back, by its id or name",
        about: "What was given for it by a login goes with it. A running agent knows within a second.",
        options: &[],
        examples: &[("chainbot token revoke phone", "the phone was lost")],
    },
    Command {
        name: "token rotate",
        operands: &[],
        summary: "Make a new key that signs JSON Web Tokens",
        about: "The one before is still taken until the next rotation, the one before that is forgotten, and what it signed with it.",
        options: &[],
        examples: &[("chainbot token rotate", "twice, to end every JSON Web Token")],
    },
    Command {
        name: "webhook sign",
        operands: &["FILE"],
        summary: "Print the Standard Webhooks headers that sign a body",
        about: "FILE is - for standard input. Without --id and --timestamp, fresh ones are made.",
        options: &[SECRET, ID, TIMESTAMP],
        examples: &[("chainbot webhook sign --secret whsec_... body.json", "headers for curl's -H")],
    },
    Command {
        name: "webhook verify",
        operands: &["FILE"],
        summary: "Check a body against its Standard Webhooks headers",
        about: "Ends with 65 if the signature does not fit. The age is checked only with --fresh.",
        options: &[
            SECRET,
            ID,
            TIMESTAMP,
            option("signature", "TEXT", "The webhook-signature: one or more v1,... with spaces between"),
            flag("fresh", "Refuse a timestamp that is more than 5 minutes away"),
        ],
        examples: &[(
            "chainbot webhook verify --secret whsec_... --id msg_1 --timestamp 1649367553 --signature v1,... -",
            "check what was received",
        )],
    },
    Command {
        name: "webhook send",
        operands: &["[URL]"],
        summary: "Post a webhook, to the running agent if no URL is given",
        about: "Signed if there is a secret (given, or configured for the running agent).",
        options: &[
            option("type", "TYPE", "The event type (default: test)"),
            option("data", "JSON", "An object: further fields of the body"),
            SECRET,
            option("id", "ID", "The webhook-id: the same id again is one event (default: a fresh one)"),
        ],
        examples: &[
            (
                "chainbot webhook send --type door_opened --data '{\"door\":3}'",
                "an event for the running agent",
            ),
            (
                "chainbot webhook send http://10.0.0.7:8080/hook --secret whsec_...",
                "try an endpoint of your own",
            ),
        ],
    },
    Command {
        name: "ledger verify",
        operands: &["[PATH]"],
        summary: "Check every page and record of the ledger file",
        about: "Only while the agent is stopped. Ends with 65 if anything is damaged.",
        options: &[flag("quiet", "Print nothing but what is wrong")],
        examples: &[("chainbot ledger verify", "the file of the config")],
    },
    Command {
        name: "ledger stats",
        operands: &["[PATH]"],
        summary: "Print what the ledger file holds",
        about: "Only while the agent is stopped (ask `chainbot status` while it runs).",
        options: &[],
        examples: &[("chainbot ledger stats", "events, cursors, bytes")],
    },
    Command {
        name: "ledger compact",
        operands: &["[PATH]"],
        summary: "Make the ledger file as small as its content",
        about: "Only while the agent is stopped.",
        options: &[],
        examples: &[(
            "systemctl stop chainbot && chainbot ledger compact && systemctl start chainbot",
            "give space back",
        )],
    },
    Command {
        name: "ledger salvage",
        operands: &["FROM", "TO"],
        summary: "Copy every record whose checksum holds into a new file",
        about: "The agent does this by itself when it meets a damaged file; this is for the ones that it put aside. TO must not exist.",
        options: &[],
        examples: &[("chainbot ledger salvage ledger.corrupt-1 rescued.redb", "what can still be read")],
    },
    Command {
        name: "service install",
        operands: &[],
        summary: "Make this program a service of the machine, and start it",
        about: "For a program that was copied here by hand; packages bring their own service. Copies the program to /usr/local/bin, writes the default config if there is none, and the unit or script for systemd, OpenRC or SysV init, whichever runs here. Says each thing that it does.",
        options: &[DRY_RUN],
        examples: &[
            ("chainbot service install --dry-run", "only say what would be done"),
            ("sudo ./chainbot service install", "do it"),
        ],
    },
    Command {
        name: "service uninstall",
        operands: &[],
        summary: "Stop the service and remove what `service install` made",
        about: "Config and ledger stay.",
        options: &[DRY_RUN],
        examples: &[("sudo chainbot service uninstall", "the program goes, too")],
    },
    Command {
        name: "service status",
        operands: &[],
        summary: "Say which service runs the agent here, and whether it runs",
        about: "Ends with 69 if it does not run.",
        options: &[],
        examples: &[("chainbot service status", "also for a service of a package")],
    },
    Command {
        name: "version",
        operands: &[],
        summary: "Print version, commit, target and build time",
        about: "",
        options: &[],
        examples: &[("chainbot version", "what to write into a bug report")],
    },
    Command {
        name: "help",
        operands: &["[COMMAND]", "[COMMAND]"],
        summary: "Say what can be typed, with examples",
        about: "",
        options: &[],
        examples: &[("chainbot help events", "the same as chainbot events --help")],
    },
];

/// Exit codes and what they mean, as the help lists them (BSD sysexits where one fits).
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "something else failed"),
    (64, "the command line is wrong"),
    (65, "the data is wrong: a signature, a damaged ledger"),
    (69, "the agent or the peer is not reachable, or refused"),
    (73, "a file could not be made"),
    (74, "reading or writing failed"),
    (78, "the config is wrong"),
];

/// The command with exactly this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The commands whose names begin with `word` and have a second.
pub fn group(word: &str) -> impl Iterator<Item = &'static Command> + Clone {
    COMMANDS
        .iter()
        .filter(move |command| command.name.split_once(' ').is_some_and(|(first, _)| first == word))
}

/// The command behind no command at all.
#[must_use]
pub fn default_command() -> &'static Command {
    &COMMANDS[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_speaks_of_each_thing_once_and_completely() {
        for (index, command) in COMMANDS.iter().enumerate() {
            assert!(
                !COMMANDS[..index].iter().any(|other| other.name == command.name),
                "{} twice",
                command.name
            );
            assert!(!command.examples.is_empty(), "{} has no example", command.name);
            for option in command.options {
                let clash = GLOBAL.iter().any(|global| {
                    global.long == option.long || option.short.is_some() && global.short == option.short
                });
                assert!(!clash, "--{} of {} hides a global option", option.long, command.name);
            }
        }
        assert_eq!(default_command().name, "run");
        assert_eq!(group("webhook").count(), 3);
        assert_eq!(group("token").count(), 4);
        assert_eq!(find("ledger salvage").map(Command::operands_min), Some(2));
        assert_eq!(find("webhook send").map(Command::operands_min), Some(0));
    }

    #[test]
    fn every_example_is_a_command_line_that_parses() {
        for command in COMMANDS {
            for (line, _) in command.examples {
                let own = line
                    .rsplit("&& ")
                    .find(|part| part.contains("chainbot ") || *part == "chainbot")
                    .unwrap_or(line);
                let own = own.split(" | ").next().unwrap_or(own);
                let words = own.split_whitespace().skip_while(|word| *word != "chainbot").skip(1);
                if own.contains("systemctl") {
                    continue;
                }
                let parsed = super::super::args::parse(words.map(Into::into));
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
    }
}
