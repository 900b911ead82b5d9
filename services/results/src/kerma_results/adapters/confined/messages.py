"""What the service asks of a process that merges, and what it answers.

The head of a request is JSON, which the service writes. ``open`` comes first, with the encoded input
set as its body; then ``add`` for every output; then ``close``; then ``part`` until the encoded
estimators are complete: they come in parts, as the bodies of the answers to ``close`` and ``part``.
The head of an answer is a JSON object. Hostile outputs may have written all of it, so it is bounded
and checked.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

KIND = "merge"
"""The kind of work, as the nursery knows it."""
PART = 4 << 20
"""The most bytes of a part."""
TEXT_LENGTH = 4096
"""Characters of a text."""

Text = Annotated[str, StringConstraints(max_length=TEXT_LENGTH, pattern=r"^[^\x00]*$")]
Code = Literal["INPUT_UNREADABLE", "OUTPUT_UNREADABLE", "OUTPUTS_DIFFER"]


class Answer(BaseModel):
    """The answer to any request; the fields of other requests keep their defaults.

    ``code`` and ``message`` say why the outputs can't be merged, ``fault`` why the call failed for
    another reason; ``full`` if that is a lack of disk space.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    code: Code | None = None
    message: Text = ""
    fault: Text | None = None
    full: bool = False
    size: Annotated[int, Field(ge=0)] = 0
    """Bytes of the encoded estimators."""


def encode_request(action: str, **arguments: Any) -> bytes:
    """Return the head of a request."""
    return json.dumps({"action": action, **arguments}).encode()


def decode_request(head: bytes) -> tuple[str, dict[str, Any]]:
    """Return action and arguments."""
    arguments = json.loads(head)
    return arguments.pop("action"), arguments


def clean(text: object) -> str:
    """Return a text that an answer can hold."""
    return str(text).replace("\0", "?").encode("utf-8", "replace").decode()[:TEXT_LENGTH]
