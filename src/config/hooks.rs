//! The `[[webhooks]]`: users' own endpoints, from the file and the environment, checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::datum::Datum;
use super::fault::Fault;
use super::sources::{Sources, Value};
use super::table::WEBHOOKS;
use super::url;
use crate::agent::event::EventFilter;
use crate::agent::ids::hex;
use crate::agent::limits::EVENT_TYPE_BYTES_MAX;
use crate::agent::setup::{HookSetup, Secret};
use crate::agent::time::SECOND_MS;

const SECRET_RULE: &str = "must be whsec_ and the base64 of 24 to 64 bytes";
const TYPE_RULE: &str =
    "must be event types of A-Z a-z 0-9 . _ -, up to 64 characters, or prefixes ending in *";

/// Reads every `[[webhooks]]`; the values, in the order of the entries, go to `values`.
pub fn read(sources: &Sources<'_>, values: &mut Vec<Value>, faults: &mut Vec<Fault>) -> Vec<HookSetup> {
    let mut hooks: Vec<HookSetup> = Vec::new();
    for (index, entry) in sources.items(&WEBHOOKS, faults).into_iter().enumerate() {
        check(index, &entry, sources, faults);
        let hook = build(&entry);
        if let Some(first) = hooks.iter().position(|other| !hook.url.0.is_empty() && other.url == hook.url) {
            faults.push(Fault::Same {
                list: WEBHOOKS.name,
                key: "url",
                second: index + 1,
                first: first + 1,
                place: entry[0].origin.clone(),
            });
        }
        hooks.push(hook);
        values.extend(entry);
    }
    hooks
}

fn check(index: usize, entry: &[Value], sources: &Sources<'_>, faults: &mut Vec<Fault>) {
    for value in entry {
        match &value.datum {
            Datum::Secret(url) if url.0.is_empty() && !value.is_refused => faults.push(Fault::Missing {
                key: value.name.clone(),
                because: "every [[webhooks]] needs one",
                place: sources.place_of(&WEBHOOKS, index, entry),
            }),
            Datum::Secrets(_) => check_secrets(value, faults),
            Datum::List(types) if !types.iter().all(|pattern| is_pattern(pattern)) => {
                faults.push(Fault::Wrong {
                    key: value.name.clone(),
                    shown: None,
                    rule: TYPE_RULE,
                    place: value.origin.clone(),
                })
            }
            _ => {}
        }
    }
}

/// Every secret of the list must be one that signs.
pub fn check_secrets(value: &Value, faults: &mut Vec<Fault>) {
    let Datum::Secrets(secrets) = &value.datum else { return };
    if !secrets.iter().all(|secret| is_signing_secret(&secret.0)) {
        faults.push(Fault::Wrong {
            key: value.name.clone(),
            shown: None,
            rule: SECRET_RULE,
            place: value.origin.clone(),
        });
    }
}

/// Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes.
fn is_signing_secret(text: &str) -> bool {
    let bytes = text.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
    bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len()))
}

fn is_pattern(pattern: &str) -> bool {
    let bare = pattern.strip_suffix('*').unwrap_or(pattern);
    pattern.len() <= EVENT_TYPE_BYTES_MAX
        && !pattern.is_empty()
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn build(entry: &[Value]) -> HookSetup {
    let mut hook = HookSetup::default();
    for value in entry {
        match &value.datum {
            Datum::Secret(url) => hook.url = url.clone(),
            Datum::Secrets(secrets) => hook.secrets.clone_from(secrets),
            Datum::List(types) => {
                hook.filter = EventFilter { kinds: types.clone(), ..EventFilter::default() }
            }
            Datum::Int(seconds) => hook.request_timeout_ms = seconds.unsigned_abs() * SECOND_MS,
            Datum::Text(_) | Datum::Bool(_) => {}
        }
    }
    hook.key = key_of(&hook.url);
    hook.shown_url = url::shown(&hook.url.0);
    hook
}

/// The stable name of the cursor of a URL: the first 16 hex digits of its SHA-256.
fn key_of(url: &Secret) -> String {
    hex(&hmac_sha256::Hash::hash(url.0.as_bytes())[..8])
}
