//! The event bus among the other parts.

use super::super::effect::BusOut;
use super::super::ids::{EventId, LinkId};
use super::super::input::{BusIn, LinkEnd};
use super::*;

fn with_bus() -> Setup {
    let alexos = AlexosSetup {
        event_bus_url: "ws://alex/ws/events".to_owned(),
        host_header: "localhost".to_owned(),
        ..alexos()
    };
    Setup { alexos: Some(alexos), ..alone() }
}

fn links(effects: &[Effect]) -> Vec<(LinkId, &str)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::BusOpen { link, url, .. } => Some((*link, url.as_str())),
            _ => None,
        })
        .collect()
}

fn sent(effects: &[Effect]) -> Vec<&BusOut> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::BusSend { message, .. } => Some(message),
            _ => None,
        })
        .collect()
}

/// Registration is refused as not offered, and the bus opens.
fn open() -> (Driver, LinkId) {
    let mut driver = Driver::new(with_bus(), memory());
    let effects = driver.settle(Input::Tick);
    assert_eq!(links(&effects), [], "not before ALEX OS was asked to register us");
    let id = the_call(&effects).0;
    let outcome = Outcome::Registered(Verdict::NotOffered { status: 405 }, None);
    let effects = driver.settle(Input::CallDone { id, outcome, date: None });
    let [(link, "ws://alex/ws/events")] = links(&effects)[..] else { panic!("{effects:?}") };
    let effects = driver.feed(Input::BusOpened { link });
    assert_eq!(sent(&effects), [] as [&BusOut; 0]);
    (driver, link)
}

/// After which event the bus wants the next one.
fn read_for_bus(effects: &[Effect]) -> Option<Seq> {
    effects.iter().find_map(|effect| match effect {
        Effect::Fetch { destination: Destination::Bus, after, filter } => {
            assert_eq!(filter.sources, [Source::Chainbot, Source::Watchtower]);
            Some(*after)
        }
        _ => None,
    })
}

fn incoming(kind: &str, key: Option<u8>) -> BusIn {
    let draft = EventDraft { source: Source::AlexOs, ..draft(kind) };
    BusIn::Event {
        draft: Box::new(draft),
        key: key.map(|byte| DedupeKey([byte; 16])),
        name: None,
        is_chainbots: false,
    }
}

fn hear(driver: &mut Driver, link: LinkId, message: BusIn, known: Option<Seq>) -> Vec<Effect> {
    driver.feed(Input::BusMessage { link, message, known })
}

#[test]
fn the_handshake_carries_the_host_header_of_alex_os() {
    let mut driver = Driver::new(with_bus(), memory());
    let id = the_call(&driver.settle(Input::Tick)).0;
    let outcome = Outcome::Registered(Verdict::Accepted, None);
    let effects = driver.settle(Input::CallDone { id, outcome, date: None });
    assert!(
        effects.iter().any(
            |effect| matches!(effect, Effect::BusOpen { host_header, .. } if host_header == "localhost")
        )
    );
}

#[test]
fn a_durable_event_goes_out_under_its_public_name_and_is_followed_by_a_ping() {
    let (mut driver, link) = open();
    let effects = driver.post(1, None);
    let ticket = effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Commit { ticket, .. } => Some(*ticket),
            _ => None,
        })
        .expect("a commit");
    let effects = driver.feed(Input::Committed { ticket, oldest: Seq(1) });
    let (mut effects, mut messages) = (effects, Vec::new());
    while let Some(after) = read_for_bus(&effects) {
        let seq = after.next();
        let event = Some(event(seq.0, "door"));
        effects = driver.feed(Input::Fetched {
            destination: Destination::Bus,
            event,
            upto: seq,
            oldest: Seq(0),
            failed: false,
        });
        messages.extend(sent(&effects).into_iter().cloned());
    }
    let durable = driver.agent.durable();
    let (Some(BusOut::Ping), Some(BusOut::Event { id, .. })) = (messages.pop(), messages.pop()) else {
        panic!("an event, then a ping")
    };
    assert_eq!(id, EventId { seq: durable.seq, ledger: LedgerId(7) });
    assert_ne!(driver.agent.status(now(driver.at)).alexos.expect("configured").bus.behind, Some(0));
    hear(&mut driver, link, BusIn::ProtocolPong, None);
    assert_eq!(driver.agent.status(now(driver.at)).alexos.expect("configured").bus.behind, Some(0));
    assert_eq!(driver.agent.status(now(driver.at)).counters.bus_sent, messages.len() as u64 + 1);
}

