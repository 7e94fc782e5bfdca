//! Detection, inspection and strict reading of disk-image files from strangers.
#![forbid(unsafe_code)]
