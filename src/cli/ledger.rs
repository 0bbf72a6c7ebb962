//! `ledger verify | stats | compact | salvage`, and the events of a ledger that no agent has open.

use std::path::Path;

use super::events::{self, Plan};
use super::out::{Exit, Failure, Out, Paint, note};
use super::status::size;
use crate::agent::event::{EventFilter, Severity};
use crate::agent::ids::{EventId, LedgerId, Seq};
use crate::agent::memory::Memory;
use crate::ledger::{self, EXIT_DAMAGED, Ledger, Limits, OpenError, ReadFault};
use crate::shell::state;
use crate::wire::event_json::push_ledger_event;
use crate::wire::json::Json;

/// Events read at once.
const PAGE_EVENTS: u64 = 100;
/// Bytes of text read at once beyond the first event.
const PAGE_BYTES: usize = 1024 * 1024;

const _: () = assert!(Exit::Data as i32 == EXIT_DAMAGED, "the agent judges its ledger by this code");

/// From here on a panic says that the ledger is damaged, and ends the program as damage does. For commands that read a
/// file which nobody has checked: redb trusts its pages, and stops where they contradict each other.
pub fn take_panics_for_damage() {
    std::panic::set_hook(Box::new(|_| {
        note("the ledger is damaged: its pages contradict each other");
        note(
            "`chainbot ledger salvage FROM TO` copies every record that is whole; `chainbot run` does so by itself",
        );
        std::process::exit(EXIT_DAMAGED);
    }));
}

/// `ledger verify [PATH]`. With `is_quiet` only the reason is printed, for the agent that looks before it opens.
pub fn verify(path: &Path, is_quiet: bool, out: &mut Out) -> Result<(), Failure> {
    let report = match ledger::verify_file(path) {
        Err(OpenError::Damaged(what)) => return damaged(&what, out),
        result => result.map_err(|error| failure(&error))?,
    };
    if report.disorder {
        return damaged("its structure is in disorder", out);
    }
    if !report.is_sound() {
        return damaged(&format!("{} records are damaged, {} are good", report.corrupt, report.records), out);
    }
    if is_quiet {
        return Ok(());
    }
    out.line(format_args!(
        "{}: {}, {} records",
        path.display(),
        out.paint(Paint::Good, "sound"),
        report.records
    ))
}

/// The reason goes to standard output, where the agent reads it.
fn damaged(what: &str, out: &mut Out) -> Result<(), Failure> {
    out.line(what)?;
    Err(Failure::new(Exit::Data, "the ledger is damaged"))
}

/// `ledger stats [PATH]`.
pub fn stats(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let (ledger, memory) = open(path)?;
    let stats = ledger.stats().map_err(unreadable)?;
    let id_of = |seq| EventId { seq, ledger: memory.ledger };
    out.line(format_args!("file      {}", path.display()))?;
    out.line(format_args!("size      {}", size(stats.file_bytes)))?;
    out.line(format_args!("events    {}", stats.events))?;
    if stats.events > 0 {
        out.line(format_args!("oldest    {}", id_of(stats.oldest)))?;
        out.line(format_args!("newest    {}", id_of(stats.last)))?;
    }
    out.line(format_args!("seen ids  {}", stats.inbox))?;
    out.line(format_args!("talks     {} of {} messages", stats.sessions, stats.messages))?;
    for (destination, seq) in &memory.cursors {
        let behind = memory.last.0.saturating_sub(seq.0);
        out.line(format_args!("cursor    {}: {behind} behind", destination.key()))?;
    }
    if stats.corrupt_records > 0 {
        out.line(out.paint(Paint::Bad, &format!("damaged   {}", stats.corrupt_records)))?;
    }
    Ok(())
}

/// `ledger compact [PATH]`.
pub fn compact(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let report = ledger::compact_file(path).map_err(|error| failure(&error))?;
    let (before, after) = (size(report.bytes_before), size(report.bytes_after));
    out.line(format_args!("{}: {before} before, {after} after", path.display()))
}

