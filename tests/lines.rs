//! `highwater produce` and `highwater consume`, as a person or a script meets them, on a real Kafka and on the embedded log.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Event, Log, Outgoing, Sent, TopicPartition};
use serde_json::Value;
use support::signal::{self, Leash};
use support::topics::{Isolation, Read};
use support::{Broker, DEADLINE, Dir, Line, wait_until};

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

/// A log, reached past the commands under test.
struct Place {
    dir: Dir,
    kafka: Option<&'static Broker>,
    /// One topic a case: all cases share the broker.
    topic: String,
}

impl Place {
    fn kafka(case: &str) -> Self {
        Self { dir: Dir::new("lines"), kafka: Some(Broker::shared()), topic: case.into() }
    }

    fn embedded(case: &str) -> Self {
        Self { dir: Dir::new("lines"), kafka: None, topic: case.into() }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn args(&self) -> Vec<String> {
        match self.kafka {
            Some(broker) => vec!["--bootstrap".into(), broker.bootstrap()],
            None => vec![format!("--embedded={}", self.path().display())],
        }
    }

    fn open(&self) -> EmbeddedLog {
        let hours = Duration::from_secs(10 * 3600);
        EmbeddedLog::open(&self.path(), Client { transaction_timeout: hours, ..Client::named("tests") }).expect("a log")
    }

    fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        match self.kafka {
            Some(broker) => broker.create_topic(topic, partitions, settings),
            None => self.open().admin().create(topic, partitions, settings).expect("a topic"),
        }
    }

    fn write(&self, lines: &[Line]) {
        let Some(broker) = self.kafka else {
            let mut appender = self.open().appender().expect("an appender");
            lines.iter().for_each(|line| sent(line, &mut |record| assert_eq!(appender.send(record), Ok(Sent::Queued))));
            return appender.flush(DEADLINE).expect("records");
        };
        broker.produce(lines);
    }

    /// Writes the lines, all of partition 0, in a transaction and ends it; never, where that is not said.
    fn transaction(&self, lines: &[Line], commit: Option<bool>) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let id = format!("tests-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let Some(broker) = self.kafka else {
            let log = self.open();
            let tp = TopicPartition::new(self.topic.as_str(), 0);
            let end = |log: &EmbeddedLog| log.admin().bounds(&tp).expect("bounds").end;
            let before = end(&log);
            let mut producer = log.producer(&id).expect("a producer");
            producer.init(DEADLINE).and_then(|()| producer.begin()).expect("a transaction");
            lines.iter().for_each(|line| sent(line, &mut |record| assert_eq!(producer.send(record), Ok(Sent::Queued))));
            // What lingers is written soon: an abort would throw it away.
            wait_until(DEADLINE, "records of an open transaction", || {
                (end(&log) >= before + lines.len() as i64).then_some(())
            });
            match commit {
                Some(true) => drop(producer.commit(DEADLINE).expect("a commit")),
                Some(false) => drop(producer.abort(DEADLINE).expect("an abort")),
                None => {}
            }
            return;
        };
        let open = broker.begin(&id, lines);
        match commit {
            Some(true) => open.commit(),
            Some(false) => open.abort(),
            None => open.forget(),
        }
    }

    fn read(&self, topic: &str) -> Vec<Read> {
        if let Some(broker) = self.kafka {
            return broker.read_all(topic, Isolation::Committed);
        }
        let log = self.open();
        let partitions = log.admin().describe(topic).expect("an answer").expect("a topic").partitions;
        let mut reader = log.reader(0, highwater::log::Isolation::Committed).expect("a reader");
        let tps = (0..partitions).map(|partition| TopicPartition::new(topic, partition));
        tps.for_each(|tp| reader.start(&tp, 0).expect("a partition"));
        let (mut reads, mut ends) = (Vec::new(), 0);
        while ends < partitions {
            let events = reader.poll(1000, Duration::from_millis(10), &mut |record| {
                let mut headers = Vec::new();
                record.headers.each(&mut |name, value| headers.push((name.to_string(), value.map(<[u8]>::to_vec))));
                reads.push(Read {
                    partition: record.partition,
                    offset: record.offset,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers,
                    timestamp: record.timestamp,
                });
            });
            ends += events.iter().filter(|event| matches!(event, Event::End { .. })).count() as i32;
        }
        reads.sort_by_key(|read| (read.partition, read.offset));
        reads
    }

    /// A command on this log and this topic.
    fn command(&self, command: &str, args: &[&str]) -> Running {
        let args: Vec<String> = [command.to_string(), self.topic.clone()]
            .into_iter()
            .chain(self.args())
            .chain(args.iter().map(ToString::to_string))
            .collect();
        Running::start(&args, self.dir.path())
    }

    fn produce(&self, args: &[&str], input: impl AsRef<[u8]>) -> Said {
        self.command("produce", args).finish(input.as_ref())
    }

    fn consume(&self, args: &[&str]) -> Said {
        self.command("consume", args).finish(&[])
    }

    /// What is in the topic, by `consume` itself.
    fn lines(&self, args: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.consume(args).ended(0).stdout.lines().map(str::to_string).collect();
        lines.sort();
        lines
    }
}

