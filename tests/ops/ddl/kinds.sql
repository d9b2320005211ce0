-- Tables for the rows of `kinds`, by `highwater clickhouse ddl`. Insert with async_insert = 0,
-- input_format_null_as_default = 0 and input_format_skip_unknown_fields = 0: what does not fit must stop, not change.

create database if not exists brew;

-- public.kinds of Postgres, by the stream `kinds`, from out.kinds
create table if not exists brew.kinds
(
    id        Int64,
    b         Nullable(Bool),
    i2        Nullable(Int16),
    i4        Nullable(Int32),
    f4        Nullable(Float32),
    f8        Nullable(Float64),
    n         Nullable(Decimal(12, 2)),
    wide      Nullable(String) comment 'decimal',
    coarse    Nullable(Decimal(7, 0)),
    m         Nullable(Decimal(19, 2)),
    t         Nullable(String),
    vc        Nullable(String),
    c         Nullable(String),
    u         Nullable(UUID),
    d         Nullable(Int32) comment 'days since 1970-01-01',
    ti        Nullable(Int64) comment 'microseconds since midnight',
    ti3       Nullable(Int32) comment 'milliseconds since midnight',
    ts        Nullable(Int64) comment 'microseconds since 1970-01-01, UTC',
    ts3       Nullable(Int64) comment 'milliseconds since 1970-01-01, UTC',
    tz        Nullable(DateTime64(6, 'UTC')),
    tt        Nullable(String) comment 'time with a zone, ISO 8601',
    iv        Nullable(Int64) comment 'microseconds; a month counts 30.4375 days',
    ba        Nullable(String) comment 'base64',
    j         Nullable(String) comment 'JSON text',
    x         Nullable(String) comment 'XML',
    mo        Nullable(String) comment 'enum',
    p         Nullable(Decimal(10, 2)),
    ia        Nullable(String) comment 'JSON array; null is empty in the view',
    ta        Nullable(String) comment 'JSON array; null is empty in the view',
    fa        Nullable(String) comment 'JSON array; null is empty in the view',
    da        Nullable(String) comment 'JSON array; null is empty in the view',
    na        Nullable(String) comment 'JSON array; null is empty in the view',
    bt        Nullable(Bool),
    b8        Nullable(String) comment 'bits, base64',
    ip        Nullable(String),
    mac       Nullable(String),
    r         Nullable(String),
    pt        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    ox        Nullable(Int64),
    bx        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    ci        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    li        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    ls        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    pa        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    po        Nullable(String) comment 'JSON object; shapes as wkb in base64',
    m8        Nullable(String),
    ch        Nullable(String),
    nm        Nullable(String),
    vb        Nullable(String) comment 'bits, base64',
    cd        Nullable(String),
    tv        Nullable(String),
    made      Nullable(Int64),
    cdc_lsn   UInt64,
    _deleted  UInt8
)
engine = ReplacingMergeTree(cdc_lsn)
order by id
settings non_replicated_deduplication_window = 10000;

create or replace view brew.kinds_now as
select * except (cdc_lsn, _deleted)
    replace (
        toDate32('1970-01-01') + d as d,
        fromUnixTimestamp64Micro(ts, 'UTC') as ts,
        fromUnixTimestamp64Milli(ts3, 'UTC') as ts3,
        JSONExtract(ifNull(ia, '[]'), 'Array(Nullable(Int32))') as ia,
        JSONExtract(ifNull(ta, '[]'), 'Array(Nullable(String))') as ta,
        JSONExtract(ifNull(fa, '[]'), 'Array(Nullable(Float64))') as fa,
        JSONExtract(ifNull(da, '[]'), 'Array(Nullable(Int32))') as da,
        JSONExtract(ifNull(na, '[]'), 'Array(Nullable(String))') as na
    )
from brew.kinds final where _deleted = 0;
