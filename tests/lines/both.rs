//! What holds on a real Kafka as on the embedded log.

use std::fs;

use serde_json::Value;

use crate::command::Running;
use crate::place::{Place, numbered};
use crate::support::topics::Read;
use crate::support::{DEADLINE, Dir, Line, wait_until};

/// Every case below, on both logs.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod kafka { $(#[test] fn $case() { super::$case(&super::Place::kafka(stringify!($case))) })* }
        mod embedded { $(#[test] fn $case() { super::$case(&super::Place::embedded(stringify!($case))) })* }
    };
}

on_both![
    every_record_comes_back_as_it_was,
    plain_lines_and_tombstones,
    partitions_by_key_by_line_and_by_flag,
    where_reading_begins_and_ends,
    the_last_records_are_counted_not_their_offsets,
    a_bad_line_stops_after_those_before_it,
    a_transaction_is_all_or_nothing,
    a_signal_writes_what_was_read_or_nothing_of_a_transaction,
    nobody_reads_on,
    names_that_are_not_there,
    what_an_open_transaction_holds_back,
    too_large_is_told_with_its_line,
    many_lines_in_little_memory,
];

/// Everything a record may be made of.
fn awkward(topic: &str) -> Vec<Line> {
    let fields: [Option<&[u8]>; 8] = [
        None,
        Some(b""),
        Some(b"null"),
        Some("Zo\u{eb} \u{1f600}".as_bytes()),
        Some(b"a\tb\nc\r\nd\0e\x7f\x1b\"\\/"),
        Some(b" { \"a\" : 12345678901234567890.10 } "),
        Some(b"\xff\xfe\0"),
        Some(b"half \xc3"),
    ];
    let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
    let mut lines = Vec::new();
    for (k, key) in fields.into_iter().enumerate() {
        for (v, value) in fields.into_iter().enumerate() {
            let n = k * fields.len() + v;
            let headers = match n % 3 {
                0 => vec![],
                1 => vec![("trace".to_string(), owned(value)), ("trace".to_string(), owned(key))],
                _ => {
                    vec![("\u{eb} \"x\"\n".to_string(), None), (String::new(), Some(vec![])), ("n".into(), owned(key))]
                }
            };
            lines.push(Line {
                topic: topic.into(),
                partition: Some(n as i32 % 3),
                key: owned(key),
                value: owned(value),
                headers,
                timestamp: Some(1_700_000_000_000 + n as i64),
                captured_offset: None,
            });
        }
    }
    lines
}

fn every_record_comes_back_as_it_was(log: &Place) {
    let copy = Place { topic: format!("{}.copy", log.topic), dir: Dir::new("lines"), kafka: log.kafka };
    log.create(&log.topic, 3, &[]);
    copy.create(&copy.topic, 3, &[]);
    log.write(&awkward(&log.topic));
    let dump = log.consume(&["--format", "json"]).ended(0).silent().stdout;
    assert_eq!(dump.lines().count(), 64);
    dump.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("JSON")));
    let renamed = |text: &str, from: &str, to: &str| {
        text.replace(&format!("{{\"topic\":\"{from}\","), &format!("{{\"topic\":\"{to}\","))
    };
    let input = renamed(&dump, &log.topic, &copy.topic);
    copy.produce(&["--format", "json"], &input).ended(0).says(&["64 records written to"]);
    // By a reader that has nothing to do with the command.
    assert_eq!(copy.read(&copy.topic), log.read(&log.topic));
    let again = copy.consume(&["--format", "json"]).ended(0).silent().stdout;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&renamed(&again, &copy.topic, &log.topic)), sorted(&dump));
    // Another topic's records do not get in by themselves.
    copy.produce(&["--format", "json"], &dump).ended(1).says(&[
        "stdin:1: ",
        "jq -c 'del(.topic)'",
        "0 records written",
    ]);
}

