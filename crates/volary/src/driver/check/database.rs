//! Repairing the database of a local store that cannot be opened because of it.

use super::{CheckFinding, RepairMode, RepairOutcome, RepairReport, StoreCheckReport};
use crate::driver::audit::audited;
use crate::engine::local::{DatabaseRepair, repair_database};
use crate::engine::{Finding, FindingKind};
use crate::{Ctl, Error, ErrorKind, Result, Store, StoreUrl};
use serde_json::json;

impl Store {
    /// Repairs the database of a local store that was refused with `Mismatch`, as [`RepairMode`] says, and reports the refusal
    /// with its repair. The store can be opened and checked afterwards if the report has no error. `None` when there is nothing
    /// that this could repair: another error, a store on Ceph, `RepairMode::None`.
    ///
    /// What the database is replaced by is [`repair_database`]'s choice. A repair that was interrupted goes on when it is done
    /// again.
    ///
    /// # Errors
    /// `Interrupted` and `Deadline`; other failures of the repair are in the report.
    pub async fn repair_refused(
        url: &StoreUrl,
        refused: &Error,
        mode: RepairMode,
        ctl: &Ctl,
    ) -> Result<Option<StoreCheckReport>> {
        if refused.kind() != ErrorKind::Mismatch {
            return Ok(None);
        }
        let Some(repair) = repaired(url, FindingKind::DatabaseRefused, mode, ctl).await? else {
            return Ok(None);
        };
        let finding =
            Finding::new(FindingKind::DatabaseRefused, "", refused.report(), "volary check --repair");
        let mut report = StoreCheckReport::new();
        if !is_settled(&repair) {
            report.fail(refused);
        }
        report.add(CheckFinding { repair: Some(repair), ..CheckFinding::of(None, &finding) });
        Ok(Some(report))
    }

    /// Repairs the database of a local store in which a check found damage, as [`RepairMode`] says, after the store was shut
    /// down, and adds the repair to the report. Returns whether the store should be checked again, since the other findings came from
    /// a database that has been replaced. Without a finding of damage it does nothing.
    ///
    /// # Errors
    /// `Interrupted` and `Deadline`; other failures of the repair are in the report.
    pub async fn repair_damaged(
        url: &StoreUrl,
        report: &mut StoreCheckReport,
        mode: RepairMode,
        ctl: &Ctl,
    ) -> Result<bool> {
        let is_damage = |of: &CheckFinding| of.kind == FindingKind::DatabaseDamaged;
        if !report.findings.iter().any(is_damage) {
            return Ok(false);
        }
        let Some(repair) = repaired(url, FindingKind::DatabaseDamaged, mode, ctl).await? else {
            return Ok(false);
        };
        for of in report.findings.iter_mut().filter(|of| is_damage(of)) {
            of.repair = Some(repair.clone());
        }
        Ok(is_settled(&repair))
    }
}

/// Goes back to the copy of the database of a local store, if the mode says so.
async fn repaired(
    url: &StoreUrl,
    kind: FindingKind,
    mode: RepairMode,
    ctl: &Ctl,
) -> Result<Option<RepairReport>> {
    let StoreUrl::Local(Some(path)) = url else { return Ok(None) };
    let report = |outcome, action: String, error| Ok(Some(RepairReport { action, outcome, error }));
    match mode {
        RepairMode::None => return Ok(None),
        RepairMode::Plan => {
            let action = "go back to the copy of the database, or write down anew which one it is";
            return report(RepairOutcome::Planned, action.to_owned(), None);
        }
        RepairMode::Repair => {}
    }
    let repair = repair_database(path, ctl);
    let done = audited("check_repair", url, json!({"kind": kind}), repair, |done| {
        let (outcome, action) = ended(done);
        (outcome.as_str(), json!({ "action": action }))
    });
    let done = done.await;
    match done {
        Ok(done) => {
            let (outcome, action) = ended(&done);
            report(outcome, action, None)
        }
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Deadline) => Err(error),
        Err(error) => {
            let action = "go back to the copy of the database".to_owned();
            report(RepairOutcome::of_error(&error), action, Some(error.report()))
        }
    }
}

fn is_settled(repair: &RepairReport) -> bool {
    matches!(repair.outcome, RepairOutcome::Repaired | RepairOutcome::Absent)
}

/// The outcome, and what was done.
fn ended(done: &DatabaseRepair) -> (RepairOutcome, String) {
    match done {
        DatabaseRepair::Nothing => (RepairOutcome::Absent, "leave the database as it is".to_owned()),
        DatabaseRepair::Identity => {
            (RepairOutcome::Repaired, "write down anew which database belongs to the store".to_owned())
        }
        DatabaseRepair::Copy { made: Some(made) } => {
            (RepairOutcome::Repaired, format!("go back to the copy of the database begun at {made}"))
        }
        DatabaseRepair::Copy { made: None } => {
            (RepairOutcome::Repaired, "go back to the copy of the database".to_owned())
        }
    }
}
