//! The ledger as a file: who may open it, and what becomes of a damaged one.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use chainbot::agent::ids::{Destination, Seq};
use chainbot::agent::memory::{FactKey, Write};
use chainbot::ledger::{
    ChildResult, EXIT_DAMAGED, Ledger, OpenError, compact_file, prepare_file, quarantine, salvage_file,
    verify_file,
};

use crate::support::{LEDGER_ID, LIMITS, all_events, dedupe_key, event, events, inbox};

/// A folder for one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ledger").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.parent().expect("parent")).expect("made");
    folder
}

fn open(path: &Path) -> Ledger {
    Ledger::open_file(path, LIMITS, LEDGER_ID).expect("opens").0
}

/// A ledger with 200 events, closed.
fn filled(path: &Path) {
    let ledger = open(path);
    let mut batch = events(1..=199, 500);
    batch.extend(events(200..=200, 50_000));
    batch.extend((1..=200).map(inbox));
    batch.push(Write::Cursor { destination: Destination::Alexos, seq: Seq(150) });
    batch.push(Write::Fact(FactKey::Controller, "c".repeat(6_000)));
    batch.push(Write::Fact(FactKey::HooksDisabled, "old".to_owned()));
    ledger.commit(&[batch]).expect("commits");
    ledger.commit(&[vec![Write::Fact(FactKey::HooksDisabled, String::new())]]).expect("commits");
}

/// Makes every event unreadable whose number in the text begins with this.
fn damage(path: &Path, text: &str) {
    let mut bytes = std::fs::read(path).expect("reads");
    let needle = text.as_bytes();
    for place in 0..bytes.len() - needle.len() {
        if bytes[place..].starts_with(needle) {
            bytes[place] ^= 1;
        }
    }
    std::fs::write(path, bytes).expect("writes");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("reads");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// What a child process of the program would do.
fn child(arguments: &[&OsStr]) -> ChildResult {
    let path = |place: usize| PathBuf::from(arguments[place]);
    let ended = |code, output: String| ChildResult::Ended { code, output };
    match arguments[1].to_str() {
        Some("verify") => match catch_unwind(|| verify_file(&path(3))) {
            Ok(Ok(report)) if report.is_sound() => ended(0, String::new()),
            Ok(Ok(report)) => ended(EXIT_DAMAGED, format!("{} records are damaged", report.corrupt)),
            Ok(Err(OpenError::InUse(_))) => ended(75, String::new()),
            Ok(Err(error)) => ended(EXIT_DAMAGED, error.to_string()),
            Err(_) => ChildResult::Killed { signal: 6 },
        },
        Some("salvage") => match salvage_file(&path(2), &path(3), 7) {
            Ok(report) => ended(0, report.to_line()),
            Err(error) => ended(74, error.to_string()),
        },
        other => panic!("unknown command {other:?}"),
    }
}

#[test]
fn a_new_ledger_is_for_its_owner_alone() {
    let path = folder("owner").join("state/ledger");
    drop(open(&path));
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(path.parent().expect("parent")), mode(&path)), (0o700, 0o600));
}

#[test]
fn a_ledger_in_use_cannot_be_opened_checked_or_condemned() {
    let path = folder("in_use").join("ledger");
    filled(&path);
    let ledger = open(&path);
    let error = Ledger::open_file(&path, LIMITS, 1).expect_err("in use");
    assert!(error.to_string().ends_with("/ledger is in use by another process"), "{error}");
    assert!(matches!(verify_file(&path), Err(OpenError::InUse(_))));
    for _ in 0..6 {
        assert_eq!(prepare_file(&path, &mut |_| panic!("no child is needed")), None);
    }
    assert_eq!(all_events(&ledger).len(), 200);
    drop(ledger);
    drop(open(&path));
}

#[test]
fn checking_a_sound_file_finds_nothing_and_changes_nothing() {
    let path = folder("sound").join("ledger");
    filled(&path);
    let before = std::fs::read(&path).expect("reads");
    let report = verify_file(&path).expect("verifies");
    assert!(report.is_sound() && report.records > 400, "{report:?}");
    assert!(std::fs::read(&path).expect("reads") == before, "a check must not write");
    std::fs::write(&path, vec![0; 1 << 20]).expect("writes");
    assert!(verify_file(&path).expect("verifies").is_sound(), "a creation that was cut short is no damage");
}

#[test]
fn compacting_makes_the_file_smaller_and_keeps_all() {
    let path = folder("compact").join("ledger");
    let ledger = open(&path);
    for first in (1..2_000).step_by(100) {
        ledger.commit(&[events(first..first + 100, 500)]).expect("commits");
    }
    let before = all_events(&ledger);
    drop(ledger);
    let report = compact_file(&path).expect("compacts");
    assert!(report.bytes_after <= report.bytes_before, "{report:?}");
    assert_eq!(report.bytes_after, std::fs::metadata(&path).expect("there").len());
    assert_eq!(all_events(&open(&path)), before);
}

