//! Growing and shrinking.

use super::audit::audited;
use super::handle::{closing, named};
use super::plan::Subject;
use super::sectors::require_whole;
use crate::engine::OpenOptions;
use crate::{Ctl, Error, ErrorKind, Phase, Result, Store, VolumeId, VolumeSpec, show_size};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// A volume whose size was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResizeReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The size it had.
    pub old_size_bytes: u64,
    /// The size it has now.
    pub size_bytes: u64,
}

impl Store {
    /// Changes a volume's size; shrinking, which takes data away for good, only when told to.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// store.resize(&"web".parse()?, 2 << 20, false, ctl).await?;
    /// let shrink = store.resize(&"web".parse()?, 1 << 20, false, ctl).await;
    /// assert_eq!(shrink.unwrap_err().kind(), ErrorKind::Usage);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for shrinking without `allow_shrink`, for a snapshot, and for a size that the store cannot keep or that is no whole number
    /// of sectors of 512 bytes; `NotFound`; `Blocked` while somebody writes.
    pub async fn resize(
        &self,
        spec: &VolumeSpec,
        size_bytes: u64,
        allow_shrink: bool,
        ctl: &Ctl,
    ) -> Result<ResizeReport> {
        audited(
            "resize",
            spec,
            json!({"size_bytes": size_bytes, "allow_shrink": allow_shrink}),
            async {
                spec.require_head()?;
                require_whole(size_bytes).map_err(|error| error.context("volume", spec))?;
                let entry = self.resolve(spec, ctl).await?;
                let shown = named(spec, &entry);
                let subject = Subject { shown: shown.clone(), id: entry.id };
                let volume = self.open_subject(&subject, &OpenOptions::write(), ctl).await?;
                let work = async {
                    let stat = volume.stat(ctl).await?;
                    let old_size_bytes = stat.size_bytes;
                    if size_bytes < old_size_bytes {
                        if !allow_shrink {
                            let (to, from) = (show_size(size_bytes), show_size(old_size_bytes));
                            return Err(Error::new(
                                ErrorKind::Usage,
                                format!("shrinking from {from} to {to} would take data away for good"),
                            )
                            .context("volume", &shown)
                            .hint("if it is meant, add --allow-shrink"));
                        }
                        ctl.phase(Phase::Remove, Some(old_size_bytes - size_bytes));
                    }
                    if size_bytes != old_size_bytes {
                        volume.resize(size_bytes, ctl).await?;
                        tracing::info!(id = %stat.id, old_size_bytes, "resized");
                    }
                    Ok(ResizeReport { volume: shown.clone(), id: stat.id, old_size_bytes, size_bytes })
                };
                closing(&volume, work.await, ctl).await
            },
            |report| ("resized", json!(report)),
        )
        .await
    }
}
