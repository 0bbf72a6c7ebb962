//! Follows the frames (RFC 6455 section 5.2) in the bytes that come in, without keeping them: whether a message is
//! under way, and how many bytes of it are in memory.

/// Longest frame head in bytes.
const HEAD_BYTES_MAX: usize = 14;

/// Where the incoming bytes stand between two frames and two messages.
#[derive(Default)]
pub(super) struct Meter {
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// Bytes of the frame's payload that are still to come; `None` between two frames and within a head.
    payload_left: Option<u64>,
    frame_bytes: usize,
    message_bytes: usize,
    is_message_open: bool,
}

impl Meter {
    /// Sees bytes pass.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while let Some((first, rest)) = bytes.split_first() {
            match self.payload_left {
                Some(left) => {
                    let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.on_payload(n, left - n as u64);
                    bytes = &bytes[n..];
                }
                None => {
                    self.on_head(*first);
                    bytes = rest;
                }
            }
        }
    }

    fn on_head(&mut self, byte: u8) {
        self.head[self.head_len] = byte;
        self.head_len += 1;
        if self.head_len < 2 || self.head_len < head_bytes(self.head[1]) {
            return;
        }
        let length = match self.head[1] & 0x7f {
            126 => big_endian(&self.head[2..4]),
            127 => big_endian(&self.head[2..10]),
            short => u64::from(short),
        };
        self.head_len = 0;
        let is_data = self.head[0] & 0x08 == 0;
        if is_data {
            self.is_message_open = self.head[0] & 0x80 == 0;
        }
        self.on_payload(0, length);
    }

    fn on_payload(&mut self, n: usize, left: u64) {
        self.frame_bytes = self.frame_bytes.saturating_add(n);
        self.payload_left = (left > 0).then_some(left);
        if left == 0 {
            let frame_bytes = std::mem::take(&mut self.frame_bytes);
            let is_kept = self.is_message_open;
            self.message_bytes = if is_kept { self.message_bytes.saturating_add(frame_bytes) } else { 0 };
        }
    }

    /// Whether the last byte that passed ended a frame, and no message waits for more of them.
    pub(super) fn is_at_rest(&self) -> bool {
        self.head_len == 0 && self.payload_left.is_none() && !self.is_message_open
    }

    /// Bytes of a message under way that have come.
    pub(super) fn held_bytes(&self) -> usize {
        self.message_bytes.saturating_add(self.frame_bytes)
    }
}

fn head_bytes(second: u8) -> usize {
    let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length_bytes + mask_bytes
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands after each byte: at rest, bytes held.
    fn after_each(bytes: &[u8]) -> Vec<(bool, usize)> {
        let mut meter = Meter::default();
        bytes
            .iter()
            .map(|byte| {
                meter.take(&[*byte]);
                (meter.is_at_rest(), meter.held_bytes())
            })
            .collect()
    }

    #[test]
    fn a_masked_frame_is_at_rest_after_its_last_byte_only() {
        let steps = after_each(&[0x81, 0x82, 1, 2, 3, 4, b'a', b'b']);
        assert_eq!(steps.iter().position(|(is_at_rest, _)| *is_at_rest), Some(7));
        assert_eq!(steps[6].1, 1);
        assert_eq!(steps[7].1, 0);
    }

    #[test]
    fn fragments_are_held_until_the_last_whatever_control_frames_come_between() {
        let mut meter = Meter::default();
        meter.take(&[0x01, 0x02, b'a', b'b']);
        assert!(!meter.is_at_rest() && meter.held_bytes() == 2);
        meter.take(&[0x89, 0x01, b'p']);
        assert!(!meter.is_at_rest());
        meter.take(&[0x80, 0x01, b'c']);
        assert!(meter.is_at_rest() && meter.held_bytes() == 0);
    }

    #[test]
    fn long_lengths_are_read_and_chunks_make_no_difference() {
        let mut frame = vec![0x82, 126, 0x01, 0x2c];
        frame.extend([7; 300]);
        frame.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        frame.extend(vec![7; 65_536]);
        for size in [1, 7, 4096] {
            let mut meter = Meter::default();
            frame.chunks(size).for_each(|chunk| meter.take(chunk));
            assert!(meter.is_at_rest(), "{size}");
            meter.take(&[0x82]);
            assert!(!meter.is_at_rest());
        }
    }
}
