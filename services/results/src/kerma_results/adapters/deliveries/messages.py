"""What the service asks of a process that reads a delivered body, and what it answers.

``open`` comes first, then ``feed`` with every piece of the body, ``end``, ``match`` with the encoded
input set of the job, and then any number of ``estimator``, ``page`` and ``numbers``. A body may have
taken over the process, so answers are bounded and checked. Descriptions come as the bodies of answers.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from kerma_results.adapters.confined.messages import Text
from kerma_results.adapters.deliveries.grammar import (
    LARGEST_NUMBER,
    MOST_AXES,
    MOST_ESTIMATORS,
    MOST_NAME,
    MOST_PAGES,
)

KIND = "delivery"
"""The kind of work, as the nursery knows it."""
MOST_DESCRIPTION = 4 << 20
"""Bytes of the description of an estimator or a page."""
NUMBERS = 131_072
"""Numbers that are asked for at a time."""
FLOAT = 8

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_NAME, pattern=r"^[^\x00]*$")]
Count = Annotated[int, Field(ge=0, le=2**53)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Answer(_Strict):
    """The answer to any request; the fields of other requests keep their defaults.

    ``refused`` names the member that breaks a rule, with the reason. ``fault`` says why the call
    failed for another reason; ``full`` if that is a lack of disk space.
    """

    refused: tuple[Text, Text] | None = None
    fault: Text | None = None
    full: bool = False
    estimators: Annotated[int, Field(ge=0, le=MOST_ESTIMATORS)] = 0
    digest: Digest | None = None


class DescribedEstimator(_Strict):
    """An estimator, by the name of its output. ``pages`` are in the order of their numbers."""

    name: Name
    metadata: dict[str, JsonValue]
    pages: Annotated[int, Field(ge=0, le=MOST_PAGES)]


class DescribedPage(_Strict):
    """A page. ``members`` are the delivered ones; those in ``arrays`` hold nothing that is shown.

    ``arrays`` are sizes by name, ``data.values``.
    """

    number: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
    name: Name
    unit: Text
    shape: Annotated[
        tuple[Annotated[int, Field(ge=1, le=2**31 - 1)], ...], Field(max_length=MOST_AXES)
    ]
    members: dict[str, JsonValue]
    arrays: dict[str, Count]

    @model_validator(mode="after")
    def _fits(self) -> DescribedPage:
        bins = math.prod(self.shape)
        for name, size in self.arrays.items():
            member, _, _array = name.partition(".")
            if not isinstance(self.members.get(member), dict):
                raise ValueError(f"{name} has no member")
            if member == "data" and size != bins:
                raise ValueError(f"{name} has {size} numbers for {bins} bins")
        if "data.values" not in self.arrays:
            raise ValueError("the page has no values")
        return self