#[test]
fn an_event_comes_in_once_whatever_its_copies() {
    let (mut driver, link) = open();
    hear(&mut driver, link, incoming("a", Some(1)), None);
    hear(&mut driver, link, incoming("a", Some(1)), None);
    hear(&mut driver, link, incoming("a", Some(2)), Some(Seq(5)));
    hear(&mut driver, link, incoming("b", None), None);
    let effects = driver.advance(100);
    let written: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit { writes, .. } => Some(writes.iter()),
            _ => None,
        })
        .flatten()
        .collect();
    let kinds: Vec<_> = written
        .iter()
        .filter_map(|write| match write {
            Write::Event(event) if event.source == Source::AlexOs => Some(event.kind.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["a", "b"]);
    assert_eq!(written.iter().filter(|write| matches!(write, Write::Inbox { .. })).count(), 1);
    let counters = driver.agent.status(now(driver.at)).counters;
    assert_eq!((counters.bus_received, counters.bus_duplicate), (2, 2));
}

#[test]
fn what_came_from_us_and_what_is_too_much_is_not_written() {
    let (mut driver, link) = open();
    let own = |is_chainbots, ledger| BusIn::Event {
        draft: Box::new(EventDraft { source: Source::AlexOs, ..draft("x") }),
        key: None,
        name: Some(EventId { seq: Seq(1), ledger: LedgerId(ledger) }),
        is_chainbots,
    };
    hear(&mut driver, link, own(true, 9), None);
    hear(&mut driver, link, own(false, 7), None);
    let before = driver.agent.status(now(driver.at)).counters;
    assert_eq!((before.bus_own, before.bus_received), (2, 0));
    for _ in 0..60 {
        hear(&mut driver, link, incoming("flood", None), None);
    }
    let after = driver.agent.status(now(driver.at)).counters;
    assert_eq!((after.bus_received, after.bus_dropped), (50, 10));
}

#[test]
fn events_of_alex_os_are_not_delivered_back_to_it() {
    let setup = with_bus();
    let agent = Agent::new(setup, memory(), 1, now(0));
    let alexos = agent.deliveries.iter().find(|delivery| delivery.destination == Destination::Alexos);
    let filter = &alexos.expect("a reader").filter;
    assert!(!filter.matches("a", Severity::Critical, Source::AlexOs));
    assert!(filter.matches("a", Severity::Info, Source::Chainbot));
    assert!(filter.matches("a", Severity::Info, Source::Watchtower));
}

#[test]
fn a_health_report_goes_over_the_bus_too() {
    let (mut driver, link) = open();
    let mut reported = false;
    for _ in 0..100 {
        let effects = driver.advance(1_000);
        reported |= sent(&effects).iter().any(|message| matches!(message, BusOut::Report(_)));
        if sent(&effects).iter().any(|message| matches!(message, BusOut::Ping)) {
            hear(&mut driver, link, BusIn::ProtocolPong, None);
        }
    }
    assert!(reported);
}

#[test]
fn answers_of_links_that_are_gone_are_counted_and_dropped() {
    let (mut driver, link) = open();
    let old = LinkId(link.0 + 7);
    let before = driver.agent.status(now(driver.at)).counters.answers_dropped;
    hear(&mut driver, old, incoming("a", None), None);
    driver.feed(Input::BusOpened { link: old });
    driver.feed(Input::BusRefused { link: old, status: 403 });
    driver.feed(Input::BusClosed { link: old, end: LinkEnd::Closed(1000) });
    let status = driver.agent.status(now(driver.at));
    assert_eq!(status.counters.answers_dropped, before + 4);
    assert_eq!(status.alexos.expect("configured").bus.state, "open");
}

#[test]
fn a_new_config_closes_the_link_and_opens_one_to_the_new_place() {
    let (mut driver, link) = open();
    let mut setup = with_bus();
    setup.alexos.as_mut().expect("configured").event_bus_url = "wss://other/bus".to_owned();
    let effects = driver.settle(Input::Reconfigured(Box::new(setup)));
    assert!(effects.contains(&Effect::BusClose { link }), "{effects:?}");
    let id = the_call(&effects).0;
    let outcome = Outcome::Registered(Verdict::Accepted, None);
    let effects = driver.settle(Input::CallDone { id, outcome, date: None });
    let [(fresh, "wss://other/bus")] = links(&effects)[..] else { panic!("{effects:?}") };
    assert_ne!(fresh, link);
}

#[test]
fn stopping_closes_the_link() {
    let (mut driver, link) = open();
    let effects = driver.feed(Input::StopAsked(StopReason::Signal));
    assert!(effects.contains(&Effect::BusClose { link }));
}
