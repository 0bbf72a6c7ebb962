//! How many requests and how many wrong credentials an address may send. Pure: times are handed in, monotonic.
//!
//! Wrong credentials are counted exactly within the last minute; requests within windows that begin with an address's first.
//! The table is small and fixed. Who comes from very many addresses makes it forget quiet ones, but not those that have shown a
//! right credential, and is held by the count of all.

use std::net::IpAddr;

use super::access::Shown;
use crate::agent::limits::{GUESSES_MAX, GUESSES_PER_ADDRESS_MAX, KNOWN_TIME_MAX_S, THROTTLE_ADDRESSES_MAX};
use crate::agent::time::Mono;

/// Window in which wrong credentials are counted, in seconds.
const GUESS_WINDOW_S: u32 = 60;

/// Where requests come from, as far as it is told apart: an IPv4 address, or the first 64 bits of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// The place of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(u32::from(address))),
            IpAddr::V6(address) => {
                let mut half = [0; 8];
                half.copy_from_slice(&address.octets()[..8]);
                Self(u64::from_be_bytes(half))
            }
        }
    }
}

/// How many requests a place may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a window; 0: as many as it likes.
    pub requests: u32,
    /// Length of a window in seconds.
    pub window_s: u32,
}

/// What holds a request back, and for how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hold {
    /// Too many requests.
    pub rate: Option<u32>,
    /// Too many wrong credentials: another is not looked at.
    pub guesses: Option<u32>,
}

/// What is remembered of a place. Times are seconds from 1; 0 is never.
#[derive(Clone, Debug)]
struct Row {
    place: Place,
    guesses: [u32; GUESSES_PER_ADDRESS_MAX],
    window_from: u32,
    requests: u32,
    known: u32,
    guessed: u32,
    seen: u32,
}

/// The counts.
#[derive(Clone, Debug)]
pub struct Throttle {
    rate: Rate,
    rows: Vec<Row>,
    all: [u32; GUESSES_MAX],
    refused: [u64; 2],
}

impl Throttle {
    /// Nothing has been counted.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, rows: Vec::new(), all: [0; GUESSES_MAX], refused: [0; 2] }
    }

    /// Another rate from here on.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Requests refused since the start: for their rate, and for wrong credentials before them.
    #[must_use]
    pub fn refused(&self) -> [u64; 2] {
        self.refused
    }

    /// What would hold a request from there; nothing is counted.
    #[must_use]
    pub fn look(&self, now: Mono, place: Place) -> Hold {
        let now = seconds(now);
        let row = self.rows.iter().find(|row| row.place == place);
        let rate = row.and_then(|row| self.over_rate(now, row));
        let own = row.and_then(|row| over(&row.guesses, now));
        let is_known = row.is_some_and(|row| is_known(row, now));
        let all = if is_known { None } else { over(&self.all, now) };
        Hold { rate, guesses: own.max(all) }
    }

    /// A request has come from there: counts it, unless it is one too many, and says what holds it.
    pub fn admit(&mut self, now: Mono, place: Place) -> Hold {
        let hold = self.look(now, place);
        if hold.rate.is_none() && self.rate.requests > 0 {
            let window_s = self.rate.window_s;
            let now = seconds(now);
            let row = self.row(now, place);
            if row.window_from == 0 || now - row.window_from >= window_s {
                (row.window_from, row.requests) = (now, 0);
            }
            row.requests += 1;
        }
        hold
    }

    /// What came of it.
    pub fn note(&mut self, now: Mono, place: Place, shown: Shown) {
        let now = seconds(now);
        match shown {
            Shown::Nothing => {}
            Shown::Right => self.row(now, place).known = now,
            Shown::Wrong => {
                let row = self.row(now, place);
                row.guessed = now;
                push(&mut row.guesses, now);
                push(&mut self.all, now);
            }
            Shown::OverRate => self.refused[0] += 1,
            Shown::Held => self.refused[1] += 1,
        }
    }

    fn over_rate(&self, now: u32, row: &Row) -> Option<u32> {
        let passed = now - row.window_from;
        let is_over = self.rate.requests > 0
            && row.window_from > 0
            && passed < self.rate.window_s
            && row.requests >= self.rate.requests;
        is_over.then(|| self.rate.window_s - passed)
    }

    /// The row of a place, made if there is none; at the bound that of another goes.
    fn row(&mut self, now: u32, place: Place) -> &mut Row {
        let found = self.rows.iter().position(|row| row.place == place);
        let index = found.unwrap_or_else(|| self.make_room(now));
        if found.is_none() {
            let guesses = [0; GUESSES_PER_ADDRESS_MAX];
            let row = Row { place, guesses, window_from: 0, requests: 0, known: 0, guessed: 0, seen: now };
            if index == self.rows.len() {
                self.rows.push(row);
            } else {
                self.rows[index] = row;
            }
        }
        let row = &mut self.rows[index];
        row.seen = now;
        row
    }

    fn make_room(&self, now: u32) -> usize {
        if self.rows.len() < THROTTLE_ADDRESSES_MAX {
            return self.rows.len();
        }
        let worth = |row: &Row| (is_known(row, now), is_fresh(row.guessed, now), row.seen);
        let least = self.rows.iter().enumerate().min_by_key(|(_, row)| worth(row));
        least.map_or(0, |(index, _)| index)
    }
}

fn seconds(now: Mono) -> u32 {
    u32::try_from(now.0 / 1_000).unwrap_or(u32::MAX).saturating_add(1)
}

