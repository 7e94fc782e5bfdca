//! A check in slices: a bounded number of volumes at a time, for a process that goes on for ever.

use super::CheckFinding;
use super::look::Reading;
use crate::engine::{CheckOptions, CheckScope, Finding};
use crate::{Ctl, Name, Namespace, Result, Store};

/// What one slice looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckSlice {
    /// Volumes that were looked at.
    pub volumes: u64,
    /// Everything that a whole pass through the namespace found, when the slice was its last.
    pub complete: Option<Vec<CheckFinding>>,
}

/// Checks a namespace slice by slice, without reading data, and begins again after the last.
///
/// Each slice first looks again at what the slice before it found, and only what is still there becomes a finding. So the time between
/// two slices takes the place of the pause.
pub struct SliceChecker {
    store: Store,
    scope: CheckScope,
    after: Option<Name>,
    /// Whether the last volume of the pass was looked at.
    ended: bool,
    suspects: Vec<Finding>,
    found: Vec<CheckFinding>,
}

impl SliceChecker {
    /// A checker that begins with the first volume of the namespace.
    pub fn new(store: Store, namespace: Namespace) -> SliceChecker {
        let scope = CheckScope::Namespace(namespace);
        SliceChecker { store, scope, after: None, ended: false, suspects: Vec::new(), found: Vec::new() }
    }

    /// Looks at up to `most` volumes, `jobs` of them at a time, and again at what the slice before found.
    ///
    /// # Errors
    /// The error of the engine; the next slice tries the same volumes again.
    pub async fn slice(&mut self, most: usize, jobs: usize, ctl: &Ctl) -> Result<CheckSlice> {
        let (reading, mut options) = (Reading::new(false, ctl), CheckOptions::new(jobs));
        if !self.suspects.is_empty() {
            let again = self.store.look_again(&self.scope, &options, &self.suspects, &reading).await?;
            let CheckScope::Namespace(namespace) = &self.scope else { return Ok(CheckSlice::default()) };
            self.found.extend(again.iter().map(|of| CheckFinding::of(Some(namespace), of)));
            self.suspects.clear();
        }
        let mut slice = CheckSlice::default();
        if self.ended {
            self.ended = false;
            slice.complete = Some(std::mem::take(&mut self.found));
            return Ok(slice);
        }
        options.after = self.after.clone();
        let look = self.store.look(&self.scope, &options, most, &reading).await?;
        slice.volumes = look.volumes;
        (self.suspects, self.ended) = (look.findings, look.next.is_none());
        self.after = look.next;
        if self.ended && self.suspects.is_empty() {
            self.ended = false;
            slice.complete = Some(std::mem::take(&mut self.found));
        }
        Ok(slice)
    }
}
