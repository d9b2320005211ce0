//! Consumer groups: members, generations, cooperative rebalances.
//!
//! A rebalance is wanted when a member comes, goes or asks for other topics, and when a topic does. It happens once
//! every member has answered what it was told before; then the generation grows, in the background of whatever the
//! members are doing. What moves is taken from its owner first, and given on by the rebalance that the release causes.
//!
//! Generations start over with the process: nobody of an earlier one can be alive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::assignor::{Wish, assign};
use crate::log::{Event, Membership, TopicPartition};

#[derive(Default)]
pub struct Group {
    pub generation: i32,
    members: BTreeMap<String, Member>,
    wanted: bool,
    joined: u64,
}

struct Member {
    topics: BTreeSet<String>,
    /// Given to it and not released yet.
    owned: BTreeSet<TopicPartition>,
    /// As its client knows it.
    generation: i32,
    events: VecDeque<Event>,
    /// What it is given once it has released what it was asked for.
    next: Option<Vec<TopicPartition>>,
    /// It was told of a rebalance and has not answered.
    asked: bool,
    seen_ms: i64,
}

/// Why a member may not commit offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    UnknownMember,
    IllegalGeneration,
}

impl Group {
    /// A new member; its id.
    pub fn join(&mut self, name: &str, topics: BTreeSet<String>, now: i64) -> String {
        self.joined += 1;
        let id = format!("{name}-{}", self.joined);
        let member = Member {
            topics,
            owned: BTreeSet::new(),
            generation: -1,
            events: VecDeque::new(),
            next: None,
            asked: false,
            seen_ms: now,
        };
        self.members.insert(id.clone(), member);
        self.wanted = true;
        id
    }

    pub fn subscribe(&mut self, id: &str, topics: &BTreeSet<String>) {
        if let Some(member) = self.members.get_mut(id)
            && member.topics != *topics
        {
            member.topics.clone_from(topics);
            self.wanted = true;
        }
    }

    /// The member is gone: it left, or was thrown out. Its client may not know.
    pub fn remove(&mut self, id: &str) {
        self.wanted |= self.members.remove(id).is_some();
    }

    /// A topic came, went or grew.
    pub fn topic_changed(&mut self, topic: &str) {
        self.wanted |= self.members.values().any(|member| member.topics.contains(topic));
    }

    /// A member polls. False where the group does not know it (any more).
    pub fn seen(&mut self, id: &str, now: i64) -> bool {
        self.members.get_mut(id).map(|member| member.seen_ms = now).is_some()
    }

    /// Members that have not polled since.
    pub fn silent_since(&self, then: i64) -> Vec<String> {
        self.members.iter().filter(|(_, m)| m.seen_ms < then).map(|(id, _)| id.clone()).collect()
    }

    pub fn events(&mut self, id: &str) -> Vec<Event> {
        self.members.get_mut(id).map(|member| member.events.drain(..).collect()).unwrap_or_default()
    }

    pub fn generation_of(&self, id: &str) -> Option<i32> {
        self.members.get(id).map(|member| member.generation)
    }

