//! librdkafka's errors, by the reaction they demand.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::super::{LogError, fenced};

/// An error object of librdkafka's transactional calls, owned.
pub struct NativeError {
    pub code: RDKafkaErrorCode,
    pub text: String,
    pub fatal: bool,
    pub retriable: bool,
    pub requires_abort: bool,
}

impl NativeError {
    /// Takes the object over; None for a null pointer, which means success.
    ///
    /// # Safety
    /// `error` is null or an error object that nobody else frees.
    pub unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Option<Self> {
        if error.is_null() {
            return None;
        }
        // SAFETY: not null, and ours by contract; the string is copied before the object goes.
        unsafe {
            let text = std::ffi::CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
            let taken = Self {
                code: sys::rd_kafka_error_code(error).into(),
                text,
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Some(taken)
        }
    }

    /// The reaction, `age` being how long the transaction has been open.
    pub fn reaction(self, call: &str, age: Duration, timeout: Duration) -> LogError {
        let text = format!("{call}: {}", self.text);
        if is_fenced(self.code) {
            return fenced(&text, age, timeout);
        }
        if self.fatal {
            LogError::Restore(text)
        } else if self.requires_abort {
            LogError::Rejoin(text)
        } else if self.retriable {
            LogError::Retry(text)
        } else {
            // Neither a clean failure nor a success: nobody knows.
            LogError::Restore(text)
        }
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

/// Errors of metadata and consumer calls.
pub fn reaction(call: &str, error: &KafkaError) -> LogError {
    use RDKafkaErrorCode::*;
    let text = format!("{call}: {error}");
    match error.rdkafka_error_code() {
        Some(TopicAuthorizationFailed | GroupAuthorizationFailed | ClusterAuthorizationFailed) => {
            LogError::Stop(format!("{text}: grant the principal the right to do this"))
        }
        Some(TransactionalIdAuthorizationFailed) => {
            LogError::Stop(format!("{text}: grant the principal Write and Describe on the transactional ids"))
        }
        Some(SaslAuthenticationFailed | UnsupportedVersion | InvalidTransactionTimeout) => LogError::Stop(text),
        // Not the replication factor: while brokers are starting, there are too few of them for a while.
        Some(InvalidTopic | InvalidPartitions | InvalidConfig | PolicyViolation) => LogError::Stop(text),
        Some(FencedInstanceId) => {
            LogError::Stop(format!("{text}: another member uses this instance's group.instance.id"))
        }
        _ => match error {
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => LogError::Stop(text),
            _ => LogError::Retry(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_transaction_that_outlived_its_timeout_starts_over_when_fenced() {
        let fenced = || NativeError {
            code: RDKafkaErrorCode::ProducerFenced,
            text: "fenced".into(),
            fatal: true,
            retriable: false,
            requires_abort: false,
        };
        let (second, timeout) = (Duration::from_secs(1), Duration::from_secs(10));
        let reaction = fenced().reaction("commit_transaction", second, timeout);
        assert!(matches!(&reaction, LogError::Stop(text) if text.contains("another process")), "{reaction:?}");
        assert!(matches!(fenced().reaction("commit_transaction", 11 * second, timeout), LogError::Restore(_)));
    }

    #[test]
    fn what_a_broker_will_never_accept_is_not_tried_again() {
        let of = |code| reaction("create topic t", &KafkaError::Global(code));
        assert!(matches!(of(RDKafkaErrorCode::InvalidConfig), LogError::Stop(_)));
        assert!(matches!(of(RDKafkaErrorCode::PolicyViolation), LogError::Stop(_)));
        assert!(matches!(of(RDKafkaErrorCode::InvalidReplicationFactor), LogError::Retry(_)));
    }

    #[test]
    fn what_is_neither_success_nor_a_clean_failure_is_unknown() {
        let error = |fatal, retriable, requires_abort| {
            let code = RDKafkaErrorCode::BrokerTransportFailure;
            let error = NativeError { code, text: String::new(), fatal, retriable, requires_abort };
            error.reaction("commit_transaction", Duration::ZERO, Duration::from_secs(10))
        };
        assert!(matches!(error(false, false, false), LogError::Restore(_)));
        assert!(matches!(error(true, true, true), LogError::Restore(_)));
        assert!(matches!(error(false, true, false), LogError::Retry(_)));
        assert!(matches!(error(false, true, true), LogError::Rejoin(_)));
    }
}
