//! Where data may be, and what it takes up: from rows alone, or with a look at the files.

use super::handle::Open;
use super::ids::BLOCK_BYTES;
use super::layers::{Source, chain, next_own};
use super::read::{pieces, within};
use crate::engine::{Extent, MAX_EXTENTS_WINDOW_BYTES};
use crate::{Ctl, Error, ErrorKind, Result};

/// Blocks looked up at a time.
const WINDOW: u64 = 1024;

impl Open {
    pub(super) fn extents(&self, offset: u64, len: u64) -> Result<Vec<Extent>> {
        self.usable()?;
        if len > MAX_EXTENTS_WINDOW_BYTES {
            return Err(Error::new(ErrorKind::Usage, "the window is too long")
                .context("len", len)
                .context("max", MAX_EXTENTS_WINDOW_BYTES));
        }
        let _gate = self.share();
        let first = offset / BLOCK_BYTES;
        let found = self.store.db.read(|tx| {
            let (layer, size) = self.top(tx)?;
            within(offset, len, size)?;
            let count = if len == 0 { 0 } else { (offset + len).div_ceil(BLOCK_BYTES) - first };
            self.readable(tx, layer, first, count)
        })?;
        let mut extents: Vec<Extent> = Vec::new();
        for (piece, source) in pieces(offset, len).zip(found) {
            let seen = match source {
                Some(Source::Zeros) => 0,
                // Reading it counts it.
                None => piece.len,
                Some(Source::Object { visible, .. }) => visible.saturating_sub(piece.within).min(piece.len),
            };
            push(&mut extents, offset + piece.at, seen, true);
            push(&mut extents, offset + piece.at + seen, piece.len - seen, false);
        }
        Ok(extents)
    }

    pub(super) fn used_bytes(&self, ctl: &Ctl) -> Result<u64> {
        self.usable()?;
        let (mut used, mut first) = (0_u64, 0);
        loop {
            ctl.check("count used bytes")?;
            let _gate = self.share();
            let found = self.store.db.read(|tx| {
                let (layer, size) = self.top(tx)?;
                let Some(next) = next_own(tx, &chain(tx, layer)?, first)? else { return Ok(Vec::new()) };
                first = next;
                let count = size.div_ceil(BLOCK_BYTES).saturating_sub(first).min(WINDOW);
                self.readable(tx, layer, first, count)
            })?;
            if found.is_empty() {
                return Ok(used);
            }
            ctl.touch();
            first += found.len() as u64;
            for source in found {
                // Of a damaged row nothing is known; reading it counts it.
                let Some(Source::Object { object, own: true, .. }) = source else { continue };
                let opened = self.store.files.open(&self.store.object_path(object.id), false);
                match opened.and_then(|file| file.allocated_bytes()) {
                    Ok(bytes) => used = used.saturating_add(bytes),
                    // Replaced since the rows were read.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(self.failed("measuring an object", object.id, error)),
                }
            }
        }
    }
}

fn push(extents: &mut Vec<Extent>, offset: u64, len: u64, data: bool) {
    match extents.last_mut() {
        _ if len == 0 => {}
        Some(last) if last.data == data => last.len += len,
        _ => extents.push(Extent { offset, len, data }),
    }
}
