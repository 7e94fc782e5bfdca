//! A store from outside, the same on every engine: the binary that includes these says where stores are made.

mod changed_since;
mod check;
mod cloneable;
mod crash;
mod export;
mod forged;
mod histories;
mod import;
mod import_stream;
mod life;
mod odd_sources;
mod reading;
mod remove;
pub(crate) mod scene;
mod settle;
mod sources;
mod verify;
