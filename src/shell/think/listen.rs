//! Who listens to a conversation: each has a short queue, and who does not take from it misses text and is told so.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::agent::brain::speech::ToolCall;

/// Most listeners at once. Beyond: declined.
pub const LISTENERS_MAX: usize = 32;
/// Bytes of text that wait for one listener. Beyond: skipped.
const QUEUE_BYTES_MAX: usize = 8 * 1024;
/// Other things that wait for one listener. Beyond: skipped.
const QUEUE_MAX: usize = 64;

/// What is heard of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A model begins to answer. What was heard of an answer before is over.
    Began {
        /// The provider's name.
        provider: String,
        /// As the provider knows it.
        model: String,
    },
    /// More of its text.
    Text(String),
    /// It calls a tool; whether that is done is told by events.
    Call(Box<ToolCall>),
    /// Something is missing here: this listener was too slow.
    Skipped,
    /// The answer is over, and whether it is whole.
    Ended {
        /// Whether the model said all.
        is_whole: bool,
    },
}

/// All who listen.
#[derive(Default)]
pub(super) struct Listeners(RefCell<Vec<Rc<Ears>>>);

struct Ears {
    session: String,
    queue: RefCell<Queue>,
}

#[derive(Default)]
struct Queue {
    heard: VecDeque<Heard>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Listeners {
    pub(super) fn listen(all: &Rc<Self>, session: &str) -> Option<Listener> {
        let mut listeners = all.0.borrow_mut();
        if listeners.len() >= LISTENERS_MAX {
            return None;
        }
        let ears = Rc::new(Ears { session: session.to_owned(), queue: RefCell::default() });
        listeners.push(Rc::clone(&ears));
        Some(Listener { all: Rc::clone(all), ears })
    }

    /// Tells all who listen to this conversation.
    pub(super) fn tell(&self, session: &str, heard: &Heard) {
        for ears in self.0.borrow().iter().filter(|ears| ears.session == session) {
            ears.queue.borrow_mut().push(heard);
        }
    }
}

impl Queue {
    fn push(&mut self, heard: &Heard) {
        match heard {
            Heard::Text(text) if self.bytes + text.len() > QUEUE_BYTES_MAX => self.skip(),
            Heard::Text(text) => {
                self.bytes += text.len();
                // Small pieces in one, so that their number is bounded by their bytes.
                match self.heard.back_mut() {
                    Some(Heard::Text(last)) => last.push_str(text),
                    _ => self.heard.push_back(heard.clone()),
                }
            }
            _ if self.heard.len() >= QUEUE_MAX => self.skip(),
            _ => self.heard.push_back(heard.clone()),
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn skip(&mut self) {
        if self.heard.back() != Some(&Heard::Skipped) {
            self.heard.push_back(Heard::Skipped);
        }
    }
}

/// One who listens.
pub struct Listener {
    all: Rc<Listeners>,
    ears: Rc<Ears>,
}

impl Listener {
    /// What is heard next.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let mut queue = self.ears.queue.borrow_mut();
        let Some(heard) = queue.heard.pop_front() else {
            queue.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Heard::Text(text) = &heard {
            queue.bytes -= text.len();
        }
        Poll::Ready(heard)
    }

    /// What is heard next. Nothing is lost if the wait is given up.
    pub async fn next(&mut self) -> Heard {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.all.0.borrow_mut().retain(|ears| !Rc::ptr_eq(ears, &self.ears));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(listener: &mut Listener) -> Vec<Heard> {
        let mut cx = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match listener.poll_next(&mut cx) {
            Poll::Ready(heard) => Some(heard),
            Poll::Pending => None,
        })
        .collect()
    }

    #[test]
    fn who_is_slow_misses_text_and_is_told_and_who_left_is_forgotten() {
        let all = Rc::new(Listeners::default());
        let mut slow = Listeners::listen(&all, "a").expect("a place");
        let mut other = Listeners::listen(&all, "b").expect("a place");
        let text = |n: usize| Heard::Text("x".repeat(n));
        for _ in 0..100 {
            all.tell("a", &text(100));
        }
        all.tell("a", &Heard::Ended { is_whole: true });
        assert_eq!(now(&mut slow), [text(8_100), Heard::Skipped, Heard::Ended { is_whole: true }]);
        assert_eq!(now(&mut other), []);
        all.tell("a", &text(5));
        assert_eq!(now(&mut slow), [text(5)], "there is room again");
        for _ in 0..1_000 {
            all.tell("a", &Heard::Ended { is_whole: false });
        }
        let heard = now(&mut slow);
        assert_eq!((heard.len(), heard.last()), (QUEUE_MAX + 1, Some(&Heard::Skipped)));
        let rest: Vec<_> = (2..LISTENERS_MAX).filter_map(|_| Listeners::listen(&all, "c")).collect();
        assert!(rest.len() == LISTENERS_MAX - 2 && Listeners::listen(&all, "c").is_none());
        drop(other);
        assert!(Listeners::listen(&all, "c").is_some());
    }
}
