"""ClickHouse's HTTP protocol in front of its engine, for tests; see tools/clickhouse-server.

Merge trees, formats, types, settings, deduplication and error codes are the engine's own. What is not a server's:

- nothing streams: a request is read whole before the engine sees it, so an insert whose connection breaks within the
  body is never executed (a server may have stored blocks of it), and an answer is made whole before it is sent;
- one statement runs at a time; a client that goes away cancels nothing;
- one user, who may do everything: no grants, quotas, roles, profiles;
- no sessions: every statement has a fresh one, whatever `session_id` says; no temporary tables;
- `async_insert` changes nothing: rows are stored when the answer goes out;
- no Replicated tables, no Keeper, no clusters, no native protocol, no TLS;
- no INSERT … SELECT … FROM input(), no external tables in forms, one statement a request.

Beside the protocol, for tests:

    POST /_fault        arms a fault, or a list of them: see faults.py
    GET /_fault         {"armed": […], "fired": […]}
    DELETE /_fault      disarms all, and lets go of what is held
    GET /_queries       {"queries": 7, "inserts": 3}: statements that the engine was given, and how many were inserts

Faults and counts are in memory: a new process starts without.
"""

import fcntl
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid

from errors import EngineError
from faults import Faults
from protocol import Answer, Lost, Refused, Request, body_of
from statement import Statement


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port):
        self.engine = None  # set before the first request is answered
        self.faults = Faults()
        self.user = os.environ.get("CLICKHOUSE_USER") or "default"
        self.password = os.environ.get("CLICKHOUSE_PASSWORD") or ""
        super().__init__(("127.0.0.1", port), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        try:
            answer = self.answer()
        except Refused as refused:
            # What else comes on the connection may be the rest of a body.
            self.close_connection = True
            answer = Answer.error(self.server.engine.error(refused.code, str(refused)))
        except Lost as lost:
            self.close_connection = True
            if lost.answer:
                head, body = lost.answer.chunked(keep_alive=True)
                # Nothing of the last chunk: a lenient client takes a part of it for all.
                self.wfile.write(head + body[: len(lost.answer.body) // 2])
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        keep_alive = not self.close_connection
        if self.request_version == "HTTP/1.1" and self.command != "HEAD":
            self.wfile.write(b"".join(answer.chunked(keep_alive)))
        else:
            self.wfile.write(answer.whole(keep_alive, self.command != "HEAD"))

    do_GET = do_HEAD = do_DELETE = do_POST

    def answer(self):
        body = body_of(self.headers, self.rfile)
        request = Request(self.command, self.path, self.headers, body)
        if request.path == "/ping":
            return Answer.plain("Ok.\n")
        if request.path == "/_fault":
            return self.fault(body)
        if request.path == "/_queries":
            return Answer.json({"queries": self.server.engine.queries, "inserts": self.server.engine.inserts})
        if request.path != "/":
            return Answer.plain(f"There is no handle {self.path}\n", 404)
        if self.command == "GET" and "query" not in request.parameters:
            return Answer.plain("Ok.\n")
        return self.statement(request)

    def fault(self, body):
        faults = self.server.faults
        try:
            if self.command == "POST":
                faults.arm(json.loads(body))
            elif self.command == "DELETE":
                faults.disarm()
        except ValueError as error:
            return Answer.plain(f"{error}\n", 400)
        return Answer.json(faults.told())

    def statement(self, request):
        started = time.monotonic_ns()
        self.authenticate(request)
        statement = Statement(request.text())
        fault = self.server.faults.next(statement, request.settings)
        if fault:
            fault.before_it_runs()
        try:
            result = self.server.engine.run(statement, request)
            answer = Answer.result(result, request, statement, time.monotonic_ns() - started)
        except EngineError as error:
            answer = Answer.error(error)
        answer.headers["X-ClickHouse-Query-Id"] = request.parameters.get("query_id") or str(uuid.uuid4())
        answer.headers["X-ClickHouse-Timezone"] = self.server.engine.timezone
        answer.headers["X-ClickHouse-Server-Display-Name"] = "front"
        said = statement.text[:300].decode(errors="replace")
        self.log_message("%d in %d ms: %s", answer.status, (time.monotonic_ns() - started) // 1_000_000, said)
        if fault:
            fault.after_it_ran(answer)
        return answer

    def authenticate(self, request):
        if request.credentials() != (self.server.user, self.server.password):
            user, _ = request.credentials() or ("", "")
            why = "Authentication failed: password is incorrect, or there is no user with such name."
            raise Refused(516, f"{user}: {why}")

    def log_request(self, code="-", size="-"):
        """Each statement has a line of its own."""


def die(why):
    print(f"clickhouse-server: {why}", file=sys.stderr)
    sys.exit(1)


def only_one_on(path):
    """Holds the directory for this process, however it ends."""
    lock = open(os.path.join(path, "lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        die(f"another process runs on {path}")
    return lock


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    lock = only_one_on(path)
    try:
        server = Server(port)
    except OSError as error:
        die(f"port {port}: {error.strerror}")
    # From here on the log has what there is to say.
    log = os.open(os.path.join(path, "clickhouse.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # Before the engine's threads: they inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    from engine import Engine  # half a second: a directory or port that is taken is told before

    server.engine = Engine(os.path.join(path, "data"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready: engine {server.engine.version} on port {port}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGTERM})
    server.shutdown()
    server.engine.close()
    lock.close()


main()
