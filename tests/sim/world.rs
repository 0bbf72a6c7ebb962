//! One world: virtual time, a queue of what will happen, a board that runs the agent, and everybody around it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use chainbot::agent::event::EventFilter;
use chainbot::agent::ids::{CallId, Destination, LinkId, RequestId, Seq, Ticket};
use chainbot::agent::input::{CommitFault, Fault};
use chainbot::agent::memory::Write;
use chainbot::agent::{Agent, Call, Input, Setup};
use chainbot::wire::{CallResult, HttpRequest};

use crate::brain::{BrainWorld, Stir};
use crate::bus::{Bus, Step};
use crate::checks::Checks;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::network::{Link, Passage, Peer, Weather};
use crate::peers::aiwm::Aiwm;
use crate::peers::alexos::Alexos;
use crate::peers::hooks::Receiver;
use crate::plan::Plan;
use crate::readers::Readers;
use crate::rng::Rng;
use crate::store::Store;
use crate::trace::{self, note};

/// Something that will happen.
#[derive(Debug)]
pub enum Happening {
    /// A client sends a message: this one, or whichever it likes.
    Post(Option<usize>),
    /// A client has waited long enough; everything worked while it did, or not.
    ClientTired { request: RequestId, in_peace: bool },
    /// The disk has done the commit.
    CommitDone { boot: u32 },
    /// The agent hears of it.
    CommitTold { boot: u32, ticket: Ticket, result: Result<Seq, CommitFault> },
    /// The log is read for a destination.
    FetchDone { boot: u32, destination: Destination, after: Seq, filter: EventFilter },
    /// The machine was looked at.
    SampleDone { boot: u32 },
    /// A request is at its peer.
    Arrive { flight: u64, is_repeated: bool },
    /// The peer is done with it.
    Served { flight: u64, is_repeated: bool },
    /// The caller has its result.
    Back { flight: u64, result: CallResult },
    /// Other weather on the way to a peer.
    Weather(Peer),
    /// The peer changes.
    Mood(Peer),
    /// The disk changes.
    DiskMood,
    /// The calendar jumps or is set right.
    ClockTrouble,
    /// The process ends in some way.
    End,
    /// The process has had the time to stop that it may take.
    StopOverdue { boot: u32 },
    /// The process starts.
    Start,
    /// Something happens on a link to the event bus.
    Bus { boot: u32, link: LinkId, step: Step },
    /// A client of the sockets has its turn.
    Reader(usize),
    /// Something happens to models, tools, people or those who talk.
    Brain { boot: u32, stir: Stir },
    /// The shell calls the agent for no reason.
    Nudge,
}

/// The process that runs the agent.
pub struct Node {
    /// The agent under test.
    pub agent: Agent,
    /// Which start this is; the first is 1.
    pub boot: u32,
    /// When it is called next because its deadline came, in world time.
    pub wake_at: Option<u64>,
    /// The commit that the disk works on.
    pub commit: Option<(Ticket, Arc<[Write]>)>,
    /// The agent said that it is done.
    pub is_done: bool,
    /// Asked to stop.
    pub is_stopping: bool,
}

/// A call on its way.
#[derive(Debug)]
pub struct Flight {
    /// The start of the process that made it.
    pub boot: u32,
    /// The agent's name for it.
    pub id: CallId,
    /// Whom it is for.
    pub peer: Peer,
    /// What the agent asked for.
    pub call: Call,
    /// What goes over the wire.
    pub request: HttpRequest,
    /// How it travels.
    pub passage: Passage,
    /// The caller has a result.
    pub is_answered: bool,
}

/// See the file's header.
pub struct World {
    /// What kind of world.
    pub plan: Plan,
    /// What the agent is told.
    pub setup: Setup,
    /// Milliseconds since the world began.
    pub now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<Timed>>,
    /// Chance in everything but the streams of the others.
    pub rng: Rng,
    /// The board's clocks.
    pub clock: Clock,
    /// The disk and the ledger on it.
    pub store: Store,
    /// The process, while it runs.
    pub node: Option<Node>,
    /// Starts so far.
    pub boots: u32,
    /// The ways to the peers.
    pub links: BTreeMap<Peer, Link>,
    /// ALEX OS.
    pub alexos: Option<Alexos>,
    /// ALEX OS's event bus.
    pub bus: Bus,
    /// AIWM.
    pub aiwm: Option<Aiwm>,
    /// Peers whose certificate was refused at the last call that has to succeed, because the calendar was wrong.
    pub unbelieved: BTreeSet<Peer>,
    /// The `[[webhooks]]`.
    pub receivers: Vec<Receiver>,
    /// Calls on their way.
    pub flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    /// The clients.
    pub clients: Clients,
    /// Those who follow the log.
    pub readers: Readers,
    /// Models, tools, people, those who talk.
    pub brain: BrainWorld,
    /// The model.
    pub checks: Checks,
    /// Nothing goes wrong any more.
    pub is_healed: bool,
    /// Commits asked for so far.
    pub commits: u64,
    /// Steps so far.
    pub steps: u64,
    /// Ends without a goodbye so far.
    pub cuts: Cuts,
}

