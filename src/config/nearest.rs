//! The right name nearest to a mistyped one.

/// Longest name that is compared, in bytes. Beyond: none is near.
const NAME_BYTES_MAX: usize = 96;

/// The candidate that differs least from `name`, if it differs little: at most a third of its length.
pub fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let wanted = plain(name);
    let (distance, best) = candidates
        .into_iter()
        .map(|candidate| (distance(wanted.as_bytes(), plain(&candidate).as_bytes()), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (best.len() / 3).max(1)).then_some(best)
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', ' ', '.'], "_")
}

/// Insertions, deletions, changes and swaps of neighbours that make `b` of `a`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        for (a, b, edits) in
            [("", "", 0), ("a", "", 1), ("port", "prot", 1), ("host", "hots", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), edits, "{a} {b}");
        }
    }

    #[test]
    fn only_a_near_name_is_proposed() {
        let names = || ["host", "port"].map(str::to_owned);
        assert_eq!(nearest("PORT", names()).as_deref(), Some("port"));
        assert_eq!(nearest("ports", names()).as_deref(), Some("port"));
        assert_eq!(nearest("banana", names()), None);
        assert_eq!(nearest(&"p".repeat(1_000_000), names()), None);
    }
}
