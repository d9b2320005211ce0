//! A task: one source partition, its position, its store.

use std::sync::Arc;

use crate::log::{LogError, Outgoing, Result, TopicId, TopicPartition};
use crate::operators::dedup::{self, Entry, Highest, MissingPosition, OnRegression, Verdict};
use crate::operators::filter::{Filter, Passage};
use crate::operators::mask::{Mask, Rule};
use crate::record::change::{Change, Decoded, Op, decode};
use crate::record::position::{Epochs, Position, Rise};
use crate::record::{BadRecord, Reason, Record, key};
use crate::store::digest::Digester;
use crate::store::{Checkpoint, Put, Store, StoreError, layout};
use crate::telemetry::{StreamMetrics, Tally, names};
use crate::topology::{OnError, Stream, Target};

use super::catalog::Catalog;
use super::dead_letter::DeadLetter;
use super::sink::COMMITTED;

/// Sends one record within the open transaction.
pub type Send<'a> = &'a mut dyn FnMut(&Outgoing<'_>) -> Result<()>;

/// The state that `dedup` needs.
pub struct Dedup {
    pub config: dedup::Config,
    pub store: Store,
    pub digester: Digester,
    /// As the open transaction sees them.
    pub epochs: Epochs,
    /// As of the last commit.
    committed_epochs: Epochs,
    /// What no entry exceeds, those of transactions that were aborted among them.
    highest: Highest,
    /// The digest key, until it is committed: with the first data, never after.
    fresh_key: Option<Vec<u8>>,
    /// Changes at offsets never seen before that were all stale: a clock that stepped back hides a regression.
    stale_run: u64,
}

impl Dedup {
    pub fn new(
        config: dedup::Config,
        store: Store,
        digester: Digester,
        epochs: Epochs,
        highest: Highest,
        fresh_key: Option<Vec<u8>>,
    ) -> Self {
        Self { config, store, digester, committed_epochs: epochs.clone(), epochs, highest, fresh_key, stale_run: 0 }
    }

    pub fn apply(&mut self, checkpoint: &Checkpoint) -> std::result::Result<(), StoreError> {
        self.store.apply(checkpoint, Some(self.highest.encode()))
    }
}

/// A task that runs.
pub struct Task {
    pub tp: TopicPartition,
    pub dedup: Option<Dedup>,
    /// The next offset to process; what a commit commits.
    pub position: i64,
    /// As of the last commit.
    pub committed: i64,
    /// The group has no offset for the partition yet.
    pub never_committed: bool,
    /// The open transaction has its offset to commit.
    pub touched: bool,
    pub metrics: StreamMetrics,
    /// When the last record processed was written, milliseconds since 1970.
    pub last_timestamp: Option<i64>,
    application: Arc<str>,
    stream: Arc<Stream>,
    topic_id: TopicId,
    output: Option<String>,
    filter: Option<Filter>,
    mask: Mask,
    tally: Tally,
    bad_records: u64,
    row: Vec<u8>,
    key: Vec<u8>,
    canonical: Vec<u8>,
}

/// Why a record was not processed.
enum Failure {
    Bad(BadRecord),
    Log(LogError),
}

impl From<BadRecord> for Failure {
    fn from(bad: BadRecord) -> Self {
        Failure::Bad(bad)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Failure::Log(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Log(LogError::Stop(error.to_string()))
    }
}

/// What a new task is made of.
pub struct Parts {
    pub tp: TopicPartition,
    pub application: Arc<str>,
    pub stream: Arc<Stream>,
    pub topic_id: TopicId,
    pub dedup: Option<Dedup>,
    pub start: i64,
    /// The group has an offset for the partition.
    pub committed: bool,
    pub metrics: StreamMetrics,
}

impl Task {
    pub fn new(parts: Parts) -> Result<Self> {
        let Parts { tp, application, stream, topic_id, dedup, start, committed, metrics } = parts;
        let output = stream.target_for(&tp.topic);
        let filter = stream.filter.clone().map(|config| Filter::new(config, &stream.mask.unavailable_value));
        let mask = Mask::new(stream.mask.clone()).map_err(LogError::Stop)?;
        Ok(Self {
            tp,
            dedup,
            position: start,
            committed: start,
            never_committed: !committed,
            touched: false,
            metrics,
            last_timestamp: None,
            application,
            stream,
            topic_id,
            output,
            filter,
            mask,
            tally: Tally::default(),
            bad_records: 0,
            row: Vec::new(),
            key: Vec::new(),
            canonical: Vec::new(),
        })
    }

    pub fn stream_name(&self) -> &str {
        &self.stream.name
    }

    /// Processes one record within the open transaction.
    pub fn process(&mut self, record: &Record<'_>, catalog: &Catalog, send: Send<'_>) -> Result<()> {
        self.tally.records_in += 1;
        match self.transform(record, catalog, send) {
            Ok(()) => {}
            Err(Failure::Log(error)) => return Err(error),
            Err(Failure::Bad(bad)) => self.on_error(record, bad, send)?,
        }
        self.position = record.offset + 1;
        self.touched = true;
        self.last_timestamp = record.timestamp.or(self.last_timestamp);
        Ok(())
    }

    fn transform(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        send: Send<'_>,
    ) -> std::result::Result<(), Failure> {
        let change = match decode(record.value)? {
            Decoded::Change(change) => change,
            Decoded::Skip(kind) => {
                self.tally.skipped.add(kind.as_str(), 1);
                return Ok(());
            }
        };
        let (version, mut accepted) = match self.rank(record, &change)? {
            Ranked::Accept { version, entry } => (version, entry),
            Ranked::Drop(reason) => {
                self.tally.dropped.add(reason, 1);
                return Ok(());
            }
        };
        let is_delete = change.op == Op::Delete;
        let passage = match &self.filter {
            Some(filter) => {
                filter.judge(change.row.get(), is_delete, accepted.as_ref().map(|accepted| accepted.sent))?
            }
            None if is_delete => Passage::Deleted,
            None => Passage::Row,
        };
        if let Some(accepted) = &mut accepted {
            accepted.entry.withheld = self.filter.is_some() && passage != Passage::Row;
        }
        if passage == Passage::Withheld {
            // Its position counts all the same: an older row must not come after it.
            self.stage(accepted);
            self.tally.skipped.add(names::FILTERED, 1);
            return Ok(());
        }
        let applied = self.mask.row(&change, version, passage == Passage::Deleted, &mut self.row)?;
        if let Some(key) = record.key {
            self.mask.key(&change.source.table, key, &mut self.key)?;
        }
        let target = target(&self.stream.to, self.output.as_deref(), &change.source.table)?;
        let headers = headers(&self.stream.headers, record);
        let mut headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        let mut committed = itoa::Buffer::new();
        if let (true, Some(ts)) = (self.stream.stamped, change.source.ts_us) {
            headers.push((COMMITTED, Some(committed.format(ts).as_bytes())));
        }
        let out = Outgoing {
            topic: target,
            partition: None,
            key: record.key.map(|_| self.key.as_slice()),
            value: Some(&self.row),
            headers: &headers,
            timestamp: record.timestamp,
        };
        check_size(&out, catalog)?;
        send(&out)?;
        // Only now: a record that leaves by on_error stages nothing.
        self.stage(accepted);
        self.tally.records_out += 1;
        for rule in Rule::ALL {
            self.tally.masked.add(rule.as_str(), applied.of(rule).into());
        }
        if let Some(ts) = change.source.ts_us {
            self.tally.source_time(ts);
        }
        Ok(())
    }

    fn stage(&mut self, accepted: Option<Accepted>) {
        if let (Some(Accepted { key, entry, .. }), Some(dedup)) = (accepted, self.dedup.as_mut()) {
            dedup.highest.raise(&entry);
            dedup.store.stage(&key, Some(&entry.encode()));
        }
    }

    /// Is the change newer than its key's last, and as which version does it leave?
    fn rank(&mut self, record: &Record<'_>, change: &Change<'_>) -> std::result::Result<Ranked, Failure> {
        let source = &change.source;
        let Some(state) = self.dedup.as_mut() else {
            return Ok(Ranked::Accept { version: source.lsn.or(source.sequence.1).unwrap_or(0), entry: None });
        };
        let fresh = record.offset >= state.epochs.evaluated_to();
        let (epoch, rise) = state.epochs.epoch(record.offset, source);
        if let Some(rise) = rise {
            note_rise(rise, epoch, &self.tp, record.offset, &state.config)?;
            self.tally.epochs.add(rise.as_str(), 1);
        }
        let position = Position::of(source, epoch).or_else(|| by_clock(&state.config, source.ts_us, epoch));
        let Some(record_key) = record.key else {
            // A keyless table: nothing tells its rows apart.
            return Ok(Ranked::Accept { version: position.map_or(0, |p| p.lsn), entry: None });
        };
        self.canonical.clear();
        key::canonical(record_key, &mut self.canonical)?;
        let data_key = state.digester.data_key(&self.canonical);
        // A filter asks what its readers have of the key.
        let beyond = position.filter(|_| self.filter.is_none());
        if let Some(entry) = beyond.and_then(|position| state.highest.accepts(position, record.offset)) {
            state.stale_run = 0;
            let accepted = Accepted { key: data_key, entry, sent: false };
            return Ok(Ranked::Accept { version: entry.version, entry: Some(accepted) });
        }
        let last = match state.store.get(&data_key, Entry::decode)? {
            None => None,
            Some(Some(entry)) => Some(entry),
            Some(None) => return Err(LogError::Stop(format!("the store of {} is damaged", self.tp)).into()),
        };
        let verdict = match position {
            Some(position) => dedup::judge(last, position, record.offset),
            None => dedup::judge_unranked(last, state.epochs.base(), epoch, record.offset),
        };
        Ok(match verdict {
            Verdict::Accept(entry) => {
                state.stale_run = 0;
                let sent = last.is_some_and(|last| !last.withheld);
                Ranked::Accept { version: entry.version, entry: Some(Accepted { key: data_key, entry, sent }) }
            }
            Verdict::Stale => {
                if fresh {
                    state.stale_run += 1;
                    note_stale_run(state.stale_run, &self.tp);
                }
                Ranked::Drop(names::STALE)
            }
            Verdict::Replayed => Ranked::Drop(names::REPLAYED),
        })
    }

    fn on_error(&mut self, record: &Record<'_>, bad: BadRecord, send: Send<'_>) -> Result<()> {
        self.bad_records += 1;
        if self.bad_records <= 10 || self.bad_records.is_multiple_of(1000) {
            tracing::warn!(stream = self.stream.name, source = %self.tp, offset = record.offset,
                reason = bad.reason.as_str(), detail = bad.detail, so_far = self.bad_records, "bad record");
        }
        match &self.stream.on_error {
            OnError::Fail => Err(LogError::Stop(format!(
                "stream {}: {}@{}: {bad}. Its on_error is `fail`; set it to `skip`, or to `{{ dead_letter: {{ topic: … }} }}`, \
                 or mend the record's cause and start again: nothing was lost",
                self.stream.name, self.tp, record.offset
            ))),
            OnError::Skip => {
                self.tally.skipped.add("bad_record", 1);
                Ok(())
            }
            OnError::DeadLetter { topic } => {
                let letter = DeadLetter::new(&self.application, &self.stream.name, &self.topic_id, record, &bad);
                letter.send(topic, record.timestamp, send)?;
                self.tally.dead_letters.add(bad.reason.as_str(), 1);
                Ok(())
            }
        }
    }

    /// Stages what the store must know of this transaction beyond the keys, and returns all that the changelog gets.
    pub fn staged(&mut self) -> impl Iterator<Item = Put<'_>> {
        self.stage_meta();
        self.dedup.iter().flat_map(|state| state.store.staged())
    }

    fn stage_meta(&mut self) {
        let Some(state) = self.dedup.as_mut() else { return };
        state.epochs.skip_to(self.position);
        if state.epochs != state.committed_epochs {
            state.store.stage(layout::EPOCHS, Some(&state.epochs.encode()));
        }
        if let Some(key) = &state.fresh_key {
            state.store.stage(layout::DIGEST_KEY, Some(key));
        }
    }

    pub fn staged_bytes(&self) -> usize {
        self.dedup.as_ref().map_or(0, |d| d.store.staged_bytes())
    }

    /// After the commit, and after the store's apply.
    pub fn committed(&mut self, now_ms: i64) {
        self.committed = self.position;
        (self.never_committed, self.touched) = (false, false);
        self.metrics.commit(&self.tally, now_ms);
        self.metrics.rules_unmatched(self.mask.unmatched());
        self.tally.clear();
        if let Some(state) = self.dedup.as_mut() {
            state.committed_epochs = state.epochs.clone();
            state.fresh_key = None;
            self.metrics.stale_run(state.stale_run);
        }
    }

    /// After an abort: as if the transaction had never been.
    pub fn discard(&mut self) {
        self.position = self.committed;
        self.touched = false;
        self.tally.clear();
        if let Some(state) = self.dedup.as_mut() {
            state.store.discard();
            state.epochs = state.committed_epochs.clone();
            state.stale_run = 0;
        }
    }
}

enum Ranked {
    Accept { version: u64, entry: Option<Accepted> },
    Drop(&'static str),
}

/// What a key's entry becomes.
struct Accepted {
    key: layout::DataKey,
    entry: Entry,
    /// The readers have the key's row, as of the change before.
    sent: bool,
}

/// The seed system's fallback, for those who ask for it.
fn by_clock(config: &dedup::Config, ts_us: Option<i64>, epoch: u32) -> Option<Position> {
    let ts_ms = u64::try_from(ts_us?.div_euclid(1000)).ok()?;
    let asked = config.missing_position == MissingPosition::TsMs;
    asked.then_some(Position { epoch, commit: 0, kind: 1, lsn: ts_ms })
}

fn note_rise(rise: Rise, epoch: u32, tp: &TopicPartition, offset: i64, config: &dedup::Config) -> Result<()> {
    match rise {
        Rise::Regression if config.on_regression == OnRegression::Fail => Err(LogError::Stop(format!(
            "{tp}@{offset}: the source's positions fell while its time went on: a restored database, a failover, or \
             another cluster. on_regression is `fail`; set it to `new_epoch` to take what comes from here on as newer"
        ))),
        Rise::Regression => {
            tracing::warn!(source = %tp, offset, epoch, "positions fell while time went on: a new epoch begins");
            Ok(())
        }
        _ => {
            tracing::info!(source = %tp, offset, epoch, reason = rise.as_str(), "a new epoch begins");
            Ok(())
        }
    }
}

fn note_stale_run(run: u64, tp: &TopicPartition) {
    if run == 1000 || (run > 1000 && run.is_multiple_of(100_000)) {
        tracing::error!(source = %tp, changes = run,
            "changes never seen before are all older than what their keys have: a long replay, or a source whose \
             positions and clock both stepped back; compare the rows with the source");
    }
}

fn target<'a>(to: &'a Target, fixed: Option<&'a str>, table: &str) -> std::result::Result<&'a str, BadRecord> {
    let by_table = match to {
        Target::ByTable(tables) => tables.get(table).map(String::as_str),
        Target::Topic(_) => None,
    };
    by_table.or(fixed).ok_or_else(|| {
        BadRecord::new(Reason::TableWithoutRules, "the rules file names no target topic for the row's table")
    })
}

fn headers(listed: &[String], record: &Record<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let mut passed = Vec::new();
    if !listed.is_empty() {
        record.headers.each(&mut |name, value| {
            if listed.iter().any(|l| l == name) {
                passed.push((name.to_string(), value.map(<[u8]>::to_vec)));
            }
        });
    }
    passed
}

/// What a record adds to a batch beyond key, value and headers, generously.
const RECORD_OVERHEAD: usize = 128;

fn check_size(out: &Outgoing<'_>, catalog: &Catalog) -> std::result::Result<(), BadRecord> {
    let Some(limit) = catalog.limits.get(out.topic) else { return Ok(()) };
    let headers: usize = out.headers.iter().map(|(k, v)| k.len() + v.map_or(0, <[u8]>::len) + 16).sum();
    let size = out.key.map_or(0, <[u8]>::len) + out.value.map_or(0, <[u8]>::len) + headers + RECORD_OVERHEAD;
    if size <= *limit {
        return Ok(());
    }
    let text = format!("{size} bytes with framing, and topic {} takes {limit} (max.message.bytes)", out.topic);
    Err(BadRecord::new(Reason::TooLarge, text))
}
