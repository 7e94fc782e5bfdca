//! A block on its way: hashed, and told apart into runs of data, piece by piece while it is still in the processor's cache.

use crate::digest::{Leaf, is_zero};
use bytes::Bytes;
use std::ops::Range;

/// Runs of zeros are found in pieces of this length, a cluster of an exported image.
pub(crate) const GRANULE_BYTES: usize = 64 << 10;

/// A block after reading: its bytes from its start to its last data, its leaf, and where it is not zero.
pub(crate) struct Block {
    pub(crate) bytes: Bytes,
    pub(crate) leaf: Option<[u8; 32]>,
    pub(crate) runs: Vec<Range<usize>>,
}

/// Looks at a block's bytes as they come.
#[derive(Default)]
pub(crate) struct Examiner {
    leaf: Leaf,
    /// The leaf, where it is known beforehand.
    known: Option<[u8; 32]>,
    runs: Vec<Range<usize>>,
    seen: usize,
}

impl Examiner {
    /// Looks at the whole granules of `block`, which is the block as far as it has come.
    pub(crate) fn look(&mut self, block: &[u8]) {
        let whole = block.len() / GRANULE_BYTES * GRANULE_BYTES;
        self.look_to(block, whole);
    }

    fn look_to(&mut self, block: &[u8], end: usize) {
        for granule in block.get(self.seen..end).unwrap_or_default().chunks(GRANULE_BYTES) {
            let start = self.seen;
            self.seen += granule.len();
            if is_zero(granule) {
                self.leaf.zeros(granule.len());
                continue;
            }
            if self.known.is_none() {
                self.leaf.data(granule);
            }
            match self.runs.last_mut() {
                Some(last) if last.end == start => last.end = self.seen,
                _ => self.runs.push(start..self.seen),
            }
        }
    }

    /// Looks at what is left of it.
    pub(crate) fn finish(mut self, bytes: Bytes) -> Block {
        self.look_to(&bytes, bytes.len());
        Block { bytes, leaf: self.known.or_else(|| self.leaf.finish()), runs: self.runs }
    }
}

impl Block {
    /// Hashes a block and finds its runs of data; takes a millisecond, so run it on a thread for such work.
    pub(crate) fn examine(bytes: Bytes) -> Block {
        Block::known(bytes, None)
    }

    /// The same of a block that was compared with its leaf already, and is not hashed again.
    pub(crate) fn known(bytes: Bytes, leaf: Option<[u8; 32]>) -> Block {
        Examiner { known: leaf, ..Examiner::default() }.finish(bytes)
    }

    /// The runs to write where whole blocks are cheaper than many pieces: one, unless a quarter can be left out.
    pub(crate) fn coarse_runs(&self) -> Vec<Range<usize>> {
        let data: usize = self.runs.iter().map(Range::len).sum();
        match (self.runs.first(), self.runs.last()) {
            (Some(_), Some(last)) if data >= self.bytes.len() / 4 * 3 => {
                std::iter::once(0..last.end).collect()
            }
            _ => self.runs.clone(),
        }
    }
}

#[cfg(test)]
// Lists that happen to hold one range.
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use crate::digest::{BLOCK_BYTES, leaf};

    #[test]
    fn runs_of_zeros_are_left_out_and_whole_blocks_are_kept_whole() {
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        bytes[GRANULE_BYTES] = 1;
        bytes[4 * GRANULE_BYTES - 1] = 1;
        bytes[2 * GRANULE_BYTES] = 1;
        let block = Block::examine(bytes.clone().into());
        assert_eq!(block.runs, [GRANULE_BYTES..4 * GRANULE_BYTES]);
        assert_eq!(block.coarse_runs(), block.runs);
        bytes.iter_mut().step_by(GRANULE_BYTES).for_each(|byte| *byte = 1);
        bytes[3 * GRANULE_BYTES] = 0;
        bytes[4 * GRANULE_BYTES - 1] = 0;
        let block = Block::examine(bytes.into());
        assert_eq!(block.runs.len(), 2);
        assert_eq!(block.coarse_runs(), [0..BLOCK_BYTES as usize]);
    }

    #[test]
    fn a_block_seen_in_pieces_is_the_block_seen_whole() {
        for data in [vec![], vec![0], vec![3 * GRANULE_BYTES + 5], vec![GRANULE_BYTES - 1, 7 * GRANULE_BYTES]]
        {
            let mut bytes = vec![0; 8 * GRANULE_BYTES + 100];
            data.iter().for_each(|at| bytes[*at] = 9);
            let whole = Block::examine(bytes.clone().into());
            for piece in [1000, GRANULE_BYTES, 3 * GRANULE_BYTES + 1] {
                let mut examiner = Examiner::default();
                (0..bytes.len()).step_by(piece).for_each(|end| examiner.look(&bytes[..end]));
                let pieces = examiner.finish(bytes.clone().into());
                assert_eq!((pieces.leaf, pieces.runs), (whole.leaf, whole.runs.clone()));
            }
            assert_eq!(whole.leaf, leaf(&bytes));
            let known = Block::known(bytes.clone().into(), whole.leaf);
            assert_eq!((known.leaf, known.runs), (whole.leaf, whole.runs));
            assert_eq!(whole.leaf.is_some(), !data.is_empty());
        }
    }
}
