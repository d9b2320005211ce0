//! Other systems, a folder each: how to speak to them, and what they hold. They know neither the log nor the engine.

pub mod clickhouse;
pub mod postgres;
pub mod redis;