fn plain_lines_and_tombstones(log: &Place) {
    log.create(&log.topic, 1, &[]);
    let input = "k\tv\nno key\nk2\t\nk3\tNULL\nNULL\tw\nk4\tv\tw\n\nlast\tline";
    log.produce(&["--null", "NULL"], input).ended(0).says(&["8 records written to"]);
    let text = |field: &Option<Vec<u8>>| field.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let found: Vec<_> = log.read(&log.topic).iter().map(|read| (text(&read.key), text(&read.value))).collect();
    let want = [
        (Some("k"), Some("v")),
        (None, Some("no key")),
        (Some("k2"), Some("")),
        (Some("k3"), None),
        (None, Some("w")),
        (Some("k4"), Some("v\tw")),
        (None, Some("")),
        (Some("last"), Some("line")),
    ];
    assert_eq!(found, want.map(|(k, v)| (k.map(str::to_string), v.map(str::to_string))));
    let marked = log.consume(&["--null", "NULL"]).ended(0).silent().stdout;
    assert_eq!(marked, "k\tv\nNULL\tno key\nk2\t\nk3\tNULL\nNULL\tw\nk4\tv\tw\nNULL\t\nlast\tline\n");
    let plain = log.consume(&[]).ended(0).says(&["offset 3 of", "--null"]).stdout;
    assert_eq!(plain, "k\tv\nno key\nk2\t\nk3\t\nw\nk4\tv\tw\n\nlast\tline\n");
    assert_eq!(log.consume(&["--format", "key"]).ended(0).silent().stdout, "k\n\nk2\nk3\n\nk4\n\nlast\n");
    let values = log.consume(&["--format", "value", "--null", "-"]).ended(0).silent().stdout;
    assert_eq!(values, "v\nno key\n\n-\nw\nv\tw\n\nline\n");
    log.produce(&["--separator", "::"], "a::b\tc\n").ended(0);
    let last = ["--from", "-1", "--separator", "=>"];
    assert_eq!(log.consume(&last).ended(0).silent().stdout, "a=>b\tc\n");
    // Without a marker every text is a text.
    log.produce(&[], "k\tNULL\n").ended(0);
    assert_eq!(log.read(&log.topic).last().expect("a record").value.as_deref(), Some(&b"NULL"[..]));
}

fn partitions_by_key_by_line_and_by_flag(log: &Place) {
    log.create(&log.topic, 4, &[]);
    // Kafka's own test vectors of murmur2, modulo 4.
    let known = [
        ("21", 0),
        ("foobar", 2),
        ("a-little-bit-long-string", 0),
        ("a-little-bit-longer-string", 3),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 1),
        ("abc", 3),
    ];
    log.produce(&[], known.map(|(key, _)| format!("{key}\tv\n")).concat()).ended(0);
    let placed = |reads: &[Read]| -> Vec<(String, i32)> {
        let key = |read: &Read| String::from_utf8(read.key.clone().expect("a key")).expect("UTF-8");
        let mut placed: Vec<_> = reads.iter().map(|read| (key(read), read.partition)).collect();
        placed.sort();
        placed
    };
    let first = log.read(&log.topic);
    let mut want = known.map(|(key, partition)| (key.to_string(), partition)).to_vec();
    want.sort();
    assert_eq!(placed(&first), want);
    let dump = log.consume(&["--format", "json"]).ended(0).stdout;
    let here = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line["partition"] = 3.into();
        format!("{line}\n")
    };
    let all_on_three: String = dump.lines().map(here).collect();
    let mut count = first.len();
    let mut newest = |args: &[&str], input: &str| {
        let before = placed(&log.read(&log.topic));
        log.produce(args, input).ended(0);
        let mut after = placed(&log.read(&log.topic));
        before.iter().for_each(|old| drop(after.remove(after.iter().position(|new| new == old).expect("kept"))));
        count += known.len();
        assert_eq!(before.len() + after.len(), count);
        after
    };
    let on_three: Vec<(String, i32)> = want.iter().map(|(key, _)| (key.clone(), 3)).collect();
    assert_eq!(newest(&["--format", "json"], &all_on_three), on_three);
    assert_eq!(newest(&["--format", "json", "--partition", "3"], &dump), on_three);
    assert_eq!(newest(&["--format", "json", "--partition", "key"], &all_on_three), want);
    log.produce(&["--partition", "4"], "k\tv\n").ended(1).says(&["stdin:1: there is no partition 4", "last one is 3"]);
}

