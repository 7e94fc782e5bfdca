//! Checking a store against itself: the database, the objects that its rows name, and what lies beside them.
//!
//! Rows and objects change while this reads: a missing object is looked up again before it is reported. Objects that no row names
//! are reported only while nobody writes, since a writer's newest objects have no rows yet.

mod database;
mod objects;
mod unnamed;

use super::blocking;
use super::store::Store;
use crate::engine::{CheckOptions, CheckScope, Checked, Finding, FindingKind, Repair, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use std::sync::Arc;

/// How many volumes are listed at a time.
const PAGE: u32 = 512;

/// What is wrong with rows of a whole database is past repair by commands: the copy has most likely the same rows.
const RESTORE: &str =
    "export the volumes that can still be read, and restore the store's directory from a backup";

pub(super) fn check<'a>(
    store: &'a Arc<Store>,
    scope: &'a CheckScope,
    options: &'a CheckOptions,
    ctl: &'a Ctl,
) -> BoxStream<'a, Result<Checked>> {
    match scope {
        CheckScope::Store => {
            let found = async move {
                let (store, thorough, inner) = (store.clone(), options.read, ctl.clone());
                let look = blocking(move || store.check_whole(thorough, &inner));
                let found = ctl.transfer("check the database", look).await?;
                Ok::<_, Error>(stream::iter(found.into_iter().map(|of| Ok(Checked::Finding(Box::new(of))))))
            };
            stream::once(found).try_flatten().boxed()
        }
        CheckScope::Namespace(namespace) => namespace_of(store, namespace, options, ctl),
    }
}

/// The volumes of a namespace: those in trash, then the others by name.
fn namespace_of<'a>(
    store: &'a Arc<Store>,
    namespace: &'a Namespace,
    options: &'a CheckOptions,
    ctl: &'a Ctl,
) -> BoxStream<'a, Result<Checked>> {
    let first = options.after.clone().map_or(At::Trash, |name| At::Names(Some(name)));
    let pages = stream::try_unfold(first, move |at| async move {
        let (list, namespace) = (store.clone(), namespace.clone());
        let page = blocking(move || list.check_page(&namespace, at));
        let page = ctl.call("list what to check", page).await?;
        Ok::<_, Error>(
            page.map(|(volumes, next)| (stream::iter(volumes.into_iter().map(Ok::<_, Error>)), next)),
        )
    });
    let wanted = pages.try_flatten().try_filter(move |volume: &Listed| {
        let wants = options.only.as_ref().is_none_or(|only| only.contains(&volume.entry.id));
        std::future::ready(wants)
    });
    let looked = wanted.map(move |volume| async move {
        let (store, namespace, inner, read) = (store.clone(), namespace.clone(), ctl.clone(), options.read);
        let volume: Listed = volume?;
        let look = blocking(move || store.check_volume(&namespace, &volume, read, &inner));
        ctl.transfer("check a volume", look).await
    });
    let pieces = looked.buffered(options.jobs.max(1));
    pieces.map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok))).try_flatten().boxed()
}

/// How far the lists are read.
enum At {
    Trash,
    /// Names after this one.
    Names(Option<Name>),
    End,
}

/// A volume to look at.
struct Listed {
    entry: VolumeEntry,
    trashed: bool,
}

impl Store {
    fn check_page(&self, namespace: &Namespace, at: At) -> Result<Option<(Vec<Listed>, At)>> {
        Ok(match at {
            At::End => None,
            At::Trash => {
                let trash = self.trash(namespace)?.into_iter();
                let entry = |of: crate::engine::TrashEntry| VolumeEntry { name: of.name, id: of.id };
                let listed = trash.map(|of| Listed { entry: entry(of), trashed: true }).collect();
                Some((listed, At::Names(None)))
            }
            At::Names(after) => {
                let page = self.volumes_after(namespace, after.as_ref(), PAGE)?;
                let last = page.last().map(|entry| entry.name.clone());
                let next = if page.len() == PAGE as usize { At::Names(last) } else { At::End };
                Some((page.into_iter().map(|entry| Listed { entry, trashed: false }).collect(), next))
            }
        })
    }

    /// Does what a finding says can be done about it.
    pub(super) fn repair(&self, repair: Option<&Repair>) -> Result<bool> {
        match repair {
            Some(Repair::MoveAside(object)) => self.move_aside(object),
            _ => Err(Error::new(ErrorKind::Usage, "nothing repairs this finding")),
        }
    }

    fn check_whole(&self, thorough: bool, ctl: &Ctl) -> Result<Vec<Finding>> {
        let mut found = self.check_database(thorough, ctl)?;
        if found.iter().any(|of| of.kind == FindingKind::DatabaseDamaged) {
            // What it says of objects cannot be relied on.
            return Ok(found);
        }
        found.extend(self.unnamed_objects(ctl)?);
        found.extend(self.lost_objects()?);
        Ok(found)
    }
}
