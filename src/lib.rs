//! Highwater: a stateful stream processor for change data, exactly once.
//!
//! The rooms, in the order a record passes them; imports point down this list (`tests/architecture.rs` checks it):
//!
//! - [`cli`]: one file a command
//! - [`engine`]: instance → worker → task, and the commit cycle
//! - [`topology`]: topology.yaml → a checked topology, or every error in it
//! - [`connectors`]: other systems, a folder each: ClickHouse, Postgres, Redis
//! - [`operators`]: the steps of a stream: dedup, mask
//! - [`store`]: state: overlay over RocksDB, changelog, restore
//! - [`record`]: what flows: records, changes, rows, positions
//! - [`log`]: topics, transactions, consumer groups; Kafka behind one door, and a log in this process behind another
//! - [`telemetry`]: metrics, health, logs

pub mod cli;
pub mod connectors;
pub mod engine;
pub mod log;
pub mod operators;
pub mod record;
pub mod store;
pub mod telemetry;
pub mod topology;

/// What a person is told whose change makes a test of on-disk bytes fail.
#[cfg(test)]
const FROZEN: &str = "this is how state lies on disks out there. Do not adapt the expectation: give the new form a new \
                      version, keep reading the old one, and add fixtures of the new one (docs/upgrading.md)";
