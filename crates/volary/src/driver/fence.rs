//! Cutting off a client that has a volume open and cannot be made to close it.

use super::audit::audited;
use super::patience::Patience;
use crate::engine::{Holder, HolderKind};
use crate::{Ctl, Error, ErrorKind, Result, Store, VolumeId, VolumeSpec};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// How long the store may take to let go of a client's watch.
const SETTLING: Duration = Duration::from_secs(5);

/// A client that was cut off, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FenceReport {
    /// The volume; by id when it is in trash.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: Option<VolumeId>,
    /// The client.
    pub client: String,
    /// Its address and nonce, as blocklists name it.
    pub address: Option<String>,
    /// Whether it was cut off; if not, nothing was changed.
    pub fenced: bool,
    /// Until when, by this host's clock.
    pub until: Option<Timestamp>,
    /// Whether it still has the volume open, as far as the store tells.
    pub watching: bool,
}

/// The one client that is meant: the only one, or the one that was named.
fn choose(watchers: Vec<Holder>, client: Option<&str>, spec: &VolumeSpec) -> Result<Holder> {
    let mut clients: Vec<Holder> = Vec::new();
    for watcher in watchers {
        // One client can watch several times.
        if watcher.client.is_some() && clients.iter().all(|known| known.client != watcher.client) {
            clients.push(watcher);
        }
    }
    let named = clients.iter().filter_map(|of| of.client.as_deref()).collect::<Vec<_>>().join(" ");
    let failed = |kind, message: &'static str| Error::new(kind, message).context("volume", spec);
    match client {
        None if clients.len() > 1 => Err(failed(ErrorKind::Usage, "several clients have it open")
            .context("clients", named)
            .hint("choose one with --client")),
        Some(client) => {
            clients.into_iter().find(|of| of.client.as_deref() == Some(client)).ok_or_else(|| {
                let error =
                    failed(ErrorKind::NotFound, "no such client has it open").context("client", client);
                if named.is_empty() { error } else { error.context("clients", named) }
            })
        }
        None => clients.pop().ok_or_else(|| failed(ErrorKind::NotFound, "nobody has it open")),
    }
}

impl Store {
    async fn watchers(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<Holder>> {
        let volume = self.open_to_read(spec, ctl).await?;
        let holders = volume.holders(ctl).await;
        let mut holders = super::handle::closing(&volume, holders, ctl).await?;
        holders.retain(|of| of.kind == HolderKind::Watcher);
        Ok(holders)
    }

    /// What [`fence`](Store::fence) would do, found out by reading only.
    ///
    /// # Errors
    /// As [`fence`](Store::fence), but for what the store refuses.
    pub async fn plan_fence(
        &self,
        spec: &VolumeSpec,
        client: Option<&str>,
        ctl: &Ctl,
    ) -> Result<(FenceReport, Holder)> {
        let why = self.why(spec, ctl).await?;
        let watchers = why.holders.into_iter().filter(|of| of.kind == HolderKind::Watcher);
        let holder = choose(watchers.collect(), client, spec)?;
        if holder.address.is_none() {
            return Err(Error::new(ErrorKind::Unsupported, "this store cannot keep a process out")
                .context("holder", &holder.detail)
                .hint(holder.remedy));
        }
        let report = FenceReport {
            volume: why.volume,
            id: why.id,
            client: holder.client.clone().unwrap_or_default(),
            address: holder.address.clone(),
            fenced: false,
            until: None,
            watching: true,
        };
        Ok((report, holder))
    }

    /// Cuts a client that has a volume open off the store for so long: the only one there is, or the one that is named, as
    /// [`why`](Store::why) tells it. Whatever it has open there fails, this volume and others; what it wrote last may be lost.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let web = &"web".parse()?; store.create(web, 1 << 20, ctl).await?;
    /// let hour = std::time::Duration::from_secs(3600);
    /// let error = store.fence(web, None, hour, ctl).await.unwrap_err();
    /// assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "nobody has it open"));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the volume or the client; `Usage` when several have it open and none is named, and for this process
    /// itself; `Permission` without the right to it; `Unsupported` where only the process can be ended.
    pub async fn fence(
        &self,
        spec: &VolumeSpec,
        client: Option<&str>,
        keep: Duration,
        ctl: &Ctl,
    ) -> Result<FenceReport> {
        let details = json!({"client": client, "seconds": keep.as_secs()});
        let work = self.fence_unaudited(spec, client, keep, ctl);
        audited("fence", spec, details, work, |report| ("fenced", json!(report))).await
    }

    async fn fence_unaudited(
        &self,
        spec: &VolumeSpec,
        client: Option<&str>,
        keep: Duration,
        ctl: &Ctl,
    ) -> Result<FenceReport> {
        let (mut report, holder) = self.plan_fence(spec, client, ctl).await?;
        self.engine().fence(&holder, keep, ctl).await.map_err(|error| error.context("volume", spec))?;
        report.fenced = true;
        report.until = Timestamp::now().checked_add(keep).ok();
        let mut patience = Patience::new(SETTLING);
        // It is cut off: that nobody can look does not make it untrue.
        while let Ok(watchers) = self.watchers(spec, ctl).await {
            report.watching = watchers.iter().any(|of| of.client == holder.client);
            if !report.watching || !patience.pause("it still has the volume open", ctl).await.unwrap_or(false)
            {
                break;
            }
        }
        Ok(report)
    }
}
