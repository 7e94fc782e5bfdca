//! What an agent on a failing store tells makes Prometheus raise the alerts: `VOLARY_TEST_PROMTOOL` names the program
//! that evaluates the rules on it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod scene;

use jiff::SignedDuration;
use scene::Scene;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use volary::{Error, ErrorKind, Store};
use volary_agent::{Agent, AgentOptions, Metrics};
use volary_testkit::fault::Faults;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: usize = 60;

/// What `/metrics` says every minute, as the series of a test of rules.
#[derive(Default)]
struct Series(BTreeMap<String, Vec<String>>);

impl Series {
    fn sample(&mut self, metrics: &Metrics, minute: usize) {
        for line in metrics.render().lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let values = self.0.entry(series.to_owned()).or_default();
            values.resize(minute, "_".to_owned());
            values.push(value.to_owned());
        }
    }

    /// Whether promtool finds exactly these alerts firing in that minute.
    fn evaluate(&self, at: usize, firing: &[&str]) -> Result<(), String> {
        let rules = format!("{}/../../deploy/prometheus/volary.rules.yml", env!("CARGO_MANIFEST_DIR"));
        let mut text = format!(
            "rule_files: [{rules}]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n"
        );
        for (series, values) in &self.0 {
            writeln!(text, "  - series: '{series}'\n    values: '{}'", values.join(" ")).unwrap();
        }
        let expr = "sum by (alertname) (ALERTS{alertstate=\"firing\"} > bool 0) > bool 0";
        writeln!(text, "  promql_expr_test:\n  - expr: '{expr}'\n    eval_time: {at}m\n    exp_samples:")
            .unwrap();
        for alert in firing {
            writeln!(text, "    - labels: '{{alertname=\"{alert}\"}}'\n      value: 1").unwrap();
        }
        let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let promtool = std::env::var("VOLARY_TEST_PROMTOOL").expect("run `cargo xtask test`");
        let output = Command::new(promtool).args(["test", "rules"]).arg(file.path()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
    }
}

/// Lives so many hours of an agent on a store that fails so.
async fn lived(
    hours: usize,
    fails: impl Fn(&'static str) -> Option<ErrorKind> + Send + Sync + 'static,
) -> Series {
    lived_by(|| SignedDuration::ZERO, hours, fails).await
}

/// The same on a host whose clock is so much later than the time that passes.
async fn lived_by(
    clock: impl Fn() -> SignedDuration + Send + Sync + 'static,
    hours: usize,
    fails: impl Fn(&'static str) -> Option<ErrorKind> + Send + Sync + 'static,
) -> Series {
    let scene = Scene::new().await;
    scene.orders(2).await;
    let before = move |method: &'static str| match fails(method) {
        Some(kind) => Err(Error::new(kind, "made to fail")),
        None => Ok(()),
    };
    let store = Store::over(Faults::before(scene.engine.clone(), Arc::new(before)));
    let (metrics, health) = (Metrics::new().unwrap(), Scene::health(clock));
    let agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health, &scene.ctl);
    let agent = tokio::spawn(agent.run(|_| Ok(())));
    let mut series = Series::default();
    for minute in 0..hours * HOUR {
        tokio::time::sleep(MINUTE).await;
        series.sample(&metrics, minute);
    }
    scene.ctl.cancel_token().cancel();
    agent.await.unwrap().unwrap();
    series
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_raises_its_alert_alone() {
    let series = lived(2, |_| Some(ErrorKind::Unreachable)).await;
    assert_eq!(series.evaluate(5, &[]), Ok(()));
    assert_eq!(series.evaluate(2 * HOUR - 1, &["VolaryStoreUnreachable"]), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn clean_up_that_keeps_failing_raises_its_alert_and_one_that_succeeds_none() {
    let swaps = std::sync::atomic::AtomicUsize::new(0);
    // The reason cannot be left, so that only the lease has to pass, in this test's time, before the next attempt.
    let failing = move |method: &'static str| match method {
        "find" => Some(ErrorKind::Permission),
        "swap_record" if swaps.fetch_add(1, Ordering::SeqCst) % 2 == 1 => Some(ErrorKind::Permission),
        _ => None,
    };
    let series = lived(4, failing).await;
    assert_eq!(series.evaluate(4 * HOUR - 1, &["VolaryCleanUpKeepsFailing"]), Ok(()));
    let series = lived(4, |_| None).await;
    assert_eq!(series.evaluate(4 * HOUR - 1, &[]), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_full_raises_its_alert_alone() {
    let full = |method: &'static str| (method == "swap_record").then_some(ErrorKind::NoSpace);
    let series = lived(1, full).await;
    assert_eq!(series.evaluate(HOUR - 1, &["VolaryStoreFull"]), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_raises_its_alert_alone() {
    for jump in [SignedDuration::from_hours(24), SignedDuration::from_hours(-24)] {
        let began = tokio::time::Instant::now();
        let clock = move || if began.elapsed() > 20 * MINUTE { jump } else { SignedDuration::ZERO };
        let series = lived_by(clock, 1, |_| None).await;
        assert_eq!(series.evaluate(15, &[]), Ok(()));
        assert_eq!(series.evaluate(HOUR - 1, &["VolaryClockJumped"]), Ok(()));
    }
}