fn where_reading_begins_and_ends(log: &Place) {
    let topic = log.topic.as_str();
    log.create(topic, 2, &[]);
    log.write(&[numbered(topic, 0, 0..10), numbered(topic, 1, 100..105)].concat());
    let keys = |args: &[&str]| log.lines(&[&["--format", "key"], args].concat());
    let named = |numbers: &[i32]| {
        let mut names: Vec<String> = numbers.iter().map(|n| format!("k{n}")).collect();
        names.sort();
        names
    };
    let all: Vec<i32> = (0..10).chain(100..105).collect();
    assert_eq!(keys(&[]), named(&all));
    assert_eq!(keys(&["--from", "earliest"]), named(&all));
    assert_eq!(keys(&["--from", "latest"]), named(&[]));
    assert_eq!(keys(&["--from", "8"]), named(&[8, 9]));
    assert_eq!(keys(&["--from", "3"]), named(&[3, 4, 5, 6, 7, 8, 9, 103, 104]));
    assert_eq!(keys(&["--from", "1000"]), named(&[]));
    assert_eq!(keys(&["--from=-2"]), named(&[8, 9, 103, 104]));
    assert_eq!(keys(&["--from", "-7"]), named(&[3, 4, 5, 6, 7, 8, 9, 100, 101, 102, 103, 104]));
    assert_eq!(keys(&["--partition", "1"]), named(&[100, 101, 102, 103, 104]));
    assert_eq!(keys(&["--partition", "1", "--partition", "0", "--from", "-1"]), named(&[9, 104]));
    assert_eq!(keys(&["--partition", "0,1", "--from", "9"]), named(&[9]));
    assert_eq!(keys(&["--partition", "0", "--from", "4", "--count", "3"]), named(&[4, 5, 6]));
    assert_eq!(keys(&["--count", "4"]).len(), 4);
    assert_eq!(keys(&["--partition", "0", "--from", "latest", "--count", "3"]), named(&[]));
    log.consume(&["--partition", "2"]).ended(1).says(&["no partition 2", "last one is 1"]);
    // Input, too, ends where that is said.
    log.produce(&["--count", "2", "--partition", "0"], "k10\tv\nk11\tv\nk12\tv\n").ended(0).says(&["2 records"]);
    assert_eq!(keys(&["--partition", "0", "--from", "9"]), named(&[9, 10, 11]));
    // Several topics at once.
    let other = format!("{topic}.other");
    log.create(&other, 1, &[]);
    log.write(&numbered(&other, 0, 200..202));
    assert_eq!(keys(&["--from", "9", &other]), named(&[9, 10, 11]));
    let topics = log.lines(&["--format", "json", "--from", "-1", &other]);
    let topics: Vec<Value> = topics.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(topics.iter().filter(|line| line["topic"] == other).count(), 1);
    assert_eq!(topics.iter().filter(|line| line["topic"] == topic).count(), 2);
}

fn the_last_records_are_counted_not_their_offsets(log: &Place) {
    let topic = log.topic.as_str();
    log.create(topic, 1, &[]);
    log.write(&numbered(topic, 0, 0..5));
    for n in 5..45 {
        log.transaction(&numbered(topic, 0, n..n + 1), Some(true));
        log.transaction(&numbered(topic, 0, 1000..1003), Some(false));
    }
    let last = |n: i32| log.consume(&["--format", "key", &format!("--from=-{n}")]).ended(0).stdout;
    for n in [1, 2, 39, 40, 43, 45] {
        let want: String = (45 - n..45).map(|n| format!("k{n}\n")).collect();
        assert_eq!(last(n), want, "the last {n}");
    }
    assert_eq!(last(100).lines().count(), 45);
    // Of aborted ones, only who wants to see them.
    let args = ["--format", "key", "--from=-3", "--isolation", "read_uncommitted"];
    assert_eq!(log.consume(&args).ended(0).stdout, "k1000\nk1001\nk1002\n");
    assert_eq!(log.consume(&["--format", "key"]).ended(0).stdout.lines().count(), 45);
}

