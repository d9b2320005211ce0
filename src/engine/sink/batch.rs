//! The rows of one insert, as they are collected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::connectors::clickhouse::layout::{Layout, Misfit};
use crate::connectors::clickhouse::table::Table;
use crate::engine::dead_letter::DeadLetter;
use crate::log::{TopicId, TopicPartition};
use crate::telemetry::freshness::Arrived;

use super::plan::{self, Plan, VERSION};
use super::tenants::Tenants;

pub struct Batch {
    /// None as long as it has no row.
    target: Option<Target>,
    rows: Vec<Row>,
    tenants: Box<Tenants>,
    body: Vec<u8>,
    excluded: Vec<i64>,
    /// Those of the excluded that go by `on_error` with its plan.
    pub bad: Vec<Bad>,
    /// The first offset beyond what it has seen.
    pub next: i64,
    /// When its first record came.
    pub since: Instant,
}

#[derive(Clone)]
pub struct Target {
    pub table: Arc<Table>,
    pub layout: Arc<Layout>,
    /// Name and type.
    pub columns: Arc<[(String, String)]>,
}

/// A record that is no row of the table.
pub struct Bad {
    pub offset: i64,
    pub reason: &'static str,
    /// Sent with the plan.
    pub letter: Option<DeadLetter>,
}

struct Row {
    offset: i64,
    /// Where it ends in the body.
    end: usize,
    committed: Committed,
}

/// When a change was committed in the source, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The stream that wrote the row says so.
    At(i64),
    /// At the latest: when its record was written. 0 where that is not known either.
    Before(i64),
}

impl Batch {
    pub fn new(offset: i64, since: Instant) -> Self {
        Self {
            target: None,
            rows: Vec::new(),
            tenants: Box::default(),
            body: Vec::new(),
            excluded: Vec::new(),
            bad: Vec::new(),
            next: offset,
            since,
        }
    }

    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The table and the columns of all its rows.
    pub fn aim(&mut self, target: Target) {
        self.target = Some(target);
    }

    /// Appends a row; `Misfit::Layout` where it has other columns, or where none are known yet.
    pub fn push(&mut self, offset: i64, row: &str, committed: Committed) -> Result<(), Misfit> {
        let Some(target) = &self.target else { return Err(Misfit::Layout) };
        if let Some(tenant) = target.layout.write(row, &mut self.body)? {
            self.tenants.push(tenant);
        }
        self.rows.push(Row { offset, end: self.body.len(), committed });
        self.next = offset + 1;
        Ok(())
    }

    /// A record that has gone by `on_error` already.
    pub fn leave_out(&mut self, offset: i64) {
        self.next = offset + 1;
        self.excluded.push(offset);
    }

