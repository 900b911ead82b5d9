"""What the client raises when there is no answer, and what it reads from a folder."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import typer

from kerma_client import cli
from kerma_client.client import KermaClient
from kerma_client.errors import UnreachableError
from kerma_client.submission import submit_body


@pytest.mark.parametrize(
    "error",
    [httpx.ReadError("reset by peer"), httpx.ConnectError("refused"), httpx.ReadTimeout("")],
)
def test_a_broken_connection_is_one_sentence(
    error: httpx.TransportError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise error

    client = KermaClient("http://kerma.test", transport=httpx.MockTransport(broken))

    monkeypatch.setattr("kerma_client.client.sleep", lambda _: None)

    def jobs(**_: object) -> None:
        client.jobs_page()

    with pytest.raises(UnreachableError, match="does not answer"):
        client.jobs_page()
    monkeypatch.setattr(cli, "app", jobs)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("kerma: http://kerma.test does not answer: ")


def renewable(transport: httpx.MockTransport) -> KermaClient:
    client = KermaClient("http://kerma.test", transport=transport)
    client._http.cookies.set("refresh_token", "r")
    return client


def test_a_break_while_the_token_is_refreshed_is_told_too() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/refresh":
            raise httpx.ReadError("reset by peer")
        return httpx.Response(401, json={"message": "No token provided"})

    with (
        renewable(httpx.MockTransport(answer)) as client,
        pytest.raises(UnreachableError, match="reset by peer"),
    ):
        client.jobs_page()


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "beam.dat").write_text("NSTAT 10 0\n")
    (tmp_path / "geo.dat").write_bytes("geometry".encode("utf-16"))
    with pytest.raises(typer.BadParameter, match=r"geo\.dat is not UTF-8 text"):
        submit_body(tmp_path, tasks=1, primaries=None, engine="shieldhit")
