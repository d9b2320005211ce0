//! The order of changes: total, and the same however often and from where a partition is read.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use highwater::operators::dedup::{Entry, Verdict, judge, judge_unranked};
use highwater::record::change::{Snapshot, Source};
use highwater::record::position::{Epochs, Position, Rise};
use proptest::prelude::*;

/// Few numbers, so that they are often equal, and the outermost.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..4u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn position() -> impl Strategy<Value = Position> {
    let epoch = prop_oneof![4 => 0..3u32, 1 => any::<u32>()];
    (epoch, number(), 0..2u8, number()).prop_map(|(epoch, commit, kind, lsn)| Position { epoch, commit, kind, lsn })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn positions_are_a_total_order(a in position(), b in position(), c in position()) {
        let parts = |p: Position| (p.epoch, p.commit, p.kind, p.lsn);
        prop_assert_eq!(a.cmp(&b), parts(a).cmp(&parts(b)), "epoch, then commit, then kind, then LSN");
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        prop_assert_eq!(a.partial_cmp(&b), Some(a.cmp(&b)));
        let mut three = [a, b, c];
        three.sort();
        prop_assert!(three[0] <= three[1] && three[1] <= three[2] && three[0] <= three[2]);
        // The judge goes by it.
        let last = Entry { position: a, version: 9, offset: 9, withheld: false };
        prop_assert_eq!(judge(Some(last), b, 10) == Verdict::Stale, b <= a);
    }
}

/// What happens to a source, as a connector tells it.
#[derive(Debug, Clone)]
enum Event {
    /// A transaction changes these keys, and commits after so many others.
    Commit { keys: Vec<u8>, written: u8 },
    /// The initial snapshot, of these keys.
    Snapshot { keys: Vec<u8> },
    /// A chunk of an incremental snapshot.
    Incremental { keys: Vec<u8> },
    /// A change without any position.
    Unranked { key: u8 },
    /// A tombstone, or a record that is no change.
    Nothing,
    /// The connector went back by so many changes, and delivers them again.
    Again { back: u8 },
    /// A backup of the source was restored: positions fall, its clock goes on.
    Restored,
    /// The topic was deleted and made again.
    Recreated,
}

fn event() -> impl Strategy<Value = Event> {
    let keys = || proptest::collection::vec(0..5u8, 1..4);
    prop_oneof![
        8 => (keys(), 0..4u8).prop_map(|(keys, written)| Event::Commit { keys, written }),
        1 => keys().prop_map(|keys| Event::Snapshot { keys }),
        2 => keys().prop_map(|keys| Event::Incremental { keys }),
        1 => (0..5u8).prop_map(|key| Event::Unranked { key }),
        1 => Just(Event::Nothing),
        3 => (1..8u8).prop_map(|back| Event::Again { back }),
        1 => Just(Event::Restored),
        1 => Just(Event::Recreated),
    ]
}

/// A record of the topic.
#[derive(Debug, Clone)]
struct Told {
    key: u8,
    /// None: no change.
    source: Option<Source<'static>>,
    /// It was delivered before.
    again: bool,
}

/// Topics, one after the other under one name.
fn told(events: &[Event]) -> Vec<Vec<Told>> {
    let (mut lsn, mut last_commit, mut ts) = (1000u64, 900u64, 1_000_000i64);
    let mut topics = vec![Vec::<Told>::new()];
    // Where the epoch rose last, and whether the next change makes it: nobody goes back beyond that.
    let (mut since, mut fallen) = (0, false);
    for event in events {
        ts += 1;
        let topic = topics.last_mut().expect("one at least");
        if matches!(event, Event::Snapshot { .. } | Event::Restored) || fallen && matches!(event, Event::Commit { .. })
        {
            since = topic.len();
            fallen = matches!(event, Event::Restored);
        }
        let mut tell = |key: u8, snapshot, lsn, sequence| {
            let source = Source {
                name: "brew".into(),
                db: "brew".into(),
                schema: "public".into(),
                table: "people".into(),
                snapshot,
                lsn,
                sequence,
                ts_us: Some(ts),
            };
            topic.push(Told { key, source: Some(source), again: false });
        };
        match event {
            Event::Commit { keys, written } => {
                // What it writes may lie below what others have committed meanwhile.
                let first = lsn.saturating_sub(u64::from(*written) * 3);
                for (key, step) in keys.iter().zip(1..) {
                    tell(*key, Snapshot::No, Some(first + step), (Some(last_commit), Some(first + step)));
                }
                lsn += 20;
                last_commit = lsn;
            }
            Event::Snapshot { keys } => {
                lsn += 1;
                keys.iter().for_each(|key| tell(*key, Snapshot::Initial, Some(lsn), (None, Some(lsn))));
            }
            Event::Incremental { keys } => {
                keys.iter().for_each(|key| tell(*key, Snapshot::Incremental, None, (Some(last_commit), Some(lsn))));
            }
            Event::Unranked { key } => tell(*key, Snapshot::No, None, (None, None)),
            Event::Nothing => topic.push(Told { key: 0, source: None, again: false }),
            Event::Again { back } => {
                let from = topic.len().saturating_sub(usize::from(*back)).max(since);
                let again: Vec<_> = topic[from..].iter().map(|told| Told { again: true, ..told.clone() }).collect();
                topic.extend(again);
            }
            Event::Restored => (lsn, last_commit) = (lsn / 2, last_commit / 2),
            Event::Recreated => {
                topics.push(Vec::new());
                (since, fallen) = (0, false);
            }
        }
    }
    topics
}

