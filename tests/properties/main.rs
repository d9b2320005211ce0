//! Properties, on inputs at random: what fails is shrunk, and kept in `tests/proptest-regressions` for every later run. And the
//! inputs of `make fuzz` that are kept.

mod forms;
mod kept;
mod positions;
mod restore;
mod rows;

#[path = "../support/mod.rs"]
mod support;

/// The targets of `make fuzz`, as they are there.
#[path = "../../fuzz/src/lib.rs"]
#[allow(unused_imports, reason = "the fuzzer calls each by its name, this goes through all")]
mod fuzz;
