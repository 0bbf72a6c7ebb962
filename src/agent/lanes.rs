//! Which calls are in flight, to whom.

use super::effect::EventsPath;
use super::ids::CallId;
use super::limits::HOOK_CALLS_MAX;

/// What a call in flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Call::AlexosRegister`.
    Register,
    /// `Call::AlexosCanon`.
    Canon,
    /// `Call::AlexosReport`.
    Report(EventsPath),
    /// `Call::WebhookUrlReport`.
    WebhookUrlReport,
    /// `Call::AlexosEvent`.
    AlexosEvent(EventsPath),
    /// `Call::AiwmConnect`.
    Connect,
    /// `Call::AiwmHeartbeat`.
    Beat,
    /// `Call::AiwmDisconnect`.
    Disconnect,
    /// `Call::Hook`.
    Hook,
}

/// One peer's share of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// ALEX OS: one at a time.
    Alexos,
    /// AIWM: one at a time.
    Aiwm,
    /// Webhooks: `HOOK_CALLS_MAX` at a time.
    Hooks,
}

impl Kind {
    /// Whose share it uses.
    #[must_use]
    pub fn lane(self) -> Lane {
        match self {
            Self::Register
            | Self::Canon
            | Self::Report(_)
            | Self::WebhookUrlReport
            | Self::AlexosEvent(_) => Lane::Alexos,
            Self::Connect | Self::Beat | Self::Disconnect => Lane::Aiwm,
            Self::Hook => Lane::Hooks,
        }
    }
}

#[derive(Debug)]
struct InFlight {
    id: CallId,
    kind: Kind,
    /// The config changed while it was underway: only its place counts.
    is_orphan: bool,
}

/// The calls in flight. At most `limits::CALLS_MAX`.
#[derive(Debug, Default)]
pub struct Lanes {
    calls: Vec<InFlight>,
    last: u64,
}

impl Lanes {
    /// Takes a place.
    pub fn start(&mut self, kind: Kind) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        self.calls.push(InFlight { id, kind, is_orphan: false });
        id
    }

    /// Gives a place back. `None`: no such call. `Some(None)`: nobody waits for its answer.
    pub fn finish(&mut self, id: CallId) -> Option<Option<Kind>> {
        let place = self.calls.iter().position(|call| call.id == id)?;
        let call = self.calls.swap_remove(place);
        Some((!call.is_orphan).then_some(call.kind))
    }

    /// Nobody waits any longer for these calls.
    pub fn orphan(&mut self, is_moot: impl Fn(Kind) -> bool) {
        for call in self.calls.iter_mut().filter(|call| is_moot(call.kind)) {
            call.is_orphan = true;
        }
    }

    /// Whether a call may start, with `reserved` places promised to reads that will become calls.
    #[must_use]
    pub fn is_free(&self, lane: Lane, reserved: usize) -> bool {
        let used = self.calls.iter().filter(|call| call.kind.lane() == lane).count() + reserved;
        used < match lane {
            Lane::Alexos | Lane::Aiwm => 1,
            Lane::Hooks => HOOK_CALLS_MAX,
        }
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_takes_its_share_and_no_more() {
        let mut lanes = Lanes::default();
        let beat = lanes.start(Kind::Beat);
        assert!(!lanes.is_free(Lane::Aiwm, 0));
        assert!(lanes.is_free(Lane::Alexos, 0));
        assert!(!lanes.is_free(Lane::Alexos, 1));
        assert_eq!(lanes.finish(beat), Some(Some(Kind::Beat)));
        assert_eq!(lanes.finish(beat), None);
        assert!(lanes.is_free(Lane::Aiwm, 0));
    }

    #[test]
    fn an_orphan_keeps_its_place_until_it_ends() {
        let mut lanes = Lanes::default();
        let call = lanes.start(Kind::Register);
        lanes.orphan(|kind| kind.lane() == Lane::Alexos);
        assert!(!lanes.is_free(Lane::Alexos, 0));
        assert_eq!(lanes.finish(call), Some(None));
    }
}
