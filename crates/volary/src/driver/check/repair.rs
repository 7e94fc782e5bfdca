//! Repairing findings, each with a typed outcome.

use super::{RepairMode, RepairOutcome, RepairReport, Standing};
use crate::driver::audit::audited;
use crate::{Ctl, ErrorKind, Result, Store};
use serde_json::json;

impl Store {
    /// Repairs what two looks have found, if that is asked for and there is something to be done about it.
    ///
    /// # Errors
    /// Only what ends the whole check: a store that does not answer, an interruption.
    pub(super) async fn repaired(
        &self,
        standing: &Standing,
        mode: RepairMode,
        ctl: &Ctl,
    ) -> Result<Option<RepairReport>> {
        let Some(repair) = standing.finding.repair.as_ref().filter(|_| mode != RepairMode::None) else {
            return Ok(None);
        };
        let action = repair.to_string();
        if mode == RepairMode::Plan {
            return Ok(Some(RepairReport { action, outcome: RepairOutcome::Planned, error: None }));
        }
        let finding = &standing.finding;
        let subject = finding.volume.as_ref().map_or_else(|| "the store".to_owned(), ToString::to_string);
        let details = json!({"kind": finding.kind, "id": finding.id, "action": action});
        let outcome = |changed: bool| if changed { RepairOutcome::Repaired } else { RepairOutcome::Absent };
        let repair = self.engine().repair(&standing.scope, finding, ctl);
        let done = audited("check_repair", subject, details, repair, |changed| {
            (outcome(*changed).as_str(), json!({"action": action}))
        });
        let done = done.await;
        Ok(Some(match done {
            Ok(changed) => RepairReport { action, outcome: outcome(changed), error: None },
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::Deadline | ErrorKind::Unreachable => return Err(error),
                _ => RepairReport {
                    action,
                    outcome: RepairOutcome::of_error(&error),
                    error: Some(error.report()),
                },
            },
        }))
    }
}
