//! SQL for the tables that rows land in, and for the views that they are read by.
//!
//! A table keeps every row of an output topic for a while, and in the end the one with the highest `cdc_lsn` of each key.
//! `ch/init.sql` tells why it is as it is; a test compares the two.

use std::fmt::Write;

/// What Highwater adds to a row: the version, and whether the row is there no more.
pub const VERSION: &str = "cdc_lsn";
pub const DELETED: &str = "_deleted";

/// Blocks of inserts that are remembered, so that a repeated one is dropped.
const WINDOW: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub database: String,
    pub name: String,
    /// What it is of, for a comment.
    pub about: String,
    pub columns: Vec<Column>,
    /// By name. Without any the table only grows: rows of one thing cannot be told from those of another.
    pub key: Vec<String>,
    pub partition_by: Option<String>,
    /// Comments above the table.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Without `Nullable`.
    pub kind: String,
    pub comment: String,
    /// How the view shows it, where that is not as it comes; `{}` stands for the column.
    pub shown: Option<String>,
}

/// How rows get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style<'a> {
    /// They are inserted.
    Sink,
    /// ClickHouse fetches them itself.
    KafkaEngine { brokers: &'a str, topic: &'a str, group: &'a str },
}

impl Table {
    pub fn create(&self, style: Style<'_>) -> String {
        let mut sql = String::new();
        let mut line = |text: &str| sql.push_str(&format!("{text}\n"));
        line(&format!("-- {}", self.about));
        self.notes.iter().for_each(|note| line(&format!("-- {note}")));
        let name = self.qualified("");
        line(&format!("create table if not exists {name}\n(\n{}\n)", self.columns(true)));
        line(if self.key.is_empty() { "engine = MergeTree" } else { "engine = ReplacingMergeTree(cdc_lsn)" });
        let mut settings = format!("settings non_replicated_deduplication_window = {WINDOW}");
        if let Some(column) = &self.partition_by {
            line(&format!("partition by {}", identifier(column)));
            if !self.key.contains(column) {
                settings += ", allow_nullable_key = 1";
            }
        }
        line(&format!("order by {}\n{settings};\n", self.order()));
        if let Style::KafkaEngine { brokers, topic, group } = style {
            line(&self.queue(brokers, topic, group));
        }
        if !self.key.is_empty() {
            line(&self.view());
        }
        sql
    }

    fn qualified(&self, suffix: &str) -> String {
        format!("{}.{}", identifier(&self.database), identifier(&format!("{}{suffix}", self.name)))
    }

    fn order(&self) -> String {
        let key: Vec<String> = self.key.iter().map(|column| identifier(column)).collect();
        match key.as_slice() {
            [] => "tuple()".into(),
            [one] => one.clone(),
            several => format!("({})", several.join(", ")),
        }
    }

    /// One a line, types below each other.
    fn columns(&self, comments: bool) -> String {
        let own = self.columns.iter().map(|column| {
            let kind = match self.key.contains(&column.name) {
                true => column.kind.clone(),
                false => format!("Nullable({})", column.kind),
            };
            let comment = match column.comment.as_str() {
                "" => String::new(),
                _ if !comments => String::new(),
                text => format!(" comment {}", literal(text)),
            };
            (identifier(&column.name), kind + &comment)
        });
        let added = [(VERSION, "UInt64"), (DELETED, "UInt8")].map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        let all: Vec<(String, String)> = own.chain(added).collect();
        let width = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        all.iter().map(|(name, kind)| format!("    {name:<width$}  {kind}")).collect::<Vec<_>>().join(",\n")
    }

    /// What is there now.
    fn view(&self) -> String {
        let mut shown = Vec::new();
        for column in &self.columns {
            if let Some(form) = &column.shown {
                let name = identifier(&column.name);
                shown.push(format!("{} as {name}", form.replace("{}", &name)));
            }
        }
        let replace = match shown.as_slice() {
            [] => String::new(),
            shown => format!("\n    replace (\n        {}\n    )", shown.join(",\n        ")),
        };
        format!(
            "create or replace view {} as\nselect * except ({VERSION}, {DELETED}){replace}\nfrom {} final where {DELETED} = 0;\n",
            self.qualified("_now"),
            self.qualified("")
        )
    }

