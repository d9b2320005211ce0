//! What a record is, where it lands, and which ones are refused.

use std::time::{SystemTime, UNIX_EPOCH};

use highwater::log::*;

use crate::support::{DEADLINE, wait_until};
use crate::world::*;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Appends records and reads them back.
fn round_trip(world: &World, tp: &TopicPartition, records: &[Outgoing<'_>]) -> Vec<Seen> {
    let mut appender = world.appender();
    for record in records {
        assert_eq!(appender.send(record), Ok(Sent::Queued));
    }
    appender.flush(WAIT).unwrap();
    world.committed(tp)
}

pub fn null_and_empty_are_two_things(world: &World) {
    let tp = world.partition("t");
    let fields = [None, Some(&b""[..]), Some(&b"x"[..])];
    let pairs: Vec<_> = fields.iter().flat_map(|key| fields.iter().map(move |value| (*key, *value))).collect();
    let outgoing: Vec<_> = pairs.iter().map(|&(key, value)| Outgoing { key, value, ..record(&tp, "", "") }).collect();
    let seen = round_trip(world, &tp, &outgoing);
    let seen: Vec<_> = seen.iter().map(|s| (s.key.as_deref(), s.value.as_deref())).collect();
    assert_eq!(seen, pairs);
}

pub fn headers_keep_order_names_and_bytes(world: &World) {
    let tp = world.partition("t");
    let all: Vec<u8> = (0..=255).collect();
    let headers: [(&str, Option<&[u8]>); 6] = [
        ("b", Some(b"1")),
        ("a", None),
        ("b", Some(b"")),
        ("b", Some(b"1")),
        ("ä", Some(&all)),
        ("", Some(b"unnamed")),
    ];
    let seen =
        round_trip(world, &tp, &[Outgoing { headers: &headers, ..record(&tp, "k", "v") }, record(&tp, "k", "v")]);
    let expected: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(seen[0].headers, expected);
    assert_eq!(seen[1].headers, []);
}

pub fn headers_survive_a_transaction(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    let headers: [(&str, Option<&[u8]>); 2] = [("one", Some(b"1")), ("none", None)];
    let out = Outgoing { headers: &headers, timestamp: Some(123_456), ..record(&tp, "k", "v") };
    assert_eq!(producer.send(&out), Ok(Sent::Queued));
    commit(producer.as_mut());
    let seen = world.committed(&tp);
    assert_eq!(seen[0].headers, [("one".to_string(), Some(b"1".to_vec())), ("none".to_string(), None)]);
    assert_eq!((seen[0].timestamp, seen[0].key.as_deref()), (Some(123_456), Some(&b"k"[..])));
}

pub fn timestamps_are_the_senders(world: &World) {
    let tp = world.partition("t");
    let given = [1, 1_700_000_000_123, 1_500_000_000_000];
    let mut outgoing: Vec<_> =
        given.iter().map(|&ts| Outgoing { timestamp: Some(ts), ..record(&tp, "k", "given") }).collect();
    outgoing.push(record(&tp, "k", "default"));
    // Zero is the client library's word for now.
    outgoing.push(Outgoing { timestamp: Some(0), ..record(&tp, "k", "zero") });
    let before = now_ms();
    let seen = round_trip(world, &tp, &outgoing);
    let after = now_ms();
    let stamps: Vec<i64> = seen.iter().map(|s| s.timestamp.unwrap()).collect();
    assert_eq!(stamps[..3], given);
    assert!(stamps[3..].iter().all(|ts| (before..=after).contains(ts)), "{before} {stamps:?} {after}");
}

pub fn large_values_come_back_byte_for_byte(world: &World) {
    let tp = world.partition("t");
    let noise = noise(900_000);
    let outgoing: Vec<_> =
        [&noise[..], &[0; 1000]].iter().map(|value| Outgoing { value: Some(value), ..record(&tp, "k", "") }).collect();
    let seen = round_trip(world, &tp, &outgoing);
    assert!(seen[0].value.as_deref() == Some(&noise[..]) && seen[1].value.as_deref() == Some(&[0; 1000][..]));
}

/// Where Java's producers put the same keys. The first six hashes are those of Kafka's own tests.
pub fn keys_choose_partitions_by_murmur2(world: &World) {
    let hashes: [(&str, i32); 7] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681),
    ];
    const PARTITIONS: i32 = 7;
    let topic = world.topic("t", PARTITIONS, &[]);
    let (any, mut appender) = (TopicPartition::new(topic.as_str(), 0), world.appender());
    for (key, _) in hashes {
        let out = Outgoing { partition: None, ..record(&any, key, key) };
        assert_eq!(appender.send(&out), Ok(Sent::Queued));
    }
    appender.flush(WAIT).unwrap();
    let mut found = Vec::new();
    for p in 0..PARTITIONS {
        found.extend(world.committed(&TopicPartition::new(topic.as_str(), p)));
    }
    for (key, hash) in hashes {
        let seen = found.iter().find(|s| s.key.as_deref() == Some(key.as_bytes())).expect("the record");
        assert_eq!(seen.tp.partition, (hash & 0x7fff_ffff) % PARTITIONS, "{key:?}");
    }
}

