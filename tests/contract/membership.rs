//! Whose offsets the group takes: what it fences, and what it lets by.

use highwater::log::*;

use crate::member::{Member, commit_offset, owner, told};
use crate::world::*;

/// A refusal by the group: the transaction can only be aborted, and the producer goes on.
#[track_caller]
fn refused(world: &World, tp: &TopicPartition, who: &Membership) {
    let out = world.partition(&format!("beside-{}", tp.partition));
    let mut producer = world.producer("refused");
    producer.begin().unwrap();
    send(producer.as_mut(), &out, "never");
    demands(producer.send_offsets(&[(tp.clone(), 99)], who, WAIT), "rejoin");
    demands(producer.commit(WAIT), "rejoin");
    abort(producer.as_mut());
    assert_ne!(told(world, tp), Some(99));
    assert_eq!(world.committed(&out), vec![]);
    producer.begin().unwrap();
    send(producer.as_mut(), &out, "good");
    commit(producer.as_mut());
    assert_eq!(values(&world.committed(&out)), ["good"]);
}

pub fn a_stale_generation_is_refused(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    refused(world, &tp, &Membership { generation: who.generation - 1, ..who });
}

pub fn a_generation_to_come_is_refused(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    refused(world, &tp, &Membership { generation: who.generation + 1, ..who });
}

pub fn an_unknown_member_is_refused(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    refused(world, &tp, &Membership { member: "stranger".into(), ..who });
}

pub fn a_member_that_left_is_refused(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    member.leave();
    refused(world, &tp, &who);
}

pub fn a_member_of_a_group_that_is_not_there_is_refused(world: &World) {
    let tp = world.partition("t");
    let who = Membership { group: world.group(), member: "stranger".into(), generation: 1, instance: None };
    refused(world, &tp, &who);
}

/// A negative generation skips the fencing only where the group is empty.
pub fn a_member_without_a_generation_is_refused(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    refused(world, &tp, &Membership { generation: -1, ..who });
}

pub fn an_unknown_member_without_a_generation_passes_an_empty_group(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    member.leave();
    commit_offset(world.producer("id").as_mut(), &tp, 9, &Membership { generation: -1, ..who });
    assert_eq!(told(world, &tp), Some(9));
}

/// The bypass: what the client library says between two generations is not fenced at all.
pub fn nobody_passes_a_group_with_members(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let nobody = Membership { member: String::new(), generation: -1, ..who };
    commit_offset(world.producer("id").as_mut(), &tp, 9, &nobody);
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(9)]);
}

pub fn nobody_passes_a_group_that_is_not_there(world: &World) {
    let tp = world.partition("t");
    let nobody = Membership { group: world.group(), member: String::new(), generation: -1, instance: None };
    commit_offset(world.producer("id").as_mut(), &tp, 9, &nobody);
    assert_eq!(told(world, &tp), Some(9));
}

/// An empty member id with a generation is somebody unknown.
pub fn nobody_with_a_generation_is_refused(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    refused(world, &tp, &Membership { member: String::new(), ..who });
}

/// The group fences members, not owners: whose partition it is, is between its members.
pub fn a_member_may_commit_for_partitions_of_others(world: &World) {
    let (tp, other) = (world.partition("t"), world.partition("other"));
    let (mut member, who) = owner(world, &tp);
    commit_offset(world.producer("id").as_mut(), &other, 9, &who);
    assert_eq!(member.committed_now(std::slice::from_ref(&other)), [Some(9)]);
}

/// The client joins in the background: from the subscription on it may have one at any moment.
pub fn membership_needs_a_subscription(world: &World) {
    let tp = world.partition("t");
    let mut member = Member::new(world.log());
    demands(member.membership(), "rejoin");
    member.follow(&[&tp.topic]);
    member.until_owning(1);
    let who = member.membership().unwrap();
    assert_eq!((who.group, who.instance), (world.group(), None));
    member.leave();
    demands(member.membership(), "rejoin");
}

pub fn offsets_of_a_topic_that_is_not_there_are_refused(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    refused(world, &TopicPartition::new(world.name("nowhere"), 0), &who);
    refused(world, &TopicPartition::new(tp.topic, 1), &who);
}
