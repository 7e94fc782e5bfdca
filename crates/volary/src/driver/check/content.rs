//! Content: every head and snapshot of which a digest is recorded, read back and compared.

use super::look::Reading;
use super::{CheckFinding, StoreCheckReport};
use crate::driver::content_record::DigestRecord;
use crate::driver::handle::closing;
use crate::driver::trash::is_staging;
use crate::driver::verify::VerifyReport;
use crate::engine::{Finding, FindingKind};
use crate::{Error, ErrorKind, Namespace, Result, Store, VolumeSpec};
use futures::stream::{self, StreamExt, TryStreamExt};

/// Volumes that are read side by side: each has several blocks in memory.
const MOST_READ_AT_ONCE: usize = 4;

/// What reading the content of one volume found.
#[derive(Default)]
struct Compared {
    verified: u64,
    findings: Vec<Finding>,
}

impl Store {
    /// Reads the volumes of a namespace that have a digest, in trash too.
    pub(super) async fn verify_recorded(
        &self,
        namespace: &Namespace,
        jobs: usize,
        reading: &Reading,
        report: &mut StoreCheckReport,
    ) -> Result<()> {
        let ctl = &reading.ctl;
        let certain = self.engine().describe(ctl).await?.heads_tell_changes;
        let trash = self.engine().trash(namespace, ctl).await?.into_iter();
        let trashed = trash.filter(|entry| !is_staging(entry)).map(|entry| {
            let spec = namespace.volume_by_id(entry.id);
            Ok((spec.clone(), spec))
        });
        let listed = self.engine().volumes(namespace, ctl);
        let listed = listed.map_ok(|entry| (namespace.volume(entry.name), namespace.volume_by_id(entry.id)));
        let all = listed.chain(stream::iter(trashed));
        let compared = all.map(|specs: Result<(VolumeSpec, VolumeSpec)>| async move {
            let (shown, by_id) = specs?;
            self.compare(&shown, &by_id, certain, reading).await
        });
        let mut compared = compared.buffered(jobs.clamp(1, MOST_READ_AT_ONCE));
        while let Some(of) = compared.try_next().await? {
            report.verified = report.verified.saturating_add(of.verified);
            of.findings.iter().for_each(|of| report.add(CheckFinding::of(Some(namespace), of)));
        }
        Ok(())
    }

    /// Compares what is recorded of a volume's head and snapshots.
    async fn compare(
        &self,
        shown: &VolumeSpec,
        by_id: &VolumeSpec,
        certain: bool,
        reading: &Reading,
    ) -> Result<Compared> {
        let mut compared = Compared::default();
        let recorded = match self.recorded(by_id, reading).await {
            Ok(recorded) => recorded,
            Err(error) => {
                compared.findings.extend(unread(shown, by_id, error)?);
                return Ok(compared);
            }
        };
        for at in recorded {
            let spec = VolumeSpec { snapshot: at.snapshot.clone(), ..shown.clone() };
            // Once more before it counts: what was read wrong may have been wrong on its way only.
            let verified = match self.verify(&at, false, &reading.ctl).await {
                Ok(first) if !first.matches && !first.modified => self.verify(&at, false, &reading.ctl).await,
                first => first,
            };
            match verified {
                Ok(verified) => {
                    compared.verified += 1;
                    compared.findings.extend(differs(&spec, &verified, certain));
                }
                Err(error) => compared.findings.extend(unread(&spec, by_id, error)?),
            }
        }
        Ok(compared)
    }

    /// The head and the snapshots of which a digest is recorded.
    async fn recorded(&self, by_id: &VolumeSpec, reading: &Reading) -> Result<Vec<VolumeSpec>> {
        let ctl = &reading.ctl;
        let volume = self.open_to_read(by_id, ctl).await?;
        let read = async {
            let recorded = DigestRecord::snapshots(&*volume, ctl).await?;
            if recorded.is_empty() {
                return Ok(Vec::new());
            }
            let snapshots = volume.snapshots(ctl).await?.into_iter();
            let snapshots =
                snapshots.filter(|of| recorded.contains(&Some(of.id))).map(|of| by_id.at(of.name));
            let head = recorded.contains(&None).then(|| by_id.clone());
            Ok(snapshots.chain(head).collect())
        };
        closing(&volume, read.await, ctl).await
    }
}

/// The finding of content that is not what was recorded.
fn differs(spec: &VolumeSpec, verified: &VerifyReport, certain: bool) -> Option<Finding> {
    // A head that was written since has no digest that holds.
    if verified.matches || verified.modified {
        return None;
    }
    let (expected, actual) = (&verified.expected, &verified.actual);
    let detail = format!("the content has the digest {actual}, recorded was {expected}");
    let finding = if spec.snapshot.is_some() || certain {
        let remedy = "restore a backup; suspect the disk or the memory of the store";
        Finding::new(FindingKind::ContentMismatch, "content", detail, remedy)
    } else {
        let remedy = format!(
            "if a kernel client wrote it: volary verify --record {spec}; else suspect the store and restore a backup"
        );
        Finding::new(FindingKind::HeadDiffers, "content", detail, remedy)
    };
    Some(finding.about(spec.clone(), verified.id.clone()))
}

/// What kept content from being read: gone meanwhile, or a finding; anything else ends the check.
fn unread(spec: &VolumeSpec, by_id: &VolumeSpec, error: Error) -> Result<Option<Finding>> {
    let kind = match error.kind() {
        ErrorKind::NotFound | ErrorKind::Blocked => return Ok(None),
        ErrorKind::Mismatch => FindingKind::ContentMismatch,
        ErrorKind::Internal | ErrorKind::Unsupported => FindingKind::Unreadable,
        _ => return Err(error),
    };
    let remedy = error.remedy().unwrap_or("restore a backup; suspect the disk or the memory of the store");
    let finding = Finding::new(kind, "content", error.report(), remedy);
    let crate::Target::Id(id) = &by_id.volume else { return Ok(Some(finding)) };
    Ok(Some(finding.about(spec.clone(), id.clone())))
}
