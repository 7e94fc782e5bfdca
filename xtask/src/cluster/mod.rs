//! A one-node Ceph cluster from Debian's packages: own directory, own ports on loopback, own processes.

mod config;
mod daemons;
mod guard;
mod left;

pub(crate) use guard::{Running, for_benchmarks, for_faults, for_tests, watch};

use crate::tools::{self, Outcome};
use clap::{Args, ValueEnum};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a cluster is made.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where the cluster keeps everything it has
    #[arg(long, default_value = "target/cluster")]
    dir: PathBuf,
    /// What its OSDs keep data in
    #[arg(long, value_enum, default_value_t = ObjectStore::Memstore)]
    objectstore: ObjectStore,
    /// How many OSDs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    osds: u8,
    /// Keep Ceph's own timings, for benchmarks; otherwise snapshots and dead watches are quick, for tests
    #[arg(long)]
    stock: bool,
    /// Delay every message of every client, such as 5ms
    #[arg(long, value_name = "DURATION")]
    latency: Option<String>,
}

/// Which cluster.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Where the cluster keeps everything it has
    #[arg(long, default_value = "target/cluster")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectStore {
    /// Memory: quick, gone with the process
    Memstore,
    /// A plain file: what tests of crashes need
    Bluestore,
}

const PROGRAMS: &[(&str, &str)] = &[
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("ceph-mgr", "ceph-mgr"),
    ("ceph", "ceph-common"),
    ("monmaptool", "ceph-common"),
];

/// Makes and starts a cluster; one that is there and runs is refused.
pub(crate) fn up(options: &Up) -> Outcome {
    tools::need(PROGRAMS)?;
    let dir = absolute(&options.dir);
    if daemons::running(&dir) {
        return Err(format!("a cluster runs in {}; `cargo xtask cluster down` ends it", dir.display()).into());
    }
    if dir.exists() && !dir.join(config::MARK).exists() {
        return Err(
            format!("{} is there and is not a cluster's; name another directory", dir.display()).into()
        );
    }
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    let latency = options.latency.as_deref().map(seconds).transpose()?;
    let cluster = config::Cluster {
        fsid: std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned(),
        ports: [free_port()?, free_port()?],
        bluestore: options.objectstore == ObjectStore::Bluestore,
        osds: options.osds,
        stock: options.stock,
        latency,
        dir,
    };
    config::write(&cluster)?;
    if let Err(error) = daemons::start(&cluster) {
        daemons::stop(&cluster.dir)?;
        return Err(error);
    }
    print_environment(&cluster.dir);
    Ok(())
}

/// Ends the cluster's own processes and removes its directory.
pub(crate) fn down(which: &Which) -> Outcome {
    let dir = absolute(&which.dir);
    if !dir.join(config::MARK).exists() {
        return Err(format!("no cluster in {}", dir.display()).into());
    }
    end(&dir)
}

fn end(dir: &Path) -> Outcome {
    daemons::stop(dir)?;
    Ok(std::fs::remove_dir_all(dir)?)
}

/// Prints what a shell needs to use the cluster.
pub(crate) fn environment(which: &Which) -> Outcome {
    let dir = absolute(&which.dir);
    if !daemons::running(&dir) {
        return Err(
            format!("no cluster runs in {}; `cargo xtask cluster up` starts one", dir.display()).into()
        );
    }
    print_environment(&dir);
    Ok(())
}

fn print_environment(dir: &Path) {
    let conf = config::conf(dir);
    println!("export VOLARY_STORE='ceph:{}'", conf.display());
    println!("export {}='{}'", crate::test::CONF, conf.display());
    println!("export {}='{}'", crate::test::QEMU_IMG, crate::qemu::place().display());
}

/// The `ceph` command on this cluster.
fn ceph(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = tools::program("ceph");
    command.env_remove("CEPH_ARGS").arg("--conf").arg(config::conf(dir));
    command.args(["--connect-timeout", "20"]).args(arguments);
    command
}

fn absolute(dir: &Path) -> PathBuf {
    tools::root().join(dir)
}

/// A port of loopback that nobody has just now.
fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// `5ms` or `1s` in seconds, as Ceph's options want it.
fn seconds(text: &str) -> Outcome<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a duration"))?;
    match unit {
        "ms" => Ok(number / 1000.0),
        "s" => Ok(number),
        _ => Err(format!("`{text}` is not a duration; write 5ms").into()),
    }
}
