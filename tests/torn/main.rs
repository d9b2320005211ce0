//! Torn transactions, on a real Kafka with transaction.version 0 and 2: a request to end a transaction that arrives late
//! must never end a later one, and what one may begin is known.

#[path = "../support/mod.rs"]
mod support;

mod danger;
mod end;
mod engine;
mod hanging;
mod phantom;
mod producer;
mod world;
