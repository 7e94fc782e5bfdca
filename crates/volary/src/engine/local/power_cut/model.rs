//! What a store may look like after a power cut: volumes of cells, each of one byte's value all through.

use super::recording::CELL;
use crate::engine::OpenOptions;
use crate::engine::local::handle::Open;
use crate::engine::local::store::Store;
use crate::{Ctl, Name, Namespace, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Clone, Default)]
pub(super) struct Model(pub(super) BTreeMap<String, Modelled>);

#[derive(Debug, Clone, Default)]
pub(super) struct Modelled {
    pub(super) head: Vec<Cell>,
    pub(super) snapshots: BTreeMap<String, Vec<u8>>,
    pub(super) parent: Option<(String, String)>,
}

/// What a cell of the head is, and what it may be found as: the flushed value, or any written since.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) now: u8,
    pub(super) maybe: BTreeSet<u8>,
}

impl Cell {
    pub(super) fn sure(now: u8) -> Self {
        Cell { now, maybe: BTreeSet::from([now]) }
    }
}

impl Modelled {
    pub(super) fn write(&mut self, first: usize, count: usize, value: u8) {
        for cell in &mut self.head[first..first + count] {
            cell.now = value;
            cell.maybe.insert(value);
        }
    }

    pub(super) fn flush(&mut self) {
        self.head.iter_mut().for_each(|cell| *cell = Cell::sure(cell.now));
    }

    pub(super) fn now(&self) -> Vec<u8> {
        self.head.iter().map(|cell| cell.now).collect()
    }
}

/// What a store was found to be.
#[derive(Debug)]
pub(super) struct Found(BTreeMap<String, (Vec<u8>, Snapshots)>);

type Snapshots = BTreeMap<String, Vec<u8>>;

impl Found {
    pub(super) fn in_store(store: &Arc<Store>) -> Self {
        let home = Namespace::default();
        let cells_of = |name: &Name, snapshot: Option<Name>| {
            let target = Target::Name(name.clone());
            cells(&store.open_volume(&home, &target, &OpenOptions::read(snapshot)).unwrap())
        };
        let volumes = store.volumes_after(&home, None, 1000).unwrap().into_iter().map(|entry| {
            let open = store.open_volume(&home, &Target::Id(entry.id), &OpenOptions::read(None)).unwrap();
            let snapshots = open.snapshots().unwrap().into_iter();
            let snapshots =
                snapshots.map(|s| (s.name.to_string(), cells_of(&entry.name, Some(s.name)))).collect();
            (entry.name.to_string(), (cells_of(&entry.name, None), snapshots))
        });
        Found(volumes.collect())
    }

    pub(super) fn may_be(&self, model: &Model) -> bool {
        self.0.len() == model.0.len()
            && self.0.iter().zip(&model.0).all(|((name, (head, snapshots)), (expected, volume))| {
                name == expected
                    && *snapshots == volume.snapshots
                    && head.len() == volume.head.len()
                    && head.iter().zip(&volume.head).all(|(found, cell)| cell.maybe.contains(found))
            })
    }
}

fn cells(open: &Open) -> Vec<u8> {
    let ctl = Ctl::new();
    let size = open.stat().unwrap().size_bytes as usize;
    let bytes = open.read(0, size, &ctl).unwrap();
    bytes
        .chunks(CELL)
        .map(|cell| {
            assert!(cell == vec![cell[0]; CELL], "a cell is torn");
            cell[0]
        })
        .collect()
}
