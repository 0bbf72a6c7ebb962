//! A view and requests for the tests of this room.

use std::net::Ipv4Addr;

use super::*;
use crate::agent::brain::setup::{ModelName, ProviderKind, ProviderSetup};
use crate::agent::brain::speech::Caller;
use crate::agent::brain::status::{
    ApprovalStatus, BrainStatus, ProviderState, ProviderStatus, SessionStatus, UsageStatus,
};
use crate::agent::counters::Counters;
use crate::agent::effect::{EventsPath, Health};
use crate::agent::ids::{LedgerId, Seq};
use crate::agent::input::{CanonEntry, Generation, Sample, Setting};
use crate::agent::setup::{AiwmSetup, AlexosSetup, Identity, Secret};
use crate::agent::status::{AiwmStatus, AlexosStatus, BusStatus, DestinationStatus, LedgerStatus};
use crate::agent::time::{Trust, Wall};

/// Says in which secret the test looks for leaks.
pub(super) const CANARY: &str = "canary-5ecret";

/// Everything that a view borrows.
pub(super) struct World {
    pub(super) status: Status<'static>,
    pub(super) setup: Setup,
    pub(super) security: Security,
    pub(super) http: HttpCounters,
    pub(super) hold: Hold,
}

impl World {
    /// Nothing configured, nothing happened.
    pub(super) fn bare() -> Self {
        let status = Status {
            at: Wall(1_795_221_371_123),
            trust: Trust::Unset,
            passed: Wall(i64::MIN),
            uptime_ms: 0,
            health: Health::Healthy,
            attention: None,
            is_stopping: false,
            ledger: LedgerStatus {
                id: LedgerId(0xdead_beef),
                oldest: Seq(1),
                durable: Seq(0),
                pending: 0,
                fault: None,
            },
            alexos: None,
            aiwm: None,
            brain: BrainStatus::default(),
            destinations: Vec::new(),
            sample: None,
            counters: kept(Counters::default()),
        };
        let identity = Identity { name: "chainbot".to_owned(), port: 9000, ..Identity::default() };
        let setup = Setup { identity, ..Setup::default() };
        Self {
            status,
            setup,
            security: Security::default(),
            http: HttpCounters::default(),
            hold: Hold::default(),
        }
    }

    /// All peers configured, secrets everywhere.
    pub(super) fn full() -> Self {
        let mut world = Self::bare();
        world.status.trust = Trust::Synced;
        world.status.health = Health::Degraded;
        world.status.attention = Some("say \"why\"\n");
        world.status.uptime_ms = 61_000;
        world.status.sample = Some(kept(Sample { cpu_percent: 25.5, ..Sample::default() }));
        world.status.alexos = Some(alexos());
        world.status.aiwm = Some(aiwm());
        world.status.destinations = vec![destination("alex_os"), destination("webhook:00ff")];
        world.status.counters = kept(Counters {
            aiwm_connection_success: 1,
            aiwm_connection_failure: 2,
            aiwm_heartbeat_success: 3,
            aiwm_heartbeat_failure: 4,
            aiwm_token_refresh: 5,
            aiwm_config_update: 6,
            ..Counters::default()
        });
        world.setup.identity.capabilities = vec!["webhooks".to_owned()];
        world.setup.alexos = Some(AlexosSetup { health_interval_ms: 60_000, ..AlexosSetup::default() });
        let agent_secret = Secret(CANARY.to_owned());
        world.setup.aiwm = Some(AiwmSetup { agent_secret, ..AiwmSetup::default() });
        world.security.token = Some(Secret(CANARY.to_owned()));
        world.security.api_key = Some(Secret("second-key".to_owned()));
        world.security.host_names = vec!["pi.lan".to_owned()];
        for status in [200, 200, 404] {
            world.http.count(status);
        }
        world
    }

    /// The same with models, a conversation and a request for permission.
    pub(super) fn thoughtful() -> Self {
        let mut world = Self::full();
        let provider = |name: &str, kind| ProviderSetup {
            name: name.to_owned(),
            kind,
            model: "llama3.2".to_owned(),
            models: vec![ModelName { wanted: "gpt-4o".to_owned(), there: "x".to_owned() }],
            api_key: Secret(CANARY.to_owned()),
            ..ProviderSetup::default()
        };
        world.setup.brain.providers =
            vec![provider("office", ProviderKind::Ollama), provider("openai", ProviderKind::OpenAi)];
        let status = |name, state, last_fault| ProviderStatus {
            name,
            kind: ProviderKind::Ollama,
            state,
            last_fault,
            next_try_in_ms: last_fault.map(|_| 5_000),
            answered: 3,
            failed: 1,
            mean_ms: 1_500,
        };
        world.status.brain = BrainStatus {
            providers: vec![
                status("office", ProviderState::Up, None),
                status("openai", ProviderState::Down, Some("status 401: no")),
            ],
            under_way: 1,
            usage: vec![UsageStatus { caller: Caller::Loopback, requests: (4, 9), tokens: (400, 900) }],
            sessions: vec![SessionStatus {
                name: "porch",
                messages: 4,
                bytes: 99,
                at: Wall(1_795_221_000_000),
                state: "idle",
            }],
            approvals: vec![ApprovalStatus {
                id: EventId { seq: Seq(9), ledger: LedgerId(0xdead_beef) },
                session: "porch",
                tool: "run-command",
                subject: "uptime",
                arguments: r#"{"command":["uptime"]}"#,
                expires_in_ms: 1_500,
            }],
        };
        world
    }

