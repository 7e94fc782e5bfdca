//! Checking a store for contradictions: what the engine finds, compared with the journal, and on request the content, compared with
//! its recorded digests.
//!
//! The check looks twice, with a pause in between, and reports what it finds both times: a volume that somebody creates, renames,
//! moves or restores during one look is in another state during the other.

mod content;
mod database;
mod journal;
mod look;
mod repair;
mod report;
mod slices;

pub use report::{CheckFinding, RepairOutcome, RepairReport, StoreCheckReport};
pub use slices::{CheckSlice, SliceChecker};

use crate::engine::{CheckOptions, CheckScope, Finding};
use crate::{Ctl, Namespace, Phase, Result, Store};
use look::Reading;
use std::time::{Duration, Instant};

/// What to do about findings that can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepairMode {
    /// Nothing.
    #[default]
    None,
    /// Report what would be done.
    Plan,
    /// Repair them: finish interrupted operations, rebuild object maps and directory entries, move objects that no row names to
    /// `lost/`. No data is removed.
    Repair,
}

/// How to check ([`Store::check`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckRequest {
    /// Whether content is read and compared with the checksums and digests that are recorded of it.
    pub read: bool,
    /// What to do about findings.
    pub repair: RepairMode,
    /// How many volumes are checked at a time.
    pub jobs: usize,
    /// The pause between the two looks; without a finding in the first there is neither pause nor second look.
    pub pause: Duration,
}

impl Default for CheckRequest {
    fn default() -> Self {
        CheckRequest { read: false, repair: RepairMode::None, jobs: 16, pause: Duration::from_secs(2) }
    }
}

/// A finding that both looks have, with the scope it was found in.
struct Standing {
    scope: CheckScope,
    finding: Finding,
}

impl Store {
    /// Checks some namespaces, and what belongs to the store as a whole, for contradictions.
    ///
    /// Always returns a report; [`StoreCheckReport::error`] derives the error to end with from it. A check that is interrupted or
    /// fails midway reports what it found until then. Without [`read`](CheckRequest::read) no data is read, and on Ceph none is listed.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// let report = store.check(&[Namespace::default()], &CheckRequest::default(), ctl).await;
    /// assert!(report.error().is_none() && report.volumes == 1);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    #[tracing::instrument(name = "check", skip_all, fields(read = request.read))]
    pub async fn check(
        &self,
        namespaces: &[Namespace],
        request: &CheckRequest,
        ctl: &Ctl,
    ) -> StoreCheckReport {
        let (started, mut report) = (Instant::now(), StoreCheckReport::new());
        let reading = Reading::new(request.read, ctl);
        ctl.phase(if request.read { Phase::Verify } else { Phase::Check }, None);
        if let Err(error) = self.check_all(namespaces, request, &reading, &mut report, ctl).await {
            report.fail(&error);
        }
        report.read_bytes = reading.bytes();
        report.seconds = started.elapsed().as_secs_f64();
        report
    }

    async fn check_all(
        &self,
        namespaces: &[Namespace],
        request: &CheckRequest,
        reading: &Reading,
        report: &mut StoreCheckReport,
        ctl: &Ctl,
    ) -> Result<()> {
        let all = namespaces.iter().cloned().map(CheckScope::Namespace);
        for scope in [CheckScope::Store].into_iter().chain(all) {
            ctl.check("check")?;
            for standing in self.standing(scope.clone(), request, reading, report, ctl).await? {
                let repaired = self.repaired(&standing, request.repair, ctl).await?;
                report.add(CheckFinding { repair: repaired, ..reported(&standing) });
            }
            if let (CheckScope::Namespace(namespace), true) = (&scope, request.read) {
                self.verify_recorded(namespace, request.jobs, reading, report).await?;
            }
        }
        Ok(())
    }

    /// The findings that both looks at a scope have.
    async fn standing(
        &self,
        scope: CheckScope,
        request: &CheckRequest,
        reading: &Reading,
        report: &mut StoreCheckReport,
        ctl: &Ctl,
    ) -> Result<Vec<Standing>> {
        let mut options = CheckOptions::new(request.jobs);
        options.read = request.read;
        let first = self.look(&scope, &options, usize::MAX, reading).await?;
        report.volumes = report.volumes.saturating_add(first.volumes);
        report.objects = report.objects.saturating_add(first.objects);
        report.pending = report.pending.saturating_add(first.pending);
        if first.findings.is_empty() {
            return Ok(Vec::new());
        }
        tracing::debug!(suspects = first.findings.len(), "a pause before the second look");
        tokio::select! {
            () = ctl.cancel_token().cancelled() => ctl.check("check")?,
            () = tokio::time::sleep(request.pause) => {}
        }
        let mut findings = self.look_again(&scope, &options, &first.findings, reading).await?;
        findings.sort_by_cached_key(|of| {
            (of.volume.as_ref().map(ToString::to_string), of.kind, of.subject.clone())
        });
        Ok(findings.into_iter().map(|finding| Standing { scope: scope.clone(), finding }).collect())
    }
}

fn reported(standing: &Standing) -> CheckFinding {
    let namespace = match &standing.scope {
        CheckScope::Store => None,
        CheckScope::Namespace(namespace) => Some(namespace),
    };
    CheckFinding::of(namespace, &standing.finding)
}
