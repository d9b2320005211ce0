//! The sections of topology.yaml and of rules files.

use super::{FIELD, Field, Form, Section, Step, Word};

/// A section with the names of its fields beside them.
macro_rules! section {
    ($(#[$doc:meta])* $id:ident, $name:literal, $about:literal, { $($extra:ident: $value:expr),* $(,)? },
     [$($field:literal: $form:expr, $meaning:literal $(, $set:ident = $to:expr)*;)*]) => {
        $(#[$doc])*
        pub(in crate::topology) static $id: Section = Section {
            names: &[$($field),*],
            fields: &[$(Field { name: $field, form: $form, about: $meaning, $($set: $to,)* ..FIELD }),*],
            $($extra: $value,)*
            ..Section { name: $name, about: $about, names: &[], fields: &[], short: None, one_of: &[], example: "" }
        };
    };
}

section! { TOPOLOGY, "topology", "A whole file", {
    one_of: &["kafka", "embedded"],
    example: "application: brew-analytics\nkafka: { bootstrap.servers: localhost:9092 }\nsecrets: { pii: '${ANONYMIZE_SALT}' }\n\
              streams:\n  customers:\n    from: brew.cdc.public.customers\n    \
              steps: [dedup, { mask: { unlisted: reject, fields: { id: passthrough, email: hash } } }]\n    \
              to: brew.analytics.customers\n",
}, [
    "application": Form::Name,
        "the consumer group, and the prefix of transactional ids and changelogs: an application that is renamed starts over",
        required = true, example = "brew-analytics";
    "kafka": Form::Properties,
        "where the log is, and any librdkafka property that does not break the guarantee; the others are refused by name",
        example = "{ bootstrap.servers: localhost:9092 }";
    "embedded": Form::Section(&EMBEDDED),
        "instead of `kafka`: the log in this process, on disk, for one process at a time",
        example = "{ path: state/log }";
    "commit_interval": Form::Duration, "how often transactions end, and so how late a row may be; the first one after a pause ends at once; with a backlog not more often than pays, at least twice a second",
        default = "100ms";
    "transaction_timeout": Form::Duration,
        "how long another owner waits for a transaction that a dead instance left open; more than a second above \
         `commit_interval`",
        default = "10s";
    "static_membership": Form::Boolean, "partitions wait for a restarted instance instead of moving at once",
        default = "false";
    "threads": Form::Number { least: 1, most: 64 }, "workers, each with a consumer and a producer",
        default = "that of the cores at hand, 4 at most";
    "state": Form::Section(&STATE), "where stores and the instance's name lie", default = "{ path: state }";
    "http": Form::Section(&HTTP), "/metrics, /healthz, /readyz and /freshness; nothing listens without it",
        example = "{ listen: 127.0.0.1:9464 }";
    "secrets": Form::Named("SECRET", &Form::Either(&[Form::Text, Form::Section(&KEYRING)])),
        "by name, never printed; at least 16 bytes, taken from outside: `${NAME}` or `${file:PATH}`",
        example = "{ pii: '${ANONYMIZE_SALT}' }";
    "defaults": Form::Section(&DEFAULTS), "for streams that do not say themselves";
    "streams": Form::Named("STREAM", &Form::Section(&STREAM)),
        "what is read, done and written, by name; needed unless there are `sinks`";
    "sinks": Form::Named("SINK", &Form::Section(&SINK)), "which rows go into which tables of other systems, by name";
    "redis": Form::Section(&REDIS), "where it is written as of when each tenant's rows are in the tables of sinks";
    "postgres": Form::Section(&POSTGRES), "a database whose replication slots are watched";
]}

section! { REDIS, "redis", "Redis or Valkey: of each tenant, when the newest change that is in the tables was committed in the source, \
     as `2026-11-21T07:55:28.742637Z`. A value never falls, whoever writes it. It is written after the rows are in, beside the \
     work: while Redis is away nothing waits for it, and the last value of each tenant is written when it is back", {
    example: "redis: { url: 'redis://localhost:6379', password: '${REDIS_PASSWORD}' }\n",
}, [
    "url": Form::Text, "the server; `rediss://` is TLS, a number behind the port the database", required = true,
        example = "redis://localhost:6379";
    "user": Form::Text, "as whom", example = "highwater";
    "password": Form::Text, "taken from outside: `${NAME}` or `${file:PATH}`", example = "'${REDIS_PASSWORD}'";
    "key": Form::Text, "the key of a tenant", default = "cdc:last_sync:{tenant}";
]}

section! { POSTGRES, "postgres", "What Postgres says of its replication slots, as metrics: any role that may log in can ask. While it does \
     not answer, nothing is said of slots and `highwater_pg_up` is 0", {
    example: "postgres: { url: '${DATABASE_URL}', slots: [brew_slot] }\n",
}, [
    "url": Form::Text, "the database, on the server that the connector reads; without TLS", required = true,
        example = "'postgres://highwater@localhost:5432/brew'";
    "password": Form::Text, "where the address has none; taken from outside: `${NAME}` or `${file:PATH}`",
        example = "'${POSTGRES_PASSWORD}'";
    "slots": Form::List(&Form::Text), "the slots that must be there; without it, those that there are", example = "[brew_slot]";
    "interval": Form::Duration, "how often it is asked, at least 1s", default = "10s";
]}

section! { EMBEDDED, "embedded", "The log in this process, instead of Kafka", {
    short: Some("path"), example: "embedded: state/log\n",
}, [
    "path": Form::Path, "the log's directory; without it, `log` in the state directory", example = "state/log";
]}

section! { STATE, "state", "What an instance keeps on disk; each instance needs a directory of its own", {
    short: Some("path"), example: "state: { path: /var/lib/highwater, memory: 512MiB }\n",
}, [
    "path": Form::Path, "the directory; it starts where the process runs", default = "state";
    "secret": Form::SecretName,
        "digest keys of the stores derive from it, for those whose changelogs others can read; without it each store \
         makes its own";
    "memory": Form::Size, "block cache and memtables of all stores together, at least 8MiB", default = "128MiB";
]}

section! { HTTP, "http", "The HTTP server. `/freshness` says as of when the tables of sinks are, [and what that means](guarantees.md#as-of-when-rows-are)", { short: Some("listen"), example: "http: { listen: 127.0.0.1:9464 }\n" }, [
    "listen": Form::Address, "address and port", required = true, example = "127.0.0.1:9464";
]}

section! { KEYRING, "keys of a secret", "A secret that is rotated: its keys by id, which `hmac` puts in front of what it leaves; of a secret that is a single \
     value the id is its own name, so the first rotation of `pii` has `keys: { pii: …, pii2: … }`", {
    example: "secrets:\n  pii: { keys: { k1: '${OLD_KEY}', k2: '${NEW_KEY}' }, current: k2 }\n",
}, [
    "keys": Form::Named("KEY", &Form::Text), "the keys by id", required = true,
        example = "{ k1: '${OLD_KEY}', k2: '${NEW_KEY}' }";
    "current": Form::Text, "the key that values go under; not needed where there is one", example = "k2";
    "previous": Form::Text, "the key before it, for rules with `previous`; not needed where there are two", example = "k1";
]}

section! { DEFAULTS, "defaults", "What streams without their own go by", {
    example: "defaults:\n  on_error: { dead_letter: { topic: brew.analytics.dead-letters } }\n",
}, [
    "on_error": ON_ERROR_FORM, "what happens to a record that cannot be processed", default = "fail";
]}

section! { STREAM, "stream", "From topics, through steps, to a topic", {
    example: "streams:\n  customers:\n    from: brew.cdc.public.customers\n    steps: [dedup, { mask: none }]\n    \
              to: brew.analytics.customers\n",
}, [
    "from": Form::Section(&FROM), "the topics that are read; a topic has one reader", required = true,
        example = "brew.cdc.public.customers";
    "steps": Form::Steps, "what is done with each record, in this order; `mask` must be among them", required = true,
        example = "[dedup, { mask: { unlisted: reject, fields: { email: hash } } }]";
    "to": Form::Section(&TO), "the topic that rows go to; a rules file may name it instead, by table",
        example = "brew.analytics.customers";
    "on_error": ON_ERROR_FORM, "what happens to a record that cannot be processed",
        default = "that of `defaults`, else fail";
]}

section! { SINK, "sink", "Rows of topics into tables, exactly once; a consumer group of its own, named APPLICATION-SINK. Streams of the same file \
     stamp their rows with a header, `highwater.committed_us`, so that the sink can tell how old they are", {
    example: "sinks:\n  brew:\n    from: { pattern: 'brew\\.analytics\\.(?<table>.+)' }\n    \
              clickhouse: { url: 'http://localhost:8123', database: brew, table: '{table}' }\n",
}, [
    "from": Form::Either(&[Form::Pattern, Form::Section(&FROM)]),
        "the topics that are read; a single value is a topic, or a pattern where it cannot be one", required = true,
        example = "'brew\\.analytics\\.(?<table>.+)'";
    "clickhouse": Form::Section(&CLICKHOUSE), "the server and its tables", required = true;
    "tenant": Form::Section(&TENANT),
        "the column of the rows, as they leave, that says whose each is: `/freshness` and Redis tell as of when each tenant's rows are";
    "on_error": ON_ERROR_FORM, "what happens to a record that is no row of its table",
        default = "that of `defaults`, else fail";
]}

section! { CLICKHOUSE, "clickhouse", "Where a sink writes", {
    example: "clickhouse: { url: 'https://click.example:8443', database: brew, table: '{table}', user: highwater, password: '${CLICKHOUSE_PASSWORD}' }\n",
}, [
    "url": Form::Text, "the server's HTTP interface", required = true, example = "http://localhost:8123";
    "database": Form::Text, "where the tables are", default = "default", example = "brew";
    "table": Form::Text, "the table; `{name}` is a group of the source's pattern, `{topic}` the topic", required = true,
        example = "'{table}'";
    "user": Form::Text, "as whom; the server's default user without it", example = "highwater";
    "password": Form::Text, "taken from outside: `${NAME}` or `${file:PATH}`", example = "'${CLICKHOUSE_PASSWORD}'";
    "batch": Form::Section(&BATCH), "when the rows of a partition are inserted";
    "memory": Form::Size, "of all rows that wait or are under way, at least 1MiB", default = "256MiB";
    "inserts": Form::Number { least: 1, most: 64 }, "inserts under way at once", default = "2";
    "insert_timeout": Form::Duration, "how long an insert may take; then it is sent again under its token", default = "60s";
    "dedup_window": Form::Number { least: 1, most: 1_000_000 },
        "inserts whose tokens a table remembers; a table that has less is altered", default = "10000";
    "unknown_columns": Form::Words(&[
        Word("wait", "the partition waits until the table has the column, and says so"),
        Word("ignore", "the column is left out"),
        Word("add", "the column is added to the table, Nullable"),
    ]), "what happens to a column of the rows that the table does not have", default = "wait";
]}

section! { TENANT, "tenant", "Whose rows are. What the column holds is shown by `/freshness` and stands in Redis' keys: it must be \
     no personal value", {
    short: Some("column"), example: "tenant: { column: tenant_id, tables: { tenants: id } }\n",
}, [
    "column": Form::Text, "the column, in the rows of every table that has it", example = "tenant_id";
    "tables": Form::Named("TABLE", &Form::Text), "another column for some tables", example = "{ tenants: id }";
]}

section! { BATCH, "batch", "Rows of one insert; whichever comes first", {
    example: "batch: { rows: 50000, bytes: 8MiB, timeout: 500ms }\n",
}, [
    "rows": Form::Number { least: 1, most: 1_000_000 }, "so many", default = "100000";
    "bytes": Form::Size, "so large, as they are sent", default = "16MiB";
    "timeout": Form::Duration, "so long after the first of them", default = "1s";
]}

section! { FROM, "from", "Where a stream reads", {
    short: Some("topic"), one_of: &["topic", "topics", "pattern"],
    example: "from: { pattern: 'brew\\.cdc\\.public\\.(?<table>events|visits)' }\n",
}, [
    "topic": Form::Topic, "one topic", example = "brew.cdc.public.customers";
    "topics": Form::List(&Form::Topic), "several topics", example = "[shop.customers, shop.orders]";
    "pattern": Form::Pattern,
        "a regular expression that a topic's whole name matches; its named groups can be used in `to`",
        example = "'brew\\.cdc\\.public\\.(?<table>events|visits)'";
    "format": Form::Words(&[Word("debezium-json", "Debezium's envelope as JSON, with or without its schema")]),
        "what the records are", default = "debezium-json";
]}

section! { TO, "to", "Where a stream writes", {
    short: Some("topic"), example: "to: { topic: 'brew.analytics.{table}', headers: [trace] }\n",
}, [
    "topic": Form::Template, "the topic; `{name}` is a group of the source's pattern, `{topic}` the source topic",
        example = "'brew.analytics.{table}'";
    "headers": Form::List(&Form::Text), "names of headers that pass; all others stay behind", default = "[]",
        example = "[trace]";
]}

const ON_ERROR_FORM: Form = Form::Either(&[
    Form::Words(&[
        Word("fail", "stop, and say which record; nothing is lost, the next start meets it again"),
        Word("skip", "go on without it, and count it"),
    ]),
    Form::Section(&ON_ERROR),
]);

section! { ON_ERROR, "on_error", "What happens to a record that cannot be processed, in the same transaction", {
    example: "on_error: { dead_letter: { topic: brew.analytics.dead-letters } }\n",
}, [
    "dead_letter": Form::Section(&DEAD_LETTER),
        "a letter that names topic id, partition, offset and reason, and holds nothing of the record", required = true,
        example = "{ topic: brew.analytics.dead-letters }";
]}

section! { DEAD_LETTER, "dead_letter", "Where letters go", {
    short: Some("topic"), example: "dead_letter: { topic: brew.analytics.dead-letters }\n",
}, [
    "topic": Form::Topic, "the topic of dead letters; neither a source nor an output", required = true,
        example = "brew.analytics.dead-letters";
]}

/// The steps that a stream may have.
pub(in crate::topology) static STEPS: &[Step] = &[
    Step {
        name: "dedup",
        about: "keeps a change only if it is newer than the last one of its key; stands first",
        bare: true,
        form: Form::Section(&DEDUP),
        example: "steps: [dedup, { mask: none }]\n",
    },
    Step {
        name: "filter",
        about: "keeps rows that a predicate is true of, as they came; a row that leaves the predicate after it was sent is \
                sent once more, with `_deleted: 1`, for which it needs `dedup`",
        bare: false,
        form: Form::Either(&[Form::Section(&PREDICATE), Form::Section(&FILTER)]),
        example: "steps: [dedup, { filter: { field: country, in: [RU, KZ] } }, { mask: none }]\n",
    },
    Step {
        name: "mask",
        about: "rules for columns; the record's key goes by the rules of its columns",
        bare: false,
        form: Form::Either(&[
            Form::Words(&[Word("none", "rows pass as they are, and that is meant")]),
            Form::Section(&MASK),
        ]),
        example: "steps: [dedup, { mask: { unlisted: reject, fields: { id: passthrough, email: hash } } }]\n",
    },
];

/// Their names.
pub(in crate::topology) fn steps() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|step| step.name)
}

