//! The answers that ALEX OS polls (`/api/health`, `/api/chainbot/*`), all from memory, and the two pages of the
//! webhook paths. The one agent that runs here is the agent itself: it is the only entry of the lists.

use super::View;
use super::json::Json;
use super::routes::{Method, ROUTES, Takes};
use super::views;
use crate::agent::effect::Health;
use crate::agent::time::Wall;

/// `GET /api/health`: ALEX OS reads `status` only.
pub(super) fn polled_health(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("status").text(view.status.health.as_str());
    json.key("timestamp").time(view.status.at);
    json.key("version").text(view.version);
    json.end_object()
}

/// `GET /api/chainbot/alex-agents`: a bare array, as anything else counts as empty there.
pub(super) fn agent_list(view: &View<'_>) -> String {
    let mut json = Json::array();
    own_entry(view, &mut json);
    json.end_array()
}

/// `GET /api/chainbot/agents/alex-framework` and, empty, `/ai`.
pub(super) fn agents(view: &View<'_>, has_own: bool) -> String {
    let mut json = Json::object();
    json.key("agents").open('[');
    if has_own {
        own_entry(view, &mut json);
    }
    json.close(']');
    json.key("count").number(has_own.into());
    json.key("timestamp").time(view.status.at);
    json.end_object()
}

/// `GET /api/chainbot/agents/all`.
pub(super) fn all_agents(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("agents").open('[');
    own_entry(view, &mut json);
    json.close(']');
    json.key("count").number(1);
    json.key("alex_framework_count").number(1);
    json.key("ai_agents_count").number(0);
    json.key("timestamp").time(view.status.at);
    json.end_object()
}

fn own_entry(view: &View<'_>, json: &mut Json) {
    let (identity, status) = (&view.setup.identity, view.status);
    json.open('{');
    json.key("id").text(own_id(view));
    json.key("name").text(&identity.name);
    json.key("status").text(if status.health == Health::Unhealthy { "error" } else { "running" });
    json.key("agent_type").text("alex_os_framework_agent");
    json.key("source").text("chainbot");
    json.key("capabilities").texts(&identity.capabilities);
    json.key("created_at").time(started_at(view));
    json.key("last_active").time(status.at);
    json.key("metadata").open('{');
    json.key("version").text(&identity.version);
    json.key("role").text(&identity.role);
    json.key("description").text(&identity.description);
    json.key("health").text(status.health.as_str());
    json.close('}');
    json.close('}');
}

/// The id that ALEX OS gave, else the name: an entry without an id breaks the poll.
fn own_id<'a>(view: &View<'a>) -> &'a str {
    let given = view.status.alexos.as_ref().and_then(|alexos| alexos.agent_id);
    given.filter(|id| !id.is_empty()).unwrap_or(&view.setup.identity.name)
}

fn started_at(view: &View<'_>) -> Wall {
    let uptime_ms = i64::try_from(view.status.uptime_ms).unwrap_or(i64::MAX);
    Wall(view.status.at.0.saturating_sub(uptime_ms).max(0))
}

/// `GET /api/chainbot/health`.
pub(super) fn health(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("status").text(view.status.health.as_str());
    json.key("chainbot").raw(&status(view));
    json.key("timestamp").time(view.status.at);
    json.end_object()
}

/// `GET /api/chainbot/status`. The API key that ALEX OS prints here is never said.
pub(super) fn status(view: &View<'_>) -> String {
    let alexos = view.status.alexos.as_ref();
    let mut json = Json::object();
    json.key("agent_id").text(own_id(view));
    json.key("name").text(&view.setup.identity.name);
    json.key("status").text(view.status.health.as_str());
    json.key("alex_framework_agents_count").number(1);
    json.key("ai_agents_count").number(0);
    json.key("workflows_count").number(0);
    json.key("last_sync")
        .time_or_null(alexos.and_then(|alexos| alexos.last_report.or(alexos.last_registration)));
    json.key("chainbot_config").open('{');
    json.key("api_url").text(&format!("http://localhost:{}", view.setup.identity.port));
    let interval = view.setup.alexos.as_ref().map(|alexos| alexos.health_interval_ms / 1_000);
    json.key("health_check_interval").number_or_null(interval);
    json.close('}');
    json.end_object()
}

/// `GET /api/webhooks/chainbot/`.
pub(super) fn webhook_service(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("service").text("ChainBot webhooks");
    json.key("version").text(view.version);
    json.key("description").text("Takes events of workflows, agents and entanglements");
    json.key("endpoints").open('{');
    for route in ROUTES.iter().filter(|route| matches!(route.takes, Takes::Webhook(_))) {
        let name = route.path.trim_start_matches("/api/webhooks/chainbot/").replace('/', "_");
        json.key(&name).text(&format!("{} {}", Method::Post.as_str(), route.path));
    }
    json.close('}');
    json.key("signatures").boolean(!view.security.webhook_secrets.is_empty());
    json.key("timestamp").time(view.status.at);
    json.end_object()
}

/// `GET /api/webhooks/chainbot/health`.
pub(super) fn webhook_health(view: &View<'_>) -> String {
    let mut json = Json::object();
    json.key("status").text("success");
    json.key("data");
    views::registration(view, &mut json);
    json.key("timestamp").time(view.status.at);
    json.end_object()
}
