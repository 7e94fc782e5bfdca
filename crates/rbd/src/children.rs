//! Where an image's data comes from, and whose data comes from it.

use crate::Errno;
use crate::call::{bytes, grow};
use crate::error::Result;
use crate::image::Image;
use crate::sys;
use std::time::Duration;

/// The snapshot that a clone reads from where it has no data of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The image.
    pub image: Child,
    /// The snapshot's id.
    pub snapshot_id: u64,
    /// The snapshot's name.
    pub snapshot: Vec<u8>,
}

/// An image wherever it is: a clone, or a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The pool's id.
    pub pool_id: i64,
    /// The pool.
    pub pool: Vec<u8>,
    /// The namespace, empty for the default one.
    pub namespace: Vec<u8>,
    /// The image's id.
    pub id: Vec<u8>,
    /// The image's name, the last one it had when it is in trash.
    pub name: Vec<u8>,
    /// Whether it is in trash.
    pub trash: bool,
}

impl Child {
    /// # Safety
    /// The spec's strings are NULL or C strings.
    unsafe fn copy(spec: &sys::rbd_linked_image_spec_t) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Child {
                pool_id: spec.pool_id,
                pool: bytes(spec.pool_name),
                namespace: bytes(spec.pool_namespace),
                id: bytes(spec.image_id),
                name: bytes(spec.image_name),
                trash: spec.trash,
            }
        }
    }
}

impl Image {
    /// The parent, also one in trash, or `None`.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rbd_get_parent`.
    #[doc(alias = "rbd_get_parent")]
    pub async fn parent(&self, limit: Duration) -> Result<Option<Parent>> {
        self.run("rbd_get_parent", limit, |image| {
            let library = &image.io.on.library;
            let clean_image = symbol!(library, rbd_linked_image_spec_cleanup);
            let clean_snapshot = symbol!(library, rbd_snap_spec_cleanup);
            // SAFETY: plain numbers and pointers; zero is valid for each.
            let (mut spec, mut snapshot): (sys::rbd_linked_image_spec_t, sys::rbd_snap_spec_t) =
                unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
            // SAFETY: an open image and two structs to fill.
            match unsafe { call!(library, image.at, rbd_get_parent(image.raw.0, &mut spec, &mut snapshot)) } {
                Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(None),
                answer => answer?,
            };
            // SAFETY: both are filled with strings of librbd's own, freed once after the copy.
            unsafe {
                let parent = Parent {
                    image: Child::copy(&spec),
                    snapshot_id: snapshot.id,
                    snapshot: bytes(snapshot.name),
                };
                clean_image(&mut spec);
                clean_snapshot(&mut snapshot);
                Ok(Some(parent))
            }
        })
        .await
    }

    /// The clones, in every pool that the user sees and in trash: of all snapshots, or of the one that is open.
    ///
    /// C: `rbd_list_children3`.
    #[doc(alias = "rbd_list_children3")]
    pub async fn children(&self, limit: Duration) -> Result<Vec<Child>> {
        self.run("rbd_list_children3", limit, |image| {
            let library = &image.io.on.library;
            let clean = symbol!(library, rbd_linked_image_spec_list_cleanup);
            // Too short a list costs a second one, for which librbd asks after every clone once more.
            grow(1024, |len| {
                // SAFETY: numbers, a bool and pointers; zero is valid for each.
                let mut specs: Vec<sys::rbd_linked_image_spec_t> = vec![unsafe { std::mem::zeroed() }; *len];
                // SAFETY: an open image and an array of the length told.
                unsafe {
                    call!(library, image.at, rbd_list_children3(image.raw.0, specs.as_mut_ptr(), len))
                }?;
                // SAFETY: so many entries are filled with strings of librbd's own, freed once after the copy.
                unsafe {
                    let children = specs.iter().take(*len).map(|spec| Child::copy(spec)).collect();
                    clean(specs.as_mut_ptr(), *len);
                    Ok(children)
                }
            })
        })
        .await
    }
}
