//! Sinks: rows of topics into tables of another system, exactly once.
//!
//! ClickHouse cannot take part in a transaction of the log, and cannot fence. What it can is drop an insert whose token it has
//! seen. So each insert is decided in the log first, and the same insert is sent until it is known to be in:
//!
//! ```text
//! poll ─▶ batch ─▶ plan + offset, one transaction ─▶ insert under the plan's token ─▶ done, with the next plan's transaction
//! ```
//!
//! | the process dies | what the log holds | after restart |
//! |---|---|---|
//! | before the plan's commit | the plan before, done | the records are read again, and cut into batches anew |
//! | after it, before the insert or within it | an open plan | exactly its records are read, compared with its hash, and inserted under its token: the server drops what it has |
//! | after the insert | an open plan | as above |
//!
//! A partition has one open plan at most: the next is committed when the one before is in. So whoever gets the partition has one
//! insert to repeat, and an owner that stalled can only repeat an insert, never cut one differently. How long the server
//! remembers tokens is counted in inserts; what a stall beyond that leaves is told in `docs/guarantees.md`.
//!
//! [`worker`] is the state machine, [`commit`] its transactions, [`task`] what it knows of a partition, [`tables`] of its tables, [`batch`] the rows of one insert,
//! [`tenants`] whose they are, [`plan`] what is written about it, [`opening`] how it is found again, [`inserts`] who waits for the server, [`report`]
//! what it tells about itself.

mod batch;
mod commit;
pub mod inserts;
mod opening;
pub mod plan;
mod report;
mod tables;
mod task;
mod tenants;
mod topics;
pub mod worker;

pub use task::COMMITTED;
