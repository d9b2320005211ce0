//! A member of a consumer group of the embedded log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Handle;
use super::fetch::Fetches;
use crate::log::{
    Bounds, Event, GroupConsumer, Isolation, LogError, Membership, Result, TopicPartition, check_membership,
};
use crate::record::Record;

pub struct EmbeddedConsumer {
    handle: Arc<Handle>,
    group: String,
    /// Member ids begin with it.
    name: String,
    topics: BTreeSet<String>,
    /// The group's name for us; None before joining and after a loss.
    member: Option<String>,
    /// As last heard from the group.
    generation: i32,
    lost: bool,
    /// For the next poll.
    events: Vec<Event>,
    /// Assigned, and not taken yet.
    offered: Vec<TopicPartition>,
    fetches: Fetches,
}

impl EmbeddedConsumer {
    pub fn new(handle: Arc<Handle>, group: &str, name: String) -> Self {
        Self {
            handle,
            group: group.to_string(),
            name,
            topics: BTreeSet::new(),
            member: None,
            generation: -1,
            lost: false,
            events: Vec::new(),
            offered: Vec::new(),
            fetches: Fetches::new(Isolation::Committed, false),
        }
    }

    /// What a client does in the background: it joins, shows that it lives, and finds out that it was thrown out.
    fn keep_up(&mut self) -> Result<()> {
        if self.topics.is_empty() || self.lost {
            return Ok(());
        }
        let broker = &self.handle.broker;
        let mut state = broker.enter()?;
        let now = broker.now();
        let group = state.groups.entry(self.group.clone()).or_default();
        if let Some(id) = &self.member
            && !group.seen(id, now)
        {
            self.member = None;
            self.offered.clear();
            let partitions = self.fetches.partitions();
            if !partitions.is_empty() {
                self.lost = true;
                self.events.push(Event::Revoked { partitions, lost: true });
                return Ok(());
            }
        }
        match &self.member {
            Some(id) => group.subscribe(id, &self.topics),
            None => self.member = Some(group.join(&self.name, self.topics.clone(), now)),
        }
        state.balance();
        Ok(())
    }

    /// What the group has told us since.
    fn hear(&mut self) -> Result<()> {
        let Some(id) = &self.member else { return Ok(()) };
        let mut state = self.handle.broker.enter()?;
        let Some(group) = state.groups.get_mut(&self.group) else { return Ok(()) };
        self.generation = group.generation_of(id).unwrap_or(self.generation);
        for event in group.events(id) {
            if let Event::Assigned(partitions) = &event {
                self.offered.extend(partitions.iter().cloned());
            }
            self.events.push(event);
        }
        Ok(())
    }

    /// Answers a rebalance.
    fn answer(&mut self, how: impl FnOnce(&mut super::groups::Group, &str)) -> Result<()> {
        let Some(id) = &self.member else { return Ok(()) };
        let mut state = self.handle.broker.enter()?;
        if let Some(group) = state.groups.get_mut(&self.group) {
            how(group, id);
        }
        state.balance();
        self.handle.broker.announce(&mut state);
        Ok(())
    }

    fn own(&self, tps: &[TopicPartition]) -> Result<()> {
        match tps.iter().find(|tp| !self.fetches.contains(tp)) {
            Some(tp) => Err(LogError::Retry(format!("{tp} is not assigned"))),
            None => Ok(()),
        }
    }
}

impl GroupConsumer for EmbeddedConsumer {
    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.topics = topics.iter().cloned().collect();
        self.keep_up()
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let mut events = self.serve();
        // A rebalance first: records fetched after it may belong to another owner.
        if events.is_empty() {
            self.fetches.poll(&self.handle.broker, max, wait, visit, &mut events);
        }
        events
    }

    fn serve(&mut self) -> Vec<Event> {
        if let Err(error) = self.keep_up().and_then(|()| self.hear()) {
            self.events.push(Event::Fatal(error));
        }
        std::mem::take(&mut self.events)
    }

    fn take(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if let Some(tp) = partitions.iter().find(|tp| !self.offered.contains(tp)) {
            return Err(LogError::Retry(format!("{tp} was not assigned, or is taken already")));
        }
        self.offered.retain(|tp| !partitions.contains(tp));
        partitions.iter().for_each(|tp| self.fetches.add(tp, -1, true));
        self.answer(|group, id| group.taken(id))
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.own(partitions)?;
        partitions.iter().for_each(|tp| self.fetches.remove(tp));
        if std::mem::replace(&mut self.lost, false) {
            // Whatever else was under way is lost with it; the next poll joins anew.
            return Ok(());
        }
        self.answer(|group, id| group.released(id, partitions))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.own(partitions)?;
        partitions.iter().for_each(|tp| self.fetches.pause(tp));
        Ok(())
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.own(std::slice::from_ref(tp))?;
        self.fetches.add(tp, offset, false);
        Ok(())
    }

    fn committed(&mut self, partitions: &[TopicPartition], wait: Duration) -> Result<Vec<Option<i64>>> {
        let version = self.handle.broker.version();
        match self.handle.broker.committed(&self.group, partitions) {
            Err(LogError::Retry(_)) => {
                self.handle.broker.wait(version, wait);
                self.handle.broker.committed(&self.group, partitions)
            }
            told => told,
        }
    }

    fn membership(&mut self) -> Result<Membership> {
        if self.lost {
            return Err(LogError::Rejoin("the assignment was lost".into()));
        }
        let member = self.member.clone().unwrap_or_default();
        // A rebalance reaches the client in the background; a member that was thrown out finds out by its next poll.
        if let Some(group) = self.handle.broker.enter()?.groups.get(&self.group) {
            self.generation = group.generation_of(&member).unwrap_or(self.generation);
        }
        check_membership(&member, self.generation)?;
        Ok(Membership { group: self.group.clone(), member, generation: self.generation, instance: None })
    }

    fn heard(&self, tp: &TopicPartition) -> Option<Bounds> {
        let mut state = self.handle.broker.enter().ok()?;
        let place = state.place(tp)?;
        Some(state.partition_mut(place)?.bounds(Isolation::Committed))
    }

    fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.fetches.positions()
    }

    fn leave(&mut self) {
        self.topics.clear();
        if self.answer(|group, id| group.remove(id)).is_ok() {
            self.member = None;
        }
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}
