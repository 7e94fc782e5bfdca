//! Giving a volume another name.

use super::audit::audited;
use super::handle::named;
use crate::{Ctl, Error, ErrorKind, Result, Store, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// A volume that has another name now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RenameReport {
    /// The volume under its new name.
    pub volume: VolumeSpec,
    /// Its id, the same as before.
    pub id: VolumeId,
    /// What it was called before.
    pub from: VolumeSpec,
}

impl Store {
    /// Renames a volume within its namespace; who has it open keeps it.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists`, with nothing changed; `Blocked` while the journal has work on the volume, which would be done to it
    /// under its new name, or not at all; `Usage` for another namespace, a snapshot, or a name outside the grammar.
    pub async fn rename(&self, spec: &VolumeSpec, to: &VolumeSpec, ctl: &Ctl) -> Result<RenameReport> {
        audited(
            "rename",
            spec,
            json!({"to": to}),
            async {
                spec.require_head()?;
                let name = to.new_name()?;
                if to.namespace != spec.namespace {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        "a volume cannot move to another namespace by renaming",
                    )
                    .context("volume", spec)
                    .context("to", to)
                    .hint("`volary cp` makes a copy there"));
                }
                let entry = self.resolve(spec, ctl).await?;
                let from = named(spec, &entry);
                self.require_nothing_pending(&from, &entry.id, ctl).await?;
                let renamed = self.engine().rename(&spec.namespace, &entry, &name, ctl).await;
                renamed.map_err(|error| error.context("volume", &from).context("to", to))?;
                tracing::info!(id = %entry.id, "renamed");
                Ok(RenameReport { volume: to.clone(), id: entry.id, from })
            },
            |report| ("renamed", json!(report)),
        )
        .await
    }

    /// Refuses what must not be done to a volume on which the journal has work; the error names the work, and how to drop it.
    async fn require_nothing_pending(&self, shown: &VolumeSpec, id: &VolumeId, ctl: &Ctl) -> Result<()> {
        let Some(of) = self.pending_of(&shown.namespace, id, ctl).await?.into_iter().next() else {
            return Ok(());
        };
        let error = Error::new(ErrorKind::Blocked, format!("a `{}` of it is pending", of.operation))
            .context("volume", shown)
            .context("intent", &of.id);
        Err(error.hint(of.remedy))
    }
}
