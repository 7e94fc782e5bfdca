//! A local store with removals that were put off.
#![allow(dead_code, unreachable_pub)]

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use volary::engine::{Engine, OpenOptions, local};
use volary::{Ctl, Namespace, RemoveOptions, Store};
use volary_agent::Health;

pub struct Scene {
    _dir: tempfile::TempDir,
    path: PathBuf,
    pub engine: Arc<dyn Engine>,
    pub home: Namespace,
    pub ctl: Ctl,
}

impl Scene {
    pub async fn new() -> Scene {
        // In memory where that is possible: nothing here depends on a disk.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (path, ctl) = (dir.path().join("store"), Ctl::new());
        let engine: Arc<dyn Engine> = local::open(&path, &ctl).await.unwrap();
        Scene { _dir: dir, path, engine, home: Namespace::default(), ctl }
    }

    /// The same store, as another process has it.
    pub async fn open(&self) -> Arc<dyn Engine> {
        local::open(&self.path, &self.ctl).await.unwrap()
    }

    /// So many volumes whose removal was put off because somebody held them, who has gone; all are due now.
    pub async fn orders(&self, count: usize) {
        let store = Store::over(self.engine.clone());
        let options = RemoveOptions { retry_later: true, wait: Duration::ZERO, ..RemoveOptions::default() };
        for number in 0..count {
            let spec = format!("volume-{number}").parse().unwrap();
            store.create(&spec, 8 << 20, &self.ctl).await.unwrap();
            let held = self.engine.open(&self.home, &spec.volume, &OpenOptions::write(), &self.ctl).await;
            let report = store.remove(&spec, &options, &self.ctl).await.unwrap();
            assert!(report.pending, "{report:?}");
            held.unwrap().close(&self.ctl).await.unwrap();
        }
        for record in self.engine.records(&self.home, "intent.", b"", 1000, &self.ctl).await.unwrap().records
        {
            let mut intent: Value = serde_json::from_slice(&record.value).unwrap();
            intent["next_attempt"] = Value::Null;
            let (old, new) = (Some(&record.value[..]), serde_json::to_vec(&intent).unwrap());
            let swap = self.engine.swap_record(&self.home, &record.key, old, Some(&new), &self.ctl);
            assert!(swap.await.unwrap());
        }
    }

    /// The health of an agent on a host whose clock shows the test's time plus `later`.
    pub fn health(later: impl Fn() -> SignedDuration + Send + Sync + 'static) -> Health {
        let (began, start) = (Instant::now(), Timestamp::now());
        Health::by_clock(Duration::from_secs(180), move || start + began.elapsed() + later())
    }

    pub async fn pending(&self) -> usize {
        self.engine.records(&self.home, "intent.", b"", 9999, &Ctl::new()).await.unwrap().records.len()
    }
}
