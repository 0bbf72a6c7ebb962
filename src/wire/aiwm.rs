//! AIWM: connect, heartbeat, disconnect, in three generations.
use super::{AddressGuard, CallResult, HttpRequest};
use crate::agent::effect::Call;
use crate::agent::input::{AiwmReply, ControllerAnswer};
use crate::agent::setup::AiwmSetup;

pub(super) fn encode(_call: &Call, setup: &AiwmSetup) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url: setup.base_url.clone(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: setup.request_timeout_ms,
        guard: AddressGuard::Any,
    }
}

pub(super) fn decode(_call: &Call, _result: &CallResult) -> AiwmReply {
    AiwmReply::Taken { work: None }
}

/// The text of `FactKey::Controller`, without anything secret.
#[must_use]
pub fn controller_to_fact(_answer: &ControllerAnswer) -> String {
    String::new()
}

/// Reads what `controller_to_fact` writes; `None` for anything else.
#[must_use]
pub fn controller_from_fact(_text: &str) -> Option<ControllerAnswer> {
    None
}
