//! The shapes of bodies, and a JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it) for each. The table test compares what the routes
//! answer with them.

/// The shapes of bodies, each with a schema below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `application/problem+json`.
    Problem,
    /// What the program is.
    Service,
    /// The documents' health object.
    Health,
    /// A user and a password.
    Login,
    /// A token, and for how long.
    Session,
    /// Who asks.
    Me,
    /// Everything the agent knows of itself.
    Status,
    /// Prometheus text.
    Metrics,
    /// The effective config.
    Config,
    /// An OpenAPI document.
    OpenApi,
    /// A page for people.
    Page,
    /// A page of events.
    Events,
    /// `{"status":"healthy",...}`.
    PolledHealth,
    /// Agents as a bare array.
    AgentList,
    /// Workflows as a bare array.
    WorkflowList,
    /// The health of the agent as ALEX OS shows it.
    ChainbotHealth,
    /// The state of the agent as ALEX OS shows it.
    ChainbotStatus,
    /// Agents in an object with their count.
    Agents,
    /// Agents of both sorts in an object with their counts.
    AllAgents,
    /// Counts of open sockets.
    SocketStats,
    /// Sockets by window.
    SocketStatus,
    /// The frames of a WebSocket.
    Socket,
    /// How the sockets are.
    SocketHealth,
    /// One line for people.
    Message,
    /// Server-sent events.
    EventStream,
    /// What the webhook paths are.
    WebhookService,
    /// How the registration with ALEX OS stands.
    WebhookHealth,
    /// A webhook was taken.
    Taken,
    /// Body of a workflow webhook.
    WorkflowEvent,
    /// Body of an agent webhook.
    AgentEvent,
    /// Body of an entanglement webhook.
    EntanglementEvent,
    /// Body of a health report.
    HealthReport,
    /// Body of any other event.
    AnyEvent,
    /// A question in OpenAI's shape.
    OpenAiQuestion,
    /// An answer in OpenAI's shape.
    OpenAiAnswer,
    /// An error in OpenAI's shape.
    OpenAiError,
    /// Models in OpenAI's shape.
    OpenAiModels,
    /// A message, or messages, for a model.
    ChatQuestion,
    /// What a model said, with `response` and `message`.
    ChatAnswer,
    /// A prompt for a conversation.
    CompletionQuestion,
    /// What a model said to a prompt.
    CompletionAnswer,
    /// It is kept and answered later.
    Queued,
    /// The messages of a conversation.
    Conversation,
    /// The conversations.
    Conversations,
    /// How the models are, in words.
    GptHealth,
    /// The providers by name.
    ProviderStatus,
    /// The personas.
    Personas,
    /// Models in Ollama's shape.
    Models,
    /// Calls of tools that wait for a person.
    Approvals,
    /// Whether a call may be made.
    Decision,
    /// It is done.
    Done,
}

impl Shape {
    /// The content type of an answer in this shape.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Self::Socket => "",
            Self::EventStream => "text/event-stream",
            Self::Page => "text/html; charset=utf-8",
            _ => "application/json",
        }
    }
}

/// Every shape that has a schema.
pub(super) const SHAPES: &[Shape] = &[
    Shape::Problem,
    Shape::Service,
    Shape::Health,
    Shape::Login,
    Shape::Session,
    Shape::Me,
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
    Shape::SocketHealth,
    Shape::Message,
    Shape::WebhookService,
    Shape::WebhookHealth,
    Shape::Taken,
    Shape::WorkflowEvent,
    Shape::AgentEvent,
    Shape::EntanglementEvent,
    Shape::HealthReport,
    Shape::AnyEvent,
    Shape::OpenAiQuestion,
    Shape::OpenAiAnswer,
    Shape::OpenAiError,
    Shape::OpenAiModels,
    Shape::ChatQuestion,
    Shape::ChatAnswer,
    Shape::CompletionQuestion,
    Shape::CompletionAnswer,
    Shape::Queued,
    Shape::Conversation,
    Shape::Conversations,
    Shape::GptHealth,
    Shape::ProviderStatus,
    Shape::Personas,
    Shape::Models,
    Shape::Approvals,
    Shape::Decision,
    Shape::Done,
];

