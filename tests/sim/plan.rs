//! What kind of world a seed is: who is there, what may go wrong, how long. Each fault is off in some worlds, so that
//! no fault hides what another would show.

use chainbot::agent::event::{EventFilter, Severity};
use chainbot::agent::input::Generation;
use chainbot::agent::setup::{AiwmSetup, AlexosSetup, HookSetup, Identity, Secret, Setup};
use chainbot::agent::time::Wall;
use chainbot::ledger::SIZE_MIN_BYTES;

use crate::brain::BrainPlan;
use crate::peers::aiwm;
use crate::peers::alexos::Kind;
use crate::rng::Rng;

/// Build time of the program in every world: 2026-06-01.
pub const BUILT_AT: Wall = Wall(1_780_272_000_000);

/// A world before anything has happened in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all chance comes from.
    pub seed: u64,
    /// Its ALEX OS.
    pub alexos: Option<Kind>,
    /// Its AIWM.
    pub aiwm: Option<Generation>,
    /// The password in the config is wrong, today and always.
    pub is_password_wrong: bool,
    /// How many `[[webhooks]]`.
    pub hooks: usize,
    /// One of them may say 410.
    pub may_hook_go: bool,
    /// How long everything may go wrong, in milliseconds.
    pub chaos_ms: u64,
    /// Mean time between two posts of the clients, in milliseconds.
    pub post_gap_ms: u64,
    /// How many of a thousand posts are large.
    pub large_per_mille: u64,
    /// The ways to the peers change.
    pub has_weather: bool,
    /// The peers change.
    pub has_moods: bool,
    /// Commits are slow, fail, and the disk fills up.
    pub has_disk_trouble: bool,
    /// Mean time between two ends of the process by power cut, kill or stop; `None`: never.
    pub end_gap_ms: Option<u64>,
    /// A sync that fails forgets what it should have written, as Linux does. Then the process only ends with the power:
    /// a process that ends by itself leaves the next one with pages that are seen and not on the disk.
    pub failed_sync_forgets: bool,
    /// The wall clock starts in 1970 and jumps.
    pub has_clock_trouble: bool,
    /// The disk says that it synced when it did not. Only in the control.
    pub sync_lies: bool,
    /// Events kept at most.
    pub events_max: u64,
    /// Size of the ledger's file at most.
    pub size_max_bytes: u64,
    /// Shown TLS: the peers' dates are believed.
    pub over_tls: bool,
    /// `aiwm.status = "online"`.
    pub prefers_online: bool,
    /// What of the brain there is.
    pub brain: Option<BrainPlan>,
    /// The process never ends in good order, mostly in a commit, and the power goes while a ledger is opened after a power cut.
    pub is_unplugged: bool,
}