fn a_bad_line_stops_after_those_before_it(log: &Place) {
    log.create(&log.topic, 1, &[]);
    let file = log.dir.join("rows.jsonl");
    let good: String = (0..3).map(|n| format!("{{\"key\":\"k{n}\",\"value\":{n}}}\n")).collect();
    fs::write(&file, format!("{good}\n{{\"key\":\"k\",\"vlaue\":\"CANARY\"}}\n{good}")).expect("a file");
    let args = ["--format", "json", "-i", "rows.jsonl"];
    let said = log.produce(&args, "").ended(1);
    let said =
        said.says(&["error: rows.jsonl:5: unknown field `vlaue`, did you mean `value`?", "3 records written to"]);
    assert!(!said.stderr.contains("CANARY") && said.stdout.is_empty(), "{}", said.stderr);
    assert_eq!(log.lines(&[]), ["k0\t0", "k1\t1", "k2\t2"]);
    let said = log.produce(&["--format", "json", "-i", "rows.jsonl", "--transaction"], "").ended(1);
    said.says(&["rows.jsonl:5: ", "no record was written to", "the transaction was aborted"]);
    assert_eq!(log.lines(&[]), ["k0\t0", "k1\t1", "k2\t2"]);
    if let Some(broker) = log.kafka {
        // Also what was in the log already when the bad line came.
        let mut open = log.command("produce", &["--format", "json", "--transaction"]);
        open.write(&good);
        let before = broker.end_offsets(&log.topic)[&0];
        wait_until(DEADLINE, "records of an open transaction", || {
            (broker.end_offsets(&log.topic)[&0] >= before + 3).then_some(())
        });
        open.finish(b"[]\n").ended(1).says(&["stdin:4: expected an object", "the transaction was aborted"]);
        assert_eq!(log.lines(&[]), ["k0\t0", "k1\t1", "k2\t2"]);
        let uncommitted = log.lines(&["--isolation", "read_uncommitted"]);
        assert_eq!(uncommitted.iter().filter(|line| *line == "k0\t0").count(), 2);
    }
    log.produce(&["-i", "no/such/file"], "").ended(1).says(&["cannot read no/such/file"]);
    log.produce(&["--format", "json"], "[").ended(1).says(&["stdin:1: the JSON ends early", "0 records written"]);
}

fn a_transaction_is_all_or_nothing(log: &Place) {
    log.create(&log.topic, 2, &[]);
    log.produce(&["--transaction"], "").ended(0).says(&["0 records written to", "in one transaction"]);
    let lines: String = (0..20_000).map(|n| format!("k{n}\tv{n}\n")).collect();
    let said = log.produce(&["--transaction"], &lines).ended(0);
    said.says(&["20,000 records written to", "in one transaction"]);
    let reads = log.read(&log.topic);
    assert_eq!(reads.len(), 20_000);
    if let Some(broker) = log.kafka {
        // One marker a partition.
        let ends = broker.end_offsets(&log.topic);
        assert_eq!(ends.values().sum::<i64>(), 20_002);
        // Open, it is seen by who wants to, and by nobody else.
        let mut open = log.command("produce", &["--transaction", "--partition", "0"]);
        open.write("open\tyes\n");
        wait_until(DEADLINE, "a record of an open transaction", || {
            (broker.end_offsets(&log.topic)[&0] > ends[&0]).then_some(())
        });
        assert_eq!(broker.stable_offsets(&log.topic)[&0], ends[&0]);
        open.finish(b"second\tyes\n").ended(0).says(&["2 records written"]);
        assert_eq!(log.read(&log.topic).len(), 20_002);
    }
}

