//! What the command does on every store, done on one in a directory.
#![allow(clippy::unwrap_used)]

#[path = "both/mod.rs"]
mod both;
#[path = "local/check.rs"]
mod check;
#[path = "local/confined.rs"]
mod confined;
#[path = "local/fence.rs"]
mod fence;
#[path = "local/full_disk.rs"]
mod full_disk;
mod harness;
#[path = "local/hostile.rs"]
mod hostile;
#[path = "local/inspect.rs"]
mod inspect;
#[path = "local/memory.rs"]
mod memory;
#[path = "local/rot.rs"]
mod rot;

fn bench() -> harness::Bench {
    harness::Bench::new()
}
