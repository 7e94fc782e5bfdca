//! Connecting: each step's failure tells store, user, monitors, step, errno, how long it took, and the remedy.

use super::connection::{Ceph, Connection, completed};
use super::writers::Writers;
use crate::engine::Engine;
use crate::{CephUrl, Ctl, Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// By so much librados' own limits differ from the caller's: below it where librados tells more, above it elsewhere.
const MARGIN: Duration = Duration::from_secs(1);

/// Connects to a cluster; nothing but the configuration file named, and the keyring it names, is read.
///
/// # Errors
/// `Unreachable` without Ceph's libraries; `Usage` while `CEPH_ARGS`, `CEPH_LIB`, `CEPH_KEYRING` or `CEPH_CONF` is set
/// and not [trusted](CephUrl::trusting_environment); `NotFound` without the configuration file; `Permission` for a key that
/// is unreadable, missing or wrong; `Deadline` when no monitor answers.
pub async fn open(url: &CephUrl, ctl: &Ctl) -> Result<Arc<dyn Engine>> {
    let began = Instant::now();
    let limit = url.timeout.unwrap_or_else(|| ctl.call_limit());
    let bounds = ctl.clone().timeout(limit.saturating_add(MARGIN / 2));
    let connection = bounds.call("connect", connect(url, ctl, limit, began)).await;
    let unread = "unknown, the configuration was not read";
    let connection = connection.map_err(|error| completed(error, "connect", began, url, unread))?;
    Ok(Arc::new(Ceph(Arc::new(connection))))
}

async fn connect(url: &CephUrl, ctl: &Ctl, limit: Duration, began: Instant) -> Result<Connection> {
    // Of the one limit, so that the step that is late says so before the bound on the whole ends it.
    let left = || limit.saturating_sub(began.elapsed());
    let library = tokio::task::spawn_blocking(|| rbd::Library::load(None)).await;
    let library = library
        .map_err(|error| Error::new(ErrorKind::Internal, "a thread ended").because(error))?
        .map_err(|error| Error::from(error).context("step", "load Ceph's libraries"))?;
    let mut options = rbd::ConnectOptions::new(&url.conf, url.user());
    options.timeout = if limit > 2 * MARGIN { limit - MARGIN } else { limit };
    // A stall is the caller's to judge: an OSD may answer late as long as other data moves.
    options.osd_timeout = limit.max(ctl.call_limit()).max(ctl.stall_limit()).saturating_add(MARGIN);
    if url.trust_environment {
        options.environment = rbd::Environment::Trust;
    }
    let cluster = options.connect(&library, left()).await.map_err(|error| {
        let in_file = error.symbol() == Some("rados_conf_read_file");
        let error = Error::from(error);
        if in_file { unread(error, url) } else { error }
    })?;
    let client = cluster.instance_id(left()).await?;
    let monitors = cluster.monitors(left()).await?;
    let addresses = monitors.iter().flat_map(|monitor| &monitor.addresses);
    let monitors = addresses.map(|at| at.address.as_str()).collect::<Vec<_>>().join(" ");
    Ok(Connection {
        cluster,
        writers: Writers::default(),
        client,
        url: url.clone(),
        monitors,
        limit,
        silent: AtomicBool::new(false),
    })
}

/// What the configuration file's own failure says.
fn unread(error: Error, url: &CephUrl) -> Error {
    let usable = "name a file that this user can read: ceph:/PATH/ceph.conf?id=USER; the cluster's administrator has it";
    let (what, hint) = match error.kind() {
        ErrorKind::NotFound => ("there is no such configuration of Ceph", usable),
        ErrorKind::Permission => ("Ceph's configuration may not be read", usable),
        ErrorKind::Deadline => (
            "Ceph's configuration, or a file that it names, was not read in time",
            "see whether the files are where they can be read, or give more time with --timeout",
        ),
        _ => ("Ceph's configuration cannot be understood", usable),
    };
    let kind = if error.kind() == ErrorKind::Internal { ErrorKind::Usage } else { error.kind() };
    let errno = error.contexts().find(|(key, _)| *key == "errno").map(|(_, name)| name.to_owned());
    Error::new(kind, what)
        .context("step", "read the configuration")
        .context("configuration", crate::escape(url.conf.as_os_str().as_encoded_bytes()))
        .context("errno", errno.unwrap_or_else(|| "ETIMEDOUT".to_owned()))
        .hint(hint)
        .because(error)
}
