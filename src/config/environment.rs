//! The environment: which variables set which key, and which only look as if they did.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::nearest::nearest;
use super::noeffect::{NO_EFFECT_VARIABLES, NoEffect};
use super::places::CONFIG_VARIABLE;
use super::table::{KEYS, Key, LISTS, List};

/// The environment by name. Values are trimmed; an empty one of the documents' names counts as not set.
pub struct Environment<'a> {
    variables: BTreeMap<&'a str, &'a str>,
}

/// Names that a container platform makes for a service called `chainbot`.
const PLATFORM_PREFIXES: [&str; 3] = ["CHAINBOT_SERVICE_", "CHAINBOT_PORT_", "CHAINBOT_ENV_"];
/// Prefixes of the documents under which an unknown name is worth a note.
const NOTED_PREFIXES: [&str; 4] = ["AIWM_", "ALEX_OS_", "MACLINK_", "OPENAI_"];

impl<'a> Environment<'a> {
    /// From pairs of name and value.
    pub fn new(pairs: &'a [(String, String)]) -> Self {
        Self { variables: pairs.iter().map(|(name, value)| (name.as_str(), value.trim())).collect() }
    }

    /// The value of a variable, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name).copied().filter(|value| !value.is_empty())
    }

    /// The value that sets a key, and the variable that gives it. `own` may be empty on purpose.
    pub fn of_key(&self, own: &str, variables: &[&str]) -> Option<(String, &'a str)> {
        let own_value = self.variables.get(own).map(|value| (own.to_owned(), *value));
        own_value.or_else(|| variables.iter().find_map(|name| Some(((*name).to_owned(), self.get(name)?))))
    }

    /// The file that holds a secret, and the variable that names it.
    pub fn file_of_key(&self, own: &str, variables: &[&str]) -> Option<(String, &'a str)> {
        let names = std::iter::once(own).chain(variables.iter().copied()).map(|name| format!("{name}_FILE"));
        names.into_iter().find_map(|name| self.get(&name).map(|path| (name, path)))
    }

    /// The number of sections of a list that the environment speaks of: the greatest of its places, at most `max`.
    pub fn items(&self, list: &'static List) -> usize {
        self.variables.keys().filter_map(|name| place_in(list, name)).max().unwrap_or(0)
    }

    /// Reports every `CHAINBOT_` variable that means nothing; others of the documents go to `notes`.
    pub fn check_names(&self, faults: &mut Vec<Fault>, notes: &mut Vec<String>) {
        for (name, value) in &self.variables {
            if is_known(name) {
                continue;
            }
            if let Some(no_effect) = NO_EFFECT_VARIABLES.iter().find(|candidate| matches(candidate, name)) {
                notes.push(format!("environment {name} has no effect: {}", no_effect.why));
            } else if name.starts_with("CHAINBOT_") && !is_platforms(name, value) {
                faults.push(Fault::UnknownVariable {
                    name: (*name).to_owned(),
                    nearest: nearest_variable(name),
                });
            } else if NOTED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                let hint =
                    nearest_variable(name).map(|name| format!(": did you mean {name}?")).unwrap_or_default();
                notes.push(format!("environment {name} is not read{hint}"));
            }
        }
    }
}

fn is_platforms(name: &str, value: &str) -> bool {
    let is_link = value.starts_with("tcp://") || value.starts_with("udp://");
    (name == "CHAINBOT_PORT" && is_link) || PLATFORM_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn matches(no_effect: &NoEffect, name: &str) -> bool {
    match no_effect.name.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => no_effect.name == name,
    }
}

/// Every name that sets `key`, without the forms that name a file.
fn names_of(key: &Key) -> impl Iterator<Item = String> {
    std::iter::once(key.own_variable()).chain(key.variables.iter().map(|name| (*name).to_owned()))
}

fn is_known(name: &str) -> bool {
    name == CONFIG_VARIABLE
        || LISTS.iter().any(|list| place_in(list, name).is_some())
        || KEYS.iter().any(|key| {
            let bare = if key.kind.is_secret() { name.strip_suffix("_FILE").unwrap_or(name) } else { name };
            names_of(key).any(|known| known == name || known == bare)
        })
}

/// The place that a well-formed variable of a list speaks of, like `CHAINBOT_WEBHOOKS__<place>__<KEY>`.
fn place_in(list: &'static List, name: &str) -> Option<usize> {
    let (place, key) = name.strip_prefix(&list.prefix())?.split_once("__")?;
    let place = place.parse().ok().filter(|place| (1..=list.max).contains(place))?;
    let is_known = list.keys.iter().any(|known| {
        let bare = if known.kind.is_secret() { key.strip_suffix("_FILE").unwrap_or(key) } else { key };
        known.name.eq_ignore_ascii_case(bare) && bare.bytes().all(|b| !b.is_ascii_lowercase())
    });
    is_known.then_some(place)
}

fn nearest_variable(name: &str) -> Option<String> {
    for list in LISTS {
        if let Some(key) = name.strip_prefix(&list.prefix()).and_then(|rest| rest.split_once("__")) {
            let best = nearest(key.1, list.keys.iter().map(|key| key.name.to_ascii_uppercase()))?;
            return Some(format!("{}1__{best}", list.prefix()));
        }
    }
    // `CHAINBOT_PORT`: right but for its section.
    let bare = name.strip_prefix("CHAINBOT_");
    if let Some(key) = KEYS.iter().find(|key| bare.is_some_and(|bare| key.name.eq_ignore_ascii_case(bare))) {
        return Some(key.own_variable());
    }
    let secret_files =
        KEYS.iter().filter(|key| key.kind.is_secret()).flat_map(names_of).map(|name| name + "_FILE");
    nearest(name, KEYS.iter().flat_map(names_of).chain(secret_files).chain([CONFIG_VARIABLE.to_owned()]))
}
