//! Moving content: the one loop that import, copy, export and verification share.
//!
//! Blocks are read, examined and written side by side, a bounded number at a time, and digested in rising order.
//! Holes are never read. After a failure or a cancel nothing new is begun, and what is in flight is awaited, so that
//! no write arrives after the caller has begun to undo.

use super::block::Block;
use super::notes::HEADER_BYTES;
use crate::digest::{BLOCK_BYTES, ContentDigest, ContentHasher};
use crate::engine::Volume;
use crate::{Ctl, Error, ErrorKind, Result};
use async_trait::async_trait;
use futures::future::join_all;
use futures::{StreamExt, stream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many blocks are in flight at once. Allocators keep several times as much for their threads, so that this, not
/// the block size, decides the peak of memory.
const IN_FLIGHT: usize = 6;
/// How many of them are being read from a volume: Ceph's libraries have each once more in memory meanwhile, and more
/// are not faster, at 5 ms a message either.
const READS: usize = 4;
/// The mapping is asked for in windows, so that it is never in memory whole; as wide as it may be, since nothing but their
/// number makes a disk of holes slow.
const WINDOW_BYTES: u64 = 256 * BLOCK_BYTES;
/// After so many bytes what was written is made durable, so that what an engine remembers of it stays bounded.
const FLUSH_BYTES: u64 = 4 << 30;
/// How many blocks are written before a flush, which hands their leaves to the engine.
const FLUSH_BLOCKS: usize = 4096;
/// How many leaves of blocks that are only read are kept in memory (10 MiB): those of a terabyte without checksums.
const REMEMBERED: usize = 1 << 18;

/// Where content comes from.
#[async_trait]
pub(crate) trait BlockSource: Send + Sync {
    /// Its length in bytes; of a stream, the longest it may have, until it has ended.
    fn size_bytes(&self) -> u64;
    /// How much of it is asked for at a time.
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }
    /// Whether nothing follows what was told, which a stream finds out on its way.
    fn ended(&self) -> bool {
        false
    }
    /// Where a window may hold data, in order.
    async fn data(&self, window: Range<u64>, ctl: &Ctl) -> Result<Vec<Range<u64>>>;
    /// Reads from `start` to the end of the last of the ranges of `data`, zeros between them.
    async fn read(&self, start: u64, data: Vec<Range<u64>>, ctl: &Ctl) -> Result<Block>;
    /// Confirms, after the last read, that all of it was there to be read.
    async fn confirm(&self, _ctl: &Ctl) -> Result<()> {
        Ok(())
    }
}

/// Where content goes to; everything not written stays zero.
#[async_trait]
pub(crate) trait BlockSink: Send + Sync {
    /// Writes a block's runs, the block beginning at `start`.
    async fn write(&self, start: u64, block: Block, ctl: &Ctl) -> Result<()>;
    /// Makes what was written durable.
    async fn flush(&self, ctl: &Ctl) -> Result<()>;
    /// Takes over the leaves of blocks that were written and flushed; what is no volume has no use for them.
    async fn record(&self, _leaves: &[(u64, [u8; 32])], _ctl: &Ctl) -> Result<()> {
        Ok(())
    }
}

/// A block's index and its leaf.
type IndexedLeaf = (u64, [u8; 32]);

/// An open volume as source and sink.
pub(crate) struct VolumeBlocks {
    volume: Arc<dyn Volume>,
    size_bytes: u64,
    reads: Semaphore,
    mismatched_bytes: AtomicU64,
    /// What it begins with, once that was read.
    first: OnceLock<Vec<u8>>,
    /// The leaves of blocks that the store has none to compare with, where they are remembered.
    unknown: Option<Mutex<Vec<IndexedLeaf>>>,
}

impl VolumeBlocks {
    /// The volume's first `size_bytes`.
    pub(crate) fn new(volume: Arc<dyn Volume>, size_bytes: u64) -> Self {
        let (reads, mismatched_bytes) = (Semaphore::new(READS), AtomicU64::new(0));
        VolumeBlocks { volume, size_bytes, reads, mismatched_bytes, first: OnceLock::new(), unknown: None }
    }

    /// Remembers the leaves of blocks that the store has no checksums of, for whoever finds that the content is right: of
    /// the first ones, when there are very many.
    pub(crate) fn remembering(self) -> Self {
        VolumeBlocks { unknown: Some(Mutex::default()), ..self }
    }

    /// Gives the leaves that were remembered to a volume to keep as its blocks' checksums, if its store keeps any.
    pub(crate) async fn hand_over(&self, volume: &dyn Volume, ctl: &Ctl) -> Result<()> {
        let Some(unknown) = &self.unknown else { return Ok(()) };
        let leaves = std::mem::take(&mut *unknown.lock().unwrap_or_else(PoisonError::into_inner));
        for leaves in leaves.chunks(FLUSH_BLOCKS) {
            volume.record_leaves(leaves, ctl).await?;
        }
        Ok(())
    }

    /// The volume.
    pub(crate) fn volume(&self) -> &dyn Volume {
        &*self.volume
    }

