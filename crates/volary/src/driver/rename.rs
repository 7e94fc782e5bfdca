//! Giving a volume another name.

use super::handle::named;
use crate::{Ctl, Error, ErrorKind, Result, Store, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;

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
    /// `NotFound`; `AlreadyExists`, with nothing changed; `Usage` for another namespace, a snapshot, or a name
    /// outside the grammar.
    #[tracing::instrument(name = "rename", skip_all, fields(volume = %spec, to = %to))]
    pub async fn rename(&self, spec: &VolumeSpec, to: &VolumeSpec, ctl: &Ctl) -> Result<RenameReport> {
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
        let renamed = self.engine().rename(&spec.namespace, &entry, &name, ctl).await;
        renamed.map_err(|error| error.context("volume", &from).context("to", to))?;
        tracing::info!(id = %entry.id, "renamed");
        Ok(RenameReport { volume: to.clone(), id: entry.id, from })
    }
}
