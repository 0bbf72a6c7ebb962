//! Events as bytes. Little endian: time i64, source u8, severity u8, length of the type u8, length of the message u16,
//! length of the metadata u32, then the three texts in UTF-8 and nothing behind them.

use std::fmt;

use crate::agent::event::{Event, JsonText, Severity, Source};
use crate::agent::ids::Seq;
use crate::agent::time::Wall;

const FIXED_BYTES: usize = 8 + 1 + 1 + 1 + 2 + 4;

/// Why bytes are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeFault {
    /// They end before the event does.
    Short,
    /// They go on behind the event's end.
    Long,
    /// The number of a source or severity that this version does not know.
    Unknown,
    /// A text is not UTF-8.
    Text,
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "event ends too early",
            Self::Long => "bytes behind the event",
            Self::Unknown => "unknown source or severity",
            Self::Text => "text is not UTF-8",
        })
    }
}

/// What a filter looks at, read from the beginning of an event's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHead<'b> {
    /// As in `Event`.
    pub at: Wall,
    /// As in `Event`.
    pub kind: &'b str,
    /// As in `Event`.
    pub source: Source,
    /// As in `Event`.
    pub severity: Severity,
    message_bytes: usize,
    metadata_bytes: usize,
}

/// The bytes of an event; its place is the key that they are stored under.
/// A type beyond 255 bytes and a message beyond 65,535 are cut at a character.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    let kind = cut(&event.kind, usize::from(u8::MAX));
    let message = cut(&event.message, usize::from(u16::MAX));
    let metadata = cut(&event.metadata.0, u32::MAX as usize);
    let mut bytes = Vec::with_capacity(FIXED_BYTES + kind.len() + message.len() + metadata.len());
    bytes.extend_from_slice(&event.at.0.to_le_bytes());
    bytes.push(event.source as u8);
    bytes.push(event.severity as u8);
    bytes.push(kind.len() as u8);
    bytes.extend_from_slice(&(message.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(metadata.len() as u32).to_le_bytes());
    for text in [kind, message, metadata] {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The event that was stored at `seq` as these bytes.
///
/// # Errors
/// For any bytes that `encode` does not write.
pub fn decode(seq: Seq, bytes: &[u8]) -> Result<Event, DecodeFault> {
    let head = decode_head(bytes)?;
    let texts = bytes.get(FIXED_BYTES + head.kind.len()..).ok_or(DecodeFault::Short)?;
    let (message, metadata) = texts.split_at_checked(head.message_bytes).ok_or(DecodeFault::Short)?;
    match metadata.len().cmp(&head.metadata_bytes) {
        std::cmp::Ordering::Less => return Err(DecodeFault::Short),
        std::cmp::Ordering::Greater => return Err(DecodeFault::Long),
        std::cmp::Ordering::Equal => {}
    }
    Ok(Event {
        seq,
        at: head.at,
        kind: head.kind.to_owned(),
        source: head.source,
        severity: head.severity,
        message: text(message)?.to_owned(),
        metadata: JsonText(text(metadata)?.to_owned()),
    })
}

/// Reads time, type, source and severity; what follows may be missing.
///
/// # Errors
/// If these are missing or not what `encode` writes.
pub fn decode_head(bytes: &[u8]) -> Result<EventHead<'_>, DecodeFault> {
    let (fixed, texts) = bytes.split_first_chunk::<FIXED_BYTES>().ok_or(DecodeFault::Short)?;
    let [t0, t1, t2, t3, t4, t5, t6, t7, source, severity, kind, m0, m1, d0, d1, d2, d3] = *fixed;
    let kind = texts.get(..usize::from(kind)).ok_or(DecodeFault::Short)?;
    Ok(EventHead {
        at: Wall(i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
        kind: text(kind)?,
        source: nth(&Source::ALL, source)?,
        severity: nth(&Severity::ALL, severity)?,
        message_bytes: usize::from(u16::from_le_bytes([m0, m1])),
        metadata_bytes: u32::from_le_bytes([d0, d1, d2, d3]) as usize,
    })
}

fn nth<T: Copy>(all: &[T], number: u8) -> Result<T, DecodeFault> {
    all.get(usize::from(number)).copied().ok_or(DecodeFault::Unknown)
}

fn text(bytes: &[u8]) -> Result<&str, DecodeFault> {
    std::str::from_utf8(bytes).map_err(|_| DecodeFault::Text)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            seq: Seq(7),
            at: Wall(-5),
            kind: "workflow_started".to_owned(),
            source: Source::AlexOs,
            severity: Severity::Critical,
            message: "grüße".to_owned(),
            metadata: JsonText("{\"a\":1}".to_owned()),
        }
    }

    #[test]
    fn an_event_reads_back() {
        assert_eq!(decode(Seq(7), &encode(&event())), Ok(event()));
        for (source, severity) in Source::ALL.into_iter().zip(Severity::ALL) {
            let event = Event { source, severity, ..event() };
            assert_eq!(decode(Seq(7), &encode(&event)), Ok(event));
        }
    }

    #[test]
    fn the_numbers_of_sources_and_severities_are_their_places() {
        // The stored number is the discriminant and the reader indexes ALL: they must never drift apart.
        assert!(Source::ALL.iter().enumerate().all(|(place, source)| *source as usize == place));
        assert!(Severity::ALL.iter().enumerate().all(|(place, severity)| *severity as usize == place));
    }

    #[test]
    fn every_cut_is_short_and_every_addition_long() {
        let bytes = encode(&event());
        for cut in 0..bytes.len() {
            assert_eq!(decode(Seq(7), &bytes[..cut]), Err(DecodeFault::Short), "cut at {cut}");
        }
        assert_eq!(decode(Seq(7), &[&bytes[..], b"x"].concat()), Err(DecodeFault::Long));
    }

    #[test]
    fn changed_bytes_are_refused_or_read_without_panic() {
        let bytes = encode(&event());
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[place] = value;
                if let Ok(read) = decode(Seq(7), &bad) {
                    assert_eq!(encode(&read), bad, "only what encode writes may be read");
                }
            }
        }
    }

    #[test]
    fn too_long_texts_are_cut_at_a_character() {
        let long = Event { kind: "ü".repeat(200), message: "ü".repeat(40_000), ..event() };
        let read = decode(Seq(7), &encode(&long)).expect("reads back");
        assert_eq!((read.kind.len(), read.message.len()), (254, 65_534));
    }
}
