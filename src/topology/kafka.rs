//! The section `kafka`: librdkafka's properties, less those that would break the guarantee.

use std::collections::BTreeMap;

use super::reader::{Reader, nearest};
use super::redact::is_sensitive;
use super::yaml::Entry;

/// Refused properties and why. Highwater sets what they set.
const REFUSED: &[(&str, &str)] = &[
    ("group.id", "the group is named by `application`"),
    ("group.instance.id", "use `static_membership: true`, which names each worker"),
    ("group.protocol", "rebalances are handled for the classic protocol"),
    ("group.protocol.type", "rebalances are handled for consumers"),
    ("group.remote.assignor", "the assignor is chosen by Highwater"),
    ("partition.assignment.strategy", "the assignor is chosen by Highwater: stores move with their partitions"),
    ("isolation.level", "only committed records may be read: read_committed"),
    (
        "auto.offset.reset",
        "a first start reads from the earliest; a lost offset stops, because changes would be missing",
    ),
    ("enable.auto.commit", "offsets are committed inside the transaction of the output"),
    ("auto.commit.enable", "offsets are committed inside the transaction of the output"),
    ("auto.commit.interval.ms", "offsets are committed inside the transaction: use `commit_interval`"),
    ("enable.auto.offset.store", "offsets are committed inside the transaction of the output"),
    ("offset.store.method", "offsets are committed inside the transaction of the output"),
    ("enable.partition.eof", "restores end on it"),
    ("transactional.id", "it is made of `application`, instance and worker, so that the right process is fenced"),
    ("transaction.timeout.ms", "use `transaction_timeout`, which is checked against `commit_interval`"),
    ("enable.idempotence", "transactions need it on"),
    ("enable.gapless.guarantee", "it stops the producer where a transaction is only aborted"),
    ("acks", "transactions need all replicas to acknowledge"),
    ("request.required.acks", "transactions need all replicas to acknowledge"),
    ("max.in.flight", "transactions keep their order only within its limit"),
    ("max.in.flight.requests.per.connection", "transactions keep their order only within its limit"),
    ("delivery.report.only.error", "the checkpoint of a store is the offset that was acknowledged"),
    ("partitioner", "records go where murmur2 of their key puts them, as Java producers do"),
    ("metadata.broker.list", "use `bootstrap.servers`"),
    ("sasl.jaas.config", "a property of the Java client: use `sasl.mechanism`, `sasl.username` and `sasl.password`"),
    ("ssl.truststore.location", "a property of the Java client: use `ssl.ca.location`"),
    ("ssl.truststore.password", "a property of the Java client: use `ssl.ca.location`"),
    ("key.deserializer", "a property of the Java client"),
    ("value.deserializer", "a property of the Java client"),
    ("key.serializer", "a property of the Java client"),
    ("value.serializer", "a property of the Java client"),
];

/// Why a property cannot be set, if it cannot.
pub fn refusal(property: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(name, _)| *name == property).map(|(_, reason)| *reason)
}

/// Their names.
pub(super) fn refused() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|(name, _)| *name)
}

pub(super) fn read(reader: &mut Reader<'_>, section: &Entry) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let Some(entries) = reader.map(&section.value, section.key_span, "`kafka`") else { return properties };
    for entry in entries {
        if let Some(reason) = refusal(&entry.key) {
            reader.error("refused-property", entry.key_span, format!("`{}` cannot be set", entry.key), reason);
            continue;
        }
        if entry.value.is_blank() {
            // A slip can make a name of a password: a name without a value is not quoted.
            reader.error("blank", entry.key_span, "a property has no value", "");
            continue;
        }
        let Some(text) = reader.text(&entry.value, entry.key_span, &format!("`{}`", entry.key)) else { continue };
        if text.literal && is_sensitive(&entry.key) {
            let message = format!("`{}` stands in the file itself", entry.key);
            reader.warn("literal-secret", text.span, message, "take it from outside: `${NAME}` or `${file:PATH}`");
        }
        properties.insert(entry.key.clone(), text.text);
    }
    if !entries.iter().any(|entry| entry.key == "bootstrap.servers") {
        let like = entries.iter().find(|entry| nearest(&entry.key, ["bootstrap.servers"].into_iter()).is_some());
        match like {
            Some(entry) => reader.error(
                "missing-field",
                entry.key_span,
                "`bootstrap.servers` is missing",
                "did you mean `bootstrap.servers`?",
            ),
            None => reader.error(
                "missing-field",
                section.key_span,
                "`bootstrap.servers` is missing",
                "it names the brokers: `bootstrap.servers: localhost:9092`",
            ),
        }
    }
    properties
}