pub fn records_without_keys_go_anywhere(world: &World) {
    let topic = world.topic("t", 3, &[]);
    let tp = TopicPartition::new(topic.as_str(), 0);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    for _ in 0..50 {
        let out = Outgoing { partition: None, key: None, ..record(&tp, "", "value") };
        assert_eq!(producer.send(&out), Ok(Sent::Queued));
    }
    commit(producer.as_mut());
    let found: usize = (0..3).map(|p| world.committed(&TopicPartition::new(topic.as_str(), p)).len()).sum();
    assert_eq!(found, 50);
}

pub fn a_chosen_partition_beats_the_key(world: &World) {
    let topic = world.topic("t", 3, &[]);
    let mut appender = world.appender();
    for p in 0..3 {
        append(appender.as_mut(), &TopicPartition::new(topic.as_str(), p), "value");
    }
    (0..3).for_each(|p| assert_eq!(world.committed(&TopicPartition::new(topic.as_str(), p)).len(), 1));
}

/// The first of send and commit that fails, in a transaction that has a good record too.
#[track_caller]
fn refused(world: &World, id: &str, bad: &Outgoing<'_>) -> (&'static str, LogError) {
    let good = world.partition(id);
    let mut producer = world.producer(id);
    producer.begin().unwrap();
    send(producer.as_mut(), &good, "never");
    world.wait_for_end(&good, 1);
    let error = match producer.send(bad) {
        Err(error) => ("send", error),
        Ok(_) => wait_until(DEADLINE, "a refusal", || match producer.commit(WAIT) {
            Ok(Ended::Pending) => None,
            Ok(done) => panic!("{done:?}"),
            Err(error) => Some(("commit", error)),
        }),
    };
    // What the engine does before it ends; a good record does not come into sight by it, nor after a new start.
    abort(producer.as_mut());
    drop(producer);
    let _next = world.producer(id);
    assert_eq!(world.committed(&good), vec![]);
    error
}

pub fn an_unknown_topic_fails_the_commit(world: &World) {
    let nowhere = TopicPartition::new(world.name("nowhere"), 0);
    for (id, partition) in [("chosen", Some(0)), ("by-key", None)] {
        let (call, error) = refused(world, id, &Outgoing { partition, ..record(&nowhere, "key", "value") });
        assert_eq!(call, "commit");
        demands::<()>(Err(error), "stop");
    }
    assert_eq!(world.admin().describe(&nowhere.topic), Ok(None), "it is not created by the way");
}

pub fn an_unknown_partition_is_refused(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let (_, error) = refused(world, "id", &record(&TopicPartition::new(topic.as_str(), 2), "key", "value"));
    demands::<()>(Err(error), "stop");
}