    pub fn taken(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.asked = false;
        }
    }

    /// What is released goes to others: another rebalance, once the member has taken what this one gave it.
    pub fn released(&mut self, id: &str, partitions: &[TopicPartition]) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(next) = member.next.take() {
            member.owned.retain(|tp| !partitions.contains(tp));
            member.owned.extend(next.iter().cloned());
            member.events.push_back(Event::Assigned(next));
            self.wanted = true;
        }
    }

    /// Rebalances where it is wanted and everybody is ready.
    pub fn balance(&mut self, partitions: &BTreeMap<&str, i32>) {
        if !self.wanted || self.members.values().any(|member| member.asked) {
            return;
        }
        self.wanted = false;
        self.generation += 1;
        let wishes = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), Wish { topics: member.topics.clone(), owned: member.owned.clone() }));
        let target = assign(&wishes.collect(), partitions);
        let held: BTreeSet<TopicPartition> = self.members.values().flat_map(|m| m.owned.iter().cloned()).collect();
        for (id, member) in &mut self.members {
            let given = target.get(id).cloned().unwrap_or_default();
            let gone: Vec<_> = member.owned.difference(&given).cloned().collect();
            let new: Vec<_> = given.difference(&held).cloned().collect();
            member.generation = self.generation;
            member.asked = true;
            if gone.is_empty() {
                member.owned.extend(new.iter().cloned());
                // Also where it is nothing: the others wait until it is taken.
                member.events.push_back(Event::Assigned(new));
            } else {
                member.next = Some(new);
                member.events.push_back(Event::Revoked { partitions: gone, lost: false });
            }
        }
    }

    /// Whether a transaction may commit offsets in this name. An empty member id with no generation passes whoever owns
    /// the partitions, and so does any name without a generation while nobody is in the group: Kafka's rules.
    pub fn admits(&self, who: &Membership) -> Result<(), Refused> {
        if who.generation < 0 && (self.members.is_empty() || who.member.is_empty()) {
            return Ok(());
        }
        if !self.members.contains_key(&who.member) {
            return Err(Refused::UnknownMember);
        }
        if who.generation != self.generation { Err(Refused::IllegalGeneration) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> BTreeSet<String> {
        ["t".to_string()].into()
    }

    fn tps(partitions: &[i32]) -> Vec<TopicPartition> {
        partitions.iter().map(|p| TopicPartition::new("t", *p)).collect()
    }

    #[test]
    fn what_moves_is_released_before_it_is_given_on() {
        let partitions = [("t", 4)].into();
        let nothing = || vec![Event::Assigned(vec![])];
        let mut group = Group::default();
        let a = group.join("a", topics(), 0);
        group.balance(&partitions);
        assert_eq!(group.events(&a), [Event::Assigned(tps(&[0, 1, 2, 3]))]);
        let b = group.join("b", topics(), 0);
        group.balance(&partitions);
        assert_eq!(group.generation, 1, "a has not answered");
        group.taken(&a);
        group.balance(&partitions);
        assert_eq!((group.generation_of(&a), group.generation_of(&b)), (Some(2), Some(2)));
        assert_eq!(group.events(&a), [Event::Revoked { partitions: tps(&[2, 3]), lost: false }]);
        assert_eq!(group.events(&b), nothing());
        group.taken(&b);
        group.released(&a, &tps(&[2, 3]));
        group.balance(&partitions);
        assert_eq!((group.generation, group.events(&a)), (2, nothing()), "a has something to take, if nothing");
        group.taken(&a);
        group.balance(&partitions);
        assert_eq!((group.events(&a), group.events(&b)), (nothing(), vec![Event::Assigned(tps(&[2, 3]))]));
        group.remove(&b);
        group.taken(&a);
        group.balance(&partitions);
        assert_eq!(group.events(&a), [Event::Assigned(tps(&[2, 3]))]);
    }

    #[test]
    fn who_may_commit() {
        let mut group = Group::default();
        let who = |member: &str, generation| Membership {
            group: "g".into(),
            member: member.into(),
            generation,
            instance: None,
        };
        assert_eq!(group.admits(&who("x", -1)), Ok(()));
        assert_eq!(group.admits(&who("x", 1)), Err(Refused::UnknownMember));
        let a = group.join("a", topics(), 0);
        group.balance(&BTreeMap::new());
        assert_eq!(group.admits(&who(&a, 1)), Ok(()));
        assert_eq!(group.admits(&who(&a, 0)), Err(Refused::IllegalGeneration));
        assert_eq!(group.admits(&who(&a, -1)), Err(Refused::IllegalGeneration));
        assert_eq!(group.admits(&who("x", 1)), Err(Refused::UnknownMember));
        assert_eq!(group.admits(&who("", -1)), Ok(()));
    }
}
