//! Models upstream that answer, fail and fall silent: the real program between a caller and stand-ins, over real sockets.
//!
//! Nothing waits for a time: every wait is for a fact, with a bound far above what it takes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "outside the agent: own threads, and a helper that cannot go on should stop the test"
)]

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use stand_in::client::{self, Reply};
use stand_in::json;
use stand_in::port::Port;
use stand_in::process::{Agent, Folder, Program, exe, free_address};
use stand_in::upstream::{self, Course, Model};

const PATIENCE: Duration = Duration::from_secs(30);
const QUESTION: &str = r#"{"model":"m","odd":[1],"messages":[{"role":"user","content":"say it"}]}"#;

/// An agent with a first and a second model upstream.
struct World {
    agent: Agent,
    first: Port<Model>,
    second: Port<Model>,
    address: SocketAddr,
    _folder: Folder,
}

impl World {
    fn started(kind: &str, course: Course) -> Self {
        let (first, second) =
            (upstream::open(&["first ", "says\n", "so"]), upstream::open(&["second ", "\"says\""]));
        first.peer.state.change(|state| state.course = course);
        let folder = Folder::new("brain");
        let address = free_address();
        let text = format!(
            "[server]\nhost = \"{}\"\nport = {}\n[ledger]\npath = \"{}/ledger.redb\"\n[log]\nlevel = \"debug\"\n\
             [[brain.provider]]\nname = \"first\"\nkind = \"{kind}\"\nbase_url = \"{}\"\napi_key = \"key-1\"\ntimeout = 1\n\
             [[brain.provider]]\nname = \"second\"\nbase_url = \"{}/v1\"\nmodel = \"other\"\nmodels = [\"other\"]\n",
            address.ip(),
            address.port(),
            folder.0.display(),
            first.url(),
            second.url(),
        );
        let config = folder.0.join("config.toml");
        std::fs::write(&config, text).unwrap();
        let program = Program { path: exe(env!("CARGO_BIN_EXE_chainbot")), words: vec!["run".into()] };
        let mut agent = Agent::new(program, config, address);
        agent.start();
        Self { agent, first, second, address, _folder: folder }
    }

    fn ask(&self, is_stream: bool) -> Reply {
        let body = if is_stream {
            QUESTION.replace("\"odd\"", "\"stream\":true,\"odd\"")
        } else {
            QUESTION.to_owned()
        };
        client::post(self.address, "/v1/chat/completions", &[], &body).unwrap()
    }

