-- Tables for the rows of `brew-analytics`, by `highwater clickhouse ddl`. Insert with async_insert = 0,
-- input_format_null_as_default = 0 and input_format_skip_unknown_fields = 0: what does not fit must stop, not change.

create database if not exists brew;

-- public.customers of Postgres, by the stream `customers`, from brew.analytics.customers
-- partitioned by country, which is not of the key: where it changes, or a delete does not know it, versions of a row lie in two partitions, and only FINAL with do_not_merge_across_partitions_select_final = 0 finds the last
create table if not exists brew.customers
(
    id          Int64,
    email       Nullable(String) comment 'hash',
    phone       Nullable(String) comment 'hash',
    full_name   Nullable(String) comment 'truncate',
    country     Nullable(String),
    created_at  Nullable(DateTime64(6, 'UTC')),
    updated_at  Nullable(DateTime64(6, 'UTC')),
    cdc_lsn     UInt64,
    _deleted    UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
partition by country
order by id
settings non_replicated_deduplication_window = 10000, allow_nullable_key = 1;

-- At least once, not exactly once: the engine commits its place in the topic after a block is in customers, so after a
-- crash in between it inserts those rows again, in blocks cut anew, which no deduplication window knows. For whoever reads
-- customers_now that changes nothing: the same row has the same key and the same cdc_lsn. Who counts customers itself, or
-- hangs a materialized view on it, counts such rows twice. Aborted transactions are not read (isolation.level).
create table if not exists brew.customers_queue
(
    id          Int64,
    email       Nullable(String),
    phone       Nullable(String),
    full_name   Nullable(String),
    country     Nullable(String),
    created_at  Nullable(DateTime64(6, 'UTC')),
    updated_at  Nullable(DateTime64(6, 'UTC')),
    cdc_lsn     UInt64,
    _deleted    UInt8
)
engine = Kafka
settings
    kafka_broker_list = 'localhost:9092',
    kafka_topic_list = 'brew.analytics.customers',
    kafka_group_name = 'brew-analytics-clickhouse',
    kafka_format = 'JSONEachRow',
    input_format_skip_unknown_fields = 0,
    input_format_null_as_default = 0,
    date_time_input_format = 'best_effort';

create materialized view if not exists brew.customers_feed to brew.customers as
select * from brew.customers_queue;

create or replace view brew.customers_now as
select * except (cdc_lsn, _deleted)
from brew.customers final where _deleted = 0;
