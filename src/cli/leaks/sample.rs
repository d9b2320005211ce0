//! Values out of the sources: those that must not leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::deployment::Deployment;
use super::personal::{Fate, Personal};
use super::values::{Origin, Shortest, Values};
use crate::cli::cluster_arg::{Connection, Ending};
use crate::cli::consume::from::{self, From};
use crate::cli::consume::reading::{Reading, Sink, Span};
use crate::log::{Isolation, TopicPartition};
use crate::record::Record;

pub struct Sample {
    pub values: Values,
    /// How many records were read, by topic.
    pub records: BTreeMap<String, u64>,
    /// Different values that their rules leave whole.
    pub kept: usize,
    /// There were more.
    pub is_full: bool,
}

/// What is asked of it.
pub struct Wish<'a> {
    pub sources: &'a [String],
    pub from: From,
    /// Of values.
    pub most: usize,
    pub shortest: Shortest,
    pub patience: Duration,
}

struct Taking<'t> {
    personal: Personal<'t>,
    sample: &'t mut Sample,
    kept: &'t mut BTreeSet<u64>,
    most: usize,
}

impl Sink for Taking<'_> {
    fn take(&mut self, record: &Record<'_>) -> bool {
        *self.sample.records.entry(record.topic.to_owned()).or_default() += 1;
        let (values, kept) = (&mut self.sample.values, &mut *self.kept);
        self.personal.each(record, &mut |leaf| match leaf.fate {
            Fate::Personal => values.add(leaf.text, leaf.raw, || Origin {
                topic: record.topic.to_owned(),
                partition: record.partition,
                offset: record.offset,
                part: leaf.place.part(),
            }),
            Fate::Kept => {
                use std::hash::BuildHasher;
                kept.insert(FxHashMap::<u8, u8>::default().hasher().hash_one(leaf.text));
            }
            Fate::Passes => {}
        });
        self.sample.is_full |= self.sample.values.len() >= self.most;
        self.sample.values.len() < self.most
    }

    fn pause(&mut self) -> bool {
        true
    }
}

impl Sample {
    /// Reads what was committed; each source may bring its share of the values.
    pub fn take(deployment: &Deployment<'_>, connection: &Connection<'_>, wish: &Wish<'_>) -> Result<Self, Ending> {
        let values = Values::new(wish.shortest)?;
        let mut sample = Sample { values, records: BTreeMap::new(), kept: 0, is_full: false };
        let mut kept = BTreeSet::new();
        let reading = Reading { connection, isolation: Isolation::Committed, follow: false, patience: wish.patience };
        for (topic, left) in wish.sources.iter().zip((1..=wish.sources.len()).rev()) {
            let Some(stream) = deployment.topology.reader_of(topic) else { continue };
            sample.records.entry(topic.clone()).or_default();
            let spans = spans(&reading, topic, wish.from)?;
            let most = sample.values.len() + (wish.most.saturating_sub(sample.values.len())).div_ceil(left);
            let personal = Personal::of(stream);
            reading.run(&spans, &mut Taking { personal, sample: &mut sample, kept: &mut kept, most })?;
        }
        sample.kept = kept.len();
        Ok(sample)
    }
}

/// All partitions of a topic; none where it is not there.
pub fn spans(reading: &Reading<'_>, topic: &str, from: From) -> Result<Vec<Span>, Ending> {
    let connection = reading.connection;
    let Some(info) = connection.ask(|admin| admin.describe(topic))? else { return Ok(Vec::new()) };
    let mut spans = Vec::new();
    for partition in 0..info.partitions {
        let tp = TopicPartition::new(topic, partition);
        let bounds = connection.ask(|admin| admin.bounds(&tp))?;
        let mut span = from.span(tp, bounds)?;
        if let From::Last(most) = from {
            from::shorten(reading, &mut span, most)?;
        }
        spans.push(span);
    }
    Ok(spans)
}
