//! The whole pipeline, each part of it the real one: Postgres, Debezium in Kafka Connect, Kafka, Highwater, and ClickHouse's
//! engine behind its protocol.
//!
//! Servers are slow to start, so one stage goes through all that can happen, in turn. What is compared at every stop: each
//! change that Debezium delivered and that is no replay is in ClickHouse once, by a table that forgets nothing; and what
//! `FINAL` leaves of all of them is what Postgres holds, masked.

#[path = "../support/mod.rs"]
mod support;

mod captures;
mod column;
mod cpu;
mod crashes;
mod latency;
mod probe;
mod report;
mod soak;
mod sources;
mod stage;
mod truth;

use stage::Stage;

#[test]
fn from_postgres_to_clickhouse_nothing_is_lost_and_nothing_comes_twice_whoever_is_killed() {
    let mut stage = Stage::build("pipeline");
    crashes::of_highwater(&mut stage);
    crashes::of_connect(&mut stage);
    crashes::of_clickhouse(&mut stage);
    sources::truncated(&mut stage);
    sources::read_anew(&mut stage);
    sources::restored(&mut stage);
    column::comes_while_it_runs(&mut stage);
}

#[test]
#[ignore = "minutes; make soak"]
fn soak() {
    soak::run();
}
