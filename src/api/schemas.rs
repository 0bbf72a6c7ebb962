//! A JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it) for each shape. The table test compares what the routes
//! answer with them.

use super::routes::Shape;

/// Every shape that has a schema.
pub(super) const SHAPES: &[Shape] = &[
    Shape::Problem,
    Shape::Service,
    Shape::Health,
    Shape::Status,
    Shape::Config,
    Shape::OpenApi,
    Shape::Events,
    Shape::PolledHealth,
    Shape::AgentList,
    Shape::WorkflowList,
    Shape::ChainbotHealth,
    Shape::ChainbotStatus,
    Shape::Agents,
    Shape::AllAgents,
    Shape::SocketStats,
    Shape::SocketStatus,
    Shape::WebhookService,
    Shape::WebhookHealth,
    Shape::Taken,
    Shape::WorkflowEvent,
    Shape::AgentEvent,
    Shape::EntanglementEvent,
    Shape::HealthReport,
    Shape::AnyEvent,
];

/// Name and schema; `None` for what is not JSON.
pub(super) fn schema(shape: Shape) -> Option<(&'static str, &'static str)> {
    Some(match shape {
        Shape::Metrics | Shape::Page => return None,
        Shape::Problem => ("Problem", PROBLEM),
        Shape::Service => ("Service", SERVICE),
        Shape::Health => ("Health", HEALTH),
        Shape::Status => ("Status", STATUS),
        Shape::Config => ("Config", r#"{"type":"object"}"#),
        Shape::OpenApi => ("OpenApi", r#"{"type":"object","required":["openapi","info","paths"]}"#),
        Shape::Events => ("Events", EVENTS),
        Shape::PolledHealth => ("PolledHealth", POLLED_HEALTH),
        Shape::AgentList => ("AgentList", AGENT_LIST),
        Shape::WorkflowList => {
            ("WorkflowList", r#"{"type":"array","items":{"type":"object","required":["id"]}}"#)
        }
        Shape::ChainbotHealth => ("ChainbotHealth", CHAINBOT_HEALTH),
        Shape::ChainbotStatus => ("ChainbotStatus", CHAINBOT_STATUS),
        Shape::Agents => ("Agents", AGENTS),
        Shape::AllAgents => ("AllAgents", ALL_AGENTS),
        Shape::SocketStats => ("SocketStats", SOCKET_STATS),
        Shape::SocketStatus => ("SocketStatus", SOCKET_STATUS),
        Shape::WebhookService => ("WebhookService", WEBHOOK_SERVICE),
        Shape::WebhookHealth => ("WebhookHealth", WEBHOOK_HEALTH),
        Shape::Taken => ("Taken", TAKEN),
        Shape::WorkflowEvent => ("WorkflowEvent", WORKFLOW_EVENT),
        Shape::AgentEvent => ("AgentEvent", AGENT_EVENT),
        Shape::EntanglementEvent => ("EntanglementEvent", ENTANGLEMENT_EVENT),
        Shape::HealthReport => ("HealthReport", HEALTH_REPORT),
        Shape::AnyEvent => ("AnyEvent", ANY_EVENT),
    })
}

/// A small body that each webhook schema allows, for the examples.
pub(super) fn example(shape: Shape) -> &'static str {
    match shape {
        Shape::WorkflowEvent => r#"{"workflow_id":"w-1","workflow_name":"Sample"}"#,
        Shape::AgentEvent => r#"{"agent_id":"a-1","agent_type":"assistant"}"#,
        Shape::EntanglementEvent => r#"{"entanglement_id":"e-1"}"#,
        Shape::HealthReport => r#"{"agent_name":"sensor-7","status_id":"healthy"}"#,
        Shape::AnyEvent => r#"{"event_type":"door_opened","door":"north"}"#,
        _ => "{}",
    }
}

const PROBLEM: &str = r#"{"type":"object","required":["type","title","status","detail"],"properties":{"type":{"type":"string","format":"uri-reference"},"title":{"type":"string"},"status":{"type":"integer"},"detail":{"type":"string"},"errors":{"type":"array","items":{"type":"object","required":["detail"],"properties":{"pointer":{"type":"string"},"parameter":{"type":"string"},"detail":{"type":"string"}}}}}}"#;

const SERVICE: &str = r#"{"type":"object","required":["service","version","description","endpoints","alex_os_integration","timestamp"],"properties":{"service":{"type":"string"},"version":{"type":"string"},"description":{"type":"string"},"endpoints":{"type":"object"},"alex_os_integration":{"type":"boolean"},"timestamp":{"type":"number"}}}"#;

const HEALTH: &str = r##"{"type":"object","required":["status","timestamp"],"properties":{"status":{"enum":["healthy","degraded","unhealthy"]},"timestamp":{"type":"number"},"services":{"type":"object"},"config":{"type":"object"},"alex_os":{"type":"object"},"websocket_stats":{"$ref":"#/components/schemas/SocketStats"}}}"##;

const STATUS: &str = r#"{"type":"object","required":["version","timestamp","clock","uptime_ms","status","requires_attention","is_stopping","agent","ledger","alex_os","aiwm","destinations","sample","process","counters"],"properties":{"version":{"type":"string"},"timestamp":{"type":"string","format":"date-time"},"clock":{"type":"object"},"uptime_ms":{"type":"integer"},"status":{"enum":["healthy","degraded","unhealthy"]},"requires_attention":{"type":"boolean"},"attention_reason":{"type":["string","null"]},"is_stopping":{"type":"boolean"},"agent":{"type":"object"},"ledger":{"type":"object"},"alex_os":{"type":["object","null"]},"aiwm":{"type":["object","null"]},"destinations":{"type":"array"},"sample":{"type":["object","null"]},"process":{"type":"object"},"counters":{"type":"object"}}}"#;

const EVENTS: &str = r#"{"type":"object","required":["events","next"],"properties":{"events":{"type":"array","items":{"type":"object","required":["id","timestamp","type","source","severity","message","metadata"],"properties":{"id":{"type":"string"},"timestamp":{"type":"string","format":"date-time"},"type":{"type":"string"},"source":{"enum":["chainbot","watchtower","alex_os"]},"severity":{"enum":["info","warning","error","critical"]},"message":{"type":"string"},"metadata":{"type":"object"}}}},"next":{"type":"string"}}}"#;

const POLLED_HEALTH: &str = r#"{"type":"object","required":["status","timestamp","version"],"properties":{"status":{"enum":["healthy","degraded","unhealthy"]},"timestamp":{"type":"string","format":"date-time"},"version":{"type":"string"}}}"#;

const AGENT_LIST: &str = r#"{"type":"array","items":{"type":"object","required":["id","name","status","capabilities","created_at","last_active","metadata"],"properties":{"id":{"type":"string"},"name":{"type":"string"},"status":{"type":"string"},"agent_type":{"type":"string"},"source":{"type":"string"},"capabilities":{"type":"array","items":{"type":"string"}},"created_at":{"type":"string","format":"date-time"},"last_active":{"type":"string","format":"date-time"},"metadata":{"type":"object"}}}}"#;

const CHAINBOT_HEALTH: &str = r##"{"type":"object","required":["status","chainbot","timestamp"],"properties":{"status":{"enum":["healthy","degraded","unhealthy"]},"chainbot":{"$ref":"#/components/schemas/ChainbotStatus"},"timestamp":{"type":"string","format":"date-time"}}}"##;

const CHAINBOT_STATUS: &str = r#"{"type":"object","required":["agent_id","name","status","alex_framework_agents_count","ai_agents_count","workflows_count","last_sync","chainbot_config"],"properties":{"agent_id":{"type":"string"},"name":{"type":"string"},"status":{"type":"string"},"alex_framework_agents_count":{"type":"integer"},"ai_agents_count":{"type":"integer"},"workflows_count":{"type":"integer"},"last_sync":{"type":["string","null"]},"chainbot_config":{"type":"object"}}}"#;

const AGENTS: &str = r##"{"type":"object","required":["agents","count","timestamp"],"properties":{"agents":{"$ref":"#/components/schemas/AgentList"},"count":{"type":"integer"},"timestamp":{"type":"string","format":"date-time"}}}"##;

const ALL_AGENTS: &str = r##"{"type":"object","required":["agents","count","alex_framework_count","ai_agents_count","timestamp"],"properties":{"agents":{"$ref":"#/components/schemas/AgentList"},"count":{"type":"integer"},"alex_framework_count":{"type":"integer"},"ai_agents_count":{"type":"integer"},"timestamp":{"type":"string","format":"date-time"}}}"##;

const SOCKET_STATS: &str = r#"{"type":"object","required":["total_connections","window_connections","active_users","active_sessions"],"properties":{"total_connections":{"type":"integer"},"window_connections":{"type":"object"},"active_users":{"type":"integer"},"active_sessions":{"type":"integer"}}}"#;

const SOCKET_STATUS: &str = r##"{"type":"object","required":["status","connections","windows"],"properties":{"status":{"type":"string"},"connections":{"$ref":"#/components/schemas/SocketStats"},"windows":{"type":"object"}}}"##;

const WEBHOOK_SERVICE: &str = r#"{"type":"object","required":["service","version","description","endpoints","signatures","timestamp"],"properties":{"service":{"type":"string"},"version":{"type":"string"},"description":{"type":"string"},"endpoints":{"type":"object"},"signatures":{"type":"boolean"},"timestamp":{"type":"string","format":"date-time"}}}"#;

const WEBHOOK_HEALTH: &str = r#"{"type":"object","required":["status","data","timestamp"],"properties":{"status":{"type":"string"},"data":{"type":"object"},"timestamp":{"type":"string","format":"date-time"}}}"#;

const TAKEN: &str = r#"{"type":"object","required":["status","message","id"],"properties":{"status":{"enum":["success"]},"message":{"type":"string"},"id":{"type":"string"},"duplicate":{"type":"boolean"}}}"#;

const WORKFLOW_EVENT: &str = r#"{"type":"object","properties":{"workflow_id":{"type":"string"},"workflow_name":{"type":"string"},"status":{"enum":["started","completed","failed"]},"user_id":{"type":"string"},"timestamp":{"type":"string"},"error":{"type":["string","null"]},"duration":{"type":"number"},"steps_completed":{"type":"integer"},"total_steps":{"type":"integer"}}}"#;

const AGENT_EVENT: &str = r#"{"type":"object","properties":{"agent_id":{"type":"string"},"agent_name":{"type":"string"},"agent_type":{"type":"string"},"status":{"enum":["spawned","terminated"]},"user_id":{"type":"string"},"timestamp":{"type":"string"},"reason":{"type":["string","null"]}}}"#;

const ENTANGLEMENT_EVENT: &str = r#"{"type":"object","properties":{"entanglement_id":{"type":"string"},"user_id":{"type":"string"},"timestamp":{"type":"string"}}}"#;

const HEALTH_REPORT: &str = r#"{"type":"object","properties":{"agent_name":{"type":"string"},"agent_version":{"type":"string"},"timestamp":{"type":"string"},"status_id":{"enum":["healthy","degraded","unhealthy"]},"workflow_state":{"enum":["running","idle"]},"active_workflows":{"type":"integer"},"workflow_blockers":{"type":"array"},"log_excerpt":{"type":"string"},"requires_attention":{"type":"boolean"},"attention_reason":{"type":["string","null"]},"gpt_integration_status":{"type":"string"},"websocket_connections":{"type":"integer"},"active_agents":{"type":"integer"},"system_resources":{"type":"object"}}}"#;

const ANY_EVENT: &str = r#"{"type":"object","required":["event_type"],"properties":{"event_type":{"type":"string","minLength":1,"maxLength":64,"pattern":"^[A-Za-z0-9._-]+$"}}}"#;
