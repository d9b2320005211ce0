//! The files around Highwater: databases, connectors, contracts, containers, dashboards. Each is run or checked by the
//! real thing where there is one without Docker: Postgres, Kafka Connect with Debezium, ClickHouse's engine, Prometheus.

#[path = "../support/mod.rs"]
mod support;

mod clickhouse;
mod compose;
mod connect;
mod contract;
mod dashboards;
mod database;
mod db_load;
mod ddl;
mod embedded;
mod image;
mod pipeline;
mod slots;
mod targets;

use support::{files, http, server};
