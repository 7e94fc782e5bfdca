//! Volary keeps the block volumes of virtual machines: verified import and export, clones, snapshots, removal
//! without false success; on Ceph RBD or in a local directory.
//!
//! [`Store`] is where everything starts. The library takes everything from its caller: it never prints, and never
//! reads the environment or a home directory. It logs through `tracing`; wrap the writer of a subscriber in
//! [`ScrubbingWriter`].
#![forbid(unsafe_code)]

mod buffer;
mod ctl;
mod digest;
mod direct;
mod driver;
pub mod engine;
mod error;
mod location;
mod name;
mod quantity;
mod secret;
mod spec;
mod steps;
mod store_url;

pub use ctl::{Ctl, Phase, Progress};
pub use digest::{BLOCK_BYTES, ContentDigest, ContentHasher, leaf};
pub use driver::*;
pub use error::{Error, ErrorKind, Result};
pub use location::Location;
pub use name::{Name, escape, unescape};
pub use quantity::{parse_duration, parse_size, show_size};
pub use secret::{ScrubbingWriter, Secret, scrub};
pub use spec::{DEFAULT_POOL, Namespace, Target, VolumeId, VolumeSpec};
pub use store_url::{CephUrl, StoreUrl};
