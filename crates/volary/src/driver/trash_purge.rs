//! Removing for good what lies in trash and whose date has passed.

use super::audit::audited;
use super::journal::Work;
use super::order::Order;
use super::outcome::{Outcome, RemoveReport};
use super::trash::{is_staging, must_be_behind, nothing_behind};
use crate::engine::TrashEntry;
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Store, Target, VolumeSpec};
use serde_json::json;
use std::time::Duration;

impl Store {
    /// Removes for good what Volary itself put into a namespace's trash and whose date has passed; with `all` also
    /// what others put there. At most `max` are tried; an entry that is blocked counts for none, nor does one that cannot
    /// go hide the others. Of an entry without a volume behind it nobody can tell who put it there: it is reported as failed, with
    /// the remedy in its notes, and left.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace; what reading the trash fails with.
    pub async fn trash_purge(
        &self,
        namespace: &Namespace,
        all: bool,
        max: usize,
        ctl: &Ctl,
    ) -> Result<Vec<RemoveReport>> {
        let ctl = &ctl.for_removal();
        let due = self.due(namespace, all, ctl).await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let details = json!({"all": all, "due": due.len()});
        let purge = async {
            let (mut reports, mut tried) = (Vec::new(), 0);
            for (spec, entry) in due {
                if tried == max {
                    break;
                }
                ctl.check("trash purge")?;
                // Never with force: the engine refuses while somebody, such as an import, has it open.
                let order = Order::new("trash_purge", Work::RemoveTrashed);
                let report = match entry {
                    Ok(entry) => {
                        let removed =
                            self.remove_trashed(&spec, entry, false, Duration::ZERO, order, ctl).await;
                        let report = removed.unwrap_or_else(|error| Some(failed(&spec, &error)));
                        let is_tried = |of: &RemoveReport| of.outcome != Outcome::Blocked;
                        tried += usize::from(report.as_ref().is_some_and(is_tried));
                        report
                    }
                    Err(error) => Some(failed(&spec, &error)),
                };
                reports.extend(report);
            }
            Ok(reports)
        };
        audited("trash_purge", namespace, details, purge, |reports| ("done", json!(reports))).await
    }

    /// What [`trash_purge`](Store::trash_purge) would do, found out by reading only.
    ///
    /// # Errors
    /// As [`trash_purge`](Store::trash_purge).
    #[tracing::instrument(name = "plan_trash_purge", skip_all, fields(namespace = %namespace, all))]
    pub async fn plan_trash_purge(
        &self,
        namespace: &Namespace,
        all: bool,
        ctl: &Ctl,
    ) -> Result<Vec<RemoveReport>> {
        let mut reports = Vec::new();
        for (spec, entry) in self.due(namespace, all, ctl).await? {
            let report = match entry {
                Ok(entry) => self.planned_trashed(&spec, &entry, false, ctl).await,
                Err(error) => Err(error),
            };
            reports.push(report.unwrap_or_else(|error| failed(&spec, &error)));
        }
        Ok(reports)
    }

    /// The entries of trash that a purge is about, or why one cannot be told to be.
    async fn due(
        &self,
        namespace: &Namespace,
        all: bool,
        ctl: &Ctl,
    ) -> Result<Vec<(VolumeSpec, Result<TrashEntry>)>> {
        let (mut due, now) = (Vec::new(), self.now());
        for entry in self.engine().trash(namespace, ctl).await? {
            if entry.until > now {
                continue;
            }
            let spec = namespace.volume_by_id(entry.id.clone());
            if all || is_staging(&entry) {
                due.push((spec, Ok(entry)));
                continue;
            }
            match self.read_note(&spec, &entry, ctl).await {
                Ok(None) => {}
                Ok(Some(_)) => due.push((spec, Ok(entry))),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // Another process may have removed the entry since it was read, or may be removing it.
                    let now = self.trashed(&spec, &entry.id, ctl).await?;
                    if now.is_some_and(|now| must_be_behind(&now)) {
                        let error = nothing_behind(&spec).because(error);
                        due.push((spec, Err(error)));
                    }
                }
                Err(error) => due.push((spec, Err(error))),
            }
        }
        Ok(due)
    }
}

fn failed(spec: &VolumeSpec, error: &Error) -> RemoveReport {
    let id = match &spec.volume {
        Target::Id(id) => Some(id.clone()),
        Target::Name(_) => None,
    };
    let mut report = RemoveReport::new(spec.clone(), id, Outcome::Failed).failing(error);
    report.notes.extend(error.remedy().map(|remedy| format!("{}: {remedy}", error.message())));
    report
}
