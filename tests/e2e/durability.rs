//! What was answered is kept, whatever happens to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::stand_in::aiwm::Generation;
use crate::stand_in::alexos::{self, Kind};
use crate::stand_in::client;
use crate::stand_in::json::{self, Value};
use crate::stand_in::process::{Program, exe};
use crate::world::{BUILT, EVENT, PATIENCE, World, text};

#[test]
fn what_was_answered_survives_a_kill() {
    let mut world = World::started(Kind::Documented, Generation::C);
    let reply = world.bring(r#"{"event_type":"last_words","resource_id":"r1"}"#, &[("webhook-id", "once-1")]);
    world.agent.kill();
    assert_eq!(reply.status, 200);
    let id = json::str_at(&reply.json(), &["id"]).unwrap().to_owned();

    let offline = text(&world.chainbot(&["events", "--type", "last_words"]));
    assert!(offline.contains(&id), "from the file: {offline}");
    world.agent.start();
    let online = text(&world.chainbot(&["events", "--type", "last_words", "--json"]));
    let event = json::parse(&online).unwrap();
    assert_eq!(json::str_at(&event, &["id"]), Some(id.as_str()), "{online}");
    assert_eq!(json::str_at(&event, &["metadata", "resource_id"]), Some("r1"));
    world.arrives(&id);

    let again = world.bring(r#"{"event_type":"last_words"}"#, &[("webhook-id", "once-1")]);
    assert_eq!(again.status, 200);
    assert!(matches!(json::at(&again.json(), &["duplicate"]), Some(Value::Bool(true))), "{again:?}");
    assert_eq!(json::str_at(&again.json(), &["id"]), Some(id.as_str()));
    let other_name = world.bring(r#"{"event_type":"last_words"}"#, &[("Idempotency-Key", "once-1")]);
    assert!(matches!(json::at(&other_name.json(), &["duplicate"]), Some(Value::Bool(true))));
}

/// Webhooks of the load test.
const LOAD: usize = 1_000;
/// Senders at once: as many as one commit gathers.
const SENDERS: usize = 16;
const KILLS: usize = 20;

#[test]
fn a_thousand_webhooks_survive_twenty_kills_each_with_one_effect() {
    let mut world = World::started(Kind::Documented, Generation::C);
    let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let moments = random_moments();
    let address = world.address;
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while let Some(number) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).filter(|number| *number < LOAD)
                {
                    bring_until_taken(address, number);
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for moment in &moments {
            while acknowledged.load(Ordering::SeqCst) < *moment {
                std::thread::yield_now();
            }
            world.agent.kill();
            world.agent.start();
        }
    });
    assert_eq!(acknowledged.load(Ordering::SeqCst), LOAD);

    let listing = world.chainbot(&["events", "--type", "load", "--json"]);
    let listing = String::from_utf8(listing.stdout).unwrap();
    let mut numbers: BTreeMap<u64, String> = BTreeMap::new();
    for line in listing.lines() {
        let event = json::parse(line).unwrap();
        let number = json::u64_at(&event, &["metadata", "number"]).unwrap();
        let id = json::str_at(&event, &["id"]).unwrap().to_owned();
        let before = numbers.insert(number, id);
        assert_eq!(before, None, "webhook {number} has two effects (kills at {moments:?})");
    }
    assert_eq!(numbers.len(), LOAD, "acknowledged and missing (kills at {moments:?})");
    let ids: BTreeSet<_> = numbers.values().cloned().collect();
    let arrived = |state: &alexos::State| -> BTreeSet<String> {
        state.events.iter().filter(|event| event.kind == "load").map(|event| event.id.clone()).collect()
    };
    world.wait_alexos("everything at ALEX OS", |state| arrived(state).len() >= LOAD);
    assert_eq!(world.alexos.peer.state.look(arrived), ids, "by id, what is in the ledger and nothing else");
}

/// As a good sender does: the same id again until somebody says 200.
fn bring_until_taken(address: SocketAddr, number: usize) {
    let id = format!("load-{number}");
    let body = format!(r#"{{"event_type":"load","number":{number}}}"#);
    let end = Instant::now() + PATIENCE;
    loop {
        if client::post(address, EVENT, &[("webhook-id", &id)], &body).is_ok_and(|reply| reply.status == 200)
        {
            return;
        }
        assert!(Instant::now() < end, "webhook {number} is never taken");
        std::thread::yield_now();
    }
}

/// Kill when so many are acknowledged. Other ones in each run; a failure names them.
fn random_moments() -> Vec<usize> {
    let mut bytes = [0; KILLS * 2];
    getrandom::fill(&mut bytes).unwrap();
    let mut moments: Vec<_> = bytes
        .chunks(2)
        .map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])) * LOAD / 65_536)
        .collect();
    moments.sort_unstable();
    moments
}

#[test]
fn following_survives_a_restart_of_the_agent() {
    let mut world = World::started(Kind::Documented, Generation::C);
    let words = ["events", "--follow", "--since", "0", "--type", "seen_*", "--json"];
    let program = Program { path: exe(BUILT), words: words.map(str::to_owned).to_vec() };
    let mut follower =
        program.command(&world.agent.config).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    let before = world.brought("seen_before");
    assert!(lines.next().unwrap().contains(&before));
    world.agent.kill();
    world.agent.start();
    let after = world.brought("seen_after");
    assert!(lines.next().unwrap().contains(&after));
    follower.kill().unwrap();
    follower.wait().unwrap();
}
