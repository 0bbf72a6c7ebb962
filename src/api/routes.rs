//! The one route table. The router, the authorisation, `/openapi.json`, `/docs` and `docs/api.md` are made from it;
//! nothing else knows a path.

pub use super::schemas::Shape;
pub use super::sockets::SocketKind;
use crate::wire::webhook::WebhookKind;

/// What a caller may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Anyone who reaches the port.
    Open,
    /// May look.
    Viewer,
    /// May bring events.
    Operator,
    /// May change the agent.
    Admin,
}

impl Role {
    /// The word in the documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// From that word; `open` is nothing that anybody has.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|role| role.as_str() == word)
    }
}

/// The methods that routes have. HEAD goes wherever GET goes, OPTIONS everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Looks.
    Get,
    /// Brings.
    Post,
    /// Takes away.
    Delete,
}

impl Method {
    /// As in the request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What a route reads beside its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// The query of `GET /api/events`.
    EventsQuery,
    /// The query of a reader that stays, and `Last-Event-ID`.
    FollowQuery,
    /// The same without the header: of `/ws/events`.
    SocketQuery,
    /// `message_type`, and a JSON object.
    Broadcast,
    /// `session_id`.
    SessionQuery,
    /// A JSON object of this schema.
    Body(Shape),
    /// A JSON object of this schema; `webhook-id` or `Idempotency-Key`; a signature where secrets are configured.
    Webhook(Shape),
}

/// Which function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `views::service`.
    Service,
    /// `views::health`.
    Health,
    /// `auth::login`.
    Login,
    /// `auth::me`.
    Me,
    /// `views::status`.
    Status,
    /// `metrics::render`.
    Metrics,
    /// `View::config_json`.
    Config,
    /// `openapi::render`.
    OpenApi,
    /// `pages::html`.
    Docs,
    /// Streamed by the shell.
    Events,
    /// Streamed by the shell, without an end.
    EventStream,
    /// `sockets::accept`.
    Socket(SocketKind),
    /// `sockets::broadcast`.
    Broadcast,
    /// `chainbot::polled_health`.
    PolledHealth,
    /// `chainbot::agent_list`.
    AlexAgentList,
    /// An empty array: there are no agents of that sort.
    AiAgentList,
    /// An empty array: there are no workflows.
    WorkflowList,
    /// `chainbot::health`.
    ChainbotHealth,
    /// `chainbot::status`.
    ChainbotStatus,
    /// `chainbot::agents`.
    AlexAgents,
    /// `chainbot::agents`, empty.
    AiAgents,
    /// `chainbot::all_agents`.
    AllAgents,
    /// `views::socket_stats`.
    SocketStats,
    /// `views::socket_status`.
    SocketStatus,
    /// `chainbot::webhook_service`.
    WebhookService,
    /// `chainbot::webhook_health`.
    WebhookHealth,
    /// `intake::take`.
    Webhook(WebhookKind),
    /// Decided in `brain::read`, answered by the shell with `brain::answers`.
    Brain(BrainAsk),
    /// `brain::healthy`.
    GptHealth,
    /// `brain::provider_status`.
    ProviderStatus,
    /// `brain::personas`.
    Personas,
    /// `brain::models`.
    Models,
    /// `openai::models`.
    OpenAiModels,
    /// `brain::conversations`.
    Conversations,
    /// `brain::pending`.
    Approvals,
}

/// What a route asks of the brain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrainAsk {
    /// `brain::question`.
    Question,
    /// `brain::message`.
    Message,
    /// `brain::completion`.
    Completion,
    /// `brain::show`.
    Show,
    /// `brain::forget`.
    Forget,
    /// `brain::stop`.
    Stop,
    /// `brain::decision`.
    Decide,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// Segments after `/`; a segment `{name}` stands for any one segment that is not empty.
    pub path: &'static str,
    /// Also reachable with `/api` put before the path, as the Python service mounts it.
    pub is_doubled: bool,
    /// Who may. For a webhook a valid signature does as well.
    pub role: Role,
    /// What is read.
    pub takes: Takes,
    /// What is answered. Any route may answer the problems of the transport beside these: 400 and 421 for the
    /// `Host`, 401, 403, 405, 429.
    pub answers: &'static [(u16, Shape)],
    /// One line for people.
    pub summary: &'static str,
    /// Who answers.
    pub endpoint: Endpoint,
}

