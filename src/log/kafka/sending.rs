//! Queueing a record: one call into the client a record, by a handle of its topic that is looked up once.

use std::ffi::{CString, c_void};
use std::ptr;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::{
    rd_kafka_vu_s__bindgen_ty_1 as Value, rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 as Bytes,
    rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 as Header,
};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::super::{LogError, Outgoing, Result, Sent};
use super::errors::NativeError;

/// The topics that a producer writes to. Released before their client is.
#[derive(Default)]
pub struct Topics {
    handles: FxHashMap<Box<str>, Handle>,
}

struct Handle(*mut sys::rd_kafka_topic_t);

// SAFETY: handles of librdkafka may be used and released by any thread.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: from `rd_kafka_topic_new`, released once; the client lives.
        unsafe { sys::rd_kafka_topic_destroy(self.0) }
    }
}

impl Topics {
    /// The topic's handle, with the settings that the client has for all topics.
    fn handle(&mut self, client: *mut sys::rd_kafka_t, topic: &str) -> Result<*mut sys::rd_kafka_topic_t> {
        if let Some(handle) = self.handles.get(topic) {
            return Ok(handle.0);
        }
        let wrong = || LogError::Stop(format!("{topic:?} is no name of a topic"));
        let name = CString::new(topic).map_err(|_| wrong())?;
        // SAFETY: the client is alive, the name outlives the call, no settings are handed over.
        let handle = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            return Err(wrong());
        }
        self.handles.insert(topic.into(), Handle(handle));
        Ok(handle)
    }

    /// Queues a record; `mark` comes back with what becomes of it. The client is alive, and the one of all calls.
    pub fn send(&mut self, client: *mut sys::rd_kafka_t, record: &Outgoing<'_>, mark: usize) -> Result<Sent> {
        use sys::rd_kafka_vtype_t::*;
        let topic = self.handle(client, record.topic)?;
        let data = |bytes: Option<&[u8]>| bytes.map_or(ptr::null_mut(), |b| b.as_ptr().cast_mut().cast::<c_void>());
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let bytes = |bytes| Value { mem: Bytes { ptr: data(bytes), size: len(bytes) } };
        let field = |vtype, u| sys::rd_kafka_vu_s { vtype, u };
        let mut fields: SmallVec<[_; 10]> = smallvec![
            field(RD_KAFKA_VTYPE_RKT, Value { rkt: topic }),
            field(RD_KAFKA_VTYPE_PARTITION, Value { i32_: record.partition.unwrap_or(-1) }),
            field(RD_KAFKA_VTYPE_MSGFLAGS, Value { i: sys::RD_KAFKA_MSG_F_COPY }),
            field(RD_KAFKA_VTYPE_VALUE, bytes(record.value)),
            field(RD_KAFKA_VTYPE_KEY, bytes(record.key)),
            field(RD_KAFKA_VTYPE_OPAQUE, Value { ptr: mark as *mut c_void }),
            field(RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: record.timestamp.unwrap_or(0) }),
        ];
        let names: SmallVec<[_; 2]> =
            record.headers.iter().map(|(name, _)| CString::new(*name).unwrap_or_default()).collect();
        for ((_, value), name) in record.headers.iter().zip(&names) {
            let size = value.map_or(-1, |value| value.len() as isize);
            let header = Header { name: name.as_ptr(), val: data(*value).cast_const(), size };
            fields.push(field(RD_KAFKA_VTYPE_HEADER, Value { header }));
        }
        // SAFETY: the client and the topic's handle are alive; key, value and headers are copied by the call, and outlive it;
        // each field has the member that its type asks for.
        let error = unsafe { NativeError::take(sys::rd_kafka_produceva(client, fields.as_ptr(), fields.len())) };
        let Some(error) = error else { return Ok(Sent::Queued) };
        use RDKafkaErrorCode::*;
        let text = format!("produce to {}: {}", record.topic, error.text);
        match error.code {
            QueueFull => Ok(Sent::Full),
            MessageSizeTooLarge | UnknownTopic | UnknownPartition => Err(LogError::Stop(text)),
            // The producer is fatal or its transaction is to be aborted: the next commit tells which.
            Fatal | Fenced => Err(LogError::Restore(text)),
            _ => Err(LogError::Rejoin(text)),
        }
    }
}
