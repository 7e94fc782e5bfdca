//! What a call answered, in a word or two for whoever logs it.

use crate::engine::RecordPage;
use crate::{VolumeId, show_size};
use std::borrow::Cow;

/// A word or two.
pub(super) type Words = Cow<'static, str>;

/// Of a look for one thing.
pub(super) fn found<T>(of: &Option<T>) -> Words {
    Cow::Borrowed(if of.is_some() { "found" } else { "not found" })
}

/// Of a question about something that is there, which the store may have no answer to.
pub(super) fn known<T>(of: &Option<T>) -> Words {
    Cow::Borrowed(if of.is_some() { "known" } else { "not known" })
}

/// Of a list: how many there are.
pub(super) fn count<T>(of: &[T]) -> Words {
    match of.len() {
        0 => "none".into(),
        count => count.to_string().into(),
    }
}

/// Of a page of records.
pub(super) fn page(of: &RecordPage) -> Words {
    count(&of.records)
}

/// Of what makes a volume.
pub(super) fn id(of: &VolumeId) -> Words {
    format!("id:{of}").into()
}

/// Of how often a name has changed hands.
pub(super) fn version(of: &Option<u64>) -> Words {
    of.map_or_else(|| "it is not its name".into(), |version| format!("version {version}").into())
}

/// Of a look whether a volume can be removed without opening it.
pub(super) fn unheld(of: &bool) -> Words {
    Cow::Borrowed(if *of { "nothing holds it" } else { "only opening it tells" })
}

/// Of a record that is replaced if it is as expected.
pub(super) fn swapped(of: &bool) -> Words {
    Cow::Borrowed(if *of { "done" } else { "not done, another was quicker" })
}

/// Of a repair.
pub(super) fn repaired(of: &bool) -> Words {
    Cow::Borrowed(if *of { "repaired" } else { "no longer needed" })
}

/// Of a number of bytes.
pub(super) fn bytes(of: &u64) -> Words {
    show_size(*of).into()
}
