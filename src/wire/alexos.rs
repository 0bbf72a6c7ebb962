//! ALEX OS: registration, canon, events and health reports.
use super::{CallResult, HttpRequest};
use crate::agent::effect::Call;
use crate::agent::input::{Outcome, Verdict};
use crate::agent::setup::Setup;

pub(super) fn encode(_call: &Call, _setup: &Setup) -> Option<HttpRequest> {
    None
}

pub(super) fn decode(_call: &Call, _result: &CallResult) -> Outcome {
    Outcome::Delivered(Verdict::Accepted)
}
