//! Repairing findings, each with a typed outcome.

use super::{RepairMode, RepairOutcome, RepairReport, Standing};
use crate::driver::audit::Audit;
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
        let audit = Audit::begin("check_repair", subject, &details);
        let done = self.engine().repair(&standing.scope, finding, ctl).await;
        let outcome = |changed: bool| if changed { RepairOutcome::Repaired } else { RepairOutcome::Absent };
        audit.finish(&done, |changed| (outcome(*changed).as_str().to_owned(), json!({"action": action})));
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
