//! What all connections to the open port share: the limits, the seats, the counts and the wish to stop.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuard};
use rustls::ServerConfig;

use crate::agent::limits::{self, FOREIGN_HANDSHAKES_MAX, HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX};
use crate::shell::clock::system_now;
use crate::wire::time::format_http_date;

/// Watchers beyond this are woken rather than kept.
const WATCHERS_MAX: usize = 8;

/// The bounds of the open port; `default` takes them from `agent::limits`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at once; one of them is kept for loopback.
    pub connections_max: usize,
    /// Most connections at once while the port speaks TLS, which costs each of them more.
    pub tls_connections_max: usize,
    /// Most connections of one foreign address at once.
    pub connections_per_address_max: usize,
    /// Most requests under way at once.
    pub exchanges_max: usize,
    /// How many of them may be those of other machines.
    pub foreign_exchanges_max: usize,
    /// Whether loopback has the kept seat and no share per address.
    pub loopback_exempt: bool,
    /// Largest request body in bytes. Beyond: 413 and close.
    pub body_bytes_max: usize,
    /// Most bytes of request bodies held at once over all connections, the share of one largest body kept for
    /// loopback. Beyond: 503 and close.
    pub bodies_bytes_max: usize,
    /// Time for a head to arrive, from its first byte on; also the time for the first byte of a connection. Beyond:
    /// closed. As long again a request waits for its turn. Beyond: 503 and close.
    pub head_time_max: Duration,
    /// Time for a body to arrive, from the end of its head. Beyond: 408 and close.
    pub body_time_max: Duration,
    /// Time in which the client must take some bytes of an answer. Beyond: closed.
    pub write_stall_max: Duration,
    /// Time that a connection may wait between two requests. Beyond: closed.
    pub idle_time_max: Duration,
    /// Time for a client to read the last answer before its connection is dropped.
    pub linger_time_max: Duration,
    /// Time for the answers under way when the server stops.
    pub drain_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: limits::CONNECTIONS_MAX,
            tls_connections_max: limits::TLS_CONNECTIONS_MAX,
            connections_per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            exchanges_max: limits::EXCHANGES_MAX,
            foreign_exchanges_max: limits::FOREIGN_EXCHANGES_MAX,
            loopback_exempt: true,
            body_bytes_max: limits::BODY_BYTES_MAX,
            bodies_bytes_max: limits::BODIES_BYTES_MAX,
            head_time_max: Duration::from_millis(limits::HEAD_TIME_MAX_MS),
            body_time_max: Duration::from_millis(limits::BODY_TIME_MAX_MS),
            write_stall_max: Duration::from_millis(limits::WRITE_STALL_MAX_MS),
            idle_time_max: Duration::from_millis(limits::IDLE_TIME_MAX_MS),
            linger_time_max: Duration::from_millis(limits::LINGER_TIME_MAX_MS),
            drain_time_max: Duration::from_millis(limits::STOP_TIME_MAX_MS),
        }
    }
}

/// The open port: shared by its listeners and all of its connections.
pub struct Port {
    limits: Limits,
    seats: RefCell<Vec<Option<Taken>>>,
    watchers: RefCell<Vec<Waker>>,
    stopping: Cell<bool>,
    turns: Semaphore,
    foreign_turns: Semaphore,
    bodies_bytes: Cell<usize>,
    tls: RefCell<Option<Arc<ServerConfig>>>,
    handshakes: RefCell<Vec<IpAddr>>,
    turned_away: Cell<u64>,
    answers: [Cell<u64>; 5],
    /// A second, and how HTTP writes it.
    date: RefCell<(i64, String)>,
}

struct Taken {
    address: IpAddr,
    waker: Option<Waker>,
}

impl Port {
    /// A port without connections.
    pub fn new(limits: Limits) -> Rc<Port> {
        Rc::new(Port {
            limits,
            seats: RefCell::default(),
            watchers: RefCell::default(),
            stopping: Cell::new(false),
            turns: Semaphore::new(limits.exchanges_max),
            foreign_turns: Semaphore::new(limits.foreign_exchanges_max),
            bodies_bytes: Cell::new(0),
            tls: RefCell::default(),
            handshakes: RefCell::default(),
            turned_away: Cell::new(0),
            answers: Default::default(),
            date: RefCell::new((i64::MIN, String::new())),
        })
    }

