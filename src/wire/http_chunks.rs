//! A strict look at a body in chunks as it passes (RFC 9112 section 7.1): what is behind a doubt is shown to nobody.
//!
//! ```text
//!   size --> data --> size ... --0--> trailers --> end
//! ```
//!
//! Not here: what the body says, and bounds of its size.

use super::http_head::is_token;

/// Most digits of a chunk's size: 2^60 bytes are more than anybody sends.
const DIGITS_MAX: u8 = 15;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastEnd,
    End,
}

/// How far a body in chunks has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunks {
    at: At,
    digits: u8,
    /// Bytes of the chunk at hand that are still to come.
    left: u64,
}

impl Chunks {
    /// Takes the next bytes; how many of them are as they must be. What follows the body's end belongs to nobody, and passes.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            if self.at == At::Data && self.left > 0 {
                let rest = bytes.len() - taken;
                let passed = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.left -= passed as u64;
                taken += passed;
                continue;
            }
            match self.next(*byte) {
                Some(at) => self.at = at,
                None => break,
            }
            taken += 1;
        }
        taken
    }

    /// Where a byte leads; `None`: nowhere.
    fn next(&mut self, byte: u8) -> Option<At> {
        let is_text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        match (self.at, byte) {
            (At::Size, b';' | b' ' | b'\t') if self.digits > 0 => Some(At::Extension),
            (At::Size | At::Extension, b'\r') if self.digits > 0 => Some(At::SizeEnd),
            (At::Size, _) => self.digit(byte),
            (At::Extension, _) if is_text => Some(At::Extension),
            (At::SizeEnd, b'\n') => Some(if self.left == 0 { At::Trailer } else { At::Data }),
            (At::Data, b'\r') => Some(At::DataEnd),
            (At::DataEnd, b'\n') => {
                self.digits = 0;
                Some(At::Size)
            }
            (At::Trailer, b'\r') => Some(At::LastEnd),
            (At::Trailer | At::TrailerName, _) if is_token(byte) => Some(At::TrailerName),
            (At::TrailerName, b':') => Some(At::TrailerValue),
            (At::TrailerValue, b'\r') => Some(At::TrailerEnd),
            (At::TrailerValue, _) if is_text => Some(At::TrailerValue),
            (At::TrailerEnd, b'\n') => Some(At::Trailer),
            (At::LastEnd, b'\n') | (At::End, _) => Some(At::End),
            _ => None,
        }
    }

    fn digit(&mut self, byte: u8) -> Option<At> {
        let digit = char::from(byte).to_digit(16)?;
        self.digits += 1;
        self.left = (self.left << 4) | u64::from(digit);
        (self.digits <= DIGITS_MAX).then_some(At::Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes pass, given whole and one at a time.
    fn passed(body: &[u8]) -> usize {
        let whole = Chunks::default().take(body);
        let mut slowly = Chunks::default();
        let singly = body.iter().take_while(|byte| slowly.take(&[**byte]) == 1).count();
        assert_eq!(whole, singly, "{}", body.escape_ascii());
        whole
    }

    #[test]
    fn a_body_passes_whole_and_so_does_what_follows_it() {
        for body in [
            "3\r\nabc\r\n0\r\n\r\n",
            "0\r\n\r\n",
            "0003;a=b;c=\"d;e\"\r\n\r\n\r\r\n00\r\n\r\n",
            "A \t\r\n0123456789\r\n0;x\r\nX: y\r\nZ:\r\n\r\n",
            "0\r\n\r\nanything\n\0",
        ] {
            assert_eq!(passed(body.as_bytes()), body.len(), "{}", body.escape_default());
        }
    }

    #[test]
    fn it_ends_where_the_first_doubt_is() {
        for (body, good) in [
            ("\r\n", 0),
            ("+3\r\n", 0),
            (" 3\r\n", 0),
            (";x\r\n", 0),
            ("0x3\r\n", 1),
            ("3\nabc", 1),
            ("3\r3", 2),
            ("3;\0\r\n", 2),
            ("3;\rx\r\n", 3),
            ("3\r\nabcd\r\n", 6),
            ("3\r\nabc\n", 6),
            ("3\r\nabc\r0", 7),
            ("1000000000000000\r\n", 15),
            ("0\r\n\n", 3),
            ("0\r\n\rx", 4),
            ("0\r\n: x\r\n\r\n", 3),
            ("0\r\nX: y\n\r\n", 7),
            ("0\r\nX: y\r\n z\r\n\r\n", 9),
            ("0\r\nGET / HTTP/1.1\r\n\r\n", 6),
        ] {
            assert_eq!(passed(body.as_bytes()), good, "{}", body.escape_default());
        }
    }
}
