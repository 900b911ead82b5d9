"""What a worker asks of its confined processes, and what they answer.

The head of a request is JSON, which the worker writes. ``open`` comes first, with the encoded input
set of a job as its body, then ``prepare`` and ``read`` in any order. The head of an answer is a JSON
object; it has no body. Hostile files may have written it, so it is bounded and checked.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, StringConstraints

KIND = "session"
"""The kind of work, as the nursery knows it."""
TEXT_LENGTH = 4096
"""Characters of a text."""

Text = Annotated[str, StringConstraints(max_length=TEXT_LENGTH, pattern=r"^[^\x00]*$")]
_MOST = Len(max_length=20_000)
Words = Annotated[tuple[Text, ...], _MOST]


class Answer(BaseModel):
    """The answer to any request; the fields of other requests keep their defaults.

    ``refused`` says what is wrong with the files, ``fault`` why the call failed for another reason.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    refused: Text | None = None
    fault: Text | None = None
    stands_in_for: Text = ""
    arguments: Words = ()
    """Arguments of the engine's program."""
    watch: Text | None = None
    results: Words = ()
    logs: Words = ()
    estimators: Annotated[tuple[tuple[Text, int], ...], _MOST] = ()
    """Names and primaries."""


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
