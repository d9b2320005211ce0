//! `dedup`: a change passes only if it is newer than the last one of its key.
//!
//! Per key the store keeps an [`Entry`]. A delete leaves it in place: forgetting it would let a replayed older row
//! come back to life.

use crate::record::position::Position;
use crate::store::{Partition, StoreError, layout};

/// A `dedup` step as topology.yaml states it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    pub on_regression: OnRegression,
    pub missing_position: MissingPosition,
}

/// What to do where a source's positions fell while its time went on (a restore, a failover, another cluster).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRegression {
    /// Start a new epoch: everything from here on is newer. Logged and counted.
    #[default]
    NewEpoch,
    /// Stop the instance.
    Fail,
}

/// How to rank a change without any position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingPosition {
    /// Never by a clock: it keeps the key's position, and its source offset decides.
    #[default]
    Keep,
    /// By `ts_ms`, as the seed system did. Outranks every later LSN.
    TsMs,
}

/// The last accepted change of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    pub position: Position,
    /// What left as `cdc_lsn`.
    pub version: u64,
    /// Where it stood in the source partition.
    pub offset: i64,
    /// `filter` let nothing of it leave, or has taken it back: the readers do not have the key's row.
    pub withheld: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, and this is what the key's entry becomes. `entry.version` leaves as `cdc_lsn`.
    Accept(Entry),
    /// At or below the key's position.
    Stale,
    /// Without a position, and its offset was processed before.
    Replayed,
}

/// What no entry of a store exceeds: a change beyond it is newer than the last one of its key, whichever that is, and need
/// not be looked up. In a stream that is not replayed all changes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Highest {
    position: Position,
    version: u64,
}

impl Highest {
    /// Of entries that are there, where nobody has kept it.
    pub fn of(store: &Partition) -> Result<Self, StoreError> {
        let mut highest = Self::default();
        store.each(&mut |key, value| {
            if let (true, Some(entry)) = (layout::is_data(key), Entry::decode(value)) {
                highest.raise(&entry);
            }
        })?;
        Ok(highest)
    }

    pub fn raise(&mut self, entry: &Entry) {
        self.position = self.position.max(entry.position);
        self.version = self.version.max(entry.version);
    }

    /// The entry of a change beyond it.
    pub fn accepts(&self, position: Position, offset: i64) -> Option<Entry> {
        let newer = position > self.position && position.lsn > self.version;
        newer.then_some(Entry { position, version: position.lsn, offset, withheld: false })
    }

    /// As the entry of such a change.
    pub fn encode(&self) -> Vec<u8> {
        Entry { position: self.position, version: self.version, offset: 0, withheld: false }.encode()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Entry::decode(bytes).map(|Entry { position, version, .. }| Self { position, version })
    }
}

/// Judges a change with a position.
pub fn judge(last: Option<Entry>, position: Position, offset: i64) -> Verdict {
    match last {
        Some(last) if position <= last.position => Verdict::Stale,
        last => {
            let version = next_version(last, position.lsn);
            Verdict::Accept(Entry { position, version, offset, withheld: false })
        }
    }
}

/// Judges a change without one: the key keeps its position, and only the source offset tells a replay.
/// Offsets of an earlier incarnation of the topic (epochs below `base`) tell nothing.
pub fn judge_unranked(last: Option<Entry>, base: u32, epoch: u32, offset: i64) -> Verdict {
    match last {
        Some(last) if last.position.epoch >= base && offset <= last.offset => Verdict::Replayed,
        last => {
            let kept = last.map(|l| l.position).filter(|p| p.epoch >= base);
            let position = kept.unwrap_or(Position { epoch, ..Position::default() });
            // Its version is only a count: one above the key's last, and 1 for a key never seen.
            Verdict::Accept(Entry { position, version: next_version(last, 1), offset, withheld: false })
        }
    }
}

/// The source's LSN, raised only where LSNs of a key do not rise, so that `ReplacingMergeTree(cdc_lsn)` keeps the
/// last accepted change.
fn next_version(last: Option<Entry>, lsn: u64) -> u64 {
    lsn.max(last.map_or(0, |l| l.version.saturating_add(1)))
}

