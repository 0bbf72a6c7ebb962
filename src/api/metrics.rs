//! `GET /metrics`: the Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

use super::View;
use crate::agent::brain::status::ProviderState;
use crate::agent::counters::Counters;
use crate::agent::effect::Health;
use crate::agent::status::{AlexosStatus, DestinationStatus};
use crate::agent::time::Trust;

/// One counter of the agent, as a metric and as a field of `/status`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CounterRow {
    /// The metric, ending in `_total`.
    pub(super) name: &'static str,
    /// The field of `/status`.
    pub(super) field: &'static str,
    /// For people.
    pub(super) help: &'static str,
    /// The count since the start.
    pub(super) value: u64,
}

/// Every counter. The names of the first six are AIWM's documents'.
pub(super) fn counter_rows(counters: &Counters) -> [CounterRow; 41] {
    macro_rules! row {
        ($prefix:literal, $field:ident, $help:literal) => {
            CounterRow {
                name: concat!($prefix, stringify!($field), "_total"),
                field: stringify!($field),
                help: $help,
                value: counters.$field,
            }
        };
    }
    [
        row!("", aiwm_connection_success, "Successful connects with AIWM."),
        row!("", aiwm_connection_failure, "Failed connects with AIWM."),
        row!("", aiwm_heartbeat_success, "Heartbeats that AIWM took."),
        row!("", aiwm_heartbeat_failure, "Heartbeats that AIWM did not take."),
        row!("", aiwm_token_refresh, "Connects that replaced a living token."),
        row!("", aiwm_config_update, "Answers of AIWM that differed from the one before."),
        row!("chainbot_", alexos_registration_success, "Registrations that ALEX OS took."),
        row!("chainbot_", alexos_registration_failure, "Registrations that ALEX OS did not take."),
        row!("chainbot_", alexos_report_success, "Health reports that ALEX OS took."),
        row!("chainbot_", alexos_report_failure, "Health reports that ALEX OS did not take."),
        row!("chainbot_", deliveries_success, "Events that a destination took."),
        row!("chainbot_", deliveries_retried, "Tries of a delivery that failed and are tried again."),
        row!("chainbot_", deliveries_parked, "Events that a destination refused for good."),
        row!("chainbot_", deliveries_lost, "Events that the ledger dropped before a destination had them."),
        row!("chainbot_", bus_opened, "Links to the event bus that opened."),
        row!("chainbot_", bus_failed, "Links to the event bus that failed, before or after they opened."),
        row!("chainbot_", bus_sent, "Events and reports sent over the event bus, repetitions included."),
        row!("chainbot_", bus_received, "Events that came over the event bus and were recorded."),
        row!("chainbot_", bus_duplicate, "Events that came over the event bus again."),
        row!("chainbot_", bus_own, "Events of our own that the event bus brought back."),
        row!(
            "chainbot_",
            bus_dropped,
            "Events of the event bus that were too many, or that the ledger could not take."
        ),
        row!("chainbot_", bus_unknown, "Messages of the event bus that are no event and mean nothing to us."),
        row!("chainbot_", bus_lost, "Events that the ledger dropped before the event bus had them."),
        row!("chainbot_", events_recorded, "Events written to the ledger."),
        row!("chainbot_", webhooks_stored, "Webhooks stored."),
        row!("chainbot_", webhooks_duplicate, "Webhooks answered from memory because their id was known."),
        row!(
            "chainbot_",
            webhooks_turned_away,
            "Webhooks turned away because the ledger could not take them."
        ),
        row!(
            "chainbot_",
            questions_asked,
            "Questions asked of models, each once however many providers it took."
        ),
        row!("chainbot_", questions_answered, "Questions that a model answered."),
        row!("chainbot_", questions_failed, "Questions that no model answered."),
        row!("chainbot_", questions_over_budget, "Questions turned away because a budget was spent."),
        row!("chainbot_", tokens_used, "Tokens in and out of models, as counted there or estimated."),
        row!("chainbot_", turns_started, "Turns of conversations that began."),
        row!("chainbot_", turns_completed, "Turns that ended with an answer."),
        row!("chainbot_", turns_failed, "Turns that ended without one."),
        row!("chainbot_", tools_started, "Runs of tools that began."),
        row!("chainbot_", tools_refused, "Calls of tools that were not allowed."),
        row!("chainbot_", approvals_requested, "Calls of tools about which a person was asked."),
        row!("chainbot_", commits, "Commits asked for."),
        row!("chainbot_", commits_failed, "Commits that failed."),
        row!("chainbot_", answers_dropped, "Answers of peers with an unknown or outdated id."),
    ]
}

