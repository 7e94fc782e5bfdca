//! What Volary's tests share: an image generator, the conformance suite every engine passes, and the reference
//! model. Nothing here ships in the product.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod fault;
pub mod images;
pub mod model;
pub mod sandbox;
pub mod web;
