//! Sizes and durations as people type them: a whole number and a unit, nothing else.

use crate::{Error, ErrorKind, Result};
use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 6] =
    [("B", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40), ("P", 1 << 50)];

/// Parses a size: a whole number and `B K M G T P`, powers of 1024; also `KiB` and so on.
///
/// ```
/// assert_eq!(volary::parse_size("10G").unwrap(), 10 << 30);
/// assert_eq!(volary::parse_size("512MiB").unwrap(), 512 << 20);
/// let error = volary::parse_size("10GB").unwrap_err();
/// assert_eq!(error.remedy(), Some("write 10G for 10 × 1024³ bytes"));
/// ```
///
/// # Errors
/// [`ErrorKind::Usage`] for anything else, with the spelling that was probably meant. A bare number is refused
/// because `rbd` reads it as MiB and `qemu-img` as bytes.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = |why: &str| {
        Error::new(ErrorKind::Usage, format!("`{}` is not a size: {why}", crate::escape(text.as_bytes())))
    };
    let (digits, unit) = split_number(text);
    if digits.is_empty() {
        return Err(
            bad("it does not start with a number").hint("write a whole number and a unit, such as 10G")
        );
    }
    if unit.is_empty() {
        return Err(bad("it has no unit").hint(format!("write {digits}M for MiB or {digits}B for bytes")));
    }
    let short = unit.strip_suffix("iB").unwrap_or(unit);
    let known = SIZE_UNITS.iter().position(|(name, _)| *name == short).filter(|&i| i > 0 || unit == "B");
    let Some(index) = known else {
        let exponents = ["", "", "²", "³", "⁴", "⁵"];
        let meant = unit.chars().next().map(|c| c.to_ascii_uppercase());
        let guess = SIZE_UNITS.iter().position(|(name, _)| meant.is_some_and(|c| name.starts_with(c)));
        let error = if unit.starts_with('.') { bad("it is not whole") } else { bad("the unit is not known") };
        return Err(match guess {
            Some(0) => error.hint(format!("write {digits}B for {digits} bytes")),
            Some(i) => {
                let unit = SIZE_UNITS[i].0;
                error.hint(format!("write {digits}{unit} for {digits} × 1024{} bytes", exponents[i]))
            }
            None => error.hint(
                "write a whole number and one of B, K, M, G, T, P, such as 1536M for one and a half GiB",
            ),
        });
    };
    let number: u64 = digits.parse().map_err(|_| bad("the number is too large"))?;
    number.checked_mul(SIZE_UNITS[index].1).ok_or_else(|| bad("it is more than 2^64 bytes"))
}

/// Shows a size for people, rounded to one decimal: `1.5 GiB`. Exact figures belong into JSON.
///
/// ```
/// assert_eq!(volary::show_size(1536 << 20), "1.5 GiB");
/// assert_eq!(volary::show_size(512), "512 B");
/// ```
pub fn show_size(bytes: u64) -> String {
    let index = SIZE_UNITS.iter().rposition(|(_, unit)| bytes >= *unit).unwrap_or(0);
    let (name, unit) = SIZE_UNITS[index];
    if index == 0 {
        return format!("{bytes} B");
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    if tenths % 10 == 0 {
        format!("{} {name}iB", tenths / 10)
    } else {
        format!("{}.{} {name}iB", tenths / 10, tenths % 10)
    }
}

/// Parses a duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(volary::parse_duration("30s").unwrap(), Duration::from_secs(30));
/// assert_eq!(volary::parse_duration("7d").unwrap(), Duration::from_secs(7 * 86_400));
/// ```
///
/// # Errors
/// [`ErrorKind::Usage`] for anything else.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let bad = |why: &str| {
        Error::new(ErrorKind::Usage, format!("`{}` is not a duration: {why}", crate::escape(text.as_bytes())))
            .hint("write a whole number and one of ms, s, m, h, d, such as 30s")
    };
    let (digits, unit) = split_number(text);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(bad("it has no unit")),
        _ => return Err(bad("the unit is not known")),
    };
    let number: u64 = digits.parse().map_err(|_| bad("the number is missing or too large"))?;
    // A century is enough for anybody, and keeps every later sum with a clock inside its range.
    let total = number.checked_mul(milliseconds).filter(|&ms| ms <= 36_500 * 86_400_000);
    Ok(Duration::from_millis(total.ok_or_else(|| bad("it is more than a hundred years"))?))
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_others_read_differently_is_refused_with_the_spelling_meant() {
        for (bad, hint) in [
            ("64", "write 64M for MiB or 64B for bytes"),
            ("10GB", "write 10G for 10 × 1024³ bytes"),
            ("10g", "write 10G for 10 × 1024³ bytes"),
            ("5BiB", "write 5B for 5 bytes"),
            ("5iB", "write a whole number and one of B, K, M, G, T, P, such as 1536M for one and a half GiB"),
            (
                "1.5G",
                "write a whole number and one of B, K, M, G, T, P, such as 1536M for one and a half GiB",
            ),
            ("", "write a whole number and a unit, such as 10G"),
        ] {
            let error = parse_size(bad).unwrap_err();
            assert_eq!((error.kind(), error.remedy()), (ErrorKind::Usage, Some(hint)), "{bad}");
        }
        assert!(parse_size("99999999999P").is_err());
        assert!(
            parse_duration("5").is_err() && parse_duration("s").is_err() && parse_duration("1y").is_err()
        );
        assert!(parse_duration("99999999999d").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[0-9]{0,22}[A-Za-z.×]{0,4}") {
            let _ = parse_size(&text);
            let _ = parse_duration(&text);
        }
    }
}
