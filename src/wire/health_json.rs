//! The health report as JSON: the 14 fields of the documents' integration guide.

use super::json::{push_name, push_number, push_raw, push_text, push_texts};
use super::time::format_rfc3339;
use crate::agent::effect::{Health, HealthReport};
use crate::agent::event::Severity;
use crate::agent::setup::Setup;

/// Appends the report as one compact object.
pub fn push_report(out: &mut String, report: &HealthReport, setup: &Setup) {
    let sample = &report.sample;
    let is_running = report.active_workflows > 0;
    out.push('{');
    push_text(out, "agent_name", &setup.identity.name);
    push_text(out, "agent_version", &setup.identity.version);
    push_text(out, "timestamp", &format_rfc3339(report.at));
    push_text(out, "status_id", report.health.as_str());
    push_text(out, "workflow_state", if is_running { "running" } else { "idle" });
    push_number(out, "active_workflows", f64::from(report.active_workflows));
    push_texts(out, "workflow_blockers", &report.workflow_blockers);
    push_text(out, "log_excerpt", &sample.log_excerpt.join("\n"));
    push_raw(out, "requires_attention", if report.attention.is_some() { "true" } else { "false" });
    match &report.attention {
        Some(reason) => push_text(out, "attention_reason", reason),
        None => push_raw(out, "attention_reason", "null"),
    }
    push_text(out, "gpt_integration_status", report.gpt_status);
    push_number(out, "websocket_connections", f64::from(sample.sockets));
    push_number(out, "active_agents", f64::from(report.active_agents));
    push_name(out, "system_resources");
    out.push('{');
    push_number(out, "cpu_usage", sample.cpu_percent);
    push_number(out, "memory_usage", sample.memory_percent);
    push_number(out, "disk_usage", sample.disk_percent);
    push_number(out, "network_usage", sample.network_kib_s);
    out.push_str("}}");
}

/// One line for people.
#[must_use]
pub fn report_message(report: &HealthReport) -> String {
    match &report.attention {
        Some(reason) => format!("health: {} ({reason})", report.health.as_str()),
        None => format!("health: {}", report.health.as_str()),
    }
}

/// How grave a report is as an event.
#[must_use]
pub fn report_severity(report: &HealthReport) -> Severity {
    match report.health {
        Health::Unhealthy => Severity::Error,
        _ if report.attention.is_some() => Severity::Warning,
        Health::Degraded => Severity::Warning,
        Health::Healthy => Severity::Info,
    }
}
