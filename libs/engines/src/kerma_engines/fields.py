"""The base class of a project's models, and the checked values they are made of."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

MAX_PRIMARIES = 2**53  # the largest count that every part of the platform can carry exactly
MAX_BINS = 10**8  # of one page, with its differential axes
BYTE_ORDER_MARK = "\ufeff"
"""What some editors put at the start of a text; removed from all files."""

_MAX_ATTACHMENT = 64 * 2**20  # characters
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Model(BaseModel):
    """Base of all models read from an editor project. Unknown keys are ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


def _number(value: Any) -> Any:
    # A bool is an int in Python, and an int too large for a double overflows; refuse both.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if isinstance(value, int) and abs(value) > 2**63:
        raise ValueError("is too large")
    return value


def _integer(value: object) -> object:
    # JavaScript writes no integers into JSON: 1e4 and 10000.0 mean 10000.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a whole number")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("must be a whole number")
    return int(value)


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return _encodable(text)


def _encodable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return text


def _content(text: str) -> str:
    return _encodable(text).removeprefix(BYTE_ORDER_MARK)


def _plain_name(text: str) -> str:
    if not text.strip() or text in {".", ".."}:
        raise ValueError("must not be empty")
    if "/" in text or "\\" in text:
        raise ValueError("must not contain path separators")
    return _printable(text)


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = BeforeValidator(_integer)
Count = Annotated[int, Whole, Field(ge=1, le=10**6)]
Name = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
FileName = Annotated[str, Field(max_length=128), AfterValidator(_plain_name)]
Text = Annotated[str, Field(max_length=_MAX_ATTACHMENT), AfterValidator(_content)]
Energy = Annotated[Number, Field(ge=0, le=1e9)]
Positive = Annotated[Number, Field(gt=0, le=1e9)]