    fn queue(&self, brokers: &str, topic: &str, group: &str) -> String {
        let (table, queue) = (self.qualified(""), self.qualified("_queue"));
        let (mut sql, name) = (String::new(), &self.name);
        // Writing to a String cannot fail.
        let _ = write!(
            sql,
            "-- At least once, not exactly once: the engine commits its place in the topic after a block is in {name}, so after a
-- crash in between it inserts those rows again, in blocks cut anew, which no deduplication window knows. For whoever reads
-- {name}_now that changes nothing: the same row has the same key and the same {VERSION}. Who counts {name} itself, or
-- hangs a materialized view on it, counts such rows twice. Aborted transactions are not read (isolation.level).
create table if not exists {queue}
(
{}
)
engine = Kafka
settings
    kafka_broker_list = {},
    kafka_topic_list = {},
    kafka_group_name = {},
    kafka_format = 'JSONEachRow',
    input_format_skip_unknown_fields = 0,
    input_format_null_as_default = 0,
    date_time_input_format = 'best_effort';

create materialized view if not exists {} to {table} as
select * from {queue};
",
            self.columns(false),
            literal(brokers),
            literal(topic),
            literal(group),
            self.qualified("_feed"),
        );
        sql
    }
}

/// A name as SQL takes it, in backticks where it could be read as anything else.
pub fn identifier(name: &str) -> String {
    const WORDS: [&str; 40] = [
        "all", "and", "any", "array", "as", "asc", "between", "by", "case", "cast", "date", "desc", "distinct", "else",
        "end", "except", "final", "format", "from", "group", "having", "in", "index", "interval", "is", "join", "key",
        "limit", "not", "null", "on", "or", "order", "select", "settings", "table", "then", "union", "when", "where",
    ];
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty();
    if plain && !WORDS.contains(&name) {
        return name.to_owned();
    }
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column { name: name.into(), kind: kind.into(), comment: String::new(), shown: None }
    }

    fn table() -> Table {
        Table {
            database: "brew".into(),
            name: "orders".into(),
            about: "public.orders, through the stream `orders`".into(),
            columns: vec![
                column("id", "Int64"),
                Column {
                    comment: "it's days".into(),
                    shown: Some("toDate32('1970-01-01') + {}".into()),
                    ..column("due_on", "Int32")
                },
                column("From", "String"),
            ],
            key: vec!["id".into()],
            partition_by: None,
            notes: vec!["a note".into()],
        }
    }

    #[test]
    fn a_table_and_its_view() {
        let want = "\
-- public.orders, through the stream `orders`
-- a note
create table if not exists brew.orders
(
    id        Int64,
    due_on    Nullable(Int32) comment 'it\\'s days',
    `From`    Nullable(String),
    cdc_lsn   UInt64,
    _deleted  UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.orders_now as
select * except (cdc_lsn, _deleted)
    replace (
        toDate32('1970-01-01') + due_on as due_on
    )
from brew.orders final where _deleted = 0;

";
        assert_eq!(table().create(Style::Sink), want);
    }

    #[test]
    fn keys_and_partitions() {
        let of = |key: &[&str], partition: Option<&str>| {
            let key = key.iter().map(|name| name.to_string()).collect();
            Table { key, partition_by: partition.map(str::to_owned), ..table() }.create(Style::Sink)
        };
        let pair = of(&["id", "From"], Some("id"));
        assert!(pair.contains("    `From`    String,\n") && pair.contains("\norder by (id, `From`)\n"), "{pair}");
        assert!(pair.contains("\npartition by id\n") && !pair.contains("allow_nullable_key"), "{pair}");
        let elsewhere = of(&["id"], Some("due_on"));
        assert!(
            elsewhere.contains("\npartition by due_on\n") && elsewhere.contains(", allow_nullable_key = 1;"),
            "{elsewhere}"
        );
        // Without a key nothing can be replaced, and there is no `now`.
        let keyless = of(&[], None);
        assert!(keyless.contains("engine = MergeTree\norder by tuple()\n") && !keyless.contains("_now"), "{keyless}");
        assert!(keyless.contains("    id        Nullable(Int64),"), "{keyless}");
    }

    #[test]
    fn a_queue_names_what_it_does_not_promise() {
        let style = Style::KafkaEngine { brokers: "a:1,b:2", topic: "brew.analytics.orders", group: "g" };
        let sql = table().create(style);
        for part in [
            "At least once, not exactly once",
            "create table if not exists brew.orders_queue\n(\n    id        Int64,\n    due_on    Nullable(Int32),\n",
            "    kafka_topic_list = 'brew.analytics.orders',\n",
            "create materialized view if not exists brew.orders_feed to brew.orders as\nselect * from brew.orders_queue;\n",
        ] {
            assert!(sql.contains(part), "{part}\n{sql}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, want) in [
            ("a_1", "a_1"),
            ("order", "`order`"),
            ("1a", "`1a`"),
            ("", "``"),
            ("Größe", "`Größe`"),
            ("a`b\\c", "`a\\`b\\\\c`"),
            ("a b", "`a b`"),
        ] {
            assert_eq!(identifier(name), want);
        }
    }
}
