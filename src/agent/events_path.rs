//! How this ALEX OS takes events: found out by asking.
//!
//! ```text
//! unknown -> documented (it took one)
//! unknown -> trying public (404, 405, 501) -> public (it took one)
//!                                          -> neither (asked again after 15 minutes) -> unknown
//! documented, public -> as from unknown, when the path vanishes
//! ```

use super::effect::EventsPath;
use super::limits::NOT_OFFERED_RECHECK_MS;
use super::rng::Rng;
use super::time::Mono;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Known(EventsPath),
    TryingPublic,
    Neither { until: Mono },
}

/// The path for events. See the module.
#[derive(Debug)]
pub struct EventsPathFinder {
    state: State,
    confirmations: u64,
}

impl Default for EventsPathFinder {
    fn default() -> Self {
        Self { state: State::Unknown, confirmations: 0 }
    }
}

impl EventsPathFinder {
    /// The path to use now; `None`: neither is offered, wait for `deadline`.
    #[must_use]
    pub fn path(&self, now: Mono) -> Option<EventsPath> {
        match self.state {
            State::Unknown => Some(EventsPath::Documented),
            State::Known(path) => Some(path),
            State::TryingPublic => Some(EventsPath::Public),
            State::Neither { until } => (until <= now).then_some(EventsPath::Documented),
        }
    }

    /// The path that is known to work.
    #[must_use]
    pub fn known(&self) -> Option<EventsPath> {
        match self.state {
            State::Known(path) => Some(path),
            State::Unknown | State::TryingPublic | State::Neither { .. } => None,
        }
    }

    /// How often a path has been confirmed after it was not known: tells two outages apart.
    #[must_use]
    pub fn confirmations(&self) -> u64 {
        self.confirmations
    }

    /// When a path may be tried again, while none is offered.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Neither { until } => Some(until),
            State::Unknown | State::Known(_) | State::TryingPublic => None,
        }
    }

    /// Something came through.
    pub fn on_accepted(&mut self, path: EventsPath) {
        if self.known() != Some(path) {
            self.confirmations += 1;
            self.enter(State::Known(path), "accepted");
        }
    }

    /// The path is not there. Whether the documented path had worked before: ALEX OS is then another than it was.
    pub fn on_not_offered(&mut self, now: Mono, path: EventsPath, rng: &mut Rng) -> bool {
        let was_known = self.known() == Some(path);
        match path {
            EventsPath::Documented => self.enter(State::TryingPublic, "documented path not offered"),
            EventsPath::Public => {
                let until = now.plus(rng.jittered(NOT_OFFERED_RECHECK_MS));
                self.enter(State::Neither { until }, "public path not offered");
            }
        }
        was_known
    }

    /// ALEX OS may be another one: ask from the start.
    pub fn reset(&mut self) {
        self.enter(State::Unknown, "asked anew");
    }

    fn enter(&mut self, state: State, why: &str) {
        if self.state != state {
            log::debug!("events_path from={:?} to={state:?} why={why:?}", self.state);
        }
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_path_comes_first_then_the_public_one_then_a_pause() {
        let mut finder = EventsPathFinder::default();
        let mut rng = Rng::new(1);
        assert_eq!(finder.path(Mono(0)), Some(EventsPath::Documented));
        finder.on_not_offered(Mono(0), EventsPath::Documented, &mut rng);
        assert_eq!(finder.path(Mono(0)), Some(EventsPath::Public));
        finder.on_not_offered(Mono(0), EventsPath::Public, &mut rng);
        assert_eq!(finder.path(Mono(0)), None);
        let until = finder.deadline().expect("a pause");
        assert_eq!(finder.path(until), Some(EventsPath::Documented));
        finder.on_accepted(EventsPath::Documented);
        assert_eq!(finder.known(), Some(EventsPath::Documented));
        assert!(finder.on_not_offered(until, EventsPath::Documented, &mut rng), "it had worked");
    }
}
