//! Newtypes for everything that is counted, so that one number is never taken for another.

use std::fmt;

/// Place of an event in the ledger. The first is 1; 0 means "before the first".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which ledger an event was written to: random, made with the file, kept by a salvage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LedgerId(pub u32);

/// The public name of an event: 12 hex digits of its place, a dash, 8 hex digits of its ledger.
/// Sorts as text in the order of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Place in the ledger.
    pub seq: Seq,
    /// The ledger.
    pub ledger: LedgerId,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each webhook is told its event: no format strings.
        let mut text = [b'-'; 21];
        put_hex(&mut text[..12], self.seq.0);
        put_hex(&mut text[13..], self.ledger.0.into());
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Fills a text with the last digits of a number.
fn put_hex(text: &mut [u8], mut number: u64) {
    for place in text.iter_mut().rev() {
        *place = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Bytes as hex digits in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

impl EventId {
    /// Reads what `Display` writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seq, ledger) = text.split_once('-')?;
        let hex = |part: &str, digits: usize| {
            (part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                .then(|| u64::from_str_radix(part, 16).ok())
                .flatten()
        };
        Some(Self { seq: Seq(hex(seq, 12)?), ledger: LedgerId(u32::try_from(hex(ledger, 8)?).ok()?) })
    }
}

/// One call to a peer. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One link to the event bus, or one try to open it. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One request of a client that waits for its answer. Chosen by the shell, never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One commit. Tickets complete in the order in which they were given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Sent as `X-Correlation-Id` with a call and written into the logs: 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CorrelationId(pub u128);

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A reader of the ledger: ALEX OS over HTTP or over its event bus, or one `[[webhooks]]` entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The event receiver of ALEX OS.
    Alexos,
    /// The event bus of ALEX OS. Its cursor is kept in memory only (see `bus.rs`).
    Bus,
    /// A `[[webhooks]]` entry, by the stable key of its URL (`HookSetup::key`), so that its cursor
    /// survives a reordering of the config file.
    Hook(String),
}

impl Destination {
    /// The name of its row in the ledger's `cursors` table, and in `/status`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Alexos => "alex_os".to_owned(),
            Self::Bus => "alex_os_bus".to_owned(),
            Self::Hook(key) => format!("webhook:{key}"),
        }
    }
}

/// The first 16 bytes of the SHA-256 of a caller's `webhook-id` or `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupeKey(pub [u8; 16]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_and_sorts_as_text() {
        let id = |seq| EventId { seq: Seq(seq), ledger: LedgerId(0xdead_beef) };
        assert_eq!(id(66).to_string(), "000000000042-deadbeef");
        assert_eq!(EventId::parse("000000000042-deadbeef"), Some(id(66)));
        assert!(id(9).to_string() < id(10).to_string());
        for bad in [
            "",
            "0",
            "42-deadbeef",
            "000000000042-DEADBEEF",
            "000000000042-deadbeef0",
            "+00000000042-deadbeef",
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }
}
