#![doc = include_str!("../README.md")]

#[macro_use]
mod call;

mod children;
mod class;
mod close;
mod cluster;
mod completion;
mod connect;
mod diff;
mod directory;
mod environment;
mod errno;
mod error;
mod gate;
mod holders;
mod image;
mod keyring;
mod leave;
mod load;
mod metadata;
mod monitor;
mod namespace;
mod object;
mod omap;
mod open;
mod pool;
mod progress;
mod snapshot;
mod sys;
mod table;
mod trace;
mod trash;
mod workers;

pub use children::{Child, Parent};
pub use class::Method;
pub use cluster::{Cluster, ClusterStat};
pub use connect::ConnectOptions;
pub use diff::{DiffOptions, Extent, MAX_DIFF_WINDOW_BYTES, MAX_DIFF_WINDOW_OBJECTS};
pub use directory::{ImageEntry, ImageOptions};
pub use environment::{Environment, HOSTILE_VARIABLES, forget_environment};
pub use errno::Errno;
pub use error::{Error, Place, Refusal, Result};
pub use holders::{Group, Locker, LockerList, Mirror, Watcher};
pub use image::{Features, Image, ImageStat};
pub use keyring::Keyring;
pub use leave::{leave, park};
pub use load::{Library, Version};
pub use monitor::{Monitor, MonitorAddress};
pub use object::ObjectStat;
pub use omap::{OmapPage, Swap};
pub use pool::{Pool, PoolStat};
pub use progress::Progress;
pub use snapshot::{Snapshot, SnapshotKind};
pub use table::{OLDEST_RELEASE, SYMBOLS, Symbol};
pub use trash::{TrashEntry, TrashSource};
