//! Recording the leaves of blocks: the checksums that reads of whole blocks are compared with.

use super::blocks::{self, of_object};
use super::db::Sql;
use super::handle::{Open, Writer};
use super::ids::{BLOCK_BYTES, ObjectId};
use super::layers::Source;
use crate::{Ctl, Result};
use rusqlite::Transaction;
use std::collections::BTreeSet;

impl Open {
    /// Records leaves of blocks that are certain not to change: a snapshot's, or those of a head that this handle alone
    /// writes. Of a head that is open to be read nothing is recorded, as somebody else may be writing it.
    pub(super) fn record_leaves(&self, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()> {
        self.usable()?;
        let _gate = match &self.writer {
            Some(writer) => Some(writer.alone()?),
            None if self.snapshot.is_some() => None,
            None => return Ok(()),
        };
        let found = self.store.db.read(|tx| self.without_leaves(tx, leaves))?;
        let found: BTreeSet<ObjectId> = found.into_iter().map(|(object, _)| object).collect();
        // A writer that was killed may have left bytes in memory that no flush made durable. What this handle has synced is
        // not synced again: each time would wait for the disk, though nothing is to be written.
        let synced = self.writer.as_ref().map(|writer| std::mem::take(&mut writer.unflushed().synced));
        let synced = synced.unwrap_or_default();
        self.sync_for_leaves(found.difference(&synced).copied().collect(), ctl)?;
        self.store.db.write(|tx| self.put_leaves(tx, leaves, &found))
    }

    /// Puts the leaves of those objects that were found and still show these blocks. What is seen has not changed since, but which
    /// object it is in may have, and the one from before may be written in place by now: a layer was folded into its volume's head.
    fn put_leaves(
        &self,
        tx: &Transaction<'_>,
        leaves: &[(u64, [u8; 32])],
        found: &BTreeSet<ObjectId>,
    ) -> Sql<()> {
        for (object, leaf) in self.without_leaves(tx, leaves)? {
            if !found.contains(&object) {
                continue;
            }
            if let Some((layer, index, known)) = of_object(tx, object)? {
                blocks::put(tx, layer, index, Some(&blocks::Object { leaf: Some(leaf), ..known }))?;
            }
        }
        Ok(())
    }

    /// The objects that show these blocks, and have no leaf yet.
    fn without_leaves(
        &self,
        tx: &Transaction<'_>,
        leaves: &[(u64, [u8; 32])],
    ) -> Sql<Vec<(ObjectId, [u8; 32])>> {
        let (top, _) = self.top(tx)?;
        let mut found = Vec::with_capacity(leaves.len());
        for (index, leaf) in leaves {
            let sources = self.sources(tx, top, *index, 1)?;
            // The leaf is of what is seen: it is the object's only where all of that is.
            let Some(Source::Object { object, visible: BLOCK_BYTES, .. }) = sources.first() else { continue };
            // Bytes that no flush has made durable have no leaf.
            let waits = |writer: &Writer| {
                let unflushed = writer.unflushed();
                unflushed.dirty.contains_key(&object.id) || unflushed.rows.contains_key(index)
            };
            if object.leaf.is_none() && !self.writer.as_ref().is_some_and(waits) {
                found.push((object.id, *leaf));
            }
        }
        Ok(found)
    }

    fn sync_for_leaves(&self, objects: Vec<ObjectId>, ctl: &Ctl) -> Result<()> {
        super::flush::in_parallel(objects, |object| {
            let opened = self.store.files.open(&self.store.object_path(object), false);
            opened.and_then(|file| file.sync()).map_err(|e| self.failed("syncing an object", object, e))?;
            ctl.touch();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::local::store::Store;
    use crate::engine::{CloneOptions, CreateOptions, OpenOptions, SnapshotRef};
    use crate::{Name, Namespace, Target};

    #[test]
    fn s13_an_object_that_a_head_got_meanwhile_is_given_no_leaf() {
        let (dir, ctl, home) = (tempfile::tempdir().unwrap(), Ctl::new(), Namespace::default());
        let name = |text: &str| Name::new(text).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let open = |volume: &str, options: &OpenOptions| {
            store.open_volume(&home, &Target::Name(name(volume)), options).unwrap()
        };
        store.create(&home, &name("web"), &CreateOptions::new(BLOCK_BYTES)).unwrap();
        let web = open("web", &OpenOptions::write());
        web.write(0, &vec![1; BLOCK_BYTES as usize].into(), &ctl).unwrap();
        web.create_snapshot(&name("s"), &ctl).unwrap();
        web.protect_snapshot(&name("s"), true).unwrap();
        let parent = SnapshotRef { namespace: home.clone(), volume: web.id.clone(), snapshot: name("s") };
        store.clone_volume(&parent, &home, &name("child"), &CloneOptions::default()).unwrap();
        let child = open("child", &OpenOptions::write());
        child.create_snapshot(&name("t"), &ctl).unwrap();
        let reader = open("child", &OpenOptions::read(Some(name("t"))));
        let leaves = [(0, crate::leaf(&[1; BLOCK_BYTES as usize]).unwrap())];
        let found = store.db.read(|tx| reader.without_leaves(tx, &leaves)).unwrap();
        let found: BTreeSet<_> = found.into_iter().map(|(object, _)| object).collect();
        assert_eq!(found.len(), 1);
        // The object that the snapshot showed becomes the head's of its parent, which writes in place.
        child.flatten(&ctl).unwrap();
        web.protect_snapshot(&name("s"), false).unwrap();
        web.remove_snapshot(&name("s"), &ctl).unwrap();
        web.write(0, &vec![2; 7].into(), &ctl).unwrap();
        web.flush(&ctl).unwrap();
        store.db.write(|tx| reader.put_leaves(tx, &leaves, &found)).unwrap();
        let read = |open: &Open| open.read(0, BLOCK_BYTES as usize, &ctl).unwrap();
        assert_eq!((read(&web)[0], read(&web)[7], read(&reader)[0]), (2, 1, 1));
        // The one that shows it now has its leaf when it is asked again.
        reader.record_leaves(&leaves, &ctl).unwrap();
        assert_eq!(reader.read_block(0, BLOCK_BYTES as usize, &ctl).unwrap().1, Some(leaves[0].1));
        assert_eq!(web.read_block(0, BLOCK_BYTES as usize, &ctl).unwrap().1, None);
    }
}
