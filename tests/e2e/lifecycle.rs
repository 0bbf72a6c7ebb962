//! Signals, and what one agent does when there is another.

use std::time::Duration;

use crate::stand_in::aiwm::Generation;
use crate::stand_in::alexos::{Kind, Mode};
use crate::stand_in::json;
use crate::world::{PATIENCE, World, text};

#[test]
fn it_stops_in_time_also_when_nobody_answers() {
    let mut world = World::started(Kind::Documented, Generation::C);
    world.wait_alexos("registration", |s| !s.registrations.is_empty());
    world.alexos.peer.state.change(|s| s.mode = Mode::Slow(Duration::from_secs(4)));
    let calls = world.alexos.peer.state.look(|s| s.seen.len());
    world.wait_alexos("a call hangs", |s| s.seen.len() > calls);
    let (status, took) = world.agent.stop();
    assert!(status.success() && took < Duration::from_millis(2_500), "{status} after {took:?}");
}

#[test]
fn a_reload_with_a_fault_keeps_the_old_config_and_a_good_one_is_taken() {
    let world = World::started(Kind::Documented, Generation::C);
    world.configure("[[webhooks]]\nurl = \"no url\"\n");
    world.agent.signal("HUP");
    assert!(
        world.agent.log.wait_until(PATIENCE, |log| log.iter().any(|line| line.contains("webhooks[1].url")))
    );
    let id = world.brought("still_here");
    world.arrives(&id);

    world.configure(&format!("[[webhooks]]\nurl = \"{}/hook\"\n", world.receiver.url()));
    world.agent.signal("HUP");
    world.wait_status("the new destination", |s| {
        json::array_at(s, &["destinations"]).is_some_and(|destinations| destinations.len() == 2)
    });
    let id = world.brought("to_the_new_one");
    world.wait_receiver("its first event", |s| s.seen.iter().any(|r| r.header("webhook-id") == Some(&id)));
}

#[test]
fn two_agents_do_not_share_a_ledger() {
    let world = World::started(Kind::Documented, Generation::C);
    let second = world.chainbot(&["run"]);
    assert_eq!(second.status.code(), Some(69), "{}", text(&second));
    assert!(text(&second).contains("in use"), "{}", text(&second));
    assert_eq!(world.chainbot(&["ledger", "stats"]).status.code(), Some(69));
}
