//! What is measured: one file a question, one section of the report each.

mod idle;
mod instances;
mod keys;
mod latency;
mod partitions;
mod recovery;
mod rows;
mod throughput;

use crate::Setting;

pub const SOURCE: &str = "brew.cdc.public.customers";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The whole job, side by side.
    Throughput,
    /// Many keys in the store.
    Keys,
    /// From a source record to its visible row.
    Latency,
    /// From a crash to the next commit.
    Recovery,
    /// Nothing to do.
    Idle,
    /// Many partitions.
    Partitions,
    /// Several processes of one application.
    Instances,
    /// Wide and long rows.
    Rows,
}

pub fn run(part: Part, setting: &Setting) {
    match part {
        Part::Throughput => throughput::run(setting),
        Part::Keys => keys::run(setting),
        Part::Latency => latency::run(setting),
        Part::Recovery => recovery::run(setting),
        Part::Idle => idle::run(setting),
        Part::Partitions => partitions::run(setting),
        Part::Instances => instances::run(setting),
        Part::Rows => rows::run(setting),
    }
}
