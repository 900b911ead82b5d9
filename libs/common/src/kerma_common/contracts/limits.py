"""Bounds on the messages between processes: a message with a value beyond them is malformed.

Free text is cut and cleaned instead: nobody rejects the report of hours of work over its wording.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from kerma_common.contracts.refs import Ref

MAX_PROSE = 16 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _clean(text: str) -> str:
    return text[:MAX_PROSE].replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _checked(ref: Ref) -> Ref:
    if not _SHA256.fullmatch(ref.sha256) or not 0 <= ref.size <= 2**53 or len(ref.media) > 200:
        raise ValueError("not a reference to a blob")
    return ref


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""One token of a subject."""
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
"""Id of a job or a worker."""
Prose = Annotated[str, AfterValidator(_clean)]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Index, lease, attempt."""
Amount = Annotated[int, Field(ge=0, le=2**53)]
"""Primaries, and other counts that JSON of any client holds exactly."""
Seed = Annotated[int, Field(ge=0, lt=2**64)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Period = Annotated[float, Field(gt=0, le=24 * 3600, allow_inf_nan=False)]
"""Seconds between repetitions."""
BlobRef = Annotated[Ref, AfterValidator(_checked)]
Moment = AwareDatetime
