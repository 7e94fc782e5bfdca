//! What can happen in a history, and how one is drawn.

use proptest::collection::vec;
use proptest::prelude::*;

/// One step. Volumes are numbered in the order of their making, modulo how many there were; names and snapshot
/// names come from small sets, so that they collide.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields are the arguments of the call each step makes")]
pub enum Op {
    Create { name: u8, size: u64 },
    Write { volume: u8, at: u32, len: u64, byte: u8 },
    Zero { volume: u8, at: u32, len: u64 },
    Read { volume: u8, at: u32, len: u64 },
    Flush { volume: u8 },
    Resize { volume: u8, size: u64 },
    Snapshot { volume: u8, snapshot: u8 },
    Protect { volume: u8, snapshot: u8 },
    Unprotect { volume: u8, snapshot: u8 },
    RemoveSnapshot { volume: u8, snapshot: u8 },
    RenameSnapshot { volume: u8, snapshot: u8, to: u8 },
    Rollback { volume: u8, snapshot: u8 },
    Clone { volume: u8, snapshot: u8, name: u8 },
    Flatten { volume: u8 },
    Rename { volume: u8, name: u8 },
    Remove { volume: u8, close: bool },
    TrashMove { volume: u8, keep: bool, close: bool },
    TrashRestore { volume: u8, name: u8 },
    TrashRemove { volume: u8, force: bool, close: bool },
    Close { volume: u8 },
    Reopen,
}

const MIB: u64 = 1 << 20;

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(1),
        Just(4096),
        Just(MIB + 1),
        Just(4 * MIB),
        Just(4 * MIB + 513),
        Just(8 * MIB),
        Just(9 * MIB + 7),
        1..10 * MIB
    ]
}

fn len() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(512), Just(4 * MIB), 1..64 * 1024_u64, 1..9 * MIB]
}

fn op() -> impl Strategy<Value = Op> {
    use Op::*;
    // A place in a volume is a fraction of its size; the upper half stands for block boundaries.
    let (volume, name, snapshot, at) = (|| any::<u8>(), || 0..5_u8, || 0..4_u8, any::<u32>);
    let mostly = || prop::bool::weighted(0.8);
    prop_oneof![
        3 => (name(), size()).prop_map(|(name, size)| Create { name, size }),
        10 => (volume(), at(), len(), 1..=255_u8).prop_map(|(volume, at, len, byte)| Write { volume, at, len, byte }),
        4 => (volume(), at(), len()).prop_map(|(volume, at, len)| Zero { volume, at, len }),
        3 => (volume(), at(), len()).prop_map(|(volume, at, len)| Read { volume, at, len }),
        2 => volume().prop_map(|volume| Flush { volume }),
        3 => (volume(), size()).prop_map(|(volume, size)| Resize { volume, size }),
        6 => (volume(), snapshot()).prop_map(|(volume, snapshot)| Snapshot { volume, snapshot }),
        4 => (volume(), snapshot()).prop_map(|(volume, snapshot)| Protect { volume, snapshot }),
        2 => (volume(), snapshot()).prop_map(|(volume, snapshot)| Unprotect { volume, snapshot }),
        4 => (volume(), snapshot()).prop_map(|(volume, snapshot)| RemoveSnapshot { volume, snapshot }),
        1 => (volume(), snapshot(), snapshot())
            .prop_map(|(volume, snapshot, to)| RenameSnapshot { volume, snapshot, to }),
        3 => (volume(), snapshot()).prop_map(|(volume, snapshot)| Rollback { volume, snapshot }),
        5 => (volume(), snapshot(), name()).prop_map(|(volume, snapshot, name)| Clone { volume, snapshot, name }),
        3 => volume().prop_map(|volume| Flatten { volume }),
        1 => (volume(), name()).prop_map(|(volume, name)| Rename { volume, name }),
        1 => (volume(), mostly()).prop_map(|(volume, close)| Remove { volume, close }),
        2 => (volume(), any::<bool>(), mostly()).prop_map(|(volume, keep, close)| TrashMove { volume, keep, close }),
        3 => (volume(), name()).prop_map(|(volume, name)| TrashRestore { volume, name }),
        2 => (volume(), mostly(), mostly()).prop_map(|(volume, force, close)| TrashRemove { volume, force, close }),
        1 => volume().prop_map(|volume| Close { volume }),
        1 => Just(Reopen),
    ]
}

/// A history of at most so many steps; it starts with a parent and two clones, so that few steps are wasted.
pub fn history(steps: usize) -> impl Strategy<Value = Vec<Op>> {
    (size(), vec(op(), 1..steps)).prop_map(|(size, ops)| {
        let mut all = vec![
            Op::Create { name: 0, size },
            Op::Write { volume: 0, at: 0, len: size, byte: 1 },
            Op::Snapshot { volume: 0, snapshot: 0 },
            Op::Protect { volume: 0, snapshot: 0 },
            Op::Clone { volume: 0, snapshot: 0, name: 1 },
        ];
        all.extend(ops);
        all
    })
}
