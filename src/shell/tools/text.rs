//! What a tool says: bounded, plain, and honest about what was left out.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;

use crate::agent::brain::speech::ToolResult;

/// The first and the last bytes of something that may be long.
#[derive(Debug)]
pub(super) struct Ends {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    seen: u64,
}

impl Ends {
    /// At most `bytes_max` bytes are kept.
    pub(super) fn new(bytes_max: u32) -> Self {
        let half = usize::try_from(bytes_max / 2).unwrap_or(usize::MAX).max(1);
        Self { head: Vec::new(), tail: VecDeque::new(), half, seen: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.half)..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.half);
        self.tail.drain(..over);
        self.tail.extend(rest);
    }

    /// Bytes that came in all.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// As text, with a note where something is missing or could not be read.
    pub(super) fn into_text(mut self) -> String {
        let dropped = self.seen - (self.head.len() + self.tail.len()) as u64;
        if dropped == 0 {
            self.head.extend(self.tail);
            return plain(&self.head);
        }
        let head = plain(&self.head[..whole(&self.head)]);
        let tail: Vec<u8> = self.tail.into_iter().skip_while(|b| b & 0xc0 == 0x80).collect();
        format!("{head}\n[{dropped} bytes left out here]\n{}", plain(&tail))
    }
}

/// Bytes before a character that is not there to its end.
pub(super) fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(fault) if fault.error_len().is_none() => fault.valid_up_to(),
        Err(_) | Ok(_) => {
            // Something earlier is no text; the end may still be in the middle of a character.
            let start = bytes.iter().rposition(|b| b & 0xc0 != 0x80).unwrap_or(0);
            match std::str::from_utf8(&bytes[start..]) {
                Err(fault) if fault.error_len().is_none() && bytes.len() - start < 4 => start,
                _ => bytes.len(),
            }
        }
    }
}

/// Text as it is; of anything else what can be read, with a note.
pub(super) fn plain(bytes: &[u8]) -> String {
    match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Borrowed(text) => text.to_owned(),
        std::borrow::Cow::Owned(mut text) => {
            text.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}]");
            text
        }
    }
}

/// It did what it was asked.
pub(super) fn done(text: String) -> ToolResult {
    ToolResult { is_ok: true, text, exit_code: None }
}

/// It did not, and why.
pub(super) fn failed(why: impl Into<String>) -> ToolResult {
    ToolResult { is_ok: false, text: why.into(), exit_code: None }
}

/// An error of the system in words that help a model.
pub(super) fn words_of(error: &io::Error) -> String {
    let words = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => "there is no such file or folder",
        Some(Errno::LOOP) => "it is or passes through a symbolic link, and links are not followed",
        Some(Errno::XDEV) => "it leads out of the working folder",
        Some(Errno::NOTDIR) => {
            "a part of it is not a folder, or is a symbolic link, and links are not followed"
        }
        Some(Errno::ISDIR) => "it is a folder",
        Some(Errno::ACCESS | Errno::PERM) => "permission denied",
        Some(Errno::NOSPC | Errno::DQUOT) => "no space left on the disk",
        Some(Errno::ROFS) => "the file system is read-only",
        Some(Errno::NAMETOOLONG) => "a name is too long",
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// Leaves the last lines out where a text is longer than it may be, and says so.
pub(super) fn cut_lines(text: &mut String, bytes_max: u32) {
    let max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    if text.len() <= max {
        return;
    }
    let end = crate::wire::words::cut(text, max).rfind('\n').unwrap_or(0);
    let left_out = text.len() - end;
    text.truncate(end);
    text.push_str(&format!("\n[{left_out} bytes left out here]"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_the_two_ends_are_kept_and_the_gap_is_told() {
        let mut ends = Ends::new(8);
        ends.push(b"abc");
        ends.push(b"defgh");
        assert_eq!(ends.into_text(), "abcdefgh");
        let mut ends = Ends::new(8);
        for byte in b'a'..=b'z' {
            ends.push(&[byte]);
        }
        assert_eq!(ends.seen(), 26);
        assert_eq!(ends.into_text(), "abcd\n[18 bytes left out here]\nwxyz");
        let mut ends = Ends::new(8);
        ends.push(&[b'x'; 100_000]);
        assert_eq!(ends.into_text(), "xxxx\n[99992 bytes left out here]\nxxxx");
    }

    #[test]
    fn a_cut_through_characters_is_not_shown_as_damage() {
        let mut ends = Ends::new(8);
        ends.push("aéééééééééé".as_bytes());
        let text = ends.into_text();
        assert_eq!(text, "aé\n[13 bytes left out here]\néé");
        assert_eq!(whole("aé".as_bytes()), 3);
        assert_eq!(whole(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole(b"\xff\xc3"), 1);
        assert_eq!(whole(b"\xff\xff"), 2);
        assert_eq!(whole(b""), 0);
    }

    #[test]
    fn lines_are_left_out_whole() {
        let mut text = "one\ntwo\nthree\n".to_owned();
        cut_lines(&mut text, 9);
        assert_eq!(text, "one\ntwo\n[7 bytes left out here]");
        cut_lines(&mut text, 1_000);
        assert_eq!(text.lines().count(), 3);
    }
}
