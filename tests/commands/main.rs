//! The commands around a topology, as a person or a script meets them: `init`, `mask`, `topics`, `explain`, `completions`.

#[path = "../support/mod.rs"]
mod support;

mod explain;
mod init;
mod mask;
mod said;
mod topics;
