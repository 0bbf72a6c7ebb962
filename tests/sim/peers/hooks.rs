//! A user's own receiver of `[[webhooks]]`.

use std::collections::BTreeMap;

use chainbot::agent::ids::EventId;
use chainbot::wire::HttpRequest;

use super::{Answer, header};
use crate::rng::Rng;

/// How it behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything.
    Fine,
    /// 500, and sometimes it has taken the event all the same.
    Erring,
    /// 429 or 503 with `Retry-After`.
    Limited,
    /// Seconds for each answer, sometimes more than a caller waits.
    Slow,
    /// 302 to somewhere: not followed, not taken.
    Moved,
    /// 410: never again.
    Gone,
}

/// One receiver.
#[derive(Debug)]
pub struct Receiver {
    /// How it is.
    pub mood: Mood,
    /// Whether it once said 410.
    pub said_gone: bool,
    /// Events taken and how often.
    pub taken: BTreeMap<EventId, u32>,
}

impl Receiver {
    /// One that takes everything.
    pub fn new() -> Self {
        Self { mood: Mood::Fine, said_gone: false, taken: BTreeMap::new() }
    }

    /// Another mood, and how long it lasts in milliseconds.
    pub fn change(&mut self, may_go: bool, rng: &mut Rng) -> u64 {
        self.mood = match rng.below(100) {
            0..55 => Mood::Fine,
            55..70 => Mood::Erring,
            70..82 => Mood::Limited,
            82..92 => Mood::Slow,
            92..96 => Mood::Moved,
            _ if may_go => Mood::Gone,
            _ => Mood::Fine,
        };
        rng.within(5, 10 * 60) * 1_000
    }

    /// A request is there: says how long it will take in milliseconds.
    pub fn arrive(&mut self, rng: &mut Rng) -> u64 {
        if self.mood == Mood::Slow { rng.within(500, 40_000) } else { rng.within(1, 30) }
    }

    /// The request is done.
    pub fn serve(&mut self, request: &HttpRequest, rng: &mut Rng) -> Answer {
        let id = header(request, "webhook-id").and_then(EventId::parse);
        let id = id.expect("a call to a webhook carries the event's id as webhook-id");
        assert!(
            header(request, "webhook-timestamp").is_some_and(|text| text.parse::<u64>().is_ok()),
            "a call to a webhook carries its time in seconds as webhook-timestamp"
        );
        match self.mood {
            Mood::Fine | Mood::Slow => self.take(id, 200),
            Mood::Erring if rng.chance(300) => self.take(id, 500),
            Mood::Erring => Answer::text(500, "oops"),
            Mood::Limited => Answer {
                retry_after_s: rng.chance(800).then(|| rng.within(1, 120)),
                ..Answer::text(rng.pick(&[429, 503]), "later")
            },
            Mood::Moved => Answer::text(302, ""),
            Mood::Gone => {
                self.said_gone = true;
                Answer::text(410, "gone")
            }
        }
    }

    fn take(&mut self, id: EventId, status: u16) -> Answer {
        *self.taken.entry(id).or_default() += 1;
        Answer::text(status, "ok")
    }
}
