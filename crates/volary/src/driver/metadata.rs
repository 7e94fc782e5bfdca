//! The notes a volume carries: keys and values.

use super::audit::audited;
use super::handle::closing;
use crate::{Ctl, Error, ErrorKind, Result, Store, VolumeSpec, escape};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// One key of a volume's metadata, escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct MetadataEntry {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Store {
    /// All metadata of a volume, by key, as bytes.
    ///
    /// # Errors
    /// `NotFound` for the volume.
    pub async fn metadata(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let volume = self.open_to_read(spec, ctl).await?;
        let all = volume.metadata(ctl).await;
        closing(&volume, all, ctl).await
    }

    /// All metadata of a volume, by key, safe to print.
    ///
    /// # Errors
    /// `NotFound` for the volume.
    pub async fn list_metadata(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<MetadataEntry>> {
        let text = |bytes: Vec<u8>| escape(&bytes).into_owned();
        let all = self.metadata(spec, ctl).await?.into_iter();
        Ok(all.map(|(key, value)| MetadataEntry { key: text(key), value: text(value) }).collect())
    }

    /// The value of one key.
    ///
    /// # Errors
    /// `NotFound` for the volume or the key.
    pub async fn get_metadata(&self, spec: &VolumeSpec, key: &[u8], ctl: &Ctl) -> Result<Vec<u8>> {
        let found = self.metadata(spec, ctl).await?.into_iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value).ok_or_else(|| no_such_key(spec, key))
    }

    /// Sets one key; what it held is replaced.
    ///
    /// # Errors
    /// `Usage` for `conf_*` and `volary.*` keys, or a key or value the store cannot keep; `NotFound`; `Blocked` while
    /// somebody writes.
    pub async fn set_metadata(&self, spec: &VolumeSpec, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()> {
        audited(
            "metadata_set",
            spec,
            json!({"key": crate::escape(key)}),
            async {
                spec.require_head()?;
                free_key(key)?;
                let volume = self.open_to_write(spec, ctl).await?;
                let set = volume.set_metadata(key, value, ctl).await;
                closing(&volume, set, ctl).await
            },
            |()| ("done", json!({})),
        )
        .await
    }

    /// Removes one key.
    ///
    /// # Errors
    /// As [`set_metadata`](Store::set_metadata); `NotFound` for the key too.
    pub async fn remove_metadata(&self, spec: &VolumeSpec, key: &[u8], ctl: &Ctl) -> Result<()> {
        audited(
            "metadata_remove",
            spec,
            json!({"key": crate::escape(key)}),
            async {
                spec.require_head()?;
                free_key(key)?;
                let volume = self.open_to_write(spec, ctl).await?;
                let removed = volume.remove_metadata(key, ctl).await;
                let removed = removed.map_err(|error| match error.kind() {
                    ErrorKind::NotFound => no_such_key(spec, key),
                    _ => error,
                });
                closing(&volume, removed, ctl).await
            },
            |()| ("done", json!({})),
        )
        .await
    }
}

fn no_such_key(spec: &VolumeSpec, key: &[u8]) -> Error {
    Error::new(ErrorKind::NotFound, "no such key")
        .context("volume", spec)
        .context("key", escape(key))
        .hint(format!("`volary meta ls {spec}` shows the keys there are"))
}

/// Refuses the keys that are not for users to change.
fn free_key(key: &[u8]) -> Result<()> {
    let refuse = |why: &str, hint: &str| {
        let message = format!("the key `{}` {why}", escape(key));
        Err(Error::new(ErrorKind::Usage, message).hint(hint))
    };
    if key.starts_with(b"conf_") {
        return refuse(
            "changes how every client opens the volume",
            "whoever means it sets it with Ceph's own `rbd config image set`",
        );
    }
    if key.starts_with(b"volary.") {
        return refuse("is Volary's own", "choose a key that starts otherwise");
    }
    Ok(())
}