const AIWM_STATES: [&str; 6] = ["connecting", "connected", "local", "suspended", "gone", "refused"];
const REGISTRATION_STATES: [&str; 6] =
    ["unregistered", "registering", "registered", "retrying", "not_offered", "failed"];
const BUS_STATES: [&str; 5] = ["off", "waiting", "connecting", "open", "not_offered"];
const DESTINATION_STATES: [&str; 5] = ["idle", "sending", "waiting", "not_offered", "disabled"];
const TRUST_STATES: [Trust; 4] = [Trust::Unset, Trust::Floor, Trust::Hinted, Trust::Synced];

/// The whole page.
pub(super) fn render(view: &View<'_>) -> String {
    let mut page = Page(String::with_capacity(8 * 1024));
    for row in counter_rows(view.status.counters) {
        page.family(row.name, "counter", row.help);
        page.row(row.name, "", row.value);
    }
    aiwm(view, &mut page);
    agent(view, &mut page);
    alexos(view.status.alexos.as_ref(), &mut page);
    destinations(&view.status.destinations, &mut page);
    brain(view, &mut page);
    ledger(view, &mut page);
    machine(view, &mut page);
    process(view, &mut page);
    page.0
}

fn aiwm(view: &View<'_>, page: &mut Page) {
    let aiwm = view.status.aiwm.as_ref();
    page.family("aiwm_state", "gauge", "State of the session with AIWM: 1 for the one it is in.");
    page.states("aiwm_state", "state", &AIWM_STATES, aiwm.map(|aiwm| aiwm.state));
    if let Some(age_ms) = aiwm.and_then(|aiwm| aiwm.last_beat_age_ms) {
        let name = "aiwm_last_heartbeat_age_seconds";
        page.gauge(name, "Time since AIWM last took a heartbeat.", seconds(age_ms));
    }
}

fn agent(view: &View<'_>, page: &mut Page) {
    let status = view.status;
    let score = match status.health {
        Health::Healthy => "1",
        Health::Degraded => "0.5",
        Health::Unhealthy => "0",
    };
    page.gauge("chainbot_health_score", "Health: 1 healthy, 0.5 degraded, 0 unhealthy.", score);
    page.gauge("up", "The agent answers.", 1);
    page.gauge("chainbot_uptime_seconds", "Time since the agent started.", seconds(status.uptime_ms));
    page.gauge(
        "chainbot_requires_attention",
        "Whether someone should look.",
        u8::from(status.attention.is_some()),
    );
    page.family("chainbot_build_info", "gauge", "Version of the program.");
    page.row("chainbot_build_info", &label("version", view.version), 1);
    page.family("chainbot_clock_trust", "gauge", "How far the wall clock may be believed: 1 for what holds.");
    let trusts = TRUST_STATES.map(Trust::as_str);
    page.states("chainbot_clock_trust", "trust", &trusts, Some(status.trust.as_str()));
}

fn alexos(alexos: Option<&AlexosStatus>, page: &mut Page) {
    let name = "chainbot_alexos_registration";
    page.family(name, "gauge", "State of the registration with ALEX OS: 1 for the one it is in.");
    page.states(name, "state", &REGISTRATION_STATES, alexos.map(|alexos| alexos.registration));
    let bus = alexos.map(|alexos| &alexos.bus);
    let name = "chainbot_bus_state";
    page.family(name, "gauge", "State of the link to the event bus: 1 for the one it is in.");
    page.states(name, "state", &BUS_STATES, bus.map(|bus| bus.state));
    if let Some(age_ms) = bus.and_then(|bus| bus.last_message_age_ms) {
        let name = "chainbot_bus_last_message_age_seconds";
        page.gauge(name, "Time since something last came over the event bus.", seconds(age_ms));
    }
    if let Some(behind) = bus.and_then(|bus| bus.behind) {
        let name = "chainbot_bus_behind_events";
        page.gauge(name, "Places between what the bus has and the newest durable event.", behind);
    }
}

