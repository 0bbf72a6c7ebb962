//! The house rules that no compiler knows: which room may use which, and documents that fit what they speak of.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may use, beside itself.
const ROOMS: [(&str, &[&str]); 7] = [
    ("agent", &[]),
    ("wire", &["agent"]),
    ("config", &["agent"]),
    ("ledger", &["agent"]),
    ("api", &["agent", "wire"]),
    ("shell", &["agent", "wire", "config", "ledger", "api"]),
    ("cli", &["agent", "wire", "config", "ledger", "api", "shell"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `dir` whose names end in `ending`, sorted.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The rooms that a source text names: `crate::room`, `crate::{room, ...}`, or a way up and down again.
fn rooms_named(text: &str) -> Vec<&'static str> {
    let mut named = Vec::new();
    for (room, _) in ROOMS {
        let way = |prefix: &str| {
            text.contains(&format!("{prefix}::{room}::")) || text.contains(&format!("{prefix}::{room};"))
        };
        let is_in_list = text.split("crate::{").skip(1).any(|list| {
            let list = list.split(';').next().unwrap_or(list);
            list.split([',', '{', '}']).any(|item| item.trim().split("::").next() == Some(room))
        });
        if way("crate") || is_in_list {
            named.push(room);
        }
    }
    named
}

#[test]
fn the_rooms_depend_one_way() {
    let mut faults = Vec::new();
    for (room, may_use) in ROOMS {
        for file in files(&root().join("src").join(room), ".rs") {
            for named in rooms_named(&fs::read_to_string(&file).unwrap()) {
                if named != room && !may_use.contains(&named) {
                    faults.push(format!("{} uses {named}", file.strip_prefix(root()).unwrap().display()));
                }
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_room_is_found_in_every_way_to_write_its_name() {
    assert_eq!(rooms_named("use crate::wire::json;"), ["wire"]);
    assert_eq!(rooms_named("use crate::wire;\nlet x = crate::ledger::open();"), ["wire", "ledger"]);
    assert_eq!(rooms_named("use crate::{agent::{Event, shell}, config};"), ["agent", "config", "shell"]);
    assert_eq!(rooms_named("use super::wire::x; use crate::agentic::y;"), [""; 0]);
}

/// The documents that people read: those at the root and in docs/.
fn documents() -> Vec<PathBuf> {
    let is_document = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "md");
    let at_root = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(is_document);
    at_root.chain(files(&root().join("docs"), ".md")).collect()
}

/// A document's text without what stands between fences, where brackets mean something else.
fn prose(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("```").step_by(2).collect()
}

/// Targets of `](target)`.
fn links(prose: &str) -> Vec<&str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// The names that headings can be linked by.
fn anchors(path: &Path) -> Vec<String> {
    let slug = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    prose(path)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| slug(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut faults = Vec::new();
    for document in documents() {
        for link in links(&prose(&document)) {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let is_there =
                target.exists() && (anchor.is_empty() || anchors(&target).iter().any(|name| name == anchor));
            if !is_there {
                faults.push(format!("{}: {link}", document.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn decisions_are_numbered_dated_and_listed() {
    let dir = root().join("docs/decisions");
    let list = fs::read_to_string(dir.join("README.md")).unwrap();
    let records: Vec<_> =
        files(&dir, ".md").into_iter().filter(|path| !path.ends_with("README.md")).collect();
    for (index, record) in records.iter().enumerate() {
        let name = record.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(record).unwrap();
        assert!(name.starts_with(&format!("{:04}-", index + 1)), "{name} is not the next number");
        assert!(list.contains(&format!("({name})")), "{name} is not in docs/decisions/README.md");
        for part in ["Date: ", "## Choice", "## Given up", "## Measured"] {
            assert!(text.contains(part), "{name} has no \"{part}\"");
        }
    }
    assert!(records.len() >= 12);
}

/// Every bound in `agent/limits.rs` as rows of a table: name, value, what it is and what happens at it.
fn limits_table() -> String {
    let source = fs::read_to_string(root().join("src/agent/limits.rs")).unwrap();
    let mut known: Vec<(String, u64)> = Vec::new();
    let mut table = String::from("| limit | value | what it is |\n| --- | --- | --- |\n");
    let mut meaning = String::new();
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            meaning.push_str(if meaning.is_empty() { "" } else { " " });
            meaning.push_str(text);
        } else if let Some(rest) = line.strip_prefix("pub const ") {
            let (name, rest) = rest.split_once(": ").unwrap();
            let expression = rest.split_once(" = ").unwrap().1.trim_end_matches(';');
            let value = expression.split(" * ").map(|factor| number(factor, &known)).product();
            table.push_str(&format!("| `{name}` | {} | {meaning} |\n", grouped(value)));
            known.push((name.to_owned(), value));
            meaning.clear();
        } else {
            meaning.clear();
        }
    }
    table
}

fn number(factor: &str, known: &[(String, u64)]) -> u64 {
    let named = known.iter().find(|(name, _)| name == factor).map(|(_, value)| *value);
    named.unwrap_or_else(|| factor.replace('_', "").parse().unwrap())
}

/// 65536 -> 65,536
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const LIMITS_HEAD: &str = "# Limits\n\n<!-- Made from src/agent/limits.rs. Renew with: BLESS=1 cargo test --test house -->\n\n\
    Every bound of the agent. None of them can be configured: together they keep the agent within its memory.\n\n";

#[test]
fn the_page_of_limits_is_that_of_the_source() {
    let path = root().join("docs/limits.md");
    let wanted = format!("{LIMITS_HEAD}{}", limits_table());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/limits.md is outdated: run BLESS=1 cargo test --test house");
}

#[test]
fn the_page_of_operations_lists_the_exit_codes_of_the_program() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for (code, meaning) in chainbot::cli::commands::EXIT_CODES {
        let row = format!("| {code} | {meaning} |");
        assert!(page.contains(&row), "docs/operations.md lacks {row}");
    }
}
