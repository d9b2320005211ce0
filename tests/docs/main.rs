//! The documents cannot be wrong: every YAML in README.md and docs/ is loaded, every command is run and its output
//! compared, every link resolves, and every promise of docs/guarantees.md names a test that is there.
//!
//! - Blocks have a language: `yaml`, `console`, `diff` (an edit of a file), `mermaid`. Any other fails.
//! - `yaml`: a whole topology, rules file or scenario is loaded as it is; a fragment is told by its first word, and stands
//!   in a topology of the test.
//! - `console`: `$ ` begins a command; what stands below it is its output, `…` being anything. Commands of one document
//!   share a directory and run in order; those of README.md start in a clone, the others in an empty one. `highwater run` is
//!   interrupted when it has read everything.
//! - A comment before a fence says more: `<!-- file: NAME -->` puts a YAML into the directory, `<!-- edit: NAME -->` applies a
//!   diff, `<!-- exit N -->` is how the last command ends, `<!-- on Kafka -->` gives the block a real broker at localhost:9092.

#[path = "../support/mod.rs"]
mod support;

mod console;
mod guarantees;
mod links;
mod page;
mod session;
mod transcript;
mod yaml;
