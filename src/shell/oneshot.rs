//! One answer for one who waits, both on the loop. A channel would do as well; it allocates six times for it, and a webhook needs one.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

struct Slot<T> {
    answer: Option<T>,
    waiting: Option<Waker>,
}

/// The end that answers. Dropped before, the other end hears that nothing comes.
pub(super) struct Giver<T>(Weak<RefCell<Slot<T>>>);

/// The end that waits: a future of the answer, `None` if none comes.
pub(super) struct Taker<T>(Rc<RefCell<Slot<T>>>);

/// Both ends.
pub(super) fn oneshot<T>() -> (Giver<T>, Taker<T>) {
    let slot = Rc::new(RefCell::new(Slot { answer: None, waiting: None }));
    (Giver(Rc::downgrade(&slot)), Taker(slot))
}

impl<T> Giver<T> {
    /// Answers; whoever waited may have gone.
    pub(super) fn give(self, answer: T) {
        if let Some(slot) = self.0.upgrade() {
            slot.borrow_mut().answer = Some(answer);
        }
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let waiting = self.0.upgrade().and_then(|slot| slot.borrow_mut().waiting.take());
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl<T> Taker<T> {
    /// The answer if it is there.
    pub(super) fn take(&self) -> Option<T> {
        self.0.borrow_mut().answer.take()
    }
}

impl<T> Future for Taker<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if let Some(answer) = slot.answer.take() {
            return Poll::Ready(Some(answer));
        }
        if Rc::weak_count(&self.0) == 0 {
            return Poll::Ready(None);
        }
        match &mut slot.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<T>(taker: &mut Taker<T>, count: &Arc<Count>) -> Poll<Option<T>> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(taker).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn who_waits_is_woken_once_by_an_answer_or_by_its_end() {
        let wakes = Arc::new(Count(AtomicUsize::new(0)));
        let (giver, mut taker) = oneshot();
        assert_eq!(poll(&mut taker, &wakes), Poll::Pending);
        giver.give(7);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut taker, &wakes), Poll::Ready(Some(7)));
        assert_eq!(poll(&mut taker, &wakes), Poll::Ready(None), "once");

        let (giver, mut taker) = oneshot::<u8>();
        assert_eq!(poll(&mut taker, &wakes), Poll::Pending);
        drop(giver);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        assert_eq!(poll(&mut taker, &wakes), Poll::Ready(None));
    }

    #[test]
    fn an_answer_that_was_there_before_needs_no_wake_and_one_for_nobody_is_dropped() {
        let wakes = Arc::new(Count(AtomicUsize::new(0)));
        let (giver, taker) = oneshot();
        assert_eq!(taker.take(), None);
        giver.give("early");
        assert_eq!(taker.take(), Some("early"));
        let (giver, taker) = oneshot();
        drop(taker);
        giver.give("late");
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }
}
