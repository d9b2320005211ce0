-- Where the clean rows land: one table per stream, one view to read it by, and an example of a roll-up. May be run again
-- at any time (compose: make ch-init).
--
-- A row of an output topic is the masked row of a change with `cdc_lsn`, the version, and `_deleted`. A table keeps all of
-- them for a while, and ReplacingMergeTree(cdc_lsn) in the end the highest version of each key: it may be merged late, so
-- whoever reads goes by the view, which reads FINAL and leaves deleted rows out.
--
-- * Deletes stay as rows with `_deleted = 1`. Neither clean them up (a late older row would come back) nor partition by a
--   column that can change (FINAL looks at all partitions only as long as nobody turns that off).
-- * non_replicated_deduplication_window: an insert that is repeated as it was is dropped instead of doubled. The default
--   is 0, which drops nothing; it counts blocks of inserts, so it must outlast the longest retry.
-- * Columns are nullable where the database's are. A null in a plain column would become 0 or '' without a word.
-- * Columns are named as they come. The ones that do not come as what they are, say so in a comment, and the view turns
--   them into it: Debezium sends dates as days and times without a zone as microseconds, and read as a date or time such a
--   number is refused or, worse, taken for seconds.

create database if not exists brew;

create table if not exists brew.customers
(
    id          Int64,
    email       Nullable(String) comment 'hash',
    phone       Nullable(String) comment 'hash',
    full_name   Nullable(String) comment 'first word and an initial',
    country     LowCardinality(Nullable(String)),
    created_at  DateTime64(6, 'UTC'),
    updated_at  Nullable(DateTime64(6, 'UTC')),
    cdc_lsn     UInt64,
    _deleted    UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 1000;

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
settings non_replicated_deduplication_window = 1000;

create table if not exists brew.events
(
    id           Int64,
    customer_id  Nullable(Int64),
    kind         LowCardinality(Nullable(String)),
    at           Nullable(DateTime64(6, 'UTC')),
    cdc_lsn      UInt64,
    _deleted     UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 1000;

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
settings non_replicated_deduplication_window = 1000;

-- What the database holds now.

create or replace view brew.customers_now as
select * except (cdc_lsn, _deleted) from brew.customers final where not _deleted;

create or replace view brew.orders_now as
select
    id, customer_id, total, toDate32('1970-01-01') + due_on as due_on,
    fromUnixTimestamp64Micro(placed_at, 'UTC') as placed_at, external_id
from brew.orders final where not _deleted;

create or replace view brew.events_now as
select * except (cdc_lsn, _deleted) from brew.events final where not _deleted;

create or replace view brew.visits_now as
select * except (cdc_lsn, _deleted) from brew.visits final where not _deleted;

-- Orders and turnover by the hour. A plain view over what the database holds now: an ordinary materialized view sees each
-- insert by itself, so it would count a changed order twice and a deleted one still. Where the question is asked too often
-- to be worked out each time, a refreshable one works it out whole, every minute:
--
--   create materialized view brew.orders_by_hour_kept refresh every 1 minute engine = MergeTree order by hour
--   as select * from brew.orders_by_hour;

create or replace view brew.orders_by_hour as
select
    toStartOfHour(assumeNotNull(placed_at)) as hour,
    count() as orders,
    uniqExact(customer_id) as customers,
    sum(total) as turnover
from brew.orders_now where placed_at is not null
group by hour;
