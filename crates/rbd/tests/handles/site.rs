//! A connection that several threads share, and that one of them now and then ends and opens anew.

use crate::LIMIT;
use rbd::{Cluster, ConnectOptions, Environment, Errno, Error, ImageOptions, Library, Pool, Progress};
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard};

/// The image that all threads open at its snapshot `s`, and clone.
pub(crate) const GOLDEN: &[u8] = b"golden";
pub(crate) const SIZE: u64 = 16 << 20;

pub(crate) struct Connected {
    pub(crate) cluster: Cluster,
    pub(crate) pool: Pool,
    pub(crate) golden_id: Vec<u8>,
}

pub(crate) struct Site {
    library: Library,
    namespace: Vec<u8>,
    connected: RwLock<Option<Connected>>,
}

impl Site {
    pub(crate) async fn open(library: &Library, namespace: &[u8]) -> Self {
        let site =
            Site { library: library.clone(), namespace: namespace.to_vec(), connected: RwLock::new(None) };
        *site.connected.write().await = Some(site.connect().await);
        site
    }

    async fn connect(&self) -> Connected {
        let conf =
            std::env::var_os("VOLARY_TEST_CEPH_CONF").expect("VOLARY_TEST_CEPH_CONF names no ceph.conf");
        let mut options = ConnectOptions::new(conf, "admin");
        options.environment = Environment::Trust;
        options.timeout = LIMIT;
        options.osd_timeout = LIMIT;
        let cluster = options.connect(&self.library, LIMIT).await.unwrap();
        let whole = cluster.pool(b"rbd", b"", LIMIT).await.unwrap();
        if !whole.namespace_exists(&self.namespace, LIMIT).await.unwrap() {
            whole.create_namespace(&self.namespace, LIMIT).await.unwrap();
        }
        let pool = cluster.pool(b"rbd", &self.namespace, LIMIT).await.unwrap();
        let mut connected = Connected { cluster, pool, golden_id: Vec::new() };
        connected.golden_id = connected.id_of(GOLDEN).await.unwrap_or_default();
        connected
    }

    /// The connection, for as long as the guard lives.
    pub(crate) async fn get(&self) -> RwLockReadGuard<'_, Connected> {
        RwLockReadGuard::map(self.connected.read().await, |connected| connected.as_ref().expect("ended"))
    }

    /// Makes the image that all threads use.
    pub(crate) async fn make_golden(&self) {
        let mut connected = self.connected.write().await;
        let connected = connected.as_mut().unwrap();
        connected.pool.create(GOLDEN, SIZE, &ImageOptions::default(), LIMIT).await.unwrap();
        let image = connected.pool.open(GOLDEN, None, LIMIT).await.unwrap();
        image.write(0, vec![7; 8192].into()).await.unwrap();
        image.create_snapshot(b"s", LIMIT).await.unwrap();
        image.protect_snapshot(b"s", LIMIT).await.unwrap();
        connected.golden_id = image.id(LIMIT).await.unwrap();
        image.close(LIMIT).await.unwrap();
    }

    /// Ends the connection and opens another.
    pub(crate) async fn reconnect(&self) {
        let mut connected = self.connected.write().await;
        end(connected.take().unwrap()).await;
        *connected = Some(self.connect().await);
    }

    /// Ends the connection for good.
    pub(crate) async fn end(&self) {
        end(self.connected.write().await.take().unwrap()).await;
    }

    /// Removes everything that was made.
    pub(crate) async fn clear(&self) {
        let connected = self.get().await;
        let pool = &connected.pool;
        let begun = Instant::now();
        // An image whose opening or closing nobody waits for keeps itself from being removed for a moment, and clones their parent.
        loop {
            for image in pool.images(LIMIT).await.unwrap() {
                if image.name == GOLDEN {
                    let open = pool.open(GOLDEN, None, LIMIT).await.unwrap();
                    if open.unprotect_snapshot(b"s", LIMIT).await.is_ok() {
                        open.remove_snapshot(b"s", &Progress::default(), LIMIT).await.unwrap();
                    }
                    open.close(LIMIT).await.unwrap();
                }
                drop(pool.remove(&image.name, &Progress::default(), LIMIT).await);
            }
            for entry in pool.trash(LIMIT).await.unwrap() {
                drop(pool.trash_remove(&entry.id, true, &Progress::default(), LIMIT).await);
            }
            let left = pool.images(LIMIT).await.unwrap().len() + pool.trash(LIMIT).await.unwrap().len();
            if left == 0 {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "{left} images cannot be removed");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let whole = connected.cluster.pool(b"rbd", b"", LIMIT).await.unwrap();
        whole.remove_namespace(&self.namespace, LIMIT).await.unwrap();
    }
}

impl Connected {
    async fn id_of(&self, name: &[u8]) -> Option<Vec<u8>> {
        match self.pool.open_read_only(name, None, LIMIT).await {
            Err(error) if error.errno() == Some(Errno::ENOENT) => None,
            image => Some(image.unwrap().id(LIMIT).await.unwrap()),
        }
    }
}

/// Ends a connection; every image is closed by then, also those that nobody waits for.
async fn end(connected: Connected) {
    let Connected { cluster, pool, .. } = connected;
    drop(pool);
    let begun = Instant::now();
    while cluster.open_images().unwrap() > 0 || cluster.in_flight_bytes().unwrap() > 0 {
        let (images, bytes) = (cluster.open_images(), cluster.in_flight_bytes());
        assert!(begun.elapsed() < LIMIT, "{images:?} images are open, {bytes:?} bytes in flight");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cluster.shutdown(LIMIT).await.unwrap();
    assert_eq!(cluster.open_images(), Err(Error::Closed));
}
