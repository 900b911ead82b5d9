"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option(help="Data directory of the running Kerma.")]
DEFAULT_DATA = Path("kerma-data")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
