//! The answers about the agent: `/`, `/health`, `/status` and the sockets.

use super::View;
use super::json::Json;
use super::routes::Role;
use crate::agent::brain::setup::ProviderKind;
use crate::agent::brain::status::BrainStatus;
use crate::agent::effect::{EventsPath, Health};
use crate::agent::input::{CommitFault, Sample};
use crate::agent::status::{AiwmStatus, AlexosStatus, DestinationStatus, LedgerStatus};
use crate::wire::windows::Window;

/// `GET /`.
pub(super) fn service(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("service").text("ChainBot");
    json.key("version").text(view.version);
    json.key("description").text(&view.setup.identity.description);
    json.key("endpoints").open('{');
    for (key, path) in [
        ("health", "/health"),
        ("status", "/status"),
        ("metrics", "/metrics"),
        ("docs", "/docs"),
        ("openapi", "/openapi.json"),
        ("api", "/api"),
        ("websockets", "/api/ws"),
        ("events", "/api/events"),
        ("webhooks", "/api/webhooks/chainbot"),
        ("chat", "/api/chat"),
        ("openai", "/v1"),
    ] {
        json.key(key).text(path);
    }
    json.close('}');
    json.key("alex_os_integration").boolean(view.setup.alexos.is_some());
    timestamp(view, &mut json);
    json.end_object()
}

/// `timestamp` as the Python service writes it: a number, here seconds since 1970.
fn timestamp(view: &View<'_>, json: &mut Json) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of the next 280,000 years are exact in an f64"
    )]
    let seconds = view.status.at.0 as f64 / 1_000.0;
    json.key("timestamp").float(seconds);
}

/// `GET /health`: the status, and for a known caller the documents' whole object.
pub(super) fn health(view: &View<'_>, role: Role) -> (u16, String) {
    let status = view.status;
    let code = if status.health == Health::Unhealthy { 503 } else { 200 };
    let mut json = Json::object_of(if role > Role::Open { 1_024 } else { 128 });
    json.key("status").text(status.health.as_str());
    timestamp(view, &mut json);
    if role > Role::Open {
        health_details(view, &mut json);
    }
    (code, json.end_object())
}

fn health_details(view: &View<'_>, json: &mut Json) {
    let status = view.status;
    json.key("services").open('{');
    json.key("database").text(ledger_word(&status.ledger));
    json.key("agent_brain").text(status.brain.word());
    json.key("websocket_manager").text("healthy");
    json.key("alex_os_registration").text(registration_word(status.alexos.as_ref()));
    json.key("aiwm").text(status.aiwm.as_ref().map_or("not_configured", |aiwm| aiwm.state));
    json.close('}');
    json.key("config").open('{');
    json.key("alex_os_enabled").boolean(view.setup.alexos.is_some());
    json.key("aiwm_enabled").boolean(view.setup.aiwm.is_some());
    let is_there = |kind| view.setup.brain.providers.iter().any(|provider| provider.kind == kind);
    json.key("openai_enabled").boolean(is_there(ProviderKind::OpenAi));
    json.key("maclink_enabled").boolean(is_there(ProviderKind::MacLink));
    json.key("production").boolean(true);
    json.close('}');
    json.key("alex_os");
    registration(view, json);
    json.key("websocket_stats");
    sockets(view, json);
}

fn ledger_word(ledger: &LedgerStatus) -> &'static str {
    match ledger.fault {
        None => "healthy",
        Some(CommitFault::Full) => "full",
        Some(CommitFault::Io) => "faulty",
    }
}

fn registration_word(alexos: Option<&AlexosStatus>) -> &'static str {
    alexos.map_or("not_configured", |alexos| alexos.registration)
}

/// The documents' object about the registration with ALEX OS.
pub(super) fn registration(view: &View<'_>, json: &mut Json) {
    let status = view.status;
    let alexos = status.alexos.as_ref();
    json.open('{');
    json.key("status").text(registration_word(alexos));
    json.key("health_status").text(status.health.as_str());
    json.key("registration_attempts").number(alexos.map_or(0, |alexos| alexos.attempts.into()));
    json.key("last_registration").time_or_null(alexos.and_then(|alexos| alexos.last_registration));
    json.key("last_health_report").time_or_null(alexos.and_then(|alexos| alexos.last_report));
    json.key("requires_attention").boolean(status.attention.is_some());
    json.key("attention_reason").text_or_null(status.attention);
    json.close('}');
}