    pub(super) fn with_view<T>(&self, f: impl FnOnce(&View<'_>) -> T) -> T {
        let process = ProcessFacts {
            rss_kib: 3_072,
            threads: 4,
            fds: 12,
            connections: 1,
            sockets: 3,
            windows: [1, 0, 1, 0, 0, 0],
            users: 2,
            sessions: 1,
            ledger_bytes: 4_096,
            throttled: [1, 2],
            http: &self.http,
        };
        f(&View {
            status: &self.status,
            setup: &self.setup,
            security: &self.security,
            config_json: &|| r#"{"server":{"port":9000}}"#.to_owned(),
            version: "1.2.3",
            ledger_file: "/var/lib/chainbot/ledger.redb",
            process,
            hold: self.hold,
        })
    }

    pub(super) fn ask(&self, ask: &Ask<'_>) -> Decision {
        self.decided(ask).decision
    }

    /// The event that goes before what is asked.
    pub(super) fn tell(&self, ask: &Ask<'_>) -> Option<EventDraft> {
        self.decided(ask).deed
    }

    pub(super) fn decided(&self, ask: &Ask<'_>) -> Decided {
        let header = |name: &str| ask.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let header_count = |name: &str| ask.headers.iter().filter(|(key, _)| *key == name).count();
        let (path, query) = ask.target.split_once('?').unwrap_or((ask.target, ""));
        let request = Request {
            method: ask.method,
            path,
            query,
            header: &header,
            header_count: &header_count,
            body: ask.body.as_bytes(),
            peer_is_loopback: ask.peer_is_loopback,
            peer: if ask.peer_is_loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(192, 0, 2, 7) }.into(),
        };
        self.with_view(|view| respond(view, &request))
    }
}

/// A request in short.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
    peer_is_loopback: bool,
}

impl<'a> Ask<'a> {
    /// From loopback, `Host: localhost:9000`.
    pub(super) fn new(method: &'a str, target: &'a str) -> Self {
        Self { method, target, headers: vec![("host", "localhost:9000")], body: "", peer_is_loopback: true }
    }

    pub(super) fn post(target: &'a str, body: &'a str) -> Self {
        Self { body, ..Self::new("POST", target) }.with("content-type", "application/json")
    }

    pub(super) fn afar(self) -> Self {
        Self { peer_is_loopback: false, ..self }
    }

    pub(super) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| *key != name);
        self
    }
}

/// What a status borrows is the agent's; here it is nobody's.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn alexos() -> AlexosStatus<'static> {
    AlexosStatus {
        registration: "registered",
        attempts: 3,
        last_registration: Some(Wall(1_795_221_300_000)),
        last_report: None,
        agent_id: Some("agent-7"),
        events_path: Some(EventsPath::Public),
        last_fault: Some("status 500"),
        next_try_in_ms: Some(5),
        canon: kept([CanonEntry { name: "one".to_owned(), version: "1".to_owned() }]),
        bus: BusStatus {
            state: "open",
            dialect: Some("documented"),
            last_message_age_ms: Some(1_500),
            behind: Some(4),
            next_try_in_ms: None,
            last_fault: None,
        },
    }
}

fn aiwm() -> AiwmStatus<'static> {
    let setting = |key: &str, value: &str, is_secret| Setting {
        key: key.to_owned(),
        value: Secret(value.to_owned()),
        is_secret,
    };
    AiwmStatus {
        state: "connected",
        generation: Some(Generation::B),
        last_connect: Some(Wall(1_795_221_300_000)),
        last_beat_age_ms: Some(12_345),
        last_fault: None,
        next_try_in_ms: None,
        instruction_bytes: 100,
        is_fresh: true,
        tools: Some(kept(["Read".to_owned()])),
        settings: kept([setting("claude.model", "m", false), setting("discord.token", CANARY, true)]),
        work: None,
    }
}

fn destination(key: &'static str) -> DestinationStatus<'static> {
    DestinationStatus {
        key,
        shown: "http://localhost:8000",
        state: "waiting",
        cursor: Seq(3),
        behind: 7,
        attempts: 2,
        next_try_in_ms: Some(1_000),
        last_fault: Some("no answer in time"),
    }
}
