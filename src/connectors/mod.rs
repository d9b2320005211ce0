//! Other systems: one folder each, and in it the only files that know that system's client library.

pub mod clickhouse;
pub mod postgres;
