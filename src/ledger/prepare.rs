//! Before a ledger is opened: is it sound? If not, it is set aside and what can be read of it goes into a new one.
//!
//! ```text
//! start -> [in use] -> leave it
//!       -> [no file, a finished salvage beside it] -> take that
//!       -> verify in a child -> sound -> open
//!                            -> damaged -> salvage
//! salvage: child writes `.salvage`, renamed `.salvaged`; ledger renamed `.corrupt-N`; `.salvaged` renamed to ledger
//! ```
//!
//! A power cut between any two steps loses nothing: the next start finds either the old ledger or the finished new one.
//!
//! Only the check condemns a ledger, never how often the power went: a salvage knows less of a sound ledger than redb does, because
//! pages that were never committed look as good to it as those that were.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{open_locked, sync_folder};
use super::salvage::SalvageReport;
use crate::agent::memory::Recovery;

/// Quarantined ledgers kept. Beyond: the oldest is deleted.
const QUARANTINED_MAX: usize = 3;

/// Exit code of `chainbot ledger verify` for a damaged file (EX_DATAERR).
pub const EXIT_DAMAGED: i32 = 65;
/// Exit code of a Rust program that panicked and unwound.
const EXIT_PANICKED: i32 = 101;
/// Signals by which a program ends itself or is ended for a wrong access: ILL, TRAP, ABRT, BUS, FPE, SEGV.
const CRASH_SIGNALS: [i32; 6] = [4, 5, 6, 7, 8, 11];

/// How a child process of the program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildResult {
    /// By itself.
    Ended {
        /// Exit code.
        code: i32,
        /// What it wrote to its standard output, at most a line.
        output: String,
    },
    /// By this signal.
    Killed {
        /// Number of the signal.
        signal: i32,
    },
    /// It was not started, or not waited for to the end.
    NotStarted,
}

/// What to do with a ledger, as far as its surroundings tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is none: opening makes one.
    Fresh,
    /// There is none, but a finished salvage: take it.
    Adopt,
    /// Look into it.
    Verify,
}

/// What a child's end says of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Sound,
    Damaged(String),
    /// The child could not say. The ledger is opened as it is.
    Unknown,
}

/// Makes the ledger at `path` fit to be opened; answers what had to be done for it. `run_child` runs this same program with
/// these arguments and waits for its end: `ledger verify --quiet PATH` and `ledger salvage FROM TO`.
pub fn prepare_file(path: &Path, run_child: &mut dyn FnMut(&[&OsStr]) -> ChildResult) -> Option<Recovery> {
    if path.exists() && !matches!(open_locked(path, false), Ok(Some(_))) {
        // Another process has it, or it cannot be opened at all: opening says so.
        return None;
    }
    let reason = match decide(path.exists(), beside(path, "salvaged").exists()) {
        Step::Fresh => return None,
        Step::Adopt => return adopt(path).inspect_err(|error| warn(path, error)).ok(),
        Step::Verify => {
            let arguments =
                [OsStr::new("ledger"), OsStr::new("verify"), OsStr::new("--quiet"), path.as_os_str()];
            match judge(&run_child(&arguments)) {
                Verdict::Damaged(reason) => reason,
                Verdict::Sound | Verdict::Unknown => return None,
            }
        }
    };
    log::warn!("ledger damaged=true reason={reason:?}");
    replace(path, reason, run_child).inspect_err(|error| warn(path, error)).ok()
}

/// Renames a ledger to `NAME.corrupt-N` in its folder and deletes the oldest of such beyond three. Answers the new name.
///
/// # Errors
/// If the system refuses.
pub fn quarantine(path: &Path) -> io::Result<String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut numbers = quarantined(path, &stem)?;
    let number = numbers.last().map_or(1, |last| last + 1);
    let name_of = |number: u64| format!("{stem}.corrupt-{number}");
    std::fs::rename(path, path.with_file_name(name_of(number)))?;
    sync_folder(path)?;
    numbers.push(number);
    for old in &numbers[..numbers.len().saturating_sub(QUARANTINED_MAX)] {
        std::fs::remove_file(path.with_file_name(name_of(*old)))?;
    }
    Ok(name_of(number))
}

/// The numbers of the quarantined ledgers, growing.
fn quarantined(path: &Path, stem: &str) -> io::Result<Vec<u64>> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!("{stem}.corrupt-");
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
        numbers.extend(number.filter(|number| *number < u64::MAX));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn decide(exists: bool, salvaged: bool) -> Step {
    match (exists, salvaged) {
        (false, false) => Step::Fresh,
        (false, true) => Step::Adopt,
        (true, _) => Step::Verify,
    }
}

