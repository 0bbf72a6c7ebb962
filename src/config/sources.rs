//! One key at a time: which of the sources sets it. The environment over a credential over the file over the default.

use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::Inputs;
use super::datum::{self, Datum, Why};
use super::environment::Environment;
use super::fault::Fault;
use super::file::{Entry, File};
use super::origin::Origin;
use super::table::{Key, Kind, List};
use super::url;

/// Most characters of a refused value that a fault shows.
const SHOWN_CHARS_MAX: usize = 80;

/// A key's value and where it came from. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// `section.key`, or `webhooks[1].key` with the entry's place from 1.
    pub name: String,
    /// Its row of the table.
    pub key: &'static Key,
    /// The value.
    pub datum: Datum,
    /// Who gave it.
    pub origin: Origin,
    /// What was given is refused, and the default stands here until that is mended.
    pub(super) is_refused: bool,
}

/// Everything that may set a key.
pub struct Sources<'a> {
    /// The environment.
    pub environment: Environment<'a>,
    /// The config file, if there is one and it can be read.
    pub file: Option<File<'a>>,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    credentials: Option<PathBuf>,
}

/// What is looked up: a row of the table and the names that it goes by.
struct Slot {
    name: String,
    key: &'static Key,
    own_variable: String,
    credential: String,
    /// The list and the place in it, from 0.
    item: Option<(&'static List, usize)>,
}

type Read = Result<(Datum, Origin), Box<Fault>>;

impl<'a> Sources<'a> {
    /// Parses the file; what is wrong with it goes to `faults`.
    pub fn new(inputs: &'a Inputs<'a>, faults: &mut Vec<Fault>) -> Self {
        let environment = Environment::new(inputs.environment);
        let credentials = environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let file = inputs.file.and_then(|(name, text)| File::parse(name, text, faults));
        Self { environment, file, read: inputs.read, credentials }
    }

    /// The value of a key outside of the lists.
    pub fn value(&self, key: &'static Key, faults: &mut Vec<Fault>) -> Value {
        let name = key.full_name();
        self.resolve(
            Slot { credential: name.clone(), own_variable: key.own_variable(), name, key, item: None },
            faults,
        )
    }

    /// The value of a key of the `index`th section of a list, from 0.
    pub fn item_value(
        &self,
        list: &'static List,
        index: usize,
        key: &'static Key,
        faults: &mut Vec<Fault>,
    ) -> Value {
        let place = index + 1;
        let slot = Slot {
            name: format!("{}[{place}].{}", list.name, key.name),
            key,
            own_variable: list.variable(place, key),
            credential: format!("{}.{place}.{}", list.name, key.name),
            item: Some((list, index)),
        };
        self.resolve(slot, faults)
    }

    /// The values of every section of a list, in order; more than there may be is a fault.
    pub fn items(&self, list: &'static List, faults: &mut Vec<Fault>) -> Vec<Vec<Value>> {
        let in_file = self.file.as_ref().map_or(0, |file| file.items(list).count());
        let first_too_many = self.file.as_ref().and_then(|file| file.items(list).nth(list.max));
        if let Some((_, place)) = first_too_many {
            faults.push(Fault::TooMany { list: list.name, entries: in_file, max: list.max, place });
        }
        let entries = in_file.max(self.environment.items(list)).min(list.max);
        let entry = |index| list.keys.iter().map(|key| self.item_value(list, index, key, faults)).collect();
        (0..entries).map(entry).collect()
    }

    /// Where a section of a list begins in the file, or else whatever makes it an entry.
    pub fn place_of(&self, list: &'static List, index: usize, entry: &[Value]) -> Origin {
        let in_file = self.file.as_ref().and_then(|file| file.items(list).nth(index).map(|(_, place)| place));
        let given =
            || entry.iter().map(|value| &value.origin).find(|origin| **origin != Origin::Default).cloned();
        in_file.or_else(given).unwrap_or_else(|| Origin::Environment { name: format!("{}*", list.prefix()) })
    }

    /// What the file at a path says, for keys that name one.
    pub fn read_file(&self, path: &Path) -> io::Result<String> {
        (self.read)(path)
    }

    fn resolve(&self, slot: Slot, faults: &mut Vec<Fault>) -> Value {
        let mut chosen = None;
        let mut is_refused = false;
        // Every source is read, though one may win over it: a fault that sleeps is a fault.
        for found in [self.of_environment(&slot), self.of_credential(&slot), self.of_file(&slot)] {
            match found {
                Some(Ok(found)) => chosen = chosen.or(Some(found)),
                Some(Err(fault)) => {
                    is_refused = true;
                    faults.push(*fault);
                }
                None => {}
            }
        }
        let (datum, origin) = chosen.unwrap_or_else(|| (default_of(slot.key), Origin::Default));
        Value { name: slot.name, key: slot.key, datum, origin, is_refused }
    }

