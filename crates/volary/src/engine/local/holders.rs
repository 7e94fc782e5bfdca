//! Who else has a volume open.

use super::handle::Open;
use super::locks::{remedy, show_process};
use crate::Result;
use crate::engine::{Holder, HolderKind};

impl Open {
    pub(super) fn holders(&self) -> Result<Vec<Holder>> {
        self.usable()?;
        let locks = &self.store.locks;
        let (mut writers, mut readers) =
            (locks.holders(&format!("{}.w", self.id)), locks.holders(&format!("{}.r", self.id)));
        // This handle is one of them.
        let mine = if self.writer.is_some() { &mut writers } else { &mut readers };
        if let Some(at) = mine.iter().position(|pid| *pid == std::process::id()) {
            mine.remove(at);
        }
        let show = |verb: &'static str| {
            move |pid: u32| {
                let detail = format!("{} {verb} it", show_process(pid));
                Holder::new(HolderKind::Watcher, detail, remedy(pid)).by(format!("pid.{pid}"), None)
            }
        };
        Ok(writers.into_iter().map(show("writes to")).chain(readers.into_iter().map(show("reads"))).collect())
    }
}
