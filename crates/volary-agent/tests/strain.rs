//! An agent under strain: a clock that jumps, a store that is full, a store that is gone for an hour, and a second agent. It says so in its
//! metrics, and goes on when it can.
#![allow(clippy::unwrap_used)]

mod scene;

use jiff::SignedDuration;
use scene::Scene;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;
use tokio::time::{Instant, advance};
use volary::{Error, ErrorKind, Namespace, Store};
use volary_agent::{Agent, AgentOptions, Health, Metrics, RoundOutcome};
use volary_testkit::fault::Faults;

const HOUR: Duration = Duration::from_secs(3600);

/// The value of a metric, by its name and labels as they are shown; `None` when it is not shown.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.map(|value| value.parse().unwrap())
}

/// An agent on a host whose clock is so many hours off.
struct Off {
    scene: Scene,
    hours: Arc<AtomicI64>,
    metrics: Metrics,
    health: Health,
}

impl Off {
    async fn new(hours: i64) -> Off {
        let (scene, hours) = (Scene::new().await, Arc::new(AtomicI64::new(hours)));
        let off = hours.clone();
        let health = Scene::health(move || SignedDuration::from_hours(off.load(Ordering::SeqCst)));
        Off { scene, hours, metrics: Metrics::new().unwrap(), health }
    }

    fn set(&self, hours: i64) {
        self.hours.store(hours, Ordering::SeqCst);
    }

    fn store(&self) -> Store {
        Store::over(self.scene.engine.clone())
    }

    fn agent(&self) -> Agent {
        let (metrics, health) = (self.metrics.clone(), self.health.clone());
        Agent::new(self.store(), AgentOptions::default(), metrics, health, &self.scene.ctl)
    }

    fn jumps(&self) -> (Option<f64>, Option<f64>) {
        let of = |direction| {
            value(&self.metrics, &format!("volary_clock_jumps_total{{direction=\"{direction}\"}}"))
        };
        (of("forward"), of("backward"))
    }

    fn ahead_hours(&self) -> f64 {
        (value(&self.metrics, "volary_clock_ahead_seconds").unwrap() / 3600.0).round()
    }

    async fn in_trash(&self) -> usize {
        self.scene.engine.trash(&self.scene.home, &self.scene.ctl).await.unwrap().len()
    }