fn a_signal_writes_what_was_read_or_nothing_of_a_transaction(log: &Place) {
    log.create(&log.topic, 1, &[]);
    // More than is read ahead, so that some of it was sent when all of it is on its way.
    let lines: String = (0..40_000).map(|n| format!("k{n}\t{}\n", "v".repeat(100))).collect();
    let mut plain = log.command("produce", &[]);
    plain.write(&lines);
    plain.write("half of a line");
    if let Some(broker) = log.kafka {
        // A pause makes it visible, though the input goes on.
        wait_until(DEADLINE, "records of an open input", || {
            (broker.stable_offsets(&log.topic)[&0] == 40_000).then_some(())
        });
    }
    plain.signal("INT");
    let stdin = plain.stdin.take();
    let said = plain.finish(&[]).ended(130).says(&["interrupted\n", " written to "]);
    drop(stdin);
    let reads = log.read(&log.topic);
    assert!(!reads.is_empty());
    assert_eq!(
        said.stderr.replace(',', ""),
        format!("interrupted\n{} records written to {} before that\n", reads.len(), log.topic)
    );
    // From the first on, without a gap.
    reads.iter().enumerate().for_each(|(n, read)| assert_eq!(read.key, Some(format!("k{n}").into_bytes())));

    let mut whole = log.command("produce", &["--transaction"]);
    whole.write(&lines);
    whole.signal("TERM");
    let stdin = whole.stdin.take();
    whole.finish(&[]).ended(130).says(&["interrupted\n", "no record was written to", "was aborted"]);
    drop(stdin);
    assert_eq!(log.read(&log.topic).len(), reads.len());
}

fn nobody_reads_on(log: &Place) {
    log.create(&log.topic, 1, &[]);
    let value = "x".repeat(1000);
    let lines: String = (0..5_000).map(|n| format!("k{n}\t{value}\n")).collect();
    log.produce(&[], &lines).ended(0).says(&["5,000 records written"]);
    for args in [&[][..], &["--follow"]] {
        let mut head = log.command("consume", args);
        assert_eq!(head.line(), format!("k0\t{value}\n"));
        // More is to come than a pipe holds.
        drop(head.stdout.take());
        head.finish(&[]).ended(0).silent();
    }
}

fn names_that_are_not_there(log: &Place) {
    log.create(&log.topic, 1, &[]);
    let misspelt = Place { topic: format!("{}z", log.topic), dir: Dir::new("lines"), kafka: log.kafka };
    let args = log.args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let run = |command: &str, more: &[&str], input: &str| {
        let args = [&[command, &misspelt.topic], &args[..], more].concat();
        Running::start(&args, log.dir.path()).finish(input.as_bytes())
    };
    let meant = format!("did you mean `{}`?", log.topic);
    let said = run("consume", &[], "").ended(1).says(&[&format!("no topic `{}`", misspelt.topic), &meant]);
    assert_eq!(said.stdout, "");
    if let Some(broker) = log.kafka {
        let hint = format!("--create --topic {} --partitions 2", misspelt.topic);
        run("produce", &["--partitions", "2"], "k\tv\n").ended(1).says(&[&meant, &hint, "--create"]);
        assert!(!broker.topics().contains_key(&misspelt.topic));
    }
    let said = run("produce", &["--create", "--partitions", "2"], "k\tv\n").ended(0);
    said.says(&[&format!("made topic {} with 2 partitions", misspelt.topic), "1 record written to"]);
    if log.kafka.is_none() {
        let made = Place { topic: format!("{}.other", log.topic), dir: Dir::new("lines"), kafka: None };
        made.produce(&[], "k\tv\n").ended(0).says(&["made topic", "with 4 partitions"]);
        assert_eq!(made.lines(&[]), ["k\tv"]);
        made.produce(&[], "k\tw\n").ended(0);
        assert_eq!(made.lines(&[]), ["k\tv", "k\tw"]);
    }
    assert_eq!(run("consume", &[], "").ended(0).stdout, "k\tv\n");
    for wrong in ["a b", "..", "a/b", ""] {
        for command in ["produce", "consume"] {
            let args = [&[command, wrong], &args[..]].concat();
            Running::start(&args, log.dir.path()).finish(&[]).ended(2);
        }
    }
}

