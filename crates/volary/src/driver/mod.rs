//! The driver: the guarantees live here, written once over every engine.
//!
//! Each file is one topic and adds its methods to [`Store`]; reports are plain data whose serialised form is the
//! command's JSON.

mod audit;
mod digest;
mod store;

pub use audit::AUDIT_TARGET;
pub use digest::{BLOCK_BYTES, ContentDigest, ContentHasher, leaf};
pub use store::Store;
