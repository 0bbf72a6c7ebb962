//! A user's own endpoint behind a `[[webhooks]]` entry.

use super::port::{Answer, Peer, Port, Request};
use super::watched::Watched;

#[derive(Debug)]
pub struct State {
    /// What it answers.
    pub status: u16,
    pub retry_after: Option<u32>,
    pub seen: Vec<Request>,
}

pub struct Receiver {
    pub state: Watched<State>,
}

/// A new one on its own port, answering 204.
pub fn open() -> Port<Receiver> {
    Port::open(Receiver { state: Watched::new(State { status: 204, retry_after: None, seen: Vec::new() }) })
}

impl Peer for Receiver {
    fn answer(&self, request: Request) -> Answer {
        self.state.change(|state| {
            state.seen.push(request);
            let mut answer = Answer::text(state.status, "");
            answer.headers.extend(state.retry_after.map(|s| ("Retry-After".to_owned(), s.to_string())));
            answer
        })
    }
}
