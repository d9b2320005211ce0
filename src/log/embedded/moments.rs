//! What a real cluster does when it pleases, on demand: for the contract suite and the simulation.

use super::EmbeddedLog;
use super::broker::Who;
use super::{cleaner, layout};
use crate::log::{LogError, Result, TopicPartition};

/// A request to end a transaction that its producer does not wait for any more.
#[derive(Debug)]
pub struct LateEnd {
    who: Who,
    commit: bool,
}

impl EmbeddedLog {
    /// Such a request of the producer that has this id now.
    pub fn late_end(&self, transactional_id: &str, commit: bool) -> Option<LateEnd> {
        let state = self.broker().enter().ok()?;
        state.who(transactional_id).map(|who| LateEnd { who, commit })
    }

    /// It arrives: whatever transaction the producer has open by now ends. False where it was refused.
    pub fn arrives(&self, late: &LateEnd) -> bool {
        self.broker().end(&late.who, late.commit).is_ok()
    }

    /// From now on markers come late to a partition: the transactions that end stay open there.
    pub fn hold_markers(&self, tp: &TopicPartition) -> Result<()> {
        let mut state = self.broker().enter()?;
        let place = state.place(tp).ok_or_else(|| LogError::Retry(format!("no partition {tp}")))?;
        state.held.insert(place);
        Ok(())
    }

    /// From now on committed offsets of a group become stable late.
    pub fn hold_offsets(&self, group: &str) -> Result<()> {
        self.broker().enter()?.held_groups.insert(group.to_string());
        Ok(())
    }

    /// Whatever was held back comes.
    pub fn release_held(&self) -> Result<()> {
        {
            let mut state = self.broker().enter()?;
            state.held.clear();
            state.held_groups.clear();
        }
        self.broker().settle_all()
    }

    /// The group's session with a member ends, and the member does not know.
    pub fn expire_member(&self, group: &str, member: &str) -> Result<()> {
        let mut state = self.broker().enter()?;
        if let Some(group) = state.groups.get_mut(group) {
            group.remove(member);
        }
        state.balance();
        self.broker().announce(&mut state);
        Ok(())
    }

    /// Records below an offset are deleted, as retention does.
    pub fn truncate(&self, tp: &TopicPartition, start: i64) -> Result<()> {
        let mut state = self.broker().enter()?;
        let place = state.place(tp).ok_or_else(|| LogError::Retry(format!("no partition {tp}")))?;
        let Some(partition) = state.partition_mut(place) else { return Ok(()) };
        partition.start = start.clamp(partition.start, partition.stable());
        let changes = vec![partition.saved(place)];
        self.broker().keep(&mut state, changes)
    }

    /// A topic gets more partitions.
    pub fn grow(&self, topic: &str, partitions: i32) -> Result<()> {
        let mut state = self.broker().enter()?;
        let found = state.topics.get_mut(topic).ok_or_else(|| LogError::Retry(format!("no topic {topic}")))?;
        found.settings.partitions = partitions.max(found.settings.partitions);
        found.partitions.resize_with(found.settings.partitions as usize, Default::default);
        let changes = vec![(layout::topic(topic), Some(layout::encode(&found.settings)))];
        state.groups.values_mut().for_each(|group| group.topic_changed(topic));
        state.balance();
        self.broker().keep(&mut state, changes)
    }

    /// A group's offset of a partition is forgotten.
    pub fn expire_offset(&self, group: &str, tp: &TopicPartition) -> Result<()> {
        let mut state = self.broker().enter()?;
        let place = state.place(tp).ok_or_else(|| LogError::Retry(format!("no partition {tp}")))?;
        state.offsets.remove(&(place, group.to_string()));
        self.broker().keep(&mut state, vec![(layout::offset(place, group), None)])
    }

    /// Compacts now, whether it is due or not.
    pub fn clean(&self) -> Result<()> {
        cleaner::clean(self.broker(), false)
    }
}
