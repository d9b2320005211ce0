"""Statements from standard input to ClickHouse's engine; see tools/clickhouse-local."""

import re
import sys

from chdb import session


def statements(text):
    """Split at semicolons outside of quotes and comments."""
    token = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|;|[^;'\"`/-]+|.", re.S)
    one = []
    for match in token.finditer(text):
        part = match.group()
        if part == ";":
            yield "".join(one).strip()
            one = []
        elif not part.startswith("--") and not part.startswith("/*"):
            one.append(part)
    yield "".join(one).strip()


def main():
    engine = session.Session(sys.argv[1])
    try:
        for statement in filter(None, statements(sys.stdin.read())):
            try:
                answer = str(engine.query(statement, "JSONEachRow"))
            except Exception as error:  # the module raises RuntimeError for whatever the engine says
                # The first line names the cause; further ones are a stack.
                print(f"clickhouse-local: {str(error).strip().splitlines()[0]}", file=sys.stderr)
                print(f"  in: {statement[:200]}", file=sys.stderr)
                return 1
            sys.stdout.write(answer)
    finally:
        engine.close()
    return 0


sys.exit(main())
