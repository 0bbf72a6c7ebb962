//! Cuts a stream into server-sent events or lines, as it comes. Holds at most one of them.

use crate::agent::input::Fault;

/// Longest event or line in bytes. Beyond: `Fault::TooLarge`.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Room that stays between frames, in bytes.
const KEPT_BYTES: usize = 2 * 1024;

/// How frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At an empty line: server-sent events.
    Events,
    /// At each line feed.
    Lines,
}

/// What came and was not given yet.
#[derive(Debug)]
pub struct Frames {
    cut: Cut,
    bytes: Vec<u8>,
    /// Bytes at the start that were given.
    given: usize,
    /// Bytes that were looked through.
    seen: usize,
    bytes_max: usize,
}

impl Frames {
    /// Nothing came.
    #[must_use]
    pub fn new(cut: Cut) -> Self {
        Self::bounded(cut, FRAME_BYTES_MAX)
    }

    /// As `new`, with another limit than `FRAME_BYTES_MAX`.
    #[must_use]
    pub fn bounded(cut: Cut, bytes_max: usize) -> Self {
        Self { cut, bytes: Vec::new(), given: 0, seen: 0, bytes_max }
    }

    /// Takes what came; to be followed by `take` until it gives nothing.
    ///
    /// # Errors
    /// The frame at hand is longer than the limit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes.drain(..self.given);
        self.seen -= self.given;
        self.given = 0;
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(Fault::TooLarge);
        }
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT_BYTES);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole frame with all that ends it.
    pub fn take(&mut self) -> Option<&[u8]> {
        let mut at = self.seen;
        while at < self.bytes.len() {
            if self.bytes[at] == b'\n' && (self.cut == Cut::Lines || self.is_empty_line(at)) {
                let from = self.given;
                (self.given, self.seen) = (at + 1, at + 1);
                return Some(&self.bytes[from..=at]);
            }
            at += 1;
        }
        self.seen = at;
        None
    }

    /// What is left at the end of the stream: a frame that nothing ended, or nothing.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.given..]
    }

    /// Whether the line that ends with the line feed here is empty.
    fn is_empty_line(&self, at: usize) -> bool {
        let line = &self.bytes[self.given..at];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.is_empty() || line.ends_with(b"\n")
    }
}

/// What the `data` lines of a server-sent event say; empty if it has none.
#[must_use]
pub fn data_of(event: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    for line in event.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(value) = line.strip_prefix(b"data:") else { continue };
        if !data.is_empty() {
            data.push(b'\n');
        }
        data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(cut: Cut, text: &str, step: usize) -> Vec<String> {
        let mut frames = Frames::new(cut);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            frames.push(piece).expect("short frames");
            while let Some(frame) = frames.take() {
                found.push(String::from_utf8_lossy(frame).into_owned());
            }
        }
        found.push(String::from_utf8_lossy(frames.rest()).into_owned());
        found
    }

    #[test]
    fn frames_are_the_same_however_the_stream_is_cut() {
        let text = "data: a\n\n: note\r\n\r\ndata: b\ndata: c\n\nrest";
        for step in 1..text.len() {
            let events = frames(Cut::Events, text, step);
            assert_eq!(events, ["data: a\n\n", ": note\r\n\r\n", "data: b\ndata: c\n\n", "rest"], "{step}");
            assert_eq!(
                frames(Cut::Lines, "{}\n{\"a\":1}\r\n", step),
                ["{}\n", "{\"a\":1}\r\n", ""],
                "{step}"
            );
        }
        assert_eq!(data_of(b"event: x\ndata: b\r\ndata:c\n\n"), b"b\nc");
        assert_eq!(data_of(b": note\n\n"), b"");
    }

    #[test]
    fn a_frame_that_never_ends_is_a_fault_and_room_is_given_back() {
        let mut frames = Frames::new(Cut::Lines);
        let mut taken = 0;
        while frames.push(&[b'x'; 1_000]).is_ok() {
            assert_eq!(frames.take(), None);
            taken += 1_000;
        }
        assert_eq!(taken, FRAME_BYTES_MAX / 1_000 * 1_000);
        let mut frames = Frames::new(Cut::Lines);
        frames.push(&[b'x'; FRAME_BYTES_MAX - 1]).expect("it fits");
        frames.push(b"\n").expect("it fits");
        assert_eq!(frames.take().map(<[u8]>::len), Some(FRAME_BYTES_MAX));
        frames.push(b"y").expect("there is room again");
        assert!(frames.bytes.capacity() <= KEPT_BYTES);
    }
}
