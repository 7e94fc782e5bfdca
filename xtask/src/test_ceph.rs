//! The tests that need a Ceph cluster, on one that is started for them and ended after them.

use crate::cluster;
use crate::tools::{Outcome, cargo, run};

/// Runs the crate `rbd`'s tests and the conformance suite on a cluster of their own.
pub(crate) fn test() -> Outcome {
    let dir = tempfile::Builder::new().prefix("volary-ceph-").tempdir()?;
    let cluster = cluster::for_tests(&dir.path().join("cluster"))?;
    let mut tests = cargo(&["test", "--package", "rbd", "--features", "ceph-tests", "--test", "ceph"]);
    let mut conformance =
        cargo(&["test", "--package", "volary", "--features", "ceph-tests", "--test", "ceph_conformance"]);
    for tests in [&mut tests, &mut conformance] {
        tests.env("VOLARY_TEST_CEPH_CONF", cluster.conf());
        for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
            tests.env_remove(variable);
        }
    }
    let done = run(&mut tests).and_then(|()| run(&mut conformance));
    cluster.down().and(done)
}