    /// Puts a volume into trash that is due at the test's beginning.
    async fn discard(&self, name: &str) {
        let spec = name.parse().unwrap();
        self.store().create(&spec, 8 << 20, &self.scene.ctl).await.unwrap();
        self.store().trash_move(&spec, Duration::ZERO, &self.scene.ctl).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_a_day_forward_removes_nothing_before_its_date() {
    // By this clock the volume is due in twelve hours; a day later it would have been due for as long.
    let off = Off::new(-12).await;
    off.discard("web").await;
    let mut agent = off.agent();
    agent.round().await;
    assert_eq!((off.in_trash().await, off.jumps(), off.ahead_hours()), (1, (Some(0.0), Some(0.0)), 0.0));
    off.set(12);
    let report = agent.round().await;
    assert_eq!((off.in_trash().await, off.jumps(), off.ahead_hours()), (1, (Some(1.0), Some(0.0)), 24.0));
    assert_eq!((report.outcome, off.health.problem()), (RoundOutcome::Done, None), "its rounds go on");
    // An agent that was made to connect anew knows of the jump.
    drop(agent);
    let mut agent = off.agent();
    advance(11 * HOUR).await;
    agent.round().await;
    assert_eq!((off.in_trash().await, off.ahead_hours()), (1, 24.0));
    // The time has really come.
    advance(2 * HOUR).await;
    let report = agent.round().await;
    assert_eq!((off.in_trash().await, report.purged.len(), off.ahead_hours()), (0, 1, 24.0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stays_where_it_jumped_to_is_believed_after_a_day() {
    let off = Off::new(-48).await;
    off.discard("web").await;
    let mut agent = off.agent();
    agent.round().await;
    off.set(0);
    for _ in 0..24 {
        agent.round().await;
        assert_eq!((off.in_trash().await, off.ahead_hours()), (1, 48.0));
        advance(HOUR).await;
    }
    agent.round().await;
    assert_eq!((off.in_trash().await, off.ahead_hours()), (0, 0.0));
    assert_eq!(off.jumps(), (Some(1.0), Some(0.0)));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_right_again_is_believed_at_once() {
    let off = Off::new(0).await;
    off.discard("one").await;
    advance(HOUR).await;
    let mut agent = off.agent();
    agent.round().await;
    assert_eq!(off.in_trash().await, 0);
    off.set(24);
    agent.round().await;
    off.set(0);
    agent.round().await;
    assert_eq!((off.jumps(), off.ahead_hours()), ((Some(1.0), Some(1.0)), 0.0));
    off.discard("two").await;
    advance(HOUR).await;
    agent.round().await;
    assert_eq!(off.in_trash().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_a_day_backward_puts_off_no_more_than_the_trash() {
    let off = Off::new(0).await;
    off.scene.orders(1).await;
    let mut agent = off.agent();
    off.set(-24);
    let report = agent.round().await;
    assert_eq!((report.outcome, report.reaped.len()), (RoundOutcome::Done, 1), "{report:?}");
    assert_eq!((off.jumps(), off.ahead_hours()), ((Some(0.0), Some(1.0)), 0.0));
    off.discard("web").await;
    agent.round().await;
    assert_eq!(off.in_trash().await, 1);
    advance(25 * HOUR).await;
    agent.round().await;
    assert_eq!((off.in_trash().await, off.health.problem()), (0, None));
}

const WELL: u8 = 0;
const SILENT: u8 = 1;
const FULL: u8 = 2;

/// A store whose state a test sets.
fn failing(scene: &Scene) -> (Store, Arc<AtomicU8>) {
    let state = Arc::new(AtomicU8::new(WELL));
    let asked = state.clone();
    let before = move |method: &'static str| match (asked.load(Ordering::SeqCst), method) {
        (SILENT, _) => Err(Error::new(ErrorKind::Unreachable, "made to fail")),
        (FULL, "swap_record") => Err(Error::new(ErrorKind::NoSpace, "made to fail")),
        _ => Ok(()),
    };
    (Store::over(Faults::before(scene.engine.clone(), Arc::new(before))), state)
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_loses_the_store_for_an_hour_says_so_and_goes_on_once_it_is_back() {
    let scene = Scene::new().await;
    scene.orders(1).await;
    let (store, state) = failing(&scene);
    let (metrics, health) = (Metrics::new().unwrap(), Scene::health(|| SignedDuration::ZERO));
    state.store(SILENT, Ordering::SeqCst);
    let agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health.clone(), &scene.ctl);
    let (began, mut back) = (Instant::now(), None);
    let run = agent.run(|report| {
        let since = began.elapsed();
        match back {
            None => {
                assert_eq!(report.outcome, RoundOutcome::Failed);
                assert_eq!(value(&metrics, "volary_store_reachable"), Some(0.0));
                assert!(health.problem().unwrap().contains("has not answered since"));
                if since >= HOUR {
                    state.store(WELL, Ordering::SeqCst);
                    back = Some(since);
                }
            }
            Some(back) => {
                assert!(since - back <= HOUR / 10, "the store was back for {:?}", since - back);
                assert_eq!((report.outcome, report.reaped.len()), (RoundOutcome::Done, 1), "{report:?}");
                assert_eq!(value(&metrics, "volary_store_reachable"), Some(1.0));
                assert_eq!(health.problem(), None);
                scene.ctl.cancel_token().cancel();
            }
        }
        Ok(())
    });
    run.await.unwrap();
    assert!(value(&metrics, "volary_namespace_failures_total{kind=\"unreachable\"}").unwrap() >= 12.0);
    assert_eq!(scene.pending().await, 0);
    assert_eq!(value(&metrics, "volary_clock_jumps_total{direction=\"backward\"}"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn an_agent_on_a_full_store_says_so_and_goes_on_when_there_is_room() {
    let scene = Scene::new().await;
    let (store, state) = failing(&scene);
    state.store(FULL, Ordering::SeqCst);
    let (metrics, health) = (Metrics::new().unwrap(), Scene::health(|| SignedDuration::ZERO));
    let agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health.clone(), &scene.ctl);
    let full = || value(&metrics, "volary_namespace_failures_total{kind=\"no_space\"}");
    let mut rounds = 0;
    let run = agent.run(|report| {
        rounds += 1;
        // The store has answered, so that it counts as reachable, and the rest of the round is reported as usual.
        assert_eq!(value(&metrics, "volary_store_reachable"), Some(1.0));
        assert_eq!(health.problem(), None);
        let pending = value(&metrics, "volary_pending_oldest_seconds{namespace=\"\",pool=\"rbd\"}");
        assert_eq!(pending, Some(0.0));
        match rounds {
            // Nothing was due: it notices all the same, in every round.
            1..=3 => {
                assert_eq!((report.outcome, full()), (RoundOutcome::Partial, Some(f64::from(rounds))));
                assert_eq!(report.failed[0].error_kind, ErrorKind::NoSpace);
                if rounds == 3 {
                    state.store(WELL, Ordering::SeqCst);
                }
            }
            _ => {
                assert_eq!((report.outcome, full()), (RoundOutcome::Done, Some(3.0)));
                scene.ctl.cancel_token().cancel();
            }
        }
        Ok(())
    });
    run.await.unwrap();
    assert_eq!(rounds, 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_store_keeps_from_being_settled_is_told_with_its_kind() {
    let scene = Scene::new().await;
    scene.orders(1).await;
    let (store, state) = failing(&scene);
    state.store(FULL, Ordering::SeqCst);
    let (metrics, health) = (Metrics::new().unwrap(), Scene::health(|| SignedDuration::ZERO));
    let mut agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health.clone(), &scene.ctl);
    let report = agent.round().await;
    assert_eq!((report.outcome, health.problem()), (RoundOutcome::Partial, None), "{report:?}");
    let failed = value(&metrics, "volary_settle_failures_total{kind=\"no_space\",operation=\"remove\"}");
    assert_eq!((failed, scene.pending().await), (Some(1.0), 1), "{report:?}");
    state.store(WELL, Ordering::SeqCst);
    assert_eq!((agent.round().await.outcome, scene.pending().await), (RoundOutcome::Done, 0));
}

/// An agent at work, and what it tells.
struct AtWork {
    metrics: Metrics,
    ctl: volary::Ctl,
    task: tokio::task::JoinHandle<volary::Result<()>>,
}

impl AtWork {
    async fn start(scene: &Scene) -> AtWork {
        let (metrics, ctl) = (Metrics::new().unwrap(), volary::Ctl::new());
        let health = Scene::health(|| SignedDuration::ZERO);
        let store = Store::over(scene.open().await);
        let agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health, &ctl);
        AtWork { metrics, ctl, task: tokio::spawn(agent.run(|_| Ok(()))) }
    }

    fn agents(&self) -> Option<f64> {
        value(&self.metrics, "volary_agents{namespace=\"\",pool=\"rbd\"}")
    }

    /// Ends it as a service manager does.
    async fn end(mut self) {
        self.ctl.cancel_token().cancel();
        (&mut self.task).await.unwrap().unwrap();
        assert_eq!(self.agents(), None, "it tells nothing more");
    }
}

async fn agent_records(scene: &Scene) -> usize {
    let home = Namespace::default();
    scene.engine.records(&home, "agent.", b"", 9999, &scene.ctl).await.unwrap().records.len()
}

#[tokio::test(start_paused = true)]
async fn agents_on_one_store_count_each_other_and_not_those_that_have_ended() {
    let scene = Scene::new().await;
    let one = AtWork::start(&scene).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!((one.agents(), agent_records(&scene).await), (Some(1.0), 1));
    let two = AtWork::start(&scene).await;
    let killed = AtWork::start(&scene).await;
    tokio::time::sleep(HOUR).await;
    for of in [&one, &two, &killed] {
        assert_eq!(of.agents(), Some(3.0));
    }
    // It says nothing, and its process, this one, is still there.
    killed.task.abort();
    tokio::time::sleep(Duration::from_secs(500)).await;
    assert_eq!((one.agents(), agent_records(&scene).await), (Some(3.0), 3), "it may live");
    tokio::time::sleep(HOUR).await;
    assert_eq!((one.agents(), two.agents(), agent_records(&scene).await), (Some(2.0), Some(2.0), 2));
    two.end().await;
    assert_eq!(agent_records(&scene).await, 1, "its record goes with it");
    tokio::time::sleep(HOUR).await;
    assert_eq!(one.agents(), Some(1.0));
    one.end().await;
    assert_eq!(agent_records(&scene).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_taken_for_dead_is_counted_again() {
    let scene = Scene::new().await;
    let (one, two) = (AtWork::start(&scene).await, AtWork::start(&scene).await);
    tokio::time::sleep(HOUR).await;
    let home = Namespace::default();
    for record in scene.engine.records(&home, "agent.", b"", 9, &scene.ctl).await.unwrap().records {
        let gone = scene.engine.swap_record(&home, &record.key, Some(&record.value), None, &scene.ctl);
        assert!(gone.await.unwrap());
    }
    tokio::time::sleep(HOUR).await;
    assert_eq!((one.agents(), two.agents(), agent_records(&scene).await), (Some(2.0), Some(2.0), 2));
    one.end().await;
    two.end().await;
}

#[tokio::test(start_paused = true)]
async fn s14_records_that_no_agent_wrote_are_not_counted() {
    let scene = Scene::new().await;
    let home = Namespace::default();
    for (key, value) in [("agent.a", &b"{}"[..]), ("agent.b", b"\xff"), ("agent.c", &[b' '; 8 << 10])] {
        assert!(scene.engine.swap_record(&home, key, None, Some(value), &scene.ctl).await.unwrap());
    }
    let one = AtWork::start(&scene).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!((one.agents(), agent_records(&scene).await), (Some(1.0), 4));
    one.end().await;
}
