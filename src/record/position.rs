//! The order of changes: what "newer" means.
//!
//! `source.lsn` alone is no order: snapshots are stamped with positions that streamed changes fall below, transactions
//! commit in another order than they write, and a restored database counts from lower LSNs. A change's rank is
//!
//! ```text
//! position = (epoch, commit, kind, lsn)
//!   epoch   rises where positions start over (see Epochs)
//!   commit  the last commit before the change's transaction: first element of source.sequence, 0 when null
//!   kind    0 a snapshot's read, 1 a streamed change
//!   lsn     source.lsn; where null (incremental reads), the second element of source.sequence
//! ```

use super::change::{Snapshot, Source};

/// Where a change stands among all changes of its key. Ordered as its fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub epoch: u32,
    pub commit: u64,
    pub kind: u8,
    pub lsn: u64,
}

impl Position {
    /// None where the source gives no LSN at all: such a change has no rank.
    pub fn of(source: &Source<'_>, epoch: u32) -> Option<Self> {
        let lsn = source.lsn.or(source.sequence.1)?;
        let kind = u8::from(source.snapshot == Snapshot::No);
        Some(Self { epoch, commit: source.sequence.0.unwrap_or(0), kind, lsn })
    }
}

/// Why an epoch rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rise {
    /// An initial snapshot with an LSN not seen before from this source.
    Snapshot,
    /// Streamed positions fell while the source's time went on: a restore, a failover, another cluster.
    Regression,
    /// The source topic was deleted and created again.
    TopicRecreated,
}

impl Rise {
    pub const ALL: &'static [Rise] = &[Rise::Snapshot, Rise::Regression, Rise::TopicRecreated];

    pub fn as_str(self) -> &'static str {
        match self {
            Rise::Snapshot => "snapshot",
            Rise::Regression => "regression",
            Rise::TopicRecreated => "topic_recreated",
        }
    }
}

/// The epochs of one source partition.
///
/// Each offset is evaluated **once**: below `evaluated_to` the epoch is looked up, because evaluating a rewound
/// partition again would take its old commits for a regression. It travels through the changelog in the same
/// transaction as the offsets it describes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epochs {
    topic_id: [u8; 16],
    evaluated_to: i64,
    /// The first epoch of this incarnation of the topic: offsets compare only from here on.
    base: u32,
    sources: Vec<SourceEpochs>,
}

/// The epochs of one database (source.name, source.db) within a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceEpochs {
    name: String,
    db: String,
    /// In order of offsets; never empty.
    spans: Vec<Span>,
    latest_ts: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    first_offset: i64,
    epoch: u32,
    highest_commit: u64,
    /// The LSNs of the initial snapshots that belong to this epoch.
    snapshots: Vec<u64>,
}

impl Epochs {
    pub fn evaluated_to(&self) -> i64 {
        self.evaluated_to
    }

    pub fn is_of(&self, topic_id: &[u8; 16]) -> bool {
        self.topic_id == *topic_id
    }

    pub fn base(&self) -> u32 {
        self.base
    }

    /// Binds the epochs to a topic. Offsets identify records only within one topic id, so another one starts over above
    /// every epoch known.
    pub fn bind(&mut self, topic_id: [u8; 16]) -> Option<Rise> {
        if self.topic_id == topic_id {
            return None;
        }
        let first = self.topic_id == [0; 16];
        self.topic_id = topic_id;
        if first {
            return None;
        }
        let highest = self.sources.iter().flat_map(|s| s.spans.last()).map(|s| s.epoch).max();
        self.base = highest.unwrap_or(self.base).max(self.base).saturating_add(1);
        self.evaluated_to = 0;
        self.sources.clear();
        Some(Rise::TopicRecreated)
    }

    /// The epoch of the change at `offset`, and why it rose if it did here.
    pub fn epoch(&mut self, offset: i64, source: &Source<'_>) -> (u32, Option<Rise>) {
        let fresh = offset >= self.evaluated_to;
        let base = self.base;
        let entry = self.source(source, offset);
        let snapshot_lsn = (source.snapshot == Snapshot::Initial).then_some(source.lsn).flatten();
        if let Some(epoch) = snapshot_lsn.and_then(|lsn| entry.epoch_of_snapshot(lsn)) {
            if fresh {
                entry.see(source);
                self.evaluated_to = offset + 1;
            }
            return (epoch, None);
        }
        if !fresh {
            return (entry.epoch_at(offset).unwrap_or(base), None);
        }
        let rise = match snapshot_lsn {
            Some(_) => Some(Rise::Snapshot),
            None if entry.regressed(source) => Some(Rise::Regression),
            None => None,
        };
        if rise.is_some() {
            entry.raise(offset, snapshot_lsn);
        }
        entry.see(source);
        let epoch = entry.current().epoch;
        self.evaluated_to = offset + 1;
        (epoch, rise)
    }

