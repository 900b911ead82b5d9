"""One Kerma behind three entrances: `kerma up` itself, the standalone gateway and nginx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.running.apart import SERVICES, Apart, apart
from kit.running.network.nginx import nginx
from kit.running.whole import Whole, whole
from kit.running.worlds.services import MASTER_KEY

ORIGIN = "http://localhost:3000"
TRUST = {"KERMA_HTTP_TRUSTED_PROXIES": "127.0.0.1", "KERMA_HTTP_ORIGINS": ORIGIN}


@dataclass(frozen=True)
class Entrances:
    """Base URLs by the name of the entrance; all lead to the same data."""

    urls: Mapping[str, str]
    system: Apart
    whole: Whole


@contextmanager
def entrances(folder: Path, nats_url: str, postgres_url: str) -> Iterator[Entrances]:
    """Start the services, and a whole Kerma beside them on the same servers and blobs."""
    with ExitStack() as stack:
        system = stack.enter_context(apart(folder, nats_url, postgres_url, **TRUST))
        key = folder / "master-key"
        key.write_text(MASTER_KEY)
        shared = {
            "KERMA_NATS_URL": nats_url,
            "KERMA_PG_URL": postgres_url,
            "KERMA_BLOB_URL": system.place.blob_url,
            "KERMA_AUTH_MASTER_KEY_FILE": str(key),
        }
        up = stack.enter_context(whole("--slots", "0", **shared, **TRUST))
        up.up()  # migrates the tables that the others find
        for name in (*SERVICES, "gateway"):
            system.start(name, "" if name == "gateway" else "api")
        system.ready()
        upstreams = {name: [f"http://127.0.0.1:{system.ports[name]}"] for name in SERVICES}
        url = stack.enter_context(nginx(folder / "nginx", upstreams, origins=(ORIGIN,)))
        urls = {
            "up": up.running.url,
            "gateway": f"http://127.0.0.1:{system.ports['gateway']}",
            "nginx": url,
        }
        yield Entrances(urls, system, up)