fn destinations(destinations: &[DestinationStatus], page: &mut Page) {
    if destinations.is_empty() {
        return;
    }
    let name = "chainbot_destination_behind_events";
    page.family(name, "gauge", "Places between the destination's cursor and the newest durable event.");
    for destination in destinations {
        page.row(name, &label("destination", destination.key), destination.behind);
    }
    let name = "chainbot_destination_attempts";
    page.family(name, "gauge", "Tries of the event at hand.");
    for destination in destinations {
        page.row(name, &label("destination", destination.key), destination.attempts);
    }
    let name = "chainbot_destination_state";
    page.family(name, "gauge", "State of the destination: 1 for the one it is in.");
    for destination in destinations {
        let prefix = format!("{},", label("destination", destination.key));
        for state in DESTINATION_STATES {
            let labels = format!("{prefix}{}", label("state", state));
            page.row(name, &labels, u8::from(state == destination.state));
        }
    }
}

fn brain(view: &View<'_>, page: &mut Page) {
    let brain = &view.status.brain;
    if brain.providers.is_empty() {
        return;
    }
    for (name, kind, help) in [
        (
            "chainbot_model_provider_up",
            "gauge",
            "Whether the provider is asked: 0 while its circuit is open.",
        ),
        ("chainbot_model_questions_answered_total", "counter", "Questions that the provider answered."),
        ("chainbot_model_questions_failed_total", "counter", "Questions that came to nothing there."),
    ] {
        page.family(name, kind, help);
        for provider in &brain.providers {
            let value = match name {
                "chainbot_model_provider_up" => u64::from(provider.state != ProviderState::Down),
                "chainbot_model_questions_answered_total" => provider.answered,
                _ => provider.failed,
            };
            page.row(name, &label("provider", provider.name), value);
        }
    }
    page.gauge("chainbot_model_questions_under_way", "Questions to providers under way.", brain.under_way);
    page.gauge("chainbot_conversations", "Conversations kept.", brain.sessions.len());
    page.gauge("chainbot_approvals_pending", "Calls of tools that wait for a person.", brain.approvals.len());
    for (name, help) in [
        ("chainbot_model_requests_used", "Questions of the caller within the window."),
        ("chainbot_model_tokens_used", "Tokens of the caller, in and out, within the window."),
    ] {
        page.family(name, "gauge", help);
        for usage in &brain.usage {
            let used = if name == "chainbot_model_requests_used" { usage.requests } else { usage.tokens };
            let caller = label("caller", usage.caller.as_str());
            page.row(name, &format!("{caller},{}", label("window", "hour")), used.0);
            page.row(name, &format!("{caller},{}", label("window", "day")), used.1);
        }
    }
}

fn ledger(view: &View<'_>, page: &mut Page) {
    let ledger = &view.status.ledger;
    page.gauge("chainbot_ledger_oldest_seq", "Place of the oldest event kept.", ledger.oldest.0);
    page.gauge("chainbot_ledger_durable_seq", "Place of the newest durable event.", ledger.durable.0);
    page.gauge("chainbot_ledger_pending_writes", "Writes that wait for a commit.", ledger.pending);
    page.gauge("chainbot_ledger_bytes", "Size of the ledger's file.", view.process.ledger_bytes);
    page.gauge("chainbot_ledger_fault", "Whether the last commit failed.", u8::from(ledger.fault.is_some()));
}

fn machine(view: &View<'_>, page: &mut Page) {
    let Some(sample) = &view.status.sample else { return };
    for (name, help, percent) in [
        ("chainbot_machine_cpu_ratio", "Processor use of the machine, 0 to 1.", sample.cpu_percent),
        ("chainbot_machine_memory_ratio", "Memory use of the machine, 0 to 1.", sample.memory_percent),
        ("chainbot_machine_disk_ratio", "Use of the ledger's disk, 0 to 1.", sample.disk_percent),
    ] {
        page.gauge(name, help, Float(percent / 100.0));
    }
    let bytes = Float(sample.network_kib_s * 1_024.0);
    page.gauge("chainbot_machine_network_bytes_per_second", "Bytes in and out over the network.", bytes);
}

