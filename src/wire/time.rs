//! Dates as text: RFC 3339 and the dates of HTTP. Pure arithmetic, no time zone database.
//!
//! Written dates are UTC with milliseconds, years 1970 to 9999; what lies outside is clamped.

use crate::agent::time::Wall;

/// The last millisecond that is written: 9999-12-31T23:59:59.999Z.
pub const WALL_MAX: Wall = Wall(253_402_300_799_999);

const DAY_MS: i64 = 86_400_000;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

/// `2026-11-21T00:36:11.123Z`, always 24 bytes. A time before 1970 is written as 1970-01-01T00:00:00.000Z.
#[must_use]
pub fn format_rfc3339(at: Wall) -> String {
    let p = parts(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        p.year, p.month, p.day, p.hour, p.minute, p.second, p.milli
    )
}

/// An IMF-fixdate (RFC 9110 section 5.6.7): `Sat, 21 Nov 2026 00:36:11 GMT`.
#[must_use]
pub fn format_http_date(at: Wall) -> String {
    let p = parts(at);
    let days = at.0.clamp(0, WALL_MAX.0) / DAY_MS;
    let weekday = WEEKDAYS[usize::try_from(days % 7).unwrap_or(0)];
    let month = MONTHS[usize::try_from(p.month - 1).unwrap_or(0) % 12];
    format!("{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT", p.day, p.year, p.hour, p.minute, p.second)
}

/// Reads ISO 8601 as our peers write it: `T` or a space between date and time, any number of fraction digits (cut to
/// milliseconds), `Z`, an offset with or without a colon, or no zone at all (then UTC: the Python services are naive).
/// A leap second counts as the second before. `None` outside the years 1970 to 9999.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Wall> {
    let b = text.as_bytes();
    if b.len() < 19 || b.len() > 64 || b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    if !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let at = |from: usize, to: usize| digits(&b[from..to]);
    let seconds =
        civil(at(0, 4)?, at(5, 7)?, at(8, 10)?)? * 86_400 + clock(at(11, 13)?, at(14, 16)?, at(17, 19)?)?;
    let (milli, rest) = fraction(&b[19..])?;
    in_range((seconds - offset(rest)?) * 1_000 + milli)
}

/// Reads an IMF-fixdate. The weekday is not compared with the date.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<Wall> {
    let b = text.trim_ascii().as_bytes();
    if b.len() != 29
        || &b[3..5] != b", "
        || &b[25..] != b" GMT"
        || b[7] != b' '
        || b[11] != b' '
        || b[16] != b' '
    {
        return None;
    }
    if b[19] != b':' || b[22] != b':' || !b[..3].is_ascii() {
        return None;
    }
    let month = MONTHS.iter().position(|month| month.as_bytes() == &b[8..11])?;
    let days = civil(digits(&b[12..16])?, i64::try_from(month).ok()? + 1, digits(&b[5..7])?)?;
    in_range((days * 86_400 + clock(digits(&b[17..19])?, digits(&b[20..22])?, digits(&b[23..25])?)?) * 1_000)
}

fn in_range(ms: i64) -> Option<Wall> {
    (0..=WALL_MAX.0).contains(&ms).then_some(Wall(ms))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// Seconds into the day.
fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3_600 + minute * 60 + second.min(59))
}

/// Milliseconds of a fraction, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', after)) = rest.split_first() else { return Some((0, rest)) };
    let len = after.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let milli = (0..3).fold(0, |sum, i| sum * 10 + if i < len { i64::from(after[i] - b'0') } else { 0 });
    Some((milli, &after[len..]))
}

/// Seconds that the written time is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2] => (sign, [*h1, *h2], [b'0', b'0']),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let seconds = clock(digits(&hour)?, digits(&minute)?, 0)?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Days since 1970-01-01 of a Gregorian date, years 0 to 9999 (Hinnant's `days_from_civil`); `None` if there is no such day.
fn civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > last {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// The inverse of `civil`, with the time of day.
fn parts(at: Wall) -> Parts {
    let ms = at.0.clamp(0, WALL_MAX.0);
    let (days, rest) = (ms / DAY_MS, ms % DAY_MS);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Parts {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted + 2) / 5 + 1,
        hour: rest / 3_600_000,
        minute: rest / 60_000 % 60,
        second: rest / 1_000 % 60,
        milli: rest % 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_rfc_3339() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-5, "1970-01-01T00:00:00.000Z"),
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_795_221_371_123, "2026-11-21T00:36:11.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (WALL_MAX.0, "9999-12-31T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in table {
            assert_eq!(format_rfc3339(Wall(ms)), text);
            assert_eq!(parse_rfc3339(text), Some(Wall(ms.clamp(0, WALL_MAX.0))), "{text}");
        }
    }

    #[test]
    fn every_day_reads_back() {
        for day in (0..WALL_MAX.0 / DAY_MS).step_by(13) {
            let at = Wall(day * DAY_MS + 45_296_000);
            assert_eq!(parse_rfc3339(&format_rfc3339(at)), Some(at));
            assert_eq!(parse_http_date(&format_http_date(at)), Some(at));
        }
    }

    #[test]
    fn peers_spellings_are_read() {
        let want = Some(Wall(1_795_221_371_120));
        for text in [
            "2026-11-21T00:36:11.12",
            "2026-11-21 00:36:11.120456",
            "2026-11-21T00:36:11,120Z",
            "2026-11-21t02:36:11.12+02:00",
            "2026-11-20T19:06:11.120-0530",
            "2026-11-21T02:36:11.12+02",
        ] {
            assert_eq!(parse_rfc3339(text), want, "{text}");
        }
        assert_eq!(parse_rfc3339("2016-12-31T23:59:60Z"), parse_rfc3339("2016-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11-21",
            "2026-13-21T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T00:60:00Z",
            "2026-11-21T00:00:61Z",
            "2026-11-21T00:00:00.Z",
            "2026-11-21T00:00:00ZZ",
            "2026-11-21T00:00:00+25:00",
            "2026-11-21T00:00:00+2",
            "1969-12-31T23:59:59Z",
            "+026-11-21T00:00:00Z",
            "2026-11-21T00:00:0\u{e9}",
            "\u{2026}2026-11-21T00:00:00",
            "0000-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn http_dates_are_fixdates_only() {
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Wall(784_111_777_000)));
        assert_eq!(format_http_date(Wall(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "\u{e9}\u{e9}, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }
}
