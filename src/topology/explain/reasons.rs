//! Reasons why a record cannot be processed. A new one is explained here, or nothing compiles.

use super::{Explanation, Kind};
use crate::record::Reason;

pub(super) fn of(reason: Reason) -> Explanation {
    let (title, cause, remedy, wrong, right) = match reason {
        Reason::NotJson => (
            "the value is not JSON",
            "The record's value is no JSON text in UTF-8: another converter wrote it, or it was cut.",
            "Look at it with `highwater consume TOPIC --from OFFSET --count 1 --format json`; set the connector's \
             value.converter to org.apache.kafka.connect.json.JsonConverter, or keep other writers off the topic.",
            r#"{"op":"c","after":{"id":1}"#,
            r#"{"op":"c","after":{"id":1},"source":{}}"#,
        ),
        Reason::NotEnvelope => (
            "JSON, and no Debezium envelope",
            "The value has no `op`, or no `source`: a transform such as ExtractNewRecordState unwrapped it, or something \
             other than Debezium wrote it.",
            "Take the transform out of the connector: order, deletes and tables are only known from the envelope.",
            r#"{"id":1,"email":"ann@example.com"}"#,
            r#"{"op":"c","after":{"id":1,"email":"ann@example.com"},"source":{}}"#,
        ),
        Reason::WrongType => (
            "a value has a type that cannot be processed",
            "A field of the envelope is not of the type that Debezium gives it, or a value under a rule is of a type that the \
             rule does not take, such as a number under `truncate`.",
            "The detail names the field; give the column another rule, such as `hash` or `drop`, which take any type.",
            r#"{"op":"c","after":{"id":1},"source":{"lsn":"high"}}"#,
            r#"{"op":"c","after":{"id":1},"source":{"lsn":35677672}}"#,
        ),
        Reason::UnknownOp => (
            "an op that is not known",
            "The envelope's `op` is none of c, u, r, d, t and m.",
            "See what wrote it; a newer Debezium may need a newer Highwater.",
            r#"{"op":"x","after":{"id":1},"source":{}}"#,
            r#"{"op":"u","after":{"id":1},"source":{}}"#,
        ),
        Reason::MissingRow => (
            "a change without its row",
            "A delete has no `before`, or another change has no `after`: the table's replica identity is not FULL, or a \
             transform took it out.",
            "ALTER TABLE … REPLICA IDENTITY FULL; earlier deletes stay without their row, and can be skipped or written again.",
            r#"{"op":"d","before":null,"after":null,"source":{}}"#,
            r#"{"op":"d","before":{"id":1},"after":null,"source":{}}"#,
        ),
        Reason::DuplicateField => (
            "one object names a field twice",
            "The envelope or the row names a field twice: which of the two is meant cannot be known, and one of them might \
             pass unmasked.",
            "Mend whatever writes such JSON; Debezium does not.",
            r#"{"op":"c","op":"u","after":{"id":1},"source":{}}"#,
            r#"{"op":"c","after":{"id":1},"source":{}}"#,
        ),
        Reason::MalformedKey => (
            "the record key is no object of columns",
            "The key is not a JSON object of the key's columns, with or without its schema: another converter or transform \
             wrote it.",
            "Set the connector's key.converter to org.apache.kafka.connect.json.JsonConverter, and take ExtractField \
             out of its transforms.",
            "key: 42",
            r#"key: {"id":42}"#,
        ),
        Reason::UnlistedColumn => (
            "a column without a rule",
            "The row has a column that no rule names, and the stream says `unlisted: reject`: somebody added a column to the \
             table.",
            "Give the column a rule: `passthrough` if it is harmless, else one with `optional: true`, because rows from before the \
             column lack it; then send the dead letters' records again.",
            "mask: { unlisted: reject, fields: { id: passthrough } }\n{\"id\":1,\"iban\":\"LV80\"}",
            "mask: { unlisted: reject, fields: { id: passthrough, iban: hash } }\n{\"id\":1,\"iban\":\"LV80\"}",
        ),
        Reason::RuleWithoutColumn => (
            "a rule without its column",
            "A rule names a column that the row lacks: a typo, which would let the real column pass, or a column that was \
             dropped or renamed.",
            "Mend the name (the detail has the nearest), take the rule out, or say that rows may lack the column: `optional: \
             true`.",
            "mask: { fields: { emial: hash } }\n{\"id\":1,\"email\":\"ann@example.com\"}",
            "mask: { fields: { email: hash } }\n{\"id\":1,\"email\":\"ann@example.com\"}",
        ),
        Reason::UnavailableColumn => (
            "a filter asks for a column that did not come",
            "A predicate asks for a column that is kept out of line (TOAST) and was not changed, so that Postgres did not send \
             it: whether the row passes cannot be known.",
            "ALTER TABLE … REPLICA IDENTITY FULL, and unchanged columns come as well; or filter by another column.",
            "filter: { field: body, starts_with: a }\n{\"id\":1,\"body\":\"__debezium_unavailable_value\"}",
            "filter: { field: body, starts_with: a }\n{\"id\":1,\"body\":\"a long text\"}",
        ),
        Reason::ReservedColumn => (
            "a column that Highwater writes itself",
            "The table has a column `cdc_lsn` or `_deleted`, and every row gets these two; or it has one that `previous` of a \
             rule writes.",
            "Rename the column at its source, or leave it out there with the connector's column.exclude.list.",
            "{\"id\":1,\"_deleted\":false}\n",
            "{\"id\":1,\"is_deleted\":false}\n",
        ),
        Reason::RuleOnKey => (
            "a rule that a key cannot have",
            "A column of the record key has a rule that makes different keys alike, such as `drop` or `truncate`: rows \
             would overwrite each other.",
            "Give columns of the key `passthrough` or a rule that keeps them apart, such as `hash`.",
            "mask: { fields: { email: drop } }\nkey: {\"email\":\"ann@example.com\"}",
            "mask: { fields: { email: hash } }\nkey: {\"email\":\"ann@example.com\"}",
        ),
        Reason::TableWithoutRules => (
            "a table without rules",
            "The row's table (`source.table`) has no entry in the rules file, or none with a target topic.",
            "Add the table to the file, `fields: {}` if every column may pass; or narrow the stream's `from`.",
            "tables: { customers: { fields: { email: hash } } }\n{\"source\":{\"table\":\"orders\"}}",
            "tables: { customers: { fields: { email: hash } }, orders: { fields: {} } }\n{\"source\":{\"table\":\"orders\"}}",
        ),
        Reason::TooLarge => (
            "the result is larger than its topic takes",
            "The masked row is larger than the output topic's max.message.bytes.",
            "Raise it to that of the source topic: kafka-configs.sh --alter --entity-type topics --entity-name TOPIC \
             --add-config max.message.bytes=N. `highwater topics create` makes outputs as large as their sources.",
            "max.message.bytes=1048588\na row of 2 MB",
            "max.message.bytes=10485880\na row of 2 MB",
        ),
        Reason::NotRow => (
            "a record that is no row",
            "A sink read a value that is JSON and not an object of columns.",
            "Narrow the sink's `from` to topics that streams write.",
            "sinks: { s: { from: 'brew\\..+' … } }\n[1, 2]",
            "sinks: { s: { from: 'brew\\.analytics\\..+' … } }\n{\"id\":1,\"cdc_lsn\":7,\"_deleted\":0}",
        ),
        Reason::ColumnMisfit => (
            "a value that its column cannot hold",
            "A column of the sink's table cannot hold the value exactly: a number out of its range, null where it is not \
             Nullable, a time with more digits than it has. ClickHouse itself would store something else in silence.",
            "Give the column a type that holds it (ALTER TABLE … MODIFY COLUMN), and send the record again.",
            "n Int32\n{\"n\":3000000000}",
            "n Int64\n{\"n\":3000000000}",
        ),
        Reason::RefusedByTable => (
            "a row that the server refused",
            "The server refused an insert because of one of its rows, for example by a CONSTRAINT of the table; halved until \
             it was alone, this row was the one.",
            "Mend the constraint or the row, and send the record again.",
            "CONSTRAINT positive CHECK n > 0\n{\"n\":-1}",
            "CONSTRAINT positive CHECK n > 0\n{\"n\":1}",
        ),
    };
    Explanation { code: reason.as_str(), kind: Kind::Record, title, cause, data: "", remedy, wrong, right }
}
