"""The certified ``oidc-provider`` of npm with the paths of a Keycloak realm, as a child process."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kit.identity.fetched import need, once, run
from kit.identity.realms import Realm

SOURCE = Path(__file__).with_name("oidc_provider")
NEEDED = {"node": "Debian: apt install nodejs", "npm": "Debian: apt install npm"}


@dataclass(frozen=True)
class NodeRealm(Realm):
    """The realm, and a way to its keys."""

    url: str

    async def rotate(self) -> str:
        """Let another key sign, beside the former ones; return its id."""
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.url}/rotate")
        return str(answer.json()["kid"])


@contextmanager
def node_realm(folder: Path) -> Iterator[NodeRealm]:
    """Run it on a free port; what it says goes to a log in ``folder``."""
    need("oidc", NEEDED)
    lock = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    installed = once(f"oidc-provider-{lock[:16]}", _install)
    program = shutil.copy(SOURCE / "realm.mjs", folder)
    (folder / "node_modules").symlink_to(installed / "node_modules")
    log = folder / "realm.log"
    with log.open("wb") as said:
        child = subprocess.Popen(
            ["node", "--preserve-symlinks", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        assert line, log.read_text()
        url = json.loads(line)["url"]
        yield NodeRealm(f"{url}/auth/realms/plg", url)
    finally:
        child.terminate()  # it also ends with its standard input, if this process is killed
        child.communicate()


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, folder)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=folder)
