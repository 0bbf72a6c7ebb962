//! The event bus against a stand-in of ALEX OS: the real program, real sockets.
//!
//! Nothing waits for a time: every wait is for a fact, with a bound far above what it takes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads, and a helper that cannot go on should stop the test"
)]

#[path = "stand_in/mod.rs"]
mod stand_in;

#[path = "bus/peer.rs"]
mod peer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peer::{Bus, Mood};
use stand_in::client;
use stand_in::json::{self, Value};
use stand_in::process::{Agent, Folder, Program, exe, free_address};

const PATIENCE: Duration = Duration::from_secs(60);
const EVENT: &str = "/api/webhooks/chainbot/event";

/// An agent whose ALEX OS is `bus`, and the folder that holds its ledger.
struct World {
    agent: Agent,
    bus: Bus,
    address: SocketAddr,
    _folder: Folder,
}

impl World {
    fn started(mood: Mood, bus_path: &str) -> Self {
        let bus = Bus::open(mood);
        let urls = format!(
            "module_registry_url = \"http://{}\"\nevent_bus_url = \"ws://localhost:{}{bus_path}\"\n",
            bus.address,
            bus.address.port()
        );
        Self::with(bus, &urls)
    }

    /// As `started`, with TLS before the bus, and `more` config.
    fn under_tls(mood: Mood, more: &str) -> Self {
        let bus = Bus::open(mood);
        let port = stand_in::tls::door(bus.address).port();
        let urls = format!(
            "module_registry_url = \"https://localhost:{port}\"\n\
             event_bus_url = \"wss://localhost:{port}/ws/events\"\n{more}"
        );
        Self::with(bus, &urls)
    }

    fn with(bus: Bus, urls: &str) -> Self {
        let (folder, address) = (Folder::new("bus"), free_address());
        let config = folder.0.join("config.toml");
        let text = format!(
            "[server]\nhost = \"{}\"\nport = {}\n[ledger]\npath = \"{}/state/ledger.redb\"\n\
             [log]\nlevel = \"debug\"\n[alex_os]\n{urls}",
            address.ip(),
            address.port(),
            folder.0.display(),
        );
        std::fs::write(&config, text).unwrap();
        let program = Program { path: exe(env!("CARGO_BIN_EXE_chainbot")), words: vec!["run".into()] };
        let mut agent = Agent::new(program, config, address);
        agent.start();
        Self { agent, bus, address, _folder: folder }
    }