    /// Marks offsets without a change (tombstones, bad records) as seen.
    pub fn skip_to(&mut self, next: i64) {
        self.evaluated_to = self.evaluated_to.max(next);
    }

    fn source(&mut self, source: &Source<'_>, offset: i64) -> &mut SourceEpochs {
        let found = self.sources.iter().position(|s| s.name == source.name && s.db == source.db);
        let index = found.unwrap_or_else(|| {
            self.sources.push(SourceEpochs {
                name: source.name.to_string(),
                db: source.db.to_string(),
                spans: vec![Span { first_offset: offset, epoch: self.base, highest_commit: 0, snapshots: vec![] }],
                latest_ts: None,
            });
            self.sources.len() - 1
        });
        &mut self.sources[index]
    }
}

impl SourceEpochs {
    fn current(&mut self) -> &mut Span {
        let last = self.spans.len() - 1;
        &mut self.spans[last]
    }

    fn epoch_of_snapshot(&self, lsn: u64) -> Option<u32> {
        self.spans.iter().rev().find(|s| s.snapshots.contains(&lsn)).map(|s| s.epoch)
    }

    fn epoch_at(&self, offset: i64) -> Option<u32> {
        let span = self.spans.iter().rev().find(|s| s.first_offset <= offset);
        span.or(self.spans.first()).map(|s| s.epoch)
    }

    /// Rule b. An incremental read never regresses: it carries the position of the stream around it. Neither does a
    /// change without any position: it ranks nowhere.
    fn regressed(&mut self, source: &Source<'_>) -> bool {
        if source.lsn.or(source.sequence.1).is_none() {
            return false;
        }
        let later = match (source.ts_us, self.latest_ts) {
            (Some(ts), Some(latest)) => ts > latest,
            _ => false,
        };
        source.snapshot == Snapshot::No && later && source.sequence.0.unwrap_or(0) < self.current().highest_commit
    }

    fn raise(&mut self, offset: i64, snapshot_lsn: Option<u64>) {
        let epoch = self.current().epoch.saturating_add(1);
        let snapshots = snapshot_lsn.into_iter().collect();
        self.spans.push(Span { first_offset: offset, epoch, highest_commit: 0, snapshots });
    }

    fn see(&mut self, source: &Source<'_>) {
        self.latest_ts = self.latest_ts.max(source.ts_us);
        let current = self.current();
        current.highest_commit = current.highest_commit.max(source.sequence.0.unwrap_or(0));
    }
}