#[test]
fn a_damaged_ledger_is_replaced_by_what_can_be_read_of_it() {
    let folder = folder("damaged");
    let path = folder.join("ledger");
    filled(&path);
    damage(&path, "event number 77");
    let recovery = prepare_file(&path, &mut child).expect("repaired");
    assert_eq!((recovery.quarantined_as.as_str(), recovery.events_salvaged), ("ledger.corrupt-1", 199));
    assert_eq!(recovery.records_lost, 1);
    assert_eq!(names(&folder), ["ledger", "ledger.corrupt-1"]);
    let (ledger, memory) = Ledger::open_file(&path, LIMITS, 1).expect("opens");
    assert_eq!((memory.ledger.0, memory.oldest, memory.last), (LEDGER_ID, Seq(1), Seq(1_000_200)));
    assert_eq!(memory.cursors, [(Destination::Alexos, Seq(150))]);
    assert_eq!(memory.facts, [(FactKey::Controller, "c".repeat(6_000))], "a removed fact stays removed");
    let kept = all_events(&ledger);
    let expected = (1..=200).filter(|seq| *seq != 77);
    assert!(
        kept == expected.map(|seq| event(seq, if seq == 200 { 50_000 } else { 500 })).collect::<Vec<_>>()
    );
    assert_eq!(ledger.inbox(dedupe_key(77)), Ok(Some(Seq(77))));
    // And again: the gap of the first salvage is no loss, and the floor is kept although no event is there.
    drop(ledger);
    damage(&path, "event number 78");
    assert_eq!(prepare_file(&path, &mut child).map(|recovery| recovery.records_lost), Some(2));
    assert_eq!(Ledger::open_file(&path, LIMITS, 1).expect("opens").1.last, Seq(2_000_200));
}

#[test]
fn a_file_that_is_no_ledger_is_set_aside() {
    let folder = folder("garbage");
    std::fs::create_dir(&folder).expect("made");
    let path = folder.join("ledger.redb");
    std::fs::write(&path, "not a ledger at all".repeat(1_000)).expect("writes");
    let recovery = prepare_file(&path, &mut child).expect("repaired");
    assert_eq!((recovery.quarantined_as.as_str(), recovery.events_salvaged), ("ledger.corrupt-1", 0));
    assert_eq!(all_events(&open(&path)), []);
}

#[test]
fn a_ledger_of_which_only_a_beginning_is_left_is_set_aside() {
    for len in [1, 9, 200, 319, 320, 3_000, 4_096, 5_000] {
        let folder = folder("beginning");
        let path = folder.join("ledger.redb");
        filled(&path);
        let bytes = std::fs::read(&path).expect("reads");
        std::fs::write(&path, &bytes[..len]).expect("writes");
        let recovery = prepare_file(&path, &mut child);
        assert!(recovery.is_some(), "{len} bytes are no ledger");
        assert_eq!(all_events(&open(&path)), [], "{len} bytes");
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}

#[test]
fn a_ledger_is_not_lost_when_no_child_can_be_started() {
    let folder = folder("childless");
    let path = folder.join("ledger");
    filled(&path);
    assert_eq!(prepare_file(&path, &mut |_| ChildResult::NotStarted), None);
    let mut crash = |arguments: &[&OsStr]| match arguments[1].to_str() {
        Some("verify") => ChildResult::Killed { signal: 6 },
        _ => ChildResult::NotStarted,
    };
    assert_eq!(prepare_file(&path, &mut crash), None, "another start may be able to");
    assert_eq!(names(&folder), ["ledger"]);
    assert_eq!(all_events(&open(&path)).len(), 200);
}

#[test]
fn a_sound_ledger_is_left_alone_however_often_the_power_goes() {
    let folder = folder("starts");
    let path = folder.join("ledger");
    filled(&path);
    for _ in 0..10 {
        assert_eq!(prepare_file(&path, &mut child), None);
        assert_eq!(names(&folder), ["ledger"]);
    }
}

#[test]
fn a_replacement_that_the_power_cut_short_is_ended() {
    let folder = folder("adopt");
    let path = folder.join("ledger");
    filled(&path);
    salvage_file(&path, &folder.join("ledger.salvaged"), 7).expect("salvages");
    quarantine(&path).expect("set aside");
    let recovery = prepare_file(&path, &mut child).expect("adopted");
    assert_eq!(recovery.quarantined_as, "ledger.corrupt-1");
    assert_eq!(all_events(&open(&path)).len(), 200);
}

#[test]
fn three_quarantined_ledgers_are_kept() {
    let folder = folder("quarantine");
    std::fs::create_dir(&folder).expect("made");
    let path = folder.join("ledger");
    for number in 1..=5 {
        std::fs::write(&path, "x").expect("writes");
        assert_eq!(quarantine(&path).expect("renames"), format!("ledger.corrupt-{number}"));
    }
    assert_eq!(names(&folder), ["ledger.corrupt-3", "ledger.corrupt-4", "ledger.corrupt-5"]);
}

/// No event can be read any more: no place of before may be given again under the ledger's old name.
#[test]
fn a_name_that_outlives_its_events_goes_on_above_them() {
    let folder = folder("name");
    let path = folder.join("ledger.redb");
    filled(&path);
    damage(&path, "event number ");
    let recovery = prepare_file(&path, &mut child).expect("repaired");
    assert_eq!(recovery.events_salvaged, 0);
    let (ledger, memory) = Ledger::open_file(&path, LIMITS, 1).expect("opens");
    assert_eq!((all_events(&ledger).len(), memory.ledger.0), (0, LEDGER_ID));
    assert!(memory.last > Seq(200), "{memory:?}");
}
