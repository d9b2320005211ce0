//! Topics: made, described, deleted, and what is left of them.

use std::time::Duration;

use highwater::log::*;

use crate::support::{DEADLINE, wait_until};
use crate::world::*;

fn described(world: &World, topic: &str) -> TopicInfo {
    patiently("describe", || world.admin().describe(topic)).expect("a topic")
}

fn delete(world: &World, topic: &str) {
    patiently("delete", || world.admin().delete(topic));
    wait_until(DEADLINE, "a topic to go", || (world.admin().describe(topic) == Ok(None)).then_some(()));
}

pub fn a_topic_is_described(world: &World) {
    assert_eq!(world.admin().describe(&world.name("nowhere")), Ok(None));
    let plain = described(world, &world.topic("plain", 3, &[]));
    assert_eq!((plain.partitions, plain.compacted_only), (3, false));
    assert_eq!((plain.max_message_bytes, plain.delete_retention), (DEFAULT_MESSAGE_LIMIT, Duration::from_secs(86_400)));
    assert_ne!(plain.id, [0; 16]);
}

pub fn settings_are_told(world: &World) {
    for (policy, compacted_only) in [("compact", true), ("delete", false), ("compact,delete", false)] {
        let settings = [("cleanup.policy", policy), ("max.message.bytes", "123456"), ("delete.retention.ms", "5000")];
        let info = described(world, &world.topic(&policy.replace(',', "-"), 1, &settings));
        assert_eq!(info.compacted_only, compacted_only, "{policy}");
        assert_eq!((info.max_message_bytes, info.delete_retention), (123_456, Duration::from_secs(5)));
    }
}

pub fn a_changelog_is_compacted(world: &World) {
    let topic = world.name("changelog");
    patiently("create", || world.admin().create_changelog(&topic, 2));
    let info = described(world, &topic);
    assert_eq!((info.partitions, info.compacted_only), (2, true));
}

pub fn created_twice_is_no_error(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let before = described(world, &topic);
    append(world.appender().as_mut(), &TopicPartition::new(topic.as_str(), 0), "value");
    assert_eq!(world.admin().create(&topic, 5, &[("cleanup.policy", "compact")]), Ok(()));
    assert_eq!(described(world, &topic), before, "it is the first that counts");
    assert_eq!(world.end(&TopicPartition::new(topic.as_str(), 0)), 1);
}

pub fn topics_cannot_be_made_of_nonsense(world: &World) {
    for (topic, partitions, settings) in [
        (world.name("none"), 0, &[][..]),
        (world.name("bad/name"), 1, &[]),
        (String::new(), 1, &[]),
        ("x".repeat(250), 1, &[]),
        (world.name("setting"), 1, &[("no.such.setting", "1")]),
        (world.name("policy"), 1, &[("cleanup.policy", "hoard")]),
        (world.name("number"), 1, &[("max.message.bytes", "many")]),
    ] {
        assert!(world.admin().create(&topic, partitions, settings).is_err(), "{topic} {settings:?}");
        assert!(!world.admin().topics().unwrap().contains(&topic));
    }
}

pub fn topics_are_listed(world: &World) {
    let names = ["a", "b"].map(|what| world.topic(what, 1, &[]));
    let listed = world.admin().topics().unwrap();
    names.iter().for_each(|name| assert!(listed.contains(name), "{listed:?}"));
    assert!(!listed.contains(&world.name("c")));
    delete(world, &names[0]);
    wait_until(DEADLINE, "the list without it", || {
        let listed = world.admin().topics().unwrap();
        assert!(listed.contains(&names[1]));
        (!listed.contains(&names[0])).then_some(())
    });
}

pub fn a_topic_made_again_is_another(world: &World) {
    let tp = world.partition("t");
    ["a", "b"].iter().for_each(|value| append(world.appender().as_mut(), &tp, value));
    let before = described(world, &tp.topic);
    delete(world, &tp.topic);
    assert_eq!(world.partition("t"), tp);
    let after = described(world, &tp.topic);
    assert_ne!(after.id, before.id);
    assert_eq!(TopicInfo { id: before.id, ..after }, before);
    assert_eq!(world.bounds(&tp), Bounds { start: 0, end: 0 });
    append(world.appender().as_mut(), &tp, "c");
    assert_eq!(places(&world.committed(&tp)), lines(&[(0, "c")]));
}

pub fn deleting_what_is_not_there_is_no_error(world: &World) {
    assert_eq!(world.admin().delete(&world.name("nowhere")), Ok(()));
    let topic = world.topic("t", 1, &[]);
    delete(world, &topic);
    assert_eq!(world.admin().delete(&topic), Ok(()));
}

pub fn bounds_count_open_transactions(world: &World) {
    let tp = world.partition("t");
    assert_eq!(world.bounds(&tp), Bounds { start: 0, end: 0 });
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "open");
    world.wait_for_end(&tp, 1);
    assert_eq!(world.bounds(&tp), Bounds { start: 0, end: 1 });
}

pub fn what_is_not_there_has_no_bounds(world: &World) {
    let topic = world.topic("t", 1, &[]);
    demands(world.admin().bounds(&TopicPartition::new(topic.as_str(), 1)), "retry");
    demands(world.admin().bounds(&TopicPartition::new(world.name("nowhere"), 0)), "retry");
}

/// The rest of the transaction commits as if nothing had been.
pub fn a_topic_goes_under_an_open_transaction(world: &World) {
    let (tp, other) = (world.partition("t"), world.partition("other"));
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "never");
    send(producer.as_mut(), &other, "other");
    world.wait_for_end(&tp, 1);
    world.wait_for_end(&other, 1);
    delete(world, &tp.topic);
    assert_eq!(producer.commit(WAIT), Ok(Ended::Done));
    assert_eq!(values(&world.committed(&other)), ["other"]);
    assert_eq!(world.partition("t"), tp);
    assert_eq!(world.bounds(&tp), Bounds { start: 0, end: 0 }, "no marker for the one that went");
    append(world.appender().as_mut(), &tp, "new");
    assert_eq!(values(&world.committed(&tp)), ["new"]);
}