/// Name and schema; `None` for what is not JSON.
pub(super) fn schema(shape: Shape) -> Option<(&'static str, &'static str)> {
    Some(match shape {
        Shape::Metrics | Shape::Page | Shape::Socket | Shape::EventStream => return None,
        Shape::Problem => ("Problem", PROBLEM),
        Shape::Service => ("Service", SERVICE),
        Shape::Health => ("Health", HEALTH),
        Shape::Login => ("Login", LOGIN),
        Shape::Session => ("Session", SESSION),
        Shape::Me => ("Me", ME),
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
        Shape::SocketHealth => ("SocketHealth", SOCKET_HEALTH),
        Shape::Message => ("Message", MESSAGE),
        Shape::WebhookService => ("WebhookService", WEBHOOK_SERVICE),
        Shape::WebhookHealth => ("WebhookHealth", WEBHOOK_HEALTH),
        Shape::Taken => ("Taken", TAKEN),
        Shape::WorkflowEvent => ("WorkflowEvent", WORKFLOW_EVENT),
        Shape::AgentEvent => ("AgentEvent", AGENT_EVENT),
        Shape::EntanglementEvent => ("EntanglementEvent", ENTANGLEMENT_EVENT),
        Shape::HealthReport => ("HealthReport", HEALTH_REPORT),
        Shape::AnyEvent => ("AnyEvent", ANY_EVENT),
        _ => return brain(shape),
    })
}

