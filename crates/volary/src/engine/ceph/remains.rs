//! Removing an image that cannot be opened: librbd removes what it still finds. What it cannot know of is done, or told, here.

use super::clone_entries;
use super::connection::Connection;
use super::directory::rados;
use super::header;
use super::unopenable::{ParentState, parent_state};
use crate::{Namespace, Result, VolumeId};
use rbd::Pool;

/// What librbd will not know of an image when it removes it.
pub(super) struct Remains {
    /// Its data and its object maps, for want of a whole header.
    data: bool,
    /// That it is a clone of format 1, for want of a whole header or of its parent.
    clone: bool,
}

/// Looks before the removal, which takes the header away.
pub(super) async fn look(on: &Connection, pool: &Pool, id: &VolumeId) -> Result<Remains> {
    let header = header::read_whole(pool, id).await?;
    // What lacks a value that every header has is to librbd as if there were none.
    let Some(header) = header.filter(|header| header.lacks().is_none()) else {
        return Ok(Remains { data: true, clone: true });
    };
    let clone = match header.parent() {
        Some(parent) => matches!(parent_state(on, &parent).await?, ParentState::Missing(_)),
        None => false,
    };
    Ok(Remains { data: false, clone })
}

impl Remains {
    /// Takes away what librbd left, once it has removed the image, and says what may still be left, with the command that shows it.
    pub(super) async fn settle(self, pool: &Pool, namespace: &Namespace, id: &VolumeId) -> Vec<String> {
        let (rados, mut left) = (rados(namespace), Vec::new());
        if self.data {
            left.push(format!(
                "its header was missing or damaged, so that objects rbd_data.{id}.* and rbd_object_map.{id}.* may be left: \
                 `{rados} ls | grep {id}` shows them, in the pool of its data if that was another"
            ));
        }
        if self.clone {
            let forgotten = clone_entries::forget(pool, id).await;
            if let Err(error) = &forgotten {
                tracing::warn!(%id, error = error.report(), "what a clone read from may still name it");
            }
            if !matches!(forgotten, Ok(true)) {
                left.push(format!(
                    "an entry of it as a clone may be left, which keeps the snapshot that it read from: \
                     `{rados} listomapvals rbd_children` shows all of them"
                ));
            }
        }
        left
    }
}