    /// What new connections are shown under TLS; `None`: they have none. Those that are open go on as they are.
    pub fn set_tls(&self, tls: Option<Arc<ServerConfig>>) {
        *self.tls.borrow_mut() = tls;
    }

    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.borrow().clone()
    }

    /// A turn for the TLS handshake of a connection from `address`, if there is one.
    pub(super) fn try_handshake(&self, address: IpAddr) -> Option<Handshake<'_>> {
        let mut under_way = self.handshakes.borrow_mut();
        let is_exempt = self.limits.loopback_exempt && address.is_loopback();
        let foreign = under_way.iter().filter(|other| !other.is_loopback()).count();
        let own = under_way.iter().filter(|other| **other == address).count();
        let has_share = is_exempt || (foreign < FOREIGN_HANDSHAKES_MAX && own < HANDSHAKES_PER_ADDRESS_MAX);
        if under_way.len() >= HANDSHAKES_MAX || !has_share {
            return None;
        }
        under_way.push(address);
        Some(Handshake { port: self, address })
    }

    /// The bounds it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Open connections at the moment, at most `Limits::connections_max`.
    pub fn open(&self) -> usize {
        self.seats.borrow().iter().flatten().count()
    }

    /// Connections turned away since the start because there were too many.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.get()
    }

    /// Answers since the start by class of status: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx; refused heads included.
    pub fn answers(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.answers[class].get())
    }

    /// Asks all listeners and connections to stop: no new requests, those under way are answered.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.wake_seated();
        self.wake_watchers();
    }

    /// Whether `stop` was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Has every seated connection look again.
    pub(in crate::shell) fn wake_seated(&self) {
        let mut seats = self.seats.borrow_mut();
        let wakers: Vec<Waker> = seats.iter_mut().flatten().filter_map(|taken| taken.waker.take()).collect();
        drop(seats);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn count(&self, status: u16) {
        if let Some(counter) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.set(counter.get() + 1);
        }
    }

    /// Calls `tell` with the date of this second for an answer.
    pub(super) fn with_date(&self, tell: impl FnOnce(&str)) {
        let now = system_now();
        let second = now.0.div_euclid(1_000);
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            *date = (second, format_http_date(now));
        }
        tell(&date.1);
    }

    pub(super) fn count_turned_away(&self) {
        self.turned_away.set(self.turned_away.get() + 1);
    }

    pub(super) async fn stopped(&self) {
        poll_fn(|cx| {
            self.watch(cx);
            if self.is_stopping() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Registers for the next stop or the next connection's end, whichever is first.
    pub(in crate::shell) fn watch(&self, cx: &mut Context<'_>) {
        if self.watchers.borrow().len() >= WATCHERS_MAX {
            self.wake_watchers();
        }
        let mut watchers = self.watchers.borrow_mut();
        if !watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            watchers.push(cx.waker().clone());
        }
    }

    pub(super) fn wake_watchers(&self) {
        let watchers = std::mem::take(&mut *self.watchers.borrow_mut());
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Waits for the turn of a request from `address`, in the order asked.
    pub(super) async fn turn(&self, address: IpAddr) -> Turn<'_> {
        let is_exempt = self.limits.loopback_exempt && address.is_loopback();
        let foreign = if is_exempt { None } else { Some(self.foreign_turns.acquire().await) };
        Turn { _foreign: foreign, _any: self.turns.acquire().await }
    }

    /// The turn of a request from `address`, if it may have one at once.
    pub(super) fn try_turn(&self, address: IpAddr) -> Option<Turn<'_>> {
        let is_exempt = self.limits.loopback_exempt && address.is_loopback();
        let foreign = if is_exempt { None } else { Some(self.foreign_turns.try_acquire()?) };
        Some(Turn { _foreign: foreign, _any: self.turns.try_acquire()? })
    }

    /// A seat for a new connection from `address`, or `None` if there are too many.
    pub(in crate::shell) fn try_seat(self: &Rc<Port>, address: IpAddr) -> Option<Seat> {
        let mut seats = self.seats.borrow_mut();
        let open = seats.iter().flatten().count();
        let same = seats.iter().flatten().filter(|taken| taken.address == address).count();
        let is_exempt = self.limits.loopback_exempt && address.is_loopback();
        let most = match self.tls.borrow().as_ref() {
            Some(_) => self.limits.connections_max.min(self.limits.tls_connections_max),
            None => self.limits.connections_max,
        };
        let is_full = if is_exempt {
            open >= most
        } else {
            open + 1 >= most || same >= self.limits.connections_per_address_max
        };
        if is_full || self.is_stopping() {
            return None;
        }
        let index = seats.iter().position(Option::is_none).unwrap_or_else(|| {
            seats.push(None);
            seats.len() - 1
        });
        seats[index] = Some(Taken { address, waker: None });
        Some(Seat { port: self.clone(), index })
    }
}

/// The turn of a request, given back when dropped.
pub(super) struct Turn<'p> {
    _foreign: Option<SemaphoreGuard<'p>>,
    _any: SemaphoreGuard<'p>,
}

/// The turn of a TLS handshake, given back when dropped.
pub(super) struct Handshake<'p> {
    port: &'p Port,
    address: IpAddr,
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        let mut under_way = self.port.handshakes.borrow_mut();
        if let Some(index) = under_way.iter().position(|address| *address == self.address) {
            under_way.swap_remove(index);
        }
        drop(under_way);
        // Whoever waits for a turn is seated.
        self.port.wake_seated();
    }
}

/// A place among the connections, given back when dropped.
pub(in crate::shell) struct Seat {
    pub(in crate::shell) port: Rc<Port>,
    index: usize,
}