/// `ledger salvage FROM TO`. Prints one line that the agent reads, too.
pub fn salvage(from: &str, to: &str, out: &mut Out) -> Result<(), Failure> {
    let to = Path::new(to);
    if to.exists() {
        return Err(Failure::new(Exit::CantCreate, format_args!("{} exists already", to.display())));
    }
    let report = ledger::salvage_file(Path::new(from), to, fresh_id()?).map_err(|error| match error {
        OpenError::Io(path, error) if path == to => {
            Failure::new(Exit::CantCreate, format_args!("cannot make {}: {error}", to.display()))
        }
        error => failure(&error),
    })?;
    out.line(report.to_line())
}

/// The events of a ledger that no agent has open.
pub fn events(path: &Path, plan: &Plan, out: &mut Out) -> Result<(), Failure> {
    let (ledger, memory) = open(path)?;
    let filter = filter_of(plan);
    let mut after = place_of(plan, memory.ledger);
    let mut left = plan.limit;
    loop {
        let limit = usize::try_from(left.min(PAGE_EVENTS)).unwrap_or(usize::MAX);
        let page = ledger.page(after, &filter, limit, PAGE_BYTES).map_err(unreadable)?;
        for event in &page.events {
            let mut text = String::new();
            push_ledger_event(&mut text, event, memory.ledger);
            let json = Json::parse(text.as_bytes()).map_err(|_| unreadable(ReadFault::Damaged))?;
            events::print(json, plan.wants_json, out)?;
        }
        left -= (page.events.len() as u64).min(left);
        // A page that does not move on would be read again without end.
        if page.end || left == 0 || page.next <= after {
            return Ok(());
        }
        after = page.next;
    }
}

/// A place in another ledger says nothing about this one: begin at the oldest.
fn place_of(plan: &Plan, ledger: LedgerId) -> Seq {
    let since = plan.since.as_deref().and_then(EventId::parse);
    since.filter(|id| id.ledger == ledger).map_or(Seq(0), |id| id.seq)
}

fn filter_of(plan: &Plan) -> EventFilter {
    let words =
        |list: &str| list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    EventFilter {
        kinds: words(&plan.kinds),
        severities: words(&plan.severities).iter().filter_map(|word| Severity::parse(word)).collect(),
        ..EventFilter::default()
    }
}

/// Opens a file that is there. What it may grow to does not matter: nothing is written.
fn open(path: &Path) -> Result<(Ledger, Memory), Failure> {
    if !path.exists() {
        let words = format!("there is no agent running and no ledger at {}", path.display());
        return Err(Failure::new(Exit::Unavailable, words));
    }
    let limits = Limits { size_max_bytes: u64::MAX, events_max: u64::MAX };
    Ledger::open_file(path, limits, fresh_id()?).map_err(|error| failure(&error))
}

#[expect(clippy::cast_possible_truncation, reason = "any 32 of the random bits will do")]
fn fresh_id() -> Result<u32, Failure> {
    let seed = state::seed()
        .map_err(|error| Failure::new(Exit::Other, format_args!("no random numbers: {error}")))?;
    Ok(seed as u32)
}

fn unreadable(fault: ReadFault) -> Failure {
    let exit = if fault == ReadFault::Damaged { Exit::Data } else { Exit::Io };
    Failure::new(exit, fault)
}

fn failure(error: &OpenError) -> Failure {
    match error {
        OpenError::InUse(_) => Failure::new(
            Exit::Unavailable,
            format_args!(
                "{error}: the running agent has it (ask `chainbot status`, or stop the agent first)"
            ),
        ),
        OpenError::Io(..) => Failure::new(Exit::Io, error),
        OpenError::Damaged(_) | OpenError::Format(_) => Failure::new(Exit::Data, error),
    }
}