/// How often the process or the board ended without a goodbye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// The power went.
    pub power: u64,
    /// The process was killed.
    pub kills: u64,
    /// Of both, those in the middle of a commit.
    pub in_commits: u64,
    /// The power went while the ledger was opened.
    pub in_recoveries: u64,
}

struct Timed {
    at: u64,
    order: u64,
    what: Happening,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(plan: Plan) -> Self {
        let setup = plan.setup();
        let seed = plan.seed;
        let good = || Link { weather: Weather::Good };
        let hooks = (0..plan.hooks).map(Peer::Hook);
        let links = [Peer::Alexos, Peer::Aiwm].into_iter().chain(hooks).map(|peer| (peer, good())).collect();
        Self {
            checks: Checks::new(&setup, plan.is_capped()),
            clients: Clients::new(plan.large_per_mille, Rng::new(seed, "clients")),
            readers: Readers::new(seed),
            brain: BrainWorld::new(seed, plan.brain),
            store: Store::new(&plan),
            rng: Rng::new(seed, "world"),
            clock: Clock::new(),
            alexos: plan.alexos.map(Alexos::new),
            bus: Bus::default(),
            aiwm: plan.aiwm.map(Aiwm::new),
            unbelieved: BTreeSet::new(),
            receivers: (0..plan.hooks).map(|_| Receiver::new()).collect(),
            links,
            setup,
            plan,
            now: 0,
            order: 0,
            queue: BinaryHeap::new(),
            node: None,
            boots: 0,
            flights: BTreeMap::new(),
            next_flight: 1,
            is_healed: false,
            commits: 0,
            steps: 0,
            cuts: Cuts::default(),
        }
    }

    /// Lives through it all: trouble first, then healing and the demand that everything comes right.
    pub fn run(&mut self) {
        self.begin_chaos();
        self.begin_reading();
        self.begin_talking();
        self.start();
        while self.step(self.plan.chaos_ms) {}
        self.heal_and_demand();
    }

    /// Puts something into the queue.
    pub fn after(&mut self, ms: u64, what: Happening) {
        self.order += 1;
        self.queue.push(Reverse(Timed { at: self.now + ms, order: self.order, what }));
    }

    /// The next thing that happens before `until`; false if nothing does, and then it is `until`.
    pub fn step(&mut self, until: u64) -> bool {
        let wake = self.node.as_ref().and_then(|node| node.wake_at);
        let queued = self.queue.peek().map(|Reverse(timed)| timed.at);
        let next = wake.into_iter().chain(queued).min();
        let Some(at) = next.filter(|at| *at < until) else {
            self.now = self.now.max(until);
            trace::at(self.now);
            return false;
        };
        self.now = at.max(self.now);
        trace::at(self.now);
        self.steps += 1;
        if wake == Some(at) {
            self.checks.on_wake(self.now);
            self.feed(Input::Tick);
        } else if let Some(Reverse(timed)) = self.queue.pop() {
            self.happen(timed.what);
        }
        true
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Post(index) => self.post(index),
            Happening::ClientTired { request, in_peace } => self.client_tired(request, in_peace),
            Happening::CommitDone { boot } => self.commit_done(boot),
            Happening::CommitTold { boot, ticket, result } => self.commit_told(boot, ticket, result),
            Happening::FetchDone { boot, destination, after, filter } => {
                self.fetch_done(boot, destination, after, &filter);
            }
            Happening::SampleDone { boot } => self.sample_done(boot),
            Happening::Arrive { flight, is_repeated } => self.arrive(flight, is_repeated),
            Happening::Served { flight, is_repeated } => self.served(flight, is_repeated),
            Happening::Back { flight, result } => self.back(flight, result),
            Happening::StopOverdue { boot } => self.stop_overdue(boot),
            Happening::Bus { boot, link, step } => self.bus_step(boot, link, step),
            Happening::Reader(index) => self.reader_step(index),
            Happening::Brain { boot, stir } => self.brain_step(boot, stir),
            Happening::Start => self.start(),
            _ if self.is_healed => {}
            Happening::Weather(peer) => self.change_weather(peer),
            Happening::Mood(peer) => self.change_mood(peer),
            Happening::DiskMood => self.change_disk(),
            Happening::ClockTrouble => self.change_clock(),
            Happening::End => self.end_somehow(),
            Happening::Nudge => self.nudge(),
        }
    }

    /// A call leaves the board.
    pub fn take_off(&mut self, flight: Flight) {
        let name = self.next_flight;
        self.next_flight += 1;
        let passage = flight.passage;
        self.after(flight.request.timeout_ms, Happening::Back { flight: name, result: Err(Fault::Timeout) });
        match passage.fate {
            crate::network::Fate::RequestLost => {}
            crate::network::Fate::FailsBefore(fault) => {
                self.after(passage.there_ms, Happening::Back { flight: name, result: Err(fault) });
            }
            _ => self.after(passage.there_ms, Happening::Arrive { flight: name, is_repeated: false }),
        }
        note!("<- call {} to {:?}: {}", flight.id.0, flight.peer, crate::node::describe(&flight.call));
        self.flights.insert(name, flight);
    }
}