fn judge(child: &ChildResult) -> Verdict {
    match child {
        ChildResult::Ended { code: 0, .. } => Verdict::Sound,
        ChildResult::Ended { code: EXIT_DAMAGED, output } => {
            let reason = output.lines().next().unwrap_or_default().trim();
            Verdict::Damaged(if reason.is_empty() { "the check found damage" } else { reason }.to_owned())
        }
        ChildResult::Ended { code: EXIT_PANICKED, .. } => Verdict::Damaged("the check panicked".to_owned()),
        ChildResult::Killed { signal } if CRASH_SIGNALS.contains(signal) => {
            Verdict::Damaged(format!("the check crashed with signal {signal}"))
        }
        // An I/O error, a file in use, a missing command, want of memory: no word about the ledger.
        ChildResult::Ended { .. } | ChildResult::Killed { .. } | ChildResult::NotStarted => Verdict::Unknown,
    }
}

/// Salvages into a new file and puts it in the place of the old one, which is quarantined. If nothing could be salvaged,
/// only the latter: opening makes a new ledger. If nobody could try, neither: another start may.
fn replace(
    path: &Path,
    reason: String,
    run_child: &mut dyn FnMut(&[&OsStr]) -> ChildResult,
) -> io::Result<Recovery> {
    let (unfinished, finished) = (beside(path, "salvage"), beside(path, "salvaged"));
    for left_over in [&unfinished, &finished] {
        match std::fs::remove_file(left_over) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let child =
        run_child(&[OsStr::new("ledger"), OsStr::new("salvage"), path.as_os_str(), unfinished.as_os_str()]);
    let report = match &child {
        ChildResult::Ended { code: 0, output } => Some(SalvageReport::parse_line(output)),
        ChildResult::NotStarted => return Err(io::Error::other("no child could be started for the salvage")),
        _ => None,
    };
    if report.is_some() {
        std::fs::rename(&unfinished, &finished)?;
        sync_folder(path)?;
    } else {
        log::warn!("ledger salvage_failed={child:?}");
        let _ = std::fs::remove_file(&unfinished);
    }
    let quarantined_as = quarantine(path)?;
    if report.is_some() {
        std::fs::rename(&finished, path)?;
        sync_folder(path)?;
    }
    let SalvageReport { events_salvaged, records_lost } = report.unwrap_or_default();
    Ok(Recovery { reason, quarantined_as, events_salvaged, records_lost })
}

/// Ends a replacement that the power cut short after the quarantine.
fn adopt(path: &Path) -> io::Result<Recovery> {
    std::fs::rename(beside(path, "salvaged"), path)?;
    sync_folder(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let number = quarantined(path, &stem)?.last().copied();
    Ok(Recovery {
        reason: "the power went while a damaged ledger was replaced".to_owned(),
        quarantined_as: number.map(|number| format!("{stem}.corrupt-{number}")).unwrap_or_default(),
        events_salvaged: 0,
        records_lost: 0,
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn warn(path: &Path, error: &io::Error) {
    log::warn!("ledger path={} repair_failed={error}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, output: &str) -> ChildResult {
        ChildResult::Ended { code, output: output.to_owned() }
    }

    #[test]
    fn every_start_has_its_step() {
        assert_eq!(decide(false, false), Step::Fresh);
        assert_eq!(decide(false, true), Step::Adopt);
        assert_eq!(decide(true, true), Step::Verify);
        assert_eq!(decide(true, false), Step::Verify);
    }

    #[test]
    fn only_damage_condemns_a_ledger() {
        assert_eq!(judge(&ended(0, "")), Verdict::Sound);
        assert_eq!(judge(&ended(65, "3 records\n")), Verdict::Damaged("3 records".to_owned()));
        assert_eq!(judge(&ended(65, "")), Verdict::Damaged("the check found damage".to_owned()));
        assert!(matches!(judge(&ended(101, "")), Verdict::Damaged(_)));
        assert!(matches!(judge(&ChildResult::Killed { signal: 6 }), Verdict::Damaged(_)));
        for innocent in [ended(74, ""), ended(75, ""), ended(64, ""), ChildResult::Killed { signal: 9 }] {
            assert_eq!(judge(&innocent), Verdict::Unknown, "{innocent:?}");
        }
        assert_eq!(judge(&ChildResult::NotStarted), Verdict::Unknown);
    }
}