fn sent(line: &Line, send: &mut dyn FnMut(&Outgoing<'_>)) {
    let headers: Vec<(&str, Option<&[u8]>)> = line.headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
    send(&Outgoing {
        topic: &line.topic,
        partition: line.partition,
        key: line.key.as_deref(),
        value: line.value.as_deref(),
        headers: &headers,
        timestamp: line.timestamp,
    });
}

/// The binary at work. Killed when dropped, and when the test process dies.
struct Running {
    child: Child,
    leash: Option<Leash>,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: PathBuf,
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing in\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    fn silent(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }
}

impl Running {
    fn start(args: &[impl AsRef<std::ffi::OsStr>], dir: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let stderr = dir.join(format!("stderr-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        for name in ["HIGHWATER_FILE", "HIGHWATER_LOG", "HIGHWATER_LOG_FORMAT", "HIGHWATER_STATE", "UNSET"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(&stderr).expect("a file"));
        let mut child = command.spawn().expect("highwater");
        let leash = Some(Leash::on(child.id()));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, leash, stdin, stdout, stderr }
    }

    fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("an open input");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("an input that is read");
    }

    /// The next line of its output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("an output").read_line(&mut line).expect("a line");
        line
    }

    fn signal(&self, name: &str) {
        signal::send(name, i64::from(self.child.id()));
    }

    /// The most it has had, in bytes.
    fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).expect("a file")).into_owned()
    }

    /// Gives it the input to its end, and waits for its own.
    fn finish(mut self, input: &[u8]) -> Said {
        let mut stdin = self.stdin.take();
        let text = std::thread::scope(|scope| {
            // Who has enough of its input does not read on.
            scope.spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(input)));
            let mut text = Vec::new();
            self.stdout.as_mut().map(|stdout| stdout.read_to_end(&mut text)).transpose().expect("an output");
            text
        });
        let stdout = String::from_utf8(text).expect("UTF-8");
        let ended = wait_until(DEADLINE, "the end of a command", || self.child.try_wait().expect("a status"));
        self.leash = None;
        Said { code: ended.code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.stderr.display(), self.stderr());
        }
    }
}

fn numbered(topic: &str, partition: i32, range: std::ops::Range<i32>) -> Vec<Line> {
    range.map(|n| Line::new(topic, &format!("k{n}"), &format!("v{n}")).at(partition)).collect()
}

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

