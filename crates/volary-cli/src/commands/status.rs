use super::pool::quota;
use crate::output::{or_dash, pairs, table};
use crate::session::Session;
use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use volary::engine::{Health, Monitor};
use volary::{Result, StatusReport, Store, show_size};

/// Show the store on one page
///
/// Shows the store's identity and health, and each pool's figures, net of replication, with the number of its pending
/// operations and of its volumes in trash.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary status
  volary --store 'ceph:/etc/ceph/ceph.conf?id=nova' -o json status")]
pub(crate) struct Status {}

/// Show the addresses of a Ceph cluster's monitors
///
/// A local store has no monitors: exit code 12.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary --store ceph: mons")]
pub(crate) struct Mons {}

/// Print the store's id: a Ceph cluster's fsid
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary --store ceph: fsid")]
pub(crate) struct Fsid {}

/// The store's id.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoreId {
    /// The store's own lasting id: the fsid on Ceph.
    id: String,
}

pub(crate) async fn status(_args: Status, session: &Session) -> Result<()> {
    let status = async |store: &Store| {
        let status = store.status(&session.ctl).await?;
        session.emit(&status, page)?;
        status.error().map_or(Ok(()), Err)
    };
    session.on_store(status).await
}

pub(crate) async fn mons(_args: Mons, session: &Session) -> Result<()> {
    let monitors = session.on_store(async |store| store.monitors(&session.ctl).await).await?;
    session.emit(&monitors, |monitors| {
        let quorum = |of: &Monitor| if of.in_quorum { "yes" } else { "no" }.to_owned();
        table(
            ["MONITOR", "QUORUM", "ADDRESSES"],
            monitors.iter().map(|of| [of.name.clone(), quorum(of), addresses(of)]),
        )
    })
}

pub(crate) async fn fsid(_args: Fsid, session: &Session) -> Result<()> {
    let description = session.on_store(async |store| store.describe(&session.ctl).await).await?;
    session.emit(&StoreId { id: description.id }, |of| format!("{}\n", of.id))
}

fn addresses(of: &Monitor) -> String {
    of.addresses.iter().map(|at| format!("{}:{}", at.protocol, at.address)).collect::<Vec<_>>().join(" ")
}

fn health(of: &Health) -> String {
    let checks = of.checks.iter().map(|check| format!("\n  {}: {}", check.code, check.message));
    format!("{}{}", of.status, checks.collect::<String>())
}

fn page(of: &StatusReport) -> String {
    let head = pairs([
        ("store", of.store.clone()),
        ("engine", format!("{} {}", of.engine, of.version)),
        ("id", of.id.clone()),
    ]);
    let monitors = |of: &Monitor| {
        format!("{} {}{}", of.name, addresses(of), if of.in_quorum { "" } else { " (out of quorum)" })
    };
    let user = of.user.iter().map(|user| ("user", user.clone()));
    let cluster = user
        .chain(of.monitors.iter().map(|of| ("mon", monitors(of))))
        .chain(of.health.iter().map(|of| ("health", health(of))));
    let pools = of.pools.iter().map(|of| {
        let size = |bytes: Option<u64>| or_dash(bytes.map(show_size));
        [
            of.pool.to_string(),
            size(of.total_bytes),
            size(of.used_bytes),
            size(of.available_bytes),
            quota(of.quota_bytes, of.quota_objects),
            or_dash(of.intents),
            or_dash(of.trash),
        ]
    });
    let columns = ["POOL", "TOTAL", "USED", "AVAILABLE", "QUOTA", "INTENTS", "TRASH"];
    format!("{head}{}\n{}", pairs(cluster), table(columns, pools))
}
