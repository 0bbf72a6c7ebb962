//! `status`: what the running agent says of itself, for people.

use super::ask::RunningAgent;
use super::out::{Exit, Failure, Out, Paint, printable};
use crate::wire::json::{Json, Kind};

/// `status [--json]`.
pub fn status(agent: &RunningAgent, wants_json: bool, out: &mut Out) -> Result<(), Failure> {
    let body = agent.get("/status").map_err(|fault| agent.failure(&fault))?;
    if wants_json {
        return out.line(body.trim_end());
    }
    let words =
        || Failure::new(Exit::Unavailable, format_args!("what answers at {} is no agent", agent.base()));
    let status =
        Json::parse(body.as_bytes()).ok().filter(|json| json.get("status").is_some()).ok_or_else(words)?;
    for row in rows(status) {
        let gap = " ".repeat(12usize.saturating_sub(row.name.chars().count()));
        out.line(format_args!(
            "{}{gap}{}",
            out.paint(Paint::Bold, row.name),
            out.paint(row.paint, &row.text)
        ))?;
    }
    Ok(())
}

struct Row {
    name: &'static str,
    paint: Paint,
    text: String,
}

fn row(name: &'static str, paint: Paint, text: impl Into<String>) -> Row {
    Row { name, paint, text: printable(&text.into()) }
}

fn rows(status: Json<'_>) -> Vec<Row> {
    let health = word(status, "status");
    let mut rows = vec![row(
        "ChainBot",
        paint_of(&health),
        format!(
            "{health}, version {}, up {}",
            word(status, "version"),
            duration(number(status, "uptime_ms"))
        ),
    )];
    if let Some(reason) = status.some("attention_reason").and_then(Json::text) {
        rows.push(row("Attention", Paint::Bad, reason));
    }
    alexos(status.some("alex_os"), &mut rows);
    aiwm(status.some("aiwm"), &mut rows);
    models(status.some("brain"), &mut rows);
    ledger(status, &mut rows);
    deliveries(status, &mut rows);
    rows.push(clock(status));
    rows.push(memory(status));
    rows
}

fn alexos(alexos: Option<Json<'_>>, rows: &mut Vec<Row>) {
    let Some(alexos) = alexos else {
        rows.push(row("ALEX OS", Paint::Faint, "not configured"));
        return;
    };
    let state = word(alexos, "registration");
    let mut text = state.replace('_', " ");
    if let Some(id) = alexos.some("agent_id").and_then(Json::text) {
        text.push_str(&format!(" as {id}"));
    }
    match alexos.some("events_path").and_then(Json::text).as_deref() {
        Some("public") => text.push_str(", takes events by the public release's path"),
        Some(_) => text.push_str(", takes events as documented"),
        None => text.push_str(", has taken no event yet"),
    }
    if let Some(at) = alexos.some("last_report").and_then(Json::text) {
        text.push_str(&format!(", last report {at}"));
    }
    rows.push(row("ALEX OS", paint_of(&state), text));
    trouble(alexos, rows);
    bus(alexos.some("bus"), rows);
}

fn bus(bus: Option<Json<'_>>, rows: &mut Vec<Row>) {
    let Some(bus) = bus else { return };
    let state = word(bus, "state");
    if state == "off" {
        return;
    }
    let mut text = state.replace('_', " ");
    match bus.some("dialect").and_then(Json::text).as_deref() {
        Some("public") => text.push_str(", speaks the public release's dialect"),
        Some(_) => text.push_str(", takes events as documented"),
        None => {}
    }
    if let Some(behind) = bus.some("behind").and_then(Json::u64).filter(|behind| *behind > 0) {
        text.push_str(&format!(", {behind} behind"));
    }
    if let Some(age) = bus.some("last_message_age_ms").and_then(Json::u64) {
        text.push_str(&format!(", heard {} ago", duration(age)));
    }
    rows.push(row("Event bus", paint_of(&state), text));
    trouble(bus, rows);
}

