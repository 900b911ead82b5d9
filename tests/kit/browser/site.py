"""A page served from another port than Kerma."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kit.inputs.projects import submission
from kit.running.whole import Whole

PAGE = Path(__file__).with_name("page.html")
PRIMARIES, TASKS = 200, 2


class _Files(BaseHTTPRequestHandler):
    """Serves the page and the body that it submits."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer("text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/submission.json":
            self._answer("application/json", json.dumps(submission(PRIMARIES, TASKS)).encode())
        else:
            self.send_error(404)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Keep the log of requests out of the test's output."""


@contextmanager
def page_server() -> Iterator[int]:
    """Serve the page on a port of 127.0.0.1 and return the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Place:
    """Where the page and the API are; ``stranger`` is a port whose origin Kerma does not allow."""

    kerma: Whole
    page: int
    stranger: int

    def url(self, api_host: str, port: int | None = None) -> str:
        """Return the page's address on 127.0.0.1, for an API under ``api_host``."""
        api = self.kerma.running.url.replace("127.0.0.1", api_host)
        return f"http://127.0.0.1:{port or self.page}/?api={api.rstrip('/')}/"
