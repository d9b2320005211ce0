//! Every metric: its name, its help, its labels. Names are stable: dashboards and alert rules are written against them.
//!
//! Base units. Labels have few values: streams, topics, partitions, reasons; never a key or a value.

/// How a metric behaves, as the exposition states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    pub kind: Kind,
    pub name: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $id: Name = Name { kind: Kind::$kind, name: $name, labels: &[$($label),*], help: $help };)*

        /// All of them, in the order they are declared.
        pub const ALL: &[Name] = &[$($id),*];
    };
}

metrics! {
    CONSUMER_LAG_RECORDS = Gauge "highwater_consumer_lag_records" ["topic", "partition"]
        "Records between the last stable offset of a source partition and the position of its task.";
    CONSUMER_LAG_SECONDS = Gauge "highwater_consumer_lag_seconds" ["topic", "partition"]
        "Age in seconds of the oldest record of a source partition that is not processed yet; 0 when there is none.";
    RECORDS_IN = Counter "highwater_records_in_total" ["stream"]
        "Records read from the source topics, in committed transactions.";
    RECORDS_OUT = Counter "highwater_records_out_total" ["stream"]
        "Records written to the output topic, in committed transactions.";
    DEDUP_DROPPED = Counter "highwater_dedup_dropped_total" ["stream", "reason"]
        "Changes dropped because a newer one of the same key had passed (stale) or the same one had (replayed).";
    RECORDS_SKIPPED = Counter "highwater_records_skipped_total" ["stream", "reason"]
        "Records for which nothing leaves: tombstones, truncates, messages, filtered rows, and bad records under on_error: skip.";
    DEAD_LETTERS = Counter "highwater_dead_letters_total" ["stream", "reason"]
        "Records written to the dead letter topic.";
    MASKED_FIELDS = Counter "highwater_masked_fields_total" ["stream", "rule"]
        "Fields to which a rule was applied.";
    RULES_UNMATCHED = Gauge "highwater_rules_unmatched" ["stream"]
        "Masking rules that have met no column yet: a renamed column, or a typo.";
    EPOCHS = Counter "highwater_epochs_total" ["stream", "reason"]
        "New epochs: a new snapshot, or positions of the source that fell while its time went on.";
    STALE_RUN_RECORDS = Gauge "highwater_stale_run_records" ["stream"]
        "Length of the present run of never seen changes that were all dropped as stale; an alarm when it keeps growing.";
    TRANSACTIONS = Counter "highwater_transactions_total" ["outcome"]
        "Transactions by outcome: committed, aborted, or unknown.";
    TRANSACTION_SECONDS = Histogram "highwater_transaction_seconds" []
        "Seconds from the beginning of a transaction to its outcome.";
    END_TO_END_SECONDS = Histogram "highwater_end_to_end_seconds" []
        "Seconds from the commit of a change in the source to the commit of its output.";
    SOURCE_FRESHNESS_SECONDS = Gauge "highwater_source_freshness_seconds" ["stream"]
        "Age in seconds of the newest change processed, by the clock of the source; grows while the source is silent.";
    TASKS = Gauge "highwater_tasks" ["state"]
        "Tasks of this instance by state: assigned, restoring, running.";
    RESTORE_REMAINING_RECORDS = Gauge "highwater_restore_remaining_records" ["store", "partition"]
        "Changelog records that a store partition has still to read before its task runs.";
    STORE_KEYS = Gauge "highwater_store_keys" ["store"]
        "Keys in a store on this instance, estimated.";
    STORE_BYTES = Gauge "highwater_store_bytes" ["store"]
        "Bytes that a store takes on the disk of this instance.";
    REBALANCES = Counter "highwater_rebalances_total" ["event"]
        "Rebalances by what they did to this instance: assigned, revoked, lost.";
    SINK_ROWS = Counter "highwater_sink_rows_total" ["sink", "table"]
        "Rows that are in the table of a sink.";
    SINK_INSERTS = Counter "highwater_sink_inserts_total" ["sink", "table", "outcome"]
        "Inserts by outcome: done; failed, and sent again under the same token; refused, and planned anew.";
    SINK_INSERT_ERRORS = Counter "highwater_sink_insert_errors_total" ["sink", "table"]
        "Inserts that failed or were refused, and looks at tables that rows do not fit into.";
    SINK_BAD_RECORDS = Counter "highwater_sink_bad_records_total" ["sink", "reason"]
        "Records that are no rows of their table, which went by on_error.";
    SINK_INSERT_SECONDS = Histogram "highwater_sink_insert_seconds" []
        "Seconds that an insert took, until it was in or failed.";
    SINK_END_TO_END_SECONDS = Histogram "highwater_sink_end_to_end_seconds" []
        "Seconds from the commit of a change in the source until its row is in the table.";
    SINK_FRESHNESS_SECONDS = Gauge "highwater_sink_freshness_seconds" ["sink", "table"]
        "Age in seconds of the newest change in the table, by the clock of the source; grows while the source is silent.";
    SINK_TABLE_PARTS = Gauge "highwater_sink_table_parts" ["sink", "table"]
        "Active parts of the table: many are inserts that are too small or a server that merges too little.";
    SINK_HELD_PARTITIONS = Gauge "highwater_sink_held_partitions" ["sink"]
        "Partitions that wait until a table is there, has a column, or takes inserts again.";
    SINK_TENANTS_LEFT_OUT = Counter "highwater_sink_tenants_left_out_total" ["sink"]
        "Tenants of inserts that /freshness does not tell apart: there are too many, or a name is too long.";
    LAST_SYNC_VALUES = Counter "highwater_last_sync_values_total" ["outcome"]
        "Times of tenants' newest changes given to Redis: written; failed, and tried again unless a key is of another type; dropped, because too many wait.";
    LAST_SYNC_WAITING = Gauge "highwater_last_sync_waiting" []
        "Tenants whose newest change Redis does not know yet.";
    PG_UP = Gauge "highwater_pg_up" []
        "1 if Postgres told of its replication slots when it was last asked, else 0, and then nothing is said of slots.";
    PG_SLOT_WAL_BYTES = Gauge "highwater_pg_replication_slot_wal_bytes" ["slot"]
        "Bytes of WAL that Postgres keeps for a replication slot, from its restart_lsn on: they fill its disk.";
    PG_SLOT_UNCONFIRMED_BYTES = Gauge "highwater_pg_replication_slot_unconfirmed_bytes" ["slot"]
        "Bytes of WAL between what the reader of a replication slot has confirmed and the present.";
    PG_SLOT_ACTIVE = Gauge "highwater_pg_replication_slot_active" ["slot"]
        "1 while somebody reads the replication slot, else 0.";
    PG_SLOT_WAL_STATUS = Gauge "highwater_pg_replication_slot_wal_status" ["slot", "status"]
        "1 for the status of a replication slot's WAL, 0 for the others: reserved, extended, unreserved, lost; missing where there is no such slot.";
    BUILD_INFO = Gauge "highwater_build_info" ["version", "commit"]
        "Always 1; the labels say which build this is.";
}

/// Why dedup dropped a change: at or below the key's position.
pub const STALE: &str = "stale";
/// Why dedup dropped a change: it has no position and its source offset was seen.
pub const REPLAYED: &str = "replayed";

/// Why nothing of a record left: `filter` kept it back.
pub const FILTERED: &str = "filtered";

/// From a millisecond, the time of a commit on a good day, to the longest that anyone should wait.
pub const SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for n in ALL {
            assert!(seen.insert(n.name), "{} is declared twice", n.name);
            assert!(n.name.starts_with("highwater_"), "{}", n.name);
            assert_eq!(n.kind == Kind::Counter, n.name.ends_with("_total"), "{}", n.name);
            assert!(n.help.len() > 20 && n.help.ends_with('.'), "{}", n.name);
        }
        assert!(SECONDS_BUCKETS.is_sorted());
    }
}