const fn get(
    path: &'static str,
    answers: &'static [(u16, Shape)],
    endpoint: Endpoint,
    summary: &'static str,
) -> Route {
    let (method, takes) = (Method::Get, Takes::Nothing);
    Route { method, path, is_doubled: false, role: Role::Viewer, takes, answers, summary, endpoint }
}

const WEBHOOK_ANSWERS: &[(u16, Shape)] = &[
    (200, Shape::Taken),
    (400, Shape::Problem),
    (401, Shape::Problem),
    (413, Shape::Problem),
    (415, Shape::Problem),
    (422, Shape::Problem),
    (503, Shape::Problem),
    (507, Shape::Problem),
];

const fn webhook(path: &'static str, kind: WebhookKind, body: Shape, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        path,
        is_doubled: true,
        role: Role::Operator,
        takes: Takes::Webhook(body),
        answers: WEBHOOK_ANSWERS,
        summary,
        endpoint: Endpoint::Webhook(kind),
    }
}

const fn socket(path: &'static str, kind: SocketKind, summary: &'static str) -> Route {
    Route { is_doubled: true, ..get(path, SOCKET_ANSWERS, Endpoint::Socket(kind), summary) }
}

const SOCKET_ANSWERS: &[(u16, Shape)] = &[
    (101, Shape::Socket),
    (400, Shape::Problem),
    (401, Shape::Problem),
    (403, Shape::Problem),
    (426, Shape::Problem),
    (503, Shape::Problem),
];

const SOCKET_QUERY_ANSWERS: &[(u16, Shape)] = &[
    (101, Shape::Socket),
    (400, Shape::Problem),
    (401, Shape::Problem),
    (403, Shape::Problem),
    (422, Shape::Problem),
    (426, Shape::Problem),
    (503, Shape::Problem),
];

const fn brain(
    method: Method,
    path: &'static str,
    takes: Takes,
    answers: &'static [(u16, Shape)],
    ask: BrainAsk,
    summary: &'static str,
) -> Route {
    let (endpoint, role) = (Endpoint::Brain(ask), Role::Operator);
    Route { method, path, is_doubled: true, role, takes, answers, summary, endpoint }
}

const SAY_ANSWERS: &[(u16, Shape)] = &[
    (200, Shape::ChatAnswer),
    (202, Shape::Queued),
    (400, Shape::Problem),
    (413, Shape::Problem),
    (415, Shape::Problem),
    (422, Shape::Problem),
    (429, Shape::Problem),
    (503, Shape::Problem),
];

const COMPLETION_ANSWERS: &[(u16, Shape)] = &[
    (200, Shape::CompletionAnswer),
    (202, Shape::Queued),
    (400, Shape::Problem),
    (413, Shape::Problem),
    (415, Shape::Problem),
    (422, Shape::Problem),
    (429, Shape::Problem),
    (503, Shape::Problem),
];

const OPENAI_ANSWERS: &[(u16, Shape)] = &[
    (200, Shape::OpenAiAnswer),
    (202, Shape::Queued),
    (400, Shape::OpenAiError),
    (415, Shape::OpenAiError),
    (429, Shape::OpenAiError),
    (503, Shape::OpenAiError),
];

const fn open(route: Route) -> Route {
    Route { role: Role::Open, ..route }
}

const fn doubled(route: Route) -> Route {
    Route { is_doubled: true, ..route }
}

