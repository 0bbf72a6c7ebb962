//! A socket's place in the ledger: what it is sent next, and how far it came.

use super::driver::Socket;
use crate::agent::event::Event;
use crate::agent::ids::{EventId, Seq};
use crate::api::Follow;
use crate::ledger::Page;
use futures_lite::{AsyncRead, AsyncWrite};

/// Where a reader begins that was away for so long that the ledger has dropped what came next: at the oldest kept.
pub fn begin(follow: &mut Follow, oldest: Seq) {
    if is_lost(follow, oldest) {
        follow.after = Seq(oldest.0.saturating_sub(1));
    }
}

/// Whether the ledger has dropped events that the socket has not been sent.
#[must_use]
pub fn is_lost(follow: &Follow, oldest: Seq) -> bool {
    follow.after > Seq(0) && follow.after.next() < oldest
}

/// Gives a socket what is durable of the page behind its cursor, as `show` writes it, until the socket is blocked; moves
/// the cursor behind what was given. `may_hold` is asked first whether so many bytes may be in memory: if not, nothing
/// is given and the answer is false.
pub fn give<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    follow: &mut Follow,
    page: &Page,
    durable: EventId,
    show: impl Fn(&Event) -> Option<String>,
    may_hold: impl FnOnce(usize) -> bool,
) -> bool {
    let events = page.events.iter().take_while(|event| event.seq <= durable.seq);
    let texts: Vec<(Seq, String)> = events.filter_map(|event| Some((event.seq, show(event)?))).collect();
    if !may_hold(texts.iter().map(|(_, text)| text.len()).sum()) {
        return false;
    }
    for (seq, text) in texts {
        socket.send_text(text);
        // The rest of the page is read again when the client has taken this.
        if socket.is_blocked() {
            follow.after = seq;
            return true;
        }
    }
    follow.after = if page.end { durable.seq } else { page.next.min(durable.seq) };
    true
}
