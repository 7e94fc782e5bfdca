//! What the tests of the object operations share: a store in a directory of its own, and all of its state.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use futures::TryStreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use volary::engine::{Engine, local};
use volary::{Ctl, Result, Store, VolumeSpec};
use volary_testkit::fault::{Before, Faulty};

pub struct Fixture {
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub ctl: Ctl,
    _dir: tempfile::TempDir,
}

pub fn spec(text: &str) -> VolumeSpec {
    text.parse().unwrap()
}

impl Fixture {
    pub async fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let ctl = Ctl::new();
        let engine = local::open(&dir.path().join("store"), &ctl).await.unwrap();
        Fixture { store: Store::over(engine.clone()), engine, ctl, _dir: dir }
    }

    /// The same store through an engine whose calls fail when `before` says so.
    pub fn faulty(&self, before: impl Fn(&'static str) -> Result<()> + Send + Sync + 'static) -> Store {
        let before: Before = Arc::new(before);
        Store::over(Faulty::over(self.engine.clone(), before))
    }

    pub async fn create(&self, volume: &str) {
        self.store.create(&spec(volume), 8 << 20, &self.ctl).await.unwrap();
    }

    pub async fn snapshot(&self, snapshot: &str, protect: bool) {
        self.store.create_snapshot(&spec(snapshot), protect, &self.ctl).await.unwrap();
    }

    /// A volume, its protected snapshot `@s`, and a clone of that.
    pub async fn family(&self, parent: &str, child: &str) {
        self.create(parent).await;
        self.snapshot(&format!("{parent}@s"), true).await;
        self.store.clone_volume(&spec(&format!("{parent}@s")), &spec(child), &self.ctl).await.unwrap();
    }

    /// Everything that can be seen of the store.
    pub async fn state(&self) -> Value {
        let mut all = Vec::new();
        for pool in self.store.pools(&self.ctl).await.unwrap() {
            for namespace in self.store.namespaces(&pool, &self.ctl).await.unwrap() {
                let mut listed: Vec<_> = self.store.list(&namespace, &self.ctl).try_collect().await.unwrap();
                listed.sort_by_key(|listing| listing.volume.to_string());
                let mut volumes = Vec::new();
                for listing in listed {
                    let info = self.store.info(&listing.volume, &self.ctl).await.unwrap();
                    let children = self.store.children(&listing.volume, &self.ctl).await.unwrap();
                    volumes.push(json!({"info": info, "children": children}));
                }
                let trash = self.store.trash(&namespace, &self.ctl).await.unwrap();
                all.push(json!({"namespace": namespace, "volumes": volumes, "trash": trash}));
            }
        }
        json!(all)
    }
}
