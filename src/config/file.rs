//! The config file: TOML with the line of every key, and everything in it that has no place in the table.

use toml::de::{DeTable, DeValue};

use super::datum::found_type;
use super::fault::Fault;
use super::nearest::nearest;
use super::noeffect::NO_EFFECT_KEYS;
use super::origin::Origin;
use super::table::{KEYS, Key, LISTS, List, SECTIONS};

/// Longest config file in bytes. Beyond: refused, unread.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// A parsed config file.
pub struct File<'a> {
    name: &'a str,
    text: &'a str,
    table: DeTable<'a>,
}

/// A value of the file and its line.
pub struct Entry<'a> {
    /// The value.
    pub value: &'a DeValue<'a>,
    /// Where it stands.
    pub origin: Origin,
}

impl<'a> File<'a> {
    /// Parses `text`. What is not TOML goes to `faults`; then only the doubled keys leave a file to read on.
    pub fn parse(name: &'a str, text: &'a str, faults: &mut Vec<Fault>) -> Option<Self> {
        let name = name.strip_prefix("./").unwrap_or(name);
        if text.len() > FILE_BYTES_MAX {
            faults.push(Fault::FileTooLong { file: name.to_owned(), bytes: text.len(), max: FILE_BYTES_MAX });
            return None;
        }
        let name = name.strip_prefix("./").unwrap_or(name);
        // An editor's byte order mark is no part of the first key.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let file = Self { name, text, table: table.into_inner() };
        let mut is_whole = true;
        let mut last_line = 0;
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let (line, column) = position(text, span.start);
            if error.message() == "duplicate key" {
                let name = text.get(span).unwrap_or("a key").trim().to_owned();
                faults.push(Fault::Duplicate { name, place: file.origin(line) });
                continue;
            }
            is_whole = false;
            // One slip makes several complaints about its line: the first says it.
            if line != last_line {
                let message = error.message().replace('\n', " ");
                faults.push(Fault::Syntax { file: name.to_owned(), line, column, message });
            }
            last_line = line;
        }
        is_whole.then_some(file)
    }

    fn origin(&self, line: u32) -> Origin {
        Origin::File { name: self.name.to_owned(), line }
    }

    fn origin_at(&self, offset: usize) -> Origin {
        self.origin(position(self.text, offset).0)
    }

    /// The value of `section.name`.
    pub fn get(&self, section: &str, name: &str) -> Option<Entry<'_>> {
        let (_, section) = self.table.iter().find(|(key, _)| key.get_ref() == section)?;
        self.entry(section.get_ref().as_table()?, name)
    }

    /// The value of `name` in the `index`th section of a list, from 0.
    pub fn item(&self, list: &'static List, index: usize, name: &str) -> Option<Entry<'_>> {
        self.entry(self.items(list).nth(index)?.0, name)
    }

    /// Every section of a list and where it begins.
    pub fn items(&self, list: &'static List) -> impl Iterator<Item = (&DeTable<'a>, Origin)> {
        let found = match list.name.split_once('.') {
            None => value_of(&self.table, list.name),
            Some((section, name)) => value_of(&self.table, section)
                .and_then(DeValue::as_table)
                .and_then(|table| value_of(table, name)),
        };
        let entries = found.and_then(DeValue::as_array);
        entries.into_iter().flat_map(|entries| entries.iter()).filter_map(|entry| {
            let table = entry.get_ref().as_table()?;
            Some((table, self.origin_at(entry.span().start)))
        })
    }

    fn entry<'t>(&self, table: &'t DeTable<'a>, name: &str) -> Option<Entry<'t>>
    where
        'a: 't,
    {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Entry { value: value.get_ref(), origin: self.origin_at(key.span().start) })
    }

    /// Reports every section and key that the table does not know, and every known section of another type.
    /// Keys of the documents without a meaning here go to `notes`.
    pub fn check_names(&self, faults: &mut Vec<Fault>, notes: &mut Vec<String>) {
        for (name, value) in &self.table {
            let place = self.origin_at(name.span().start);
            let name = name.get_ref().as_ref();
            let is_section = SECTIONS.iter().any(|(section, _)| *section == name);
            match value.get_ref() {
                DeValue::Table(keys) if is_section => self.check_keys(name, name, keys, KEYS, faults, notes),
                other if is_section => faults.push(not_section(name, other, "a section in brackets", place)),
                other => match LISTS.iter().find(|list| list.name == name) {
                    Some(list) => self.check_list(list, other, &place, faults, notes),
                    None => faults.push(unknown_top(name, other, place)),
                },
            }
        }
    }

    fn check_list(
        &self,
        list: &'static List,
        value: &DeValue<'_>,
        place: &Origin,
        faults: &mut Vec<Fault>,
        notes: &mut Vec<String>,
    ) {
        let DeValue::Array(entries) = value else {
            faults.push(not_section(list.name, value, list.wants, place.clone()));
            return;
        };
        for (index, entry) in entries.iter().enumerate() {
            let title = format!("{}[{}]", list.name, index + 1);
            match entry.get_ref() {
                DeValue::Table(keys) => self.check_keys(list.name, &title, keys, list.keys, faults, notes),
                other => {
                    faults.push(not_section(&title, other, "a section in double brackets", place.clone()))
                }
            }
        }
    }

    fn check_keys(
        &self,
        section: &str,
        title: &str,
        keys: &DeTable<'_>,
        known: &[Key],
        faults: &mut Vec<Fault>,
        notes: &mut Vec<String>,
    ) {
        for (name, value) in keys {
            let place = self.origin_at(name.span().start);
            let name = name.get_ref().as_ref();
            if is_known(section, name, known) {
                continue;
            }
            let full_name = format!("{title}.{name}");
            if let Some(list) = LISTS.iter().find(|list| list.name == full_name) {
                self.check_list(list, value.get_ref(), &place, faults, notes);
                continue;
            }
            match NO_EFFECT_KEYS.iter().find(|key| key.name == full_name) {
                Some(key) => notes.push(format!("{full_name} has no effect: {} ({place})", key.why)),
                None => {
                    let nearest = nearest_key(section, title, name, known);
                    faults.push(Fault::UnknownKey { name: full_name, nearest, place });
                }
            }
        }
    }
}

