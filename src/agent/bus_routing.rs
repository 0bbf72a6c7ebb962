//! Where the event bus meets the other parts: what comes in goes to the journal, what goes out comes from the ledger.

use super::Agent;
use super::bus::{Bus, Dialect, Wish};
use super::effect::{BusOut, Effect};
use super::event::{Event, EventDraft};
use super::ids::{DedupeKey, Destination, EventId, LinkId, Seq};
use super::input::{BusIn, LinkEnd};
use super::journal::Recorded;

impl Agent {
    pub(super) fn on_bus_opened(&mut self, link: LinkId) {
        let (now, durable) = (self.now.mono, self.journal.durable());
        let is_ours = self.alexos.as_mut().is_some_and(|alexos| alexos.bus.on_opened(now, link, durable));
        self.counters.bus_opened += u64::from(is_ours);
        self.counters.answers_dropped += u64::from(!is_ours);
    }

    pub(super) fn on_bus_refused(&mut self, link: LinkId, status: u16) {
        let now = self.now.mono;
        let bus = self.alexos.as_mut().map(|alexos| &mut alexos.bus);
        let is_ours = bus.is_some_and(|bus| bus.on_refused(now, link, status, &mut self.rng));
        self.count_end(is_ours);
    }

    pub(super) fn on_bus_closed(&mut self, link: LinkId, end: LinkEnd) {
        let now = self.now.mono;
        let bus = self.alexos.as_mut().map(|alexos| &mut alexos.bus);
        let is_ours = bus.is_some_and(|bus| bus.on_closed(now, link, end, &mut self.rng));
        self.count_end(is_ours);
    }

    /// A link ended, or one that is none of ours any more.
    fn count_end(&mut self, is_ours: bool) {
        self.counters.bus_failed += u64::from(is_ours);
        self.counters.answers_dropped += u64::from(!is_ours);
    }

    pub(super) fn on_bus_message(&mut self, link: LinkId, message: BusIn, known: Option<Seq>) {
        let now = self.now.mono;
        let Some(bus) = self.alexos.as_mut().map(|alexos| &mut alexos.bus) else {
            self.counters.answers_dropped += 1;
            return;
        };
        if !bus.on_heard(now, link) {
            self.counters.answers_dropped += 1;
            return;
        }
        match message {
            BusIn::ProtocolPong => bus.on_pong(Dialect::Documented),
            BusIn::Pong => bus.on_pong(Dialect::Public),
            BusIn::Ping => bus.on_ping(now),
            BusIn::Subscribed => log::debug!("bus_subscribed"),
            BusIn::MissingAction => bus.on_missing_action(now),
            BusIn::Complaint(text) => bus.on_complaint(text),
            BusIn::Doubtful => self.counters.bus_dropped += 1,
            BusIn::Unknown => self.counters.bus_unknown += 1,
            BusIn::Event { draft, key, name, is_chainbots } => {
                if is_chainbots || name.is_some_and(|name| self.is_own(name)) {
                    self.counters.bus_own += 1;
                } else if known.is_some() {
                    self.counters.bus_duplicate += 1;
                } else {
                    self.take_from_bus(*draft, key);
                }
            }
        }
    }

    fn is_own(&self, name: EventId) -> bool {
        name.ledger == self.journal.ledger()
    }

    /// An event that is new to us, if there are not too many of them.
    fn take_from_bus(&mut self, draft: EventDraft, key: Option<DedupeKey>) {
        let now = self.now.mono;
        let at = self.calendar.read(self.now).0;
        let may_take =
            self.stopping.is_none() && self.alexos.as_mut().is_some_and(|alexos| alexos.bus.may_take(now));
        let recorded = if may_take { self.journal.record_once(now, at, draft, key) } else { Recorded::Full };
        match recorded {
            Recorded::New => {
                self.counters.events_recorded += 1;
                self.counters.bus_received += 1;
            }
            Recorded::Known => self.counters.bus_duplicate += 1,
            Recorded::Full => self.counters.bus_dropped += 1,
        }
    }

    pub(super) fn on_bus_fetched(&mut self, event: Option<Box<Event>>, upto: Seq, failed: bool) {
        let now = self.now.mono;
        let Some(bus) = self.alexos.as_mut().map(|alexos| &mut alexos.bus).filter(|bus| bus.is_fetching())
        else {
            self.counters.answers_dropped += 1;
            return;
        };
        let Some(event) = event.filter(|_| !failed) else {
            return bus.on_nothing(now, upto, self.journal.durable(), failed);
        };
        let seq = event.seq;
        let bytes = event.kind.len() + event.message.len() + event.metadata.0.len();
        if let Some(link) = bus.on_fetched(seq, bytes) {
            let id = self.journal.event_id(seq);
            self.send_to_bus(link, BusOut::Event { event, id });
        }
    }

    fn send_to_bus(&mut self, link: LinkId, message: BusOut) {
        self.counters.bus_sent += u64::from(matches!(message, BusOut::Event { .. } | BusOut::Report(_)));
        self.effects.push_back(Effect::BusSend { link, message });
    }

    /// Lets the bus act until it has nothing more to do.
    pub(super) fn run_bus(&mut self) {
        let (now, durable) = (self.now.mono, self.journal.durable());
        while let Some(alexos) = &mut self.alexos
            && let Some(wish) = alexos.bus.poll(now, durable, &mut self.rng)
        {
            match wish {
                Wish::Open { link, url } => {
                    let setup = self.setup.alexos.as_ref();
                    let host_header = setup.map(|setup| setup.host_header.clone()).unwrap_or_default();
                    self.effects.push_back(Effect::BusOpen { link, url, host_header });
                }
                Wish::Close { link } => {
                    self.counters.bus_failed += 1;
                    self.effects.push_back(Effect::BusClose { link });
                }
                Wish::Send { link, message } => self.send_to_bus(link, message),
                Wish::Report { link } => {
                    let report = Box::new(self.health_report(self.calendar.read(self.now).0));
                    self.send_to_bus(link, BusOut::Report(report));
                }
                Wish::Fetch { after } => self.effects.push_back(Effect::Fetch {
                    destination: Destination::Bus,
                    after,
                    filter: Bus::filter(),
                }),
            }
        }
    }

    /// ALEX OS as the config that was just read has it; its bus goes on where it was.
    pub(super) fn refurnish_alexos(&mut self, agent_id: Option<String>, bus: Option<Bus>) {
        let link = bus.as_ref().and_then(Bus::link);
        self.alexos = self.setup.alexos.as_ref().map(|setup| {
            let (bus_url, registry) = (&setup.event_bus_url, &setup.registry_url);
            let mut bus = bus.unwrap_or_else(|| Bus::new(bus_url, registry));
            bus.on_reconfigured(bus_url, registry);
            super::new_alexos(setup, agent_id, bus)
        });
        self.effects.extend(link.map(|link| Effect::BusClose { link }));
    }

    pub(super) fn stop_bus(&mut self) {
        let link = self.alexos.as_mut().and_then(|alexos| alexos.bus.stop());
        self.effects.extend(link.map(|link| Effect::BusClose { link }));
    }
}
