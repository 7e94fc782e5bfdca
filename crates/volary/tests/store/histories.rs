//! Random histories, lived by a store and by the reference model alike.
#![allow(clippy::print_stderr, reason = "what is printed is shown when a history fails")]

use crate::place::Place;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A few histories, or as many as `PROPTEST_CASES` says; the seed is printed, and taken from `PROPTEST_RNG_SEED`.
fn config() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { Place::HISTORIES };
    let seed = match asked.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => {
            u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() << 20
        }
    };
    eprintln!("to live these histories again: PROPTEST_RNG_SEED={seed}");
    // Making a failing history shorter lives many more.
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), max_shrink_time: 60_000, ..asked }
}

proptest! {
    #![proptest_config(config())]
    /// **S10 One contract.** Every engine passes the same conformance suite (`crates/volary-testkit`); where
    /// Ceph refuses, local refuses alike; each difference that remains is a row below.
    #[test]
    fn s10_random_histories_live_as_in_the_model(ops in volary_testkit::model::history(Place::STEPS)) {
        // In memory where that is possible: each step syncs, and nothing here depends on a disk.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let place = Place::new(dir.path()).await;
            volary_testkit::model::live(|| place.open(), &place.home(), &ops).await;
        });
    }
}
