//! The sink: rows of the log into ClickHouse, exactly once, whatever fails. The built binary against the real engine.

#[path = "../support/mod.rs"]
mod support;

mod app;
mod faults;
mod freshness;
mod kafka;
mod kills;
mod misfits;
mod outage;
mod refusals;
mod tables;
mod types;
mod windows;