/// A task, as far as order goes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Task {
    epochs: Epochs,
    entries: BTreeMap<u8, Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Read {
    epoch: u32,
    rise: Option<Rise>,
    /// The version under which it leaves.
    left: Option<u64>,
}

impl Task {
    fn read(&mut self, offset: i64, told: &Told) -> Option<Read> {
        let Some(source) = &told.source else {
            self.epochs.skip_to(offset + 1);
            return None;
        };
        let (epoch, rise) = self.epochs.epoch(offset, source);
        let last = self.entries.get(&told.key).copied();
        let verdict = match Position::of(source, epoch) {
            Some(position) => judge(last, position, offset),
            None => judge_unranked(last, self.epochs.base(), epoch, offset),
        };
        let Verdict::Accept(entry) = verdict else { return Some(Read { epoch, rise, left: None }) };
        self.entries.insert(told.key, entry);
        Some(Read { epoch, rise, left: Some(entry.version) })
    }

    /// As it is after a restart.
    fn kept(&self) -> Self {
        let epochs = Epochs::decode(&self.epochs.encode()).expect("what was written is read");
        let entries = self.entries.iter();
        let read = |entry: &Entry| Entry::decode(&entry.encode()).expect("what was written is read");
        Self { epochs, entries: entries.map(|(key, entry)| (*key, read(entry))).collect() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// However a partition is read, each record is decided once, and ever after as it was.
    #[test]
    fn a_partition_is_decided_once_however_it_is_read(
        events in proptest::collection::vec(event(), 1..40),
        rewinds in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..12),
    ) {
        let (mut straight, mut wandering) = (Task::default(), Task::default());
        for (incarnation, topic) in (1..).zip(told(&events)) {
            let before = straight.entries.values().map(|entry| entry.position).max();
            straight.epochs.bind([incarnation; 16]);
            wandering.epochs.bind([incarnation; 16]);
            let mut first = Vec::new();
            for (offset, told) in (0..).zip(&topic) {
                let read = straight.read(offset, told);
                if let Some(Read { epoch, rise, left }) = read {
                    let ranked = told.source.as_ref().is_some_and(|source| Position::of(source, 0).is_some());
                    prop_assert!(!(told.again && ranked && left.is_some()), "delivered again at {}: {:?}", offset, told);
                    prop_assert!(!(told.again && rise.is_some()), "an epoch rose at {}: {:?}", offset, told);
                    prop_assert!(before.is_none_or(|before| epoch > before.epoch), "below an earlier topic's");
                }
                first.push(read);
            }
            // The same again, with rewinds and restarts on the way.
            let mut rewinds = rewinds.iter();
            let (mut next, mut seen) = (0, 0);
            while next < topic.len() {
                let read = wandering.read(next as i64, &topic[next]);
                let want = match first[next] {
                    Some(read) if next < seen => Some(Read { rise: None, left: None, ..read }),
                    first => first,
                };
                prop_assert_eq!(read, want, "at {} of {:?}", next, topic);
                next += 1;
                seen = seen.max(next);
                if next.is_multiple_of(3) && let Some((to, restarts)) = rewinds.next() {
                    next = to.index(seen + 1);
                    if *restarts {
                        wandering = wandering.kept();
                    }
                }
            }
            prop_assert_eq!(&wandering, &straight);
        }
    }

    /// `cdc_lsn` rises with every accepted change of a key.
    #[test]
    fn versions_of_a_key_rise(events in proptest::collection::vec(event(), 1..60)) {
        let mut task = Task::default();
        let mut versions = BTreeMap::new();
        for (incarnation, topic) in (1..).zip(told(&events)) {
            task.epochs.bind([incarnation; 16]);
            for (offset, told) in (0..).zip(&topic) {
                if let Some(Read { left: Some(version), .. }) = task.read(offset, told) {
                    let last = versions.insert(told.key, version);
                    prop_assert!(last.is_none_or(|last| last < version), "{:?} then {}", last, version);
                }
            }
        }
    }

    /// What follows a restored backup is newer than all before it, once the source has written as far as to be told.
    #[test]
    fn what_follows_a_restore_is_newer(key in 0..5u8, before in 1..6usize, after in 1..6usize) {
        let commit = Event::Commit { keys: vec![key], written: 0 };
        let mut events = vec![commit.clone(); before];
        events.push(Event::Restored);
        events.extend(vec![commit; after]);
        let mut task = Task::default();
        let topics = told(&events);
        let left = (0..).zip(&topics[0]).filter_map(|(offset, told)| task.read(offset, told)?.left);
        prop_assert_eq!(left.count(), before + after);
    }
}
