//! Volumes as RBD images on a Ceph cluster, through librados and librbd.
//!
//! A volume is an image, staging and trash are Ceph's own; the small records of a namespace are the map of its object
//! `volary_journal`. Names and ids are read from the directory objects, so that finding and listing open no image.

mod caveats;
mod check;
mod children;
mod claims;
mod class;
mod clone;
mod clone_entries;
mod connect;
mod connection;
mod data_pool;
mod directory;
mod errors;
mod examine;
mod expected;
mod extents;
mod figures;
mod flatten;
mod format_1;
mod half_removed;
mod header;
mod holders;
mod lockers;
mod lost;
mod migration;
mod new;
mod object_map;
mod own_data;
mod read_only;
mod reading;
mod records;
mod remains;
mod snapshots;
mod store;
mod trash;
mod trash_move;
mod unopenable;
mod unopened;
mod volume;
mod writers;

pub use connect::open;
pub(crate) use examine::libraries;
pub use rbd::{forget_environment, leave, park};

use std::time::Duration;

/// How long those who watch have to answer. Nobody watches most volumes, and then nothing is waited for.
const WATCHERS_ANSWER: Duration = Duration::from_millis(500);

/// No limit of rbd's own: [`Ctl`](crate::Ctl) bounds each call by dropping it, which gives it up all the same.
const NO_LIMIT: Duration = Duration::from_secs(365 * 86_400);