    /// A record that is no row.
    pub fn exclude(&mut self, bad: Bad) {
        self.leave_out(bad.offset);
        self.bad.push(bad);
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn first(&self) -> Option<i64> {
        self.rows.first().map(|row| row.offset)
    }

    pub fn last(&self) -> Option<i64> {
        self.rows.last().map(|row| row.offset)
    }

    /// Two that hold what this one held; none where it has fewer than two rows.
    pub fn split(mut self) -> Result<(Batch, Batch), Box<Batch>> {
        if self.rows.len() < 2 {
            return Err(self.into());
        }
        let half = self.rows.len() / 2;
        let cut = self.rows[half - 1].end;
        let border = self.rows[half].offset;
        let mut second = Batch::new(border, self.since);
        second.target = self.target.clone();
        second.rows = self.rows.split_off(half);
        second.tenants = self.tenants.split_off(half).into();
        second.rows.iter_mut().for_each(|row| row.end -= cut);
        second.body = self.body.split_off(cut);
        let beyond = |offset: &i64| *offset >= border;
        second.excluded = self.excluded.iter().copied().filter(beyond).collect();
        self.excluded.retain(|offset| !beyond(offset));
        (second.bad, self.bad) = std::mem::take(&mut self.bad).into_iter().partition(|bad| beyond(&bad.offset));
        second.next = self.next;
        self.next = border;
        Ok((self, second))
    }

    /// Without its only row, which is bad.
    pub fn without_its_row(mut self, bad: Bad) -> Batch {
        self.rows.clear();
        self.tenants.clear();
        self.body.clear();
        self.target = None;
        self.excluded.push(bad.offset);
        self.bad.push(bad);
        self
    }

    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|row| match row.committed {
            Committed::At(at) | Committed::Before(at) => at,
        })
    }

    /// What is known of the table when it is in.
    pub fn arrived(&self) -> Arrived {
        self.tenants.arrived(self.rows.iter().map(|row| match row.committed {
            Committed::At(at) => Some(at),
            Committed::Before(_) => None,
        }))
    }

    pub fn hash(&self) -> String {
        let columns = self.target.as_ref().map_or(&[][..], |target| &target.columns);
        plan::hash(columns, self.rows.iter().map(|row| row.offset), &self.body)
    }

    /// What is written about it. Of one without rows: that there is nothing to do.
    pub fn plan(&self, scope: &str, tp: &TopicPartition, topic_id: &TopicId, told: &BTreeSet<i64>) -> Plan {
        let (first, last) = (self.first().unwrap_or(self.next), self.last().unwrap_or(self.next - 1));
        let (hash, topic_id) = (self.hash(), plan::hex(topic_id));
        let target = self.target.as_ref();
        let token = format!("{scope}/{topic_id}-{}/{first}-{last}/{}", tp.partition, &hash[..32]);
        Plan {
            version: VERSION,
            open: !self.rows.is_empty(),
            topic: tp.topic.to_string(),
            topic_id,
            partition: tp.partition,
            first,
            last,
            next: self.next,
            rows: self.rows.len() as u64,
            excluded: self.excluded.iter().copied().filter(|at| *at >= first).collect(),
            told: told.iter().copied().filter(|at| *at >= self.next).collect(),
            hash,
            table: target.map(|target| target.table.full_name()).unwrap_or_default(),
            columns: target.map(|target| target.columns.to_vec()).unwrap_or_default(),
            token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::clickhouse::types::Type;

    fn bad(offset: i64) -> Bad {
        Bad { offset, reason: "r", letter: None }
    }

    fn batch(offsets: std::ops::Range<i64>) -> Batch {
        let table = Table::of("d", "t", &[("n", "UInt16")]);
        let layout = Layout::new([("n".to_owned(), Type::parse("UInt16"))]).watching("n");
        let columns = [("n".to_owned(), "UInt16".to_owned())];
        let mut batch = Batch::new(offsets.start, Instant::now());
        batch.aim(Target { table: table.into(), layout: layout.into(), columns: columns.into() });
        for offset in offsets {
            if offset % 5 == 0 {
                batch.exclude(bad(offset));
            } else {
                batch.push(offset, &format!("{{\"n\":{offset}}}"), Committed::At(offset)).unwrap();
            }
        }
        batch
    }

    #[test]
    fn halves_hold_what_the_whole_held() {
        let tp = TopicPartition::new("t", 0);
        let whole = batch(3..30).plan("s", &tp, &[1; 16], &BTreeSet::new());
        assert_eq!((whole.first, whole.last, whole.next, whole.rows), (3, 29, 30, 22));
        assert_eq!(whole.excluded, [5, 10, 15, 20, 25]);
        let (a, b) = batch(3..30).split().ok().unwrap();
        let (body, offsets) = (
            [a.body(), b.body()].concat(),
            [&a, &b].map(|x| x.rows.iter().map(|r| r.offset).collect::<Vec<_>>()).concat(),
        );
        assert_eq!((body, offsets.len()), (batch(3..30).body, 22));
        let of = |batch: &Batch| {
            batch.arrived().tenants.iter().map(|(name, at)| (name.parse::<i64>().unwrap(), *at)).collect::<Vec<_>>()
        };
        assert_eq!([of(&a), of(&b)].concat(), (3..30).filter(|n| n % 5 != 0).map(|n| (n, n)).collect::<Vec<_>>());
        assert_eq!((a.arrived().newest, b.arrived().newest), (Some(16), Some(29)));
        let (a, b) = (a.plan("s", &tp, &[1; 16], &BTreeSet::new()), b.plan("s", &tp, &[1; 16], &BTreeSet::new()));
        assert_eq!((a.first, b.last, b.next, a.rows + b.rows), (3, 29, 30, 22));
        assert!(a.next == b.first && a.last < b.first && a.token != b.token && a.token != whole.token);
        assert_eq!([a.excluded, b.excluded].concat(), [5, 10, 15, 20, 25]);
        // Down to single rows, each of which is what it would be alone.
        let mut pieces = vec![batch(3..30)];
        let mut single = Vec::new();
        while let Some(piece) = pieces.pop() {
            match piece.split() {
                Ok((a, b)) => pieces.extend([b, a]),
                Err(one) => single.push((one.first().unwrap(), one.body().to_vec())),
            }
        }
        let want: Vec<_> = (3..30).filter(|n| n % 5 != 0).map(|n| (n, (n as u16).to_le_bytes().to_vec())).collect();
        assert_eq!(single, want);
    }

    #[test]
    fn one_without_rows_has_nothing_to_do() {
        let mut empty = Batch::new(7, Instant::now());
        empty.exclude(bad(7));
        let plan = empty.plan("s", &TopicPartition::new("t", 0), &[1; 16], &BTreeSet::new());
        assert!(!plan.open && plan.rows == 0 && plan.next == 8);
        let left = batch(3..4).without_its_row(bad(3));
        assert_eq!((left.rows(), left.next, left.bad.len()), (0, 4, 1));
        assert_eq!(left.arrived(), Arrived::default(), "a refused row is not in");
    }
}
