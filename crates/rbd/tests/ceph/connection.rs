//! Connecting, failing to, and letting go.

use crate::{LIMIT, conf, connect, library, options, own_pool};
use rbd::{ConnectOptions, Environment, Errno, Error};
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_connection_tells_of_its_cluster_and_shuts_down() {
    let library = library();
    assert!(library.path().is_absolute(), "{:?}", library.path());
    assert!(library.rbd_version().unwrap().major >= 1 && library.rados_version().unwrap().major >= 3);
    let cluster = connect().await;
    assert_eq!(cluster.fsid(LIMIT).await.unwrap().len(), 36);
    assert!(cluster.instance_id(LIMIT).await.unwrap() > 0);
    let mut stat = cluster.stat(LIMIT).await.unwrap();
    // A cluster just started knows no figures before its manager has reported.
    while stat.total_bytes == 0 {
        stat = cluster.stat(LIMIT).await.unwrap();
    }
    assert!(stat.available_bytes > 0 && stat.available_bytes <= stat.total_bytes);
    let monitors = cluster.monitors(LIMIT).await.unwrap();
    assert!(monitors.iter().all(|monitor| monitor.in_quorum && !monitor.name.is_empty()));
    let addresses: Vec<_> =
        monitors.iter().flat_map(|of| &of.addresses).map(|at| at.address.clone()).collect();
    assert!(addresses.iter().any(|address| address.starts_with("127.0.0.1:")), "{addresses:?}");
    assert!(cluster.pools(LIMIT).await.unwrap().contains(&b"rbd".to_vec()));
    let id = cluster.pool_id(b"rbd", LIMIT).await.unwrap().unwrap();
    assert_eq!(cluster.pool_name(id, LIMIT).await.unwrap(), b"rbd");
    assert_eq!(cluster.pool_id(b"no such pool", LIMIT).await, Ok(None));
    assert!(cluster.option("rados_osd_op_timeout", LIMIT).await.unwrap().starts_with(b"30"));
    let pool = cluster.pool_by_id(id, b"", LIMIT).await.unwrap();
    assert_eq!(pool.id(), id);
    pool.stat(LIMIT).await.unwrap();

    let short = Duration::from_millis(20);
    assert_eq!(cluster.shutdown(short).await, Err(Error::GivenUp { symbol: "rados_shutdown", after: short }));
    drop(pool);
    cluster.shutdown(LIMIT).await.unwrap();
    assert_eq!(cluster.fsid(LIMIT).await, Err(Error::Closed));
}

#[tokio::test]
async fn a_configuration_cannot_run_code_nor_write_files() {
    let dir = tempfile::tempdir().unwrap();
    let own = fs::read_to_string(conf()).unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (conf, log) = (dir.path().join("ceph.conf"), file("log"));
    let hostile = ["admin_socket", "crush_location_hook", "plugin_dir", "rbd_plugins", "log_file"];
    let mut text = format!("{own}\n[client]\nlog_to_stderr = true\nlog_to_file = true\ndebug_rados = 20\n");
    for option in hostile {
        text += &format!("{option} = {log}\n");
    }
    fs::write(&conf, text).unwrap();
    let mut options = ConnectOptions::new(&conf, "admin");
    options.environment = Environment::Trust;
    let cluster = crate::connect_with(&options).await;
    for option in hostile {
        let value = cluster.option(option, LIMIT).await.unwrap();
        assert!(value.is_empty() || value == b"/nonexistent", "{option}");
    }
    assert_eq!(cluster.option("log_to_stderr", LIMIT).await.unwrap(), b"false");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_missing_pool_and_a_refused_command_are_named() {
    let cluster = connect().await;
    let error = cluster.pool(b"n\xf6 pool", b"", LIMIT).await.unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT));
    assert!(error.to_string().contains(r"pool n\xf6 pool"), "{error}");
    let error = cluster.mon_command(r#"{"prefix":"no such command"}"#, LIMIT).await.unwrap_err();
    assert_eq!((error.symbol(), error.errno()), (Some("rados_mon_command"), Some(Errno::EINVAL)));
}

#[tokio::test]
async fn s08_a_wrong_key_is_refused_naming_user_and_monitors_but_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = dir.path().join("keyring");
    let key = "AQAAAAAAAAAAABAAdm9sYXJ5IHRlc3Qga2V5IQ==";
    fs::write(&keyring, format!("[client.admin]\n\tkey = {key}\n")).unwrap();
    let own = fs::read_to_string(conf()).unwrap();
    let own: Vec<&str> = own.lines().filter(|line| !line.trim_start().starts_with("keyring")).collect();
    let wrong = dir.path().join("ceph.conf");
    fs::write(&wrong, format!("{}\n[client]\nkeyring = {}\n", own.join("\n"), keyring.display())).unwrap();
    let mut options = ConnectOptions::new(&wrong, "admin");
    options.environment = Environment::Trust;
    let error = options.connect(&library(), LIMIT).await.unwrap_err();
    assert!(matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM)), "{error}");
    let said = format!("{error} {error:?}");
    assert!(said.contains("client.admin") && said.contains("127.0.0.1"), "{said}");
    assert!(!said.contains(key), "{said}");
}

