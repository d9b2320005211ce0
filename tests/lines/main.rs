//! `highwater produce` and `highwater consume`, as a person or a script meets them, on a real Kafka and on the embedded log.

#[path = "../support/mod.rs"]
mod support;

mod both;
mod broker;
mod command;
mod place;
mod usage;
mod whereabouts;
