"""The examples of docs/api.md, as their readers run them one after the other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kit.programs.family import environment
from kit.running.whole import Whole, whole

ROOT = Path(__file__).parents[2]
API = ROOT / "docs" / "api.md"
BLOCK = re.compile(r"^```(sh|python|json)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TOLD = "http://127.0.0.1:8080"
"""The address in the document."""
SECONDS = 300
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Reader:
    """Whoever runs the examples in a folder that looks like a clone."""

    folder: Path
    url: str
    said: str = field(default="", init=False)

    def shell(self, *blocks: str) -> str:
        """Run examples in one shell that stops at the first failure; return what they print."""
        script = "\n".join(["set -eu", *blocks]).replace(TOLD, self.url)
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def python(self, block: str) -> str:
        """Run an example in a process of its own; return what it prints."""
        ran = subprocess.run(
            [sys.executable, "-c", block.replace(TOLD, self.url)],
            cwd=self.folder,
            env=environment(MPLBACKEND="Agg"),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def read(self, name: str) -> Any:
        """Return a JSON file that an example wrote."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    """A Kerma without accounts."""
    with whole() as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def reader(kerma: Whole, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader at the beginning of the document."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "libs").symlink_to(ROOT / "libs")
    return Reader(folder, kerma.running.url)


def blocks(kind: str) -> list[str]:
    """Return the examples of a language."""
    return [text for found, text in BLOCK.findall(API.read_text(encoding="utf-8")) if found == kind]


def test_every_example_is_of_a_kind_that_is_run() -> None:
    text = API.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) == text.count("\n```") / 2
    assert all(json.loads(block)["type"] for block in blocks("json"))
    assert blocks("sh")
    assert len(blocks("python")) == 2


def test_the_first_ten_minutes(reader: Reader) -> None:
    *steps, deletion = blocks("sh")
    said = reader.shell(*steps)
    job = reader.read("submitted.json")["id"]
    assert "COMPLETED" in said
    assert "depth_dose" in said
    page = reader.read("page.json")
    assert len(page["data"]["values"]) == len(page["axis_dim1"]["values"]) == 400
    assert max(page["data"]["values"]) > 0
    plot, _ = blocks("python")
    reader.python(plot)
    assert (reader.folder / "depth-dose.png").read_bytes().startswith(PNG)
    for name in ("login.json", "token.json", "token.curl", "cookies"):
        assert (reader.folder / name).stat().st_mode & 0o077 == 0, name
    reader.shell(steps[0], f"JOB={job}", deletion)
    reader.shell(steps[0], f'! say -K token.curl "$KERMA/v1/jobs/{job}"')


def test_the_python_client(reader: Reader) -> None:
    account, job = blocks("sh")[1], blocks("sh")[2].partition("say ")[0]
    if not (reader.folder / "job.json").exists():
        reader.shell(blocks("sh")[0], account, job)
    _, example = blocks("python")
    said = reader.python(example)
    assert said.startswith("COMPLETED 1000 primaries\n")
    assert "depth_dose DOSE" in said
    assert (reader.folder / "curves.png").read_bytes().startswith(PNG)
