"""Statements from standard input to ClickHouse's engine; see tools/clickhouse-local."""

import sys

from chdb import session

from statement import TOKEN


def statements(text):
    """Split at semicolons outside of quotes and comments."""
    one = []
    for match in TOKEN.finditer(text):
        part = match.group()
        if part == b";":
            yield b"".join(one).strip()
            one = []
        elif not part.startswith((b"--", b"/*")):
            one.append(part)
    yield b"".join(one).strip()


def main():
    engine = session.Session(sys.argv[1])
    try:
        for statement in filter(None, statements(sys.stdin.buffer.read())):
            try:
                answer = str(engine.query(statement, "JSONEachRow"))
            except Exception as error:  # the module raises RuntimeError for whatever the engine says
                # The first line names the cause; further ones are a stack.
                print(f"clickhouse-local: {str(error).strip().splitlines()[0]}", file=sys.stderr)
                print(f"  in: {statement[:200].decode(errors='replace')}", file=sys.stderr)
                return 1
            sys.stdout.write(answer)
    finally:
        engine.close()
    return 0


sys.exit(main())
