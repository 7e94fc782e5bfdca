//! Whether a store is there, well, and fit for use.

use crate::engine::{Check, StoreDescription, ceph};
use crate::{Ctl, ErrorKind, Result, Store, StoreUrl, show_size};
use schemars::JsonSchema;
use serde::Serialize;

/// What was found; the first check that failed is what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DoctorReport {
    /// The store's URL.
    pub store: String,
    /// The engine, when it answered.
    pub engine: Option<String>,
    /// The store's own id.
    pub id: Option<String>,
    /// The version of what keeps the store.
    pub version: Option<String>,
    /// Volary's version.
    pub volary: String,
    /// Each check, in order.
    pub checks: Vec<Check>,
}

/// Examines a store by reading only; a local store that is not there yet is made, as by any other call.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use volary::{Ctl, StoreUrl, doctor, engine::Verdict}; let dir = tempfile::tempdir().unwrap();
/// let report = doctor(&StoreUrl::local(dir.path().join("store")), &Ctl::new()).await;
/// assert!(report.checks.iter().all(|check| check.verdict == Verdict::Ok));
/// # });
/// ```
pub async fn doctor(url: &StoreUrl, ctl: &Ctl) -> DoctorReport {
    let mut report = DoctorReport {
        store: url.to_string(),
        engine: None,
        id: None,
        version: None,
        volary: env!("CARGO_PKG_VERSION").to_owned(),
        checks: Vec::new(),
    };
    if matches!(url, StoreUrl::Ceph(_)) {
        report.checks.extend(ceph::libraries().await);
    }
    match Store::connect(url, ctl).await {
        Ok(store) => {
            report.checks.push(Check::ok("connect", "the store answers"));
            if let Err(error) = examine(&store, &mut report, ctl).await {
                report.checks.push(Check::failed("examine", &error));
            }
            // A store that did not answer is not asked to say good-bye.
            let silent = report.checks.iter().any(|check| check.kind == Some(ErrorKind::Deadline));
            if !silent && let Err(error) = store.shutdown().await {
                report.checks.push(Check::failed("disconnect", &error));
            }
        }
        Err(error) => report.checks.push(Check::failed("connect", &error)),
    }
    report
}

async fn examine(store: &Store, report: &mut DoctorReport, ctl: &Ctl) -> Result<()> {
    let description = store.describe(ctl).await?;
    report.checks.extend(health(&description));
    (report.engine, report.id) = (Some(description.engine), Some(description.id));
    report.version = Some(description.version);
    report.checks.extend(store.engine().examine(ctl).await?);
    for pool in store.pools(ctl).await? {
        let name = format!("pool {pool}");
        report.checks.push(match store.pool_info(&pool, ctl).await {
            Ok(info) => {
                let (free, total) = (show_size(info.available_bytes), show_size(info.total_bytes));
                Check::ok(name, format!("{free} of {total} available"))
            }
            // Removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Permission) => {
                Check::unknown(name, error.report(), error.remedy().unwrap_or_default())
            }
            Err(error) => Check::failed(name, &error),
        });
    }
    Ok(())
}

/// What a cluster says of itself: it may serve for all that.
fn health(description: &StoreDescription) -> Option<Check> {
    let health = description.health.as_ref()?;
    let quorum = description.monitors.iter().filter(|monitor| monitor.in_quorum).count();
    let detail = format!("{}, {quorum} of {} monitors in quorum", health.status, description.monitors.len());
    if health.checks.is_empty() && health.status == "HEALTH_OK" {
        return Some(Check::ok("health", detail));
    }
    let wrong: Vec<_> =
        health.checks.iter().map(|check| format!("{}: {}", check.code, check.message)).collect();
    let detail = format!("{detail}; {}", wrong.join("; "));
    Some(Check::warning("health", detail, "see `ceph health detail`"))
}