    fn of_environment(&self, slot: &Slot) -> Option<Read> {
        if let Some((name, text)) = self.environment.of_key(&slot.own_variable, slot.key.variables) {
            return Some(read_text(slot, text, Origin::Environment { name }));
        }
        if !slot.key.kind.is_secret() {
            return None;
        }
        let (name, path) = self.environment.file_of_key(&slot.own_variable, slot.key.variables)?;
        Some(self.read_secret(slot, path, Origin::Environment { name }))
    }

    fn of_credential(&self, slot: &Slot) -> Option<Read> {
        let path = self.credentials.as_ref().filter(|_| slot.key.kind.is_secret())?.join(&slot.credential);
        let origin = Origin::Credential { name: slot.credential.clone() };
        match (self.read)(&path) {
            Ok(text) => Some(read_text(slot, text.trim(), origin)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(unreadable(slot, &path.to_string_lossy(), error.to_string(), origin))),
        }
    }

    fn of_file(&self, slot: &Slot) -> Option<Read> {
        let value = self.entry(slot, slot.key.name).map(|entry| read_entry(slot, entry));
        if !slot.key.kind.is_secret() {
            return value;
        }
        let Some(named) = self.entry(slot, &format!("{}_file", slot.key.name)) else { return value };
        let path = match datum::from_toml(&Kind::Path, named.value) {
            Ok(Datum::Text(path)) if !path.is_empty() => path,
            Ok(_) => return value,
            Err(why) => {
                let key = format!("{}_file", slot.name);
                return Some(Err(Box::new(Fault::Refused { key, shown: None, why, place: named.origin })));
            }
        };
        match value {
            // The reference file has the empty secret beside the place for the file.
            Some(Ok((datum, _))) if datum.is_empty() => {}
            None => {}
            Some(_) => {
                return Some(Err(Box::new(Fault::SecretTwice {
                    key: slot.name.clone(),
                    place: named.origin,
                })));
            }
        }
        Some(self.read_secret(slot, &path, named.origin))
    }

    fn entry(&self, slot: &Slot, name: &str) -> Option<Entry<'_>> {
        let file = self.file.as_ref()?;
        match slot.item {
            Some((list, index)) => file.item(list, index, name),
            None => file.get(slot.key.section, name),
        }
    }

    fn read_secret(&self, slot: &Slot, path: &str, named_by: Origin) -> Read {
        match (self.read)(Path::new(path)) {
            Ok(text) if text.trim().is_empty() => {
                Err(unreadable(slot, path, "the file is empty".to_owned(), named_by))
            }
            Ok(text) => {
                let origin = Origin::SecretFile { path: path.to_owned(), named_by: Box::new(named_by) };
                read_text(slot, text.trim(), origin)
            }
            Err(error) => Err(unreadable(slot, path, error.to_string(), named_by)),
        }
    }
}

fn unreadable(slot: &Slot, path: &str, why: String, place: Origin) -> Box<Fault> {
    Box::new(Fault::SecretFile { key: slot.name.clone(), path: path.to_owned(), why, place })
}

fn read_text(slot: &Slot, text: &str, origin: Origin) -> Read {
    match datum::from_text(&slot.key.kind, text) {
        Ok(datum) => Ok((datum, origin)),
        Err(why) => Err(refused(slot, shown_text(&slot.key.kind, text, true), why, origin)),
    }
}

fn read_entry(slot: &Slot, entry: Entry<'_>) -> Read {
    match datum::from_toml(&slot.key.kind, entry.value) {
        Ok(datum) => Ok((datum, entry.origin)),
        Err(why) => Err(refused(slot, shown_entry(&slot.key.kind, entry.value), why, entry.origin)),
    }
}

fn refused(slot: &Slot, shown: Option<String>, why: Why, place: Origin) -> Box<Fault> {
    Box::new(Fault::Refused { key: slot.name.clone(), shown, why, place })
}

fn shown_entry(kind: &Kind, value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => shown_text(kind, text, false),
        DeValue::Integer(number) => shown_text(kind, number.as_str(), true),
        DeValue::Float(number) => shown_text(kind, number.as_str(), true),
        _ => None,
    }
}

/// A refused value as a fault shows it: quoted unless it is a bare number, cut, and nothing of a secret.
pub(super) fn shown_text(kind: &Kind, text: &str, may_be_bare: bool) -> Option<String> {
    if kind.is_secret() || matches!(kind, Kind::List) {
        return None;
    }
    let is_number =
        may_be_bare && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b"+-._".contains(&b));
    let is_numeric = matches!(kind, Kind::Int { .. } | Kind::Number { .. });
    let text = if matches!(kind, Kind::Url(_)) { url::shown(text) } else { text.to_owned() };
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    Some(if is_number && is_numeric { cut } else { format!("{cut:?}") })
}

fn default_of(key: &Key) -> Datum {
    datum::from_text(&key.kind, key.default).expect("a default obeys its own kind: tests read every row")
}