/// The address of a monitor that never answers; set for the process in which that is tried.
const FROZEN: &str = "VOLARY_TEST_FROZEN_MONITOR";

async fn connect_to(monitor: &str, timeout: Duration, limit: Duration) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("ceph.conf");
    fs::write(&conf, format!("[global]\nmon_host = {monitor}\nauth_client_required = none\n")).unwrap();
    let mut options = ConnectOptions::new(&conf, "admin");
    options.environment = Environment::Trust;
    options.timeout = timeout;
    options.connect(&library(), limit).await.unwrap_err()
}

/// Set for the process in which leaving at exit is tried.
const EXITING: &str = "VOLARY_TEST_EXITING";

#[test]
#[allow(clippy::print_stdout, reason = "a child of the test tells its parent")]
fn a_process_that_exits_keeps_its_code_and_runs_no_exit_handlers() {
    // SAFETY: the declaration is that of C.
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
    }
    extern "C" fn handler() {
        println!("an exit handler ran");
    }
    if let Ok(leave) = std::env::var(EXITING) {
        // SAFETY: a function that lives as long as the process.
        assert_eq!(unsafe { atexit(handler) }, 0);
        if leave == "yes" {
            crate::library();
        }
        print!("written, not flushed; ");
        std::process::exit(8);
    }
    let test = "connection::a_process_that_exits_keeps_its_code_and_runs_no_exit_handlers";
    for (leave, ran) in [("yes", false), ("no", true)] {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", test, "--nocapture"]).env(EXITING, leave).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!((ended.status.code(), said.contains("an exit handler ran")), (Some(8), ran), "{said}");
        assert!(said.contains("written, not flushed"), "{said}");
    }
}

#[tokio::test]
async fn s05_a_dead_monitor_is_given_up_by_the_limit_and_the_process_ends_with_its_code() {
    if let Ok(monitor) = std::env::var(FROZEN) {
        let (limit, began) = (Duration::from_secs(1), Instant::now());
        let error = connect_to(&monitor, Duration::from_secs(60), limit).await;
        let given_up =
            matches!(&error, Error::Connect(refusal) if !refusal.returned && refusal.monitors == monitor);
        rbd::leave(if given_up && began.elapsed() < 2 * limit { 8 } else { 1 });
    }
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let monitor = frozen.local_addr().unwrap().to_string();
    let mut again = Command::new(std::env::current_exe().unwrap());
    let test = "connection::s05_a_dead_monitor_is_given_up_by_the_limit_and_the_process_ends_with_its_code";
    again.args(["--exact", test, "--nocapture"]).env(FROZEN, &monitor);
    assert_eq!(again.status().unwrap().code(), Some(8));
    // librados' own limit, in time.
    let error = connect_to(&monitor, Duration::from_secs(1), LIMIT).await;
    assert_eq!((error.symbol(), error.errno()), (Some("rados_connect"), Some(Errno::ETIMEDOUT)), "{error}");
}

#[tokio::test]
async fn a_configuration_that_is_not_there_or_not_absolute_is_named() {
    let options = |path: &str| {
        let mut options = ConnectOptions::new(path, "admin");
        options.environment = Environment::Trust;
        options
    };
    let error = options("/nonexistent/ceph.conf").connect(&library(), LIMIT).await.unwrap_err();
    assert_eq!((error.symbol(), error.errno()), (Some("rados_conf_read_file"), Some(Errno::ENOENT)));
    assert!(error.to_string().contains("/nonexistent/ceph.conf"), "{error}");
    let error = options("ceph.conf").connect(&library(), LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("not an absolute path"), "{error}");
}

#[tokio::test]
async fn an_environment_that_outranks_the_configuration_is_refused() {
    // A process of its own: a test does not change its own environment.
    let mut again = Command::new(std::env::current_exe().unwrap());
    let test = "connection::connecting_where_the_environment_is_hostile";
    again.args(["--exact", test, "--nocapture"]).env("CEPH_ARGS", "--log-file=/nonexistent");
    assert!(again.status().unwrap().success());
}

#[tokio::test]
async fn connecting_where_the_environment_is_hostile() {
    let mut options = options();
    options.environment = Environment::Refuse;
    let answer = match options.connect(&library(), LIMIT).await {
        Ok(cluster) => cluster.shutdown(LIMIT).await,
        Err(error) => Err(error),
    };
    match rbd::HOSTILE_VARIABLES.into_iter().find(|variable| std::env::var_os(variable).is_some()) {
        Some(variable) => assert_eq!(answer, Err(Error::Environment { variable })),
        None => assert_eq!(answer, Ok(())),
    }
}

#[tokio::test]
async fn names_with_nul_are_refused_and_a_missing_function_is_told() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    let options = rbd::ImageOptions::default();
    let nul = pool.create(b"a\0b", 1, &options, LIMIT).await;
    assert_eq!(nul, Err(Error::Nul { what: "an image's name" }));
    if library().missing().iter().any(|symbol| symbol.name == "rbd_clone4") {
        let answer = pool.clone_image_by_snapshot_id(b"p", 1, &pool, b"c", &options, LIMIT).await;
        assert_eq!(answer, Err(Error::Unsupported { symbol: "rbd_clone4" }));
    }
}
