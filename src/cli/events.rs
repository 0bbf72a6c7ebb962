//! `events`: what the ledger keeps, one line each; asked of the running agent, or read from the file.

use std::time::Duration;

use super::args::Typed;
use super::ask::{AskFault, RunningAgent};
use super::out::{Exit, Failure, Out, Paint, note, printable};
use crate::agent::event::Severity;
use crate::agent::ids::EventId;
use crate::agent::limits::EVENT_TYPE_BYTES_MAX;
use crate::wire::json::Json;

/// Events asked for at once: at most 13 MB if each is of the largest.
const PAGE_EVENTS: u64 = 200;
/// Between two questions with `--follow`.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Events shown before the new ones with `--follow`, as `tail -f` does.
const TAIL_EVENTS: u64 = 10;

/// What was typed, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Go on for ever.
    pub follows: bool,
    /// Begin after this one; `None`: not said.
    pub since: Option<String>,
    /// Types wanted, with commas.
    pub kinds: String,
    /// Severities wanted, with commas.
    pub severities: String,
    /// Stop after as many.
    pub limit: u64,
    /// One JSON object per line.
    pub wants_json: bool,
}

impl Plan {
    /// Checks what was typed.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn from(typed: &Typed) -> Result<Self, Failure> {
        let wrong = |option: &str, value: &str, rule: &str| {
            Failure::new(Exit::Usage, format_args!("--{option} is \"{}\": must be {rule}", printable(value)))
        };
        let since = typed.value("since");
        if let Some(id) = since.filter(|id| *id != "0" && EventId::parse(id).is_none()) {
            return Err(wrong("since", id, "the id of an event, or 0"));
        }
        let severities = typed.value("severity").unwrap_or_default().to_ascii_lowercase();
        if let Some(word) = split(&severities).find(|word| Severity::parse(word).is_none()) {
            return Err(wrong("severity", word, "info, warning, error or critical"));
        }
        let kinds = typed.value("type").unwrap_or_default();
        if let Some(kind) = split(kinds).find(|kind| !is_pattern(kind)) {
            return Err(wrong("type", kind, "a type, or its beginning and *"));
        }
        let limit = match typed.value("limit") {
            None => u64::MAX,
            Some(text) => match text.parse() {
                Ok(limit) if limit > 0 => limit,
                _ => return Err(wrong("limit", text, "a number of 1 or more")),
            },
        };
        Ok(Self {
            follows: typed.has("follow"),
            since: since.map(str::to_owned),
            kinds: kinds.to_owned(),
            severities,
            limit,
            wants_json: typed.has("json"),
        })
    }

    fn path(&self, after: &str, left: u64) -> String {
        let mut path = format!("/api/events?since={after}&limit={}", left.min(PAGE_EVENTS));
        for (name, value) in [("type", &self.kinds), ("severity", &self.severities)] {
            if !value.is_empty() {
                path.push_str(&format!("&{name}={}", value.trim_matches(',')));
            }
        }
        path
    }
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    let is_given = !list.is_empty();
    list.split(',').filter(move |_| is_given)
}

fn is_pattern(kind: &str) -> bool {
    let name = kind.strip_suffix('*').unwrap_or(kind);
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    is_name && !kind.is_empty() && kind.len() <= EVENT_TYPE_BYTES_MAX
}

/// `events`. `from_file` prints what the ledger file keeps, for the case that no agent runs.
pub fn events(
    plan: &Plan,
    agent: &RunningAgent,
    from_file: impl FnOnce(&Plan, &mut Out) -> Result<(), Failure>,
    out: &mut Out,
) -> Result<(), Failure> {
    if plan.follows {
        return follow(plan, agent, out);
    }
    let mut reading =
        Reading { after: plan.since.clone().unwrap_or_else(|| "0".to_owned()), left: plan.limit };
    let mut is_first = true;
    loop {
        match reading.page(plan, agent, out) {
            Ok(0) => return Ok(()),
            Ok(_) => is_first = false,
            Err(Trouble::Told(failure)) => return Err(failure),
            Err(Trouble::Ask(AskFault::Unreachable(_))) if is_first => return from_file(plan, out),
            Err(Trouble::Ask(fault)) => return Err(agent.failure(&fault)),
        }
    }
}

/// For ever, over every restart of the agent, until the limit or until nobody reads.
fn follow(plan: &Plan, agent: &RunningAgent, out: &mut Out) -> Result<(), Failure> {
    let mut reading: Option<Reading> = None;
    let mut is_away = false;
    loop {
        let result = match &mut reading {
            Some(reading) => reading.page(plan, agent, out),
            None => begin(plan, agent).map(|begun| {
                reading = Some(begun);
                1
            }),
        };
        match result {
            Ok(printed) => {
                if is_away {
                    note("the agent answers again");
                }
                is_away = false;
                if reading.as_ref().is_some_and(|reading| reading.left == 0) {
                    return Ok(());
                }
                if printed > 0 {
                    continue;
                }
            }
            Err(Trouble::Told(failure)) => return Err(failure),
            // Starting and stopping, an agent may refuse for a moment; a wrong token stays wrong.
            Err(Trouble::Ask(AskFault::Unreachable(why))) => tell_once(&mut is_away, agent, &why),
            Err(Trouble::Ask(AskFault::Refused(status @ 500.., why))) => {
                tell_once(&mut is_away, agent, &format!("{status}: {why}"));
            }
            Err(Trouble::Ask(fault)) => return Err(agent.failure(&fault)),
        }
        out.flush()?;
        wait();
    }
}

