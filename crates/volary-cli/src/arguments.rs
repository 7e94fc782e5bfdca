//! Parsers of argument values; what they refuse, they refuse with the library's own hint.

use std::str::FromStr;
use std::time::Duration;

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done                                       7  content does not match
    1  internal, or not classified                8  deadline passed, or the store cannot be reached
    2  usage, bad spec or name                    9  permission or authentication
    3  not found                                 10  no space, quota, or a read-only mount
    4  already exists                            11  partly done: the rest is pending
    5  blocked: in use, locked or protected      12  not supported here
    6  source refused, or changed while read    129, 130, 143  hangup, interrupt, termination: cleaned up";

/// A value by its own grammar: specs, namespaces, store URLs.
pub(crate) fn parsed<T: FromStr<Err = volary::Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| explained(&error))
}

/// A size: a whole number and a unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    volary::parse_size(text).map_err(|error| explained(&error))
}

/// A duration: a whole number and a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    volary::parse_duration(text).map_err(|error| explained(&error))
}

/// A name, with the escapes that output uses; whether it may be given to something new is the driver's to say.
pub(crate) fn name(text: &str) -> Result<volary::Name, String> {
    volary::unescape(text).map(volary::Name::from_bytes).map_err(|error| explained(&error))
}

fn explained(error: &volary::Error) -> String {
    match error.remedy() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
