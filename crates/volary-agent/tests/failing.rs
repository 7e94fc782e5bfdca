//! An agent on a store that fails, ten thousand times over: it says so, and its memory stays what it was. Alone in its
//! process, whose memory is what is measured.
#![allow(clippy::unwrap_used)]

mod scene;

use scene::Scene;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;
use volary::{Error, ErrorKind, Store};
use volary_agent::{Agent, AgentOptions, Health, Metrics, RoundOutcome};
use volary_testkit::fault::Faults;

const WELL: u8 = 0;
const SILENT: u8 = 1;
const REFUSING: u8 = 2;

const ATTEMPTS: usize = 10_000;
const INTENTS: usize = 50;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The value of a metric, by its name and labels.
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn s12_ten_thousand_failed_attempts_are_told_and_take_no_memory() {
    let scene = Scene::new().await;
    scene.orders(INTENTS).await;
    let (state, swaps) = (Arc::new(AtomicU8::new(SILENT)), Arc::new(AtomicUsize::new(0)));
    let before = {
        let (state, swaps) = (state.clone(), swaps.clone());
        move |method: &'static str| match (state.load(Ordering::SeqCst), method) {
            (SILENT, _) => Err(Error::new(ErrorKind::Unreachable, "made to fail")),
            (REFUSING, "find") => Err(Error::new(ErrorKind::Permission, "made to fail")),
            // Taking over succeeds and leaving the reason does not, so that only the lease has to pass, in this
            // test's time, before the next attempt.
            (REFUSING, "swap_record") if swaps.fetch_add(1, Ordering::SeqCst) % 2 == 1 => {
                Err(Error::new(ErrorKind::Permission, "made to fail"))
            }
            _ => Ok(()),
        }
    };
    let store = Store::over(Faults::before(scene.engine.clone(), Arc::new(before)));
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health.clone(), &scene.ctl);
    let began = tokio::time::Instant::now();
    let (mut rounds, mut first, mut worst) = (0_usize, 0, 0);
    let run = agent.run(|report| {
        rounds += 1;
        let attempts =
            value(&metrics, "volary_settle_failures_total{kind=\"permission\",operation=\"remove\"}");
        match state.load(Ordering::SeqCst) {
            SILENT => {
                assert_eq!(report.outcome, RoundOutcome::Failed);
                assert!(health.problem().unwrap().contains("made to fail"));
                if rounds == ATTEMPTS {
                    state.store(REFUSING, Ordering::SeqCst);
                }
            }
            REFUSING if attempts as usize >= ATTEMPTS => state.store(WELL, Ordering::SeqCst),
            REFUSING => assert_ne!(report.outcome, RoundOutcome::Failed),
            _ if report.outcome == RoundOutcome::Done && report.reaped.is_empty() => {
                scene.ctl.cancel_token().cancel();
            }
            _ => {}
        }
        if rounds == 500 {
            first = resident_bytes();
            // Ever less often: five minutes at most, and no less than three quarters of that.
            assert!(began.elapsed() > Duration::from_secs(480 * 225));
        }
        worst = worst.max(resident_bytes());
        Ok(())
    });
    run.await.unwrap();
    assert!(worst - first < 8 << 20, "memory grew from {first} to {worst} bytes");
    assert_eq!(value(&metrics, "volary_rounds_total{outcome=\"failed\"}"), ATTEMPTS as f64);
    assert_eq!(value(&metrics, "volary_namespace_failures_total{kind=\"unreachable\"}"), ATTEMPTS as f64);
    assert_eq!(value(&metrics, "volary_settled_total{operation=\"remove\"}"), INTENTS as f64);
    assert_eq!(value(&metrics, "volary_store_reachable"), 1.0, "it is well again");
    assert_eq!(health.problem(), None);
    assert_eq!(scene.pending().await, 0, "and then everything is settled");
}
