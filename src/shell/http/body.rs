//! A request's body while it arrives: in pieces of one size, so that the room that many bodies gave up fits the next.

use super::port::Share;

/// Largest piece in bytes. hyper's own buffers are of this size, too.
const PIECE_BYTES: usize = 8 * 1024;

/// The bytes so far.
pub(super) struct Taken {
    announced: usize,
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Taken {
    /// `announced`: how many bytes the head promised, 0 if it promised none.
    pub(super) fn new(announced: usize) -> Taken {
        Taken { announced, full: Vec::new(), last: Vec::new() }
    }

    /// Bytes that have arrived.
    pub(super) fn len(&self) -> usize {
        self.full.iter().map(Vec::len).sum::<usize>() + self.last.len()
    }

    /// Takes bytes in, and room for them of the share. Declines if all bodies together would be too large.
    pub(super) fn try_push(&mut self, data: &[u8], share: &mut Share) -> bool {
        let mut data = data;
        while !data.is_empty() {
            if self.last.len() == PIECE_BYTES {
                self.full.push(std::mem::take(&mut self.last));
            }
            let (now, later) = data.split_at(data.len().min(PIECE_BYTES - self.last.len()));
            if !self.make_room(now.len(), share) {
                return false;
            }
            self.last.extend_from_slice(now);
            data = later;
        }
        true
    }

    /// The room of a piece doubles, so that who sends one byte holds not much more; it never exceeds what was announced.
    fn make_room(&mut self, more: usize, share: &mut Share) -> bool {
        let wanted = self.last.len() + more;
        if wanted <= self.last.capacity() {
            return true;
        }
        let promised = self.announced.saturating_sub(self.full.len() * PIECE_BYTES);
        let doubled = wanted.next_power_of_two();
        let capacity = if promised >= wanted { doubled.min(promised) } else { doubled };
        if !share.try_grow(capacity - self.last.capacity()) {
            return false;
        }
        self.last.reserve_exact(capacity - self.last.len());
        true
    }

    /// The body in one; one of a single piece is not copied.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        if self.full.is_empty() {
            return self.last;
        }
        let mut whole = Vec::with_capacity(self.len());
        for piece in self.full {
            whole.extend_from_slice(&piece);
        }
        whole.extend_from_slice(&self.last);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::http::port::{Limits, Port};

    const LOCAL: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn share(bytes_max: usize) -> Share {
        let limits = Limits { body_bytes_max: bytes_max, bodies_bytes_max: bytes_max, ..Limits::default() };
        Share::new(&Port::new(limits), LOCAL)
    }

    #[test]
    fn a_body_comes_out_as_it_came_in_however_it_was_cut() {
        let sent: Vec<u8> = (0..30_000u32).map(|n| (n % 251) as u8).collect();
        for (announced, step) in [(30_000, 1), (30_000, 8_192), (0, 7_000), (30_000, 30_000), (10, 9_000)] {
            let (mut share, mut body) = (share(100_000), Taken::new(announced));
            assert!(sent.chunks(step).all(|data| body.try_push(data, &mut share)), "{announced} {step}");
            assert_eq!((body.len(), body.into_bytes()), (sent.len(), sent.clone()), "{announced} {step}");
        }
    }

    #[test]
    fn an_announced_body_takes_its_own_size_of_the_share_and_a_byte_more_is_declined() {
        let mut share = share(20_000);
        let mut body = Taken::new(20_000);
        assert!(body.try_push(&[1; 20_000], &mut share));
        assert!(!body.try_push(&[1], &mut share));
    }

    #[test]
    fn one_byte_of_a_large_body_takes_one_byte_of_the_share() {
        let mut share = share(20_000);
        assert!(
            Taken::new(20_000).try_push(&[1], &mut share)
                && Taken::new(20_000).try_push(&[1; 16_384], &mut share)
        );
    }
}
