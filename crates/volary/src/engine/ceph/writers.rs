//! One writer at a time among the handles of this connection; other clients show as watchers.

use crate::VolumeId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A volume wherever it is: the pool's id, the namespace, the volume's id.
pub(super) type Place = (i64, Vec<u8>, VolumeId);

#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<Place, Arc<Slot>>>);

struct Slot {
    free: Arc<Semaphore>,
    closing: AtomicBool,
}

/// The right to write to a volume, until it is dropped.
pub(super) struct Claim {
    slot: Arc<Slot>,
    _permit: OwnedSemaphorePermit,
}

impl Claim {
    /// Lets the next writer wait instead of being refused: the handle is gone, and its image is being closed.
    pub(super) fn closing(&self) {
        self.slot.closing.store(true, Ordering::SeqCst);
    }
}

impl Writers {
    fn slot(&self, place: &Place) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        let new = || Arc::new(Slot { free: Arc::new(Semaphore::new(1)), closing: AtomicBool::new(false) });
        Arc::clone(slots.entry(place.clone()).or_insert_with(new))
    }

    /// The claim, or `None` when a handle of this connection writes, after so long still.
    pub(super) async fn claim(&self, place: &Place, patience: Duration) -> Option<Claim> {
        let slot = self.slot(place);
        let permit = match Arc::clone(&slot.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if slot.closing.load(Ordering::SeqCst) => {
                Arc::clone(&slot.free).acquire_owned().await.ok()?
            }
            Err(_) if !patience.is_zero() => {
                timeout(patience, Arc::clone(&slot.free).acquire_owned()).await.ok()?.ok()?
            }
            Err(_) => return None,
        };
        slot.closing.store(false, Ordering::SeqCst);
        Some(Claim { slot, _permit: permit })
    }

    /// Waits for a dropped writer's image to be closed; its watch would block what comes next.
    pub(super) async fn settled(&self, place: &Place) {
        let slot = self.slot(place);
        if slot.closing.load(Ordering::SeqCst) {
            drop(slot.free.acquire().await);
        }
    }
}
