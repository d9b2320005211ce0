"""clickhouse-connect against a port: types, parameters, settings, streams, and each coding of the bodies."""

import datetime
import decimal
import sys

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

TABLE = """
CREATE TABLE connect (
    id UInt64, note String, amount Nullable(Int32), at DateTime64(3), tags Array(String), price Decimal(18, 4),
    kind LowCardinality(String)
) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10
"""
NAMES = ["id", "note", "amount", "at", "tags", "price", "kind"]
ROWS = [
    [1, "a;b\0\n", None, datetime.datetime(2026, 1, 1, 1, 2, 3, 456000), ["x", "y;"], decimal.Decimal("1.5"), "q"],
    [2**64 - 1, "Ünï", -3, datetime.datetime(1999, 12, 31), [], decimal.Decimal("-7.25"), "q"],
]


def check(compress):
    client = clickhouse_connect.get_client(host="127.0.0.1", port=int(sys.argv[1]), compress=compress)
    client.command("DROP TABLE IF EXISTS connect")
    client.command(TABLE)
    for _ in range(2):
        summary = client.insert("connect", ROWS, column_names=NAMES, settings={"insert_deduplication_token": "once"})
        assert summary.written_rows == 2, summary.summary
    read = client.query("SELECT * FROM connect ORDER BY id").result_rows
    assert [list(row) for row in read] == ROWS, read

    said = client.query("SELECT {a:Int32} + 1, {b:String}", parameters={"a": 4, "b": "it's\ta;b"}).result_rows
    assert said == [(5, "it's\ta;b")], said
    threads = client.command("SELECT getSetting('max_threads')", settings={"max_threads": 3})
    assert threads == 3, threads
    with client.query_rows_stream("SELECT number FROM numbers(100000)") as stream:
        assert sum(row[0] for row in stream) == 4999950000
    client.raw_insert("connect", ["id"], b'{"id":9}\n{"id":10}', fmt="JSONEachRow", settings={"async_insert": 0})
    assert client.command("SELECT count() FROM connect") == 4
    try:
        client.query("SELECT * FROM not_there")
        raise AssertionError("a table that is not there was read")
    except DatabaseError as error:
        assert "Code: 60." in str(error), error
    client.close()


for coding in ("none", "lz4", "zstd", "gzip"):
    check(False if coding == "none" else coding)
print("none lz4 zstd gzip")
