//! What whoever uses a volume should know of it, and neither its content nor its holders tell.

use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// What a caveat is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CaveatKind {
    /// A journal has writes that are not in the head's content.
    Journal,
    /// A client's write-back cache has writes that are not in the head's content.
    Cache,
    /// The store was told to do something with the volume, and will do it: on Ceph, a task of the manager.
    Task,
}

/// Something that whoever reads, changes or removes a volume should know, and that keeps nobody from it.
///
/// ```
/// use volary::engine::{Caveat, CaveatKind};
///
/// let task = Caveat {
///     kind: CaveatKind::Task,
///     detail: "Ceph's manager will remove it".to_owned(),
///     remedy: "`ceph rbd task cancel 1` drops the task".to_owned(),
/// };
/// assert_eq!(task.to_string(), "Ceph's manager will remove it: `ceph rbd task cancel 1` drops the task");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Caveat {
    /// What it is about.
    pub kind: CaveatKind,
    /// What is so.
    pub detail: String,
    /// What can be done about it, with the whole command.
    pub remedy: String,
}

/// Both in one line, as a note.
impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.detail, self.remedy)
    }
}