fn aiwm(aiwm: Option<Json<'_>>, rows: &mut Vec<Row>) {
    let Some(aiwm) = aiwm else {
        rows.push(row("AIWM", Paint::Faint, "not enabled"));
        return;
    };
    let state = word(aiwm, "state");
    let mut text = state.clone();
    if let Some(generation) = aiwm.some("generation").and_then(Json::text) {
        text.push_str(&format!(" (generation {generation})"));
    }
    if let Some(age) = aiwm.some("last_beat_age_ms").and_then(Json::u64) {
        text.push_str(&format!(", last beat {} ago", duration(age)));
    }
    let bytes = number(aiwm, "instruction_bytes");
    if bytes > 0 {
        let is_fresh = aiwm.get("is_fresh").and_then(Json::bool).unwrap_or(false);
        text.push_str(&format!(
            ", instruction of {bytes} bytes{}",
            if is_fresh { "" } else { " from an earlier run" }
        ));
    }
    if let Some(work) = aiwm.some("work").and_then(Json::text) {
        text.push_str(&format!(", work waits: {work}"));
    }
    rows.push(row("AIWM", paint_of(&state), text));
    trouble(aiwm, rows);
}

fn models(brain: Option<Json<'_>>, rows: &mut Vec<Row>) {
    let Some(brain) = brain else { return };
    let providers = || brain.some("providers").into_iter().flat_map(Json::items);
    if providers().next().is_none() {
        rows.push(row("Models", Paint::Faint, "not configured"));
        return;
    }
    for (index, provider) in providers().enumerate() {
        let state = word(provider, "state");
        let text = format!(
            "{} {state}, {} answered, {} failed",
            word(provider, "name"),
            number(provider, "answered"),
            number(provider, "failed")
        );
        let paint = if state == "down" { Paint::Warn } else { Paint::Plain };
        rows.push(row(if index == 0 { "Models" } else { "" }, paint, text));
        trouble(provider, rows);
    }
    let approvals = number(brain, "approvals");
    if approvals > 0 {
        let text = format!("{approvals} wait for a person: chainbot approvals");
        rows.push(row("Approvals", Paint::Warn, text));
    }
}

/// What a peer last failed at, and when it is tried again.
fn trouble(peer: Json<'_>, rows: &mut Vec<Row>) {
    let fault = peer.some("last_fault").and_then(Json::text);
    let next =
        peer.some("next_try_in_ms").and_then(Json::u64).map(|ms| format!("next try in {}", duration(ms)));
    let text = match (fault, next) {
        (Some(fault), Some(next)) => format!("{fault}; {next}"),
        (Some(fault), None) => fault.into_owned(),
        (None, _) => return,
    };
    rows.push(row("", Paint::Warn, text));
}

fn ledger(status: Json<'_>, rows: &mut Vec<Row>) {
    let Some(ledger) = status.get("ledger") else { return };
    let state = word(ledger, "state");
    let (oldest, durable) = (number(ledger, "oldest"), number(ledger, "durable"));
    let kept = (durable + 1).saturating_sub(oldest.max(1));
    let text = format!(
        "{state}, {} kept ({durable} in all), {} in {}",
        counted(kept, "event"),
        size(number(ledger, "bytes")),
        word(ledger, "file")
    );
    rows.push(row("Ledger", paint_of(&state), text));
}

fn deliveries(status: Json<'_>, rows: &mut Vec<Row>) {
    let mut is_first = true;
    for destination in status.get("destinations").into_iter().flat_map(Json::items) {
        let state = word(destination, "state");
        let behind = number(destination, "behind");
        let mut text = format!("{}: {}", word(destination, "shown"), state.replace('_', " "));
        match behind {
            0 => text.push_str(", has everything"),
            1 => text.push_str(", 1 event behind"),
            _ => text.push_str(&format!(", {behind} events behind")),
        }
        let attempts = number(destination, "attempts");
        if attempts > 1 {
            text.push_str(&format!(", try {attempts}"));
        }
        rows.push(row(if is_first { "Deliveries" } else { "" }, paint_of(&state), text));
        trouble(destination, rows);
        is_first = false;
    }
    if is_first {
        rows.push(row("Deliveries", Paint::Faint, "to nobody"));
    }
}