section! { DEDUP, "dedup", "How changes are ranked", {
    example: "- dedup: { on_regression: fail }\n",
}, [
    "on_regression": Form::Words(&[
        Word("new_epoch", "what comes from there on is newer; logged and counted"),
        Word("fail", "stop: a person decides"),
    ]), "what to do where a source's positions fall while its time goes on: a restore, a failover, another cluster",
        default = "new_epoch";
    "missing_position": Form::Words(&[
        Word("keep", "it keeps the position of its key, and its offset tells a replay"),
        Word("ts_ms", "by the connector's clock, which outranks every later LSN"),
    ]), "how a change without any position is ranked", default = "keep";
]}

section! { FILTER, "filter", "A predicate with its mode", {
    example: "- filter: { mode: record, where: { field: country, equals: RU } }\n",
}, [
    "where": Form::Section(&PREDICATE), "the predicate", required = true, example = "{ field: country, in: [RU, KZ] }";
    "mode": Form::Words(&[
        Word("change", "a row that leaves the predicate after it was sent is sent as deleted; rows of keyless tables go one by one"),
        Word("record", "each record for itself: what was sent stays as it was"),
    ]), "what is looked at", default = "change";
]}

section! { PREDICATE, "predicate",
    "True or false of a row, as it came. Null equals nothing and is no number, so every test but `is_null` is false of it, \
     and `not` makes that true. A row that cannot be judged goes by `on_error`", {
    one_of: &["field", "and", "or", "not"],
    example: "filter:\n  and:\n    - { field: country, in: [RU, KZ] }\n    - not: { field: address.city, starts_with: test }\n    \
              - { field: age, at_least: 18 }\n",
}, [
    "field": Form::Text, "a column, or a member of one: `address.country`; exactly one test stands beside it",
        example = "country";
    "equals": Form::Scalar, "text is compared by its letters, numbers by their value, `true` and `false` as such";
    "in": Form::List(&Form::Scalar), "equal to one of these", example = "[RU, KZ]";
    "is_null": Form::Boolean, "whether it is null";
    "starts_with": Form::Text, "text that starts with this";
    "less_than": Form::Scalar, "a number, or text that is one";
    "at_most": Form::Scalar, "the same";
    "greater_than": Form::Scalar, "the same";
    "at_least": Form::Scalar, "the same";
    "optional": Form::Boolean, "rows may lack the field, which is then null; else such a row cannot be judged", default = "false";
    "and": Form::List(&Form::Section(&PREDICATE)), "all of these are true";
    "or": Form::List(&Form::Section(&PREDICATE)), "one of these is true";
    "not": Form::Section(&PREDICATE), "this is not true";
]}

