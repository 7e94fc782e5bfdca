//! When a check looks for the second time.

use std::time::Duration;
use tokio::time::Instant;
use volary::{CheckRequest, Ctl, Namespace, Store};

#[tokio::test(start_paused = true)]
async fn a_finding_is_looked_for_again_after_the_pause_and_nothing_is_waited_for_without_one() {
    let (engine, _, _dir) = crate::new_store().await;
    let (ctl, home, store) = (Ctl::new(), Namespace::default(), Store::over(engine.clone()));
    let places = std::slice::from_ref(&home);
    let hour = Duration::from_secs(3600);
    let mut request = CheckRequest::default();
    request.pause = hour;
    let began = Instant::now();
    let report = store.check(places, &request, &ctl).await;
    assert!(report.findings.is_empty() && began.elapsed() < hour);
    let put = engine.swap_record(&home, "intent.nonsense", None, Some(b"{}"), &ctl);
    assert!(put.await.unwrap());
    let report = store.check(places, &request, &ctl).await;
    assert_eq!(report.findings.len(), 1);
    assert!(began.elapsed() >= hour);
    // Taken away while the check waits.
    let checking = store.check(places, &request, &ctl);
    let take_away = async {
        tokio::time::sleep(hour / 2).await;
        engine.swap_record(&home, "intent.nonsense", Some(b"{}"), None, &ctl).await.unwrap()
    };
    let (report, gone) = tokio::join!(checking, take_away);
    assert!(gone && report.findings.is_empty() && report.complete, "{report:?}");
}
