//! What the monitors tell: who they are, how the cluster is, and the figures of pools.

use super::NO_LIMIT;
use super::connection::Connection;
use super::directory::malformed;
use crate::engine::{Health, HealthCheck, Monitor, MonitorAddress, PoolInfo, StoreDescription};
use crate::{Name, Result};
use serde_json::Value;

/// A monitor command's answer; `detail` tells `df detail` from `df`.
pub(super) async fn ask(on: &Connection, prefix: &'static str, detail: Option<&str>) -> Result<Value> {
    let mut command = serde_json::json!({ "prefix": prefix, "format": "json" });
    if let Some(detail) = detail {
        command["detail"] = detail.into();
    }
    let answer = on.cluster.mon_command(&command.to_string(), NO_LIMIT).await?;
    serde_json::from_slice(&answer).map_err(|error| malformed(prefix).because(error))
}

pub(super) async fn describe(on: &Connection) -> Result<StoreDescription> {
    let fsid = on.cluster.fsid(NO_LIMIT).await?;
    let (told, health) = tokio::try_join!(ask(on, "version", None), ask(on, "health", None))?;
    let version = told["version"].as_str().unwrap_or_default();
    let mut description = StoreDescription::new("ceph", fsid, version.split(' ').nth(2).unwrap_or(version));
    description.user = Some(on.user());
    description.monitors = on.cluster.monitors(NO_LIMIT).await?.into_iter().map(monitor).collect();
    description.health = Some(parsed(&health).ok_or_else(|| malformed("health"))?);
    Ok(description)
}

fn monitor(from: rbd::Monitor) -> Monitor {
    let at = |at: rbd::MonitorAddress| MonitorAddress { protocol: at.protocol, address: at.address };
    let addresses = from.addresses.into_iter().map(at).collect();
    Monitor { name: from.name, addresses, in_quorum: from.in_quorum }
}

fn parsed(health: &Value) -> Option<Health> {
    let text = |from: &Value| from.as_str().map(str::to_owned);
    let check = |(code, of): (&String, &Value)| {
        let message = text(&of["summary"]["message"])?;
        Some(HealthCheck { code: code.clone(), severity: text(&of["severity"])?, message })
    };
    let checks = health["checks"].as_object()?.iter().map(check).collect::<Option<_>>()?;
    Some(Health { status: text(&health["status"])?, checks })
}

pub(super) async fn pool(on: &Connection, pool: &Name) -> Result<Option<PoolInfo>> {
    let id = on.pool(pool).await?.id();
    let told = ask(on, "df", Some("detail")).await?;
    let stats = told["pools"].as_array().into_iter().flatten().find(|of| of["id"].as_i64() == Some(id));
    stats.map(|of| figures(pool, &of["stats"]).ok_or_else(|| malformed("df"))).transpose()
}

/// `stored` is net of replication, and so is `max_avail`, which knows no quota.
fn figures(pool: &Name, stats: &Value) -> Option<PoolInfo> {
    let (used_bytes, free) = (stats["stored"].as_u64()?, stats["max_avail"].as_u64()?);
    let quota_bytes = stats["quota_bytes"].as_u64().filter(|quota| *quota > 0);
    let quota_objects = stats["quota_objects"].as_u64().filter(|quota| *quota > 0);
    let objects = stats["objects"].as_u64().unwrap_or_default();
    let available_bytes = match quota_objects {
        Some(quota) if objects >= quota => 0,
        _ => quota_bytes.map_or(free, |quota| free.min(quota.saturating_sub(used_bytes))),
    };
    let total_bytes = used_bytes.saturating_add(available_bytes);
    Some(PoolInfo {
        pool: pool.clone(),
        total_bytes,
        used_bytes,
        available_bytes,
        quota_bytes,
        quota_objects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_quota_bounds_what_is_available() {
        let of = |quota: u64| {
            let stats = json!({"stored": 30, "max_avail": 100, "quota_bytes": quota});
            let pool = figures(&Name::from_bytes("rbd"), &stats).unwrap();
            (pool.total_bytes, pool.available_bytes, pool.quota_bytes)
        };
        assert_eq!(of(0), (130, 100, None));
        assert_eq!(of(50), (50, 20, Some(50)));
        assert_eq!(of(20), (30, 0, Some(20)));
        assert_eq!(of(500), (130, 100, Some(500)));
        assert!(figures(&Name::from_bytes("rbd"), &json!({"stored": -1})).is_none());
        let of = |objects: u64| {
            let stats = json!({"stored": 30, "max_avail": 100, "objects": objects, "quota_objects": 10});
            let pool = figures(&Name::from_bytes("rbd"), &stats).unwrap();
            (pool.available_bytes, pool.quota_bytes, pool.quota_objects)
        };
        assert_eq!((of(9), of(10)), ((100, None, Some(10)), (0, None, Some(10))));
    }

    #[test]
    fn health_is_told_with_what_is_wrong() {
        let told = json!({"status": "HEALTH_WARN", "checks": {"OSD_DOWN": {
            "severity": "HEALTH_WARN", "summary": {"message": "1 osds down", "count": 1}, "muted": false}}});
        let check = HealthCheck {
            code: "OSD_DOWN".into(),
            severity: "HEALTH_WARN".into(),
            message: "1 osds down".into(),
        };
        assert_eq!(parsed(&told), Some(Health { status: "HEALTH_WARN".into(), checks: vec![check] }));
        assert_eq!(parsed(&json!({"status": "HEALTH_OK"})), None);
    }
}
