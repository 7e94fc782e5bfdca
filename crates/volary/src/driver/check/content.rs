//! Content: every head and snapshot of which a digest is recorded, read back and compared.

use super::look::Reading;
use super::{CheckFinding, StoreCheckReport};
use crate::driver::content_record::DigestRecord;
use crate::driver::handle::closing;
use crate::driver::trash::is_staging;
use crate::driver::verify::VerifyReport;
use crate::engine::{Finding, FindingKind};
use crate::{Error, ErrorKind, Namespace, Result, Store, Target, VolumeId, VolumeSpec};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;

/// Volumes that are read side by side: each has several blocks in memory.
const MOST_READ_AT_ONCE: usize = 4;

/// What reading the content of one volume found.
#[derive(Default)]
struct Compared {
    verified: u64,
    findings: Vec<Finding>,
}

/// What the report says of a volume already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// Something is wrong with it.
    #[default]
    Damaged,
    /// None of it can be read.
    Unreadable,
}

impl Told {
    fn of(kind: FindingKind) -> Told {
        use FindingKind::{DataPoolMissing, HeaderDamaged, HeaderMissing, ParentMissing};
        match kind {
            DataPoolMissing | HeaderDamaged | HeaderMissing | ParentMissing => Told::Unreadable,
            _ => Told::Damaged,
        }
    }
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
        let told = &told(namespace, report);
        let compared = all.map(|specs: Result<(VolumeSpec, VolumeSpec)>| async move {
            let (shown, by_id) = specs?;
            let told = id_of(&by_id).and_then(|id| told.get(id)).copied();
            self.compare((&shown, &by_id), told, certain, reading).await
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
        (shown, by_id): (&VolumeSpec, &VolumeSpec),
        told: Option<Told>,
        certain: bool,
        reading: &Reading,
    ) -> Result<Compared> {
        let mut compared = Compared::default();
        if told == Some(Told::Unreadable) {
            return Ok(compared);
        }
        // What cannot even be opened has no content that could be another one; that something is wrong with it is said once.
        let unopened = told.is_none().then_some(FindingKind::Unreadable);
        let recorded = match self.recorded(by_id, reading).await {
            Ok(recorded) => recorded,
            Err(error) => {
                compared.findings.extend(unread(shown, by_id, error, unopened)?);
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
                Err(error) => {
                    let mismatched = error.kind() == ErrorKind::Mismatch;
                    let opens = !mismatched || self.opens(&at, reading).await;
                    let mismatch = if opens { Some(FindingKind::ContentMismatch) } else { unopened };
                    compared.findings.extend(unread(&spec, by_id, error, mismatch)?);
                }
            }
        }
        Ok(compared)
    }

    /// Whether a head or snapshot can be opened, of which something was found not to match.
    async fn opens(&self, spec: &VolumeSpec, reading: &Reading) -> bool {
        let ctl = &reading.ctl;
        match self.open_to_read(spec, ctl).await {
            Ok(volume) => {
                if let Err(error) = volume.close(&ctl.for_cleanup()).await {
                    tracing::debug!(error = error.report(), "closing a volume that was only opened");
                }
                true
            }
            Err(error) => error.kind() != ErrorKind::Mismatch,
        }
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

/// What the looks at a namespace have found of each of its volumes with which anything is wrong.
fn told(namespace: &Namespace, report: &StoreCheckReport) -> HashMap<VolumeId, Told> {
    let mut all = HashMap::new();
    for of in report.findings.iter().filter(|of| of.namespace.as_ref() == Some(namespace)) {
        let Some(id) = &of.id else { continue };
        let told: &mut Told = all.entry(id.clone()).or_default();
        *told = Told::of(of.kind).max(*told);
    }
    all
}

fn id_of(by_id: &VolumeSpec) -> Option<&VolumeId> {
    match &by_id.volume {
        Target::Id(id) => Some(id),
        Target::Name(_) => None,
    }
}

/// What kept content from being read: gone meanwhile, or a finding; anything else ends the check. Where something does not match, the
/// finding is of the kind `mismatch`, if it is not told already.
fn unread(
    spec: &VolumeSpec,
    by_id: &VolumeSpec,
    error: Error,
    mismatch: Option<FindingKind>,
) -> Result<Option<Finding>> {
    let kind = match error.kind() {
        ErrorKind::NotFound | ErrorKind::Blocked => return Ok(None),
        ErrorKind::Mismatch => match mismatch {
            Some(kind) => kind,
            None => return Ok(None),
        },
        ErrorKind::Internal | ErrorKind::Unsupported => FindingKind::Unreadable,
        _ => return Err(error),
    };
    let remedy = error.remedy().unwrap_or("restore a backup; suspect the disk or the memory of the store");
    let finding = Finding::new(kind, "content", error.report(), remedy);
    let Some(id) = id_of(by_id) else { return Ok(Some(finding)) };
    Ok(Some(finding.about(spec.clone(), id.clone())))
}
