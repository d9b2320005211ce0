-- Tables for the rows of `brew-analytics`, by `highwater clickhouse ddl`. Insert with async_insert = 0,
-- input_format_null_as_default = 0 and input_format_skip_unknown_fields = 0: what does not fit must stop, not change.

create database if not exists brew;

-- 72 rows of brew.analytics.customers, by the stream `customers`
create table if not exists brew.customers
(
    id          Int64 comment 'a guess, read off 72 values: whole numbers; days, milli- and microseconds are, too',
    email       Nullable(String) comment 'hash',
    phone       Nullable(String) comment 'hash',
    full_name   Nullable(String) comment 'truncate',
    country     Nullable(String) comment 'a guess, read off 40 values: texts; decimals are, too',
    profile     Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    tags        Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    ver         Nullable(Int64) comment 'a guess, read off 72 values: whole numbers; days, milli- and microseconds are, too',
    created_at  Nullable(DateTime64(6, 'UTC')) comment 'a guess, read off 72 values: each looks like a time',
    updated_at  Nullable(DateTime64(6, 'UTC')) comment 'a guess, read off 7 values: each looks like a time',
    cdc_lsn     UInt64,
    _deleted    UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.customers_now as
select * except (cdc_lsn, _deleted)
from brew.customers final where _deleted = 0;

-- 4 rows of brew.analytics.orders, by the stream `orders`
create table if not exists brew.orders
(
    id           Int64 comment 'a guess, read off 4 values: whole numbers; days, milli- and microseconds are, too',
    customer_id  Nullable(Int64) comment 'a guess, read off 4 values: whole numbers; days, milli- and microseconds are, too',
    total        Nullable(String) comment 'a guess, read off 4 values: texts; decimals are, too',
    weight       Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    rate         Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    receipt      Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    placed_at    Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    took         Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    lines        Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    external_id  Nullable(String) comment 'a guess, read off 0 values: no value was seen',
    ver          Nullable(Int64) comment 'a guess, read off 4 values: whole numbers; days, milli- and microseconds are, too',
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.orders_now as
select * except (cdc_lsn, _deleted)
from brew.orders final where _deleted = 0;

-- 13 rows of brew.analytics.events, by the stream `others`
-- Without a key: every change is a row of its own, and a deleted row stays beside the one that says so.
create table if not exists brew.events
(
    customer_id  Nullable(Int64) comment 'a guess, read off 13 values: whole numbers; days, milli- and microseconds are, too',
    kind         Nullable(String) comment 'a guess, read off 13 values: texts; decimals are, too',
    at           Nullable(DateTime64(6, 'UTC')) comment 'a guess, read off 13 values: each looks like a time',
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = MergeTree
order by tuple()
settings non_replicated_deduplication_window = 10000;

-- 42 rows of brew.analytics.visits, by the stream `others`
create table if not exists brew.visits
(
    id           Int64 comment 'a guess, read off 42 values: whole numbers; days, milli- and microseconds are, too',
    customer_id  Nullable(Int64) comment 'a guess, read off 42 values: whole numbers; days, milli- and microseconds are, too',
    shop         Nullable(Int64) comment 'a guess, read off 42 values: whole numbers; days, milli- and microseconds are, too',
    at           Nullable(DateTime64(6, 'UTC')) comment 'a guess, read off 11 values: each looks like a time',
    ver          Nullable(Int64) comment 'a guess, read off 42 values: whole numbers; days, milli- and microseconds are, too',
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.visits_now as
select * except (cdc_lsn, _deleted)
from brew.visits final where _deleted = 0;
