-- Tables for the rows of `brew-analytics`, by `highwater clickhouse ddl`. Insert with async_insert = 0,
-- input_format_null_as_default = 0 and input_format_skip_unknown_fields = 0: what does not fit must stop, not change.

create database if not exists brew;

-- public.customers of Postgres, by the stream `customers`, from brew.analytics.customers
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
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.customers_now as
select * except (cdc_lsn, _deleted)
from brew.customers final where _deleted = 0;

-- public.orders of Postgres, by the stream `orders`, from brew.analytics.orders
create table if not exists brew.orders
(
    id           Int64,
    customer_id  Nullable(Int64),
    total        Nullable(Decimal(12, 2)),
    due_on       Nullable(Int32) comment 'days since 1970-01-01',
    placed_at    Nullable(Int64) comment 'microseconds since 1970-01-01, UTC',
    external_id  Nullable(UUID),
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.orders_now as
select * except (cdc_lsn, _deleted)
    replace (
        toDate32('1970-01-01') + due_on as due_on,
        fromUnixTimestamp64Micro(placed_at, 'UTC') as placed_at
    )
from brew.orders final where _deleted = 0;

-- public.events of Postgres, by the stream `others`, from brew.analytics.events
create table if not exists brew.events
(
    id           Int64,
    customer_id  Nullable(Int64),
    kind         Nullable(String),
    at           Nullable(DateTime64(6, 'UTC')),
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.events_now as
select * except (cdc_lsn, _deleted)
from brew.events final where _deleted = 0;

-- public.visits of Postgres, by the stream `others`, from brew.analytics.visits
create table if not exists brew.visits
(
    id           Int64,
    customer_id  Nullable(Int64),
    shop         Nullable(Int32),
    at           Nullable(DateTime64(6, 'UTC')),
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.visits_now as
select * except (cdc_lsn, _deleted)
from brew.visits final where _deleted = 0;
