//! Agents at work: each intent settled once, a stuck call that holds nobody up, pages that answer.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::Scene;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use volary::engine::OpenOptions;
use volary::{Error, ErrorKind, Namespace, Outcome, ReapOutcome, Store, Target};
use volary_agent::{Agent, AgentOptions, Health, Metrics, RoundOutcome, definitions};
use volary_testkit::fault::{Fault, Faults};

#[tokio::test(flavor = "multi_thread")]
async fn s04_two_agents_on_one_store_settle_each_intent_once() {
    let scene = Scene::new().await;
    scene.orders(20).await;
    let agent = || async {
        let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
        let store = Store::over(scene.open().await);
        Agent::new(store, AgentOptions::default(), metrics, health, &scene.ctl)
    };
    let (mut a, mut b) = (agent().await, agent().await);
    let (a, b) = tokio::join!(a.round(), b.round());
    let settled: Vec<_> =
        a.reaped.iter().chain(&b.reaped).filter(|of| of.outcome == ReapOutcome::Settled).collect();
    let ids: HashSet<_> = settled.iter().map(|of| &of.id).collect();
    assert_eq!((settled.len(), ids.len()), (20, 20), "{a:?}\n{b:?}");
    let failed = a.reaped.iter().chain(&b.reaped).filter(|of| of.error.is_some()).count();
    assert_eq!(failed + a.purged.len() + b.purged.len(), 0, "{a:?}\n{b:?}");
    assert_eq!(scene.pending().await, 0);
    assert!(scene.engine.trash(&scene.home, &scene.ctl).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stuck_call_is_reported_and_the_other_namespaces_are_worked_on() {
    let scene = Scene::new().await;
    let other: Namespace = "rbd/other".parse().unwrap();
    scene.engine.create_namespace(&other, &scene.ctl).await.unwrap();
    // The first call after the listing of namespaces never answers.
    let engine = Faults::at(1, Fault::Hang).over(scene.engine.clone());
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let options = AgentOptions { all_namespaces: true, ..AgentOptions::default() };
    let store = Store::over(engine);
    let mut agent = Agent::new(store, options, metrics.clone(), health.clone(), &scene.ctl);
    for _ in 0..3 {
        let report = agent.round().await;
        assert_eq!((report.outcome, report.namespaces, report.at_work.len()), (RoundOutcome::Partial, 2, 1));
        assert!(report.failed.is_empty());
    }
    let text = metrics.render();
    assert!(text.contains("volary_stuck_calls{operation=\"list_pending\"} 1"), "{text}");
    assert!(text.contains("volary_rounds_total{outcome=\"partial\"} 3"), "{text}");
    assert!(text.contains("volary_pending_oldest_seconds{"), "the other one was worked on: {text}");
    let answers = |answers: u8| {
        let at = |namespace: &str| {
            format!("volary_namespace_reachable{{namespace=\"{namespace}\",pool=\"rbd\"}} {answers}")
        };
        ["", "other"].into_iter().filter(|namespace: &&str| text.contains(&at(namespace))).count()
    };
    assert_eq!((answers(0), answers(1)), (1, 1), "{text}");
    assert!(text.contains("volary_store_reachable 1"), "the last call was answered: {text}");
    drop(agent);
    tokio::task::yield_now().await;
    assert!(metrics.render().contains("volary_stuck_calls{operation=\"list_pending\"} 0"));
}

#[tokio::test(start_paused = true)]
async fn s12_a_store_is_silent_from_its_first_call_that_is_not_answered_until_one_is() {
    let scene = Scene::new().await;
    let silent = Arc::new(AtomicBool::new(false));
    let asked = silent.clone();
    let before = move |_: &'static str| match asked.load(Ordering::SeqCst) {
        true => Err(Error::new(ErrorKind::Deadline, "made to fail")),
        false => Ok(()),
    };
    let store = Store::over(Faults::before(scene.engine.clone(), Arc::new(before)));
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let mut agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health.clone(), &scene.ctl);
    let said = |answers: u8| {
        let text = metrics.render();
        text.contains(&format!("volary_store_reachable {answers}"))
            && text.contains(&format!("volary_namespace_reachable{{namespace=\"\",pool=\"rbd\"}} {answers}"))
    };
    agent.round().await;
    assert!(health.problem().is_none() && said(1));
    silent.store(true, Ordering::SeqCst);
    agent.round().await;
    let first = health.problem().unwrap();
    assert!(first.contains("has not answered since") && first.contains("made to fail"), "{first}");
    assert!(said(0));
    agent.round().await;
    assert_eq!(health.problem().unwrap(), first, "since when does not change");
    silent.store(false, Ordering::SeqCst);
    agent.round().await;
    assert!(health.problem().is_none() && said(1));
}

