//! Which ids of callers were seen, in memory. The table has them in the order in which they came, so that a commit writes
//! to one end of it and not to a page for each id; where an id is in the table is what this says.
//!
//! Eight bytes for each id: half of its first eight bytes, and half of its place. Whoever finds a place here looks into
//! the table whether it is the same id.

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// Four bytes of the id above the lower half of its place, in order.
    entries: Vec<u64>,
    /// The newest place.
    newest: u64,
}

/// The lower half.
const LOW: u64 = u32::MAX as u64;

impl Ids {
    pub(super) fn insert(&mut self, id: &[u8; 16], seq: u64) {
        self.newest = self.newest.max(seq);
        let entry = head(id) | seq & LOW;
        if let Err(place) = self.entries.binary_search(&entry) {
            if self.entries.len() == self.entries.capacity() {
                // By an eighth, where a vector of its own accord doubles.
                self.entries.reserve_exact(self.entries.len() / 8 + 64);
            }
            self.entries.insert(place, entry);
        }
    }

    /// The places where this id may be, the oldest first where all are within 2^32 of the newest.
    pub(super) fn places(&self, id: &[u8; 16]) -> impl Iterator<Item = u64> {
        let from = self.entries.partition_point(|entry| *entry < head(id));
        let fitting = self.entries[from..].iter().take_while(move |entry| **entry & !LOW == head(id));
        fitting.map(|entry| self.place(*entry))
    }

    /// Forgets what lies before this place.
    pub(super) fn forget_before(&mut self, oldest: u64) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| self.place(*entry) >= oldest);
        self.entries = entries;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The whole place: the newest with this lower half that is not above the newest of all.
    fn place(&self, entry: u64) -> u64 {
        let place = self.newest & !LOW | entry & LOW;
        if place > self.newest { place.saturating_sub(LOW + 1) } else { place }
    }
}

fn head(id: &[u8; 16]) -> u64 {
    let [a, b, c, d, ..] = *id;
    u64::from(u32::from_be_bytes([a, b, c, d])) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u8, last: u8) -> [u8; 16] {
        let mut id = [first; 16];
        id[15] = last;
        id
    }

    fn places(ids: &Ids, id: [u8; 16]) -> Vec<u64> {
        ids.places(&id).collect()
    }

    #[test]
    fn an_id_is_found_where_it_was_put_with_all_that_begin_alike() {
        let mut ids = Ids::default();
        for (first, last, seq) in [(7, 1, 10), (7, 2, 12), (0, 0, 11), (255, 0, 13), (7, 1, 10)] {
            ids.insert(&id(first, last), seq);
        }
        assert_eq!(places(&ids, id(7, 9)), [10, 12]);
        assert_eq!(places(&ids, id(0, 0)), [11]);
        assert_eq!(places(&ids, id(255, 0)), [13]);
        assert_eq!(places(&ids, id(8, 0)), []);
        assert_eq!(ids.len(), 4, "the same again is no second one");
    }

    #[test]
    fn places_are_whole_across_the_end_of_the_lower_half() {
        let mut ids = Ids::default();
        let edge = 5 << 32;
        ids.insert(&id(1, 0), edge - 1);
        ids.insert(&id(2, 0), edge + 1);
        assert_eq!(places(&ids, id(1, 0)), [edge - 1]);
        assert_eq!(places(&ids, id(2, 0)), [edge + 1]);
    }

    #[test]
    fn what_lies_before_is_forgotten() {
        let mut ids = Ids::default();
        (1..=9).for_each(|seq| ids.insert(&id(seq as u8, 0), seq));
        ids.forget_before(4);
        assert_eq!(ids.len(), 6);
        assert_eq!(places(&ids, id(3, 0)), []);
        assert_eq!(places(&ids, id(4, 0)), [4]);
    }
}
