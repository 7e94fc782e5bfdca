//! What `doctor` is told: the libraries here, the user's keyring and rights, and the settings of pools.
//!
//! Nothing is written. Whether the user may write is asked by a change that compares with a value nobody ever set, so
//! that it is refused either for want of the right or because the value differs.

use super::NO_LIMIT;
use super::connection::Connection;
use super::figures::ask;
use crate::engine::Check;
use crate::{Error, ErrorKind, Name, Namespace, Result, escape};
use rbd::{Errno, Library};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// What can be said before anything is connected to.
pub(crate) async fn libraries() -> Vec<Check> {
    match tokio::task::spawn_blocking(|| Library::load(None)).await {
        Ok(Ok(library)) => told(&library),
        Ok(Err(error)) => vec![Check::failed("libraries", &error.into())],
        Err(error) => vec![Check::failed(
            "libraries",
            &Error::new(ErrorKind::Internal, "a thread ended").because(error),
        )],
    }
}

fn told(library: &Library) -> Vec<Check> {
    let version =
        |version: rbd::Result<rbd::Version>| version.map_or("unknown".into(), |version| version.to_string());
    let path = library.path();
    let versions =
        format!("librbd {}, librados {}", version(library.rbd_version()), version(library.rados_version()));
    let missing: Vec<_> =
        library.missing().iter().map(|symbol| format!("{} (Ceph {})", symbol.name, symbol.since)).collect();
    let symbols = match missing.as_slice() {
        [] => "all that Volary knows to use".to_owned(),
        missing => format!("without {}, which Volary does without", missing.join(", ")),
    };
    let bug = "flattening a clone whose object map is wrong can corrupt it up to librbd 18.2.4 and 19.2.0";
    let remedy =
        "upgrade librbd to 18.2.5, 19.2.1 or newer; until then `rbd object-map check` before flattening";
    let flatten = match library.rbd_version() {
        Ok(version) if (version.major, version.minor) >= (1, 20) => {
            Check::ok("flatten", "without known faults")
        }
        Ok(version) if (version.major, version.minor) < (1, 18) => Check::warning("flatten", bug, remedy),
        // Only major releases can be told apart.
        _ => Check::unknown("flatten", format!("{bug}; the library does not tell its patch release"), remedy),
    };
    vec![
        Check::ok("libraries", format!("{versions}, from {}", escape(path.as_os_str().as_encoded_bytes()))),
        Check::ok("functions", symbols),
        flatten,
    ]
}

/// What can be said of the store that is connected to; what its OSDs do not answer within the limit is a check that failed.
pub(super) async fn examine(on: &Connection, limit: Duration) -> Result<Vec<Check>> {
    let (until, mut silent) = (Instant::now() + limit, false);
    let mut checks = vec![
        keyring(on).await?,
        Check::unknown(
            "blocklisting",
            format!("whether {} may blocklist a dead writer cannot be tried without doing it", on.user()),
            "the capability is mon 'profile rbd'",
        ),
    ];
    let dump = match ask(on, "osd dump", None).await {
        Err(error) if error.kind() == ErrorKind::Permission => {
            let remedy = error.remedy().unwrap_or_default();
            checks.push(Check::unknown("pools", "their settings may not be read", remedy));
            return Ok(checks);
        }
        dump => dump?,
    };
    for pool in dump["pools"].as_array().into_iter().flatten() {
        let applications = pool["application_metadata"].as_object();
        let others = applications.is_some_and(|all| !all.is_empty() && !all.contains_key("rbd"));
        if let (Some(name), false) = (pool["pool_name"].as_str(), others) {
            checks.extend(settings(name, pool));
            if pool["type"].as_u64() == Some(ERASURE) {
                checks.push(Check::ok(
                    format!("pool {name} access"),
                    "erasure-coded: it keeps data, no images",
                ));
            } else if silent {
                let check = format!("pool {name} access");
                checks.push(Check::unknown(
                    check,
                    "not asked: the OSDs of another pool do not answer",
                    SILENT,
                ));
            } else {
                match tokio::time::timeout_at(until, access(on, name)).await {
                    Ok(access) => checks.push(access?),
                    Err(_) => {
                        silent = true;
                        let late =
                            format!("the monitors answer, the OSDs of the pool did not within {limit:?}");
                        let late = Error::new(ErrorKind::Deadline, late).hint(SILENT);
                        checks.push(Check::failed(format!("pool {name} access"), &late));
                    }
                }
            }
        }
    }
    Ok(checks)
}

const SILENT: &str = "the cluster's health says which OSDs are down";

/// What a user needs for a pool.
const CAPS: &str = "mon 'profile rbd', osd 'profile rbd pool=POOL', mgr 'profile rbd pool=POOL'";

/// How the dump of OSDs numbers a pool that is not replicated.
const ERASURE: u64 = 3;