    /// Brings an event, which must be taken, and gives its id.
    fn brought(&self, kind: &str) -> String {
        let reply = client::post(self.address, EVENT, &[], &format!(r#"{{"event_type":"{kind}"}}"#)).unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        json::str_at(&reply.json(), &["id"]).unwrap().to_owned()
    }

    fn bus_word(&self, name: &str) -> Option<String> {
        let status = client::get(self.address, "/status").unwrap().json();
        json::str_at(&status, &["alex_os", "bus", name]).map(str::to_owned)
    }

    fn wait_open(&self, dialect: &str) {
        self.wait(dialect, || self.bus_word("dialect").as_deref() == Some(dialect));
    }

    fn wait(&self, what: &str, mut fact: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !fact() {
            assert!(Instant::now() < end, "{what}\n{}", self.agent.log_text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_bus(&self, what: &str, fact: impl FnMut(&peer::State) -> bool) {
        assert!(self.bus.state.wait_until(PATIENCE, fact), "{what}\n{}", self.agent.log_text());
    }

    fn counter(&self, name: &str) -> u64 {
        let page = client::get(self.address, "/metrics").unwrap().body;
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("chainbot_{name}_total ")));
        line.unwrap().parse().unwrap()
    }
}

/// The ids of the envelopes of this type, each where it came first.
fn ids(state: &peer::State, kind: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for text in &state.texts {
        let envelope = json::parse(text).unwrap_or(Value::Null);
        if json::str_at(&envelope, &["event_type"]) == Some(kind) {
            assert_eq!(json::str_at(&envelope, &["source"]), Some("chainbot"), "{text}");
            let id = json::str_at(&envelope, &["id"]).unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids
}

#[test]
fn the_documented_bus_gets_every_event_in_order_whatever_becomes_of_the_links() {
    let world = World::started(Mood::Documented { drops: 2, after: 12 }, "/ws/events");
    world.wait_open("documented");
    let brought: Vec<String> = (0..60).map(|_| world.brought("door")).collect();
    world.wait_bus("every event", |state| ids(state, "door").len() == brought.len());
    assert_eq!(world.bus.state.look(|state| ids(state, "door")), brought);
    world.wait("all confirmed", || {
        let page = client::get(world.address, "/metrics").unwrap().body;
        page.lines().any(|line| line == "chainbot_bus_behind_events 0")
    });
    assert!(world.counter("bus_opened") >= 3, "the links were dropped");
}

#[test]
fn the_bus_is_followed_over_wss_under_an_authority_of_the_lan_and_under_no_other() {
    let authority = format!("[security]\nauthorities = {:?}\n", stand_in::tls::fixture("authority.pem"));
    let world = World::under_tls(Mood::Documented { drops: 1, after: 5 }, &authority);
    world.wait_open("documented");
    let brought: Vec<String> = (0..30).map(|_| world.brought("door")).collect();
    world.wait_bus("every event", |state| ids(state, "door").len() == brought.len());
    assert_eq!(world.bus.state.look(|state| ids(state, "door")), brought);
    world.bus.say(r#"{"id":"e-1","event_type":"module.health","source":"alex_os","data":{}}"#);
    world.wait("an event of theirs", || world.counter("bus_received") == 1);
    assert!(world.agent.log_text().contains("call_refused"), "calls go over TLS, too");

    let stranger = World::under_tls(Mood::Documented { drops: 0, after: 0 }, "");
    stranger.wait("a refusal of theirs", || stranger.agent.log_text().contains("certificate not accepted"));
    assert!(stranger.bus.state.look(|state| state.paths.is_empty()));
}

#[test]
fn a_link_that_is_open_but_dead_is_noticed_and_what_it_swallowed_comes_again() {
    let world = World::started(Mood::DeadFirst, "/ws/events");
    world.wait_open("documented");
    let id = world.brought("door");
    world.wait_bus("the event over another link", |state| ids(state, "door") == [id.as_str()]);
    assert_eq!(world.bus.state.look(|state| state.paths.len()), 2);
    assert!(world.agent.log_text().contains("no pong in time"));
}

#[test]
fn where_the_documented_bus_is_refused_the_public_dialect_is_spoken() {
    let world = World::started(Mood::Public, "/ws/events");
    world.wait_open("public");
    let subscribed = |state: &peer::State| state.texts.iter().any(|text| text.contains(r#""subscribe""#));
    world.wait_bus("a subscription", subscribed);
    assert_eq!(world.bus.state.look(|state| state.paths.clone()), ["/ws/events", "/ws"]);
    world.brought("door");
    world.bus.say(r#"{"type":"ping","timestamp":"t"}"#);
    let pinged = |state: &peer::State| state.texts.iter().any(|text| text == r#"{"action":"ping"}"#);
    world.wait_bus("a ping of ours", pinged);
    let texts = world.bus.state.look(|state| state.texts.clone());
    assert!(texts.iter().all(|text| text.contains(r#""action""#)), "no envelope: {texts:?}");
}

#[test]
fn after_missing_action_the_same_link_goes_on_in_the_public_dialect() {
    let world = World::started(Mood::Public, "/ws");
    world.wait_open("documented");
    world.brought("door");
    world.wait_open("public");
    world.wait_bus("a subscription", |state| state.texts.iter().any(|text| text.contains("channels")));
    let before = world.bus.state.look(|state| state.texts.len());
    world.brought("door");
    world.bus.say(r#"{"type":"ping"}"#);
    world.wait_bus("something after it", |state| state.texts.len() > before);
    let texts = world.bus.state.look(|state| state.texts[before..].to_vec());
    assert!(texts.iter().all(|text| text.contains(r#""action""#)), "no envelope: {texts:?}");
}

#[test]
fn events_of_the_bus_come_in_once_and_never_go_back() {
    let world = World::started(Mood::Documented { drops: 0, after: 0 }, "/ws/events");
    world.wait_open("documented");
    let event = r#"{"id":"e-1","event_type":"module.health","source":"alex_os","severity":"warning","data":{"message":"low"}}"#;
    let own = r#"{"id":"e-2","event_type":"echo","source":"chainbot","data":{}}"#;
    for text in [event, event, own, "{", r#"{"type":"error","message":"what?"}"#, event] {
        world.bus.say(text);
    }
    world.wait("three copies", || {
        world.counter("bus_received") + world.counter("bus_duplicate") == 3 && world.counter("bus_own") == 1
    });
    assert_eq!(world.counter("bus_received"), 1);
    assert_eq!(world.counter("bus_unknown"), 1);
    let last = world.brought("door");
    world.wait_bus("a later event", |state| ids(state, "door") == [last.as_str()]);
    let events = client::get(world.address, "/api/events").unwrap().body;
    assert_eq!(events.matches("\"type\":\"module.health\"").count(), 1, "{events}");
    let is_back = |text: &String| text.contains("module.health") || text.contains("echo");
    assert!(!world.bus.state.look(|state| state.texts.iter().any(is_back)));
}
