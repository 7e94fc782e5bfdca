//! What a cluster is made of before it runs: its configuration, keys and monitor map.

use crate::tools::{self, Outcome};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Marks a directory as a cluster's, so that nothing else is ever removed.
pub(super) const MARK: &str = "volary-test-cluster";

/// A cluster that is about to be made.
pub(super) struct Cluster {
    pub(super) dir: PathBuf,
    pub(super) fsid: String,
    /// Of the monitor: the old protocol's and the new one's.
    pub(super) ports: [u16; 2],
    pub(super) bluestore: bool,
    pub(super) osds: u8,
    pub(super) stock: bool,
    pub(super) latency: Option<f64>,
}

/// The cluster's configuration file.
pub(super) fn conf(dir: &Path) -> PathBuf {
    dir.join("ceph.conf")
}

/// Writes the directory, the configuration, the keys and the monitor map.
pub(super) fn write(cluster: &Cluster) -> Outcome {
    let dir = &cluster.dir;
    for part in ["run", "log", "mon", "mgr"] {
        std::fs::create_dir_all(dir.join(part))?;
    }
    std::fs::write(dir.join(MARK), "made by `cargo xtask cluster up`\n")?;
    std::fs::write(conf(dir), configuration(cluster)?)?;
    let keyring = dir.join("keyring");
    let key = |entity: &str, caps: &[&str]| {
        let mut command = tools::program("ceph-authtool");
        command.arg(&keyring).args(["--gen-key", "-n", entity]).args(caps);
        if !keyring.exists() {
            command.arg("--create-keyring");
        }
        tools::output(&mut command)
    };
    key("mon.", &["--cap", "mon", "allow *"])?;
    let all = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"];
    key("client.admin", &all)?;
    key("mgr.x", &["--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *"])?;
    for osd in 0..cluster.osds {
        key(
            &format!("osd.{osd}"),
            &[
                "--cap",
                "mon",
                "allow profile osd",
                "--cap",
                "osd",
                "allow *",
                "--cap",
                "mgr",
                "allow profile osd",
            ],
        )?;
    }
    let mut monmap = tools::program("monmaptool");
    monmap
        .args(["--create", "--fsid", &cluster.fsid, "--addv", "a", &address(cluster)])
        .arg(dir.join("monmap"));
    tools::output(&mut monmap)?;
    Ok(())
}

fn address(cluster: &Cluster) -> String {
    let [old, new] = cluster.ports;
    format!("[v2:127.0.0.1:{new},v1:127.0.0.1:{old}]")
}

fn configuration(cluster: &Cluster) -> Outcome<String> {
    let dir = cluster.dir.display();
    let classes = class_dir(Path::new("/usr/lib"))?;
    let mut text = format!(
        "[global]
fsid = {fsid}
mon_host = {address}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {dir}/keyring
run_dir = {dir}/run
pid_file = {dir}/run/$name.pid
admin_socket = {dir}/run/$name.$pid.asok
log_file = {dir}/log/$name.log
crash_dir = {dir}/log
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 1
mon_data_avail_crit = 0
ms_bind_ipv6 = false
",
        fsid = cluster.fsid,
        address = address(cluster),
    );
    if !cluster.stock {
        // The monitors batch snapshot ids and a dead client's watch lasts; tests cannot wait for either.
        text.push_str("paxos_propose_interval = 0.05\nosd_client_watch_timeout = 5\n");
        // A client renews its watches at this interval. At the default, 5 s, a watch that lasts 5 s is lost and made again all the time.
        text.push_str("objecter_tick_interval = 1\n");
        // A store in memory or in a file is taken for a slow disk, whose removed snapshots would be cleared at two objects in 5 s.
        text.push_str("osd_snap_trim_sleep_hdd = 0\n");
    }
    if let Some(latency) = cluster.latency {
        write!(
            text,
            "ms_inject_delay_type = osd client\nms_inject_delay_max = {latency}\nms_inject_delay_probability = 1\n"
        )?;
    }
    write!(text, "\n[client]\nlog_file =\nadmin_socket =\npid_file =\n\n[mon.a]\nmon_data = {dir}/mon/a\n")?;
    // Debian's packages from 13 on have a relative default: an OSD that is started elsewhere than in / or /usr loads no class, and none of RBD's calls works.
    write!(
        text,
        "\n[mgr.x]\nmgr_data = {dir}/mgr/x\nmgr_initial_modules = rbd_support\n\n[osd]\nosd_data = {dir}/osd/$id\nosd_class_dir = {}\n",
        classes.display()
    )?;
    if cluster.bluestore {
        // A plain file as a device: made sparse, so it takes what is written.
        text.push_str("osd_objectstore = bluestore\nbluestore_block_size = 21474836480\nosd_memory_target = 1073741824\n");
        text.push_str("bluestore_block_create = true\nbluestore_fsck_on_mount = false\n");
    } else {
        text.push_str("osd_objectstore = memstore\nmemstore_device_bytes = 10737418240\n");
    }
    Ok(text)
}

/// The directory of the OSD's object classes: below `lib` itself or below the directory of the machine's architecture in it.
fn class_dir(lib: &Path) -> Outcome<PathBuf> {
    let mut places = vec![lib.to_owned()];
    for entry in std::fs::read_dir(lib)? {
        places.push(entry?.path());
    }
    let found = places.into_iter().map(|place| place.join("rados-classes")).find(|place| place.is_dir());
    found.ok_or_else(|| {
        format!("no rados-classes below {}: install the package ceph-osd", lib.display()).into()
    })
}
