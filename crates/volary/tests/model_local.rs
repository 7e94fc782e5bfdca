//! The local engine lives random histories as the reference model does.

use proptest::test_runner::{Config, TestRunner};
use volary::engine::local;
use volary::{Ctl, Namespace};
use volary_testkit::model::{history, live};

#[test]
fn s10_random_histories_leave_what_the_model_says() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lived = runner.run(&history(40), |ops| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let ctl = Ctl::new();
        let open = || async { local::open(&path, &ctl).await.unwrap() };
        runtime.block_on(live(open, &Namespace::default(), &ops));
        Ok(())
    });
    if let Err(error) = lived {
        panic!("{error}");
    }
}
