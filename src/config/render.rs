//! What a person reads: the faults, the effective values, the documentation of every key. Secrets are masked here.

use std::fmt::Write;

use super::datum::Datum;
use super::fault::Fault;
use super::noeffect::{NO_EFFECT_KEYS, NO_EFFECT_VARIABLES};
use super::sources::Value;
use super::table::{KEYS, Key, Kind, LISTS, SECTIONS};
use super::url;
use crate::agent::event::push_json_string;
use crate::agent::setup::Secret;

/// Shortest secret in characters of which the last four are shown.
const SHOWN_SECRET_CHARS_MIN: usize = 16;
/// Values are padded to this width at most, in characters; a longer one moves its origin to the right.
const VALUE_WIDTH_MAX: usize = 40;

/// One line for each fault.
#[must_use]
pub fn faults_text(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

/// One line for each value: name, value with its unit, origin.
#[must_use]
pub fn show_text(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().map(shown_with_unit).collect();
    let name_width = values.iter().map(|value| value.name.len()).max().unwrap_or(0);
    let value_width = shown.iter().map(|text| text.chars().count()).max().unwrap_or(0).min(VALUE_WIDTH_MAX);
    let mut text = String::new();
    for (value, shown) in values.iter().zip(&shown) {
        let _ = writeln!(text, "{:name_width$}  {shown:value_width$}  {}", value.name, value.origin);
    }
    text
}

fn shown_with_unit(value: &Value) -> String {
    let unit = value.key.kind.unit();
    let gap = if unit.is_empty() { "" } else { " " };
    format!("{}{gap}{unit}", shown(value))
}

fn shown(value: &Value) -> String {
    match &value.datum {
        Datum::Text(text) if matches!(value.key.kind, Kind::Number { .. }) => text.clone(),
        Datum::Text(text) => format!("{text:?}"),
        Datum::Int(number) => number.to_string(),
        Datum::Bool(yes) => yes.to_string(),
        Datum::List(list) => format!("{list:?}"),
        Datum::Secret(secret) => masked_value(&value.key.kind, secret).unwrap_or_else(not_set),
        Datum::Secrets(secrets) if secrets.is_empty() => not_set(),
        Datum::Secrets(secrets) => secrets.iter().map(masked).collect::<Vec<_>>().join(", "),
    }
}

fn not_set() -> String {
    "(not set)".to_owned()
}

fn masked_value(kind: &Kind, secret: &Secret) -> Option<String> {
    match kind {
        _ if secret.0.is_empty() => None,
        Kind::SecretUrl(_) => Some(url::shown(&secret.0)),
        _ => Some(masked(secret)),
    }
}

/// Stars, and the last four characters of a secret that is long enough to spare them.
fn masked(secret: &Secret) -> String {
    let chars = secret.0.chars().count();
    let spared = if chars >= SHOWN_SECRET_CHARS_MIN { 4 } else { 0 };
    let tail: String = secret.0.chars().skip(chars - spared).collect();
    format!("****{tail}")
}

/// One JSON object: `{"server.port":{"value":9000,"unit":"","origin":"default"},...}`. A secret that is not set is null.
#[must_use]
pub fn show_json(values: &[Value]) -> String {
    let mut text = String::from("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_json_string(&mut text, &value.name);
        text.push_str(":{\"value\":");
        push_json_value(&mut text, value);
        text.push_str(",\"unit\":");
        push_json_string(&mut text, value.key.kind.unit());
        text.push_str(",\"origin\":");
        push_json_string(&mut text, &value.origin.to_string());
        text.push('}');
    }
    text.push('}');
    text
}

fn push_json_value(text: &mut String, value: &Value) {
    match &value.datum {
        Datum::Text(number) if matches!(value.key.kind, Kind::Number { .. }) => {
            // `.5` and `1.` are numbers to us and none to JSON.
            let _ = write!(text, "{}", number.parse::<f64>().unwrap_or(0.0));
        }
        Datum::Text(value) => push_json_string(text, value),
        Datum::Int(number) => {
            let _ = write!(text, "{number}");
        }
        Datum::Bool(yes) => text.push_str(if *yes { "true" } else { "false" }),
        Datum::List(list) => push_json_list(text, list.iter().cloned()),
        Datum::Secret(secret) => match masked_value(&value.key.kind, secret) {
            Some(masked) => push_json_string(text, &masked),
            None => text.push_str("null"),
        },
        Datum::Secrets(secrets) => push_json_list(text, secrets.iter().map(masked)),
    }
}

fn push_json_list(text: &mut String, entries: impl Iterator<Item = String>) {
    text.push('[');
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_json_string(text, &entry);
    }
    text.push(']');
}

