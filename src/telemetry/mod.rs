//! What Highwater tells about itself: metrics, health, logs.
//!
//! - Every metric's name, help and labels stand in [`names`].
//! - Counters count committed work only: a worker fills a [`Tally`] during a transaction and adds it after the commit.
//! - A gauge lives as long as whoever reports it: a lost partition leaves no lag behind.
//! - Nothing here ever holds a key or a value of a record, but for the tenants that [`freshness`] tells apart, which are no labels.
//!
//! This room knows no other. The HTTP server has a thread of its own; workers touch integers and one short lock.

pub mod freshness;
pub mod health;
pub mod http;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod sink;
pub mod slots;
pub mod stream;
pub mod tally;

pub use freshness::{Freshness, PartitionFreshness, SinkFreshness};
pub use health::{Health, WorkerHealth, thousands};
pub use http::{Server, serve};
pub use logging::LogFormat;
pub use metrics::{
    InsertOutcome, Known, Metrics, Outcome, PartitionMetrics, Rebalance, RestoreMetrics, StoreMetrics, TaskMetrics,
    TaskState,
};
pub use sink::SinkMetrics;
pub use slots::SlotMetrics;
pub use stream::StreamMetrics;
pub use tally::{Counts, Tally};