/// `GET /status`.
pub(super) fn status(view: &View<'_>) -> String {
    let status = view.status;
    let mut json = Json::object();
    json.key("version").text(view.version);
    json.key("timestamp").time(status.at);
    json.key("clock").open('{');
    json.key("trust").text(status.trust.as_str());
    json.key("may_judge").boolean(status.trust.may_judge());
    json.close('}');
    json.key("uptime_ms").number(status.uptime_ms);
    json.key("status").text(status.health.as_str());
    json.key("requires_attention").boolean(status.attention.is_some());
    json.key("attention_reason").text_or_null(status.attention);
    json.key("is_stopping").boolean(status.is_stopping);
    identity(view, &mut json);
    ledger(view, &mut json);
    json.key("alex_os");
    match &status.alexos {
        Some(alexos) => alexos_status(alexos, &mut json),
        None => json.raw("null"),
    }
    json.key("aiwm");
    match &status.aiwm {
        Some(aiwm) => aiwm_status(aiwm, &mut json),
        None => json.raw("null"),
    }
    brain(&status.brain, &mut json);
    json.key("destinations").open('[');
    for destination in &status.destinations {
        destination_status(destination, &mut json);
    }
    json.close(']');
    json.key("sample");
    match &status.sample {
        Some(sample) => sample_status(sample, &mut json),
        None => json.raw("null"),
    }
    process(view, &mut json);
    counters(view, &mut json);
    json.end_object()
}

fn identity(view: &View<'_>, json: &mut Json) {
    let identity = &view.setup.identity;
    json.key("agent").open('{');
    json.key("name").text(&identity.name);
    json.key("version").text(&identity.version);
    json.key("role").text(&identity.role);
    json.key("port").number(identity.port.into());
    json.close('}');
}

fn ledger(view: &View<'_>, json: &mut Json) {
    let ledger = &view.status.ledger;
    json.key("ledger").open('{');
    json.key("file").text(view.ledger_file);
    json.key("bytes").number(view.process.ledger_bytes);
    json.key("id").text(&format!("{:08x}", ledger.id.0));
    json.key("oldest").number(ledger.oldest.0);
    json.key("durable").number(ledger.durable.0);
    json.key("events_max").number(view.setup.events_max);
    json.key("pending").number(ledger.pending as u64);
    json.key("state").text(ledger_word(ledger));
    json.close('}');
}

fn alexos_status(alexos: &AlexosStatus, json: &mut Json) {
    json.open('{');
    json.key("registration").text(alexos.registration);
    json.key("attempts").number(alexos.attempts.into());
    json.key("last_registration").time_or_null(alexos.last_registration);
    json.key("last_report").time_or_null(alexos.last_report);
    json.key("agent_id").text_or_null(alexos.agent_id);
    json.key("events_path").text_or_null(alexos.events_path.map(|path| match path {
        EventsPath::Documented => "documented",
        EventsPath::Public => "public",
    }));
    json.key("last_fault").text_or_null(alexos.last_fault);
    json.key("next_try_in_ms").number_or_null(alexos.next_try_in_ms);
    json.key("canon").open('[');
    for entry in alexos.canon {
        json.open('{');
        json.key("name").text(&entry.name);
        json.key("version").text(&entry.version);
        json.close('}');
    }
    json.close(']');
    json.key("bus").open('{');
    json.key("state").text(alexos.bus.state);
    json.key("dialect").text_or_null(alexos.bus.dialect);
    json.key("last_message_age_ms").number_or_null(alexos.bus.last_message_age_ms);
    json.key("behind").number_or_null(alexos.bus.behind);
    json.key("next_try_in_ms").number_or_null(alexos.bus.next_try_in_ms);
    json.key("last_fault").text_or_null(alexos.bus.last_fault);
    json.close('}');
    json.close('}');
}

fn aiwm_status(aiwm: &AiwmStatus, json: &mut Json) {
    json.open('{');
    json.key("state").text(aiwm.state);
    json.key("generation").text_or_null(aiwm.generation.map(|generation| generation.as_str()));
    json.key("last_connect").time_or_null(aiwm.last_connect);
    json.key("last_beat_age_ms").number_or_null(aiwm.last_beat_age_ms);
    json.key("last_fault").text_or_null(aiwm.last_fault);
    json.key("next_try_in_ms").number_or_null(aiwm.next_try_in_ms);
    json.key("instruction_bytes").number(aiwm.instruction_bytes as u64);
    json.key("is_fresh").boolean(aiwm.is_fresh);
    json.key("tools");
    match &aiwm.tools {
        Some(tools) => json.texts(tools),
        None => json.raw("null"),
    }
    json.key("settings").open('{');
    for setting in aiwm.settings {
        json.key(&setting.key).text(if setting.is_secret { "***" } else { &setting.value.0 });
    }
    json.close('}');
    json.key("work").text_or_null(aiwm.work);
    json.close('}');
}