impl Plan {
    /// The world of this seed.
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::new(seed, "plan");
        let minute = 60_000;
        Self {
            seed,
            alexos: rng.pick(&[
                None,
                Some(Kind::Public),
                Some(Kind::Public),
                Some(Kind::Documented),
                Some(Kind::Documented),
            ]),
            aiwm: rng.pick(&[
                None,
                Some(Generation::A),
                Some(Generation::B),
                Some(Generation::C),
                Some(Generation::C),
            ]),
            is_password_wrong: rng.chance(60),
            hooks: rng.pick(&[0, 0, 1, 2, 2, 3]),
            may_hook_go: rng.chance(200),
            chaos_ms: rng.pick(&[2, 5, 15, 30, 60, 120]) * minute,
            post_gap_ms: rng.pick(&[200, 2_000, 10_000, 60_000]),
            large_per_mille: rng.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 50, 500]),
            has_weather: rng.chance(700),
            has_moods: rng.chance(700),
            has_disk_trouble: rng.chance(500),
            end_gap_ms: rng.pick(&[None, Some(minute / 2), Some(3 * minute), Some(20 * minute)]),
            has_clock_trouble: rng.chance(500),
            sync_lies: false,
            events_max: if rng.chance(150) { rng.within(20, 80) } else { 50_000 },
            over_tls: rng.chance(300),
            prefers_online: rng.chance(150),
            brain: BrainPlan::of(seed),
            is_unplugged: false,
            failed_sync_forgets: rng.chance(400),
            size_max_bytes: rng.pick(&[SIZE_MIN_BYTES, 16 << 20]),
        }
    }

    /// Whether the ledger may have to drop events.
    pub fn is_capped(&self) -> bool {
        let talks_much = self.brain.is_some_and(|brain| brain.long_per_mille > 0);
        self.events_max < 10_000 || self.large_per_mille > 100 || talks_much
    }

    /// The same, shorter and with fewer posts where there would be thousands: keeps a seed cheap.
    pub fn bounded(mut self) -> Self {
        const POSTS_MAX: u64 = 400;
        self.chaos_ms = self.chaos_ms.min(self.post_gap_ms.saturating_mul(POSTS_MAX)).max(60_000);
        self
    }

    /// What the agent is told in this world.
    pub fn setup(&self) -> Setup {
        let rng = &mut Rng::new(self.seed, "setup");
        Setup {
            identity: identity(),
            alexos: self.alexos.map(|kind| self.with_bus(alexos_setup(kind, self.over_tls, rng))),
            aiwm: self.aiwm.map(|_| self.aiwm_setup(rng)),
            hooks: (0..self.hooks).map(|index| self.hook_setup(index, rng)).collect(),
            brain: self.brain.map(|brain| brain.setup()).unwrap_or_default(),
            events_max: self.events_max,
            built_at: BUILT_AT,
        }
    }

    /// No bus, the documented one, or the public release's own socket taken for it.
    fn with_bus(&self, setup: AlexosSetup) -> AlexosSetup {
        let path = Rng::new(self.seed, "bus").pick(&["", "/ws/events", "/ws/events", "/ws"]);
        let event_bus_url =
            if path.is_empty() { String::new() } else { format!("{}{path}", setup.registry_url) };
        AlexosSetup { event_bus_url, ..setup }
    }

    fn aiwm_setup(&self, rng: &mut Rng) -> AiwmSetup {
        AiwmSetup {
            base_url: format!("{}://aiwm.test/dev/aiwm", self.scheme()),
            agent_id: aiwm::AGENT_ID.to_owned(),
            agent_secret: Secret(if self.is_password_wrong { "wrong" } else { aiwm::SECRET }.to_owned()),
            heartbeat_interval_ms: rng.pick(&[15_000, 60_000, 60_000]),
            reconnect_interval_ms: rng.pick(&[20 * 60_000, 23 * 3_600_000]),
            retry_interval_ms: rng.pick(&[60_000, 300_000]),
            request_timeout_ms: 10_000,
            prefers_online: self.prefers_online,
        }
    }

    fn hook_setup(&self, index: usize, rng: &mut Rng) -> HookSetup {
        let filter = match rng.below(4) {
            0 => EventFilter {
                kinds: vec!["workflow_*".to_owned(), "agent_spawned".to_owned()],
                ..EventFilter::default()
            },
            1 => EventFilter {
                severities: vec![Severity::Warning, Severity::Error, Severity::Critical],
                ..EventFilter::default()
            },
            _ => EventFilter::default(),
        };
        let url = format!("{}://hook{index}.test/in?key=k{index}", self.scheme());
        HookSetup {
            key: format!("{:016x}", 0xfeed_0000 + index),
            shown_url: format!("{}://hook{index}.test/in", self.scheme()),
            url: Secret(url),
            secrets: if rng.chance(500) {
                vec![Secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned())]
            } else {
                Vec::new()
            },
            filter,
            request_timeout_ms: 15_000,
        }
    }

    fn scheme(&self) -> &'static str {
        if self.over_tls { "https" } else { "http" }
    }
}

fn identity() -> Identity {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    Identity {
        name: "ChainBot".to_owned(),
        version: "1.0.0".to_owned(),
        description: "an agent in a simulated world".to_owned(),
        role: "workflow_orchestrator".to_owned(),
        capabilities: list(&["workflow_engine"]),
        ui_features: list(&["chat"]),
        endpoints: list(&["/api/*"]),
        health_endpoint: "http://localhost:9000/health".to_owned(),
        docs_endpoint: "http://localhost:9000/docs".to_owned(),
        port: 9000,
    }
}

fn alexos_setup(kind: Kind, over_tls: bool, rng: &mut Rng) -> AlexosSetup {
    // A name that the public release does not know needs the host header of one that it knows; and an ALEX OS of
    // either kind may become one of the other kind.
    let is_named = kind == Kind::Documented || rng.chance(500);
    AlexosSetup {
        registry_url: match (is_named, over_tls) {
            (true, true) => "https://alexos.test".to_owned(),
            (true, false) => "http://alexos.test:8000".to_owned(),
            (false, _) => "http://10.42.69.208:8000".to_owned(),
        },
        event_bus_url: String::new(),
        webhook_url: String::new(),
        report_to_webhook_url: false,
        host_header: if is_named { "localhost".to_owned() } else { String::new() },
        health_interval_ms: rng.pick(&[30_000, 60_000]),
        retry_interval_ms: rng.pick(&[5_000, 30_000]),
        attempts_max: 10,
        request_timeout_ms: rng.pick(&[10_000, 30_000]),
    }
}
