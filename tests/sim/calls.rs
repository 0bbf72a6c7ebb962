//! A call's way: from the agent over the codec and the network to a peer, and back.

use chainbot::agent::ids::{CallId, CorrelationId, Destination};
use chainbot::agent::input::Fault;
use chainbot::agent::time::Wall;
use chainbot::agent::{Call, Input};
use chainbot::wire::time::format_http_date;
use chainbot::wire::{HttpReply, decode, encode};

use crate::clock::Clock;
use crate::network::{Fate, Peer, garbage};
use crate::peers::Answer;
use crate::trace::note;
use crate::world::{Flight, Happening, World};

/// Whether the agent has to come back to this call until it succeeds.
fn must_succeed(call: &Call) -> bool {
    matches!(
        call,
        Call::AlexosRegister { .. } | Call::AlexosEvent { .. } | Call::AiwmConnect | Call::Hook { .. }
    )
}

impl World {
    /// The agent makes a call.
    pub fn call(&mut self, id: CallId, correlation: CorrelationId, call: Call) {
        let peer = self.peer_of(&call);
        self.checks.on_call(self.now, id, peer, &call);
        let Some(request) = encode(&call, correlation, self.checks.ledger(), &self.setup) else {
            panic!("a call to a peer that is not configured: {}", crate::node::describe(&call))
        };
        assert!(request.timeout_ms > 0, "a call without a time limit");
        assert!(
            request.headers.iter().any(|(name, _)| *name == "x-correlation-id"),
            "a call without X-Correlation-Id"
        );
        let mut passage = self.links[&peer].passage(&mut self.rng);
        if request.url.starts_with("https") && self.clock.is_far_off() {
            passage.fate = Fate::FailsBefore(Fault::Tls);
        }
        if must_succeed(&call) {
            let is_refused = passage.fate == Fate::FailsBefore(Fault::Tls) && self.clock.is_far_off();
            if is_refused {
                self.unbelieved.insert(peer)
            } else {
                self.unbelieved.remove(&peer)
            };
        }
        let boot = self.boots;
        self.take_off(Flight { boot, id, peer, call, request, passage, is_answered: false });
    }

    fn peer_of(&self, call: &Call) -> Peer {
        match call {
            Call::AiwmConnect | Call::AiwmHeartbeat { .. } | Call::AiwmDisconnect { .. } => Peer::Aiwm,
            Call::Hook { key, .. } => {
                let index = self.setup.hooks.iter().position(|hook| hook.key == *key);
                Peer::Hook(index.expect("a call to a webhook that is configured"))
            }
            _ => Peer::Alexos,
        }
    }

    /// The request is at its peer.
    pub fn arrive(&mut self, flight: u64, is_repeated: bool) {
        let Some(peer) = self.flights.get(&flight).map(|flight| flight.peer) else { return };
        let work_ms = match peer {
            Peer::Alexos => self.alexos.as_mut().map_or(1, |alexos| alexos.arrive(flight, &mut self.rng)),
            Peer::Aiwm => self.aiwm.as_mut().map_or(1, |aiwm| aiwm.arrive(&mut self.rng)),
            Peer::Hook(index) => self.receivers[index].arrive(&mut self.rng),
        };
        self.after(work_ms, Happening::Served { flight, is_repeated });
    }

    /// The peer is done with it.
    pub fn served(&mut self, flight: u64, is_repeated: bool) {
        let Some(entry) = self.flights.get(&flight) else { return };
        let (passage, over_tls) = (entry.passage, entry.request.url.starts_with("https"));
        let answer = self.serve(flight);
        if passage.fate == Fate::Doubled && !is_repeated {
            self.after(3, Happening::Arrive { flight, is_repeated: true });
        }
        if !is_repeated && passage.fate != Fate::AnswerLost {
            let result = match (passage.fate, answer) {
                (Fate::FailsAfter(fault), _) | (_, Err(fault)) => Err(fault),
                (_, Ok(answer)) => Ok(self.reply(answer, passage.fate, over_tls)),
            };
            self.after(passage.back_ms, Happening::Back { flight, result });
        }
        self.forget_if_over(flight, is_repeated);
    }

