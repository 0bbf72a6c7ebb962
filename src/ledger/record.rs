//! The frame of every value: a version byte, a CRC-32 over table, key and payload, the payload.
//!
//! redb does not check its pages when it reads them, so a flipped bit would pass for data. The table's tag and the key
//! are in the checksum too: a good value in a wrong place is as wrong as a bad one.

use redb::TableDefinition;

/// The first byte of every value.
const RECORD_VERSION: u8 = 1;
/// Version byte and checksum.
const FRAME_BYTES: usize = 5;
/// Longest piece of a payload in one value. Longer payloads go on in further values, because a leaf with longer
/// values needs a page bigger than 4 KiB, and a capped file has no such page to give once it is fragmented.
pub(super) const CHUNK_BYTES_MAX: usize = 1_800;
/// Bits of a key of the parts table that count the parts of an event.
pub(super) const PART_BITS: u32 = 12;
/// Events have places below this: twelve hex digits.
pub(super) const SEQ_END: u64 = 1 << 48;

type Bytes = &'static [u8];

/// Place of an event -> its first piece.
pub(super) const EVENTS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("events");
/// `part_key` -> a further piece of an event.
pub(super) const PARTS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("parts");
/// Name of a destination -> the last event behind it.
pub(super) const CURSORS: TableDefinition<'_, &str, Bytes> = TableDefinition::new("cursors");
/// Place of an event -> the hashed id of the caller that it came from. `Ids` finds an id in it.
pub(super) const INBOX: TableDefinition<'_, u64, Bytes> = TableDefinition::new("inbox");
/// Name of a fact, or name, `#` and number of a further piece -> the piece.
pub(super) const FACTS: TableDefinition<'_, &str, Bytes> = TableDefinition::new("facts");
/// What the file is.
pub(super) const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");

/// Which table a value belongs to, as the checksum sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Event = 1,
    Part = 2,
    Cursor = 3,
    Inbox = 4,
    Fact = 5,
    Meta = 6,
    Talk = 7,
}

/// The value to store for a payload.
pub(super) fn seal(tag: Tag, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(FRAME_BYTES + payload.len());
    value.push(RECORD_VERSION);
    value.extend_from_slice(&checksum(tag, key, payload).to_le_bytes());
    value.extend_from_slice(payload);
    value
}

/// The payload of a stored value; `None` if the value is not what was stored there.
pub(super) fn unseal<'v>(tag: Tag, key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (frame, payload) = value.split_at_checked(FRAME_BYTES)?;
    let (version, crc) = frame.split_first()?;
    let crc = u32::from_le_bytes(crc.try_into().ok()?);
    (*version == RECORD_VERSION && crc == checksum(tag, key, payload)).then_some(payload)
}

fn checksum(tag: Tag, key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[tag as u8, RECORD_VERSION]);
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

/// A number as payload or as the key in a checksum.
pub(super) fn number_bytes(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// Reads `number_bytes`.
pub(super) fn number_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Key of a further piece of an event; `part` counts from 1.
pub(super) fn part_key(seq: u64, part: u16) -> u64 {
    (seq << PART_BITS) | u64::from(part)
}

/// How many pieces beyond the first a payload of `len` bytes needs.
pub(super) fn parts_of(len: usize) -> usize {
    len.div_ceil(CHUNK_BYTES_MAX).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_only_where_it_was_put() {
        let value = seal(Tag::Event, b"k", b"payload");
        assert_eq!(unseal(Tag::Event, b"k", &value), Some(&b"payload"[..]));
        assert_eq!(unseal(Tag::Part, b"k", &value), None);
        assert_eq!(unseal(Tag::Event, b"l", &value), None);
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let value = seal(Tag::Fact, b"name", b"some payload");
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(Tag::Fact, b"name", &bad), None, "bit {bit}");
        }
        for cut in 0..value.len() {
            assert_eq!(unseal(Tag::Fact, b"name", &value[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn parts_are_counted_beyond_the_first() {
        for (len, parts) in [(0, 0), (1, 0), (1_800, 0), (1_801, 1), (3_600, 1), (3_601, 2)] {
            assert_eq!(parts_of(len), parts, "{len}");
        }
    }
}