fn is_known(row: &Row, now: u32) -> bool {
    row.known > 0 && u64::from(now - row.known) < KNOWN_TIME_MAX_S
}

fn is_fresh(at: u32, now: u32) -> bool {
    at > 0 && now - at < GUESS_WINDOW_S
}

/// Seconds until one more may come, if the window is full.
fn over(times: &[u32], now: u32) -> Option<u32> {
    let oldest = times.iter().copied().min().filter(|oldest| is_fresh(*oldest, now))?;
    Some(GUESS_WINDOW_S - (now - oldest))
}

/// In the place of the oldest.
fn push(times: &mut [u32], now: u32) {
    if let Some(oldest) = times.iter_mut().min() {
        *oldest = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { requests: 5, window_s: 60 };

    fn throttle() -> Throttle {
        Throttle::new(RATE)
    }

    fn at(s: u64) -> Mono {
        Mono(s * 1_000)
    }

    fn far(n: u32) -> Place {
        Place::of(IpAddr::V4((0x0a00_0000 + n).into()))
    }

    #[test]
    fn of_ipv6_the_network_counts_and_mapped_addresses_are_ipv4() {
        let place = |text: &str| Place::of(text.parse().unwrap());
        assert_eq!(place("2001:db8:1:2::1"), place("2001:db8:1:2:ffff::9"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
        assert_eq!(place("::ffff:10.0.0.1"), place("10.0.0.1"));
    }

    #[test]
    fn requests_are_held_until_their_window_is_over() {
        let mut throttle = throttle();
        for _ in 0..5 {
            assert_eq!(throttle.admit(at(10), far(1)), Hold::default());
        }
        assert_eq!(throttle.admit(at(10), far(1)).rate, Some(60));
        assert_eq!(throttle.admit(at(69), far(1)).rate, Some(1));
        assert_eq!(throttle.admit(at(69), far(2)), Hold::default(), "another address is another matter");
        assert_eq!(throttle.admit(at(70), far(1)), Hold::default());
        throttle.set_rate(Rate { requests: 0, window_s: 60 });
        assert!((0..1_000).all(|_| throttle.admit(at(70), far(1)) == Hold::default()));
    }

    #[test]
    fn ten_wrong_credentials_within_a_minute_are_the_last() {
        let mut throttle = throttle();
        for s in 0..10 {
            assert_eq!(throttle.look(at(s), far(1)), Hold::default(), "{s}");
            throttle.note(at(s), far(1), Shown::Wrong);
        }
        assert_eq!(throttle.look(at(10), far(1)).guesses, Some(50));
        assert_eq!(throttle.look(at(59), far(1)).guesses, Some(1));
        assert_eq!(throttle.look(at(10), far(2)).guesses, None);
        // One is forgotten each second from here on, and one more may come.
        assert_eq!(throttle.look(at(60), far(1)).guesses, None);
        throttle.note(at(60), far(1), Shown::Wrong);
        assert_eq!(throttle.look(at(60), far(1)).guesses, Some(1));
        throttle.note(at(60), far(1), Shown::Held);
        throttle.note(at(60), far(1), Shown::OverRate);
        assert_eq!(throttle.refused(), [1, 1]);
    }

    #[test]
    fn sixty_of_all_hold_everybody_who_is_not_known() {
        let mut throttle = throttle();
        throttle.note(at(0), far(900), Shown::Right);
        for n in 0..60 {
            assert_eq!(throttle.look(at(100), far(n)).guesses, None, "{n}");
            throttle.note(at(100), far(n), Shown::Wrong);
        }
        assert_eq!(throttle.look(at(100), far(1_000)).guesses, Some(60));
        assert_eq!(throttle.look(at(100), far(900)).guesses, None, "it was right within the hour");
        assert_eq!(throttle.look(at(160), far(1_000)).guesses, None);
        for n in 0..60 {
            throttle.note(at(3_700), far(n), Shown::Wrong);
        }
        assert!(throttle.look(at(3_700), far(900)).guesses.is_some(), "that was more than an hour ago");
    }

    #[test]
    fn a_million_addresses_leave_the_table_as_small_and_those_who_are_known_in_it() {
        let mut throttle = throttle();
        for n in 0..20 {
            throttle.note(at(1), far(n), Shown::Right);
        }
        let mut looked_at = 0;
        for n in 0..1_000_000 {
            let now = Mono(1_000 + u64::from(n) / 20);
            let place = far(100 + n);
            if throttle.admit(now, place).guesses.is_none() {
                looked_at += 1;
                throttle.note(now, place, Shown::Wrong);
            }
        }
        assert_eq!(looked_at, 60, "in 50 seconds, from all of them");
        assert_eq!((throttle.rows.len(), throttle.rows.capacity()), (THROTTLE_ADDRESSES_MAX, 256));
        for n in 0..20 {
            assert_eq!(throttle.look(at(51), far(n)), Hold::default(), "{n} is known");
        }
        assert!(size_of::<Row>() <= 72);
    }

    #[test]
    fn a_monotonic_clock_of_a_hundred_years_is_no_trouble() {
        let mut throttle = throttle();
        let late = Mono(u64::from(u32::MAX) * 1_000);
        assert_eq!(throttle.look(late, far(1)), Hold::default());
        throttle.note(late, far(1), Shown::Wrong);
        assert_eq!(throttle.admit(late, far(1)), Hold::default());
        assert_eq!(throttle.admit(Mono(u64::MAX), far(1)), Hold::default());
    }
}