impl Seat {
    /// Whose connection it is.
    pub(super) fn address(&self) -> IpAddr {
        let seats = self.port.seats.borrow();
        seats
            .get(self.index)
            .and_then(Option::as_ref)
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |taken| taken.address)
    }

    /// Has the calling task woken when the port stops.
    pub(in crate::shell) fn watch_stop(&self, cx: &mut Context<'_>) {
        if let Some(Some(taken)) = self.port.seats.borrow_mut().get_mut(self.index) {
            match &mut taken.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(seat) = self.port.seats.borrow_mut().get_mut(self.index) {
            *seat = None;
        }
        self.port.wake_watchers();
    }
}

/// Bytes of request bodies held, given back when dropped.
pub(in crate::shell) struct Share {
    port: Rc<Port>,
    bytes_max: usize,
    bytes: usize,
}

impl Share {
    pub(in crate::shell) fn new(port: &Rc<Port>, address: IpAddr) -> Share {
        let kept = if address.is_loopback() { 0 } else { port.limits.body_bytes_max };
        let bytes_max = port.limits.bodies_bytes_max.saturating_sub(kept);
        Share { port: port.clone(), bytes_max, bytes: 0 }
    }

    /// Takes `bytes` more, or declines if all bodies together would be too large.
    pub(in crate::shell) fn try_grow(&mut self, bytes: usize) -> bool {
        let held = self.port.bodies_bytes.get() + bytes;
        if held > self.bytes_max {
            return false;
        }
        self.port.bodies_bytes.set(held);
        self.bytes += bytes;
        true
    }

    /// Gives back all of it.
    pub(in crate::shell) fn clear(&mut self) {
        self.port.bodies_bytes.set(self.port.bodies_bytes.get() - self.bytes);
        self.bytes = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn foreign(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn small() -> Rc<Port> {
        Port::new(Limits {
            connections_max: 4,
            connections_per_address_max: 2,
            body_bytes_max: 10,
            bodies_bytes_max: 25,
            ..Limits::default()
        })
    }

    #[test]
    fn strangers_leave_a_seat_for_loopback_and_each_has_a_share() {
        let port = small();
        let _first = (port.try_seat(foreign(1)).unwrap(), port.try_seat(foreign(1)).unwrap());
        assert!(port.try_seat(foreign(1)).is_none(), "the share of one address");
        let _second = port.try_seat(foreign(2)).unwrap();
        assert!(port.try_seat(foreign(3)).is_none(), "the kept seat");
        let local = port.try_seat(LOCAL).unwrap();
        assert!(port.try_seat(LOCAL).is_none(), "all seats");
        drop(local);
        assert!(port.try_seat(foreign(3)).is_none() && port.try_seat(LOCAL).is_some());
    }

    #[test]
    fn loopback_has_no_share_and_a_seat_given_back_is_used_again() {
        let port = small();
        let mut seats: Vec<Seat> = (0..4).map(|_| port.try_seat(LOCAL).unwrap()).collect();
        seats.remove(1);
        assert_eq!(port.open(), 3);
        assert!(port.try_seat(LOCAL).is_some_and(|seat| seat.index == 1));
    }

    #[test]
    fn handshakes_leave_room_for_other_machines_and_for_this_one() {
        let port = small();
        let of_one: Vec<_> =
            std::iter::from_fn(|| port.try_handshake(foreign(1))).take(HANDSHAKES_MAX).collect();
        assert_eq!(of_one.len(), HANDSHAKES_PER_ADDRESS_MAX);
        let others: Vec<_> = (2..20).filter_map(|last| port.try_handshake(foreign(last))).collect();
        assert_eq!(of_one.len() + others.len(), FOREIGN_HANDSHAKES_MAX);
        let local: Vec<_> = std::iter::from_fn(|| port.try_handshake(LOCAL)).take(HANDSHAKES_MAX).collect();
        assert_eq!(local.len(), HANDSHAKES_MAX - FOREIGN_HANDSHAKES_MAX);
        drop(of_one);
        assert!(port.try_handshake(foreign(1)).is_some());
    }

    #[test]
    fn nobody_is_seated_once_the_port_stops() {
        let port = small();
        port.stop();
        assert!(port.try_seat(LOCAL).is_none());
    }

    #[test]
    fn strangers_bodies_leave_room_for_one_of_loopback() {
        let port = small();
        let mut stranger = Share::new(&port, foreign(1));
        assert!(stranger.try_grow(15) && !stranger.try_grow(1));
        let mut local = Share::new(&port, LOCAL);
        assert!(local.try_grow(10) && !local.try_grow(1));
        drop(stranger);
        assert!(local.try_grow(15));
    }

    #[test]
    fn answers_are_counted_by_class() {
        let port = small();
        for status in [200, 204, 404, 503, 0, 999] {
            port.count(status);
        }
        assert_eq!(port.answers(), [0, 2, 0, 1, 1]);
    }
}