fn brain(brain: &BrainStatus<'_>, json: &mut Json) {
    json.key("brain").open('{');
    json.key("providers").open('[');
    for provider in &brain.providers {
        json.open('{');
        json.key("name").text(provider.name);
        json.key("kind").text(provider.kind.as_str());
        json.key("state").text(provider.state.as_str());
        json.key("last_fault").text_or_null(provider.last_fault);
        json.key("next_try_in_ms").number_or_null(provider.next_try_in_ms);
        json.key("answered").number(provider.answered);
        json.key("failed").number(provider.failed);
        json.close('}');
    }
    json.close(']');
    json.key("under_way").number(brain.under_way.into());
    json.key("conversations").number(brain.sessions.len() as u64);
    json.key("approvals").number(brain.approvals.len() as u64);
    json.key("usage").open('{');
    for usage in &brain.usage {
        json.key(usage.caller.as_str()).open('{');
        json.key("requests_hour").number(usage.requests.0);
        json.key("requests_day").number(usage.requests.1);
        json.key("tokens_hour").number(usage.tokens.0);
        json.key("tokens_day").number(usage.tokens.1);
        json.close('}');
    }
    json.close('}');
    json.close('}');
}

fn destination_status(destination: &DestinationStatus, json: &mut Json) {
    json.open('{');
    json.key("key").text(destination.key);
    json.key("shown").text(destination.shown);
    json.key("state").text(destination.state);
    json.key("cursor").number(destination.cursor.0);
    json.key("behind").number(destination.behind);
    json.key("attempts").number(destination.attempts.into());
    json.key("next_try_in_ms").number_or_null(destination.next_try_in_ms);
    json.key("last_fault").text_or_null(destination.last_fault);
    json.close('}');
}

fn sample_status(sample: &Sample, json: &mut Json) {
    json.open('{');
    json.key("cpu_percent").float(sample.cpu_percent);
    json.key("memory_percent").float(sample.memory_percent);
    json.key("disk_percent").float(sample.disk_percent);
    json.key("network_kib_s").float(sample.network_kib_s);
    json.key("rss_kib").number(sample.rss_kib);
    json.key("log_excerpt").texts(&sample.log_excerpt);
    json.close('}');
}

fn process(view: &View<'_>, json: &mut Json) {
    let process = &view.process;
    json.key("process").open('{');
    json.key("rss_kib").number(process.rss_kib);
    json.key("threads").number(process.threads.into());
    json.key("open_fds").number(process.fds.into());
    json.key("connections").number(process.connections.into());
    json.key("sockets").number(process.sockets.into());
    json.close('}');
}

fn counters(view: &View<'_>, json: &mut Json) {
    json.key("counters").open('{');
    for row in super::metrics::counter_rows(view.status.counters) {
        json.key(row.field).number(row.value);
    }
    json.close('}');
}

fn sockets(view: &View<'_>, json: &mut Json) {
    json.open('{');
    json.key("total_connections").number(view.process.sockets.into());
    json.key("window_connections").open('{');
    for (window, count) in Window::ALL.iter().zip(view.process.windows) {
        json.key(window.as_str()).number(count.into());
    }
    json.close('}');
    json.key("active_users").number(view.process.users.into());
    json.key("active_sessions").number(view.process.sessions.into());
    json.close('}');
}

/// `GET /ws/health`.
pub(super) fn socket_health(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("status").text(view.status.health.as_str());
    json.key("service").text("websocket");
    json.key("endpoint").text("/ws");
    json.key("timestamp").time(view.status.at);
    json.end_object()
}

/// `GET /api/websockets/stats`.
pub(super) fn socket_stats(view: &View<'_>) -> String {
    let mut json = Json::default();
    sockets(view, &mut json);
    json.end()
}

/// `GET /api/ws/status`.
pub(super) fn socket_status(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("status").text("active");
    json.key("connections");
    sockets(view, &mut json);
    json.key("windows").open('{');
    for (window, count) in Window::ALL.iter().zip(view.process.windows) {
        json.key(window.as_str()).open('{');
        json.key("connections").number(count.into());
        json.key("capabilities").texts(window.capabilities());
        json.close('}');
    }
    json.close('}');
    json.end_object()
}