    /// The first bytes, as many as tell an encrypted volume; none before they were read, and where no data is.
    pub(crate) fn first_bytes(&self) -> &[u8] {
        self.first.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// How many bytes did not match what the store knows of them and were read all the same, as confirmed in the end.
    pub(crate) fn mismatched_bytes(&self) -> u64 {
        self.mismatched_bytes.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl BlockSource for VolumeBlocks {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    async fn data(&self, window: Range<u64>, ctl: &Ctl) -> Result<Vec<Range<u64>>> {
        let extents = self.volume.extents(window.start, window.end - window.start, ctl).await?;
        let ranges = extents.into_iter().filter(|extent| extent.data);
        Ok(ranges.map(|extent| extent.offset..extent.offset + extent.len).collect())
    }

    async fn read(&self, start: u64, data: Vec<Range<u64>>, ctl: &Ctl) -> Result<Block> {
        let end = data.last().map_or(start, |range| range.end);
        let reading = self.reads.acquire().await;
        let (bytes, known) = self.volume.read_block(start, (end - start) as usize, ctl).await?;
        drop(reading);
        let block = on_thread("examining a block", move || Ok(Block::known(bytes, known))).await?;
        if start == 0 {
            self.first.get_or_init(|| block.bytes.iter().take(HEADER_BYTES).copied().collect());
        }
        if let (Some(unknown), None, Some(leaf)) = (&self.unknown, known, block.leaf) {
            let mut unknown = unknown.lock().unwrap_or_else(PoisonError::into_inner);
            if unknown.len() < REMEMBERED {
                unknown.push((start / BLOCK_BYTES, leaf));
            }
        }
        Ok(block)
    }

    async fn confirm(&self, ctl: &Ctl) -> Result<()> {
        let mismatched_bytes = self.volume.confirm(self.size_bytes, ctl).await?;
        self.mismatched_bytes.store(mismatched_bytes, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl BlockSink for VolumeBlocks {
    async fn write(&self, start: u64, block: Block, ctl: &Ctl) -> Result<()> {
        let runs = block.coarse_runs().into_iter();
        let writes = runs.map(|run| self.volume.write(start + run.start as u64, block.bytes.slice(run), ctl));
        // Each is awaited, also after another has failed.
        join_all(writes).await.into_iter().collect()
    }

    async fn flush(&self, ctl: &Ctl) -> Result<()> {
        self.volume.flush(ctl).await
    }

    async fn record(&self, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()> {
        self.volume.record_leaves(leaves, ctl).await
    }
}

/// One pass over a source: what it is called in errors, and how many bytes the result is digested as.
pub(crate) struct Pass {
    pub(crate) step: &'static str,
    /// The size in the digest: the volume's, which may be larger than the source. `None` is what a stream has had in the end.
    pub(crate) size_bytes: Option<u64>,
    /// Whether blocks must arrive at the sink in order, one after the other.
    pub(crate) in_order: bool,
    /// Whether the sink takes over the leaves of the blocks: not of content that is taken although it may be damaged.
    pub(crate) record_leaves: bool,
}

impl Pass {
    /// Moves everything, or only reads it when there is no sink, and returns the digest. The sink is flushed.
    ///
    /// # Errors
    /// The first of source or sink, among them what the source does not confirm; `Deadline` when nothing moves;
    /// `Interrupted`. Nothing is in flight then, save after a stall, or when the time for undoing is up.
    pub(crate) async fn run(
        self,
        from: Arc<dyn BlockSource>,
        to: Option<Arc<dyn BlockSink>>,
        ctl: &Ctl,
    ) -> Result<ContentDigest> {
        // What is in flight is not cancelled: it ends by itself, by the stall limit, or by the time for undoing.
        let calm = ctl.clone().cancelled_by(CancellationToken::new());
        let step = self.step;
        let pump = self.pump(from, to, ctl.cancel_token().child_token(), calm.clone());
        let digest = ctl.finish(step, calm.transfer(step, pump)).await?;
        ctl.check(step).map(|()| digest)
    }

    async fn pump(
        self,
        from: Arc<dyn BlockSource>,
        to: Option<Arc<dyn BlockSink>>,
        stop: CancellationToken,
        ctl: Ctl,
    ) -> Result<ContentDigest> {
        let (size, window) = (from.size_bytes(), from.window_bytes());
        let windows =
            (0..size.div_ceil(window)).map(move |index| index * window..((index + 1) * window).min(size));
        // Asking ends when moving does: a stream may be silent.
        let (source, mapping_ctl) = (from.clone(), ctl.clone().cancelled_by(stop.clone()));
        let (feeding, stream) = (stop.clone(), from.clone());
        let plans = stream::iter(windows)
            .take_while(move |_| std::future::ready(!feeding.is_cancelled() && !stream.ended()))
            .then(move |window| {
                let (source, ctl) = (source.clone(), mapping_ctl.clone());
                async move { source.data(window, &ctl).await.map(split_into_blocks) }
            })
            .flat_map(|blocks| match blocks {
                Ok(blocks) => stream::iter(blocks.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            });
        let (sink, block_ctl, feeding, read_from) = (to.clone(), ctl.clone(), stop.clone(), from.clone());
        let mut done = plans
            .take_while(move |_| std::future::ready(!feeding.is_cancelled()))
            .map(move |plan| {
                let (from, sink, ctl) = (read_from.clone(), sink.clone(), block_ctl.clone());
                async move {
                    let (index, data) = plan?;
                    let bytes = data.iter().map(|range| range.end - range.start).sum();
                    let start = index * BLOCK_BYTES;
                    let block = from.read(start, data, &ctl).await?;
                    let leaf = block.leaf;
                    if let (Some(sink), Some(_)) = (sink, leaf) {
                        sink.write(start, block, &ctl).await?;
                    }
                    ctl.advance(bytes);
                    Ok((index, leaf, bytes))
                }
            })
            .buffered(if self.in_order { 1 } else { IN_FLIGHT })
            .boxed();

        let mut leaves = Leaves::new(self.size_bytes);
        let mut failed: Option<Error> = None;
        let (mut unflushed, mut unrecorded) = (0, Vec::new());
        while let Some(block) = done.next().await {
            let flushed = match block {
                Ok((index, leaf, bytes)) if failed.is_none() => {
                    if let Some(leaf) = &leaf {
                        leaves.add(index, *leaf);
                        if self.record_leaves {
                            unrecorded.push((index, *leaf));
                        }
                    }
                    unflushed += bytes;
                    match &to {
                        Some(sink) if unflushed >= FLUSH_BYTES || unrecorded.len() >= FLUSH_BLOCKS => {
                            unflushed = 0;
                            let leaves = std::mem::take(&mut unrecorded);
                            flush(&**sink, &leaves, &ctl).await
                        }
                        _ => Ok(()),
                    }
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = flushed {
                stop.cancel();
                failed.get_or_insert(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if !stop.is_cancelled() {
            from.confirm(&ctl).await?;
            if let Some(sink) = &to {
                flush(&**sink, &unrecorded, &ctl).await?;
            }
        }
        Ok(leaves.finish(from.size_bytes()))
    }
}

/// What the digest is made of. It begins with the size: until that is known the leaves are kept, 40 bytes for each block of data.
enum Leaves {
    Hashed(Box<ContentHasher>),
    Kept(Vec<(u64, [u8; 32])>),
}

impl Leaves {
    fn new(size_bytes: Option<u64>) -> Self {
        size_bytes.map_or_else(
            || Leaves::Kept(Vec::new()),
            |size| Leaves::Hashed(Box::new(ContentHasher::new(size))),
        )
    }

    fn add(&mut self, index: u64, leaf: [u8; 32]) {
        match self {
            Leaves::Hashed(hasher) => hasher.add(index, &leaf),
            Leaves::Kept(leaves) => leaves.push((index, leaf)),
        }
    }

    fn finish(self, size_bytes: u64) -> ContentDigest {
        match self {
            Leaves::Hashed(hasher) => hasher.finish(),
            Leaves::Kept(leaves) => {
                let mut hasher = ContentHasher::new(size_bytes);
                leaves.iter().for_each(|(index, leaf)| hasher.add(*index, leaf));
                hasher.finish()
            }
        }
    }
}

/// Flushing moves bytes that nobody counts: it may take as long as the disk needs.
async fn flush(sink: &dyn BlockSink, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()> {
    let flushing = async {
        sink.flush(ctl).await?;
        sink.record(leaves, ctl).await
    };
    tokio::pin!(flushing);
    let started = tokio::time::Instant::now();
    loop {
        match tokio::time::timeout(std::time::Duration::from_secs(1), &mut flushing).await {
            Ok(result) => return result,
            // A disk that needs more than this for what is buffered does not answer at all.
            Err(_) if started.elapsed() < std::time::Duration::from_secs(600) => ctl.touch(),
            Err(_) => {}
        }
    }
}

/// The ranges of a window by block.
fn split_into_blocks(ranges: Vec<Range<u64>>) -> Vec<(u64, Vec<Range<u64>>)> {
    let mut blocks: Vec<(u64, Vec<Range<u64>>)> = Vec::new();
    for range in ranges {
        let mut start = range.start;
        while start < range.end {
            let index = start / BLOCK_BYTES;
            let end = range.end.min((index + 1) * BLOCK_BYTES);
            match blocks.last_mut() {
                Some((last, data)) if *last == index => data.push(start..end),
                _ => blocks.push((index, std::iter::once(start..end).collect())),
            }
            start = end;
        }
    }
    blocks
}

/// Runs work that computes or blocks on a thread for such work.
pub(crate) async fn on_thread<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Internal, doing).because(error)),
    }
}

#[cfg(test)]
// Lists that happen to hold one range.
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_blocks() {
        let b = BLOCK_BYTES;
        let blocks = split_into_blocks(vec![5..7, 9..b + 3, 3 * b..3 * b + 1]);
        assert_eq!(blocks, [(0, vec![5..7, 9..b]), (1, vec![b..b + 3]), (3, vec![3 * b..3 * b + 1])]);
    }
}