section! { MASK, "mask", "Which rules columns go by", {
    one_of: &["fields", "rules"],
    example: "- mask:\n    secret: pii\n    unlisted: reject\n    fields:\n      id: passthrough\n      email: hash\n      \
              middle_name: { rule: truncate, optional: true }\n",
}, [
    "secret": Form::SecretName, "what `hmac` and `hash` are keyed with; not needed where one secret is declared";
    "unlisted": Form::Words(&[
        Word("passthrough", "as they are: a new column leaks until somebody gives it a rule"),
        Word("drop", "left out"),
        Word("reject", "the row goes by `on_error`, with the column's name"),
    ]), "what happens to columns without a rule", default = "passthrough";
    "unavailable_value": Form::Text, "what the connector sends for an unchanged out-of-line column; it stays as it came",
        default = "__debezium_unavailable_value";
    "fields": Form::Named("COLUMN", &Form::Column(true)),
        "a rule for each column, or for places within one: `address.street`, `contacts[].phone`",
        example = "{ id: passthrough, email: hash }";
    "rules": Form::Path, "a rules file with the rules of each table; the path starts at the topology's directory",
        example = "anonymize.yaml";
]}

section! { RULES_FILE, "rules file", "A file of its own for rules by table; nothing is substituted in it", {
    example: "tables:\n  customers:\n    target_topic: brew.analytics.customers\n    fields: { email: hash, notes: drop }\n",
}, [
    "salt": Form::Verbatim,
        "what `hash` is keyed with, byte for byte; better left out and named as `secret` in the mask step";
    "tables": Form::Named("TABLE", &Form::Section(&TABLE)), "the rules of each table, by its name in the source",
        required = true;
]}

section! { TABLE, "table", "The rules of one table", {
    example: "customers: { target_topic: brew.analytics.customers, fields: { email: hash } }\n",
}, [
    "target_topic": Form::Topic, "where its rows go, unless the stream has a `to`", example = "brew.analytics.customers";
    "fields": Form::Named("COLUMN", &Form::Column(false)),
        "a rule for each column; `{}` passes every column as it is", required = true, example = "{ email: hash }";
]}