/// The size that counts is the batch's, after compression: noise, then.
pub fn a_record_beyond_the_topics_limit_fails_the_commit(world: &World) {
    let tp = TopicPartition::new(world.topic("t", 1, &[("max.message.bytes", "2000")]), 0);
    let noise = noise(3000);
    let (call, error) = refused(world, "id", &Outgoing { value: Some(&noise), ..record(&tp, "key", "") });
    assert_eq!(call, "commit");
    demands::<()>(Err(error), "stop");
    // The partition was part of the transaction: it got the abort's marker, though no record.
    world.wait_for_end(&tp, 1);
    let mut appender = world.appender();
    assert_eq!(appender.send(&Outgoing { value: Some(&noise[..1000]), ..record(&tp, "key", "") }), Ok(Sent::Queued));
    appender.flush(WAIT).unwrap();
    assert_eq!(appender.send(&Outgoing { value: Some(&noise), ..record(&tp, "key", "") }), Ok(Sent::Queued));
    demands(appender.flush(WAIT), "stop");
    assert_eq!(world.end(&tp), 2);
}

/// The limit is one of batches: many records that are each small enough must not be one batch that is not.
pub fn batches_stay_below_the_limit(world: &World) {
    let tp = TopicPartition::new(world.topic("t", 1, &[("max.message.bytes", "4000")]), 0);
    let log = world.client(&world.group(), LONG);
    log.limit_batches(4000);
    let mut producer = producer(log.as_ref(), &world.name("id"));
    let noise = noise(200 * 100);
    producer.begin().unwrap();
    for value in noise.chunks(100) {
        let out = Outgoing { value: Some(value), ..record(&tp, "key", "") };
        assert_eq!(producer.send(&out), Ok(Sent::Queued));
    }
    commit(producer.as_mut());
    let seen = world.committed(&tp);
    assert!(seen.iter().map(|s| s.value.as_deref()).eq(noise.chunks(100).map(Some)), "{}", seen.len());
}

pub fn a_compacted_topic_refuses_records_without_keys(world: &World) {
    let tp = TopicPartition::new(world.topic("t", 1, &[("cleanup.policy", "compact")]), 0);
    let (call, error) = refused(world, "id", &Outgoing { key: None, ..record(&tp, "", "value") });
    assert_eq!(call, "commit");
    demands::<()>(Err(error), "stop");
    world.wait_for_end(&tp, 1);
    // An empty key is a key.
    let seen = round_trip(world, &tp, &[record(&tp, "", "value")]);
    assert_eq!(places(&seen), lines(&[(1, "value")]));
}

/// What was refused does not poison the transactions after it for good. The next one may have to be aborted too: the
/// refused record left a gap in the sequence.
pub fn a_producer_goes_on_after_a_refused_record(world: &World) {
    let compacted = TopicPartition::new(world.topic("t", 1, &[("cleanup.policy", "compact")]), 0);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    assert_eq!(producer.send(&Outgoing { key: None, ..record(&compacted, "", "bad") }), Ok(Sent::Queued));
    demands(producer.commit(WAIT), "stop");
    abort(producer.as_mut());
    wait_until(DEADLINE, "a commit", || {
        producer.begin().unwrap();
        send(producer.as_mut(), &compacted, "good");
        let ended = producer.commit(WAIT);
        if ended.is_err() {
            demands(ended, "rejoin");
            abort(producer.as_mut());
            return None;
        }
        assert_eq!(ended, Ok(Ended::Done));
        Some(())
    });
    assert_eq!(values(&world.committed(&compacted)), ["good"]);
}

pub fn an_appender_is_told_of_what_was_refused(world: &World) {
    let nowhere = TopicPartition::new(world.name("nowhere"), 0);
    let tp = world.partition("t");
    let mut appender = world.appender();
    assert_eq!(appender.send(&record(&nowhere, "key", "value")), Ok(Sent::Queued));
    demands(appender.flush(WAIT), "stop");
    // It is told for good: nobody goes on beside a hole.
    assert_eq!(appender.send(&record(&tp, "key", "value")), Ok(Sent::Queued));
    demands(appender.flush(WAIT), "stop");
    assert_eq!(values(&world.committed(&tp)), ["value"]);
}
