//! Detection, inspection and strict reading of disk-image files from strangers.
//!
//! A source is detected by every magic at once, must be exactly one format, the declared one, and is then parsed by that format's
//! strict rules; its whole mapping is validated before a byte of the disk is given out. Work and memory are bounded by the file's
//! length, never by what its header claims, and nothing but the given source is ever opened.
#![forbid(unsafe_code)]

mod budget;
mod claimed;
mod detect;
mod format;
mod image;
mod inspect;
mod limits;
mod metadata;
mod names;
mod output;
mod qcow2;
mod raw;
mod refusal;
mod source;
mod tar;
mod text;
mod unread;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

pub use detect::{Detection, detect};
pub use format::{Format, UnknownFormat};
pub use image::{Extent, Image};
pub use inspect::{Check, Inspection, Verdict, inspect};
pub use limits::Limits;
pub use refusal::{ImageError, Reason, Refusal};
pub use source::{FileSource, Fingerprint, ReadAt};
pub use tar::disk_in_tar;
pub use unread::Unread;