/// Likewise, of what belongs to the brain.
fn brain(shape: Shape) -> Option<(&'static str, &'static str)> {
    Some(match shape {
        Shape::OpenAiQuestion => (
            "OpenAiQuestion",
            r##"{"type":"object","required":["messages"],"properties":{"model":{"type":"string"},"messages":{"type":"array","minItems":1,"items":{"type":"object"}},"stream":{"type":["boolean","null"]},"queue":{"type":["boolean","null"]}}}"##,
        ),
        Shape::OpenAiAnswer => (
            "OpenAiAnswer",
            r##"{"type":"object","required":["choices"],"properties":{"id":{"type":"string"},"object":{"type":"string"},"model":{"type":"string"},"choices":{"type":"array"},"usage":{"type":["object","null"]}}}"##,
        ),
        Shape::OpenAiError => (
            "OpenAiError",
            r##"{"type":"object","required":["error"],"properties":{"error":{"type":"object","required":["message","type"],"properties":{"message":{"type":"string"},"type":{"type":"string"},"param":{"type":["string","null"]},"code":{"type":["string","null"]}}}}}"##,
        ),
        Shape::OpenAiModels => (
            "OpenAiModels",
            r##"{"type":"object","required":["object","data"],"properties":{"object":{"enum":["list"]},"data":{"type":"array","items":{"type":"object","required":["id","object"],"properties":{"id":{"type":"string"},"object":{"type":"string"},"owned_by":{"type":"string"}}}}}}"##,
        ),
        Shape::ChatQuestion => (
            "ChatQuestion",
            r##"{"type":"object","properties":{"message":{"type":["string","null"]},"messages":{"type":["array","null"],"items":{"type":"object"}},"session_id":{"type":["string","null"]},"model":{"type":["string","null"]},"provider":{"type":["string","null"]},"persona":{"type":["string","null"]},"stream":{"type":["boolean","null"]},"queue":{"type":["boolean","null"]}}}"##,
        ),
        Shape::ChatAnswer => (
            "ChatAnswer",
            r##"{"type":"object","required":["response","message","done"],"properties":{"model":{"type":"string"},"response":{"type":"string"},"message":{"type":"object","required":["role","content"]},"done":{"type":"boolean"},"session_id":{"type":"string"},"provider":{"type":"string"}}}"##,
        ),
        Shape::CompletionQuestion => (
            "CompletionQuestion",
            r##"{"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"},"agent_id":{"type":["string","null"]},"provider":{"type":["string","null"]},"model":{"type":["string","null"]},"persona":{"type":["string","null"]},"context_data":{"type":["object","null"]},"queue":{"type":["boolean","null"]}}}"##,
        ),
        Shape::CompletionAnswer => (
            "CompletionAnswer",
            r##"{"type":"object","required":["content","provider","model","agent_id","tokens_used","processing_time","confidence_score","metadata"],"properties":{"content":{"type":"string"},"provider":{"type":"string"},"model":{"type":"string"},"agent_id":{"type":"string"},"tokens_used":{"type":"integer"},"processing_time":{"type":"number"},"confidence_score":{"type":"number"},"metadata":{"type":"object"}}}"##,
        ),
        Shape::Queued => (
            "Queued",
            r##"{"type":"object","required":["status","session_id","conversation"],"properties":{"status":{"enum":["queued"]},"session_id":{"type":"string"},"conversation":{"type":"string"}}}"##,
        ),
        Shape::Conversation => (
            "Conversation",
            r##"{"type":"object","required":["agent_id","session_id","messages"],"properties":{"agent_id":{"type":"string"},"session_id":{"type":"string"},"messages":{"type":"array","items":{"type":"object","required":["id","role","content","timestamp"],"properties":{"id":{"type":"integer"},"role":{"enum":["system","user","assistant","tool"]},"content":{"type":"string"},"timestamp":{"type":"string","format":"date-time"}}}}}}"##,
        ),
        Shape::Conversations => (
            "Conversations",
            r##"{"type":"object","required":["sessions"],"properties":{"sessions":{"type":"array","items":{"type":"object","required":["id","session_id","messages","bytes","last_active","state"],"properties":{"id":{"type":"string"},"session_id":{"type":"string"},"messages":{"type":"integer"},"bytes":{"type":"integer"},"last_active":{"type":"string","format":"date-time"},"state":{"enum":["idle","thinking","running_tool","waits_for_approval","waits_for_provider"]}}}}}}"##,
        ),
        Shape::GptHealth => (
            "GptHealth",
            r##"{"type":"object","required":["overall","providers"],"properties":{"overall":{"enum":["healthy","degraded","unhealthy","not_configured"]},"providers":{"type":"object"}}}"##,
        ),
        Shape::ProviderStatus => ("ProviderStatus", r##"{"type":"object"}"##),
        Shape::Personas => (
            "Personas",
            r##"{"type":"object","required":["personas"],"properties":{"personas":{"type":"array","items":{"type":"object","required":["id","name","description","instruction"]}}}}"##,
        ),
        Shape::Models => (
            "Models",
            r##"{"type":"object","required":["models"],"properties":{"models":{"type":"array","items":{"type":"object","required":["name","model","provider"]}}}}"##,
        ),
        Shape::Approvals => (
            "Approvals",
            r##"{"type":"object","required":["approvals"],"properties":{"approvals":{"type":"array","items":{"type":"object","required":["id","session_id","tool","subject","arguments","expires_in_s"],"properties":{"id":{"type":"string"},"session_id":{"type":"string"},"tool":{"type":"string"},"subject":{"type":"string"},"arguments":{"type":"string"},"expires_in_s":{"type":"integer"}}}}}}"##,
        ),
        Shape::Decision => (
            "Decision",
            r##"{"type":"object","required":["approved"],"properties":{"approved":{"type":"boolean"},"user_id":{"type":["string","null"]}}}"##,
        ),
        Shape::Done => (
            "Done",
            r##"{"type":"object","required":["status","message"],"properties":{"status":{"enum":["success"]},"message":{"type":"string"}}}"##,
        ),
        _ => return None,
    })
}

/// A small body that each schema of a request allows, for the examples.
pub(super) fn example(shape: Shape) -> &'static str {
    match shape {
        Shape::WorkflowEvent => r#"{"workflow_id":"w-1","workflow_name":"Sample"}"#,
        Shape::AgentEvent => r#"{"agent_id":"a-1","agent_type":"assistant"}"#,
        Shape::EntanglementEvent => r#"{"entanglement_id":"e-1"}"#,
        Shape::HealthReport => r#"{"agent_name":"sensor-7","status_id":"healthy"}"#,
        Shape::AnyEvent => r#"{"event_type":"door_opened","door":"north"}"#,
        Shape::OpenAiQuestion => {
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"How warm is it?"}]}"#
        }
        Shape::ChatQuestion => r#"{"session_id":"porch","message":"How warm is it?"}"#,
        Shape::CompletionQuestion => r#"{"agent_id":"porch","prompt":"How warm is it?"}"#,
        Shape::Decision => r#"{"approved":true}"#,
        Shape::Login => r#"{"username":"admin","password":"..."}"#,
        _ => "{}",
    }
}

const PROBLEM: &str = r#"{"type":"object","required":["type","title","status","detail"],"properties":{"type":{"type":"string","format":"uri-reference"},"title":{"type":"string"},"status":{"type":"integer"},"detail":{"type":"string"},"errors":{"type":"array","items":{"type":"object","required":["detail"],"properties":{"pointer":{"type":"string"},"parameter":{"type":"string"},"detail":{"type":"string"}}}}}}"#;

const LOGIN: &str = r#"{"type":"object","required":["username","password"],"properties":{"username":{"type":"string"},"password":{"type":"string"},"email":{"type":["string","null"]}}}"#;

const SESSION: &str = r#"{"type":"object","required":["access_token","token_type","expires_in","username","role"],"properties":{"access_token":{"type":"string"},"token_type":{"enum":["bearer"]},"expires_in":{"type":"integer"},"username":{"type":"string"},"role":{"enum":["viewer","operator","admin"]}}}"#;

