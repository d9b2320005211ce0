//! ClickHouse.

pub mod ddl;
