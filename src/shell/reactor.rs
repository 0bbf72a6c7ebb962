//! What the loop sleeps in: one epoll for each thread that has a loop, its timers, and the futures that wait for them.
//!
//! Every source is registered once, edge-triggered, for both directions; what has not been read until the kernel says "would
//! block", or gives less than it could, is not asked for again, and what has been is not tried before the kernel says that there is more. Nobody else drives
//! it: a loop that works sleeps in no other place (decisions/0022). What always has something to read rests now and then: within one
//! poll of a task nobody else is run.
//!
//! Sources and timers belong to the thread that made them. Wakers go anywhere: one that is used while the loop sleeps
//! writes to an eventfd.

mod source;
mod timer;

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::Timespec;

pub use source::Async;
use source::Readiness;
pub use timer::Timer;
use timer::Timers;

/// What the kernel tells at once. More waits for the next turn.
const EVENTS_MAX: usize = 64;
/// What the eventfd is known by; sources are known by less.
const NOTICE: u64 = u64::MAX;
/// How long tasks that always find something to read or write may go on before the others' news is looked at.
const BREATH: Duration = Duration::from_millis(1);
/// How long one source may have something to read each time it is asked. Then its task rests: within one poll of it nobody else is run,
/// whatever the kernel told them.
const STRETCH: Duration = Duration::from_millis(1);
/// A longer sleep ends early, and begins anew.
const SLEEP_MAX: Duration = Duration::from_secs(86_400);

thread_local! {
    static REACTOR: OnceCell<Rc<Reactor>> = const { OnceCell::new() };
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers::new()) };
}

/// A reading of the monotonic clock for what sleeps here: it decides nothing but when to look again.
#[allow(
    clippy::disallowed_methods,
    reason = "the loop's own deadlines are the shell's and decide nothing else"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Runs a future to its end on this thread, and sleeps while it cannot go on.
///
/// # Panics
/// The kernel gives no epoll: most likely the process has no descriptors left. A source that was made before has said so.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let reactor = match Reactor::of_thread() {
        Ok(reactor) => reactor,
        Err(error) => panic!("the loop cannot be made: {error}"),
    };
    let mut work = pin!(work);
    let waker = Waker::from(Arc::clone(&reactor.notice));
    let mut cx = Context::from_waker(&waker);
    // What the kernel has to tell already is known to the first try.
    reactor.begin_round(true);
    loop {
        reactor.notice.is_woken.store(false, Ordering::SeqCst);
        if let Poll::Ready(done) = work.as_mut().poll(&mut cx) {
            return done;
        }
        reactor.begin_round(false);
    }
}

/// Goes on when everybody else who can has had a turn, and those whom the kernel has news for.
pub async fn rest() {
    let mut has_rested = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_rested, true) {
            return Poll::Ready(());
        }
        wake_rested(cx);
        Poll::Pending
    })
    .await;
}

/// Has the task woken when everybody else who can go on has had a turn.
pub fn wake_rested(cx: &Context<'_>) {
    match Reactor::of_thread() {
        Ok(reactor) => reactor.resting.borrow_mut().push(cx.waker().clone()),
        // Without a reactor nobody waits for anything.
        Err(_) => cx.waker().wake_by_ref(),
    }
}

/// How a loop that sleeps is woken.
struct Notice {
    is_woken: AtomicBool,
    is_asleep: AtomicBool,
    event: OwnedFd,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::SeqCst) && self.is_asleep.load(Ordering::SeqCst) {
            // It fails only if it has been written 2^64 times and never read. It is never read: each write is an edge.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }
}

struct Reactor {
    epoll: OwnedFd,
    notice: Arc<Notice>,
    sources: RefCell<Sources>,
    looked_at: Cell<Instant>,
    /// How often everybody who could go on has gone on.
    round: Cell<u64>,
    /// Who waits for the next round.
    resting: RefCell<Vec<Waker>>,
}

/// What is registered, by the number that epoll knows it by. A number that is free again is given with another generation, so
/// that an event for the one who is gone reaches nobody.
#[derive(Default)]
struct Sources {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    readiness: Option<Rc<Readiness>>,
}

impl Sources {
    fn insert(&mut self, readiness: Rc<Readiness>) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.readiness = Some(readiness);
        key_of(index, slot.generation)
    }

    fn remove(&mut self, key: u64) {
        let (index, generation) = parts_of(key);
        if let Some(slot) = self.slots.get_mut(index)
            && slot.generation == generation
        {
            slot.readiness = None;
            // 31 bits, so that no key is the eventfd's.
            slot.generation = generation.wrapping_add(1) & 0x7fff_ffff;
            self.free.push(index);
        }
    }

    fn get(&self, key: u64) -> Option<&Rc<Readiness>> {
        let (index, generation) = parts_of(key);
        self.slots.get(index).filter(|slot| slot.generation == generation)?.readiness.as_ref()
    }
}

