//! A member of a group, with what happened to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use highwater::log::*;

use crate::support::{DEADLINE, wait_until};
use crate::world::{Seen, WAIT, World, commit, patiently};

pub struct Member {
    consumer: Box<dyn GroupConsumer>,
    pub owned: BTreeSet<TopicPartition>,
    pub seen: Vec<Seen>,
    /// What asked for an answer.
    pub events: Vec<Event>,
    /// Everything it was told, for who looks at a failure.
    told: Vec<Event>,
}

impl Deref for Member {
    type Target = dyn GroupConsumer;

    fn deref(&self) -> &Self::Target {
        self.consumer.as_ref()
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.consumer.as_mut()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let membership = self.consumer.membership();
            eprintln!("a member: {membership:?}, owns {:?}, was told {:?}", self.owned, self.told);
        }
    }
}

impl Member {
    /// Of the group that the log's client belongs to.
    pub fn new(log: &dyn Log) -> Self {
        let consumer = log.group_consumer(0).expect("a consumer");
        Self { consumer, owned: BTreeSet::new(), seen: Vec::new(), events: Vec::new(), told: Vec::new() }
    }

    pub fn subscribed(log: &dyn Log, topics: &[&str]) -> Self {
        let mut member = Self::new(log);
        member.follow(topics);
        member
    }

    pub fn follow(&mut self, topics: &[&str]) {
        let topics: Vec<String> = topics.iter().map(|topic| topic.to_string()).collect();
        self.subscribe(&topics).expect("subscribed");
    }

    /// One poll; rebalances are left to the case.
    pub fn listen(&mut self) -> Vec<Event> {
        let seen = &mut self.seen;
        let events = self.consumer.poll(100, Duration::from_millis(5), &mut |record| seen.push(Seen::copy(record)));
        self.told.extend(events.iter().cloned());
        self.events.extend(events.iter().filter(|e| !matches!(e, Event::Notice(_) | Event::Unreachable(_))).cloned());
        events
    }

    /// Does what an event of the group asks for.
    pub fn answer(&mut self, event: &Event) {
        match event {
            Event::Assigned(partitions) => {
                self.consumer.take(partitions).expect("taken");
                self.owned.extend(partitions.iter().cloned());
            }
            Event::Revoked { partitions, .. } => {
                self.consumer.release(partitions).expect("released");
                partitions.iter().for_each(|tp| assert!(self.owned.remove(tp), "{tp} was not owned"));
            }
            Event::Notice(_) | Event::Unreachable(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// One poll, rebalances answered.
    pub fn step(&mut self) {
        for event in self.listen() {
            self.answer(&event);
        }
    }

    /// Answers the group until it owns so many partitions.
    #[track_caller]
    pub fn until_owning(&mut self, partitions: usize) {
        together(&mut [self], &format!("{partitions} partitions"), |members| members[0].owned.len() == partitions);
    }

    /// The first revocation, not answered.
    #[track_caller]
    pub fn until_revoked(&mut self, others: &mut [&mut Member]) -> Event {
        wait_until(DEADLINE, "a revocation", || {
            others.iter_mut().for_each(|other| other.step());
            let mut events = self.listen();
            events.retain(|event| {
                let revoked = matches!(event, Event::Revoked { .. });
                if !revoked {
                    self.answer(event);
                }
                revoked
            });
            assert!(events.len() <= 1, "{events:?}");
            events.pop()
        })
    }

    /// Sees to it that `offset` is where fetching goes on.
    #[track_caller]
    pub fn go(&mut self, tp: &TopicPartition, offset: i64) {
        patiently("resume", || self.consumer.resume_at(tp, offset));
    }

    /// Reads on until there are so many records in all.
    #[track_caller]
    pub fn until_seen(&mut self, records: usize) {
        together(&mut [self], &format!("{records} records"), |members| members[0].seen.len() >= records);
        assert_eq!(self.seen.len(), records, "{:?}", self.seen);
    }

    pub fn committed_now(&mut self, partitions: &[TopicPartition]) -> Vec<Option<i64>> {
        patiently("committed offsets", || self.consumer.committed(partitions, WAIT))
    }
}

/// All members live side by side until something holds of them.
#[track_caller]
pub fn together(members: &mut [&mut Member], what: &str, mut holds: impl FnMut(&[&mut Member]) -> bool) {
    wait_until(DEADLINE, what, || {
        members.iter_mut().for_each(|member| member.step());
        holds(members).then_some(())
    });
}

/// Every partition has one owner, and nobody has two more than another.
pub fn balanced(members: &[&mut Member], partitions: usize) -> bool {
    let mut owners = BTreeMap::new();
    for tp in members.iter().flat_map(|member| &member.owned) {
        *owners.entry(tp).or_insert(0) += 1;
    }
    assert!(owners.values().all(|n| *n == 1), "two owners at one time: {owners:?}");
    let counts = members.iter().map(|member| member.owned.len());
    owners.len() == partitions && counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0) <= 1
}

/// Sends offsets in the name of a member.
pub fn send_offsets(producer: &mut dyn Producer, offsets: &[(&TopicPartition, i64)], who: &Membership) {
    let offsets: Vec<_> = offsets.iter().map(|(tp, offset)| ((*tp).clone(), *offset)).collect();
    patiently("offsets", || producer.send_offsets(&offsets, who, WAIT));
}

pub fn commit_offset(producer: &mut dyn Producer, tp: &TopicPartition, offset: i64, who: &Membership) {
    producer.begin().unwrap();
    send_offsets(producer, &[(tp, offset)], who);
    commit(producer);
}

/// A member that owns the only partition of a topic.
pub fn owner(world: &World, tp: &TopicPartition) -> (Member, Membership) {
    let mut member = Member::subscribed(world.log(), &[&tp.topic]);
    member.until_owning(1);
    let who = member.membership().unwrap();
    (member, who)
}

/// What a stranger is told of the group's offset.
pub fn told(world: &World, tp: &TopicPartition) -> Option<i64> {
    Member::new(world.log()).committed_now(std::slice::from_ref(tp))[0]
}