const ME: &str = r#"{"type":"object","required":["username","role","credential"],"properties":{"username":{"type":"string"},"role":{"enum":["viewer","operator","admin"]},"credential":{"enum":["loopback","token","api_key","jwt"]},"expires_in":{"type":"integer"}}}"#;

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

const SOCKET_HEALTH: &str = r#"{"type":"object","required":["status","service","endpoint","timestamp"],"properties":{"status":{"enum":["healthy","degraded","unhealthy"]},"service":{"type":"string"},"endpoint":{"type":"string"},"timestamp":{"type":"string","format":"date-time"}}}"#;

const MESSAGE: &str =
    r#"{"type":"object","required":["message"],"properties":{"message":{"type":"string"}}}"#;

const WEBHOOK_SERVICE: &str = r#"{"type":"object","required":["service","version","description","endpoints","signatures","timestamp"],"properties":{"service":{"type":"string"},"version":{"type":"string"},"description":{"type":"string"},"endpoints":{"type":"object"},"signatures":{"type":"boolean"},"timestamp":{"type":"string","format":"date-time"}}}"#;

const WEBHOOK_HEALTH: &str = r#"{"type":"object","required":["status","data","timestamp"],"properties":{"status":{"type":"string"},"data":{"type":"object"},"timestamp":{"type":"string","format":"date-time"}}}"#;

const TAKEN: &str = r#"{"type":"object","required":["status","message","id"],"properties":{"status":{"enum":["success"]},"message":{"type":"string"},"id":{"type":"string"},"duplicate":{"type":"boolean"}}}"#;

const WORKFLOW_EVENT: &str = r#"{"type":"object","properties":{"workflow_id":{"type":["string","null"]},"workflow_name":{"type":["string","null"]},"status":{"enum":["started","completed","failed",null]},"error":{"type":["string","null"]},"duration":{"type":["number","null"],"minimum":0},"steps_completed":{"type":["integer","null"],"minimum":0},"total_steps":{"type":["integer","null"],"minimum":0},"timestamp":{"type":["string","null"]},"user_id":{"type":["string","null"]},"requires_attention":{"type":["boolean","null"]}}}"#;

const AGENT_EVENT: &str = r#"{"type":"object","properties":{"agent_id":{"type":["string","null"]},"agent_name":{"type":["string","null"]},"agent_type":{"type":["string","null"]},"status":{"enum":["spawned","terminated",null]},"reason":{"type":["string","null"]},"timestamp":{"type":["string","null"]},"user_id":{"type":["string","null"]},"requires_attention":{"type":["boolean","null"]}}}"#;

const ENTANGLEMENT_EVENT: &str = r#"{"type":"object","properties":{"entanglement_id":{"type":["string","null"]},"status":{"enum":["created","destroyed",null]},"timestamp":{"type":["string","null"]},"user_id":{"type":["string","null"]},"requires_attention":{"type":["boolean","null"]}}}"#;

const HEALTH_REPORT: &str = r#"{"type":"object","properties":{"agent_name":{"type":["string","null"]},"agent_version":{"type":["string","null"]},"status_id":{"enum":["healthy","degraded","unhealthy",null]},"workflow_state":{"enum":["running","idle",null]},"active_workflows":{"type":["integer","null"],"minimum":0},"workflow_blockers":{"type":["array","null"],"items":{"type":"string"}},"log_excerpt":{"type":["string","array","null"],"items":{"type":"string"}},"attention_reason":{"type":["string","null"]},"gpt_integration_status":{"type":["string","null"]},"websocket_connections":{"type":["integer","null"],"minimum":0},"active_agents":{"type":["integer","null"],"minimum":0},"system_resources":{"type":["object","null"],"properties":{"cpu_usage":{"type":["number","null"],"minimum":0},"memory_usage":{"type":["number","null"],"minimum":0},"disk_usage":{"type":["number","null"],"minimum":0},"network_usage":{"type":["number","null"],"minimum":0}}},"timestamp":{"type":["string","null"]},"user_id":{"type":["string","null"]},"requires_attention":{"type":["boolean","null"]}}}"#;

const ANY_EVENT: &str = r#"{"type":"object","required":["event_type"],"properties":{"event_type":{"type":"string","minLength":1,"maxLength":64,"pattern":"^[A-Za-z0-9._-]+$"},"severity":{"enum":["info","warning","error","critical",null]},"source":{"enum":["chainbot","watchtower","alex_os",null]},"message":{"type":["string","null"]},"timestamp":{"type":["string","null"]},"user_id":{"type":["string","null"]},"requires_attention":{"type":["boolean","null"]}}}"#;
