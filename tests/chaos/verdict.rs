//! What must hold once everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::fire::Zombie;
use crate::report::Tally;
use crate::segments::{Batch, batches};
use crate::support::Cluster;

/// Far beyond what any of this takes.
pub const LONG: Duration = Duration::from_secs(300);

/// The topics that the application's transactions write to.
pub fn written(cluster: &Cluster, application: &str) -> Vec<String> {
    let ours = |topic: &String| topic.starts_with(application) && !topic.contains(".cdc.");
    cluster.topics().into_keys().filter(|topic| ours(topic) || topic == OFFSETS).collect()
}

const OFFSETS: &str = "__consumer_offsets";

/// The batches of all partitions of these topics, from one broker's files: it has every partition, being in sync.
pub fn everything(cluster: &Cluster, topics: &[String]) -> BTreeMap<(String, i32), Vec<Batch>> {
    let data: &Path = &cluster.data(0);
    let partitions = cluster.topics();
    let all = topics.iter().flat_map(|topic| (0..partitions[topic]).map(move |p| (topic.clone(), p)));
    all.map(|(topic, partition)| ((topic.clone(), partition), batches(data, &topic, partition))).collect()
}

/// Counts what zombies wrote before they were stopped, and after they came back.
pub fn count_zombie_writes(
    zombies: &[Zombie],
    log: &BTreeMap<(String, i32), Vec<Batch>>,
    tally: &mut Tally,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for zombie in zombies {
        let mut before = 0;
        for (place, batches) in log {
            let Some(&end) = zombie.ends.get(place) else {
                complaints.push(format!("nobody knows where {place:?} ended when {zombie:?} came back"));
                continue;
            };
            let of_it = |b: &&Batch| b.producer == zombie.producer && b.epoch <= zombie.epoch && b.committed.is_none();
            before += batches.iter().filter(of_it).filter(|b| b.offset < end).count() as u64;
            for batch in batches.iter().filter(of_it).filter(|b| b.offset >= end) {
                tally.zombie_batches += 1;
                complaints.push(format!("a zombie has written {batch:?} to {place:?}, which ended at {end}"));
            }
        }
        tally.batches_before += before;
        if before == 0 {
            complaints.push(format!("nothing of the open transaction of {zombie:?} is in the log"));
        }
    }
    complaints
}

/// Counts transactions by their ends, and the rows of those that were aborted.
pub fn count_transactions(log: &BTreeMap<(String, i32), Vec<Batch>>, application: &str, rows: &str, tally: &mut Tally) {
    // Of the topic of offsets, which others have too, only what these producers wrote.
    let of_us = log.iter().filter(|((topic, _), _)| topic.starts_with(application));
    let producers: BTreeSet<i64> = of_us.flat_map(|(_, batches)| batches.iter().map(|b| b.producer)).collect();
    let mut aborted: BTreeMap<i64, u64> = BTreeMap::new();
    for ((topic, _), batches) in log {
        let (mut open, mut aborts) = (BTreeMap::<i64, u64>::new(), BTreeMap::<i64, u64>::new());
        for batch in batches.iter().filter(|batch| producers.contains(&batch.producer)) {
            let Some(committed) = batch.committed else {
                *open.entry(batch.producer).or_default() += batch.records as u64;
                continue;
            };
            // Every commit has offsets, and all of a group's lie in one partition.
            tally.committed += u64::from(committed && topic == OFFSETS);
            let records = open.remove(&batch.producer).unwrap_or_default();
            if !committed {
                tally.rows_thrown_away += if topic == rows { records } else { 0 };
                *aborts.entry(batch.producer).or_default() += 1;
            }
        }
        for (producer, count) in aborts {
            let most = aborted.entry(producer).or_default();
            *most = count.max(*most);
        }
    }
    tally.aborted += aborted.values().sum::<u64>();
}