/// The form in stores and changelogs: version 1 in the upper half of the first byte, `kind` and `withheld` as its lowest
/// bits, then LEB128 numbers; `lsn` and `version` as differences, because they are mostly equal.
impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.push(1 << 4 | u8::from(self.withheld) << 1 | self.position.kind);
        put(&mut out, self.position.epoch.into());
        put(&mut out, self.position.lsn);
        put(&mut out, zigzag(self.position.lsn.wrapping_sub(self.position.commit) as i64));
        put(&mut out, zigzag(self.version.wrapping_sub(self.position.lsn) as i64));
        put(&mut out, zigzag(self.offset));
        out
    }

    /// None where the bytes are not of this form.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first()?;
        bytes = rest;
        // Bits that this version does not know would mean something to the one that set them.
        if head >> 2 != 1 << 2 {
            return None;
        }
        let epoch = u32::try_from(take(&mut bytes)?).ok()?;
        let lsn = take(&mut bytes)?;
        let commit = lsn.wrapping_sub(unzigzag(take(&mut bytes)?) as u64);
        let version = lsn.wrapping_add(unzigzag(take(&mut bytes)?) as u64);
        let offset = unzigzag(take(&mut bytes)?);
        let position = Position { epoch, commit, kind: head & 1, lsn };
        let withheld = head & 2 != 0;
        bytes.is_empty().then_some(Self { position, version, offset, withheld })
    }
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u32, commit: u64, kind: u8, lsn: u64) -> Position {
        Position { epoch, commit, kind, lsn }
    }

    #[test]
    fn only_newer_changes_pass() {
        let last = Entry { position: at(1, 100, 1, 150), version: 150, offset: 9, withheld: false };
        assert_eq!(judge(Some(last), at(1, 100, 1, 150), 10), Verdict::Stale);
        assert_eq!(judge(Some(last), at(1, 90, 1, 170), 10), Verdict::Stale);
        assert_eq!(judge(Some(last), at(1, 100, 0, 170), 10), Verdict::Stale);
        let Verdict::Accept(next) = judge(Some(last), at(1, 110, 1, 120), 10) else { panic!("a later commit passes") };
        assert_eq!(next.version, 151, "the version rises although the LSN does not");
        let Verdict::Accept(next) = judge(Some(last), at(2, 0, 0, 20), 10) else { panic!("a later epoch passes") };
        assert_eq!((next.version, next.position), (151, at(2, 0, 0, 20)));
        assert!(matches!(judge(None, at(0, 0, 0, 20), 10), Verdict::Accept(Entry { version: 20, .. })));
    }

    #[test]
    fn what_is_beyond_all_entries_is_judged_as_if_it_were_looked_up() {
        let entry = |position, version| Entry { position, version, offset: 9, withheld: false };
        let entries = [entry(at(1, 100, 1, 150), 150), entry(at(1, 90, 1, 170), 170), entry(at(0, 200, 1, 120), 180)];
        let mut highest = Highest::default();
        entries.iter().for_each(|entry| highest.raise(entry));
        assert_eq!(Highest::decode(&highest.encode()), Some(highest));
        let mut accepted = 0;
        for (epoch, commit, kind, lsn) in [0, 1, 2]
            .into_iter()
            .flat_map(|epoch| [90, 100, 110].map(|commit| (epoch, commit)))
            .flat_map(|(epoch, commit)| [0, 1].map(|kind| (epoch, commit, kind)))
            .flat_map(|(epoch, commit, kind)| [149, 150, 151, 180, 181].map(|lsn| (epoch, commit, kind, lsn)))
        {
            let position = at(epoch, commit, kind, lsn);
            let Some(unseen) = highest.accepts(position, 10) else { continue };
            accepted += 1;
            for last in entries.iter().copied().map(Some).chain([None]) {
                assert_eq!(judge(last, position, 10), Verdict::Accept(unseen), "{position:?} after {last:?}");
            }
        }
        // Those above (1, 100, 1, 150) whose LSN is above 180.
        assert_eq!(accepted, 1 + 2 + 6);
    }

    #[test]
    fn a_change_without_position_is_ranked_by_its_offset_alone() {
        let last = Entry { position: at(1, 100, 1, 150), version: 150, offset: 9, withheld: false };
        assert_eq!(judge_unranked(Some(last), 0, 1, 9), Verdict::Replayed);
        let accepted = Entry { offset: 10, version: 151, ..last };
        assert_eq!(judge_unranked(Some(last), 0, 1, 10), Verdict::Accept(accepted));
        // The offset belongs to an earlier topic of the same name.
        let Verdict::Accept(e) = judge_unranked(Some(last), 2, 2, 0) else { panic!("passes in a new topic") };
        assert_eq!((e.position, e.version, e.offset), (at(2, 0, 0, 0), 151, 0));
        assert!(matches!(judge_unranked(None, 0, 0, 0), Verdict::Accept(Entry { version: 1, .. })));
    }

    #[test]
    fn entries_survive_their_encoding() {
        let entries = [
            Entry::default(),
            Entry { position: at(u32::MAX, u64::MAX, 1, 0), version: u64::MAX, offset: i64::MAX, withheld: true },
            Entry { position: at(1, 26_573_096, 0, 100_675_272), version: 100_675_273, offset: 12, withheld: false },
        ];
        for entry in entries {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Some(entry));
            (0..bytes.len()).for_each(|cut| assert_eq!(Entry::decode(&bytes[..cut]), None));
        }
        assert!(entries[2].encode().len() <= 16);
        let mut unknown = entries[2].encode();
        unknown[0] |= 4;
        assert_eq!(Entry::decode(&unknown), None);
    }
}