fn value_of<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<&'t DeValue<'a>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_ref())
}

fn unknown_top(name: &str, value: &DeValue<'_>, place: Origin) -> Fault {
    let name = name.to_owned();
    match value {
        DeValue::Table(_) | DeValue::Array(_) => {
            Fault::UnknownSection { nearest: nearest_section(&name), name, place }
        }
        _ => Fault::UnknownKey { nearest: nearest_key("", "", &name, KEYS), name, place },
    }
}

fn not_section(name: &str, found: &DeValue<'_>, wants: &'static str, place: Origin) -> Fault {
    Fault::NotSection { name: name.to_owned(), found: found_type(found), wants, place }
}

fn is_known(section: &str, name: &str, known: &[Key]) -> bool {
    known
        .iter()
        .filter(|key| key.section == section)
        .any(|key| key.name == name || (key.kind.is_secret() && name.strip_suffix("_file") == Some(key.name)))
}

fn nearest_section(name: &str) -> Option<String> {
    let lists = LISTS.iter().map(|list| (list.name.to_owned(), format!("[[{}]]", list.name)));
    let sections = SECTIONS.iter().map(|(section, _)| ((*section).to_owned(), format!("[{section}]")));
    let named: Vec<(String, String)> = sections.chain(lists).collect();
    let best = nearest(name, named.iter().map(|(name, _)| name.clone()))?;
    named.into_iter().find(|(name, _)| *name == best).map(|(_, shown)| shown)
}

/// In the section it stands in first, then one of this very name elsewhere.
fn nearest_key(section: &str, title: &str, name: &str, known: &[Key]) -> Option<String> {
    let names = |key: &Key| {
        let file = key.kind.is_secret().then(|| format!("{}_file", key.name));
        [Some(key.name.to_owned()), file].into_iter().flatten()
    };
    let here = known.iter().filter(|key| key.section == section).flat_map(names);
    if let Some(best) = nearest(name, here) {
        return Some(format!("{title}.{best}"));
    }
    KEYS.iter().find(|key| key.name == name || key.full_name() == name).map(Key::full_name)
}

/// Line and column of a byte, both from 1; the column in characters.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\nüb", 4), (2, 2));
        assert_eq!(position("a\n", 99), (2, 1));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let text = format!("a = {}", "[".repeat(60_000));
        let mut faults = Vec::new();
        assert!(File::parse("config.toml", &text, &mut faults).is_none());
        assert!(matches!(faults[0], Fault::Syntax { line: 1, .. }));
    }
}
