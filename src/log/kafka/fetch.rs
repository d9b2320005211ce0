//! Batched fetching: librdkafka's batch call on a queue of our own, into which assigned partitions are forwarded.
//! It costs a fifth of a poll per message, and it is the only way to learn at which offset a partition ended.
//! The consumer's main queue keeps the rebalances: the batch call would lose them.

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::super::{Event, LogError, TopicPartition};
use crate::record::{Headers, Record};

pub struct FetchQueue {
    client: *mut sys::rd_kafka_t,
    queue: *mut sys::rd_kafka_queue_t,
    /// The consumer's own queue: rebalances, statistics, errors, logs.
    main: *mut sys::rd_kafka_queue_t,
    batch: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: librdkafka's handles may be used from any thread; the batch is empty between calls.
unsafe impl Send for FetchQueue {}

impl FetchQueue {
    /// `client` must outlive the queue.
    pub fn new(client: *mut sys::rd_kafka_t) -> Self {
        // SAFETY: the client is alive.
        let (queue, main) = unsafe { (sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_get_consumer(client)) };
        Self { client, queue, main, batch: Vec::new() }
    }

    /// How many events wait in the main queue. A poll of it returns after one event that is no message, and nothing it
    /// returns says whether more are waiting.
    pub fn events_waiting(&self) -> usize {
        // SAFETY: ours until dropped; a consumer with a group has a queue.
        if self.main.is_null() { 0 } else { unsafe { sys::rd_kafka_queue_length(self.main) } }
    }

    /// Sends a partition's messages here instead of to the consumer's main queue. Before the assignment.
    pub fn forward(&self, tp: &TopicPartition) {
        let Ok(topic) = CString::new(&*tp.topic) else { return };
        // SAFETY: client, queue and name are alive; the partition's queue handle is released right after.
        unsafe {
            let own = sys::rd_kafka_queue_get_partition(self.client, topic.as_ptr(), tp.partition);
            if !own.is_null() {
                sys::rd_kafka_queue_forward(own, self.queue);
                sys::rd_kafka_queue_destroy(own);
            }
        }
    }

    /// A leader of whose partitions none is fetched is left alone for up to a second, and neither a resume nor an assignment
    /// rouses the thread that talks to it; a request to it does. Nobody waits for what it answers: behind a fetch that may
    /// take a while. What is asked for is the partitions' ends.
    pub fn wake(&self, asked: &TopicPartitionList) {
        // SAFETY: the client is alive, and copies the list; an answer to a queue that is gone is dropped by the client.
        unsafe {
            let queue = sys::rd_kafka_queue_new(self.client);
            sys::rd_kafka_ListOffsets(self.client, asked.ptr(), ptr::null(), queue);
            sys::rd_kafka_queue_destroy(queue);
        }
    }

    /// Hands over up to `max` records; ends of partitions and errors go to `events`.
    pub fn drain(
        &mut self,
        max: usize,
        wait: Duration,
        visit: &mut dyn FnMut(&Record<'_>),
        events: &mut Vec<Event>,
    ) -> usize {
        let got = self.take(max, Duration::ZERO, visit, events);
        if got > 0 || wait.is_zero() {
            return got;
        }
        // The call waits until it has all that it was asked for, or for as long as it was told: for the first one, then.
        match self.take(1, wait, visit, events) {
            0 => 0,
            one => one + self.take(max - one, Duration::ZERO, visit, events),
        }
    }

    fn take(
        &mut self,
        max: usize,
        wait: Duration,
        visit: &mut dyn FnMut(&Record<'_>),
        events: &mut Vec<Event>,
    ) -> usize {
        self.batch.resize(max, ptr::null_mut());
        let wait = wait.as_millis().min(i32::MAX as u128) as i32;
        // SAFETY: the batch has room for `max` pointers.
        let got = unsafe { sys::rd_kafka_consume_batch_queue(self.queue, wait, self.batch.as_mut_ptr(), max) };
        let got = usize::try_from(got).unwrap_or(0);
        for message in self.batch.drain(..).take(got).map(Message) {
            message.visit(visit, events);
        }
        got
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        // SAFETY: both were handed to us with a reference of our own, released once.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue);
            if !self.main.is_null() {
                sys::rd_kafka_queue_destroy(self.main);
            }
        }
    }
}

/// A message of the batch call; ours to release, also when a visitor panics.
struct Message(*mut sys::rd_kafka_message_t);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: from the batch call, released once.
        unsafe { sys::rd_kafka_message_destroy(self.0) }
    }
}

impl Message {
    fn visit(&self, visit: &mut dyn FnMut(&Record<'_>), events: &mut Vec<Event>) {
        // SAFETY: the message is alive, and so is what it points to, until `self` is dropped.
        let m = unsafe { &*self.0 };
        let topic = || -> &str {
            if m.rkt.is_null() {
                return "";
            }
            // SAFETY: a topic handle's name lives as long as the message that refers to it.
            unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(m.rkt)) }.to_str().unwrap_or("")
        };
        match m.err {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => visit(&Record {
                topic: topic(),
                partition: m.partition,
                offset: m.offset,
                timestamp: timestamp(self.0),
                key: slice(m.key, m.key_len),
                value: slice(m.payload, m.len),
                headers: self,
            }),
            Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                events.push(Event::End { tp: TopicPartition::new(topic(), m.partition), offset: m.offset });
            }
            Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
                events.push(Event::OutOfRange(TopicPartition::new(topic(), m.partition)));
            }
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED | Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED => {
                events.push(Event::Fatal(LogError::Stop(format!("{}: {}", topic(), text(m)))));
            }
            _ => events.push(Event::Notice(format!("{}: {}", topic(), text(m)))),
        }
    }
}

/// The text of a message that is an error.
fn text(m: &sys::rd_kafka_message_t) -> String {
    String::from_utf8_lossy(slice(m.payload, m.len).unwrap_or_default()).into_owned()
}

fn slice<'a>(data: *mut std::os::raw::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka's pointer and length of one field; null means absent. The caller bounds the lifetime by the
    // message's.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) })
}

fn timestamp(message: *mut sys::rd_kafka_message_t) -> Option<i64> {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive; the call only reads it.
    let millis = unsafe { sys::rd_kafka_message_timestamp(message, &mut kind) };
    (millis >= 0).then_some(millis)
}

impl Headers for Message {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the headers belong to the message, which outlives this call; index runs to the end they tell.
        unsafe {
            if sys::rd_kafka_message_headers(self.0, &mut headers) != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
                let code = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut len);
                if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                if let Ok(name) = CStr::from_ptr(name).to_str() {
                    visit(name, slice(value.cast_mut(), len));
                }
            }
        }
    }
}
