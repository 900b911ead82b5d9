"""The synchronous client, made from the asynchronous one: one text for both."""

from __future__ import annotations

import tempfile
from pathlib import Path

import unasync

from kerma_tools.paths import ROOT

FOLDER = Path("libs/client/src/kerma_client")
SOURCE, MADE = "aio.py", "client.py"
HEAD = '"""The client of the native interface, made from ``aio.py`` by ``./kerma generate``."""\n'
NAMES = {
    "AsyncKermaClient": "KermaClient",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncClient": "Client",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "asleep": "sleep",
}
"""What is called otherwise where nothing is awaited."""


def synchronous_client() -> dict[str, bytes]:
    """Return the module of the synchronous client, by path relative to the clone."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, FOLDER.name, SOURCE)
        source.parent.mkdir()
        source.write_bytes((ROOT / FOLDER / SOURCE).read_bytes())
        rule = unasync.Rule(f"{FOLDER.name}/{SOURCE}", f"{FOLDER.name}/{MADE}", NAMES)
        unasync.unasync_files([str(source)], [rule])
        text = source.with_name(MADE).read_text(encoding="utf-8")
    _, _, body = text.partition('"""\n\nfrom ')
    return {str(FOLDER / MADE): f"{HEAD}\nfrom {body}".encode()}
