//! Every byte that was written outside the source topics, searched for the values that had to stay inside: what
//! `highwater leaks` does, over all records and with files and metrics of its own.

use std::path::Path;
use std::time::Duration;

use crate::cli::cluster_arg::{Connection, Ending};
use crate::cli::consume::from::From;
use crate::cli::leaks::{Deployment, Kind, Progress, Sample, Search, Searcher, Shortest, Wish, search_topics};
use crate::topology::Topology;

/// A capture has a few dozen.
const MOST: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Outcome {
    pub values: usize,
    pub bytes: u64,
    pub places: usize,
    /// Of the values, those that were found.
    pub leaked: usize,
    /// Where something was found: never the value itself.
    pub found: Vec<String>,
}

/// Searches all that the topology writes, open and aborted records included, and the files below `files`.
pub fn search(
    topology: &Topology,
    connection: &Connection<'_>,
    files: &[&Path],
    metrics: &str,
) -> Result<Outcome, Ending> {
    let deployment = Deployment::of(topology, connection)?;
    let (sources, shortest) = (&deployment.sources, Shortest::default());
    let wish = Wish { sources, from: From::Earliest, most: MOST, shortest, patience: PATIENCE };
    let sample = Sample::take(&deployment, connection, &wish)?;
    let searcher = Searcher::new(&sample.values)?;
    let mut search = Search::new(&searcher);
    search_topics(&mut search, &deployment, connection, &[], PATIENCE, &mut Progress::hidden())?;
    files.iter().try_for_each(|path| search.files(path, &|_| None))?;
    search.text(Kind::Page, "the metrics", metrics.as_bytes());
    let origin = |value: usize| sample.values.all.get(value).map(|value| value.origin.to_string()).unwrap_or_default();
    let found = search.hits.iter().map(|((value, _), hit)| format!("{}: {}", origin(*value), hit.first)).collect();
    let (bytes, places, leaked) = (search.bytes(), search.places.len(), search.found().len());
    Ok(Outcome { values: sample.values.len(), bytes, places, leaked, found })
}
