//! The event bus: links that open late, are refused, end in the middle, or stay open and swallow everything. What a
//! peer has confirmed may be forgotten, and nothing else may be left out.

use std::collections::BTreeMap;

use chainbot::agent::effect::BusOut;
use chainbot::agent::event::{Event, EventDraft, JsonText, Severity, Source};
use chainbot::agent::ids::{DedupeKey, LinkId};
use chainbot::agent::input::{BusIn, Fault, LinkEnd};
use chainbot::agent::{Effect, Input};

use crate::peers::alexos::Kind;
use crate::trace::note;
use crate::world::{Happening, World};

/// What a link does next.
#[derive(Debug)]
pub enum Step {
    /// The handshake ends in some way.
    Handshake { url: String },
    /// The peer says this.
    Says(BusIn),
    /// The link ends.
    Ends(LinkEnd),
}

/// The link in use.
#[derive(Debug)]
struct Live {
    link: LinkId,
    boot: u32,
    is_open: bool,
    /// Open, and nothing comes through.
    is_dead: bool,
    /// The last event sent over it.
    last: Option<u64>,
    /// The last event sent before the ping that waits for its pong.
    pinged: Option<u64>,
}

/// The bus of this world.
#[derive(Debug, Default)]
pub struct Bus {
    live: Option<Live>,
    /// In this run: everything up to here was confirmed, or was there before the first link.
    confirmed: Option<(u32, u64)>,
    next_incoming: u64,
    /// Links that opened.
    pub opened: u64,
    /// Events that arrived.
    pub arrived: u64,
}

impl World {
    /// An effect for the bus.
    pub fn bus_effect(&mut self, effect: Effect) {
        let boot = self.boots;
        match effect {
            Effect::BusOpen { link, url, .. } => {
                note!("<- bus {} opens {url}", link.0);
                let is_alone = self.bus.live.as_ref().is_none_or(|live| live.boot != boot);
                assert!(is_alone, "a second link while one is in use");
                self.bus.live =
                    Some(Live { link, boot, is_open: false, is_dead: false, last: None, pinged: None });
                let wait = self.rng.below(3_000);
                self.after(wait, Happening::Bus { boot, link, step: Step::Handshake { url } });
            }
            Effect::BusClose { link } => {
                note!("<- bus {} closes", link.0);
                self.bus.live = self.bus.live.take().filter(|live| live.link != link);
            }
            Effect::BusSend { link, message } => self.bus_send(link, message),
            other => unreachable!("{other:?} is not for the bus"),
        }
    }

    fn bus_send(&mut self, link: LinkId, message: BusOut) {
        let kind = self.alexos.as_ref().map(|alexos| alexos.kind);
        let sent = match &message {
            BusOut::Event { event, .. } => Some(self.check_bus_event(event)),
            _ => None,
        };
        // The shell knows that a link ended before the agent does: what is sent in between goes nowhere.
        let Some(live) = self.bus.live.as_mut().filter(|live| live.link == link) else { return };
        assert!(live.is_open, "sent over a link that is not open");
        if live.is_dead {
            return;
        }
        let is_public = kind == Some(Kind::Public);
        let answer = match message {
            BusOut::Event { .. } => {
                live.last = sent;
                self.bus.arrived += u64::from(!is_public);
                is_public.then_some(BusIn::MissingAction)
            }
            BusOut::Ping => {
                live.pinged = live.last;
                Some(BusIn::ProtocolPong)
            }
            BusOut::ActionPing if is_public => Some(BusIn::Pong),
            BusOut::Subscribe if is_public => Some(BusIn::Subscribed),
            BusOut::ActionPing | BusOut::Subscribe | BusOut::Pong | BusOut::Report(_) => None,
        };
        let boot = live.boot;
        let step = if !self.is_healed && self.rng.chance(100) {
            Some(Step::Ends(LinkEnd::Failed(Fault::Reset)))
        } else {
            answer.map(Step::Says)
        };
        if let Some(step) = step {
            let wait = self.rng.within(1, 400);
            self.after(wait, Happening::Bus { boot, link, step });
        }
        if !self.is_healed && self.rng.chance(20) {
            self.bus.live.iter_mut().for_each(|live| live.is_dead = true);
        }
        if !self.is_healed && self.rng.chance(200) {
            self.bus_speaks(boot, link);
        }
    }

    /// In order over each link, durable, none of ALEX OS's own, and none left out.
    fn check_bus_event(&self, event: &Event) -> u64 {
        let seq = event.seq.0;
        assert!(event.source != Source::AlexOs, "event {seq} goes back to where it came from");
        assert!(seq <= self.checks.last(), "event {seq} is not durable");
        let live = self.bus.live.as_ref().filter(|live| live.boot == self.boots);
        let Some((boot, confirmed)) = self.bus.confirmed else { panic!("event {seq} over no link") };
        assert_eq!(boot, self.boots, "the cursor is not of this run");
        let before = live.and_then(|live| live.last).unwrap_or(confirmed);
        let in_order = live.is_none_or(|live| live.is_dead || live.last.is_none_or(|last| last < seq));
        assert!(in_order, "event {seq} after {before}");
        let is_dead = live.is_none_or(|live| live.is_dead);
        if !is_dead && !self.plan.is_capped() {
            let skipped = self.checks.own_between(before, seq);
            assert!(skipped.is_empty(), "the bus gets {seq} after {before} and never {skipped:?}");
        }
        seq
    }

