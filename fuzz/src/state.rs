//! What a store reads: records of its changelog, and its checkpoint.

use std::time::{Duration, Instant};

use highwater::operators::dedup::{Entry, judge, judge_unranked};
use highwater::record::change::{Snapshot, Source};
use highwater::record::position::{Epochs, Position};
use highwater::store::digest::StateKey;
use highwater::store::restore::{Changelog, Plan, Restore, plan};
use highwater::store::{Checkpoint, Database, layout};

use super::memory::Memory;

/// Records of a changelog, restored and read as a task reads them.
///
/// A record: which key (a byte; a key of its own is a length and its bytes), then its value: a length, 255 for none, and its bytes.
pub fn changelog(bytes: &[u8]) {
    let mut fields = Fields(bytes);
    let mut records = Vec::new();
    while let Some(key) = fields.key()
        && records.len() < 64
    {
        records.push((key, fields.value()));
    }
    let log = Changelog { topic_id: [1; 16], start: 0, end: records.len() as i64, delete_retention: Duration::MAX };
    let partition = Database::over(Box::new(Memory::default()), 0).partition("s/t/0").expect("nobody else has it");
    let now = Instant::now();
    let mut restore = Restore::new(log, 0, now);
    let mut want = std::collections::BTreeMap::new();
    for (offset, (key, value)) in (0..).zip(&records) {
        let fed = restore.feed(&partition, offset, key, value.as_deref(), (now, 0), &|| None);
        assert_eq!(fed.is_ok(), layout::known(key), "{key:?}");
        if fed.is_err() {
            return;
        }
        match value {
            Some(value) => want.insert(key.clone(), value.clone()),
            None => want.remove(key),
        };
    }
    assert!(restore.ended(&partition, log.end, 0, &|| None).expect("memory holds it"));
    let checkpoint = partition.checkpoint().expect("memory answers");
    assert_eq!(checkpoint.map(|held| held.offset), (!records.is_empty()).then_some(log.end - 1));
    let mut got = partition.scan().expect("memory answers");
    got.retain(|(key, _)| key != layout::CHECKPOINT);
    assert!(got.iter().eq(want.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>().iter()));
    for (key, value) in &want {
        match key.as_slice() {
            layout::EPOCHS => epochs(value),
            layout::DIGEST_KEY => digest_key(value),
            key if layout::is_data(key) => entry(value),
            _ => {}
        }
    }
}

fn entry(bytes: &[u8]) {
    let Some(entry) = Entry::decode(bytes) else { return };
    assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    judge(Some(entry), Position { epoch: 1, commit: 2, kind: 1, lsn: 3 }, 4);
    judge_unranked(Some(entry), 1, 2, 4);
}

fn digest_key(bytes: &[u8]) {
    for derived in [None, Some(StateKey::derive(b"secret", "s", 0))] {
        if let Ok(key) = StateKey::resume(Some(bytes), derived, || panic!("one is kept")) {
            assert_eq!(key.encode(), bytes);
        }
    }
}

fn epochs(bytes: &[u8]) {
    let Some(mut epochs) = Epochs::decode(bytes) else { return };
    assert_eq!(epochs.encode(), bytes);
    // What is kept is looked up, and gone on with.
    let to = epochs.evaluated_to();
    for offset in [0, to.saturating_sub(1), to.clamp(0, i64::MAX - 1)] {
        for snapshot in [Snapshot::No, Snapshot::Initial] {
            let source = Source {
                name: "brew".into(),
                db: "brew".into(),
                schema: "".into(),
                table: "".into(),
                snapshot,
                lsn: Some(5),
                sequence: (Some(4), Some(5)),
                ts_us: Some(7),
            };
            let (epoch, rise) = epochs.epoch(offset, &source);
            assert!(rise.is_none() || offset >= to);
            let kept = epochs.clone();
            assert_eq!((epochs.epoch(offset, &source), &epochs), ((epoch, None), &kept), "asked again at {offset}");
        }
    }
}

/// A checkpoint's bytes, and where a restore begins by it.
pub fn checkpoint(bytes: &[u8]) {
    let mut fields = Fields(bytes);
    let mut number = || fields.take(8).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
    let (start, end, now_ms, retention) = (number(), number(), number(), number());
    let held = Checkpoint::decode(fields.0);
    if let Some(held) = held {
        assert_eq!(held.encode(), fields.0);
    }
    if !(0..=end).contains(&start) {
        return;
    }
    let delete_retention = Duration::from_millis(retention.unsigned_abs());
    let log = Changelog { topic_id: [1; 16], start, end, delete_retention };
    match (plan(held, &log, now_ms), held) {
        (Plan::Tail { from }, Some(held)) => {
            // Nothing is left out between the two.
            assert!(from == held.offset + 1 && (start..=end).contains(&from) && held.topic_id == log.topic_id);
        }
        (Plan::Fresh { from }, None) | (Plan::Rebuild { from, .. }, Some(_)) => assert_eq!(from, start),
        (plan, held) => panic!("{plan:?} with {held:?}"),
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<usize> {
        self.take(1).map(|byte| byte[0].into())
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        Some(match self.byte()? {
            0 => layout::DIGEST_KEY.to_vec(),
            1 => layout::EPOCHS.to_vec(),
            2 => {
                let length = self.byte()?;
                self.take(length)?.to_vec()
            }
            which => layout::data_key(&[which as u8; layout::DIGEST_LEN]).to_vec(),
        })
    }

    /// As much of it as there is.
    fn value(&mut self) -> Option<Vec<u8>> {
        match self.byte()? {
            255 => None,
            length => self.take(length.min(self.0.len())).map(<[u8]>::to_vec),
        }
    }
}
