//! The controller's settings under one spelling: nested or flat, old names or new, they become config keys.

use crate::agent::input::Setting;
use crate::agent::limits::SETTINGS_MAX;
use crate::agent::setup::Secret;
use crate::wire::json::{Json, Kind};
use crate::wire::redact::is_secret_name;

/// Longest key in bytes. Beyond: dropped.
pub(super) const KEY_BYTES_MAX: usize = 64;
/// Longest value in bytes. Beyond: dropped, for half a token is of no use.
pub(super) const VALUE_BYTES_MAX: usize = 2 * 1024;
/// Most bytes of all keys and values. Beyond: the rest is dropped.
const ALL_BYTES_MAX: usize = 32 * 1024;

/// A setting that has a config key.
struct Known {
    /// The names in all generations, without case and punctuation: `claude_maxTurns` and `claude.max_turns` are the same.
    names: &'static [&'static str],
    key: &'static str,
    is_secret: bool,
}

const fn known(names: &'static [&'static str], key: &'static str) -> Known {
    Known { names, key, is_secret: false }
}

const fn secret(names: &'static [&'static str], key: &'static str) -> Known {
    Known { names, key, is_secret: true }
}

const KNOWN: [Known; 11] = [
    known(&["claudemodel"], "claude.model"),
    known(&["claudemaxturns", "maxturns"], "claude.max_turns"),
    known(&["claudepermissionmode", "permissionmode"], "claude.permission_mode"),
    known(&["clauderesume", "resume"], "claude.resume"),
    secret(&["claudeoauthtoken"], "claude.oauth_token"),
    secret(&["discordtoken"], "discord.token"),
    known(&["discordchannelids"], "discord.channel_ids"),
    known(&["discordbotid"], "discord.bot_id"),
    secret(&["telegramtoken", "telegrambottoken"], "telegram.bot_token"),
    known(&["telegramgroupids"], "telegram.group_ids"),
    known(&["telegrambotusername"], "telegram.bot_username"),
];

/// Settings in the order of their keys, each key once. Where both spellings came, the flat one counts, as it does for
/// the server itself. Empty values count as not set.
pub(super) fn normalised(settings: Json<'_>) -> Vec<Setting> {
    let mut found = Found::default();
    for is_flat in [true, false] {
        for (name, value) in settings.fields() {
            if value.kind() != Kind::Object {
                if name.contains('_') == is_flat {
                    found.take(&name, value);
                }
            } else if !is_flat {
                value.fields().for_each(|(child, value)| found.take(&format!("{name}.{child}"), value));
            }
        }
    }
    found.settings.sort_by(|a, b| a.key.cmp(&b.key));
    found.settings
}

/// Whether a value under this key is shown and written only masked.
pub(super) fn is_secret_key(key: &str) -> bool {
    match KNOWN.iter().find(|known| known.key == key) {
        Some(known) => known.is_secret,
        None => is_secret_name(key),
    }
}

#[derive(Default)]
struct Found {
    settings: Vec<Setting>,
    bytes: usize,
}

impl Found {
    fn take(&mut self, name: &str, value: Json<'_>) {
        let Some((value, is_plain)) = text(value) else { return };
        let key = config_key(name).unwrap_or(name);
        let bytes = self.bytes + key.len() + value.len();
        let fits =
            self.settings.len() < SETTINGS_MAX && value.len() <= VALUE_BYTES_MAX && bytes <= ALL_BYTES_MAX;
        if fits && is_key(key) && self.settings.iter().all(|setting| setting.key != key) {
            let is_secret = !is_plain || is_secret_key(key);
            self.settings.push(Setting { key: key.to_owned(), value: Secret(value), is_secret });
            self.bytes = bytes;
        }
    }
}

pub(super) fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn config_key(name: &str) -> Option<&'static str> {
    let bare: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    KNOWN.iter().find(|known| known.names.contains(&bare.as_str())).map(|known| known.key)
}

/// A value as text, and whether it is plain: a text, number, boolean, or a list of these joined by commas. Of anything
/// deeper it is not known what it holds, so it counts as secret.
fn text(value: Json<'_>) -> Option<(String, bool)> {
    let text = match value.kind() {
        Kind::Null => None,
        Kind::List => match value.items().map(scalar).collect::<Option<Vec<_>>>() {
            Some(items) => Some((items.join(","), true)),
            None => Some((value.compact(), false)),
        },
        Kind::Object => Some((value.compact(), false)),
        _ => scalar(value).map(|text| (text, true)),
    };
    text.filter(|(text, _)| !text.trim().is_empty())
}

fn scalar(value: Json<'_>) -> Option<String> {
    match value.kind() {
        Kind::Text => value.text().map(std::borrow::Cow::into_owned),
        Kind::Number | Kind::Bool => Some(value.raw().to_owned()),
        _ => None,
    }
}
