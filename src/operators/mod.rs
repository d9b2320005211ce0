//! The steps of a stream: one file each, with its configuration, its logic and its tests.

pub mod dedup;
pub mod filter;
pub mod mask;
pub mod unavailable;