/// The form in stores and changelogs, version 1. Little-endian; strings and lists behind a u32 count.
///
/// ```text
/// 1 · topic_id 16 · evaluated_to i64 · base u32 · sources [ name · db · latest_ts i64 (MIN: none) · spans
///   [ first_offset i64 · epoch u32 · highest_commit u64 · snapshots [ u64 ] ] ]
/// ```
impl Epochs {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&self.topic_id);
        out.extend_from_slice(&self.evaluated_to.to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        put_len(&mut out, self.sources.len());
        for source in &self.sources {
            for text in [&source.name, &source.db] {
                put_len(&mut out, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            out.extend_from_slice(&source.latest_ts.unwrap_or(i64::MIN).to_le_bytes());
            put_len(&mut out, source.spans.len());
            for span in &source.spans {
                out.extend_from_slice(&span.first_offset.to_le_bytes());
                out.extend_from_slice(&span.epoch.to_le_bytes());
                out.extend_from_slice(&span.highest_commit.to_le_bytes());
                put_len(&mut out, span.snapshots.len());
                span.snapshots.iter().for_each(|lsn| out.extend_from_slice(&lsn.to_le_bytes()));
            }
        }
        out
    }

    /// None where the bytes are not of this form.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes);
        if r.array::<1>()? != [1] {
            return None;
        }
        let (topic_id, evaluated_to, base) = (r.array()?, r.i64()?, r.u32()?);
        let mut sources = vec![];
        for _ in 0..r.u32()? {
            let (name, db) = (r.text()?, r.text()?);
            let latest_ts = Some(r.i64()?).filter(|ts| *ts != i64::MIN);
            let mut spans = vec![];
            for _ in 0..r.u32()? {
                let (first_offset, epoch, highest_commit) = (r.i64()?, r.u32()?, r.u64()?);
                let snapshots = (0..r.u32()?).map(|_| r.u64()).collect::<Option<_>>()?;
                spans.push(Span { first_offset, epoch, highest_commit, snapshots });
            }
            // Looked up by offset, they must be in its order, and of what was seen.
            let in_order = spans.is_sorted_by(|a: &Span, b| a.first_offset <= b.first_offset && a.epoch < b.epoch);
            if !in_order || spans.last()?.first_offset >= evaluated_to {
                return None;
            }
            sources.push(SourceEpochs { name, db, spans, latest_ts });
        }
        r.0.is_empty().then_some(Self { topic_id, evaluated_to, base, sources })
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        String::from_utf8(head.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(snapshot: Snapshot, commit: Option<u64>, lsn: u64, ts: i64) -> Source<'static> {
        Source {
            name: "brew".into(),
            db: "brew".into(),
            schema: "public".into(),
            table: "customers".into(),
            snapshot,
            lsn: Some(lsn),
            sequence: (commit, Some(lsn)),
            ts_us: Some(ts),
        }
    }

    #[test]
    fn snapshots_rank_below_the_stream_that_follows_them() {
        let read = Position::of(&source(Snapshot::Initial, None, 500, 1), 1);
        let slipped_below = Position::of(&source(Snapshot::No, Some(400), 450, 2), 1);
        let first = Position::of(&source(Snapshot::No, None, 500, 2), 1);
        assert!(slipped_below > read && first > read);
    }

    #[test]
    fn incremental_reads_take_their_lsn_from_the_sequence() {
        let mut read = source(Snapshot::Incremental, Some(400), 0, 1);
        (read.lsn, read.sequence.1) = (None, Some(450));
        assert_eq!(Position::of(&read, 3), Some(Position { epoch: 3, commit: 400, kind: 0, lsn: 450 }));
        read.sequence.1 = None;
        assert_eq!(Position::of(&read, 3), None);
    }

    #[test]
    fn epochs_rise_at_new_snapshots_and_regressions_only() {
        let mut e = Epochs::default();
        let steps = [
            (source(Snapshot::Initial, None, 100, 10), 1, Some(Rise::Snapshot)),
            (source(Snapshot::Initial, None, 100, 10), 1, None),
            (source(Snapshot::No, Some(120), 130, 20), 1, None),
            (source(Snapshot::No, None, 110, 15), 1, None), // delivered again: its time is old
            (source(Snapshot::No, Some(50), 60, 30), 2, Some(Rise::Regression)),
            (source(Snapshot::No, Some(55), 61, 31), 2, None),
            (source(Snapshot::Initial, None, 100, 10), 1, None), // a known snapshot keeps its epoch
            (source(Snapshot::Incremental, Some(1), 70, 99), 2, None),
            (Source { lsn: None, sequence: (None, None), ..source(Snapshot::No, None, 0, 99) }, 2, None),
            (source(Snapshot::Initial, None, 70, 100), 3, Some(Rise::Snapshot)),
        ];
        for (offset, (s, epoch, rise)) in steps.iter().enumerate() {
            assert_eq!(e.epoch(offset as i64, s), (*epoch, *rise), "offset {offset}");
        }
        // A rewind looks epochs up and changes nothing.
        let before = e.clone();
        for (offset, (s, epoch, _)) in steps.iter().enumerate() {
            assert_eq!(e.epoch(offset as i64, s), (*epoch, None), "rewound to offset {offset}");
        }
        assert_eq!(e, before);
        assert_eq!(Epochs::decode(&e.encode()), Some(e));
    }

    #[test]
    fn a_recreated_topic_starts_above_every_epoch() {
        let mut e = Epochs::default();
        assert_eq!(e.bind([1; 16]), None);
        e.epoch(7, &source(Snapshot::Initial, None, 100, 10));
        assert_eq!(e.bind([1; 16]), None);
        assert_eq!(e.bind([2; 16]), Some(Rise::TopicRecreated));
        assert_eq!((e.base(), e.evaluated_to()), (2, 0));
        assert_eq!(e.epoch(0, &source(Snapshot::No, Some(5), 6, 1)).0, 2);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut e = Epochs::default();
        e.epoch(0, &source(Snapshot::No, Some(5), 6, 1));
        let bytes = e.encode();
        for cut in 0..bytes.len() {
            assert_eq!(Epochs::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        e.epoch(1, &source(Snapshot::Initial, None, 100, 10));
        assert_eq!(Epochs::decode(&e.encode()).as_ref(), Some(&e));
        type Damage = fn(&mut Span);
        let damages: [Damage; 3] =
            [|first| first.epoch = 1, |first| first.first_offset = 2, |first| first.first_offset = 1];
        for (damage, reads) in damages.into_iter().zip([false, false, true]) {
            let mut damaged = e.clone();
            damage(&mut damaged.sources[0].spans[0]);
            assert_eq!(Epochs::decode(&damaged.encode()).is_some(), reads, "{damaged:?}");
        }
    }
}