/// Every route, in the order of the documents.
pub const ROUTES: &[Route] = &[
    get("/", &[(200, Shape::Service)], Endpoint::Service, "What this is and where to go on"),
    open(get(
        "/health",
        &[(200, Shape::Health), (503, Shape::Health)],
        Endpoint::Health,
        "How the agent is; 503 when unhealthy. Callers from other machines without a credential see only the status",
    )),
    get(
        "/status",
        &[(200, Shape::Status)],
        Endpoint::Status,
        "Everything the agent knows of itself and its peers",
    ),
    get("/metrics", &[(200, Shape::Metrics)], Endpoint::Metrics, "Counters and gauges for Prometheus"),
    Route {
        role: Role::Admin,
        ..get(
            "/config",
            &[(200, Shape::Config)],
            Endpoint::Config,
            "The effective config and where each value came from, secrets masked",
        )
    },
    open(doubled(Route {
        method: Method::Post,
        takes: Takes::Body(Shape::Login),
        ..get(
            "/auth/login",
            &[
                (200, Shape::Session),
                (400, Shape::Problem),
                (401, Shape::Problem),
                (413, Shape::Problem),
                (415, Shape::Problem),
                (422, Shape::Problem),
                (429, Shape::Problem),
            ],
            Endpoint::Login,
            "Gives a token of an hour to who shows another credential as the password",
        )
    })),
    doubled(get("/auth/me", &[(200, Shape::Me)], Endpoint::Me, "Who asks, and what they may do")),
    get("/openapi.json", &[(200, Shape::OpenApi)], Endpoint::OpenApi, "This table as OpenAPI 3.1"),
    get("/docs", &[(200, Shape::Page)], Endpoint::Docs, "This table as a page"),
    Route {
        takes: Takes::EventsQuery,
        ..get(
            "/api/events",
            &[(200, Shape::Events), (422, Shape::Problem), (503, Shape::Problem)],
            Endpoint::Events,
            "Events from the ledger, oldest first; to go on, ask again with `since` set to the `next` of the answer",
        )
    },
    Route {
        takes: Takes::FollowQuery,
        ..get(
            "/api/events/stream",
            &[(200, Shape::EventStream), (422, Shape::Problem)],
            Endpoint::EventStream,
            "Events as they become durable, as server-sent events; `id` is the id to go on from",
        )
    },
    Route {
        takes: Takes::SocketQuery,
        answers: SOCKET_QUERY_ANSWERS,
        ..socket("/ws/events", SocketKind::Events, "Events as they become durable, one per text message")
    },
    socket("/ws", SocketKind::AutoBot, "AutoBot's messages, or ALEX OS's dialect for those who speak it"),
    socket("/ws-test", SocketKind::Test, "Says each text again"),
    open(Route {
        answers: &[
            (200, Shape::SocketHealth),
            (101, Shape::Socket),
            (400, Shape::Problem),
            (403, Shape::Problem),
            (426, Shape::Problem),
            (503, Shape::Problem),
        ],
        ..socket(
            "/ws/health",
            SocketKind::Health,
            "How the sockets are; as a socket it answers `health_check`",
        )
    }),
    Route {
        is_doubled: false,
        answers: &[
            (101, Shape::Socket),
            (400, Shape::Problem),
            (401, Shape::Problem),
            (403, Shape::Problem),
            (404, Shape::Problem),
            (422, Shape::Problem),
            (426, Shape::Problem),
            (503, Shape::Problem),
        ],
        ..socket("/api/ws/{window}/{user_id}", SocketKind::Window, "A window of ChainBot's desktop")
    },
    Route {
        method: Method::Post,
        path: "/api/ws/broadcast/{window}",
        is_doubled: false,
        role: Role::Operator,
        takes: Takes::Broadcast,
        answers: &[
            (200, Shape::Message),
            (400, Shape::Problem),
            (404, Shape::Problem),
            (413, Shape::Problem),
            (415, Shape::Problem),
            (422, Shape::Problem),
        ],
        summary: "Sends everybody at a window a message",
        endpoint: Endpoint::Broadcast,
    },
    get(
        "/api/health",
        &[(200, Shape::PolledHealth)],
        Endpoint::PolledHealth,
        "Polled by ALEX OS: the health in one word",
    ),
    get(
        "/api/chainbot/alex-agents",
        &[(200, Shape::AgentList)],
        Endpoint::AlexAgentList,
        "Polled by ALEX OS: framework agents",
    ),
    get(
        "/api/chainbot/ai-agents",
        &[(200, Shape::AgentList)],
        Endpoint::AiAgentList,
        "Polled by ALEX OS: AI agents",
    ),
    get(
        "/api/chainbot/workflows",
        &[(200, Shape::WorkflowList)],
        Endpoint::WorkflowList,
        "Polled by ALEX OS: workflows",
    ),
    get(
        "/api/chainbot/health",
        &[(200, Shape::ChainbotHealth)],
        Endpoint::ChainbotHealth,
        "The health, with the state of the agent",
    ),
    get(
        "/api/chainbot/status",
        &[(200, Shape::ChainbotStatus)],
        Endpoint::ChainbotStatus,
        "The state of the agent in short",
    ),
    get(
        "/api/chainbot/agents/alex-framework",
        &[(200, Shape::Agents)],
        Endpoint::AlexAgents,
        "Framework agents",
    ),
    get("/api/chainbot/agents/ai", &[(200, Shape::Agents)], Endpoint::AiAgents, "AI agents"),
    get("/api/chainbot/agents/all", &[(200, Shape::AllAgents)], Endpoint::AllAgents, "All agents"),
    get(
        "/api/websockets/stats",
        &[(200, Shape::SocketStats)],
        Endpoint::SocketStats,
        "How many WebSockets are open",
    ),
    get(
        "/api/ws/status",
        &[(200, Shape::SocketStatus)],
        Endpoint::SocketStatus,
        "How many WebSockets are open in each window",
    ),
    Route {
        is_doubled: false,
        ..brain(
            Method::Post,
            "/v1/chat/completions",
            Takes::Body(Shape::OpenAiQuestion),
            OPENAI_ANSWERS,
            BrainAsk::Question,
            "A question to a model, in OpenAI's shape: routed, within budgets, keys kept here",
        )
    },
    get("/v1/models", &[(200, Shape::OpenAiModels)], Endpoint::OpenAiModels, "The models, in OpenAI's shape"),
    brain(
        Method::Post,
        "/api/chat",
        Takes::Body(Shape::ChatQuestion),
        SAY_ANSWERS,
        BrainAsk::Message,
        "Chat: with a `session_id` said to that conversation, else its `messages` are passed through; lines of JSON with `stream`",
    ),
    brain(
        Method::Post,
        "/chat/message",
        Takes::Body(Shape::ChatQuestion),
        SAY_ANSWERS,
        BrainAsk::Message,
        "The same under the desktop's name",
    ),
    Route {
        role: Role::Viewer,
        ..brain(
            Method::Get,
            "/chat/history",
            Takes::SessionQuery,
            &[(200, Shape::Conversation), (404, Shape::Problem), (503, Shape::Problem)],
            BrainAsk::Show,
            "The messages of a conversation",
        )
    },
    doubled(get(
        "/chat/sessions",
        &[(200, Shape::Conversations)],
        Endpoint::Conversations,
        "The conversations, the one spoken to last first",
    )),
    brain(
        Method::Post,
        "/api/gpt/completion",
        Takes::Body(Shape::CompletionQuestion),
        COMPLETION_ANSWERS,
        BrainAsk::Completion,
        "Says the prompt to the conversation of `agent_id`",
    ),
    doubled(get("/api/gpt/health", &[(200, Shape::GptHealth)], Endpoint::GptHealth, "How the models are")),
    doubled(get(
        "/api/gpt/providers/status",
        &[(200, Shape::ProviderStatus)],
        Endpoint::ProviderStatus,
        "Each provider of models, and what it did",
    )),
    doubled(get(
        "/api/gpt/personas",
        &[(200, Shape::Personas)],
        Endpoint::Personas,
        "The personas that a conversation may have",
    )),
    Route {
        role: Role::Viewer,
        ..brain(
            Method::Get,
            "/api/gpt/conversation/{agent_id}",
            Takes::Nothing,
            &[(200, Shape::Conversation), (404, Shape::Problem), (503, Shape::Problem)],
            BrainAsk::Show,
            "The messages of a conversation",
        )
    },
    brain(
        Method::Delete,
        "/api/gpt/conversation/{agent_id}",
        Takes::Nothing,
        &[(200, Shape::Done), (404, Shape::Problem), (503, Shape::Problem)],
        BrainAsk::Forget,
        "Forgets a conversation",
    ),
    brain(
        Method::Post,
        "/api/gpt/conversation/{agent_id}/stop",
        Takes::Nothing,
        &[(200, Shape::Done), (404, Shape::Problem)],
        BrainAsk::Stop,
        "Stops what a conversation is doing; what came of it is kept",
    ),
    get("/api/models", &[(200, Shape::Models)], Endpoint::Models, "The models, in Ollama's shape"),
    get(
        "/api/approvals",
        &[(200, Shape::Approvals)],
        Endpoint::Approvals,
        "The calls of tools about which a person is asked",
    ),
    Route {
        is_doubled: false,
        role: Role::Admin,
        ..brain(
            Method::Post,
            "/api/approvals/{id}",
            Takes::Body(Shape::Decision),
            &[
                (200, Shape::Done),
                (400, Shape::Problem),
                (404, Shape::Problem),
                (413, Shape::Problem),
                (415, Shape::Problem),
                (422, Shape::Problem),
                (503, Shape::Problem),
            ],
            BrainAsk::Decide,
            "Allows or refuses a call of a tool",
        )
    },
    doubled(get(
        "/api/webhooks/chainbot/",
        &[(200, Shape::WebhookService)],
        Endpoint::WebhookService,
        "What the webhook paths are",
    )),
    doubled(get(
        "/api/webhooks/chainbot/health",
        &[(200, Shape::WebhookHealth)],
        Endpoint::WebhookHealth,
        "How the registration with ALEX OS stands",
    )),
    doubled(get(
        "/api/webhooks/chainbot/status",
        &[(200, Shape::WebhookHealth)],
        Endpoint::WebhookHealth,
        "The same as the health beside it",
    )),
    webhook(
        "/api/webhooks/chainbot/workflow/started",
        WebhookKind::WorkflowStarted,
        Shape::WorkflowEvent,
        "A workflow started",
    ),
    webhook(
        "/api/webhooks/chainbot/workflow/completed",
        WebhookKind::WorkflowCompleted,
        Shape::WorkflowEvent,
        "A workflow completed",
    ),
    webhook(
        "/api/webhooks/chainbot/workflow/failed",
        WebhookKind::WorkflowFailed,
        Shape::WorkflowEvent,
        "A workflow failed",
    ),
    webhook(
        "/api/webhooks/chainbot/agent/spawned",
        WebhookKind::AgentSpawned,
        Shape::AgentEvent,
        "An agent was spawned",
    ),
    webhook(
        "/api/webhooks/chainbot/agent/terminated",
        WebhookKind::AgentTerminated,
        Shape::AgentEvent,
        "An agent was terminated",
    ),
    webhook(
        "/api/webhooks/chainbot/entanglement/created",
        WebhookKind::EntanglementCreated,
        Shape::EntanglementEvent,
        "An entanglement was created",
    ),
    webhook(
        "/api/webhooks/chainbot/entanglement/destroyed",
        WebhookKind::EntanglementDestroyed,
        Shape::EntanglementEvent,
        "An entanglement was destroyed",
    ),
    webhook("/api/webhooks/chainbot/health", WebhookKind::Health, Shape::HealthReport, "A health report"),
    webhook("/api/webhooks/chainbot/status", WebhookKind::Status, Shape::HealthReport, "A status report"),
    webhook(
        "/api/webhooks/chainbot/event",
        WebhookKind::Event,
        Shape::AnyEvent,
        "Any other event, named by its event_type",
    ),
];
