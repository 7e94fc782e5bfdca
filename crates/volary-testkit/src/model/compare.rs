//! Comparing everything a store shows with the model.

use super::history::{Pair, snapshot_name, volume_name};
use super::state::Place;
use crate::conformance::{assert_same, check_extents};
use futures::TryStreamExt;
use std::collections::BTreeSet;
use volary::Target;
use volary::engine::{OpenOptions, VolumeEntry};

impl Pair {
    pub(super) async fn compare(&self, when: &str) {
        let (model, ctl) = (&self.model, &self.ctl);
        let entry = |index: usize| VolumeEntry {
            name: volume_name(model.vols[index].name),
            id: self.ids[index].clone(),
        };
        let all = 0..model.vols.len();
        let (named, trashed): (BTreeSet<_>, BTreeSet<_>) = all
            .clone()
            .filter(|&index| model.vols[index].place != Place::Gone)
            .map(|index| (model.vols[index].place == Place::Named, entry(index)))
            .fold(Default::default(), |(mut named, mut trashed), (is_named, entry)| {
                if is_named {
                    named.insert(entry)
                } else {
                    trashed.insert(entry)
                };
                (named, trashed)
            });
        let listed: BTreeSet<_> = self.engine.volumes(&self.ns, ctl).try_collect().await.unwrap();
        assert_eq!(listed, named, "{when}: the listing");
        let in_trash = self.engine.trash(&self.ns, ctl).await.unwrap();
        let in_trash: BTreeSet<_> =
            in_trash.into_iter().map(|t| VolumeEntry { name: t.name, id: t.id }).collect();
        assert_eq!(in_trash, trashed, "{when}: the trash");
        for index in all.filter(|&index| model.vols[index].place != Place::Gone) {
            self.compare_volume(index, when).await;
        }
    }

    async fn compare_volume(&self, index: usize, when: &str) {
        let (vol, ctl) = (&self.model.vols[index], &self.ctl);
        let contents = vol.snaps.iter().map(|snap| (Some(snapshot_name(snap.name)), &snap.content));
        for (snapshot, content) in std::iter::once((None, &vol.head)).chain(contents) {
            let at = format!("{when}: volume {index} at {snapshot:?}");
            let target = Target::Id(self.ids[index].clone());
            let open = self.engine.open(&self.ns, &target, &OpenOptions::read(snapshot.clone()), ctl).await;
            let reader = open.unwrap_or_else(|e| panic!("{at}: {}", e.report()));
            let stat = reader.stat(ctl).await.unwrap();
            assert_eq!(stat.size_bytes, content.len() as u64, "{at}: size");
            let bytes = reader.read(0, content.len(), ctl).await.unwrap();
            assert_same(&bytes, content, &at);
            check_extents(&reader.extents(0, content.len() as u64, ctl).await.unwrap(), 0, content);
            if snapshot.is_none() {
                let parent = stat.parent.map(|parent| (parent.id, parent.snapshot, parent.trash));
                let due = vol.parent.map(|(parent, serial)| {
                    let of = &self.model.vols[parent];
                    let snap = of.snaps.iter().find(|snap| snap.serial == serial).unwrap();
                    (self.ids[parent].clone(), snapshot_name(snap.name), of.place != Place::Named)
                });
                assert_eq!(parent, due, "{at}: parent");
                let shown = reader.snapshots(ctl).await.unwrap();
                let shown: Vec<_> = shown.into_iter().map(|s| (s.name, s.size_bytes, s.protected)).collect();
                let due: Vec<_> = vol
                    .snaps
                    .iter()
                    .map(|snap| (snapshot_name(snap.name), snap.content.len() as u64, snap.protected))
                    .collect();
                assert_eq!(shown, due, "{at}: snapshots");
                let children = reader.children(None, ctl).await.unwrap();
                let children: BTreeSet<_> =
                    children.into_iter().map(|c| (c.id, c.snapshot, c.trash)).collect();
                let due = vol.snaps.iter().flat_map(|snap| {
                    let of_it = self.model.children(index, snap.serial).into_iter();
                    of_it.map(|c| {
                        (
                            self.ids[c].clone(),
                            snapshot_name(snap.name),
                            self.model.vols[c].place != Place::Named,
                        )
                    })
                });
                assert_eq!(children, due.collect(), "{at}: children");
            }
            reader.close(ctl).await.unwrap();
        }
    }
}
