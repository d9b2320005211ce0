//! The ClickHouse that tests write to, `tools/clickhouse-server`: clients are content with it, it fails as it is told
//! to and only then, and what it has stored outlives it.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod clients;
mod errors;
mod faults;
mod process;
mod settings;
