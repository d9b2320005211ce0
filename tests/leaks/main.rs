//! No personal value is in any byte that is written outside of the source topics, whatever happens: bad records of every
//! reason, trace logs, kills, panics. Values stand in every place that a rule is for; they are looked for in every form, by
//! the searcher of `highwater leaks` and by the command itself, and what is planted is found.

#[path = "../support/mod.rs"]
mod support;

mod canaries;
mod embedded;
mod kafka;
mod panic;
mod planted;
mod tool;
