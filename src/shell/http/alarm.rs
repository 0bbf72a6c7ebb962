//! One timer per connection, moved as seldom as possible: its deadline moves with each piece that comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::shell::reactor::Timer;

/// A monotonic reading for the deadlines of connections.
#[allow(
    clippy::disallowed_methods,
    reason = "deadlines of sockets are the shell's own and decide nothing else"
)]
pub(in crate::shell) fn now() -> Instant {
    Instant::now()
}

/// A timer that is armed for the earliest deadline it was shown, and looks again when it rings.
pub(in crate::shell) struct Alarm {
    timer: Timer,
    armed: Option<Instant>,
}

impl Alarm {
    pub(in crate::shell) fn new() -> Alarm {
        Alarm { timer: Timer::never(), armed: None }
    }

    /// Ready when `due` has come. A later deadline than the armed one does not move the timer.
    pub(in crate::shell) fn poll_due(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        loop {
            if now() >= due {
                return Poll::Ready(());
            }
            if self.armed.is_none_or(|armed| due < armed) {
                self.timer.set_at(due);
                self.armed = Some(due);
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
        }
    }
}
