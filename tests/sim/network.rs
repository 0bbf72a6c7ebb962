//! The way to each peer: good, bad or cut, changing with the weather. Decides what becomes of one call.

use chainbot::agent::input::Fault;

use crate::rng::Rng;

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// ALEX OS.
    Alexos,
    /// AIWM.
    Aiwm,
    /// A `[[webhooks]]` receiver, by its place in the config.
    Hook(usize),
}

/// How a way is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Milliseconds, nothing lost.
    Good,
    /// A radio link: slow, some loss.
    Fair,
    /// Everything goes wrong at times.
    Bad,
    /// Nothing passes.
    Cut,
    /// The machine is there, the port is not.
    Closed,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The request arrives and the answer too.
    Passes,
    /// The peer gets the request twice and one answer comes back.
    Doubled,
    /// The request never arrives.
    RequestLost,
    /// The peer works, the answer never arrives.
    AnswerLost,
    /// The peer never sees it, and the caller gets this.
    FailsBefore(Fault),
    /// The peer works, and the caller gets this.
    FailsAfter(Fault),
    /// The peer works; its answer arrives as something that it did not say.
    Garbage,
    /// The peer works; the end of its answer is missing.
    Truncated,
}

/// One call's way there and back.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// Milliseconds to the peer.
    pub there_ms: u64,
    /// Milliseconds back.
    pub back_ms: u64,
    /// What happens on it.
    pub fate: Fate,
}

/// The way to one peer.
#[derive(Debug)]
pub struct Link {
    /// How it is.
    pub weather: Weather,
}

impl Link {
    /// Other weather, and how long it lasts in milliseconds.
    pub fn change(&mut self, rng: &mut Rng) -> u64 {
        self.weather = match rng.below(100) {
            0..40 => Weather::Good,
            40..60 => Weather::Fair,
            60..82 => Weather::Bad,
            82..92 => Weather::Cut,
            _ => Weather::Closed,
        };
        match self.weather {
            Weather::Cut | Weather::Closed if rng.chance(150) => rng.within(30, 120) * 60_000,
            _ => rng.within(10, 15 * 60) * 1_000,
        }
    }

    /// What becomes of a call that starts at this moment.
    pub fn passage(&self, rng: &mut Rng) -> Passage {
        let (slow, fate) = match self.weather {
            Weather::Good => (8, Fate::Passes),
            Weather::Fair => (400, fair(rng)),
            Weather::Bad => (6_000, bad(rng)),
            Weather::Cut => (50, cut(rng)),
            Weather::Closed => (5, Fate::FailsBefore(Fault::Refused)),
        };
        Passage { there_ms: rng.within(1, slow), back_ms: rng.within(1, slow), fate }
    }
}

fn fair(rng: &mut Rng) -> Fate {
    match rng.below(100) {
        0..2 => Fate::RequestLost,
        2..4 => Fate::AnswerLost,
        4..6 => Fate::Doubled,
        6..8 => Fate::FailsAfter(Fault::Reset),
        _ => Fate::Passes,
    }
}

fn bad(rng: &mut Rng) -> Fate {
    match rng.below(100) {
        0..12 => Fate::RequestLost,
        12..24 => Fate::AnswerLost,
        24..34 => Fate::Doubled,
        34..40 => Fate::FailsBefore(Fault::Reset),
        40..48 => Fate::FailsAfter(Fault::Reset),
        48..53 => Fate::Garbage,
        53..58 => Fate::Truncated,
        58..60 => Fate::FailsAfter(Fault::TooLarge),
        60..62 => Fate::FailsBefore(Fault::Tls),
        62..64 => Fate::FailsAfter(Fault::Transport),
        _ => Fate::Passes,
    }
}

fn cut(rng: &mut Rng) -> Fate {
    match rng.below(4) {
        0 => Fate::FailsBefore(Fault::Dns),
        1 => Fate::FailsBefore(Fault::Refused),
        _ => Fate::RequestLost,
    }
}

/// Bytes that no peer meant.
pub fn garbage(rng: &mut Rng) -> Vec<u8> {
    match rng.below(5) {
        0 => Vec::new(),
        1 => b"<html><body>It works!</body></html>".to_vec(),
        2 => b"{\"detail\":".to_vec(),
        3 => b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[".repeat(40),
        _ => (0..rng.below(400)).map(|_| u8::try_from(rng.below(256)).expect("a byte")).collect(),
    }
}
