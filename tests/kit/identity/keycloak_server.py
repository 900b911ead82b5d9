"""Keycloak itself as a child process: its distribution from Maven Central, run with Java."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from kerma_allinone.children.process import free_port
from kit.identity.fetched import cache, need, once, run
from kit.identity.realms import Realm

VERSION = "26.4.5"
REALM = Path(__file__).parent / "keycloak" / "plg.json"
NEEDED = {
    "java": "Debian: apt install openjdk-17-jre-headless, or a later one",
    "mvn": "Debian: apt install maven",
}
START_SECONDS = 400.0
"""The first start takes minutes on two busy cores: Keycloak compiles its configuration."""
COMPILED = f"keycloak-{VERSION}-compiled"
ADMIN = "operator"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy"
_KEYS = "org.keycloak.keys.KeyProvider"


@dataclass(frozen=True)
class Keycloak(Realm):
    """The realm, and its administration."""

    url: str
    password: str

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the administration of the realm; return the JSON in its answer."""
        login = {"client_id": "admin-cli", "grant_type": "password", "username": ADMIN}
        token_url = f"{self.url}/realms/master/protocol/openid-connect/token"
        async with httpx.AsyncClient(timeout=60) as http:
            given = await http.post(token_url, data={**login, "password": self.password})
            headers = {"Authorization": f"Bearer {given.raise_for_status().json()['access_token']}"}
            url = f"{self.url}/admin/realms/plg{path}"
            answer = await http.request(method, url, json=body, headers=headers)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    async def add_key(self, kind: str, priority: int = 200, **config: str) -> None:
        """Let a new key sign; former ones stay published."""
        config = {"priority": str(priority), "enabled": "true", "active": "true", **config}
        component = {
            "name": f"{kind}-{priority}",
            "providerId": kind,
            "providerType": _KEYS,
            "config": {name: [value] for name, value in config.items()},
        }
        await self.admin("POST", "/components", component)

    async def withdraw(self, kid: str) -> None:
        """Delete a key."""
        keys = (await self.admin("GET", "/keys"))["keys"]
        (provider,) = {key["providerId"] for key in keys if key["kid"] == kid}
        await self.admin("DELETE", f"/components/{provider}")

    async def granted(self, username: str, password: str, client: str) -> str:
        """Return an access token by a direct grant, without a page."""
        asked = {"username": username, "password": password, "scope": "openid"}
        return (await self._tokens(client, grant_type="password", **asked)).access


@contextmanager
def keycloak(folder: Path) -> Iterator[Keycloak]:
    """Run it on a free port with the realm imported; what it says goes to a log in ``folder``."""
    need("keycloak", NEEDED)
    kept = once(f"keycloak-{VERSION}", _fetch)
    home = folder / "keycloak"
    shutil.copytree(kept, home)
    if (compiled := cache() / COMPILED).is_dir():
        shutil.copytree(compiled, home / "lib" / "quarkus", dirs_exist_ok=True)
    (home / "data" / "import").mkdir(parents=True)
    shutil.copy(REALM, home / "data" / "import")
    port, password, log = free_port(), secrets.token_urlsafe(16), folder / "keycloak.log"
    child = _start(home, port, password, log)
    try:
        found = Keycloak(
            f"http://127.0.0.1:{port}/auth/realms/plg", f"http://127.0.0.1:{port}/auth", password
        )
        _wait(found, child, log)
        once(COMPILED, lambda draft: _keep_compiled(home, draft))
        yield found
    finally:
        os.killpg(child.pid, signal.SIGTERM)  # the script and Java
        child.wait()


def _start(home: Path, port: int, password: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx1g",
    }
    options = ("--http-host=127.0.0.1", f"--http-port={port}", "--http-relative-path=/auth")
    command = ("bash", str(home / "bin" / "kc.sh"), "start-dev", "--import-realm", *options)
    with log.open("wb") as said:
        return subprocess.Popen(
            command, env=environment, stdout=said, stderr=said, start_new_session=True
        )


def _wait(found: Keycloak, child: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(found.issuer, timeout=30).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert child.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.5)


def _fetch(folder: Path) -> None:
    artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
    run("mvn", "-B", "-q", _COPY, artifact, f"-DoutputDirectory={folder}", folder=folder)
    packed = folder / f"keycloak-quarkus-dist-{VERSION}.zip"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    packed.unlink()
    for part in (folder / f"keycloak-{VERSION}").iterdir():
        part.rename(folder / part.name)


def _keep_compiled(home: Path, draft: Path) -> None:
    """Keep what the first start compiled, so that the next ones take less time."""
    shutil.copytree(home / "lib" / "quarkus", draft, dirs_exist_ok=True)
