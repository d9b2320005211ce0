"""ClickHouse's HTTP protocol: what a request says, and what an answer looks like."""

import base64
import email
import gzip
import http
import json
import urllib.parse
import zlib
from email.utils import formatdate

import lz4.frame

import blocks

try:
    from compression import zstd
except ImportError:  # before Python 3.14
    from backports import zstd

# Parameters of a request that are no settings of the engine.
RESERVED = set(
    """query database default_format query_id session_id session_timeout session_check close_session user password
    quota_key role stacktrace compress decompress buffer_size wait_end_of_query client_protocol_version""".split()
)
DECODE = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": zstd.decompress,
}
ENCODE = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress, "zstd": zstd.compress}
CONTENT_TYPE = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
}


class Refused(Exception):
    """A request that never becomes a statement: the engine's code for that, and why."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


class Lost(Exception):
    """The connection is to close, in the middle of this answer where there is one."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer


def body_of(headers, file):
    """The body as it came. Lost where the connection ended within it."""
    try:
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(chunks(file))
        return exactly(int(headers.get("Content-Length") or 0), file)
    except ValueError as error:
        raise Refused(36, f"The body's length is not one: {error}") from None


def exactly(length, file):
    body = file.read(length)
    if len(body) < length:
        raise Lost
    return body


def chunks(file):
    while length := int(line(file).split(b";")[0], 16):
        yield exactly(length, file)
        line(file)
    # Trailers, up to an empty line.
    while line(file).strip():
        pass


def line(file):
    text = file.readline(1 << 16)
    if not text.endswith(b"\n"):
        raise Lost
    return text


def form(headers, body):
    """Fields of a form: parameters as those of the address."""
    fields = {}
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    for part in email.message_from_bytes(head + body).walk():
        if part.is_multipart():
            continue
        if part.get_filename() is not None:
            raise Refused(48, "External tables are not possible here")
        name = part.get_param("name", header="Content-Disposition")
        fields[name] = part.get_payload(decode=True).decode(errors="surrogateescape")
    return fields


class Request:
    def __init__(self, method, target, headers, body):
        self.headers = headers
        url = urllib.parse.urlsplit(target)
        self.path = url.path
        # Bytes that are no UTF-8 stay what they are.
        parameters = urllib.parse.parse_qsl(url.query, keep_blank_values=True, errors="surrogateescape")
        self.parameters = dict(parameters)
        if headers.get_content_type() == "multipart/form-data":
            self.parameters |= form(headers, body)
            body = b""
        self.settings = {
            name: value
            for name, value in self.parameters.items()
            if name not in RESERVED and not name.startswith("param_")
        }
        self.values = {name[6:]: value for name, value in self.parameters.items() if name.startswith("param_")}
        # As a server: what only asks changes nothing.
        self.readonly = method in ("GET", "HEAD")
        self.body = self._decoded(body)

    def _decoded(self, body):
        coding = self.headers.get("Content-Encoding", "").strip().lower()
        try:
            if coding not in ("", "identity"):
                if coding not in DECODE:
                    raise Refused(48, f"Unknown compression method: {coding}")
                body = DECODE[coding](body)
            return blocks.decompress(body) if self.parameters.get("decompress") == "1" else body
        except (ValueError, OSError, EOFError, RuntimeError, zlib.error, zstd.ZstdError) as error:
            raise Refused(271, f"Cannot decompress: {error}") from None

    def text(self):
        """The query of the address, a line break, and the body."""
        query = self.parameters.get("query", "").encode(errors="surrogateescape")
        return query + b"\n" + self.body if query else self.body

    def default_format(self):
        return self.headers.get("X-ClickHouse-Format") or self.parameters.get("default_format") or "TabSeparated"

    def database(self):
        return self.headers.get("X-ClickHouse-Database") or self.parameters.get("database") or ""

    def credentials(self):
        """User and password, from the one place of three that names them."""
        if "X-ClickHouse-User" in self.headers or "X-ClickHouse-Key" in self.headers:
            return self.headers.get("X-ClickHouse-User", "default"), self.headers.get("X-ClickHouse-Key", "")
        scheme, _, said = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(said, validate=True).decode().partition(":")
                return user, password
            except ValueError:
                return None
        return self.parameters.get("user", "default"), self.parameters.get("password", "")

    def coding(self):
        """How the answer's body is to be coded, the first that the client accepts."""
        if self.settings.get("enable_http_compression") in ("1", "true"):
            for part in self.headers.get("Accept-Encoding", "").split(","):
                if part.split(";")[0].strip().lower() in ENCODE:
                    return part.split(";")[0].strip().lower()
        return None


class Answer:
    def __init__(self, status=200, body=b"", **headers):
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @classmethod
    def json(cls, value):
        return cls(200, json.dumps(value).encode() + b"\n", Content_Type="application/json")

    @classmethod
    def plain(cls, text, status=200):
        return cls(status, text.encode(), Content_Type="text/plain; charset=UTF-8")

    @classmethod
    def error(cls, error):
        answer = cls.plain(f"{error}\n", error.status)
        answer.headers["X-ClickHouse-Exception-Code"] = str(error.code)
        return answer

    @classmethod
    def result(cls, result, request, statement, elapsed):
        answer = cls(200, result.body)
        name = statement.format if statement.format and not statement.is_insert else request.default_format()
        answer.headers["Content-Type"] = CONTENT_TYPE.get(name, "application/octet-stream")
        answer.headers["X-ClickHouse-Format"] = name
        counts = {
            "read_rows": result.rows_read,
            "read_bytes": result.bytes_read,
            "written_rows": result.rows_written,
            "written_bytes": result.bytes_written,
            "total_rows_to_read": 0,
            "result_rows": result.rows_written,
            "result_bytes": result.bytes_written,
            "elapsed_ns": elapsed,
        }
        # As a server writes them: numbers as text.
        answer.headers["X-ClickHouse-Summary"] = json.dumps(
            {name: str(count) for name, count in counts.items()}, separators=(",", ":")
        )
        if request.parameters.get("compress") == "1":
            answer.body = blocks.compress(answer.body)
        elif request.coding():
            answer.body = ENCODE[request.coding()](answer.body)
            answer.headers["Content-Encoding"] = request.coding()
        return answer

    def head(self, keep_alive, length):
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [length, f"Connection: {'keep-alive' if keep_alive else 'close'}"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def whole(self, keep_alive, with_body=True):
        """With its length before it: for clients of HTTP/1.0, and for a HEAD."""
        return self.head(keep_alive, f"Content-Length: {len(self.body)}") + (self.body if with_body else b"")

    def chunked(self, keep_alive):
        """As a server sends it: a client knows by the last chunk that an answer is whole."""
        head = self.head(keep_alive, "Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n" % (len(self.body), self.body) if self.body else b""
        return head, body + b"0\r\n\r\n"
