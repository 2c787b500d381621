"""A real HTTP server on this machine that serves bytes, and fails as it is told to."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """One file, and how the server misbehaves for it.

    Attributes:
        content: The bytes.
        ranges: Whether it knows ranges.
        cuts: For each request in turn, bytes after which the connection is cut; -1 never.
        answers: For each request in turn, a status and headers instead of the file; 200
            is the file after all, with "ranges" among the headers from its first byte.
        etag: The tag; left out: made from the content.
        kind: Content type.
        length: A Content-Length that is a lie; -1 for none at all.
        rate: Bytes per second; 0 is as fast as it goes.
        requests: Range headers seen, empty for none.
    """

    content: bytes
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    etag: str | None = None
    kind: str = "application/octet-stream"
    length: int | None = None
    rate: int = 0
    requests: list[str] = field(default_factory=list)


class FileServer:
    """Serves files by path; `url` is its address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, Served] = {}

    def serve(self, name: str, content: bytes, **how: Any) -> Served:
        """Serve bytes under a name."""
        self.files[f"/{name}"] = Served(content, **how)
        return self.files[f"/{name}"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    known: FileServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""

    def do_GET(self) -> None:
        file = self.server.known.files.get(self.path.partition("?")[0])
        if file is None:
            self.send_error(404)
            return
        file.requests.append(self.headers.get("Range", ""))
        if file.answers:
            status, headers = file.answers.pop(0)
            if status != 200:
                self.send_response(status)
                for key, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                return
            self._send(file, ranges=file.ranges and "ranges" not in headers)
            return
        self._send(file, ranges=file.ranges)

    def _send(self, file: Served, *, ranges: bool) -> None:
        start, size = 0, len(file.content)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and ranges:
            start = int(asked[1])
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        body = file.content[start:]
        length = len(body) if file.length is None else file.length
        if length >= 0:
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", file.kind)
        tag = file.etag
        self.send_header("ETag", tag or hashlib.md5(file.content).hexdigest())
        self.end_headers()
        cut = file.cuts.pop(0) if file.cuts else -1
        if cut >= 0:
            body = body[: max(cut - start, 0)]
        step = max(file.rate // 20, 1) if file.rate else len(body) or 1
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            self.wfile.flush()
            if file.rate:
                time.sleep(0.05)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Run a server in a thread."""
    server = _Server(("127.0.0.1", 0), _Handler)
    known = FileServer(f"http://127.0.0.1:{server.server_address[1]}")
    server.known = known
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