fn process(view: &View<'_>, page: &mut Page) {
    let process = &view.process;
    page.family("http_requests_total", "counter", "Answers of the open port by status.");
    for (status, count) in process.http.rows() {
        page.row("http_requests_total", &label("status", &status.to_string()), count);
    }
    let name = "chainbot_http_throttled_total";
    page.family(
        name,
        "counter",
        "Requests answered 429: for their rate, or for wrong credentials before them.",
    );
    for (why, count) in ["rate", "guesses"].into_iter().zip(process.throttled) {
        page.row(name, &label("why", why), count);
    }
    let resident = process.rss_kib.saturating_mul(1_024);
    page.gauge("process_resident_memory_bytes", "Resident memory of the process.", resident);
    page.gauge("process_open_fds", "Open file descriptors.", process.fds);
    page.gauge("process_threads", "Threads of the process.", process.threads);
    page.gauge("chainbot_http_connections", "Connections to the open port.", process.connections);
    page.gauge("chainbot_websocket_connections", "Open WebSockets.", process.sockets);
}

/// The page under construction.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.row(name, "", value);
    }

    /// One row for each state. A state that is not in the list gets a row of its own, so that one is always 1.
    fn states(&mut self, name: &str, key: &str, states: &[&str], current: Option<&str>) {
        for state in states {
            self.row(name, &label(key, state), u8::from(current == Some(state)));
        }
        if let Some(current) = current.filter(|current| !states.contains(current)) {
            self.row(name, &label(key, current), 1);
        }
    }
}

/// `key="value"` with the three escapes of the format.
fn label(key: &str, value: &str) -> String {
    let mut label = format!("{key}=\"");
    for c in value.chars() {
        match c {
            '\\' => label.push_str("\\\\"),
            '"' => label.push_str("\\\""),
            '\n' => label.push_str("\\n"),
            c => label.push(c),
        }
    }
    label.push('"');
    label
}

/// Milliseconds written as seconds with three decimals.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// A float as the format writes it.
struct Float(f64);

impl std::fmt::Display for Float {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_finite() { write!(f, "{:.4}", self.0) } else { f.write_str("NaN") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;
    use super::*;

    /// Checks the rules that `promtool check metrics` fails on: HELP then TYPE once for each family, its rows
    /// together right after, no row twice, every value a number, counters named `_total`.
    fn check_exposition(page: &str) {
        let mut seen: Vec<String> = Vec::new();
        let mut family = ("", "");
        let mut lines = page.lines();
        assert!(page.ends_with('\n'));
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
                assert!(!help.is_empty() && matches!(kind, "counter" | "gauge"), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                assert!(!seen.contains(&name.to_owned()), "{name} twice");
                seen.push(name.to_owned());
                family = (name, kind);
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(name, family.0, "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(!seen.contains(&format!("row {series}")), "{series} twice");
            seen.push(format!("row {series}"));
        }
    }

    #[test]
    fn the_page_is_valid_with_everything_and_with_nothing() {
        for world in [World::full(), World::bare()] {
            check_exposition(&world.with_view(render));
        }
    }

    #[test]
    fn the_six_counters_of_the_documents_have_their_names() {
        let page = World::full().with_view(render);
        for (name, value) in [
            ("aiwm_connection_success_total", 1),
            ("aiwm_connection_failure_total", 2),
            ("aiwm_heartbeat_success_total", 3),
            ("aiwm_heartbeat_failure_total", 4),
            ("aiwm_token_refresh_total", 5),
            ("aiwm_config_update_total", 6),
        ] {
            assert!(page.contains(&format!("\n{name} {value}\n")), "{name}");
        }
    }

    #[test]
    fn states_ages_and_labels_are_said() {
        let page = World::full().with_view(render);
        for row in [
            "aiwm_state{state=\"connected\"} 1",
            "aiwm_state{state=\"gone\"} 0",
            "aiwm_last_heartbeat_age_seconds 12.345",
            "chainbot_health_score 0.5",
            "chainbot_clock_trust{trust=\"synced\"} 1",
            "chainbot_destination_behind_events{destination=\"alex_os\"} 7",
            "chainbot_destination_state{destination=\"alex_os\",state=\"waiting\"} 1",
            "http_requests_total{status=\"200\"} 2",
            "process_resident_memory_bytes 3145728",
            "up 1",
            "chainbot_bus_state{state=\"open\"} 1",
            "chainbot_bus_last_message_age_seconds 1.500",
            "chainbot_bus_behind_events 4",
        ] {
            assert!(page.lines().any(|line| line == row), "{row}\n{page}");
        }
        assert_eq!(label("k", "a\"b\\c\nd"), r#"k="a\"b\\c\nd""#);
    }
}
