"""Make the body of POST /v1/jobs from a project or a directory of input files."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import orjson
import typer


def submit_body(project: Path, *, tasks: int, primaries: int | None, engine: str) -> dict[str, Any]:
    """Return the body of POST /v1/jobs. Raises typer.BadParameter."""
    body: dict[str, Any] = {"engine": engine, "tasks": tasks, "title": project.stem}
    try:
        if project.is_dir():
            files = {p.name: _text(p) for p in sorted(project.iterdir()) if p.is_file()}
            if primaries is not None:
                raise typer.BadParameter(
                    "--primaries needs a project; edit the input files instead"
                )
            return {**body, "files": files}
        raw = orjson.loads(project.read_bytes().removeprefix(codecs.BOM_UTF8))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise typer.BadParameter(f"cannot read {project}: {error}") from None
    editor = _editor_project(raw)
    if editor is None:
        raise typer.BadParameter(f"{project} is not an editor project")
    if primaries is not None:
        beam = editor.get("beam")
        if not isinstance(beam, dict):
            raise typer.BadParameter(f"{project} has no beam")
        editor = {**editor, "beam": {**beam, "numberOfParticles": primaries}}
    return {**body, "project": editor}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8 text: {error.reason}") from None


def _editor_project(raw: Any) -> dict[str, Any] | None:
    """Return the project in a project file or in downloaded results, or None."""
    if not isinstance(raw, dict):
        return None
    download = raw.get("input")
    if download is None:
        return raw
    project = download.get("inputJson") if isinstance(download, dict) else None
    return project if isinstance(project, dict) else None


def notes_of(body: dict[str, Any]) -> tuple[str, ...]:
    """Return what the engine notes about a project or about input files.

    Returns nothing when the engine refuses them: the submission then says why.
    """
    from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
    from kerma_engines.errors import InvalidInput

    if body["engine"] not in ENGINE_NAMES:
        return ()
    chosen = engine(body["engine"])
    try:
        if "project" in body:
            inputs = chosen.convert(body["project"])
        else:
            inputs = chosen.accept_files(body["files"])
    except InvalidInput:
        return ()
    return tuple(inputs.options.get("notes", ()))