fn what_an_open_transaction_holds_back(log: &Place) {
    let topic = log.topic.as_str();
    log.create(topic, 2, &[]);
    log.write(&numbered(topic, 1, 100..103));
    log.transaction(&numbered(topic, 0, 0..3), Some(true));
    let open = match log.kafka {
        Some(broker) => Some(broker.begin("holds-back", &numbered(topic, 0, 3..5))),
        None => {
            log.transaction(&numbered(topic, 0, 3..5), None);
            None
        }
    };
    log.write(&numbered(topic, 0, 5..6));
    let key = ["--format", "key"];
    let said = log.consume(&[&key[..], &["--timeout", "300ms"]].concat()).ended(1);
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["k0", "k1", "k100", "k101", "k102", "k2"]);
    let place = format!("an open transaction at offset 4 of {topic}-0 holds back the rest, up to offset 7");
    said.says(&[&place, "--timeout", "--isolation read_uncommitted"]);
    // The other partition is not held up.
    assert_eq!(log.lines(&[&key[..], &["--partition", "1"]].concat()).len(), 3);
    let all = log.lines(&[&key[..], &["--isolation", "read_uncommitted"]].concat());
    assert_eq!(all, ["k0", "k1", "k100", "k101", "k102", "k2", "k3", "k4", "k5"]);
    log.consume(&["--from=-1", "--timeout", "300ms"]).ended(1).says(&["an open transaction at offset 4"]);
    if let Some(open) = open {
        // Who waits gets the rest when it ends.
        let mut patient = log.command("consume", &["--format", "key", "--partition", "0", "--timeout", "1h"]);
        let first: Vec<String> = (0..3).map(|_| patient.line()).collect();
        assert_eq!(first, ["k0\n", "k1\n", "k2\n"]);
        // What comes after its start is not waited for, nor shown.
        log.write(&numbered(topic, 0, 6..9));
        open.commit();
        assert_eq!(patient.finish(&[]).ended(0).silent().stdout, "k3\nk4\nk5\n");
    }
}

fn too_large_is_told_with_its_line(log: &Place) {
    log.create(&log.topic, 1, &[("max.message.bytes", "2000")]);
    let input = format!("k\tv\nk\t{}\nk\tv\n", "x".repeat(2000));
    let said = log.produce(&[], &input).ended(1);
    said.says(&["stdin:2: 2129 bytes with framing, and the topic takes 2000", "1 record written to"]);
    // What just fits passes.
    log.produce(&[], format!("k\t{}\n", "x".repeat(2000 - 1 - 128))).ended(0);
    assert_eq!(log.read(&log.topic).len(), 2);
    let compacted = Place { topic: format!("{}.compacted", log.topic), dir: Dir::new("lines"), kafka: log.kafka };
    compacted.create(&compacted.topic, 1, &[("cleanup.policy", "compact")]);
    let said = compacted.produce(&[], "k\tv\nno key\n").ended(1);
    said.says(&["stdin:2: the topic is compacted and takes no record without a key", "1 record written to"]);
}

fn many_lines_in_little_memory(log: &Place) {
    log.create(&log.topic, 2, &[]);
    let value = "x".repeat(1000);
    let lines: String = (0..100_000).map(|n| format!("key{n}\t{n} {value}\n")).collect();
    let mut produce = log.command("produce", &["--transaction"]);
    (0..4).for_each(|_| produce.write(&lines));
    let peak = produce.peak_memory();
    produce.finish(&[]).ended(0).says(&["400,000 records written to"]);
    let mut consume = log.command("consume", &["--partition", "0,1", "--follow"]);
    let mut came: Vec<String> = (0..400_000).map(|_| consume.line()).collect();
    let peaks = [peak, consume.peak_memory()];
    consume.signal("TERM");
    assert_eq!(consume.finish(&[]).ended(0).silent().stdout, "");
    came.sort_unstable();
    let mut want: Vec<&str> = lines.split_inclusive('\n').collect();
    want.sort_unstable();
    assert_eq!(came.len(), 4 * want.len());
    assert!(
        came.chunks(4).zip(&want).all(|(four, want)| four.iter().all(|came| came == want)),
        "other lines came back"
    );
    // 400 MB went through. The client's queues and the log's caches take some.
    assert!(peaks.iter().all(|peak| *peak < 300 << 20), "{peaks:?} bytes");
}