#[tokio::test(start_paused = true)]
async fn s12_a_store_is_silent_while_its_only_call_is_stuck() {
    let scene = Scene::new().await;
    let store = Store::over(Faults::at(0, Fault::Hang).over(scene.engine.clone()));
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let mut agent = Agent::new(store, AgentOptions::default(), metrics.clone(), health.clone(), &scene.ctl);
    // The first one ends when the call counts as stuck.
    agent.round().await;
    agent.round().await;
    let problem = health.problem().unwrap();
    assert!(problem.contains("has not answered since") && problem.contains("stuck for 60 s"), "{problem}");
    assert!(metrics.render().contains("volary_store_reachable 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_round_of_the_agent_is_bounded_and_counts_what_is_invalid() {
    let scene = Scene::new().await;
    scene.orders(1).await;
    let tenant: Namespace = "rbd/tenant".parse().unwrap();
    scene.engine.create_namespace(&tenant, &scene.ctl).await.unwrap();
    for number in 0..1500_u32 {
        let key = format!("intent.{number:032x}");
        assert!(scene.engine.swap_record(&tenant, &key, None, Some(b"{}"), &scene.ctl).await.unwrap());
    }
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let options = AgentOptions { all_namespaces: true, ..AgentOptions::default() };
    let store = Store::over(scene.engine.clone());
    let mut agent = Agent::new(store, options, metrics.clone(), health, &scene.ctl);
    let invalid = |namespace: &str| {
        let series = format!("volary_invalid_intents{{namespace=\"{namespace}\",pool=\"rbd\"}} ");
        metrics.render().lines().find_map(|line| Some(line.strip_prefix(&series)?.to_owned()))
    };
    let report = agent.round().await;
    assert_eq!((report.outcome, report.reaped.len()), (RoundOutcome::Done, 1), "{report:?}");
    assert_eq!(scene.pending().await, 0, "the order of the other namespace is settled");
    assert_eq!((invalid(""), invalid("tenant")), (Some("0".into()), None), "only part of it was read");
    agent.round().await;
    assert_eq!(invalid("tenant").as_deref(), Some("1500"));
    for number in 0..1500_u32 {
        let key = format!("intent.{number:032x}");
        assert!(scene.engine.swap_record(&tenant, &key, Some(b"{}"), None, &scene.ctl).await.unwrap());
    }
    agent.round().await;
    assert_eq!(invalid("tenant").as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_cancelled_ends_and_one_that_finishes_no_round_is_not_well() {
    let scene = Scene::new().await;
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    assert!(health.problem().unwrap().contains("no round"));
    let store = Store::over(scene.engine.clone());
    let agent = Agent::new(store, AgentOptions::default(), metrics, health.clone(), &scene.ctl);
    let mut rounds = 0;
    let run = agent.run(|_| {
        rounds += 1;
        assert_eq!(health.problem(), None);
        if rounds == 3 {
            scene.ctl.cancel_token().cancel();
        }
        Ok(())
    });
    run.await.unwrap();
    assert_eq!(rounds, 3);
    tokio::time::advance(Duration::from_secs(200)).await;
    assert!(health.problem().unwrap().contains("no round has finished for"), "{health:?}");
}

#[tokio::test]
async fn a_round_purges_no_more_than_its_bound_and_one_that_is_blocked_stops_no_other() {
    let scene = Scene::new().await;
    let store = Store::over(scene.engine.clone());
    for number in 0..7 {
        let spec = format!("volume-{number}").parse().unwrap();
        store.create(&spec, 8 << 20, &scene.ctl).await.unwrap();
        store.trash_move(&spec, Duration::ZERO, &scene.ctl).await.unwrap();
    }
    let in_trash = || async { scene.engine.trash(&scene.home, &scene.ctl).await.unwrap() };
    let first = Target::Id(in_trash().await[0].id.clone());
    let held = scene.engine.open(&scene.home, &first, &OpenOptions::write(), &scene.ctl).await.unwrap();
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let options = AgentOptions { max: 3, ..AgentOptions::default() };
    let mut agent = Agent::new(store, options, metrics, health, &scene.ctl);
    let report = agent.round().await;
    let removed = report.purged.iter().filter(|of| of.outcome == Outcome::Removed).count();
    assert_eq!((removed, in_trash().await.len()), (3, 4), "{report:?}");
    held.close(&scene.ctl).await.unwrap();
}

async fn ask(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before everything is written.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_pages_answer_once_and_refuse_what_they_are_not_for() {
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let server = tokio::spawn(volary_agent::serve(listener, metrics.clone(), health.clone(), stop.clone()));
    let metrics_page = ask(address, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(metrics_page.starts_with("HTTP/1.1 200"), "{metrics_page}");
    assert!(metrics_page.contains("text/plain; version=0.0.4") && metrics_page.contains("volary_build_info"));
    health.finished(Some("monitors are silent, key=SECRETMARKER".to_owned()));
    let sick = ask(address, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(sick.starts_with("HTTP/1.1 503") && sick.contains("monitors are silent"), "{sick}");
    assert!(!sick.contains("SECRETMARKER"), "{sick}");
    health.finished(None);
    let well = ask(address, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(well.starts_with("HTTP/1.1 200") && well.ends_with("ok\n"), "{well}");
    for (request, status) in [
        (&b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"[..], "404"),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "405"),
        (b"nonsense\r\n\r\n", "400"),
    ] {
        let answer = ask(address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let long = [b"GET /healthz HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 64 << 10], b"\r\n\r\n"].concat();
    let answer = ask(address, &long).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    stop.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn whoever_asks_is_answered_beside_any_number_that_ask_nothing() {
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let server = tokio::spawn(volary_agent::serve(listener, metrics, health, stop.clone()));
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let page = ask(address, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    // The first ones had to go for those behind them; the last one that fits is not even late with its request.
    assert_eq!(idle[0].read(&mut [0]).await.unwrap_or(0), 0);
    let open = idle[31].try_read(&mut [0]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
    stop.cancel();
    server.await.unwrap();
}

#[test]
fn every_definition_is_documented_once_and_named_as_prometheus_wants() {
    let text = definitions::markdown();
    for of in definitions::ALL {
        assert_eq!(text.matches(&format!("| `{}` |", of.name)).count(), 1, "{}", of.name);
        assert!(of.name.starts_with("volary_"), "{}", of.name);
        assert_eq!(of.kind == definitions::Kind::Counter, of.name.ends_with("_total"), "{}", of.name);
        assert!(!of.labels.iter().any(|label| ["volume", "spec", "id"].contains(label)), "{}", of.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_checks_so_many_volumes_a_round_and_counts_what_a_whole_pass_found() {
    let scene = Scene::new().await;
    let store = Store::over(scene.engine.clone());
    for name in ["a", "b", "c"] {
        store.create(&name.parse().unwrap(), 8 << 20, &scene.ctl).await.unwrap();
    }
    let record = async |old, new| {
        let swap = scene.engine.swap_record(&scene.home, "intent.nonsense", old, new, &scene.ctl);
        assert!(swap.await.unwrap());
    };
    record(None, Some(&b"{}"[..])).await;
    let (metrics, health) = (Metrics::new().unwrap(), Health::new(Duration::from_secs(180)));
    let options = AgentOptions { check: 2, ..AgentOptions::default() };
    let mut agent = Agent::new(store, options, metrics.clone(), health, &scene.ctl);
    let value = |series: &str| {
        let text = metrics.render();
        text.lines().find_map(|line| Some(line.strip_prefix(series)?.trim().to_owned()))
    };
    let found = "volary_check_findings{kind=\"record_invalid\",namespace=\"\",pool=\"rbd\"}";
    let checked = "volary_checked_volumes_total";
    let passed = "volary_check_last_pass_timestamp_seconds{namespace=\"\",pool=\"rbd\"}";
    agent.round().await;
    assert_eq!((value(checked).as_deref(), value(found), value(passed)), (Some("2"), None, None));
    agent.round().await;
    assert_eq!((value(checked).as_deref(), value(found).as_deref()), (Some("3"), Some("1")));
    assert!(value(passed).unwrap().parse::<f64>().unwrap() > 1.7e9);
    record(Some(&b"{}"[..]), None).await;
    agent.round().await;
    assert_eq!(value(found).as_deref(), Some("1"), "until the next pass has ended");
    agent.round().await;
    assert_eq!((value(checked).as_deref(), value(found).as_deref()), (Some("6"), Some("0")));
}
