//! Values that were found, and leave elsewhere because the rules say so.
//!
//! A name that is hashed in one column may stand in a note that passes, in another record. Only the sources tell: they are
//! read once more, all of them, and what passes there is searched for what was found.

use std::collections::BTreeMap;
use std::time::Duration;

use super::deployment::Deployment;
use super::personal::{Fate, Personal};
use super::sample::spans;
use super::searcher::Searcher;
use super::values::Origin;
use crate::cli::cluster_arg::{Connection, Ending};
use crate::cli::consume::from::From;
use crate::cli::consume::reading::{Reading, Sink};
use crate::log::Isolation;
use crate::record::Record;

/// Where a value passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    Source(Origin),
    /// It is part of a name of the topology's own.
    Name,
}

struct Passing<'t> {
    personal: Personal<'t>,
    searcher: &'t Searcher,
    /// Of the values that were found.
    wanted: &'t [usize],
    passages: &'t mut BTreeMap<usize, Passage>,
}

impl Sink for Passing<'_> {
    fn take(&mut self, record: &Record<'_>) -> bool {
        let (searcher, wanted, passages) = (self.searcher, self.wanted, &mut *self.passages);
        self.personal.each(record, &mut |leaf| {
            if leaf.fate == Fate::Personal {
                return;
            }
            searcher.search(leaf.text.as_bytes(), &mut |found| {
                if wanted.binary_search(&found.value).is_ok() {
                    passages.entry(found.value).or_insert_with(|| {
                        let (topic, partition, offset) = (record.topic.to_owned(), record.partition, record.offset);
                        Passage::Source(Origin { topic, partition, offset, part: leaf.place.part() })
                    });
                }
            });
        });
        self.passages.len() < self.wanted.len()
    }

    fn pause(&mut self) -> bool {
        true
    }
}

/// Of the values found, in their order, those that pass.
pub fn passages(
    deployment: &Deployment<'_>,
    connection: &Connection<'_>,
    searcher: &Searcher,
    found: &[usize],
    patience: Duration,
) -> Result<BTreeMap<usize, Passage>, Ending> {
    let mut passages = BTreeMap::new();
    searcher.search(deployment.names().as_bytes(), &mut |name| {
        if found.binary_search(&name.value).is_ok() {
            passages.insert(name.value, Passage::Name);
        }
    });
    let reading = Reading { connection, isolation: Isolation::Committed, follow: false, patience };
    for topic in &deployment.sources {
        let Some(stream) = deployment.topology.reader_of(topic) else { continue };
        if passages.len() == found.len() {
            break;
        }
        let personal = Personal::of(stream);
        let mut passing = Passing { personal, searcher, wanted: found, passages: &mut passages };
        reading.run(&spans(&reading, topic, From::Earliest)?, &mut passing)?;
    }
    Ok(passages)
}
