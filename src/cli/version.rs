//! `version`: what this program was built from.

use super::out::{Failure, Out};

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit, 12 hex digits, or `unknown`.
pub const COMMIT: &str = env!("CHAINBOT_COMMIT");
/// Target triple.
pub const TARGET: &str = env!("CHAINBOT_TARGET");

/// When the source was committed (or `SOURCE_DATE_EPOCH`), in seconds since 1970; 0 if unknown.
pub fn built_at_s() -> i64 {
    env!("CHAINBOT_BUILT_AT").parse().unwrap_or(0)
}

/// One line: name, version, and in brackets the rest.
pub fn print(out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!("chainbot {VERSION} ({COMMIT} {TARGET}, {})", day(built_at_s())))
}

/// The calendar day of a Unix time (civil-from-days after Howard Hinnant's `chrono` paper), or `unknown time`.
fn day(seconds: i64) -> String {
    if seconds <= 0 {
        return "unknown time".to_owned();
    }
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_time_is_shown_as_its_day() {
        assert_eq!(day(0), "unknown time");
        assert_eq!(day(1_649_367_553), "2022-04-07");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(4_102_444_799), "2099-12-31");
    }
}