    /// Waits for an event that says this of a question.
    fn waits_for_call(&self, outcome: &str) {
        let end = Instant::now() + PATIENCE;
        let want = format!("\"outcome\":\"{outcome}\"");
        while !client::get(self.address, "/api/events?limit=50").unwrap().body.contains(&want) {
            assert!(Instant::now() < end, "no {want}:\n{}", self.agent.log_text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn asked(&self) -> (usize, usize) {
        let count = |port: &Port<Model>| {
            port.peer.state.look(|state| state.seen.iter().filter(|request| request.method == "POST").count())
        };
        (count(&self.first), count(&self.second))
    }
}

/// The text of a streamed answer, and whether it says that it is whole.
fn text_of(reply: &Reply) -> (String, bool) {
    let events = reply.body.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let content = |data: &str| {
        let json = json::parse(data)?;
        let choice = json::array_at(&json, &["choices"])?.first()?;
        json::str_at(choice, &["delta", "content"]).map(str::to_owned)
    };
    (events.clone().filter_map(content).collect(), events.clone().any(|data| data == "[DONE]"))
}

#[test]
fn an_answer_goes_through_streamed_or_whole_from_each_kind_of_provider() {
    for (kind, path) in
        [("openai", "/chat/completions"), ("ollama", "/api/chat"), ("maclink", "/api/generate")]
    {
        let world = World::started(kind, Course::Answers);
        let reply = world.ask(true);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")), "{kind}");
        assert_eq!(text_of(&reply), ("first says\nso".to_owned(), true), "{kind}: {}", reply.body);
        assert_eq!(reply.body.contains("\"odd\":1"), kind == "openai", "what is not known goes through");
        let reply = world.ask(false).json();
        let choice = &json::array_at(&reply, &["choices"]).unwrap()[0];
        assert_eq!(json::str_at(choice, &["message", "content"]), Some("first says\nso"), "{kind}");
        let tokens = json::u64_at(&reply, &["usage", "completion_tokens"]);
        assert!(tokens.is_some_and(|tokens| kind == "maclink" || tokens == 5), "{kind} {tokens:?}");
        let asked = world.first.peer.state.look(|state| state.seen.clone());
        let posts: Vec<_> = asked.iter().filter(|request| request.method == "POST").collect();
        assert!(posts.iter().all(|request| request.path == path), "{kind} {posts:?}");
        assert!(
            asked.iter().all(|request| request.header("authorization") == Some("Bearer key-1")),
            "{kind}"
        );
        world.waits_for_call("answered");
    }
}

#[test]
fn whoever_fails_before_the_first_words_is_followed_by_the_next() {
    let courses = [
        Course::CutAtOnce,
        Course::Garbage,
        Course::Status(503),
        Course::Status(401),
        Course::Slow(Duration::from_secs(2)),
        Course::HugeLine,
        Course::ErrorFirst,
    ];
    std::thread::scope(|scope| {
        for course in courses {
            scope.spawn(move || {
                let world = World::started("openai", course);
                let reply = world.ask(true);
                assert_eq!(reply.status, 200, "{course:?} {}\n{}", reply.body, world.agent.log_text());
                let want = ("second \"says\"".to_owned(), true);
                assert_eq!(text_of(&reply), want, "{course:?}: {}", reply.body);
                assert!(!reply.body.contains("error"), "one answer is seen: {}", reply.body);
                let (first, second) = world.asked();
                assert!((1..=3).contains(&first) && second == 1, "{course:?} {first} {second}");
                let body = world.second.peer.state.look(|state| state.seen[0].body.clone());
                assert!(body.contains("\"model\":\"other\"") && body.contains("\"odd\":[1]"), "{body}");
            });
        }
    });
}

#[test]
fn a_provider_that_asks_for_time_gets_it() {
    let world = World::started("openai", Course::Status(429));
    world.first.peer.state.change(|state| state.retry_after = Some(1));
    let first = &world.first.peer.state;
    let reply = std::thread::scope(|scope| {
        let asking = scope.spawn(|| world.ask(false));
        assert!(first.wait_until(PATIENCE, |state| !state.seen.is_empty()));
        first.change(|state| state.course = Course::Answers);
        asking.join().unwrap()
    });
    assert!(reply.body.contains("first says"), "{}", reply.body);
    assert_eq!(world.asked(), (2, 0));
}

#[test]
fn an_answer_that_breaks_off_ends_clearly_and_is_written_down() {
    for course in [Course::Cut, Course::Silent, Course::ErrorLater] {
        let world = World::started("openai", course);
        let reply = world.ask(true);
        let (text, is_whole) = text_of(&reply);
        assert_eq!((reply.status, &*text, is_whole), (200, "first ", false), "{course:?} {}", reply.body);
        assert_eq!(reply.body.matches("{\"error\":").count(), 1, "{course:?} {}", reply.body);
        world.waits_for_call("broke_off");
        assert_eq!(world.asked(), (1, 0), "nobody else can answer");
    }
}

#[test]
fn a_caller_that_leaves_ends_it_upstream_whether_it_had_begun_or_not() {
    for course in [Course::Silent, Course::SilentAtOnce] {
        let world = World::started("openai", course);
        let mut stream = TcpStream::connect(world.address).unwrap();
        let body = QUESTION.replace("\"odd\"", "\"stream\":true,\"odd\"");
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let state = &world.first.peer.state;
        assert!(state.wait_until(PATIENCE, |state| !state.seen.is_empty()));
        let (mut text, mut piece) = (String::new(), [0; 1_024]);
        while course == Course::Silent && !text.contains("first ") {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
        stream.shutdown(Shutdown::Both).unwrap();
        drop(stream);
        world.waits_for_call("left");
        assert!(state.wait_until(PATIENCE, |state| state.left == 1), "{course:?}");
        assert_eq!(world.asked(), (1, 0), "nobody else is asked for who is gone");
    }
}
