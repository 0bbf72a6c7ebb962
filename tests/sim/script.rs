//! Worlds that bytes write: a list of delays and of what happens then, the rest of the world being fair. For a fuzzer, which
//! finds orders of things that chance does not.
//!
//! Two bytes are the seed of the plan, a third one says how it ends. Then three bytes each: what happens, how long it takes until
//! the next thing does, and more about it.

use chainbot::agent::Input;
use chainbot::agent::brain::speech::{RunId, ThoughtEnd, ThoughtFault, ThoughtId, ThoughtNews, ToolResult};
use chainbot::agent::ids::{CallId, Destination, LinkId, RequestId, Seq, Ticket};
use chainbot::agent::input::{BusIn, CommitFault, Fault, LinkEnd, Outcome, Sample, Verdict};

use crate::network::{Peer, Weather};
use crate::plan::Plan;
use crate::store::Mood;
use crate::trace::note;
use crate::world::{Happening, World};

/// Bytes of one thing that happens.
const STEP_BYTES: usize = 3;
/// Things that happen at most.
const STEPS_MAX: usize = 120;
/// A script's own time at most, in milliseconds: a day, so that a world stays cheap.
const TIME_MAX_MS: u64 = 86_400_000;
/// Happenings of a world at most, its own among them, and those after which all that is demanded of a healed world is not
/// demanded any more: under a sanitizer each costs a hundred times as much.
const WORK_MAX: u64 = 3_000;
const DEMAND_WORK_MAX: u64 = 1_000;
const YEAR_MS: i64 = 365 * 86_400_000;

/// Lives through the world that these bytes write; panics with the first rule that is broken.
pub fn live(bytes: &[u8]) {
    let Some((head, steps)) = bytes.split_first_chunk::<3>() else { return };
    let seed = u64::from(u16::from_le_bytes([head[0], head[1]]));
    let plan = Plan {
        has_weather: false,
        has_moods: false,
        has_disk_trouble: false,
        has_clock_trouble: false,
        end_gap_ms: None,
        ..Plan::of(seed).bounded()
    };
    let mut world = World::new(plan);
    world.begin_reading();
    world.begin_talking();
    world.start();
    for step in steps.chunks_exact(STEP_BYTES).take(STEPS_MAX) {
        world.scripted(step[0], step[2]);
        let until = world.now + wait_ms(step[1]);
        if until > TIME_MAX_MS {
            break;
        }
        while world.steps < WORK_MAX && world.step(until) {}
    }
    if head[2] & 1 == 0 && world.steps < DEMAND_WORK_MAX {
        world.heal_and_demand();
    }
}

/// From nothing to an hour, finer where it is short.
fn wait_ms(byte: u8) -> u64 {
    let byte = u64::from(byte);
    match byte {
        0..64 => byte,
        64..128 => (byte - 63) * 50,
        128..192 => (byte - 127) * 1_000,
        192..252 => (byte - 191) * 20_000,
        _ => 3_600_000,
    }
}

impl World {
    fn scripted(&mut self, what: u8, more: u8) {
        let number = u64::from(more);
        match what % 20 {
            0..=2 => self.scripted_posts(1),
            3 => self.scripted_posts(number % 64),
            4 => {
                if let Some(index) = self.clients.any_keyed(number) {
                    self.post(Some(index));
                }
            }
            5 => self.scripted_end(true),
            6 => self.scripted_end(self.plan.failed_sync_forgets),
            7 if !self.plan.failed_sync_forgets => self.ask_to_stop(),
            7 => {}
            8 => self.start(),
            9 => {
                let years = i64::from(more as i8) / 4;
                self.clock.jump_by(years * YEAR_MS + i64::from(more));
                note!("   clock: jumps by {years} years");
            }
            10 => self.clock.sync(),
            11 => self.scripted_weather(more),
            12 => {
                let peers: Vec<Peer> = self.links.keys().copied().collect();
                let peer = peers[usize::from(more) % peers.len()];
                self.scripted_mood(peer);
            }
            13 | 14 => {
                let moods = [
                    Mood::Good,
                    Mood::Good,
                    Mood::Slow,
                    Mood::Full,
                    Mood::Broken,
                    Mood::Unsynced,
                    Mood::Flaky,
                ];
                self.store.set_mood(moods[usize::from(more) % moods.len()]);
                note!("   disk: {:?}", self.store.mood());
            }
            15 => {
                self.feed(Input::Tick);
                self.feed(Input::Tick);
            }
            16 if self.node.is_some() => self.reconfigure(more & 1 == 1),
            16 => {}
            17 => self.suspend((number + 1) * (number + 1) * 1_000),
            of_two => self.strange(what / 20 * 2 + (of_two - 18), number),
        }
    }

    fn scripted_posts(&mut self, count: u64) {
        for _ in 0..count {
            let index = self.clients.compose(700);
            self.post(Some(index));
        }
    }

    fn scripted_end(&mut self, is_power_cut: bool) {
        if self.node.is_some() {
            self.end_process(is_power_cut);
            self.after(200, Happening::Start);
        }
    }

    fn scripted_weather(&mut self, more: u8) {
        let all = [Weather::Good, Weather::Fair, Weather::Bad, Weather::Cut, Weather::Closed];
        let weather = all[usize::from(more) % all.len()];
        let nth = usize::from(more) / all.len() % self.links.len();
        if let Some((peer, link)) = self.links.iter_mut().nth(nth) {
            link.weather = weather;
            note!("   network to {peer:?}: {weather:?}");
        }
    }

    /// An input that no effect asked for: late, doubled or never asked. It is counted and dropped.
    fn strange(&mut self, which: u8, number: u64) {
        let id = if number < 64 { number } else { u64::MAX - number };
        self.feed(match which {
            0 => Input::Committed { ticket: Ticket(u64::MAX - number), oldest: Seq(1) },
            1 => Input::CommitFailed { ticket: Ticket(u64::MAX - number), fault: CommitFault::Full },
            2 => Input::CallDone {
                id: CallId(u64::MAX - number),
                outcome: Outcome::Delivered(Verdict::Accepted),
                date: None,
            },
            3 => Input::Fetched {
                destination: Destination::Hook(format!("{number:016x}")),
                event: None,
                upto: Seq(id),
                oldest: Seq(0),
                failed: number.is_multiple_of(2),
            },
            4 => Input::BusOpened { link: LinkId(u64::MAX - number) },
            5 => Input::BusClosed { link: LinkId(u64::MAX - number), end: LinkEnd::Failed(Fault::Reset) },
            6 => Input::BusMessage { link: LinkId(u64::MAX - number), message: BusIn::Pong, known: None },
            7 => Input::CallerLeft { request: RequestId(id) },
            8 => Input::Thought { thought: ThoughtId(u64::MAX - number), news: ThoughtNews::Began },
            9 => Input::Thought {
                thought: ThoughtId(u64::MAX - number),
                news: ThoughtNews::Ended(ThoughtEnd::Failed(ThoughtFault::Retry {
                    fault: Fault::Timeout,
                    after_ms: Some(u64::MAX),
                })),
            },
            10 => Input::ToolDone {
                run: RunId(u64::MAX - number),
                result: ToolResult { is_ok: true, text: "nobody asked".to_owned(), exit_code: None },
            },
            11 => Input::Sampled(Box::new(Sample {
                cpu_percent: f64::NAN,
                memory_percent: f64::INFINITY,
                disk_percent: -1e300,
                ..Sample::default()
            })),
            _ => Input::StopTurn { session: format!("s{number}") },
        });
    }
}
