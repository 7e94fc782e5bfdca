//! The command on a real cluster, named by `VOLARY_TEST_CEPH_CONF`: `cargo xtask test` starts one and sets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "both/mod.rs"]
mod both;
#[path = "ceph/caveats.rs"]
mod caveats;
#[path = "ceph/check.rs"]
mod check;
#[path = "ceph/client.rs"]
mod client;
#[path = "ceph/clone_lists.rs"]
mod clone_lists;
#[path = "ceph/clones.rs"]
mod clones;
#[path = "ceph/confined.rs"]
mod confined;
#[path = "ceph/connecting.rs"]
mod connecting;
#[path = "ceph/damage.rs"]
mod damage;
#[path = "ceph/doctor.rs"]
mod doctor;
#[path = "ceph/fence.rs"]
mod fence;
#[path = "ceph/figures.rs"]
mod figures;
#[path = "ceph/forged.rs"]
mod forged;
#[path = "ceph/groups.rs"]
mod groups;
#[path = "ceph/half_removed.rs"]
mod half_removed;
mod harness;
#[path = "ceph/holders.rs"]
mod holders;
#[path = "ceph/interop.rs"]
mod interop;
#[path = "ceph/last_clone.rs"]
mod last_clone;
#[path = "ceph/least_privilege.rs"]
mod least_privilege;
#[path = "ceph/left_behind.rs"]
mod left_behind;
#[path = "ceph/locks.rs"]
mod locks;
#[path = "ceph/lost_parents.rs"]
mod lost_parents;
#[path = "ceph/memory.rs"]
mod memory;
#[path = "ceph/migration.rs"]
mod migration;
#[path = "ceph/mirror.rs"]
mod mirror;
#[path = "ceph/secrets.rs"]
mod secrets;
#[path = "ceph/states.rs"]
mod states;
#[path = "ceph/trash_moves.rs"]
mod trash_moves;
#[path = "ceph/unopenable.rs"]
mod unopenable;

fn bench() -> harness::Bench {
    harness::Bench::ceph()
}
