//! What `make fuzz` throws bytes at, and `cargo test` throws the kept ones at.
//!
//! Each target takes bytes and panics where the engine is wrong. The judges are written without a line of the engine.

mod envelope;
mod json;
mod key;
mod log;
mod memory;
mod naive;
mod rules;
mod splice;
mod state;
mod times;
mod topology;

pub use envelope::envelope;
pub use key::key;
pub use log::{batch, lines};
pub use memory::Memory;
pub use rules::rules;
pub use splice::splice;
pub use state::{changelog, checkpoint};
pub use topology::{slips, topology};

/// What a target does with an input: it panics where the input shows a fault.
pub type Judge = fn(&[u8]);

/// Every target by its name, which is also the name of its seeds' folder.
pub const TARGETS: &[(&str, Judge)] = &[
    ("envelope", envelope),
    ("key", key),
    ("splice", splice),
    ("rules", rules),
    ("topology", topology),
    ("slips", slips),
    ("changelog", changelog),
    ("checkpoint", checkpoint),
    ("batch", batch),
    ("lines", lines),
];
