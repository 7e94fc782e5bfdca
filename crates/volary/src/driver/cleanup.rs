//! Removing many volumes: side by side, each with its own outcome, and one failure never stops the rest.

use super::outcome::{Outcome, RemoveReport};
use super::remove::RemoveOptions;
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Store, VolumeSpec};
use futures::stream::{self, StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobMatcher};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A pattern of whole names: `*` and `?` stand for any characters, `[…]` and `{a,b}` for some.
///
/// ```
/// use volary::NamePattern;
/// let disks = NamePattern::new("*_disk")?;
/// assert!(disks.matches(b"web_disk") && !disks.matches(b"web_disk.config"));
/// # Ok::<(), volary::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NamePattern(GlobMatcher);

impl NamePattern {
    /// Reads a pattern. One without any wild card is a whole name, never the start of others.
    ///
    /// # Errors
    /// `Usage` for a pattern that makes no sense.
    pub fn new(pattern: &str) -> Result<NamePattern> {
        let glob = GlobBuilder::new(pattern).backslash_escape(true).build();
        glob.map(|glob| NamePattern(glob.compile_matcher())).map_err(|error| {
            Error::new(ErrorKind::Usage, "the pattern makes no sense")
                .context("pattern", crate::escape(pattern.as_bytes()))
                .hint(
                    "`*` stands for any characters, `?` for one, `[ab]` for one of some, `{a,b}` for either",
                )
                .because(error)
        })
    }

    /// Whether a whole name fits.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.is_match(OsStr::from_bytes(name))
    }
}

impl Store {
    /// The volumes of a namespace whose whole name fits, sorted.
    ///
    /// # Errors
    /// As [`list`](Store::list).
    pub async fn matching(
        &self,
        namespace: &Namespace,
        pattern: &NamePattern,
        ctl: &Ctl,
    ) -> Result<Vec<VolumeSpec>> {
        let entries = self.engine().volumes(namespace, ctl);
        let fitting = entries.try_filter(|entry| std::future::ready(pattern.matches(entry.name.as_bytes())));
        let mut names: Vec<_> = fitting.map_ok(|entry| entry.name).try_collect().await?;
        names.sort();
        Ok(names.into_iter().map(|name| namespace.volume(name)).collect())
    }

    /// Removes many volumes, so many at a time; the reports are in the order of the volumes.
    ///
    /// Each is planned, removed, refused or left as by [`remove`](Store::remove), whatever becomes of the others; one
    /// that could not even be looked at is `failed`, with the reason. With `dry_run` nothing is changed.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// store.create(&"a_disk".parse()?, 1 << 20, ctl).await?;
    /// let disks = store.matching(&Namespace::default(), &NamePattern::new("*_disk")?, ctl).await?;
    /// let options = RemoveOptions { if_exists: true, ..Default::default() };
    /// let reports = store.cleanup(&disks, &options, 8, false, ctl).await;
    /// assert_eq!(reports[0].outcome, Outcome::Removed);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    #[tracing::instrument(name = "cleanup", skip_all, fields(volumes = volumes.len(), dry_run))]
    pub async fn cleanup(
        &self,
        volumes: &[VolumeSpec],
        options: &RemoveOptions,
        at_once: usize,
        dry_run: bool,
        ctl: &Ctl,
    ) -> Vec<RemoveReport> {
        let one = |spec: VolumeSpec| async move {
            let report = match ctl.check("cleanup") {
                Ok(()) if dry_run => self.plan_remove(&spec, options, ctl).await,
                Ok(()) => self.remove(&spec, options, ctl).await,
                Err(cancelled) => Err(cancelled),
            };
            report.unwrap_or_else(|error| RemoveReport::new(spec, None, Outcome::Failed).failing(&error))
        };
        stream::iter(volumes.iter().cloned().map(one)).buffered(at_once.max(1)).collect().await
    }
}