#[test]
fn records_that_come_later_are_followed() {
    let (log, broker) = (Place::kafka("follow"), Broker::shared());
    log.create("follow", 2, &[]);
    log.write(&numbered("follow", 0, 0..2));
    let mut all = log.command("consume", &["--follow", "--format", "value"]);
    assert_eq!([all.line(), all.line()], ["v0\n", "v1\n"]);
    // It stands at the end now, and goes on.
    log.write(&numbered("follow", 1, 2..3));
    assert_eq!(all.line(), "v2\n");
    let open = broker.begin("follow", &numbered("follow", 0, 3..5));
    log.write(&numbered("follow", 1, 5..6));
    assert_eq!(all.line(), "v5\n", "nothing of an open transaction");
    open.commit();
    assert_eq!([all.line(), all.line()], ["v3\n", "v4\n"]);
    let mut producer = log.command("produce", &["--partition", "1"]);
    producer.write("k6\tv6\n");
    assert_eq!(all.line(), "v6\n", "as soon as it was typed");
    producer.write("k7\tv7\n");
    assert_eq!(all.line(), "v7\n");
    producer.finish(&[]).ended(0);
    let tail = log.command("consume", &["-F", "--from", "-1", "--format", "value", "--count", "4"]);
    let mut tail = tail;
    let mut first = [tail.line(), tail.line()];
    first.sort();
    assert_eq!(first, ["v4\n", "v7\n"]);
    log.write(&numbered("follow", 0, 8..10));
    assert_eq!(tail.finish(&[]).ended(0).silent().stdout, "v8\nv9\n");
    // An offset that is still to come.
    let next = broker.end_offsets("follow")[&0];
    let args = ["-F", "--partition", "0", "--format", "value", "--count", "1", "--from", &(next + 1).to_string()];
    let later = log.command("consume", &args);
    log.write(&numbered("follow", 0, 10..12));
    assert_eq!(later.finish(&[]).ended(0).silent().stdout, "v11\n");
    all.signal("TERM");
    assert_eq!(all.finish(&[]).ended(0).silent().stdout, "v8\nv9\nv10\nv11\n");
}

#[test]
fn a_transaction_that_takes_longer_than_its_time() {
    let (log, broker) = (Place::kafka("overtime"), Broker::shared());
    log.create("overtime", 1, &[]);
    let mut late = log.command("produce", &["--transaction", "--transaction-timeout", "1s"]);
    late.write("k\tv\n");
    wait_until(DEADLINE, "an aborted transaction", || {
        let (end, stable) = (broker.end_offsets("overtime")[&0], broker.stable_offsets("overtime")[&0]);
        (end == 2 && stable == 2).then_some(())
    });
    let said = late.finish(b"k\tw\n").ended(1);
    said.says(&["took longer than its timeout of 1s", "--transaction-timeout"]);
    assert_eq!(log.read("overtime"), []);
}

#[test]
fn a_broker_that_is_not_there() {
    let dir = Dir::new("lines");
    for command in ["produce", "consume"] {
        let said = Running::start(&[command, "topic", "--bootstrap", "127.0.0.1:1"], dir.path()).finish(b"k\tv\n");
        let said = said.ended(1).says(&["error: Kafka at 127.0.0.1:1: ", "waiting for Kafka at 127.0.0.1:1"]);
        assert_eq!(said.stdout, "");
    }
    let args = ["consume", "topic", "--bootstrap", "127.0.0.1:1", "-X", "no.such.property=1"];
    Running::start(&args, dir.path()).finish(&[]).ended(1).says(&["no.such.property"]);
}

const TOPOLOGY: &str = "application: app\nkafka: { bootstrap.servers: '${BROKERS:-BOOTSTRAP}' }\n\
    secrets: { pii: '${UNSET}' }\nhttp: 127.0.0.1:0\nstreams:\n  rows:\n    from: rows.in\n    to: rows.out\n    \
    steps: [dedup, { mask: none }]\n";

