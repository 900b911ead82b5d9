"""A page served from another port than Kerma."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from kit.inputs.projects import submission
from kit.running.whole import Whole

PAGE = Path(__file__).with_name("page.html")
PRIMARIES, TASKS = 200, 2


HOP = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding", "date"})
"""Headers of an answer that are not passed on: httpx has decoded the body."""


class _Files(BaseHTTPRequestHandler):
    """Serves the page and the body that it submits; passes ``/api/`` on to Kerma."""

    kerma = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/"):
            self._pass_on()
        elif path == "/":
            self._answer("text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/submission.json":
            self._answer("application/json", json.dumps(submission(PRIMARIES, TASKS)).encode())
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        url = self.kerma + self.path.removeprefix("/api")
        answer = httpx.request(self.command, url, headers=self.headers.items(), content=body)
        self.send_response(answer.status_code)
        for name, value in answer.headers.multi_items():
            if name not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Keep the log of requests out of the test's output."""


@dataclass(frozen=True)
class PageServer:
    """Where the page is."""

    port: int
    handler: type[_Files]

    def passes_on_to(self, url: str) -> None:
        """Let ``/api/`` lead to the Kerma of this URL."""
        self.handler.kerma = url.rstrip("/")


@contextmanager
def page_server() -> Iterator[PageServer]:
    """Serve the page on a free port of 127.0.0.1."""
    handler = type("Files", (_Files,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield PageServer(server.server_address[1], handler)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Place:
    """Where the page and the API are; ``stranger`` is a port that Kerma does not know."""

    kerma: Whole
    page: int
    stranger: int

    def url(self, api_host: str, port: int | None = None, page_host: str = "127.0.0.1") -> str:
        """Return the page's address, for an API under ``api_host``."""
        api = self.kerma.running.url.replace("127.0.0.1", api_host).rstrip("/") + "/"
        return f"http://{page_host}:{port or self.page}/?api={api}"

    @property
    def same_origin(self) -> str:
        """Return the page's address, for an API below ``/api/`` of its own origin."""
        return f"http://127.0.0.1:{self.page}/?api=/api/"