    /// An event of ALEX OS, sometimes repeated, or one of ours that comes back.
    fn bus_speaks(&mut self, boot: u32, link: LinkId) {
        let is_chainbots = self.rng.chance(300);
        if !self.rng.chance(300) {
            self.bus.next_incoming += 1;
        }
        let number = self.bus.next_incoming;
        let mut key = [0xb5; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        let draft = EventDraft {
            kind: "bus_event".to_owned(),
            source: Source::AlexOs,
            severity: Severity::Info,
            message: format!("incoming {number}{}", if is_chainbots { " echo" } else { "" }),
            metadata: JsonText::empty_object(),
        };
        let event =
            BusIn::Event { draft: Box::new(draft), key: Some(DedupeKey(key)), name: None, is_chainbots };
        let wait = self.rng.below(2_000);
        self.after(wait, Happening::Bus { boot, link, step: Step::Says(event) });
    }

    /// Something happens on a link.
    pub fn bus_step(&mut self, boot: u32, link: LinkId, step: Step) {
        let runs = self.node.as_ref().is_some_and(|node| node.boot == boot);
        let Some(live) = self.bus.live.as_mut().filter(|live| runs && live.link == link && live.boot == boot)
        else {
            return;
        };
        match step {
            Step::Handshake { url } => self.bus_handshake(link, &url),
            Step::Ends(end) => {
                self.bus.live = None;
                self.feed(Input::BusClosed { link, end });
            }
            Step::Says(_) if live.is_dead => {}
            Step::Says(message) => {
                if message == BusIn::ProtocolPong
                    && let Some(upto) = live.pinged
                    && let Some((_, confirmed)) = &mut self.bus.confirmed
                {
                    *confirmed = upto.max(*confirmed);
                }
                // From here on it is sent no envelope, unless a documented one takes its place.
                if message == BusIn::MissingAction {
                    self.bus.confirmed = None;
                }
                let found = match &message {
                    BusIn::Event { key: Some(key), .. } => self.store.inbox(*key),
                    _ => Ok(None),
                };
                let (message, known) = match found {
                    Ok(known) => (message, known),
                    Err(()) => (BusIn::Doubtful, None),
                };
                self.feed(Input::BusMessage { link, message, known });
            }
        }
    }

    fn bus_handshake(&mut self, link: LinkId, url: &str) {
        let (boot, kind) = (self.boots, self.alexos.as_ref().map(|alexos| alexos.kind));
        let is_trouble = !self.is_healed && self.rng.chance(300);
        let is_there = kind == Some(Kind::Documented) || url.ends_with("/ws");
        if is_trouble || !is_there {
            self.bus.live = None;
            let status = if is_there { self.rng.pick(&[500, 502, 401, 404]) } else { 403 };
            let failed = Input::BusClosed { link, end: LinkEnd::Failed(Fault::Refused) };
            let is_refused = !is_there || self.rng.chance(500);
            return self.feed(if is_refused { Input::BusRefused { link, status } } else { failed });
        }
        let last = self.checks.last();
        let live = self.bus.live.as_mut().expect("the link that shakes hands");
        live.is_open = true;
        self.bus.opened += 1;
        if !self.is_healed && self.rng.chance(150) {
            let wait = self.rng.gap(20_000);
            self.after(wait, Happening::Bus { boot, link, step: Step::Ends(LinkEnd::Closed(1011)) });
        }
        self.feed(Input::BusOpened { link });
        let status = self.node.as_ref().map(|node| node.agent.status(self.clock.read(self.now)));
        let takes_events = status.and_then(|status| status.alexos).is_some_and(|it| it.bus.behind.is_some());
        if takes_events && self.bus.confirmed.is_none_or(|(of, _)| of != boot) {
            self.bus.confirmed = Some((boot, last));
        }
    }

    /// What is wrong with the bus, after everything healed.
    pub fn wrong_with_bus(&self, shown: &chainbot::agent::status::BusStatus) -> Option<String> {
        let setup = self.setup.alexos.as_ref()?;
        if setup.event_bus_url.is_empty() {
            return (shown.state != "off").then(|| format!("the bus is {}", shown.state));
        }
        if shown.state != "open" {
            return Some(format!("the bus is {}: {:?}", shown.state, shown.last_fault));
        }
        let mut incoming = BTreeMap::new();
        for message in self.checks.of_alexos() {
            *incoming.entry(message).or_insert(0) += 1;
        }
        if let Some((message, count)) = incoming.iter().find(|(text, n)| **n > 1 || text.ends_with("echo")) {
            return Some(format!("{message} was written {count} times"));
        }
        (shown.dialect == Some("documented") && shown.behind != Some(0))
            .then(|| format!("the bus is {:?} behind", shown.behind))
    }
}
