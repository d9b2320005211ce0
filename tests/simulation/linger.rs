//! Records that a client keeps for itself until they must be written.

use highwater::log::{Outgoing, Producer, Result};

struct Kept {
    topic: String,
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

/// In the order in which they were sent.
#[derive(Default)]
pub struct Queue(Vec<Kept>);

impl Queue {
    pub fn keep(&mut self, record: &Outgoing<'_>) {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        self.0.push(Kept {
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: owned(record.key),
            value: owned(record.value),
            headers: record.headers.iter().map(|(name, value)| ((*name).to_owned(), owned(*value))).collect(),
            timestamp: record.timestamp,
        });
    }

    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Writes them all.
    pub fn write(&mut self, to: &mut dyn Producer) -> Result<()> {
        for kept in self.0.drain(..) {
            let headers: Vec<_> = kept.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            to.send(&Outgoing {
                topic: &kept.topic,
                partition: kept.partition,
                key: kept.key.as_deref(),
                value: kept.value.as_deref(),
                headers: &headers,
                timestamp: kept.timestamp,
            })?;
        }
        Ok(())
    }
}
