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
#[path = "local/read_only.rs"]
mod read_only;
#[path = "local/rot.rs"]
mod rot;
#[path = "local/sinks.rs"]
mod sinks;
#[path = "local/small_disk.rs"]
mod small_disk;

fn bench() -> harness::Bench {
    harness::Bench::new()
}