fn tell_once(is_away: &mut bool, agent: &RunningAgent, why: &str) {
    if !std::mem::replace(is_away, true) {
        note(&format!("no agent answers at {} ({why}); asking again every second", agent.base()));
    }
}

#[allow(clippy::disallowed_methods, reason = "this process only asks questions: nothing else waits for it")]
fn wait() {
    std::thread::sleep(POLL_INTERVAL);
}

/// Where to begin: as typed, else a few before the newest.
fn begin(plan: &Plan, agent: &RunningAgent) -> Result<Reading, Trouble> {
    if let Some(since) = &plan.since {
        return Ok(Reading { after: since.clone(), left: plan.limit });
    }
    let status = agent.get("/status")?;
    let ledger = Json::parse(status.as_bytes()).ok().and_then(|status| status.get("ledger"));
    let newest = ledger.and_then(|ledger| ledger.get("durable")?.u64());
    let id = ledger.and_then(|ledger| ledger.get("id")?.text());
    let after = match (newest, id) {
        (Some(newest), Some(id)) if newest > TAIL_EVENTS => format!("{:012x}-{id}", newest - TAIL_EVENTS),
        _ => "0".to_owned(),
    };
    Ok(Reading { after, left: plan.limit })
}

/// A place in the log.
struct Reading {
    after: String,
    left: u64,
}

enum Trouble {
    Ask(AskFault),
    Told(Failure),
}

impl From<AskFault> for Trouble {
    fn from(fault: AskFault) -> Self {
        Self::Ask(fault)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}

impl Reading {
    /// Prints the next page; how many events there were.
    fn page(&mut self, plan: &Plan, agent: &RunningAgent, out: &mut Out) -> Result<u64, Trouble> {
        if self.left == 0 {
            return Ok(0);
        }
        let body = agent.get(&plan.path(&self.after, self.left))?;
        let strange =
            || Failure::new(Exit::Unavailable, format_args!("what answers at {} is no agent", agent.base()));
        let page = Json::parse(body.as_bytes()).map_err(|_| strange())?;
        let next = page.get("next").and_then(Json::text).ok_or_else(strange)?;
        let mut printed = 0;
        for event in page.get("events").ok_or_else(strange)?.items() {
            print(event, plan.wants_json, out)?;
            printed += 1;
        }
        // A page that does not move on would be asked for again without end.
        if printed > 0 && next == self.after {
            return Err(strange().into());
        }
        self.after = next.into_owned();
        self.left = self.left.saturating_sub(printed);
        Ok(printed)
    }
}

/// One event as one line.
pub fn print(event: Json<'_>, wants_json: bool, out: &mut Out) -> Result<(), Failure> {
    if wants_json {
        return out.line(event.compact());
    }
    let field = |name| printable(&event.get(name).and_then(Json::text).unwrap_or_default());
    let severity = field("severity");
    let paint = match Severity::parse(&severity) {
        Some(Severity::Info) => Paint::Plain,
        Some(Severity::Warning) => Paint::Warn,
        _ => Paint::Bad,
    };
    out.line(format_args!(
        "{} {} {} {} {}",
        out.paint(Paint::Faint, &field("timestamp")),
        out.paint(paint, &format!("{severity:8}")),
        field("type"),
        out.paint(Paint::Faint, &field("id")),
        field("message")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{self, Asked};

    fn plan(line: &str) -> Result<Plan, String> {
        match args::parse(line.split_whitespace().map(Into::into)) {
            Ok(Asked::Run(typed)) => Plan::from(&typed).map_err(|failure| match failure {
                Failure::Told(exit, words) => format!("{} {words}", exit as u8),
                Failure::ClosedPipe => "closed".to_owned(),
            }),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_typed_becomes_the_question() {
        let asked =
            plan("events --since 000000000042-deadbeef --type a*,b.c --severity Error,critical -n 500")
                .unwrap();
        assert_eq!(
            asked.path("000000000042-deadbeef", 500),
            "/api/events?since=000000000042-deadbeef&limit=200&type=a*,b.c&severity=error,critical"
        );
        assert_eq!(plan("events").unwrap().path("0", 3), "/api/events?since=0&limit=3");
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        for (line, answer) in [
            ("events --since 42", "64 --since is \"42\": must be the id of an event, or 0"),
            ("events --severity bad", "64 --severity is \"bad\": must be info, warning, error or critical"),
            ("events --type a&b", "64 --type is \"a&b\": must be a type, or its beginning and *"),
            ("events --type a,,b", "64 --type is \"\": must be a type, or its beginning and *"),
            ("events --limit 0", "64 --limit is \"0\": must be a number of 1 or more"),
            ("events --limit -3", "64 --limit is \"-3\": must be a number of 1 or more"),
        ] {
            assert_eq!(plan(line).expect_err(line), answer);
        }
    }
}
