//! A source that goes on, and rows watched as they become visible.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rustc_hash::FxHashMap;

use crate::support::topics::config;
use crate::support::{Broker, DEADLINE};
use crate::topic;
use crate::workload::{Truth, Workload};

/// When each change was handed to the producer, by its LSN.
pub type Sent = Arc<Mutex<FxHashMap<u64, Instant>>>;

/// Sends a workload at a steady rate, until it is stopped or at its end.
pub struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Truth>,
    pub sent: Sent,
}

impl Feed {
    pub fn start(broker: &Broker, source: &str, workload: Workload, per_second: u64) -> Self {
        let mut appender = topic::appender(broker, 1);
        let (stop, sent, source) = (Arc::new(AtomicBool::new(false)), Sent::default(), source.to_owned());
        let (stopped, times) = (stop.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            let (begun, mut count) = (Instant::now(), 0u64);
            let truth = workload.generate(&mut |record| {
                let due = begun + Duration::from_secs_f64(count as f64 / per_second as f64);
                // Not for each: sleeping costs more than sending.
                if due > Instant::now() + Duration::from_millis(1) {
                    std::thread::sleep(due - Instant::now());
                }
                count += 1;
                if let Some(lsn) = record.value.and_then(|value| number(value.as_bytes(), b"\"lsn\":")) {
                    // A replay keeps its first time: it must not come out.
                    times.lock().expect("no panic").entry(lsn).or_insert_with(Instant::now);
                }
                topic::send(&mut *appender, &source, record);
                !stopped.load(Ordering::Relaxed)
            });
            appender.flush(DEADLINE).expect("written");
            truth
        });
        Self { stop, thread, sent }
    }

    pub fn stop(self) -> Truth {
        self.stop.store(true, Ordering::Relaxed);
        self.end()
    }

    /// Waits until all of it is sent.
    pub fn end(self) -> Truth {
        self.thread.join().expect("a feed without a panic")
    }
}

/// The number behind the last such name.
fn number(json: &[u8], name: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(json, name)? + name.len();
    let digits = json[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Visits the LSN of each row that becomes visible from now on, and when; until told to break.
pub fn watch(broker: &Broker, target: &str, visit: &mut dyn FnMut(Option<(u64, Instant)>) -> ControlFlow<()>) {
    let mut config = config(&broker.bootstrap());
    config.set("group.id", "watch").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    config.set("fetch.wait.max.ms", "100").set("fetch.error.backoff.ms", "0");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for (partition, end) in broker.stable_offsets(target) {
        assignment.add_partition_offset(target, partition, Offset::Offset(end)).expect("a valid offset");
    }
    consumer.fetch_metadata(Some(target), DEADLINE).expect("metadata");
    consumer.assign(&assignment).expect("assigned");
    loop {
        let seen = match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => {
                let lsn = number(message.payload().unwrap_or_default(), b"\"cdc_lsn\":").expect("a row");
                Some((lsn, Instant::now()))
            }
            Some(Err(error)) => panic!("cannot read {target}: {error}"),
            None => None,
        };
        if visit(seen).is_break() {
            return;
        }
    }
}