#[test]
fn a_topology_says_where_the_log_is() {
    let log = Place::kafka("by.topology");
    log.create("by.topology", 1, &[]);
    let dir = log.dir.path();
    let topology = TOPOLOGY.replace("BOOTSTRAP", &Broker::shared().bootstrap());
    fs::write(dir.join("topology.yaml"), &topology).expect("a file");
    let run = |args: &[&str], input: &str| Running::start(args, dir).finish(input.as_bytes());
    run(&["produce", "by.topology"], "k\tv\n").ended(0);
    assert_eq!(run(&["consume", "by.topology", "-f", "topology.yaml"], "").ended(0).silent().stdout, "k\tv\n");
    // Its embedded log lies with its state, or where it says.
    run(&["produce", "by.topology", "--embedded"], "in\tstate\n").ended(0).says(&["made topic"]);
    assert!(dir.join("state/log").is_dir());
    let elsewhere = format!("{topology}embedded: elsewhere\n").replace("kafka: {", "state: kept\n#kafka: {");
    fs::write(dir.join("elsewhere.yaml"), elsewhere).expect("a file");
    run(&["produce", "by.topology", "-f", "elsewhere.yaml"], "else\twhere\n").ended(0);
    run(&["produce", "by.topology", "-f", "elsewhere.yaml", "--embedded=third"], "third\tplace\n").ended(0);
    for (args, want) in [
        (&["--embedded"][..], "in\tstate\n"),
        (&["--embedded=state/log"], "in\tstate\n"),
        (&["-f", "elsewhere.yaml"], "else\twhere\n"),
        (&["-f", "elsewhere.yaml", "--embedded"], "else\twhere\n"),
        (&["--embedded=elsewhere"], "else\twhere\n"),
        (&["--embedded=third"], "third\tplace\n"),
    ] {
        let args = [&["consume", "by.topology"], args].concat();
        assert_eq!(run(&args, "").ended(0).silent().stdout, want, "{args:?}");
    }
    assert!(!dir.join("kept").exists());
    run(&["consume", "by.topology", "--embedded=nowhere"], "").ended(1).says(&["no embedded log in nowhere"]);
    assert!(!dir.join("nowhere").exists());
    run(&["consume", "by.topology", "-f", "no.yaml"], "").ended(78).says(&["no.yaml: 1 error"]);
    run(&["consume", "by.topology", "-f", "no.yaml", "--embedded"], "").ended(78).says(&["no.yaml: 1 error"]);
    fs::remove_file(dir.join("topology.yaml")).expect("a file");
    run(&["consume", "by.topology"], "").ended(78).says(&["--bootstrap", "--embedded=PATH"]);
    assert_eq!(run(&["consume", "by.topology", "--embedded"], "").ended(0).silent().stdout, "in\tstate\n");
    for wrong in [&["--bootstrap", "a:1", "--embedded"][..], &["--bootstrap", "a:1", "-f", "x"], &["-X", "a=b"]] {
        let said = run(&[&["consume", "by.topology"], wrong].concat(), "").ended(2);
        assert_eq!(said.stdout, "");
    }
}

#[test]
fn an_embedded_log_belongs_to_one_process() {
    let log = Place::embedded("alone");
    log.create("alone", 1, &[]);
    log.write(&numbered("alone", 0, 0..1));
    let mut first = log.command("consume", &["--follow"]);
    assert_eq!(first.line(), "k0\tv0\n");
    for said in [log.consume(&[]), log.produce(&[], "k\tv\n")] {
        said.ended(1).says(&["is in use by", &format!("pid {}", first.child.id()), &log.path().display().to_string()]);
    }
    first.signal("INT");
    first.finish(&[]).ended(0).silent();
    log.produce(&[], "k1\tv1\n").ended(0);
    assert_eq!(log.lines(&[]), ["k0\tv0", "k1\tv1"]);
}

