//! Foreign text made fit for logs, messages and status pages: one line, bounded, no control characters.

/// At most `max` bytes of `text` on one line: control characters (and those that turn the direction of writing) become
/// spaces, spaces at the ends go, and a cut is marked with an ellipsis. `max` is at least 3.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.trim().chars() {
        let c = if is_unprintable(c) { ' ' } else { c };
        if out.len() + c.len_utf8() > max {
            while out.len() + '…'.len_utf8() > max && out.pop().is_some() {}
            out.push('…');
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out
}

/// Overwrites with stars every part of `body`, of 8 bytes or more, that is also a part of `secret`, and a shorter secret where it stands
/// whole: some peers say in an error what they were shown. One of fewer than 4 bytes is in too many words to be told from them.
pub fn mask(body: &mut [u8], secret: &str) {
    const PART_BYTES: usize = 8;
    const SECRET_BYTES_MIN: usize = 4;
    let secret = secret.as_bytes();
    if secret.len() < SECRET_BYTES_MIN {
        return;
    }
    let size = secret.len().min(PART_BYTES);
    let is_part = |bytes: &[u8]| secret.windows(size).any(|part| part == bytes);
    let places: Vec<usize> =
        body.windows(size).enumerate().filter(|(_, bytes)| is_part(bytes)).map(|(at, _)| at).collect();
    for at in places {
        body[at..at + size].fill(b'*');
    }
}

/// Whether a character moves the pen instead of leaving ink: controls, and those that turn the direction of writing.
pub(super) fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `max` bytes of `text`, cut at a character. Nothing marks the cut.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_again_of_a_secret_is_masked_whole_or_in_part() {
        let masked = |body: &str, secret: &str| {
            let mut body = body.as_bytes().to_vec();
            mask(&mut body, secret);
            String::from_utf8(body).unwrap()
        };
        let secret = "sk-0123456789abcdef";
        assert_eq!(masked("no sk-0123456789abcdef!", secret), "no *******************!");
        assert_eq!(
            masked("sk-01234 and 9abcdef, and 89abcdef", secret),
            "******** and 9abcdef, and ********"
        );
        assert_eq!(masked("nothing", secret), "nothing");
        assert_eq!(masked("no hunter2, hunter", "hunter2"), "no *******, hunter");
        assert_eq!(masked("a pin is a pin", "pin"), "a pin is a pin");
        assert_eq!((masked("", "pw"), masked("x", "")), (String::new(), "x".to_owned()));
    }

    #[test]
    fn foreign_text_becomes_one_bounded_line() {
        assert_eq!(one_line("  a\r\nb\u{1b}[31m\u{202e}c ", 200), "a  b [31m c");
        assert_eq!(one_line("ééé", 6), "ééé");
        assert_eq!(one_line("éééé", 6), "é…");
        assert_eq!(one_line("abcdef", 5), "ab…");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("\n\n", 3), "");
        for max in 3..40 {
            assert!(one_line(&"日本é\u{1f600}a".repeat(9), max).len() <= max);
        }
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("é", 0), "");
    }
}
