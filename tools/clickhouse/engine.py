"""ClickHouse's engine on a directory: one statement at a time, each in a session of its own.

A session costs about a millisecond, and no setting, database or parameter of a statement outlives it.
"""

import os
import re
import threading

from chdb import session

from errors import EngineError

NESTED = re.compile(r"DB::Exception: (Code: \d+\. DB::Exception: .*\([A-Z0-9_]+\) \(version [^()]*\))\. \([A-Z0-9_]+\)", re.S)
# What the module sets otherwise than a server does.
AS_A_SERVER = {"implicit_select": "0", "allow_introspection_functions": "0"}


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Result:
    """What a statement answered, and what it read and wrote."""

    def __init__(self, body=b"", rows_read=0, bytes_read=0, rows_written=0, bytes_written=0):
        self.body = body
        self.rows_read, self.bytes_read = rows_read, bytes_read
        self.rows_written, self.bytes_written = rows_written, bytes_written


class Engine:
    def __init__(self, path):
        self._path = path
        self._rows = path.rstrip("/") + ".rows"
        self._lock = threading.Lock()
        # Statements that the engine was given, and how many of them were inserts.
        self.queries = self.inserts = 0
        # Holds the engine and its tables loaded while no statement runs.
        self._home = session.Session(path)
        self.version = self._text("SELECT version()")
        self.timezone = self._text("SELECT timezone()")

    def close(self):
        """Waits for the statement that runs."""
        with self._lock:
            self._home.close()

    def error(self, code, message):
        """An exception of that code, as the engine would say it."""
        with self._lock:
            name = self._text(f"SELECT errorCodeToName({code})")
        return EngineError(code, name or "UNKNOWN_EXCEPTION", message, self.version)

    def run(self, statement, request):
        for name in [*request.settings, *request.values]:
            if not re.fullmatch(r"\w+", name, re.A):
                raise self.error(115, f"Unknown setting {quoted(name)}.")
        if statement.is_empty:
            raise self.error(62, "Syntax error: Empty query")
        if statement.is_several():
            raise self.error(62, "Syntax error (Multi-statements are not allowed)")
        if statement.reads_its_input():
            raise self.error(48, "INSERT … SELECT … FROM input() is not possible here")
        with self._lock:
            self.queries += 1
            self.inserts += statement.is_insert
            one = session.Session(self._path)
            try:
                self._prepare(one, request)
                if statement.data is None:
                    return self._query(one, statement.text, request.default_format())
                return self._insert(one, statement, request.settings)
            except RuntimeError as error:
                raise EngineError.of(str(error), self.version) from None
            finally:
                one.close()

    def _text(self, query):
        return self._home.query(query, "TSVRaw").bytes().decode().strip()

    def _prepare(self, one, request):
        """USE and SET: as with a server they come before what the statement's own SETTINGS say."""
        if request.database():
            name = request.database().replace("\\", "\\\\").replace("`", "\\`")
            one.query(f"USE `{name}`".encode(errors="surrogateescape"))
        values = AS_A_SERVER | request.settings | {f"param_{name}": value for name, value in request.values.items()}
        if request.readonly:
            values.setdefault("readonly", "2")
        assignments = ", ".join(f"{name} = {quoted(value)}" for name, value in values.items())
        one.query(f"SET {assignments}".encode(errors="surrogateescape"))

    def _query(self, one, text, default_format):
        answer = one.query(text, default_format)
        return Result(
            answer.bytes(),
            answer.storage_rows_read(),
            answer.storage_bytes_read(),
            answer.rows_written(),
            answer.bytes_written(),
        )

    def _insert(self, one, statement, settings):
        """The rows go beside the text, as a file: within it they would end at the first semicolon, and the module's own
        stream of rows says nothing of what a constraint, a view or the table itself refuses."""
        with open(self._rows, "wb") as file:
            file.write(statement.data)
        # A server cuts what it is sent at this number of rows, and files at another.
        one.query(f"SET max_block_size = {quoted(settings.get('max_insert_block_size', '1048449'))}")
        try:
            path = self._rows.replace("\\", "\\\\").replace("'", "\\'").encode()
            done = one.query(statement.with_rows_from(path))
        except RuntimeError as error:
            # A server has no such file.
            said = str(error).replace(f"(in file/uri {self._rows}): ", "")
            said = said.replace("While executing File: data for INSERT was parsed from file", "While executing the INSERT")
            # What is wrong with the rows it says within what is wrong with the file.
            inner = NESTED.search(said)
            raise RuntimeError(inner[1] if inner else said) from None
        finally:
            os.unlink(self._rows)
        return Result(rows_written=done.rows_written(), bytes_written=done.bytes_written())