    fn serve(&mut self, flight: u64) -> Result<Answer, Fault> {
        let entry = &self.flights[&flight];
        let wall_ms = Clock::true_ms(self.now);
        let rng = &mut self.rng;
        match entry.peer {
            Peer::Alexos => self.alexos.as_mut().expect("it is there").serve(flight, &entry.request, rng),
            Peer::Aiwm => Ok(self.aiwm.as_mut().expect("it is there").serve(&entry.request, wall_ms, rng)),
            Peer::Hook(index) => Ok(self.receivers[index].serve(&entry.request, rng)),
        }
    }

    fn reply(&mut self, answer: Answer, fate: Fate, over_tls: bool) -> HttpReply {
        let (mut status, mut body) = (answer.status, answer.body);
        let is_good = (200..300).contains(&status);
        match fate {
            // Something in between speaks: as itself, or in place of an answer that was good.
            Fate::Garbage => {
                status =
                    if is_good && self.rng.chance(500) { status } else { self.rng.pick(&[502, 503, 504]) };
                body = garbage(&mut self.rng);
            }
            Fate::Truncated if is_good => {
                let kept = self.rng.below(body.len() as u64 + 1);
                body.truncate(usize::try_from(kept).expect("fits"));
            }
            _ => {}
        }
        HttpReply {
            status,
            retry_after: answer.retry_after_s.map(|seconds| seconds.to_string()),
            date: Some(format_http_date(Wall(Clock::true_ms(self.now)))),
            body,
            over_tls,
        }
    }

    /// The caller has its result: the answer, a fault, or its patience has ended.
    pub fn back(&mut self, flight: u64, result: chainbot::wire::CallResult) {
        let boot = self.node.as_ref().map(|node| node.boot);
        let Some(entry) = self.flights.get_mut(&flight) else { return };
        if std::mem::replace(&mut entry.is_answered, true) {
            return;
        }
        if boot == Some(entry.boot) {
            let (outcome, date) = decode(&entry.call, result);
            let id = entry.id;
            self.checks.on_call_done(self.now, id, &entry.call, &outcome);
            self.feed(Input::CallDone { id, outcome, date });
        }
        let is_over = self
            .flights
            .get(&flight)
            .is_some_and(|entry| matches!(entry.passage.fate, Fate::RequestLost | Fate::FailsBefore(_)));
        if is_over {
            self.flights.remove(&flight);
        }
    }

    /// A flight is forgotten when nobody can ask for it any more.
    fn forget_if_over(&mut self, flight: u64, is_repeated: bool) {
        let is_over = self
            .flights
            .get(&flight)
            .is_some_and(|entry| entry.is_answered && (is_repeated || entry.passage.fate != Fate::Doubled));
        if is_over {
            self.flights.remove(&flight);
        }
    }

    /// Whether this destination's peer has this event.
    pub fn has(&self, destination: &Destination, id: chainbot::agent::ids::EventId) -> bool {
        match destination {
            Destination::Alexos => self.alexos.as_ref().is_some_and(|alexos| alexos.stored.contains_key(&id)),
            Destination::Bus => true,
            Destination::Hook(key) => {
                let index = self.setup.hooks.iter().position(|hook| hook.key == *key);
                index.is_some_and(|index| self.receivers[index].taken.contains_key(&id))
            }
        }
    }

    /// The weather on the way to a peer changes.
    pub fn change_weather(&mut self, peer: Peer) {
        let lasts = self.links.get_mut(&peer).expect("every peer has a link").change(&mut self.rng);
        note!("   network to {peer:?}: {:?} for {} s", self.links[&peer].weather, lasts / 1_000);
        self.after(lasts, Happening::Weather(peer));
    }
}
