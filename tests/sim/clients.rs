//! The clients that bring webhooks: with and without an id, again after no answer, again for no reason.

use std::collections::BTreeMap;

use chainbot::agent::effect::IntakeAnswer;
use chainbot::agent::event::{EventDraft, JsonText, Severity, Source};
use chainbot::agent::ids::{DedupeKey, EventId, RequestId};

use crate::rng::Rng;

const KINDS: [&str; 5] =
    ["workflow_started", "workflow_failed", "agent_spawned", "entanglement_created", "my.own-kind"];
const TRIES_MAX: u32 = 6;

/// One message of a client. It keeps its number over all tries.
#[derive(Debug)]
pub struct Post {
    /// The client's id, if it gives one.
    pub key: Option<DedupeKey>,
    /// What it brings.
    pub draft: EventDraft,
    /// What it was told.
    pub acked: Option<EventId>,
    tries: u32,
}

/// All clients together.
#[derive(Debug)]
pub struct Clients {
    posts: Vec<Post>,
    waiting: BTreeMap<RequestId, usize>,
    next_request: u64,
    large_per_mille: u64,
    rng: Rng,
}

impl Clients {
    /// Clients that have sent nothing.
    pub fn new(large_per_mille: u64, rng: Rng) -> Self {
        Self { posts: Vec::new(), waiting: BTreeMap::new(), next_request: 1, large_per_mille, rng }
    }

    /// A message.
    pub fn post(&self, index: usize) -> &Post {
        &self.posts[index]
    }

    /// Somebody wants to send: a new message, or an old one with an id once more.
    pub fn choose(&mut self) -> usize {
        if !self.posts.is_empty() && self.rng.chance(80) {
            let index = usize::try_from(self.rng.below(self.posts.len() as u64)).expect("fits");
            if self.posts[index].key.is_some() {
                return index;
            }
        }
        self.compose(700)
    }

    /// One of the messages with an id, if there is one.
    pub fn any_keyed(&self, number: u64) -> Option<usize> {
        let start = usize::try_from(number).expect("small") % self.posts.len().max(1);
        (start..self.posts.len()).find(|index| self.posts[*index].key.is_some())
    }

    /// A new message; has an id in `keyed_per_mille` of a thousand cases.
    pub fn compose(&mut self, keyed_per_mille: u64) -> usize {
        let index = self.posts.len();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.rng.draw().to_be_bytes());
        key[8..].copy_from_slice(&(index as u64).to_be_bytes());
        let fill = if self.rng.chance(self.large_per_mille) { self.rng.within(1_000, 40_000) } else { 0 };
        let fill = "x".repeat(usize::try_from(fill).expect("small"));
        let draft = EventDraft {
            kind: self.rng.pick(&KINDS).to_owned(),
            source: self.rng.pick(&Source::ALL),
            severity: self.rng.pick(&Severity::ALL),
            message: format!("post {index}"),
            metadata: JsonText(format!("{{\"post\":{index},\"fill\":\"{fill}\"}}")),
        };
        let key = self.rng.chance(keyed_per_mille).then_some(DedupeKey(key));
        self.posts.push(Post { key, draft, acked: None, tries: 0 });
        index
    }

    /// A message goes out; the request that carries it.
    pub fn send(&mut self, index: usize) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.posts[index].tries += 1;
        self.waiting.insert(request, index);
        request
    }

    /// An answer came to whoever still waits: the message it was for.
    pub fn on_answer(&mut self, request: RequestId) -> Option<usize> {
        self.waiting.remove(&request)
    }

    /// Remembers what a message became; a second answer must say the same.
    pub fn on_stored(&mut self, index: usize, id: EventId) {
        let post = &mut self.posts[index];
        assert!(
            post.acked.is_none_or(|earlier| earlier == id),
            "post {index} became {id} and {:?}",
            post.acked
        );
        post.acked = Some(id);
    }

    /// Whether the answer does not come any more; then the message that may be tried again.
    pub fn gives_up_waiting(&mut self, request: RequestId) -> Option<usize> {
        self.waiting.remove(&request)
    }

    /// The process ended: nobody gets an answer.
    pub fn on_process_end(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// When a message that was not stored is tried again, in milliseconds; `None`: never.
    pub fn try_again_in(
        &mut self,
        index: usize,
        answer: Option<&IntakeAnswer>,
        is_patient: bool,
    ) -> Option<u64> {
        let post = &self.posts[index];
        if post.key.is_none() || post.acked.is_some() || (post.tries >= TRIES_MAX && !is_patient) {
            return None;
        }
        let wish_s = match answer {
            Some(
                IntakeAnswer::Busy { retry_after_s }
                | IntakeAnswer::Full { retry_after_s }
                | IntakeAnswer::Faulty { retry_after_s },
            ) => u64::from(*retry_after_s),
            _ => 1,
        };
        Some(wish_s * 1_000 + self.rng.below(5_000))
    }

    /// Messages with an id that nobody has acknowledged and nobody waits for.
    pub fn unacknowledged(&self) -> Vec<usize> {
        let waits = |index: usize| self.waiting.values().any(|waiting| *waiting == index);
        (0..self.posts.len())
            .filter(|index| {
                self.posts[*index].key.is_some() && self.posts[*index].acked.is_none() && !waits(*index)
            })
            .collect()
    }

    /// Whether all answers have come.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }
}