const DOCS_HEAD: &str = "\
# Configuration

Made by `chainbot config docs` from the table in `src/config/table.rs`; a test keeps this page equal to it.
`config.toml` at the root of the repository is the same as a commented file.

The config file is the argument of `--config`, else `CHAINBOT_CONFIG`, else `./config.toml`, else
`/etc/chainbot/config.toml`. A file that is named must exist; without any file the defaults run an agent that stands alone.

A value is taken from the first of these that gives one:

1. AIWM's settings, for the sections `claude`, `discord` and `telegram`;
2. the environment: `CHAINBOT_<SECTION>__<KEY>`, then the documents' own names in the order of the table;
3. for a secret, the systemd credential `<section>.<key>` in `$CREDENTIALS_DIRECTORY`;
4. the config file;
5. the default.

Every secret may stand in a file of its own: `<key>_file` in the config file, or the variable's name and `_FILE`, names it.
Blanks around its content are dropped. A relative name begins at the working folder.

In the environment a list is separated by commas; `true`, `1`, `yes`, `on` and `false`, `0`, `no`, `off` are booleans; a
variable of the documents that is empty counts as not set, an empty `CHAINBOT_<SECTION>__<KEY>` sets the empty value.

`chainbot check` names every fault at once; a section, a key or a `CHAINBOT_` variable that is not in these tables is one.
`chainbot config show` prints each value and where it came from.
";

const DOCS_WEBHOOK_URL: &str = "
Health reports go to `alex_os.webhook_url` only if it is another machine's. It is this agent's own if its port is
`server.port` and its host is an address or a name of this machine, loopback, `0.0.0.0`, `::` or `localhost`; the placeholder
`your-pi-ip` counts as own, whatever the port.
";

/// Every key with type, default and environment names, as Markdown: the text of `docs/configuration.md`.
#[must_use]
pub fn docs_text() -> String {
    let mut text = String::from(DOCS_HEAD);
    for (section, doc) in SECTIONS {
        let _ = write!(text, "\n## [{section}]\n\n{doc}.\n\n");
        push_rows(&mut text, KEYS.iter().filter(|key| key.section == *section));
        if *section == "alex_os" {
            text.push_str(DOCS_WEBHOOK_URL);
        }
    }
    for list in LISTS {
        let first = &list.keys[0];
        let _ = write!(
            text,
            "\n## [[{}]]\n\n{}. The environment names them by their place\nfrom 1, as `{}`, and a credential is \
             `{}.1.<key>`.\n\n",
            list.name,
            list.doc,
            list.variable(1, first),
            list.name,
        );
        push_rows(&mut text, list.keys.iter());
    }
    text.push_str("\n## Taken without an effect\n\nNames of the documents that have no meaning here; each is noted at the start.\n\n");
    text.push_str("| name | why |\n| --- | --- |\n");
    for no_effect in NO_EFFECT_VARIABLES.iter().chain(NO_EFFECT_KEYS) {
        let _ = writeln!(text, "| `{}` | {} |", no_effect.name, no_effect.why);
    }
    text
}

fn push_rows(text: &mut String, keys: impl Iterator<Item = &'static Key>) {
    text.push_str(
        "| key | type | unit | default | environment | what it is |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for key in keys {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            key.name,
            type_text(&key.kind),
            key.kind.unit(),
            default_text(key),
            variables_text(key),
            key.doc,
        );
    }
}

fn type_text(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Url(schemes) => format!("URL ({})", schemes.join(", ")),
        Kind::SecretUrl(schemes) => format!("URL ({}), secret", schemes.join(", ")),
        Kind::Int { min, max, .. } => format!("integer, {min} to {max}"),
        Kind::Number { min, max } => format!("number, {min} to {max}"),
        Kind::Bool => "boolean".to_owned(),
        Kind::List => "list of texts".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Address => "IP address or `localhost`".to_owned(),
        Kind::Secret => "text, secret".to_owned(),
        Kind::Secrets => "text or list of texts, secret".to_owned(),
        Kind::Choice { words, .. } => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
    }
}

fn default_text(key: &Key) -> String {
    match key.kind {
        _ if key.default.is_empty() => "empty".to_owned(),
        Kind::List => key.default.split(',').map(|entry| format!("`{entry}`")).collect::<Vec<_>>().join(", "),
        _ => format!("`{}`", key.default),
    }
}

fn variables_text(key: &Key) -> String {
    let list = LISTS.iter().find(|list| list.name == key.section);
    let own = list.map_or_else(|| key.own_variable(), |list| list.variable(1, key));
    let names = std::iter::once(own).chain(key.variables.iter().map(|name| (*name).to_owned()));
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