fn key_of(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

fn parts_of(key: u64) -> (usize, u32) {
    ((key & 0xffff_ffff) as usize, (key >> 32) as u32)
}

impl Reactor {
    fn of_thread() -> io::Result<Rc<Self>> {
        REACTOR.with(|cell| {
            if let Some(reactor) = cell.get() {
                return Ok(Rc::clone(reactor));
            }
            let reactor = Rc::new(Self::new()?);
            Ok(Rc::clone(cell.get_or_init(|| reactor)))
        })
    }

    fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &event, EventData::new_u64(NOTICE), EventFlags::IN | EventFlags::ET)?;
        let notice = Notice { is_woken: AtomicBool::new(false), is_asleep: AtomicBool::new(false), event };
        Ok(Self {
            epoll,
            notice: Arc::new(notice),
            sources: RefCell::default(),
            looked_at: Cell::new(now()),
            round: Cell::new(0),
            resting: RefCell::default(),
        })
    }

    /// Watches a descriptor, which must not block.
    fn register(&self, source: impl AsFd) -> io::Result<(u64, Rc<Readiness>)> {
        let readiness = Rc::new(Readiness::default());
        let key = self.sources.borrow_mut().insert(Rc::clone(&readiness));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        match epoll::add(&self.epoll, source, EventData::new_u64(key), flags) {
            Ok(()) => Ok((key, readiness)),
            Err(error) => {
                self.sources.borrow_mut().remove(key);
                Err(error.into())
            }
        }
    }

    fn deregister(&self, key: u64, source: impl AsFd) {
        self.sources.borrow_mut().remove(key);
        // A descriptor that is closed next is forgotten by the kernel anyway.
        let _ = epoll::delete(&self.epoll, source);
    }

    /// Sleeps until something is to be done: a source, a timer or a waker; not at all if `at_once`.
    fn turn(&self, at_once: bool) {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; EVENTS_MAX];
        self.notice.is_asleep.store(true, Ordering::SeqCst);
        let patience = if at_once || self.notice.is_woken.load(Ordering::SeqCst) {
            Some(Duration::ZERO)
        } else {
            TIMERS.with_borrow(|timers| timers.patience())
        };
        let patience = patience.map(whole_ms);
        let told = epoll::wait(&self.epoll, &mut events, patience.as_ref());
        self.notice.is_asleep.store(false, Ordering::SeqCst);
        // Interrupted by a signal: nothing is told, and what is to be told is told in the next turn.
        if let Ok((told, _)) = told {
            for event in told {
                self.tell(event.data.u64(), event.flags);
            }
        }
        let rung = TIMERS.with_borrow_mut(Timers::ring);
        rung.into_iter().for_each(Waker::wake);
        self.looked_at.set(now());
    }

    /// Sleeps as `turn` does, but not while somebody rests: they go on behind those who have news.
    fn begin_round(&self, at_once: bool) {
        let is_anybody_resting = !self.resting.borrow().is_empty();
        self.turn(at_once || is_anybody_resting);
        self.round.set(self.round.get() + 1);
        self.resting.take().into_iter().for_each(Waker::wake);
    }

    /// Wakes whoever the kernel has news for, if nobody has looked for a while: an executor goes through many tasks before its
    /// own turn ends, and each of them may be long. The time.
    fn breathe(&self) -> Instant {
        let now = now();
        if now.saturating_duration_since(self.looked_at.get()) >= BREATH {
            self.turn(true);
        }
        now
    }

    fn tell(&self, key: u64, flags: EventFlags) {
        if key == NOTICE {
            return;
        }
        // Cloned, because a waker may drop other sources.
        let readiness = self.sources.borrow().get(key).cloned();
        if let Some(readiness) = readiness {
            let both = EventFlags::HUP | EventFlags::ERR;
            let ending = EventFlags::RDHUP | both;
            readiness.tell(
                flags.intersects(EventFlags::IN | ending),
                flags.intersects(EventFlags::OUT | both),
                flags.intersects(ending),
            );
        }
    }
}

/// Rounded up, so that a timer has come when the sleep is over.
fn whole_ms(time: Duration) -> Timespec {
    let ms = time.min(SLEEP_MAX).as_nanos().div_ceil(1_000_000);
    // At most a day.
    let ms = i64::try_from(ms).unwrap_or(i64::from(u32::MAX));
    Timespec { tv_sec: ms / 1_000, tv_nsec: (ms % 1_000 * 1_000_000) as _ }
}

#[cfg(test)]
mod tests;
