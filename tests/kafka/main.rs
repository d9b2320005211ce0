//! The built binary on a real Kafka. One broker serves all tests here; those that kill brokers start their own.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod commit;
mod fixtures;
mod lifecycle;
mod restore;
mod running;
mod stops;
