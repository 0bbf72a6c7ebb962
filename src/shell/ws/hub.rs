//! Who is connected, and the small outboxes for what is no event. Events need none: each socket has a cursor.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use crate::api::sockets::{OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX, WindowSeat};
use crate::shell::http::{Limits, Port};
use crate::wire::windows::Window;

/// A stranger's share of the places: one in so many.
const SHARE: usize = 4;

/// The sockets of the open port.
pub struct Hub {
    /// Their places, apart from those of HTTP.
    places: Rc<Port>,
    members: RefCell<Vec<Option<Member>>>,
    last_id: Cell<u64>,
}

struct Member {
    seat: Option<WindowSeat>,
    outbox: VecDeque<Rc<str>>,
    outbox_bytes: usize,
    is_overrun: bool,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All sockets.
    pub sockets: u32,
    /// Those of each window, in the order of `Window::ALL`.
    pub windows: [u32; 6],
    /// Different users at windows.
    pub users: u32,
    /// Different sessions at windows.
    pub sessions: u32,
}

impl Hub {
    /// A hub with so many places, one of them kept for loopback.
    #[must_use]
    pub fn new(sockets_max: usize) -> Rc<Self> {
        let limits = Limits {
            connections_max: sockets_max,
            connections_per_address_max: (sockets_max / SHARE).max(1),
            ..Limits::default()
        };
        Rc::new(Self { places: Port::new(limits), members: RefCell::default(), last_id: Cell::new(0) })
    }

    /// The places.
    #[must_use]
    pub fn places(&self) -> &Rc<Port> {
        &self.places
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let members = self.members.borrow();
        let mut counts = Counts { sockets: to_u32(self.places.open()), ..Counts::default() };
        let (mut users, mut sessions) = (BTreeSet::new(), BTreeSet::new());
        for seat in members.iter().flatten().filter_map(|member| member.seat.as_ref()) {
            if let Some(index) = Window::ALL.iter().position(|window| *window == seat.window) {
                counts.windows[index] += 1;
            }
            users.insert(seat.user.as_str());
            sessions.extend(seat.session.as_deref());
        }
        counts.users = to_u32(users.len());
        counts.sessions = to_u32(sessions.len());
        counts
    }

    /// Puts a message into the outbox of everybody at a window; how many they are.
    pub fn tell(&self, window: Window, text: &str) -> usize {
        let text: Rc<str> = text.into();
        let mut members = self.members.borrow_mut();
        let mut count = 0;
        for member in members.iter_mut().flatten() {
            if member.seat.as_ref().is_some_and(|seat| seat.window == window) {
                member.push(&text);
                count += 1;
            }
        }
        drop(members);
        if count > 0 {
            self.places.wake_seated();
        }
        count
    }

    pub(super) fn join(self: &Rc<Self>, seat: Option<WindowSeat>) -> Membership {
        let member = Member { seat, outbox: VecDeque::new(), outbox_bytes: 0, is_overrun: false };
        let mut members = self.members.borrow_mut();
        let index = members.iter().position(Option::is_none).unwrap_or_else(|| {
            members.push(None);
            members.len() - 1
        });
        members[index] = Some(member);
        Membership { hub: Rc::clone(self), index }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Member {
    fn push(&mut self, text: &Rc<str>) {
        let has_room =
            self.outbox.len() < OUTBOX_MESSAGES_MAX && self.outbox_bytes + text.len() <= OUTBOX_BYTES_MAX;
        if !has_room {
            self.is_overrun = true;
            return;
        }
        self.outbox_bytes += text.len();
        self.outbox.push_back(Rc::clone(text));
    }
}

/// A socket among the others; it leaves when dropped.
pub(super) struct Membership {
    hub: Rc<Hub>,
    index: usize,
}

/// What waits for a socket beside events.
pub(super) enum Mail {
    Nothing,
    Text(Rc<str>),
    /// More came than the outbox holds.
    Overrun,
}

impl Membership {
    pub(super) fn has_mail(&self) -> bool {
        let members = self.hub.members.borrow();
        members
            .get(self.index)
            .and_then(Option::as_ref)
            .is_some_and(|member| member.is_overrun || !member.outbox.is_empty())
    }

    pub(super) fn take_mail(&self) -> Mail {
        let mut members = self.hub.members.borrow_mut();
        let Some(Some(member)) = members.get_mut(self.index) else { return Mail::Nothing };
        if member.is_overrun {
            return Mail::Overrun;
        }
        let Some(text) = member.outbox.pop_front() else { return Mail::Nothing };
        member.outbox_bytes -= text.len();
        if member.outbox.is_empty() {
            member.outbox = VecDeque::new();
        }
        Mail::Text(text)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(member) = self.hub.members.borrow_mut().get_mut(self.index) {
            *member = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(window: Window, user: &str, session: Option<&str>) -> Option<WindowSeat> {
        Some(WindowSeat { window, user: user.to_owned(), session: session.map(str::to_owned) })
    }

    #[test]
    fn a_message_reaches_everybody_at_its_window_and_nobody_else() {
        let hub = Hub::new(10);
        let one = hub.join(seat(Window::Chat, "a", Some("s")));
        let two = hub.join(seat(Window::Chat, "a", Some("t")));
        let other = hub.join(seat(Window::AgentMap, "b", None));
        let none = hub.join(None);
        assert_eq!(hub.tell(Window::Chat, "hi"), 2);
        for member in [&one, &two] {
            assert!(matches!(member.take_mail(), Mail::Text(text) if &*text == "hi"));
            assert!(!member.has_mail());
        }
        assert!(!other.has_mail() && !none.has_mail());
        let counts = hub.counts();
        assert_eq!((counts.windows, counts.users, counts.sessions), ([1, 0, 2, 0, 0, 0], 2, 2));
        drop((one, two));
        assert_eq!(hub.tell(Window::Chat, "hi"), 0);
    }

    #[test]
    fn an_outbox_that_is_full_overruns() {
        let hub = Hub::new(10);
        let member = hub.join(seat(Window::Chat, "a", None));
        for _ in 0..OUTBOX_MESSAGES_MAX {
            hub.tell(Window::Chat, "x");
        }
        assert!(matches!(member.take_mail(), Mail::Text(_)));
        hub.tell(Window::Chat, &"x".repeat(OUTBOX_BYTES_MAX));
        assert!(matches!(member.take_mail(), Mail::Overrun));
    }
}