/// What is to be said against a pool's settings.
fn settings(name: &str, pool: &Value) -> Vec<Check> {
    let check = |what: &str| format!("pool {name} {what}");
    let mut checks = Vec::new();
    let flags: Vec<_> = pool["flags_names"].as_str().unwrap_or_default().split(',').collect();
    if flags.iter().any(|flag| matches!(*flag, "full" | "full_quota")) {
        let error = Error::new(ErrorKind::NoSpace, "the pool is full: nothing can be written")
            .hint("free space, add OSDs, or raise the quota: `ceph health detail` says which");
        checks.push(Check::failed(check("space"), &error));
    } else if flags.iter().any(|flag| matches!(*flag, "nearfull" | "backfillfull")) {
        checks.push(Check::warning(check("space"), "the pool is nearly full", "free space, or add OSDs"));
    }
    if pool["application_metadata"].as_object().is_some_and(serde_json::Map::is_empty) {
        let remedy = format!("let the administrator run `rbd pool init {name}`, if it is meant for volumes");
        checks.push(Check::warning(check("application"), "the pool is not marked for RBD", remedy));
    }
    if pool["type"].as_u64() != Some(ERASURE) && pool["size"].as_u64() == Some(1) {
        let remedy = format!("let the administrator run `ceph osd pool set {name} size 3`");
        checks.push(Check::warning(check("copies"), "one copy: the loss of one disk loses data", remedy));
    }
    checks
}

/// What the user may do in a pool's default namespace.
async fn access(on: &Connection, name: &str) -> Result<Check> {
    let (check, user) = (format!("pool {name} access"), on.user());
    let remedy = format!("let the administrator grant {}", CAPS.replace("POOL", name));
    let namespace = Namespace::of_pool(Name::from_bytes(name));
    let pool = match on.enter(&namespace).await {
        // Removed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Check::unknown(check, "it has gone meanwhile", "ask again"));
        }
        pool => pool?,
    };
    let impossible = rbd::Swap { key: b"doctor".to_vec(), expected: Some(b"never set".to_vec()), new: None };
    let read = allowed(pool.omap_page(b"rbd_directory", b"", b"name_", 1, NO_LIMIT).await)?;
    let call = allowed(pool.namespaces(NO_LIMIT).await)?;
    let write = allowed(pool.omap_swap(b"volary_doctor", vec![impossible], NO_LIMIT).await)?;
    Ok(match (read && call, write) {
        (true, true) => Check::ok(check, format!("{user} may read and write")),
        (true, false) => Check::warning(check, format!("{user} may read only"), remedy),
        (false, true) => Check::warning(check, format!("{user} may write but not read"), remedy),
        (false, false) => {
            let detail = format!("{user} may not read its default namespace: what it holds is unknown");
            Check::unknown(check, detail, remedy)
        }
    })
}

/// Whether a call was allowed; every other failure is one.
fn allowed<T>(result: rbd::Result<T>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Who else can read the user's key.
async fn keyring(on: &Connection) -> Result<Check> {
    let mut places = Vec::new();
    for option in ["keyring", "keyfile"] {
        let value = on.cluster.option(option, NO_LIMIT).await?;
        let value = String::from_utf8_lossy(&value).into_owned();
        let separator = |c: char| c == ',' || c == ';' || c.is_whitespace();
        places.extend(value.split(separator).filter(|path| !path.is_empty()).map(PathBuf::from));
    }
    let look = move || places.into_iter().find_map(|path| Some((path.metadata().ok()?, path)));
    let found = tokio::task::spawn_blocking(look).await;
    let found = found.map_err(|error| Error::new(ErrorKind::Internal, "a thread ended").because(error))?;
    let Some((metadata, path)) = found else {
        return Ok(Check::unknown(
            "keyring",
            "no file: the key stands in the configuration",
            "let only its owner read the file that holds the key",
        ));
    };
    let (path, mode) =
        (escape(path.as_os_str().as_encoded_bytes()).into_owned(), metadata.permissions().mode());
    Ok(match mode & 0o077 {
        0 => Check::ok("keyring", path),
        _ => {
            let detail =
                format!("{path} has mode {:04o}: not only its owner can read the key", mode & 0o7777);
            Check::warning("keyring", detail, format!("chmod 0600 {path}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Verdict;
    use serde_json::json;

    #[test]
    fn what_is_wrong_with_a_pool_is_told_and_nothing_else() {
        let pool = |flags: &str, size: u64, kind: u64, applications: Value| {
            let pool = json!({"flags_names": flags, "size": size, "type": kind, "application_metadata": applications});
            let told = settings("p", &pool).into_iter().map(|check| (check.name, check.verdict));
            told.collect::<Vec<_>>()
        };
        let rbd = || json!({"rbd": {}});
        assert_eq!(pool("hashpspool,selfmanaged_snaps", 3, 1, rbd()), []);
        assert_eq!(pool("hashpspool,full", 3, 1, rbd()), [("pool p space".into(), Verdict::Failed)]);
        assert_eq!(pool("hashpspool,nearfull", 3, 1, rbd()), [("pool p space".into(), Verdict::Warning)]);
        assert_eq!(pool("", 1, 1, rbd()), [("pool p copies".into(), Verdict::Warning)]);
        assert_eq!(pool("", 1, ERASURE, rbd()), []);
        assert_eq!(pool("", 3, 1, json!({})), [("pool p application".into(), Verdict::Warning)]);
    }
}
