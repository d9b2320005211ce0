//! The engine: instance → worker → task.
//!
//! An *instance* is a process: one identity, one database, one HTTP server, some workers. A *worker* is a thread with a
//! consumer and a transactional producer; it is a state machine that [`worker::Worker::step`] advances by one request
//! to the log. A *task* is one source partition with its store. Every commit interval a worker makes one transaction of
//! all its tasks' output, changelog records and offsets; what a crash leaves of it is told in [`commit`]. A [`sink`] has a
//! worker of its own, in a consumer group of its own.

pub mod catalog;
pub mod changelog;
pub mod clock;
pub mod cluster;
mod commit;
mod dead_letter;
pub mod identity;
pub mod instance;
mod last_sync;
mod opening;
mod report;
pub mod shared;
pub mod sink;
mod slots;
pub mod task;
pub mod worker;
