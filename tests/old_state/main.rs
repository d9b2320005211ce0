//! Old state: what an earlier version left must be read by every later one, and what is not this application's state, or
//! damaged, is never taken for it.
//!
//! `fixtures/state-v1` was written by the version that made these forms, and stays as it is: see its README before a test
//! here is changed.

#[path = "../support/mod.rs"]
mod support;

mod application;
mod damage;
mod golden;
mod kept;
mod permissions;
mod record;
mod refusals;
mod streams;

/// What a person is told whose change makes these tests fail.
pub const FROZEN: &str = "this is how state lies on disks and in changelogs out there. Do not adapt the expectation: give \
                          the new form a new version, keep reading the old one, and add fixtures of the new one \
                          (docs/upgrading.md, fixtures/state-v1/README.md)";
