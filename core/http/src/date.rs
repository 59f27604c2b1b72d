//! The date format of HTTP (IMF-fixdate, RFC 9110 section 5.6.7) from a given time.
//!
//! Has no clock: the caller gives the seconds and caches the result for as long as the second lasts.

/// A formatted date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; HttpDate::LEN]);

const SECONDS_PER_DAY: u64 = 86_400;
/// The last second of the year 9999; four digits hold no later year.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

impl HttpDate {
    /// Bytes of a date.
    pub const LEN: usize = 29;

    /// Formats a time in seconds since 1970-01-01 UTC. Times after the year 9999 are written as its last second.
    pub fn from_unix_seconds(seconds: u64) -> HttpDate {
        let seconds = seconds.min(UNIX_SECONDS_MAX);
        let days = seconds / SECONDS_PER_DAY;
        let second = seconds % SECONDS_PER_DAY;
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(&b"ThuFriSatSunMonTueWed"[(days % 7) as usize * 3..][..3]);
        two_digits(&mut text[5..7], day);
        text[8..11]
            .copy_from_slice(&b"JanFebMarAprMayJunJulAugSepOctNovDec"[(month - 1) as usize * 3..][..3]);
        two_digits(&mut text[12..14], year / 100);
        two_digits(&mut text[14..16], year % 100);
        two_digits(&mut text[17..19], second / 3600);
        two_digits(&mut text[20..22], second / 60 % 60);
        two_digits(&mut text[23..25], second % 60);
        HttpDate(text)
    }

    /// The bytes of the date.
    pub fn as_bytes(&self) -> &[u8; HttpDate::LEN] {
        &self.0
    }
}

fn two_digits(place: &mut [u8], number: u64) {
    place[0] = b'0' + (number / 10) as u8;
    place[1] = b'0' + (number % 10) as u8;
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
///
/// Counts in eras of 400 years from 1 March of the year 0, so that the leap day is the last of its year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    const DAYS_TO_1970: u64 = 719_468;
    let shifted = days + DAYS_TO_1970;
    let era = shifted / DAYS_PER_ERA;
    let day_of_era = shifted % DAYS_PER_ERA;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let cases: &[(u64, &str)] = &[
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for &(seconds, text) in cases {
            let date = HttpDate::from_unix_seconds(seconds);
            assert_eq!(std::str::from_utf8(date.as_bytes()).unwrap(), text);
        }
    }
}
