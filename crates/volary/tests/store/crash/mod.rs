//! What a dead process leaves, and what a reaper makes of it: every operation of many steps, cut short at every call.
//!
//! After one `reap` the store holds the whole result or nothing of it, nothing is pending, trying again succeeds, and
//! other volumes are as they were.
mod case;
mod yard;

use case::Operation;
use futures::stream::{self, StreamExt};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use volary::engine::Engine;
use volary::{ErrorKind, ReapOutcome, Store};
use volary_testkit::fault::{Fault, Faults};
use yard::Yard;

/// Cases at a time: what one waits for, another uses.
const AT_ONCE: usize = 6;
/// A slow call is looked at here and there only: it takes as long as a crash, and there are as many.
const STRIDE: usize = 4;
/// Long enough for a reaper to come by more than once, if not for a lease to run out.
const DELAY: Duration = Duration::from_millis(200);

/// The calls of a clean run, and what the store looks like before and after.
async fn clean_run(engine: &Arc<dyn Engine>, prefix: &str, operation: Operation) -> (usize, Value, Value) {
    let yard = Yard::new(engine.clone(), prefix, operation).await;
    let before = yard.shape().await;
    let counted = Faults::at(usize::MAX, Fault::Crash);
    yard.run(&Store::over(counted.over(engine.clone())), operation).await.unwrap();
    let after = yard.shape().await;
    assert_ne!(before, after, "the operation shows");
    yard.assert_nothing_pending().await;
    (counted.calls(), before, after)
}

/// Plays an operation with a fault at every call in turn.
async fn play(engine: Arc<dyn Engine>, prefix: &str, operation: Operation, fault: Fault) {
    let (calls, before, after) = clean_run(&engine, prefix, operation).await;
    assert!(calls >= 5, "{operation:?} made only {calls} calls");
    let cut = |call: usize| {
        let (engine, before, after) = (engine.clone(), &before, &after);
        async move {
            let yard = Yard::new(engine.clone(), prefix, operation).await;
            let faulty = Store::over(Faults::at(call, fault).over(engine));
            let result = yard.run(&faulty, operation).await;
            let told = format!("{operation:?}, {fault:?} at call {call} of {calls}: {result:?}");
            yard.orphan().await;
            let reports = yard.reap().await;
            let told = format!("{told}, reaped {reports:?}");
            yard.assert_nothing_pending_because(&told).await;
            let shape = yard.shape().await;
            assert!(
                shape == *before || shape == *after,
                "{told}: {shape:#}\nbefore {before:#}\nafter {after:#}"
            );
            if result.is_ok() {
                assert_eq!(shape, *after, "success was told: {told}");
            }
            if shape == *before {
                yard.run(&yard.store, operation)
                    .await
                    .unwrap_or_else(|error| panic!("again: {error:?}: {told}"));
                assert_eq!(yard.shape().await, *after, "again: {told}");
                yard.assert_nothing_pending_because(&told).await;
            }
        }
    };
    stream::iter((0..calls).map(cut)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Cut short by the death of the process.
async fn crash(engine: Arc<dyn Engine>, prefix: &str, operation: Operation) {
    play(engine, prefix, operation, Fault::Crash).await;
}

/// One call fails; the operation goes on, or undoes.
async fn fail(engine: Arc<dyn Engine>, prefix: &str, operation: Operation) {
    play(engine.clone(), prefix, operation, Fault::Fail(ErrorKind::NoSpace)).await;
    play(engine, prefix, operation, Fault::LoseAnswer(ErrorKind::Deadline)).await;
}

/// One call is slow, while a reaper looks on: it touches nothing, and everything is done.
async fn delay(engine: Arc<dyn Engine>, prefix: &str, operation: Operation) {
    let (calls, _, after) = clean_run(&engine, prefix, operation).await;
    let slow = |call: usize| {
        let (engine, after) = (engine.clone(), &after);
        async move {
            let yard = Yard::new(engine.clone(), prefix, operation).await;
            let store = Store::over(Faults::at(call, Fault::Delay(DELAY)).over(engine));
            let over = AtomicBool::new(false);
            let work = async {
                let result = yard.run(&store, operation).await;
                over.store(true, Ordering::SeqCst);
                result
            };
            let (result, reports) = tokio::join!(work, yard.look_on(&over));
            let told = format!("{operation:?}, call {call} of {calls} is slow, seen {reports:?}");
            assert!(result.is_ok(), "{told}: {result:?}");
            assert!(reports.iter().all(|of| of.outcome == ReapOutcome::Running), "{told}");
            yard.assert_nothing_pending_because(&told).await;
            assert_eq!(yard.shape().await, *after, "{told}");
        }
    };
    stream::iter((0..calls).step_by(STRIDE).map(slow)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

macro_rules! operations {
    ($($name:ident $operation:ident),* $(,)?) => { $(
        mod $name {
            use super::case::Operation;

            /// **S4 Nothing forgotten.** No interrupted or failed operation leaves an object that `volary
            /// pending` does not show and `volary reap` cannot settle, from any host.
            #[tokio::test(flavor = "multi_thread")]
            async fn s04_a_crash_at_any_call_leaves_all_or_nothing() {
                let (engine, prefix, _store) = crate::new_store().await;
                super::crash(engine, &prefix, Operation::$operation).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn s04_a_failure_at_any_call_leaves_all_or_nothing() {
                let (engine, prefix, _store) = crate::new_store().await;
                super::fail(engine, &prefix, Operation::$operation).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn s04_a_slow_call_anywhere_is_waited_for_and_nobody_takes_the_work_over() {
                let (engine, prefix, _store) = crate::new_store().await;
                super::delay(engine, &prefix, Operation::$operation).await;
            }
        }
    )* };
}

operations! {
    create Create, import Import, copy Copy, clone Clone, flatten Flatten, rollback Rollback, protect Protect,
    snapshot_removal RemoveSnapshot, trash_move TrashMove, restore Restore, trash_removal RemoveTrashed,
    removal Remove, removal_with_all Purge, deferral Defer,
}