#[test]
fn a_topology_runs_on_the_embedded_log_between_produce_and_consume() {
    let dir = Dir::new("lines");
    let topology = TOPOLOGY.replace("secrets: { pii: '${UNSET}' }\n", "").replace(":-BOOTSTRAP", "");
    fs::write(dir.join("topology.yaml"), topology).expect("a file");
    let run = |args: &[&str], input: &str| Running::start(args, dir.path()).finish(input.as_bytes());
    let change = |id: u32, lsn: u32| {
        format!(
            "{{\"id\":{id}}}\t{{\"op\":\"c\",\"before\":null,\"after\":{{\"id\":{id}}},\"source\":{{\"name\":\"t\",\
             \"db\":\"d\",\"table\":\"rows\",\"snapshot\":\"false\",\"lsn\":{lsn},\"sequence\":\"[\\\"1\\\",\\\"{lsn}\\\"]\",\
             \"ts_us\":{lsn}}}}}\n"
        )
    };
    // In another state directory than the topology's, and in a place of its own.
    for (state, log) in [(&["--state", "moved"][..], "moved/log"), (&["--embedded=own"], "own"), (&[], "state/log")] {
        let at = format!("--embedded={log}");
        let input: String = [(1, 10), (2, 11), (1, 10), (1, 12)].map(|(id, lsn)| change(id, lsn)).concat();
        run(&["produce", "rows.in", &at, "--partitions", "1"], &input).ended(0).says(&["4 records written"]);
        let embedded = if log == "own" { &[][..] } else { &["--embedded"] };
        let args = [&["run"], state, embedded].concat();
        let running = Running::start(&args, dir.path());
        wait_until(DEADLINE, "a running topology", || running.stderr().contains("running").then_some(()));
        let told = run(&["consume", "rows.out", &at], "").ended(1);
        told.says(&["is in use by", &format!("pid {}", running.child.id())]);
        // It commits what it has processed before it goes; how far that is shows afterwards.
        let port = wait_until(DEADLINE, "an address", || {
            let log = running.stderr();
            let (_, rest) = log.split_once("127.0.0.1:")?;
            Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        });
        wait_until(DEADLINE, "three rows", || {
            let page = metrics(&port)?;
            page.lines().any(|line| line == "highwater_records_out_total{stream=\"rows\"} 3").then_some(())
        });
        running.signal("TERM");
        running.finish(&[]).ended(0);
        let rows = run(&["consume", "rows.out", &at], "").ended(0).silent().stdout;
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[0].starts_with("{\"id\":1}\t{\"id\":1,\"cdc_lsn\":10"), "{rows:?}");
        fs::remove_dir_all(dir.join("state")).ok();
    }
}

fn metrics(port: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

#[test]
fn wrong_usage() {
    let dir = Dir::new("lines");
    let run = |args: &[&str]| Running::start(args, dir.path()).finish(&[]);
    for command in ["produce", "consume"] {
        let help = run(&[command, "--help"]).ended(0).silent().stdout;
        for part in ["Usage: highwater", "Examples:", &format!("\n  highwater {command} "), "--embedded", "--format"] {
            assert!(help.contains(part), "{part:?} is missing in\n{help}");
        }
    }
    for wrong in [
        &["produce"][..],
        &["consume"],
        &["produce", "t", "u"],
        &["produce", "t", "--format", "value"],
        &["produce", "t", "--partition", "-1"],
        &["produce", "t", "--count", "0"],
        &["produce", "t", "--transaction-timeout", "5s"],
        &["produce", "t", "--transaction", "--transaction-timeout", "5"],
        &["produce", "t", "--partitions", "0"],
        &["produce", "t", "--separator", ""],
        &["consume", "t", "--from", "yesterday"],
        &["consume", "t", "--isolation", "committed"],
        &["consume", "t", "--format", "xml"],
        &["consume", "t", "--partition", "-1"],
        &["consume", "t", "--timeout", "10"],
    ] {
        let said = run(wrong).ended(2);
        assert!(said.stdout.is_empty() && !said.stderr.is_empty(), "{wrong:?}");
    }
}
