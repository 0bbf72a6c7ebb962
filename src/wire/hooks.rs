//! Users' own endpoints (`[[webhooks]]`): signed unified events.
use super::{AddressGuard, CallResult, HttpRequest};
use crate::agent::event::Event;
use crate::agent::ids::EventId;
use crate::agent::input::Verdict;
use crate::agent::setup::HookSetup;
use crate::agent::time::Wall;

pub(super) fn encode(hook: &HookSetup, _event: &Event, _id: EventId, _at: Wall) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url: hook.url.0.clone(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: hook.request_timeout_ms,
        guard: AddressGuard::NoPrivateNames,
    }
}

pub(super) fn verdict(_result: &CallResult) -> Verdict {
    Verdict::Accepted
}