fn clock(status: Json<'_>) -> Row {
    let trust = status.at(&["clock", "trust"]).and_then(Json::text).unwrap_or_default();
    let (paint, meaning) = match trust.as_ref() {
        "synced" => (Paint::Good, "set by a time source"),
        "hinted" => (Paint::Good, "agrees with a peer's"),
        "floor" => (Paint::Warn, "only known not to be too early: ages are not judged"),
        _ => (Paint::Warn, "not known to be right: ages are not judged"),
    };
    row("Clock", paint, format!("{trust}, {meaning} ({})", word(status, "timestamp")))
}

fn memory(status: Json<'_>) -> Row {
    let process = |name| status.at(&["process", name]).and_then(Json::u64).unwrap_or(0);
    let text = format!(
        "{} resident, {}, {}",
        size(process("rss_kib") * 1024),
        counted(process("threads"), "thread"),
        counted(process("connections"), "connection")
    );
    row("Memory", Paint::Plain, text)
}

fn paint_of(state: &str) -> Paint {
    match state {
        "healthy" | "registered" | "connected" | "open" | "idle" | "sending" => Paint::Good,
        "unhealthy" | "failed" | "gone" | "refused" | "full" | "faulty" | "disabled" => Paint::Bad,
        _ => Paint::Warn,
    }
}

fn word(json: Json<'_>, name: &str) -> String {
    match json.get(name) {
        Some(value) if value.kind() == Kind::Text => value.text().unwrap_or_default().into_owned(),
        _ => "unknown".to_owned(),
    }
}

fn number(json: Json<'_>, name: &str) -> u64 {
    json.get(name).and_then(Json::u64).unwrap_or(0)
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Milliseconds as people say them: the two largest units.
pub fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// Bytes as people say them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{}.{} MiB", bytes >> 20, (bytes % 1_048_576) * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        let said = [0, 59_999, 60_000, 3_661_000, 90_061_000].map(duration);
        assert_eq!(said, ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h"]);
        assert_eq!([3, 2_048, 1_048_575, 1_572_864].map(size), ["3 bytes", "2 KiB", "1023 KiB", "1.5 MiB"]);
    }

    #[test]
    fn a_status_becomes_rows_that_name_every_trouble() {
        let text = r#"{"version":"0.1.0","timestamp":"2026-11-21T00:00:00Z","clock":{"trust":"floor"},"uptime_ms":61000,
            "status":"degraded","attention_reason":"look \u001b[2J","ledger":{"file":"a.redb","bytes":2048,"oldest":5,
            "durable":9,"state":"healthy"},"alex_os":{"registration":"not_offered","events_path":"public",
            "last_fault":"status 405","next_try_in_ms":900000,"bus":{"state":"open","dialect":"documented","behind":3,
            "last_message_age_ms":2000}},"aiwm":null,"destinations":[{"shown":"http://h/","state":
            "waiting","behind":3,"attempts":2,"next_try_in_ms":5000,"last_fault":"connection refused"}],
            "process":{"rss_kib":3072,"threads":4,"connections":1}}"#;
        let rows = rows(Json::parse(text.as_bytes()).unwrap());
        let shown: Vec<_> = rows.iter().map(|row| format!("{}|{}", row.name, row.text)).collect();
        assert_eq!(
            shown,
            [
                "ChainBot|degraded, version 0.1.0, up 1 min",
                "Attention|look ?[2J",
                "ALEX OS|not offered, takes events by the public release's path",
                "|status 405; next try in 15 min",
                "Event bus|open, takes events as documented, 3 behind, heard 2 s ago",
                "AIWM|not enabled",
                "Ledger|healthy, 5 events kept (9 in all), 2 KiB in a.redb",
                "Deliveries|http://h/: waiting, 3 events behind, try 2",
                "|connection refused; next try in 5 s",
                "Clock|floor, only known not to be too early: ages are not judged (2026-11-21T00:00:00Z)",
                "Memory|3.0 MiB resident, 4 threads, 1 connection",
            ]
        );
    }

    #[test]
    fn any_json_is_printed_without_a_panic() {
        for text in
            ["{}", r#"{"status":3,"ledger":[],"alex_os":{},"aiwm":{},"destinations":[1,{}],"uptime_ms":-1}"#]
        {
            assert!(rows(Json::parse(text.as_bytes()).unwrap()).len() > 4);
        }
    }
}
