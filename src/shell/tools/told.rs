//! `events`: the newest of the agent's own log. Reading the ledger may wait for the disk, so it runs in a helper thread.

use std::collections::VecDeque;

use crate::agent::brain::speech::ToolResult;
use crate::agent::event::{Event, EventFilter};
use crate::agent::ids::{EventId, Seq};
use crate::ledger::{Ledger, ReadFault};
use crate::wire::time::format_rfc3339;
use crate::wire::words::cut;

use super::text::{done, failed};

/// Events that are looked at in one step back.
const STEP: u64 = 256;
/// Events that are looked at in all, from the newest on.
const LOOKED_AT_MAX: u64 = 4_096;
/// Most bytes of an event's metadata that are told.
const METADATA_BYTES_MAX: usize = 300;

/// `newest`: the newest durable event.
pub(super) fn tell(
    ledger: &Ledger,
    newest: EventId,
    filter: &EventFilter,
    limit: usize,
    bytes_max: u32,
) -> ToolResult {
    match newest_lines(ledger, newest, filter, limit) {
        Ok(lines) => done(joined(lines, usize::try_from(bytes_max).unwrap_or(usize::MAX))),
        Err(fault) => failed(format!("the events cannot be read: {fault}")),
    }
}

/// Steps back until there are enough, or enough were looked at; the oldest first.
fn newest_lines(
    ledger: &Ledger,
    newest: EventId,
    filter: &EventFilter,
    limit: usize,
) -> Result<VecDeque<String>, ReadFault> {
    let mut lines = VecDeque::new();
    let mut upto = newest.seq.0;
    let end = newest.seq.0.saturating_sub(LOOKED_AT_MAX);
    while upto > end && lines.len() < limit {
        let after = upto.saturating_sub(STEP);
        let found = lines_between(ledger, newest, filter, (after, upto), limit - lines.len())?;
        for line in found.into_iter().rev() {
            lines.push_front(line);
        }
        upto = after;
    }
    Ok(lines)
}

/// The last `limit` that pass behind `after`, up to `upto`.
fn lines_between(
    ledger: &Ledger,
    newest: EventId,
    filter: &EventFilter,
    (after, upto): (u64, u64),
    limit: usize,
) -> Result<VecDeque<String>, ReadFault> {
    let mut lines = VecDeque::new();
    let mut at = after;
    while at < upto {
        let scan = usize::try_from(upto - at).unwrap_or(usize::MAX);
        let found = ledger.fetch(Seq(at), filter, scan)?;
        let Some(event) = found.event.filter(|event| event.seq.0 <= upto) else { break };
        at = event.seq.0;
        if lines.len() == limit {
            lines.pop_front();
        }
        lines.push_back(line_of(&event, newest));
    }
    Ok(lines)
}

fn line_of(event: &Event, newest: EventId) -> String {
    let id = EventId { seq: event.seq, ledger: newest.ledger };
    let metadata = cut(&event.metadata.0, METADATA_BYTES_MAX);
    let more = if metadata.len() < event.metadata.0.len() { "..." } else { "" };
    let (at, severity) = (format_rfc3339(event.at), event.severity.as_str());
    format!("{at} {severity} {} {id} {:?} {metadata}{more}", event.kind, event.message)
}

/// As many of the newest lines as fit.
fn joined(mut lines: VecDeque<String>, bytes_max: usize) -> String {
    let mut bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    let mut left_out = 0;
    while bytes > bytes_max
        && let Some(line) = lines.pop_front()
    {
        bytes -= line.len() + 1;
        left_out += 1;
    }
    let mut text = String::with_capacity(bytes + 40);
    if left_out > 0 {
        text.push_str(&format!("[{left_out} older ones left out]\n"));
    }
    for line in &lines {
        text.push_str(line);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    if text.is_empty() {
        text.push_str("[no such events]");
    }
    text
}
